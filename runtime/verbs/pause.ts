/** `pause` and `resume`: plans that `create` stored where the container has a freezer. */
import { Fault } from "#core/fault";
import { readId } from "../arguments.ts";
import type { Verb } from "../verb.ts";

const freezer = (name: "pause" | "resume", help: string): Verb => ({
  name,
  usage: `${name} ID`,
  help,
  flags: [],
  ask: (line) => ({ container: { id: readId(line, name), plan: name } }),
  act: (line, { container }) => {
    const id = readId(line, name);
    if (container?.recorded !== true)
      throw new Fault("E_NO_CONTAINER", { message: `container ${id} does not exist`, hint: "check the id and --root" });
    if (container.plan === null)
      throw new Fault("E_UNSUPPORTED", {
        message: `container ${id} cannot be frozen`,
        why: "it has no cgroup with a freezer: none was delegated to you when it was created",
        hint: "coracle doctor tells how to have one delegated; then create the container again",
      });
    return { kind: "stage", plan: container.plan, shape: null, foreground: false };
  },
});

export const pause = freezer("pause", "Freeze all processes of a container");
export const resume = freezer("resume", "Let a paused container go on");
