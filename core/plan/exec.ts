/**
 * `exec`: a further process in a container that is there. What of the container's config it needs was stored by `create`:
 * the bundle may have changed or gone, and nothing is read from the container's root (CVE-2025-24965).
 */
import * as z from "zod/mini";
import type { Facts } from "#core/facts";
import { Fault, type Issue } from "#core/fault";
import { stringifyJson } from "#core/json";
import { checkProcess } from "#core/spec/check";
import { type Config, ProcessSchema } from "#core/spec/config";
import { parseDocument } from "#core/spec/issues";
import type { CgroupPlan } from "./cgroups.ts";
import { type Instruction, type Plan, type PointName, points, type Step } from "./ops.ts";
import { type Filter, planPayload } from "./payload.ts";
import { BY_CORACLE, child, parent } from "./step.ts";
import type { Status } from "./verbs.ts";

export type Process = NonNullable<Config["process"]>;

/** The file of the state directory that `create` writes for `exec`. */
export const EXEC_FILE = "exec.json";

const ExecContextSchema = z.object({
  version: z.literal(1),
  id: z.string(),
  /** As the config has it: what `exec` changes by flags, and whose rest it keeps. */
  process: ProcessSchema,
  /** Four numbers an instruction. */
  seccomp: z.nullable(z.object({ flags: z.int(), code: z.array(z.int()) })),
  /** The container's user namespace is not that of who created it. */
  userns: z.boolean(),
  /** Whom to be in it, until the process's own ids are taken. */
  become: z.object({ uid: z.int(), gid: z.int() }),
  setgroups: z.boolean(),
  capBounding: z.string(),
  /** Version 2: one directory to be cloned into; version 1: those to be attached to. */
  cgroup: z.object({ v2: z.nullable(z.string()), v1: z.array(z.string()) }),
  freezer: z.nullable(z.object({ state: z.string(), frozen: z.string() })),
});
export type ExecContext = z.infer<typeof ExecContextSchema>;

type ExecSource = {
  readonly id: string;
  readonly process: Process;
  readonly seccomp: Filter;
  readonly userns: boolean;
  readonly become: { readonly uid: number; readonly gid: number };
  readonly setgroups: boolean;
  readonly facts: Facts;
  readonly cgroup: CgroupPlan;
};

/** The text of `exec.json`. */
export const execContext = (source: ExecSource): string => {
  const { id, process, seccomp, userns, become, setgroups, facts, cgroup } = source;
  const context = {
    version: 1,
    id,
    process,
    seccomp: seccomp === null ? null : { flags: seccomp.flags, code: seccomp.filter.flat() },
    userns,
    become,
    setgroups,
    capBounding: facts.self.capBounding,
    cgroup: {
      v2: cgroup.driver === "v2" || cgroup.driver === "systemd" ? cgroup.dir : null,
      v1: cgroup.attach.flatMap((step) => (step.op === "cgroup_attach" ? step.args.dirs : [])),
    },
    freezer: cgroup.freezer === null ? null : { state: cgroup.freezer.state, frozen: cgroup.freezer.frozen },
  } satisfies ExecContext;
  return stringifyJson(context);
};

/** @throws Fault E_INTERNAL where the file is not what `execContext` wrote. */
export const parseExecContext = (text: string): ExecContext => {
  const { value, issues } = parseDocument(text, ExecContextSchema);
  if (value === null)
    throw new Fault("E_INTERNAL", {
      message: `${EXEC_FILE} of the container is damaged`,
      issues,
      hint: "delete the container with --force",
    });
  return value;
};

/**
 * A process object as engines give it to `exec --process`.
 * @throws Fault E_CONFIG with every issue.
 */
export const parseProcess = (text: string): { readonly process: Process; readonly notes: readonly string[] } => {
  const { value, issues, notes } = parseDocument(text, ProcessSchema, checkProcess);
  if (value === null) throw new Fault("E_CONFIG", { message: "the process of --process is invalid", issues });
  return { process: value, notes };
};

export type ExecInput = {
  readonly context: ExecContext;
  readonly process: Process;
  /** Absolute paths. */
  readonly stateDir: string;
  readonly pidFile: string | null;
  readonly consoleSocket: string | null;
  readonly preserveFds: number;
  /** False waits for the process, and passes signals on to it. */
  readonly detach: boolean;
  /** Go on in a paused container: the process then starts when that is resumed. */
  readonly ignorePaused: boolean;
};

/** Members of a process that nothing enforces yet. */
const notYet = ["scheduler", "ioPriority", "execCPUAffinity"] as const;
const labels = ["apparmorProfile", "selinuxLabel"] as const;

const at = (side: typeof parent | typeof child, op: "notify" | "await", point: PointName): Step =>
  side(op, { point: points[point] }, BY_CORACLE);
const bit = { stopped: 1, created: 2, running: 4, paused: 8 } as const satisfies Readonly<Record<Status, number>>;

const instructions = (code: readonly number[]): readonly Instruction[] =>
  Array.from({ length: code.length / 4 }, (_, i) => [code[4 * i] ?? 0, code[4 * i + 1] ?? 0, code[4 * i + 2] ?? 0, code[4 * i + 3] ?? 0]);

/**
 * Compiles an exec.
 * @throws Fault E_UNSUPPORTED with every member of the process that cannot be enforced.
 */
export const planExec = (input: ExecInput): { readonly plan: Plan; readonly notes: readonly string[] } => {
  const { context, process } = input;
  const { cgroup, freezer, userns, setgroups } = context;
  const issues: Issue[] = [];
  const notes: string[] = [];
  const issue = (pointer: string, message: string, hint?: string): void => {
    issues.push(hint === undefined ? { pointer, message } : { pointer, message, hint });
  };
  for (const name of notYet) if (process[name] !== undefined) issue(`/process/${name}`, "is not supported yet");
  for (const name of labels) if ((process[name] ?? "") !== "") issue(`/process/${name}`, "is not supported yet");
  if (process.terminal === true && input.consoleSocket === null)
    issue("/process/terminal", "a terminal needs someone to hold its other end", "give --console-socket, or leave --tty out");
  if (process.terminal !== true && input.consoleSocket !== null)
    issue(
      "/process/terminal",
      "a console socket was given, but the process wants no terminal",
      "give --tty, or leave --console-socket out",
    );

  const attach = cgroup.v1.length > 0;
  const identity = { pid: "pid", startTime: "startTime" } as const;
  const own = { pid: "execPid", startTime: "execStartTime" } as const;
  const terminal =
    process.terminal === true && input.consoleSocket !== null
      ? {
          connect: [child("console_connect", { socket: input.consoleSocket }, "(--console-socket)")],
          make: [
            child(
              "terminal",
              { rows: process.consoleSize?.height ?? 0, columns: process.consoleSize?.width ?? 0, uid: process.user?.uid ?? 0 },
              "/process/terminal",
            ),
          ],
        }
      : { connect: [], make: [] };
  const payload = planPayload(
    { process },
    {
      facts: { self: { capBounding: context.capBounding } },
      userns,
      setgroups,
      preserveFds: input.preserveFds,
      seccomp: context.seccomp === null ? null : { filter: instructions(context.seccomp.code), flags: context.seccomp.flags },
      newKeyring: true,
      id: context.id,
      issue,
      note: (text) => notes.push(text),
      handshake: [at(child, "notify", "ready"), at(child, "await", "recorded")],
    },
  );
  const inside: readonly Step[] = [
    ...(attach ? [at(child, "await", "scoped")] : []),
    // Both mean the host's files, so they come before those are out of sight.
    ...(process.oomScoreAdj === undefined ? [] : [child("oom_score", { value: process.oomScoreAdj }, "/process/oomScoreAdj")]),
    ...terminal.connect,
    child("enter", {}, BY_CORACLE),
    child("refork", { flags: 0, cgroup: "" }, BY_CORACLE),
    ...(userns ? [child("become", { ...context.become, setgroups }, BY_CORACLE)] : []),
    child("setsid", {}, BY_CORACLE),
    ...terminal.make,
    // A working directory that is missing is the caller's mistake here, and is not made.
    ...payload.map((step) => (step.op === "cwd" ? child("workdir", { path: step.args.path }, step.origin) : step)),
  ];
  const outside: readonly Step[] = [
    parent("lock_state", { dir: input.stateDir, create: false }, BY_CORACLE),
    parent("load_slots", {}, BY_CORACLE),
    parent("status", { ...identity, freezer: freezer?.state ?? "", frozen: freezer?.frozen ?? "", status: "status" }, BY_CORACLE),
    parent("require_status", { status: "status", allowed: bit.created | bit.running | (input.ignorePaused ? bit.paused : 0) }, BY_CORACLE),
    parent("open_init", identity, BY_CORACLE),
    // In a paused container the next steps end when it is resumed, which takes the lock.
    parent("unlock_state", {}, BY_CORACLE),
    ...(cgroup.v2 === null ? [] : [parent("cgroup_open", { dir: cgroup.v2, fd: "cgroupFd" }, BY_CORACLE)]),
    parent("spawn", { flags: 0, cgroup: cgroup.v2 === null ? null : "cgroupFd", ...own }, BY_CORACLE),
    ...(attach ? [parent("cgroup_attach", { dirs: cgroup.v1, pid: "execPid" }, BY_CORACLE), at(parent, "notify", "scoped")] : []),
    parent("adopt", own, BY_CORACLE),
    at(parent, "await", "ready"),
    ...(input.pidFile === null
      ? []
      : [parent("pid_file", { path: input.pidFile, content: [{ slot: "execPid", as: "decimal" }] }, "(--pid-file)")]),
    at(parent, "notify", "recorded"),
    parent("await_exec", {}, "/process/args"),
    ...(input.detach ? [] : [parent("wait_exit", { exit: "exit" }, "/process/args")]),
  ];
  if (issues.length > 0)
    throw new Fault("E_UNSUPPORTED", {
      message: `the process asks for what cannot be enforced here: ${issues.map(({ pointer }) => pointer).join(", ")}`,
      issues,
    });
  return { plan: { version: 1, steps: [...outside, ...inside] }, notes };
};
