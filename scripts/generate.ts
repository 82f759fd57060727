/** Runs every generator, `scripts/generate-*.ts`, by name. What they write is in git; the gate `generated` fails on a difference. */
import { spawnSync } from "node:child_process";
import { globSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "..");
for (const script of globSync("scripts/generate-*.ts", { cwd: root }).sort()) {
  if (script.endsWith(".test.ts")) continue;
  const { status } = spawnSync(process.execPath, [script], { cwd: root, stdio: "inherit" });
  if (status !== 0) {
    console.error(`generate: ${script} failed`);
    process.exit(1);
  }
}
