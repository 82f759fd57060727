import { test } from "uvu";
import * as assert from "uvu/assert";
import { architectures, nativeArchOf, numbersOf, X32_BIT } from "#core/seccomp/arch";
import { compileSeccomp, type SeccompPolicy } from "#core/seccomp/compile";
import { buildDefaultSeccomp } from "#core/seccomp/default-policy";
import { actionText, type Instruction, runFilter, validateFilter } from "#core/seccomp/interpret";
import { SeccompSchema } from "#core/spec/config";
import { capabilities, decisions } from "./test/moby.ts";

const linux6 = { major: 6, minor: 1 };

const filterFor = (arch: string, caps: readonly string[] = [], kernel = linux6): readonly Instruction[] => {
  const policy: SeccompPolicy = SeccompSchema.parse(buildDefaultSeccomp(caps, arch, kernel));
  const result = compileSeccomp(policy, { arch, kernel });
  if ("issues" in result) throw new Error(JSON.stringify(result.issues));
  assert.is(validateFilter(result.filter), null);
  assert.equal(result.notes, [], "every name of ours is known");
  return result.filter;
};

const numbersIn = (ranges: string): Set<number> =>
  new Set(
    ranges.split(" ").flatMap((range) => {
      const [first = 0, last = first] = range.split("-").map(Number);
      return Array.from({ length: last - first + 1 }, (_, i) => first + i);
    }),
  );

const bases: Readonly<Record<string, number>> = { x32: X32_BIT, mips: 4000, mips64: 5000, mips64n32: 6000 };

for (const [arch, tables] of Object.entries(decisions)) {
  test(`${arch}: the same calls as moby's profile`, () => {
    const filter = filterFor(arch);
    const bigEndian = architectures[nativeArchOf(arch) ?? ""]?.bigEndian ?? false;
    const tokens = new Map(
      [nativeArchOf(arch) ?? "", ...(buildDefaultSeccomp([], arch, linux6).architectures ?? [])].map((name) => [
        architectures[name]?.table,
        architectures[name]?.audit,
      ]),
    );
    for (const [table, { allow, ask }] of Object.entries(tables)) {
      const allowed = numbersIn(allow);
      const asked = numbersIn(ask);
      const token = tokens.get(table);
      if (token === undefined) throw new Error(`${table} is not part of ${arch}`);
      const numbers =
        table === "arm" ? [...Array(600).keys(), ...Array.from({ length: 8 }, (_, i) => 0xf0000 + i)] : [...Array(600).keys()];
      for (const number of numbers) {
        const nr = number + (bases[table] ?? 0);
        // Zeros and all ones: no conditional rule of the profile passes both.
        const answers = [0n, 0xffffffffffffffffn].map((arg) =>
          actionText(runFilter(filter, { nr, arch: token, args: Array<bigint>(6).fill(arg) }, bigEndian).action),
        );
        const expected = allowed.has(number) ? "allowed" : asked.has(number) ? "asked" : "denied";
        const found = answers.every((answer) => answer === "ALLOW")
          ? "allowed"
          : answers.every((answer) => answer === "ERRNO(1)" || answer === "ERRNO(38)")
            ? "denied"
            : "asked";
        const clone3 = number === numbersOf(table).get("clone3") || nr === numbersOf(table).get("clone3");
        if (clone3) assert.equal([expected, ...answers], ["asked", "ERRNO(38)", "ERRNO(38)"]);
        else if (expected === "asked") assert.is(found === "asked" || found === "allowed", true, `${table} ${nr}: ${answers}`);
        else assert.is(found, expected, `${table} ${nr}: ${answers}`);
      }
    }
  });
}

test("amd64: each capability adds what it adds in moby's profile", () => {
  const base = filterFor("amd64");
  const token = architectures["SCMP_ARCH_X86_64"]?.audit ?? 0;
  const allows = (filter: readonly Instruction[], nr: number) =>
    actionText(runFilter(filter, { nr, arch: token, args: [0x7e020000n, 0n] }).action) === "ALLOW";
  for (const [cap, added] of Object.entries(capabilities)) {
    const filter = filterFor("amd64", [cap]);
    const expected = numbersIn(added);
    for (let nr = 0; nr < 500; nr++)
      if (expected.has(nr) !== (allows(filter, nr) && !allows(base, nr))) assert.unreachable(`${cap}, number ${nr}`);
  }
});

test("arguments: address families, personalities, clone's namespaces", () => {
  const filter = filterFor("amd64");
  const ask = (nr: number, arg: number | bigint) =>
    actionText(runFilter(filter, { nr, arch: architectures["SCMP_ARCH_X86_64"]?.audit ?? 0, args: [BigInt(arg)] }).action);
  assert.equal(
    [0, 1, 2, 16, 37, 38, 39, 40, 41].map((family) => ask(41, family)),
    ["ALLOW", "ALLOW", "ALLOW", "ALLOW", "ALLOW", "ERRNO(1)", "ALLOW", "ERRNO(1)", "ALLOW"],
  );
  assert.equal(
    [0, 8, 0x20000, 0x20008, 0xffffffff, 0x40000, 0x100000000].map((value) => ask(135, value)),
    ["ALLOW", "ALLOW", "ALLOW", "ALLOW", "ALLOW", "ERRNO(1)", "ERRNO(1)"],
  );
  assert.equal(
    [0x11, 0x10000000, 0x20000, 0x2000000, 0x100000011].map((flags) => ask(56, flags)),
    ["ALLOW", "ERRNO(1)", "ERRNO(1)", "ERRNO(1)", "ALLOW"],
  );
  const s390x = filterFor("s390x");
  const clone = (args: readonly bigint[]) => actionText(runFilter(s390x, { nr: 120, arch: 0x80000016, args }, true).action);
  assert.equal([clone([0x10000000n, 0x11n]), clone([0n, 0x10000000n])], ["ALLOW", "ERRNO(1)"]);
});

test("before Linux 4.8 a tracer could get round the filter, so ptrace is left out", () => {
  const ptrace = (kernel: { major: number; minor: number }) =>
    actionText(runFilter(filterFor("amd64", [], kernel), { nr: 101, arch: 0xc000003e, args: [] }).action);
  assert.equal([ptrace({ major: 4, minor: 7 }), ptrace({ major: 4, minor: 8 })], ["ERRNO(1)", "ALLOW"]);
});

test("no more than 300 instructions, sub-architectures included", () => {
  const lengths = Object.keys(decisions).map((arch) => [arch, filterFor(arch).length] as const);
  console.log(`  instructions: ${lengths.map(([arch, length]) => `${arch} ${length}`).join(", ")}`);
  for (const [arch, length] of lengths) assert.ok(length <= 300, `${arch}: ${length}`);
});

test.run();
