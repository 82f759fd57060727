/**
 * From a text to a typed document, or to *all* that is wrong with it: each issue with its JSON pointer, its place in the
 * text, what was found and what is expected, in our own words (zod gives the structure, never the sentence).
 */
import * as z from "zod/mini";
import type { Issue } from "#core/fault";
import { joinPointer, locateAll, parseJson, splitPointer } from "#core/json";
import { isObject, type JsonObject } from "./fields.ts";

/** What a check has to say. `pointer` names the value at fault. */
export type Report = {
  readonly issue: (pointer: string, message: string, hint?: string) => void;
  /** Something that is allowed and that the user would want to know. */
  readonly note: (pointer: string, message: string) => void;
  /** False where the schema already refused what stands at this pointer, so that its absence proves nothing. */
  readonly known: (pointer: string) => boolean;
};

export type Check<T> = (document: T, report: Report) => void;

export type Parsed<T> = {
  /** `null` where there is any issue. */
  readonly value: T | null;
  /** In the order of the text. */
  readonly issues: readonly Issue[];
  readonly notes: readonly string[];
};

type Path = readonly PropertyKey[];
const pointerOf = (path: Path): string => joinPointer("", ...path);

/** A value in a few words, for "found …". */
export const describe = (value: unknown): string => {
  if (value === null) return "null";
  if (Array.isArray(value)) return value.length === 0 ? "an empty array" : `an array of ${value.length}`;
  if (typeof value === "object") return "an object";
  if (typeof value === "number" || typeof value === "bigint") return `the number ${value}`;
  if (typeof value !== "string") return String(value);
  return value === "" ? "an empty string" : JSON.stringify(value.length > 60 ? `${value.slice(0, 59)}…` : value);
};

/** Edits (insert, delete, replace) between two words. */
const distance = (a: string, b: string): number => {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length] ?? 0;
};

/** Advice on a misspelt word, where one of the words is close to it. */
export const suggest = (value: unknown, words: readonly string[]): string | undefined => {
  if (typeof value !== "string" || value.length === 0 || value.length > 64) return undefined;
  const given = value.toLowerCase();
  const ranked = words
    .map((word) => ({
      word,
      far: word.toLowerCase().startsWith(given) || word.toLowerCase().endsWith(given) ? 1 : distance(given, word.toLowerCase()),
    }))
    .filter(({ far }) => far <= 2)
    .sort((a, b) => a.far - b.far);
  return ranked[0] === undefined ? undefined : `write ${JSON.stringify(ranked[0].word)}`;
};

const NOUNS: Readonly<Record<string, string>> = {
  string: "a string",
  boolean: "true or false",
  array: "an array",
  object: "an object",
  record: "an object",
};

/** What an issue of zod's expects, and the remedy, read off its structure. */
const expectation = (issue: z.core.$ZodIssue): { expected: string; hint?: string | undefined } => {
  switch (issue.code) {
    case "invalid_type":
      return { expected: NOUNS[issue.expected] ?? `a value of type ${issue.expected}` };
    case "invalid_value": {
      const words = issue.values.map(String);
      const list = issue.values.map(describe).join(", ");
      return { expected: words.length === 1 ? list : `one of ${list}`, hint: suggest(issue.input, words) };
    }
    case "too_small":
      return {
        expected: `at least ${issue.minimum} ${issue.origin === "array" ? (issue.minimum === 1 ? "element" : "elements") : ""}`.trim(),
      };
    case "custom": {
      const expected: unknown = issue.params?.["expected"];
      const hint: unknown = issue.params?.["hint"];
      const advice: unknown = typeof hint === "function" ? hint(issue.input) : hint;
      return {
        expected: typeof expected === "string" ? expected : "something else",
        hint: typeof advice === "string" ? advice : undefined,
      };
    }
    default:
      return { expected: "something else" };
  }
};

const fromZod = (issue: z.core.$ZodIssue): Issue => {
  const { expected, hint } = expectation(issue);
  const missing = issue.input === undefined;
  return {
    pointer: pointerOf(issue.path),
    message: missing ? `is required and missing: expected ${expected}` : `expected ${expected}, found ${describe(issue.input)}`,
    ...(hint === undefined || missing ? {} : { hint }),
  };
};

const has = (value: unknown, path: Path): boolean => {
  const [key, ...rest] = path;
  if (key === undefined) return true;
  return isObject(value) && Object.hasOwn(value, key) && has(value[String(key)], rest);
};

/** A copy without the member at a path of object keys. */
const without = (value: unknown, path: Path): unknown => {
  const [key, ...rest] = path;
  if (key === undefined || !isObject(value)) return value;
  const { [String(key)]: member, ...others } = value;
  return rest.length === 0 ? others : { ...others, [String(key)]: without(member, rest) };
};

// No code generation: a document is read once per process, and QuickJS and CSP-bound hosts have no use for it.
const OPTIONS = { reportInput: true, jitless: true } as const;

/**
 * The largest valid part of an invalid document: the members that the schema refused are left out, together with the
 * objects and whole arrays that are not valid without them. So the semantic checks can speak of the rest at once.
 */
const salvage = <S extends z.ZodMiniType>(
  schema: S,
  raw: JsonObject,
  fallback: JsonObject,
): { value: z.infer<S>; dropped: ReadonlySet<string> } | null => {
  const dropped = new Set<string>();
  let rest: unknown = raw;
  for (;;) {
    const result = z.safeParse(schema, rest, OPTIONS);
    if (result.success) return { value: result.data, dropped };
    const before = rest; // two issues may lie in one array; only what was missing from the start condemns its owner
    for (const { path } of result.error.issues) {
      const element = path.findIndex((key) => typeof key === "number");
      let cut: Path = element === -1 ? path : path.slice(0, element);
      while (!has(before, cut)) cut = cut.slice(0, -1);
      const top = path[0];
      if (
        cut.length <= 1 &&
        path.length === 1 &&
        typeof top === "string" &&
        Object.hasOwn(fallback, top) &&
        !dropped.has(pointerOf(path))
      ) {
        dropped.add(pointerOf(path));
        rest = { ...(isObject(rest) ? rest : {}), [top]: fallback[top] };
      } else if (cut.length === 0) return null;
      else {
        dropped.add(pointerOf(cut));
        rest = without(rest, cut);
      }
    }
  }
};

/** The nearest pointer that can stand in the text: a missing member's owner is where it is missing. */
const place = (
  found: ReadonlyMap<string, { line: number; column: number }>,
  pointer: string,
): { line: number; column: number } | undefined => {
  for (let at = pointer; ; at = at.slice(0, at.lastIndexOf("/"))) {
    const position = found.get(at);
    if (position !== undefined || at === "") return position;
  }
};

const withPlaces = (text: string, issues: readonly Issue[]): Issue[] => {
  const pointers = new Set<string>();
  for (const { pointer } of issues) {
    (splitPointer(pointer) ?? []).reduce((base, key) => {
      pointers.add(base);
      return joinPointer(base, key);
    }, "");
    pointers.add(pointer);
  }
  const found = locateAll(text, pointers);
  return issues
    .map((issue) => ({ ...issue, ...place(found, issue.pointer) }))
    .sort((a, b) => (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0));
};

/** Every string (keys too) that holds a NUL byte: no path, argument or name of the kernel's can. */
const findNul = (value: unknown, pointer: string, found: (pointer: string, key: boolean) => void): void => {
  if (typeof value === "string") {
    if (value.includes("\0")) found(pointer, false);
  } else if (typeof value === "object" && value !== null) {
    for (const [key, child] of Object.entries(value)) {
      if (key.includes("\0")) found(joinPointer(pointer, key), true);
      findNul(child, joinPointer(pointer, key), found);
    }
  }
};

/**
 * Parses a document and gathers all that is wrong with it.
 *
 * @param fallback stands in for required top-level members while the checks run on what is left of an invalid document.
 * @throws Fault E_JSON where the text is not JSON.
 */
export const parseDocument = <S extends z.ZodMiniType>(
  source: string,
  schema: S,
  check?: Check<z.infer<S>>,
  fallback: JsonObject = {},
): Parsed<z.infer<S>> => {
  const raw = parseJson(source);
  const issues: Issue[] = [];
  const notes: string[] = [];
  const result = z.safeParse(schema, raw, OPTIONS);
  if (!result.success) issues.push(...result.error.issues.map(fromZod));

  // A NUL can only be written as an escape, so that the walk is for the rare text that has one.
  if (source.includes("\\u0000")) {
    findNul(raw, "", (pointer, key) => {
      issues.push({
        pointer,
        message: `${key ? "the name of this property" : "this string"} holds a NUL byte`,
        hint: "remove \\u0000: the kernel ends every string there",
      });
    });
  }

  const checked = result.success
    ? { value: result.data, dropped: new Set<string>() }
    : isObject(raw)
      ? salvage(schema, raw, fallback)
      : null;
  if (check !== undefined && checked !== null) {
    check(checked.value, {
      issue: (pointer, message, hint) => issues.push({ pointer, message, ...(hint === undefined ? {} : { hint }) }),
      note: (pointer, message) => notes.push(`${pointer === "" ? "" : `${pointer}: `}${message}`),
      known: (pointer) => {
        for (let at = pointer; at !== ""; at = at.slice(0, at.lastIndexOf("/"))) if (checked.dropped.has(at)) return false;
        return true;
      },
    });
  }
  if (issues.length > 0) return { value: null, issues: withPlaces(source, issues), notes };
  return { value: result.success ? result.data : null, issues, notes };
};
