import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { Fault } from "#core/fault";
import { exact, parseBytes, parseCpus, parseInteger } from "./units.ts";

const refuses = (run: () => unknown, words: RegExp): void => {
  try {
    run();
  } catch (error) {
    assert.instance(error, Fault);
    if (error instanceof Fault) {
      assert.is(error.code, "E_USAGE");
      assert.match(error.message, words);
      assert.ok(error.hint);
    }
    return;
  }
  assert.unreachable("accepted");
};

test("sizes as docker reads them", () => {
  const table: Readonly<Record<string, number | bigint>> = {
    "0": 0,
    "32": 32,
    "32b": 32,
    "32B": 32,
    "32k": 32 * 1024,
    "32K": 32 * 1024,
    "32kb": 32 * 1024,
    "32Kb": 32 * 1024,
    "32KiB": 32 * 1024,
    "32 kib": 32 * 1024,
    "64m": 64 * 1024 ** 2,
    "1g": 1024 ** 3,
    "1.5g": 1.5 * 1024 ** 3,
    ".5k": 512,
    "1.": 1,
    "32.5": 32,
    "32.3kB": 33075,
    "1t": 1024 ** 4,
    "1p": 1024 ** 5,
    "9007199254740993": 9007199254740993n,
    "9223372036854771712": 9223372036854771712n,
    "9223372036854775807": 9223372036854775807n,
  };
  for (const [text, bytes] of Object.entries(table)) assert.equal(parseBytes(text, "--memory"), bytes, text);
  for (const bad of ["", "k", "hello", "-32", "1kbb", "1bk", "1 k ", " 1", "1e3", "0x10", ".", ". k", "32bm", "32..5", "1,5g", "٣"])
    refuses(() => parseBytes(bad, "--memory"), /^--memory: /);
  refuses(() => parseBytes("9223372036854775808", "--memory"), /more than/);
  refuses(() => parseBytes("8192p", "--memory"), /more than/);
  refuses(() => parseBytes("1".repeat(1000), "--memory"), /not a size/);
});

test("CPUs", () => {
  assert.is(parseCpus("1.5", "--cpus"), 1_500_000_000);
  assert.is(parseCpus(".25", "--cpus"), 250_000_000);
  assert.is(parseCpus("3/2", "--cpus"), 1_500_000_000);
  assert.is(parseCpus("0.000000001", "--cpus"), 1);
  assert.is(parseCpus("0", "--cpus"), 0);
  for (const bad of ["", "x", "-1", "1/0", "1/3", "0.0000000001", "1e1", "99999999999999999"])
    refuses(() => parseCpus(bad, "--cpus"), /^--cpus: /);
});

test("integers", () => {
  assert.is(parseInteger("+5", "--x", 0), 5);
  assert.is(parseInteger("-1", "--x", -1), -1);
  assert.is(parseInteger("9223372036854775807", "--x", 0), 9223372036854775807n);
  for (const bad of ["", "1.5", "0x1", "-1", "9223372036854775808", "--1"]) refuses(() => parseInteger(bad, "--x", 0), /^--x: /);
});

test("property: whole sizes are exact", () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 2n ** 43n - 1n }), fc.constantFrom(["", 0n], ["k", 10n], ["M", 20n]), (n, unit) => {
      assert.equal(parseBytes(`${n}${unit[0]}`, "--m"), exact(n << BigInt(unit[1] ?? 0)));
    }),
  );
});

test.run();
