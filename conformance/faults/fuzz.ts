/**
 * Fuzzes the plan decoder: builds native/fuzz/decode_fuzz.c under AddressSanitizer and UBSan, gives it the golden plans
 * (and their nested ones) as seeds, and lets libFuzzer run.
 *
 *     node conformance/faults/fuzz.ts [SECONDS]      default 60
 *
 * A crash leaves its input in the directory that the last lines name.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseFacts } from "#core/facts";
import { Fault } from "#core/fault";
import { encodePlan } from "#core/plan/encode";
import type { Plan } from "#core/plan/ops";
import { cases, HOSTS, placeOn, planOf } from "../../core/plan/test/configs.ts";

const seconds = Number(process.argv[2] ?? 60);
const checkout = join(import.meta.dirname, "../..");
const room = mkdtempSync(join(tmpdir(), "coracle-fuzz-"));
const seeds = join(room, "seeds");
const crashes = join(room, "crashes");
for (const directory of [seeds, crashes]) mkdirSync(directory);

const isPlan = (value: unknown): value is Plan => typeof value === "object" && value !== null && "steps" in value;
const withNested = (plan: Plan): readonly Plan[] => [plan, ...plan.steps.flatMap((step) => Object.values(step.args).filter(isPlan))];

let written = 0;
for (const host of HOSTS) {
  const facts = parseFacts(JSON.parse(readFileSync(join(checkout, `core/test/hosts/${host}.json`), "utf8")), host);
  for (const one of cases)
    if (one.hosts.includes(host)) {
      const start = planOf(one, placeOn(facts));
      if (start instanceof Fault) continue;
      for (const plan of withNested(start.plan)) writeFileSync(join(seeds, String(written++)), encodePlan(plan));
    }
}

const stage = join(checkout, "native/stage");
const sources = readdirSync(stage)
  .filter((name) => name.endsWith(".c"))
  .map((name) => join(stage, name));
const fuzzer = join(room, "decode_fuzz");
const build = spawnSync(
  "clang-14",
  [
    "-std=c11",
    "-D_GNU_SOURCE",
    "-DCORACLE_FUZZ",
    "-g",
    "-O1",
    "-Wno-unused",
    "-fsanitize=fuzzer,address,undefined",
    "-fno-sanitize-recover=undefined",
    "-o",
    fuzzer,
    join(checkout, "native/fuzz/decode_fuzz.c"),
    ...sources,
  ],
  { stdio: "inherit" },
);
if (build.error !== undefined || build.status !== 0) {
  console.log(
    build.error === undefined ? "the fuzzer does not compile" : `clang-14 cannot be run (${build.error.message}): npm run setup:test`,
  );
  console.log("0 passed, 1 failed");
  process.exit(1);
}
const run = spawnSync(
  fuzzer,
  [
    `-max_total_time=${seconds}`,
    "-max_len=65536",
    "-timeout=10",
    "-rss_limit_mb=1024",
    "-print_final_stats=1",
    `-artifact_prefix=${crashes}/`,
    seeds,
  ],
  {
    encoding: "utf8",
    stdio: ["ignore", "ignore", "pipe"],
  },
);
const number = (name: string): string => new RegExp(`stat::${name}: +(\\d+)`).exec(run.stderr)?.[1] ?? "?";
console.log(`${written} seeds, ${number("number_of_executed_units")} plans tried, ${number("new_units_added")} of them new`);
const good = run.status === 0 && Number(number("number_of_executed_units")) > written;
if (good) rmSync(room, { recursive: true, force: true });
else console.log(`${run.stderr.slice(-6000)}\nleft in ${crashes}`);
console.log(good ? "1 passed, 0 failed" : "0 passed, 1 failed");
process.exitCode = good ? 0 : 1;
