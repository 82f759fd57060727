/**
 * `core` for hosts that speak WIT instead of JavaScript: the exports of `wit/coracle.wit`. Texts go in and come out, for
 * WIT has no JSON. An error is thrown as a string: that is how componentize-qjs has it, and any other exception traps and
 * takes the instance with it.
 */
import * as z from "zod/mini";
import { parseFacts } from "#core/facts";
import { Fault } from "#core/fault";
import { stringifyJson } from "#core/json";
import { buildStart, type Start } from "#core/plan/build";
import { encodePlan } from "#core/plan/encode";
import { explainData, explainText } from "#core/plan/explain";
import { buildFilter } from "#core/plan/filter";
import { BY_CORACLE, parent } from "#core/plan/step";
import { faultData } from "#core/render-fault";
import { parseConfig } from "#core/spec/config";
import { parseDocument } from "#core/spec/issues";

const IdMapSchema = z.array(z.object({ inside: z.int(), outside: z.int(), count: z.int() }));
const nullable = z._default(z.nullable(z.string()), null);

/** A request for a plan: `StartInput` as JSON. What has a default here is what `coracle-oci` takes where no flag is given. */
export const StartRequestSchema = z.object({
  /** The text of config.json: its integers stay exact, and issues have line and column. */
  config: z.string(),
  /** What native/facts printed. */
  facts: z.unknown(),
  verb: z.enum(["create", "run"]),
  id: z.string(),
  stateDir: z.string(),
  bundle: z.string(),
  root: z.discriminatedUnion("kind", [
    z.object({ kind: z.literal("bind"), path: z.string() }),
    z.object({ kind: z.literal("overlay"), dir: z.string(), data: z.string(), target: z.string() }),
  ]),
  pinned: z._default(
    z.nullable(z.object({ path: z.string(), inode: z.int(), setgroups: z.boolean(), uidMap: IdMapSchema, gidMap: IdMapSchema })),
    null,
  ),
  pidFile: nullable,
  consoleSocket: nullable,
  preserveFds: z._default(z.int(), 0),
  cgroupManager: z._default(z.enum(["auto", "cgroupfs", "systemd", "disabled"]), "auto"),
  limits: z._default(z.enum(["enforce", "best-effort"]), "enforce"),
  newKeyring: z._default(z.boolean(), true),
  keep: z._default(z.boolean(), false),
  storeVerbs: z._default(z.boolean(), true),
  /** Directories that are removed with the container; inside the pinned namespace, where there is one. */
  remove: z._default(z.array(z.string()), []),
  created: z.string(),
});

export type StartRequest = z.input<typeof StartRequestSchema>;

const readStart = (request: string): Start => {
  const { value, issues } = parseDocument(request, StartRequestSchema);
  if (value === null) throw new Fault("E_USAGE", { message: "the request does not fit StartRequest of core/component.ts", issues });
  const facts = parseFacts(value.facts, "the request's facts");
  const parsed = parseConfig(value.config);
  if (parsed.config === null) throw new Fault("E_CONFIG", { message: "config.json is invalid", issues: parsed.issues });
  const notes = [...parsed.notes];
  const seccomp = buildFilter(parsed.config, facts, (text) => notes.push(text));
  const { pinned, remove, ...rest } = value;
  const release = remove.map((dir) => parent("remove_tree", { dir }, BY_CORACLE));
  if (pinned !== null && remove.length > 0) release.unshift(parent("join_user", { path: pinned.path, inode: pinned.inode }, BY_CORACLE));
  const start = buildStart({ ...rest, pinned, release, config: parsed.config, facts, seccomp });
  return { ...start, notes: [...notes, ...start.notes] };
};

const toError = (cause: unknown): string => {
  const fault = cause instanceof Fault ? cause : new Fault("E_INTERNAL", { message: String(cause), cause });
  return stringifyJson(faultData(fault));
};

const answering =
  <T>(answer: (request: string) => T) =>
  (request: string): T => {
    try {
      return answer(request);
    } catch (cause) {
      throw toError(cause);
    }
  };

/** The interface `planner`. Each function throws an error's JSON, as a string. */
export const planner = {
  plan: answering((request) => {
    const { plan, notes } = readStart(request);
    return { explanation: stringifyJson(explainData(plan, notes)), bytes: encodePlan(plan) };
  }),
  explain: answering((request) => {
    const { plan, notes } = readStart(request);
    return explainText(plan, notes);
  }),
  validate: answering((config) => {
    const { issues, notes } = parseConfig(config);
    return stringifyJson({ issues, notes });
  }),
};
