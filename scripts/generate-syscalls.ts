/**
 * Writes `core/seccomp/syscalls.ts`: every architecture's system call numbers, from the kernel's own exported headers.
 *
 *     node scripts/generate-syscalls.ts           regenerate
 *     node scripts/generate-syscalls.ts --check   exit 1 where the committed file would change
 *
 * x86, x86_64, x32 (Debian: linux-libc-dev) and loongarch64 (asm-generic of the same package) are regenerated on any
 * amd64 Debian; the others where their `linux-libc-dev-<arch>-cross` is installed. An architecture without headers keeps
 * the rows that are committed, and so do all where there is no compiler: `--check` is meaningful with any subset. Which
 * were read is printed.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { numbersOf } from "../core/seccomp/arch.ts";
import { tables } from "../core/seccomp/syscalls.ts";

const cross = (triple: string) => `/usr/${triple}/include`;

/** Where each table comes from: an include directory, the header, and what the compiler would have predefined. */
const sources: Readonly<Record<string, { dir: string; header: string; defines?: readonly string[] }>> = {
  x86: { dir: "/usr/include/x86_64-linux-gnu", header: "asm/unistd_32.h" },
  x86_64: { dir: "/usr/include/x86_64-linux-gnu", header: "asm/unistd_64.h" },
  x32: { dir: "/usr/include/x86_64-linux-gnu", header: "asm/unistd_x32.h", defines: ["__X32_SYSCALL_BIT=0x40000000"] },
  arm: { dir: cross("arm-linux-gnueabihf"), header: "asm/unistd.h", defines: ["__ARM_EABI__"] },
  aarch64: { dir: cross("aarch64-linux-gnu"), header: "asm/unistd.h", defines: ["__LP64__"] },
  riscv64: { dir: cross("riscv64-linux-gnu"), header: "asm/unistd.h", defines: ["__LP64__", "__SIZEOF_POINTER__=8"] },
  // Debian 12 has no loongarch64; its asm/unistd.h is these two wishes and asm-generic. __x86_64__ only says: 64 bits per long.
  loongarch64: {
    dir: "/usr/include/x86_64-linux-gnu",
    header: "asm-generic/unistd.h",
    defines: ["__x86_64__", "__ARCH_WANT_SYS_CLONE", "__ARCH_WANT_SYS_CLONE3"],
  },
  mips: { dir: cross("mips-linux-gnu"), header: "asm/unistd_o32.h", defines: ["__NR_Linux=4000"] },
  mips64: { dir: cross("mips64-linux-gnuabi64"), header: "asm/unistd_n64.h", defines: ["__NR_Linux=5000"] },
  mips64n32: { dir: cross("mips64-linux-gnuabin32"), header: "asm/unistd_n32.h", defines: ["__NR_Linux=6000"] },
  ppc: { dir: cross("powerpc64le-linux-gnu"), header: "asm/unistd_32.h" },
  ppc64: { dir: cross("powerpc64le-linux-gnu"), header: "asm/unistd_64.h" },
  s390: { dir: cross("s390x-linux-gnu"), header: "asm/unistd_32.h" },
  s390x: { dir: cross("s390x-linux-gnu"), header: "asm/unistd_64.h" },
  parisc: { dir: cross("hppa-linux-gnu"), header: "asm/unistd_32.h" },
  parisc64: { dir: cross("hppa-linux-gnu"), header: "asm/unistd_64.h" },
  m68k: { dir: cross("m68k-linux-gnu"), header: "asm/unistd_32.h" },
  sh: { dir: cross("sh4-linux-gnu"), header: "asm/unistd_32.h" },
};

/**
 * System calls since Linux 5.1, when the architectures agreed on one number for each new call (mips and x32 add their
 * base). Debian 12's headers end at 6.1; what is missing there is added from here, the rest is checked against them.
 * `only`: architectures that wired it up, where not all did. `older`: others had it long before.
 */
const newer: readonly { nr: number; name: string; since: string; only?: readonly string[]; older?: true }[] = [
  { nr: 424, name: "pidfd_send_signal", since: "5.1" },
  { nr: 425, name: "io_uring_setup", since: "5.1" },
  { nr: 426, name: "io_uring_enter", since: "5.1" },
  { nr: 427, name: "io_uring_register", since: "5.1" },
  { nr: 428, name: "open_tree", since: "5.2" },
  { nr: 429, name: "move_mount", since: "5.2" },
  { nr: 430, name: "fsopen", since: "5.2" },
  { nr: 431, name: "fsconfig", since: "5.2" },
  { nr: 432, name: "fsmount", since: "5.2" },
  { nr: 433, name: "fspick", since: "5.2" },
  { nr: 434, name: "pidfd_open", since: "5.3" },
  {
    nr: 435,
    name: "clone3",
    since: "5.3",
    only: [
      "x86",
      "x86_64",
      "x32",
      "arm",
      "aarch64",
      "riscv64",
      "loongarch64",
      "mips",
      "mips64",
      "mips64n32",
      "ppc",
      "ppc64",
      "s390",
      "s390x",
      "parisc",
      "parisc64",
      "m68k",
    ],
  },
  { nr: 436, name: "close_range", since: "5.9" },
  { nr: 437, name: "openat2", since: "5.6" },
  { nr: 438, name: "pidfd_getfd", since: "5.6" },
  { nr: 439, name: "faccessat2", since: "5.8" },
  { nr: 440, name: "process_madvise", since: "5.10" },
  { nr: 441, name: "epoll_pwait2", since: "5.11" },
  { nr: 442, name: "mount_setattr", since: "5.12" },
  { nr: 443, name: "quotactl_fd", since: "5.14" },
  { nr: 444, name: "landlock_create_ruleset", since: "5.13" },
  { nr: 445, name: "landlock_add_rule", since: "5.13" },
  { nr: 446, name: "landlock_restrict_self", since: "5.13" },
  { nr: 447, name: "memfd_secret", since: "5.14", only: ["x86", "x86_64", "x32", "aarch64", "riscv64", "s390", "s390x"] },
  { nr: 448, name: "process_mrelease", since: "5.15" },
  { nr: 449, name: "futex_waitv", since: "5.16" },
  { nr: 450, name: "set_mempolicy_home_node", since: "5.17" },
  { nr: 451, name: "cachestat", since: "6.5" },
  { nr: 452, name: "fchmodat2", since: "6.6" },
  { nr: 453, name: "map_shadow_stack", since: "6.6" },
  { nr: 454, name: "futex_wake", since: "6.7" },
  { nr: 455, name: "futex_wait", since: "6.7" },
  { nr: 456, name: "futex_requeue", since: "6.7" },
  { nr: 457, name: "statmount", since: "6.8" },
  { nr: 458, name: "listmount", since: "6.8" },
  { nr: 459, name: "lsm_get_self_attr", since: "6.8" },
  { nr: 460, name: "lsm_set_self_attr", since: "6.8" },
  { nr: 461, name: "lsm_list_modules", since: "6.8" },
  { nr: 462, name: "mseal", since: "6.10" },
  { nr: 463, name: "setxattrat", since: "6.13" },
  { nr: 464, name: "getxattrat", since: "6.13" },
  { nr: 465, name: "listxattrat", since: "6.13" },
  { nr: 466, name: "removexattrat", since: "6.13" },
  { nr: 467, name: "open_tree_attr", since: "6.15" },
  { nr: 468, name: "file_getattr", since: "6.17" },
  { nr: 469, name: "file_setattr", since: "6.17" },
  { nr: 470, name: "listns", since: "6.19" },
  { nr: 471, name: "rseq_slice_yield", since: "7.0" },
  // Late arrivals in old gaps.
  { nr: 335, name: "uretprobe", since: "6.11", only: ["x86_64", "x32"] },
  { nr: 336, name: "uprobe", since: "6.18", only: ["x86_64", "x32"] },
  { nr: 258, name: "riscv_hwprobe", since: "6.4", only: ["riscv64"] },
  { nr: 79, name: "newfstatat", since: "6.11", only: ["loongarch64"], older: true },
  { nr: 80, name: "fstat", since: "6.11", only: ["loongarch64"], older: true },
];

const bases: Readonly<Record<string, number>> = { x32: 0x40000000, mips: 4000, mips64: 5000, mips64n32: 6000 };

/** Not system calls: table ends, number bases, and slots that mips keeps free. */
const noise =
  /^(BASE|Linux|N32_Linux|N32_Linux_syscalls|O32_Linux|O32_Linux_syscalls|64_Linux|64_Linux_syscalls|Linux_syscalls|syscalls|arch_specific_syscall|(reserved|unused)\d+|OABI_SYSCALL_BASE|SYSCALL_BASE|SYSCALL_MASK)$/;

/** A C integer expression of literals, parentheses and plus signs. */
const evaluate = (expression: string): number => {
  const terms = expression
    .replaceAll(/[()\s]/g, "")
    .split("+")
    .map(Number);
  if (terms.length === 0 || terms.some((term) => !Number.isSafeInteger(term))) throw new Error(`not a number: ${expression}`);
  return terms.reduce((sum, term) => sum + term, 0);
};

const preprocess = (source: { dir: string; defines?: readonly string[] }, input: string, flag: string): string =>
  // -undef: the machine that generates must not show through.
  execFileSync(
    "cc",
    [
      "-E",
      "-P",
      flag,
      "-nostdinc",
      "-undef",
      "-I",
      source.dir,
      "-I",
      "/usr/include",
      ...(source.defines ?? []).map((d) => `-D${d}`),
      "-xc",
      "-",
    ],
    {
      input,
      encoding: "utf8",
      maxBuffer: 1 << 24,
    },
  );

const hasCompiler = spawnSync("cc", ["--version"]).status === 0;

const readHeaders = (arch: string): Map<string, number> | null => {
  const source = sources[arch];
  if (
    source === undefined ||
    !hasCompiler ||
    !existsSync(source.dir) ||
    ![source.dir, "/usr/include"].some((dir) => existsSync(`${dir}/${source.header}`))
  )
    return null;
  const include = `#include <${source.header}>\n`;
  const macros = [...preprocess(source, include, "-dM").matchAll(/^#define (__(?:ARM_)?NR_(\w+)) /gm)].filter(
    ([, , name]) => !noise.test(name ?? ""),
  );
  // A second pass expands each macro: "read=(4000 + 3)".
  const text = preprocess(source, `${include}${macros.map(([, macro, name]) => `@${name}@ = ${macro};`).join("\n")}`, "-C");
  const numbers = new Map<string, number>();
  for (const [, name, value] of text.matchAll(/@(\w+)@ = ([^;]*);/g))
    if (name !== undefined && value !== undefined) numbers.set(name, evaluate(value));
  return numbers;
};

const addNewer = (arch: string, numbers: Map<string, number>): void => {
  for (const { nr, name, only } of newer) {
    const expected = nr + (bases[arch] ?? 0);
    const found = numbers.get(name);
    if (only !== undefined && !only.includes(arch)) continue;
    if (found === undefined) numbers.set(name, expected);
    else if (found !== expected) throw new Error(`${arch}: ${name} is ${found} in the headers, ${expected} in the table of newer calls`);
  }
};

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const pair = (index: number): string => `${alphabet[index >> 6]}${alphabet[index & 63]}`;

/** Consecutive numbers as pairs of letters; a gap of up to 40 is spelled out, a wider one starts a new segment, as do second names. */
const encode = (numbers: ReadonlyMap<string, number>, names: readonly string[]): [number, string][] => {
  const rows: [number, string][] = [...numbers].map(([name, nr]) => [nr, name]);
  rows.sort(([a, n], [b, m]) => a - b || (n < m ? -1 : 1));
  const segments: [number, string][] = [];
  const aliases: [number, string][] = [];
  let next = -1;
  for (const [nr, name] of rows) {
    const code = pair(names.indexOf(name));
    const last = segments.at(-1);
    if (nr === next - 1) aliases.push([nr, code]);
    else if (last !== undefined && nr - next <= 40) {
      last[1] += "..".repeat(nr - next) + code;
      next = nr + 1;
    } else {
      segments.push([nr, code]);
      next = nr + 1;
    }
  }
  return [...segments, ...aliases];
};

const target = fileURLToPath(new URL("../core/seccomp/syscalls.ts", import.meta.url));
const all = new Map<string, ReadonlyMap<string, number>>();
const read: string[] = [];
const kept: string[] = [];
for (const arch of Object.keys(sources)) {
  const numbers = readHeaders(arch);
  if (numbers === null) {
    if (!(arch in tables)) throw new Error(`no headers for ${arch}, and none committed`);
    all.set(arch, numbersOf(arch));
    kept.push(arch);
  } else {
    addNewer(arch, numbers);
    all.set(arch, numbers);
    read.push(arch);
  }
}

const names = [...new Set([...all.values()].flatMap((numbers) => [...numbers.keys()]))].sort();
const since = new Map<string, string[]>();
for (const { name, since: version, older } of newer) if (older === undefined) since.set(version, [...(since.get(version) ?? []), name]);
const lines = [
  "// Generated by scripts/generate-syscalls.ts. Do not edit.",
  "// biome-ignore-all format: generated",
  "",
  "/** Every system call's name, in alphabetical order, with a blank between. */",
  `export const names = ${JSON.stringify(names.join(" "))};`,
  "",
  "/**",
  " * Per architecture (libseccomp's word for it): segments of consecutive numbers. Two letters of the URL-safe base64",
  " * alphabet are an index into `names`; two dots are a number without a call.",
  " */",
  "export const tables: Readonly<Record<string, readonly (readonly [first: number, calls: string])[]>> = {",
  ...[...all].map(([arch, numbers]) => `  ${arch}: ${JSON.stringify(encode(numbers, names))},`),
  "};",
  "",
  "/** Names by the Linux version that first had them, since 5.1. */",
  "export const since: readonly (readonly [version: string, calls: string])[] = [",
  ...[...since].map(([version, calls]) => `  ["${version}", "${calls.join(" ")}"],`),
  "];",
  "",
];
const output = lines.join("\n");
const before = existsSync(target) ? readFileSync(target, "utf8") : "";
console.log(`syscalls: ${names.length} names; read ${read.join(", ") || "nothing"}; kept ${kept.join(", ") || "nothing"}`);
if (output === before) console.log("syscalls: no change");
else if (process.argv.includes("--check")) {
  console.error("syscalls: core/seccomp/syscalls.ts is out of date; run node scripts/generate-syscalls.ts");
  process.exitCode = 1;
} else writeFileSync(target, output);
