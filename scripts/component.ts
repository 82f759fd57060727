/**
 * Builds `core` as a WebAssembly component (QuickJS inside) and holds it to two promises: it imports nothing, and it
 * answers byte for byte what the same source answers in Node: plans, explanations, and every word of an error.
 *
 *     node scripts/component.ts
 *
 * In: `core/component.ts` and its world, `core/wit/coracle.wit`. Out: `dist/component/core.wasm`, and
 * `dist/component/host/`, by which a JavaScript host calls it. Ends with `N passed, N failed`.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";
import fc from "fast-check";
import * as z from "zod/mini";
import { planner as source } from "#core/component";
import { type Facts, parseFacts } from "#core/facts";
import { Fault } from "#core/fault";
import { stringifyJson } from "#core/json";
import { encodePlan } from "#core/plan/encode";
import { buildDefaultSeccomp } from "#core/seccomp/default-policy";
import { type Case, cases, type Place, placeOn, planOf } from "../core/plan/test/configs.ts";
import type { Json } from "../core/spec/test/data.ts";
import { fullConfig } from "../core/spec/test/full.ts";
import { mutated } from "../core/spec/test/mutate.ts";

const root = join(import.meta.dirname, "..");
const out = join(root, "dist/component");

const jco = (...args: readonly string[]): string => {
  const { status, stdout, stderr, error } = spawnSync(join(root, "node_modules/.bin/jco"), args, { cwd: out, encoding: "utf8" });
  if (status !== 0) throw new Error(`jco ${args.join(" ")} failed: ${error?.message ?? `${stdout}${stderr}`}`);
  return stdout;
};

type Planner = Readonly<Record<keyof typeof source, (request: string) => unknown>>;
const isFunction = z.custom<(request: string) => unknown>((value) => typeof value === "function");
const ModuleSchema = z.object({ planner: z.object({ plan: isFunction, explain: isFunction, validate: isFunction }) });

// ---- build
rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
writeFileSync(join(out, "package.json"), '{"type":"module"}\n'); // dist/ itself holds CommonJS
await build({
  entryPoints: [join(root, "core/component.ts")],
  absWorkingDir: root,
  outfile: join(out, "core.js"),
  bundle: true,
  platform: "neutral", // an import of Node's own modules does not resolve, and fails the build
  format: "esm",
  target: "es2023",
  mainFields: ["module", "main"],
  legalComments: "none",
  logLevel: "warning",
});
jco(
  ...["componentize", "core.js", "--wit", join(root, "core/wit"), "--out", "core.wasm"],
  // Without these two the engine asks its host for clocks, randomness and an event loop, which the core never uses.
  ...["--backend", "qjs", "--backend-qjs-stub-wasi", "--backend-qjs-disable-async"],
);
jco("transpile", "core.wasm", "--name", "core", "--out-dir", "host");

// ---- compare
let passed = 0;
const failures = new Map<string, string>();
const gate = (name: string, problem: string | null): void => {
  if (problem === null) passed++;
  else {
    failures.set(name, problem);
    console.log(`FAIL ${name}: ${problem}`);
  }
};

const wit = jco("wit", "core.wasm");
const imports = wit.split("\n").filter((line) => /^\s*import\b/.test(line));
gate("the component imports nothing", imports.length === 0 ? null : imports.map((line) => line.trim()).join(" "));
gate("the component exports the planner", wit.includes("export coracle:core/planner@") ? null : wit);

let instances = 0;
const instantiate = async (): Promise<Planner> =>
  ModuleSchema.parse(await import(`${pathToFileURL(join(out, "host/core.js")).href}?${instances++}`)).planner;
let component = await instantiate();

/** jco throws a `result`'s error as an object that has it as its payload; the source throws the string itself. */
const RefusalSchema = z.union([
  z.string(),
  z.pipe(
    z.object({ payload: z.string() }),
    z.transform(({ payload }) => payload),
  ),
]);
const PlannedSchema = z.object({ explanation: z.string(), bytes: z.instanceof(Uint8Array) });

type Answer = { readonly text: string; readonly trapped: boolean };
const ask = (planner: Planner, what: keyof Planner, request: string): Answer => {
  try {
    const answer = planner[what](request);
    const planned = PlannedSchema.safeParse(answer);
    return {
      text: planned.success ? `${Buffer.from(planned.data.bytes).toString("hex")}\n${planned.data.explanation}` : String(answer),
      trapped: false,
    };
  } catch (cause) {
    const refusal = RefusalSchema.safeParse(cause);
    return refusal.success ? { text: `refused: ${refusal.data}`, trapped: false } : { text: `trapped: ${String(cause)}`, trapped: true };
  }
};

const firstDifference = (a: string, b: string): string => {
  const at = [...a].findIndex((character, i) => character !== b[i]);
  const from = Math.max(0, (at === -1 ? Math.min(a.length, b.length) : at) - 40);
  return `the component answers …${a.slice(from, from + 200)}…\n     and Node …${b.slice(from, from + 200)}…`;
};

/** Asks both, and gives what Node answers. */
const compare = async (name: string, what: keyof Planner, request: string): Promise<string> => {
  const outside = ask(source, what, request);
  const inside = ask(component, what, request);
  if (inside.trapped) component = await instantiate(); // a trap leaves an instance in any state
  const defect = outside.text.startsWith('refused: {"code":"E_INTERNAL"'); // both may fall over alike
  gate(`${what}: ${name}`, defect ? outside.text : inside.text === outside.text ? null : firstDifference(inside.text, outside.text));
  return outside.text;
};

// ---- every golden plan
/** The config's text; golden cases compile the default policy beside it, so here the policy is written into it. */
const textOf = (one: Case, place: Place): string => {
  const config = one.config(place);
  if (one.seccomp !== true) return stringifyJson(config, 2);
  const { process, linux } = z
    .looseObject({ process: z.object({ capabilities: z.object({ bounding: z.array(z.string()) }) }), linux: z.looseObject({}) })
    .parse(config);
  const seccomp = buildDefaultSeccomp(process.capabilities.bounding, place.facts.arch, place.facts.kernel);
  return stringifyJson({ ...config, linux: { ...linux, seccomp } }, 2);
};

const requestOf = (one: Case, place: Place): string => {
  const { config: _config, facts: _facts, seccomp: _seccomp, release, ...input } = one.input?.(place) ?? {};
  return stringifyJson({
    config: textOf(one, place),
    facts: place.facts,
    verb: "create",
    id: "box",
    stateDir: place.stateDir,
    bundle: place.bundle,
    root: { kind: "bind", path: `${place.bundle}/rootfs` },
    created: "2026-01-02T03:04:05Z",
    remove: (release ?? []).flatMap((step) => (step.op === "remove_tree" ? [step.args.dir] : [])),
    ...input,
  });
};

/** The plan of a golden file, as its test makes it; null where it is a refusal. */
const goldenOf = (one: Case, place: Place): string | null => {
  try {
    const start = planOf(one, place);
    return start instanceof Fault ? null : Buffer.from(encodePlan(start.plan)).toString("hex");
  } catch (cause) {
    if (cause instanceof Fault) return null; // of the schema
    throw cause;
  }
};

const readHost = (host: string): Facts => parseFacts(JSON.parse(readFileSync(join(root, `core/test/hosts/${host}.json`), "utf8")), host);
let plans = 0;
for (const one of cases)
  for (const host of one.hosts) {
    const place = placeOn(readHost(host));
    const name = `${one.name} on ${host}`;
    const request = requestOf(one, place);
    const answer = await compare(name, "plan", request);
    await compare(name, "explain", request);
    const golden = goldenOf(one, place);
    if (golden !== null) plans++;
    const same = golden === null ? answer.startsWith("refused: ") : answer.startsWith(`${golden}\n`);
    gate(`plan: ${name}: as its golden file`, same ? null : `another plan than core/plan/golden.test.ts checks: ${answer.slice(0, 200)}`);
  }
gate("at least 40 plans were compared", plans >= 40 ? null : `${plans} were`);

// ---- every word of validation, over documents that are wrong in many ways, and texts that are no JSON
const seed = 20_261_121;
const documents = fc.sample(mutated([fullConfig]), { seed, numRuns: 300 });
for (const [i, document] of documents.entries())
  await compare(`mutated config ${i} of seed ${seed}`, "validate", stringifyJson(document, 2));
const someHost = placeOn(readHost("debian12"));
const JsonSchema = z.custom<Json>((value) => typeof value === "object");
const sound = cases.map((one) => JsonSchema.parse(one.config(someHost)));
for (const [i, document] of fc.sample(mutated(sound), { seed, numRuns: 300 }).entries())
  await compare(`mutated case ${i} of seed ${seed}`, "plan", requestOf({ name: "", hosts: [], config: () => Object(document) }, someHost));
const whole = stringifyJson(fullConfig, 2);
for (const cut of fc.sample(fc.nat(whole.length - 1), { seed, numRuns: 60 }))
  await compare(`config cut at ${cut}`, "validate", whole.slice(0, cut));
for (const depth of [100, 999, 1001, 100_000])
  await compare(`arrays nested ${depth} deep`, "validate", `${"[".repeat(depth)}${"]".repeat(depth)}`);
await compare("annotations nested 900 deep", "validate", `{"ociVersion":"1.3.0","annotations":${'{"a":'.repeat(900)}1${"}".repeat(900)}}`);
await compare("a request that is no object", "plan", "7");
await compare("a request without members", "plan", "{}");
await compare("lone surrogates", "validate", '{"ociVersion":"1.3.0","hostname":"\\ud800"}');

console.log(`${passed} passed, ${failures.size} failed`);
process.exitCode = failures.size === 0 ? 0 : 1;
