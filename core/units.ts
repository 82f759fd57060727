/** Numbers as people write them on a command line, read without rounding: `64m`, `1.5g`, `0.25` CPUs. */
import { Fault } from "#core/fault";
import type { Int64 } from "#core/spec/fields";

const MAX_INT64 = 2n ** 63n - 1n;
/** More digits than any 64-bit number has, with room for a fraction; BigInt's division is quadratic. */
const MAX_TEXT = 64;

/** A `number` where it is exact, else the `bigint`. */
export const exact = (value: bigint): Int64 => (value >= -9007199254740991n && value <= 9007199254740991n ? Number(value) : value);

const shifts: Readonly<Record<string, bigint>> = { "": 0n, k: 10n, m: 20n, g: 30n, t: 40n, p: 50n };

/**
 * An amount of memory in bytes: a number, which may have a fraction, and a unit of 1024's powers (b, k, m, g, t, p;
 * also kb and kib, in either case), as docker's `RAMInBytes`. Fractions of a byte are dropped. Unlike there, digits are
 * never lost to floating point, and exponents (`1e3`) are refused.
 *
 * @param flag names the flag in the message.
 * @throws Fault E_USAGE.
 */
export const parseBytes = (text: string, flag: string): Int64 => {
  const bad = (what: string): Fault =>
    new Fault("E_USAGE", { message: `${flag}: ${what}`, hint: `write a number with an optional unit b, k, m, g, t or p: ${flag} 64m` });
  const [, whole = "", fraction = "", unit = ""] = /^([0-9]*)(?:\.([0-9]*))? ?(?:([kmgtp])(?:i?b)?|b)?$/i.exec(text) ?? [];
  if (whole + fraction === "" || text.length > MAX_TEXT) throw bad(`"${text}" is not a size`);
  const bytes = (BigInt(whole + fraction) << (shifts[unit.toLowerCase()] ?? 0n)) / 10n ** BigInt(fraction.length);
  if (bytes > MAX_INT64) throw bad(`${text} is more than the ${MAX_INT64} bytes that fit into 64 bits`);
  return exact(bytes);
};

/**
 * A number of CPUs, in billionths: `1.5` is 1500000000. Decimal, or a fraction `3/2`.
 * @throws Fault E_USAGE: no number, or one that billionths cannot express.
 */
export const parseCpus = (text: string, flag: string): number => {
  const bad = (what: string): Fault =>
    new Fault("E_USAGE", { message: `${flag}: ${what}`, hint: `write a decimal number of CPUs: ${flag} 1.5` });
  const [, whole = "", fraction = "", below] = /^([0-9]*)(?:\.([0-9]*))?(?:\/([0-9]+))?$/.exec(text) ?? [];
  if (whole + fraction === "" || text.length > MAX_TEXT) throw bad(`"${text}" is not a number of CPUs`);
  const divisor = 10n ** BigInt(fraction.length) * BigInt(below ?? "1");
  if (divisor === 0n) throw bad("the divisor is 0");
  const scaled = BigInt(whole + fraction) * 1_000_000_000n;
  if (scaled % divisor !== 0n) throw bad(`${text} is too precise: nine decimals count`);
  const nano = scaled / divisor;
  if (nano > 9_000_000_000_000_000n) throw bad(`${text} CPUs are more than any machine has`);
  return Number(nano);
};

/** A whole number of 64 bits, in decimal. @throws Fault E_USAGE. */
export const parseInteger = (text: string, flag: string, min: Int64, max: Int64 = MAX_INT64): Int64 => {
  const value = /^[+-]?[0-9]{1,20}$/.test(text) ? BigInt(text.replace("+", "")) : null;
  if (value === null)
    throw new Fault("E_USAGE", {
      message: `${flag}: "${text}" is not a whole number`,
      hint: `write ${flag} with a number from ${min} to ${max}`,
    });
  if (value < min || value > max)
    throw new Fault("E_USAGE", { message: `${flag}: ${text} is out of range`, hint: `the range is ${min} to ${max}` });
  return exact(value);
};
