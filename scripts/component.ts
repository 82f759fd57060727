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
import { globSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";
import fc from "fast-check";
import * as z from "zod/mini";
import { type StartRequest, planner as source } from "#core/component";
import { stringifyJson } from "#core/json";
import { buildDefaultSeccomp } from "#core/seccomp/default-policy";
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

const counts = { same: 0, refused: 0 };
const compare = async (name: string, what: keyof Planner, request: string): Promise<void> => {
  const outside = ask(source, what, request);
  const inside = ask(component, what, request);
  if (inside.trapped) component = await instantiate(); // a trap leaves an instance in any state
  if (outside.text.startsWith("refused: ")) counts.refused++;
  else counts.same++;
  gate(`${what}: ${name}`, inside.text === outside.text ? null : firstDifference(inside.text, outside.text));
};

// ---- inputs
const hosts = globSync("core/test/hosts/*.json", { cwd: root })
  .sort()
  .map((path) => ({ name: basename(path, ".json"), facts: z.unknown().parse(JSON.parse(readFileSync(join(root, path), "utf8"))) }));
gate("facts of hosts", hosts.length > 0 ? null : "there are none to plan for");

const namespaces = ["pid", "network", "ipc", "uts", "mount", "cgroup", "user"].map((type) => ({ type }));
const base = {
  ociVersion: "1.3.0",
  process: { cwd: "/", args: ["/bin/true"], env: ["PATH=/bin"], user: { uid: 0, gid: 0 }, noNewPrivileges: true },
  root: { path: "rootfs" },
  mounts: [
    { destination: "/proc", type: "proc", source: "proc" },
    { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "mode=755", "size=65536k"] },
    { destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid", "ro"] },
  ],
  linux: { namespaces, uidMappings: [{ containerID: 0, hostID: 1000, size: 1 }], gidMappings: [{ containerID: 0, hostID: 1000, size: 1 }] },
};
const configs: Readonly<Record<string, unknown>> = {
  "single id": base,
  "limits, ranges, seccomp": {
    ...base,
    process: {
      ...base.process,
      oomScoreAdj: -500,
      rlimits: [{ type: "RLIMIT_NOFILE", soft: 1024, hard: 18446744073709551615n }],
      capabilities: { bounding: ["CAP_KILL"], effective: ["CAP_KILL"], permitted: ["CAP_KILL"] },
    },
    hostname: "coracle",
    linux: {
      namespaces,
      uidMappings: [
        { containerID: 0, hostID: 1000, size: 1 },
        { containerID: 1, hostID: 100000, size: 65536 },
      ],
      gidMappings: [
        { containerID: 0, hostID: 1000, size: 1 },
        { containerID: 1, hostID: 100000, size: 65536 },
      ],
      resources: { memory: { limit: 9223372036854771712n }, pids: { limit: 64 }, cpu: { quota: 50_000, period: 100_000 } },
      seccomp: buildDefaultSeccomp([], "amd64", { major: 6, minor: 1 }),
      maskedPaths: ["/proc/kcore", "/sys/firmware"],
      readonlyPaths: ["/proc/sys"],
    },
  },
  "hooks, joined namespaces, sysctl": {
    ...base,
    hooks: { createRuntime: [{ path: "/bin/echo", args: ["echo", "ü"] }], poststop: [{ path: "/bin/true", timeout: 1 }] },
    annotations: { "org.example.key": "värde 🛶" },
    linux: {
      ...base.linux,
      namespaces: [...namespaces.filter(({ type }) => type !== "network"), { type: "network", path: "/proc/1/ns/net" }],
      sysctl: { "kernel.msgmax": "65536" },
    },
  },
};

const requestOf = (config: string, facts: unknown, more: Partial<StartRequest> = {}): string => {
  const request: StartRequest = {
    config,
    facts,
    verb: "create",
    id: "golden",
    stateDir: "/run/user/1000/coracle/golden",
    bundle: "/home/user/bundle",
    root: { kind: "bind", path: "/home/user/bundle/rootfs" },
    created: "2026-01-01T00:00:00Z",
    ...more,
  };
  return stringifyJson(request);
};

for (const { name: host, facts } of hosts)
  for (const [name, config] of Object.entries(configs)) {
    const text = stringifyJson(config, 2);
    await compare(`${name} on ${host}`, "plan", requestOf(text, facts));
    await compare(`${name} on ${host}`, "explain", requestOf(text, facts, { verb: "run", limits: "best-effort" }));
  }
gate("some requests make a plan, and some are refused", counts.same > 0 && counts.refused > 0 ? null : stringifyJson(counts));

// ---- every word of validation, over documents that are wrong in many ways, and texts that are no JSON
const seed = 20_261_121;
const documents = fc.sample(mutated([fullConfig]), { seed, numRuns: 300 });
for (const [i, document] of documents.entries())
  await compare(`mutated config ${i} of seed ${seed}`, "validate", stringifyJson(document, 2));
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
