/** What stage reports (native/stage/stage.h draws the protocol) → frames, and the fault that an error frame means. */
import { errnoOf } from "#core/errno";
import type { Facts } from "#core/facts";
import { Fault, type FaultCode } from "#core/fault";
import { hint } from "#core/hints";
import { architectures, nameOf, nativeArchOf } from "#core/seccomp/arch";
import { describeStep } from "./describe.ts";
import { type OpName, ops, type Plan, type Step } from "./ops.ts";

const kinds = ["?", "error", "warn", "vanished", "exit", "slot", "exec"] as const;

export type Frame = {
  readonly kind: (typeof kinds)[number];
  readonly step: number;
  readonly op: OpName | null;
  readonly errno: number;
  /** The system call's number. */
  readonly call: number;
  readonly side: "parent" | "child";
  readonly aux: number;
};

const frameSize = 32;

const opOf = (code: number): OpName | null => {
  for (const [name, spec] of Object.entries(ops)) if (spec.code === code && isOp(name)) return name;
  return null;
};
const isOp = (name: string): name is OpName => name in ops;

/** A frame that was cut short is not one. */
export const decodeFrames = (bytes: Uint8Array): readonly Frame[] => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const frames: Frame[] = [];
  for (let at = 0; at + frameSize <= bytes.length; at += frameSize)
    frames.push({
      kind: kinds[view.getUint32(at, true)] ?? "?",
      step: view.getUint32(at + 4, true),
      op: opOf(view.getUint32(at + 8, true)),
      errno: view.getInt32(at + 12, true),
      call: view.getUint32(at + 16, true),
      side: view.getUint32(at + 20, true) === 2 ? "child" : "parent",
      aux: Number(view.getBigUint64(at + 24, true)),
    });
  return frames;
};

const syscallName = (number: number, arch: string): string => {
  const native = nativeArchOf(arch);
  const table = native === null ? undefined : architectures[native]?.table;
  return number === 0 || table === undefined ? "" : (nameOf(table, number) ?? `system call ${number}`);
};

/** What an errno of one op means to the caller, beyond "a step failed". */
const codeOf = (op: OpName | null, errno: string, step: Step | undefined): FaultCode => {
  if (op === "resolve" || op === "exec") {
    const file = step?.op === "resolve" ? step.args.file : step?.op === "exec" ? (step.args.argv[0] ?? "") : "/";
    if (errno === "ENOENT") return file.includes("/") ? "E_EXEC_NO_FILE" : "E_EXEC_NOT_FOUND";
    if (["EACCES", "EISDIR", "ENOEXEC", "EPERM"].includes(errno)) return "E_EXEC_DENIED";
  }
  if (op === "lock_state") {
    if (errno === "EEXIST") return "E_EXISTS";
    if (errno === "ENOENT") return "E_NO_CONTAINER";
    if (errno === "ENOSPC" || errno === "EDQUOT" || errno === "EROFS" || errno === "EACCES") return "E_RUNTIME_DIR";
  }
  if (op === "require_status") return "E_STATE";
  if ((op === "signal" && errno === "ESRCH") || (op === "connect_start" && (errno === "ECONNREFUSED" || errno === "ENOENT")))
    return "E_STATE";
  if (op === "root_bind" && errno === "ENOENT") return "E_BUNDLE";
  return "E_STEP";
};

const statuses = ["stopped", "created", "running", "paused"];

const subject = (code: FaultCode, step: Step | undefined, op: OpName | null): string => {
  if (step?.op === "resolve") return `exec ${JSON.stringify(step.args.file)}`;
  if (step?.op === "exec") return `exec ${JSON.stringify(step.args.argv[0] ?? "")}`;
  if (code === "E_EXISTS" || code === "E_NO_CONTAINER")
    return step?.op === "lock_state" ? `state directory ${step.args.dir}` : "state directory";
  return step === undefined ? `step ${op ?? "?"}` : describeStep(step);
};

/**
 * The fault of a run's frames; null where there is none.
 * @param plan the plan whose steps the frames count. `start` reports init's own steps, which are those of the plan that created it: then their op is right, and no step of this plan is named.
 */
export const faultOfFrames = (frames: readonly Frame[], plan: Plan, facts: Facts): Fault | null => {
  const frame = frames.find(({ kind }) => kind === "error" || kind === "vanished");
  if (frame === undefined) return null;
  const candidate = plan.steps[frame.step];
  const step = candidate?.op === frame.op ? candidate : undefined;
  const where = {
    index: frame.step + 1,
    of: plan.steps.length,
    side: frame.side === "child" ? "inside" : "outside",
    op: frame.op ?? "?",
    origin: step?.origin ?? "",
  };
  const suppressed = frames.filter(({ kind }) => kind === "warn").map((warn) => `${warn.op ?? "?"}: ${errnoOf(warn.errno)[0]}`);
  if (frame.kind === "vanished")
    return new Fault("E_EXECUTOR_VANISHED", {
      message: `the ${frame.side === "child" ? "start" : "container's init"} ended without a report at step ${frame.step + 1}${step === undefined ? "" : `: ${describeStep(step)}`}`,
      step: where,
      why: "it was killed: by a person, by the out-of-memory killer, or by a limit",
      hint: "look into the kernel's log (dmesg) and at the memory limit",
      suppressed,
    });
  const [errno, text] = errnoOf(frame.errno);
  const call = syscallName(frame.call, facts.arch);
  const status = frames.findLast(({ kind }) => kind === "slot");
  const named = codeOf(frame.op, errno, step);
  // A verb that wants a running container was not told that by a paused one.
  const wantsRunning = step?.op === "require_status" && (Number(step.args.allowed) & 4) !== 0;
  const code = named === "E_STATE" && status !== undefined && status.aux > 0 && !wantsRunning ? "E_RUNNING" : named;
  const about = step?.op === "mount_fs" ? { type: step.args.type } : {};
  const advice = hint(frame.op, call, errno, facts, about);
  const state = named === "E_STATE" && status !== undefined ? `the container is ${statuses[status.aux] ?? "?"}` : null;
  return new Fault(code, {
    message: state ?? `${subject(code, step, frame.op)}: ${errno} (${text})${call === "" ? "" : ` from ${call}`}`,
    step: where,
    errno,
    ...(advice === null ? {} : { why: advice.why, hint: advice.try }),
    suppressed,
  });
};

/** What went wrong without stopping the plan. */
export const warningsOfFrames = (frames: readonly Frame[], plan: Plan): readonly string[] =>
  frames
    .filter(({ kind }) => kind === "warn")
    .map((frame) => {
      const step = plan.steps[frame.step];
      return `${step === undefined || step.op !== frame.op ? (frame.op ?? "?") : describeStep(step)}: ${errnoOf(frame.errno).join(": ")}`;
    });

/** init's end: `{code}` or `{signal}`; null where it was not waited for. */
export const exitOfFrames = (frames: readonly Frame[]): { readonly code: number; readonly signal: number } | null => {
  const frame = frames.findLast(({ kind }) => kind === "exit");
  if (frame === undefined) return null;
  const signal = frame.aux & 0x7f;
  return { signal, code: signal === 0 ? (frame.aux >> 8) & 0xff : 128 + signal };
};
