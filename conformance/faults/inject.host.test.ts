// timeout: 240
/** A fault at every step that the plans of this machine have, in each way; each step in the first plan that has one like it. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { readFacts } from "#linux/facts";
import { nativePath } from "#linux/native";
import { injectFaults } from "./test/inject.ts";

const facts = readFacts();
const executor = nativePath("stage").replace(/stage$/, "stage-inject");
// Set-up builds what is shipped. This is not: it is built where the tree may be written, as it is in a copy for tests.
if (!existsSync(executor))
  spawnSync("make", ["-C", new URL("../../native", import.meta.url).pathname, "build/stage-inject"], { stdio: "ignore" });

const missing = !facts.userns.works
  ? "no user namespace can be made"
  : existsSync(executor)
    ? null
    : "make -C native build/stage-inject has not been run";
if (missing !== null) console.log(`skip: faults at every step: ${missing}`);
else
  test("faults at every step: the report names it, and nothing is left", async () => {
    const { tried, cases, failures, skips } = await injectFaults(facts, { all: false, deadline: performance.now() + 180_000 });
    for (const skip of skips) console.log(`not here: ${skip}`);
    console.log(`${cases} plans, ${tried} faults`);
    assert.equal(failures, []);
    assert.ok(cases >= 10 && tried >= 500, "most plans run on a machine that has user namespaces");
  });

if (missing !== null) test.skip("faults at every step");
test.run();
