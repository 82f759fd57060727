import { test } from "uvu";
import * as assert from "uvu/assert";
import { Fault } from "#core/fault";
import { readSeccompProfile, type SeccompTarget } from "./seccomp-profile.ts";

const target: SeccompTarget = { capabilities: ["CAP_SYS_PTRACE", "CAP_BPF"], arch: "amd64", kernel: { major: 5, minor: 15 } };
const read = (document: unknown, who: Partial<SeccompTarget> = {}) =>
  readSeccompProfile("p.json", JSON.stringify(document), { ...target, ...who });
const rule = (more: object) => ({ names: ["x"], action: "SCMP_ACT_ALLOW", ...more });
const kept = (more: object, who: Partial<SeccompTarget> = {}): boolean =>
  (read({ defaultAction: "SCMP_ACT_ERRNO", syscalls: [rule(more)] }, who)?.syscalls ?? []).length === 1;

test("docker's format", () => {
  const profile = {
    defaultAction: "SCMP_ACT_ERRNO",
    defaultErrnoRet: 1,
    archMap: [
      { architecture: "SCMP_ARCH_X86_64", subArchitectures: ["SCMP_ARCH_X86", "SCMP_ARCH_X32"] },
      { architecture: "SCMP_ARCH_AARCH64", subArchitectures: ["SCMP_ARCH_ARM"] },
      { architecture: "SCMP_ARCH_RISCV64", subArchitectures: null },
    ],
    syscalls: [
      { names: ["read", "write"], action: "SCMP_ACT_ALLOW" },
      { name: "old", action: "SCMP_ACT_ALLOW", args: [] },
      {
        names: ["personality"],
        action: "SCMP_ACT_ALLOW",
        comment: "",
        args: [{ index: 0, value: 8, op: "SCMP_CMP_EQ" }],
        includes: {},
        excludes: {},
      },
      { names: ["clone3"], action: "SCMP_ACT_ERRNO", errnoRet: 38, excludes: { caps: ["CAP_SYS_ADMIN"] } },
    ],
  };
  assert.equal(read(profile), {
    defaultAction: "SCMP_ACT_ERRNO",
    defaultErrnoRet: 1,
    architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    syscalls: [
      { names: ["read", "write"], action: "SCMP_ACT_ALLOW" },
      { names: ["old"], action: "SCMP_ACT_ALLOW" },
      { names: ["personality"], action: "SCMP_ACT_ALLOW", args: [{ index: 0, value: 8, op: "SCMP_CMP_EQ" }] },
      { names: ["clone3"], action: "SCMP_ACT_ERRNO", errnoRet: 38 },
    ],
  });
  assert.equal(read(profile, { arch: "riscv64" })?.architectures, ["SCMP_ARCH_RISCV64"]);
  assert.is(read(profile, { arch: "s390x" })?.architectures, undefined);
});

test("the OCI's format, and numbers of 64 bits", () => {
  const text = `{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64"],"flags":["SECCOMP_FILTER_FLAG_LOG"],"listenerPath":"/l","listenerMetadata":"m",
    "syscalls":[{"names":["clone"],"action":"SCMP_ACT_ERRNO","args":[{"index":0,"value":18446744073709551615,"valueTwo":0,"op":"SCMP_CMP_MASKED_EQ"}]}]}`;
  assert.equal(readSeccompProfile("p", text, target), {
    defaultAction: "SCMP_ACT_ALLOW",
    architectures: ["SCMP_ARCH_X86_64"],
    flags: ["SECCOMP_FILTER_FLAG_LOG"],
    listenerPath: "/l",
    listenerMetadata: "m",
    syscalls: [
      {
        names: ["clone"],
        action: "SCMP_ACT_ERRNO",
        args: [{ index: 0, value: 18446744073709551615n, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ" }],
      },
    ],
  });
  assert.is(readSeccompProfile("p", " {} ", target), null);
});

test("conditions", () => {
  assert.ok(kept({}));
  assert.ok(kept({ includes: { caps: ["CAP_BPF"] } }));
  assert.ok(kept({ includes: { caps: ["CAP_BPF", "CAP_SYS_PTRACE"] } }));
  assert.not.ok(kept({ includes: { caps: ["CAP_BPF", "CAP_SYS_ADMIN"] } }), "every one is needed");
  assert.not.ok(kept({ excludes: { caps: ["CAP_SYS_ADMIN", "CAP_BPF"] } }), "one suffices");
  assert.ok(kept({ excludes: { caps: ["CAP_SYS_ADMIN"] } }));
  assert.ok(kept({ includes: { arches: ["amd64", "x32"] } }));
  assert.not.ok(kept({ includes: { arches: ["arm64"] } }));
  assert.not.ok(kept({ excludes: { arches: ["amd64"] } }));
  assert.ok(kept({ includes: { arches: ["x86"] } }, { arch: "386" }));
  assert.ok(kept({ includes: { arches: ["ppc64le"] } }, { arch: "ppc64le" }));
  for (const [minimum, yes] of [
    ["4.8", true],
    ["5.15", true],
    ["5.16", false],
    ["6.0", false],
    ["", true],
  ] as const) {
    assert.is(kept({ includes: { minKernel: minimum } }), yes, minimum);
    if (minimum !== "") assert.is(kept({ excludes: { minKernel: minimum } }), !yes, minimum);
  }
});

test("refusals name the file", () => {
  const refusal = (text: string): Fault => {
    try {
      readSeccompProfile("p.json", text, target);
    } catch (error) {
      if (error instanceof Fault) return error;
      throw error;
    }
    throw new Error(`accepted: ${text}`);
  };
  const table: readonly (readonly [string, RegExp])[] = [
    ["", /./],
    ["{", /line 1/],
    ["[]", /not a seccomp profile/],
    ["null", /not a seccomp profile/],
    ['{"defaultAction":"ALLOW"}', /\/defaultAction/],
    ['{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["a"],"action":"x"}]}', /\/syscalls\/0\/action/],
    ['{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"action":"SCMP_ACT_ALLOW"}]}', /syscalls\/0 names no system call/],
    ['{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"a","names":["b"],"action":"SCMP_ACT_ALLOW"}]}', /both name and names/],
    [
      '{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86"],"archMap":[{"architecture":"SCMP_ARCH_X86"}]}',
      /both architectures and archMap/,
    ],
    ['{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["a"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"5"}}]}', /minKernel/],
  ];
  for (const [text, words] of table) {
    const fault = refusal(text);
    assert.is(fault.code, "E_USAGE", text);
    assert.match(fault.message, /^--security-opt seccomp=p\.json: /);
    assert.match(fault.message, words, text);
    assert.ok(fault.hint);
  }
});

test.run();
