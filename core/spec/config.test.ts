import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import * as z from "zod/mini";
import { Fault } from "#core/fault";
import { parseJson, stringifyJson } from "#core/json";
import { ConfigSchema, parseConfig } from "./config.ts";
import { FeaturesSchema } from "./features.ts";
import { compareInt64 } from "./fields.ts";
import { parseDocument } from "./issues.ts";
import { StateSchema } from "./state.ts";
import { compile, errorPointers, isAbsent, type Json, list, readText, schemasOf } from "./test/data.ts";
import { fullConfig, fullFeatures, fullState } from "./test/full.ts";
import { mutated } from "./test/mutate.ts";

const SCHEMAS = "runtime-spec/schema";

test("a config with every member is valid, and nothing of it is lost", () => {
  const { config, issues } = parseConfig(stringifyJson(fullConfig, 2));
  assert.equal(issues, []);
  assert.equal(config, fullConfig);
  assert.equal(z.parse(StateSchema, fullState), fullState);
  assert.equal(z.parse(FeaturesSchema, fullFeatures), fullFeatures);
});

test("unknown members are ignored; other platforms' are kept", () => {
  const { config, issues } = parseConfig(
    '{"ociVersion":"1.0.0","x":1,"root":{"path":"r","y":2},"linux":{"z":{}},"windows":{"new":{"deep":[1]}}}',
  );
  assert.equal(issues, []);
  assert.equal(config, { ociVersion: "1.0.0", root: { path: "r" }, linux: {}, windows: { new: { deep: [1] } } });
});

test("broken JSON is a fault", () => {
  assert.throws(
    () => parseConfig("{]"),
    (error: unknown) => error instanceof Fault && error.code === "E_JSON",
  );
});

if (!isAbsent("runtime-spec schemas", SCHEMAS)) {
  const cases = [
    { kind: "config", main: "config-schema.json", schema: ConfigSchema, full: fullConfig },
    { kind: "state", main: "state-schema.json", schema: StateSchema, full: fullState },
    { kind: "features", main: "features-schema.json", schema: FeaturesSchema, full: fullFeatures },
  ] as const;

  /** Bad fixtures that we take. */
  const TAKEN: Readonly<Record<string, string>> = {
    "freebsd-vnet-disable.json": "another platform's object is kept unread: a Linux runtime never acts on it",
  };

  for (const { kind, main, schema, full } of cases) {
    const read = (path: string): boolean => z.safeParse(schema, parseJson(readText(path))).success;
    for (const path of list(`${SCHEMAS}/test/${kind}/good`)) test(`good: ${path}`, () => assert.ok(read(path)));
    for (const path of list(`${SCHEMAS}/test/${kind}/bad`)) {
      const name = path.slice(path.lastIndexOf("/") + 1);
      test(`bad: ${path}`, () => {
        if (name === "invalid-json.json") assert.throws(() => read(path));
        else assert.is(read(path), name in TAKEN);
      });
    }

    const files = schemasOf(SCHEMAS);
    test(`${kind}: no member of the specification's schema is missing`, () => {
      const missing: string[] = [];
      const visit = (node: unknown, file: string, value: unknown, at: string): void => {
        const rule = Object(node);
        if (typeof rule.$ref === "string") {
          const [name, pointer = ""] = rule.$ref.split("#");
          const target = name === "" ? file : name;
          visit(
            pointer
              .split("/")
              .slice(1)
              .reduce((found: unknown, key: string) => Object(found)[key], files.get(target)),
            target,
            value,
            at,
          );
        }
        for (const part of [...(rule.allOf ?? []), ...(rule.anyOf ?? [])]) visit(part, file, value, at);
        if (rule.items !== undefined) {
          // Some element has each member.
          const merged = Array.isArray(value) ? (typeof value[0] === "object" ? Object.assign({}, ...value) : value[0]) : undefined;
          visit(rule.items, file, merged, `${at}/*`);
        }
        for (const [key, child] of Object.entries(rule.properties ?? {})) {
          if (at === "" && ["windows", "solaris", "vm", "zos", "freebsd"].includes(key)) continue;
          const member = Object(value)[key];
          if (member === undefined) missing.push(`${at}/${key}`);
          else visit(child, file, member, `${at}/${key}`);
        }
        if (typeof rule.additionalProperties === "object")
          visit(rule.additionalProperties, file, Object.values(Object(value))[0], `${at}/*`);
      };
      visit(files.get(main), main, z.parse(schema, full), "");
      assert.equal(missing, []);
    });

    /** Where we and the JSON schema may differ, and why. */
    const excused = (pointer: string, document: Json): boolean => {
      // Another platform's object is kept unread.
      if (/^\/(windows|solaris|vm|zos|freebsd)(\/|$)/.test(pointer) && pointer.split("/").length > 2) return true;
      // features.md has members that its schema lacks.
      if (kind === "features" && /^\/linux\/(memoryPolicy|intelRdt\/(schemata|monitoring))(\/|$)/.test(pointer)) return true;
      const found = pointer
        .split("/")
        .slice(1)
        .reduce((value: unknown, key) => (typeof value === "object" && value !== null ? Reflect.get(value, key) : undefined), document);
      // The schema gives these no upper limit; ours are 64 bits (oomScoreAdj) or 2^53 − 1.
      return typeof found === "bigint" && /\/(oomScoreAdj|timeout|pid)$/.test(pointer);
    };

    const validate = compile(SCHEMAS, main);
    test(`${kind}: refuses and accepts what the specification's schema does, at the same places`, () => {
      const documents: Json[] = [full, ...list(`${SCHEMAS}/test/${kind}/good`).map((path) => JSON.parse(readText(path)))];
      let refused = 0;
      fc.assert(
        fc.property(mutated(documents), (document) => {
          const theirs = errorPointers(validate, document);
          const ours = new Set(parseDocument(stringifyJson(document), schema).issues.map(({ pointer }) => pointer));
          if (theirs.size > 0) refused++;
          for (const pointer of theirs)
            assert.ok(ours.has(pointer) || excused(pointer, document), `only the specification's schema refuses ${pointer}`);
          for (const pointer of ours) assert.ok(theirs.has(pointer) || excused(pointer, document), `only ours refuses ${pointer}`);
        }),
        { numRuns: 1500 },
      );
      assert.ok(refused > 300, `${refused} documents were refused`);
    });
  }
}

/** A valid config, to break in one place. */
const base = () => ({
  ociVersion: "1.3.0",
  root: { path: "rootfs" },
  process: { cwd: "/", args: ["true"] },
  linux: { namespaces: ["mount", "pid", "network", "uts", "ipc", "user", "time"].map((type) => ({ type })) },
});

type Row = readonly [title: string, change: object, at: string, message: RegExp];
const process = (members: object) => ({ process: { cwd: "/", args: ["true"], ...members } });
const linux = (members: object) => ({ linux: { ...base().linux, ...members } });
const resources = (members: object) => linux({ resources: members });
const seccomp = (members: object) => linux({ seccomp: { defaultAction: "SCMP_ACT_ALLOW", ...members } });
const id = (containerID: number, hostID: number, size: number) => ({ containerID, hostID, size });

const ISSUES: readonly Row[] = [
  ["no version", { ociVersion: "one" }, "/ociVersion", /expected a version such as/],
  ["newer major", { ociVersion: "2.0.0" }, "/ociVersion", /expected a version 1\.x/],
  ["older major", { ociVersion: "0.5.0-dev" }, "/ociVersion", /expected a version 1\.x/],
  ["no root", { root: undefined }, "/root", /required and missing/],
  ["empty root", { root: { path: "" } }, "/root/path", /root file system, found an empty string/],
  ["relative cwd", process({ cwd: "work" }), "/process/cwd", /an absolute path, found "work"/],
  ["no args", process({ args: [] }), "/process/args", /found none/],
  ["no args at all", { process: { cwd: "/" } }, "/process/args", /found none/],
  ["empty program", process({ args: [""] }), "/process/args/0", /name of a program/],
  ["env without =", process({ env: ["A=", "B"] }), "/process/env/1", /NAME=value, found "B"/],
  ["env without a name", process({ env: ["=x"] }), "/process/env/0", /NAME=value/],
  ["umask", process({ user: { umask: 512 } }), "/process/user/umask", /0 to 511/],
  ["oom score", process({ oomScoreAdj: 1001 }), "/process/oomScoreAdj", /-1000 to 1000/],
  [
    "unknown rlimit",
    process({ rlimits: [{ type: "RLIMIT_NOFILES", soft: 1, hard: 1 }] }),
    "/process/rlimits/0/type",
    /name of a resource limit/,
  ],
  [
    "rlimit twice",
    process({ rlimits: ["RLIMIT_CPU", "RLIMIT_CPU"].map((type) => ({ type, soft: 1, hard: 1 })) }),
    "/process/rlimits/1/type",
    /set twice: first in .*\/0/,
  ],
  [
    "soft above hard",
    process({ rlimits: [{ type: "RLIMIT_CPU", soft: 18446744073709551615n, hard: 1 }] }),
    "/process/rlimits/0/soft",
    /18446744073709551615 is above the hard limit 1/,
  ],
  [
    "effective, not permitted",
    process({ capabilities: { effective: ["CAP_KILL"] } }),
    "/process/capabilities/effective/0",
    /not permitted/,
  ],
  ["realtime without priority", process({ scheduler: { policy: "SCHED_FIFO" } }), "/process/scheduler/priority", /1 to 99 .* found none/],
  [
    "priority of others",
    process({ scheduler: { policy: "SCHED_OTHER", priority: 1 } }),
    "/process/scheduler/priority",
    /takes no priority/,
  ],
  ["nice of others", process({ scheduler: { policy: "SCHED_IDLE", nice: 1 } }), "/process/scheduler/nice", /takes no nice/],
  ["nice", process({ scheduler: { policy: "SCHED_OTHER", nice: 20 } }), "/process/scheduler/nice", /-20 to 19/],
  ["deadline", process({ scheduler: { policy: "SCHED_DEADLINE", runtime: 3, deadline: 2 } }), "/process/scheduler", /runtime <= deadline/],
  ["runtime of others", process({ scheduler: { policy: "SCHED_BATCH", runtime: 3 } }), "/process/scheduler/runtime", /takes no runtime/],
  ["io priority", process({ ioPriority: { class: "IOPRIO_CLASS_BE", priority: 8 } }), "/process/ioPriority/priority", /0 \(highest\) to 7/],
  ["cpu list", process({ execCPUAffinity: { initial: "3-1" } }), "/process/execCPUAffinity/initial", /list of CPUs/],
  ["console", process({ consoleSize: { height: 70000, width: 1 } }), "/process/consoleSize/height", /0 to 65535/],
  ["hostname", { hostname: "ä".repeat(33) }, "/hostname", /64 bytes/],
  ["hostname without uts", { hostname: "x", linux: { namespaces: [{ type: "pid" }] } }, "/hostname", /needs a uts namespace/],
  ["empty destination", { mounts: [{ destination: "" }] }, "/mounts/0/destination", /a path in the container/],
  ["bind of nothing", { mounts: [{ destination: "/x", options: ["rbind"] }] }, "/mounts/0/source", /required and missing/],
  ["half an id map", { mounts: [{ destination: "/x", uidMappings: [id(0, 1, 1)] }] }, "/mounts/0/gidMappings", /maps users and groups/],
  ["relative hook", { hooks: { poststop: [{ path: "x" }] } }, "/hooks/poststop/0/path", /an absolute path/],
  ["hook env", { hooks: { poststop: [{ path: "/x", env: ["A"] }] } }, "/hooks/poststop/0/env/0", /NAME=value/],
  ["hook timeout", { hooks: { poststop: [{ path: "/x", timeout: 0 }] } }, "/hooks/poststop/0/timeout", /1 or more, found the number 0/],
  ["annotation", { annotations: { "": "x" } }, "/annotations/", /empty name/],
  ["namespace twice", linux({ namespaces: [{ type: "pid" }, { type: "pid" }] }), "/linux/namespaces/1/type", /listed twice/],
  ["namespace path", linux({ namespaces: [{ type: "pid", path: "self" }] }), "/linux/namespaces/0/path", /an absolute path/],
  ["maps without user", { linux: { uidMappings: [id(0, 0, 1)] } }, "/linux/uidMappings", /needs a user namespace/],
  ["offsets without time", { linux: { timeOffsets: { boottime: {} } } }, "/linux/timeOffsets", /needs a time namespace/],
  ["nanoseconds", linux({ timeOffsets: { boottime: { nanosecs: 1e9 } } }), "/linux/timeOffsets/boottime/nanosecs", /less than a second/],
  ["masks without mount", { linux: { maskedPaths: ["/x"] } }, "/linux/maskedPaths", /needs a mount namespace/],
  ["relative mask", linux({ maskedPaths: ["x"] }), "/linux/maskedPaths/0", /an absolute path/],
  ["empty extent", linux({ uidMappings: [id(0, 0, 0)] }), "/linux/uidMappings/0/size", /maps no id/],
  ["extent past the end", linux({ gidMappings: [id(0, 4294967290, 6)] }), "/linux/gidMappings/0/hostID", /does not end below/],
  [
    "overlap inside",
    linux({ uidMappings: [id(10, 0, 10), id(0, 100, 11)] }),
    "/linux/uidMappings/0/containerID",
    /overlaps \/linux\/uidMappings\/1/,
  ],
  ["overlap outside", linux({ uidMappings: [id(0, 100, 11), id(20, 110, 1)] }), "/linux/uidMappings/1/hostID", /overlaps/],
  ["sysctl of the host", linux({ sysctl: { "vm.swappiness": "1" } }), "/linux/sysctl/vm.swappiness", /no namespace/],
  [
    "sysctl without ipc",
    { linux: { namespaces: [{ type: "pid" }], sysctl: { "kernel.sem": "1" } } },
    "/linux/sysctl/kernel.sem",
    /needs an ipc namespace/,
  ],
  ["sysctl that climbs", linux({ sysctl: { "net/../kernel/x": "1" } }), "/linux/sysctl/net~1..~1kernel~1x", /name of a sysctl/],
  [
    "device without numbers",
    linux({ devices: [{ type: "c", path: "/dev/x", major: 1 }] }),
    "/linux/devices/0/minor",
    /required and missing/,
  ],
  ["interface", linux({ netDevices: { eth0: { name: "a/b" } } }), "/linux/netDevices/eth0/name", /1 to 15 characters/],
  ["interface key", linux({ netDevices: { "much-too-long-name": {} } }), "/linux/netDevices/much-too-long-name", /1 to 15 characters/],
  ["swap below limit", resources({ memory: { limit: 10, swap: 9 } }), "/linux/resources/memory/swap", /below memory\.limit/],
  ["swap alone", resources({ memory: { swap: 9 } }), "/linux/resources/memory/swap", /without memory\.limit/],
  ["negative memory", resources({ memory: { limit: -2 } }), "/linux/resources/memory/limit", /-1 for no limit/],
  ["swappiness", resources({ memory: { swappiness: 101 } }), "/linux/resources/memory/swappiness", /0 to 100/],
  ["period", resources({ cpu: { period: 999 } }), "/linux/resources/cpu/period", /1000 to 1000000/],
  ["quota", resources({ cpu: { quota: 999 } }), "/linux/resources/cpu/quota", /1000 or more/],
  ["burst", resources({ cpu: { quota: 1000, burst: 1001 } }), "/linux/resources/cpu/burst", /above the quota/],
  ["cpus", resources({ cpu: { cpus: "0-" } }), "/linux/resources/cpu/cpus", /list of CPUs/],
  ["idle", resources({ cpu: { idle: 2 } }), "/linux/resources/cpu/idle", /0 or 1/],
  ["weight", resources({ blockIO: { weight: 9 } }), "/linux/resources/blockIO/weight", /10 to 1000/],
  ["device rule", resources({ devices: [{ allow: true, access: "rx" }] }), "/linux/resources/devices/0/access", /letters/],
  ["unified", resources({ unified: { "../memory.max": "1" } }), "/linux/resources/unified/..~1memory.max", /cgroup file/],
  ["notify default", seccomp({ defaultAction: "SCMP_ACT_NOTIFY" }), "/linux/seccomp/defaultAction", /cannot be the default/],
  [
    "notify without listener",
    seccomp({ syscalls: [{ names: ["mount"], action: "SCMP_ACT_NOTIFY" }] }),
    "/linux/seccomp/listenerPath",
    /required and missing/,
  ],
  [
    "notify write",
    seccomp({ listenerPath: "/x", syscalls: [{ names: ["read", "write"], action: "SCMP_ACT_NOTIFY" }] }),
    "/linux/seccomp/syscalls/0/names/1",
    /write/,
  ],
  ["metadata alone", seccomp({ listenerMetadata: "x" }), "/linux/seccomp/listenerMetadata", /listenerPath/],
  [
    "errno of allow",
    seccomp({ syscalls: [{ names: ["mount"], action: "SCMP_ACT_ALLOW", errnoRet: 1 }] }),
    "/linux/seccomp/syscalls/0/errnoRet",
    /no errno/,
  ],
  ["default errno of allow", seccomp({ defaultErrnoRet: 1 }), "/linux/seccomp/defaultErrnoRet", /no errno/],
  [
    "argument",
    seccomp({ syscalls: [{ names: ["mount"], action: "SCMP_ACT_LOG", args: [{ index: 6, value: 0, op: "SCMP_CMP_EQ" }] }] }),
    "/linux/seccomp/syscalls/0/args/0/index",
    /0 to 5/,
  ],
  ["NUL", process({ args: ["true", "a\0b"] }), "/process/args/1", /NUL byte/],
  ["NUL in a name", { annotations: { "a\0": "x" } }, "/annotations/a\0", /name of this property holds a NUL/],
  ["memory policy", linux({ memoryPolicy: { nodes: "0" } }), "/linux/memoryPolicy/mode", /required and missing/],
  ["personality", linux({ personality: {} }), "/linux/personality/domain", /required and missing/],
  [
    "no weight",
    resources({ blockIO: { weightDevice: [{ major: 8, minor: 0 }] } }),
    "/linux/resources/blockIO/weightDevice/0",
    /found neither/,
  ],
  [
    "no rate",
    resources({ blockIO: { throttleReadBpsDevice: [{ major: 8, minor: 0 }] } }),
    "/linux/resources/blockIO/throttleReadBpsDevice/0/rate",
    /required and missing/,
  ],
  ["no handles", resources({ rdma: { mlx: {} } }), "/linux/resources/rdma/mlx", /found neither/],
  [
    "idmap of nothing",
    { mounts: [{ destination: "/x", source: "/x", options: ["bind", "idmap"] }], linux: {} },
    "/mounts/0/options",
    /idmap needs/,
  ],
  ["class of service", linux({ intelRdt: { closID: "a/b" } }), "/linux/intelRdt/closID", /one directory/],
];

test("the config that is broken below is valid", () => assert.equal(parseConfig(stringifyJson(base())).issues, []));

for (const [title, change, at, message] of ISSUES) {
  test(`issue: ${title}`, () => {
    const { config, issues } = parseConfig(stringifyJson({ ...base(), ...change }, 2));
    assert.is(config, null);
    assert.equal(
      issues.map(({ pointer }) => pointer),
      [at],
    );
    assert.match(issues[0]?.message ?? "", message);
    assert.ok((issues[0]?.line ?? 0) > 0 && (issues[0]?.column ?? 0) > 0);
  });
}

const NOTES: readonly Row[] = [
  ["newer minor", { ociVersion: "1.4.0" }, "/ociVersion", /newer than 1\.3/],
  ["no process", { process: undefined }, "", /cannot|not started/],
  ["relative destination", { mounts: [{ destination: "data", type: "tmpfs" }] }, "/mounts/0/destination", /taken as \/data/],
  [
    "unknown capability",
    process({ capabilities: { bounding: ["CAP_NET_ADMINS"] } }),
    "/process/capabilities/bounding/0",
    /write "CAP_NET_ADMIN"/,
  ],
  [
    "ambient alone",
    process({ capabilities: { permitted: ["CAP_KILL"], ambient: ["CAP_KILL"] } }),
    "/process/capabilities/ambient/0",
    /not inheritable/,
  ],
  ["kernel memory", resources({ memory: { kernel: 1 } }), "/linux/resources/memory/kernel", /ignored/],
];

for (const [title, change, at, message] of NOTES) {
  test(`note: ${title}`, () => {
    const { config, issues, notes } = parseConfig(stringifyJson({ ...base(), ...change }));
    assert.equal(issues, []);
    assert.ok(config !== null);
    assert.is(notes.length, 1);
    assert.ok(notes[0]?.startsWith(at));
    assert.match(notes[0] ?? "", message);
  });
}

for (const version of ["1.0.0", "1.0.0-rc5", "1.0.2-dev", "1.2.1", "1.3.0", "1.3.9+build.1"]) {
  test(`version ${version}`, () =>
    assert.equal(
      [
        parseConfig(stringifyJson({ ...base(), ociVersion: version })).issues,
        parseConfig(stringifyJson({ ...base(), ociVersion: version })).notes,
      ],
      [[], []],
    ));
}

for (const sysctl of [
  "net.ipv4.ip_forward",
  "net/ipv4/conf/eth0.1/forwarding",
  "net.ipv4.conf.eth0/1.forwarding",
  "kernel.shmmax",
  "fs.mqueue.msg_max",
  "kernel.hostname",
  "user.max_user_namespaces",
]) {
  test(`sysctl ${sysctl}`, () =>
    assert.equal(parseConfig(stringifyJson({ ...base(), ...linux({ sysctl: { [sysctl]: "1" } }) })).issues, []));
}

test("all issues at once, in the order of the text: of the schema and of the checks", () => {
  const source = `{
  "ociVersion": 1,
  "process": {"cwd": "work", "args": ["true", 1, 2], "rlimits": [{"type": "RLIMIT_CPU", "soft": "1"}]},
  "hostname": "h",
  "linux": {
    "namespaces": [{"type": "net"}],
    "uidMappings": [{"containerID": 0, "hostID": 0, "size": 0}],
    "resources": {"memory": {"limit": 18446744073709551615, "swap": 5}, "pids": {}}
  }
}`;
  const { issues } = parseConfig(source);
  assert.equal(
    issues.map(({ line, column, pointer, message }) => `${line}:${column} ${pointer}: ${message}`),
    [
      "1:1 /root: is required and missing: expected an object with the path of the root file system",
      "2:17 /ociVersion: expected a string, found the number 1",
      '3:22 /process/cwd: expected an absolute path, found "work"',
      "3:47 /process/args/1: expected a string, found the number 1",
      "3:50 /process/args/2: expected a string, found the number 2",
      "3:66 /process/rlimits/0/hard: is required and missing: expected an integer from 0 to 18446744073709551615",
      '3:97 /process/rlimits/0/soft: expected an integer from 0 to 18446744073709551615, found "1"',
      '6:29 /linux/namespaces/0/type: expected one of "mount", "pid", "network", "uts", "ipc", "user", "cgroup", "time", found "net"',
      "7:61 /linux/uidMappings/0/size: maps no id",
      "8:39 /linux/resources/memory/limit: expected an integer from -9223372036854775808 to 9223372036854775807, found the number 18446744073709551615",
      "8:81 /linux/resources/pids/limit: is required and missing: expected an integer from -9223372036854775808 to 9223372036854775807",
    ],
  );
  // The namespaces are unreadable, so nothing is said of what would need one.
  assert.equal(
    issues.map(({ hint }) => hint).filter((hint) => hint !== undefined),
    ["write the number without quotes", 'write "network"', "1 or more"],
  );
});

test("a document that is no object", () => {
  for (const source of ["[]", "null", '"x"', "1"])
    assert.equal(
      parseConfig(source).issues.map(({ pointer, line, column }) => [pointer, line, column]),
      [["", 1, 1]],
    );
});

test("never fails otherwise, whatever the document", () => {
  fc.assert(
    fc.property(mutated([fullConfig]), (document) => {
      const { config, issues } = parseConfig(stringifyJson(document));
      assert.is(config === null, issues.length > 0);
      for (const { line, message } of issues) assert.ok(line !== undefined && !/something else|undefined|Invalid/.test(message), message);
    }),
    { numRuns: 500 },
  );
});

test("64-bit integers are ordered across number and bigint", () => {
  const int64 = fc.oneof(fc.maxSafeInteger(), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 64n }));
  fc.assert(
    fc.property(int64, int64, (a, b) => {
      assert.is(Math.sign(compareInt64(a, b)), BigInt(a) < BigInt(b) ? -1 : BigInt(a) > BigInt(b) ? 1 : 0);
    }),
  );
});

test("a double that may have lost digits is refused", () => {
  const { issues } = parseConfig('{"ociVersion":"1.3.0","root":{"path":"r"},"linux":{"resources":{"memory":{"limit":1e18}}}}');
  assert.is(issues[0]?.hint, "write an integer in plain decimal digits");
});

test.run();
