import fc from "fast-check";
import { test } from "uvu";
import * as assert from "uvu/assert";
import * as z from "zod/mini";
import { Fault } from "#core/fault";
import { stringifyJson } from "#core/json";
import { type RunOptions, RunOptionsSchema } from "#core/run-options";
import { CAPABILITIES } from "#core/spec/check";
import { type Config, type Mount, parseConfig } from "#core/spec/config";
import type { RunConfig } from "#core/spec/image";
import {
  buildConfig,
  type ConfigContext,
  DEFAULT_CAPABILITIES,
  DEFAULT_MASKED_PATHS,
  DEFAULT_READONLY_PATHS,
  resolveArgs,
  resolveCapabilities,
  resolveEnv,
  resolveLabels,
  resolveStopSignal,
} from "./build-config.ts";

const noLimits: RunOptions["limits"] = {
  ...{
    memory: null,
    memorySwap: null,
    memoryReservation: null,
    swappiness: null,
    oomKillDisable: false,
    nanoCpus: null,
    cpuShares: null,
    cpuPeriod: null,
    cpuQuota: null,
  },
  ...{
    cpuRealtimePeriod: null,
    cpuRealtimeRuntime: null,
    cpusetCpus: null,
    cpusetMems: null,
    pids: null,
    blkioWeight: null,
    blkioWeightDevices: [],
  },
  ...{ deviceReadBps: [], deviceWriteBps: [], deviceReadIops: [], deviceWriteIops: [] },
};
const plain: RunOptions = {
  ...{
    image: "img",
    args: [],
    name: null,
    rm: false,
    detach: false,
    cidfile: null,
    platform: null,
    pull: "missing",
    quiet: false,
    snapshotter: null,
    storage: null,
    labels: {},
    annotations: {},
  },
  ...{
    interactive: false,
    tty: false,
    sigProxy: true,
    entrypoint: null,
    env: [],
    user: null,
    groupAdd: [],
    workdir: null,
    init: false,
    stopSignal: null,
    stopTimeout: null,
    ulimits: [],
    oomScoreAdj: null,
  },
  ...{
    mounts: [],
    readOnly: false,
    shmSize: null,
    devices: [],
    privileged: false,
    capAdd: [],
    capDrop: [],
    limits: noLimits,
    limitsPolicy: "enforce",
  },
  security: { noNewPrivileges: false, seccomp: { kind: "default" }, mask: [], unmask: [], apparmor: null, labels: [] },
  ...{
    network: "default",
    hostname: null,
    domainname: null,
    ipc: "private",
    pid: "private",
    uts: "private",
    cgroupns: "private",
    sysctls: {},
  },
};
const image: RunConfig = { Cmd: ["sh"], Env: ["PATH=/bin", "LANG=C"], WorkingDir: "/srv" };
const seccompCalls: unknown[] = [];
const context: ConfigContext = {
  facts: {
    arch: "amd64",
    kernel: { release: "6.1.0", major: 6, minor: 1 },
    hostname: "host",
    lsm: { active: [], apparmorRestrictUserns: null, landlockAbi: 0 },
    seccomp: { filter: true, userNotif: true },
  },
  id: "0123456789abcdef0123",
  rootfs: "/store/rootfs",
  users: { passwd: "root:x:0:0:root:/root:/bin/sh\nweb:x:33:33::/var/www:\n", group: "root:x:0:\nweb:x:33:\nextra:x:44:web\n" },
  ids: {
    uid: [
      { containerID: 0, hostID: 1000, size: 1 },
      { containerID: 1, hostID: 100000, size: 65536 },
    ],
    gid: [
      { containerID: 0, hostID: 1000, size: 1 },
      { containerID: 1, hostID: 100000, size: 65536 },
    ],
    path: null,
  },
  defaultSeccomp: (capabilities, arch, kernel) => {
    seccompCalls.push([capabilities, arch, kernel.major]);
    return {
      defaultAction: "SCMP_ACT_ERRNO",
      architectures: ["SCMP_ARCH_X86_64"],
      syscalls: [{ names: ["read"], action: "SCMP_ACT_ALLOW" }],
    };
  },
  cgroupsPath: null,
  initPath: null,
  devices: {},
  files: {},
  hostMqueue: true,
  maskedPaths: [],
};

const build = (options: Partial<RunOptions> = {}, more: Partial<ConfigContext> = {}, from: RunConfig | null = image): Config => {
  const config = buildConfig(from, { ...plain, ...options }, { ...context, ...more });
  // Whatever is built must be a config that our own validation accepts, as it would from a file.
  assert.equal(parseConfig(stringifyJson(config)).issues, [], "valid");
  return config;
};
const refusal = (options: Partial<RunOptions>, more: Partial<ConfigContext> = {}, from: RunConfig = image): Fault => {
  try {
    build(options, more, from);
  } catch (error) {
    if (error instanceof Fault) return error;
    throw error;
  }
  throw new Error("accepted");
};
const at = (config: Config, destination: string): Mount | undefined => config.mounts?.find((m) => m.destination === destination);
const security = (more: Partial<RunOptions["security"]>): Partial<RunOptions> => ({ security: { ...plain.security, ...more } });
const limits = (more: Partial<RunOptions["limits"]>): Partial<RunOptions> => ({ limits: { ...noLimits, ...more } });

test("the whole of a plain container", () => {
  seccompCalls.length = 0;
  assert.ok(z.safeParse(RunOptionsSchema, plain).success);
  assert.equal(build(), {
    ociVersion: "1.3.0",
    root: { path: "/store/rootfs", readonly: false },
    process: {
      terminal: false,
      cwd: "/srv",
      env: ["PATH=/bin", "HOSTNAME=0123456789ab", "LANG=C", "HOME=/root"],
      args: ["sh"],
      user: { uid: 0, gid: 0, additionalGids: [0] },
      capabilities: Object.fromEntries(
        ["bounding", "effective", "permitted"].map((s) => [s, CAPABILITIES.filter((c) => DEFAULT_CAPABILITIES.includes(c))]),
      ),
      noNewPrivileges: false,
    },
    hostname: "0123456789ab",
    mounts: [
      { destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"] },
      { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "strictatime", "mode=755", "size=65536k"] },
      {
        destination: "/dev/pts",
        type: "devpts",
        source: "devpts",
        options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
      },
      { destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid", "noexec", "nodev", "ro"] },
      { destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["ro", "nosuid", "noexec", "nodev"] },
      { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: ["nosuid", "noexec", "nodev"] },
      { destination: "/dev/shm", type: "tmpfs", source: "shm", options: ["nosuid", "noexec", "nodev", "mode=1777", "size=67108864"] },
    ],
    linux: {
      namespaces: ["user", "mount", "pid", "network", "ipc", "uts", "cgroup"].map((type) => ({ type })),
      uidMappings: context.ids.uid,
      gidMappings: context.ids.gid,
      seccomp: {
        defaultAction: "SCMP_ACT_ERRNO",
        architectures: ["SCMP_ARCH_X86_64"],
        syscalls: [{ names: ["read"], action: "SCMP_ACT_ALLOW" }],
      },
      sysctl: { "net.ipv4.ip_unprivileged_port_start": "0" },
      maskedPaths: DEFAULT_MASKED_PATHS,
      readonlyPaths: DEFAULT_READONLY_PATHS,
    },
  });
  assert.is(DEFAULT_CAPABILITIES.length, 14);
  assert.equal(seccompCalls, [[CAPABILITIES.filter((c) => DEFAULT_CAPABILITIES.includes(c)), "amd64", 6]]);
});

test("entry point, Cmd and arguments", () => {
  const table: readonly (readonly [RunConfig, { entrypoint: string[] | null; args: string[] }, string[] | null])[] = [
    [{ Cmd: ["a", "b"] }, { entrypoint: null, args: [] }, ["a", "b"]],
    [{ Cmd: ["a", "b"] }, { entrypoint: null, args: ["c"] }, ["c"]],
    [{ Entrypoint: ["e"], Cmd: ["a"] }, { entrypoint: null, args: [] }, ["e", "a"]],
    [{ Entrypoint: ["e"], Cmd: ["a"] }, { entrypoint: null, args: ["c"] }, ["e", "c"]],
    [{ Entrypoint: ["e"], Cmd: ["a"] }, { entrypoint: ["x"], args: [] }, ["x"]],
    [{ Entrypoint: ["e"], Cmd: ["a"] }, { entrypoint: ["x"], args: ["c"] }, ["x", "c"]],
    [{ Entrypoint: ["e"], Cmd: ["a"] }, { entrypoint: [], args: ["c"] }, ["c"]],
    [{ Entrypoint: ["e"], Cmd: ["a"] }, { entrypoint: [], args: [] }, null],
    [{ Entrypoint: [""], Cmd: ["a"] }, { entrypoint: null, args: [] }, ["a"]],
    [{ Entrypoint: null, Cmd: null }, { entrypoint: null, args: [] }, null],
    [{}, { entrypoint: null, args: [""] }, null],
  ];
  for (const [from, options, args] of table) {
    if (args === null)
      assert.throws(
        () => resolveArgs(from, options),
        (e: unknown) => e instanceof Fault && e.code === "E_USAGE" && e.hint !== undefined,
      );
    else assert.equal(resolveArgs(from, options), args);
  }
  assert.equal(build({ args: ["x"] }, {}, null).process?.args, ["x"]);
});

test("environment", () => {
  const env = (from: string[] | null, user: string[], tty = false): string[] => resolveEnv({ Env: from }, { env: user, tty }, "h", "/root");
  const path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  assert.equal(env(null, []), [path, "HOSTNAME=h", "HOME=/root"]);
  assert.equal(env([], [], true), [path, "HOSTNAME=h", "TERM=xterm", "HOME=/root"]);
  assert.equal(env(["PATH=/x", "A=1", "bare", "=odd"], []), ["PATH=/x", "HOSTNAME=h", "A=1", "HOME=/root"]);
  assert.equal(env(["A=1", "B=2"], ["A=3", "A=4", "C="]), [path, "HOSTNAME=h", "A=4", "C=", "B=2", "HOME=/root"]);
  assert.equal(env(["A=1"], ["A"]), [path, "HOSTNAME=h", "HOME=/root"], "a bare name removes the image's");
  assert.equal(env(["HOME=/h"], ["HOSTNAME=mine", "PATH"]), ["HOSTNAME=mine", "HOME=/h"]);
  assert.equal(env([], ["HOME"]), [path, "HOSTNAME=h"]);
});

test("capabilities", () => {
  const caps = (capAdd: string[], capDrop: string[], privileged = false): string[] => resolveCapabilities({ capAdd, capDrop, privileged });
  assert.equal(caps(["CAP_NET_ADMIN"], ["CAP_CHOWN"]).length, 14);
  assert.ok(caps(["CAP_NET_ADMIN"], []).includes("CAP_NET_ADMIN"));
  assert.not.ok(caps([], ["CAP_CHOWN"]).includes("CAP_CHOWN"));
  assert.equal(caps([], ["ALL"]), []);
  assert.equal(caps(["CAP_SYS_TIME", "CAP_CHOWN"], ["ALL"]), ["CAP_CHOWN", "CAP_SYS_TIME"]);
  assert.equal(
    caps(["ALL"], ["CAP_CHOWN"]),
    CAPABILITIES.filter((c) => c !== "CAP_CHOWN"),
  );
  assert.equal(caps(["ALL"], []), [...CAPABILITIES]);
  assert.equal(caps(["ALL"], ["ALL"]), [...CAPABILITIES]);
  assert.equal(caps([], [], true), [...CAPABILITIES]);
  assert.equal(caps([], ["CAP_SYS_ADMIN"], true).length, CAPABILITIES.length - 1);
  assert.equal(caps([], ["ALL"], true), []);
  assert.ok(caps(["CAP_CHOWN"], ["CAP_CHOWN"]).includes("CAP_CHOWN"), "as docker: what is added after dropping is there");
});

test("user", () => {
  assert.equal(build({ user: "web" }).process?.user, { uid: 33, gid: 33, additionalGids: [33, 44] });
  assert.equal(build({ user: "web:0", groupAdd: ["extra"] }).process?.user, { uid: 33, gid: 0, additionalGids: [0, 44] });
  assert.ok(build({ user: "web" }).process?.env?.includes("HOME=/var/www"));
  assert.equal(build({}, {}, { ...image, User: "web" }).process?.user?.uid, 33);
  assert.is(refusal({ user: "nobody" }).code, "E_USER");
  const fault = refusal({ user: "70000" });
  assert.is(fault.code, "E_SUBID");
  assert.match(fault.message, /uid 70000/);
  assert.is(fault.why, "mapped: 0, 1-65536");
  const one = [{ containerID: 0, hostID: 1000, size: 1 }];
  assert.match(refusal({ groupAdd: ["44"] }, { ids: { uid: one, gid: one, path: null } }).message, /gid 44/);
});

test("a single id: devpts without gid 5; a joined user namespace: no mappings", () => {
  const one = [{ containerID: 0, hostID: 1000, size: 1 }];
  assert.not.ok(at(build({}, { ids: { uid: one, gid: one, path: null } }), "/dev/pts")?.options?.includes("gid=5"));
  const joined = build({}, { ids: { ...context.ids, path: "/proc/7/ns/user" } });
  assert.equal(joined.linux?.namespaces?.[0], { type: "user", path: "/proc/7/ns/user" });
  assert.is(joined.linux?.uidMappings, undefined);
  assert.ok(at(joined, "/dev/pts")?.options?.includes("gid=5"));
});

test("sharing with the host", () => {
  const types = (c: Config): string[] => (c.linux?.namespaces ?? []).map((n) => n.type);
  const pid = build({ pid: "host" });
  assert.not.ok(types(pid).includes("pid"));
  assert.equal(at(pid, "/proc"), {
    destination: "/proc",
    type: "bind",
    source: "/proc",
    options: ["rbind", "rprivate", "nosuid", "noexec", "nodev"],
  });
  assert.is(pid.linux?.readonlyPaths, undefined);
  assert.equal(pid.linux?.maskedPaths, DEFAULT_MASKED_PATHS);
  const network = build({ network: "host" });
  assert.not.ok(types(network).includes("network"));
  assert.equal(at(network, "/sys")?.options, ["rbind", "rprivate", "nosuid", "noexec", "nodev", "rro"]);
  assert.is(network.linux?.sysctl, undefined);
  const ipc = build({ ipc: "host" });
  assert.not.ok(types(ipc).includes("ipc"));
  assert.is(at(ipc, "/dev/shm")?.type, "bind");
  assert.is(at(ipc, "/dev/mqueue")?.type, "bind");
  assert.is(at(build({ ipc: "host" }, { hostMqueue: false }), "/dev/mqueue"), undefined);
  assert.is(at(build({ ipc: "none" }), "/dev/shm"), undefined);
  const uts = build({ uts: "host" });
  assert.not.ok(types(uts).includes("uts"));
  assert.is(uts.hostname, undefined);
  assert.ok(uts.process?.env?.includes("HOSTNAME=host"));
  assert.not.ok(types(build({ cgroupns: "host" })).includes("cgroup"));
  assert.ok(types(build({ network: "none" })).includes("network"));
  const named = build({ hostname: "web", domainname: "lan" });
  assert.equal([named.hostname, named.domainname], ["web", "lan"]);
});

test("mounts of the user", () => {
  const bind = {
    type: "bind",
    source: "/src",
    destination: "/x",
    readOnly: false,
    submounts: "all",
    propagation: "rprivate",
    createSource: true,
    relabel: false,
  } as const;
  const options = (more: object): readonly string[] | undefined => at(build({ mounts: [{ ...bind, ...more }] }), "/x")?.options;
  assert.equal(options({}), ["rbind", "rprivate"]);
  assert.equal(options({ readOnly: true }), ["rbind", "rro", "rprivate"]);
  assert.equal(options({ readOnly: true, submounts: "writable" }), ["rbind", "ro", "rprivate"]);
  assert.equal(options({ readOnly: true, submounts: "none", propagation: "slave" }), ["bind", "ro", "slave"]);
  assert.is(build({ mounts: [bind] }).linux?.rootfsPropagation, undefined);
  assert.is(build({ mounts: [{ ...bind, propagation: "rslave" }] }).linux?.rootfsPropagation, "slave");
  const dev = build({ mounts: [{ ...bind, destination: "/dev" }] });
  assert.equal(
    dev.mounts?.filter((m) => m.destination.startsWith("/dev")).map((m) => m.type),
    ["bind"],
  );
  const shm = build({ mounts: [{ type: "tmpfs", destination: "/dev/shm", options: ["size=1m"] }] });
  assert.equal(
    shm.mounts?.filter((m) => m.destination === "/dev/shm"),
    [{ destination: "/dev/shm", type: "tmpfs", source: "tmpfs", options: ["size=1m"] }],
  );
  const order = build({
    mounts: [
      { ...bind, destination: "/a/b/c" },
      { ...bind, destination: "/a" },
      { ...bind, destination: "/a/b" },
    ],
  });
  assert.equal(
    order.mounts?.slice(-3).map((m) => m.destination),
    ["/a", "/a/b", "/a/b/c"],
  );
  assert.equal(at(build({ devices: [{ source: "/dev/fuse", destination: "/dev/fuse" }] }), "/dev/fuse"), {
    destination: "/dev/fuse",
    type: "bind",
    source: "/dev/fuse",
    options: ["rbind", "rprivate", "nosuid", "noexec"],
  });
  assert.ok(at(build({ shmSize: 5 }), "/dev/shm")?.options?.includes("size=5"));
  const files = build(
    { mounts: [{ ...bind, destination: "/etc/hosts" }] },
    { files: { "/etc/hosts": "/run/h", "/etc/hostname": "/run/n" } },
  );
  assert.is(at(files, "/etc/hosts")?.source, "/src");
  assert.is(at(files, "/etc/hostname")?.source, "/run/n");
  assert.is(
    refusal({ mounts: [{ ...bind, relabel: true }] }, { facts: { ...context.facts, lsm: { ...context.facts.lsm, active: ["selinux"] } } })
      .code,
    "E_UNSUPPORTED",
  );
  build({ mounts: [{ ...bind, relabel: true }] });
});

test("--read-only", () => {
  const config = build(
    { readOnly: true, mounts: [{ type: "tmpfs", destination: "/run", options: [] }] },
    { files: { "/etc/hosts": "/run/h" } },
  );
  assert.is(config.root?.readonly, true);
  for (const open of ["/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/run"])
    assert.not.ok(at(config, open)?.options?.includes("ro"), open);
  assert.ok(at(config, "/etc/hosts")?.options?.includes("ro"));
});

test("--init", () => {
  const config = build({ init: true, args: ["x"] }, { initPath: "/lib/init" });
  assert.equal(config.process?.args, ["/sbin/coracle-init", "--", "x"]);
  assert.equal(at(config, "/sbin/coracle-init"), {
    destination: "/sbin/coracle-init",
    type: "bind",
    source: "/lib/init",
    options: ["bind", "ro", "rprivate"],
  });
  assert.equal(build({ init: true, pid: "host" }).process?.args, ["sh"], "the host has an init");
  assert.is(refusal({ init: true }).code, "E_UNSUPPORTED");
});

test("--privileged, without root", () => {
  const config = build({ privileged: true });
  assert.equal(config.process?.capabilities?.bounding, [...CAPABILITIES]);
  assert.is(config.linux?.seccomp, undefined);
  assert.is(config.linux?.maskedPaths, undefined);
  assert.is(config.linux?.readonlyPaths, undefined);
  assert.not.ok(at(config, "/sys")?.options?.includes("ro"));
  assert.not.ok(at(config, "/sys/fs/cgroup")?.options?.includes("ro"));
  assert.not.ok(at(build({ privileged: true, network: "host" }), "/sys")?.options?.includes("rro"));
  assert.ok(
    (config.linux?.namespaces ?? []).some((n) => n.type === "user"),
    "still in a user namespace",
  );
});

test("security options", () => {
  assert.is(build(security({ noNewPrivileges: true })).process?.noNewPrivileges, true);
  assert.is(build(security({ seccomp: { kind: "unconfined" } })).linux?.seccomp, undefined);
  assert.is(refusal({}, { facts: { ...context.facts, seccomp: { filter: false, userNotif: false } } }).code, "E_UNSUPPORTED");
  assert.equal(build(security({ mask: ["/proc/x", "/proc/keys"] })).linux?.maskedPaths, [...DEFAULT_MASKED_PATHS, "/proc/x"]);
  const all = build(security({ unmask: ["ALL"] }));
  assert.equal([all.linux?.maskedPaths, all.linux?.readonlyPaths], [undefined, undefined]);
  assert.equal(build(security({ unmask: ["/proc/*"] })).linux?.maskedPaths, ["/sys/devices/virtual/powercap", "/sys/firmware"]);
  assert.equal(
    build(security({ unmask: ["/proc/sys"] })).linux?.readonlyPaths,
    DEFAULT_READONLY_PATHS.filter((p) => p !== "/proc/sys"),
  );
  assert.ok(
    build({}, { maskedPaths: ["/sys/devices/system/cpu/cpu0/thermal_throttle"] }).linux?.maskedPaths?.includes(
      "/sys/devices/system/cpu/cpu0/thermal_throttle",
    ),
  );
  assert.is(refusal(security({ labels: ["type:x"] })).code, "E_UNSUPPORTED");
  build(security({ labels: ["disable"] }));
  assert.is(refusal(security({ apparmor: "p" })).code, "E_UNSUPPORTED");
  assert.is(
    build(security({ apparmor: "p" }), { facts: { ...context.facts, lsm: { ...context.facts.lsm, active: ["apparmor"] } } }).process
      ?.apparmorProfile,
    "p",
  );
  assert.is(build(security({ apparmor: "unconfined" })).process?.apparmorProfile, undefined);
});

test("limits", () => {
  assert.is(build().linux?.resources, undefined, "no limits, no demand on cgroups");
  assert.equal(build(limits({ memory: 67108864 })).linux?.resources, { memory: { limit: 67108864, swap: 134217728 } });
  assert.equal(build(limits({ memory: 67108864, memorySwap: -1 })).linux?.resources, { memory: { limit: 67108864 } });
  assert.equal(
    build(limits({ memory: 67108864, memorySwap: 67108864, memoryReservation: 6291456, swappiness: 0, oomKillDisable: true })).linux
      ?.resources?.memory,
    {
      limit: 67108864,
      reservation: 6291456,
      swap: 67108864,
      swappiness: 0,
      disableOOMKiller: true,
    },
  );
  assert.equal(build(limits({ memory: 9223372036854771712n })).linux?.resources?.memory, {
    limit: 9223372036854771712n,
    swap: 9223372036854775807n,
  });
  assert.equal(build(limits({ nanoCpus: 1_500_000_000 })).linux?.resources, { cpu: { quota: 150000, period: 100000 } });
  assert.equal(build(limits({ cpuShares: 512, cpuPeriod: 5000, cpuQuota: 2500, cpusetCpus: "0-1" })).linux?.resources?.cpu, {
    shares: 512,
    quota: 2500,
    period: 5000,
    cpus: "0-1",
  });
  assert.equal(build(limits({ pids: 5 })).linux?.resources, { pids: { limit: 5 } });
  assert.is(build(limits({ pids: -1 })).linux?.resources, undefined);
  const devices = { "/dev/sda": { major: 8, minor: 0 } };
  assert.equal(
    build(
      limits({ blkioWeight: 10, blkioWeightDevices: [{ path: "/dev/sda", weight: 20 }], deviceReadBps: [{ path: "/dev/sda", rate: 1 }] }),
      { devices },
    ).linux?.resources,
    {
      blockIO: { weight: 10, weightDevice: [{ major: 8, minor: 0, weight: 20 }], throttleReadBpsDevice: [{ major: 8, minor: 0, rate: 1 }] },
    },
  );
  assert.match(
    refusal(limits({ deviceReadBps: [{ path: "/dev/sdz", rate: 1 }] }), { devices }).message,
    /no such device on the host: \/dev\/sdz/,
  );
});

test("the rest", () => {
  const config = build(
    {
      tty: true,
      workdir: "/w",
      ulimits: [{ type: "RLIMIT_NOFILE", soft: 5, hard: 18446744073709551615n }],
      oomScoreAdj: 5,
      annotations: { a: "b" },
      sysctls: { "net.ipv4.ip_unprivileged_port_start": "1024" },
    },
    { cgroupsPath: "/x" },
    { ...image, StopSignal: "SIGQUIT", Labels: { "run.oci.handler": "wasm" } },
  );
  assert.is(config.process?.terminal, true);
  assert.is(config.process?.cwd, "/w");
  assert.equal(config.process?.rlimits, [{ type: "RLIMIT_NOFILE", soft: 5, hard: 18446744073709551615n }]);
  assert.is(config.process?.oomScoreAdj, 5);
  assert.equal(config.annotations, { "org.opencontainers.image.stopSignal": "SIGQUIT", a: "b" });
  assert.equal(config.linux?.sysctl, { "net.ipv4.ip_unprivileged_port_start": "1024" });
  assert.is(config.linux?.cgroupsPath, "/x");
  assert.match(refusal({}, {}, { ...image, WorkingDir: "rel" }).message, /working directory "rel"/);
  assert.is(build({}, {}, { Cmd: ["x"], WorkingDir: "" }).process?.cwd, "/");
  assert.equal(resolveLabels({ Labels: { a: "1", b: "1" } }, { labels: { b: "2" } }), { a: "1", b: "2" });
  assert.is(resolveStopSignal({}, { stopSignal: null }), "SIGTERM");
  assert.is(resolveStopSignal({ StopSignal: "9" }, { stopSignal: null }), "9");
  assert.match(refusal({}, {}, { ...image, StopSignal: "nonsense" }).message, /image's StopSignal/);
});

test("property: any mixture is a valid config, whose mounts never hide one another, and never more capabilities than asked", () => {
  const path = fc.array(fc.constantFrom("dev", "proc", "a", "etc", "shm"), { minLength: 1, maxLength: 3 }).map((p) => `/${p.join("/")}`);
  const mount = path.map((destination) => ({ type: "tmpfs" as const, destination, options: [] }));
  const cap = fc.constantFrom("ALL", ...CAPABILITIES);
  fc.assert(
    fc.property(
      fc.record({
        privileged: fc.boolean(),
        readOnly: fc.boolean(),
        tty: fc.boolean(),
        network: fc.constantFrom("default", "host", "none"),
        ipc: fc.constantFrom("private", "host", "none"),
        pid: fc.constantFrom("private", "host"),
        uts: fc.constantFrom("private", "host"),
        cgroupns: fc.constantFrom("private", "host"),
        capAdd: fc.array(cap, { maxLength: 3 }),
        capDrop: fc.array(cap, { maxLength: 3 }),
        mounts: fc.uniqueArray(mount, { selector: (m) => m.destination, maxLength: 4 }),
      }),
      (options) => {
        const config = build(options);
        const targets = (config.mounts ?? []).map((m) => m.destination);
        assert.is(new Set(targets).size, targets.length, "one mount for a target");
        // Nothing that was asked for is covered by a later mount on a path above it.
        options.mounts.forEach(({ destination }) => {
          const index = targets.indexOf(destination);
          assert.ok(index >= 0);
          assert.not.ok(targets.slice(index + 1).some((t) => destination.startsWith(`${t}/`)));
        });
        const allowed = new Set<string>(
          options.privileged || options.capAdd.includes("ALL") ? CAPABILITIES : [...DEFAULT_CAPABILITIES, ...options.capAdd],
        );
        assert.ok((config.process?.capabilities?.bounding ?? []).every((c) => allowed.has(c)));
      },
    ),
    { numRuns: 300 },
  );
});

test.run();
