/**
 * kill -9 at random moments: of the launcher (`coracle-oci` in Node), and of `stage` under it. After each,
 * `delete --force` leaves the machine as it was: no process, no state, no cgroup, no mount.
 *
 *     node conformance/faults/kill.main.ts [TIMES] [SEED]      as an unprivileged user; default: 300 times
 *
 * The seed is printed: the same one kills after the same delays, which need not be the same moments.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringifyJson } from "#core/json";
import { buildStart } from "#core/plan/build";
import { encodePlan } from "#core/plan/encode";
import { buildRecovery } from "#core/plan/verbs";
import { readFacts } from "#linux/facts";
import { nativePath } from "#linux/native";
import { runPlan } from "#linux/stage";
import { cases, inputOf } from "../../core/plan/test/configs.ts";
import { cgroupsWith, mounts, openRoom, processesWith, settled } from "./test/machine.ts";

const times = Number(process.argv[2] ?? 300);
const seed = Number(process.argv[3] ?? Date.now() % 1_000_000);
let state = seed;
/** xorshift: enough for delays, and repeatable. */
const random = (): number => {
  state = (state ^ (state << 13)) >>> 0;
  state = (state ^ (state >>> 17)) >>> 0;
  state = (state ^ (state << 5)) >>> 0;
  return state / 2 ** 32;
};

const facts = readFacts();
const room = await openRoom(facts, "kill");
const checkout = join(import.meta.dirname, "../..");
const before = mounts();
const failures: string[] = [];
const marker = `kill-${process.pid}-${seed}`;
const phases = { unborn: 0, interrupted: 0, recorded: 0 };

/** A bundle whose payload is known by its argument, and whose start has hooks, limits where they hold, and a full map. */
const full = cases.find(({ name }) => name === "full-map");
const limited = cases.find(({ name }) => name === (facts.cgroup.v1.some(({ delegated }) => delegated !== null) ? "limits" : "single-id"));
const chosen = [full, limited].filter((one) => one !== undefined);
const bundles = chosen.map((one, i) => {
  const bundle = join(room.place.bundle, `../bundle${i}`);
  mkdirSync(bundle, { recursive: true });
  const config = {
    ...one.config(room.place),
    root: { path: join(room.place.bundle, "rootfs") },
    hooks: { createRuntime: [{ path: room.place.hook }] },
    process: { cwd: "/", args: ["hello", "sleep", "30", marker], env: ["PATH=/bin"] },
  };
  writeFileSync(join(bundle, "config.json"), stringifyJson(config));
  return bundle;
});

const ended = (child: ChildProcess): Promise<void> =>
  child.exitCode !== null || child.signalCode !== null ? Promise.resolve() : new Promise((resolve) => child.once("exit", () => resolve()));
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const launch = (args: readonly string[]): ChildProcess =>
  spawn(process.execPath, [join(checkout, "runtime/main.ts"), "--root", room.stateRoot, ...args], { stdio: "ignore" });

/** What `delete --force ID` does, without 0.1 s of Node for each: the stored plan, or recovery. */
const forceDelete = (id: string): boolean => {
  const directory = join(room.stateRoot, id);
  if (!existsSync(directory)) return true;
  const plan =
    existsSync(join(directory, "record.json")) && existsSync(join(directory, "delete-force.plan"))
      ? readFileSync(join(directory, "delete-force.plan"))
      : encodePlan(buildRecovery(directory));
  return runPlan(plan, { scratch: room.stateRoot, stdin: "ignore" }).ok;
};

const check = async (id: string, what: string): Promise<void> => {
  const directory = join(room.stateRoot, id);
  phases[!existsSync(directory) ? "unborn" : existsSync(join(directory, "record.json")) ? "recorded" : "interrupted"]++;
  const deleted = forceDelete(id);
  const left: string[] = deleted ? [] : ["delete --force failed"];
  const orphans = [...(await settled(() => processesWith(marker))), ...(await settled(() => processesWith(`tag=${id}`)))];
  if (orphans.length > 0) left.push(`processes ${orphans.join()}`);
  const cgroups = await settled(() => cgroupsWith(facts, id), 500);
  if (cgroups.length > 0) left.push(`cgroups ${cgroups.join()}`);
  const files = readdirSync(room.stateRoot).filter((name) => !name.startsWith("."));
  if (files.length > 0) left.push(`state ${files.join()}`);
  if (mounts() !== before) left.push("mounts");
  if (left.length > 0) failures.push(`${what}: ${left.join("; ")}`);
  for (const pid of orphans) process.kill(pid, "SIGKILL");
};

/** Children of a process, by /proc: stage under its launcher. */
const childrenOf = (pid: number | undefined): readonly number[] => {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").filter(Boolean).map(Number);
  } catch {
    return [];
  }
};
const kill = (pid: number | undefined): void => {
  try {
    if (pid !== undefined) process.kill(pid, "SIGKILL");
  } catch {
    // It ended first.
  }
};

/** How long a launcher takes here, so that delays fall where something happens. */
const measure = async (): Promise<number> => {
  const id = `kill-${process.pid}-warm`;
  const started = performance.now();
  const child = launch(["create", "--bundle", bundles[0] ?? "", id]);
  await ended(child);
  const took = performance.now() - started;
  if (child.exitCode !== 0) failures.push(`a create that nobody kills exits with ${child.exitCode}`);
  await check(id, "a create that nobody kills");
  return took;
};

const whole = await measure();
const launchers = Math.round(times / 5);
for (let i = 0; i < launchers && failures.length < 10; i++) {
  const id = `kill-${process.pid}-${i}`;
  const verb = random() < 0.5 ? "create" : "run";
  const child = launch([verb, "--bundle", bundles[i % bundles.length] ?? "", id]);
  const delay = whole * (0.5 + 0.6 * random());
  await pause(delay);
  const victim = random() < 0.5 ? "launcher" : "stage";
  const stages = childrenOf(child.pid);
  if (victim === "launcher") kill(child.pid);
  for (const pid of victim === "stage" ? stages : []) kill(pid);
  // A run that was not hit goes on: its launcher is killed, and stage with it.
  if (verb === "run" && victim === "stage" && stages.length === 0) kill(child.pid);
  await ended(child);
  await check(id, `${verb}, ${victim} killed after ${delay.toFixed(1)} ms`);
}

/** stage alone: a start takes it a few milliseconds, so most of the kills go here, at a finer grain. */
const tagged = { path: nativePath("stage-inject"), base: `tag=` };
const openPlan = (bytes: Uint8Array): number => {
  const path = join(room.stateRoot, `.plan-${process.pid}`);
  writeFileSync(path, bytes);
  return openSync(path, "r");
};
for (let i = launchers; i < times && failures.length < 10; i++) {
  const id = `kill-${process.pid}-${i}`;
  const one = chosen[i % chosen.length];
  if (one === undefined) break;
  const place = { ...room.place, stateDir: join(room.stateRoot, id) };
  const { plan } = buildStart({ ...inputOf(one, place), id, verb: random() < 0.5 ? "create" : "run" });
  const fd = openPlan(encodePlan(plan));
  const report = openSync(join(room.stateRoot, ".report"), "w+");
  const child = spawn(tagged.path, ["3", "4", `${tagged.base}${id}`], { stdio: ["ignore", "ignore", "ignore", fd, report], env: {} });
  const delay = 12 * random();
  const until = performance.now() + delay;
  // A timer's grain is a millisecond: the rest of the wait is spent looking at the clock.
  if (delay > 2) await pause(delay - 2);
  while (performance.now() < until);
  kill(child.pid);
  await ended(child);
  for (const open of [fd, report]) closeSync(open);
  await check(id, `stage alone (${one.name}) killed after ${delay.toFixed(2)} ms`);
}

room.close();
for (const failure of failures) console.log(failure);
console.log(`seed ${seed}: ${JSON.stringify(phases)}; a create takes ${whole.toFixed(0)} ms`);
const passed = phases.unborn + phases.interrupted + phases.recorded - failures.length;
if (phases.interrupted === 0) failures.push("no start was interrupted: the kills fell beside it");
console.log(`${Math.max(0, passed)} passed, ${failures.length} failed`);
process.exitCode = failures.length === 0 ? 0 : 1;
