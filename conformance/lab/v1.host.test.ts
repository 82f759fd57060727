// timeout: 240
/** Limits on cgroup version 1, where root has delegated a subtree to this user (`npm run setup:host`). */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "uvu";
import { readFacts } from "#linux/facts";
import { buildEat, limitCases, stockLarder } from "./test/limits.ts";

const facts = readFacts();
const delegated = facts.cgroup.v1.flatMap(({ controllers, delegated: at }) => (at === null ? [] : controllers));
const larder = mkdtempSync(join(tmpdir(), "coracle-larder-"));
process.on("exit", () => rmSync(larder, { recursive: true, force: true }));

const missing = !facts.userns.works
  ? "no user namespaces here"
  : facts.cgroup.mode === "v2" || delegated.length === 0
    ? "no cgroup of version 1 is delegated to this user"
    : buildEat(larder) === null
      ? "there is no musl-gcc to compile a payload"
      : null;

if (missing === null) {
  await stockLarder(larder);
  limitCases("limits on version 1", { driver: "v1", controllers: delegated, swap: true, larder }).run();
} else {
  console.log(`skip: limits on version 1: ${missing}`);
  test.run();
}
