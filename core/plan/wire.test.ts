/** The wire: what encode.ts documents, and that decode.ts is its inverse, for plans of any steps. */
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Fault } from "#core/fault";
import { decodePlan } from "#core/plan/decode";
import { encodePlan, wire } from "#core/plan/encode";
import { type OpName, ops, type Plan, slots } from "#core/plan/ops";
import { child, parent } from "#core/plan/step";
import { randomPlan } from "./test/random.ts";

const view = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
const inBlob = new Set(["path", "text", "strv", "ids", "template", "bpf", "plan"]);
const specOf = new Map<number, { readonly name: string; readonly kinds: readonly string[]; readonly side: string }>(
  Object.entries(ops).map(([name, { code, args, side }]) => [code, { name, kinds: Object.values(args), side }]),
);

/** The layout as encode.ts draws it, read without its help. */
const checkLayout = (bytes: Uint8Array, depth: number): void => {
  const at = view(bytes);
  assert.is(new TextDecoder().decode(bytes.subarray(0, 4)), "CRCL");
  assert.is(at.getUint16(4, true), 1);
  const steps = at.getUint16(6, true);
  const start = 32 + 128 * steps;
  assert.is(at.getUint32(8, true), bytes.length - start);
  assert.is(at.getUint32(12, true), bytes.length);
  for (let i = 16; i < 32; i++) assert.is(bytes[i], 0);
  for (let step = 0; step < steps; step++) {
    const record = 32 + 128 * step;
    const spec = specOf.get(at.getUint16(record, true));
    if (spec === undefined) throw new Error("an op that the table lacks");
    assert.ok(spec.side === "both" || spec.side === (at.getUint8(record + 2) === 1 ? "parent" : "child"));
    assert.is(at.getUint8(record + 3), spec.kinds.length);
    assert.is(at.getUint32(record + 4, true), 0);
    for (let cell = 0; cell < 15; cell++) {
      const [offset, length] = [at.getUint32(record + 8 + 8 * cell, true), at.getUint32(record + 12 + 8 * cell, true)];
      const kind = spec.kinds[cell];
      if (kind === undefined) assert.equal([offset, length], [0, 0]);
      if (kind === undefined || !inBlob.has(kind)) continue;
      assert.is(offset % 8, 0, "blobs are 8-byte aligned");
      assert.ok(start + offset + length < bytes.length, "a blob and its NUL lie inside");
      assert.is(bytes[start + offset + length], 0, "a NUL follows");
      const blob = bytes.subarray(start + offset, start + offset + length);
      if (kind === "path") assert.ok(length > 0);
      if (kind === "path" || kind === "text") assert.not.ok(blob.includes(0));
      if (kind === "strv" && length > 0) assert.is(blob.at(-1), 0);
      if (kind === "ids") assert.is(length % 4, 0);
      if (kind === "bpf") assert.is(length % 8, 0);
      if (kind === "plan") checkLayout(blob, depth + 1);
    }
  }
};

const stored = (plan: Plan): unknown => ({
  version: 1,
  steps: plan.steps.map(({ op, side, args }) => ({
    op,
    side,
    args: Object.fromEntries(Object.entries(args).map(([name, value]) => [name, isPlan(value) ? stored(value) : value])),
    origin: "(stored)",
  })),
});
const isPlan = (value: unknown): value is Plan => typeof value === "object" && value !== null && "steps" in value;

test("what was encoded decodes to the same, and is laid out as documented", () => {
  fc.assert(
    fc.property(randomPlan(2), (plan) => {
      const bytes = encodePlan(plan);
      checkLayout(bytes, 0);
      assert.equal(decodePlan(bytes), stored(plan));
      assert.equal(encodePlan(decodePlan(bytes)), bytes);
    }),
    { numRuns: 300 },
  );
});

test("every op of the table, one by one", () => {
  const names: readonly string[] = Object.keys(ops);
  for (const name of names)
    fc.assert(
      fc.property(randomPlan(2, [name]), (plan) => assert.equal(decodePlan(encodePlan(plan)), stored(plan))),
      { numRuns: 10 },
    );
});

test("codes and slots are unique, fit their fields, and leave room in a record", () => {
  const codes = Object.values(ops).map(({ code }) => code);
  assert.is(new Set(codes).size, codes.length);
  assert.ok(codes.every((code) => code > 0 && code < 65536));
  assert.is(new Set(Object.values(slots)).size, Object.keys(slots).length);
  assert.ok(Object.values(ops).every(({ args }) => Object.keys(args).length <= wire.cells));
});

/** Codes and arguments that an older version wrote into undo lists: ABI. A change here breaks the clean-up of what is running. */
test("the ops of undo lists stay what they are", () => {
  const abi: Readonly<Partial<Record<OpName, readonly [number, string]>>> = {
    remove_state: [6, ""],
    kill_wait: [25, "maybe maybe"],
    fuse_end: [28, "maybe maybe"],
    cgroup_remove: [35, "path maybe"],
    cgroup_freeze: [38, "path text path text bool"],
  };
  for (const [name, [code, kinds]] of Object.entries(abi)) {
    const spec = specOf.get(code);
    assert.is(spec?.name, name);
    assert.is(spec?.kinds.join(" "), kinds);
  }
  assert.equal(slots, {
    pid: 1,
    startTime: 2,
    cgroupFd: 3,
    signal: 4,
    status: 5,
    exit: 6,
    fusePid: 7,
    fuseStartTime: 8,
    execPid: 9,
    execStartTime: 10,
  });
});

const faultOf = (run: () => unknown): Fault => {
  try {
    run();
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
};
const plan = (...steps: Plan["steps"]): Plan => ({ version: 1, steps });

test("a NUL byte is refused wherever a text may come from", () => {
  for (const step of [
    child("hostname", { name: "a\0b" }, "/hostname"),
    child("exec", { argv: ["a", "b\0"], env: [], preserveFds: 0 }, "/process/args"),
    child("exec", { argv: ["a"], env: ["\0=1"], preserveFds: 0 }, "/process/args"),
  ])
    assert.is(faultOf(() => encodePlan(plan(step))).code, "E_CONFIG");
});

test("an empty path is a defect of ours; too many steps or bytes are refused", () => {
  assert.is(faultOf(() => encodePlan(plan(child("cwd", { path: "" }, "/process/cwd")))).code, "E_INTERNAL");
  assert.is(
    faultOf(() => encodePlan(plan(...Array.from({ length: wire.maxSteps + 1 }, () => child("setsid", {}, ""))))).code,
    "E_UNSUPPORTED",
  );
  assert.is(
    faultOf(() => encodePlan(plan(child("exec", { argv: ["x".repeat(wire.maxSize)], env: [], preserveFds: 0 }, "/process/args")))).code,
    "E_UNSUPPORTED",
  );
  assert.is(
    decodePlan(encodePlan(plan(...Array.from({ length: wire.maxSteps }, () => child("setsid", {}, ""))))).steps.length,
    wire.maxSteps,
  );
});

test("numbers of 64 bits survive, and those that are none are refused", () => {
  const soft = 18446744073709551615n;
  const [step] = decodePlan(encodePlan(plan(child("rlimit", { resource: 7, soft, hard: 9223372036854771712n }, "")))).steps;
  assert.equal(step?.args, { resource: 7, soft, hard: 9223372036854771712n });
  const [score] = decodePlan(encodePlan(plan(child("oom_score", { value: -1000 }, "")))).steps;
  assert.equal(score?.args, { value: -1000 });
  for (const value of [1.5, Number.NaN, 2 ** 53])
    assert.is(faultOf(() => encodePlan(plan(child("oom_score", { value }, "")))).code, "E_INTERNAL");
});

test("damaged bytes are a fault or another plan, never another exception", () => {
  const whole = encodePlan(
    plan(parent("lock_state", { dir: "/run/x", create: true }, ""), parent("undo_log", { undo: plan(parent("remove_state", {}, "")) }, "")),
  );
  fc.assert(
    fc.property(fc.nat(whole.length - 1), fc.integer({ min: 0, max: 255 }), fc.nat(whole.length), (at, value, length) => {
      const bytes = Uint8Array.from(whole);
      bytes[at] = value;
      for (const damaged of [bytes, bytes.subarray(0, length)])
        try {
          decodePlan(damaged);
        } catch (error) {
          assert.instance(error, Fault);
        }
    }),
    { numRuns: 2000 },
  );
});

test.run();
