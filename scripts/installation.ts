/**
 * The installation, from nothing, as a user without privilege: a clone, `npm start` in it, another user's use of it, and
 * the package that `npm pack` makes. Needs npm's registry. Ends with `N passed, N failed`.
 *
 *     node scripts/installation.ts
 *
 * As root it clones for `coracle-test`, as which everything here runs.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chownSync, globSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const checkout = join(import.meta.dirname, "..");
const root = process.getuid?.() === 0;
const scratch = mkdtempSync(join(tmpdir(), "coracle-installation-"));
const clone = join(scratch, "clone");
const user = ((): { uid: number; gid: number } | null => {
  const ask = (flag: string): number => Number(spawnSync("id", [flag, "coracle-test"], { encoding: "utf8" }).stdout);
  return root ? { uid: ask("-u"), gid: ask("-g") } : null;
})();

type Result = { readonly status: number | null; readonly out: string };
const exec = (command: string, args: readonly string[], cwd = "/"): Result => {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  return { status, out: `${stdout}${stderr}` };
};
/** As the user, with the clean environment of as-user.sh: the system's Node and npm, whatever ours are. */
const asUser = (cwd: string, ...command: readonly string[]): Result =>
  exec("sh", [join(checkout, "scripts/as-user.sh"), "run", cwd, ...command]);
const give = (path: string): void => {
  if (user === null) return;
  chownSync(path, user.uid, user.gid);
};

/** Every file's path, times, mode, owner and size: a write shows, even one that puts the same bytes back. */
const fingerprint = (dir: string): string => {
  const hash = createHash("sha256");
  for (const path of readdirSync(dir, { recursive: true, encoding: "utf8" }).sort()) {
    const { mtimeMs, ctimeMs, mode, uid, size } = lstatSync(join(dir, path));
    hash.update(`${path}\0${mtimeMs}\0${ctimeMs}\0${mode}\0${uid}\0${size}\n`);
  }
  return hash.digest("hex");
};

let passed = 0;
let failed = 0;
const check = (name: string, ok: boolean, detail: string): void => {
  console.log(`${ok ? "ok  " : "FAIL"} ${name}`);
  if (ok) passed++;
  else {
    failed++;
    console.log(detail.trimEnd().replaceAll(/^/gm, "     | "));
  }
};

const aClone = (): void => {
  mkdirSync(clone);
  // What git would give: the tracked files as they are now, so that it tests what is here and not what was committed.
  const files = exec("git", ["-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], checkout).out.split(
    "\0",
  );
  const present = files.filter((path) => path !== "" && lstatSync(join(checkout, path), { throwIfNoEntry: false }) !== undefined);
  const list = join(scratch, "list");
  writeFileSync(list, present.map((path) => `${path}\0`).join(""));
  const copied = exec("sh", ["-c", `tar -C "$1" --null -T "$2" -cf - | tar -C "$3" -xf -`, "-", checkout, list, clone]);
  if (user !== null) exec("chown", ["-R", `${user.uid}:${user.gid}`, clone]);
  check("a clone", copied.status === 0 && present.length > 0, copied.out);

  const first = asUser(clone, "npm", "start");
  check("npm start in a clone, with nothing installed", first.status === 0, first.out);

  const before = fingerprint(clone);
  const second = asUser(clone, "npm", "start");
  check("npm start again works", second.status === 0 && !second.out.includes("setup:"), second.out);
  check("npm start again writes nothing", fingerprint(clone) === before, "some file of the checkout was written");

  const passedOn = asUser(clone, "npm", "start", "--", "no such command");
  check("npm start passes arguments and the exit status on", passedOn.status === 125, `status ${passedOn.status}\n${passedOn.out}`);
};

/** Only root can give the clone away; a checkout that is nobody's to write is the same to everybody else. */
const anothersClone = (): void => {
  if (user === null) {
    console.log("skip: another user's checkout: root is needed to make one");
    return;
  }
  exec("chown", ["-R", "0:0", clone]);
  const current = asUser(clone, "npm", "start");
  check("npm start in another user's checkout", current.status === 0, current.out);
  writeFileSync(join(clone, "core/fault.ts"), `${readFileSync(join(clone, "core/fault.ts"), "utf8")}\n`);
  const stale = asUser(clone, "npm", "start");
  check("… says who must set it up where that has changed", stale.status !== 0 && stale.out.includes("may not write to it"), stale.out);
  exec("chown", ["-R", `${user.uid}:${user.gid}`, clone]);
};

const aPackage = (): void => {
  const [packs, prefix] = [join(scratch, "packs"), join(scratch, "prefix")];
  for (const dir of [packs, prefix]) {
    mkdirSync(dir);
    give(dir);
  }
  writeFileSync(join(prefix, "package.json"), '{ "private": true }\n'); // else npm looks for one further up
  give(join(prefix, "package.json"));
  const packed = asUser(clone, "npm", "pack", "--pack-destination", packs);
  const [tarball] = globSync("*.tgz", { cwd: packs });
  check("npm pack", packed.status === 0 && tarball !== undefined, packed.out);
  if (tarball === undefined) return;
  const names = exec("tar", ["-tf", join(packs, tarball)]).out.split("\n");
  const wanted = [
    "bin/coracle",
    "bin/coracle-oci",
    "dist/coracle.js",
    "dist/coracle-oci.js",
    "dist/image/index.json",
    "native/build/stage",
    "native/build/facts",
  ];
  const missing = wanted.filter((name) => !names.includes(`package/${name}`));
  check(
    "the package has all it needs, and no sources",
    missing.length === 0 && !names.some((name) => name.endsWith(".ts")),
    `missing: ${missing.join(" ")}`,
  );

  const installed = asUser(prefix, "npm", "install", "--fetch-retries=1", join(packs, tarball));
  check("npm install of the package", installed.status === 0, installed.out);
  rmSync(clone, { recursive: true, force: true });
  for (const command of [
    ["coracle", "--version"],
    ["coracle-oci", "--version"],
    ["coracle", "doctor", "--json"],
    ["coracle", "run", "--rm", "hello"],
  ] as const) {
    const [name, ...args] = command;
    const ran = asUser("/", join(prefix, "node_modules/.bin", name), ...args);
    check(`${command.join(" ")}, from the package`, ran.status === 0 && ran.out !== "", `status ${ran.status}\n${ran.out}`);
  }
};

try {
  exec("chmod", ["0755", scratch]);
  give(scratch);
  aClone();
  anothersClone();
  aPackage();
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
