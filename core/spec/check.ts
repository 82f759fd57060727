/**
 * What config.json's schema cannot say: values that the kernel or the specification refuses, and members that make no
 * sense without each other. First the rules for single values, then the rules that look at several.
 */

import { joinPointer } from "#core/json";
import { encodeUtf8 } from "#core/utf8";
import type { Config, IdMapping, Linux, NamespaceType, Process, Resources, Seccomp } from "./config.ts";
import { compareInt64, type Int64, isObject } from "./fields.ts";
import { describe, type Report, suggest } from "./issues.ts";

// capabilities(7) as of Linux 6.x; in the order of their numbers.
export const CAPABILITIES = [
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_DAC_READ_SEARCH",
  "CAP_FOWNER",
  "CAP_FSETID",
  "CAP_KILL",
  "CAP_SETGID",
  "CAP_SETUID",
  "CAP_SETPCAP",
  "CAP_LINUX_IMMUTABLE",
  "CAP_NET_BIND_SERVICE",
  "CAP_NET_BROADCAST",
  "CAP_NET_ADMIN",
  "CAP_NET_RAW",
  "CAP_IPC_LOCK",
  "CAP_IPC_OWNER",
  "CAP_SYS_MODULE",
  "CAP_SYS_RAWIO",
  "CAP_SYS_CHROOT",
  "CAP_SYS_PTRACE",
  "CAP_SYS_PACCT",
  "CAP_SYS_ADMIN",
  "CAP_SYS_BOOT",
  "CAP_SYS_NICE",
  "CAP_SYS_RESOURCE",
  "CAP_SYS_TIME",
  "CAP_SYS_TTY_CONFIG",
  "CAP_MKNOD",
  "CAP_LEASE",
  "CAP_AUDIT_WRITE",
  "CAP_AUDIT_CONTROL",
  "CAP_SETFCAP",
  "CAP_MAC_OVERRIDE",
  "CAP_MAC_ADMIN",
  "CAP_SYSLOG",
  "CAP_WAKE_ALARM",
  "CAP_BLOCK_SUSPEND",
  "CAP_AUDIT_READ",
  "CAP_PERFMON",
  "CAP_BPF",
  "CAP_CHECKPOINT_RESTORE",
] as const;

/** getrlimit(2)'s names, in the order of their numbers on every architecture that we build for. */
export const RLIMITS = [
  "RLIMIT_CPU",
  "RLIMIT_FSIZE",
  "RLIMIT_DATA",
  "RLIMIT_STACK",
  "RLIMIT_CORE",
  "RLIMIT_RSS",
  "RLIMIT_NPROC",
  "RLIMIT_NOFILE",
  "RLIMIT_MEMLOCK",
  "RLIMIT_AS",
  "RLIMIT_LOCKS",
  "RLIMIT_SIGPENDING",
  "RLIMIT_MSGQUEUE",
  "RLIMIT_NICE",
  "RLIMIT_RTPRIO",
  "RLIMIT_RTTIME",
] as const;

type Test = (value: unknown) => boolean;

const on =
  (test: (text: string) => boolean): Test =>
  (value) =>
    typeof value === "string" && test(value);
const between =
  (low: number, high: number): Test =>
  (value) =>
    (typeof value === "number" || typeof value === "bigint") && compareInt64(value, low) >= 0 && compareInt64(value, high) <= 0;

const isAbsolute = on((path) => path.startsWith("/"));
const isFilled = on((text) => text !== "");
const isVariable = on((entry) => entry.indexOf("=") > 0);
// The kernel's list format (bitmap_parselist): "0-3,8", also "0-31:2/4".
const isList = on((list) =>
  list.split(",").every((part) => {
    const [, low, high] = /^\s*(\d+)(?:-(\d+)(?::\d+\/\d+)?)?\s*$/.exec(part) ?? [];
    return low !== undefined && Number(low) <= Number(high ?? low);
  }),
);
const isListOrEmpty = on((list) => list === "" || isList(list));
// dev_valid_name(): shorter than IFNAMSIZ, no slash, colon or blank.
const isInterface = on((name) => /^[^/:\s]{1,15}$/.test(name) && name !== "." && name !== "..");

const ABSOLUTE = "an absolute path";
const VARIABLE = "a variable with a name and a value, NAME=value";
const INTERFACE = "an interface name of 1 to 15 characters";

/** What must hold of a value, what to say where it does not, and the remedy. */
type Rule = readonly [test: Test, expected: string, hint?: string];
/** Rules by member; `*` is any key or index. */
type Rules = { readonly [key: string]: Rule | Rules };

const absolute: Rule = [isAbsolute, ABSOLUTE];
const bytes: Rule = [between(-1, 2 ** 63), "bytes, or -1 for no limit"];
const weight: Rule = [(value) => value === 0 || between(10, 1000)(value), "a weight from 10 to 1000"];
const domain: Rule = [on((name) => encodeUtf8(name).length <= 64), "at most 64 bytes"];
const nodes: Rule = [isListOrEmpty, 'a list of nodes such as "0-1"'];
const cpus: Rule = [isListOrEmpty, 'a list of CPUs such as "0-3,7"'];
const hook: Rules = { path: [isAbsolute, ABSOLUTE, "hooks are not looked up in PATH"], env: { "*": [isVariable, VARIABLE] } };

const RULES: Rules = {
  root: { path: [isFilled, "the path of the root file system"] },
  process: {
    cwd: absolute,
    args: { 0: [isFilled, "the name of a program"] },
    env: { "*": [isVariable, VARIABLE] },
    user: { umask: [between(0, 0o777), "a umask from 0 to 511", "in decimal: 022 is 18"] },
    oomScoreAdj: [between(-1000, 1000), "a number from -1000 to 1000"],
    consoleSize: { "*": [between(0, 65535), "a number from 0 to 65535"] },
    ioPriority: { priority: [between(0, 7), "a priority from 0 (highest) to 7"] },
    scheduler: { nice: [between(-20, 19), "a number from -20 to 19"] },
    execCPUAffinity: { "*": cpus },
  },
  hostname: domain,
  domainname: domain,
  mounts: { "*": { destination: [isFilled, "a path in the container"] } },
  hooks: { "*": { "*": hook } },
  linux: {
    namespaces: { "*": { path: [isAbsolute, ABSOLUTE, "leave it out for a new namespace"] } },
    devices: { "*": { path: absolute } },
    maskedPaths: { "*": absolute },
    readonlyPaths: { "*": absolute },
    timeOffsets: { "*": { nanosecs: [between(0, 999_999_999), "less than a second: 0 to 999999999"] } },
    netDevices: { "*": { name: [isInterface, INTERFACE] } },
    intelRdt: { closID: [on((id) => /^[^/\n]+$/.test(id) && id !== "." && id !== ".."), "the name of one directory"] },
    memoryPolicy: { nodes },
    seccomp: {
      listenerPath: absolute,
      syscalls: { "*": { args: { "*": { index: [between(0, 5), "the index of an argument, 0 to 5"] } } } },
    },
    resources: {
      cpu: {
        cpus,
        mems: nodes,
        idle: [between(0, 1), "0 or 1"],
        period: [(value) => value === 0 || between(1000, 1_000_000)(value), "microseconds from 1000 to 1000000"],
        quota: [(value) => !between(1, 999)(value), "microseconds, 1000 or more, or -1 for no limit"],
      },
      memory: {
        limit: bytes,
        reservation: bytes,
        swap: [between(-1, 2 ** 63), "bytes of memory and swap together, or -1 for no limit"],
        swappiness: [between(0, 100), "a number from 0 to 100"],
      },
      blockIO: { weight, weightDevice: { "*": { weight } } },
      devices: {
        "*": {
          type: [on((type) => /^[abc]?$/.test(type)), 'one of "a", "b", "c"'],
          access: [on((access) => /^[rwm]*$/.test(access)), 'some of the letters in "rwm"'],
        },
      },
      network: { priorities: { "*": { name: [isInterface, INTERFACE] } } },
    },
  },
};

const isRule = (rule: Rule | Rules): rule is Rule => Array.isArray(rule);

const checkValues = (value: unknown, rules: Rules, { issue }: Report): void => {
  const trail: string[] = [];
  const visit = (here: unknown, rule: Rule | Rules): void => {
    if (here === undefined) return;
    if (isRule(rule)) {
      const [test, expected, hint] = rule;
      if (!test(here)) issue(joinPointer("", ...trail), `expected ${expected}, found ${describe(here)}`, hint);
    } else if (isObject(here) || Array.isArray(here)) {
      for (const [key, inner] of Object.entries(rule)) {
        for (const name of key === "*" ? Object.keys(here) : [key]) {
          trail.push(name);
          visit(Object.hasOwn(here, name) ? Reflect.get(here, name) : undefined, inner);
          trail.pop();
        }
      }
    }
  };
  visit(value, rules);
};

/** ociVersion is semver; the major version tells what is understood, a newer minor one what may be ignored (runc and crun alike). */
const checkVersion = (version: string, { issue, note }: Report): void => {
  const [, major, minor] = /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?$/.exec(version) ?? [];
  const hint = 'write "1.3.0"';
  if (major === undefined) issue("/ociVersion", `expected a version such as "1.3.0", found ${describe(version)}`, hint);
  else if (major !== "1") issue("/ociVersion", `expected a version 1.x of the specification, found ${describe(version)}`, hint);
  else if (Number(minor) > 3)
    note("/ociVersion", `${version} is newer than 1.3, which is what is known here: newer properties are ignored`);
};

export const checkProcess = (process: Process, { issue, note, known }: Report): void => {
  if ((process.args?.length ?? 0) === 0 && known("/process/args"))
    issue("/process/args", "expected a program and its arguments, found none");

  const seen = new Map<string, number>();
  for (const [i, { type, soft, hard }] of (process.rlimits ?? []).entries()) {
    const at = `/process/rlimits/${i}`;
    if (!RLIMITS.some((name) => name === type))
      issue(`${at}/type`, `expected the name of a resource limit, found ${describe(type)}`, suggest(type, RLIMITS));
    const first = seen.get(type);
    if (first !== undefined) issue(`${at}/type`, `${type} is set twice: first in /process/rlimits/${first}`);
    seen.set(type, first ?? i);
    if (compareInt64(soft, hard) > 0) issue(`${at}/soft`, `the soft limit ${soft} is above the hard limit ${hard}`);
  }

  const sets = process.capabilities ?? {};
  for (const [set, names] of Object.entries(sets)) {
    for (const [i, name] of (names ?? []).entries()) {
      if (CAPABILITIES.some((known) => known === name)) continue;
      const advice = suggest(name, CAPABILITIES);
      note(
        `/process/capabilities/${set}/${i}`,
        `${describe(name)} is no capability that is known here, and is left out${advice === undefined ? "" : `: ${advice}?`}`,
      );
    }
  }
  // capset(2) refuses an effective capability that is not permitted; an ambient one that is not both is merely lost.
  for (const [i, name] of (sets.effective ?? []).entries()) {
    if (!(sets.permitted ?? []).includes(name) && known("/process/capabilities/permitted")) {
      issue(`/process/capabilities/effective/${i}`, `${name} is not permitted, so it cannot be effective`, "add it to permitted");
    }
  }
  for (const [i, name] of (sets.ambient ?? []).entries()) {
    for (const set of ["permitted", "inheritable"] as const) {
      if (!(sets[set] ?? []).includes(name) && known(`/process/capabilities/${set}`))
        note(`/process/capabilities/ambient/${i}`, `${name} is not ${set}, so it cannot be ambient`);
    }
  }

  // sched_setattr(2), what each policy takes; runc has the same rules.
  const { policy, nice, priority, runtime, deadline, period } = process.scheduler ?? {};
  const at = "/process/scheduler";
  const realtime = policy === "SCHED_FIFO" || policy === "SCHED_RR";
  if (realtime && !between(1, 99)(priority))
    issue(`${at}/priority`, `expected a priority from 1 to 99 for ${policy}, found ${priority ?? "none"}`);
  if (policy !== undefined && !realtime && (priority ?? 0) !== 0)
    issue(`${at}/priority`, `${policy} takes no priority`, "SCHED_FIFO and SCHED_RR do");
  if (policy !== undefined && policy !== "SCHED_OTHER" && policy !== "SCHED_BATCH" && (nice ?? 0) !== 0)
    issue(`${at}/nice`, `${policy} takes no nice value`, "SCHED_OTHER and SCHED_BATCH do");
  if (policy === "SCHED_DEADLINE") {
    const end = deadline ?? 0;
    const whole = compareInt64(period ?? 0, 0) === 0 ? end : (period ?? 0);
    if (compareInt64(runtime ?? 0, 0) === 0 || compareInt64(runtime ?? 0, end) > 0 || compareInt64(end, whole) > 0)
      issue(at, "SCHED_DEADLINE needs 0 < runtime <= deadline <= period");
  } else {
    for (const [name, value] of Object.entries({ runtime, deadline, period })) {
      if (policy !== undefined && compareInt64(value ?? 0, 0) !== 0)
        issue(`${at}/${name}`, `${policy} takes no ${name}`, "SCHED_DEADLINE does");
    }
  }
};

const END_OF_IDS = 2 ** 32;

/** user_namespaces(7): each extent has a size, ends below 2^32 − 1, and overlaps no other on either side. */
const checkIdMap = (map: readonly IdMapping[] | undefined, pointer: string, { issue }: Report): void => {
  const entries = (map ?? []).map((extent, i) => ({ ...extent, at: joinPointer(pointer, i), i }));
  for (const { at, size, containerID, hostID } of entries) {
    if (size === 0) issue(`${at}/size`, "maps no id", "1 or more");
    // The last id, 2^32 − 1, means "no id" and cannot be mapped.
    for (const [side, start] of Object.entries({ containerID, hostID })) {
      if (start + size >= END_OF_IDS) issue(`${at}/${side}`, `the range of ${size} ids from ${start} does not end below 4294967295`);
    }
  }
  if (entries.length > 340) issue(pointer, `has ${entries.length} entries, where the kernel takes 340`);
  for (const side of ["containerID", "hostID"] as const) {
    const sorted = entries.filter(({ size }) => size > 0).sort((a, b) => a[side] - b[side] || a.i - b.i);
    for (const [n, entry] of sorted.entries()) {
      const before = sorted[n - 1];
      if (before !== undefined && entry[side] < before[side] + before.size)
        issue(`${entry.at}/${side}`, `overlaps ${before.at}: ${before.size} ids from ${before[side]}`);
    }
  }
};

const checkMounts = (config: Config, report: Report): void => {
  for (const [i, mount] of (config.mounts ?? []).entries()) {
    const at = `/mounts/${i}`;
    if (mount.destination !== "" && !mount.destination.startsWith("/")) {
      report.note(
        `${at}/destination`,
        `${describe(mount.destination)} is relative (deprecated since 1.2), and taken as /${mount.destination}`,
      );
    }
    const bind = mount.type === "bind" || (mount.options ?? []).some((option) => option === "bind" || option === "rbind");
    if (bind && (mount.source ?? "") === "") report.issue(`${at}/source`, "is required and missing: a bind mount needs the path to bind");
    const [uids, gids] = [mount.uidMappings?.length ?? 0, mount.gidMappings?.length ?? 0];
    if (uids > 0 !== gids > 0)
      report.issue(
        `${at}/${uids > 0 ? "gidMappings" : "uidMappings"}`,
        "is required and missing: an id-mapped mount maps users and groups",
      );
    // Such a mount without maps takes the container's.
    const mapped = (mount.options ?? []).find((option) => option === "idmap" || option === "ridmap");
    const shared = config.linux?.namespaces?.some(({ type }) => type === "user") === true || !report.known("/linux/namespaces");
    if (mapped !== undefined && uids + gids === 0 && !shared) {
      report.issue(`${at}/options`, `${mapped} needs uidMappings and gidMappings, or a user namespace whose mappings it takes`);
    }
    checkIdMap(mount.uidMappings, `${at}/uidMappings`, report);
    checkIdMap(mount.gidMappings, `${at}/gidMappings`, report);
  }
};

const needs = (type: NamespaceType): string => `needs ${type === "ipc" ? "an" : "a"} ${type} namespace: it would change the host's`;

/** Members that act on a namespace, and would act on the host's if the container had none of its own. */
const NEEDS: readonly (readonly [pointer: string, type: NamespaceType, used: (config: Config) => boolean])[] = [
  ["/hostname", "uts", ({ hostname }) => (hostname ?? "") !== ""],
  ["/domainname", "uts", ({ domainname }) => (domainname ?? "") !== ""],
  ["/linux/uidMappings", "user", ({ linux }) => (linux?.uidMappings?.length ?? 0) > 0],
  ["/linux/gidMappings", "user", ({ linux }) => (linux?.gidMappings?.length ?? 0) > 0],
  ["/linux/timeOffsets", "time", ({ linux }) => Object.keys(linux?.timeOffsets ?? {}).length > 0],
  ["/linux/netDevices", "network", ({ linux }) => Object.keys(linux?.netDevices ?? {}).length > 0],
  ["/linux/maskedPaths", "mount", ({ linux }) => (linux?.maskedPaths?.length ?? 0) > 0],
  ["/linux/readonlyPaths", "mount", ({ linux }) => (linux?.readonlyPaths?.length ?? 0) > 0],
];

const IPC_SYSCTLS =
  /^(fs\.mqueue\..+|kernel\.(msgmax|msgmnb|msgmni|sem|shmall|shmmax|shmmni|shm_rmid_forced|msg_next_id|sem_next_id|shm_next_id|auto_msgmni))$/;

/** The namespace that a sysctl belongs to; `null` where it is the whole machine's. `name` has dots between its parts. */
export const sysctlNamespace = (name: string): NamespaceType | null => {
  if (IPC_SYSCTLS.test(name)) return "ipc";
  if (name.startsWith("net.")) return "network";
  if (name === "kernel.hostname" || name === "kernel.domainname") return "uts";
  if (/^user\.max_[a-z_]+$/.test(name)) return "user";
  return null;
};

/**
 * A sysctl's name with dots between its parts. sysctl(8)'s rule: the first separator tells; after a slash, dots belong
 * to the parts (`net/ipv4/conf/eth0.1/forwarding`), so the two swap. `null` where a part is empty or walks up.
 */
export const sysctlParts = (name: string): readonly string[] | null => {
  const slash = name.indexOf("/");
  const dot = name.indexOf(".");
  const slashed = slash !== -1 && (dot === -1 || slash < dot);
  const parts = slashed ? name.split("/") : name.split(".").map((part) => part.replaceAll("/", "."));
  return parts.length > 1 && parts.every((part) => part !== "" && part !== "." && part !== "..") ? parts : null;
};

const checkNamespaces = (config: Config, linux: Linux, report: Report): void => {
  const { issue, known } = report;
  const seen = new Map<NamespaceType, number>();
  for (const [i, { type }] of (linux.namespaces ?? []).entries()) {
    const first = seen.get(type);
    if (first !== undefined)
      issue(`/linux/namespaces/${i}/type`, `the ${type} namespace is listed twice: first in /linux/namespaces/${first}`);
    seen.set(type, first ?? i);
  }
  if (known("/linux/namespaces")) {
    for (const [pointer, type, used] of NEEDS) {
      if (used(config) && !seen.has(type)) issue(pointer, needs(type), `add {"type": "${type}"} to /linux/namespaces`);
    }
  }
  for (const name of Object.keys(linux.sysctl ?? {})) {
    const pointer = joinPointer("/linux/sysctl", name);
    const parts = sysctlParts(name);
    const type = parts === null ? null : sysctlNamespace(parts.join("."));
    if (parts === null) issue(pointer, 'expected the name of a sysctl, such as "net.ipv4.ip_forward"');
    else if (type === null) issue(pointer, "belongs to no namespace: it would change the whole host", "set it on the host, with sysctl(8)");
    else if (!seen.has(type) && known("/linux/namespaces")) issue(pointer, needs(type), `add {"type": "${type}"} to /linux/namespaces`);
  }
  checkIdMap(linux.uidMappings, "/linux/uidMappings", report);
  checkIdMap(linux.gidMappings, "/linux/gidMappings", report);
};

const checkSeccomp = (seccomp: Seccomp, { issue, known }: Report): void => {
  const at = "/linux/seccomp";
  const takesErrno = (action: string): boolean => action === "SCMP_ACT_ERRNO" || action === "SCMP_ACT_TRACE";
  const errnoHint = "SCMP_ACT_ERRNO and SCMP_ACT_TRACE do";
  if (seccomp.defaultErrnoRet !== undefined && !takesErrno(seccomp.defaultAction))
    issue(`${at}/defaultErrnoRet`, `${seccomp.defaultAction} returns no errno`, errnoHint);
  // The program that supplies the listener would itself be stopped before it could hand it over (seccomp_unotify(2)).
  if (seccomp.defaultAction === "SCMP_ACT_NOTIFY")
    issue(`${at}/defaultAction`, "SCMP_ACT_NOTIFY cannot be the default: the runtime's own calls would wait for the agent");
  let notifies = false;
  for (const [i, call] of (seccomp.syscalls ?? []).entries()) {
    if (call.errnoRet !== undefined && !takesErrno(call.action))
      issue(`${at}/syscalls/${i}/errnoRet`, `${call.action} returns no errno`, errnoHint);
    if (call.action === "SCMP_ACT_NOTIFY") {
      notifies = true;
      if (call.names.includes("write"))
        issue(
          `${at}/syscalls/${i}/names/${call.names.indexOf("write")}`,
          "SCMP_ACT_NOTIFY cannot be set for write: the runtime reports with it",
        );
    }
  }
  const listens = (seccomp.listenerPath ?? "") !== "";
  if (notifies && !listens && known(`${at}/listenerPath`))
    issue(`${at}/listenerPath`, "is required and missing: SCMP_ACT_NOTIFY is used", "the path of the agent's unix socket");
  if ((seccomp.listenerMetadata ?? "") !== "" && !listens && known(`${at}/listenerPath`))
    issue(`${at}/listenerMetadata`, "has no meaning without listenerPath");
};

const THROTTLES = ["throttleReadBpsDevice", "throttleWriteBpsDevice", "throttleReadIOPSDevice", "throttleWriteIOPSDevice"] as const;

const checkResources = (
  { memory = {}, cpu = {}, unified = {}, blockIO = {}, rdma = {} }: Resources,
  { issue, note, known }: Report,
): void => {
  const at = "/linux/resources";
  const positive = (value: Int64 | undefined): value is Int64 => value !== undefined && compareInt64(value, 0) > 0;
  if (positive(memory.swap)) {
    if (!positive(memory.limit)) {
      if (known(`${at}/memory/limit`))
        issue(`${at}/memory/swap`, "has no meaning without memory.limit: it limits memory and swap together");
    } else if (compareInt64(memory.swap, memory.limit) < 0) {
      issue(
        `${at}/memory/swap`,
        `${memory.swap} is below memory.limit ${memory.limit}: it limits memory and swap together`,
        "set both to the same number for no swap",
      );
    }
  }
  for (const name of ["kernel", "kernelTCP"] as const) {
    if (positive(memory[name])) note(`${at}/memory/${name}`, "is ignored: the kernel has no such limit of its own any more");
  }
  if (positive(cpu.burst) && positive(cpu.quota) && compareInt64(cpu.burst, cpu.quota) > 0)
    issue(`${at}/cpu/burst`, `${cpu.burst} is above the quota ${cpu.quota}`);
  for (const [i, { weight, leafWeight }] of (blockIO.weightDevice ?? []).entries()) {
    if (weight === undefined && leafWeight === undefined)
      issue(`${at}/blockIO/weightDevice/${i}`, "expected weight or leafWeight, found neither");
  }
  for (const name of THROTTLES) {
    for (const [i, { rate }] of (blockIO[name] ?? []).entries()) {
      if (rate === undefined) issue(`${at}/blockIO/${name}/${i}/rate`, "is required and missing: expected operations or bytes per second");
    }
  }
  for (const [name, { hcaHandles, hcaObjects }] of Object.entries(rdma)) {
    if (hcaHandles === undefined && hcaObjects === undefined)
      issue(joinPointer(`${at}/rdma`, name), "expected hcaHandles or hcaObjects, found neither");
  }
  for (const name of Object.keys(unified)) {
    if (!/^[^/\s.][^/\s]*\.[^/\s]+$/.test(name))
      issue(joinPointer(`${at}/unified`, name), 'expected the name of a cgroup file, such as "memory.high"');
  }
};

const checkLinux = (config: Config, report: Report): void => {
  const { issue, note, known } = report;
  const linux = config.linux ?? {};
  checkNamespaces(config, linux, report);
  if (linux.seccomp !== undefined) checkSeccomp(linux.seccomp, report);
  if (linux.resources !== undefined) checkResources(linux.resources, report);
  for (const [i, { type, major, minor }] of (linux.devices ?? []).entries()) {
    if (type === "p") continue;
    for (const [name, value] of Object.entries({ major, minor })) {
      if (value === undefined) issue(`/linux/devices/${i}/${name}`, `is required and missing: a device of type ${type} has a number`);
    }
  }
  for (const name of Object.keys(linux.netDevices ?? {})) {
    if (!isInterface(name)) issue(joinPointer("/linux/netDevices", name), `expected ${INTERFACE} as the key`);
  }
  if ((linux.personality?.flags?.length ?? 0) > 0) note("/linux/personality/flags", "are ignored: the specification defines none");
  if (linux.personality !== undefined && linux.personality.domain === undefined && known("/linux/personality/domain"))
    issue("/linux/personality/domain", "is required and missing", 'write "LINUX"');
  if (linux.memoryPolicy !== undefined && linux.memoryPolicy.mode === undefined && known("/linux/memoryPolicy/mode"))
    issue("/linux/memoryPolicy/mode", "is required and missing");
};

const PLATFORMS = ["solaris", "windows", "vm", "zos", "freebsd"] as const;

/**
 * Semantic checks of a config that passed the schema (or of what is left of one that did not).
 * Sources: runtime-spec 1.3.0, config.md and config-linux.md, and what the kernel refuses.
 */
export const checkConfig = (config: Config, report: Report): void => {
  checkVersion(config.ociVersion, report);
  checkValues(config, RULES, report);
  checkMounts(config, report);
  if (config.process !== undefined) checkProcess(config.process, report);
  else if (report.known("/process")) report.note("", "there is no process: such a container can be created, but not started");
  for (const name of Object.keys(config.annotations ?? {}))
    if (name === "") report.issue("/annotations/", "an annotation has an empty name");

  // Another platform's config is read, not judged by Linux's rules.
  const foreign =
    config.linux === undefined && report.known("/linux") ? PLATFORMS.find((platform) => config[platform] !== undefined) : undefined;
  if (foreign !== undefined) {
    report.note("", `this config is for another platform: it has ${foreign}, but no linux`);
    return;
  }
  if (config.root === undefined && report.known("/root"))
    report.issue("/root", "is required and missing: expected an object with the path of the root file system");
  checkLinux(config, report);
};
