/** What holds of every start: of the golden cases on every host, and of random mixtures of their parts. */
import { readFileSync } from "node:fs";
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { parseFacts } from "#core/facts";
import { Fault } from "#core/fault";
import { locateAll, stringifyJson } from "#core/json";
import { buildStart, type StartInput } from "#core/plan/build";
import { decodePlan } from "#core/plan/decode";
import { describeStep } from "#core/plan/describe";
import { encodePlan } from "#core/plan/encode";
import { explainText } from "#core/plan/explain";
import { type Kind, ops, type Plan, points, type SlotName, type Step, type Template } from "#core/plan/ops";
import { type Case, cases, HOSTS, inputOf, placeOn } from "./test/configs.ts";

const hosts = HOSTS.map((host) =>
  parseFacts(JSON.parse(readFileSync(new URL(`../test/hosts/${host}.json`, import.meta.url), "utf8")), host),
);

/** Both sides, run as the executor runs them, but with nothing done: each goes on until it waits for what the other has not said. */
const simulate = (plan: Plan): void => {
  const sides = { parent: plan.steps.filter(({ side }) => side === "parent"), child: plan.steps.filter(({ side }) => side === "child") };
  const said: { readonly parent: number[]; readonly child: number[] } = { parent: [], child: [] };
  const at = { parent: 0, child: 0 };
  let spawned = false;
  let moved = true;
  const pass = (side: "parent" | "child", step: Step): boolean => {
    const other = side === "parent" ? "child" : "parent";
    if (side === "child" && !spawned) return false;
    if (step.op === "spawn") {
      assert.not.ok(spawned, "one child is spawned");
      spawned = true;
    }
    if (step.op === "notify") said[side].push(Number(step.args.point));
    if (step.op === "refork") said[side].push(points.spawned);
    if (step.op !== "await" && step.op !== "adopt") return true;
    const heard = said[other].shift();
    if (heard === undefined) return false;
    assert.is(heard, step.op === "adopt" ? points.spawned : Number(step.args.point), "what is heard is what is waited for");
    return true;
  };
  while (moved) {
    moved = false;
    for (const side of ["parent", "child"] as const)
      for (let step = sides[side][at[side]]; step !== undefined && pass(side, step); step = sides[side][at[side]]) {
        at[side]++;
        moved = true;
      }
  }
  for (const side of ["parent", "child"] as const) {
    const stuck = sides[side][at[side]];
    assert.is(stuck === undefined ? null : `${side} waits at: ${describeStep(stuck)}`, null);
    assert.equal(said[side], [], "all that was said was heard");
  }
};

const holesOf = (template: Template): readonly SlotName[] =>
  template.flatMap((part) => (typeof part === "object" && "slot" in part ? [part.slot] : []));
const isTemplate = (kind: Kind, _value: unknown): _value is Template => kind === "template";
const isSlot = (kind: Kind, value: unknown): value is SlotName =>
  (kind === "reads" || kind === "writes" || kind === "maybe") && value !== null;

/** Slots are a side's own: what the parent learns after the clone does not reach the child, but its own pid it knows. */
const checkSlots = (steps: readonly Step[], known: Set<SlotName>, strict: boolean): void => {
  for (const step of steps) {
    const kinds: readonly (readonly [string, Kind])[] = Object.entries(ops[step.op].args);
    const args: Readonly<Record<string, unknown>> = step.args;
    if (step.op === "load_slots") known.add("pid").add("startTime");
    for (const [name, kind] of kinds) {
      const value = args[name];
      if (isTemplate(kind, value))
        for (const slot of holesOf(value))
          assert.ok(!strict || known.has(slot), `${step.op}.${name} has a hole for ${slot}, which is not known yet`);
      if (isSlot(kind, value) && kind === "reads") assert.ok(known.has(value), `${step.op} reads ${value}, which was not written`);
      if (isSlot(kind, value) && kind === "maybe" && step.op === "spawn")
        assert.ok(known.has(value), `spawn uses ${value}, which was not written`);
    }
    for (const [name, kind] of kinds) {
      const value = args[name];
      if (isSlot(kind, value) && kind === "writes") known.add(value);
    }
  }
};

const nestedPlans = (plan: Plan): readonly (readonly [name: string, plan: Plan])[] =>
  plan.steps.flatMap((step): (readonly [string, Plan])[] =>
    step.op === "store_plan" ? [[step.args.name, step.args.plan]] : step.op === "undo_log" ? [["undo", step.args.undo]] : [],
  );

const sideEffects = new Set(["spawn", "cgroup_create", "cgroup_set", "hook", "pid_file", "store_file", "store_plan", "start_listen"]);

const checkPlan = (plan: Plan, input: StartInput): void => {
  simulate(plan);
  const parents = plan.steps.filter(({ side }) => side === "parent");
  const children = plan.steps.filter(({ side }) => side === "child");
  checkSlots(parents, new Set(), true);
  checkSlots(children, new Set(["pid"]), true);

  // ---- undo
  assert.equal(
    parents.slice(0, 2).map(({ op }) => op),
    ["lock_state", "undo_log"],
    "the undo list comes before any side effect",
  );
  assert.not.ok(parents.slice(0, 2).some(({ op }) => sideEffects.has(op)));
  const nested = new Map(nestedPlans(plan));
  const undo = nested.get("undo");
  const freezer = nested.has("pause.plan") ? ["pause.plan", "resume.plan"] : [];
  const stored = ["start.plan", "state.plan", "kill.plan", "delete.plan", "delete-force.plan", ...freezer];
  assert.equal([...nested.keys()].sort(), ["undo", ...stored].sort());
  for (const name of ["undo", "delete.plan", "delete-force.plan"]) assert.is(nested.get(name)?.steps.at(-1)?.op, "remove_state", name);
  for (const name of stored) {
    const steps = nested.get(name)?.steps ?? [];
    assert.is(steps[0]?.op, "lock_state");
    assert.ok(
      steps.every(({ side }) => side === "parent"),
      "a later verb has no child",
    );
    checkSlots(steps, new Set(name === "kill.plan" ? ["signal"] : []), true);
  }
  checkSlots(undo?.steps ?? [], new Set(), false);
  // Whatever cgroup is made is removed by all three.
  for (const step of parents)
    if (step.op === "cgroup_create") {
      const dir = `${step.args.base === "/" ? "" : step.args.base}/${step.args.name}`;
      for (const name of ["undo", "delete.plan", "delete-force.plan"])
        assert.ok(
          nested
            .get(name)
            ?.steps.some((other) => other.op === "cgroup_remove" && (dir === other.args.dir || dir.startsWith(`${other.args.dir}/`))),
          `${name} removes ${dir}`,
        );
    }

  // ---- what other verbs need is on record before the child is told that it is, and so may outlive its parent
  const order = parents.map(({ op }) => op);
  const record = parents.findIndex((step) => step.op === "store_file" && step.args.name === "record.json");
  const recorded = parents.findIndex((step) => step.op === "notify" && step.args.point === points.recorded);
  assert.ok(record > order.lastIndexOf("store_plan") && record < recorded && order.indexOf("pid_file") < recorded);

  // ---- the child's end
  assert.is(children.at(-1)?.op, "exec");
  const index = (op: Step["op"]): number => children.findIndex((step) => step.op === op);
  for (const op of ["mask", "readonly", "sysctl", "console", "mount_fs", "mount_bind"] as const)
    assert.ok(children.findLastIndex((step) => step.op === op) < index("pivot"), `${op} comes before the pivot`);
  assert.ok(index("bounding") < index("ids") && index("ids") < index("capabilities") && index("cwd") > index("pivot"));
  if (index("seccomp") >= 0) {
    const late = index("no_new_privs") >= 0;
    assert.is(late, input.config.process?.noNewPrivileges === true);
    assert.ok(late ? index("capabilities") < index("seccomp") : index("seccomp") < index("capabilities"));
    assert.ok(index("seccomp") > children.findLastIndex((step) => step.op === "await"), "the filter governs none of our own meetings");
  }
  assert.is(index("await_start") >= 0, input.verb === "create");

  // ---- the wire, origins, words
  const again = decodePlan(encodePlan(plan));
  assert.equal(
    again.steps.map(({ op, side }) => [op, side]),
    plan.steps.map(({ op, side }) => [op, side]),
  );
  const paths = plan.steps.flatMap((step) =>
    Object.entries(ops[step.op].args).flatMap(([name, kind]) =>
      kind === "path" ? [Object.entries(step.args).find(([key]) => key === name)?.[1]] : [],
    ),
  );
  assert.ok(
    paths.every((path) => typeof path === "string" && path !== ""),
    "no path is empty",
  );
  const origins = plan.steps.map(({ origin }) => origin);
  assert.ok(
    origins.every((origin) => /^\/|^\([a-zA-Z -]+\)$/.test(origin)),
    "an origin is a pointer, or words in parentheses",
  );
  const pointers = origins.filter((origin) => origin.startsWith("/"));
  const located = locateAll(stringifyJson(input.config, 1), pointers);
  for (const pointer of pointers) assert.ok(located.has(pointer), `${pointer} is in the config`);
  for (const step of plan.steps) {
    const words = describeStep(step);
    assert.ok(words !== "" && !words.includes("undefined") && !words.includes("NaN") && !words.includes("[object"), `${step.op}: ${words}`);
  }
  assert.ok(explainText(plan, []).split("\n").length > plan.steps.length);
};

/** Refused, or a plan for which all of it holds; and the same each time. */
const check = (input: StartInput): Fault | null => {
  let start: ReturnType<typeof buildStart>;
  try {
    start = buildStart(input);
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    assert.ok(error.message !== "" && error.code !== "E_INTERNAL", error.message);
    return error;
  }
  checkPlan(start.plan, input);
  assert.equal(encodePlan(buildStart(input).plan), encodePlan(start.plan), "the same input gives the same bytes");
  return null;
};

const inputs = (one: Case, facts: (typeof hosts)[number]): StartInput | null => {
  try {
    return inputOf(one, placeOn(facts));
  } catch (error) {
    if (error instanceof Fault) return null;
    throw error;
  }
};

for (const one of cases)
  test(`${one.name}, on every host`, () => {
    for (const facts of hosts) {
      const input = inputs(one, facts);
      if (input !== null) check(input);
    }
  });

const holds = (run: () => void): boolean => {
  try {
    run();
    return true;
  } catch {
    return false;
  }
};

test("the simulation notices every meeting that is missing", () => {
  const facts = hosts
    .filter(({ cgroup }) => cgroup.systemdUser !== null && cgroup.v2?.delegated === null && cgroup.mode === "v2")
    .slice(0, 1);
  const chosen = cases.filter(({ name }) => name === "hooks-run" || name === "limits");
  for (const input of facts.flatMap((on) => chosen.map((one) => inputOf(one, placeOn(on))))) {
    const { plan } = buildStart(input);
    assert.ok(holds(() => simulate(plan)));
    const meetings = plan.steps.filter(({ op }) => op === "notify" || op === "await" || op === "adopt");
    assert.ok(meetings.length >= 6);
    for (const meeting of meetings)
      assert.not.ok(holds(() => simulate({ version: 1, steps: plan.steps.filter((step) => step !== meeting) })));
  }
});

/** Parts of different cases put together: what no one thought of. */
test("random mixtures", () => {
  const record = (value: unknown): value is Readonly<Record<string, unknown>> =>
    typeof value === "object" && value !== null && !Array.isArray(value);
  const part = (value: unknown, key: string): object => {
    const found = record(value) ? value[key] : undefined;
    return record(found) ? found : {};
  };
  let planned = 0;
  fc.assert(
    fc.property(
      fc.constantFrom(...hosts),
      fc.array(fc.constantFrom(...cases), { minLength: 2, maxLength: 5 }),
      fc.constantFrom("auto" as const, "cgroupfs" as const, "systemd" as const, "disabled" as const),
      fc.boolean(),
      fc.array(fc.nat(20), { maxLength: 4 }),
      (facts, chosen, cgroupManager, bestEffort, dropped) => {
        const place = placeOn(facts);
        const mixed: Case = {
          name: "mixture",
          hosts: [],
          seccomp: true,
          config: () => {
            let config: object = {};
            for (const one of chosen) {
              const next = one.config(place);
              config = {
                ...config,
                ...next,
                process: { ...part(config, "process"), ...part(next, "process") },
                linux: { ...part(config, "linux"), ...part(next, "linux") },
              };
            }
            const linux = part(config, "linux");
            const listed: unknown = "namespaces" in linux ? linux.namespaces : [];
            const namespaces = Array.isArray(listed) ? listed.filter((_, i) => !dropped.includes(i)) : [];
            return { ...config, linux: { ...linux, namespaces } };
          },
          input: () => ({
            ...Object.assign({}, ...chosen.map((one) => one.input?.(place) ?? {})),
            cgroupManager,
            limits: bestEffort ? "best-effort" : "enforce",
          }),
        };
        const input = inputs(mixed, facts);
        fc.pre(input !== null);
        if (input !== null && check(input) === null) planned++;
      },
    ),
    { numRuns: 600, maxSkipsPerRun: 1000 },
  );
  assert.ok(planned > 50, `only ${planned} mixtures were plans: too few to say anything`);
});

test.run();
