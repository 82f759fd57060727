/**
 * config.json: runtime-spec 1.3.0, common and Linux in full; other platforms' objects are kept as they are.
 *
 * The schema says what JSON schema can say (and is compared with the specification's own in tests); `check.ts` says the
 * rest. The schemas are lazy, so that a verb that reads no config does not pay for them. Unknown properties are dropped, as the specification demands that they be ignored.
 */
import * as z from "zod/mini";
import type { Issue } from "#core/fault";
import { checkConfig } from "./check.ts";
import { fileMode, flag, int64, matching, optional, seconds, text, uint32, uint64 } from "./fields.ts";
import { parseDocument } from "./issues.ts";

export type { Int64, JsonObject } from "./fields.ts";

const maybe = z.optional;

export const IdMappingSchema = z.lazy(() => z.object({ containerID: uint32, hostID: uint32, size: uint32 }));

export const MountSchema = z.lazy(() =>
  z.object({
    destination: text,
    type: optional.text,
    source: optional.text,
    options: optional.texts,
    uidMappings: maybe(z.array(IdMappingSchema)),
    gidMappings: maybe(z.array(IdMappingSchema)),
  }),
);

export const HookSchema = z.lazy(() => z.object({ path: text, args: optional.texts, env: optional.texts, timeout: maybe(seconds) }));
const hooks = maybe(z.array(HookSchema));

export const HOOK_NAMES = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"] as const;

const HooksSchema = z.lazy(() =>
  z.object({
    prestart: hooks,
    createRuntime: hooks,
    createContainer: hooks,
    startContainer: hooks,
    poststart: hooks,
    poststop: hooks,
  }),
);

export const CAPABILITY_SETS = ["bounding", "effective", "inheritable", "permitted", "ambient"] as const;

const cpuList = matching(/^[0-9, -]*$/, 'a list of CPUs such as "0-3,7"');

export const ProcessSchema = z.lazy(() =>
  z.object({
    terminal: optional.flag,
    consoleSize: maybe(z.object({ height: uint64, width: uint64 })),
    cwd: text,
    env: optional.texts,
    args: optional.texts,
    commandLine: optional.text,
    user: maybe(
      z.object({
        uid: optional.uint32,
        gid: optional.uint32,
        umask: optional.uint32,
        additionalGids: maybe(z.array(uint32)),
        username: optional.text,
      }),
    ),
    rlimits: maybe(z.array(z.object({ type: matching(/^RLIMIT_[A-Z]+$/, 'a name such as "RLIMIT_NOFILE"'), soft: uint64, hard: uint64 }))),
    capabilities: maybe(
      z.object({
        bounding: optional.texts,
        effective: optional.texts,
        inheritable: optional.texts,
        permitted: optional.texts,
        ambient: optional.texts,
      }),
    ),
    noNewPrivileges: optional.flag,
    apparmorProfile: optional.text,
    selinuxLabel: optional.text,
    oomScoreAdj: optional.int64,
    scheduler: maybe(
      z.object({
        policy: z.enum(["SCHED_OTHER", "SCHED_FIFO", "SCHED_RR", "SCHED_BATCH", "SCHED_ISO", "SCHED_IDLE", "SCHED_DEADLINE"]),
        nice: optional.int32,
        priority: optional.int32,
        flags: maybe(
          z.array(
            z.enum([
              "SCHED_FLAG_RESET_ON_FORK",
              "SCHED_FLAG_RECLAIM",
              "SCHED_FLAG_DL_OVERRUN",
              "SCHED_FLAG_KEEP_POLICY",
              "SCHED_FLAG_KEEP_PARAMS",
              "SCHED_FLAG_UTIL_CLAMP_MIN",
              "SCHED_FLAG_UTIL_CLAMP_MAX",
            ]),
          ),
        ),
        runtime: optional.uint64,
        deadline: optional.uint64,
        period: optional.uint64,
      }),
    ),
    ioPriority: maybe(z.object({ class: z.enum(["IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"]), priority: optional.int32 })),
    execCPUAffinity: maybe(z.object({ initial: maybe(cpuList), final: maybe(cpuList) })),
  }),
);

export const NAMESPACE_TYPES = ["mount", "pid", "network", "uts", "ipc", "user", "cgroup", "time"] as const;
export const NamespaceSchema = z.lazy(() => z.object({ type: z.enum(NAMESPACE_TYPES), path: optional.text }));

export const DeviceSchema = z.lazy(() =>
  z.object({
    type: z.enum(["c", "b", "u", "p"]),
    path: text,
    major: optional.int64,
    minor: optional.int64,
    fileMode: maybe(fileMode),
    uid: optional.uint32,
    gid: optional.uint32,
  }),
);

export const SECCOMP_ACTIONS = [
  "SCMP_ACT_KILL",
  "SCMP_ACT_KILL_PROCESS",
  "SCMP_ACT_KILL_THREAD",
  "SCMP_ACT_TRAP",
  "SCMP_ACT_ERRNO",
  "SCMP_ACT_TRACE",
  "SCMP_ACT_ALLOW",
  "SCMP_ACT_LOG",
  "SCMP_ACT_NOTIFY",
] as const;

export const SECCOMP_ARCHS = [
  "SCMP_ARCH_X86",
  "SCMP_ARCH_X86_64",
  "SCMP_ARCH_X32",
  "SCMP_ARCH_ARM",
  "SCMP_ARCH_AARCH64",
  "SCMP_ARCH_LOONGARCH64",
  "SCMP_ARCH_M68K",
  "SCMP_ARCH_MIPS",
  "SCMP_ARCH_MIPS64",
  "SCMP_ARCH_MIPS64N32",
  "SCMP_ARCH_MIPSEL",
  "SCMP_ARCH_MIPSEL64",
  "SCMP_ARCH_MIPSEL64N32",
  "SCMP_ARCH_PPC",
  "SCMP_ARCH_PPC64",
  "SCMP_ARCH_PPC64LE",
  "SCMP_ARCH_S390",
  "SCMP_ARCH_S390X",
  "SCMP_ARCH_SH",
  "SCMP_ARCH_SHEB",
  "SCMP_ARCH_PARISC",
  "SCMP_ARCH_PARISC64",
  "SCMP_ARCH_RISCV64",
] as const;

export const SECCOMP_OPERATORS = [
  "SCMP_CMP_NE",
  "SCMP_CMP_LT",
  "SCMP_CMP_LE",
  "SCMP_CMP_EQ",
  "SCMP_CMP_GE",
  "SCMP_CMP_GT",
  "SCMP_CMP_MASKED_EQ",
] as const;

export const SECCOMP_FLAGS = [
  "SECCOMP_FILTER_FLAG_TSYNC",
  "SECCOMP_FILTER_FLAG_LOG",
  "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
  "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
] as const;

const SeccompActionSchema = z.enum(SECCOMP_ACTIONS);

export const SeccompSchema = z.lazy(() =>
  z.object({
    defaultAction: SeccompActionSchema,
    defaultErrnoRet: optional.uint32,
    architectures: maybe(z.array(z.enum(SECCOMP_ARCHS))),
    flags: maybe(z.array(z.enum(SECCOMP_FLAGS))),
    listenerPath: optional.text,
    listenerMetadata: optional.text,
    syscalls: maybe(
      z.array(
        z.object({
          names: z.array(text).check(z.minLength(1)),
          action: SeccompActionSchema,
          errnoRet: optional.uint32,
          args: maybe(z.array(z.object({ index: uint32, value: uint64, valueTwo: optional.uint64, op: z.enum(SECCOMP_OPERATORS) }))),
        }),
      ),
    ),
  }),
);

const throttles = maybe(z.array(z.object({ major: int64, minor: int64, rate: optional.uint64 })));

export const ResourcesSchema = z.lazy(() =>
  z.object({
    unified: optional.textMap,
    devices: maybe(
      z.array(z.object({ allow: flag, type: optional.text, major: optional.int64, minor: optional.int64, access: optional.text })),
    ),
    pids: maybe(z.object({ limit: int64 })),
    memory: maybe(
      z.object({
        limit: optional.int64,
        reservation: optional.int64,
        swap: optional.int64,
        kernel: optional.int64,
        kernelTCP: optional.int64,
        swappiness: optional.uint64,
        disableOOMKiller: optional.flag,
        useHierarchy: optional.flag,
        checkBeforeUpdate: optional.flag,
      }),
    ),
    cpu: maybe(
      z.object({
        shares: optional.uint64,
        quota: optional.int64,
        burst: optional.uint64,
        period: optional.uint64,
        realtimeRuntime: optional.int64,
        realtimePeriod: optional.uint64,
        cpus: optional.text,
        mems: optional.text,
        idle: optional.int64,
      }),
    ),
    blockIO: maybe(
      z.object({
        weight: optional.uint16,
        leafWeight: optional.uint16,
        weightDevice: maybe(z.array(z.object({ major: int64, minor: int64, weight: optional.uint16, leafWeight: optional.uint16 }))),
        throttleReadBpsDevice: throttles,
        throttleWriteBpsDevice: throttles,
        throttleReadIOPSDevice: throttles,
        throttleWriteIOPSDevice: throttles,
      }),
    ),
    hugepageLimits: maybe(
      z.array(z.object({ pageSize: matching(/^[1-9][0-9]*[KMG]B$/, 'a page size such as "2MB", "64KB" or "1GB"'), limit: uint64 })),
    ),
    network: maybe(z.object({ classID: optional.uint32, priorities: maybe(z.array(z.object({ name: text, priority: uint32 }))) })),
    rdma: maybe(z.record(z.string(), z.object({ hcaHandles: optional.uint32, hcaObjects: optional.uint32 }))),
  }),
);

const TimeOffsetSchema = z.lazy(() => z.object({ secs: optional.int64, nanosecs: optional.uint32 }));

const LinuxSchema = z.lazy(() =>
  z.object({
    namespaces: maybe(z.array(NamespaceSchema)),
    uidMappings: maybe(z.array(IdMappingSchema)),
    gidMappings: maybe(z.array(IdMappingSchema)),
    timeOffsets: maybe(z.object({ boottime: maybe(TimeOffsetSchema), monotonic: maybe(TimeOffsetSchema) })),
    devices: maybe(z.array(DeviceSchema)),
    netDevices: maybe(z.record(z.string(), z.object({ name: optional.text }))),
    cgroupsPath: optional.text,
    resources: maybe(ResourcesSchema),
    // The four with an r are engines' (podman, containerd): the specification's text has the others alone.
    rootfsPropagation: maybe(z.enum(["private", "shared", "slave", "unbindable", "rprivate", "rshared", "rslave", "runbindable"])),
    seccomp: maybe(SeccompSchema),
    sysctl: optional.textMap,
    maskedPaths: optional.texts,
    readonlyPaths: optional.texts,
    mountLabel: optional.text,
    personality: maybe(z.object({ domain: maybe(z.enum(["LINUX", "LINUX32"])), flags: optional.texts })),
    intelRdt: maybe(
      z.object({
        closID: optional.text,
        schemata: optional.texts,
        l3CacheSchema: optional.text,
        memBwSchema: maybe(matching(/^MB:[^\n]*$/, 'one line that begins with "MB:"')),
        enableMonitoring: optional.flag,
      }),
    ),
    memoryPolicy: maybe(
      z.object({
        mode: maybe(
          z.enum([
            "MPOL_DEFAULT",
            "MPOL_BIND",
            "MPOL_INTERLEAVE",
            "MPOL_WEIGHTED_INTERLEAVE",
            "MPOL_PREFERRED",
            "MPOL_PREFERRED_MANY",
            "MPOL_LOCAL",
          ]),
        ),
        nodes: optional.text,
        flags: maybe(z.array(z.enum(["MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"]))),
      }),
    ),
  }),
);

export const ConfigSchema = z.lazy(() =>
  z.object({
    ociVersion: text,
    root: maybe(z.object({ path: text, readonly: optional.flag })),
    process: maybe(ProcessSchema),
    hostname: optional.text,
    domainname: optional.text,
    mounts: maybe(z.array(MountSchema)),
    hooks: maybe(HooksSchema),
    annotations: optional.textMap,
    linux: maybe(LinuxSchema),
    solaris: optional.anyObject,
    windows: optional.anyObject,
    vm: optional.anyObject,
    zos: optional.anyObject,
    freebsd: optional.anyObject,
  }),
);

/** config.json (runtime-spec 1.3.0). */
export type Config = z.infer<typeof ConfigSchema>;
export type Process = z.infer<typeof ProcessSchema>;
export type Mount = z.infer<typeof MountSchema>;
export type Hook = z.infer<typeof HookSchema>;
export type HookName = (typeof HOOK_NAMES)[number];
export type IdMapping = z.infer<typeof IdMappingSchema>;
export type Linux = z.infer<typeof LinuxSchema>;
export type Namespace = z.infer<typeof NamespaceSchema>;
export type NamespaceType = Namespace["type"];
export type Device = z.infer<typeof DeviceSchema>;
export type Resources = z.infer<typeof ResourcesSchema>;
export type Seccomp = z.infer<typeof SeccompSchema>;
export type CapabilitySet = (typeof CAPABILITY_SETS)[number];

/** The version of the runtime specification that Coracle implements. */
export const OCI_VERSION = "1.3.0";

/**
 * Reads config.json's text: the schema, then the semantic checks; all issues at once, in the order of the text.
 *
 * @returns `config` is null where there is any issue. `notes` are for the user, and refuse nothing.
 * @throws Fault E_JSON where the text is not JSON.
 */
export const parseConfig = (source: string): { config: Config | null; issues: readonly Issue[]; notes: readonly string[] } => {
  const { value, issues, notes } = parseDocument(source, ConfigSchema, checkConfig, { ociVersion: OCI_VERSION });
  return { config: value, issues, notes };
};
