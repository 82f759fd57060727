/** `create` and `run`: a bundle becomes a container (runtime.md#lifecycle). */
import { Fault } from "#core/fault";
import { type Flag, flagOn, flagText } from "#core/flags";
import { buildStart, type Start } from "#core/plan/build";
import type { CgroupManager } from "#core/plan/cgroups";
import { buildFilter } from "#core/plan/filter";
import { type Config, parseConfig } from "#core/spec/config";
import { absolute, readId } from "../arguments.ts";
import type { Action, Gathered, Line, Verb } from "../verb.ts";

/** Of `create` and `run`, and of `coracle explain --bundle`. */
export const startFlags: readonly Flag[] = [
  { name: "bundle", short: "b", kind: "text", value: "DIR", help: "The bundle's directory (default: the working directory)" },
  { name: "config", short: "f", kind: "text", value: "FILE", help: "The configuration (default: config.json in the bundle)" },
  { name: "pid-file", kind: "text", value: "FILE", help: "Write init's process id to FILE" },
  { name: "console-socket", kind: "text", value: "SOCKET", help: "Send the terminal's master to this unix socket" },
  { name: "preserve-fds", kind: "int", value: "N", help: "Pass descriptors 3 to 2+N on to the container" },
  { name: "no-pivot", kind: "switch", help: "Not supported: without pivot_root the old root stays within reach" },
  { name: "no-new-keyring", kind: "switch", help: "Keep the caller's session keyring" },
  {
    name: "limits",
    kind: "text",
    value: "enforce|best-effort",
    help: "best-effort runs with limits that do not hold, and says which (default: enforce)",
  },
];

const runOnly: readonly Flag[] = [
  { name: "keep", kind: "switch", help: "Keep the container's state when its process has ended" },
  { name: "detach", short: "d", kind: "switch", help: "Not supported yet: use create and start" },
  { name: "no-subreaper", kind: "switch", help: "Accepted: no subreaper is needed here" },
];

/** @throws Fault E_CONFIG with every issue of the text. */
export const readConfig = (text: string): { readonly config: Config; readonly notes: readonly string[] } => {
  const { config, issues, notes } = parseConfig(text);
  if (config === null)
    throw new Fault("E_CONFIG", { message: `config.json has ${issues.length === 1 ? "an issue" : `${issues.length} issues`}`, issues });
  return { config, notes };
};

const managerOf = (line: Line): CgroupManager => {
  const word = flagText(line.global, "cgroup-manager");
  if (flagOn(line.global, "systemd-cgroup")) return "systemd";
  if (word === null) return "auto";
  if (word === "cgroupfs" || word === "systemd" || word === "disabled") return word;
  throw new Fault("E_USAGE", { message: `--cgroup-manager is ${JSON.stringify(word)}`, hint: "use cgroupfs, systemd or disabled" });
};

const limitsOf = (line: Line): "enforce" | "best-effort" => {
  const word = flagText(line.values, "limits") ?? "enforce";
  if (word === "enforce" || word === "best-effort") return word;
  throw new Fault("E_USAGE", { message: `--limits is ${JSON.stringify(word)}`, hint: "use enforce or best-effort" });
};

const bundleOf = (line: Line): string => absolute(flagText(line.values, "bundle") ?? ".", line.cwd);

/** The plan of a `create` or `run` line: what `explain` shows is this, too. */
export const planStart = (verb: "create" | "run", line: Line, gathered: Gathered): Start => {
  const { facts } = gathered;
  if (facts === null || gathered.config === null) throw new Fault("E_INTERNAL", { message: "facts and config were not gathered" });
  if (flagOn(line.values, "no-pivot"))
    throw new Fault("E_UNSUPPORTED", {
      message: "--no-pivot is not supported",
      why: "without pivot_root the old root stays within the container's reach",
      hint: "leave it out; a root on an initramfs can be bind-mounted over itself first",
    });
  const id = readId(line, verb);
  const bundle = bundleOf(line);
  const { config, notes } = readConfig(gathered.config);
  if (config.root === undefined)
    throw new Fault("E_CONFIG", {
      message: "config.json names no root file system",
      issues: [{ pointer: "/root", message: "is missing", hint: 'add "root": {"path": "rootfs"}' }],
    });
  const said: string[] = [...notes];
  const file = (name: string): string | null => {
    const path = flagText(line.values, name);
    return path === null ? null : absolute(path, line.cwd);
  };
  const start = buildStart({
    verb: verb === "run" && !flagOn(line.values, "detach") ? "run" : "create",
    id,
    config,
    facts,
    stateDir: `${gathered.root}/${id}`,
    bundle,
    root: { kind: "bind", path: absolute(config.root.path, bundle) },
    pinned: null,
    release: [],
    pidFile: file("pid-file"),
    consoleSocket: file("console-socket"),
    preserveFds: Number(flagText(line.values, "preserve-fds") ?? 0),
    cgroupManager: managerOf(line),
    limits: limitsOf(line),
    newKeyring: !flagOn(line.values, "no-new-keyring"),
    keep: flagOn(line.values, "keep"),
    storeVerbs: true,
    seccomp: buildFilter(config, facts, (text) => said.push(text)),
    created: gathered.now,
  });
  return { ...start, notes: [...said, ...start.notes] };
};

const act =
  (verb: "create" | "run") =>
  (line: Line, gathered: Gathered): Action => {
    const { plan, notes } = planStart(verb, line, gathered);
    const detach = verb === "run" && flagOn(line.values, "detach");
    if (detach) throw new Fault("E_UNSUPPORTED", { message: "run --detach is not supported yet", hint: "use create and start" });
    return {
      kind: "stage",
      plan,
      shape: plan,
      foreground: verb === "run",
      preserveFds: Number(flagText(line.values, "preserve-fds") ?? 0),
      notes,
    };
  };

const ask = (line: Line) => ({
  facts: "start" as const,
  config: absolute(flagText(line.values, "config") ?? "config.json", bundleOf(line)),
});

export const create: Verb = {
  name: "create",
  usage: "create [FLAGS] ID",
  help: "Create a container: everything but its process's exec",
  flags: startFlags,
  ask,
  act: act("create"),
};
export const run: Verb = {
  name: "run",
  usage: "run [FLAGS] ID",
  help: "Create a container, start it, wait for it, and delete it",
  flags: [...startFlags, ...runOnly],
  ask,
  act: act("run"),
};
