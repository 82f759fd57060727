/** `start`, `state`, `kill`, `delete`: plans that `create` stored. They need no config, no facts and no bundle. */
import { Fault } from "#core/fault";
import { flagOn } from "#core/flags";
import { buildRecovery, buildSweep } from "#core/plan/verbs";
import { signalNumber } from "#core/signals";
import { readId } from "../arguments.ts";
import type { Action, Gathered, Line, Verb } from "../verb.ts";

const missing = (id: string): Fault =>
  new Fault("E_NO_CONTAINER", { message: `container ${id} does not exist`, hint: "check the id and --root" });

const stored = (name: string) => (line: Line) => ({ container: { id: readId(line, name), plan: name } });

const runStored = (line: Line, name: string, gathered: Gathered): Action => {
  const plan = gathered.container?.plan ?? null;
  if (gathered.container?.recorded !== true || plan === null) throw missing(readId(line, name));
  return { kind: "stage", plan, shape: null, foreground: false };
};

export const start: Verb = {
  name: "start",
  usage: "start ID",
  help: "Let a created container's process run",
  flags: [],
  ask: stored("start"),
  act: (line, gathered) => runStored(line, "start", gathered),
};

export const state: Verb = {
  name: "state",
  usage: "state ID",
  help: "Print a container's state as JSON",
  flags: [],
  ask: stored("state"),
  act: (line, gathered) => runStored(line, "state", gathered),
};

export const kill: Verb = {
  name: "kill",
  usage: "kill [FLAGS] ID [SIGNAL]",
  help: "Send a signal (default: TERM) to a container's process",
  flags: [{ name: "all", short: "a", kind: "switch", help: "Accepted: a signal that ends init ends its process namespace" }],
  ask: stored("kill"),
  act: (line, gathered) => {
    const action = runStored(line, "kill", gathered);
    const number = signalNumber(line.rest[1] ?? "TERM");
    return action.kind === "stage" ? { ...action, inputs: { signal: number } } : action;
  },
};

export const deleteVerb: Verb = {
  name: "delete",
  usage: "delete [FLAGS] ID",
  help: "Delete a stopped container, and all that was made for it",
  flags: [{ name: "force", short: "f", kind: "switch", help: "Kill it first, if it runs; a container that does not exist is no error" }],
  ask: (line) => ({ container: { id: readId(line, "delete"), plan: flagOn(line.values, "force") ? "delete-force" : "delete" } }),
  act: (line, gathered) => {
    const id = readId(line, "delete");
    const { container } = gathered;
    if (container === null || !container.exists) {
      if (flagOn(line.values, "force")) return { kind: "nothing" };
      throw missing(id);
    }
    // No record: a start that was killed, whose undo list is run; or one that still goes on, which only force may end.
    if (!container.recorded || container.plan === null) {
      const directory = `${gathered.root}/${id}`;
      const recovery = flagOn(line.values, "force") ? buildRecovery(directory) : buildSweep(directory);
      return { kind: "stage", plan: recovery, shape: recovery, foreground: false };
    }
    return { kind: "stage", plan: container.plan, shape: null, foreground: false };
  },
};
