/** Building blocks of the schemas: what OCI documents share, and how a field says in our words what it expects. */
import * as z from "zod/mini";

/** A 64-bit integer: a `bigint` where it lies beyond ±(2^53 − 1), as `parseJson` gives it. */
export type Int64 = number | bigint;

/** Any JSON object. */
export type JsonObject = { readonly [key: string]: unknown };

export const isObject = (value: unknown): value is JsonObject => typeof value === "object" && value !== null && !Array.isArray(value);

/** A value that must pass a test. `expected` completes the sentence "expected …"; `hint` tells the remedy. */
export const expecting = <T>(
  test: (value: unknown) => boolean,
  expected: string,
  hint?: string | ((found: unknown) => string | undefined),
) => z.custom<T>(test, { params: { expected, ...(hint === undefined ? {} : { hint }) } });

export const matching = (pattern: RegExp, expected: string, hint?: string) =>
  expecting<string>((value) => typeof value === "string" && pattern.test(value), expected, hint);

const integerHint = (found: unknown): string | undefined => {
  if (typeof found === "string" && /^-?\d+$/.test(found)) return "write the number without quotes";
  if (typeof found === "number" && !Number.isSafeInteger(found)) return "write an integer in plain decimal digits";
  return undefined;
};

const integer = (min: number, max: number) =>
  expecting<number>(
    (value) => Number.isInteger(value) && Number(value) >= min && Number(value) <= max,
    `an integer from ${min} to ${max}`,
    integerHint,
  );

/**
 * An order of 64-bit integers: negative, zero or positive. Never compare a number with a bigint by `<`: QuickJS-NG answers
 * wrongly where both are negative and the number is a double (`JSON.parse("-1") >= -5n` is false there).
 */
export const compareInt64 = (a: Int64, b: Int64): number => {
  if (typeof a === "number" && typeof b === "number") return a - b;
  const difference = BigInt(a) - BigInt(b);
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
};

// A double beyond 2^53 − 1 (from 1e19, say) is refused: which integer was meant is no longer known.
const wide = (min: bigint, max: bigint) =>
  expecting<Int64>(
    (value) => (typeof value === "bigint" ? value >= min && value <= max : Number.isSafeInteger(value) && Number(value) >= Number(min)),
    `an integer from ${min} to ${max}`,
    integerHint,
  );

export const int32 = integer(-(2 ** 31), 2 ** 31 - 1);
export const uint32 = integer(0, 2 ** 32 - 1);
export const uint16 = integer(0, 65535);
export const count = integer(0, Number.MAX_SAFE_INTEGER);
export const seconds = expecting<number>(
  (value) => Number.isSafeInteger(value) && Number(value) >= 1,
  "a number of seconds, 1 or more",
  "leave it out for no time limit",
);
export const fileMode = integer(0, 0o777);
export const int64 = wide(-(2n ** 63n), 2n ** 63n - 1n);
export const uint64 = wide(0n, 2n ** 64n - 1n);

export const text = z.string();
export const flag = z.boolean();
export const texts = z.array(text);
export const textMap = z.record(z.string(), text);
/** An object that is kept as it is. */
export const anyObject = expecting<JsonObject>(isObject, "an object");

/** The same, optional: shared, for a schema object costs more to make than to use. */
export const optional = {
  int32: z.optional(int32),
  int64: z.optional(int64),
  uint16: z.optional(uint16),
  uint32: z.optional(uint32),
  uint64: z.optional(uint64),
  text: z.optional(text),
  flag: z.optional(flag),
  texts: z.optional(texts),
  textMap: z.optional(textMap),
  anyObject: z.optional(anyObject),
} as const;
