/** Facts for a start: read each time, their trials kept; against full probes of the same moment, and with caches that lie. */
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import * as z from "zod/mini";
import { FactsSchema, parseFacts, wasTried } from "#core/facts";
import { readFacts, readStartFacts } from "#linux/facts";

const room = mkdtempSync(join(tmpdir(), "coracle-start-facts-"));
process.on("exit", () => rmSync(room, { recursive: true, force: true }));
let count = 0;
const place = (): { root: string; dataDir: string; runtimeDir: string } => {
  const root = join(room, String(count++));
  mkdirSync(root, { mode: 0o700 });
  return { root, dataDir: join(root, "data"), runtimeDir: root };
};
const read = ({ root, ...where }: ReturnType<typeof place>) => readStartFacts(root, where);
const cacheOf = ({ root }: { root: string }): string => join(root, ".facts.json");
const StoredSchema = z.object({ key: z.string(), facts: FactsSchema });
const stored = (at: { root: string }) => z.parse(StoredSchema, JSON.parse(readFileSync(cacheOf(at), "utf8")));
/** Marks the cache, so that it shows whether it was used: no trial ends in this errno. */
const mark = (at: { root: string }): void => {
  const { key, facts } = stored(at);
  writeFileSync(
    cacheOf(at),
    JSON.stringify({ key, facts: { ...facts, mounts: { ...facts.mounts, mqueue: { works: false, errno: "EMARKED", cause: null } } } }),
  );
};
const marked = (at: ReturnType<typeof place>): boolean => read(at).mounts.mqueue.errno === "EMARKED";

const works = readFacts().userns.works;
const testHere = (name: string, body: () => void): void => {
  if (works) test(name, body);
  else console.log(`skip: ${name}: no user namespaces here`);
};

testHere("they are the full probe's, the first time and later", () => {
  const at = place();
  const { root: _, ...where } = at;
  const full = readFacts({ ...where, depth: "full" });
  const [first, second] = [read(at), read(at)];
  for (const facts of [first, second]) {
    assert.is(facts.depth, "full");
    assert.equal(
      [facts.userns, facts.subids, facts.namespaces, facts.mounts, facts.devices, facts.dirs],
      [full.userns, full.subids, full.namespaces, full.mounts, full.devices, full.dirs],
    );
    assert.ok(wasTried(facts.dirs.data.overlay));
  }
  assert.is(statSync(cacheOf(at)).mode & 0o777, 0o600);
  assert.equal(readdirSync(at.root), [".facts.json"], "no temporary file is left, and the data directory is not made");
});

testHere("trials come from the cache while the key holds, all else is read anew", () => {
  const at = place();
  read(at);
  assert.not.ok(marked(at));
  mark(at);
  assert.ok(marked(at));
  const before = read(at).self.rlimits["RLIMIT_CORE"];
  assert.ok(before !== undefined);
  // The same cache, another place for data: another key.
  assert.not.equal(readStartFacts(at.root, { dataDir: join(room, "elsewhere"), runtimeDir: at.root }).mounts.mqueue.errno, "EMARKED");
});

testHere("a key of another boot, user, kernel or prober is not ours", () => {
  for (const change of [
    (key: string) => key.replace(/^\["[^"]*"/, '["00000000-0000-0000-0000-000000000000"'),
    (key: string) => `${key} `,
    () => "",
  ]) {
    const at = place();
    read(at);
    mark(at);
    const { key, facts } = stored(at);
    assert.not.equal(change(key), key);
    writeFileSync(cacheOf(at), JSON.stringify({ key: change(key), facts }));
    assert.not.ok(marked(at));
    assert.is(stored(at).key, key, "and it was written again");
  }
});

testHere("the environment of the process around decides, too", () => {
  const at = place();
  read(at);
  mark(at);
  // no_new_privs takes newuidmap its privilege: the same cache must not say that ids can be mapped.
  const script = `import { readStartFacts } from "#linux/facts"; process.stdout.write(JSON.stringify(readStartFacts(process.argv[1], { dataDir: process.argv[2], runtimeDir: process.argv[1] })))`;
  const inside = spawnSync(
    "setpriv",
    ["--no-new-privs", process.execPath, "--input-type=module-typescript", "-e", script, at.root, at.dataDir],
    {
      encoding: "utf8",
      cwd: join(import.meta.dirname, ".."),
    },
  );
  assert.is(inside.status, 0, inside.stderr);
  const facts = parseFacts(JSON.parse(inside.stdout), "the child");
  assert.ok(facts.self.noNewPrivs);
  assert.not.equal(facts.mounts.mqueue.errno, "EMARKED");
});

testHere("damaged caches are probed over", () => {
  for (const text of ["", "{", "null", "[]", '{"key":1}', "\0\0\0"]) {
    const at = place();
    writeFileSync(cacheOf(at), text);
    assert.ok(read(at).userns.works, JSON.stringify(text));
    assert.ok(stored(at).key.length > 0);
  }
  const at = place();
  read(at);
  const { key } = stored(at);
  writeFileSync(cacheOf(at), JSON.stringify({ key, facts: { version: 1, userns: { works: true } } }));
  assert.ok(wasTried(read(at).mounts.proc), "right key, wrong facts");
  rmSync(cacheOf(at));
  mkdirSync(cacheOf(at));
  assert.ok(read(at).userns.works, "a directory in its place");
  assert.equal(readdirSync(at.root), [".facts.json"]);
});

testHere("a root that cannot be written costs the cache only", () => {
  const at = place();
  chmodSync(at.root, 0o500);
  if (process.getuid?.() !== 0) {
    assert.ok(read(at).userns.works);
    assert.not.ok(existsSync(cacheOf(at)));
  }
  chmodSync(at.root, 0o700);
  symlinkSync("/dev/full", cacheOf(at));
  assert.ok(read(at).userns.works);
  assert.ok(statSync(cacheOf(at)).isFile(), "a link is replaced, not followed");
});

test("where user namespaces are off, nothing is kept: the remedy shows at once", () => {
  const at = place();
  const script = `import { readStartFacts } from "#linux/facts"; process.stdout.write(JSON.stringify(readStartFacts(process.argv[1])))`;
  const inside = spawnSync(
    "unshare",
    [
      "-Ur",
      "sh",
      "-c",
      'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"',
      "sh",
      process.execPath,
      "--input-type=module-typescript",
      "-e",
      script,
      at.root,
    ],
    { encoding: "utf8", cwd: join(import.meta.dirname, "..") },
  );
  if (/unshare failed|Permission denied|Read-only/.test(inside.stderr))
    return console.log(`skip: user namespaces off: ${inside.stderr.trim()}`);
  assert.is(inside.status, 0, inside.stderr);
  const facts = parseFacts(JSON.parse(inside.stdout), "the child");
  assert.not.ok(facts.userns.works);
  assert.ok(facts.userns.errno !== null);
  assert.not.ok(existsSync(cacheOf(at)));
});

test.run();
