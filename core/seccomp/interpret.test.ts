import { test } from "uvu";
import * as assert from "uvu/assert";
import { actionText, disassemble, type Instruction, runFilter, validateFilter } from "#core/seccomp/interpret";

const RET: Instruction = [0x06, 0, 0, 0x7fff0000];
const data = { nr: 7, arch: 0xc000003e, ip: 0x1122334455667788n, args: [0xaaaaaaaabbbbbbbbn, -1n] };
const run = (filter: readonly Instruction[], bigEndian = false) => runFilter([...filter, [0x16, 0, 0, 0]], data, bigEndian).action;

test("loads: both halves of a word pair, in both byte orders", () => {
  assert.equal(
    [0, 4, 8, 12, 16, 20, 24, 28, 32].map((k) => run([[0x20, 0, 0, k]])),
    [7, 0xc000003e, 0x55667788, 0x11223344, 0xbbbbbbbb, 0xaaaaaaaa, 0xffffffff, 0xffffffff, 0],
  );
  assert.equal(
    [16, 20].map((k) => run([[0x20, 0, 0, k]], true)),
    [0xaaaaaaaa, 0xbbbbbbbb],
  );
  assert.is(run([[0x80, 0, 0, 0]]), 64);
});

test("arithmetic wraps at 32 bits, and division by zero kills", () => {
  const alu = (code: number, a: number, k: number) =>
    run([
      [0x00, 0, 0, a],
      [code, 0, 0, k],
    ]);
  assert.equal(
    [
      alu(0x04, 0xffffffff, 2),
      alu(0x14, 0, 1),
      alu(0x24, 0xffffffff, 0xffffffff),
      alu(0x34, 7, 2),
      alu(0x44, 5, 2),
      alu(0x54, 7, 0x80000005),
      alu(0x64, 1, 31),
      alu(0x74, 0x80000000, 31),
      alu(0xa4, 0xf0f0f0f0, 0xffffffff),
      alu(0x84, 1, 0),
    ],
    [1, 0xffffffff, 1, 3, 7, 5, 0x80000000, 1, 0x0f0f0f0f, 0xffffffff],
  );
  assert.is(
    run([
      [0x00, 0, 0, 7],
      [0x01, 0, 0, 0],
      [0x3c, 0, 0, 0],
    ]),
    0,
  );
});

test("scratch words, index register, jumps", () => {
  assert.is(
    run([
      [0x00, 0, 0, 9],
      [0x02, 0, 0, 3],
      [0x00, 0, 0, 1],
      [0x61, 0, 0, 3],
      [0x87, 0, 0, 0],
    ]),
    9,
  );
  const jump = (code: number, a: number, k: number) =>
    run([
      [0x00, 0, 0, a],
      [code, 1, 0, k],
      [0x00, 0, 0, 100],
      [0x05, 0, 0, 0],
    ]);
  assert.equal(
    [jump(0x15, 5, 5), jump(0x15, 5, 6), jump(0x25, 0xffffffff, 1), jump(0x25, 5, 5), jump(0x35, 5, 5), jump(0x45, 6, 2), jump(0x45, 6, 1)],
    [5, 100, 0xffffffff, 100, 5, 6, 100],
  );
});

test("the kernel's checks", () => {
  const refused: readonly (readonly [string, readonly Instruction[]])[] = [
    ["0 instructions", []],
    ["4097 instructions", Array<Instruction>(4097).fill(RET)],
    [
      "control leaves",
      [
        [0x20, 0, 0, 0],
        [0x20, 0, 0, 0],
      ],
    ],
    ["control leaves", [[0x15, 1, 0, 0], RET]],
    ["control leaves", [[0x05, 0, 0, 1], RET]],
    ["unaligned", [[0x20, 0, 0, 2], RET]],
    ["outside", [[0x20, 0, 0, 64], RET]],
    ["not allowed", [[0x28, 0, 0, 0], RET]], // ldh
    ["not allowed", [[0x94, 0, 0, 3], RET]], // mod
    ["division", [[0x34, 0, 0, 0], RET]],
    ["shift", [[0x64, 0, 0, 32], RET]],
    ["does not exist", [[0x02, 0, 0, 16], RET]],
    ["before it is written", [[0x60, 0, 0, 0], RET]],
    ["before it is written", [[0x15, 0, 1, 0], [0x02, 0, 0, 1], [0x60, 0, 0, 1], RET]],
    ["8 bits", [[0x15, 256, 0, 0], RET]],
    ["32 bits", [[0x06, 0, 0, -1]]],
  ];
  for (const [reason, filter] of refused) assert.match(validateFilter(filter)?.reason ?? "accepted", reason);
  assert.is(validateFilter([[0x02, 0, 0, 1], [0x60, 0, 0, 1], RET]), null);
});

test("words", () => {
  assert.equal([0x7fff0000, 0x50001, 0, 0x80000000, 0x7fc00000, 0x12340000].map(actionText), [
    "ALLOW",
    "ERRNO(1)",
    "KILL_THREAD",
    "KILL_PROCESS",
    "NOTIFY",
    "0x12340000",
  ]);
  assert.equal(
    disassemble([[0x20, 0, 0, 4], [0x15, 0, 2, 0xc000003e], [0x20, 0, 0, 20], [0x45, 1, 0, 3], [0x05, 0, 0, 0], [0x54, 0, 0, 255], RET]),
    ["0: ld arch", "1: jeq 0xc000003e, 2, 4", "2: ld arg0.hi", "3: jset 3, 5, 4", "4: ja 5", "5: and 0xff", "6: ret ALLOW"],
  );
});

test.run();
