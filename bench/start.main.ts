/**
 * What every competitor of a start is given: one root file system, one config, one filter. Part of the composition root:
 * it plans as `coracle-oci run` does.
 */
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, statfsSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DEFAULT_CAPABILITIES, DEFAULT_MASKED_PATHS, DEFAULT_READONLY_PATHS } from "#core/image/build-config";
import { encodePlan } from "#core/plan/encode";
import type { Plan, Step } from "#core/plan/ops";
import { buildDefaultSeccomp } from "#core/seccomp/default-policy";
import type { Config } from "#core/spec/config";
import { readFacts } from "#linux/facts";
import { nativePath } from "#linux/native";
import { planStart } from "#runtime/verbs/create";
import type { Command } from "./measure.ts";
import { shellLine } from "./trace.ts";

const here = import.meta.dirname;
const quiet = ["nosuid", "noexec", "nodev"];

/** As `spec --rootless` writes it, with docker's capabilities, paths and filter. */
const buildBenchConfig = (facts: ReturnType<typeof readFacts>, rootfs: string): Config => ({
  ociVersion: "1.0.2", // crun 1.8 takes nothing newer
  process: {
    terminal: false,
    user: { uid: 0, gid: 0 },
    args: ["/payload"],
    env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
    cwd: "/",
    capabilities: { bounding: [...DEFAULT_CAPABILITIES], effective: [...DEFAULT_CAPABILITIES], permitted: [...DEFAULT_CAPABILITIES] },
    rlimits: [{ type: "RLIMIT_NOFILE", hard: 1024, soft: 1024 }],
    noNewPrivileges: true,
  },
  root: { path: rootfs, readonly: true },
  hostname: "coracle",
  mounts: [
    { destination: "/proc", type: "proc", source: "proc" },
    { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "strictatime", "mode=755", "size=65536k"] },
    {
      destination: "/dev/pts",
      type: "devpts",
      source: "devpts",
      options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
    },
    { destination: "/dev/shm", type: "tmpfs", source: "shm", options: [...quiet, "mode=1777", "size=65536k"] },
    { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: quiet },
    { destination: "/sys", type: "sysfs", source: "sysfs", options: [...quiet, "ro"] },
  ],
  linux: {
    uidMappings: [{ containerID: 0, hostID: facts.self.uid, size: 1 }],
    gidMappings: [{ containerID: 0, hostID: facts.self.gid, size: 1 }],
    namespaces: [
      { type: "pid" },
      { type: "network" },
      { type: "ipc" },
      { type: "uts" },
      { type: "cgroup" },
      { type: "mount" },
      { type: "user" },
    ],
    maskedPaths: [...DEFAULT_MASKED_PATHS],
    readonlyPaths: [...DEFAULT_READONLY_PATHS],
    seccomp: buildDefaultSeccomp(DEFAULT_CAPABILITIES, facts.arch, facts.kernel),
  },
});

const compile = (source: string, target: string, flags: readonly string[]): void => {
  const musl = spawnSync("musl-gcc", ["--version"]).error === undefined;
  const machine = process.arch === "arm64" ? "aarch64" : "x86_64";
  // The same flags as stage's (native/Makefile).
  const common = [
    "-std=gnu11",
    "-D_GNU_SOURCE",
    "-Os",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-ffunction-sections",
    "-fdata-sections",
    "-fno-asynchronous-unwind-tables",
    "-static",
    "-Wl,--gc-sections",
    "-s",
  ];
  const headers = musl ? ["-idirafter", "/usr/include", "-idirafter", `/usr/include/${machine}-linux-gnu`] : [];
  const { status, stderr, error } = spawnSync(
    musl ? "musl-gcc" : "cc",
    [...common, ...flags, "-o", target, join(here, source), ...headers],
    { encoding: "utf8" },
  );
  if (error !== undefined || status !== 0) throw new Error(`${source} does not compile: ${error?.message ?? stderr}`);
};

const findStep = (plan: Plan, op: "seccomp" | "capabilities" | "undo_log"): Step => {
  const step = plan.steps.find((candidate) => candidate.op === op);
  if (step === undefined) throw new Error(`the plan has no ${op}`);
  return step;
};

/** What floor.c has no words of its own for. */
const floorHeader = (plan: Plan, rootfs: string, state: string): string => {
  const seccomp = findStep(plan, "seccomp");
  const capabilities = findStep(plan, "capabilities");
  const undo = findStep(plan, "undo_log");
  const map = plan.steps.find((candidate) => candidate.op === "map_write");
  if (seccomp.op !== "seccomp" || capabilities.op !== "capabilities" || undo.op !== "undo_log" || map?.op !== "map_write")
    throw new Error("the plan is another");
  const files = plan.steps.flatMap((step) =>
    step.op === "store_plan"
      ? [{ name: step.args.name, size: encodePlan(step.args.plan).length }]
      : step.op === "store_file"
        ? [{ name: step.args.name, size: JSON.stringify(step.args.content).length }]
        : [],
  );
  return [
    `#define ROOTFS ${JSON.stringify(rootfs)}`,
    `#define UID_MAP ${JSON.stringify(map.args.uid)}`,
    `#define GID_MAP ${JSON.stringify(map.args.gid)}`,
    `#define CAPABILITIES ${capabilities.args.permitted}ull`,
    `#define FILTER_FLAGS ${seccomp.args.flags}`,
    `static struct sock_filter filter[] = {${seccomp.args.filter.map((instruction) => `{${instruction.join(",")}}`).join(",")}};`,
    "#ifdef WITH_STATE",
    `#define STATE ${JSON.stringify(state)}`,
    `#define UNDO_SIZE ${encodePlan(undo.args.undo).length}`,
    `#define STATE_FILES ${files.map(({ name, size }) => `{"${name}", "${name}.tmp", ${size}}`).join(", ")}`,
    "#endif",
    "",
  ].join("\n");
};

const encodeFilter = (filter: readonly (readonly [number, number, number, number])[]): Buffer => {
  const bytes = Buffer.alloc(filter.length * 8);
  filter.forEach(([code, jt, jf, k], i) => {
    bytes.writeUInt16LE(code, 8 * i);
    bytes.writeUInt8(jt, 8 * i + 2);
    bytes.writeUInt8(jf, 8 * i + 3);
    bytes.writeUInt32LE(k >>> 0, 8 * i + 4);
  });
  return bytes;
};

/** bubblewrap's nearest. It makes /proc/{sys,sysrq-trigger,irq,bus} read-only and the devices by itself, and has no sysfs. */
const bwrapArgs = (rootfs: string): readonly string[] => [
  ...[
    "--unshare-all",
    "--uid",
    "0",
    "--gid",
    "0",
    "--hostname",
    "coracle",
    "--new-session",
    "--clearenv",
    "--setenv",
    "PATH",
    "/usr/bin:/bin",
    "--cap-drop",
    "ALL",
    "--seccomp",
    "9",
  ],
  ...[
    "--bind",
    rootfs,
    "/",
    "--proc",
    "/proc",
    "--dev",
    "/dev",
    "--tmpfs",
    "/dev/shm",
    "--mqueue",
    "/dev/mqueue",
    "--ro-bind",
    "/sys",
    "/sys",
  ],
  ...DEFAULT_MASKED_PATHS.filter((path) => existsSync(path)).flatMap((path) =>
    statSync(path).isDirectory() ? ["--tmpfs", path, "--remount-ro", path] : ["--ro-bind", "/dev/null", path],
  ),
  ...["--remount-ro", "/", "/payload"],
];

/** What a container with the SHOW payload says of itself, but for what differs from start to start. */
const describeContainer = (argv: readonly string[]): ReadonlySet<string> => {
  const { stdout, stderr, status } = spawnSync("sh", ["-c", `exec ${shellLine(argv)}`], { encoding: "utf8" });
  if (status !== 0) throw new Error(`${argv.join(" ")}: ${stderr.trim() || `status ${status}`}`);
  return new Set(
    stdout.split("\n").flatMap((line) => {
      // mount id, parent, device, root, mount point, options, tags, -, type, source, options of the superblock
      const [, point, options, type] = /^\d+ \d+ \d+:\d+ \S+ (\S+) (\S+) .*- (\S+) /.exec(line) ?? [];
      if (point !== undefined) return [`mount ${point} ${type} ${options}`];
      return /^(Cap|NoNewPrivs|Seccomp|Uid|Gid|Groups|Max )/.test(line) ? [line] : [];
    }),
  );
};

const compareContainers = (a: readonly string[], b: readonly string[]): readonly string[] => {
  const [ours, theirs] = [describeContainer(a), describeContainer(b)];
  if (ours.size < 20) throw new Error("the floor's container says too little of itself to be compared");
  const missing = (from: ReadonlySet<string>, to: ReadonlySet<string>, sign: string): readonly string[] =>
    [...from].filter((line) => !to.has(line)).map((line) => `${sign} ${line}`);
  return [...missing(ours, theirs, "-"), ...missing(theirs, ours, "+")];
};

const TMPFS_MAGIC = 0x01021994;

/** Where live state lies on a machine with a login manager, and where it lies on one without. */
const stateParents = (): { readonly memory: string | null; readonly disk: string } => ({
  memory:
    [process.env["XDG_RUNTIME_DIR"] ?? "", "/dev/shm"].find(
      (path) => path !== "" && existsSync(path) && statfsSync(path).type === TMPFS_MAGIC,
    ) ?? null,
  disk: tmpdir(),
});

export type Fixture = {
  readonly directory: string;
  readonly timer: string;
  readonly instructions: number;
  readonly steps: number;
  readonly commands: readonly Command[];
};

/** Builds the programs and the bundle. @param made takes the directories that are the caller's to remove, also after a throw. */
export const createFixture = (coracleOci: string, made: string[]): Fixture => {
  const makeDirectory = (prefix: string): string => {
    const path = mkdtempSync(prefix);
    made.push(path);
    return path;
  };
  const directory = makeDirectory(join(tmpdir(), "coracle-bench-"));
  const parents = stateParents();
  const disk = makeDirectory(join(parents.disk, "coracle-bench-state-"));
  const root = parents.memory === null ? disk : makeDirectory(join(parents.memory, "coracle-bench-state-"));
  const rootfs = join(directory, "rootfs");
  for (const name of ["dev", "proc", "sys"]) mkdirSync(join(rootfs, name), { recursive: true });
  const timer = join(directory, "timer");
  compile("timer.c", timer, []);
  compile("payload.c", join(rootfs, "payload"), ["-DSHOW"]);
  // A sealed copy of what will be executed is not needed: nobody else writes here.
  copyFileSync(nativePath("stage"), join(directory, "stage"));

  const facts = readFacts({ depth: "quick" });
  const text = JSON.stringify(buildBenchConfig(facts, rootfs));
  writeFileSync(join(directory, "config.json"), text);
  const planIn = (state: string): Plan =>
    planStart(
      "run",
      { global: new Map([["cgroup-manager", ["disabled"]]]), values: new Map([["bundle", [directory]]]), rest: ["bench"], cwd: directory },
      { facts, config: text, container: null, root: state, cwd: directory, now: new Date(0).toISOString() },
    ).plan;
  const plan = planIn(root);
  // Plan and report lie where the state does, as platform-linux/stage.ts has it.
  writeFileSync(join(root, "plan"), encodePlan(plan));
  writeFileSync(join(disk, "plan-on-disk"), encodePlan(planIn(disk)));
  writeFileSync(join(directory, "floor.h"), floorHeader(plan, rootfs, join(root, "floor")));
  compile("floor.c", join(directory, "floor"), ["-I", directory]);
  compile("floor.c", join(directory, "floor-state"), ["-I", directory, "-DWITH_STATE"]);
  const seccomp = findStep(plan, "seccomp");
  const filter = seccomp.op === "seccomp" ? seccomp.args.filter : [];
  writeFileSync(join(directory, "filter"), encodeFilter(filter));

  const stage = (state: string, plan: string): readonly string[] => [
    `3<${join(state, plan)}`,
    `4>${join(state, "report")}`,
    join(directory, "stage"),
    "3",
    "4",
  ];
  const floor = [join(directory, "floor")];
  const differences = compareContainers(floor, stage(root, "plan"));
  if (differences.length > 0) throw new Error(`floor.c and the plan make different containers:\n${differences.join("\n")}`);
  compile("payload.c", join(rootfs, "payload"), []);
  return {
    directory,
    timer,
    instructions: filter.length,
    steps: plan.steps.length,
    commands: [
      { name: "floor", argv: floor },
      { name: "floor with state", argv: [join(directory, "floor-state")] },
      { name: "stage", argv: stage(root, "plan") },
      ...(root === disk ? [] : [{ name: "stage, state on disk", argv: stage(disk, "plan-on-disk") }]),
      { name: "bwrap", argv: [`9<${join(directory, "filter")}`, "bwrap", ...bwrapArgs(rootfs)] },
      { name: "crun run", argv: ["crun", "--root", join(root, "crun"), "run", "--bundle", directory, "bench"] },
      { name: "runc run", argv: ["runc", "--root", join(root, "runc"), "run", "--bundle", directory, "bench"] },
      { name: "coracle-oci run", argv: [coracleOci, "--root", join(root, "coracle"), "run", "--bundle", directory, "bench"] },
    ],
  };
};
