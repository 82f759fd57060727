/** The table of flags and its reading, together: what is typed, and what comes of it. */
import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import * as z from "zod/mini";
import { Fault } from "#core/fault";
import { type Flag, parseFlags } from "#core/flags";

import {
  bindSources,
  buildRunOptions,
  limitedDevices,
  normalizeCapability,
  normalizeSignal,
  type RunOptions,
  RunOptionsSchema,
} from "#core/run-options";
import { runFlags } from "./flags.ts";

const files: Readonly<Record<string, string>> = {
  "vars.env": "\ufeff# comment\nA=1\n  B=two words \n\nHOST\nUNSET\nC=\r\nD=#x\n",
  "bad.env": "A B=1\n",
  "noname.env": "=1\n",
  labels: "x.y=1\nz\n",
  "profile.json": "{}",
};
const inputs = {
  cwd: "/work",
  env: { HOST: "here", EMPTY: "" },
  readText: (path: string): string => {
    // fast-check likes names such as "__proto__".
    const text = Object.hasOwn(files, path) ? files[path] : undefined;
    if (text === undefined) throw new Fault("E_USAGE", { message: `cannot read ${path}` });
    return text;
  },
};
const run = (...argv: string[]): RunOptions => {
  const { values, rest } = parseFlags(runFlags, [...argv, "img"], { command: "coracle run" });
  return buildRunOptions(values, rest, inputs);
};
const refusal = (...argv: string[]): Fault => {
  try {
    run(...argv);
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
  throw new Error(`accepted: ${argv.join(" ")}`);
};

test("no flags at all", () => {
  const options = run();
  assert.ok(z.safeParse(RunOptionsSchema, options).success);
  assert.is(options.image, "img");
  assert.equal([options.args, options.mounts, options.env, options.capAdd], [[], [], [], []]);
  assert.equal(
    [options.ipc, options.pid, options.uts, options.cgroupns, options.network, options.limitsPolicy, options.pull],
    ["private", "private", "private", "private", "default", "enforce", "missing"],
  );
  assert.ok(options.sigProxy);
  assert.is(options.limits.memory, null);
  assert.equal(options.security, {
    noNewPrivileges: false,
    seccomp: { kind: "default" },
    mask: [],
    unmask: [],
    apparmor: null,
    labels: [],
  });
});

test("each flag lands in its place", () => {
  // argv: path of the option, its value
  const table: readonly (readonly [string, string, unknown])[] = [
    ["--name web_1", "name", "web_1"],
    ["--rm -d", "detach", true],
    ["-it", "tty", true],
    ["--sig-proxy=false", "sigProxy", false],
    ["--entrypoint sh", "entrypoint", ["sh"]],
    ["--entrypoint=", "entrypoint", []],
    ["-e A=1 -e HOST -e GONE -e EMPTY", "env", ["A=1", "HOST=here", "GONE", "EMPTY="]],
    ["-e constructor", "env", ["constructor"]],
    ["-l __proto__=x", "labels", Object.fromEntries([["__proto__", "x"]])],
    ["--env-file vars.env -e A=2", "env", ["A=1", "B=two words ", "HOST=here", "C=", "D=#x", "A=2"]],
    ["-l a=b --label c --label-file labels", "labels", { "x.y": "1", z: "", a: "b", c: "" }],
    ["--annotation k=v=w", "annotations", { k: "v=w" }],
    ["-u 5:6 ", "user", "5:6"],
    ["--group-add a --group-add 7", "groupAdd", ["a", "7"]],
    ["-w /a/../b/", "workdir", "/b"],
    ["--stop-signal term", "stopSignal", "SIGTERM"],
    ["--stop-signal SIGRTMIN+3", "stopSignal", "SIGRTMIN+3"],
    ["--stop-signal 9", "stopSignal", "9"],
    ["--stop-timeout 5", "stopTimeout", 5],
    [
      "--ulimit nofile=1024:4096 --ulimit core=-1 --ulimit nofile=5",
      "ulimits",
      [
        { type: "RLIMIT_CORE", soft: 18446744073709551615n, hard: 18446744073709551615n },
        { type: "RLIMIT_NOFILE", soft: 5, hard: 5 },
      ],
    ],
    ["--ulimit nofile=10:-1", "ulimits", [{ type: "RLIMIT_NOFILE", soft: 10, hard: 18446744073709551615n }]],
    ["--oom-score-adj -500", "oomScoreAdj", -500],
    ["--oom-score-adj 0", "oomScoreAdj", 0],
    ["--shm-size 1g", "shmSize", 1073741824],
    ["--device /dev/fuse", "devices", [{ source: "/dev/fuse", destination: "/dev/fuse" }]],
    ["--device /dev/fuse:rwm", "devices", [{ source: "/dev/fuse", destination: "/dev/fuse" }]],
    ["--device /dev/a:/dev/b:rw", "devices", [{ source: "/dev/a", destination: "/dev/b" }]],
    ["--cap-add net_admin --cap-add CAP_SYS_PTRACE", "capAdd", ["CAP_NET_ADMIN", "CAP_SYS_PTRACE"]],
    ["--cap-drop all", "capDrop", ["ALL"]],
    ["--security-opt no-new-privileges", "security.noNewPrivileges", true],
    ["--security-opt no-new-privileges:true", "security.noNewPrivileges", true],
    ["--security-opt no-new-privileges=false", "security.noNewPrivileges", false],
    ["--security-opt seccomp=unconfined", "security.seccomp", { kind: "unconfined" }],
    ["--security-opt seccomp:unconfined", "security.seccomp", { kind: "unconfined" }],
    ["--security-opt seccomp=builtin", "security.seccomp", { kind: "default" }],
    ["--security-opt seccomp=profile.json", "security.seccomp", { kind: "profile", path: "profile.json", text: "{}" }],
    ["--security-opt mask=/a:/b/../c", "security.mask", ["/a", "/c"]],
    ["--security-opt unmask=all --security-opt systempaths=unconfined", "security.unmask", ["ALL", "ALL"]],
    ["--security-opt apparmor=unconfined", "security.apparmor", "unconfined"],
    ["--security-opt label=disable", "security.labels", ["disable"]],
    ["-m 64m", "limits.memory", 67108864],
    ["-m 0", "limits.memory", null],
    ["-m 9223372036854771712", "limits.memory", 9223372036854771712n],
    ["-m 64m --memory-swap -1", "limits.memorySwap", -1],
    ["-m 64m --memory-swap 128m", "limits.memorySwap", 134217728],
    ["--memory-reservation 32m", "limits.memoryReservation", 33554432],
    ["--memory-swappiness 60", "limits.swappiness", 60],
    ["--memory-swappiness -1", "limits.swappiness", null],
    ["--cpus 1.5", "limits.nanoCpus", 1500000000],
    ["-c 512", "limits.cpuShares", 512],
    ["--cpu-period 50000 --cpu-quota 25000", "limits.cpuQuota", 25000],
    ["--cpu-quota -1", "limits.cpuQuota", -1],
    ["--cpuset-cpus 0-3,7", "limits.cpusetCpus", "0-3,7"],
    ["--pids-limit 100", "limits.pids", 100],
    ["--pids-limit -1", "limits.pids", -1],
    ["--pids-limit 0", "limits.pids", null],
    ["--blkio-weight 500", "limits.blkioWeight", 500],
    ["--blkio-weight 0", "limits.blkioWeight", null],
    ["--device-read-bps /dev/sda:1mb", "limits.deviceReadBps", [{ path: "/dev/sda", rate: 1048576 }]],
    ["--device-write-iops /dev/sda:100", "limits.deviceWriteIops", [{ path: "/dev/sda", rate: 100 }]],
    ["--limits best-effort", "limitsPolicy", "best-effort"],
    ["--network none", "network", "none"],
    ["--net=host", "network", "host"],
    ["--network pasta", "network", "pasta"],
    ["-h web.example", "hostname", "web.example"],
    ["--ipc shareable", "ipc", "private"],
    ["--ipc none", "ipc", "none"],
    ["--pid host", "pid", "host"],
    ["--uts=", "uts", "private"],
    ["--sysctl net.ipv4.ip_forward=1 --sysctl kernel.shmmax=5", "sysctls", { "net.ipv4.ip_forward": "1", "kernel.shmmax": "5" }],
    ["--snapshotter copy", "snapshotter", "copy"],
  ];
  for (const [argv, path, expected] of table) {
    const options = run(...argv.trim().split(" "));
    const found = path
      .split(".")
      .reduce<unknown>(
        (value, key) => (typeof value === "object" && value !== null ? Object.entries(value).find(([k]) => k === key)?.[1] : undefined),
        options,
      );
    assert.equal(found, expected, argv);
    assert.ok(z.safeParse(RunOptionsSchema, options).success, argv);
  }
});

test("every refusal names the flag", () => {
  const table: readonly (readonly [string, RegExp, string?])[] = [
    ["--name -x", /^--name: "-x"/],
    ["--workdir rel", /^--workdir: "rel" is not an absolute/],
    ["--stop-signal SIGFOO", /^--stop-signal: "SIGFOO"/],
    ["--stop-signal 65", /^--stop-signal/],
    ["--ulimit nofile", /^--ulimit/],
    ["--ulimit nofiles=1", /^--ulimit: "nofiles"/],
    ["--ulimit nofile=2:1", /^--ulimit nofile=2:1: the soft limit/],
    ["--ulimit nofile=-1:1", /the soft limit/],
    ["--ulimit nofile=1:2:3", /^--ulimit/],
    ["--ulimit nofile=x", /^--ulimit nofile: "x"/],
    ["--oom-score-adj 1001", /^--oom-score-adj: 1001 is out of range/],
    ["--shm-size 0", /^--shm-size/],
    ["--shm-size 1m --ipc host", /^--shm-size has no meaning/],
    ["--device fuse", /^--device fuse: paths must be absolute/],
    ["--device /dev/fuse:/dev/x:q", /^--device .* "q"/],
    ["--device /dev/fuse:/dev/x:r", /narrower than rw/, "E_UNSUPPORTED"],
    ["--device vendor.com/gpu=all", /CDI/, "E_UNSUPPORTED"],
    ["--cap-add NET_ADMINN", /^--cap-add: "NET_ADMINN"/],
    ["--cap-drop foo", /^--cap-drop/],
    ["--security-opt foo=bar", /^--security-opt foo=bar: the option is unknown/],
    ["--security-opt seccomp", /has no value/],
    ["--security-opt seccomp=nofile", /cannot read nofile/],
    ["--security-opt no-new-privileges=maybe", /neither true nor false/],
    ["--security-opt no-new-privileges=", /neither true nor false/],
    ["--security-opt mask=rel", /not an absolute path/],
    ["--security-opt systempaths=x", /only unconfined/],
    ["--security-opt writable-cgroups", /./],
    ["-m x", /^--memory: "x" is not a size/],
    ["-m 1m", /^--memory: .* minimum of 6m/],
    ["--memory-swap 64m", /^--memory-swap needs --memory/],
    ["-m 64m --memory-swap 32m", /^--memory-swap: 33554432 is less/],
    ["-m 64m --memory-reservation 128m", /^--memory-reservation/],
    ["--memory-swappiness 101", /^--memory-swappiness/],
    ["--cpus 1.5 --cpu-quota 5000", /^--cpus excludes --cpu-quota/],
    ["--cpus 1 --cpu-period 5000", /^--cpus excludes --cpu-period/],
    ["--cpus 0.001", /^--cpus: 0.001 is less/],
    ["--cpu-period 10", /^--cpu-period: 10 is out of range/],
    ["--cpu-quota 10", /^--cpu-quota: 10 is less/],
    ["--cpu-shares -1", /^--cpu-shares/],
    ["--cpuset-cpus 3-1", /^--cpuset-cpus: "3-1"/],
    ["--cpuset-mems a", /^--cpuset-mems/],
    ["--pids-limit -2", /^--pids-limit/],
    ["--blkio-weight 5", /^--blkio-weight/],
    ["--blkio-weight-device /dev/sda:5", /^--blkio-weight-device/],
    ["--device-read-bps sda:5", /^--device-read-bps/],
    ["--device-read-iops /dev/sda:-5", /^--device-read-iops/],
    ["--limits maybe", /^--limits: "maybe"/],
    ["--pull sometimes", /^--pull/],
    ["--snapshotter zfs", /^--snapshotter/],
    ["--network a --network b", /more than one/, "E_UNSUPPORTED"],
    ["--network container:x", /^--network container:x/, "E_UNSUPPORTED"],
    ["--network name=x", /options of a network/, "E_UNSUPPORTED"],
    ["--ipc container:x", /^--ipc container:x/, "E_UNSUPPORTED"],
    ["--pid foo", /^--pid: "foo"/],
    ["--hostname a/b", /^--hostname/],
    ["--uts host --hostname a", /^--hostname excludes --uts host/],
    ["--sysctl kernel.panic=1", /^--sysctl: kernel.panic is not allowed/],
    ["--sysctl kernel.hostname=x", /^--sysctl/],
    ["--sysctl net.ipv4.ip_forward", /not NAME=VALUE/],
    ["--sysctl net.ipv4.ip_forward=1 --network host", /would change the host/],
    ["--sysctl kernel.sem=1 --ipc host", /would change the host/],
    ["--sysctl net.../../kernel.panic=1", /^--sysctl/],
    ["-e =x", /^--env: "=x" has no name/],
    ["--env-file bad.env", /^--env-file bad.env/],
    ["--env-file noname.env", /^--env-file noname.env/],
    ["--label =x", /^--label/],
    ["--annotation =x", /^--annotation/],
    ["-v /a:/b --tmpfs /b", /target \/b/],
    ["--device /dev/x:/b -v /a:/b/", /target \/b/],
    ["-p 80:80", /^-p is not supported yet/, "E_UNSUPPORTED"],
    ["--restart always", /^--restart is not supported yet/, "E_UNSUPPORTED"],
  ];
  for (const [argv, words, code] of table) {
    const fault = refusal(...argv.split(" "));
    assert.match(fault.message, words, argv);
    if (code !== undefined) assert.is(fault.code, code, argv);
    if (!/cannot read|^--env: |noname/.test(fault.message)) assert.ok(fault.hint ?? "", `a remedy for ${argv}`);
  }
  assert.throws(() => buildRunOptions(new Map(), [], inputs), /the image is missing/);
});

test("what stands behind the image is the command's", () => {
  const { values, rest } = parseFlags(runFlags, ["--rm", "busybox", "ls", "-l", "--", "--rm=no"], { command: "coracle run" });
  const options = buildRunOptions(values, rest, inputs);
  assert.equal([options.image, options.args, options.rm], ["busybox", ["ls", "-l", "--", "--rm=no"], true]);
});

test("what the host must have", () => {
  const options = run(
    "-v",
    "./a:/a",
    "--mount",
    "type=bind,src=/b,dst=/b",
    "--device",
    "/dev/fuse",
    "--device-read-bps",
    "/dev/sda:1m",
    "--blkio-weight-device",
    "/dev/sda:10",
  );
  assert.equal(bindSources(options), [
    { path: "/work/a", create: true },
    { path: "/b", create: false },
    { path: "/dev/fuse", create: false },
  ]);
  assert.equal(limitedDevices(options), ["/dev/sda"]);
});

test("names", () => {
  assert.is(normalizeCapability(" cap_chown ", "--cap-add"), "CAP_CHOWN");
  assert.is(normalizeSignal("SIGKILL", "--stop-signal"), "SIGKILL");
  assert.throws(
    () => normalizeSignal("SIGTREM", "--s"),
    (e: unknown) => e instanceof Fault && e.hint === "did you mean SIGTERM?",
  );
  assert.throws(
    () => normalizeCapability("NET_ADMNI", "--c"),
    (e: unknown) => e instanceof Fault && e.hint === "did you mean CAP_NET_ADMIN?",
  );
});

test("the table: no name twice, no flag unread", () => {
  const names = runFlags.flatMap((f: Flag) => [
    `--${f.name}`,
    ...(f.aliases ?? []).map((a) => `--${a}`),
    ...(f.short === undefined ? [] : [`-${f.short}`]),
  ]);
  assert.is(new Set(names).size, names.length);
  for (const flag of runFlags) assert.not.match(flag.help, /\.$/, flag.name);
  // A supported flag must change the options; what is for the command line's own use is named here.
  const sample: Readonly<Record<string, string>> = {
    ...{
      pull: "never",
      limits: "best-effort",
      snapshotter: "copy",
      memory: "64m",
      "memory-reservation": "64m",
      "shm-size": "1m",
      cpus: "2",
      ipc: "host",
      pid: "host",
      uts: "host",
      cgroupns: "host",
    },
    ...{
      env: "A=1",
      "env-file": "vars.env",
      label: "a=b",
      "label-file": "labels",
      annotation: "a=b",
      ulimit: "core=1",
      volume: "/a:/b",
      mount: "type=tmpfs,dst=/t",
      tmpfs: "/t",
      device: "/dev/fuse",
    },
    ...{
      "security-opt": "no-new-privileges",
      "cap-add": "ALL",
      "cap-drop": "ALL",
      "stop-signal": "KILL",
      workdir: "/x",
      sysctl: "net.a=1",
      "blkio-weight-device": "/dev/a:10",
      "cpu-period": "5000",
      "cpu-quota": "5000",
    },
    ...{
      "device-read-bps": "/dev/a:1",
      "device-write-bps": "/dev/a:1",
      "device-read-iops": "/dev/a:1",
      "device-write-iops": "/dev/a:1",
      "blkio-weight": "10",
      "sig-proxy": "false",
      "cpuset-cpus": "1",
      "cpuset-mems": "1",
    },
  };
  const plain = run();
  for (const flag of runFlags) {
    if (flag.unsupported !== undefined || flag.name === "help") continue;
    const value = sample[flag.name] ?? (flag.kind === "switch" ? "true" : flag.kind === "int" ? "7" : "abc");
    const extra = flag.name === "memory-swap" ? ["--memory=64m", "--memory-swap=64m"] : [`--${flag.name}=${value}`];
    assert.not.equal(run(...extra), plain, `--${flag.name} is read`);
  }
});

test("property: any values are read or refused with a Fault, and what is read fits the schema", () => {
  const value = fc.oneof(
    fc.constantFrom("__proto__", "constructor", "1", "-1", "64m", "/a:/b", "a=b", "host", "", "/", ":", "type=bind,src=/a,dst=/b", "0-1"),
    fc.string({ maxLength: 12 }),
  );
  const supported = runFlags.filter((f) => f.unsupported === undefined).map((f) => f.name);
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.constantFrom(...supported), value), { maxLength: 4 }), (flags) => {
      try {
        const options = run(...flags.map(([name, v]) => `--${name}=${v}`));
        assert.ok(z.safeParse(RunOptionsSchema, options).success);
      } catch (error) {
        assert.instance(error, Fault);
      }
    }),
    { numRuns: 1000 },
  );
});

test.run();
