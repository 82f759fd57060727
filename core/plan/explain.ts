/** `explain`: the plan in text, or as JSON. Not a simulation: it prints what is executed. */
import { describeStep } from "./describe.ts";
import type { Plan, Step } from "./ops.ts";

const block = (title: string, steps: readonly (readonly [index: number, step: Step])[], width: number): readonly string[] => {
  if (steps.length === 0) return [];
  const rows = steps.map(([index, step]) => ({
    number: String(index + 1).padStart(3),
    what: describeStep(step),
    op: step.op,
    origin: step.origin,
  }));
  const opWidth = Math.max(...rows.map(({ op }) => op.length));
  const whatWidth = Math.min(Math.max(...rows.map(({ what }) => what.length)), width);
  return [
    title,
    ...rows.map(
      ({ number, op, what, origin }) =>
        `${number}  ${op.padEnd(opWidth)}  ${what.padEnd(whatWidth)}  ${origin.startsWith("/") ? `config.json#${origin}` : origin}`,
    ),
    "",
  ];
};

/** Every step in words: outside first, then inside; with the line of config.json that asked for it. */
export const explainText = (plan: Plan, notes: readonly string[]): string => {
  const numbered = plan.steps.map((step, index): readonly [number, Step] => [index, step]);
  const lines = [
    ...block(
      "outside: the parent's steps",
      numbered.filter(([, step]) => step.side === "parent"),
      76,
    ),
    ...block(
      "inside: the child's steps",
      numbered.filter(([, step]) => step.side === "child"),
      76,
    ),
    ...notes.map((note) => `note: ${note}`),
  ];
  return `${lines.join("\n").trimEnd()}\n`;
};

/** The same as data: what the golden files hold. bigint values are for `stringifyJson`, which writes their digits. */
export const explainData = (plan: Plan, notes: readonly string[]): unknown => ({
  version: plan.version,
  notes,
  steps: plan.steps.map((step, index) => ({
    step: index + 1,
    side: step.side,
    op: step.op,
    what: describeStep(step),
    origin: step.origin,
    args: nested(step),
  })),
});

/** Filters and nested plans are long: instructions by number, plans by the words of their steps. */
const nested = (step: Step): unknown => {
  if (step.op === "seccomp") return { ...step.args, filter: step.args.filter.map((instruction) => instruction.join(" ")) };
  if (step.op === "store_plan") return { name: step.args.name, plan: step.args.plan.steps.map(describeStep) };
  if (step.op === "undo_log") return { undo: step.args.undo.steps.map(describeStep) };
  return step.args;
};
