/** Facts about this host, gathered by the one prober (`native/facts`). */
import { spawnSync } from "node:child_process";
import { lstatSync, readFileSync, readlinkSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import * as z from "zod/mini";
import { type Facts, FactsSchema, parseFacts } from "#core/facts";
import { Fault } from "#core/fault";
import { nativePath } from "#linux/native";

export type ReadFactsOptions = {
  /** `quick` (under 1 ms) reads only, and leaves each trial `not-tried`; `full` (about 5 ms) tries everything. Default: `full`. */
  readonly depth?: Facts["depth"];
  /** Coracle's data directory; default `$XDG_DATA_HOME/coracle`, else `$HOME/.local/share/coracle`. It need not exist. */
  readonly dataDir?: string;
  /** Coracle's runtime directory; default `$XDG_RUNTIME_DIR/coracle`. It need not exist. */
  readonly runtimeDir?: string;
  /** The environment that the prober reads (HOME, PATH, XDG_*, …); default: this process's. */
  readonly env?: Readonly<Record<string, string>>;
};

const parseJson = (text: string, source: string): unknown => {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Fault("E_FACTS", { message: `${source} is not JSON`, cause });
  }
};

/**
 * Probes this host as this process: its user, its namespaces, its limits. Synchronous: nothing can be planned before it.
 * @throws Fault E_NATIVE_MISSING without the prober, E_FACTS where it fails or its answer does not fit (the message names the fields).
 */
export const readFacts = (options: ReadFactsOptions = {}): Facts => {
  const args = [
    options.depth === "quick" ? "--quick" : "--full",
    ...(options.dataDir === undefined ? [] : ["--data", options.dataDir]),
    ...(options.runtimeDir === undefined ? [] : ["--runtime", options.runtimeDir]),
  ];
  const probe = spawnSync(nativePath("facts"), args, {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    ...(options.env === undefined ? {} : { env: { ...options.env } }),
  });
  if (probe.error !== undefined) throw new Fault("E_FACTS", { message: "the prober cannot be run", cause: probe.error });
  if (probe.status !== 0) {
    const end = probe.signal === null ? `exited with ${probe.status}` : `was killed by ${probe.signal}`;
    throw new Fault("E_FACTS", { message: `the prober ${end}`, why: probe.stderr.trim() });
  }
  return parseFacts(parseJson(probe.stdout, "the prober's answer"), "the prober's answer");
};

/**
 * Another host's facts, from a file that `coracle doctor --facts-only` or the prober wrote there (`explain --facts FILE`).
 * @throws Fault E_FACTS where it cannot be read or does not fit; the message names the fields.
 */
export const readFactsFile = (path: string): Facts => {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw new Fault("E_FACTS", { message: `${path} cannot be read`, cause });
  }
  return parseFacts(parseJson(text, path), path);
};

const CACHE = ".facts.json";
const CacheSchema = z.object({ key: z.string(), facts: FactsSchema });

/** Of a file that decides what a trial finds: its size and time, or that it is not there. */
const stamp = (path: string): string => {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat === undefined ? "absent" : `${stat.size} ${stat.mtimeMs}`;
};

/**
 * All that can be read, and that trials depend on. Trials of one key are worth as much as new ones; where it cannot be
 * told whether this is still the same boot (a hidden /proc), there is no key.
 */
const keyOf = (quick: Facts): string | null => {
  if (quick.bootId === "") return null;
  const { bootId, kernel, self, subids, lsm, procMasked, insideContainer, tools, devices, dirs, seccomp } = quick;
  const { uid, gid, capEffective, capBounding, uidMap, gidMap, setgroups, noNewPrivs, seccompMode } = self;
  return JSON.stringify([
    bootId,
    kernel.release,
    [uid, gid, capEffective, capBounding, uidMap, gidMap, setgroups, noNewPrivs, seccompMode],
    [subids.uid, subids.gid, subids.newuidmap, subids.newgidmap, subids.cause],
    [lsm, procMasked, insideContainer, tools, devices, seccomp],
    [dirs.data.path, dirs.data.fs, dirs.data.writable, dirs.data.userXattr, dirs.runtime.path],
    ["/etc/subuid", "/etc/subgid", nativePath("facts")].map(stamp),
  ]);
};

const readCache = (path: string, key: string): Facts | null => {
  try {
    if (!lstatSync(path).isFile()) return null;
    const cached = z.safeParse(CacheSchema, JSON.parse(readFileSync(path, "utf8")));
    return cached.success && cached.data.key === key ? cached.data.facts : null;
  } catch {
    return null; // absent or damaged: the trials are made again
  }
};

/** A cache that cannot be written (a full disk) costs the next start 5 ms, and nothing else. */
const writeCache = (path: string, key: string, facts: Facts): void => {
  const temporary = `${path}.${process.pid}`;
  try {
    writeFileSync(temporary, JSON.stringify({ key, facts }), { mode: 0o600, flag: "wx" });
    renameSync(temporary, path);
  } catch {
    rmSync(temporary, { force: true });
  }
};

/** Read now, with the trials of an earlier full probe. What a quick probe tries itself (devices) is its own. */
const withTrials = (quick: Facts, full: Facts): Facts => ({
  ...quick,
  depth: "full",
  userns: full.userns,
  subids: { ...quick.subids, mapping: full.subids.mapping },
  namespaces: full.namespaces,
  mounts: full.mounts,
  dirs: { ...quick.dirs, data: { ...quick.dirs.data, overlay: full.dirs.data.overlay } },
});

/**
 * Processes are looked up in /proc by their pids: it must be that of our own pid namespace. In a container that had to
 * bind the /proc around it, it is not, and `/proc/PID` is somebody else.
 */
const checkProc = (): void => {
  let self: string;
  try {
    self = readlinkSync("/proc/self");
  } catch (cause) {
    throw new Fault("E_UNSUPPORTED", {
      message: "a container cannot be started without /proc",
      cause,
      why: "/proc is not mounted or is hidden, and ids are mapped through it",
      hint: "mount proc on /proc (as root: mount -t proc proc /proc)",
    });
  }
  if (self !== String(process.pid))
    throw new Fault("E_UNSUPPORTED", {
      message: "a container cannot be started below a /proc of another pid namespace",
      why: `/proc is that of a container around us (it calls this process ${self}, and not ${process.pid})`,
      hint: "start the outer container where it gets a /proc of its own: one level up, with nothing of /proc masked (--privileged, or --security-opt unmask=ALL)",
    });
};

/**
 * Facts for a start: read anew each time, with trials that a full probe made once for this boot, user and place and that
 * are kept in `.facts.json` of the runtime root. A host without user namespaces is tried each time: the remedy shows at once.
 * @param root the private runtime root.
 * @throws Fault as `readFacts`; E_UNSUPPORTED where /proc is hidden, or another pid namespace's.
 */
export const readStartFacts = (root: string, options: Omit<ReadFactsOptions, "depth"> = {}): Facts => {
  checkProc();
  const quick = readFacts({ ...options, depth: "quick" });
  const key = keyOf(quick);
  const path = `${root}/${CACHE}`;
  const known = key === null ? null : readCache(path, key);
  if (known !== null) return withTrials(quick, known);
  const full = readFacts({ ...options, depth: "full" });
  if (key !== null && full.userns.works) writeCache(path, key, full);
  return full;
};
