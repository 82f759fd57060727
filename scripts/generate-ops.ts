/** Generates native/ops.h and docs/plan-ops.md from the op table. Run by `npm run generate`; CI fails on a diff. */
import { mkdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { wire } from "#core/plan/encode";
import { type Kind, ops, points, slots } from "#core/plan/ops";

const root = fileURLToPath(new URL("..", import.meta.url));

/** The C type of a cell. Numbers and slots are 8 bytes wide, so that a record is an array of cells. */
const cTypes: Readonly<Record<Kind, string>> = {
  u64: "uint64_t",
  i64: "int64_t",
  bool: "uint64_t",
  flags: "uint64_t",
  path: "struct blob",
  text: "struct blob",
  strv: "struct blob",
  ids: "struct blob",
  template: "struct blob",
  bpf: "struct blob",
  plan: "struct blob",
  reads: "uint64_t",
  maybe: "uint64_t",
  writes: "uint64_t",
};
const kinds = [
  "u64",
  "i64",
  "bool",
  "flags",
  "path",
  "text",
  "strv",
  "ids",
  "template",
  "bpf",
  "plan",
  "reads",
  "maybe",
  "writes",
] as const;
const upper = (name: string): string => name.replace(/[A-Z]/g, (c) => `_${c}`).toUpperCase();
const snake = (name: string): string => name.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`);
const entries = Object.entries(ops);

const header = `/* Generated from core/plan/ops.ts by \`npm run generate\`. Do not edit. */
#ifndef CORACLE_OPS_H
#define CORACLE_OPS_H
#include <stdint.h>

enum {
	WIRE_MAGIC = 0x${wire.magic.toString(16)},
	WIRE_VERSION = ${wire.version},
	WIRE_HEADER = ${wire.headerSize},
	WIRE_RECORD = ${wire.recordSize},
	WIRE_CELLS = ${wire.cells},
	WIRE_MAX_STEPS = ${wire.maxSteps},
	WIRE_MAX_SIZE = ${wire.maxSize},
	WIRE_NO_SLOT = ${wire.noSlot},
};

enum side { SIDE_PARENT = 1, SIDE_CHILD = 2, SIDE_BOTH = 3 };
enum kind { ${kinds.map((kind) => `KIND_${kind.toUpperCase()}`).join(", ")} };
enum slot { ${Object.entries(slots)
  .map(([name, number]) => `SLOT_${upper(name)} = ${number}`)
  .join(", ")}, SLOTS = ${Math.max(...Object.values(slots)) + 1} };
enum point { ${Object.entries(points)
  .map(([name, number]) => `POINT_${upper(name)} = ${number}`)
  .join(", ")} };

/* A cell that stands for bytes: where they are in the blob area. */
struct blob { uint32_t offset, length; };

enum op {
${entries.map(([name, spec]) => `\tOP_${name.toUpperCase()} = ${spec.code},`).join("\n")}
	OP_END = ${Math.max(...entries.map(([, spec]) => spec.code)) + 1},
};

${entries
  .map(([name, spec]) => {
    const args = Object.entries(spec.args);
    return `/* ${spec.doc} */\nstruct ${name}_args {${args.length === 0 ? " uint64_t unused; " : ` ${args.map(([arg, kind]) => `${cTypes[kind]} ${snake(arg)};`).join(" ")} `}};`;
  })
  .join("\n")}

/* X(name, code, side, number of arguments, kinds) */
#define OPS(X) \\
${entries
  .map(([name, spec]) => {
    const args: readonly Kind[] = Object.values(spec.args);
    const list = args.length === 0 ? "0" : args.map((kind) => `KIND_${kind.toUpperCase()}`).join(", ");
    return `\tX(${name}, ${spec.code}, SIDE_${spec.side.toUpperCase()}, ${args.length}, ${list})`;
  })
  .join(" \\\n")}

#endif
`;

const page = `# Plan ops

Generated from \`core/plan/ops.ts\` by \`npm run generate\`. Do not edit.

A plan is a list of steps; each is one of these ops, on one side: *parent*, outside the new namespaces, or *child*, inside.
Codes are ABI: they are only ever appended.

| code | op | side | arguments | what it does |
|---|---|---|---|---|
${entries
  .map(
    ([name, spec]) =>
      `| ${spec.code} | \`${name}\` | ${spec.side} | ${Object.entries(spec.args)
        .map(([arg, kind]) => `\`${arg}\`: ${kind}`)
        .join(", ")} | ${spec.doc} |`,
  )
  .join("\n")}

Slots: ${Object.entries(slots)
  .map(([name, number]) => `\`${name}\` (${number})`)
  .join(", ")}. Rendezvous points: ${Object.entries(points)
  .map(([name, number]) => `\`${name}\` (${number})`)
  .join(", ")}.
`;

mkdirSync(`${root}docs`, { recursive: true });
writeFileSync(`${root}native/ops.h`, header);
writeFileSync(`${root}docs/plan-ops.md`, page);
