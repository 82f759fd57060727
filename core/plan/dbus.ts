/**
 * The two D-Bus messages that ask systemd for a scope (D-Bus specification, "Message Protocol"; org.freedesktop.systemd1).
 *
 * Pure marshalling. The one value that is not known when the plan is made, the pid, is a hole; all offsets are fixed
 * before it, for it is four bytes wide whatever it is.
 */
import { encodeUtf8 } from "#core/utf8";
import type { Template, TemplatePart } from "./ops.ts";

type Sink = { readonly parts: TemplatePart[]; bytes: number[]; length: number };

const push = (sink: Sink, ...bytes: readonly number[]): void => {
  sink.bytes.push(...bytes);
  sink.length += bytes.length;
};
const align = (sink: Sink, to: number): void => {
  while (sink.length % to !== 0) push(sink, 0);
};
const u32 = (sink: Sink, value: number): void => {
  align(sink, 4);
  push(sink, value & 255, (value >>> 8) & 255, (value >>> 16) & 255, (value >>> 24) & 255);
};
const string = (sink: Sink, value: string): void => {
  const bytes = encodeUtf8(value);
  u32(sink, bytes.length);
  push(sink, ...bytes, 0);
};
const signature = (sink: Sink, value: string): void => push(sink, value.length, ...encodeUtf8(value), 0);
const hole = (sink: Sink): void => {
  align(sink, 4);
  sink.parts.push({ bytes: sink.bytes }, { slot: "pid", as: "le32" });
  sink.bytes = [];
  sink.length += 4;
};
const createSink = (): Sink => ({ parts: [], bytes: [], length: 0 });

/** An array: its length in bytes, excluding the padding before its first element, is patched in when that is known. */
const array = (sink: Sink, elementAlign: number, fill: () => void): void => {
  align(sink, 4);
  const target = sink.bytes;
  const at = target.length;
  push(sink, 0, 0, 0, 0);
  align(sink, elementAlign);
  const start = sink.length;
  fill();
  const length = sink.length - start;
  for (let i = 0; i < 4; i++) target[at + i] = (length >>> (8 * i)) & 255;
};

type Call = {
  readonly serial: number;
  readonly path: string;
  readonly interface: string;
  readonly member: string;
  readonly destination: string | null;
  readonly signature: string;
  readonly body: Sink;
};

const METHOD_CALL = 1;

const message = (call: Call): readonly TemplatePart[] => {
  const sink = createSink();
  push(sink, "l".charCodeAt(0), METHOD_CALL, 0, 1);
  u32(sink, call.body.length);
  u32(sink, call.serial);
  array(sink, 8, () => {
    const field = (code: number, type: "o" | "s" | "g", value: string): void => {
      align(sink, 8);
      push(sink, code);
      signature(sink, type);
      if (type === "g") signature(sink, value);
      else string(sink, value);
    };
    field(1, "o", call.path);
    field(2, "s", call.interface);
    field(3, "s", call.member);
    if (call.destination !== null) field(6, "s", call.destination);
    if (call.signature !== "") field(8, "g", call.signature);
  });
  align(sink, 8);
  return [{ bytes: sink.bytes }, ...call.body.parts, ...(call.body.bytes.length === 0 ? [] : [{ bytes: call.body.bytes }])];
};

/**
 * Hello (only a bus wants it; systemd's private socket does not), then StartTransientUnit for a delegated scope around
 * the process in slot `pid`. The second has serial 2 in either case: the executor waits for its reply.
 */
export const scopeRequest = (scope: {
  readonly unit: string;
  readonly slice: string;
  readonly description: string;
  readonly hello: boolean;
}): Template => {
  const body = createSink();
  const property = (name: string, type: string, value: () => void): void => {
    align(body, 8);
    string(body, name);
    signature(body, type);
    value();
  };
  const yes = (): void => u32(body, 1);
  string(body, scope.unit);
  string(body, "replace");
  array(body, 8, () => {
    property("Description", "s", () => string(body, scope.description));
    property("Slice", "s", () => string(body, scope.slice));
    property("Delegate", "b", yes);
    property("CollectMode", "s", () => string(body, "inactive-or-failed"));
    property("DefaultDependencies", "b", () => u32(body, 0));
    property("PIDs", "au", () => array(body, 4, () => hole(body)));
  });
  array(body, 8, () => undefined);
  const hello: readonly TemplatePart[] = scope.hello
    ? message({
        serial: 1,
        path: "/org/freedesktop/DBus",
        interface: "org.freedesktop.DBus",
        member: "Hello",
        destination: "org.freedesktop.DBus",
        signature: "",
        body: createSink(),
      })
    : [];
  return [
    ...hello,
    ...message({
      serial: 2,
      path: "/org/freedesktop/systemd1",
      interface: "org.freedesktop.systemd1.Manager",
      member: "StartTransientUnit",
      destination: scope.hello ? "org.freedesktop.systemd1" : null,
      signature: "ssa(sv)a(sa(sv))",
      body,
    }),
  ];
};
