/** Runs plans: hands them to `native/stage`, and reads its report. */
import { spawn, spawnSync } from "node:child_process";
import { closeSync, constants, fstatSync, openSync, readSync, unlinkSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { isatty } from "node:tty";
import { Fault } from "#core/fault";
import { type SlotName, slots } from "#core/plan/ops";
import { decodeFrames, type Frame } from "#core/plan/report";
import { nativePath } from "#linux/native";

export type StageOptions = {
  /** Slots that are inputs of the plan (`signal`). */
  readonly inputs?: Readonly<Partial<Record<SlotName, number>>>;
  /** Descriptors 3 to 2 + N of this process go to the container under the same numbers. */
  readonly preserveFds?: number;
  /** Standard input of the container: the caller's (default), or nothing. */
  readonly stdin?: "inherit" | "ignore";
  /** A private directory for two files that have no name; default: the first that will do. */
  readonly scratch?: string;
  /** Another build of the executor, with arguments of its own: for the tests that inject faults. */
  readonly executor?: { readonly path: string; readonly args: readonly string[] };
};

export type StageResult = { readonly frames: readonly Frame[]; readonly ok: boolean };

const O_TMPFILE = 0o20000000 | constants.O_DIRECTORY;

/** A file without a name. The container's state directory's file system is a tmpfs where there is one. */
const openScratch = (directories: readonly string[]): number => {
  let last: unknown;
  for (const directory of directories)
    try {
      return openSync(directory, O_TMPFILE | constants.O_RDWR, 0o600);
    } catch (cause) {
      last = cause;
      // Not every file system has O_TMPFILE (overlayfs before Linux 6.1): a name, taken away at once, does as well.
      try {
        const path = `${directory}/.coracle-${process.pid}-${Math.random().toString(36).slice(2)}`;
        const fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
        unlinkSync(path);
        return fd;
      } catch (second) {
        last = second;
      }
    }
  throw new Fault("E_STORAGE", {
    message: `no temporary file can be made in ${directories.join(" or ")}`,
    cause: last,
    why: last instanceof Error ? last.message : String(last),
    hint: "free some space, or set TMPDIR to a directory that you can write to",
  });
};

/** On a disk that is almost full, write(2) writes what fits, and says so by its result alone. */
const writeWhole = (fd: number, bytes: Uint8Array): void => {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at, bytes.length - at, at);
};

const readAll = (fd: number): Uint8Array => {
  const bytes = new Uint8Array(fstatSync(fd).size);
  let at = 0;
  while (at < bytes.length) {
    const n = readSync(fd, bytes, at, bytes.length - at, at);
    if (n === 0) break;
    at += n;
  }
  return bytes.subarray(0, at);
};

/** An executor that is ready to be started; `finish` reads its report once it has ended. */
export type Prepared = {
  readonly path: string;
  readonly args: readonly string[];
  /** For descriptors 0 to 2, those preserved, the plan's and the report's. */
  readonly stdio: readonly ("inherit" | "ignore" | number)[];
  readonly finish: (status: number | null, signal: string | null, error: Error | undefined) => StageResult;
};

/**
 * Files, not pipes, carry plan and report: nothing has to be read while the start runs, so the event loop need not turn,
 * and a container that still has the report open keeps nobody waiting.
 */
export const openStage = (plan: Uint8Array, options: StageOptions): Prepared => {
  const scratch = [...(options.scratch === undefined ? [] : [options.scratch]), tmpdir(), "/dev/shm"];
  const planFd = openScratch(scratch);
  const reportFd = openScratch(scratch);
  try {
    writeWhole(planFd, plan);
    // Room for the report is taken now: on a disk that fills up, an error would have nowhere to be written.
    writeWhole(reportFd, new Uint8Array(4096));
  } catch (cause) {
    closeSync(planFd);
    closeSync(reportFd);
    throw new Fault("E_STORAGE", {
      message: "the plan cannot be written to a temporary file",
      cause,
      why: cause instanceof Error ? cause.message : String(cause),
      hint: "free some space, or set TMPDIR to a directory that you can write to",
    });
  }
  const preserved = Array.from({ length: options.preserveFds ?? 0 }, (_, i) => 3 + i);
  const first = 3 + preserved.length;
  const inputs = Object.entries(options.inputs ?? {}).map(([name, value]) => `${isSlot(name) ? slots[name] : 0}=${value}`);
  const stdio: ("inherit" | "ignore" | number)[] = [options.stdin ?? "inherit", "inherit", "inherit", ...preserved, planFd, reportFd];
  return {
    path: options.executor?.path ?? nativePath("stage"),
    args: [String(first), String(first + 1), ...inputs, ...(options.executor?.args ?? [])],
    stdio,
    finish: (status, signal, error) => {
      const frames = error === undefined ? decodeFrames(readAll(reportFd)).filter(({ kind }) => kind !== "?") : [];
      closeSync(planFd);
      closeSync(reportFd);
      return judge(frames, status, signal, error);
    },
  };
};

const isSlot = (name: string): name is SlotName => name in slots;

const judge = (frames: readonly Frame[], status: number | null, signal: string | null, error: Error | undefined): StageResult => {
  if (error !== undefined) throw new Fault("E_NATIVE_MISSING", { message: "the executor cannot be run", cause: error, why: error.message });
  if (status === 2)
    throw new Fault("E_INTERNAL", {
      message: "the executor refused the plan, or could not seal itself",
      hint: "report this with the output of coracle explain",
    });
  if (signal !== null && !frames.some(({ kind }) => kind === "error"))
    throw new Fault("E_EXECUTOR_VANISHED", {
      message: `the executor was killed by ${signal}`,
      why: "it was killed from outside, or ran out of memory",
      hint: "what it had begun is undone by the next delete",
    });
  return { frames, ok: status === 0 };
};

/** Runs a plan to its end, which for a `create` is soon. */
export const runPlan = (plan: Uint8Array, options: StageOptions = {}): StageResult => {
  const prepared = openStage(plan, options);
  const { status, signal, error } = spawnSync(prepared.path, [...prepared.args], { stdio: [...prepared.stdio], env: {} });
  return prepared.finish(status, signal, error);
};

/** Runs a plan that prints. @returns what it printed; null where it failed. */
export const capturePlan = (plan: Uint8Array, scratch: string): string | null => {
  const prepared = openStage(plan, { scratch, stdin: "ignore" });
  const stdio = prepared.stdio.map((entry, fd) => (fd === 1 ? "pipe" : entry));
  const { status, signal, error, stdout } = spawnSync(prepared.path, [...prepared.args], { stdio, env: {}, encoding: "utf8" });
  return prepared.finish(status, signal, error).ok ? stdout : null;
};

/** Signals that a foreground run passes on. What stops or continues a job is the shell's business, not the container's. */
const forwarded = ["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGWINCH"] as const;

/**
 * Runs a plan that waits for its container, and passes signals on to it.
 * A signal of the terminal reaches the executor by itself, for it is in our process group: those are not sent twice.
 */
export const runForeground = async (plan: Uint8Array, options: StageOptions = {}): Promise<StageResult> => {
  const prepared = openStage(plan, options);
  const stage = spawn(prepared.path, [...prepared.args], { stdio: [...prepared.stdio], env: {} });
  // Not process.stdin: to look at it is to make the caller's descriptor non-blocking, for the container, too.
  const fromTerminal = new Set<NodeJS.Signals>(isatty(0) ? ["SIGINT", "SIGQUIT", "SIGWINCH"] : []);
  const forward = (signal: NodeJS.Signals): void => {
    if (!fromTerminal.has(signal)) stage.kill(signal);
  };
  for (const signal of forwarded) process.on(signal, forward);
  const end = await new Promise<{ status: number | null; signal: string | null; error: Error | undefined }>((resolve) => {
    stage.once("error", (error) => resolve({ status: null, signal: null, error }));
    stage.once("close", (status, signal) => resolve({ status, signal, error: undefined }));
  });
  for (const signal of forwarded) process.off(signal, forward);
  return prepared.finish(end.status, end.signal, end.error);
};
