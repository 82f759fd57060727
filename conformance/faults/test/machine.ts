/** What a test of clean-up looks at, and a real place to run the planner's test cases in. */
import { type ChildProcess, spawn } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Facts } from "#core/facts";
import { nativePath } from "#linux/native";
import type { Place } from "../../../core/plan/test/configs.ts";

const read = (path: string): string => {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // the process is gone, or is another's
  }
};
const list = (path: string): readonly string[] => {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
};

/** Processes whose command line holds a text, zombies apart: their parent has yet to look. */
export const processesWith = (text: string): readonly number[] =>
  list("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid && read(`/proc/${name}/cmdline`).includes(text))
    .map(Number);

/** Zombies do not run. */
export const isRunning = (pid: number): boolean => /^\d+ \(.*\) [^ZX]/s.test(read(`/proc/${pid}/stat`));

/** Every cgroup below what is delegated to this user whose name holds a text. */
export const cgroupsWith = (facts: Facts, text: string): readonly string[] => {
  const bases = [
    ...facts.cgroup.v1.flatMap(({ delegated }) => delegated ?? []),
    ...(facts.cgroup.v2?.delegated == null ? [] : [facts.cgroup.v2.delegated]),
  ];
  return bases.flatMap((base) =>
    list(base)
      .filter((name) => name.includes(text))
      .map((name) => join(base, name)),
  );
};

export const mounts = (): string => read("/proc/self/mountinfo");

/** Removes a tree that may hold what an overlay left: a directory without any permission. */
const removeTree = (path: string): void => {
  for (const name of list(path)) {
    const entry = join(path, name);
    if (lstatSync(entry).isDirectory()) {
      chmodSync(entry, 0o700);
      removeTree(entry);
    }
  }
  rmSync(path, { recursive: true, force: true });
};

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Polls: for what ends on its own soon. @returns what is left after the limit. */
export const settled = async <T>(look: () => readonly T[], limit = 3_000): Promise<readonly T[]> => {
  for (let waited = 0; ; waited += 5) {
    const left = look();
    if (left.length === 0 || waited >= limit) return left;
    await sleep(5);
  }
};

/** A root file system of `hello` and, where the host has it, busybox. */
export const writeRootfs = (rootfs: string): void => {
  for (const directory of ["bin", "proc", "sys", "dev", "tmp", "etc"]) mkdirSync(join(rootfs, directory), { recursive: true });
  copyFileSync(nativePath("hello"), join(rootfs, "bin/hello"));
  chmodSync(join(rootfs, "bin/hello"), 0o755);
  const busybox = ["/bin/busybox", "/usr/bin/busybox"].find((path) => existsSync(path));
  if (busybox !== undefined) {
    copyFileSync(busybox, join(rootfs, "bin/busybox"));
    for (const name of ["sh", "sleep", "cat", "true", "ls", "test", "sed"]) symlinkSync("busybox", join(rootfs, "bin", name));
  }
};

type Map = Facts["self"]["uidMap"];
const mapOf = (path: string): Map =>
  read(path)
    .trim()
    .split("\n")
    .map((line) => line.trim().split(/\s+/).map(Number))
    .map(([inside = 0, outside = 0, count = 0]) => ({ inside, outside, count }));

/** Waits in namespaces of its own until it is stopped; its child is what is in the pid namespace. */
const holdNamespaces = async (flags: readonly string[]): Promise<{ readonly holder: ChildProcess; readonly pid: number } | null> => {
  const holder = spawn("unshare", [...flags, "--kill-child", "sleep", "1000"], { stdio: "ignore" });
  const inside = (): number => Number(read(`/proc/${holder.pid}/task/${holder.pid}/children`).trim());
  for (let tries = 0; tries < 400 && holder.exitCode === null; tries++) {
    const pid = inside();
    if (pid > 0 && read(`/proc/${pid}/cmdline`).startsWith("sleep")) return { holder, pid };
    await sleep(5);
  }
  holder.kill("SIGKILL");
  return null;
};

export type Room = {
  readonly place: Place;
  readonly stateRoot: string;
  readonly missing: ReadonlyMap<string, string>;
  readonly close: () => void;
};

/**
 * A place for the planner's cases on this machine: a bundle, somebody who takes terminals, namespaces to join.
 * @returns `missing` has the reason of each of `pinned`, `namespaces` that this machine does not give.
 */
export const openRoom = async (facts: Facts, name: string): Promise<Room> => {
  const room = mkdtempSync(join(tmpdir(), `coracle-${name}-`));
  const stateRoot = join(room, "state");
  for (const directory of ["state", "bundle", "directory", "layers/lower/fs", "layers/upper/fs", "layers/upper/work", "layers/root"])
    mkdirSync(join(room, directory), { recursive: true });
  writeRootfs(join(room, "bundle/rootfs"));
  writeRootfs(join(room, "layers/lower/fs"));
  writeFileSync(join(room, "file"), "a file\n");
  const server = createServer((connection) => connection.on("error", () => connection.destroy()).resume());
  await new Promise<void>((resolve) => server.listen(join(room, "console.sock"), resolve));
  const missing = new Map<string, string>();
  const joined = await holdNamespaces(["--map-root-user", "--fork", "--pid", "--net", "--uts", "--ipc"]);
  if (joined === null) missing.set("namespaces", "unshare cannot make namespaces to join");
  const pinned = await holdNamespaces(["--map-root-user", "--map-auto", "--fork"]);
  if (pinned === null) missing.set("pinned", "unshare cannot map the subordinate ids");
  const pinnedNs = `/proc/${pinned?.pid ?? 0}/ns/user`;
  const place: Place = {
    facts,
    bundle: join(room, "bundle"),
    stateDir: join(stateRoot, `${name}-${process.pid}`),
    hook: "/bin/true",
    file: join(room, "file"),
    directory: join(room, "directory"),
    socket: join(room, "console.sock"),
    pidFile: join(room, "pid"),
    namespace: (type) => `/proc/${joined?.pid ?? 0}/ns/${type === "network" ? "net" : type}`,
    pinned:
      pinned === null
        ? null
        : {
            path: pinnedNs,
            inode: statSync(pinnedNs).ino,
            setgroups: true,
            uidMap: mapOf(`/proc/${pinned.pid}/uid_map`),
            gidMap: mapOf(`/proc/${pinned.pid}/gid_map`),
          },
    overlay: { dir: join(room, "layers"), data: "userxattr,lowerdir=lower/fs,upperdir=upper/fs,workdir=upper/work", target: "root" },
  };
  const close = (): void => {
    for (const held of [joined, pinned]) held?.holder.kill("SIGKILL");
    server.close();
    removeTree(room);
  };
  return { place, stateRoot, missing, close };
};
