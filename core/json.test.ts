import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Fault } from "./fault.ts";
import { joinPointer, locate, locateAll, parseJson, positionAt, splitPointer, stringifyJson } from "./json.ts";

const caught = (act: () => unknown): Fault => {
  try {
    act();
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
  throw new Error("it did not fail");
};

const anyJson = fc.jsonValue({ maxDepth: 5 });

/** What is expected: the engine's own parser, with the source text of its numbers (Node 24 has it, QuickJS does not). */
const reference = (text: string): unknown =>
  JSON.parse(text, (_key, value, context?: { source: string }) =>
    typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(context?.source ?? "")
      ? BigInt(context?.source ?? "")
      : value,
  );

test("reads what JSON.parse reads, on both paths", () => {
  fc.assert(
    fc.property(anyJson, fc.constantFrom(undefined, 1, "\t"), (value, indent) => {
      const text = JSON.stringify(value, null, indent);
      assert.equal(parseJson(text), reference(text));
      // A leading unsafe integer sends the whole text through our own parser.
      assert.equal(parseJson(`[9007199254740993,${text}]`), [9007199254740993n, reference(text)]);
    }),
  );
});

test("refuses what JSON.parse refuses: mutilated documents", () => {
  const text = '{"a": [1.5e3, -0, true, null, "\\u00e9\\n\\"x"], "b": {"c": [], "d": {}}, "a": "😀"}';
  fc.assert(
    fc.property(
      fc.nat(text.length),
      fc.nat(3),
      fc.constantFrom("", ",", "]", "}", '"', "\\", "0", "-", ".", "e", "\n", "tru", ":", " ", "\u0001"),
      (at, cut, insert) => {
        const broken = text.slice(0, at) + insert + text.slice(at + cut);
        let expected: unknown;
        try {
          expected = JSON.parse(broken);
        } catch {
          const { code, message } = caught(() => parseJson(broken));
          assert.is(code, "E_JSON");
          assert.match(message, /^line \d+, column \d+: /);
          caught(() => parseJson(`[9007199254740993,${broken}]`));
          return;
        }
        assert.equal(parseJson(broken), expected);
      },
    ),
    { numRuns: 3000 },
  );
});

test("integers beyond 2^53 - 1 are exact", () => {
  assert.equal(parseJson("9223372036854771712"), 9223372036854771712n);
  assert.equal(parseJson("[9007199254740991, 9007199254740992, -9007199254740991, -9007199254740992]"), [
    9007199254740991,
    9007199254740992n,
    -9007199254740991,
    -9007199254740992n,
  ]);
  assert.equal(parseJson('{"max":18446744073709551615}'), { max: 18446744073709551615n });
  assert.is(parseJson("1e19"), 1e19);
  assert.is(parseJson("12345678901234567890.0"), Number("12345678901234567890"));
  assert.is(parseJson("1e999"), Number.POSITIVE_INFINITY);
  fc.assert(
    fc.property(fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n }), (value) => {
      const safe = value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER);
      assert.equal(parseJson(` [${value}]`), [safe ? Number(value) : value]);
    }),
  );
});

test("no prototype is touched", () => {
  for (const text of ['{"__proto__": {"polluted": 1}}', '{"__proto__": {"polluted": 1}, "n": 9007199254740993}']) {
    const value = Object(parseJson(text));
    assert.is(Object.getPrototypeOf(value), Object.prototype);
    assert.ok(Object.hasOwn(value, "__proto__"));
    assert.is(value.polluted, undefined);
  }
});

test("of two equal keys the last one counts", () => {
  assert.equal(parseJson('{"a": 9007199254740993, "a": 2}'), { a: 2 });
  assert.equal(locate('{"a": [1],\n "a": 2}', "/a"), { line: 2, column: 7 });
  assert.is(locate('{"a": [1],\n "a": 2}', "/a/0"), null);
});

test("a thousand levels and no more, on both paths", () => {
  const nest = (depth: number, core: string) => "[".repeat(depth) + core + "]".repeat(depth);
  for (const core of ["1", "9007199254740993"]) {
    parseJson(nest(1000, core));
    assert.is(caught(() => parseJson(nest(1001, core))).message, "line 1, column 1001: nested deeper than 1000 levels");
  }
  caught(() => parseJson(nest(200_000, "1")));
});

const BROKEN: readonly (readonly [text: string, message: string, hint?: string])[] = [
  ["", "line 1, column 1: expected a value, found the end of the text"],
  ["{]", "line 1, column 2: expected a property name in double quotes or '}', found ']'"],
  ["[1,\n  ]", "line 2, column 3: expected a value, found ']'", "no comma stands before ']'"],
  ["[", "line 1, column 2: expected a value or ']', found the end of the text"],
  ['{"a": 1,\n}', "line 2, column 1: expected a property name in double quotes, found '}'", "no comma stands before '}'"],
  ["{a: 1}", "line 1, column 2: expected a property name in double quotes or '}', found 'a'"],
  ["{'a': 1}", "line 1, column 2: expected a property name in double quotes or '}', found '''", "strings stand in double quotes"],
  ['{"a" 1}', "line 1, column 6: expected ':', found '1'"],
  ['{"a": 1 "b": 2}', "line 1, column 9: expected ',' or '}', found '\"'"],
  ["[1 2]", "line 1, column 4: expected ',' or ']', found '2'"],
  ["1 2", "line 1, column 3: expected the end of the text, found '2'"],
  [
    "0755",
    "line 1, column 2: expected no further digit after a leading 0, found '755'",
    "numbers are decimal; write a mode such as 0755 as 493",
  ],
  ["-", "line 1, column 2: expected a digit after '-', found the end of the text"],
  ["[1.]", "line 1, column 4: expected a digit after the decimal point, found ']'"],
  ["1e+x", "line 1, column 4: expected a digit of the exponent, found 'x'"],
  ['{"a": "b', "line 1, column 9: expected the closing quote of the string that begins at line 1, column 7, found the end of the text"],
  [
    '"a\nb"',
    "line 1, column 3: expected a character of a string or its closing quote, found a line break",
    "control characters are written as escapes: \\n, \\t, \\u001b",
  ],
  ['"\\q"', "line 1, column 3: expected one of \" \\ / b f n r t u after a backslash, found 'q'", "a backslash itself is written \\\\"],
  ['"\\u12g4"', "line 1, column 4: expected four hexadecimal digits after \\u, found '12g4'"],
  ["[True]", "line 1, column 2: expected a value or ']', found 'True'", "only true, false and null are words of JSON"],
  ["// x\n{}", "line 1, column 1: expected a value, found '/'", "JSON has no comments"],
  ["\ufeff{}", "line 1, column 1: expected a value, found a byte order mark", "save the file as UTF-8 without a byte order mark"],
  ["\u0000", "line 1, column 1: expected a value, found U+0000"],
];

for (const [text, message, hint] of BROKEN) {
  test(`broken: ${JSON.stringify(text)}`, () => {
    const fault = caught(() => parseJson(text));
    assert.is(fault.code, "E_JSON");
    assert.is(fault.message, message);
    assert.is(fault.hint, hint);
    assert.is(`line ${fault.issues[0]?.line}, column ${fault.issues[0]?.column}: ${fault.issues[0]?.message}`, message);
  });
}

test("writes what JSON.stringify writes, and bigints as digits", () => {
  assert.is(stringifyJson({ a: 9223372036854771712n, b: [-1n] }), '{"a":9223372036854771712,"b":[-1]}');
  assert.is(stringifyJson(undefined), "null");
  fc.assert(
    fc.property(anyJson, fc.constantFrom(0, 2, 4), (value, indent) => {
      assert.is(stringifyJson(value, indent), JSON.stringify(value, null, indent));
      const odd = { kept: value, gone: undefined, list: [undefined] };
      assert.is(stringifyJson({ odd, n: 1n }, indent), JSON.stringify({ odd, n: 1 }, null, indent));
    }),
  );
  const circle: unknown[] = [1n];
  circle.push(circle);
  assert.is(caught(() => stringifyJson(circle)).code, "E_INTERNAL");
});

test("round trip with 64-bit integers", () => {
  const { tree } = fc.letrec((tie) => ({
    tree: fc.oneof(
      { maxDepth: 4 },
      fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n }),
      fc.string(),
      fc.boolean(),
      fc.array(tie("tree")),
      fc.dictionary(fc.string(), tie("tree")),
    ),
  }));
  fc.assert(
    fc.property(tree, fc.constantFrom(0, 2), (value, indent) => {
      assert.equal(stringifyJson(parseJson(stringifyJson(value, indent)), indent), stringifyJson(value, indent));
    }),
  );
});

const walk = (value: unknown, pointer: string, found: (pointer: string, value: unknown) => void): void => {
  found(pointer, value);
  if (typeof value === "object" && value !== null)
    for (const [key, child] of Object.entries(value)) walk(child, joinPointer(pointer, key), found);
};

test("locate: what stands there is the value", () => {
  fc.assert(
    fc.property(anyJson, fc.constantFrom(undefined, 1, 3), (value, indent) => {
      const text = JSON.stringify(value, null, indent);
      const offsets = [0, ...[...text.matchAll(/\n/g)].map(({ index }) => index + 1)];
      const values = new Map<string, unknown>();
      walk(JSON.parse(text), "", (pointer, child) => values.set(pointer, child));
      const places = locateAll(text, values.keys());
      assert.is(places.size, values.size);
      for (const [pointer, child] of values) {
        const { line = 0, column = 0 } = places.get(pointer) ?? {};
        const offset = (offsets[line - 1] ?? Number.NaN) + column - 1;
        // Undo the indentation: with the rest of the text, the value begins here as it would be written alone.
        const rest = text.slice(offset).replace(/\s+/g, "");
        assert.ok(rest.startsWith(JSON.stringify(child).replace(/\s+/g, "")), pointer);
        assert.equal(locate(text, pointer), { line, column });
      }
    }),
    { numRuns: 60 },
  );
  assert.is(locate("[1]", "/1"), null);
  assert.is(locate("[1]", "x"), null);
  assert.equal(positionAt("a\nb", 2), { line: 2, column: 1 });
});

test("pointers", () => {
  assert.is(joinPointer("", "a/b", "m~n", 0, ""), "/a~1b/m~0n/0/");
  assert.equal(splitPointer("/a~1b/m~0n/0/"), ["a/b", "m~n", "0", ""]);
  assert.equal(splitPointer(""), []);
  assert.is(splitPointer("a"), null);
  assert.is(splitPointer("/~2"), null);
  assert.equal(splitPointer("/~01"), ["~1"]);
  fc.assert(fc.property(fc.array(fc.string()), (keys) => assert.equal(splitPointer(joinPointer("", ...keys)), keys)));
});

test.run();
