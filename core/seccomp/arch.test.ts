import { test } from "uvu";
import * as assert from "uvu/assert";
import { architectures, idOf, nameOf, nativeArchOf, numbersOf, versionOf, X32_BIT } from "#core/seccomp/arch";
import { tables } from "#core/seccomp/syscalls";
import { SECCOMP_ARCHS } from "#core/spec/config";

test("every architecture of the specification has its table", () => {
  assert.equal(Object.keys(architectures).sort(), [...SECCOMP_ARCHS].sort());
  for (const { table } of Object.values(architectures)) assert.ok(numbersOf(table).size > 300, table);
  assert.equal(new Set(Object.values(architectures).map(({ table }) => table)), new Set(Object.keys(tables)));
});

test("numbers that every manual knows", () => {
  // biome-ignore format: a table
  const known: readonly (readonly [string, string, number])[] = [
    ["x86_64", "read", 0], ["x86_64", "execve", 59], ["x86_64", "clone3", 435], ["x86", "exit", 1], ["x86", "socketcall", 102], ["x32", "execve", X32_BIT + 520],
    ["x32", "read", X32_BIT], ["arm", "set_tls", 0xf0005], ["arm", "sync_file_range2", 341], ["arm", "arm_sync_file_range", 341], ["aarch64", "openat", 56], ["riscv64", "riscv_hwprobe", 258],
    ["riscv64", "riscv_flush_icache", 259], ["loongarch64", "statx", 291], ["mips", "exit", 4001], ["mips64", "read", 5000], ["mips64n32", "read", 6000], ["ppc64", "swapcontext", 249], ["s390x", "clone", 120],
    ["parisc", "fork", 2], ["m68k", "exit", 1], ["sh", "exit", 1],
  ];
  for (const [table, name, nr] of known) assert.is(numbersOf(table).get(name), nr, `${table} ${name}`);
  for (const table of Object.keys(tables)) assert.is((numbersOf(table).get("mseal") ?? 0) % 1000 === 462 || table === "x32", true, table);
});

test("names back, versions, and what is not there", () => {
  assert.equal(
    [
      nameOf("x86_64", 257),
      nameOf("x86_64", 334 + 60),
      versionOf("mseal"),
      versionOf("read"),
      idOf("set_tls") === undefined,
      idOf("nonesuch"),
    ],
    ["openat", null, 6010, 0, false, undefined],
  );
  assert.equal([nativeArchOf("amd64"), nativeArchOf("wasm"), numbersOf("pdp11").size], ["SCMP_ARCH_X86_64", null, 0]);
});

test.run();
