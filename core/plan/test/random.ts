/** Plans of any steps, as the op table allows them; they need not make sense. */
import * as fc from "fast-check";
import { type Kind, ops, type Plan, type Step, slots } from "#core/plan/ops";

const normal = (value: bigint): number | bigint =>
  value <= BigInt(Number.MAX_SAFE_INTEGER) && value >= -BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;
const small = fc.nat(1000);
const wide = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(normal);
/** Whole characters, none of them NUL, nor the one that stands for what is no text. */
const text = (minLength: number): fc.Arbitrary<string> =>
  fc.string({ unit: "binary", minLength, maxLength: 40 }).filter((value) => !value.includes("\0") && !value.includes("\ufffd"));
const plain = { noNullPrototype: true };
const slot = fc.constantFrom(...Object.keys(slots));
const u32 = fc.integer({ min: 0, max: 0xffffffff });

const template = fc.array(
  fc.oneof(
    text(0),
    fc.record({ slot, as: fc.constantFrom("decimal", "status", "le32") }, plain),
    fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: 20 }).map((bytes) => ({ bytes: [0, ...bytes] })),
  ),
  { maxLength: 5 },
);

const anyValue = (kind: Kind, depth: number): fc.Arbitrary<unknown> => {
  switch (kind) {
    case "u64":
    case "flags":
      return fc.oneof(small, wide);
    case "i64":
      return fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }).map(normal);
    case "bool":
      return fc.boolean();
    case "path":
      return text(1);
    case "text":
      return text(0);
    case "strv":
      return fc.array(text(0), { maxLength: 5 });
    case "ids":
      return fc.array(u32, { maxLength: 5 });
    case "template":
      return template;
    case "bpf":
      return fc.array(fc.tuple(fc.nat(65535), fc.nat(255), fc.nat(255), u32), { minLength: 1, maxLength: 5 });
    case "plan":
      return randomPlan(depth - 1);
    case "maybe":
      return fc.oneof(slot, fc.constant(null));
    case "reads":
    case "writes":
      return slot;
  }
};

const isStep = (_step: unknown): _step is Step => true;

const stepOf = (name: string, spec: (typeof ops)[keyof typeof ops], depth: number): fc.Arbitrary<Step> => {
  const side = spec.side === "both" ? fc.constantFrom("parent", "child") : fc.constant(spec.side);
  const kinds: readonly (readonly [string, Kind])[] = Object.entries(spec.args);
  const args = fc.record(Object.fromEntries(kinds.map(([key, kind]) => [key, anyValue(kind, depth)])), plain);
  return fc.record({ op: fc.constant(name), side, args, origin: fc.constant("(random)") }, plain).map((step: unknown) => {
    if (isStep(step)) return step;
    throw new Error("unreachable");
  });
};

/**
 * @param depth how many levels of plans may be in it (the executor takes two).
 * @param names the ops to choose from; default: all.
 */
export const randomPlan = (depth: number, names: readonly string[] = Object.keys(ops)): fc.Arbitrary<Plan> => {
  const steps = Object.entries(ops)
    .filter(([name, { args }]) => names.includes(name) && (depth > 0 || !Object.values(args).some((kind) => kind === "plan")))
    .map(([name, spec]) => stepOf(name, spec, depth));
  return fc
    .array(steps.length === 0 ? fc.oneof(...allFlat()) : fc.oneof(...steps), { maxLength: depth > 1 ? 12 : 4 })
    .map((all) => ({ version: 1 as const, steps: all }));
};

/** Where the chosen ops all hold plans, and no more plans may be in them: any that hold none. */
const allFlat = (): readonly fc.Arbitrary<Step>[] =>
  Object.entries(ops)
    .filter(([, { args }]) => !Object.values(args).some((kind) => kind === "plan"))
    .map(([name, spec]) => stepOf(name, spec, 0));
