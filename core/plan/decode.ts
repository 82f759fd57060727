/** Bytes → plan: the inverse of encode.ts, for stored plans' messages, for `explain`, and for the test that the two agree. */
import { Fault } from "#core/fault";
import { decodeUtf8 } from "#core/utf8";
import { wire } from "./encode.ts";
import { type Kind, type OpName, ops, type Plan, type SlotName, type Step, slots, type TemplatePart } from "./ops.ts";

const bad = (what: string): Fault =>
  new Fault("E_INTERNAL", { message: `a stored plan is damaged: ${what}`, hint: "delete the container with --force" });

const slotOf = (number: number): SlotName | null => {
  for (const name of Object.keys(slots)) if (isSlot(name) && slots[name] === number) return name;
  return null;
};
const isSlot = (name: string): name is SlotName => name in slots;

const decodeTemplate = (bytes: Uint8Array): readonly TemplatePart[] => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const parts: TemplatePart[] = [];
  for (let at = 0; at < bytes.length; ) {
    const kind = bytes[at] ?? 0;
    if (kind === 0) {
      const length = at + 5 <= bytes.length ? view.getUint32(at + 1, true) : bytes.length;
      if (at + 5 + length > bytes.length) throw bad("a template is cut short");
      const literal = bytes.subarray(at + 5, at + 5 + length);
      const text = decodeUtf8(literal);
      // Text comes back as text; bytes that are none (D-Bus messages) as bytes.
      parts.push(text.includes("\0") || text.includes("\ufffd") ? { bytes: [...literal] } : text);
      at += 5 + length;
    } else {
      const slot = slotOf(bytes[at + 1] ?? 0);
      if (slot === null) throw bad("an unknown slot");
      parts.push(kind === 1 ? { slot, as: "decimal" } : kind === 2 ? { slot, as: "status" } : { slot, as: "le32" });
      at += 2;
    }
  }
  return parts;
};

const small = (value: bigint): number | bigint =>
  value <= BigInt(Number.MAX_SAFE_INTEGER) && value >= -BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;

const decodeCell = (kind: Kind, view: DataView, at: number, blobs: Uint8Array): unknown => {
  const blob = (): Uint8Array => {
    const offset = view.getUint32(at, true);
    const length = view.getUint32(at + 4, true);
    if (offset + length > blobs.length) throw bad("a blob lies outside");
    return blobs.subarray(offset, offset + length);
  };
  switch (kind) {
    case "u64":
    case "flags":
      return small(view.getBigUint64(at, true));
    case "i64":
      return small(view.getBigInt64(at, true));
    case "bool":
      return view.getUint8(at) === 1;
    case "reads":
    case "writes":
    case "maybe":
      return slotOf(view.getUint8(at));
    case "path":
    case "text":
      return decodeUtf8(blob());
    case "strv":
      return decodeUtf8(blob()).split("\0").slice(0, -1);
    case "ids": {
      const bytes = blob();
      const words = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      return Array.from({ length: Math.floor(bytes.length / 4) }, (_, i) => words.getUint32(4 * i, true));
    }
    case "template":
      return decodeTemplate(blob());
    case "bpf": {
      const bytes = blob();
      const code = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      return Array.from({ length: Math.floor(bytes.length / 8) }, (_, i) => [
        code.getUint16(8 * i, true),
        code.getUint8(8 * i + 2),
        code.getUint8(8 * i + 3),
        code.getUint32(8 * i + 4, true),
      ]);
    }
    case "plan":
      return decodePlan(blob());
  }
};

const opNames: ReadonlyMap<number, OpName> = new Map(
  Object.keys(ops).flatMap((name) => (isOp(name) ? [[ops[name].code, name] as const] : [])),
);
function isOp(name: string): name is OpName {
  return name in ops;
}
/** The table gave every argument its kind, and `decodeCell` its type: that they fit together is what the types cannot see. */
const isStep = (_step: unknown): _step is Step => true;

/**
 * @returns the plan, its origins being `(stored)`.
 * @throws Fault E_INTERNAL where the bytes are no plan. It is stage that checks a plan for execution; this only reads.
 */
export const decodePlan = (bytes: Uint8Array): Plan => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < wire.headerSize || view.getUint32(0, true) !== wire.magic) throw bad("it does not begin as one");
  const count = view.getUint16(6, true);
  if (bytes.length < wire.headerSize + count * wire.recordSize) throw bad("it is cut short");
  const blobs = bytes.subarray(wire.headerSize + count * wire.recordSize);
  const steps: Step[] = [];
  for (let i = 0; i < count; i++) {
    const at = wire.headerSize + i * wire.recordSize;
    const op = opNames.get(view.getUint16(at, true));
    if (op === undefined) throw bad(`step ${i + 1} has an unknown op`);
    const kinds: readonly (readonly [string, Kind])[] = Object.entries(ops[op].args);
    const args = Object.fromEntries(kinds.map(([name, kind], cell) => [name, decodeCell(kind, view, at + 8 + 8 * cell, blobs)]));
    const step: unknown = { op, side: view.getUint8(at + 2) === 1 ? "parent" : "child", args, origin: "(stored)" };
    if (isStep(step)) steps.push(step);
  }
  return { version: 1, steps };
};
