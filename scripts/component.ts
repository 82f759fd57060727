/**
 * Builds `core` as a WebAssembly component (QuickJS inside) and holds it to two promises: it imports nothing, and it
 * answers byte for byte what the same source answers in Node.
 *
 *     node scripts/component.ts
 *
 * Inputs: `core/component.ts` and its world `core/component.wit` (one export, `plan: func(request: string) ->
 * result<string, string>`), and `core/test/requests.ts`, which lists the requests of every golden plan. Output:
 * `dist/component/core.wasm`, and `dist/component/host/`, by which a JavaScript host calls it.
 * Ends with `N passed, N failed`.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";
import * as z from "zod/mini";

const root = join(import.meta.dirname, "..");
const out = join(root, "dist/component");

const jco = (...args: readonly string[]): string => {
  const { status, stdout, stderr, error } = spawnSync(join(root, "node_modules/.bin/jco"), args, { cwd: out, encoding: "utf8" });
  if (status !== 0) throw new Error(`jco ${args.join(" ")} failed: ${error?.message ?? `${stdout}${stderr}`}`);
  return stdout;
};

const planFunction = z.custom<(request: string) => unknown>((value) => typeof value === "function");
const ModuleSchema = z.object({ plan: planFunction });
const RequestsSchema = z.object({ requests: z.array(z.object({ name: z.string(), request: z.string() })) });
const ComponentErrorSchema = z.object({ payload: z.string() });

/** An answer, or the error that it was refused with, as text. A component throws its error as a payload, plain code as it is. */
const answer = (plan: (request: string) => unknown, request: string): string => {
  try {
    return `ok ${String(plan(request))}`;
  } catch (error) {
    const wrapped = ComponentErrorSchema.safeParse(error);
    return `error ${wrapped.success ? wrapped.data.payload : String(error)}`;
  }
};

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
// `neutral`: an import of Node's own modules does not resolve here, and fails the build.
const plain = join(out, "core.js");
await build({
  entryPoints: [join(root, "core/component.ts")],
  absWorkingDir: root,
  outfile: plain,
  bundle: true,
  platform: "neutral",
  format: "esm",
  target: "es2023",
  mainFields: ["module", "main"],
  legalComments: "none",
  logLevel: "warning",
});
jco(
  "componentize",
  "core.js",
  "--wit",
  join(root, "core/component.wit"),
  "--backend",
  "qjs",
  "--backend-qjs-stub-wasi",
  "--backend-qjs-disable-async",
  "--out",
  "core.wasm",
);

let passed = 0;
let failed = 0;
const gate = (name: string, problem: string | null): void => {
  if (problem === null) passed++;
  else {
    failed++;
    console.log(`FAIL ${name}: ${problem}`);
  }
};

const imports = jco("wit", "core.wasm")
  .split("\n")
  .filter((line) => /^\s*import\b/.test(line));
gate("the component imports nothing", imports.length === 0 ? null : imports.map((line) => line.trim()).join(" "));

jco("transpile", "core.wasm", "--name", "core", "--out-dir", "host");
const load = (path: string): Promise<unknown> => import(pathToFileURL(path).href);
const component = ModuleSchema.parse(await load(join(out, "host/core.js")));
const source = ModuleSchema.parse(await load(plain));
const { requests } = RequestsSchema.parse(await load(join(root, "core/test/requests.ts")));
if (requests.length === 0) gate("requests", "there is none to compare");
for (const { name, request } of requests) {
  const [inside, outside] = [answer(component.plan, request), answer(source.plan, request)];
  gate(name, inside === outside ? null : `the component answers ${inside.slice(0, 300)}\n     and Node ${outside.slice(0, 300)}`);
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
