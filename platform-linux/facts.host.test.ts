/** The prober against independent observations of this host, and inside hosts that util-linux's `unshare` builds around it. */
import { spawnSync } from "node:child_process";
import {
  accessSync,
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { hostname, release, tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { type Facts, parseFacts } from "#core/facts";
import { Fault } from "#core/fault";
import { readFacts, readFactsFile } from "#linux/facts";
import { nativePath } from "#linux/native";

const facts = readFacts();
const program = nativePath("facts");
const room = mkdtempSync(join(tmpdir(), "coracle-facts-test-"));
process.on("exit", () => rmSync(room, { recursive: true, force: true }));

const errnoOf = (error: unknown): string =>
  error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : String(error);

const read = (path: string): string | null => {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
};

/** Fields of /proc/self/status of this very process. */
const status = new Map(
  (read("/proc/self/status") ?? "").split("\n").map((line) => [line.split(":")[0] ?? "", line.slice(line.indexOf(":") + 1).trim()]),
);

const sh = (...command: readonly string[]): boolean => spawnSync(command[0] ?? "", command.slice(1), { stdio: "ignore" }).status === 0;

/** The prober's answer inside of what a command line makes around it. `env` is its whole environment. */
const probe = (
  command: readonly string[],
  env: Readonly<Record<string, string>> = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", HOME: room },
): Facts => {
  const done = spawnSync(command[0] ?? "", command.slice(1), { encoding: "utf8", env: { ...env } });
  if (done.status !== 0) throw new Error(`${command.join(" ")}: exit ${done.status}, ${done.stderr}`);
  return parseFacts(JSON.parse(done.stdout), "the prober's answer");
};

/** A test that needs something of the host; without it, a skip that gives the reason. */
const hostTest = (name: string, missing: string | null, run: () => void | Promise<void>): void => {
  if (missing === null) test(name, run);
  else console.log(`skip: ${name}: ${missing}`);
};

const noUserns = sh("unshare", "-Ur", "true") ? null : "unshare -Ur does not work here";
const noMounts = sh("unshare", "-Urmpf", "--mount-proc", "true") ? null : "unshare -Urmpf --mount-proc does not work here";
const notRoot = process.getuid?.() === 0 ? "runs as root; the tests of hosts are for an unprivileged user" : null;

test("who we are, as Node sees it", () => {
  const { self } = facts;
  assert.is(self.uid, process.geteuid?.());
  assert.is(self.gid, process.getegid?.());
  assert.equal(self.groups.toSorted(), (status.get("Groups") ?? "").split(/\s+/).filter(Boolean).map(Number).toSorted());
  assert.is(self.user, userInfo().username);
  assert.is(facts.hostname, hostname());
  assert.is(facts.kernel.release, release());
  assert.is(facts.arch, process.arch === "x64" ? "amd64" : process.arch);
  assert.is(facts.bootId, (read("/proc/sys/kernel/random/boot_id") ?? "").trim());
  assert.is(facts.nativeDir, join(program, ".."));
});

test("privilege, as /proc/self/status has it", () => {
  assert.is(facts.self.capEffective, status.get("CapEff"));
  assert.is(facts.self.capBounding, status.get("CapBnd"));
  assert.is(facts.self.noNewPrivs, status.get("NoNewPrivs") === "1");
  assert.is(facts.self.seccompMode, Number(status.get("Seccomp")));
  const map = (read("/proc/self/uid_map") ?? "").trim().split(/\s+/).map(Number);
  assert.equal(
    facts.self.uidMap.flatMap(({ inside, outside, count }) => [inside, outside, count]),
    map,
  );
});

test("limits, as /proc/self/limits has them", () => {
  const text = (words: string | undefined): string => (words === "unlimited" ? "18446744073709551615" : (words ?? ""));
  for (const [name, title] of [
    ["RLIMIT_NPROC", "Max processes"],
    ["RLIMIT_STACK", "Max stack size"],
    ["RLIMIT_CORE", "Max core file size"],
  ] as const) {
    // Node raises its own soft RLIMIT_NOFILE, so that one is not compared.
    const line = (read("/proc/self/limits") ?? "").split("\n").find((one) => one.startsWith(title));
    const [soft, hard] = (line ?? "").slice(title.length).trim().split(/\s+/);
    assert.equal(facts.self.rlimits[name], { soft: text(soft), hard: text(hard) });
  }
  assert.is(Object.keys(facts.self.rlimits).length, 16);
});

test("namespaces and mounts, as unshare and mount find them", () => {
  assert.is(facts.userns.works, noUserns === null);
  for (const [name, flag] of Object.entries({ mount: "-m", pid: "-pf", network: "-n", ipc: "-i", uts: "-u", cgroup: "-C", time: "-T" })) {
    assert.is(Object.entries(facts.namespaces).find(([key]) => key === name)?.[1].works, sh("unshare", "-Ur", flag, "true"), name);
  }
  const mounts = (type: string, ...options: readonly string[]): boolean =>
    sh(
      "unshare",
      "-Urmpfni",
      "sh",
      "-c",
      `mount -t tmpfs none ${room} && cd ${room} && mkdir l u w m && exec mount -t ${type} ${options.join(" ")} none m`,
    );
  for (const type of ["proc", "sysfs", "mqueue", "devpts", "tmpfs"] as const) assert.is(facts.mounts[type].works, mounts(type), type);
  assert.is(facts.mounts.overlay.works, mounts("overlay", "-o", "userxattr,lowerdir=l,upperdir=u,workdir=w"));
});

test("devices, as open finds them", () => {
  for (const [name, path] of [
    ["fuse", "/dev/fuse"],
    ["tun", "/dev/net/tun"],
  ] as const) {
    let errno: string | null = null;
    try {
      closeSync(openSync(path, "r+"));
    } catch (error) {
      errno = errnoOf(error);
    }
    assert.is(facts.devices[name].errno, errno, path);
    assert.is(facts.devices[name].works, errno === null);
  }
});

test("subordinate ids, as the files and their helper have them", () => {
  const rows = (path: string): readonly { start: number; count: number }[] =>
    (read(path) ?? "").split("\n").flatMap((line) => {
      const [owner, start, count] = line.split(":");
      return owner === userInfo().username || owner === String(process.getuid?.()) ? [{ start: Number(start), count: Number(count) }] : [];
    });
  assert.equal(facts.subids.uid, rows("/etc/subuid"));
  assert.equal(facts.subids.gid, rows("/etc/subgid"));
  if (facts.subids.newuidmap !== null)
    assert.ok((statSync(facts.subids.newuidmap).mode & 0o4000) !== 0 || sh("getcap", "-v", facts.subids.newuidmap));
});

hostTest("the ranges really map, as unshare finds it", facts.subids.cause ?? (sh("unshare", "--help") ? null : "no unshare"), () => {
  assert.is(facts.subids.mapping.works, sh("unshare", "--user", "--map-root-user", "--map-auto", "true"));
});

test("control groups, as /proc and access have them", () => {
  const own = (read("/proc/self/cgroup") ?? "").trim().split("\n");
  const fields = own.map((line) => line.split(":"));
  assert.is(
    facts.cgroup.v2?.path ?? null,
    facts.cgroup.v2 === null
      ? null
      : fields
          .find(([id]) => id === "0")
          ?.slice(2)
          .join(":"),
  );
  for (const row of facts.cgroup.v1) {
    assert.ok(fields.some(([, controllers, path]) => controllers === row.controllers.join(",") && path === row.path));
    if (row.delegated === null) continue;
    const made = join(row.delegated, `facts-test-${process.pid}`);
    mkdirSync(made);
    sh("rmdir", made);
    assert.not.ok(existsSync(made));
  }
  const writable = (path: string): boolean => {
    try {
      accessSync(path, constants.W_OK);
      return true;
    } catch {
      return false;
    }
  };
  const { v2 } = facts.cgroup;
  if (v2 !== null) assert.is(v2.writable, writable(join(v2.mount, v2.path)) && writable(join(v2.mount, v2.path, "cgroup.procs")));
  if (v2 !== null && v2.delegated !== null) assert.ok(writable(join(v2.delegated, "cgroup.procs")));
});

test("nothing is left behind, not even in a data directory of our own", () => {
  const before = [read("/proc/self/mountinfo"), readdirSync(room).join()];
  const found = readFacts({ dataDir: join(room, "not/there/yet"), runtimeDir: room });
  assert.equal([read("/proc/self/mountinfo"), readdirSync(room).join()], before);
  assert.is(found.dirs.data.path, join(room, "not/there/yet"));
  assert.ok(found.dirs.data.writable);
  assert.is(found.dirs.runtime.path, room);
});

test("a quick probe says of each trial that it was none, and the rest is the same", () => {
  const quick = readFacts({ depth: "quick" });
  const untried = { works: false, errno: null, cause: "not-tried" };
  for (const tried of [
    quick.userns,
    quick.subids.mapping,
    quick.dirs.data.overlay,
    ...Object.values(quick.namespaces),
    ...Object.values(quick.mounts),
  ])
    assert.equal(tried, untried);
  assert.equal(
    {
      ...quick,
      depth: "full",
      userns: facts.userns,
      subids: facts.subids,
      namespaces: facts.namespaces,
      mounts: facts.mounts,
      dirs: facts.dirs,
    },
    { ...facts, dirs: facts.dirs },
  );
});

hostTest("a directory that is not ours", notRoot, () => {
  const found = readFacts({ dataDir: "/usr/lib/coracle" });
  assert.not.ok(found.dirs.data.writable);
  assert.equal(found.dirs.data.overlay, { works: false, errno: null, cause: "no-data-dir" });
});

test("directories come from the environment, and relative ones are ignored", () => {
  const found = (env: Readonly<Record<string, string>>): Facts["dirs"] => readFacts({ depth: "quick", env }).dirs;
  assert.is(found({ HOME: "/home/x" }).data.path, "/home/x/.local/share/coracle");
  assert.is(found({ HOME: "/home/x", XDG_DATA_HOME: "/data" }).data.path, "/data/coracle");
  assert.is(found({ HOME: "/home/x", XDG_DATA_HOME: "data" }).data.path, "/home/x/.local/share/coracle");
  assert.is(found({ HOME: "/home/x" }).runtime.path, "");
  assert.is(found({ XDG_RUNTIME_DIR: "/run/user/1" }).runtime.path, "/run/user/1/coracle");
  if (existsSync("/dev/shm")) assert.is(found({ XDG_RUNTIME_DIR: "/dev/shm" }).runtime.fs, "tmpfs");
});

test("tools come from PATH, but never from a relative entry", () => {
  const bin = join(room, "bin");
  mkdirSync(bin);
  writeFileSync(join(bin, "pasta"), "#!/bin/sh\n", { mode: 0o755 });
  writeFileSync(join(bin, "slirp4netns"), "not executable", { mode: 0o644 });
  const found = readFacts({ depth: "quick", env: { PATH: `relative:${bin}` } });
  assert.is(found.tools.pasta, join(bin, "pasta"));
  assert.is.not(found.tools.slirp4netns, join(bin, "slirp4netns"));
  // Our own executable of that name has no privilege to map with.
  writeFileSync(join(bin, "newuidmap"), "#!/bin/sh\n", { mode: 0o755 });
  const { subids } = readFacts({ env: { PATH: bin } });
  assert.is(subids.newuidmap, null);
  assert.is(subids.cause, "newuidmap-unprivileged");
});

test("systemd's user manager is somebody who listens", async () => {
  const runtime = join(room, "run");
  mkdirSync(join(runtime, "systemd"), { recursive: true });
  const manager = (): Facts["cgroup"]["systemdUser"] => readFacts({ depth: "quick", env: { XDG_RUNTIME_DIR: runtime } }).cgroup.systemdUser;
  assert.is(manager(), null);
  for (const socket of [join(runtime, "bus"), join(runtime, "systemd/private")]) {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(socket, resolve));
    assert.is(manager()?.socket, socket);
    await new Promise<void>((resolve) => server.close(() => resolve()));
    assert.is(manager(), null);
  }
});

test("bytes that are no text still make JSON", () => {
  const script = `HOME=$(printf '/tmp/a\\377"\\\\b\\303\\244\\001') exec ${program} --quick`;
  assert.is(probe(["sh", "-c", script]).self.home, '/tmp/a\ufffd"\\b\u00e4\u0001');
});

hostTest("inside a user namespace, root is nobody outside", noMounts, () => {
  const found = probe(["unshare", "-Urmpf", "--mount-proc", program]);
  assert.is(found.self.uid, 0);
  assert.is(found.self.initialUserns, false);
  assert.equal(found.self.uidMap, [{ inside: 0, outside: process.getuid?.() ?? -1, count: 1 }]);
  assert.is(found.self.capEffective, found.self.capBounding);
  // Its owner, root outside, is not mapped: the setuid bit has no effect.
  if (notRoot === null) assert.is(found.subids.newuidmap, null);
});

hostTest("user namespaces switched off by number", noUserns, () => {
  const found = probe(["unshare", "-Ur", "sh", "-c", `echo 0 > /proc/sys/user/max_user_namespaces && exec ${program}`]);
  assert.equal(found.userns, { works: false, errno: "ENOSPC", cause: "max-user-namespaces" });
  assert.equal(found.mounts.proc, { works: false, errno: null, cause: "no-userns" });
});

hostTest("network namespaces switched off by number take sysfs with them", noUserns, () => {
  const found = probe(["unshare", "-Ur", "sh", "-c", `echo 0 > /proc/sys/user/max_net_namespaces && exec ${program}`]);
  assert.equal(found.namespaces.network, { works: false, errno: "ENOSPC", cause: "max-namespaces" });
  assert.equal(found.mounts.sysfs, { works: false, errno: "EPERM", cause: "no-network-namespace" });
  assert.ok(found.mounts.proc.works);
});

hostTest("an id that nobody mapped", noUserns, () => {
  assert.equal(probe(["unshare", "-U", program]).userns, { works: false, errno: "EPERM", cause: "own-id-unmapped" });
});

hostTest("a chroot", noUserns, () => {
  const root = join(room, "root");
  mkdirSync(join(root, "proc"), { recursive: true });
  copyFileSync(program, join(root, "facts"));
  const found = probe(["unshare", "-Ur", "chroot", root, "/facts"]);
  assert.equal(found.userns, { works: false, errno: "EPERM", cause: "chroot" });
  assert.is(found.bootId, "");
  assert.equal(found.self.uidMap, []);
});

hostTest("a hidden /proc", noMounts, () => {
  const found = probe(["unshare", "-Urm", "sh", "-c", `mount -t tmpfs none /proc && exec ${program}`]);
  assert.equal(found.userns, { works: false, errno: "ENOENT", cause: "proc-hidden" });
  assert.is(found.cgroup.mode, "none");
});

hostTest("a masked /proc, as containers have it", noMounts, () => {
  const mask = "mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys && mount -t tmpfs -o ro none /proc/irq";
  const found = probe(["unshare", "-Urmpf", "--mount-proc", "sh", "-c", `${mask} && exec unshare -Urm ${program}`]);
  assert.equal(found.procMasked.toSorted(), ["/proc/irq", "/proc/sys"]);
  assert.equal(found.mounts.proc, { works: false, errno: "EPERM", cause: "proc-masked" });
  assert.ok(found.mounts.tmpfs.works);
});

hostTest("no_new_privs", facts.subids.cause ?? (sh("setpriv", "--no-new-privs", "true") ? notRoot : "setpriv is missing"), () => {
  const found = probe(["setpriv", "--no-new-privs", program]);
  assert.ok(found.self.noNewPrivs);
  assert.is(found.subids.cause, "no-new-privs");
  assert.is(found.subids.newuidmap, null);
});

test("a file of facts is read back, and a broken one names its fields", () => {
  const path = join(room, "facts.json");
  writeFileSync(path, JSON.stringify(facts));
  assert.equal(readFactsFile(path), facts);
  const messageOf = (text: string): string => {
    writeFileSync(path, text);
    try {
      readFactsFile(path);
    } catch (error) {
      if (error instanceof Fault && error.code === "E_FACTS") return error.message;
      throw error;
    }
    return "";
  };
  assert.match(messageOf(JSON.stringify({ ...facts, userns: null })), "/userns");
  assert.match(messageOf("{"), "is not JSON");
});

test("an unknown option is refused", () => {
  assert.is(spawnSync(program, ["--fast"]).status, 2);
});

test.run();
