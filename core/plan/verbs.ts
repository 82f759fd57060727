/**
 * The later verbs, as plans that `create` stores beside the record: they need no planner, no config and no bundle, which
 * may have changed or gone by then.
 */
import type { CgroupPlan } from "./cgroups.ts";
import type { Plan, Step, Template } from "./ops.ts";
import { BY_CORACLE, parent } from "./step.ts";

const statusBit = { stopped: 1, created: 2, running: 4, paused: 8 } as const;
export type Status = keyof typeof statusBit;

export type VerbContext = {
  readonly stateDir: string;
  readonly cgroup: CgroupPlan;
  /** The state of the specification (runtime.md#state) with holes for pid and status. */
  readonly state: Template;
  readonly poststart: readonly Step[];
  readonly poststop: readonly Step[];
  /** Snapshots and the like that the container owns: what `delete` takes down with it. */
  readonly release: readonly Step[];
};

const plan = (steps: readonly Step[]): Plan => ({ version: 1, steps });
const by = BY_CORACLE;

const lock = (context: VerbContext): readonly Step[] => [
  parent("lock_state", { dir: context.stateDir, create: false }, by),
  parent("load_slots", {}, by),
];
const derive = (context: VerbContext): Step =>
  parent(
    "status",
    {
      pid: "pid",
      startTime: "startTime",
      freezer: context.cgroup.freezer?.state ?? "",
      frozen: context.cgroup.freezer?.frozen ?? "",
      status: "status",
    },
    by,
  );
const demand = (...allowed: readonly Status[]): Step =>
  parent("require_status", { status: "status", allowed: allowed.reduce((sum, status) => sum | statusBit[status], 0) }, by);

/** Version 2 writes a switch and reports in cgroup.events; version 1's one file is both. */
const freeze = (context: VerbContext, on: boolean, gone: boolean): readonly Step[] => {
  const { freezer } = context.cgroup;
  if (freezer === null) return [];
  const v2 = freezer.file.endsWith("/cgroup.freeze");
  const value = on ? freezer.frozen : freezer.thawed;
  const events = v2 ? freezer.file.replace(/freeze$/, "events") : freezer.state;
  return [parent("cgroup_freeze", { file: freezer.file, value, events, settled: v2 ? `frozen ${value}` : value, gone }, by)];
};

/** What ends a container for good, in an order that an interruption can stop anywhere: the undo list goes last. */
const teardown = (context: VerbContext): readonly Step[] => [
  // Version 1 keeps a frozen process from dying, too.
  ...(context.cgroup.driver === "v1" ? freeze(context, false, true) : []),
  parent("kill_wait", { pid: "pid", startTime: "startTime" }, by),
  ...context.cgroup.remove,
  ...context.release,
];

export type StoredVerb = "start" | "state" | "kill" | "delete" | "delete-force" | "pause" | "resume";

/** `pause` and `resume` are stored only where there is a freezer to do it with. */
export const buildVerbs = (context: VerbContext): Readonly<Partial<Record<StoredVerb, Plan>>> => ({
  start: plan([...lock(context), derive(context), demand("created"), parent("connect_start", {}, "/process/args"), ...context.poststart]),
  state: plan([...lock(context), derive(context), parent("print", { content: context.state }, by)]),
  kill: plan([
    ...lock(context),
    derive(context),
    demand("created", "running", "paused"),
    parent("signal", { pid: "pid", startTime: "startTime", signal: "signal" }, by),
    ...(context.cgroup.driver === "v1" && context.cgroup.freezer !== null
      ? [parent("cgroup_thaw_killed", { file: context.cgroup.freezer.file, value: context.cgroup.freezer.thawed, signal: "signal" }, by)]
      : []),
  ]),

  delete: plan([
    ...lock(context),
    derive(context),
    demand("stopped"),
    ...teardown(context),
    ...context.poststop,
    parent("remove_state", {}, by),
  ]),
  ...(context.cgroup.freezer === null
    ? {}
    : {
        pause: plan([...lock(context), derive(context), demand("running"), ...freeze(context, true, false)]),
        resume: plan([...lock(context), derive(context), demand("paused"), ...freeze(context, false, false)]),
      }),
  "delete-force": plan([...lock(context), ...teardown(context), ...context.poststop, parent("remove_state", {}, by)]),
});

/** What takes a start back that failed, or was killed, at any step. */
export const buildUndo = (context: VerbContext): Plan => plan([...teardown(context), parent("remove_state", {}, by)]);

/** After the foreground process has ended: what `delete` does, its lock being held again. */
export const afterExit = (context: VerbContext): readonly Step[] => [
  ...teardown(context),
  ...context.poststop,
  parent("remove_state", {}, by),
];

/**
 * For what a killed launcher of a foreground run left behind: undone if its process has ended. A container that runs, or
 * is being started (its lock is held until then), is left alone.
 */
export const buildSweep = (stateDir: string): Plan =>
  plan([
    parent("lock_state", { dir: stateDir, create: false }, by),
    parent("load_slots", {}, by),
    parent("status", { pid: "pid", startTime: "startTime", freezer: "", frozen: "", status: "status" }, by),
    demand("stopped"),
    parent("run_undo", {}, by),
  ]);

/** For a container whose start was interrupted before it had a record. */
export const buildRecovery = (stateDir: string): Plan =>
  plan([parent("lock_state", { dir: stateDir, create: false }, by), parent("run_undo", {}, by)]);
