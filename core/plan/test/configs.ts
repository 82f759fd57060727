/**
 * Configurations to plan for: what golden files are made of, what properties are checked on, and (where this machine can
 * run them) where faults are injected. Data, but for what depends on the place: ids, and paths that must exist.
 */
import type { Facts } from "#core/facts";
import { Fault } from "#core/fault";
import { stringifyJson } from "#core/json";
import { buildStart, type Start, type StartInput } from "#core/plan/build";
import type { PinnedUserns } from "#core/plan/ids";
import { compileSeccomp } from "#core/seccomp/compile";
import { buildDefaultSeccomp } from "#core/seccomp/default-policy";
import { type Config, parseConfig } from "#core/spec/config";

/** Where a plan is for. */
export type Place = {
  readonly facts: Facts;
  readonly bundle: string;
  readonly stateDir: string;
  /** A program that succeeds, for hooks; a file and a directory to bind; what listens for a terminal; namespaces to join. */
  readonly hook: string;
  readonly file: string;
  readonly directory: string;
  readonly socket: string;
  readonly pidFile: string;
  readonly namespace: (type: string) => string;
  readonly pinned: PinnedUserns | null;
  readonly overlay: { readonly dir: string; readonly data: string; readonly target: string };
};

export const HOSTS = [
  "cgroup-v1-undelegated",
  "debian12",
  "debian12-systemd",
  "docker",
  "nested",
  "nfs-home",
  "no-subuid",
  "rhel9",
  "root",
  "root-in-userns",
  "ubuntu2404-apparmor",
  "v2-undelegated",
] as const;
type HostName = (typeof HOSTS)[number];

export type Case = {
  readonly name: string;
  readonly hosts: readonly HostName[];
  readonly config: (place: Place) => object;
  readonly input?: (place: Place) => Partial<StartInput>;
  readonly seccomp?: true;
  /** Why an unprivileged user cannot run it on a machine that is not made for it; refused plans need no reason. */
  readonly notHere?: string;
};

const OWN = ["pid", "network", "ipc", "uts", "cgroup", "mount"] as const;
const namespaces = (...types: readonly string[]): readonly object[] => types.map((type) => ({ type }));
const one = (containerID: number, hostID: number, size = 1) => ({ containerID, hostID, size });
/** The caller alone, as root. */
const single = ({ facts }: Place) => ({
  namespaces: namespaces(...OWN, "user"),
  uidMappings: [one(0, facts.self.uid)],
  gidMappings: [one(0, facts.self.gid)],
});
/** The caller as root, and the subordinate range above it; where there is none, a range that is not granted. */
const full = ({ facts }: Place) => ({
  namespaces: namespaces(...OWN, "user"),
  uidMappings: [one(0, facts.self.uid), one(1, facts.subids.uid[0]?.start ?? 100000, 65536)],
  gidMappings: [one(0, facts.self.gid), one(1, facts.subids.gid[0]?.start ?? 100000, 65536)],
});

const CAPS = [
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_FOWNER",
  "CAP_KILL",
  "CAP_NET_BIND_SERVICE",
  "CAP_SETGID",
  "CAP_SETUID",
  "CAP_SYS_CHROOT",
];
const process = {
  cwd: "/",
  args: ["hello", "exit", "0"],
  env: ["PATH=/bin:/usr/bin", "HOME=/root"],
  user: { uid: 0, gid: 0 },
  noNewPrivileges: true,
  capabilities: { bounding: CAPS, effective: CAPS, permitted: CAPS },
};
const mounts = [
  { destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"] },
  { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "strictatime", "mode=755", "size=65536k"] },
  {
    destination: "/dev/pts",
    type: "devpts",
    source: "devpts",
    options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
  },
  { destination: "/dev/shm", type: "tmpfs", source: "shm", options: ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"] },
  { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: ["nosuid", "noexec", "nodev"] },
  { destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid", "noexec", "nodev", "ro"] },
];
const cgroupMount = {
  destination: "/sys/fs/cgroup",
  type: "cgroup",
  source: "cgroup",
  options: ["nosuid", "noexec", "nodev", "relatime", "ro"],
};
const base = { ociVersion: "1.3.0", root: { path: "rootfs" }, hostname: "box", process, mounts };
const limits = {
  memory: { limit: 67108864, swap: 134217728, reservation: 33554432 },
  cpu: { shares: 512, quota: 50000, period: 100000 },
  pids: { limit: 64 },
};

const LIMIT_HOSTS = [
  "cgroup-v1-undelegated",
  "debian12",
  "debian12-systemd",
  "docker",
  "nfs-home",
  "rhel9",
  "root",
  "v2-undelegated",
] as const;

export const cases: readonly Case[] = [
  // ---- a start on every host
  {
    name: "minimal",
    hosts: HOSTS,
    config: () => ({
      ociVersion: "1.0.2",
      root: { path: "rootfs" },
      process: { cwd: "/", args: ["/bin/hello", "exit", "0"] },
      linux: { namespaces: namespaces("mount", "pid") },
    }),
  },
  {
    name: "single-id",
    hosts: ["debian12", "nested", "no-subuid", "nfs-home", "ubuntu2404-apparmor"],
    config: (place) => ({ ...base, linux: single(place) }),
  },
  {
    name: "full-map",
    hosts: ["debian12", "nested", "no-subuid", "nfs-home", "rhel9", "root-in-userns"],
    config: (place) => ({ ...base, linux: full(place) }),
  },
  {
    name: "run",
    hosts: ["debian12", "debian12-systemd"],
    config: (place) => ({ ...base, linux: full(place) }),
    input: () => ({ verb: "run" }),
  },
  {
    name: "run-keep",
    hosts: ["debian12"],
    config: (place) => ({ ...base, linux: single(place) }),
    input: () => ({ verb: "run", keep: true }),
  },
  {
    name: "docker-default",
    hosts: ["debian12", "rhel9"],
    seccomp: true,
    config: (place) => ({
      ...base,
      mounts: [...mounts, cgroupMount],
      linux: {
        ...full(place),
        maskedPaths: ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/sys/firmware", "/not/there"],
        readonlyPaths: ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
      },
    }),
  },
  {
    name: "seccomp-without-nnp",
    hosts: ["debian12"],
    seccomp: true,
    config: (place) => ({ ...base, process: { ...process, noNewPrivileges: false }, linux: single(place) }),
  },
  {
    name: "nnp-off",
    hosts: ["debian12"],
    config: (place) => ({ ...base, process: { ...process, noNewPrivileges: false }, linux: single(place) }),
  },

  // ---- limits
  { name: "limits", hosts: LIMIT_HOSTS, config: (place) => ({ ...base, linux: { ...full(place), resources: limits } }) },
  {
    name: "limits-run",
    hosts: ["debian12", "rhel9"],
    config: (place) => ({ ...base, linux: { ...single(place), resources: limits } }),
    input: () => ({ verb: "run" }),
  },
  {
    name: "limits-best-effort",
    hosts: ["cgroup-v1-undelegated", "docker", "nested", "v2-undelegated"],
    config: (place) => ({ ...base, linux: { ...single(place), resources: limits } }),
    input: () => ({ limits: "best-effort" }),
  },
  {
    name: "limits-disabled",
    hosts: ["debian12-systemd"],
    config: (place) => ({ ...base, linux: { ...single(place), resources: limits } }),
    input: () => ({ cgroupManager: "disabled" }),
  },
  {
    name: "limits-all",
    hosts: ["debian12", "debian12-systemd", "root"],
    config: (place) => ({
      ...base,
      linux: {
        ...single(place),
        resources: {
          ...limits,
          memory: { limit: -1, swap: -1, kernel: 1, swappiness: 60n, disableOOMKiller: false },
          cpu: { shares: 2048n, quota: -1, period: 50000n, burst: 1000, idle: 0, cpus: "0", mems: "0" },
          blockIO: {
            weight: 500,
            throttleReadBpsDevice: [{ major: 8, minor: 0, rate: 1048576 }],
            weightDevice: [{ major: 8, minor: 16, weight: 10 }],
          },
          hugepageLimits: [{ pageSize: "2MB", limit: 9223372036854771712n }],
          rdma: { mlx5: { hcaHandles: 3, hcaObjects: 10000 } },
        },
      },
    }),
    notHere: "needs every controller",
  },
  {
    name: "limits-unified",
    hosts: ["debian12", "debian12-systemd", "root"],
    config: (place) => ({
      ...base,
      linux: {
        ...single(place),
        resources: { unified: { "memory.high": "33554432", "cgroup.max.depth": "4", "io.latency": "8:0 target=1" } },
      },
    }),
    notHere: "needs cgroup version 2",
  },
  {
    name: "limits-contradict",
    hosts: ["debian12"],
    config: (place) => ({
      ...base,
      linux: { ...single(place), resources: { memory: { limit: 1000, swap: 500 }, unified: { "a/b": "1" } } },
    }),
  },
  {
    name: "cgroups-path",
    hosts: ["debian12", "debian12-systemd", "rhel9"],
    config: (place) => ({
      ...base,
      mounts: [...mounts, cgroupMount],
      linux: { ...single(place), cgroupsPath: "/pods/box", resources: { pids: { limit: 100 } } },
    }),
  },
  {
    name: "cgroups-path-up",
    hosts: ["debian12"],
    config: (place) => ({ ...base, linux: { ...single(place), cgroupsPath: "/../escape" } }),
  },
  {
    name: "cgroups-scope",
    hosts: ["debian12", "debian12-systemd", "rhel9"],
    config: (place) => ({ ...base, linux: { ...single(place), cgroupsPath: "a-b.slice:libpod:box", resources: { pids: { limit: 100 } } } }),
  },
  {
    name: "cgroup-namespace-hosts",
    hosts: ["debian12", "debian12-systemd"],
    config: (place) => ({
      ...base,
      mounts: [...mounts, cgroupMount],
      linux: { ...single(place), namespaces: namespaces("pid", "network", "ipc", "uts", "mount", "user") },
    }),
  },
  {
    name: "device-rules",
    hosts: ["root", "debian12"],
    config: (place) => ({
      ...base,
      linux: {
        ...(place.facts.self.uid === 0 ? { namespaces: namespaces(...OWN) } : single(place)),
        resources: { devices: [{ allow: false, access: "rwm" }] },
      },
    }),
  },

  // ---- hooks, terminals, descriptors
  ...(["create", "run"] as const).map(
    (verb): Case => ({
      name: `hooks-${verb}`,
      hosts: ["debian12"],
      config: (place) => ({
        ...base,
        annotations: { "org.example.key": 'a "quoted" value', "org.example.unicode": "korbboot \u{1f6f6}" },
        hooks: {
          prestart: [{ path: place.hook }],
          createRuntime: [{ path: place.hook, args: ["hook", "create runtime"], env: ["A=1"], timeout: 5 }, { path: place.hook }],
          createContainer: [{ path: place.hook, timeout: 5 }],
          startContainer: [{ path: "/bin/hello", args: ["hello", "exit", "0"] }],
          poststart: [{ path: place.hook }],
          poststop: [{ path: place.hook, args: ["hook", "poststop"] }],
        },
        linux: single(place),
      }),
      input: () => ({ verb }),
    }),
  ),
  {
    name: "terminal",
    hosts: ["debian12"],
    config: (place) => ({ ...base, process: { ...process, terminal: true, consoleSize: { height: 25, width: 80 } }, linux: full(place) }),
    input: ({ socket }) => ({ consoleSocket: socket }),
  },
  {
    name: "terminal-without-socket",
    hosts: ["debian12"],
    config: (place) => ({ ...base, process: { ...process, terminal: true }, linux: single(place) }),
  },
  {
    name: "socket-without-terminal",
    hosts: ["debian12"],
    config: (place) => ({ ...base, linux: single(place) }),
    input: ({ socket }) => ({ consoleSocket: socket }),
  },
  {
    name: "pid-file",
    hosts: ["debian12"],
    config: (place) => ({ ...base, linux: single(place) }),
    input: ({ pidFile }) => ({ pidFile, preserveFds: 2, newKeyring: false }),
  },

  // ---- namespaces
  {
    name: "join-network",
    hosts: ["debian12"],
    config: (place) => ({
      ...base,
      linux: {
        ...single(place),
        namespaces: [{ type: "network", path: place.namespace("network") }, ...namespaces("pid", "ipc", "uts", "cgroup", "mount", "user")],
      },
    }),
    notHere: "needs a network namespace that this user owns outside of its user namespace",
  },
  {
    name: "join-user",
    hosts: ["debian12", "rhel9"],
    config: (place) => ({
      ...base,
      mounts: mounts.filter(({ type }) => type !== "devpts"), // its gid=5 need not be mapped there
      linux: {
        namespaces: [
          ...["pid", "uts", "ipc", "network", "user"].map((type) => ({ type, path: place.namespace(type) })),
          { type: "mount" },
          { type: "cgroup" },
        ],
      },
    }),
  },
  {
    name: "join-user-limits",
    hosts: ["debian12", "debian12-systemd"],
    config: (place) => ({
      ...base,
      mounts: mounts.filter(({ type }) => type !== "devpts"),
      linux: {
        namespaces: [
          ...["network", "user"].map((type) => ({ type, path: place.namespace(type) })),
          ...namespaces("pid", "mount", "uts", "ipc"),
        ],
        resources: limits,
      },
    }),
  },
  {
    name: "host-network",
    hosts: ["debian12", "root"],
    config: (place) => ({ ...base, linux: { ...single(place), namespaces: namespaces("pid", "ipc", "uts", "cgroup", "mount", "user") } }),
  },
  {
    name: "host-everything",
    hosts: ["debian12"],
    // A host need not have a /dev/mqueue to bind.
    config: (place) => ({
      ...base,
      hostname: "",
      mounts: mounts.filter(({ type }) => type !== "mqueue"),
      linux: { ...single(place), namespaces: namespaces("mount", "user") },
    }),
  },
  {
    name: "no-mount-namespace",
    hosts: ["debian12"],
    config: (place) => ({ ...base, linux: { ...single(place), namespaces: namespaces("pid", "uts", "user") } }),
  },
  {
    name: "time",
    hosts: ["debian12"],
    config: (place) => ({
      ...base,
      linux: {
        ...single(place),
        namespaces: namespaces(...OWN, "user", "time"),
        timeOffsets: { monotonic: { secs: 172800, nanosecs: 5 }, boottime: { secs: 604800 } },
      },
    }),
  },
  {
    name: "ids-ungranted",
    hosts: ["debian12", "root"],
    config: (place) => ({ ...base, linux: { ...single(place), uidMappings: [one(0, 4000000, 10)], gidMappings: [one(0, 4000000, 10)] } }),
  },
  { name: "no-mappings", hosts: ["debian12"], config: () => ({ ...base, linux: { namespaces: namespaces(...OWN, "user") } }) },
  {
    name: "identity-map",
    hosts: ["root-in-userns"],
    config: () => ({
      ...base,
      linux: { namespaces: namespaces(...OWN, "user"), uidMappings: [one(0, 0, 1000)], gidMappings: [one(0, 0, 1000)] },
    }),
  },
  {
    name: "pinned-overlay",
    hosts: ["debian12", "debian12-systemd"],
    config: (place) => ({ ...base, linux: { ...full(place), uidMappings: [one(0, 0, 60000)], gidMappings: [one(0, 0, 60000)] } }),
    input: ({ pinned, overlay }) => ({ verb: "run", pinned, root: { kind: "overlay", ...overlay } }),
  },
  {
    name: "domainname",
    hosts: ["debian12"],
    config: (place) => ({ ...base, hostname: "a-host", domainname: "a.domain", linux: single(place) }),
  },

  // ---- file systems
  {
    name: "readonly-root",
    hosts: ["debian12"],
    config: (place) => ({ ...base, root: { path: "rootfs", readonly: true }, linux: single(place) }),
  },
  ...(["shared", "slave", "unbindable"] as const).map(
    (rootfsPropagation): Case => ({
      name: `propagation-${rootfsPropagation}`,
      hosts: ["debian12"],
      config: (place) => ({ ...base, linux: { ...single(place), rootfsPropagation } }),
    }),
  ),
  {
    name: "mounts",
    hosts: ["debian12"],
    config: (place) => ({
      ...base,
      mounts: [
        ...mounts,
        { destination: "/data", source: place.directory, options: ["rbind", "rprivate", "nosuid", "nodev", "noexec"] },
        { destination: "/ro", type: "bind", source: place.directory, options: ["bind", "ro", "nosymfollow"] },
        { destination: "/rro", type: "bind", source: place.directory, options: ["rbind", "rro", "rnosuid", "slave"] },
        { destination: "/etc/file", type: "bind", source: place.file, options: ["bind", "ro", "sync"] },
        { destination: "relative//./dir", type: "tmpfs", source: "tmpfs", options: ["ro", "size=1m", "mode=0700", "nr_inodes=32"] },
        { destination: "/rw", type: "tmpfs", options: ["ro", "rw", "noatime", "relatime", "defaults", "_netdev"] },
        { destination: "/ramfs", type: "ramfs", source: "ramfs", options: ["private"] },
      ],
      linux: single(place),
    }),
  },
  {
    name: "mounts-times",
    hosts: ["debian12"],
    notHere: "a user namespace may not change how a mount of the host keeps access times",
    config: (place) => ({
      ...base,
      mounts: [
        ...mounts,
        { destination: "/data", source: place.directory, options: ["rbind", "noatime", "nodiratime"] },
        { destination: "/strict", source: place.directory, options: ["rbind", "rstrictatime", "dev", "suid", "exec"] },
        { destination: "/norelatime", source: place.directory, options: ["bind", "norelatime", "diratime"] },
      ],
      linux: single(place),
    }),
  },
  {
    name: "mounts-refused",
    hosts: ["debian12"],
    config: (place) => ({
      ...base,
      mounts: [
        ...mounts,
        { destination: "/", type: "tmpfs", source: "tmpfs" },
        { destination: "/a/../b", type: "tmpfs", source: "tmpfs" },
        { destination: "/proc/sys", type: "proc", source: "proc" },
        { destination: "/y", type: "bind", source: place.directory, options: ["bind", "size=1m", "idmap"] },
        { destination: "/z", source: "nothing" },
        {
          destination: "/t",
          type: "tmpfs",
          source: "tmpfs",
          options: ["tmpcopyup", "remount"],
          uidMappings: [one(0, 0)],
          gidMappings: [one(0, 0)],
        },
      ],
      linux: single(place),
    }),
  },
  {
    name: "dev-bound",
    hosts: ["debian12"],
    config: (place) => ({
      ...base,
      mounts: [mounts[0], { destination: "/dev", type: "bind", source: "/dev", options: ["rbind"] }],
      linux: single(place),
    }),
  },
  {
    name: "devices",
    hosts: ["debian12", "root"],
    config: (place) => ({
      ...base,
      linux: {
        ...(place.facts.self.uid === 0 ? { namespaces: namespaces(...OWN) } : single(place)),
        devices: [
          { type: "c", path: "/dev/fuse", major: 10, minor: 229, fileMode: 0o666, uid: 0, gid: 0 },
          { type: "c", path: "/dev/null", major: 1, minor: 3 },
        ],
      },
    }),
  },
  {
    name: "device-fifo",
    hosts: ["debian12"],
    config: (place) => ({ ...base, linux: { ...single(place), devices: [{ type: "p", path: "/dev/pipe" }] } }),
  },
  {
    name: "masked",
    hosts: ["debian12"],
    config: (place) => ({
      ...base,
      linux: { ...single(place), maskedPaths: ["/proc/kcore", "/sys/firmware", "/nothing"], readonlyPaths: ["/proc/sys", "/nothing"] },
    }),
  },

  // ---- the process
  {
    name: "sysctl",
    hosts: ["debian12"],
    config: (place) => ({ ...base, linux: { ...single(place), sysctl: { "net.ipv4.ip_forward": "1", "kernel.shm_rmid_forced": "1" } } }),
  },
  {
    name: "process-settings",
    hosts: ["debian12", "root"],
    config: (place) => ({
      ...base,
      process: {
        ...process,
        cwd: "/tmp/deep/er",
        oomScoreAdj: 200,
        args: ["hello", "exit", "0", "two words", "", "'quoted'"],
        user: { uid: 0, gid: 0, umask: 63 },
        rlimits: [
          { type: "RLIMIT_NOFILE", soft: 64, hard: 128 },
          { type: "RLIMIT_CORE", soft: 0, hard: 0 },
          { type: "RLIMIT_STACK", soft: 8388608, hard: 18446744073709551615n },
        ],
        capabilities: {
          bounding: CAPS,
          effective: ["CAP_CHOWN"],
          permitted: CAPS,
          inheritable: ["CAP_CHOWN", "CAP_KILL"],
          ambient: ["CAP_KILL"],
        },
      },
      linux: single(place),
    }),
  },
  {
    name: "user",
    hosts: ["debian12"],
    config: (place) => ({
      ...base,
      process: { ...process, user: { uid: 1000, gid: 1000, additionalGids: [5, 44, 1000] } },
      linux: full(place),
    }),
  },
  {
    name: "user-groups-denied",
    hosts: ["debian12", "no-subuid"],
    config: (place) => ({ ...base, process: { ...process, user: { uid: 0, gid: 0, additionalGids: [5] } }, linux: single(place) }),
  },
  {
    name: "own-id",
    hosts: ["debian12"],
    config: (place) => ({
      ...base,
      process: { ...process, user: { uid: 1000, gid: 1000 }, capabilities: {} },
      linux: { ...single(place), uidMappings: [one(1000, place.facts.self.uid)], gidMappings: [one(1000, place.facts.self.gid)] },
    }),
  },
  {
    name: "not-yet",
    hosts: ["debian12"],
    config: (place) => ({
      ...base,
      process: {
        ...process,
        scheduler: { policy: "SCHED_BATCH" },
        ioPriority: { class: "IOPRIO_CLASS_BE", priority: 4 },
        apparmorProfile: "profile",
      },
      linux: { ...single(place), netDevices: { eth0: { name: "e" } }, personality: { domain: "LINUX32" }, intelRdt: { closID: "x" } },
    }),
  },
];

/** A golden plan's place: nothing of it exists. */
export const placeOn = (facts: Facts): Place => ({
  facts,
  bundle: "/bundle",
  stateDir: `/run/user/${facts.self.uid}/coracle/box`,
  hook: "/usr/bin/hook",
  file: "/srv/file",
  directory: "/srv/directory",
  socket: "/run/console.sock",
  pidFile: "/run/box.pid",
  namespace: (type) => `/proc/4321/ns/${type === "network" ? "net" : type}`,
  pinned: {
    path: "/proc/1234/ns/user",
    inode: 4026532000,
    setgroups: true,
    uidMap: [
      { inside: 0, outside: 1000, count: 1 },
      { inside: 1, outside: 100000, count: 65536 },
    ],
    gidMap: [
      { inside: 0, outside: 1000, count: 1 },
      { inside: 1, outside: 100000, count: 65536 },
    ],
  },
  overlay: { dir: "/data/snapshots", data: "userxattr,lowerdir=2/fs:1/fs,upperdir=3/fs,workdir=3/work", target: "3/root" },
});

/** A case's config, read as the product reads it. @throws Fault where the schema or its rules refuse it. */
export const configOf = ({ config }: Case, place: Place): Config => {
  const parsed = parseConfig(stringifyJson(config(place)));
  if (parsed.config === null) throw new Fault("E_CONFIG", { message: "config.json has issues", issues: parsed.issues });
  return parsed.config;
};

const filterOf = (facts: Facts): StartInput["seccomp"] => {
  const policy = buildDefaultSeccomp(CAPS, facts.arch, facts.kernel);
  const compiled = compileSeccomp(policy, { arch: facts.arch, kernel: facts.kernel });
  if ("issues" in compiled) throw new Error(compiled.issues.map(({ message }) => message).join());
  return { filter: compiled.filter, flags: compiled.flags };
};

/** What the planner is given for a case. */
export const inputOf = (one: Case, place: Place): StartInput => ({
  verb: "create",
  id: place.stateDir.slice(place.stateDir.lastIndexOf("/") + 1),
  config: configOf(one, place),
  facts: place.facts,
  stateDir: place.stateDir,
  bundle: place.bundle,
  root: { kind: "bind", path: `${place.bundle}/rootfs` },
  pinned: null,
  pidFile: null,
  consoleSocket: null,
  preserveFds: 0,
  cgroupManager: "auto",
  limits: "enforce",
  newKeyring: true,
  keep: false,
  storeVerbs: true,
  release: [],
  seccomp: one.seccomp === true ? filterOf(place.facts) : null,
  created: "2026-01-02T03:04:05Z",
  ...one.input?.(place),
});

/** A start, or the fault that refuses it. Any other exception is a defect, and goes on. */
export const planOf = (one: Case, place: Place): Start | Fault => {
  try {
    return buildStart(inputOf(one, place));
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
};
