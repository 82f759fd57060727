/**
 * config.json + facts + inputs → the plan of a container's start.
 *
 * The order of steps is the design, and was paid for; the reasons stand beside them. A function from data to data.
 */

import type { Facts } from "#core/facts";
import { Fault, type Issue } from "#core/fault";
import { splitPointer, stringifyJson } from "#core/json";
import { sysctlParts } from "#core/spec/check";
import type { Config, Hook, HookName, NamespaceType } from "#core/spec/config";
import { type CgroupManager, type CgroupPlan, planCgroup } from "./cgroups.ts";
import { EXEC_FILE, execContext } from "./exec.ts";
import { checkUserns, hasCapability, type PinnedUserns, planIdMaps } from "./ids.ts";
import { CLONE, MS } from "./linux.ts";
import { type MountContext, planDevices, planMounts } from "./mounts.ts";
import { type Plan, type PointName, points, type Step, type Template, type TemplatePart } from "./ops.ts";
import { type Filter, planConsole, planPayload } from "./payload.ts";
import { BY_CORACLE, child, parent } from "./step.ts";
import { afterExit, buildUndo, buildVerbs, type VerbContext } from "./verbs.ts";

/** openat2, mount_setattr, overlay with userxattr, Landlock: what the executor is built on came together in Linux 5.13. */
const checkKernel = ({ kernel }: Facts): void => {
  if (kernel.major > 5 || (kernel.major === 5 && kernel.minor >= 13)) return;
  throw new Fault("E_UNSUPPORTED", {
    message: `Linux ${kernel.release} is too old`,
    why: "mount_setattr(2), openat2(2) and an overlay with userxattr are there from Linux 5.13 on",
    hint: "run a kernel of 5.13 or newer",
  });
};

/** Where the root comes from: a directory, or layers (paths in `data`, `options` and `target` are relative to `dir`). */
export type RootSource =
  | { readonly kind: "fuse"; readonly program: string; readonly dir: string; readonly options: string; readonly target: string }
  | { readonly kind: "bind"; readonly path: string }
  | { readonly kind: "overlay"; readonly dir: string; readonly data: string; readonly target: string };

export type StartInput = {
  /** `create` leaves init waiting for `start`; `run` starts it, waits for its end, and deletes it. */
  readonly verb: "create" | "run";
  readonly id: string;
  readonly config: Config;
  readonly facts: Facts;
  /** Absolute paths. */
  readonly stateDir: string;
  readonly bundle: string;
  readonly root: RootSource;
  /** `coracle` nests its containers in one user namespace; `coracle-oci` makes one for each. */
  readonly pinned: PinnedUserns | null;
  /** What the container owns beside its cgroup and state, for undo and delete: idempotent parent steps. */
  readonly release: readonly Step[];
  readonly pidFile: string | null;
  readonly consoleSocket: string | null;
  readonly preserveFds: number;
  readonly cgroupManager: CgroupManager;
  readonly limits: "enforce" | "best-effort";
  readonly newKeyring: boolean;
  /** What `run` does after init's end: leave the container as stopped (--keep), or delete it. */
  readonly keep: boolean;
  /** False where nothing but this start will act on the container: then its later verbs are not stored. */
  readonly storeVerbs: boolean;
  readonly seccomp: Filter;
  /** RFC 3339, for `list`: the core has no clock. */
  readonly created: string;
};

export type Start = { readonly plan: Plan; readonly notes: readonly string[]; readonly cgroup: CgroupPlan["driver"] };

/** Valid members that nothing enforces yet. To drop one in silence would be a lie, so each is refused by name. */
const notYet: readonly (readonly [pointer: string, of: (config: Config) => unknown, hint?: string])[] = [
  ["/process/scheduler", (c) => c.process?.scheduler],
  ["/process/ioPriority", (c) => c.process?.ioPriority],
  ["/process/apparmorProfile", (c) => c.process?.apparmorProfile || undefined],
  ["/process/selinuxLabel", (c) => c.process?.selinuxLabel || undefined],
  ["/linux/mountLabel", (c) => c.linux?.mountLabel || undefined],
  ["/linux/netDevices", (c) => (Object.keys(c.linux?.netDevices ?? {}).length > 0 ? true : undefined)],
  ["/linux/personality", (c) => c.linux?.personality],
  ["/linux/memoryPolicy", (c) => c.linux?.memoryPolicy],
  ["/linux/intelRdt", (c) => c.linux?.intelRdt],
  ["/linux/seccomp/listenerPath", (c) => c.linux?.seccomp?.listenerPath],
];

const at = (side: typeof parent | typeof child, op: "notify" | "await", point: PointName): Step =>
  side(op, { point: points[point] }, BY_CORACLE);

const clones = (types: Iterable<NamespaceType>): number => [...types].reduce((flags, type) => flags | CLONE[type], 0);

/** With r: of all mounts below the root, too; the specification does not know those, and every engine writes them. */
const PROPAGATION = {
  private: MS.private,
  shared: MS.shared,
  slave: MS.slave,
  unbindable: MS.unbindable,
  rprivate: MS.private | MS.rec,
  rshared: MS.shared | MS.rec,
  rslave: MS.slave | MS.rec,
  runbindable: MS.unbindable | MS.rec,
} as const;

/** Joined in this order: the user namespace first, for it owns the others; mount last, for paths change with it. */
const joinOrder: readonly NamespaceType[] = ["user", "ipc", "uts", "network", "pid", "cgroup", "time", "mount"];

const hookSteps = (
  side: typeof parent | typeof child,
  config: Config,
  name: HookName,
  state: Template,
  bundle: string,
  soft: boolean,
): readonly Step[] =>
  (config.hooks?.[name] ?? []).map((hook: Hook, i) =>
    side(
      "hook",
      {
        path: hook.path,
        args: hook.args === undefined || hook.args.length === 0 ? [hook.path] : hook.args,
        env: hook.env ?? [],
        timeoutMs: (hook.timeout ?? 0) * 1000,
        state,
        // runc runs the runtime's hooks in the bundle; inside the container there is none.
        cwd: name === "startContainer" || name === "createContainer" ? "" : bundle,
        soft,
      },
      `/hooks/${name}/${i}`,
    ),
  );

/** The state that hooks read and `state` prints (runtime.md#state). `status` is a word where it is known, a hole where not. */
const stateTemplate = (input: StartInput, status: string | null): Template => {
  const { config } = input;
  const json = (value: unknown): string => stringifyJson(value);
  const annotations = Object.keys(config.annotations ?? {}).length > 0 ? `,"annotations":${json(config.annotations)}` : "";
  const word: readonly TemplatePart[] = status === null ? [{ slot: "status", as: "status" }] : [status];
  return [
    `{"ociVersion":${json(config.ociVersion)},"id":${json(input.id)},"status":"`,
    ...word,
    '","pid":',
    { slot: "pid", as: "decimal" },
    `,"bundle":${json(input.bundle)}${annotations}}`,
  ];
};

const rlimitOrder = (config: Config, facts: Facts, note: (text: string) => void): void => {
  for (const [i, { type, hard }] of (config.process?.rlimits ?? []).entries()) {
    const own = facts.self.rlimits[type];
    if (own !== undefined && BigInt(hard) > BigInt(own.hard))
      note(`/process/rlimits/${i}: raising the hard limit of ${type} above ${own.hard} needs CAP_SYS_RESOURCE on the host`);
  }
};

type Namespaces = {
  readonly own: ReadonlySet<NamespaceType>;
  readonly joined: readonly { readonly type: NamespaceType; readonly path: string; readonly pointer: string }[];
};

const readNamespaces = (config: Config): Namespaces => {
  const own = new Set<NamespaceType>();
  const joined = [];
  for (const [i, { type, path }] of (config.linux?.namespaces ?? []).entries())
    if (path === undefined || path === "") own.add(type);
    else joined.push({ type, path, pointer: `/linux/namespaces/${i}` });
  return { own, joined: joined.sort((a, b) => joinOrder.indexOf(a.type) - joinOrder.indexOf(b.type)) };
};

/**
 * Without privilege a container needs a user namespace; a config that names none gets one, with the caller as root in it,
 * as crun gives it. (podman and Docker name theirs, or run us inside one.)
 */
const withUserNamespace = (config: Config, facts: Facts, note: (text: string) => void): Config => {
  const has = (config.linux?.namespaces ?? []).some(({ type }) => type === "user");
  if (has || hasCapability(facts, "sysAdmin")) return config;
  note("config.json asks for no user namespace, which a start without privilege needs: one is made, with your id as its root");
  const one = (id: number) => [{ containerID: 0, hostID: id, size: 1 }];
  const { uid, gid } = facts.self;
  return {
    ...config,
    linux: {
      ...config.linux,
      namespaces: [...(config.linux?.namespaces ?? []), { type: "user" }],
      uidMappings: one(uid),
      gidMappings: one(gid),
    },
  };
};

const memberAt = (document: unknown, pointer: string): unknown =>
  (splitPointer(pointer) ?? []).reduce<unknown>(
    (value, key) => (typeof value === "object" && value !== null && Object.hasOwn(value, key) ? Reflect.get(value, key) : undefined),
    document,
  );

/** Steps that no member asked for (the specification's defaults, and ours) do not point to one that is not there. */
const settleOrigins = (steps: readonly Step[], config: Config): readonly Step[] =>
  steps.map((step) =>
    !step.origin.startsWith("/") || memberAt(config, step.origin) !== undefined ? step : { ...step, origin: "(default)" },
  );

const planRoot = (root: RootSource): { readonly outside: readonly Step[]; readonly inside: readonly Step[] } => {
  const origin = "(image)";
  switch (root.kind) {
    case "bind":
      return { outside: [], inside: [child("root_bind", { source: root.path, propagation: MS.private }, "/root/path")] };
    case "overlay":
      return { outside: [], inside: [child("root_overlay", { dir: root.dir, data: root.data, target: root.target }, origin)] };
    case "fuse": {
      const { program, dir, options, target } = root;
      return {
        outside: [
          at(parent, "await", "unrooted"),
          parent("fuse_root", { program, dir, options, target, pid: "fusePid", startTime: "fuseStartTime" }, origin),
          at(parent, "notify", "rooted"),
        ],
        inside: [
          at(child, "notify", "unrooted"),
          at(child, "await", "rooted"),
          // The server stays behind: pivot_root moves whoever shares the mount namespace, and served by itself it would
          // wait for itself. Nor can the container take its mounts away.
          child("unshare", { flags: CLONE.mount }, origin),
          child("root_open", { path: `${dir}/${target}` }, origin),
        ],
      };
    }
  }
};

/**
 * Compiles a start.
 * @throws Fault E_UNSUPPORTED with every member that cannot be enforced; E_CONFIG, E_SUBID, E_LIMITS, E_USERNS.
 */
export const buildStart = (input: StartInput): Start => {
  const { facts, id, bundle } = input;
  checkKernel(facts);
  const issues: Issue[] = [];
  const notes: string[] = [];
  const issue = (pointer: string, message: string, hint?: string): void => {
    // Several steps may come upon the same member: it is one issue.
    if (!issues.some((known) => known.pointer === pointer && known.message === message))
      issues.push(hint === undefined ? { pointer, message } : { pointer, message, hint });
  };
  const note = (text: string): void => {
    if (!notes.includes(text)) notes.push(text);
  };
  const config = withUserNamespace(input.config, facts, note);
  const { linux, process } = config;
  for (const [pointer, of] of notYet) if (of(config) !== undefined) issue(pointer, "is not supported yet");
  if (process === undefined) issue("/process", "a container needs a process to start", "add process with cwd and args");

  // ---- namespaces and ids
  const { own, joined } = readNamespaces(config);
  const joinsUser = joined.some(({ type }) => type === "user");
  const userns = own.has("user") || joinsUser;
  if (own.has("user")) checkUserns(facts);
  if (!own.has("mount"))
    issue("/linux/namespaces", "a container without a mount namespace of its own would change the host's mounts", 'add {"type": "mount"}');
  const maps = own.has("user") ? planIdMaps(config, facts, input.pinned) : null;
  const setgroups = maps?.setgroups ?? (joinsUser || facts.self.setgroups === "allow");
  const mapsGid = (gid: number): boolean =>
    own.has("user")
      ? (linux?.gidMappings ?? []).some(({ containerID, size }) => gid >= containerID && gid < containerID + size)
      : facts.self.gidMap.some(({ inside, count }) => gid >= inside && gid < inside + count);
  const rootMapped = !own.has("user") || (linux?.uidMappings ?? []).some(({ containerID }) => containerID === 0);

  const become = rootMapped ? { uid: 0, gid: 0 } : { uid: process?.user?.uid ?? 0, gid: process?.user?.gid ?? 0 };

  const cgroup = planCgroup({
    id,
    stateDir: input.stateDir,
    facts,
    resources: linux?.resources,
    cgroupsPath: linux?.cgroupsPath,
    manager: input.cgroupManager,
    limits: input.limits,
    report: { issue, note },
  });
  const rules = linux?.resources?.devices ?? [];
  if (!userns && rules.some(({ allow }) => !allow) && !facts.insideContainer && facts.self.initialUserns && cgroup.driver !== "v1")
    issue(
      "/linux/resources/devices",
      "device rules need an eBPF program, which is not supported yet",
      "run in a user namespace, where no device can be made",
    );
  rlimitOrder(config, facts, note);

  // ---- what later verbs need
  const state = stateTemplate(input, null);
  const verbContext: VerbContext = {
    stateDir: input.stateDir,
    cgroup,
    state: [...state, "\n"],
    poststart: hookSteps(parent, config, "poststart", stateTemplate(input, "running"), bundle, false),
    poststop: hookSteps(parent, config, "poststop", stateTemplate(input, "stopped"), bundle, true),
    release: [
      ...(input.root.kind === "fuse" ? [parent("fuse_end", { pid: "fusePid", startTime: "fuseStartTime" }, BY_CORACLE)] : []),
      ...input.release,
    ],
  };
  const creating = stateTemplate(input, "creating");
  const created = stateTemplate(input, "created");

  // ---- the parent's way to a child in its namespaces
  // Joined namespaces and a scope's cgroup need a process that is there before init: it forks again, in its own place.
  const refork = joined.length > 0 || cgroup.scope !== null;
  // The rest is unshared by the child while the parent maps ids; without ids to map, everything is cloned at once.
  const early = new Set<NamespaceType>(
    own.has("user")
      ? (["user", "pid"] as const).filter((type) => own.has(type))
      : [...own].filter((type) => type !== "cgroup" && type !== "time"),
  );
  const late = new Set([...own].filter((type) => !early.has(type)));
  // The cgroup namespace's root is the cgroup of who unshares it: only after the move. The time namespace has its own dance.
  const beforeMaps = new Set([...late].filter((type) => type !== "cgroup" && type !== "time"));
  const spawn = (flags: number): Step =>
    parent("spawn", { flags, cgroup: cgroup.driver === "v2" ? "cgroupFd" : null, pid: "pid", startTime: "startTime" }, "/linux/namespaces");
  const birth: readonly Step[] = refork
    ? [
        spawn(0),
        ...(cgroup.scope === null ? [] : [cgroup.scope.request, ...cgroup.scope.create, at(parent, "notify", "scoped")]),
        parent("adopt", { pid: "pid", startTime: "startTime" }, "/linux/namespaces"),
        ...(cgroup.scope?.set ?? []),
      ]
    : [spawn(clones(early))];
  const runtimeHooks = [
    ...hookSteps(parent, config, "prestart", created, bundle, false),
    ...hookSteps(parent, config, "createRuntime", creating, bundle, false),
  ];
  const containerHooks = hookSteps(child, config, "createContainer", creating, bundle, false);

  // ---- the child's way to a root
  // Root of an outer container is not root: it makes no device nodes either (podman starts us in a namespace of its own).
  const confined = userns || !facts.self.initialUserns;
  // A joined namespace's instance is mounted by the right that joining took, which is lost only in a new user namespace.
  const shown = own.has("user") ? own : new Set([...own, ...joined.map(({ type }) => type)]);
  const mountContext: MountContext = { facts, bundle, own: shown, userns: confined, cgroupDir: cgroup.dir, mapsGid, issue, note };
  const mounts = planMounts(config, mountContext);
  const context = {
    facts,
    userns,
    setgroups,
    consoleSocket: input.consoleSocket,
    preserveFds: input.preserveFds,
    seccomp: input.seccomp,
    newKeyring: input.newKeyring,
    id,
    issue,
    note,
    handshake: [
      at(child, "notify", "ready"),
      at(child, "await", "recorded"),
      ...(input.verb === "create" ? [child("await_start", {}, BY_CORACLE)] : []),
      ...hookSteps(child, config, "startContainer", created, bundle, false),
    ],
  };
  const propagation = PROPAGATION[linux?.rootfsPropagation ?? "private"];
  const root = planRoot(input.root);

  const inside: readonly Step[] = [
    ...(cgroup.scope === null ? [] : [at(child, "await", "scoped")]),
    ...joined.map(({ type, path, pointer }) =>
      type === "user" ? child("join_user", { path, inode: 0 }, pointer) : child("setns", { path, type: CLONE[type] }, pointer),
    ),
    ...(refork ? [child("refork", { flags: clones(early), cgroup: cgroup.scope?.cgroup ?? "" }, "/linux/namespaces")] : []),
    ...(beforeMaps.size > 0 ? [child("unshare", { flags: clones(beforeMaps) }, "/linux/namespaces")] : []),
    at(child, "await", "mapped"),
    // oom_score_adj may be lowered only by the ids of outside, so it comes before they change.
    ...(process?.oomScoreAdj === undefined ? [] : [child("oom_score", { value: process.oomScoreAdj }, "/process/oomScoreAdj")]),
    ...(userns ? [child("become", { ...become, setgroups }, "/linux/uidMappings")] : []),
    ...(late.has("cgroup") ? [child("unshare", { flags: CLONE.cgroup }, "/linux/namespaces")] : []),
    ...(late.has("time") ? [child("unshare", { flags: CLONE.time }, "/linux/namespaces"), ...timeOffsets(config)] : []),
    child("setsid", {}, BY_CORACLE),
    ...(config.hostname === undefined || config.hostname === "" ? [] : [child("hostname", { name: config.hostname }, "/hostname")]),
    ...(config.domainname === undefined || config.domainname === ""
      ? []
      : [child("domainname", { name: config.domainname }, "/domainname")]),
    ...(own.has("network") ? [child("loopback", {}, "/linux/namespaces")] : []),
    // Nothing that is mounted from here on reaches the host; what the host mounts may still arrive, until the pivot.
    child("propagation", { flags: MS.slave | MS.rec }, BY_CORACLE),
    ...root.inside,
    ...(runtimeHooks.length > 0 ? [at(child, "notify", "namespaces"), at(child, "await", "hooked")] : []),
    ...mounts.mounts,
    ...planDevices(config, mountContext),
    ...planConsole(config, context),
    ...(linux?.sysctl === undefined ? [] : sysctls(linux.sysctl, issue)),
    ...(linux?.readonlyPaths ?? []).map((path, i) => child("readonly", { path }, `/linux/readonlyPaths/${i}`)),
    ...(linux?.maskedPaths ?? []).map((path, i) => child("mask", { path }, `/linux/maskedPaths/${i}`)),
    ...mounts.late,
    ...containerHooks,
    ...(config.root?.readonly === true ? [child("root_readonly", {}, "/root/readonly")] : []),
    child("pivot", { propagation: linux?.rootfsPropagation === undefined ? 0 : propagation }, "/root"),
    ...planPayload(config, context),
  ];

  const verbs = buildVerbs(verbContext);
  const record: Template = [
    `{"version":1,"id":${stringifyJson(id)},"pid":`,
    { slot: "pid", as: "decimal" },
    ',"startTime":',
    { slot: "startTime", as: "decimal" },
    `,"bundle":${stringifyJson(bundle)},"rootfs":${stringifyJson(input.root.kind === "bind" ? input.root.path : `${input.root.dir}/${input.root.target}`)},"created":${stringifyJson(input.created)},"bootId":${stringifyJson(facts.bootId)},"owner":${facts.self.uid},"cgroup":${stringifyJson(cgroup.driver)},"cgroupDir":${stringifyJson(cgroup.dir)}}`,
  ];
  const outside: readonly Step[] = [
    parent("lock_state", { dir: input.stateDir, create: true }, BY_CORACLE),
    parent("undo_log", { undo: buildUndo(verbContext) }, BY_CORACLE),
    ...(input.verb === "create" ? [parent("start_listen", {}, BY_CORACLE)] : []),
    ...(input.pinned === null ? [] : [parent("join_user", { path: input.pinned.path, inode: input.pinned.inode }, BY_CORACLE)]),
    ...cgroup.before,
    ...birth,
    ...(maps === null ? [] : [maps.step]),
    ...cgroup.attach,
    at(parent, "notify", "mapped"),
    // Written while the child is busy with its mounts. Whoever finds the record waits for our lock, and so for the end of
    // the start; and a child that is told already that it is on record still notices our death when it says "ready".
    ...(input.storeVerbs
      ? Object.entries(verbs).map(([name, plan]) => parent("store_plan", { name: `${name}.plan`, plan }, BY_CORACLE))
      : []),
    ...(input.storeVerbs && process !== undefined
      ? [
          parent(
            "store_file",
            { name: EXEC_FILE, content: [execContext({ id, process, seccomp: input.seccomp, userns, become, setgroups, facts, cgroup })] },
            BY_CORACLE,
          ),
        ]
      : []),
    parent("store_file", { name: "record.json", content: record }, BY_CORACLE),
    ...root.outside,
    ...(runtimeHooks.length > 0 ? [at(parent, "await", "namespaces"), ...runtimeHooks, at(parent, "notify", "hooked")] : []),
    ...(input.pidFile === null
      ? [at(parent, "notify", "recorded"), at(parent, "await", "ready")]
      : [
          at(parent, "await", "ready"),
          parent("pid_file", { path: input.pidFile, content: [{ slot: "pid", as: "decimal" }] }, "(--pid-file)"),
          at(parent, "notify", "recorded"),
        ]),
    ...(input.verb === "run"
      ? [...verbContext.poststart, parent("wait_exit", { exit: "exit" }, "/process/args"), ...(input.keep ? [] : afterExit(verbContext))]
      : []),
  ];
  if (issues.length > 0)
    throw new Fault("E_UNSUPPORTED", {
      message: `config.json asks for what cannot be enforced here: ${issues.map(({ pointer }) => pointer).join(", ")}`,
      issues,
    });
  return { plan: { version: 1, steps: settleOrigins([...outside, ...inside], input.config) }, notes, cgroup: cgroup.driver };
};

const timeOffsets = (config: Config): readonly Step[] => {
  const offsets = Object.entries(config.linux?.timeOffsets ?? {}).flatMap(([clock, value]) =>
    value === undefined ? [] : [`${clock} ${value.secs ?? 0} ${value.nanosecs ?? 0}\n`],
  );
  return offsets.length === 0 ? [] : [child("time_offsets", { offsets: offsets.join("") }, "/linux/timeOffsets")];
};

const sysctls = (values: Readonly<Record<string, string>>, issue: (pointer: string, message: string) => void): readonly Step[] =>
  Object.entries(values).flatMap(([name, value]) => {
    const pointer = `/linux/sysctl/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`;
    const parts = sysctlParts(name);
    if (parts === null) {
      issue(pointer, "is no name of a kernel parameter");
      return [];
    }
    return [child("sysctl", { path: parts.join("/"), value }, pointer)];
  });
