/** `coracle-oci`: runc's command line. The composition root: the platform is chosen here. */
import { appendFileSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { Fault } from "#core/fault";
import { type Flag, flagText, formatHelp, parseFlags } from "#core/flags";
import { engineLine, faultData, logLine, renderFault } from "#core/render-fault";
import { OCI_VERSION } from "#core/spec/config";
import { ensureRuntimeRoot } from "#linux/dirs";
import { readFacts, readStartFacts } from "#linux/facts";
import { readProcesses, runPs } from "#linux/processes";
import { capturePlan, runForeground, runPlan } from "#linux/stage";
import { type Host, runVerb } from "./host.ts";
import type { Line, Verb } from "./verb.ts";
import { create, run } from "./verbs/create.ts";
import { exec } from "./verbs/exec.ts";
import { featuresVerb } from "./verbs/features.ts";
import { list, ps } from "./verbs/list.ts";
import { pause, resume } from "./verbs/pause.ts";
import { spec } from "./verbs/spec.ts";
import { deleteVerb, kill, start, state } from "./verbs/stored.ts";

const VERSION = "0.1.0";
const verbs: readonly Verb[] = [create, start, run, state, kill, deleteVerb, exec, list, ps, pause, resume, spec, featuresVerb];

const globalFlags: readonly Flag[] = [
  { name: "root", kind: "text", value: "DIR", help: "Where the containers' state is kept (default: $XDG_RUNTIME_DIR/coracle-oci)" },
  { name: "log", kind: "text", value: "FILE", help: "Append errors and warnings to FILE, too" },
  { name: "log-format", kind: "text", value: "text|json", help: "The log's format (default: text)" },
  { name: "debug", kind: "switch", help: "Accepted: there is no debug log" },
  { name: "systemd-cgroup", kind: "switch", help: "The same as --cgroup-manager systemd" },
  { name: "cgroup-manager", kind: "text", value: "MANAGER", help: "cgroupfs, systemd or disabled (default: what this host offers)" },
  { name: "rootless", kind: "text", value: "WORD", help: "Accepted: what a user may do is found out by trying" },
  { name: "help", short: "h", kind: "switch", help: "Show this help" },
  { name: "version", short: "v", kind: "switch", help: "Show the version" },
];

const usage = (): string =>
  [
    "coracle-oci: runs containers from OCI bundles, for unprivileged users",
    "",
    "usage: coracle-oci [GLOBAL FLAGS] VERB [FLAGS] [ARGUMENTS]",
    "",
    ...verbs.map((verb) => `  ${verb.usage.padEnd(28)}${verb.help}`),
    "",
    formatHelp(globalFlags),
  ].join("\n");

const isNotFound = (cause: unknown): boolean =>
  cause instanceof Error && "code" in cause && (cause.code === "ENOENT" || cause.code === "ENOTDIR");

const read = <T>(path: string, reader: (path: string) => T): T | null => {
  try {
    return reader(path);
  } catch (cause) {
    if (isNotFound(cause)) return null;
    throw new Fault("E_BUNDLE", { message: `${path} cannot be read`, cause, why: cause instanceof Error ? cause.message : String(cause) });
  }
};

const createHost = (root: string | null, note: (text: string) => void): Host => {
  let directory: string | undefined;
  const rootDirectory = (): string => (directory ??= ensureRuntimeRoot("coracle-oci", root));
  return {
    readFacts: (depth) => (depth === "start" ? readStartFacts(rootDirectory()) : readFacts({ depth })),
    readText: (path) => read(path, (name) => readFileSync(name, "utf8")),
    readBytes: (path) => read(path, (name) => readFileSync(name)),
    exists: existsSync,
    writeNew: (path, text) => {
      try {
        writeFileSync(path, text, { flag: "wx" });
      } catch (cause) {
        throw new Fault("E_BUNDLE", {
          message: `${path} cannot be written`,
          cause,
          why: cause instanceof Error ? cause.message : String(cause),
          hint: "move the old one away, or choose another --bundle",
        });
      }
    },
    print: (text) => process.stdout.write(text),
    note,
    runPlan,
    runForeground,
    capturePlan,
    names: (path) => [...(read(path, (name) => readdirSync(name)) ?? [])].sort(),
    userName: (uid) =>
      (read("/etc/passwd", (name) => readFileSync(name, "utf8")) ?? "")
        .split("\n")
        .map((row) => row.split(":"))
        .find((row) => row[2] === String(uid))?.[0] ?? `#${uid}`,
    readProcesses,
    runPs,
    root: rootDirectory,
    now: new Date().toISOString(),
  };
};

type Log = { readonly file: string | null; readonly json: boolean };

const writeLog = (log: Log, level: "error" | "warning", message: string, more: Readonly<Record<string, unknown>>): void => {
  if (log.file !== null) appendFileSync(log.file, logLine(level, message, new Date().toISOString(), log.json, more));
};

/** @throws Fault E_USAGE where it cannot be written: found out before anything else is done. */
const openLog = (file: string): void => {
  try {
    appendFileSync(file, "");
  } catch (cause) {
    throw new Fault("E_USAGE", {
      message: `--log ${file} cannot be written`,
      cause,
      why: cause instanceof Error ? cause.message : String(cause),
    });
  }
};

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === "object" && value !== null;

/** One line for engines on standard error, in runc's words; the rest of what is known goes into the log. */
const reportFault = (fault: Fault, log: Log): void => {
  const line = engineLine(fault);
  const data = faultData(fault);
  writeLog(log, "error", line, isRecord(data) ? { code: fault.code, detail: data } : {});
  if (process.stderr.isTTY) process.stderr.write(`${renderFault(fault)}\n`);
  else process.stderr.write(logLine("error", line, new Date().toISOString(), log.json));
};

const main = async (argv: readonly string[]): Promise<number> => {
  let log: Log = { file: null, json: false };
  let failure = 1;
  try {
    const global = parseFlags(globalFlags, argv, { command: "coracle-oci" });
    const format = flagText(global.values, "log-format") ?? "text";
    const file = flagText(global.values, "log");
    log = { file: null, json: format === "json" };
    if (file !== null) openLog(file);
    log = { ...log, file };
    if (format !== "text" && format !== "json")
      throw new Fault("E_USAGE", { message: `--log-format is ${JSON.stringify(format)}`, hint: "use text or json" });
    const [name, ...rest] = global.rest;
    if (global.values.has("version")) {
      process.stdout.write(`coracle-oci version ${VERSION}\nspec: ${OCI_VERSION}\n`);
      return 0;
    }
    if (name === undefined || name === "help" || global.values.has("help")) {
      process.stdout.write(usage());
      return name === undefined && !global.values.has("help") ? 1 : 0;
    }
    const verb = verbs.find((candidate) => candidate.name === name);
    if (verb === undefined)
      throw new Fault("E_USAGE", {
        message: `there is no verb ${JSON.stringify(name)}`,
        hint: `use one of ${verbs.map((candidate) => candidate.name).join(", ")}`,
      });
    failure = verb.failure ?? 1;
    const flags: readonly Flag[] = [...verb.flags, { name: "help", short: "h", kind: "switch", help: "Show this help" }];
    const parsed = parseFlags(flags, rest, { command: `coracle-oci ${name}`, interspersed: verb.runsCommand !== true });
    if (parsed.values.has("help")) {
      process.stdout.write(`usage: coracle-oci ${verb.usage}\n\n${verb.help}\n\n${formatHelp(flags)}`);
      return 0;
    }
    const line: Line = { global: global.values, values: parsed.values, rest: parsed.rest, cwd: process.cwd() };
    const note = (text: string): void => {
      writeLog(log, "warning", text, {});
      if (process.stderr.isTTY) process.stderr.write(`note: ${text}\n`);
    };
    return await runVerb(verb, line, createHost(flagText(global.values, "root"), note));
  } catch (cause) {
    const fault =
      cause instanceof Fault
        ? cause
        : new Fault("E_INTERNAL", { message: cause instanceof Error ? (cause.stack ?? cause.message) : String(cause), cause });
    reportFault(fault, log);
    return failure;
  }
};

main(process.argv.slice(2)).then((status) => {
  process.exitCode = status;
});
