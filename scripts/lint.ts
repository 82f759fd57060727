/**
 * The gates that read the sources: each passes or fails as a whole, and prints what it found only where it fails.
 *
 *     node scripts/lint.ts [--result FILE] [GATE…]
 *
 * Ends with `N passed, N failed`.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { globSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";

const root = join(import.meta.dirname, "..");

type Verdict = { readonly ok: boolean; readonly output: string };
const run = (command: string, ...args: readonly string[]): Verdict => {
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd: root, encoding: "utf8", maxBuffer: 1 << 26 });
  return { ok: status === 0, output: error === undefined ? `${stdout}${stderr}` : `${command}: ${error.message}\n` };
};
const all = (...verdicts: readonly Verdict[]): Verdict => ({
  ok: verdicts.every(({ ok }) => ok),
  output: verdicts.map(({ output }) => output).join(""),
});

/** Path and content's hash of every file that is in git or could be. It needs no git: a package's sources have none. */
const sources = (): ReadonlyMap<string, string> => {
  const skip = ["node_modules", ".git", "dist", "native/build"];
  const files = globSync("**/*", { cwd: root, exclude: (path) => skip.includes(path) });
  const entries = files
    .filter((path) => statSync(join(root, path)).isFile())
    .map((path): [string, string] => [
      path,
      createHash("sha256")
        .update(readFileSync(join(root, path)))
        .digest("hex"),
    ]);
  return new Map(entries);
};

const generated = (): Verdict => {
  const before = sources();
  const made = run(process.execPath, "scripts/generate.ts");
  const after = sources();
  const changed = [...new Set([...before.keys(), ...after.keys()])].filter((path) => before.get(path) !== after.get(path));
  return all(made, {
    ok: changed.length === 0,
    output: changed.map((path) => `${path}: differs from what its generator writes; it was rewritten\n`).join(""),
  });
};

const rooms = (): readonly string[] => globSync("*/", { cwd: root, exclude: ["node_modules", "dist", "docs", "bin"] });
const shells = ["scripts/setup.sh", "scripts/start.sh", "scripts/as-user.sh", "bin/coracle", "bin/coracle-oci"];

const gates: Readonly<Record<string, () => Verdict>> = {
  biome: () => run("biome", "ci", "--colors=off", "--error-on-warnings", "--max-diagnostics=100", "."),
  "types of core": () => run("tsc", "-p", "core/tsconfig.json"),
  "types of all else": () => run("tsc", "-p", "tsconfig.json"),
  unused: () => run("knip", "--no-config-hints"),
  walls: () => run("depcruise", "--config", ".dependency-cruiser.cjs", ...rooms()),
  generated,
  shell: () =>
    all(...shells.map((path) => run("sh", "-n", path)), run("bash", "-n", ".ci/run"), run("cmp", "bin/coracle", "bin/coracle-oci")),
};

const { values, positionals } = parseArgs({ options: { result: { type: "string" } }, allowPositionals: true });
const wanted = Object.keys(gates).filter((name) => positionals.length === 0 || positionals.includes(name));
let passed = 0;
for (const name of wanted) {
  const { ok, output } = gates[name]?.() ?? { ok: false, output: "" };
  console.log(`${ok ? "ok  " : "FAIL"} ${name}`);
  if (ok) passed++;
  else console.log(output.trimEnd().replaceAll(/^/gm, "     | "));
}
const failed = wanted.length - passed + (wanted.length === 0 ? 1 : 0);
if (values.result !== undefined) writeFileSync(values.result, `${JSON.stringify({ passed, failed, skipped: 0 })}\n`);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
