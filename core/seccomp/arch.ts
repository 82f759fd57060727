/** Architectures as seccomp sees them: the audit token, word size and byte order, and each one's system call numbers. */
import { names, since, tables } from "#core/seccomp/syscalls";

export type Arch = {
  /** Key into the tables of `syscalls.ts`. */
  readonly table: string;
  /** `seccomp_data.arch` (AUDIT_ARCH_* of linux/audit.h): ELF machine, with bit 31 for 64 bits, 30 for little endian, 29 for mips n32. */
  readonly audit: number;
  readonly bits: 32 | 64;
  readonly bigEndian: boolean;
  /** GOARCH's word, where Go knows the architecture. */
  readonly goarch?: string;
};

/** x86_64 and x32 share one audit token; this bit in the number tells them apart. */
export const X32_BIT = 0x40000000;

/** Runtime-spec's SCMP_ARCH_* → what the kernel needs. */
export const architectures: Readonly<Record<string, Arch>> = {
  SCMP_ARCH_X86: { table: "x86", audit: 0x40000003, bits: 32, bigEndian: false, goarch: "386" },
  SCMP_ARCH_X86_64: { table: "x86_64", audit: 0xc000003e, bits: 64, bigEndian: false, goarch: "amd64" },
  // Arguments of x32 are 64 bits wide in seccomp_data, but libseccomp compares 32: an ILP32 caller's upper half is noise.
  SCMP_ARCH_X32: { table: "x32", audit: 0xc000003e, bits: 32, bigEndian: false },
  SCMP_ARCH_ARM: { table: "arm", audit: 0x40000028, bits: 32, bigEndian: false, goarch: "arm" },
  SCMP_ARCH_AARCH64: { table: "aarch64", audit: 0xc00000b7, bits: 64, bigEndian: false, goarch: "arm64" },
  SCMP_ARCH_LOONGARCH64: { table: "loongarch64", audit: 0xc0000102, bits: 64, bigEndian: false, goarch: "loong64" },
  SCMP_ARCH_RISCV64: { table: "riscv64", audit: 0xc00000f3, bits: 64, bigEndian: false, goarch: "riscv64" },
  SCMP_ARCH_MIPS: { table: "mips", audit: 0x00000008, bits: 32, bigEndian: true, goarch: "mips" },
  SCMP_ARCH_MIPSEL: { table: "mips", audit: 0x40000008, bits: 32, bigEndian: false, goarch: "mipsle" },
  SCMP_ARCH_MIPS64: { table: "mips64", audit: 0x80000008, bits: 64, bigEndian: true, goarch: "mips64" },
  SCMP_ARCH_MIPSEL64: { table: "mips64", audit: 0xc0000008, bits: 64, bigEndian: false, goarch: "mips64le" },
  SCMP_ARCH_MIPS64N32: { table: "mips64n32", audit: 0xa0000008, bits: 32, bigEndian: true, goarch: "mips64p32" },
  SCMP_ARCH_MIPSEL64N32: { table: "mips64n32", audit: 0xe0000008, bits: 32, bigEndian: false, goarch: "mips64p32le" },
  SCMP_ARCH_PPC: { table: "ppc", audit: 0x00000014, bits: 32, bigEndian: true, goarch: "ppc" },
  SCMP_ARCH_PPC64: { table: "ppc64", audit: 0x80000015, bits: 64, bigEndian: true, goarch: "ppc64" },
  SCMP_ARCH_PPC64LE: { table: "ppc64", audit: 0xc0000015, bits: 64, bigEndian: false, goarch: "ppc64le" },
  SCMP_ARCH_S390: { table: "s390", audit: 0x00000016, bits: 32, bigEndian: true, goarch: "s390" },
  SCMP_ARCH_S390X: { table: "s390x", audit: 0x80000016, bits: 64, bigEndian: true, goarch: "s390x" },
  SCMP_ARCH_PARISC: { table: "parisc", audit: 0x0000000f, bits: 32, bigEndian: true },
  SCMP_ARCH_PARISC64: { table: "parisc64", audit: 0x8000000f, bits: 64, bigEndian: true },
  SCMP_ARCH_M68K: { table: "m68k", audit: 0x00000004, bits: 32, bigEndian: true },
  SCMP_ARCH_SH: { table: "sh", audit: 0x4000002a, bits: 32, bigEndian: false },
  SCMP_ARCH_SHEB: { table: "sh", audit: 0x0000002a, bits: 32, bigEndian: true },
};

/** GOARCH → SCMP_ARCH_*, or null for one that has no seccomp here. */
export const nativeArchOf = (goarch: string): string | null =>
  Object.entries(architectures).find(([, arch]) => arch.goarch === goarch)?.[0] ?? null;

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
let digits: ReadonlyMap<string, number> | undefined;

/** The position of a character in the alphabet of `syscalls.ts`. */
const digit = (char: string): number => {
  digits ??= new Map([...alphabet].map((letter, i) => [letter, i]));
  return digits.get(char) ?? 0;
};

let nameIds: ReadonlyMap<string, number> | undefined;

/** All names with their ids, which are the same on every architecture. */
const idsByName = (): ReadonlyMap<string, number> => {
  nameIds ??= new Map(names.split(" ").map((name, id) => [name, id]));
  return nameIds;
};

/** A name's id; undefined where no architecture has a call of this name. */
export const idOf = (name: string): number | undefined => idsByName().get(name);

const decoded = new Map<string, readonly number[]>();

/** An architecture's system calls by id: the number, or −1. Decoded on first use: a start needs at most three of the tables. */
export const numbersById = (table: string): readonly number[] => {
  const known = decoded.get(table);
  if (known !== undefined) return known;
  const numbers = new Array<number>(idsByName().size).fill(-1);
  for (const [first, calls] of tables[table] ?? []) {
    for (let i = 0; i < calls.length; i += 2) {
      const high = calls.charAt(i);
      if (high !== ".") numbers[digit(high) * 64 + digit(calls.charAt(i + 1))] = first + i / 2;
    }
  }
  decoded.set(table, numbers);
  return numbers;
};

const named = new Map<string, ReadonlyMap<string, number>>();

/** An architecture's system calls, name → number. */
export const numbersOf = (table: string): ReadonlyMap<string, number> => {
  const known = named.get(table);
  if (known !== undefined) return known;
  const numbers = numbersById(table);
  const found = new Map([...idsByName()].map(([name, id]): [string, number] => [name, numbers[id] ?? -1]).filter(([, nr]) => nr >= 0));
  named.set(table, found);
  return found;
};

/** A call's name, for `explain`; null for a number without one. */
export const nameOf = (table: string, nr: number): string | null => {
  for (const [name, number] of numbersOf(table)) if (number === nr) return name;
  return null;
};

let versions: readonly number[] | undefined;

/** By id, `major * 1000 + minor` of the Linux that first had the call; 0 for all that is older than 5.1. */
export const versionsById = (): readonly number[] => {
  if (versions !== undefined) return versions;
  const found = new Array<number>(idsByName().size).fill(0);
  for (const [version, calls] of since) for (const call of calls.split(" ")) found[idOf(call) ?? 0] = toVersion(version);
  versions = found;
  return found;
};

/** The same for one name; 0 also for an unknown one. */
export const versionOf = (name: string): number => versionsById()[idOf(name) ?? -1] ?? 0;

const toVersion = (text: string): number => {
  const [major = 0, minor = 0] = text.split(".").map(Number);
  return major * 1000 + minor;
};
