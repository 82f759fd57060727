/** A container's state, as `state` prints it and hooks read it on stdin (runtime-spec, runtime.md#state). */
import * as z from "zod/mini";
import { count, text, textMap } from "./fields.ts";

export const StateSchema = z.lazy(() =>
  z.object({
    ociVersion: text,
    id: text,
    status: z.enum(["creating", "created", "running", "stopped"]),
    /** In the runtime's pid namespace; required while created or running on Linux. */
    pid: z.optional(count),
    /** Absolute path. */
    bundle: text,
    annotations: z.optional(textMap),
  }),
);

export type State = z.infer<typeof StateSchema>;
