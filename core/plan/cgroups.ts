/**
 * Resource limits → a cgroup and its knobs (config-linux.md#control-groups).
 *
 * Which driver applies is decided from facts, and a limit that no driver can hold is refused: a limit that does not hold
 * is worse than none, for someone relies on it.
 */

import type { Facts } from "#core/facts";
import { Fault } from "#core/fault";
import { cgroupRemedy, delegateRemedy } from "#core/hints";
import type { Resources } from "#core/spec/config";
import type { Int64 } from "#core/spec/fields";
import { encodeUtf8 } from "#core/utf8";
import { scopeRequest } from "./dbus.ts";
import type { Step, Template } from "./ops.ts";
import { BY_CORACLE, parent } from "./step.ts";

export type CgroupManager = "auto" | "cgroupfs" | "systemd" | "disabled";

/** One knob: the controller that has it, the file on each version (null: that version has none), and where it was asked for. */
type Knob = {
  readonly controller: string;
  readonly v1: readonly (readonly [file: string, value: string])[];
  readonly v2: readonly (readonly [file: string, value: string])[];
  readonly pointer: string;
};

const R = "/linux/resources";
const big = (value: Int64): bigint => BigInt(value);
/** −1 is "no limit", which version 2 spells "max". */
const max = (value: Int64): string => (value < 0 ? "max" : String(value));

/** cpu.shares 2…262144 → cpu.weight 1…10000: through (2, 1), (1024, 100), (262144, 10000), as runc and crun convert since 2025. */
export const weightOfShares = (shares: Int64): number => {
  const value = Number(shares);
  if (value <= 2) return 1;
  if (value >= 262144) return 10000;
  const l = Math.log2(value);
  return Math.ceil(10 ** ((l * l + 125 * l) / 612 - 7 / 34));
};

const memoryKnobs = (memory: NonNullable<Resources["memory"]>, swapAccounted: boolean, report: Reporter): Knob[] => {
  const knobs: Knob[] = [];
  const add = (pointer: string, v1: Knob["v1"], v2: Knob["v2"]): void => {
    knobs.push({ controller: "memory", v1, v2, pointer: `${R}/memory/${pointer}` });
  };
  const { limit, swap, reservation, swappiness } = memory;
  if (limit !== undefined) add("limit", [["memory.limit_in_bytes", String(limit)]], [["memory.max", max(limit)]]);
  if (swap !== undefined) {
    // Version 1 and config.json count memory and swap together, version 2 swap alone.
    if (swap >= 0 && limit !== undefined && limit >= 0 && big(swap) < big(limit))
      report.issue(`${R}/memory/swap`, "memory and swap together are less than memory alone");
    if (swap >= 0 && (limit === undefined || limit < 0))
      report.issue(`${R}/memory/swap`, "a swap limit needs a memory limit", "set memory.limit too");
    else if (!swapAccounted)
      // As docker: what `--memory` alone implies is no reason to refuse a memory limit that does hold.
      report.note(
        `${R}/memory/swap: this kernel does not account swap (CONFIG_SWAP, or swapaccount=0 at boot): memory is limited, swap is not`,
      );
    else
      add(
        "swap",
        [["memory.memsw.limit_in_bytes", String(swap)]],
        [["memory.swap.max", swap < 0 ? "max" : String(big(swap) - big(limit ?? 0))]],
      );
  }
  if (reservation !== undefined)
    add("reservation", [["memory.soft_limit_in_bytes", String(reservation)]], [["memory.low", max(reservation)]]);
  if (swappiness !== undefined) add("swappiness", [["memory.swappiness", String(swappiness)]], []);
  if (memory.disableOOMKiller === true) add("disableOOMKiller", [["memory.oom_control", "1"]], []);
  for (const ignored of ["kernel", "kernelTCP"] as const)
    if (memory[ignored] !== undefined)
      report.note(`${R}/memory/${ignored}: the kernel has no such limit any more; ignored, as the specification says`);
  return knobs;
};

const cpuKnobs = (cpu: NonNullable<Resources["cpu"]>): Knob[] => {
  const knobs: Knob[] = [];
  const add = (pointer: string, controller: string, v1: Knob["v1"], v2: Knob["v2"]): void => {
    knobs.push({ controller, v1, v2, pointer: `${R}/cpu/${pointer}` });
  };
  if (cpu.shares !== undefined && cpu.shares !== 0)
    add("shares", "cpu", [["cpu.shares", String(cpu.shares)]], [["cpu.weight", String(weightOfShares(cpu.shares))]]);
  const period = cpu.period === undefined || cpu.period === 0 ? undefined : String(cpu.period);
  const quota = cpu.quota === undefined || cpu.quota === 0 ? undefined : cpu.quota;
  if (quota !== undefined || period !== undefined)
    add(
      quota === undefined ? "period" : "quota",
      "cpu",
      [
        ...(period === undefined ? [] : [["cpu.cfs_period_us", period] as const]),
        ...(quota === undefined ? [] : [["cpu.cfs_quota_us", String(quota)] as const]),
      ],
      [["cpu.max", `${quota === undefined ? "max" : max(quota)}${period === undefined ? "" : ` ${period}`}`]],
    );
  if (cpu.burst !== undefined) add("burst", "cpu", [["cpu.cfs_burst_us", String(cpu.burst)]], [["cpu.max.burst", String(cpu.burst)]]);
  if (cpu.idle !== undefined) add("idle", "cpu", [["cpu.idle", String(cpu.idle)]], [["cpu.idle", String(cpu.idle)]]);
  if (cpu.realtimePeriod !== undefined) add("realtimePeriod", "cpu", [["cpu.rt_period_us", String(cpu.realtimePeriod)]], []);
  if (cpu.realtimeRuntime !== undefined) add("realtimeRuntime", "cpu", [["cpu.rt_runtime_us", String(cpu.realtimeRuntime)]], []);
  for (const file of ["cpus", "mems"] as const) {
    const value = cpu[file];
    if (value !== undefined && value !== "") add(file, "cpuset", [[`cpuset.${file}`, value]], [[`cpuset.${file}`, value]]);
  }
  return knobs;
};

const throttles = [
  ["throttleReadBpsDevice", "blkio.throttle.read_bps_device", "rbps"],
  ["throttleWriteBpsDevice", "blkio.throttle.write_bps_device", "wbps"],
  ["throttleReadIOPSDevice", "blkio.throttle.read_iops_device", "riops"],
  ["throttleWriteIOPSDevice", "blkio.throttle.write_iops_device", "wiops"],
] as const;

/** blkio.weight 10…1000 → io.weight 1…10000, linearly. */
const ioWeight = (weight: number): number => Math.floor(1 + ((weight - 10) * 9999) / 990);

const ioKnobs = (io: NonNullable<Resources["blockIO"]>): Knob[] => {
  const knobs: Knob[] = [];
  const add = (pointer: string, v1: Knob["v1"], v2: Knob["v2"]): void => {
    knobs.push({ controller: "io", v1, v2, pointer: `${R}/blockIO/${pointer}` });
  };
  if (io.weight !== undefined && io.weight !== 0)
    add("weight", [["blkio.weight", String(io.weight)]], [["io.weight", `default ${ioWeight(io.weight)}`]]);
  if (io.leafWeight !== undefined && io.leafWeight !== 0) add("leafWeight", [["blkio.leaf_weight", String(io.leafWeight)]], []);
  for (const [i, device] of (io.weightDevice ?? []).entries())
    if (device.weight !== undefined)
      add(
        `weightDevice/${i}`,
        [["blkio.weight_device", `${device.major}:${device.minor} ${device.weight}`]],
        [["io.weight", `${device.major}:${device.minor} ${ioWeight(device.weight)}`]],
      );
  for (const [name, v1, v2] of throttles)
    for (const [i, device] of (io[name] ?? []).entries())
      if (device.rate !== undefined)
        add(
          `${name}/${i}`,
          [[v1, `${device.major}:${device.minor} ${device.rate}`]],
          [["io.max", `${device.major}:${device.minor} ${v2}=${device.rate === 0 ? "max" : device.rate}`]],
        );
  return knobs;
};

type Reporter = { readonly issue: (pointer: string, message: string, hint?: string) => void; readonly note: (text: string) => void };

/** Every knob that the resources ask for. */
const knobsOf = (resources: Resources, swapAccounted: boolean, report: Reporter): readonly Knob[] => {
  const knobs: Knob[] = [];
  if (resources.memory !== undefined) knobs.push(...memoryKnobs(resources.memory, swapAccounted, report));
  if (resources.cpu !== undefined) knobs.push(...cpuKnobs(resources.cpu));
  // 0 is what engines write for "not set".
  if (resources.pids !== undefined && resources.pids.limit !== 0)
    knobs.push({
      controller: "pids",
      v1: [["pids.max", max(resources.pids.limit)]],
      v2: [["pids.max", max(resources.pids.limit)]],
      pointer: `${R}/pids/limit`,
    });
  if (resources.blockIO !== undefined) knobs.push(...ioKnobs(resources.blockIO));
  for (const [i, { pageSize, limit }] of (resources.hugepageLimits ?? []).entries())
    knobs.push({
      controller: "hugetlb",
      v1: [[`hugetlb.${pageSize}.limit_in_bytes`, String(limit)]],
      v2: [[`hugetlb.${pageSize}.max`, String(limit)]],
      pointer: `${R}/hugepageLimits/${i}`,
    });
  for (const [name, { hcaHandles, hcaObjects }] of Object.entries(resources.rdma ?? {})) {
    const value = `${name}${hcaHandles === undefined ? "" : ` hca_handle=${hcaHandles}`}${hcaObjects === undefined ? "" : ` hca_object=${hcaObjects}`}`;
    knobs.push({ controller: "rdma", v1: [["rdma.max", value]], v2: [["rdma.max", value]], pointer: `${R}/rdma/${name}` });
  }
  if (resources.network?.classID !== undefined)
    knobs.push({
      controller: "net_cls",
      v1: [["net_cls.classid", String(resources.network.classID)]],
      v2: [],
      pointer: `${R}/network/classID`,
    });
  for (const [i, { name, priority }] of (resources.network?.priorities ?? []).entries())
    knobs.push({
      controller: "net_prio",
      v1: [["net_prio.ifpriomap", `${name} ${priority}`]],
      v2: [],
      pointer: `${R}/network/priorities/${i}`,
    });
  for (const [file, value] of Object.entries(resources.unified ?? {})) {
    const pointer = `${R}/unified/${file}`;
    if (file.includes("/")) report.issue(pointer, "a knob's name has no slash");
    else knobs.push({ controller: file.split(".")[0] ?? "", v1: [], v2: [[file, value]], pointer });
  }
  return knobs;
};

export type CgroupPlan = {
  readonly driver: "v2" | "systemd" | "v1" | "none";
  /** Before the child is cloned (v2: it is cloned into the cgroup; v1: the directories are there to attach to). */
  readonly before: readonly Step[];
  /** Around a scope: between the first process and the one that is forked into the cgroup. */
  readonly scope: {
    readonly request: Step;
    readonly create: readonly Step[];
    readonly set: readonly Step[];
    readonly cgroup: string;
  } | null;
  /** After the child was cloned. */
  readonly attach: readonly Step[];
  /** Idempotent: for undo and delete. */
  readonly remove: readonly Step[];
  /** Absolute path of the cgroup on version 2, and of the freezer on either. */
  readonly dir: string | null;
  readonly freezer: { readonly file: string; readonly frozen: string; readonly thawed: string; readonly state: string } | null;
};

const none: CgroupPlan = { driver: "none", before: [], scope: null, attach: [], remove: [], dir: null, freezer: null };

const join = (base: string, name: string): string => `${base === "/" ? "" : base}/${name}`;

/** v1's controller names: blkio for io, and cpu's knobs beside cpuacct's. */
const v1Controller = (controller: string): string => (controller === "io" ? "blkio" : controller);

type CgroupInput = {
  readonly id: string;
  /** With the id, it tells this container from one that another --root has under the same id. */
  readonly stateDir: string;
  readonly facts: Facts;
  readonly resources: Resources | undefined;
  readonly cgroupsPath: string | undefined;
  readonly manager: CgroupManager;
  readonly limits: "enforce" | "best-effort";
  readonly report: Reporter;
};

/** FNV-1a, 32 bits (draft-eastlake-fnv): short, and the core has no other. Nobody gains by a collision: it is refused. */
const hashOf = (text: string): string => {
  let hash = 0x811c9dc5;
  for (const byte of encodeUtf8(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return (hash >>> 0).toString(16).padStart(8, "0");
};

const defaultName = ({ id, stateDir }: CgroupInput): string => `coracle-${id}-${hashOf(stateDir)}`;

/** Components that are safe below a base: cgroupsPath is a request, and "/../.." in it is not one we take. */
const relativeName = (input: CgroupInput, base: string): string => {
  const path = input.cgroupsPath ?? "";
  if (path === "" || path.includes(":")) return defaultName(input);
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..")) {
    input.report.issue("/linux/cgroupsPath", 'the path holds ".."', "name the cgroup below the delegated one");
    return defaultName(input);
  }
  const whole = `/${parts.join("/")}`;
  return (whole.startsWith(`${base}/`) ? whole.slice(base.length + 1) : parts.join("/")) || defaultName(input);
};

const needs = ({ cgroup }: Facts, { controller, v1, v2 }: Knob): string =>
  (cgroup.mode === "v2" ? v2 : v1).length > 0
    ? `needs the ${controller} controller`
    : `is a limit of cgroup version ${cgroup.mode === "v2" ? 1 : 2}, and this host has version ${cgroup.mode === "v2" ? 2 : 1}`;

const missing = (knobs: readonly Knob[], has: (knob: Knob) => boolean): readonly Knob[] => knobs.filter((knob) => !has(knob));

/** What no driver here can hold: refused, or noted where the user said best-effort. */
const refuse = (input: CgroupInput, lost: readonly Knob[], why: string, remedy: string): void => {
  if (lost.length === 0) return;
  if (input.limits === "best-effort") {
    for (const knob of lost) input.report.note(`${knob.pointer}: does not hold (${why})`);
    return;
  }
  throw new Fault("E_LIMITS", {
    message: `${lost.length === 1 ? "a limit" : `${lost.length} limits`} cannot be enforced here: ${[...new Set(lost.map((knob) => knob.controller))].join(", ")}`,
    issues: lost.map((knob) => ({ pointer: knob.pointer, message: needs(input.facts, knob) })),
    why,
    hint: `${remedy}; or run with --limits best-effort and live without ${lost.length === 1 ? "this limit" : "these limits"}`,
  });
};

const v2Sets = (dir: string, knobs: readonly Knob[]): readonly Step[] =>
  knobs.flatMap((knob) => knob.v2.map(([file, value]) => parent("cgroup_set", { dir, file, value }, knob.pointer)));

const controllersOf = (knobs: readonly Knob[], offered: readonly string[]): readonly string[] =>
  [...new Set([...knobs.map((knob) => knob.controller), "memory", "pids", "cpu"])].filter((controller) => offered.includes(controller));

const planV2 = (input: CgroupInput, knobs: readonly Knob[], base: string): CgroupPlan => {
  const { v2 } = input.facts.cgroup;
  const offered = v2?.controllers ?? [];
  const holds = (knob: Knob): boolean => knob.v2.length > 0 && (offered.includes(knob.controller) || knob.controller === "cgroup");
  refuse(
    input,
    missing(knobs, holds),
    `the cgroup that is delegated to you offers ${offered.join(", ") || "no controllers"}`,
    delegateRemedy(input.facts),
  );
  const name = relativeName(input, base.slice((v2?.mount ?? "").length));
  const dir = join(base, name);
  const controllers = controllersOf(knobs, offered);
  return {
    driver: "v2",
    before: [parent("cgroup_create", { base, name, controllers, fd: "cgroupFd" }, BY_CORACLE), ...v2Sets(dir, knobs.filter(holds))],
    scope: null,
    attach: [],
    remove: [parent("cgroup_remove", { dir, made: "cgroupFd" }, BY_CORACLE)],
    dir,
    freezer: { file: `${dir}/cgroup.freeze`, frozen: "1", thawed: "0", state: `${dir}/cgroup.freeze` },
  };
};

const planV1 = (input: CgroupInput, knobs: readonly Knob[]): CgroupPlan => {
  const usable = input.facts.cgroup.v1.flatMap((row) =>
    row.delegated === null ? [] : [{ controllers: row.controllers, base: row.delegated }],
  );
  const rowOf = (controller: string) => usable.find((row) => row.controllers.includes(v1Controller(controller)));
  const holds = (knob: Knob): boolean => knob.v1.length > 0 && rowOf(knob.controller) !== undefined;
  refuse(
    input,
    missing(knobs, holds),
    usable.length === 0
      ? "no cgroup (version 1) is delegated to you"
      : `only these are delegated to you: ${usable.flatMap((row) => row.controllers).join(", ")}`,
    cgroupRemedy(input.facts),
  );
  if (usable.length === 0) return none;
  const dirOf = (row: (typeof usable)[number]): string => join(row.base, relativeName(input, row.base));
  const sets = knobs.filter(holds).flatMap((knob) => {
    const row = rowOf(knob.controller);
    return row === undefined ? [] : knob.v1.map(([file, value]) => parent("cgroup_set", { dir: dirOf(row), file, value }, knob.pointer));
  });
  const freezer = rowOf("freezer");
  return {
    driver: "v1",
    before: [
      ...usable.map((row) =>
        parent("cgroup_create", { base: row.base, name: relativeName(input, row.base), controllers: [], fd: "cgroupFd" }, BY_CORACLE),
      ),
      ...sets,
    ],
    scope: null,
    attach: [parent("cgroup_attach", { dirs: usable.map(dirOf), pid: "pid" }, BY_CORACLE)],
    remove: usable.map((row) => parent("cgroup_remove", { dir: dirOf(row), made: "cgroupFd" }, BY_CORACLE)),
    dir: null,
    freezer:
      freezer === undefined
        ? null
        : { file: `${dirOf(freezer)}/freezer.state`, frozen: "FROZEN", thawed: "THAWED", state: `${dirOf(freezer)}/freezer.state` },
  };
};

/** The user manager's own cgroup, whose delegated children scopes are: user@UID.service, wherever this process is. */
const managerCgroup = (facts: Facts, uid: number): string => {
  const own = facts.cgroup.v2?.path ?? "";
  const service = `/user@${uid}.service`;
  const at = own.indexOf(`${service}/`);
  return at >= 0 ? own.slice(0, at + service.length) : `/user.slice/user-${uid}.slice${service}`;
};

const planSystemd = (input: CgroupInput, knobs: readonly Knob[], socket: string): CgroupPlan => {
  const { facts } = input;
  const uid = outerUid(facts);
  const unit = `${defaultName(input).replaceAll(/[^a-zA-Z0-9:_.-]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`)}.scope`;
  const [slice = "", ...named] = (input.cgroupsPath ?? "").includes(":") ? (input.cgroupsPath ?? "").split(":") : [];
  const parentSlice = slice === "" ? "app.slice" : slice;
  const name = named.length === 2 ? `${named[0] === "" ? "" : `${named[0]}-`}${named[1]}.scope` : unit;
  // A slice a-b.slice lies in a.slice: its path spells out every prefix.
  const slicePath =
    parentSlice === "-.slice"
      ? ""
      : parentSlice
          .replace(/\.slice$/, "")
          .split("-")
          .map((_, i, parts) => `/${parts.slice(0, i + 1).join("-")}.slice`)
          .join("");
  const cgroup = `${managerCgroup(facts, uid)}${slicePath}/${name}`;
  const scopeDir = `${facts.cgroup.v2?.mount ?? "/sys/fs/cgroup"}${cgroup}`;
  const dir = `${scopeDir}/container`;
  // A scope gets what the manager's own service was given (Debian 12: pids, memory, cpu), and no more.
  const offered = facts.cgroup.systemdUser?.controllers ?? [];
  const holds = (knob: Knob): boolean => knob.v2.length > 0 && (offered.includes(knob.controller) || knob.controller === "cgroup");
  refuse(input, missing(knobs, holds), `systemd's user manager was given ${offered.join(", ") || "no controllers"}`, delegateRemedy(facts));
  const controllers = controllersOf(knobs, offered);
  const request: Template = scopeRequest({
    unit: name,
    slice: parentSlice,
    description: `coracle container ${input.id}`,
    hello: !socket.endsWith("/systemd/private"),
  });
  return {
    driver: "systemd",
    before: [],
    scope: {
      request: parent("systemd_scope", { socket, uid, request, cgroup, pid: "pid" }, BY_CORACLE),
      create: [parent("cgroup_create", { base: scopeDir, name: "container", controllers: [], fd: "cgroupFd" }, BY_CORACLE)],
      set: [
        parent("cgroup_create", { base: scopeDir, name: "container", controllers, fd: "cgroupFd" }, BY_CORACLE),
        ...v2Sets(dir, knobs.filter(holds)),
      ],
      cgroup: dir,
    },
    attach: [],
    remove: [parent("cgroup_remove", { dir: scopeDir, made: "cgroupFd" }, BY_CORACLE)],
    dir,
    freezer: { file: `${dir}/cgroup.freeze`, frozen: "1", thawed: "0", state: `${dir}/cgroup.freeze` },
  };
};

/** This user's id in the initial namespace, as far as the maps tell: what D-Bus and user@UID.service know. */
export const outerUid = (facts: Facts): number => {
  const { uid, uidMap } = facts.self;
  const row = uidMap.find(({ inside, count }) => uid >= inside && uid < inside + count);
  return row === undefined ? uid : row.outside + (uid - row.inside);
};

/**
 * Chooses the driver, and plans the cgroup.
 * @throws Fault E_LIMITS where limits are asked for that nothing here can hold, unless `limits` is best-effort.
 */
export const planCgroup = (input: CgroupInput): CgroupPlan => {
  const { facts, resources, manager } = input;
  const knobs = resources === undefined ? [] : knobsOf(resources, facts.cgroup.swap, input.report);
  const { cgroup } = facts;
  if (manager === "disabled") {
    refuse(input, knobs, "the cgroup manager is disabled", "run without --cgroup-manager disabled");
    return none;
  }
  const delegated = cgroup.v2?.delegated ?? null;
  const fits = delegated !== null && cgroup.mode === "v2" && cgroup.v2?.occupied === false;
  const socket = cgroup.systemdUser?.socket ?? null;
  const asked = manager === "systemd" || (input.cgroupsPath ?? "").includes(":");
  if (asked) {
    if (cgroup.mode !== "v2" || socket === null)
      throw new Fault("E_UNSUPPORTED", {
        message: "the systemd cgroup manager is not available",
        issues: [{ pointer: "/linux/cgroupsPath", message: "asks for a systemd scope" }],
        why: cgroup.mode === "v2" ? "no systemd user manager answers on this user's bus" : "this host's cgroups are version 1",
        hint: "use --cgroup-manager cgroupfs, or log in through a session with a user manager (loginctl enable-linger)",
      });
    return planSystemd(input, knobs, socket);
  }
  if (cgroup.mode === "v2") {
    if (fits) return planV2(input, knobs, delegated);
    // No scope for its own sake: it costs a round trip over the bus, and a container without limits needs none.
    if (socket !== null && manager === "auto" && knobs.length > 0) return planSystemd(input, knobs, socket);
    refuse(
      input,
      knobs,
      delegated === null
        ? "no cgroup is delegated to this session"
        : "the delegated cgroup has processes in it, so its controllers cannot be enabled",
      cgroupRemedy(facts),
    );
    return none;
  }
  if (cgroup.mode === "none") {
    refuse(input, knobs, "this host has no cgroups", "mount them, as root: mount -t cgroup2 cgroup2 /sys/fs/cgroup");
    return none;
  }
  return planV1(input, knobs);
};
