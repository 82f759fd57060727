/** `exec`: a further process in a container, as runc's. */
import { Fault } from "#core/fault";
import { type Flag, flagList, flagOn, flagText } from "#core/flags";
import { type ExecContext, type Process, parseExecContext, parseProcess, planExec } from "#core/plan/exec";
import { absolute, checkId } from "../arguments.ts";
import type { Line, Verb } from "../verb.ts";

const flags: readonly Flag[] = [
  {
    name: "process",
    short: "p",
    kind: "text",
    value: "FILE",
    help: "The process as JSON (config.md#process); the other flags then do not count",
  },
  { name: "user", short: "u", kind: "text", value: "UID[:GID]", help: "User and group, as numbers" },
  { name: "additional-gids", short: "g", kind: "list", value: "GID", help: "A supplementary group" },
  { name: "env", short: "e", kind: "list", value: "NAME=VALUE", help: "An environment variable" },
  { name: "cwd", kind: "text", value: "DIR", help: "The working directory inside" },
  { name: "cap", short: "c", kind: "list", value: "CAP_…", help: "A capability beside those of the container's process" },
  { name: "tty", short: "t", kind: "switch", help: "Give the process a terminal, whose other end goes to --console-socket" },
  { name: "console-socket", kind: "text", value: "SOCKET", help: "Send the terminal's master to this unix socket" },
  { name: "detach", short: "d", kind: "switch", help: "Do not wait for the process" },
  { name: "pid-file", kind: "text", value: "FILE", help: "Write the process's id to FILE" },
  { name: "preserve-fds", kind: "int", value: "N", help: "Pass descriptors 3 to 2+N on to the process" },
  { name: "no-new-privs", kind: "switch", help: "No exec gains privileges" },
  { name: "ignore-paused", kind: "switch", help: "In a paused container, too: the process starts when that is resumed" },
  { name: "apparmor", kind: "text", value: "PROFILE", help: "", unsupported: "AppArmor profiles are not supported yet" },
  { name: "process-label", kind: "text", value: "LABEL", help: "", unsupported: "SELinux labels are not supported yet" },
  { name: "cgroup", kind: "list", value: "PATH", help: "", unsupported: "the process goes into the container's own cgroup" },
];

const idOf = (text: string, flag: string): number => {
  const id = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(id <= 0xffffffff))
    throw new Fault("E_USAGE", {
      message: `${flag}: ${JSON.stringify(text)} is no numeric id`,
      hint: "names are not looked up; write UID or UID:GID",
    });
  return id;
};

/** The container's own process, as the flags change it. Nothing is inheritable that was not (CVE-2022-29162). */
const fromFlags = ({ process }: ExecContext, { values, rest }: Line): Process => {
  const user = flagText(values, "user");
  const [uid, gid] = user?.split(":") ?? [];
  const groups = flagList(values, "additional-gids").map((text) => idOf(text, "--additional-gids"));
  const caps = flagList(values, "cap");
  const sets = process.capabilities ?? {};
  const more = (set: readonly string[] | undefined) => [...new Set([...(set ?? []), ...caps])];
  const noNewPrivileges = flagText(values, "no-new-privs");
  const cwd = flagText(values, "cwd");
  return {
    ...process,
    args: rest.slice(1),
    ...(cwd === null ? {} : { cwd }),
    env: [...(process.env ?? []), ...flagList(values, "env")],
    terminal: flagOn(values, "tty"),
    user: {
      ...process.user,
      ...(uid === undefined ? {} : { uid: idOf(uid, "--user") }),
      ...(gid === undefined ? {} : { gid: idOf(gid, "--user") }),
      additionalGids: [...(process.user?.additionalGids ?? []), ...groups],
    },
    ...(caps.length === 0
      ? {}
      : {
          capabilities: {
            ...sets,
            bounding: more(sets.bounding),
            effective: more(sets.effective),
            permitted: more(sets.permitted),
            ...(sets.inheritable === undefined ? {} : { ambient: more(sets.ambient) }),
          },
        }),
    ...(noNewPrivileges === null ? {} : { noNewPrivileges: noNewPrivileges === "true" }),
  };
};

export const exec: Verb = {
  name: "exec",
  usage: "exec [FLAGS] ID [COMMAND [ARG…]]",
  help: "Run a further process in a container",
  flags,
  runsCommand: true,
  failure: 255,
  ask: (line) => {
    const file = flagText(line.values, "process");
    return {
      container: { id: checkId(line.rest[0], "exec"), file: "exec.json" },
      ...(file === null ? {} : { config: absolute(file, line.cwd) }),
    };
  },
  act: (line, { container, config, root }) => {
    const id = checkId(line.rest[0], "exec");
    if (container?.recorded !== true)
      throw new Fault("E_NO_CONTAINER", { message: `container ${id} does not exist`, hint: "check the id and --root" });
    if (container.text === null)
      throw new Fault("E_UNSUPPORTED", { message: `container ${id} was created by a version that had no exec`, hint: "create it again" });
    const context = parseExecContext(container.text);
    if (config === null && line.rest.length < 2)
      throw new Fault("E_USAGE", { message: "exec needs a command, or --process", hint: "coracle-oci exec ID COMMAND" });
    const { process, notes } = config === null ? { process: fromFlags(context, line), notes: [] } : parseProcess(config);
    const path = (name: string): string | null => {
      const text = flagText(line.values, name);
      return text === null ? null : absolute(text, line.cwd);
    };
    const detach = flagOn(line.values, "detach");
    const preserveFds = Number(flagText(line.values, "preserve-fds") ?? 0);
    const planned = planExec({
      context,
      process,
      stateDir: `${root}/${id}`,
      pidFile: path("pid-file"),
      consoleSocket: path("console-socket"),
      preserveFds,
      detach,
      ignorePaused: flagOn(line.values, "ignore-paused"),
    });
    return {
      kind: "stage",
      plan: planned.plan,
      shape: planned.plan,
      foreground: !detach,
      preserveFds,
      notes: [...notes, ...planned.notes],
    };
  },
};
