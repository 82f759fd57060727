/**
 * The limit tests where this machine cannot go: pure cgroup version 2 with and without systemd, in a throw-away VM that
 * boots on this machine's own root file system (`lab-vm.sh`; $CORACLE_LAB, or ../shared/lab beside the checkout).
 *
 *     node conformance/lab/lab.main.ts [GROUND…]      all, or those of guest.sh; as root; the last line is `N passed, N failed`
 */
import { spawn, spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildEat, stockLarder } from "./test/limits.ts";

const checkout = join(import.meta.dirname, "../..");
const lab = process.env["CORACLE_LAB"] ?? join(checkout, "../shared/lab/lab-vm.sh");
/** One that the host has: the guest takes its entry and its subordinate ids. */
const user = "coracle-test";

const boots = [
  { name: "version 2, delegated, no systemd", options: [], grounds: ["v2", "none"] },
  {
    name: "systemd, with the controllers that Debian 12 delegates",
    options: ["--systemd", "--delegate", "cpu memory pids"],
    grounds: ["systemd", "bus"],
  },
] as const;

const wanted = process.argv.slice(2);

const larder = mkdtempSync(join(tmpdir(), "coracle-larder-"));
process.on("exit", () => rmSync(larder, { recursive: true, force: true }));
chmodSync(larder, 0o755);

const missing =
  process.getuid?.() !== 0
    ? "the lab needs root"
    : !existsSync(lab)
      ? `there is no ${lab}`
      : spawnSync("id", [user]).status !== 0
        ? `there is no user ${user}: npm run setup makes it`
        : buildEat(larder) === null
          ? "there is no musl-gcc to compile a payload"
          : null;

/** Shows what the command prints, and adds up what uvu says of each ground. */
const boot = (options: readonly string[], grounds: readonly string[]): Promise<{ readonly passed: number; readonly failed: number }> =>
  new Promise((resolve) => {
    const each = grounds.map((ground) => `sh conformance/lab/guest.sh ${ground} ${user} ${larder} || bad=1`).join("; ");
    const line = [
      ...options,
      "--root",
      "--user",
      user,
      "--share",
      larder,
      "--cwd",
      checkout,
      "--timeout",
      "900",
      "--",
      "sh",
      "-c",
      `bad=0; ${each}; exit $bad`,
    ];
    const child = spawn(lab, line, { stdio: ["ignore", "pipe", "inherit"] });
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      process.stdout.write(text);
    });
    child.on("close", (status) => {
      const plain = output.replaceAll(/\x1b\[[0-9;]*m/g, "");
      const sum = (word: string): number =>
        [...plain.matchAll(new RegExp(`^\\s*${word}:\\s+(\\d+)`, "gm"))].reduce((total, [, n]) => total + Number(n), 0);
      const suites = [...plain.matchAll(/^\s*Total:/gm)].length;
      const [passed, failed] = [sum("Passed"), sum("Total") - sum("Passed")];
      // A ground that died before its summary has failed, whatever it had passed.
      const lost = grounds.length - suites;
      resolve({ passed, failed: failed + lost + (status !== 0 && failed + lost === 0 ? 1 : 0) });
    });
  });

if (missing !== null) console.log(`skip: limits in the lab: ${missing}`);
else {
  await stockLarder(larder);
  let [passed, failed] = [0, 0];
  for (const { name, options, grounds: all } of boots) {
    const grounds = all.filter((ground) => wanted.length === 0 || wanted.includes(ground));
    if (grounds.length === 0) continue;
    console.log(`-- ${name}`);
    const sums = await boot(options, grounds);
    passed += sums.passed;
    failed += sums.failed;
  }
  console.log(`${passed} passed, ${failed} failed`);
  process.exitCode = failed === 0 ? 0 : 1;
}
