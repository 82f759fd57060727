/**
 * Bundles the composition roots to `dist/coracle.js` and `dist/coracle-oci.js`, which `bin/*` run: one file of
 * JavaScript starts in half the time of a hundred of TypeScript, and Node strips no types below node_modules.
 *
 * Each file appears whole, by rename: a `coracle` that starts meanwhile sees the old bundle or the new one.
 */
import { chmodSync, existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";

const root = join(import.meta.dirname, "..");

/**
 * A module of Node's that is required when something of it is first used. Loading `crypto`, `zlib`, `stream` and
 * `child_process` costs 12 ms, and no command uses them all. As CommonJS, for an `import` of `fs` looks at every one of its
 * exports, and so loads streams and promises, too.
 */
const lazy = "const $lazy=(name)=>new Proxy({},{get:(_,key)=>require(name)[key]});";
const deferred = /\brequire\("(node:(?:crypto|zlib|stream|stream\/promises|child_process|fs\/promises|events|os|util))"\)/g;
const entries = { coracle: "cli/main.ts", "coracle-oci": "runtime/main.ts" } as const;

mkdirSync(join(root, "dist"), { recursive: true });
// The package is ESM; what is bundled here is not.
writeFileSync(join(root, "dist/package.json"), '{"type":"commonjs"}\n');
for (const [name, entry] of Object.entries(entries)) {
  const target = join(root, "dist", `${name}.js`);
  if (!existsSync(join(root, entry))) {
    rmSync(target, { force: true });
    throw new Error(`${entry} does not exist`);
  }
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
  for (const file of result.outputFiles) {
    const temporary = `${file.path}.${process.pid}`;
    writeFileSync(temporary, file.text.replace(deferred, '$lazy("$1")'));
    chmodSync(temporary, 0o644);
    renameSync(temporary, file.path);
  }
}
