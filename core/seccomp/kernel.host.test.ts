/**
 * The compiler against two outside judges: libseccomp (both filters run in our interpreter) and this machine's kernel.
 * C helpers are compiled into a temporary folder; what is missing is a skip with its reason.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { architectures, nativeArchOf, numbersOf, X32_BIT } from "#core/seccomp/arch";
import { type CompiledSeccomp, compileSeccomp, type SeccompPolicy } from "#core/seccomp/compile";
import { buildDefaultSeccomp } from "#core/seccomp/default-policy";
import { actionText, type Instruction, runFilter, type SeccompData, validateFilter } from "#core/seccomp/interpret";
import { actionOf } from "./test/naive.ts";

const goarch = process.arch === "x64" ? "amd64" : process.arch;
const folder = mkdtempSync(join(tmpdir(), "coracle-seccomp-"));
const source = (name: string): string => fileURLToPath(new URL(`./test/${name}.c`, import.meta.url));
const skip = (name: string, reason: string): void => console.log(`skip: ${name}: ${reason}`);

const strict = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-O2"];
/** Builds a helper; null and a reason where the machine cannot. */
const build = (
  name: string,
  command: string,
  flags: readonly string[],
  libraries: readonly string[] = [],
): string | { readonly reason: string } => {
  const out = join(folder, name);
  const { status, error, stderr } = spawnSync(command, [...strict, ...flags, source(name), "-o", out, ...libraries], { encoding: "utf8" });
  if (error !== undefined) return { reason: `${command} is not installed` };
  return status === 0 ? out : { reason: `${command} failed: ${stderr}` };
};

const kernelHeaders = ["/usr/include", "/usr/include/x86_64-linux-gnu", "/usr/include/aarch64-linux-gnu"]
  .filter(existsSync)
  .flatMap((dir) => ["-idirafter", dir]);
const load = build("load", "musl-gcc", ["-static", ...kernelHeaders]);
const libseccomp = existsSync("/usr/include/seccomp.h")
  ? build("libseccomp", "cc", ["-D_GNU_SOURCE"], ["-lseccomp"])
  : { reason: "no seccomp.h (Debian: libseccomp-dev)" };

const compile = (policy: SeccompPolicy): CompiledSeccomp => {
  const result = compileSeccomp(policy, { arch: goarch });
  if ("issues" in result) throw new Error(JSON.stringify(result.issues));
  return result;
};

const toBytes = (filter: readonly Instruction[]): Buffer => {
  const bytes = Buffer.alloc(filter.length * 8);
  for (const [i, [code, jt, jf, k]] of filter.entries()) {
    bytes.writeUInt16LE(code, i * 8);
    bytes.writeUInt8(jt, i * 8 + 2);
    bytes.writeUInt8(jf, i * 8 + 3);
    bytes.writeUInt32LE(k, i * 8 + 4);
  }
  return bytes;
};

const fromBytes = (bytes: Buffer): Instruction[] =>
  Array.from(
    { length: bytes.length / 8 },
    (_, i) => [bytes.readUInt16LE(i * 8), bytes.readUInt8(i * 8 + 2), bytes.readUInt8(i * 8 + 3), bytes.readUInt32LE(i * 8 + 4)] as const,
  );

// ── libseccomp ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** The same policy through libseccomp, as runc would say it: rules of the default's action left out, two conditions on one argument split. */
const theirs = (helper: string, policy: SeccompPolicy, optimize: 1 | 2): Instruction[] | null => {
  const fallback = actionOf(policy.defaultAction, policy.defaultErrnoRet);
  const lines = [
    `default ${fallback}`,
    ...(policy.architectures ?? []).map((name) => `arch ${name.slice("SCMP_ARCH_".length).toLowerCase()}`),
    `optimize ${optimize}`,
  ];
  for (const { names, action, errnoRet, args = [] } of policy.syscalls ?? []) {
    const value = actionOf(action, errnoRet);
    if (value === fallback) continue;
    const conditions = args.map(({ index, op, value: a, valueTwo }) => `${index} ${op.slice("SCMP_CMP_".length)} ${a} ${valueTwo ?? 0}`);
    const twice = new Set(args.map(({ index }) => index)).size < args.length;
    for (const name of names)
      for (const tail of twice ? conditions : [conditions.join(" ")]) lines.push(`rule ${value} ${name} ${tail}`.trimEnd());
  }
  const { status, stdout } = spawnSync(helper, { input: `${lines.join("\n")}\n`, maxBuffer: 1 << 24 });
  return status === 0 ? fromBytes(stdout) : null;
};

/** Where we mean to differ: runc's ENOSYS rule, which libseccomp does not know. Only used where our answer is ENOSYS and theirs the default. */
const differs = (policy: SeccompPolicy, ours: number, their: number): boolean =>
  ours !== their && !(ours === 0x50026 && their === actionOf(policy.defaultAction, policy.defaultErrnoRet));

const compareAll = (
  policy: SeccompPolicy,
  ours: readonly Instruction[],
  their: readonly Instruction[],
  numbers: readonly number[],
  vectors: readonly (readonly bigint[])[],
): void => {
  for (const arch of [0xc000003e, 0x40000003, 0xc00000b7]) {
    for (const nr of numbers) {
      for (const args of vectors) {
        // The upper half of an argument is 0 on 32-bit architectures, and noise that libseccomp ignores on x32.
        const data: SeccompData = { nr, arch, args: arch === 0x40000003 ? args.map((arg) => BigInt.asUintN(32, arg)) : args };
        const [mine, other] = [runFilter(ours, data).action, runFilter(their, data).action];
        if (differs(policy, mine, other))
          throw new Error(
            `arch 0x${arch.toString(16)} nr ${nr} args ${data.args}: ours ${actionText(mine)}, libseccomp ${actionText(other)}`,
          );
      }
    }
  }
};

test("libseccomp: the default policy, every number of three architectures", () => {
  if (goarch !== "amd64") return skip("libseccomp", "the comparison is written for amd64");
  if (typeof libseccomp !== "string") return skip("libseccomp", libseccomp.reason);
  const numbers = Array.from({ length: 600 }, (_, nr) => [nr, nr + X32_BIT])
    .flat()
    .concat(0xffffffff, 0x3fffffff);
  const vectors = [0n, 1n, 2n, 12n, 38n, 39n, 40n, 0x20000n, 0x7e020000n, 0x10000011n, 0xffffffffn, 0x100000000n].map((arg) => [arg, 0n]);
  for (const caps of [[], ["CAP_SYS_ADMIN"]]) {
    // libseccomp 2.5 knows calls up to Linux 5.17 or so: what is younger is unknown to it, so compare what both can name.
    const full = buildDefaultSeccomp(caps, goarch, { major: 6, minor: 1 });
    const known = full.syscalls?.map((entry) => ({
      ...entry,
      names: entry.names.filter((name) => (numbersOf("x86_64").get(name) ?? 0) <= 448 && name !== "uretprobe"),
    }));
    // socket's rules on arguments also open socketcall there, which our table opens anyway.
    const policy: SeccompPolicy = { ...full, syscalls: known };
    const their = theirs(libseccomp, policy, 2);
    if (their === null) return assert.unreachable("libseccomp refused the default policy");
    const { filter } = compile(policy);
    compareAll(policy, filter, their, numbers, vectors);
    console.log(`  instructions: ours ${filter.length}, libseccomp's binary tree ${their.length}`);
  }
});

const names = [
  "read",
  "write",
  "openat",
  "clone",
  "personality",
  "ioctl",
  "fcntl",
  "mmap",
  "prctl",
  "close_range",
  "openat2",
  "rt_sigaction",
  "getpid",
  "lseek",
];
const value = fc.oneof(
  fc.constantFrom(0n, 1n, 2n, 0x80n, 0x7fffffffn, 0x80000000n, 0xfffffffen, 0xffffffffn),
  fc.bigInt({ min: 0n, max: 0xffffffffn }),
);
const wide = fc.oneof(value, fc.constantFrom(0x100000000n, 0x1ffffffffn, 0xffffffff00000000n, 0xfffffffffffffffen, 0xffffffffffffffffn));
const near = wide.chain((v) => fc.constantFrom(v, BigInt.asUintN(64, v + 1n), BigInt.asUintN(64, v - 1n)));

type GeneratedRule = {
  readonly call: number;
  readonly args: readonly { readonly index: number; readonly value: bigint; readonly valueTwo: bigint; readonly op: string }[];
};

/**
 * libseccomp 2.5 merges several 64-bit comparisons of one call wrongly unless all are equalities (`arg <= 0 || arg < 2^32` refuses 1), so
 * such rules stand alone here; that ours are right together is the naive evaluator's to say.
 */
const mergeable = (rules: readonly GeneratedRule[]): GeneratedRule[] => {
  const isEquality = ({ args }: GeneratedRule): boolean => args.every(({ op }) => op === "SCMP_CMP_EQ");
  const isPlain = ({ args }: GeneratedRule): boolean => new Set(args.map(({ index }) => index)).size === args.length;
  return rules.filter(
    (rule, i) =>
      isEquality(rule) ||
      (isPlain(rule) &&
        rules.findIndex(({ call }) => call === rule.call) === i &&
        rules.findLastIndex(({ call }) => call === rule.call) === i),
  );
};

test("libseccomp: generated policies", () => {
  if (goarch !== "amd64") return skip("libseccomp", "the comparison is written for amd64");
  if (typeof libseccomp !== "string") return skip("libseccomp", libseccomp.reason);
  let compared = 0;
  let refused = 0;
  const policies = fc.record({
    defaultAction: fc.constantFrom("SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_LOG"),
    architectures: fc.subarray(["SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_X86_64"]),
    optimize: fc.constantFrom<1 | 2>(1, 2),
    // One action per call: libseccomp leaves open which of two overlapping rules wins.
    actions: fc.array(fc.constantFrom("SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW", "SCMP_ACT_TRAP", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRACE"), {
      minLength: names.length,
      maxLength: names.length,
    }),
    rules: fc.array(
      fc.record({
        call: fc.nat({ max: names.length - 1 }),
        args: fc.array(
          fc.record({
            index: fc.nat({ max: 2 }),
            value: wide,
            valueTwo: wide,
            op: fc.constantFrom(
              "SCMP_CMP_NE",
              "SCMP_CMP_LT",
              "SCMP_CMP_LE",
              "SCMP_CMP_EQ",
              "SCMP_CMP_GE",
              "SCMP_CMP_GT",
              "SCMP_CMP_MASKED_EQ",
            ),
          }),
          { maxLength: 2 },
        ),
      }),
      { maxLength: 8 },
    ),
    vectors: fc.array(fc.array(near, { minLength: 3, maxLength: 3 }), { minLength: 5, maxLength: 5 }),
  });
  fc.assert(
    fc.property(policies, ({ defaultAction, architectures: named, optimize, actions, rules, vectors }) => {
      // On 32-bit architectures libseccomp cuts wide values off, which we do not: keep to what fits where such are named.
      const narrow = named.some((name) => name !== "SCMP_ARCH_X86_64");
      const cut = (v: bigint): bigint => (narrow ? BigInt.asUintN(32, v) : v);
      const policy: SeccompPolicy = {
        defaultAction,
        architectures: named,
        syscalls: mergeable(rules).map(({ call, args }) => ({
          names: [names[call] ?? ""],
          action: actions[call] ?? "",
          args: args.map((arg) => ({ ...arg, value: cut(arg.value), valueTwo: cut(arg.valueTwo) })),
        })),
      };
      const their = theirs(libseccomp, policy, optimize);
      if (their === null) {
        refused++;
        return;
      }
      compared++;
      const { filter } = compile(policy);
      assert.is(validateFilter(filter), null);
      const numbers = [
        ...new Set(["x86_64", "x86", "x32"].flatMap((table) => names.flatMap((name) => numbersOf(table).get(name) ?? []))),
      ].concat(600, X32_BIT + 600, 0xffffffff);
      compareAll(policy, filter, their, numbers, vectors);
    }),
    { numRuns: 120 },
  );
  console.log(`  libseccomp: ${compared} policies compared, ${refused} that it refuses`);
  assert.ok(compared > refused, "most policies must be comparable");
});

// ── The kernel ───────────────────────────────────────────────────────────────────────────────────────────────────────

const put = ({ filter }: Pick<CompiledSeccomp, "filter">): string => {
  const path = join(folder, "filter");
  writeFileSync(path, toBytes(filter));
  return path;
};

type Call = { readonly nr: number; readonly ret?: number; readonly errno?: number; readonly signal?: number };
const inKernel = (
  helper: string,
  compiled: CompiledSeccomp,
  calls: readonly string[],
): { readonly load: number; readonly calls: readonly Call[] } =>
  JSON.parse(execFileSync(helper, [put(compiled), `${compiled.flags & ~8}`, ...calls], { encoding: "utf8" }));

test("kernel: the default policy loads for this user and decides as compiled", () => {
  if (typeof load !== "string") return skip("kernel", load.reason);
  const numbers = numbersOf(architectures[nativeArchOf(goarch) ?? ""]?.table ?? "");
  const nr = (name: string): string => `${numbers.get(name)}`;
  const compiled = compile(buildDefaultSeccomp([], goarch, { major: 6, minor: 1 }));
  const result = inKernel(load, compiled, [
    nr("getppid"),
    `${nr("socket")}:1:1`,
    `${nr("socket")}:38:5`,
    `${nr("socket")}:40:1`,
    nr("unshare"),
    `${nr("clone")}:0x10000000`,
    nr("clone3"),
    `${nr("personality")}:0xffffffff`,
    `${nr("personality")}:0x40000`,
    nr("swapon"),
    "480",
  ]);
  assert.is(result.load, 0);
  const errnos = result.calls.map(({ ret, errno }) => ((ret ?? -1) >= 0 ? 0 : errno));
  assert.equal(errnos, [0, 0, 1, 1, 1, 1, 38, 0, 1, 1, 38]);
});

test("kernel: every action", () => {
  if (typeof load !== "string") return skip("kernel", load.reason);
  const numbers = numbersOf(architectures[nativeArchOf(goarch) ?? ""]?.table ?? "");
  const getpid = `${numbers.get("getpid")}`;
  const SIGSYS = 31;
  const answers = [
    ["SCMP_ACT_ALLOW", undefined, {}],
    ["SCMP_ACT_LOG", undefined, {}],
    ["SCMP_ACT_ERRNO", 2, { errno: 2 }],
    ["SCMP_ACT_ERRNO", 4095, { errno: 4095 }],
    ["SCMP_ACT_TRACE", undefined, { errno: 38 }], // no tracer: ENOSYS
    ["SCMP_ACT_TRAP", undefined, { signal: SIGSYS }],
    ["SCMP_ACT_KILL_THREAD", undefined, { signal: SIGSYS }],
    ["SCMP_ACT_KILL_PROCESS", undefined, { signal: SIGSYS }],
  ] as const;
  for (const [action, errnoRet, expected] of answers) {
    const compiled = compile({
      defaultAction: action === "SCMP_ACT_ALLOW" ? "SCMP_ACT_LOG" : "SCMP_ACT_ALLOW",
      syscalls: [{ names: ["getpid"], action, errnoRet }],
    });
    const [call] = inKernel(load, compiled, [getpid]).calls;
    assert.equal(
      { ...(call?.signal === undefined ? {} : { signal: call.signal }), ...((call?.errno ?? 0) === 0 ? {} : { errno: call?.errno }) },
      expected,
      action,
    );
  }
});

test("kernel: long programs and notify", () => {
  if (typeof load !== "string") return skip("kernel", load.reason);
  const names = [...numbersOf(architectures[nativeArchOf(goarch) ?? ""]?.table ?? "").keys()];
  const keep = new Set(["write", "exit_group", "seccomp", "prctl"]);
  const long = compile({
    defaultAction: "SCMP_ACT_ALLOW",
    syscalls: names
      .filter((name) => !keep.has(name))
      .map((name, i) => ({
        names: [name],
        action: "SCMP_ACT_ERRNO",
        errnoRet: i + 1,
        args: [{ index: 0, value: i * 2 ** 33, op: "SCMP_CMP_GE" }],
      })),
  });
  assert.ok(long.filter.length > 1024, `${long.filter.length} instructions`);
  assert.is(inKernel(load, long, ["480"]).load, 0);
  const notify = compile({
    defaultAction: "SCMP_ACT_ALLOW",
    listenerPath: "/run/agent.sock",
    syscalls: [{ names: ["mount"], action: "SCMP_ACT_NOTIFY" }],
  });
  const answer: { load: number; fd: number } = JSON.parse(
    execFileSync(load, [put(notify), `${notify.flags}`, "--notify"], { encoding: "utf8" }),
  );
  assert.is(answer.load, 0);
  assert.ok(answer.fd >= 0);
});

test("kernel: time to load the default policy (reported)", () => {
  if (typeof load !== "string") return skip("kernel", load.reason);
  const policy = buildDefaultSeccomp([], goarch, { major: 6, minor: 1 });
  for (const [what, compiled] of [
    ["with sub-architectures", compile(policy)],
    ["native only", compile({ ...policy, architectures: [] })],
  ] as const) {
    const { ns }: { ns: [number, number] } = JSON.parse(
      execFileSync(load, [put(compiled), `${compiled.flags}`, "--time", "300"], { encoding: "utf8" }),
    );
    console.log(
      `  load, ${what}: ${compiled.filter.length} instructions, median ${(ns[0] / 1000).toFixed(0)} µs, least ${(ns[1] / 1000).toFixed(0)} µs`,
    );
  }
});

test.after(() => rmSync(folder, { recursive: true, force: true }));

test.run();
