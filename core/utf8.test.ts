import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { decodeUtf8, encodeUtf8 } from "./utf8.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

test("encodes as TextEncoder does, lone surrogates too", () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.integer({ min: 0, max: 0xffff }), fc.integer({ min: 0xd700, max: 0xe0ff }), fc.integer({ min: 0, max: 0x7f }))),
      (units) => {
        const text = String.fromCharCode(...units);
        assert.equal([...encodeUtf8(text)], [...encoder.encode(text)]);
      },
    ),
  );
});

test("decodes as TextDecoder does, ill-formed bytes too", () => {
  const byte = fc.oneof(
    fc.integer({ min: 0, max: 255 }),
    fc.constantFrom(0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc2, 0xe0, 0xed, 0xef, 0xf0, 0xf4, 0xf5),
  );
  fc.assert(
    fc.property(fc.array(byte, { maxLength: 40 }), (bytes) => {
      assert.is(decodeUtf8(Uint8Array.from(bytes)), decoder.decode(Uint8Array.from(bytes)));
    }),
    { numRuns: 2000 },
  );
});

test("long texts, and the byte order mark is kept", () => {
  const text = `\ufeff${"añ€😀".repeat(5000)}`;
  assert.is(decodeUtf8(encodeUtf8(text)), text);
  assert.is(decodeUtf8(new Uint8Array()), "");
});

test.run();
