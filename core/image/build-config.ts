/**
 * Image config + run options → config.json (OCI runtime specification), with Docker's defaults.
 *
 * Where the two differ it is because Coracle runs without root, and each such place says so:
 *   - every container has a user namespace; device nodes are bound in, since nobody may make them there;
 *   - there is no default device cgroup: an unprivileged user can have none, and needs none, for mknod is refused;
 *   - what a container shares with the host (`--pid`, `--ipc`, `--network host`) is bound in, for a file system of a
 *     namespace can be mounted by its owner only.
 */
import type { Facts } from "#core/facts";
import { Fault } from "#core/fault";
import { cleanPath, type UserMount } from "#core/run-mounts";
import { type Limits, normalizeSignal, type RunOptions } from "#core/run-options";
import { CAPABILITIES } from "#core/spec/check";
import {
  type Config,
  type IdMapping,
  type Linux,
  type Mount,
  type Namespace,
  OCI_VERSION,
  type Resources,
  type Seccomp,
} from "#core/spec/config";
import type { Int64 } from "#core/spec/fields";
import type { RunConfig } from "#core/spec/image";
import { exact } from "#core/units";
import { readSeccompProfile } from "./seccomp-profile.ts";
import { resolveUser, type UserFiles } from "./user.ts";

/** Docker's fourteen (moby, daemon/pkg/oci/caps/defaults.go). */
export const DEFAULT_CAPABILITIES: readonly string[] = [
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_FSETID",
  "CAP_FOWNER",
  "CAP_MKNOD",
  "CAP_NET_RAW",
  "CAP_SETGID",
  "CAP_SETUID",
  "CAP_SETFCAP",
  "CAP_SETPCAP",
  "CAP_NET_BIND_SERVICE",
  "CAP_SYS_CHROOT",
  "CAP_KILL",
  "CAP_AUDIT_WRITE",
];

/** Docker's masked paths (moby, daemon/pkg/oci/defaults.go, 2026-08). /proc/interrupts: GHSA-6fw5-f8r9-fgfm; powercap: GHSA-jq35-85cj-fj4p (CVE-2020-8694). */
export const DEFAULT_MASKED_PATHS: readonly string[] = [
  "/proc/acpi",
  "/proc/asound",
  "/proc/interrupts",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/sys/devices/virtual/powercap",
  "/sys/firmware",
];

export const DEFAULT_READONLY_PATHS: readonly string[] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

export const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const DEFAULT_SHM_SIZE = 64 * 1024 * 1024;

/** Makes Docker's default filter for a set of capabilities (`core/seccomp/default-policy.ts`). */
export type BuildSeccomp = (capabilities: readonly string[], arch: string, kernel: Facts["kernel"]) => Seccomp;

/** What config.json needs beside the image and the options. */
export type ConfigContext = {
  readonly facts: Pick<Facts, "arch" | "kernel" | "hostname" | "lsm" | "seccomp">;
  /** The container's id; its first 12 characters are the default host name. */
  readonly id: string;
  /** The root file system: absolute, or relative to the bundle. */
  readonly rootfs: string;
  /** The image's own /etc/passwd and /etc/group. */
  readonly users: UserFiles;
  /** The user namespace: ids by which it is made, or its path, if one is joined. The mappings then describe it, and are not written. */
  readonly ids: { readonly uid: readonly IdMapping[]; readonly gid: readonly IdMapping[]; readonly path: string | null };
  readonly defaultSeccomp: BuildSeccomp;
  /** Relative to the delegated cgroup, or as the cgroup driver understands it; null: the driver's choice. */
  readonly cgroupsPath: string | null;
  /** A static init on the host for `--init`; null where there is none. */
  readonly initPath: string | null;
  /** Numbers of the device nodes that `limitedDevices(options)` names. */
  readonly devices: Readonly<Record<string, { readonly major: number; readonly minor: number }>>;
  /** Files that the caller made for this container, by their path inside: /etc/hosts, /etc/hostname, /etc/resolv.conf. */
  readonly files: Readonly<Record<string, string>>;
  /** Whether the host has /dev/mqueue, to be bound in with `--ipc host`. */
  readonly hostMqueue: boolean;
  /** Further paths to mask that exist on this host only: /sys/devices/system/cpu/cpu<N>/thermal_throttle (GHSA-6fw5-f8r9-fgfm). */
  readonly maskedPaths: readonly string[];
};

const usage = (message: string, hint: string): Fault => new Fault("E_USAGE", { message, hint });
const unsupported = (message: string, hint: string): Fault => new Fault("E_UNSUPPORTED", { message, hint });

// --- process -------------------------------------------------------------------------------------------------------

/**
 * The command: entry point and arguments (docker's rules). `--entrypoint` drops the image's Cmd; arguments replace it.
 * @throws Fault E_USAGE where nothing is left to run.
 */
export const resolveArgs = (image: RunConfig, options: Pick<RunOptions, "entrypoint" | "args">): string[] => {
  const entrypoint = options.entrypoint ?? image.Entrypoint ?? [];
  const command = options.args.length > 0 || options.entrypoint !== null ? options.args : (image.Cmd ?? []);
  // Docker: an entry point of one empty string is none.
  const args = [...(entrypoint.length === 1 && entrypoint[0] === "" ? [] : entrypoint), ...command];
  if (args.length === 0) {
    throw usage("no command is given, and the image has none", "write the command behind the image");
  }
  if (args[0] === "") throw usage("the command is an empty text", "write the program to run");
  return args;
};

const variableName = (entry: string): string => entry.split("=", 1)[0] ?? "";

/**
 * The environment in docker's order: defaults, then what the user set, then what is left of the image's. A user's bare
 * `NAME` removes the variable. Later entries of one name win, in place of the first.
 */
export const resolveEnv = (image: RunConfig, options: Pick<RunOptions, "env" | "tty">, hostname: string, home: string): string[] => {
  const merged = new Map<string, string>([["PATH", `PATH=${DEFAULT_PATH}`]]);
  merged.set("HOSTNAME", `HOSTNAME=${hostname}`);
  if (options.tty) merged.set("TERM", "TERM=xterm");
  const users = new Set(options.env.map(variableName));
  for (const entry of options.env) {
    if (entry.includes("=")) merged.set(variableName(entry), entry);
    else merged.delete(entry);
  }
  // What an image has that is no variable is dropped, as docker does: a bare name, an empty one.
  for (const entry of image.Env ?? [])
    if (entry.indexOf("=") > 0 && !users.has(variableName(entry))) merged.set(variableName(entry), entry);
  if (!merged.has("HOME") && !options.env.includes("HOME")) merged.set("HOME", `HOME=${home}`);
  return [...merged.values()];
};

/** The image's labels, and the user's over them. They are not annotations: a label of an image must not steer a runtime. */
export const resolveLabels = (image: RunConfig, options: Pick<RunOptions, "labels">): Record<string, string> => ({
  ...(image.Labels ?? {}),
  ...options.labels,
});

/** The signal that stops the container: the user's, the image's, or SIGTERM. @throws Fault E_USAGE for an image's nonsense. */
export const resolveStopSignal = (image: RunConfig, options: Pick<RunOptions, "stopSignal">): string =>
  options.stopSignal ?? (image.StopSignal ? normalizeSignal(image.StopSignal, "the image's StopSignal") : "SIGTERM");

/**
 * The capabilities of a container, in the order of the kernel's numbers. Adding wins over `--cap-drop ALL`, dropping a
 * name wins over `--cap-add ALL`. `--privileged` starts from all; unlike docker, `--cap-drop` still counts there.
 */
export const resolveCapabilities = (options: Pick<RunOptions, "privileged" | "capAdd" | "capDrop">): string[] => {
  const { capAdd: add, capDrop: drop } = options;
  const base = options.privileged || add.includes("ALL") ? CAPABILITIES : drop.includes("ALL") ? [] : DEFAULT_CAPABILITIES;
  const dropsAll = drop.includes("ALL") && !add.includes("ALL");
  const kept = new Set<string>([
    ...(dropsAll ? [] : base.filter((c) => !drop.includes(c))),
    ...add.filter((c) => c !== "ALL" && !(add.includes("ALL") && drop.includes(c))),
  ]);
  return CAPABILITIES.filter((c) => kept.has(c));
};

// --- mounts --------------------------------------------------------------------------------------------------------

const hostBind = (path: string, ...options: readonly string[]): Mount => ({
  destination: path,
  type: "bind",
  source: path,
  options: ["rbind", "rprivate", "nosuid", "noexec", "nodev", ...options],
});

const isMapped = (id: number, mappings: readonly IdMapping[]): boolean =>
  mappings.some((m) => id >= m.containerID && id < m.containerID + m.size);

/** What every container has, in the order in which it is mounted. */
const systemMounts = (options: RunOptions, context: ConfigContext): Mount[] => {
  const writable = options.privileged ? [] : ["ro"];
  const mounts: Mount[] = [
    options.pid === "host"
      ? hostBind("/proc")
      : { destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"] },
    { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "strictatime", "mode=755", "size=65536k"] },
    // gid 5 is tty; devpts refuses a gid that the user namespace does not map (EINVAL).
    {
      destination: "/dev/pts",
      type: "devpts",
      source: "devpts",
      options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", ...(isMapped(5, context.ids.gid) ? ["gid=5"] : [])],
    },
    // The recursive read-only keeps the host's submounts (debugfs, cgroup, …) read-only, too.
    options.network === "host"
      ? hostBind("/sys", ...(options.privileged ? [] : ["rro"]))
      : { destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid", "noexec", "nodev", ...writable] },
    { destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: [...writable, "nosuid", "noexec", "nodev"] },
  ];
  if (options.ipc === "host") return [...mounts, ...(context.hostMqueue ? [hostBind("/dev/mqueue")] : []), hostBind("/dev/shm")];
  mounts.push({ destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: ["nosuid", "noexec", "nodev"] });
  if (options.ipc === "private") {
    mounts.push({
      destination: "/dev/shm",
      type: "tmpfs",
      source: "shm",
      options: ["nosuid", "noexec", "nodev", "mode=1777", `size=${options.shmSize ?? DEFAULT_SHM_SIZE}`],
    });
  }
  return mounts;
};

const userMount = (mount: UserMount): Mount => {
  if (mount.type === "tmpfs") return { destination: mount.destination, type: "tmpfs", source: "tmpfs", options: [...mount.options] };
  const access = !mount.readOnly ? [] : [mount.submounts === "all" ? "rro" : "ro"];
  return {
    destination: mount.destination,
    type: "bind",
    source: mount.source,
    options: [mount.submounts === "none" ? "bind" : "rbind", ...access, mount.propagation],
  };
};

const INIT_PATH = "/sbin/coracle-init";

const buildMounts = (options: RunOptions, context: ConfigContext): Mount[] => {
  const asked = [
    ...options.mounts.map(userMount),
    ...options.devices.map(
      (d): Mount => ({ destination: d.destination, type: "bind", source: d.source, options: ["rbind", "rprivate", "nosuid", "noexec"] }),
    ),
  ];
  const targets = new Set(asked.map((m) => m.destination));
  const prepared = Object.entries(context.files)
    .filter(([destination]) => !targets.has(destination))
    .map(([destination, source]): Mount => ({ destination, type: "bind", source, options: ["rbind", "rprivate"] }));
  if (options.init && options.pid === "private") {
    if (context.initPath === null)
      throw unsupported("--init: there is no init to run", "leave it out, or use an image with an init of its own");
    prepared.push({ destination: INIT_PATH, type: "bind", source: context.initPath, options: ["bind", "ro", "rprivate"] });
  }
  // Outer mounts first, so that none hides another (docker sorts by the number of parts).
  const depth = (m: Mount): number => m.destination.split("/").length;
  const system = systemMounts(options, context).filter(
    (m) => !targets.has(m.destination) && !(targets.has("/dev") && m.destination.startsWith("/dev/")),
  );
  const inner = [...prepared, ...asked].sort((a, b) => depth(a) - depth(b));
  if (!options.readOnly) return [...system, ...inner];
  // With --read-only, what docker leaves writable stays writable.
  const open = ["/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", ...targets];
  return [...system, ...inner].map((m) =>
    open.includes(m.destination) || (m.options ?? []).some((o) => o === "ro" || o === "rro")
      ? m
      : { ...m, options: [...(m.options ?? []), "ro"] },
  );
};

// --- limits --------------------------------------------------------------------------------------------------------

/** An object without its null members, or undefined where nothing is left. */
const compact = <T extends object>(object: { readonly [K in keyof T]: T[K] | null }): Partial<T> | undefined => {
  const result: Partial<T> = {};
  let any = false;
  for (const key in object) {
    const value = object[key];
    if (value === null) continue;
    result[key] = value;
    any = true;
  }
  return any ? result : undefined;
};

type Memory = NonNullable<Resources["memory"]>;
type Cpu = NonNullable<Resources["cpu"]>;
type BlockIo = NonNullable<Resources["blockIO"]>;

const buildResources = (limits: Limits, devices: ConfigContext["devices"]): Resources | undefined => {
  const numbers = (path: string): { major: number; minor: number } => {
    const found = devices[path];
    if (found === undefined) throw usage(`no such device on the host: ${path}`, "name a device node of the host");
    return { major: found.major, minor: found.minor };
  };
  const throttle = (entries: Limits["deviceReadBps"]): { major: Int64; minor: Int64; rate: Int64 }[] | null =>
    entries.length === 0 ? null : entries.map(({ path, rate }) => ({ ...numbers(path), rate }));
  // As docker: swap as large as the memory, unless said otherwise; -1 is what a new cgroup has anyway.
  const swap = limits.memorySwap ?? (limits.memory === null ? null : exact(BigInt(limits.memory) * 2n));
  const memory = compact<Required<Pick<Memory, "limit" | "reservation" | "swap" | "swappiness" | "disableOOMKiller">>>({
    limit: limits.memory,
    reservation: limits.memoryReservation,
    swap: swap !== null && swap > 0 ? (swap > 2n ** 63n - 1n ? exact(2n ** 63n - 1n) : swap) : null,
    swappiness: limits.swappiness,
    disableOOMKiller: limits.oomKillDisable ? true : null,
  });
  // 100 ms is the kernel's default period; whole microseconds (docker truncates, too).
  const fromCpus = limits.nanoCpus === null ? null : exact((BigInt(limits.nanoCpus) * 100_000n) / 1_000_000_000n);
  const cpu = compact<Required<Pick<Cpu, "shares" | "quota" | "period" | "realtimePeriod" | "realtimeRuntime" | "cpus" | "mems">>>({
    shares: limits.cpuShares,
    quota: fromCpus ?? limits.cpuQuota,
    period: fromCpus === null ? limits.cpuPeriod : 100_000,
    realtimePeriod: limits.cpuRealtimePeriod,
    realtimeRuntime: limits.cpuRealtimeRuntime,
    cpus: limits.cpusetCpus,
    mems: limits.cpusetMems,
  });
  const blockIO = compact<Required<Omit<BlockIo, "leafWeight">>>({
    weight: limits.blkioWeight,
    weightDevice:
      limits.blkioWeightDevices.length === 0 ? null : limits.blkioWeightDevices.map(({ path, weight }) => ({ ...numbers(path), weight })),
    throttleReadBpsDevice: throttle(limits.deviceReadBps) ?? null,
    throttleWriteBpsDevice: throttle(limits.deviceWriteBps) ?? null,
    throttleReadIOPSDevice: throttle(limits.deviceReadIops) ?? null,
    throttleWriteIOPSDevice: throttle(limits.deviceWriteIops) ?? null,
  });
  // -1 (unlimited) is what a new cgroup has: writing it would demand a controller for nothing.
  const pids = limits.pids !== null && limits.pids > 0 ? { limit: limits.pids } : undefined;
  return compact<Required<Pick<Resources, "memory" | "cpu" | "blockIO" | "pids">>>({
    memory: memory ?? null,
    cpu: cpu ?? null,
    blockIO: blockIO ?? null,
    pids: pids ?? null,
  });
};

// --- security ------------------------------------------------------------------------------------------------------

const covers = (pattern: string, path: string): boolean =>
  pattern === "ALL" || pattern === path || (pattern.endsWith("/*") && path.startsWith(pattern.slice(0, -1)));

const buildPaths = (options: RunOptions, context: ConfigContext): Pick<Linux, "maskedPaths" | "readonlyPaths"> => {
  const { mask, unmask } = options.security;
  const shown = (path: string): boolean => options.privileged || unmask.some((pattern) => covers(pattern, path));
  // With the host's /proc bound in, its submounts make each read-only bind below it fail; the kernel guards these paths from a user, anyway (as docker's rootless mode).
  const readonlyPaths = DEFAULT_READONLY_PATHS.filter((p) => !shown(p) && !(options.pid === "host" && p.startsWith("/proc/")));
  const maskedPaths = [...new Set([...[...DEFAULT_MASKED_PATHS, ...context.maskedPaths].filter((p) => !shown(p)), ...mask])];
  return { ...(maskedPaths.length === 0 ? {} : { maskedPaths }), ...(readonlyPaths.length === 0 ? {} : { readonlyPaths }) };
};

const buildSeccomp = (options: RunOptions, capabilities: readonly string[], { facts, defaultSeccomp }: ConfigContext): Seccomp | null => {
  const { seccomp } = options.security;
  if (seccomp.kind === "profile")
    return readSeccompProfile(seccomp.path, seccomp.text, { capabilities, arch: facts.arch, kernel: facts.kernel });
  if (seccomp.kind === "unconfined" || options.privileged) return null;
  if (!facts.seccomp.filter) throw unsupported("this kernel has no seccomp filters", "--security-opt seccomp=unconfined runs without one");
  return defaultSeccomp(capabilities, facts.arch, facts.kernel);
};

const checkLabels = (options: RunOptions, { facts }: ConfigContext): { apparmorProfile?: string } => {
  const selinux = facts.lsm.active.includes("selinux");
  const label = options.security.labels.find((l) => l !== "disable");
  if (label !== undefined)
    throw unsupported(`--security-opt label=${label}: SELinux labels are not supported yet`, "leave it out, or use label=disable");
  const relabel = options.mounts.find((m) => m.type === "bind" && m.relabel);
  if (selinux && relabel !== undefined)
    throw unsupported(
      `--volume …:${relabel.destination}:z: relabelling is not supported yet`,
      "label the source with chcon -t container_file_t, and leave z and Z out",
    );
  const { apparmor } = options.security;
  if (apparmor === null || apparmor === "unconfined") return {};
  if (!facts.lsm.active.includes("apparmor"))
    throw unsupported(`--security-opt apparmor=${apparmor}: AppArmor is not active on this host`, "leave it out");
  return { apparmorProfile: apparmor };
};

const buildNamespaces = (options: RunOptions, ids: ConfigContext["ids"]): Namespace[] => {
  const namespaces: Namespace[] = [ids.path === null ? { type: "user" } : { type: "user", path: ids.path }, { type: "mount" }];
  if (options.pid === "private") namespaces.push({ type: "pid" });
  if (options.network !== "host") namespaces.push({ type: "network" });
  if (options.ipc !== "host") namespaces.push({ type: "ipc" });
  if (options.uts === "private") namespaces.push({ type: "uts" });
  if (options.cgroupns === "private") namespaces.push({ type: "cgroup" });
  return namespaces;
};

const copyMappings = (mappings: readonly IdMapping[]): IdMapping[] => mappings.map((m) => ({ ...m }));

/**
 * Builds config.json.
 *
 * @param image the image config's `config` member; null or absent: an image without defaults.
 * @throws Fault E_USAGE (nothing to run, a bad working directory), E_USER, E_UNSUPPORTED.
 */
export const buildConfig = (image: RunConfig | null | undefined, options: RunOptions, context: ConfigContext): Config => {
  const defaults = image ?? {};
  const { ids, facts } = context;
  const cwd = options.workdir ?? (defaults.WorkingDir || "/");
  if (!cwd.startsWith("/")) throw usage(`the image's working directory "${cwd}" is not an absolute path`, "name one with --workdir");

  const user = resolveUser(options.user ?? defaults.User ?? "", options.groupAdd, context.users);
  for (const [what, id, mappings] of [
    ["uid", user.uid, ids.uid],
    ...user.additionalGids.map((gid) => ["gid", gid, ids.gid] as const),
  ] as const) {
    if (!isMapped(id, mappings)) {
      throw new Fault("E_SUBID", {
        message: `the container's ${what} ${id} is not among the ids that this user may use`,
        why: `mapped: ${mappings.map((m) => (m.size === 1 ? `${m.containerID}` : `${m.containerID}-${m.containerID + m.size - 1}`)).join(", ")}`,
        hint: "run as --user 0:0, or have an administrator grant more in /etc/subuid and /etc/subgid",
      });
    }
  }

  const hostname = options.uts === "host" ? null : (options.hostname ?? context.id.slice(0, 12));
  const command = resolveArgs(defaults, options);
  const capabilities = resolveCapabilities(options);
  const seccomp = buildSeccomp(options, capabilities, context);
  const resources = buildResources(options.limits, context.devices);
  const stopSignal = options.stopSignal ?? defaults.StopSignal;
  const sysctl = {
    // As docker: a network of its own has no other user to protect from low ports.
    ...(options.network === "host" ? {} : { "net.ipv4.ip_unprivileged_port_start": "0" }),
    ...options.sysctls,
  };
  const annotations = {
    // image-spec, conversion.md: the one property that config.json has no other place for.
    ...(stopSignal ? { "org.opencontainers.image.stopSignal": resolveStopSignal(defaults, options) } : {}),
    ...options.annotations,
  };

  return {
    ociVersion: OCI_VERSION,
    root: { path: context.rootfs, readonly: options.readOnly },
    process: {
      terminal: options.tty,
      cwd: cleanPath(cwd),
      env: resolveEnv(defaults, options, hostname ?? facts.hostname, user.home),
      args: options.init && options.pid === "private" ? [INIT_PATH, "--", ...command] : command,
      user: { uid: user.uid, gid: user.gid, additionalGids: [...user.additionalGids] },
      capabilities: { bounding: [...capabilities], effective: [...capabilities], permitted: [...capabilities] },
      noNewPrivileges: options.security.noNewPrivileges,
      ...(options.ulimits.length === 0 ? {} : { rlimits: options.ulimits.map((u) => ({ ...u })) }),
      ...(options.oomScoreAdj === null ? {} : { oomScoreAdj: options.oomScoreAdj }),
      ...checkLabels(options, context),
    },
    ...(hostname === null ? {} : { hostname }),
    ...(options.domainname === null ? {} : { domainname: options.domainname }),
    mounts: buildMounts(options, context),
    ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
    linux: {
      namespaces: buildNamespaces(options, ids),
      ...(ids.path === null ? { uidMappings: copyMappings(ids.uid), gidMappings: copyMappings(ids.gid) } : {}),
      ...(context.cgroupsPath === null ? {} : { cgroupsPath: context.cgroupsPath }),
      ...(resources === undefined ? {} : { resources }),
      ...(options.mounts.some((m) => m.type === "bind" && m.propagation.endsWith("slave")) ? { rootfsPropagation: "slave" as const } : {}),
      ...(seccomp === null ? {} : { seccomp }),
      ...(Object.keys(sysctl).length === 0 ? {} : { sysctl }),
      ...buildPaths(options, context),
    },
  };
};
