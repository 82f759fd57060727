/**
 * A verb of the OCI command line is a pure function from what was gathered to what is to be done. A host (runtime/main.ts
 * in Node; later the native front) is a small loop: gather what the verb asks for → plan → stage → report.
 */
import type { Facts } from "#core/facts";
import type { Flag, FlagValues } from "#core/flags";
import type { Plan, SlotName } from "#core/plan/ops";

/** What a verb wants to know; the host gathers it, and nothing else. */
export type Ask = {
  /** `start`: read now, with trials that may be an earlier start's. */
  readonly facts?: Facts["depth"] | "start";
  /** A file to read: config.json. */
  readonly config?: string;
  /** The state directory of this id, the stored plan of that name, and the text of a file in it. */
  readonly container?: { readonly id: string; readonly plan?: string; readonly file?: string };
  /** Every container under --root. */
  readonly containers?: true;
  /** The processes of a container, and what ps(1) prints with these arguments (null: not wanted). */
  readonly processes?: { readonly id: string; readonly ps: readonly string[] | null };
};

/** One container: the texts of its record and its state, and its owner's name. */
export type Listed = { readonly record: string; readonly state: string; readonly owner: string };

export type Gathered = {
  readonly facts: Facts | null;
  /** Text of the config that was asked for. */
  readonly config: string | null;
  /** The state directory: is it there, does it have a record, and the stored plan's bytes. */
  readonly container: {
    readonly exists: boolean;
    readonly recorded: boolean;
    readonly plan: Uint8Array | null;
    readonly text: string | null;
  } | null;
  readonly containers?: readonly Listed[];
  /** Null where there is no such container; these two are there where they were asked for. */
  readonly processes?: { readonly pids: readonly number[]; readonly table: string | null } | null;
  /** Absolute directory that holds the state directories. */
  readonly root: string;
  readonly cwd: string;
  /** RFC 3339. */
  readonly now: string;
};

export type Action =
  | {
      readonly kind: "stage";
      readonly plan: Plan | Uint8Array;
      readonly foreground: boolean;
      readonly inputs?: Readonly<Partial<Record<SlotName, number>>>;
      readonly preserveFds?: number;
      readonly notes?: readonly string[];
      readonly shape: Plan | null;
    }
  | { readonly kind: "print"; readonly text: string }
  | { readonly kind: "write"; readonly path: string; readonly text: string }
  | { readonly kind: "nothing" };

export type Line = {
  /** Flags before the verb. */
  readonly global: FlagValues;
  readonly values: FlagValues;
  readonly rest: readonly string[];
  /** The process's own working directory, for relative paths. */
  readonly cwd: string;
};

export type Verb = {
  readonly name: string;
  readonly usage: string;
  readonly help: string;
  readonly flags: readonly Flag[];
  /** Flags end at the first argument: what follows is another's command line. */
  readonly runsCommand?: true;
  /** Exit status of a failure of ours; default 1. */
  readonly failure?: number;
  readonly ask: (line: Line) => Ask;
  readonly act: (line: Line, gathered: Gathered) => Action;
};
