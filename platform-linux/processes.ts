/** Which processes a container has: what `ps` shows. */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { Fault } from "#core/fault";

/** The process is gone, or is another's: either way not one to be shown. */
const attempt = <T>(read: () => T): T | null => {
  try {
    return read();
  } catch {
    return null;
  }
};

const pidNamespace = (pid: string): string | null => attempt(() => readlinkSync(`/proc/${pid}/ns/pid`));

const members = (dir: string): readonly number[] => [
  ...(attempt(() => readFileSync(`${dir}/cgroup.procs`, "utf8")) ?? "").split("\n").filter(Boolean).map(Number),
  ...(attempt(() => readdirSync(dir, { withFileTypes: true })) ?? []).flatMap((entry) =>
    entry.isDirectory() ? members(`${dir}/${entry.name}`) : [],
  ),
];

/**
 * Process ids as this process sees them, in ascending order: those of the container's cgroup, or where it has none of its own
 * those of init's pid namespace (not of namespaces that were made inside).
 * @param cgroupDir absolute path of its cgroup, version 2.
 * @throws Fault E_UNSUPPORTED where it has neither.
 */
export const readProcesses = (init: number, cgroupDir: string | null): readonly number[] => {
  if (cgroupDir !== null) return [...members(cgroupDir)].sort((a, b) => a - b);
  const namespace = pidNamespace(String(init));
  if (namespace === null) return [];
  if (namespace === pidNamespace("self"))
    throw new Fault("E_UNSUPPORTED", {
      message: "the container's processes cannot be told from the host's",
      why: "it has no pid namespace and no cgroup of its own",
      hint: "give it a pid namespace, or have a cgroup delegated (coracle doctor tells how)",
    });
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && pidNamespace(name) === namespace)
    .map(Number)
    .sort((a, b) => a - b);
};

/**
 * What ps(1) prints.
 * @throws Fault E_UNSUPPORTED where it cannot be run, E_USAGE where it does not like its arguments.
 */
export const runPs = (args: readonly string[]): string => {
  const { status, stdout, stderr, error } = spawnSync("ps", [...args], { encoding: "utf8", maxBuffer: 1 << 26 });
  if (error !== undefined)
    throw new Fault("E_UNSUPPORTED", {
      message: "ps cannot be run",
      cause: error,
      why: error.message,
      hint: "install ps (Debian: procps), or use --format json",
    });
  if (status !== 0) throw new Fault("E_USAGE", { message: `ps ${args.join(" ")}: ${stderr.trim()}`, hint: "see ps(1)" });
  return stdout;
};
