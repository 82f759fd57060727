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
const entries = { coracle: "cli/main.ts", "coracle-oci": "runtime/main.ts" } as const;

mkdirSync(join(root, "dist"), { recursive: true });
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
    format: "esm",
    target: "node24",
    minifySyntax: true,
    minifyWhitespace: true, // names stay: a stack trace of a defect should be readable
    legalComments: "none",
    logLevel: "warning",
    // CommonJS dependencies (below execa) call require for node's own modules.
    banner: { js: 'import { createRequire as $createRequire } from "node:module"; const require = $createRequire(import.meta.url);' },
  });
  for (const file of result.outputFiles) {
    const temporary = `${file.path}.${process.pid}`;
    writeFileSync(temporary, file.contents);
    chmodSync(temporary, 0o644);
    renameSync(temporary, file.path);
  }
}
