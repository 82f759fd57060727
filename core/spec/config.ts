/**
 * config.json: runtime-spec 1.3.0, common and Linux in full; other platforms' objects are kept as they are.
 *
 * The schema says what JSON schema can say (and is compared with the specification's own in tests); `check.ts` says the
 * rest. Unknown properties are dropped, as the specification demands that they be ignored.
 */
import * as z from "zod/mini";
import type { Issue } from "#core/fault";
import { checkConfig } from "./check.ts";
import { anyObject, fileMode, flag, int32, int64, matching, seconds, text, textMap, texts, uint16, uint32, uint64 } from "./fields.ts";
import { parseDocument } from "./issues.ts";

export type { Int64, JsonObject } from "./fields.ts";

const maybe = z.optional;

export const IdMappingSchema = z.object({ containerID: uint32, hostID: uint32, size: uint32 });

export const MountSchema = z.object({
  destination: text,
  type: maybe(text),
  source: maybe(text),
  options: maybe(texts),
  uidMappings: maybe(z.array(IdMappingSchema)),
  gidMappings: maybe(z.array(IdMappingSchema)),
});

export const HookSchema = z.object({ path: text, args: maybe(texts), env: maybe(texts), timeout: maybe(seconds) });
const hooks = maybe(z.array(HookSchema));

export const HOOK_NAMES = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"] as const;

const HooksSchema = z.object({
  prestart: hooks,
  createRuntime: hooks,
  createContainer: hooks,
  startContainer: hooks,
  poststart: hooks,
  poststop: hooks,
});

export const CAPABILITY_SETS = ["bounding", "effective", "inheritable", "permitted", "ambient"] as const;

const cpuList = matching(/^[0-9, -]*$/, 'a list of CPUs such as "0-3,7"');

export const ProcessSchema = z.object({
  terminal: maybe(flag),
  consoleSize: maybe(z.object({ height: uint64, width: uint64 })),
  cwd: text,
  env: maybe(texts),
  args: maybe(texts),
  commandLine: maybe(text),
  user: maybe(
    z.object({
      uid: maybe(uint32),
      gid: maybe(uint32),
      umask: maybe(uint32),
      additionalGids: maybe(z.array(uint32)),
      username: maybe(text),
    }),
  ),
  rlimits: maybe(z.array(z.object({ type: matching(/^RLIMIT_[A-Z]+$/, 'a name such as "RLIMIT_NOFILE"'), soft: uint64, hard: uint64 }))),
  capabilities: maybe(
    z.object({
      bounding: maybe(texts),
      effective: maybe(texts),
      inheritable: maybe(texts),
      permitted: maybe(texts),
      ambient: maybe(texts),
    }),
  ),
  noNewPrivileges: maybe(flag),
  apparmorProfile: maybe(text),
  selinuxLabel: maybe(text),
  oomScoreAdj: maybe(int64),
  scheduler: maybe(
    z.object({
      policy: z.enum(["SCHED_OTHER", "SCHED_FIFO", "SCHED_RR", "SCHED_BATCH", "SCHED_ISO", "SCHED_IDLE", "SCHED_DEADLINE"]),
      nice: maybe(int32),
      priority: maybe(int32),
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
      runtime: maybe(uint64),
      deadline: maybe(uint64),
      period: maybe(uint64),
    }),
  ),
  ioPriority: maybe(z.object({ class: z.enum(["IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"]), priority: maybe(int32) })),
  execCPUAffinity: maybe(z.object({ initial: maybe(cpuList), final: maybe(cpuList) })),
});

export const NAMESPACE_TYPES = ["mount", "pid", "network", "uts", "ipc", "user", "cgroup", "time"] as const;
export const NamespaceSchema = z.object({ type: z.enum(NAMESPACE_TYPES), path: maybe(text) });

export const DeviceSchema = z.object({
  type: z.enum(["c", "b", "u", "p"]),
  path: text,
  major: maybe(int64),
  minor: maybe(int64),
  fileMode: maybe(fileMode),
  uid: maybe(uint32),
  gid: maybe(uint32),
});

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

export const SeccompSchema = z.object({
  defaultAction: SeccompActionSchema,
  defaultErrnoRet: maybe(uint32),
  architectures: maybe(z.array(z.enum(SECCOMP_ARCHS))),
  flags: maybe(z.array(z.enum(SECCOMP_FLAGS))),
  listenerPath: maybe(text),
  listenerMetadata: maybe(text),
  syscalls: maybe(
    z.array(
      z.object({
        names: z.array(text).check(z.minLength(1)),
        action: SeccompActionSchema,
        errnoRet: maybe(uint32),
        args: maybe(z.array(z.object({ index: uint32, value: uint64, valueTwo: maybe(uint64), op: z.enum(SECCOMP_OPERATORS) }))),
      }),
    ),
  ),
});

const throttles = maybe(z.array(z.object({ major: int64, minor: int64, rate: maybe(uint64) })));

export const ResourcesSchema = z.object({
  unified: maybe(textMap),
  devices: maybe(z.array(z.object({ allow: flag, type: maybe(text), major: maybe(int64), minor: maybe(int64), access: maybe(text) }))),
  pids: maybe(z.object({ limit: int64 })),
  memory: maybe(
    z.object({
      limit: maybe(int64),
      reservation: maybe(int64),
      swap: maybe(int64),
      kernel: maybe(int64),
      kernelTCP: maybe(int64),
      swappiness: maybe(uint64),
      disableOOMKiller: maybe(flag),
      useHierarchy: maybe(flag),
      checkBeforeUpdate: maybe(flag),
    }),
  ),
  cpu: maybe(
    z.object({
      shares: maybe(uint64),
      quota: maybe(int64),
      burst: maybe(uint64),
      period: maybe(uint64),
      realtimeRuntime: maybe(int64),
      realtimePeriod: maybe(uint64),
      cpus: maybe(text),
      mems: maybe(text),
      idle: maybe(int64),
    }),
  ),
  blockIO: maybe(
    z.object({
      weight: maybe(uint16),
      leafWeight: maybe(uint16),
      weightDevice: maybe(z.array(z.object({ major: int64, minor: int64, weight: maybe(uint16), leafWeight: maybe(uint16) }))),
      throttleReadBpsDevice: throttles,
      throttleWriteBpsDevice: throttles,
      throttleReadIOPSDevice: throttles,
      throttleWriteIOPSDevice: throttles,
    }),
  ),
  hugepageLimits: maybe(
    z.array(z.object({ pageSize: matching(/^[1-9][0-9]*[KMG]B$/, 'a page size such as "2MB", "64KB" or "1GB"'), limit: uint64 })),
  ),
  network: maybe(z.object({ classID: maybe(uint32), priorities: maybe(z.array(z.object({ name: text, priority: uint32 }))) })),
  rdma: maybe(z.record(z.string(), z.object({ hcaHandles: maybe(uint32), hcaObjects: maybe(uint32) }))),
});

const TimeOffsetSchema = z.object({ secs: maybe(int64), nanosecs: maybe(uint32) });

const LinuxSchema = z.object({
  namespaces: maybe(z.array(NamespaceSchema)),
  uidMappings: maybe(z.array(IdMappingSchema)),
  gidMappings: maybe(z.array(IdMappingSchema)),
  timeOffsets: maybe(z.object({ boottime: maybe(TimeOffsetSchema), monotonic: maybe(TimeOffsetSchema) })),
  devices: maybe(z.array(DeviceSchema)),
  netDevices: maybe(z.record(z.string(), z.object({ name: maybe(text) }))),
  cgroupsPath: maybe(text),
  resources: maybe(ResourcesSchema),
  rootfsPropagation: maybe(z.enum(["private", "shared", "slave", "unbindable"])),
  seccomp: maybe(SeccompSchema),
  sysctl: maybe(textMap),
  maskedPaths: maybe(texts),
  readonlyPaths: maybe(texts),
  mountLabel: maybe(text),
  personality: maybe(z.object({ domain: maybe(z.enum(["LINUX", "LINUX32"])), flags: maybe(texts) })),
  intelRdt: maybe(
    z.object({
      closID: maybe(text),
      schemata: maybe(texts),
      l3CacheSchema: maybe(text),
      memBwSchema: maybe(matching(/^MB:[^\n]*$/, 'one line that begins with "MB:"')),
      enableMonitoring: maybe(flag),
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
      nodes: maybe(text),
      flags: maybe(z.array(z.enum(["MPOL_F_NUMA_BALANCING", "MPOL_F_RELATIVE_NODES", "MPOL_F_STATIC_NODES"]))),
    }),
  ),
});

export const ConfigSchema = z.object({
  ociVersion: text,
  root: maybe(z.object({ path: text, readonly: maybe(flag) })),
  process: maybe(ProcessSchema),
  hostname: maybe(text),
  domainname: maybe(text),
  mounts: maybe(z.array(MountSchema)),
  hooks: maybe(HooksSchema),
  annotations: maybe(textMap),
  linux: maybe(LinuxSchema),
  solaris: maybe(anyObject),
  windows: maybe(anyObject),
  vm: maybe(anyObject),
  zos: maybe(anyObject),
  freebsd: maybe(anyObject),
});

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
