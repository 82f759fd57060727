/**
 * JSON that loses nothing and says where it is broken.
 *
 * `JSON.parse` rounds integers above 2^53 − 1 (a memory limit of 9223372036854771712 loses its last digits), and its
 * error texts differ from engine to engine. So it serves only as the fast path; our own scanner reads what it would
 * round, and names the place and the expectation where it fails, with the same words in Node and in QuickJS.
 */
import { Fault } from "#core/fault";

/** A place in a text, 1-based; columns count UTF-16 units, as editors do. */
export type Position = { readonly line: number; readonly column: number };

/** Deeper documents are refused, by both paths: what walks a value may then recurse. */
const MAX_DEPTH = 1000;

/** The line and column of an offset. */
export const positionAt = (text: string, offset: number): Position => {
  let line = 1;
  let start = 0;
  for (let at = text.indexOf("\n"); at !== -1 && at < offset; at = text.indexOf("\n", start)) {
    line++;
    start = at + 1;
  }
  return { line, column: offset - start + 1 };
};

const fail = (text: string, offset: number, problem: string, hint?: string): never => {
  const { line, column } = positionAt(text, offset);
  const advice = hint === undefined ? {} : { hint };
  throw new Fault("E_JSON", {
    message: `line ${line}, column ${column}: ${problem}`,
    issues: [{ pointer: "", message: problem, line, column, ...advice }],
    ...advice,
  });
};

const WORD = /[A-Za-z0-9_$]{1,24}/y;

/** What stands at an offset, in words. */
const describeAt = (text: string, offset: number): string => {
  const code = text.codePointAt(offset);
  if (code === undefined) return "the end of the text";
  if (code === 0x0a || code === 0x0d) return "a line break";
  if (code === 0xfeff) return "a byte order mark";
  if (code < 0x20 || (code >= 0x7f && code < 0xa0) || (code >= 0xd800 && code < 0xe000))
    return `U+${code.toString(16).toUpperCase().padStart(4, "0")}`;
  WORD.lastIndex = offset;
  return `'${WORD.exec(text)?.[0] ?? String.fromCodePoint(code)}'`;
};

/** Advice for the habits of other languages. */
const habit = (text: string, offset: number): string | undefined => {
  const two = text.slice(offset, offset + 2);
  if (two === "//" || two === "/*" || two[0] === "#") return "JSON has no comments";
  if (two[0] === "'") return "strings stand in double quotes";
  if (two[0] === "\ufeff") return "save the file as UTF-8 without a byte order mark";
  if (/^(True|False|None|NaN|nan|Infinity|undefined|TRUE|FALSE|NULL)/.test(text.slice(offset, offset + 10)))
    return "only true, false and null are words of JSON";
  return undefined;
};

const expect = (text: string, offset: number, expected: string, hint?: string): never =>
  fail(text, offset, `expected ${expected}, found ${describeAt(text, offset)}`, hint ?? habit(text, offset));

/** A tree of the pointers that are looked for; `at` is the offset of the value once seen. */
type Wanted = { at: number; readonly children: Map<string, Wanted> };

const forget = (node: Wanted): void => {
  node.at = -1;
  for (const child of node.children.values()) forget(child);
};

const NUMBER = /-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?/y;
const PLAIN = /[^"\\\u0000-\u001f]*/y;
const HEX = /[0-9a-fA-F]{4}/y;
const ESCAPES: Readonly<Record<string, string>> = { '"': '"', "\\": "\\", "/": "/", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" };
const WORDS: readonly (readonly [string, unknown])[] = [
  ["true", true],
  ["false", false],
  ["null", null],
];

/** A container that is being read, and the property whose value comes next. */
type Frame = { readonly node: Wanted | undefined } & (
  | { readonly items: unknown[] }
  | { readonly members: Record<string, unknown>; key: string }
);

/** A parser over the whole text. Notes the offsets of what `wanted` names on its way. */
const scan = (text: string, wanted?: Wanted): unknown => {
  let at = 0;

  const match = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    const found = pattern.exec(text);
    if (found !== null) at = pattern.lastIndex;
    return found;
  };

  const skipSpace = (): void => {
    for (let code = text.charCodeAt(at); code === 0x20 || code === 0x0a || code === 0x09 || code === 0x0d; ) code = text.charCodeAt(++at);
  };

  const take = (character: string): boolean => {
    skipSpace();
    if (text[at] !== character) return false;
    at++;
    return true;
  };

  const number = (): number | bigint => {
    const found = match(NUMBER);
    if (found === null) return expect(text, at + 1, "a digit after '-'");
    const next = text[at] ?? "";
    if (next === ".") return expect(text, at + 1, "a digit after the decimal point");
    if ((next === "e" || next === "E") && found[2] === undefined) {
      return expect(text, at + (/[+-]/.test(text[at + 1] ?? "") ? 2 : 1), "a digit of the exponent");
    }
    if (/\d/.test(next))
      return expect(text, at, "no further digit after a leading 0", "numbers are decimal; write a mode such as 0755 as 493");
    const value = Number(found[0]);
    return found[1] === undefined && found[2] === undefined && !Number.isSafeInteger(value) ? BigInt(found[0]) : value;
  };

  const string = (): string => {
    const quote = at++;
    let value = "";
    for (;;) {
      value += match(PLAIN)?.[0] ?? "";
      const next = text[at];
      if (next === '"') {
        at++;
        return value;
      }
      if (next === undefined) {
        const { line, column } = positionAt(text, quote);
        return expect(text, at, `the closing quote of the string that begins at line ${line}, column ${column}`);
      }
      if (next !== "\\") {
        return expect(
          text,
          at,
          "a character of a string or its closing quote",
          "control characters are written as escapes: \\n, \\t, \\u001b",
        );
      }
      const letter = text[at + 1] ?? "";
      const simple = ESCAPES[letter];
      if (simple !== undefined) {
        value += simple;
        at += 2;
      } else if (letter === "u") {
        at += 2;
        const hex = match(HEX);
        if (hex === null) return expect(text, at, "four hexadecimal digits after \\u");
        value += String.fromCharCode(Number.parseInt(hex[0], 16));
      } else return expect(text, at + 1, 'one of " \\ / b f n r t u after a backslash', "a backslash itself is written \\\\");
    }
  };

  const word = (expected: string): unknown => {
    for (const [name, meaning] of WORDS) {
      if (text.startsWith(name, at)) {
        at += name.length;
        return meaning;
      }
    }
    return expect(text, at, expected, text[at] === "]" && expected === "a value" ? "no comma stands before ']'" : undefined);
  };

  const scalar = (expected: string): unknown => {
    const first = text[at] ?? "";
    if (first === '"') return string();
    return first === "-" || (first >= "0" && first <= "9") ? number() : word(expected);
  };

  const name = (expected: string): string => {
    skipSpace();
    if (text[at] !== '"') return expect(text, at, expected, text[at] === "}" ? "no comma stands before '}'" : undefined);
    const key = string();
    return take(":") ? key : expect(text, at, "':'");
  };

  // The open containers, the innermost last. A loop, not recursion: how deep one may recurse differs between hosts.
  const open: Frame[] = [];
  let node = wanted;
  let expected = "a value";
  for (;;) {
    skipSpace();
    if (node !== undefined) {
      forget(node); // of two equal keys the last one counts
      node.at = at;
    }
    const first = text[at];
    if ((first === "[" || first === "{") && open.length >= MAX_DEPTH) return fail(text, at, `nested deeper than ${MAX_DEPTH} levels`);
    let value: unknown;
    if (first === "[") {
      at++;
      const items: unknown[] = [];
      if (!take("]")) {
        open.push({ items, node });
        node = node?.children.get("0");
        expected = "a value or ']'";
        continue;
      }
      value = items;
    } else if (first === "{") {
      at++;
      const members = {};
      if (!take("}")) {
        const key = name("a property name in double quotes or '}'");
        open.push({ members, key, node });
        node = node?.children.get(key);
        expected = "a value";
        continue;
      }
      value = members;
    } else value = scalar(expected);

    // The value is whole: it goes into its container, which may end here too.
    expected = "a value";
    for (;;) {
      const frame = open.at(-1);
      if (frame === undefined) {
        skipSpace();
        return at === text.length ? value : expect(text, at, "the end of the text");
      }
      if ("items" in frame) {
        frame.items.push(value);
        if (take(",")) {
          node = frame.node?.children.get(String(frame.items.length));
          break;
        }
        if (!take("]")) return expect(text, at, "',' or ']'");
        value = frame.items;
      } else {
        // An assignment to `__proto__` would change the prototype.
        if (frame.key === "__proto__") {
          Object.defineProperty(frame.members, frame.key, { value, enumerable: true, configurable: true, writable: true });
        } else frame.members[frame.key] = value;
        if (take(",")) {
          frame.key = name("a property name in double quotes");
          node = frame.node?.children.get(frame.key);
          break;
        }
        if (!take("}")) return expect(text, at, "',' or '}'");
        value = frame.members;
      }
      open.pop();
    }
  }
};

/** Whether a text opens more containers than may nest. Only then it might nest too deep, for us and for an engine's own parser. */
const opensMany = (text: string): boolean => {
  let opened = 0;
  for (const bracket of "[{") {
    for (let at = text.indexOf(bracket); at !== -1; at = text.indexOf(bracket, at + 1)) if (++opened > MAX_DEPTH) return true;
  }
  return false;
};

/** Whether JSON.parse may have rounded an integer. Cheaper than a look at the text. */
const isRounded = (value: unknown): boolean => {
  if (typeof value === "number") return value > Number.MAX_SAFE_INTEGER || value < Number.MIN_SAFE_INTEGER;
  if (typeof value !== "object" || value === null) return false;
  for (const child of Array.isArray(value) ? value : Object.values(value)) if (isRounded(child)) return true;
  return false;
};

/**
 * Parses JSON (RFC 8259) exactly: as `JSON.parse`, but an integer beyond ±(2^53 − 1) that is written in plain digits
 * becomes a `bigint`.
 *
 * @throws Fault E_JSON with the line, the column and what was expected; also for a nesting of more than 1000 levels.
 */
export const parseJson = (text: string): unknown => {
  if (opensMany(text)) return scan(text);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return scan(text);
  }
  return isRounded(value) ? scan(text) : value;
};

/**
 * JSON text of a value, as `JSON.stringify` writes it, but a `bigint` becomes its bare digits.
 *
 * @param indent spaces per level; 0 writes everything on one line.
 */
export const stringifyJson = (value: unknown, indent = 0): string => {
  try {
    return JSON.stringify(value, null, indent) ?? "null";
  } catch {
    // A bigint is in it (JSON.stringify has no other word for one).
  }
  const write = (item: unknown, margin: string, depth: number): string => {
    if (typeof item === "bigint") return item.toString();
    if (typeof item !== "object" || item === null) return JSON.stringify(item) ?? "null";
    if (depth > MAX_DEPTH)
      throw new Fault("E_INTERNAL", {
        message: `a value to be written as JSON is nested deeper than ${MAX_DEPTH} levels, or contains itself`,
      });
    const inner = margin + " ".repeat(indent);
    const parts: string[] = [];
    if (Array.isArray(item)) for (const child of item) parts.push(write(child, inner, depth + 1));
    else {
      for (const [key, child] of Object.entries(item)) {
        if (child === undefined || typeof child === "function" || typeof child === "symbol") continue;
        parts.push(`${JSON.stringify(key)}:${indent > 0 ? " " : ""}${write(child, inner, depth + 1)}`);
      }
    }
    const [open, close] = Array.isArray(item) ? "[]" : "{}";
    if (parts.length === 0) return `${open}${close}`;
    return indent > 0 ? `${open}\n${inner}${parts.join(`,\n${inner}`)}\n${margin}${close}` : `${open}${parts.join(",")}${close}`;
  };
  return write(value, "", 0);
};

/** Appends keys to a JSON pointer (RFC 6901), escaping `~` and `/`. The whole document is "". */
export const joinPointer = (base: string, ...keys: readonly PropertyKey[]): string =>
  keys.reduce<string>((pointer, key) => `${pointer}/${String(key).replaceAll("~", "~0").replaceAll("/", "~1")}`, base);

/** The unescaped keys of a JSON pointer; `null` where the text is not one (it neither is empty nor begins with `/`, or has a stray `~`). */
export const splitPointer = (pointer: string): readonly string[] | null => {
  if (pointer === "") return [];
  if (!pointer.startsWith("/") || /~(?![01])/.test(pointer)) return null;
  return pointer
    .slice(1)
    .split("/")
    .map((key) => key.replaceAll("~1", "/").replaceAll("~0", "~"));
};

/**
 * Where the values at some JSON pointers stand, from one pass over the text. A pointer that leads nowhere is absent
 * from the answer.
 *
 * @throws Fault E_JSON where the text is not JSON.
 */
export const locateAll = (text: string, pointers: Iterable<string>): ReadonlyMap<string, Position> => {
  const root: Wanted = { at: -1, children: new Map() };
  const leaves = new Map<string, Wanted>();
  for (const pointer of pointers) {
    const keys = splitPointer(pointer);
    if (keys === null) continue;
    let node = root;
    for (const key of keys) {
      const child: Wanted = node.children.get(key) ?? { at: -1, children: new Map() };
      node.children.set(key, child);
      node = child;
    }
    leaves.set(pointer, node);
  }
  scan(text, root);
  const found = new Map<string, Position>();
  for (const [pointer, { at }] of leaves) if (at >= 0) found.set(pointer, positionAt(text, at));
  return found;
};

/** Where the value at a JSON pointer stands in the text; `null` where it leads nowhere. @throws Fault E_JSON */
export const locate = (text: string, pointer: string): Position | null => locateAll(text, [pointer]).get(pointer) ?? null;
