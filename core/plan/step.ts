/** Constructors of steps: the planner's files say `child("mount_fs", {…}, "/mounts/0")`. */
import type { Args, OpName, Step } from "./ops.ts";

type StepOf<N extends OpName> = Extract<Step, { readonly op: N }>;

const isStepOf = <N extends OpName>(_op: N, _step: unknown): _step is StepOf<N> => true;

/** TypeScript cannot see that `{op: N, args: Args<N>}` is a member of the union that is indexed by N; this is the one place that tells it. */
const make = <N extends OpName>(side: "parent" | "child", op: N, args: Args<N>, origin: string): Step => {
  const step: unknown = { op, side, args, origin };
  if (isStepOf(op, step)) return step;
  throw new Error("unreachable");
};

export const parent = <N extends OpName>(op: N, args: Args<N>, origin: string): Step => make("parent", op, args, origin);
export const child = <N extends OpName>(op: N, args: Args<N>, origin: string): Step => make("child", op, args, origin);

/** Origins that no line of config.json gave. */
export const BY_CORACLE = "(coracle)";
