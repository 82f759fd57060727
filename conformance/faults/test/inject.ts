/**
 * Faults at every step of every plan that runs here. Each start is run with one step that fails, or dies, or does its
 * work and then fails or dies; afterwards nothing may be left of it, and the report must name that very step.
 */
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { errnoOf } from "#core/errno";
import type { Facts } from "#core/facts";
import { Fault } from "#core/fault";
import { describeStep } from "#core/plan/describe";
import { encodePlan } from "#core/plan/encode";
import { type Plan, points, type Step } from "#core/plan/ops";
import { exitOfFrames, type Frame, faultOfFrames } from "#core/plan/report";
import { buildRecovery } from "#core/plan/verbs";
import { nativePath } from "#linux/native";
import { runPlan } from "#linux/stage";
import { type Case, cases, planOf } from "../../../core/plan/test/configs.ts";
import { cgroupsWith, isRunning, mounts, openRoom, processesWith, settled } from "./machine.ts";

const modes = ["fail", "fail-after", "kill", "kill-after"] as const;
type Mode = (typeof modes)[number];

type Outcome = { readonly frames: readonly Frame[]; readonly ok: boolean; readonly killed: boolean };

export type Tally = {
  readonly tried: number;
  readonly cases: number;
  readonly failures: readonly string[];
  readonly skips: readonly string[];
};

/** An errno that no step here meets on its own. */
const ENOTNAM = 118;

/**
 * @param options.all every step with every mode; else every step that no earlier case had alike, with modes in turn.
 * @param options.deadline performance.now() at which to stop with a failure that says so.
 */
export const injectFaults = async (
  facts: Facts,
  options: { readonly all: boolean; readonly deadline: number; readonly filter?: string },
): Promise<Tally> => {
  const room = await openRoom(facts, "inject");
  const { place, stateRoot } = room;
  const id = place.stateDir.slice(stateRoot.length + 1);
  const tag = `tag=${id}`;
  const executor = nativePath("stage-inject");
  const failures: string[] = [];
  const skips: string[] = [];
  const seen = new Set<string>();
  const before = mounts();
  const rootfs = readdirSync(`${place.bundle}`).join();
  let tried = 0;
  let ran = 0;

  const run = (plan: Uint8Array, injection: string | null, inputs = {}): Outcome => {
    try {
      return {
        ...runPlan(plan, {
          scratch: stateRoot,
          inputs,
          executor: { path: executor, args: [tag, ...(injection === null ? [] : [injection])] },
        }),
        killed: false,
      };
    } catch (error) {
      if (error instanceof Fault && error.code === "E_EXECUTOR_VANISHED") return { frames: [], ok: false, killed: true };
      throw error;
    }
  };
  const stored = (name: string): Uint8Array | null =>
    existsSync(`${place.stateDir}/record.json`) ? readFileSync(`${place.stateDir}/${name}.plan`) : null;
  /** What `delete --force` does. */
  const forceDelete = (): Outcome | null =>
    existsSync(place.stateDir) ? run(stored("delete-force") ?? encodePlan(buildRecovery(place.stateDir)), null) : null;

  const leftovers = async (): Promise<readonly string[]> => {
    const left: string[] = [];
    const processes = await settled(() => processesWith(tag));
    if (processes.length > 0) left.push(`processes ${processes.join()}`);
    const cgroups = await settled(() => cgroupsWith(facts, id), 500);
    if (cgroups.length > 0) left.push(`cgroups ${cgroups.join()}`);
    if (readdirSync(stateRoot).length > 0) left.push(`state ${readdirSync(stateRoot).join()}`);
    if (mounts() !== before) left.push("mounts");
    if (readdirSync(place.bundle).join() !== rootfs) left.push("files in the bundle");
    if (existsSync(`${place.pidFile}.tmp`)) left.push("a temporary pid file");
    return left;
  };

  /** The frame that says what happened must be of this step. `null`: as it should be. */
  const wrongReport = (plan: Plan, index: number, mode: Mode, { frames, ok, killed }: Outcome): string | null => {
    const step = plan.steps[index];
    if (step === undefined) return "no such step";
    if (mode.startsWith("kill") && step.side === "parent") return killed ? null : "the executor was not killed";
    const frame = frames.find(({ kind }) => kind === "error" || kind === "vanished");
    if (frame === undefined) return `no error was reported (${ok ? "success" : "failure"})`;
    const said = `${frame.kind} at step ${frame.step} (${frame.op}), ${errnoOf(frame.errno)[0]}, ${frame.side}`;
    if (frame.kind !== (mode.startsWith("kill") ? "vanished" : "error")) return said;
    if (frame.step !== index || frame.op !== step.op) return said;
    if (frame.kind === "error" && (frame.errno !== ENOTNAM || frame.side !== step.side)) return said;
    const fault = faultOfFrames(frames, plan, facts);
    if (fault?.step?.index !== index + 1 || fault.step.origin !== step.origin) return `the fault names step ${fault?.step?.index}`;
    return null;
  };

  const note = (name: string, step: Step | undefined, mode: string, what: string): void => {
    failures.push(`${name}: ${mode} at ${step === undefined ? "no step" : `${step.side}'s ${step.op} (${describeStep(step)})`}: ${what}`);
  };

  const clean = async (name: string, step: Step | undefined, mode: string): Promise<void> => {
    const left = await leftovers();
    if (left.length === 0) return;
    note(name, step, mode, `left behind: ${left.join("; ")}`);
    forceDelete();
    rmSync(place.stateDir, { recursive: true, force: true });
    rmSync(`${place.pidFile}.tmp`, { force: true });
  };

  /** Lets a created container go on. */
  const letGo = (injection: string | null): Outcome => {
    const plan = stored("start");
    return plan === null ? { frames: [], ok: false, killed: false } : run(plan, injection);
  };

  const tryStart = async (one: Case, plan: Plan, bytes: Uint8Array, index: number, mode: Mode): Promise<void> => {
    const step = plan.steps[index];
    tried++;
    const outcome = run(bytes, `${mode}=${index}${mode.startsWith("fail") ? `:${ENOTNAM}` : ""}`);
    const ready = plan.steps.findIndex((other) => other.side === "child" && other.op === "notify" && other.args.point === points.ready);
    const start = plan.steps.findIndex(({ op }) => op === "await_start");
    if (outcome.ok && step?.side === "child" && start >= 0 && index >= ready) {
      // `create` may have succeeded by now. What init does afterwards is `start`'s to report, which shares no memory with
      // it: of one that died in silence it says that it vanished, or that it is not there.
      const later = letGo(null);
      const frame = later.frames.find(({ kind }) => kind === "error" || kind === "vanished");
      const silent = mode.startsWith("kill") || index < start || (index === start && mode === "fail");
      const gone = frame?.kind === "vanished" || frame?.op === "require_status" || frame?.op === "connect_start";
      const wrong = silent ? (gone ? null : `start says ${frame?.kind} at ${frame?.op}`) : wrongReport(plan, index, mode, later);
      if (wrong !== null) note(one.name, step, mode, wrong);
    } else {
      const wrong = wrongReport(plan, index, mode, outcome);
      if (wrong !== null) note(one.name, step, mode, wrong);
    }
    const recovers = outcome.killed || existsSync(`${place.stateDir}/record.json`);
    if (recovers) {
      const deleted = forceDelete();
      if (deleted !== null && !deleted.ok) note(one.name, step, mode, "delete --force failed");
    }
    await clean(one.name, step, mode);
  };

  /** A later verb that fails or dies at any of its steps: `delete --force` is still enough. */
  const tryVerb = async (
    one: Case,
    bytes: Uint8Array,
    verb: "start" | "kill" | "delete" | "delete-force",
    plan: Plan,
    index: number,
    mode: Mode,
  ): Promise<void> => {
    tried++;
    const step = plan.steps[index];
    const name = `${one.name}, ${verb}`;
    if (!run(bytes, null).ok) return note(name, step, mode, "create failed");
    if (verb === "delete") {
      const { pid }: { readonly pid: number } = JSON.parse(readFileSync(`${place.stateDir}/record.json`, "utf8"));
      letGo(null);
      await settled(() => (isRunning(pid) ? [pid] : []));
    }
    const again = stored(verb);
    if (again === null) return note(name, step, mode, "no stored plan");
    const outcome = run(again, `${mode}=${index}${mode.startsWith("fail") ? `:${ENOTNAM}` : ""}`, verb === "kill" ? { signal: 15 } : {});
    if (mode.startsWith("fail") && outcome.ok) note(name, step, mode, "no error was reported");
    if (mode.startsWith("kill") && !outcome.killed) note(name, step, mode, "the executor was not killed");
    const deleted = forceDelete();
    if (deleted !== null && !deleted.ok)
      note(name, step, mode, `delete --force failed: ${faultOfFrames(deleted.frames, plan, facts)?.message}`);
    await clean(name, step, mode);
  };

  const worth = (key: string): readonly Mode[] => {
    if (!options.all && seen.has(key)) return [];
    seen.add(key);
    return modes;
  };

  const late = (): boolean => performance.now() > options.deadline;
  for (const one of cases) {
    if (options.filter !== undefined && !one.name.includes(options.filter)) continue;
    const wants = one.name.startsWith("join-") ? "namespaces" : one.name.startsWith("pinned") ? "pinned" : "";
    const reason = one.notHere ?? room.missing.get(wants);
    const planned = reason === undefined ? planOf(one, place) : null;
    if (planned === null || planned instanceof Fault) {
      if (reason !== undefined) skips.push(`${one.name}: ${reason}`);
      continue; // refused: there is nothing to run
    }
    const { plan } = planned;
    const bytes = encodePlan(plan);
    const whole = run(bytes, null);
    const started = plan.steps.some(({ op }) => op === "await_start") && whole.ok ? letGo(null) : whole;
    const exit = exitOfFrames(whole.frames);
    if (!started.ok || (exit !== null && exit.code !== 0)) {
      const fault = faultOfFrames([...whole.frames, ...started.frames], plan, facts);
      failures.push(
        `${one.name}: does not run here: ${fault === null ? `exit ${exit?.code}` : `${fault.message} (${fault.step?.op}; ${fault.why ?? ""})`}`,
      );
      forceDelete();
      await clean(one.name, undefined, "whole");
      continue;
    }
    forceDelete();
    await clean(one.name, undefined, "whole");
    ran++;
    for (const [index, step] of plan.steps.entries()) {
      if (step.op === "exec" && !late()) {
        for (const mode of ["fail", "kill"] as const)
          if (worth(`exec ${mode} ${one.input?.(place).verb ?? "create"}`).length > 0) await tryStart(one, plan, bytes, index, mode);
        continue;
      }
      const point = step.op === "notify" || step.op === "await" ? step.args.point : "";
      for (const mode of worth(`${step.side} ${step.op} ${point} ${plan.steps.some(({ op }) => op === "wait_exit") ? "run" : "create"}`)) {
        if (late()) break;
        await tryStart(one, plan, bytes, index, mode);
      }
    }
    if (plan.steps.some(({ op }) => op === "await_start"))
      for (const step of plan.steps)
        if (step.op === "store_plan") {
          const verb = (["start", "kill", "delete", "delete-force"] as const).find((name) => `${name}.plan` === step.args.name);
          if (verb !== undefined)
            for (const [index, inner] of step.args.plan.steps.entries())
              for (const mode of worth(`${verb} ${inner.op}`)) {
                if (late()) break;
                await tryVerb(one, bytes, verb, step.args.plan, index, mode);
              }
        }
    if (options.all) console.log(`${one.name}: ${tried} faults so far, ${Math.round(performance.now() / 1000)} s`);
    if (late()) {
      failures.push(`${one.name}: the time is up`);
      break;
    }
  }
  room.close();
  if (ran === 0) failures.push("nothing runs here");
  return { tried, cases: ran, failures, skips };
};
