/** The Node host's loop: gather what a verb asks for → plan → stage → report. Platforms come in; nothing is chosen here. */
import * as z from "zod/mini";
import type { Facts } from "#core/facts";
import { Fault } from "#core/fault";
import { decodePlan } from "#core/plan/decode";
import { encodePlan } from "#core/plan/encode";
import type { Plan, SlotName } from "#core/plan/ops";
import { exitOfFrames, type Frame, faultOfFrames, warningsOfFrames } from "#core/plan/report";
import type { Ask, Gathered, Line, Listed, Verb } from "./verb.ts";

type RunOptions = {
  readonly inputs?: Readonly<Partial<Record<SlotName, number>>>;
  readonly preserveFds?: number;
  readonly scratch?: string;
};

/** What the loop needs of a platform. */
export type Host = {
  readonly readFacts: (depth: Facts["depth"] | "start") => Facts;
  readonly readText: (path: string) => string | null;
  readonly readBytes: (path: string) => Uint8Array | null;
  readonly exists: (path: string) => boolean;
  readonly writeNew: (path: string, text: string) => void;
  readonly print: (text: string) => void;
  readonly note: (text: string) => void;
  /** Runs a plan that only reads, and returns what it printed; null where it failed. */
  readonly capturePlan: (plan: Uint8Array, scratch: string) => string | null;
  /** Names in a directory, sorted; none where there is no such directory. */
  readonly names: (path: string) => readonly string[];
  readonly userName: (uid: number) => string;
  readonly readProcesses: (init: number, cgroupDir: string | null) => readonly number[];
  readonly runPs: (args: readonly string[]) => string;
  readonly runPlan: (plan: Uint8Array, options: RunOptions) => { readonly frames: readonly Frame[]; readonly ok: boolean };
  readonly runForeground: (plan: Uint8Array, options: RunOptions) => Promise<{ readonly frames: readonly Frame[]; readonly ok: boolean }>;
  readonly root: () => string;
  readonly now: string;
};

const RecordSchema = z.object({ owner: z.int(), cgroupDir: z.nullable(z.string()) });
const StateSchema = z.object({ pid: z.int() });

type Known = { readonly listed: Listed; readonly pid: number; readonly cgroupDir: string | null };

/** By the plan that `create` stored; null for what is not there yet, or not any more. */
const readContainer = (id: string, root: string, host: Host): Known | null => {
  const record = host.readText(`${root}/${id}/record.json`);
  const plan = host.readBytes(`${root}/${id}/state.plan`);
  const state = plan === null ? null : host.capturePlan(plan, root);
  if (record === null || state === null) return null;
  const { owner, cgroupDir } = RecordSchema.parse(JSON.parse(record));
  return { listed: { record, state, owner: host.userName(owner) }, pid: StateSchema.parse(JSON.parse(state)).pid, cgroupDir };
};

const gatherProcesses = (
  { id, ps }: NonNullable<Ask["processes"]>,
  root: string,
  host: Host,
): NonNullable<Gathered["processes"]> | null => {
  const known = readContainer(id, root, host);
  if (known === null) return null;
  const pids = known.pid === 0 ? [] : host.readProcesses(known.pid, known.cgroupDir);
  return { pids, table: ps === null ? null : host.runPs(ps) };
};

const gather = (ask: Ask, line: Line, host: Host): Gathered => {
  const root = host.root();
  const config = ask.config === undefined ? null : host.readText(ask.config);
  if (ask.config !== undefined && config === null)
    throw new Fault("E_BUNDLE", {
      message: `${ask.config}: there is no such configuration`,
      hint: "give --bundle the directory that holds config.json; coracle-oci spec writes one",
    });
  const directory = ask.container === undefined ? null : `${root}/${ask.container.id}`;
  return {
    facts: ask.facts === undefined ? null : host.readFacts(ask.facts),
    config,
    container:
      directory === null
        ? null
        : {
            exists: host.exists(directory),
            recorded: host.exists(`${directory}/record.json`),
            plan: ask.container?.plan === undefined ? null : host.readBytes(`${directory}/${ask.container.plan}.plan`),
            text: ask.container?.file === undefined ? null : host.readText(`${directory}/${ask.container.file}`),
          },
    ...(ask.containers === undefined ? {} : { containers: host.names(root).flatMap((id) => readContainer(id, root, host)?.listed ?? []) }),
    ...(ask.processes === undefined ? {} : { processes: gatherProcesses(ask.processes, root, host) }),
    root,
    cwd: line.cwd,
    now: host.now,
  };
};

const isPlan = (plan: Plan | Uint8Array): plan is Plan => "steps" in plan;

/**
 * Runs one verb.
 * @returns the exit status.
 * @throws Fault with what failed.
 */
export const runVerb = async (verb: Verb, line: Line, host: Host): Promise<number> => {
  const gathered = gather(verb.ask(line), line, host);
  const action = verb.act(line, gathered);
  switch (action.kind) {
    case "nothing":
      return 0;
    case "print":
      host.print(action.text);
      return 0;
    case "write":
      host.writeNew(action.path, action.text);
      return 0;
    case "stage": {
      for (const text of action.notes ?? []) host.note(text);
      const bytes = isPlan(action.plan) ? encodePlan(action.plan) : action.plan;
      const options = {
        scratch: gathered.root,
        ...(action.inputs === undefined ? {} : { inputs: action.inputs }),
        ...(action.preserveFds === undefined ? {} : { preserveFds: action.preserveFds }),
      };
      const { frames, ok } = action.foreground ? await host.runForeground(bytes, options) : host.runPlan(bytes, options);
      const shape = action.shape ?? decodePlan(bytes);
      const fault = frames.some(({ kind }) => kind === "error" || kind === "vanished")
        ? faultOfFrames(frames, shape, gathered.facts ?? host.readFacts("full"))
        : null;
      if (fault !== null) throw fault;
      for (const text of warningsOfFrames(frames, shape)) host.note(text);
      if (!ok) throw new Fault("E_INTERNAL", { message: "the executor failed without saying why" });
      return exitOfFrames(frames)?.code ?? 0;
    }
  }
};
