/** `coracle`: docker's command line for one unprivileged user. The composition root. */
import { readFileSync } from "node:fs";
import type { Facts } from "#core/facts";
import { Fault } from "#core/fault";
import { type Flag, flagOn, flagText, formatHelp, type ParsedFlags, parseFlags } from "#core/flags";
import { stringifyJson } from "#core/json";
import type { Start } from "#core/plan/build";
import { encodePlan } from "#core/plan/encode";
import { explainData, explainText } from "#core/plan/explain";
import { exitOfFrames, faultOfFrames, warningsOfFrames } from "#core/plan/report";
import { faultData, renderFault } from "#core/render-fault";
import { buildRunOptions, type RunOptions } from "#core/run-options";
import { readFacts, readFactsFile } from "#linux/facts";
import { runForeground } from "#linux/stage";
import { planStart, startFlags } from "#runtime/verbs/create";
import { doctor } from "./doctor.ts";
import { globalFlags, runFlags } from "./flags.ts";
import { type Dirs, explainRun, prepareRun } from "./launch.main.ts";

const VERSION = "0.1.0";

const readFile = (path: string): string => {
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    throw new Fault("E_USAGE", {
      message: `${path} cannot be read`,
      cause,
      why: cause instanceof Error ? cause.message : String(cause),
      hint: "check the path",
    });
  }
};

const note = (text: string): void => {
  process.stderr.write(`note: ${text}\n`);
};

const readOptions = (
  flags: readonly Flag[],
  args: readonly string[],
  command: string,
): { readonly options: RunOptions; readonly flag: (name: string) => string | null; readonly on: (name: string) => boolean } | null => {
  const { values, rest } = parseFlags(flags, args, { command });
  if (flagOn(values, "help")) {
    process.stdout.write(
      `usage: ${command} [FLAGS] IMAGE [COMMAND [ARG...]]\n\nIMAGE is hello (embedded), or an OCI layout: oci:DIR[:tag].\n\n${formatHelp(flags)}`,
    );
    return null;
  }
  return {
    options: buildRunOptions(values, rest, { cwd: process.cwd(), env: process.env, readText: readFile }),
    flag: (name) => flagText(values, name),
    on: (name) => flagOn(values, name),
  };
};

const run = async (args: readonly string[], dirs: Dirs): Promise<number> => {
  const parsed = readOptions(runFlags, args, "coracle run");
  if (parsed === null) return 0;
  const { options } = parsed;
  const { start, root, facts, finish } = await prepareRun(options, dirs, process.cwd());
  if (!options.quiet) for (const text of start.notes) note(text);
  const { frames } = await runForeground(encodePlan(start.plan), {
    scratch: root,
    stdin: options.interactive ? "inherit" : "ignore",
  }).finally(finish);
  const failed = frames.some(({ kind }) => kind === "error" || kind === "vanished");
  const fault = failed ? faultOfFrames(frames, start.plan, facts()) : null;
  if (fault !== null) throw fault;
  for (const text of warningsOfFrames(frames, start.plan)) note(text);
  return exitOfFrames(frames)?.code ?? 0;
};

const explainFlags: readonly Flag[] = [
  { name: "json", kind: "switch", group: "Explain", help: "Write the plan as one JSON document" },
  { name: "config", kind: "switch", group: "Explain", help: "Write the config.json that the image and the flags make, instead" },
  {
    name: "facts",
    kind: "text",
    value: "FILE",
    group: "Explain",
    help: "Plan for another host: its facts, from `coracle doctor --facts-only`",
  },
  {
    name: "bundle",
    kind: "text",
    value: "DIR",
    group: "Explain",
    help: "Explain `coracle-oci run` of this bundle; no image is named then",
  },
];

/** Another host's facts, or null: this one's are probed where they are needed. */
const foreignFacts = (file: string | null): Facts | null => (file === null ? null : readFactsFile(file));

const explainBundle = (directory: string, { values, rest }: ParsedFlags, facts: Facts): Start => {
  const line = { global: new Map(), values, rest: rest.length === 0 ? ["explained"] : rest, cwd: process.cwd() };
  const root = facts.dirs.runtime.path.replace(/\/coracle$/, "/coracle-oci") || `/tmp/coracle-oci-${facts.self.uid}`;
  return planStart("run", line, {
    facts,
    config: readFile(`${directory}/config.json`),
    container: null,
    root,
    cwd: process.cwd(),
    now: "",
  });
};

const printStart = ({ plan, notes }: Start, json: boolean): void => {
  process.stdout.write(json ? `${stringifyJson(explainData(plan, notes), 1)}\n` : explainText(plan, notes));
};

const explain = async (args: readonly string[], dirs: Dirs): Promise<number> => {
  const bundle = bundleOf(args);
  if (bundle !== null) {
    const line = parseFlags([...explainFlags, ...startFlags], args, { command: "coracle explain" });
    const facts = foreignFacts(flagText(line.values, "facts")) ?? readFacts({ depth: "full" });
    printStart(explainBundle(bundle, line, facts), flagOn(line.values, "json"));
    return 0;
  }
  const parsed = readOptions([...explainFlags.filter(({ name }) => name !== "bundle"), ...runFlags], args, "coracle explain");
  if (parsed === null) return 0;
  const { start, config } = await explainRun(parsed.options, dirs, process.cwd(), foreignFacts(parsed.flag("facts")));
  if (parsed.on("config")) process.stdout.write(`${stringifyJson(config, 2)}\n`);
  else printStart(start, parsed.on("json"));
  return 0;
};

/** `--bundle DIR` anywhere before an image makes this the other form of the verb. */
const bundleOf = (args: readonly string[]): string | null => {
  const at = args.findIndex((arg) => arg === "--bundle" || arg === "-b" || arg.startsWith("--bundle="));
  if (at < 0) return null;
  return args[at]?.includes("=") ? (args[at]?.slice("--bundle=".length) ?? null) : (args[at + 1] ?? null);
};

const commands = {
  run: { usage: "run --rm [FLAGS] IMAGE [COMMAND [ARG...]]", help: "Run a command in a new container", start: run },
  explain: {
    usage: "explain [FLAGS] IMAGE [COMMAND [ARG...]]",
    help: "Show what a run would do, step by step; it does nothing, and needs no privilege",
    start: explain,
  },
  doctor: {
    usage: "doctor [FLAGS]",
    help: "Say what this host can and cannot do, why, and the remedy",
    start: async (args: readonly string[]) => doctor(args, { readFacts, readFactsFile }),
  },
} as const;

const isCommand = (name: string): name is keyof typeof commands => Object.hasOwn(commands, name);

const usage = (): string =>
  [
    "coracle: containers for one unprivileged user",
    "",
    "usage: coracle [GLOBAL FLAGS] COMMAND [FLAGS] [ARGUMENTS]",
    "",
    ...Object.values(commands).map(({ usage: form, help }) => `  ${form.padEnd(44)}${help}`),
    "",
    formatHelp(globalFlags),
  ].join("\n");

const main = async (argv: readonly string[]): Promise<number> => {
  let json = false;
  try {
    const { values, rest } = parseFlags(globalFlags, argv, { command: "coracle" });
    const format = flagText(values, "log-format") ?? "text";
    json = format === "json";
    if (format !== "text" && format !== "json")
      throw new Fault("E_USAGE", { message: `--log-format is ${JSON.stringify(format)}`, hint: "use text or json" });
    if (flagOn(values, "version")) {
      process.stdout.write(`coracle ${VERSION}\n`);
      return 0;
    }
    const [name, ...args] = rest;
    if (name === undefined || flagOn(values, "help")) {
      process.stdout.write(usage());
      return name === undefined && !flagOn(values, "help") ? 125 : 0;
    }
    if (!isCommand(name))
      throw new Fault("E_USAGE", {
        message: `there is no command ${JSON.stringify(name)}`,
        hint: `use one of ${Object.keys(commands).join(", ")}`,
      });
    return await commands[name].start(args, { root: flagText(values, "root"), storage: flagText(values, "storage") });
  } catch (cause) {
    const fault =
      cause instanceof Fault
        ? cause
        : new Fault("E_INTERNAL", { message: cause instanceof Error ? (cause.stack ?? cause.message) : String(cause), cause });
    process.stderr.write(`${json ? stringifyJson(faultData(fault)) : renderFault(fault)}\n`);
    return fault.spec.exit;
  }
};

main(process.argv.slice(2)).then((status) => {
  process.exitCode = status;
});
