/**
 * Plan → bytes for `native/stage`.
 *
 *     header  32 bytes   magic "CRCL", version, number of steps, length of the blob area, length of the whole
 *     record 128 bytes   op, side, number of arguments, then 15 cells of 8 bytes
 *     …                  one record a step
 *     blobs              texts (NUL-terminated), lists, templates, filters, nested plans; each 8-byte aligned
 *
 * Little-endian throughout: every architecture that Coracle runs on is. The wire carries no prose: origins stay here and
 * are joined again by step number. The decoder checks all of it before the first system call.
 */
import { Fault } from "#core/fault";
import { type Kind, ops, type Plan, type Step, slots, type Template } from "#core/plan/ops";
import { encodeUtf8 } from "#core/utf8";

export const wire = {
  magic: 0x4c435243,
  version: 1,
  headerSize: 32,
  recordSize: 128,
  cells: 15,
  maxSteps: 16384,
  maxSize: 16 * 1024 * 1024,
  noSlot: 0xff,
} as const;

/** A growing byte area; `DataView` keeps the order of bytes explicit. */
type Area = { bytes: Uint8Array<ArrayBuffer>; view: DataView; length: number };

const createArea = (capacity: number): Area => {
  const bytes = new Uint8Array(capacity);
  return { bytes, view: new DataView(bytes.buffer), length: 0 };
};

const reserve = (area: Area, extra: number): void => {
  if (area.length + extra <= area.bytes.length) return;
  const bytes = new Uint8Array(Math.max(area.bytes.length * 2, area.length + extra));
  bytes.set(area.bytes);
  area.bytes = bytes;
  area.view = new DataView(bytes.buffer);
};

/** Appends a blob at the next multiple of 8, and a NUL behind it; returns the cell. */
const putBlob = (area: Area, blob: Uint8Array): { offset: number; length: number } => {
  const offset = (area.length + 7) & ~7;
  reserve(area, offset - area.length + blob.length + 1);
  area.bytes.set(blob, offset);
  area.length = offset + blob.length + 1;
  return { offset, length: blob.length };
};

const text = (value: string, where: string): Uint8Array => {
  if (value.includes("\0"))
    throw new Fault("E_CONFIG", {
      message: `${where} holds a NUL byte`,
      hint: "remove it: no path, argument or variable of Linux can hold one",
    });
  return encodeUtf8(value);
};

const concat = (parts: readonly Uint8Array[]): Uint8Array => {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
};

const le32 = (value: number): Uint8Array => Uint8Array.of(value & 255, (value >>> 8) & 255, (value >>> 16) & 255, (value >>> 24) & 255);

const templateHoles = { decimal: 1, status: 2, le32: 3 } as const;

const template = (value: Template): Uint8Array =>
  concat(
    value.map((part) => {
      if (typeof part === "object" && "slot" in part) return Uint8Array.of(templateHoles[part.as], slots[part.slot]);
      const literal = typeof part === "string" ? encodeUtf8(part) : Uint8Array.from(part.bytes);
      return concat([Uint8Array.of(0), le32(literal.length), literal]);
    }),
  );

const NUL = Uint8Array.of(0);

/** The value of one argument as the blob that stands for it, or null where it is a number. */
const blobOf = (kind: Kind, value: unknown, where: string): Uint8Array | null => {
  switch (kind) {
    case "path":
    case "text":
      if (typeof value !== "string") break;
      if (kind === "path" && value === "") throw new Fault("E_INTERNAL", { message: `${where} is an empty path` });
      return text(value, where);
    case "strv":
      if (!Array.isArray(value)) break;
      return concat(value.flatMap((item) => [text(String(item), where), NUL]));
    case "ids":
      if (!Array.isArray(value)) break;
      return concat(value.map((item) => le32(Number(item))));
    default:
      return null;
  }
  throw new Fault("E_INTERNAL", { message: `${where} is not of kind ${kind}` });
};

const putStep = (records: DataView, at: number, step: Step, blobs: Area): void => {
  const spec = ops[step.op];
  const kinds: readonly (readonly [string, Kind])[] = Object.entries(spec.args);
  const args: Readonly<Record<string, unknown>> = step.args;
  records.setUint16(at, spec.code, true);
  records.setUint8(at + 2, step.side === "parent" ? 1 : 2);
  records.setUint8(at + 3, kinds.length);
  let cell = at + 8;
  const putCell = (blob: Uint8Array): void => {
    const { offset, length } = putBlob(blobs, blob);
    records.setUint32(cell, offset, true);
    records.setUint32(cell + 4, length, true);
  };
  for (const [name, kind] of kinds) {
    const value = args[name];
    const where = `${step.op}.${name} (${step.origin})`;
    const blob = blobOf(kind, value, where);
    if (blob !== null) putCell(blob);
    else if (isSlot(value)) records.setUint8(cell, slots[value]);
    else if (value === null) records.setUint8(cell, wire.noSlot);
    else if (isTemplate(kind, value)) putCell(template(value));
    else if (isFilter(kind, value)) putCell(encodeFilter(value));
    else if (isPlan(kind, value)) putCell(encodePlan(value));
    else if (typeof value === "boolean") records.setUint8(cell, value ? 1 : 0);
    else if (typeof value === "number" && Number.isSafeInteger(value)) records.setBigUint64(cell, BigInt.asUintN(64, BigInt(value)), true);
    else if (typeof value === "bigint") records.setBigUint64(cell, BigInt.asUintN(64, value), true);
    else throw new Fault("E_INTERNAL", { message: `${where} cannot be encoded` });
    cell += 8;
  }
};

const isSlot = (value: unknown): value is keyof typeof slots => typeof value === "string" && value in slots;
const isTemplate = (kind: Kind, _value: unknown): _value is Template => kind === "template";
const isFilter = (kind: Kind, _value: unknown): _value is readonly (readonly [number, number, number, number])[] => kind === "bpf";
const isPlan = (kind: Kind, _value: unknown): _value is Plan => kind === "plan";

const encodeFilter = (filter: readonly (readonly [number, number, number, number])[]): Uint8Array => {
  const area = createArea(filter.length * 8);
  filter.forEach(([code, jt, jf, k], index) => {
    area.view.setUint16(index * 8, code, true);
    area.view.setUint8(index * 8 + 2, jt);
    area.view.setUint8(index * 8 + 3, jf);
    area.view.setUint32(index * 8 + 4, k, true);
  });
  return area.bytes;
};

/**
 * @returns the bytes that `stage` takes.
 * @throws Fault `E_CONFIG` where a text holds a NUL byte; `E_UNSUPPORTED` where the plan is longer than the wire allows.
 */
export const encodePlan = (plan: Plan): Uint8Array<ArrayBuffer> => {
  if (plan.steps.length > wire.maxSteps)
    throw new Fault("E_UNSUPPORTED", {
      message: `the start takes ${plan.steps.length} steps, and ${wire.maxSteps} is the most`,
      hint: "reduce the number of mounts and devices",
    });
  const start = wire.headerSize + plan.steps.length * wire.recordSize;
  const records = new DataView(new ArrayBuffer(start));
  const blobs = createArea(4096);
  plan.steps.forEach((step, index) => {
    putStep(records, wire.headerSize + index * wire.recordSize, step, blobs);
  });
  const length = start + blobs.length;
  if (length > wire.maxSize)
    throw new Fault("E_UNSUPPORTED", {
      message: `the plan takes ${length} bytes, and ${wire.maxSize} is the most`,
      hint: "shorten the environment or the arguments",
    });
  records.setUint32(0, wire.magic, true);
  records.setUint16(4, wire.version, true);
  records.setUint16(6, plan.steps.length, true);
  records.setUint32(8, blobs.length, true);
  records.setUint32(12, length, true);
  const out = new Uint8Array(length);
  out.set(new Uint8Array(records.buffer));
  out.set(blobs.bytes.subarray(0, blobs.length), start);
  return out;
};
