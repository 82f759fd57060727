/** Facts about this host, gathered by the one prober (`native/facts`). */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { type Facts, parseFacts } from "#core/facts";
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
