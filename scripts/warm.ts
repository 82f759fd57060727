/**
 * Writes the compiled code of the bundles (scripts/loader.ts), after a run of each that plans a start. Nothing is started:
 * the executor is replaced by one that does nothing.
 *
 *     node scripts/warm.ts
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Script } from "node:vm";
import { wrap } from "./loader.ts";

const root = join(import.meta.dirname, "..");
const [name] = process.argv.slice(2);

/** In a process of its own: what the bundle does to its process must not matter to us. */
const warm = (bundle: string, args: readonly string[]): void => {
  const file = join(root, "dist", `${bundle}.main.js`);
  const require = createRequire(file);
  const children = require("node:child_process");
  const real = children.spawnSync;
  children.spawnSync = (path: string, ...rest: readonly unknown[]): unknown =>
    path.endsWith("/stage") ? { status: 1, signal: null } : real(path, ...rest);
  children.spawn = (): never => {
    throw new Error("nothing is started at set-up");
  };
  process.argv = [process.execPath, file, ...args];
  process.stdout.write = () => true;
  process.stderr.write = () => true;
  const script = new Script(wrap(readFileSync(file, "utf8")), { filename: file });
  process.on("exit", () => {
    writeFileSync(`${file}.code.new`, script.createCachedData(), { mode: 0o644 });
    renameSync(`${file}.code.new`, `${file}.code`);
    process.exitCode = 0;
  });
  script.runInThisContext()({}, require, { exports: {} }, file, dirname(file));
};

if (name === undefined) {
  for (const bundle of ["coracle", "coracle-oci"]) {
    const { status } = spawnSync(process.execPath, ["--disable-warning=ExperimentalWarning", import.meta.filename, bundle], {
      stdio: "inherit",
    });
    if (status !== 0) throw new Error(`the code of ${bundle} cannot be made`);
  }
} else if (name === "coracle") warm(name, ["explain", "--json", "hello"]);
else {
  const room = mkdtempSync(join(tmpdir(), "coracle-warm-"));
  process.on("exit", () => rmSync(room, { recursive: true, force: true }));
  spawnSync(process.execPath, [join(root, "dist/coracle-oci.js"), "spec", "--rootless", "--bundle", room]);
  writeFileSync(
    join(room, "config.json"),
    readFileSync(join(room, "config.json"), "utf8").replace('"terminal": true', '"terminal": false'),
  );
  warm(name, ["--root", join(room, "state"), "create", "--bundle", room, "warm"]);
}
