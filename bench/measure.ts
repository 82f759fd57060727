/** Times commands beside each other, and sums up. */
import { spawnSync } from "node:child_process";

export type Command = {
  readonly name: string;
  /** With `N<FILE` and `N>FILE` before it: descriptors that the command is given. */
  readonly argv: readonly string[];
};

/** Microseconds, one a round. `exec` is the way to the payload's first line; empty where it does not tell. */
export type Times = {
  readonly failures: number;
  readonly status: number;
  readonly wall: readonly number[];
  readonly exec: readonly number[];
};

export type Options = { readonly timer: string; readonly rounds: number; readonly pauseMs: number };

const WARMUP = 5;

const isTimes = (value: unknown): value is readonly Times[] => Array.isArray(value);

const time = (
  options: Options,
  rounds: number,
  warmup: number,
  commands: readonly Command[],
): { readonly times: readonly Times[]; readonly said: string } => {
  const args = [String(rounds), String(warmup), String(options.pauseMs * 1000), "1", ...commands.flatMap(({ argv }) => [":::", ...argv])];
  const { status, stdout, stderr, error } = spawnSync(options.timer, args, {
    encoding: "utf8",
    maxBuffer: 1 << 26,
    stdio: ["ignore", "pipe", "pipe"],
  });
  if (error !== undefined) throw error;
  if (status !== 0) return { times: [], said: stderr };
  const times: unknown = JSON.parse(stdout);
  if (!isTimes(times) || times.length !== commands.length) throw new Error("the timer's answer is not one");
  return { times, said: stderr };
};

/** @returns why a command cannot be measured, or null. It is run once. */
export const whyNot = (options: Options, command: Command): string | null => {
  const { times, said } = time(options, 0, 1, [command]);
  if (times[0]?.failures === 0) return null;
  const lines = said.trim().split("\n");
  const status = times[0]?.status ?? 0;
  return lines.at(-1) || `it ended with ${(status & 127) === 0 ? `status ${status >> 8}` : `signal ${status & 127}`}`;
};

/** Runs all commands in each round; the first rounds are dropped. */
export const measure = (options: Options, commands: readonly Command[]): ReadonlyMap<string, Times> => {
  const { times, said } = time(options, options.rounds, WARMUP, commands);
  if (times.length === 0) throw new Error(said);
  return new Map(commands.flatMap(({ name }, i) => (times[i] === undefined ? [] : [[name, times[i]] as const])));
};

/** @param p 0 to 1. The value at that rank, between two where it falls between. */
export const quantile = (values: readonly number[], p: number): number => {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (sorted.length - 1) * p;
  const [low = Number.NaN, high = low] = [sorted[Math.floor(at)], sorted[Math.ceil(at)]];
  return low + (high - low) * (at - Math.floor(at));
};

export const table = (head: readonly string[], rows: readonly (readonly string[])[]): string => {
  const width = head.map((_, i) => Math.max(...[head, ...rows].map((row) => (row[i] ?? "").length)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => (i === 0 ? cell.padEnd(width[i] ?? 0) : cell.padStart(width[i] ?? 0)))
      .join("  ")
      .trimEnd();
  return [head, ...rows].map((row) => `${line(row)}\n`).join("");
};
