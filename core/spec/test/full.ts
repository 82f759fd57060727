/** Documents that have every member of the specifications, so that nothing is forgotten unnoticed. */

const mapping = { containerID: 0, hostID: 100000, size: 65536 };
const hook = { path: "/usr/bin/hook", args: ["hook", "--x"], env: ["A=1"], timeout: 5 };
const throttle = { major: 8, minor: 0, rate: 18446744073709551615n };

export const fullConfig = {
  ociVersion: "1.3.0",
  root: { path: "rootfs", readonly: true },
  process: {
    terminal: true,
    consoleSize: { height: 25, width: 80 },
    cwd: "/",
    env: ["PATH=/bin", "EMPTY="],
    args: ["/bin/true"],
    commandLine: "true",
    user: { uid: 0, gid: 4294967295, umask: 18, additionalGids: [5, 6], username: "user" },
    rlimits: [{ type: "RLIMIT_NOFILE", soft: 1024, hard: 18446744073709551615n }],
    capabilities: {
      bounding: ["CAP_CHOWN"],
      effective: ["CAP_CHOWN"],
      inheritable: ["CAP_CHOWN"],
      permitted: ["CAP_CHOWN"],
      ambient: ["CAP_CHOWN"],
    },
    noNewPrivileges: true,
    apparmorProfile: "profile",
    selinuxLabel: "system_u:system_r:svirt_lxc_net_t:s0:c124,c675",
    oomScoreAdj: -1000,
    scheduler: {
      policy: "SCHED_DEADLINE",
      nice: 0,
      priority: 0,
      flags: ["SCHED_FLAG_RESET_ON_FORK"],
      runtime: 10_000_000,
      deadline: 20_000_000,
      period: 30_000_000,
    },
    ioPriority: { class: "IOPRIO_CLASS_BE", priority: 4 },
    execCPUAffinity: { initial: "7", final: "0-3,7" },
  },
  hostname: "host",
  domainname: "domain",
  mounts: [
    { destination: "/proc", type: "proc", source: "proc", options: ["nosuid"] },
    { destination: "/data", type: "none", source: "/srv", options: ["bind", "ridmap"], uidMappings: [mapping], gidMappings: [mapping] },
  ],
  hooks: { prestart: [hook], createRuntime: [hook], createContainer: [hook], startContainer: [hook], poststart: [hook], poststop: [hook] },
  annotations: { "org.example.key": "value" },
  linux: {
    namespaces: [
      { type: "mount" },
      { type: "pid" },
      { type: "network", path: "/run/netns/x" },
      { type: "uts" },
      { type: "ipc" },
      { type: "user" },
      { type: "cgroup" },
      { type: "time" },
    ],
    uidMappings: [mapping],
    gidMappings: [mapping],
    timeOffsets: { boottime: { secs: -9223372036854775808n, nanosecs: 999999999 }, monotonic: { secs: 1, nanosecs: 0 } },
    devices: [{ type: "c", path: "/dev/fuse", major: 10, minor: 229, fileMode: 438, uid: 0, gid: 0 }],
    netDevices: { eth0: { name: "c_eth0" } },
    cgroupsPath: "/x",
    resources: {
      unified: { "memory.high": "1073741824" },
      devices: [{ allow: false, type: "c", major: 10, minor: 229, access: "rwm" }],
      pids: { limit: -1 },
      memory: {
        limit: 9223372036854771712n,
        reservation: 536870912,
        swap: 9223372036854771712n,
        kernel: -1,
        kernelTCP: -1,
        swappiness: 0,
        disableOOMKiller: false,
        useHierarchy: false,
        checkBeforeUpdate: true,
      },
      cpu: {
        shares: 1024,
        quota: 1000000,
        burst: 1000000,
        period: 500000,
        realtimeRuntime: 950000,
        realtimePeriod: 1000000,
        cpus: "2-3",
        mems: "0-7",
        idle: 0,
      },
      blockIO: {
        weight: 10,
        leafWeight: 10,
        weightDevice: [{ major: 8, minor: 0, weight: 500, leafWeight: 300 }],
        throttleReadBpsDevice: [throttle],
        throttleWriteBpsDevice: [throttle],
        throttleReadIOPSDevice: [throttle],
        throttleWriteIOPSDevice: [throttle],
      },
      hugepageLimits: [{ pageSize: "2MB", limit: 209715200 }],
      network: { classID: 1048577, priorities: [{ name: "eth0", priority: 500 }] },
      rdma: { mlx5_1: { hcaHandles: 3, hcaObjects: 10000 } },
    },
    rootfsPropagation: "slave",
    seccomp: {
      defaultAction: "SCMP_ACT_ERRNO",
      defaultErrnoRet: 1,
      architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_RISCV64"],
      flags: ["SECCOMP_FILTER_FLAG_LOG"],
      listenerPath: "/run/agent.sock",
      listenerMetadata: "metadata",
      syscalls: [
        {
          names: ["clone"],
          action: "SCMP_ACT_ALLOW",
          args: [{ index: 0, value: 2114060288, valueTwo: 18446744073709551615n, op: "SCMP_CMP_MASKED_EQ" }],
        },
        { names: ["getcwd", "chmod"], action: "SCMP_ACT_ERRNO", errnoRet: 38 },
        { names: ["mount"], action: "SCMP_ACT_NOTIFY" },
      ],
    },
    sysctl: { "net.ipv4.ip_forward": "1" },
    maskedPaths: ["/proc/kcore"],
    readonlyPaths: ["/proc/sys"],
    mountLabel: "system_u:object_r:svirt_sandbox_file_t:s0:c715,c811",
    personality: { domain: "LINUX32", flags: [] },
    intelRdt: {
      closID: "guaranteed_group",
      schemata: ["L3:0=7f0;1=1f"],
      l3CacheSchema: "L3:0=7f0;1=1f",
      memBwSchema: "MB:0=20;1=70",
      enableMonitoring: true,
    },
    memoryPolicy: { mode: "MPOL_BIND", nodes: "0-1", flags: ["MPOL_F_STATIC_NODES"] },
  },
  solaris: { milestone: "m", unknown: [1] },
  windows: { layerFolders: ["C:\\x"], unknown: { kept: true } },
  vm: { kernel: { path: "/k" }, unknown: 1 },
  zos: { unknown: 1 },
  freebsd: { unknown: 1 },
};

export const fullState = { ociVersion: "1.3.0", id: "id", status: "running", pid: 4422, bundle: "/bundle", annotations: { a: "b" } };

export const fullFeatures = {
  ociVersionMin: "1.0.0",
  ociVersionMax: "1.3.0",
  hooks: ["prestart"],
  mountOptions: ["ro"],
  annotations: { a: "b" },
  potentiallyUnsafeConfigAnnotations: ["org.example."],
  linux: {
    namespaces: ["mount"],
    capabilities: ["CAP_CHOWN"],
    cgroup: { v1: true, v2: true, systemd: true, systemdUser: true, rdma: true },
    seccomp: {
      enabled: true,
      actions: ["SCMP_ACT_ALLOW"],
      operators: ["SCMP_CMP_NE"],
      archs: ["SCMP_ARCH_X86_64"],
      knownFlags: ["SECCOMP_FILTER_FLAG_LOG"],
      supportedFlags: ["SECCOMP_FILTER_FLAG_LOG"],
    },
    apparmor: { enabled: true },
    selinux: { enabled: true },
    intelRdt: { enabled: true, schemata: true, monitoring: true },
    memoryPolicy: { modes: ["MPOL_BIND"], flags: ["MPOL_F_STATIC_NODES"] },
    mountExtensions: { idmap: { enabled: true } },
    netDevices: { enabled: true },
  },
};

const DIGEST = `sha256:${"0123456789abcdef".repeat(4)}`;
const platform = { architecture: "arm", os: "linux", "os.version": "10.0", "os.features": ["win32k"], variant: "v7" };
const descriptor = {
  mediaType: "application/vnd.oci.image.layer.v1.tar+gzip",
  digest: DIGEST,
  size: 7023,
  urls: ["https://example.com/x"],
  annotations: { a: "b" },
  data: "e30=",
  artifactType: "application/x",
};

export const fullIndex = {
  schemaVersion: 2,
  mediaType: "application/vnd.oci.image.index.v1+json",
  artifactType: "application/x",
  manifests: [{ ...descriptor, platform }],
  subject: descriptor,
  annotations: { a: "b" },
};

export const fullManifest = {
  schemaVersion: 2,
  mediaType: "application/vnd.oci.image.manifest.v1+json",
  artifactType: "application/x",
  config: descriptor,
  layers: [descriptor, descriptor],
  subject: descriptor,
  annotations: { a: "b" },
};

export const fullImageConfig = {
  created: "2015-10-31T22:22:56.015925234Z",
  author: "Alyssa P. Hacker",
  architecture: "amd64",
  variant: "v8",
  os: "linux",
  "os.version": "10.0",
  "os.features": ["win32k"],
  config: {
    User: "alice",
    ExposedPorts: { "8080/tcp": {} },
    Env: ["PATH=/bin"],
    Entrypoint: ["/bin/app"],
    Cmd: ["--foreground"],
    Volumes: { "/var/data": {} },
    WorkingDir: "/home/alice",
    Labels: { a: "b" },
    StopSignal: "SIGTERM",
    ArgsEscaped: true,
    Shell: ["/bin/sh", "-c"],
    OnBuild: ["RUN x"],
    StopTimeout: 10,
    Healthcheck: { Test: ["CMD", "x"], Interval: 30000000000, Timeout: 1, StartPeriod: 1, StartInterval: 1, Retries: 3 },
  },
  rootfs: { type: "layers", diff_ids: [DIGEST, DIGEST] },
  history: [
    { created: "2015-10-31T22:22:54.690851953Z", created_by: "ADD", author: "a", comment: "c" },
    { created: "2015-10-31T22:22:55.613815829Z", created_by: "RUN", empty_layer: true },
    { created_by: "COPY", empty_layer: false },
  ],
};

export const fullLayout = { imageLayoutVersion: "1.0.0" };
