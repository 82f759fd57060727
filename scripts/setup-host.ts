/**
 * Prepares what only root can prepare: packages, a user, subordinate ids, device modes, a delegated cgroup v1 subtree.
 *
 *     node scripts/setup-host.ts --for start|host|test [--user NAME] [--yes] [--undo]
 *
 * `start`: what root needs to run a container as a user. `host`: what running for NAME needs. `test`: and what the
 * tests, benchmarks and sanitizers need. Every change is listed before any is made, and written down as it is made
 * in /var/lib/coracle/setup-<for>.json: `--undo` takes back those, and no others.
 */
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline/promises";
import { parseArgs } from "node:util";
import * as z from "zod/mini";

type Purpose = "start" | "host" | "test";
const purposes: Readonly<Record<Purpose, readonly Purpose[]>> = {
  start: ["start"],
  host: ["start", "host"],
  test: ["start", "host", "test"],
};

/** Debian's packages: a file that proves one is there, and why it is wanted. The only list of them. */
const packages: readonly { readonly name: string; readonly proof: string; readonly for: Purpose; readonly why: string }[] = [
  { name: "uidmap", proof: "/usr/bin/newuidmap", for: "start", why: "newuidmap and newgidmap: more than one id in a container" },
  { name: "make", proof: "/usr/bin/make", for: "start", why: "builds the native helpers" },
  { name: "gcc", proof: "/usr/bin/gcc", for: "start", why: "compiles the native helpers" },
  { name: "musl-tools", proof: "/usr/bin/musl-gcc", for: "start", why: "links them static and small" },
  { name: "linux-libc-dev", proof: "/usr/include/linux/openat2.h", for: "start", why: "the kernel's headers" },
  { name: "slirp4netns", proof: "/usr/bin/slirp4netns", for: "host", why: "a network for a container without root" },
  { name: "fuse-overlayfs", proof: "/usr/bin/fuse-overlayfs", for: "host", why: "snapshots where the kernel refuses overlay to a user" },
  { name: "fuse3", proof: "/usr/bin/fusermount3", for: "host", why: "mounts fuse-overlayfs" },
  { name: "libc6-dev", proof: "/usr/include/stdlib.h", for: "test", why: "test programs, sanitizers, and the static glibc fall-back" },
  { name: "clang-14", proof: "/usr/bin/clang-14", for: "test", why: "the fuzzer and the sanitizers" },
  { name: "libclang-rt-14-dev", proof: "/usr/lib/llvm-14/lib/clang/14.0.6/lib/linux", for: "test", why: "their run-time library" },
  { name: "libseccomp-dev", proof: "/usr/include/seccomp.h", for: "test", why: "the seccomp compiler is compared with it" },
  { name: "strace", proof: "/usr/bin/strace", for: "test", why: "counts system calls, injects faults" },
  { name: "busybox-static", proof: "/bin/busybox", for: "test", why: "a root file system for test containers" },
  { name: "skopeo", proof: "/usr/bin/skopeo", for: "test", why: "reads the layouts that we write" },
  { name: "umoci", proof: "/usr/bin/umoci", for: "test", why: "unpacks the layouts that we write" },
  { name: "bubblewrap", proof: "/usr/bin/bwrap", for: "test", why: "a peer in the benchmarks" },
  { name: "crun", proof: "/usr/bin/crun", for: "test", why: "a peer in benchmarks and differential tests" },
  { name: "podman", proof: "/usr/bin/podman", for: "test", why: "an engine that drives coracle-oci" },
  { name: "catatonit", proof: "/usr/bin/catatonit", for: "test", why: "podman's --init and the pause process of its pods" },
  { name: "runc", proof: "/usr/sbin/runc", for: "test", why: "a peer in benchmarks and differential tests" },
];

/** A device that a rootless helper opens: on a machine without udev it is root's alone. */
const devices = [
  { path: "/dev/fuse", major: 10, minor: 229, for: "host", why: "fuse-overlayfs opens it" },
  { path: "/dev/net/tun", major: 10, minor: 200, for: "host", why: "slirp4netns opens it" },
] as const;

/** Controllers of cgroup v1 that hold the limits of a container. */
const controllers: readonly string[] = ["memory", "pids", "cpu", "cpuacct", "cpuset", "freezer", "blkio"];

const testUser = "coracle-test";
const subidCount = 65_536;

/** What was done, so that it can be undone. */
const DoneSchema = z.discriminatedUnion("kind", [
  z.object({ kind: z.literal("packages"), names: z.array(z.string()) }),
  z.object({ kind: z.literal("user"), name: z.string() }),
  z.object({ kind: z.literal("subids"), user: z.string(), file: z.enum(["uid", "gid"]), first: z.int(), last: z.int() }),
  z.object({ kind: z.literal("mode"), path: z.string(), before: z.int() }),
  z.object({ kind: z.literal("node"), path: z.string() }),
  z.object({ kind: z.literal("cgroup"), path: z.string() }),
]);
type Done = z.infer<typeof DoneSchema>;

/** One line for the administrator, and the deed: it returns what it did. */
type Change = { readonly says: string; readonly apply: () => readonly Done[] };

const say = (line: string): void => console.error(`setup: ${line}`);
const fail = (line: string): never => {
  say(line);
  process.exit(1);
};

const run = (command: string, args: readonly string[]): { readonly ok: boolean; readonly out: string } => {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    encoding: "utf8",
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C" },
  });
  return { ok: status === 0, out: error === undefined ? `${stdout}${stderr}` : error.message };
};
const must = (command: string, ...args: readonly string[]): string => {
  const { ok, out } = run(command, args);
  if (!ok) throw new Error(`${command} ${args.join(" ")} failed:\n${out}`);
  return out;
};

const idOf = (user: string): { readonly uid: number; readonly gid: number } | null => {
  const [uid, gid] = [run("id", ["-u", user]), run("id", ["-g", user])];
  return uid.ok && gid.ok ? { uid: Number(uid.out), gid: Number(gid.out) } : null;
};

const installed = (): readonly string[] =>
  must("dpkg", "--get-selections")
    .split("\n")
    .flatMap((line) => (line.endsWith("\tinstall") ? (line.split("\t")[0] ?? []) : []));

const install = (names: readonly string[]): readonly Done[] => {
  const before = new Set(installed());
  const attempt = (): { ok: boolean; out: string } => run("apt-get", ["install", "-y", "-q", "--no-install-recommends", ...names]);
  let result = attempt();
  if (!result.ok) {
    // A fresh machine has no package lists, and old lists name files that are gone.
    run("apt-get", ["update", "-q"]);
    result = attempt();
  }
  const added = installed().filter((name) => !before.has(name)); // dependencies too, and what a failed attempt left
  if (!result.ok) {
    if (added.length > 0) record([{ kind: "packages", names: added }]);
    throw new Error(`apt-get install ${names.join(" ")} failed:\n${result.out}`);
  }
  return added.length > 0 ? [{ kind: "packages", names: added }] : [];
};

/** The first range of `subidCount` ids from 100000 on that no line of the file grants. */
const freeRange = (file: "uid" | "gid"): number => {
  const path = `/etc/sub${file}`;
  const taken = (existsSync(path) ? readFileSync(path, "utf8") : "").split("\n").flatMap((line) => {
    const [, start, count] = line.split(":").map(Number);
    return start === undefined || count === undefined ? [] : [{ start, end: start + count }];
  });
  let first = 100_000;
  for (const range of taken.sort((a, b) => a.start - b.start)) if (range.start < first + subidCount && range.end > first) first = range.end;
  return first;
};

const hasRange = (file: "uid" | "gid", user: string, uid: number): boolean =>
  existsSync(`/etc/sub${file}`) &&
  readFileSync(`/etc/sub${file}`, "utf8")
    .split("\n")
    .some((line) => line.startsWith(`${user}:`) || line.startsWith(`${uid}:`));

/** Mount points of cgroup v1's hierarchies that hold one of our controllers. */
const hierarchies = (): readonly { readonly mount: string; readonly cpuset: boolean }[] =>
  readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .flatMap((line) => {
      const [head, tail] = line.split(" - ");
      const mount = head?.split(" ")[4];
      const [type, , options] = tail?.split(" ") ?? [];
      if (type !== "cgroup" || mount === undefined || options === undefined) return [];
      const held = options.split(",").filter((option) => controllers.includes(option));
      // Two mounts of one hierarchy (cpu, and a link cpuacct) are one row each: making a folder twice does no harm.
      return held.length === 0 ? [] : [{ mount, cpuset: held.includes("cpuset") }];
    });

const delegate = (mount: string, cpuset: boolean, uid: number, gid: number): readonly Done[] => {
  const done: Done[] = [];
  let parent = mount;
  for (const name of ["coracle", String(uid)]) {
    const path = join(parent, name);
    if (!existsSync(path)) {
      mkdirSync(path);
      done.push({ kind: "cgroup", path });
    }
    if (cpuset) {
      // A cpuset without cpus and mems takes no process; clone_children gives them to what the user makes below.
      for (const file of ["cpuset.cpus", "cpuset.mems"])
        if (readFileSync(join(path, file), "utf8").trim() === "") writeFileSync(join(path, file), readFileSync(join(parent, file), "utf8"));
      writeFileSync(join(path, "cgroup.clone_children"), "1");
    }
    parent = path;
  }
  // The folder and the files that move processes; the limits of the folder itself stay root's.
  for (const path of [parent, join(parent, "cgroup.procs"), join(parent, "tasks")]) chownSync(path, uid, gid);
  return done;
};

/** All that is missing. */
const plan = (purpose: Purpose, user: string): readonly Change[] => {
  const wants = purposes[purpose];
  const changes: Change[] = [];

  const missing = packages.filter((row) => wants.includes(row.for) && !existsSync(row.proof));
  if (missing.length > 0)
    changes.push({
      says: `install packages:${missing.map((row) => `\n         ${row.name.padEnd(20)} ${row.why}`).join("")}`,
      apply: () => install(missing.map((row) => row.name)),
    });

  const ids = idOf(user);
  if (ids === null) {
    if (user !== testUser) fail(`there is no user ${user}`);
    changes.push({
      says: `make the user ${user}, as whom root runs containers and rootless tests`,
      apply: () => {
        must("useradd", "--create-home", "--shell", "/bin/sh", user);
        return [{ kind: "user", name: user }];
      },
    });
  }
  for (const file of ["uid", "gid"] as const)
    if (ids !== null && !hasRange(file, user, ids.uid)) {
      const first = freeRange(file);
      const last = first + subidCount - 1;
      changes.push({
        says: `grant ${user} the subordinate ${file}s ${first}-${last}`,
        apply: () => {
          must("usermod", `--add-sub${file}s`, `${first}-${last}`, user);
          return [{ kind: "subids", user, file, first, last }];
        },
      });
    }

  for (const device of devices.filter((row) => wants.includes(row.for))) {
    if (!existsSync(device.path))
      changes.push({
        says: `make ${device.path} (mode 0666): ${device.why}`,
        apply: () => {
          mkdirSync(join(device.path, ".."), { recursive: true });
          must("mknod", "-m", "0666", device.path, "c", String(device.major), String(device.minor));
          return [{ kind: "node", path: device.path }];
        },
      });
    else {
      const before = statSync(device.path).mode & 0o7777;
      if ((before & 0o006) !== 0o006)
        changes.push({
          says: `open ${device.path} to every user (mode 0${before.toString(8)} to 0666): ${device.why}`,
          apply: () => {
            chmodSync(device.path, 0o666);
            return [{ kind: "mode", path: device.path, before }];
          },
        });
    }
  }

  if (wants.includes("host"))
    for (const { mount, cpuset } of hierarchies()) {
      const path = join(mount, "coracle", ids === null ? `<uid of ${user}>` : String(ids.uid));
      if (ids !== null && existsSync(path) && statSync(path).uid === ids.uid) continue;
      changes.push({
        says: `make ${path} and give it to ${user}: limits of resources`,
        apply: () => {
          const now = idOf(user) ?? fail(`there is no user ${user}`);
          return delegate(mount, cpuset, now.uid, now.gid);
        },
      });
    }
  return changes;
};

const { values } = parseArgs({
  options: {
    for: { type: "string", default: "host" },
    user: { type: "string" },
    yes: { type: "boolean", default: false },
    undo: { type: "boolean", default: false },
  },
});
const purpose =
  values.for === "start" || values.for === "host" || values.for === "test"
    ? values.for
    : fail(`--for start, host or test, not ${values.for}`);
const root = process.getuid?.() === 0;
const sudoUser = process.env["SUDO_USER"] ?? "root";
/** Whom it is for: the tests' user, or for `host` whoever asks, be it through sudo. */
const asking = !root ? userInfo().username : sudoUser === "root" ? testUser : sudoUser;
const user = values.user ?? (purpose === "host" ? asking : testUser);
const recordFile = `/var/lib/coracle/setup-${purpose}.json`;

const readRecord = (): readonly Done[] =>
  existsSync(recordFile) ? z.array(DoneSchema).parse(JSON.parse(readFileSync(recordFile, "utf8"))) : [];
const writeRecord = (done: readonly Done[]): void => {
  mkdirSync(join(recordFile, ".."), { recursive: true, mode: 0o755 });
  writeFileSync(`${recordFile}.new`, `${JSON.stringify(done, null, 2)}\n`, { mode: 0o644 });
  renameSync(`${recordFile}.new`, recordFile);
};
function record(done: readonly Done[]): void {
  if (done.length > 0) writeRecord([...readRecord(), ...done]);
}

const describeUndo = (done: Done): string => {
  switch (done.kind) {
    case "packages":
      return `remove the packages ${done.names.join(" ")}`;
    case "user":
      return `delete the user ${done.name} and its home`;
    case "subids":
      return `take the subordinate ${done.file}s ${done.first}-${done.last} from ${done.user}`;
    case "mode":
      return `set ${done.path} back to mode 0${done.before.toString(8)}`;
    case "node":
      return `remove ${done.path}`;
    case "cgroup":
      return `remove the cgroup ${done.path}`;
  }
};

/** Takes one thing back; what is gone already is done. */
const undo = (done: Done): void => {
  switch (done.kind) {
    case "packages": {
      const there = new Set(installed());
      const names = done.names.filter((name) => there.has(name));
      // dpkg, not apt: it refuses to remove what something else has come to need since.
      if (names.length > 0) must("dpkg", "--purge", ...names);
      return;
    }
    case "user":
      if (idOf(done.name) !== null) must("userdel", "--remove", done.name);
      return;
    case "subids":
      if (idOf(done.user) !== null) must("usermod", `--del-sub${done.file}s`, `${done.first}-${done.last}`, done.user);
      return;
    case "mode":
      if (existsSync(done.path)) chmodSync(done.path, done.before);
      return;
    case "node":
      if (existsSync(done.path) && lstatSync(done.path).isCharacterDevice()) rmSync(done.path);
      return;
    case "cgroup":
      if (existsSync(done.path)) rmdirSync(done.path);
  }
};

const confirm = async (): Promise<void> => {
  if (values.yes || process.env["CI"] === "true") return;
  if (!process.stdin.isTTY) fail("nothing was changed: say --yes to go on");
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await terminal.question("setup: go on? [y/N] ");
  terminal.close();
  if (!/^y(es)?$/i.test(answer.trim())) fail("nothing was changed");
};

if (values.undo) {
  const done = [...readRecord()];
  if (done.length === 0) fail(`nothing to undo: ${recordFile} records no change`);
  for (const each of done.toReversed()) say(describeUndo(each));
  if (!root) fail("root can undo this; nothing was changed");
  await confirm();
  const kept: Done[] = [];
  for (let each = done.pop(); each !== undefined; each = done.pop()) {
    try {
      undo(each);
    } catch (error) {
      kept.unshift(each);
      say(`${describeUndo(each)}: ${error instanceof Error ? error.message.trim() : String(error)}`);
    }
    writeRecord([...done, ...kept]);
  }
  if (kept.length > 0) fail(`${kept.length} of these could not be undone and stay in ${recordFile}`);
  rmSync(recordFile);
  say("undone");
} else {
  const changes = plan(purpose, user);
  for (const change of changes) say(change.says);
  if (changes.length > 0) {
    if (!root)
      fail(`nothing of this was done, for only root can: sudo npm run setup:${purpose === "test" ? "test" : "host"} -- --user ${user}`);
    if (!existsSync("/usr/bin/apt-get") && changes.some((change) => change.says.startsWith("install")))
      fail("this is not Debian: install the like of these packages by hand, then run this again");
    await confirm();
    for (const change of changes) record(change.apply());
    // useradd grants ranges to a new user by itself, unless login.defs says otherwise.
    for (const change of plan(purpose, user)) {
      say(change.says);
      record(change.apply());
    }
    say("done; --undo takes it back");
  } else if (!values.yes) say(`nothing to do: the host is ready for ${user}`);
}
