/**
 * What `coracle run` accepts, parsed: the table of flags (`cli/flags.ts`) gives texts, `buildRunOptions` reads each with
 * docker's rules, and every error names its flag and the remedy. The result is plain data: it can be stored beside a
 * container, and `core/image/build-config.ts` makes config.json of it.
 */
import * as z from "zod/mini";
import { Fault } from "#core/fault";
import { didYouMean, type FlagValues, flagList, flagOn, flagText, parseBool } from "#core/flags";
import { CAPABILITIES, RLIMITS, sysctlNamespace, sysctlParts } from "#core/spec/check";
import { int64, uint64 } from "#core/spec/fields";
import { cleanPath, parseMount, parseTmpfs, parseVolume, UserMountSchema } from "./run-mounts.ts";
import { exact, parseBytes, parseCpus, parseInteger } from "./units.ts";

const SNAPSHOTTERS = ["overlay", "fuse-overlayfs", "copy"] as const;

const text = z.string();
const texts = z.array(text);
const textMap = z.record(text, text);
const maybeText = z.nullable(text);
const maybe64 = z.nullable(int64);
const maybeInt = z.nullable(z.int());

const DeviceRateSchema = z.lazy(() => z.object({ path: text, rate: uint64 }));

// The schemas are lazy, as those of config.json: reading flags needs none, only a container that was stored does.

/** Limits of `linux.resources`; null where no limit was asked for. */
export const LimitsSchema = z.lazy(() =>
  z.object({
    /** Bytes. */
    memory: maybe64,
    /** Bytes of memory and swap together; -1: no limit on swap; null: as docker, twice the memory. */
    memorySwap: maybe64,
    memoryReservation: maybe64,
    swappiness: maybeInt,
    oomKillDisable: z.boolean(),
    /** Billionths of a CPU. */
    nanoCpus: maybeInt,
    cpuShares: maybe64,
    /** Microseconds. */
    cpuPeriod: maybeInt,
    cpuQuota: maybe64,
    cpuRealtimePeriod: maybe64,
    cpuRealtimeRuntime: maybe64,
    cpusetCpus: maybeText,
    cpusetMems: maybeText,
    /** null or -1: no limit. */
    pids: maybe64,
    blkioWeight: maybeInt,
    blkioWeightDevices: z.array(z.object({ path: text, weight: z.int() })),
    deviceReadBps: z.array(DeviceRateSchema),
    deviceWriteBps: z.array(DeviceRateSchema),
    deviceReadIops: z.array(DeviceRateSchema),
    deviceWriteIops: z.array(DeviceRateSchema),
  }),
);

export const SecurityOptionsSchema = z.lazy(() =>
  z.object({
    noNewPrivileges: z.boolean(),
    /** `profile` carries the text of docker's or the OCI's JSON. */
    seccomp: z.discriminatedUnion("kind", [
      z.object({ kind: z.literal("default") }),
      z.object({ kind: z.literal("unconfined") }),
      z.object({ kind: z.literal("profile"), path: text, text }),
    ]),
    mask: texts,
    /** Paths, with `/*` at the end for what lies below; `ALL` for every masked and read-only path. */
    unmask: texts,
    apparmor: maybeText,
    /** SELinux: `disable`, `type:…`, `level:…` */
    labels: texts,
  }),
);

export const RunOptionsSchema = z.lazy(() =>
  z.object({
    /** As it was typed: `hello`, `oci:DIR[:tag]`, a reference (`core/image/reference.ts`). */
    image: text,
    /** What stands behind the image; empty: the image's Cmd. */
    args: texts,
    name: maybeText,
    rm: z.boolean(),
    detach: z.boolean(),
    cidfile: maybeText,
    platform: maybeText,
    pull: z.enum(["always", "missing", "never"]),
    quiet: z.boolean(),
    snapshotter: z.nullable(z.enum(SNAPSHOTTERS)),
    storage: maybeText,
    labels: textMap,
    annotations: textMap,

    interactive: z.boolean(),
    tty: z.boolean(),
    sigProxy: z.boolean(),
    /** null: the image's; [] removes it. */
    entrypoint: z.nullable(texts),
    /** `NAME=VALUE`, or `NAME` to remove the image's. Later ones win. */
    env: texts,
    user: maybeText,
    groupAdd: texts,
    workdir: maybeText,
    init: z.boolean(),
    /** `SIGTERM`, `SIGRTMIN+3`, or a number in text. */
    stopSignal: maybeText,
    stopTimeout: maybeInt,
    /** -1 is written as 2^64 − 1, RLIM_INFINITY. */
    ulimits: z.array(z.object({ type: z.enum(RLIMITS), soft: uint64, hard: uint64 })),
    oomScoreAdj: maybeInt,

    mounts: z.array(UserMountSchema),
    readOnly: z.boolean(),
    /** Bytes; null: 64 MiB. */
    shmSize: maybe64,
    devices: z.array(z.object({ source: text, destination: text })),

    privileged: z.boolean(),
    /** `ALL` or names with `CAP_`. */
    capAdd: texts,
    capDrop: texts,
    security: SecurityOptionsSchema,

    limits: LimitsSchema,
    /** Where limits cannot be enforced: refuse, or run and say so. */
    limitsPolicy: z.enum(["enforce", "best-effort"]),

    /** `none`, `host`, `default`, or the name of a driver or network. */
    network: text,
    hostname: maybeText,
    domainname: maybeText,
    ipc: z.enum(["private", "host", "none"]),
    pid: z.enum(["private", "host"]),
    uts: z.enum(["private", "host"]),
    cgroupns: z.enum(["private", "host"]),
    sysctls: textMap,
  }),
);

export type RunOptions = z.infer<typeof RunOptionsSchema>;
export type Limits = z.infer<typeof LimitsSchema>;

/** What reading the flags needs of the caller's world. */
export type RunInputs = {
  /** Absolute; relative sources of binds are taken from it. */
  readonly cwd: string;
  /** The caller's environment, for `-e NAME`. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Reads a file that a flag names (env, label and seccomp files). Its Faults pass through. */
  readonly readText: (path: string) => string;
};

const usage = (message: string, hint?: string): Fault => new Fault("E_USAGE", { message, ...(hint === undefined ? {} : { hint }) });
const notYet = (message: string, hint: string): Fault => new Fault("E_UNSUPPORTED", { message, hint });

/** A text that must be one of a few words. */
const choice = <T extends string>(values: FlagValues, flag: string, known: readonly T[], fallback: T): T => {
  const given = flagText(values, flag);
  if (given === null || given === "") return fallback;
  const found = known.find((word) => word === given);
  if (found === undefined) throw usage(`--${flag}: "${given}" is unknown`, `known: ${known.join(", ")}`);
  return found;
};

const oneOfRange = (values: FlagValues, flag: string, min: number, max: number): number | null => {
  const given = flagText(values, flag);
  return given === null ? null : Number(parseInteger(given, `--${flag}`, min, max));
};

/** As `oneOfRange`, but 0 stands for "not set", as docker has it. */
const unlessZero = (values: FlagValues, flag: string, min: number, max: number): number | null =>
  /^[+-]?0+$/.test(flagText(values, flag) ?? "0") ? null : oneOfRange(values, flag, min, max);

// --- variables and labels ------------------------------------------------------------------------------------------

const checkVariable = (flag: string, entry: string): string => {
  const name = entry.split("=", 1)[0] ?? "";
  if (name === "") throw usage(`${flag}: "${entry}" has no name`, `write ${flag} NAME=VALUE`);
  if (entry.includes("\0")) throw usage(`${flag}: ${name} contains NUL`);
  return entry;
};

/** A file of `NAME=VALUE` lines: leading blanks go, `#` begins a comment line, everything behind `=` is kept as it is. */
const fileLines = (flag: string, path: string, source: string): readonly string[] =>
  source
    .replace(/^\ufeff/, "")
    .split("\n")
    .map((line) => line.replace(/\r$/, "").replace(/^[ \t]+/, ""))
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => {
      if (/[ \t]/.test(line.split("=", 1)[0] ?? ""))
        throw usage(`${flag} ${path}: the name in "${line}" contains a blank`, "write NAME=VALUE without blanks around the name");
      return checkVariable(`${flag} ${path}`, line);
    });

/** The caller's variable; `process.env` inherits from Object, and `-e constructor` must not find that. */
const variable = ({ env }: RunInputs, name: string): string | undefined => (Object.hasOwn(env, name) ? env[name] : undefined);

const readEnv = (values: FlagValues, inputs: RunInputs): string[] => {
  const entries: string[] = [];
  for (const path of flagList(values, "env-file")) {
    for (const line of fileLines("--env-file", path, inputs.readText(path))) {
      const here = variable(inputs, line);
      // A lone name in a file that is not set here is left out; on the command line it removes the image's.
      if (line.includes("=")) entries.push(line);
      else if (here !== undefined) entries.push(`${line}=${here}`);
    }
  }
  for (const entry of flagList(values, "env")) {
    checkVariable("--env", entry);
    const here = variable(inputs, entry);
    entries.push(entry.includes("=") || here === undefined ? entry : `${entry}=${here}`);
  }
  return entries;
};

const keyValue = (entry: string): readonly [key: string, value: string] => {
  const equals = entry.indexOf("=");
  return equals < 0 ? [entry, ""] : [entry.slice(0, equals), entry.slice(equals + 1)];
};

const readLabels = (values: FlagValues, inputs: RunInputs): Record<string, string> => {
  const entries = flagList(values, "label-file").flatMap((path) => fileLines("--label-file", path, inputs.readText(path)));
  for (const entry of flagList(values, "label")) {
    const [key] = keyValue(entry);
    if (key.trim() === "") throw usage(`--label: "${entry}" has no name`, "write --label KEY=VALUE");
    if (/[ \t]/.test(key)) throw usage(`--label: the name "${key}" contains a blank`, "write --label KEY=VALUE");
    entries.push(entry);
  }
  return Object.fromEntries(entries.map(keyValue));
};

const readAnnotations = (values: FlagValues): Record<string, string> =>
  Object.fromEntries(
    flagList(values, "annotation").map((entry) => {
      const [key, value] = keyValue(entry);
      if (key === "") throw usage(`--annotation: "${entry}" has no name`, "write --annotation KEY=VALUE");
      return [key, value];
    }),
  );

// --- process -------------------------------------------------------------------------------------------------------

/** signal(7)'s names, in the order of their numbers on x86, arm and most others. */
const SIGNALS =
  "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS IOT POLL CLD".split(
    " ",
  );

/** `TERM`, `sigterm`, `15`, `RTMIN+3` → `SIGTERM`, `15`, `SIGRTMIN+3`. @throws Fault E_USAGE. */
export const normalizeSignal = (given: string, flag: string): string => {
  const name = given.toUpperCase().replace(/^SIG/, "");
  if (/^[0-9]+$/.test(name) && Number(name) >= 1 && Number(name) <= 64) return String(Number(name));
  if (SIGNALS.includes(name) || /^RTMIN(\+([0-9]|[12][0-9]|30))?$|^RTMAX(-([0-9]|1[0-4]))?$/.test(name)) return `SIG${name}`;
  const near = didYouMean(name, SIGNALS);
  throw usage(
    `${flag}: "${given}" is not a signal`,
    near === null ? "write a name such as SIGTERM, or a number from 1 to 64" : `did you mean SIG${near}?`,
  );
};

const UNLIMITED = exact(2n ** 64n - 1n);

const readUlimit = (given: string): RunOptions["ulimits"][number] => {
  const [name = "", range] = keyValue(given);
  const type = RLIMITS.find((known) => known === `RLIMIT_${name.toUpperCase()}`);
  if (type === undefined)
    throw usage(`--ulimit: "${name}" is not a limit`, `known: ${RLIMITS.map((r) => r.slice(7).toLowerCase()).join(", ")}`);
  const [low = "", high, ...more] = range.split(":");
  if (more.length > 0 || range === "") throw usage(`--ulimit ${given}: it is not NAME=SOFT[:HARD]`, "write --ulimit nofile=1024:4096");
  const value = (part: string): bigint => BigInt(parseInteger(part, `--ulimit ${name}`, -1));
  const [soft, hard] = [value(low), value(high ?? low)];
  if (hard !== -1n && (soft === -1n || soft > hard))
    throw usage(`--ulimit ${given}: the soft limit is above the hard limit`, "give the hard limit behind the colon");
  const write = (n: bigint) => (n === -1n ? UNLIMITED : exact(n));
  return { type, soft: write(soft), hard: write(hard) };
};

// --- security ------------------------------------------------------------------------------------------------------

/** Names with or without `CAP_`, in either case; `ALL`. @throws Fault E_USAGE. */
export const normalizeCapability = (given: string, flag: string): string => {
  const upper = given.trim().toUpperCase();
  if (upper === "ALL") return upper;
  const name = upper.startsWith("CAP_") ? upper : `CAP_${upper}`;
  if (CAPABILITIES.some((known) => known === name)) return name;
  const near = didYouMean(name, CAPABILITIES);
  throw usage(`${flag}: "${given}" is not a capability`, near === null ? "capabilities(7) lists them" : `did you mean ${near}?`);
};

const pathList = (option: string, value: string): string[] =>
  value.split(":").map((path) => {
    if (!path.startsWith("/"))
      throw usage(
        `--security-opt ${option}: "${path}" is not an absolute path`,
        `write --security-opt ${option.split("=", 1)[0]}=/path[:/path]`,
      );
    return cleanPath(path);
  });

const readSecurity = (values: FlagValues, inputs: RunInputs): RunOptions["security"] => {
  const security: RunOptions["security"] = {
    noNewPrivileges: false,
    seccomp: { kind: "default" },
    mask: [],
    unmask: [],
    apparmor: null,
    labels: [],
  };
  for (const option of flagList(values, "security-opt")) {
    // The colon is docker's old separator.
    const separator = /[=:]/.exec(option)?.index ?? option.length;
    const key = option.slice(0, separator);
    const value = option.slice(separator + 1);
    const bad = (what: string, hint: string): Fault => usage(`--security-opt ${option}: ${what}`, hint);
    if (value === "" && key !== "no-new-privileges") throw bad("it has no value", "write --security-opt NAME=VALUE");
    switch (key) {
      case "no-new-privileges": {
        const on = value === "" && separator === option.length ? true : parseBool(value);
        if (on === null) throw bad("neither true nor false", "write --security-opt no-new-privileges");
        security.noNewPrivileges = on;
        break;
      }
      case "seccomp":
        security.seccomp =
          value === "unconfined"
            ? { kind: "unconfined" }
            : value === "builtin"
              ? { kind: "default" }
              : { kind: "profile", path: value, text: inputs.readText(value) };
        break;
      case "systempaths":
        if (value !== "unconfined") throw bad("only unconfined is known", "write --security-opt systempaths=unconfined");
        security.unmask.push("ALL");
        break;
      case "mask":
        security.mask.push(...pathList(option, value));
        break;
      case "unmask":
        security.unmask.push(...(value.toUpperCase() === "ALL" ? ["ALL"] : pathList(option, value)));
        break;
      case "apparmor":
        security.apparmor = value;
        break;
      case "label":
        security.labels.push(value);
        break;
      case "writable-cgroups":
        throw notYet(`--security-opt ${option} is not supported yet`, "leave it out");
      default: {
        const known = ["no-new-privileges", "seccomp", "systempaths", "mask", "unmask", "apparmor", "label"];
        const near = didYouMean(key, known);
        throw bad("the option is unknown", near === null ? `known: ${known.join(", ")}` : `did you mean ${near}?`);
      }
    }
  }
  return security;
};

const readDevice = (given: string): RunOptions["devices"][number] => {
  if (/^[^/]+\/[^/]+=/.test(given))
    throw notYet(`--device ${given}: CDI devices are not supported yet`, "name a device node: --device /dev/…");
  const bad = (what: string): Fault => usage(`--device ${given}: ${what}`, "write --device /dev/SOURCE[:/dev/TARGET][:rw]");
  const isAccess = (part: string): boolean => /^[rwm]+$/.test(part) && new Set(part).size === part.length;
  const [source = "", second, third, ...more] = given.split(":");
  if (source === "" || more.length > 0) throw bad("it is not SOURCE[:TARGET][:rwm]");
  const access = third ?? (second !== undefined && isAccess(second) ? second : "rwm");
  const target = second === undefined || (third === undefined && isAccess(second)) ? source : second;
  if (!isAccess(access)) throw bad(`"${access}" is not made of r, w and m`);
  if (!source.startsWith("/") || !target.startsWith("/")) throw bad("paths must be absolute");
  if (!access.includes("r") || !access.includes("w")) {
    throw notYet(
      `--device ${given}: access narrower than rw cannot be enforced without root, for there is no device cgroup`,
      "leave the access out: the permissions of the node on the host hold in the container, too",
    );
  }
  return { source: cleanPath(source), destination: cleanPath(target) };
};

// --- limits --------------------------------------------------------------------------------------------------------

/** docker's and runc's smallest memory limit; a process does not start in less. */
const MIN_MEMORY = 6 * 1024 * 1024;

const readBytes = (values: FlagValues, flag: string): Limits["memory"] => {
  const given = flagText(values, flag);
  const bytes = given === null ? 0 : parseBytes(given, `--${flag}`);
  return BigInt(bytes) === 0n ? null : bytes;
};

const readMemory = (values: FlagValues): Pick<Limits, "memory" | "memorySwap" | "memoryReservation"> => {
  const memory = readBytes(values, "memory");
  const memorySwap = flagText(values, "memory-swap") === "-1" ? -1 : readBytes(values, "memory-swap");
  const memoryReservation = readBytes(values, "memory-reservation");
  for (const [flag, bytes] of [
    ["--memory", memory],
    ["--memory-reservation", memoryReservation],
  ] as const) {
    if (bytes !== null && bytes < MIN_MEMORY)
      throw usage(`${flag}: ${bytes} bytes are less than the minimum of 6m`, `write ${flag} 6m or more`);
  }
  if (memorySwap !== null && memorySwap > 0) {
    if (memory === null) throw usage("--memory-swap needs --memory", "it is the limit of memory and swap together: add --memory");
    if (memorySwap < memory)
      throw usage(
        `--memory-swap: ${memorySwap} is less than the memory limit of ${memory}`,
        "it is the limit of memory and swap together: raise it, or leave it out",
      );
  }
  if (memory !== null && memoryReservation !== null && memoryReservation > memory) {
    throw usage(
      `--memory-reservation: ${memoryReservation} is more than the memory limit of ${memory}`,
      "the reservation is the softer, smaller limit",
    );
  }
  return { memory, memorySwap, memoryReservation };
};

const readCpuset = (values: FlagValues, flag: string): string | null => {
  const given = flagText(values, flag);
  if (given === null || given === "") return null;
  for (const part of given.split(",")) {
    const [, low, high] = /^([0-9]{1,5})(?:-([0-9]{1,5}))?$/.exec(part) ?? [];
    if (low === undefined || Number(low) > Number(high ?? low))
      throw usage(`--${flag}: "${given}" is not a list`, `write numbers and ranges: --${flag} 0-3,7`);
  }
  return given;
};

const devicePart = (flag: string, entry: string): readonly [path: string, value: string] => {
  const colon = entry.lastIndexOf(":");
  const path = entry.slice(0, Math.max(0, colon));
  if (!path.startsWith("/dev/")) throw usage(`${flag}: "${entry}" is not DEVICE:NUMBER`, `write ${flag} /dev/sda:NUMBER`);
  return [path, entry.slice(colon + 1)];
};

const readLimits = (values: FlagValues): Limits => {
  const nanoText = flagText(values, "cpus");
  const nano = nanoText === null ? 0 : parseCpus(nanoText, "--cpus");
  const period = unlessZero(values, "cpu-period", 1000, 1_000_000);
  const quotaText = flagText(values, "cpu-quota");
  const quota = quotaText === null ? 0 : parseInteger(quotaText, "--cpu-quota", -1);
  if (quota > 0 && quota < 1000)
    throw usage(`--cpu-quota: ${quota} is less than the kernel's minimum of 1000 microseconds`, "write --cpu-quota 1000 or more");
  if (nano > 0 && (period !== null || quota > 0))
    throw usage(
      `--cpus excludes ${period === null ? "--cpu-quota" : "--cpu-period"}`,
      "--cpus N is --cpu-period 100000 with --cpu-quota N × 100000",
    );
  if (nano > 0 && nano < 10_000_000)
    throw usage(`--cpus: ${nanoText} is less than the minimum of 0.01`, "the kernel gives no less than 1 ms in 100 ms");
  const wide = (flag: string, min = 0): Limits["cpuShares"] => {
    const given = flagText(values, flag);
    const value = given === null ? 0 : parseInteger(given, `--${flag}`, min);
    return BigInt(value) === 0n ? null : value;
  };
  const rates = (flag: string, read: (value: string) => Limits["deviceReadBps"][number]["rate"]): Limits["deviceReadBps"] =>
    flagList(values, flag).map((entry) => {
      const [path, value] = devicePart(`--${flag}`, entry);
      return { path, rate: read(value) };
    });
  return {
    ...readMemory(values),
    swappiness: flagText(values, "memory-swappiness") === "-1" ? null : oneOfRange(values, "memory-swappiness", 0, 100),
    oomKillDisable: flagOn(values, "oom-kill-disable"),
    nanoCpus: nano === 0 ? null : nano,
    cpuShares: wide("cpu-shares"),
    cpuPeriod: period,
    cpuQuota: BigInt(quota) === 0n ? null : quota,
    cpuRealtimePeriod: wide("cpu-rt-period"),
    cpuRealtimeRuntime: wide("cpu-rt-runtime"),
    cpusetCpus: readCpuset(values, "cpuset-cpus"),
    cpusetMems: readCpuset(values, "cpuset-mems"),
    pids: wide("pids-limit", -1),
    blkioWeight: unlessZero(values, "blkio-weight", 10, 1000),
    blkioWeightDevices: flagList(values, "blkio-weight-device").map((entry) => {
      const [path, weight] = devicePart("--blkio-weight-device", entry);
      return { path, weight: Number(parseInteger(weight, "--blkio-weight-device", 10, 1000)) };
    }),
    deviceReadBps: rates("device-read-bps", (v) => parseBytes(v, "--device-read-bps")),
    deviceWriteBps: rates("device-write-bps", (v) => parseBytes(v, "--device-write-bps")),
    deviceReadIops: rates("device-read-iops", (v) => parseInteger(v, "--device-read-iops", 0)),
    deviceWriteIops: rates("device-write-iops", (v) => parseInteger(v, "--device-write-iops", 0)),
  };
};

// --- namespaces ----------------------------------------------------------------------------------------------------

const readMode = <T extends string>(values: FlagValues, flag: string, known: readonly T[], fallback: T): T => {
  const given = flagText(values, flag) ?? "";
  if (given.startsWith("container:")) throw notYet(`--${flag} ${given}: joining another container is not supported yet`, "leave it out");
  return choice(values, flag, known, fallback);
};

const readNetwork = (values: FlagValues): string => {
  const [first = "default", ...more] = flagList(values, "network");
  if (more.length > 0) throw notYet("--network: more than one network is not supported yet", "name one network");
  if (first.startsWith("container:"))
    throw notYet(`--network ${first}: joining another container is not supported yet`, "name a network, none or host");
  if (first.includes("="))
    throw notYet(`--network ${first}: options of a network are not supported yet`, "give the name of the network alone");
  if (first === "") throw usage("--network: the name is empty", "name a network, none or host");
  return first;
};

const readSysctls = (values: FlagValues, hostOf: (namespace: string) => boolean): Record<string, string> => {
  const found: [string, string][] = flagList(values, "sysctl").map((entry) => {
    const [name, value] = keyValue(entry);
    const dotted = sysctlParts(name)?.join(".") ?? "";
    const namespace = sysctlNamespace(dotted);
    if (!entry.includes("=") || dotted === "")
      throw usage(`--sysctl: "${entry}" is not NAME=VALUE`, "write --sysctl net.ipv4.ip_forward=1");
    if (namespace !== "network" && namespace !== "ipc") {
      throw usage(
        `--sysctl: ${name} is not allowed: it would change more than the container`,
        namespace === "uts"
          ? "use --hostname and --domainname"
          : "allowed are net.*, fs.mqueue.* and System V IPC's kernel.sem, kernel.shm*, kernel.msg*",
      );
    }
    if (hostOf(namespace))
      throw usage(`--sysctl: ${name} is not allowed with --${namespace} host: it would change the host`, `leave out --${namespace} host`);
    return [name, value];
  });
  return Object.fromEntries(found);
};

const readHostname = (values: FlagValues, flag: "hostname" | "domainname"): string | null => {
  const given = flagText(values, flag);
  if (given === null || given === "") return null;
  // sethostname(2) takes 64 bytes of anything; a name that resolvers and shells can use is narrower.
  if (!/^[A-Za-z0-9._-]{1,64}$/.test(given))
    throw usage(`--${flag}: "${given}" is not a host name`, "at most 64 letters, digits, dots, dashes and underscores");
  return given;
};

/**
 * Reads the flags of `coracle run`.
 *
 * @param rest the image, and what it shall run.
 * @throws Fault E_USAGE or E_UNSUPPORTED; each names the flag and the remedy.
 */
export const buildRunOptions = (values: FlagValues, rest: readonly string[], inputs: RunInputs): RunOptions => {
  const [image, ...args] = rest;
  if (image === undefined || image === "") throw usage("the image is missing", "write coracle run [flags] IMAGE [command]");
  const nul = args.find((arg) => arg.includes("\0"));
  if (nul !== undefined) throw usage("an argument of the command contains NUL");

  const name = flagText(values, "name");
  if (name !== null && !/^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/.test(name)) {
    throw usage(
      `--name: "${name}" is not a container name`,
      "two or more letters, digits, _, . and -, of which the first is a letter or a digit",
    );
  }
  const entrypoint = flagText(values, "entrypoint");
  const workdir = flagText(values, "workdir");
  if (workdir !== null && workdir !== "" && !workdir.startsWith("/"))
    throw usage(`--workdir: "${workdir}" is not an absolute path`, "write the path in the container from its root");
  const stopSignal = flagText(values, "stop-signal");

  const network = readNetwork(values);
  const ipc = readMode(values, "ipc", ["private", "shareable", "host", "none"], "private");
  const uts = readMode(values, "uts", ["private", "host"], "private");
  const hostname = readHostname(values, "hostname");
  const domainname = readHostname(values, "domainname");
  if (uts === "host" && (hostname !== null || domainname !== null)) {
    throw usage(
      `--${hostname === null ? "domainname" : "hostname"} excludes --uts host: it would change the host's name`,
      "leave one of them out",
    );
  }
  const shm = flagText(values, "shm-size");
  const shmSize = readBytes(values, "shm-size");
  if (shm !== null && shmSize === null) throw usage("--shm-size: it must be greater than 0", "leave it out for 64m");
  if (shmSize !== null && ipc !== "private" && ipc !== "shareable")
    throw usage(`--shm-size has no meaning with --ipc ${ipc}`, "leave one of them out");

  const mounts = [
    ...flagList(values, "volume").map((v) => parseVolume(v, inputs.cwd)),
    ...flagList(values, "mount").map((m) => parseMount(m, inputs.cwd)),
    ...flagList(values, "tmpfs").map(parseTmpfs),
  ];
  const devices = flagList(values, "device").map(readDevice);
  const targets = new Set<string>();
  for (const { destination } of [...mounts, ...devices]) {
    if (targets.has(destination))
      throw usage(`two mounts have the target ${destination}`, "leave one of --volume, --mount, --tmpfs and --device out");
    targets.add(destination);
  }
  const ulimits = new Map(
    flagList(values, "ulimit")
      .map(readUlimit)
      .map((limit) => [limit.type, limit]),
  );

  return {
    image,
    args,
    name,
    rm: flagOn(values, "rm"),
    detach: flagOn(values, "detach"),
    cidfile: flagText(values, "cidfile"),
    platform: flagText(values, "platform"),
    pull: choice(values, "pull", ["always", "missing", "never"], "missing"),
    quiet: flagOn(values, "quiet"),
    snapshotter: flagText(values, "snapshotter") === null ? null : choice(values, "snapshotter", SNAPSHOTTERS, "overlay"),
    storage: flagText(values, "storage"),
    labels: readLabels(values, inputs),
    annotations: readAnnotations(values),
    interactive: flagOn(values, "interactive"),
    tty: flagOn(values, "tty"),
    sigProxy: flagOn(values, "sig-proxy", true),
    entrypoint: entrypoint === null ? null : entrypoint === "" ? [] : [entrypoint],
    env: readEnv(values, inputs),
    user: flagText(values, "user"),
    groupAdd: [...flagList(values, "group-add")],
    workdir: workdir === null || workdir === "" ? null : cleanPath(workdir),
    init: flagOn(values, "init"),
    stopSignal: stopSignal === null ? null : normalizeSignal(stopSignal, "--stop-signal"),
    stopTimeout: oneOfRange(values, "stop-timeout", -1, 2 ** 31 - 1),
    ulimits: [...ulimits.values()].sort((a, b) => (a.type < b.type ? -1 : 1)),
    oomScoreAdj: oneOfRange(values, "oom-score-adj", -1000, 1000),
    mounts,
    readOnly: flagOn(values, "read-only"),
    shmSize,
    devices,
    privileged: flagOn(values, "privileged"),
    capAdd: flagList(values, "cap-add").map((c) => normalizeCapability(c, "--cap-add")),
    capDrop: flagList(values, "cap-drop").map((c) => normalizeCapability(c, "--cap-drop")),
    security: readSecurity(values, inputs),
    limits: readLimits(values),
    limitsPolicy: choice(values, "limits", ["enforce", "best-effort"], "enforce"),
    network,
    hostname,
    domainname,
    ipc: ipc === "shareable" ? "private" : ipc,
    pid: readMode(values, "pid", ["private", "host"], "private"),
    uts,
    cgroupns: choice(values, "cgroupns", ["private", "host"], "private"),
    sysctls: readSysctls(values, (namespace) => (namespace === "network" ? network : ipc) === "host"),
  };
};

/** Host paths that must exist before the container is made; `create`: a missing one is made, as a directory. */
export const bindSources = (options: RunOptions): readonly { readonly path: string; readonly create: boolean }[] => [
  ...options.mounts.flatMap((m) => (m.type === "bind" ? [{ path: m.source, create: m.createSource }] : [])),
  ...options.devices.map((d) => ({ path: d.source, create: false })),
];

/** Device nodes of the host whose numbers `buildConfig` wants (`context.devices`). */
export const limitedDevices = ({ limits }: RunOptions): readonly string[] => [
  ...new Set(
    [
      ...limits.blkioWeightDevices,
      ...limits.deviceReadBps,
      ...limits.deviceWriteBps,
      ...limits.deviceReadIops,
      ...limits.deviceWriteIops,
    ].map((d) => d.path),
  ),
];
