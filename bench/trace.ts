/** What a start asks of the kernel, by strace(1): how many calls, and which take the time. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "./measure.ts";

type Call = { readonly pid: string; readonly name: string; readonly us: number; readonly at: number; readonly text: string };

const shellWord = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;

/** A command with its redirections, for sh. */
export const shellLine = (argv: readonly string[]): string =>
  [
    ...argv.filter((word) => !/^\d[<>]/.test(word)).map(shellWord),
    ...argv.filter((word) => /^\d[<>]/.test(word)).map((word) => word.slice(0, 2) + shellWord(word.slice(2))),
  ].join(" ");

const trace = (command: Command, scratch: string): readonly Call[] => {
  const file = join(scratch, "trace");
  const { status, stderr, error } = spawnSync(
    "sh",
    ["-c", `exec strace -f -ttt -T -o ${shellWord(file)} ${shellLine(command.argv)} >/dev/null`],
    { encoding: "utf8" },
  );
  if (error !== undefined || status !== 0)
    throw new Error(`strace of ${command.name}: ${error?.message ?? stderr.trim().split("\n").at(-1) ?? status}`);
  const begun = new Map<string, { readonly name: string; readonly at: number; readonly text: string }>();
  return readFileSync(file, "utf8")
    .split("\n")
    .flatMap((line): readonly Call[] => {
      const [, pid = "", seconds = "", text = ""] = /^(\d+)\s+([\d.]+) (.*)$/.exec(line) ?? [];
      const resumed = /^<\.\.\. (\w+) resumed>/.exec(text);
      const name = /^(\w+)\(/.exec(text)?.[1];
      const us = Number(/<([\d.]+)>$/.exec(text)?.[1] ?? 0) * 1e6;
      if (resumed !== null) {
        // In the order in which calls began: what sorts them is `at`.
        const start = begun.get(pid);
        return start === undefined ? [] : [{ pid, ...start, us }];
      }
      if (name === undefined) return [];
      if (!text.endsWith("<unfinished ...>")) return [{ pid, name, us, at: Number(seconds), text }];
      begun.set(pid, { name, at: Number(seconds), text });
      // An exit never resumes.
      return name.startsWith("exit") ? [{ pid, name, us: 0, at: Number(seconds), text }] : [];
    })
    .toSorted((a, b) => a.at - b.at);
};

/** Calls of all processes of a start, its own first exec being strace's: to the payload's exec, and to the end. */
export const countCalls = (command: Command, scratch: string): { readonly toExec: number; readonly whole: number } => {
  const calls = trace(command, scratch);
  // The last exec of all is the payload's. (By its name it cannot be found: strace reads no memory of what is not dumpable.)
  const exec = calls.findLastIndex(({ name }) => name === "execve" || name === "execveat");
  if (exec < 1) throw new Error(`${command.name} never executed its payload`);
  const payload = calls[exec]?.pid;
  // The payload's own calls are not the runtime's.
  return { toExec: exec, whole: exec + calls.slice(exec + 1).filter(({ pid }) => pid !== payload).length };
};

/** Calls that wait for another process: their time is that one's. */
const waits = new Set(["recvfrom", "read", "poll", "ppoll", "wait4", "waitid", "epoll_wait", "epoll_pwait", "futex"]);

/** The ten calls that took most of one start, waits apart. strace adds some 20 us to each: read the large ones. */
export const profile = (command: Command, scratch: string): readonly { readonly us: number; readonly text: string }[] =>
  trace(command, scratch)
    .filter(({ name }) => !waits.has(name))
    .toSorted((a, b) => b.us - a.us)
    .slice(0, 10)
    .map(({ us, text }) => ({ us, text: text.replace(/ <[\d.]+>$/, "").slice(0, 110) }));
