/** The user-wide user namespace on this host: found, or made; and programs run in it. */
import { spawn } from "node:child_process";
import { readFileSync, statSync } from "node:fs";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import * as z from "zod/mini";
import type { Facts } from "#core/facts";
import { Fault } from "#core/fault";
import { encodePlan } from "#core/plan/encode";
import type { IdRow, PinnedUserns } from "#core/plan/ids";
import { exitOfFrames, faultOfFrames } from "#core/plan/report";
import { buildHolder, buildRunInUserns, userMaps } from "#core/plan/userns";
import { buildRecovery } from "#core/plan/verbs";
import { nativePath } from "#linux/native";
import { openStage, runPlan } from "#linux/stage";

const RecordSchema = z.object({ pid: z.int(), startTime: z.int() });

/** The map as the kernel has it: `inside outside count` a line. */
const readMap = (path: string): readonly IdRow[] =>
  readFileSync(path, "utf8")
    .trim()
    .split("\n")
    .map((line) => {
      const [inside = 0, outside = 0, count = 0] = line.trim().split(/\s+/).map(Number);
      return { inside, outside, count };
    });

/** With the pid, a process's identity (field 22 of /proc/PID/stat); null: there is none, or what its parent has not buried yet. */
export const startTimeOf = (pid: number): number | null => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" || fields[0] === "X" ? null : Number(fields[19]);
  } catch {
    return null;
  }
};

/** The holder on record, if it lives. */
const findHolder = (stateDir: string): PinnedUserns | null => {
  try {
    const { pid, startTime } = RecordSchema.parse(JSON.parse(readFileSync(`${stateDir}/record.json`, "utf8")));
    if (startTimeOf(pid) !== startTime) return null;
    const path = `/proc/${pid}/ns/user`;
    return {
      path,
      inode: statSync(path).ino,
      setgroups: readFileSync(`/proc/${pid}/setgroups`, "utf8").trim() === "allow",
      uidMap: readMap(`/proc/${pid}/uid_map`),
      gidMap: readMap(`/proc/${pid}/gid_map`),
    };
  } catch {
    return null; // no record, or its process is gone: one is made
  }
};

const sameShape = (pinned: PinnedUserns, facts: Facts): boolean => {
  const maps = userMaps(facts);
  const equal = (a: readonly IdRow[], b: readonly IdRow[]): boolean =>
    a.length === b.length && a.every((row, i) => row.inside === b[i]?.inside && row.outside === b[i]?.outside && row.count === b[i]?.count);
  return equal(pinned.uidMap, maps.uid) && equal(pinned.gidMap, maps.gid);
};

/**
 * The namespace that this user's containers nest in; made where there is none, or where subordinate ids were granted
 * since it was made.
 * @param root the runtime root. Two starts at once may both find none: one makes it, the other finds it then.
 */
export const ensureUserns = (root: string, facts: () => Facts): PinnedUserns => {
  const stateDir = `${root}/.userns`;
  const found = findHolder(stateDir);
  if (found !== null) return found;
  const known = facts();
  for (let tries = 0; ; tries++) {
    const plan = buildHolder(known, stateDir, nativePath("holder"), root);
    const { frames, ok } = runPlan(encodePlan(plan), { scratch: root });
    const pinned = findHolder(stateDir);
    if (pinned !== null && sameShape(pinned, known)) return pinned;
    const fault = faultOfFrames(frames, plan, known);
    if (ok || tries >= 3 || (fault !== null && fault.code !== "E_EXISTS")) {
      throw (
        fault ??
        new Fault("E_USERNS", {
          message: "the user namespace's holder ended at once",
          why: "it was killed",
          hint: "try again; coracle doctor examines this host",
        })
      );
    }
    // Another start is making it (its lock is waited for), or its holder died and left its directory.
    const recovery = buildRecovery(stateDir);
    if (findHolder(stateDir) === null) runPlan(encodePlan(recovery), { scratch: root });
  }
};

/**
 * Runs a program of ours in the namespace, as its root.
 * @returns its exit code (null: a signal ended it) and what it said.
 */
export const createRunInUserns =
  (pinned: PinnedUserns, facts: () => Facts, scratch: string) =>
  async (
    program: string,
    args: readonly string[],
    stdin: Readable | null,
  ): Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }> => {
    const plan = buildRunInUserns(pinned, program, args);
    const stage = openStage(encodePlan(plan), { scratch });
    const process = spawn(stage.path, stage.args, { stdio: ["pipe", "pipe", "pipe", ...stage.stdio.slice(3)], env: {} });
    const collect = async (stream: Readable | null): Promise<string> => {
      const chunks: Buffer[] = [];
      for await (const chunk of stream ?? []) chunks.push(Buffer.from(chunk));
      return Buffer.concat(chunks).toString("utf8");
    };
    const closed = new Promise<{ status: number | null; signal: string | null; error: Error | undefined }>((resolve) => {
      process.once("error", (error) => resolve({ status: null, signal: null, error }));
      process.once("close", (status, signal) => resolve({ status, signal, error: undefined }));
    });
    const { stdin: input, stdout, stderr } = process;
    // A program that stops reading early says why by its exit code; the broken pipe is not news.
    const fed =
      input === null
        ? null
        : stdin === null
          ? input.end()
          : pipeline(stdin, input).catch((cause: unknown) => (isBrokenPipe(cause) ? null : Promise.reject(cause)));
    const [out, err, end, feeding] = await Promise.all([collect(stdout), collect(stderr), closed, Promise.allSettled([fed])]);
    const result = stage.finish(end.status, end.signal, end.error);
    const fault = faultOfFrames(result.frames, plan, facts());
    if (fault !== null) throw fault;
    const failed = feeding.find((outcome) => outcome.status === "rejected");
    if (failed?.status === "rejected") throw failed.reason;
    const exit = exitOfFrames(result.frames);
    return { code: exit === null || exit.signal !== 0 ? null : exit.code, stdout: out, stderr: err };
  };

const isBrokenPipe = (cause: unknown): boolean =>
  cause instanceof Error && "code" in cause && (cause.code === "EPIPE" || cause.code === "ERR_STREAM_PREMATURE_CLOSE");
