/** `list` and `ps`: what is there, as runc prints it. */
import * as z from "zod/mini";
import { Fault } from "#core/fault";
import { flagOn, flagText } from "#core/flags";
import { stringifyJson } from "#core/json";
import { parseDocument } from "#core/spec/issues";
import { checkId } from "../arguments.ts";
import type { Line, Listed, Verb } from "../verb.ts";

const RecordSchema = z.object({
  id: z.string(),
  bundle: z.string(),
  rootfs: z.string(),
  created: z.string(),
  owner: z.int(),
  cgroupDir: z.nullable(z.string()),
});
const StateSchema = z.object({
  ociVersion: z.string(),
  pid: z.int(),
  status: z.string(),
  annotations: z.optional(z.record(z.string(), z.string())),
});

const formatOf = (line: Line): "table" | "json" => {
  const word = flagText(line.values, "format") ?? "table";
  if (word === "table" || word === "json") return word;
  throw new Fault("E_USAGE", { message: `--format is ${JSON.stringify(word)}`, hint: "use table or json" });
};
const formatFlag = { name: "format", short: "f", kind: "text", value: "table|json", help: "Default: table" } as const;

/** What is damaged, or is going just now, is no row. */
const rowOf = (listed: Listed) => {
  const record = parseDocument(listed.record, RecordSchema).value;
  const state = parseDocument(listed.state, StateSchema).value;
  if (record === null || state === null) return null;
  const { annotations, pid, status, ociVersion } = state;
  const { id, bundle, rootfs, created } = record;
  const more = annotations === undefined ? {} : { annotations };
  return { ociVersion, id, pid, status, bundle, rootfs, created, ...more, owner: listed.owner };
};

/** Go's tabwriter as runc sets it: cells at least 12 wide, three spaces between. */
const table = (rows: readonly (readonly string[])[]): string => {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(12, ...rows.map((row) => (row[column] ?? "").length + 3)));
  return rows
    .map((row) => `${row.map((cell, column) => (column + 1 === row.length ? cell : cell.padEnd(widths[column] ?? 0))).join("")}\n`)
    .join("");
};

export const list: Verb = {
  name: "list",
  usage: "list [FLAGS]",
  help: "List the containers under this --root",
  flags: [formatFlag, { name: "quiet", short: "q", kind: "switch", help: "Ids only" }],
  ask: (line) => {
    if (line.rest.length > 0)
      throw new Fault("E_USAGE", { message: `list takes no arguments, and was given ${line.rest.join(" ")}`, hint: "coracle-oci list" });
    formatOf(line);
    return { containers: true };
  },
  act: (line, { containers }) => {
    const rows = (containers ?? []).flatMap((one) => rowOf(one) ?? []);
    if (flagOn(line.values, "quiet")) return { kind: "print", text: rows.map(({ id }) => `${id}\n`).join("") };
    if (formatOf(line) === "json") return { kind: "print", text: `${stringifyJson(rows)}\n` };
    const cells = rows.map(({ id, pid, status, bundle, created, owner }) => [id, String(pid), status, bundle, created, owner]);
    return { kind: "print", text: table([["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"], ...cells]) };
  },
};

const psArgs = (line: Line): readonly string[] => (line.rest.length > 1 ? line.rest.slice(1) : ["-ef"]);

/** The lines of ps whose PID is one of these, under its header. */
const filterPs = (text: string, pids: ReadonlySet<number>): string => {
  const [header = "", ...lines] = text.split("\n");
  const column = header.trim().split(/\s+/).indexOf("PID");
  if (column < 0)
    throw new Fault("E_USAGE", { message: "the output of ps has no column PID", hint: "choose arguments of ps that show it" });
  const mine = lines.filter((line) => pids.has(Number(line.trim().split(/\s+/)[column])));
  return [header, ...mine].map((line) => `${line}\n`).join("");
};

export const ps: Verb = {
  name: "ps",
  usage: "ps [FLAGS] ID [PS-ARGUMENTS]",
  help: "Show a container's processes",
  flags: [formatFlag],
  runsCommand: true,
  ask: (line) => ({ processes: { id: checkId(line.rest[0], "ps"), ps: formatOf(line) === "json" ? null : psArgs(line) } }),
  act: (line, { processes }) => {
    if (processes === undefined || processes === null)
      throw new Fault("E_NO_CONTAINER", {
        message: `container ${checkId(line.rest[0], "ps")} does not exist`,
        hint: "check the id and --root",
      });
    const { pids, table: text } = processes;
    return { kind: "print", text: text === null ? `${stringifyJson(pids)}\n` : filterPs(text, new Set(pids)) };
  },
};
