/**
 * Bundles the composition roots to `dist/coracle.main.js` and `dist/coracle-oci.main.js`, which `bin/*` run through their
 * loaders: one file of JavaScript starts in half the time of a hundred of TypeScript, and Node strips no types below node_modules.
 *
 * Each file appears whole, by rename: a `coracle` that starts meanwhile sees the old bundle or the new one.
 */
import { chmodSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { loader } from "./loader.ts";

const root = join(import.meta.dirname, "..");

/**
 * A module of Node's that is required when something of it is first used. Loading `crypto`, `zlib`, `stream` and
 * `child_process` costs 12 ms, and no command uses them all. As CommonJS, for an `import` of `fs` looks at every one of its
 * exports, and so loads streams and promises, too.
 */
const lazy = "const $lazy=(name)=>new Proxy({},{get:(_,key)=>require(name)[key]});";
const deferred = /\brequire\("(node:(?:crypto|zlib|stream|stream\/promises|child_process|fs\/promises|events|os|tty|util))"\)/g;
const entries = { coracle: "cli/main.ts", "coracle-oci": "runtime/main.ts" } as const;

mkdirSync(join(root, "dist"), { recursive: true });
// The package is ESM; what is bundled here is not.
writeFileSync(join(root, "dist/package.json"), '{"type":"commonjs"}\n');
const replace = (path: string, text: string): void => {
  const temporary = `${path}.${process.pid}`;
  writeFileSync(temporary, text);
  chmodSync(temporary, 0o644);
  renameSync(temporary, path);
};

for (const [name, entry] of Object.entries(entries)) {
  const target = join(root, "dist", `${name}.main.js`);
  const result = await build({
    entryPoints: [join(root, entry)],
    absWorkingDir: root,
    outfile: target,
    write: false,
    bundle: true,
    platform: "node",
    format: "cjs",
    target: "node24",
    minifySyntax: true,
    minifyWhitespace: true, // names stay: a stack trace of a defect should be readable
    legalComments: "none",
    logLevel: "warning",
    define: { "import.meta.url": "$url" },
    banner: { js: `"use strict";const $url=require("node:url").pathToFileURL(__filename).href;${lazy}` },
  });
  // The code of the old bundle goes first: of the same length, V8 would take it for the new one's.
  rmSync(`${target}.code`, { force: true });
  for (const file of result.outputFiles) replace(file.path, file.text.replace(deferred, '$lazy("$1")'));
  replace(join(root, "dist", `${name}.js`), loader);
}
