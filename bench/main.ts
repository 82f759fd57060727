/**
 * `npm run bench [-- SECTION… --rounds N --pause MS]`: the product beside its peers, as an unprivileged user.
 *
 * Every round runs every competitor once, in an order shuffled for the round; the first rounds are dropped. Figures are
 * medians; the machine's noise hits all competitors alike, so the ratios are what to read. Sections: `start` (stage and
 * its peers), `commands` (whole commands, Node's start in them), `calls` (system calls), `profile` (where stage's time
 * goes; only when it is named).
 */
import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { cpus, loadavg, release } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Command, measure, type Options, quantile, type Times, table, whyNot } from "./measure.ts";
import { createFixture, type Fixture } from "./start.main.ts";
import { countCalls, profile } from "./trace.ts";

const tree = join(import.meta.dirname, "..");
const sections = ["start", "commands", "calls", "profile"] as const;

/** The figures that issue 2 asks for. */
const budgets = { ratioToFloor: 1.3, runMs: 45, explainMs: 60, calls: 250 } as const;

const verdict = (within: boolean, budget: string): string => `${within ? "within" : "OVER"} ${budget}`;

/** Those that can be run here; the others are named with the reason. */
const available = (options: Options, commands: readonly Command[]): readonly Command[] =>
  commands.filter((command) => {
    const reason = whyNot(options, command);
    if (reason !== null) console.log(`skip: ${command.name}: ${reason}`);
    return reason === null;
  });

const ms = (us: number): string => (Number.isNaN(us) ? "–" : (us / 1000).toFixed(2));

const report = (
  title: string,
  results: ReadonlyMap<string, Times>,
  references: readonly string[],
  judge: (name: string, median: number) => string,
): void => {
  const bases = references.map((name) => quantile(results.get(name)?.wall ?? [], 0.5));
  const rows = [...results].map(([name, { wall, exec, failures }]) => {
    const median = quantile(wall, 0.5);
    return [
      name,
      ms(median),
      ms(quantile(wall, 0)),
      ms(quantile(wall, 0.9)),
      ms(quantile(exec, 0.5)),
      ...bases.map((base) => (median / base).toFixed(2)),
      failures > 0 ? `${failures} FAILED` : judge(name, median),
    ];
  });
  console.log(`\n${table([title, "median ms", "min", "p90", "to exec", ...references.map((name) => `× ${name}`), ""], rows)}`);
};

const benchStart = (options: Options, fixture: Fixture): void => {
  const results = measure(
    options,
    available(
      options,
      fixture.commands.filter(({ name }) => name !== "coracle-oci run"),
    ),
  );
  const median = (name: string): number => quantile(results.get(name)?.wall ?? [], 0.5);
  report(
    `start (${fixture.steps} steps, ${fixture.instructions} BPF instructions)`,
    results,
    ["floor", "floor with state"],
    (name, own) => {
      if (name !== "stage") return "";
      const peer = median("bwrap");
      const beside = Number.isNaN(peer) ? "" : `, ${verdict(own <= peer, "bwrap")}`;
      return `${verdict(own <= budgets.ratioToFloor * median("floor"), `${budgets.ratioToFloor} × floor`)}${beside}`;
    },
  );
};

const benchCommands = (options: Options, fixture: Fixture): void => {
  const coracle = join(tree, "bin/coracle");
  const commands = [
    { name: "node -e 0", argv: [process.execPath, "-e", "0"] },
    ...fixture.commands.filter(({ name }) => name === "coracle-oci run"),
    { name: "coracle run", argv: [coracle, "run", "--rm", "hello", "exit", "0"] },
    { name: "coracle explain", argv: [coracle, "explain", "hello"] },
  ];
  const results = measure(options, available(options, commands));
  report("commands", results, ["node -e 0"], (name, median) => {
    if (name === "coracle run") return verdict(median <= budgets.runMs * 1000, `${budgets.runMs} ms`);
    return name === "coracle explain" ? verdict(median <= budgets.explainMs * 1000, `${budgets.explainMs} ms`) : "";
  });
};

const benchCalls = (options: Options, fixture: Fixture): void => {
  const rows = available(
    options,
    fixture.commands.filter(({ name }) => !["coracle-oci run", "stage, state on disk"].includes(name)),
  ).flatMap((command) => {
    try {
      const { toExec, whole } = countCalls(command, fixture.directory);
      return [
        [
          command.name,
          String(toExec),
          String(whole),
          command.name === "stage" ? verdict(toExec <= budgets.calls, String(budgets.calls)) : "",
        ],
      ];
    } catch (cause) {
      console.log(`skip: calls of ${command.name}: ${cause instanceof Error ? cause.message : String(cause)}`);
      return [];
    }
  });
  console.log(`\n${table(["system calls, all processes", "to exec", "whole", ""], rows)}`);
};

const benchProfile = (fixture: Fixture): void => {
  for (const command of fixture.commands.filter(({ name }) => name === "stage" || name === "floor")) {
    console.log(`\n${command.name}: the ten longest calls of one start under strace, µs`);
    for (const { us, text } of profile(command, fixture.directory)) console.log(`${us.toFixed(0).padStart(6)}  ${text}`);
  }
};

/**
 * Root measures what users get: as the user that set-up made. crun refuses hybrid cgroups, so the second hierarchy is
 * taken away in a mount namespace of our own; for all competitors alike.
 */
const asUser = (args: readonly string[]): number => {
  const asUserScript = join(tree, "scripts/as-user.sh");
  const { stdout: copy, status: copied } = spawnSync("sh", [asUserScript, "tree", "all", "/var/tmp/coracle-bench"], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
  });
  if (copied !== 0) return 1;
  const script = 'umount /sys/fs/cgroup/unified 2>/dev/null; exec sh "$0" run "$@"';
  const { status } = spawnSync(
    "unshare",
    ["-m", "--propagation", "private", "sh", "-c", script, asUserScript, copy.trim(), "node", join(copy.trim(), "bench/main.ts"), ...args],
    { stdio: "inherit" },
  );
  return status ?? 1;
};

const main = (args: readonly string[]): number => {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { rounds: { type: "string", default: "60" }, pause: { type: "string", default: "5" } },
  });
  const rounds = Number(values.rounds);
  const pauseMs = Number(values.pause);
  const unknown = positionals.find((name) => !sections.some((section) => section === name));
  if (unknown !== undefined || !Number.isInteger(rounds) || rounds < 1 || !(pauseMs >= 0)) {
    console.error(`usage: npm run bench -- [${sections.join("|")}]... [--rounds N] [--pause MS]`);
    return 2;
  }
  if (process.getuid?.() === 0) return asUser(args);
  const wanted = (name: (typeof sections)[number]): boolean => (positionals.length === 0 ? name !== "profile" : positionals.includes(name));

  console.log(
    `Linux ${release()}, ${cpus().length} × ${cpus()[0]?.model ?? process.arch}, load ${loadavg()[0]?.toFixed(2)}; ${rounds} rounds, ${pauseMs} ms between runs`,
  );
  const made: string[] = [];
  try {
    const fixture = createFixture(join(tree, "bin/coracle-oci"), made);
    const options = { timer: fixture.timer, rounds, pauseMs };
    if (wanted("start")) benchStart(options, fixture);
    if (wanted("commands")) benchCommands(options, fixture);
    if (wanted("calls")) benchCalls(options, fixture);
    if (wanted("profile")) benchProfile(fixture);
  } finally {
    for (const path of made) rmSync(path, { recursive: true, force: true });
  }
  return 0;
};

process.exitCode = main(process.argv.slice(2));
