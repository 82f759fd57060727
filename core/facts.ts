/**
 * What a host can do: the planner's second input. One prober (`native/facts.c`) gathers it by trying, never by version;
 * this schema validates its answer, and `explain --facts FILE` reads the same shape for another host.
 */

import * as z from "zod/mini";
import { Fault, type Issue } from "#core/fault";

const int = z.int();
const IdRangeSchema = z.object({ start: int, count: int });
const IdMapLineSchema = z.object({ inside: int, outside: int, count: int });

/**
 * The outcome of trying something: it works, or the errno that it failed with and the proven cause where one is known.
 * Not tried is `{works: false, errno: null, cause: "not-tried"}` (a quick probe), or another cause where an earlier
 * failure left nothing to try (`no-userns`): `wasTried` tells the two from a failure.
 */
const TriedSchema = z.object({
  works: z.boolean(),
  /** errno's name, e.g. `EPERM`; null where it works or was not tried. */
  errno: z.nullable(z.string()),
  /** A cause that was read off the host, as a token of `causes` in hints.ts (e.g. `apparmor-restrict`, `max-user-namespaces`). */
  cause: z.nullable(z.string()),
});

export const FactsSchema = z.object({
  version: z.literal(1),
  /** `quick`: read, nothing tried in a child, so every trial below is `not-tried`; `full`: everything tried. */
  depth: z.enum(["quick", "full"]),
  /** Directory of the native helpers on that host, as the prober sees itself; empty where /proc is hidden. A policy names programs by path. */
  nativeDir: z._default(z.string(), ""),
  kernel: z.object({ release: z.string(), major: int, minor: int }),
  /** GOARCH's word: amd64, arm64, … */
  arch: z.string(),
  hostname: z.string(),
  /** /proc/sys/kernel/random/boot_id; empty where /proc hides it. */
  bootId: z.string(),
  self: z.object({
    uid: int, // effective, as this process sees it
    gid: int,
    groups: z.array(int),
    /** Login name; null where passwd has none. */
    user: z.nullable(z.string()),
    home: z.string(),
    /** Capability sets as lower-case hexadecimal, 16 digits, as /proc/self/status writes them. */
    capEffective: z.string(),
    capBounding: z.string(),
    /** Empty where /proc is hidden. */
    uidMap: z.array(IdMapLineSchema),
    gidMap: z.array(IdMapLineSchema),
    setgroups: z.enum(["allow", "deny"]),
    /** True where this process's user namespace is the initial one. */
    initialUserns: z.boolean(),
    noNewPrivs: z.boolean(),
    seccompMode: int,
    /** By the spec's names (`RLIMIT_NOFILE`); decimal text, for they are 64 bits wide, infinity being 18446744073709551615. */
    rlimits: z.record(z.string(), z.object({ soft: z.string(), hard: z.string() })),
  }),
  /** A new user namespace in which our own id can be mapped, tried in a child. */
  userns: TriedSchema,
  /** Subordinate ids of this user (from /etc/subuid, /etc/subgid), and the helpers that apply them (absolute paths; null: not found or not privileged). */
  subids: z.object({
    uid: z.array(IdRangeSchema),
    gid: z.array(IdRangeSchema),
    newuidmap: z.nullable(z.string()),
    newgidmap: z.nullable(z.string()),
    /** Why there is no range or no helper (`no-subuid`, `no-subgid`, `newuidmap-missing`, `newuidmap-unprivileged`, `nosuid`, `no-new-privs`); null: nothing is amiss. */
    cause: z.nullable(z.string()),
    /** The first range of each kind, really mapped by the helpers into a new user namespace. */
    mapping: TriedSchema,
  }),
  /** Namespaces that could be created inside a new user namespace. */
  namespaces: z.object({
    mount: TriedSchema,
    pid: TriedSchema,
    network: TriedSchema,
    ipc: TriedSchema,
    uts: TriedSchema,
    cgroup: TriedSchema,
    time: TriedSchema,
  }),
  /** File systems, tried inside a new user, mount, pid, network and ipc namespace. `overlay` (with `userxattr`) is tried over a tmpfs: what the kernel can do; `dirs.data.overlay` says what it can do where images live. */
  mounts: z.object({
    proc: TriedSchema,
    sysfs: TriedSchema,
    mqueue: TriedSchema,
    devpts: TriedSchema,
    tmpfs: TriedSchema,
    overlay: TriedSchema,
    fuse: TriedSchema,
  }),
  /** Paths at or under /proc and /sys that something is mounted over (masked or read-only): a container around us. */
  procMasked: z.array(z.string()),
  cgroup: z.object({
    mode: z.enum(["v2", "v1", "hybrid", "none"]),
    /** cgroup v2: where it is mounted, our own cgroup below that mount, whether we may create below it, and which controllers a child would get. */
    v2: z.nullable(
      z.object({
        mount: z.string(),
        path: z.string(),
        writable: z.boolean(),
        /**
         * The topmost cgroup at or above our own, as an absolute directory, in which we may create cgroups *and* move
         * processes from ours (directory, cgroup.procs and cgroup.subtree_control all writable: it is then the common
         * ancestor). null: nothing is delegated to us.
         */
        delegated: z.nullable(z.string()),
        /** Of `delegated` (else of our own cgroup): what a child could get, */
        controllers: z.array(z.string()),
        /** what a child gets already (cgroup.subtree_control), */
        enabled: z.array(z.string()),
        /** and whether processes live in it: then enabling a domain controller is EBUSY until they have moved (always false of the root cgroup, which may hold both). */
        occupied: z.boolean(),
        /** cgroup.kill exists (Linux 5.14). */
        kill: z.boolean(),
      }),
    ),
    /** cgroup v1: a row per hierarchy. `delegated` is an absolute directory in which we may create, or null. */
    v1: z.array(z.object({ controllers: z.array(z.string()), mount: z.string(), path: z.string(), delegated: z.nullable(z.string()) })),
    /** The kernel accounts swap, so that it can be limited (memory.swap.max, memory.memsw.limit_in_bytes); true where that cannot be seen. */
    swap: z._default(z.boolean(), true),
    /** systemd's user manager: the socket that took a connection (`…/systemd/private`, else the session bus), or null. `version` is empty: it takes a protocol to ask. `controllers`: what a scope of its making can have (cgroup v2). */
    systemdUser: z.nullable(z.object({ socket: z.string(), version: z.string(), controllers: z._default(z.array(z.string()), []) })),
    /** systemd as pid 1 (for root). */
    systemdSystem: z.boolean(),
  }),
  tools: z.object({
    slirp4netns: z.nullable(z.string()),
    pasta: z.nullable(z.string()),
    fuseOverlayfs: z.nullable(z.string()),
  }),
  devices: z.object({ fuse: TriedSchema, tun: TriedSchema }),
  seccomp: z.object({ filter: z.boolean(), userNotif: z.boolean() }),
  lsm: z.object({
    /** /sys/kernel/security/lsm, split; empty where it cannot be read. */
    active: z.array(z.string()),
    /** /proc/sys/kernel/apparmor_restrict_unprivileged_userns; null where absent. */
    apparmorRestrictUserns: z.nullable(z.boolean()),
    landlockAbi: int,
  }),
  /**
   * Coracle's own directories, whether they exist yet or not; where not, the nearest existing ancestor answers: the file
   * system's name (ext4, nfs, tmpfs, …) and whether we may write. `path` empty where unset.
   */
  dirs: z.object({
    runtime: z.object({ path: z.string(), writable: z.boolean(), fs: z.string() }),
    data: z.object({ path: z.string(), writable: z.boolean(), fs: z.string(), userXattr: z.boolean(), overlay: TriedSchema }),
  }),
  /** The kind of container that we run in (docker, podman, lxc, kubernetes, …), where a marker says so; else null. */
  insideContainer: z.nullable(z.string()),
});

/** Facts about a host. Pure data: safe to log, to keep beside a golden plan, and to send with a bug report. */
export type Facts = z.infer<typeof FactsSchema>;
export type Tried = z.infer<typeof TriedSchema>;

/** False where nothing was tried, so that `works: false` says nothing about the host: a planner may then assume the best. */
export const wasTried = (tried: Tried): boolean => tried.works || tried.errno !== null;

const pointerOf = (path: readonly PropertyKey[]): string =>
  path.map((key) => `/${String(key).replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");

/**
 * Facts from a parsed document: the prober's answer, or a `--facts` file.
 * @param source what gave the document, for the message.
 * @throws Fault E_FACTS that lists every field that does not fit.
 */
export const parseFacts = (document: unknown, source: string): Facts => {
  const parsed = z.safeParse(FactsSchema, document);
  if (parsed.success) return parsed.data;
  const issues: Issue[] = parsed.error.issues.map((issue) => ({ pointer: pointerOf(issue.path), message: issue.message }));
  const fields = issues.map((issue) => issue.pointer || "the document").join(", ");
  throw new Fault("E_FACTS", { message: `${source} does not fit the facts schema: ${fields}`, issues });
};
