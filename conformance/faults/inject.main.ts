/**
 * Every fault at every step of every plan that runs here.
 *
 *     node conformance/faults/inject.main.ts [CASE]      as an unprivileged user; CASE: a part of a case's name
 */
import { readFacts } from "#linux/facts";
import { injectFaults } from "./test/inject.ts";

const filter = process.argv[2];
const { tried, cases, failures, skips } = await injectFaults(readFacts(), {
  all: true,
  deadline: performance.now() + 1_140_000,
  ...(filter === undefined ? {} : { filter }),
});
for (const skip of skips) console.log(`skip: ${skip}`);
for (const failure of failures) console.log(failure);
console.log(`${cases} plans, ${tried} faults`);
console.log(`${tried - Math.min(tried, failures.length)} passed, ${failures.length} failed`);
process.exitCode = failures.length === 0 && tried > 0 ? 0 : 1;
