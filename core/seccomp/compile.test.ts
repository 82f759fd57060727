import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import { architectures, nativeArchOf, numbersOf, X32_BIT } from "#core/seccomp/arch";
import { type CompiledSeccomp, compileSeccomp, type SeccompPolicy, type SeccompTarget } from "#core/seccomp/compile";
import { actionText, runFilter, type SeccompData, validateFilter } from "#core/seccomp/interpret";
import { evaluate } from "./test/naive.ts";

const compile = (policy: SeccompPolicy, target: SeccompTarget = { arch: "amd64" }): CompiledSeccomp => {
  const result = compileSeccomp(policy, target);
  if ("issues" in result) throw new Error(JSON.stringify(result.issues));
  assert.is(validateFilter(result.filter), null);
  return result;
};

const issuesOf = (policy: SeccompPolicy, target: SeccompTarget = { arch: "amd64" }): string[] => {
  const result = compileSeccomp(policy, target);
  return "issues" in result ? result.issues.map(({ pointer, message }) => `${pointer}: ${message}`) : [];
};

const X64 = architectures["SCMP_ARCH_X86_64"]?.audit ?? 0;
const X86 = architectures["SCMP_ARCH_X86"]?.audit ?? 0;
const ask = ({ filter }: CompiledSeccomp, nr: number, args: readonly bigint[] = [], arch = X64): string =>
  actionText(runFilter(filter, { nr, arch, args }).action);

test("an allow-list: named calls pass, others get the default's errno, newer ones ENOSYS", () => {
  const compiled = compile({
    defaultAction: "SCMP_ACT_ERRNO",
    syscalls: [{ names: ["read", "write", "openat2"], action: "SCMP_ACT_ALLOW" }],
  });
  assert.equal(
    [0, 1, 2, 437, 438].map((nr) => ask(compiled, nr)),
    ["ALLOW", "ALLOW", "ERRNO(1)", "ALLOW", "ERRNO(38)"],
  );
  assert.is(ask(compiled, 436), "ERRNO(38)", "close_range (5.9) is younger than openat2 (5.6), whatever its number");
  assert.is(ask(compiled, 435), "ERRNO(1)", "clone3 (5.3) was known and left out");
});

test("a default that permits has no ENOSYS rule", () => {
  for (const defaultAction of ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE"]) {
    const compiled = compile({ defaultAction, syscalls: [{ names: ["read"], action: "SCMP_ACT_KILL_PROCESS" }] });
    assert.is(ask(compiled, 0), "KILL_PROCESS");
    assert.is.not(ask(compiled, 500), "ERRNO(38)");
  }
  assert.is(
    ask(compile({ defaultAction: "SCMP_ACT_KILL", syscalls: [{ names: ["read"], action: "SCMP_ACT_ALLOW" }] }), 500),
    "ERRNO(38)",
    "as runc",
  );
  assert.is(ask(compile({ defaultAction: "SCMP_ACT_KILL" }), 500), "KILL_THREAD", "a profile that names nothing knows nothing");
});

test("every action and its data", () => {
  const cases = [
    ["SCMP_ACT_KILL", undefined, "KILL_THREAD"],
    ["SCMP_ACT_KILL_THREAD", undefined, "KILL_THREAD"],
    ["SCMP_ACT_KILL_PROCESS", undefined, "KILL_PROCESS"],
    ["SCMP_ACT_TRAP", undefined, "TRAP"],
    ["SCMP_ACT_ERRNO", undefined, "ERRNO(1)"],
    ["SCMP_ACT_ERRNO", 13, "ERRNO(13)"],
    ["SCMP_ACT_TRACE", undefined, "TRACE(1)"],
    ["SCMP_ACT_TRACE", 4096, "TRACE(4096)"],
    ["SCMP_ACT_LOG", undefined, "LOG"],
  ] as const;
  for (const [action, errnoRet, expected] of cases) {
    assert.is(ask(compile({ defaultAction: "SCMP_ACT_ALLOW", syscalls: [{ names: ["getpid"], action, errnoRet }] }), 39), expected);
    assert.is(ask(compile({ defaultAction: action, defaultErrnoRet: errnoRet, syscalls: [] }), 39), expected);
  }
  const notify = compile({
    defaultAction: "SCMP_ACT_ALLOW",
    listenerPath: "/run/agent.sock",
    syscalls: [{ names: ["getpid"], action: "SCMP_ACT_NOTIFY" }],
  });
  assert.is(ask(notify, 39), "NOTIFY");
  assert.is(notify.listener, true);
});

test("arguments: all conditions of an entry, any entry, and on one argument twice: any condition", () => {
  const eq = (index: number, value: number) => ({ index, value, op: "SCMP_CMP_EQ" });
  const compiled = compile({
    defaultAction: "SCMP_ACT_ERRNO",
    syscalls: [
      { names: ["socket"], action: "SCMP_ACT_ALLOW", args: [eq(0, 1), eq(1, 2)] },
      { names: ["socket"], action: "SCMP_ACT_ALLOW", args: [eq(0, 16)] },
      { names: ["personality"], action: "SCMP_ACT_ALLOW", args: [eq(0, 0), eq(0, 8)] },
    ],
  });
  assert.equal(
    [
      [1n, 2n],
      [1n, 1n],
      [2n, 2n],
      [16n, 0n],
      [16n + (1n << 32n), 0n],
    ].map((args) => ask(compiled, 41, args)),
    ["ALLOW", "ERRNO(1)", "ERRNO(1)", "ALLOW", "ERRNO(1)"],
  );
  assert.equal(
    [0n, 8n, 1n].map((arg) => ask(compiled, 135, [arg])),
    ["ALLOW", "ALLOW", "ERRNO(1)"],
  );
  assert.match(compiled.notes.join(), "two conditions on one argument");
});

test("64-bit values survive exactly, as numbers and as bigints", () => {
  const compiled = compile({
    defaultAction: "SCMP_ACT_ALLOW",
    syscalls: [
      { names: ["lseek"], action: "SCMP_ACT_ERRNO", args: [{ index: 1, value: 0xfffffffffffffffen, op: "SCMP_CMP_GT" }] },
      { names: ["read"], action: "SCMP_ACT_ERRNO", args: [{ index: 2, value: 2 ** 53 - 1, op: "SCMP_CMP_EQ" }] },
    ],
  });
  assert.equal(
    [0xffffffffffffffffn, 0xfffffffffffffffen, 0n].map((arg) => ask(compiled, 8, [0n, arg])),
    ["ERRNO(1)", "ALLOW", "ALLOW"],
  );
  assert.equal(
    [2n ** 53n - 1n, 2n ** 53n].map((arg) => ask(compiled, 0, [0n, 0n, arg])),
    ["ERRNO(1)", "ALLOW"],
  );
});

test("architectures: native is implied, others kill, x32 by its bit", () => {
  const policy = { defaultAction: "SCMP_ACT_ERRNO", syscalls: [{ names: ["read", "write", "mseal"], action: "SCMP_ACT_ALLOW" }] };
  const only = compile(policy);
  assert.equal(
    [ask(only, 0), ask(only, 3, [], X86), ask(only, X32_BIT), ask(only, 0xffffffff)],
    ["ALLOW", "KILL_THREAD", "KILL_THREAD", "ERRNO(1)"],
  );
  const all = compile({ ...policy, architectures: ["SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_X86_64"] });
  assert.equal(
    [ask(all, 0), ask(all, 3, [], X86), ask(all, X32_BIT), ask(all, 3), ask(all, X32_BIT + 3)],
    ["ALLOW", "ALLOW", "ALLOW", "ERRNO(1)", "ERRNO(1)"],
  );
  assert.is(ask(all, 0, [], architectures["SCMP_ARCH_AARCH64"]?.audit), "KILL_THREAD");
});

test("socketcall and ipc carry the rules of the calls inside them", () => {
  const SOCKETCALL = 102;
  const deny = compile({
    defaultAction: "SCMP_ACT_ALLOW",
    architectures: ["SCMP_ARCH_X86"],
    syscalls: [{ names: ["socket", "semget"], action: "SCMP_ACT_ERRNO", args: [{ index: 0, value: 16, op: "SCMP_CMP_EQ" }] }],
  });
  assert.equal(
    [1n, 2n].map((arg) => ask(deny, SOCKETCALL, [arg], X86)),
    ["ERRNO(1)", "ALLOW"],
    "what cannot be looked at is denied",
  );
  assert.equal(
    [2n, 0x10002n, 3n].map((arg) => ask(deny, 117, [arg], X86)),
    ["ERRNO(1)", "ERRNO(1)", "ALLOW"],
    "ipc's version does not hide the call",
  );
  const grant = compile({
    defaultAction: "SCMP_ACT_ERRNO",
    architectures: ["SCMP_ARCH_X86"],
    syscalls: [
      { names: ["socket"], action: "SCMP_ACT_ALLOW", args: [{ index: 0, value: 1, op: "SCMP_CMP_EQ" }] },
      { names: ["bind"], action: "SCMP_ACT_ALLOW" },
      { names: ["mseal"], action: "SCMP_ACT_ALLOW" },
    ],
  });
  assert.equal(
    [1n, 2n].map((arg) => ask(grant, SOCKETCALL, [arg], X86)),
    ["ERRNO(1)", "ALLOW"],
    "nor granted",
  );
});

test("a rule without arguments beats those with, the first such wins, and a rule of the default's action is none", () => {
  const cond = { names: ["read"], action: "SCMP_ACT_KILL_PROCESS", args: [{ index: 0, value: 1, op: "SCMP_CMP_EQ" }] };
  const rules = [cond, { names: ["read"], action: "SCMP_ACT_LOG" }, { names: ["read"], action: "SCMP_ACT_TRAP" }];
  assert.is(ask(compile({ defaultAction: "SCMP_ACT_ALLOW", syscalls: rules }), 0, [1n]), "LOG");
  assert.is(
    ask(
      compile({
        defaultAction: "SCMP_ACT_ERRNO",
        syscalls: [
          { names: ["read"], action: "SCMP_ACT_ERRNO" },
          { names: ["read"], action: "SCMP_ACT_ALLOW" },
        ],
      }),
      0,
    ),
    "ALLOW",
  );
});

test("flags", () => {
  const policy = { defaultAction: "SCMP_ACT_ALLOW" };
  assert.is(compile(policy).flags, 4, "SPEC_ALLOW where flags is absent");
  assert.is(compile({ ...policy, flags: [] }).flags, 0);
  assert.is(
    compile({ ...policy, flags: ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC"] }).flags,
    7,
  );
  assert.match(compile({ ...policy, flags: ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"] }).notes.join(), "ignored");
  const notify = {
    ...policy,
    listenerPath: "/a",
    flags: ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", "SECCOMP_FILTER_FLAG_TSYNC"],
    syscalls: [{ names: ["mount"], action: "SCMP_ACT_NOTIFY" }],
  };
  assert.is(compile(notify).flags, 1 | 8 | 16 | 32);
  assert.match(issuesOf(notify, { arch: "amd64", kernel: { major: 5, minor: 15 } }).join(), "needs Linux 5.19");
});

test("what cannot be compiled is an issue with its place", () => {
  const allow = { defaultAction: "SCMP_ACT_ALLOW" };
  assert.equal(issuesOf({ defaultAction: "toString" }), ['/linux/seccomp/defaultAction: unknown action "toString"']);
  assert.equal(issuesOf(allow, { arch: "pdp11" }), ["/linux/seccomp: no seccomp support for the architecture pdp11"]);
  assert.equal(issuesOf({ ...allow, architectures: ["SCMP_ARCH_Z80"] }), [
    '/linux/seccomp/architectures/0: unknown architecture "SCMP_ARCH_Z80"',
  ]);
  assert.match(issuesOf({ ...allow, architectures: ["SCMP_ARCH_S390X"] }).join(), "another byte order");
  assert.match(issuesOf({ ...allow, flags: ["X"] }).join(), "/linux/seccomp/flags/0: unknown flag");
  assert.match(issuesOf({ ...allow, defaultErrnoRet: 1 }).join(), "SCMP_ACT_ALLOW takes no errno");
  assert.match(issuesOf({ defaultAction: "SCMP_ACT_ERRNO", defaultErrnoRet: 5000 }).join(), "takes 0 to 4095");
  assert.match(issuesOf({ defaultAction: "SCMP_ACT_NOTIFY", listenerPath: "/a" }).join(), "cannot be the default");
  assert.match(
    issuesOf({ ...allow, syscalls: [{ names: ["read"], action: "SCMP_ACT_NOTIFY" }] }).join(),
    "/linux/seccomp/listenerPath: required",
  );
  assert.match(issuesOf({ ...allow, listenerMetadata: "x" }).join(), "must not be set without listenerPath");
  assert.match(
    issuesOf({
      ...allow,
      syscalls: [{ names: ["read"], action: "SCMP_ACT_KILL", args: [{ index: 6, value: 0, op: "SCMP_CMP_EQ" }] }],
    }).join(),
    "arguments 0 to 5",
  );
  assert.match(
    issuesOf({ ...allow, syscalls: [{ names: ["read"], action: "SCMP_ACT_KILL", args: [{ index: 0, value: 0, op: "==" }] }] }).join(),
    "unknown operator",
  );
  const many = Array.from({ length: 5000 }, (_, i) => ({
    names: ["read"],
    action: "SCMP_ACT_KILL",
    args: [{ index: 1, value: i * 3, op: "SCMP_CMP_EQ" }],
  }));
  assert.match(issuesOf({ ...allow, syscalls: many }).join(), /compiles to \d+ instructions, and the kernel takes 4096/);
});

test("unknown names are ignored with a note", () => {
  const compiled = compile({
    defaultAction: "SCMP_ACT_ERRNO",
    syscalls: [{ names: ["read", "no_such_call", "set_tls"], action: "SCMP_ACT_ALLOW" }],
  });
  assert.equal(compiled.notes, ["unknown system calls ignored: no_such_call"]);
  assert.is(ask(compiled, 0), "ALLOW");
});

test("jumps beyond 255 instructions: a return of its own for every call of three architectures, with arguments", () => {
  const names = [...numbersOf("x86_64").keys()];
  const policy = {
    defaultAction: "SCMP_ACT_KILL_PROCESS",
    architectures: ["SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    syscalls: names.map((name, i) => ({
      names: [name],
      action: "SCMP_ACT_ERRNO",
      errnoRet: i + 1,
      ...(i % 3 === 0 ? { args: [{ index: i % 6, value: i * 77_777_777_777, op: "SCMP_CMP_LE" }] } : {}),
    })),
  };
  const compiled = compile(policy);
  assert.ok(compiled.filter.length > 1000, `${compiled.filter.length} instructions`);
  for (let nr = 0; nr < 600; nr++) {
    for (const [arch, base] of [
      [X64, 0],
      [X64, X32_BIT],
      [X86, 0],
    ] as const) {
      for (const args of [
        [0n, 0n, 0n, 0n, 0n, 0n],
        [1n << 63n, 1n << 63n, 1n << 63n, 1n << 63n, 1n << 63n, 1n << 63n],
      ]) {
        const data = { nr: nr + base, arch, args };
        assert.is(runFilter(compiled.filter, data).action, evaluate(policy, "amd64", data), `${arch} ${nr + base}`);
      }
    }
  }
});

test("a call with a thousand conditions", () => {
  const policy = {
    defaultAction: "SCMP_ACT_ERRNO",
    syscalls: Array.from({ length: 1000 }, (_, i) => ({
      names: ["read"],
      action: i % 2 === 0 ? "SCMP_ACT_ALLOW" : "SCMP_ACT_LOG",
      args: [{ index: 1, value: i * 3, op: "SCMP_CMP_EQ" }],
    })),
  };
  const compiled = compile(policy);
  for (const value of [0n, 1n, 3n, 1500n, 2994n, 2997n, 3000n, 2n ** 32n])
    assert.is(ask(compiled, 0, [0n, value]), actionText(evaluate(policy, "amd64", { nr: 0, arch: X64, args: [0n, value] })), `${value}`);
  console.log(`  a thousand values: ${compiled.filter.length} instructions`);
});

// ── Property: the compiled filter says what the policy says ──────────────────────────────────────────────────────────

const hosts: readonly (readonly [goarch: string, others: readonly string[]])[] = [
  ["amd64", ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_AARCH64"]],
  ["386", ["SCMP_ARCH_X32", "SCMP_ARCH_X86_64"]],
  ["arm64", ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]],
  ["arm", []],
  ["s390x", ["SCMP_ARCH_S390"]],
  ["ppc64", ["SCMP_ARCH_PPC"]],
  ["mips64le", ["SCMP_ARCH_MIPSEL", "SCMP_ARCH_MIPSEL64N32"]],
  ["riscv64", []],
];
const names =
  "read write openat close_range openat2 mseal clone clone3 socket bind accept4 socketcall semop shmget ipc personality ioctl breakpoint set_tls cacheflush uretprobe chown32 rt_sigaction nonesuch futex_waitv".split(
    " ",
  );
const edges = [
  0n,
  1n,
  2n,
  8n,
  0x7fn,
  0x10000n,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  0x100000000n,
  0x100000001n,
  0x7e020000n,
  0xffffffff00000000n,
  0xffffffff80000000n,
  0xfffffffffffffff8n,
  0xffffffffffffffffn,
];
const value = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...edges) },
  { weight: 1, arbitrary: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }) },
);
const near = value.chain((v) => fc.constantFrom(v, BigInt.asUintN(64, v + 1n), BigInt.asUintN(64, v - 1n)));
const arg = fc.record({
  index: fc.nat({ max: 5 }).map((i) => (i > 2 ? 0 : i)),
  value: value.map((v) => (v <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(v) : v)),
  valueTwo: fc.option(value, { nil: undefined }),
  op: fc.constantFrom("SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ"),
});
const action = fc.constantFrom(
  "SCMP_ACT_ALLOW",
  "SCMP_ACT_ALLOW",
  "SCMP_ACT_ERRNO",
  "SCMP_ACT_KILL_PROCESS",
  "SCMP_ACT_KILL_THREAD",
  "SCMP_ACT_TRAP",
  "SCMP_ACT_TRACE",
  "SCMP_ACT_LOG",
);
const withErrno = (name: string) =>
  name === "SCMP_ACT_ERRNO" || name === "SCMP_ACT_TRACE"
    ? fc.option(fc.constantFrom(1, 2, 38), { nil: undefined })
    : fc.constant(undefined);
const rule = action.chain((name) =>
  fc.record({
    names: fc.subarray(names, { minLength: 1, maxLength: 6 }),
    action: fc.constant(name),
    errnoRet: withErrno(name),
    args: fc.option(fc.array(arg, { maxLength: 3 }), { nil: undefined }),
  }),
);
const scenario = fc.constantFrom(...hosts).chain(([goarch, others]) =>
  fc.record({
    goarch: fc.constant(goarch),
    policy: action.chain((name) =>
      fc.record({
        defaultAction: fc.constant(name),
        defaultErrnoRet: withErrno(name),
        architectures: fc.subarray([...others]),
        syscalls: fc.array(rule, { maxLength: 12 }),
      }),
    ),
    args: fc.array(fc.array(near, { minLength: 3, maxLength: 3 }), { minLength: 6, maxLength: 6 }),
    odd: fc.array(fc.nat({ max: 0xffffffff }), { minLength: 4, maxLength: 4 }),
  }),
);

const numbersToTry = (goarch: string, odd: readonly number[]): number[] => {
  const tables = hosts.find(([name]) => name === goarch)?.[1] ?? [];
  const bases = [nativeArchOf(goarch) ?? "", ...tables].map((name) => numbersOf(architectures[name]?.table ?? ""));
  const around = bases
    .flatMap((numbers) => names.flatMap((name) => numbers.get(name) ?? []))
    .flatMap((nr) => [Math.max(nr - 1, 0), nr, nr + 1]);
  return [
    ...new Set([...around, 0, 335, 470, 471, 600, X32_BIT - 1, X32_BIT, X32_BIT + 520, 0xeffff, 0xf0000, 0xfffffffe, 0xffffffff, ...odd]),
  ];
};

test("property: compiled and naive evaluation agree", () => {
  fc.assert(
    fc.property(scenario, ({ goarch, policy, args, odd }) => {
      const { filter } = compile(policy, { arch: goarch });
      const bigEndian = architectures[nativeArchOf(goarch) ?? ""]?.bigEndian ?? false;
      const tokens = [nativeArchOf(goarch) ?? "", ...(hosts.find(([name]) => name === goarch)?.[1] ?? [])].map(
        (name) => architectures[name]?.audit ?? 0,
      );
      for (const nr of numbersToTry(goarch, odd)) {
        for (const arch of new Set(tokens)) {
          // Every argument vector for the calls that may look at one, one for the rest.
          for (const vector of args) {
            const data: SeccompData = { nr, arch, args: vector };
            const expected = evaluate(policy, goarch, data);
            const { action: found } = runFilter(filter, data, bigEndian);
            if (found !== expected)
              throw new Error(
                `arch 0x${arch.toString(16)} nr ${nr} args ${vector}: ${actionText(found)}, and the policy says ${actionText(expected)}`,
              );
          }
        }
      }
    }),
    { numRuns: 100 },
  );
});

// What one rule's tests teach the next is where an error would hide: many rules on one call, and words at the edges.
const words = [0n, 1n, 2n, 0xfffffffdn, 0xfffffffen, 0xffffffffn];
const edge = fc.tuple(fc.constantFrom(0n, 0n, 1n, 0xffffffffn), fc.constantFrom(...words)).map(([high, low]) => (high << 32n) | low);
const crowded = fc.record({
  defaultAction: fc.constantFrom("SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"),
  goarch: fc.constantFrom("amd64", "386", "s390x"),
  rules: fc.array(
    fc.record({
      action: fc.constantFrom("SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_LOG", "SCMP_ACT_TRAP"),
      args: fc.array(fc.record({ index: fc.nat({ max: 1 }), value: edge, valueTwo: edge, op: arg.map(({ op }) => op) }), {
        minLength: 1,
        maxLength: 2,
      }),
    }),
    { minLength: 2, maxLength: 8 },
  ),
});
const everyPair = [0n, 1n, 0xffffffffn].flatMap((high) => words.map((low) => (high << 32n) | low));

test("property: many rules on one call", () => {
  fc.assert(
    fc.property(crowded, ({ defaultAction, goarch, rules }) => {
      const policy: SeccompPolicy = { defaultAction, syscalls: rules.map((entry) => ({ names: ["write"], ...entry })) };
      const { filter } = compile(policy, { arch: goarch });
      const native = architectures[nativeArchOf(goarch) ?? ""];
      if (native === undefined) throw new Error(goarch);
      const nr = numbersOf(native.table).get("write") ?? 0;
      for (const first of everyPair) {
        for (const second of [first, 0n, 0xffffffffn, 1n << 32n]) {
          const data: SeccompData = { nr, arch: native.audit, args: [first, second] };
          const expected = evaluate(policy, goarch, data);
          const { action: found } = runFilter(filter, data, native.bigEndian);
          if (found !== expected) throw new Error(`args ${data.args}: ${actionText(found)}, and the policy says ${actionText(expected)}`);
        }
      }
    }),
    { numRuns: 250 },
  );
});

test.run();
