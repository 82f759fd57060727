/**
 * Classic BPF as seccomp runs it: the kernel's checks before it accepts a filter, and an interpreter.
 * For tests and `explain`; no container start needs either.
 */
import { X32_BIT } from "#core/seccomp/arch";

/** `struct sock_filter`: code, jump if true, jump if false, operand (unsigned, 32 bits). */
export type Instruction = readonly [code: number, jt: number, jf: number, k: number];

/** `struct seccomp_data`. */
export type SeccompData = {
  readonly nr: number;
  readonly arch: number;
  readonly ip?: bigint;
  /** Up to six, taken modulo 2^64. */
  readonly args: readonly bigint[];
};

/** BPF_MAXINSNS of linux/bpf_common.h. */
export const MAX_INSTRUCTIONS = 4096;

const DATA_SIZE = 64;
const SCRATCH_WORDS = 16;
const BPF_DIV = 0x30;

/** What seccomp_check_filter (kernel/seccomp.c) lets pass, by code. No packet loads, no modulo. */
const ALLOWED: ReadonlySet<number> = new Set([
  0x20, // ld [abs]; the kernel rewrites it to read seccomp_data
  0x80,
  0x81, // ld len, ldx len
  0x00,
  0x01, // ld #k, ldx #k
  0x60,
  0x61,
  0x02,
  0x03, // ld M[], ldx M[], st, stx
  0x04,
  0x0c,
  0x14,
  0x1c,
  0x24,
  0x2c,
  0x34,
  0x3c,
  0x44,
  0x4c,
  0x54,
  0x5c,
  0x64,
  0x6c,
  0x74,
  0x7c,
  0xa4,
  0xac,
  0x84, // alu
  0x05,
  0x15,
  0x1d,
  0x25,
  0x2d,
  0x35,
  0x3d,
  0x45,
  0x4d, // jumps
  0x06,
  0x16, // ret #k, ret a
  0x07,
  0x87, // tax, txa
]);

/**
 * What the kernel would refuse: bpf_check_classic and check_load_and_stores (net/core/filter.c), then
 * seccomp_check_filter. Null where it would load the filter; else the first offence.
 */
export const validateFilter = (filter: readonly Instruction[]): { readonly at: number; readonly reason: string } | null => {
  if (filter.length === 0 || filter.length > MAX_INSTRUCTIONS)
    return { at: 0, reason: `${filter.length} instructions, and the kernel takes 1 to ${MAX_INSTRUCTIONS}` };
  // Scratch words that are written on every path to an instruction, as bits; all ones until the instruction is reached.
  const written = new Array<number>(filter.length).fill(0xffff);
  written[0] = 0;
  for (const [at, [code, jt, jf, k]] of filter.entries()) {
    const reason = ((): string | null => {
      if (!ALLOWED.has(code)) return `code 0x${code.toString(16)} is not allowed in a seccomp filter`;
      if (!Number.isInteger(k) || k < 0 || k > 0xffffffff) return "operand is not 32 bits wide";
      if (!Number.isInteger(jt) || jt < 0 || jt > 255 || !Number.isInteger(jf) || jf < 0 || jf > 255) return "jump is not 8 bits wide";
      const kind = code & 7;
      if (code === 0x20 && (k >= DATA_SIZE || k % 4 !== 0)) return `load at ${k} is outside struct seccomp_data or unaligned`;
      if ((kind === 4 && (code & 0xf0) === BPF_DIV && (code & 8) === 0 && k === 0) || ((code === 0x64 || code === 0x74) && k >= 32))
        return "division by zero or shift beyond 31";
      let memory = written[at] ?? 0;
      if (code === 0x60 || code === 0x61 || kind === 2 || kind === 3) {
        if (k >= SCRATCH_WORDS) return `scratch word ${k} does not exist`;
        if (kind === 2 || kind === 3) memory |= 1 << k;
        else if ((memory & (1 << k)) === 0) return `scratch word ${k} is read before it is written`;
      }
      const targets = kind === 6 ? [] : kind !== 5 ? [at + 1] : code === 0x05 ? [at + 1 + k] : [at + 1 + jt, at + 1 + jf];
      for (const target of targets) {
        if (target >= filter.length) return "control leaves the program";
        written[target] = (written[target] ?? 0) & memory;
      }
      return null;
    })();
    if (reason !== null) return { at, reason };
  }
  return null;
};

const wordOf = (data: SeccompData, offset: number, bigEndian: boolean): number => {
  if (offset === 0) return data.nr >>> 0;
  if (offset === 4) return data.arch >>> 0;
  const value = BigInt.asUintN(64, (offset < 16 ? data.ip : data.args[(offset - 16) >> 3]) ?? 0n);
  return Number((offset % 8 === 0) === bigEndian ? value >> 32n : value & 0xffffffffn);
};

const arithmetic = (operation: number, a: number, b: number): number | null => {
  switch (operation) {
    case 0x00:
      return (a + b) >>> 0;
    case 0x10:
      return (a - b) >>> 0;
    case 0x20:
      return Math.imul(a, b) >>> 0;
    case BPF_DIV:
      return b === 0 ? null : Math.floor(a / b);
    case 0x40:
      return (a | b) >>> 0;
    case 0x50:
      return (a & b) >>> 0;
    case 0x60:
      return b > 31 ? 0 : (a << b) >>> 0;
    case 0x70:
      return b > 31 ? 0 : a >>> b;
    case 0x80:
      return -a >>> 0;
    default:
      return (a ^ b) >>> 0;
  }
};

const holds = (operation: number, a: number, b: number): boolean =>
  operation === 0x10 ? a === b : operation === 0x20 ? a > b : operation === 0x30 ? a >= b : (a & b) !== 0;

/**
 * Runs a filter that `validateFilter` accepts. `action` is the return value (SECCOMP_RET_*, with its data in the low 16 bits), `steps` the
 * instructions that were executed.
 */
export const runFilter = (
  filter: readonly Instruction[],
  data: SeccompData,
  bigEndian = false,
): { readonly action: number; readonly steps: number } => {
  const memory = new Array<number>(SCRATCH_WORDS).fill(0);
  let a = 0;
  let x = 0;
  let at = 0;
  for (let steps = 1; ; steps++) {
    const instruction = filter[at++];
    if (instruction === undefined) throw new RangeError(`control leaves the filter at ${at - 1}`);
    const [code, jt, jf, k] = instruction;
    const operand = (code & 8) === 0 ? k : x;
    switch (code & 7) {
      case 0:
      case 1: {
        const mode = code & 0xe0;
        const value = mode === 0x20 ? wordOf(data, k, bigEndian) : mode === 0x60 ? (memory[k] ?? 0) : mode === 0x80 ? DATA_SIZE : k;
        if ((code & 7) === 0) a = value;
        else x = value;
        break;
      }
      case 2:
        memory[k] = a;
        break;
      case 3:
        memory[k] = x;
        break;
      case 4: {
        const value = arithmetic(code & 0xf0, a, operand);
        if (value === null) return { action: 0, steps }; // as the kernel: division by zero ends the program with 0, which kills
        a = value;
        break;
      }
      case 5:
        at += code === 0x05 ? k : holds(code & 0xf0, a, operand) ? jt : jf;
        break;
      case 6:
        return { action: (code === 0x16 ? a : k) >>> 0, steps };
      default:
        if (code === 0x07) x = a;
        else a = x;
    }
  }
};

const actions: readonly (readonly [value: number, name: string])[] = [
  [0x80000000, "KILL_PROCESS"],
  [0x00000000, "KILL_THREAD"],
  [0x00030000, "TRAP"],
  [0x00050000, "ERRNO"],
  [0x7fc00000, "NOTIFY"],
  [0x7ff00000, "TRACE"],
  [0x7ffc0000, "LOG"],
  [0x7fff0000, "ALLOW"],
];

/** A return value in words: `ALLOW`, `ERRNO(1)`. */
export const actionText = (value: number): string => {
  const name = actions.find(([action]) => action === (value & 0xffff0000) >>> 0)?.[1];
  if (name === undefined) return `0x${value.toString(16)}`;
  return name === "ERRNO" || name === "TRACE" ? `${name}(${value & 0xffff})` : name;
};

const operands: Readonly<Record<number, string>> = { 0: "nr", 4: "arch", 8: "ip.lo", 12: "ip.hi" };

/** One line per instruction, in the manner of bpf_dbg; words of seccomp_data by their little-endian names. */
export const disassemble = (filter: readonly Instruction[], bigEndian = false): string[] =>
  filter.map(([code, jt, jf, k], at) => {
    const hex = k >= X32_BIT ? `0x${k.toString(16)}` : `${k}`;
    if (code === 0x20) return `${at}: ld ${operands[k] ?? `arg${(k - 16) >> 3}.${(k % 8 === 0) === bigEndian ? "hi" : "lo"}`}`;
    if (code === 0x05) return `${at}: ja ${at + 1 + k}`;
    if (code === 0x06) return `${at}: ret ${actionText(k)}`;
    if (code === 0x54) return `${at}: and 0x${k.toString(16)}`;
    const jump = { 0x15: "jeq", 0x25: "jgt", 0x35: "jge", 0x45: "jset" }[code];
    if (jump !== undefined) return `${at}: ${jump} ${hex}, ${at + 1 + jt}, ${at + 1 + jf}`;
    return `${at}: 0x${code.toString(16)} ${jt} ${jf} ${hex}`;
  });
