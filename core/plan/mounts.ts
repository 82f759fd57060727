/**
 * Mounts of config.json → steps of the child side (runtime-spec, config.md#mounts; mount(8) for the options).
 *
 * A file system of the kernel mounts only where the namespace that it shows is the container's own; else it becomes a
 * recursive bind of the host's, as runc and crun do.
 */
import type { Facts, Tried } from "#core/facts";
import { wasTried } from "#core/facts";
import type { Config, Device, Mount, NamespaceType } from "#core/spec/config";
import { ATTR, MS } from "./linux.ts";
import type { Step } from "./ops.ts";
import { child } from "./step.ts";

/** What the mount planner needs to know of the rest of the start. */
export type MountContext = {
  readonly facts: Facts;
  readonly bundle: string;
  /** Namespaces that the container's user namespace owns: made for it, or joined with it (not the host's). */
  readonly own: ReadonlySet<NamespaceType>;
  /** A user namespace is the container's: device nodes cannot be made, only bound. */
  readonly userns: boolean;
  /** Where the container's cgroup is on version 2 (absolute), for a bind of it. */
  readonly cgroupDir: string | null;
  /** Does the container's map have this group id? devpts takes `gid=5` only if it does. */
  readonly mapsGid: (gid: number) => boolean;
  readonly issue: (pointer: string, message: string, hint?: string) => void;
  readonly note: (text: string) => void;
};

type Parsed = {
  bind: boolean;
  recursive: boolean;
  set: number;
  clear: number;
  setRecursive: number;
  clearRecursive: number;
  propagation: number;
  data: string[];
};

const A = ATTR;
/** option → [attributes set, attributes cleared]. With an `r` before it: the same for the whole tree (Linux 5.12). */
const attributes: Readonly<Record<string, readonly [set: number, clear: number]>> = {
  ro: [A.ro, 0],
  rw: [0, A.ro],
  nosuid: [A.nosuid, 0],
  suid: [0, A.nosuid],
  nodev: [A.nodev, 0],
  dev: [0, A.nodev],
  noexec: [A.noexec, 0],
  exec: [0, A.noexec],
  nosymfollow: [A.nosymfollow, 0],
  symfollow: [0, A.nosymfollow],
  nodiratime: [A.nodiratime, 0],
  diratime: [0, A.nodiratime],
  noatime: [A.noatime, A.atimeMask],
  strictatime: [A.strictatime, A.atimeMask],
  relatime: [A.relatime, A.atimeMask],
  atime: [A.relatime, A.atimeMask],
  norelatime: [A.strictatime, A.atimeMask],
  nostrictatime: [A.relatime, A.atimeMask],
};

const propagations: Readonly<Record<string, number>> = {
  private: MS.private,
  shared: MS.shared,
  slave: MS.slave,
  unbindable: MS.unbindable,
};

/** Options that mean what the default is, or that userspace alone reads. */
const ignored = new Set([
  "defaults",
  "async",
  "nomand",
  "nolazytime",
  "auto",
  "noauto",
  "user",
  "nouser",
  "owner",
  "group",
  "_netdev",
  "nofail",
]);
/** Options of the superblock, which the kernel takes as flags of the file system; a bind has no superblock of its own. */
const superblock = new Set(["sync", "dirsync", "mand", "lazytime", "silent", "loud"]);
/** Valid, and not enforced here yet: to drop them would be a lie. */
const refused: Readonly<Record<string, string>> = {
  idmap: "mounts with id maps of their own are not supported yet",
  ridmap: "mounts with id maps of their own are not supported yet",
  remount: "a remount of the host's mounts is not supported",
};

const parseOptions = (mount: Mount, pointer: string, context: MountContext): Parsed => {
  const out: Parsed = {
    bind: mount.type === "bind" || mount.type === "rbind",
    recursive: mount.type === "rbind",
    set: 0,
    clear: 0,
    setRecursive: 0,
    clearRecursive: 0,
    propagation: 0,
    data: [],
  };
  for (const [i, option] of (mount.options ?? []).entries()) {
    const at = `${pointer}/options/${i}`;
    const plain = attributes[option];
    const recursive = option.startsWith("r") ? attributes[option.slice(1)] : undefined;
    const propagation = propagations[option] ?? propagations[option.replace(/^r/, "")];
    if (option === "bind" || option === "rbind") {
      out.bind = true;
      out.recursive ||= option === "rbind";
    } else if (plain !== undefined) {
      out.set = (out.set & ~plain[1]) | plain[0];
      out.clear = (out.clear & ~plain[0]) | plain[1];
    } else if (recursive !== undefined) {
      out.setRecursive = (out.setRecursive & ~recursive[1]) | recursive[0];
      out.clearRecursive = (out.clearRecursive & ~recursive[0]) | recursive[1];
    } else if (propagation !== undefined) out.propagation = propagation;
    else if (option === "tmpcopyup") {
      if (mount.type !== "tmpfs") context.issue(at, "copies what a mount hides into a tmpfs, and this is none");
    } else if (option === "notmpcopyup") continue;
    else if (refused[option] !== undefined) context.issue(at, refused[option]);
    else if (!ignored.has(option)) out.data.push(option);
  }
  return out;
};

/** Cleared bits matter only of what is inherited: on a new file system, attributes start out empty. */
const bindStep = (source: string, target: string, parsed: Parsed, pointer: string): Step =>
  child(
    "mount_bind",
    {
      source,
      target,
      recursive: parsed.recursive,
      set: parsed.set,
      clear: parsed.clear,
      setRecursive: parsed.setRecursive,
      clearRecursive: parsed.clearRecursive,
      propagation: parsed.propagation,
    },
    pointer,
  );

/** Lexical clean-up only: links are for the kernel to resolve, below the root. */
const clean = (path: string): string =>
  `/${path
    .split("/")
    .filter((part) => part !== "" && part !== ".")
    .join("/")}`;

const failedHere = (tried: Tried): boolean => wasTried(tried) && !tried.works;

/**
 * The host's instance, where the container's own cannot be had. What is mounted below it comes along, and must not be
 * freer than what was asked for: the attributes are the whole tree's.
 */
const hostBind = (type: string, target: string, parsed: Parsed, pointer: string): Step | null => {
  const source = { proc: "/proc", sysfs: "/sys", mqueue: "/dev/mqueue" }[type];
  return source === undefined
    ? null
    : bindStep(
        source,
        target,
        { ...parsed, bind: true, recursive: true, set: 0, clear: 0, setRecursive: parsed.set | parsed.setRecursive, data: [] },
        pointer,
      );
};

const kernelFs: Readonly<Record<string, { readonly namespace: NamespaceType; readonly fact: "proc" | "sysfs" | "mqueue" }>> = {
  proc: { namespace: "pid", fact: "proc" },
  sysfs: { namespace: "network", fact: "sysfs" },
  mqueue: { namespace: "ipc", fact: "mqueue" },
};

const cgroupSteps = (target: string, parsed: Parsed, pointer: string, context: MountContext): readonly Step[] => {
  const { cgroup } = context.facts;
  const fs = (type: string, at: string, data: string): Step =>
    child("mount_fs", { type, source: "cgroup", target: at, data, attrs: parsed.set, superblock: 0, propagation: 0 }, pointer);
  const bind = (source: string, at: string): Step => bindStep(source, at, { ...parsed, recursive: true, data: [] }, pointer);
  const own = context.own.has("cgroup");
  if (cgroup.mode === "v2" && cgroup.v2 !== null)
    return [own ? fs("cgroup2", target, "") : bind(context.cgroupDir ?? cgroup.v2.mount, target)];
  const tmpfs = (attrs: number): Step =>
    child("mount_fs", { type: "tmpfs", source: "tmpfs", target, data: "mode=755,size=1m", attrs, superblock: 0, propagation: 0 }, pointer);
  if (cgroup.mode === "none") {
    context.note(`${target}: this host has no cgroups; the mount is an empty directory`);
    return [tmpfs(parsed.set)];
  }
  const steps: Step[] = [tmpfs(parsed.set & ~A.ro)];
  for (const hierarchy of cgroup.v1) {
    const name = hierarchy.controllers.join(",");
    const at = `${target}/${name.replace(/^name=/, "")}`;
    // A hierarchy without controllers is mounted by its name, and says "none".
    steps.push(
      own
        ? fs("cgroup", at, name.startsWith("name=") ? `none,${name}` : name)
        : bind(`${hierarchy.mount}${hierarchy.path === "/" ? "" : hierarchy.path}`, at),
    );
    if (hierarchy.controllers.length > 1)
      for (const controller of hierarchy.controllers)
        steps.push(child("symlink", { path: `${target}/${controller}`, target: name }, pointer));
  }
  if ((parsed.set & A.ro) !== 0) steps.push(child("remount", { target, set: A.ro, clear: 0 }, pointer));
  return steps;
};

const mountSteps = (mount: Mount, pointer: string, context: MountContext): readonly Step[] => {
  const target = clean(mount.destination);
  const parsed = parseOptions(mount, pointer, context);
  if (target === "/") {
    context.issue(`${pointer}/destination`, "a mount over the root would hide it", "set root.path instead");
    return [];
  }
  if (target.split("/").includes("..")) {
    context.issue(`${pointer}/destination`, "the destination walks up", 'write it without ".."');
    return [];
  }
  if (mount.uidMappings !== undefined || mount.gidMappings !== undefined)
    context.issue(`${pointer}/uidMappings`, "mounts with id maps of their own are not supported yet");
  // CVE-2019-19921, CVE-2019-16884: what is mounted over /proc decides what labels and sysctls are really written.
  if (target.startsWith("/proc/") && !parsed.bind && mount.type !== "tmpfs")
    context.issue(`${pointer}/destination`, "only files and empty tmpfs may be mounted inside /proc");
  if (parsed.bind) {
    if (mount.source === undefined || mount.source === "") {
      context.issue(`${pointer}/source`, "a bind mount needs a source");
      return [];
    }
    for (const option of parsed.data)
      if (superblock.has(option)) context.note(`${pointer}: "${option}" belongs to the source's file system; a bind cannot change it`);
      else context.issue(`${pointer}/options`, `"${option}" is no option of a bind mount`);
    return [bindStep(mount.source.startsWith("/") ? mount.source : `${context.bundle}/${mount.source}`, target, parsed, pointer)];
  }
  const type = mount.type ?? "";
  if (type === "" || type === "none") {
    context.issue(`${pointer}/type`, "a mount needs a type", 'write "bind" with options ["rbind"], or the name of a file system');
    return [];
  }
  if (type === "cgroup" || type === "cgroup2") return cgroupSteps(target, parsed, pointer, context);
  const kernel = kernelFs[type];
  if (kernel !== undefined) {
    const owned = context.own.has(kernel.namespace);
    const unmountable = context.userns && failedHere(context.facts.mounts[kernel.fact]);
    if (!owned || unmountable) {
      const step = hostBind(type, target, parsed, pointer);
      if (unmountable && owned)
        context.note(
          `${target}: this host lets no new ${type} be mounted, so the host's is bound: the container sees what is outside of it there${type === "proc" ? ", and pids in it are those of outside" : ""}`,
        );
      if (step !== null) return [step];
    }
  }
  const copies = (mount.options ?? []).includes("tmpcopyup");
  // A tmpfs may get files and mount points after it, so its "ro" is put on last.
  const late = type === "tmpfs" ? parsed.set & A.ro : 0;
  const data = parsed.data.filter((option) => !(type === "devpts" && context.userns && option === "gid=5" && !context.mapsGid(5)));
  return [
    child(
      copies ? "mount_copy_up" : "mount_fs",
      {
        type,
        source: mount.source ?? type,
        target,
        data: data.join(","),
        attrs: parsed.set & ~late,
        superblock: 0,
        propagation: parsed.propagation,
      },
      pointer,
    ),
  ];
};

/** All of config.json's mounts, in order; then the tmpfs that are to be read-only, which by then have all in them that they get. */
export const planMounts = (config: Config, context: MountContext): { readonly mounts: readonly Step[]; readonly late: readonly Step[] } => {
  const mounts: Step[] = [];
  const late: Step[] = [];
  for (const [i, mount] of (config.mounts ?? []).entries()) {
    const pointer = `/mounts/${i}`;
    mounts.push(...mountSteps(mount, pointer, context));
    const readonly = (mount.options ?? []).lastIndexOf("ro") > (mount.options ?? []).lastIndexOf("rw");
    if (mount.type === "tmpfs" && readonly) late.push(child("remount", { target: clean(mount.destination), set: A.ro, clear: 0 }, pointer));
  }
  return { mounts, late };
};

const defaultDevices: readonly (readonly [path: string, major: number, minor: number])[] = [
  ["/dev/null", 1, 3],
  ["/dev/zero", 1, 5],
  ["/dev/full", 1, 7],
  ["/dev/random", 1, 8],
  ["/dev/urandom", 1, 9],
  ["/dev/tty", 5, 0],
];

const deviceLinks: readonly (readonly [path: string, target: string])[] = [
  ["/dev/fd", "/proc/self/fd"],
  ["/dev/stdin", "/proc/self/fd/0"],
  ["/dev/stdout", "/proc/self/fd/1"],
  ["/dev/stderr", "/proc/self/fd/2"],
  ["/dev/ptmx", "pts/ptmx"],
];

const deviceBits = { c: 0o020000, u: 0o020000, b: 0o060000, p: 0o010000 } as const;

const deviceStep = (device: Device, pointer: string, context: MountContext): Step | null => {
  const path = clean(device.path);
  if (context.userns) {
    if (device.type === "p") {
      context.issue(pointer, "a FIFO as a device cannot be made in a user namespace yet", "make it in the image");
      return null;
    }
    // mknod(2) is refused in a user namespace; the host's node, bound, is the same device with the host's mode and owner.
    return child(
      "mount_bind",
      { source: device.path, target: path, recursive: false, set: 0, clear: 0, setRecursive: 0, clearRecursive: 0, propagation: 0 },
      pointer,
    );
  }
  return child(
    "device",
    {
      path,
      mode: deviceBits[device.type] | (device.fileMode ?? 0o666),
      major: device.major ?? 0,
      minor: device.minor ?? 0,
      uid: device.uid ?? 0,
      gid: device.gid ?? 0,
    },
    pointer,
  );
};

/**
 * Devices (config-linux.md#default-devices). A /dev that is bound from outside is used as it is, for it already has them,
 * and anything made in it would be made outside.
 */
export const planDevices = (config: Config, context: MountContext): readonly Step[] => {
  const boundDev = (config.mounts ?? []).some(
    (m) => clean(m.destination) === "/dev" && (m.type === "bind" || (m.options ?? []).some((o) => o === "bind" || o === "rbind")),
  );
  if (boundDev) return [];
  const listed = (config.linux?.devices ?? []).map((device, i) => ({ device, pointer: `/linux/devices/${i}` }));
  const given = new Set(listed.map(({ device }) => clean(device.path)));
  const mounted = new Set((config.mounts ?? []).map((m) => clean(m.destination)));
  const defaults = defaultDevices
    .filter(([path]) => !given.has(path) && !mounted.has(path))
    .map(([path, major, minor]) => deviceStep({ type: "c", path, major, minor, fileMode: 0o666 }, "(default device)", context));
  return [
    ...listed.map(({ device, pointer }) => deviceStep(device, pointer, context)),
    ...defaults,
    ...deviceLinks.map(([path, target]) => child("symlink", { path, target }, "(default device)")),
  ].filter((step) => step !== null);
};

/** Every option that is read here, for `features`; others go to the file system as they are. */
export const MOUNT_OPTIONS: readonly string[] = [
  "bind",
  "rbind",
  ...Object.keys(attributes).flatMap((name) => [name, `r${name}`]),
  ...Object.keys(propagations).flatMap((name) => [name, `r${name}`]),
  ...superblock,
  "tmpcopyup",
].sort();
