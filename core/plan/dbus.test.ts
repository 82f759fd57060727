/** The D-Bus messages, unmarshalled by a reader of its own, by the specification ("Marshaling", "Message Format"). */
import * as fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { scopeRequest } from "./dbus.ts";
import type { Template } from "./ops.ts";

const PID = 0x01020304;

/** What the executor sends: the template with its hole filled. */
const render = (template: Template): Uint8Array => {
  const bytes: number[] = [];
  for (const part of template) {
    if (typeof part === "string") throw new Error("text in a D-Bus message");
    if ("bytes" in part) bytes.push(...part.bytes);
    else {
      assert.equal(part, { slot: "pid", as: "le32" });
      bytes.push(PID & 255, (PID >> 8) & 255, (PID >> 16) & 255, PID >> 24);
    }
  }
  return Uint8Array.from(bytes);
};

type Reader = { readonly bytes: Uint8Array; readonly view: DataView; at: number };

const pad = (reader: Reader, to: number): void => {
  for (; reader.at % to !== 0; reader.at++) assert.is(reader.bytes[reader.at], 0, "padding is zeros");
};
const u32 = (reader: Reader): number => {
  pad(reader, 4);
  reader.at += 4;
  return reader.view.getUint32(reader.at - 4, true);
};
const characters = (reader: Reader, length: number): string => {
  const text = new TextDecoder("utf-8", { fatal: true }).decode(reader.bytes.subarray(reader.at, reader.at + length));
  assert.is(reader.bytes[reader.at + length], 0, "a text ends with NUL");
  assert.not.ok(text.includes("\0"));
  reader.at += length + 1;
  return text;
};

/** One complete type at the front of a signature. */
const firstType = (signature: string): string => {
  if (signature.startsWith("a")) return `a${firstType(signature.slice(1))}`;
  if (!signature.startsWith("(")) return signature.slice(0, 1);
  let depth = 0;
  for (let i = 0; i < signature.length; i++) {
    depth += signature[i] === "(" ? 1 : signature[i] === ")" ? -1 : 0;
    if (depth === 0) return signature.slice(0, i + 1);
  }
  throw new Error(`unbalanced: ${signature}`);
};
const alignments: Readonly<Record<string, number>> = { y: 1, g: 1, v: 1, "(": 8 };

const readValue = (reader: Reader, type: string): unknown => {
  switch (type[0]) {
    case "y":
      return reader.bytes[reader.at++];
    case "b": {
      const value = u32(reader);
      assert.ok(value <= 1, "a boolean is 0 or 1");
      return value === 1;
    }
    case "u":
      return u32(reader);
    case "s":
    case "o":
      return characters(reader, u32(reader));
    case "g":
      return characters(reader, reader.bytes[reader.at++] ?? 0);
    case "v": {
      const signature = characters(reader, reader.bytes[reader.at++] ?? 0);
      assert.is(firstType(signature), signature, "a variant holds one complete type");
      return readValue(reader, signature);
    }
    case "a": {
      const element = type.slice(1);
      const length = u32(reader);
      pad(reader, alignments[element[0] ?? ""] ?? 4);
      const end = reader.at + length;
      const values: unknown[] = [];
      while (reader.at < end) values.push(readValue(reader, element));
      assert.is(reader.at, end, "an array is as long as it says");
      return values;
    }
    case "(":
      pad(reader, 8);
      return readAll(reader, type.slice(1, -1));
    default:
      throw new Error(`type ${type}`);
  }
};
const readAll = (reader: Reader, signature: string): readonly unknown[] => {
  const values: unknown[] = [];
  for (let rest = signature; rest !== ""; rest = rest.slice(firstType(rest).length)) values.push(readValue(reader, firstType(rest)));
  return values;
};

type Message = {
  readonly type: unknown;
  readonly serial: unknown;
  readonly fields: ReadonlyMap<unknown, unknown>;
  readonly body: readonly unknown[];
};

/** Messages stand one after the other; each begins anew at 0 for the alignment of what is in it. */
const readMessages = (all: Uint8Array): readonly Message[] => {
  const messages: Message[] = [];
  for (let start = 0; start < all.length; ) {
    const bytes = all.slice(start);
    const reader = { bytes, view: new DataView(bytes.buffer), at: 0 };
    const [endian, type, flags, version, length, serial, fields] = readAll(reader, "yyyyuua(yv)");
    assert.equal([endian, flags, version], ["l".charCodeAt(0), 0, 1]);
    const named = new Map(Array.isArray(fields) ? fields.map((field: readonly unknown[]) => [field[0], field[1]]) : []);
    pad(reader, 8);
    const bodyStart = reader.at;
    const inner = { bytes: bytes.slice(bodyStart), view: new DataView(bytes.slice(bodyStart).buffer), at: 0 };
    const body = readAll(inner, String(named.get(8) ?? ""));
    assert.is(inner.at, length, "the body is as long as the header says");
    messages.push({ type, serial, fields: named, body });
    start += bodyStart + inner.at;
  }
  return messages;
};

const text = fc.string({ unit: "grapheme", maxLength: 60 }).filter((value) => !value.includes("\0"));

test("a private socket gets one call, and all of its values are what was asked for", () => {
  fc.assert(
    fc.property(text, text, text, (unit, slice, description) => {
      const messages = readMessages(render(scopeRequest({ unit, slice, description, hello: false })));
      assert.equal(messages, [
        {
          type: 1,
          serial: 2,
          fields: new Map<unknown, unknown>([
            [1, "/org/freedesktop/systemd1"],
            [2, "org.freedesktop.systemd1.Manager"],
            [3, "StartTransientUnit"],
            [8, "ssa(sv)a(sa(sv))"],
          ]),
          body: [
            unit,
            "replace",
            [
              ["Description", description],
              ["Slice", slice],
              ["Delegate", true],
              ["CollectMode", "inactive-or-failed"],
              ["DefaultDependencies", false],
              ["PIDs", [PID]],
            ],
            [],
          ],
        },
      ]);
    }),
  );
});

test("a bus wants Hello first, and a destination", () => {
  const [hello, call, ...more] = readMessages(render(scopeRequest({ unit: "a.scope", slice: "app.slice", description: "d", hello: true })));
  assert.equal(more, []);
  assert.equal(
    [...(hello?.fields ?? [])],
    [
      [1, "/org/freedesktop/DBus"],
      [2, "org.freedesktop.DBus"],
      [3, "Hello"],
      [6, "org.freedesktop.DBus"],
    ],
  );
  assert.equal([hello?.type, hello?.serial, hello?.body], [1, 1, []]);
  assert.is(call?.fields.get(6), "org.freedesktop.systemd1");
  assert.is(call?.serial, 2);
});

test("the pid is the only hole, and is aligned within its message", () => {
  fc.assert(
    fc.property(text, (unit) => {
      const template = scopeRequest({ unit, slice: "app.slice", description: "", hello: false });
      const hole = template.findIndex((part) => typeof part === "object" && "slot" in part);
      assert.is(template.filter((part) => typeof part === "object" && "slot" in part).length, 1);
      const before = template
        .slice(0, hole)
        .reduce((sum, part) => sum + (typeof part === "object" && "bytes" in part ? part.bytes.length : 0), 0);
      assert.is(before % 4, 0);
    }),
  );
});

test.run();
