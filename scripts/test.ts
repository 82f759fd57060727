/**
 * Runs the tests: one child process per file, with a time limit, two at a time.
 *
 *     node scripts/test.ts [--result FILE] [--verbose] [FILTER…]      FILTER: a part of a file's path
 *
 * `*.test.ts` run as the caller. `*.host.test.ts` run as a user without privilege even where the caller is root, with a
 * clean environment. `*.root.test.ts` need root. A file that prints no summary of uvu's, or one of no tests, has failed;
 * so has one that outlives its limit, or that leaves a process behind which holds its output.
 *
 * Two lines of comment in a file's first 1,000 characters are read: `// timeout: SECONDS` (120 where there is none), and
 * `// alone: WHY` for a file that no other may run beside. A line of output `skip: NAME: WHY` is a test that could not
 * be made here: it counts as skipped and not as passed, and is repeated at the end.
 */
import { spawn, spawnSync } from "node:child_process";
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

type Outcome = {
  readonly passed: number;
  readonly failed: number;
  readonly skips: readonly string[];
  readonly why: string | null;
  readonly output: string;
  readonly seconds: number;
};
type TestFile = { readonly path: string; readonly as: "caller" | "user" | "root"; readonly limit: number; readonly alone: boolean };

const checkout = join(import.meta.dirname, "..");
const root = process.getuid?.() === 0;
const { values, positionals } = parseArgs({
  options: { result: { type: "string" }, verbose: { type: "boolean", default: false } },
  allowPositionals: true,
});
const resultFile = values.result ?? process.env["CORACLE_TEST_RESULT"];

const describe = (path: string): TestFile => {
  const head = readFileSync(join(checkout, path), "utf8").slice(0, 1_000);
  return {
    path,
    as: path.endsWith(".host.test.ts") ? "user" : path.endsWith(".root.test.ts") ? "root" : "caller",
    limit: Number(/^\s*(?:\/\/|\*) timeout: (\d+)/m.exec(head)?.[1] ?? 120),
    alone: /^\s*(?:\/\/|\*) alone: \S/m.test(head),
  };
};

/** A file's outcome from what it printed and how it ended. uvu's `Total` counts neither what it skipped nor what hung. */
const judge = (output: string, status: number | null, trouble: string | null, seconds: number): Outcome => {
  const text = output.replaceAll(/\x1b\[[0-9;]*m/g, "");
  const number = (label: string): number | null => {
    const found = [...text.matchAll(new RegExp(`^ {2}${label}: +(\\d+)$`, "gm"))].at(-1)?.[1];
    return found === undefined ? null : Number(found);
  };
  const skips = [...text.matchAll(/\bskip: ([^\n:][^\n]*: [^\n]+)/g)].flatMap((match) => match[1] ?? []);
  const [total, passed, silent] = [number("Total"), number("Passed"), number("Skipped")];
  if (total === null || passed === null || silent === null)
    return { passed: 0, failed: 1, skips, why: trouble ?? `no summary (exit status ${status}): does it end with .run()?`, output, seconds };
  if (total === 0 && silent === 0) return { passed, failed: 1, skips, why: trouble ?? "it has no tests", output, seconds };
  // A skip line belongs to a test that uvu skipped, or else to one that returned early and that uvu takes for passed.
  const early = Math.min(passed, Math.max(0, skips.length - silent));
  const unexplained = Math.max(0, silent - skips.length);
  const failed = total - passed + unexplained;
  const why =
    trouble ??
    (unexplained > 0
      ? `${unexplained} skipped without a line \`skip: NAME: WHY\``
      : failed === 0 && status !== 0
        ? `exit status ${status}`
        : null);
  return { passed: passed - early, failed: failed === 0 && why !== null ? 1 : failed, skips, why, output, seconds };
};

const all = globSync("**/*.test.ts", { cwd: checkout, exclude: (name) => name === "node_modules" || name === ".git" || name === "dist" })
  .filter((path) => positionals.length === 0 || positionals.some((filter) => path.includes(filter)))
  .sort()
  .map(describe);

/** Where host tests run: the checkout, or a copy of it that the unprivileged user can read; removed at the end. */
const scratch = root && all.some((file) => file.as === "user") ? mkdtempSync(join(tmpdir(), "coracle-test-")) : null;
const userTree = ((): string => {
  if (scratch === null) return checkout;
  const found = spawnSync("sh", [join(checkout, "scripts/as-user.sh"), "tree", "all", join(scratch, "tree")], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  });
  return found.status === 0 ? found.stdout.trim() : checkout;
})();
if (scratch !== null && userTree.startsWith(scratch)) spawnSync("chmod", ["0755", scratch]);

const runFile = (file: TestFile): Promise<Outcome> => {
  const started = performance.now();
  const command =
    file.as === "user" && root
      ? ["sh", join(checkout, "scripts/as-user.sh"), "run", userTree, "node", file.path]
      : [process.execPath, file.path];
  const [program = "node", ...args] = command;
  return new Promise((resolve) => {
    // A process group of its own, so that the limit ends what the test started too.
    const child = spawn(program, args, {
      cwd: checkout,
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, NO_COLOR: "1", FORCE_COLOR: "0" },
    });
    let output = "";
    let trouble: string | null = null;
    const kill = (why: string): void => {
      trouble ??= why;
      try {
        if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
      } catch {
        // The group is gone.
      }
      child.stdout.destroy();
      child.stderr.destroy();
    };
    const limit = setTimeout(() => kill(`not done after ${file.limit} s`), file.limit * 1_000);
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (chunk: string) => (output += chunk));
    child.on("error", (error) => kill(error.message));
    child.on("exit", () => setTimeout(() => kill("a process that it left behind holds its output"), 2_000).unref());
    child.on("close", (status) => {
      clearTimeout(limit);
      resolve(judge(output, status, trouble, (performance.now() - started) / 1_000));
    });
  });
};

const outcomes: Outcome[] = [];
const skips: string[] = [];

const report = (file: TestFile, outcome: Outcome): void => {
  outcomes.push(outcome);
  for (const skip of outcome.skips) skips.push(`${file.path}: ${skip}`);
  const good = outcome.failed === 0;
  console.log(
    `${good ? "ok  " : "FAIL"} ${file.path}: ${outcome.passed} passed${good ? "" : `, ${outcome.failed} failed`} (${outcome.seconds.toFixed(1)} s)${outcome.why === null ? "" : `: ${outcome.why}`}`,
  );
  if (!good || values.verbose) console.log(outcome.output.trimEnd().replaceAll(/^/gm, "     | "));
};

const queue = all.filter((file) => !file.alone && (root || file.as !== "root"));
const worker = async (): Promise<void> => {
  for (let file = queue.shift(); file !== undefined; file = queue.shift()) report(file, await runFile(file));
};
for (const file of all) if (!root && file.as === "root") skips.push(`${file.path}: the whole file: it needs root`);
if (root && all.some((file) => file.as === "user")) console.log("host tests run as the user coracle-test");
await Promise.all([worker(), worker()]);
queue.push(...all.filter((file) => file.alone && (root || file.as !== "root")));
await worker();
if (scratch !== null) rmSync(scratch, { recursive: true, force: true });

const sum = (pick: (outcome: Outcome) => number): number => outcomes.reduce((total, outcome) => total + pick(outcome), 0);
const passed = sum((outcome) => outcome.passed);
const failed = sum((outcome) => outcome.failed) + (all.length === 0 ? 1 : 0);
if (all.length === 0) console.log("no test files found");
for (const skip of skips) console.log(`skip: ${skip}`);
if (skips.length > 0) console.log(`${skips.length} skipped`);
if (resultFile !== undefined) writeFileSync(resultFile, `${JSON.stringify({ passed, failed, skipped: skips.length })}\n`);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
