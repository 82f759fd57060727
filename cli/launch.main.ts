/**
 * `coracle run` and `coracle explain`: an image and flags become config.json, that becomes a plan, and the plan is run or
 * shown. One path for both: what explain prints is what run executes.
 */
import { randomBytes } from "node:crypto";
import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import * as z from "zod/mini";
import { chooseSnapshotter, type Snapshotter } from "#core/doctor";
import { type Facts, type Tried, wasTried } from "#core/facts";
import { Fault } from "#core/fault";
import { hintForCause } from "#core/hints";
import { buildConfig } from "#core/image/build-config";
import { linuxPlatform, type Platform, parsePlatform } from "#core/image/platform";
import { parseImageSource } from "#core/image/reference";
import { buildStart, type RootSource, type Start } from "#core/plan/build";
import { encodePlan } from "#core/plan/encode";
import { buildFilter } from "#core/plan/filter";
import { checkUserns, type IdRow, type PinnedUserns } from "#core/plan/ids";
import { parent } from "#core/plan/step";
import { userMaps } from "#core/plan/userns";
import { buildSweep } from "#core/plan/verbs";
import { bindSources, limitedDevices, type RunOptions } from "#core/run-options";
import { buildDefaultSeccomp } from "#core/seccomp/default-policy";
import type { Config } from "#core/spec/config";
import { ensureRuntimeRoot, ensureStorage, storagePath } from "#linux/dirs";
import { readFacts, readStartFacts } from "#linux/facts";
import { nativePath } from "#linux/native";
import { runPlan } from "#linux/stage";
import { createRunInUserns, ensureUserns, startTimeOf } from "#linux/userns";
import { type ImageLayout, type LayoutImage, readImage, readLayout } from "#store/layout";
import { readImageFiles } from "#store/read-files";
import { copyImage, layerDirectories, prepareImage, removeCopy, type SnapshotHost } from "#store/snapshot";

// In a checkout the image lies in dist/; in the bundle, beside the bundled file.
const embeddedImages = ["./image", "../dist/image"].map((path) => fileURLToPath(new URL(path, import.meta.url)));

const embeddedImage = (): string => {
  const found = embeddedImages.find((path) => statSync(join(path, "index.json"), { throwIfNoEntry: false }) !== undefined);
  if (found === undefined) throw new Fault("E_NO_IMAGE", { message: "the embedded image is missing", hint: "npm run setup" });
  return found;
};

type Source = { readonly layout: ImageLayout; readonly image: LayoutImage };

const readSource = async (options: RunOptions, facts: Facts, cwd: string): Promise<Source> => {
  const host: Platform = linuxPlatform(facts.arch);
  const machine = options.platform === null ? host : parsePlatform(options.platform, host);
  if (options.image === "hello") {
    const layout = await readLayout(embeddedImage());
    return { layout, image: await readImage(layout, "hello", machine) };
  }
  const source = parseImageSource(options.image);
  if (source.kind !== "oci")
    throw new Fault("E_NO_IMAGE", {
      message: `${options.image} is not here`,
      why: "images from registries and archives are not supported yet",
      hint: "run hello, or an OCI layout: oci:DIR[:tag] (skopeo copy docker://… oci:DIR makes one)",
    });
  const layout = await readLayout(resolve(cwd, source.path));
  return { layout, image: await readImage(layout, source.name, machine) };
};

/** A file of the image, from the topmost layer that has it; links are not followed, for they would lead into the host. */
const readImageFile = (layers: readonly string[], directory: string, name: string): string | null => {
  for (const layer of layers.toReversed()) {
    try {
      if (!lstatSync(join(layer, directory)).isDirectory()) return null;
      const fd = openSync(join(layer, directory, name), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
      try {
        return fstatSync(fd).isFile() ? readFileSync(fd, "utf8") : null;
      } finally {
        closeSync(fd);
      }
    } catch (cause) {
      if (!(cause instanceof Error && "code" in cause && (cause.code === "ENOENT" || cause.code === "ENOTDIR"))) return null;
    }
  }
  return null;
};

/** The same before the image was unpacked, which only a start may do. */
const readUsersOfLayout = async (layout: ImageLayout, image: LayoutImage): Promise<UserFiles> => {
  const files = await readImageFiles(layout, image, ["etc/passwd", "etc/group"]);
  return { passwd: files["etc/passwd"] ?? null, group: files["etc/group"] ?? null };
};

/** docker's rule: `-v` makes a source that is missing, `--mount` wants it there. */
const checkBindSources = (options: RunOptions, make: boolean): void => {
  for (const { path, create } of bindSources(options)) {
    if (statSync(path, { throwIfNoEntry: false }) !== undefined) continue;
    if (!create)
      throw new Fault("E_USAGE", {
        message: `the bind source ${path} does not exist`,
        hint: "create it, or use -v, which makes a directory",
      });
    if (make) mkdirSync(path, { recursive: true });
  }
};

const deviceNumbers = (options: RunOptions): Record<string, { major: number; minor: number }> =>
  Object.fromEntries(
    limitedDevices(options).map((path) => {
      const stat = statSync(path, { throwIfNoEntry: false });
      if (stat === undefined)
        throw new Fault("E_USAGE", { message: `the device ${path} does not exist`, hint: "name a device that the host has" });
      const rdev = stat.isBlockDevice() || stat.isCharacterDevice() ? stat.rdev : stat.dev;
      // dev_t of Linux: 12 bits of major, 20 of minor, interleaved.
      return [path, { major: (rdev >> 8) & 0xfff, minor: (rdev & 0xff) | ((rdev >> 12) & 0xfff00) }];
    }),
  );

const newId = (): string => randomBytes(32).toString("hex");

/** Absolute paths, and the container's own directory: it holds what the snapshotter needs, and goes with the container. */
type Where = { readonly id: string; readonly root: string; readonly storage: string };
const nameOf = (id: string): string => id.slice(0, 12);
const containerOf = ({ id }: Where): string => `containers/${nameOf(id)}`;
const stateOf = ({ id, root }: Where): string => `${root}/${nameOf(id)}`;

/** Directories in which the image's own files are found, the base first: its layers, or the one copy of them all. */
type Layers = { readonly snapshotter: Snapshotter; readonly directories: readonly string[]; readonly users: UserFiles };
type UserFiles = { readonly passwd: string | null; readonly group: string | null };

const readUsers = (directories: readonly string[]): UserFiles => ({
  passwd: readImageFile(directories, "etc", "passwd"),
  group: readImageFile(directories, "etc", "group"),
});

/** What the two verbs share once the image and the namespace are known. */
const compile = (
  options: RunOptions,
  image: LayoutImage,
  layers: Layers,
  facts: Facts,
  pinned: PinnedUserns,
  where: Where,
): { readonly start: Start; readonly config: Config } => {
  const { id, storage } = where;
  const notes: string[] = [];
  const inside = (rows: readonly IdRow[]) => rows.map((row) => ({ containerID: row.inside, hostID: row.inside, size: row.count }));
  const container = containerOf(where);
  const root = rootOf(layers, where, facts);
  // The embedded image shows who it is on the host; from inside, the kernel tells only of the user-wide namespace.
  const outer =
    options.image === "hello" ? [`CORACLE_OUTER_UIDS=${rowsText(pinned.uidMap)}`, `CORACLE_OUTER_GIDS=${rowsText(pinned.gidMap)}`] : [];
  const built = buildConfig(
    image.config.config,
    { ...options, env: [...outer, ...options.env] },
    {
      facts,
      id,
      rootfs: root.kind === "bind" ? root.path : `${storage}/${root.target}`,
      users: layers.users,
      ids: { uid: inside(pinned.uidMap), gid: inside(pinned.gidMap), path: null },
      defaultSeccomp: buildDefaultSeccomp,
      cgroupsPath: null,
      initPath: null,
      devices: deviceNumbers(options),
      files: {},
      hostMqueue: statSync("/dev/mqueue", { throwIfNoEntry: false }) !== undefined,
      maskedPaths: [],
    },
  );
  const { config, notes: lost } = fitHost(built, options, facts, pinned);
  notes.push(...lost);
  const filter = buildFilter(config, facts, (text) => notes.push(text));
  const start = buildStart({
    verb: "run",
    id,
    config,
    facts,
    stateDir: stateOf(where),
    bundle: `${storage}/${container}`,
    root,
    pinned,
    release: [
      parent("join_user", { path: pinned.path, inode: pinned.inode }, "(coracle)"),
      parent("remove_tree", { dir: `${storage}/${container}` }, "(coracle)"),
    ],
    pidFile: null,
    consoleSocket: null,
    preserveFds: 0,
    // On version 1 a move into a cgroup waits for RCU, 4 to 12 ms: a container without limits, which nothing can pause yet, goes without.
    cgroupManager: config.linux?.resources === undefined && facts.cgroup.mode !== "v2" ? "disabled" : "auto",
    limits: options.limitsPolicy,
    newKeyring: true,
    keep: false,
    storeVerbs: false,
    seccomp: filter,
    created: new Date().toISOString(),
  });
  return { start: { ...start, notes: [...notes, ...start.notes] }, config };
};

const LOW_PORTS = "net.ipv4.ip_unprivileged_port_start";

/** What docker's defaults ask for and this host cannot give, where to go without it is safe; and what is lost by that. */
const fitHost = (
  config: Config,
  options: RunOptions,
  facts: Facts,
  pinned: PinnedUserns,
): { readonly config: Config; readonly notes: readonly string[] } => {
  const notes: string[] = [];
  if (idMapOf(pinned) === null) {
    const advice = hintForCause(facts.subids.cause, facts) ?? hintForCause(facts.subids.mapping.cause, facts);
    notes.push(
      `one id is mapped: root in the container is you, and there is nobody else; files keep no other owner, and no user can be switched to${advice === null ? "" : ` (${advice.why}; ${advice.try})`}`,
    );
  }
  // An outer container's read-only /proc/sys is the only way to the parameters: those of a new namespace, too.
  const locked = facts.procMasked.includes("/proc/sys") && LOW_PORTS in (config.linux?.sysctl ?? {}) && !(LOW_PORTS in options.sysctls);
  if (!locked) return { config, notes };
  const { [LOW_PORTS]: _, ...sysctl } = config.linux?.sysctl ?? {};
  notes.push("ports below 1024 are for root in the container alone: the outer container's /proc/sys is read-only");
  return { config: { ...config, linux: { ...config.linux, sysctl } }, notes };
};

/** Paths are relative to the storage directory: an overlay takes all the layers of an image in one page of options. */
const rootOf = ({ snapshotter, directories }: Layers, where: Where, facts: Facts): RootSource => {
  const { storage } = where;
  const container = containerOf(where);
  if (snapshotter === "copy") return { kind: "bind", path: `${storage}/${container}/rootfs` };
  const relative = directories.map((path) => (path.startsWith(`${storage}/`) ? path.slice(storage.length + 1) : path));
  const data = `lowerdir=${relative.toReversed().join(":")},upperdir=${container}/upper,workdir=${container}/work`;
  const common = { dir: storage, target: `${container}/merged` };
  if (snapshotter === "fuse-overlayfs")
    return { ...common, kind: "fuse", program: facts.tools.fuseOverlayfs ?? "fuse-overlayfs", options: data };
  if (data.length > 4080)
    throw new Fault("E_UNSUPPORTED", {
      message: `the image's ${directories.length} layers do not fit into one overlay mount`,
      why: "its options are longer than a page",
      hint: "--snapshotter copy",
    });
  return { ...common, kind: "overlay", data: `${data},userxattr` };
};

/**
 * The snapshotter that was asked for, or the first that works.
 * @throws Fault E_UNSUPPORTED where the one that was asked for was tried here, and does not.
 */
const settleSnapshotter = (options: RunOptions, facts: Facts): Snapshotter => {
  const wanted = options.snapshotter ?? chooseSnapshotter(facts);
  const failure = whyNot(wanted, facts);
  if (failure === null) return wanted;
  const advice = hintForCause(failure.cause, facts);
  throw new Fault("E_UNSUPPORTED", {
    message: `--snapshotter ${wanted} does not work here`,
    ...(failure.errno === null ? {} : { errno: failure.errno }),
    why: advice?.why ?? failure.what,
    hint:
      advice === null
        ? `leave it out: this host takes ${chooseSnapshotter(facts)}`
        : `${advice.try}; or leave it out: this host takes ${chooseSnapshotter(facts)}`,
  });
};

const whyNot = (snapshotter: Snapshotter, facts: Facts): (Tried & { readonly what: string }) | null => {
  const failed = (tried: Tried, what: string): (Tried & { readonly what: string }) | null =>
    wasTried(tried) && !tried.works ? { ...tried, what } : null;
  switch (snapshotter) {
    case "copy":
      return null;
    case "overlay":
      return failed(facts.dirs.data.overlay, `the kernel mounts no overlay in ${facts.dirs.data.path}`);
    case "fuse-overlayfs":
      return facts.tools.fuseOverlayfs === null
        ? { works: false, errno: null, cause: null, what: "fuse-overlayfs is not installed (as root: apt-get install fuse-overlayfs)" }
        : (failed(facts.devices.fuse, "/dev/fuse cannot be opened") ??
            failed(facts.mounts.fuse, "FUSE cannot be mounted in a user namespace"));
  }
};

/** Options that make no sense, or no promise could be kept of, without a monitor. */
const refuseForNow = (options: RunOptions): void => {
  const missing: readonly (readonly [boolean, string, string])[] = [
    [options.detach, "--detach", "run it in the foreground"],
    [options.tty, "--tty", "leave -t out"],
    [!options.rm, "a container that stays (run without --rm)", "add --rm"],
    [options.name !== null, "--name", "leave it out"],
    [options.init, "--init", "leave it out"],
    [!options.sigProxy, "--sig-proxy=false", "leave it out"],
    [options.stopTimeout !== null, "--stop-timeout", "leave it out"],
    [Object.keys(options.labels).length > 0, "--label", "leave it out; --annotation is kept in config.json"],
    [!["none", "host", "default"].includes(options.network), `--network ${options.network}`, "use none or host"],
  ];
  const found = missing.find(([wanted]) => wanted);
  if (found !== undefined) throw new Fault("E_UNSUPPORTED", { message: `${found[1]} is not supported yet`, hint: found[2] });
};

/** Starts that were killed leave their state; what has stopped and has an undo list is undone here. */
const sweep = (root: string): void => {
  for (const name of readdirSync(root)) if (!name.startsWith(".")) runPlan(encodePlan(buildSweep(`${root}/${name}`)), { scratch: root });
};

export type Dirs = { readonly root: string | null; readonly storage: string | null };

const snapshotHost = (storage: string, pinned: PinnedUserns, facts: () => Facts, root: string): SnapshotHost => ({
  storage,
  untar: nativePath("untar"),
  runInUserns: createRunInUserns(pinned, facts, root),
  idMap: idMapOf(pinned),
});

/** null: one id, which is nobody's but ours. */
const idMapOf = (maps: Pick<PinnedUserns, "uidMap" | "gidMap">): string | null =>
  maps.uidMap.length + maps.gidMap.length > 2 || (maps.uidMap[0]?.count ?? 1) > 1 ? mapText(maps) : null;

const rowsText = (rows: readonly IdRow[]): string => rows.map(({ inside, outside, count }) => `${inside} ${outside} ${count}`).join(",");
const mapText = ({ uidMap, gidMap }: Pick<PinnedUserns, "uidMap" | "gidMap">): string => `${rowsText(uidMap)};${rowsText(gidMap)}`;

/**
 * A container's directory is there before its state is, and for as long as an image takes to be copied. Beside it stands
 * who makes it, so that what a killed launcher left is found:
 *
 *     STORAGE/containers/<name>.json    written before the directory, removed after it
 *     STORAGE/containers/<name>/        upper, work and merged; or rootfs
 */
const MakerSchema = z.object({ pid: z.int(), startTime: z.int(), stateDir: z.string() });

const claim = (where: Where): void => {
  const maker: z.infer<typeof MakerSchema> = { pid: process.pid, startTime: startTimeOf(process.pid) ?? 0, stateDir: stateOf(where) };
  storing(where.storage, () => {
    mkdirSync(`${where.storage}/containers`, { recursive: true, mode: 0o700 });
    writeFileSync(`${where.storage}/${containerOf(where)}.json`, JSON.stringify(maker), { mode: 0o600 });
  });
};

const storing = (storage: string, work: () => void): void => {
  try {
    work();
  } catch (cause) {
    throw new Fault("E_STORAGE", {
      message: `nothing can be stored in ${storage}`,
      cause,
      why: cause instanceof Error ? cause.message : String(cause),
      hint: "free some space, or name another place with --storage DIR",
    });
  }
};

const removeContainer = async (host: SnapshotHost, name: string): Promise<void> => {
  await removeCopy(host, `${host.storage}/containers/${name}`);
  rmSync(`${host.storage}/containers/${name}.json`, { force: true });
};

/** Directories of containers that were never started, their launcher having been killed; and claims that have served. */
const sweepContainers = async (host: SnapshotHost): Promise<void> => {
  const containers = `${host.storage}/containers`;
  for (const file of existsSync(containers) ? readdirSync(containers) : []) {
    if (!file.endsWith(".json")) continue;
    const maker = readMaker(`${containers}/${file}`);
    const dead =
      maker === null
        ? !existsSync(`${containers}/${file.slice(0, -5)}`)
        : startTimeOf(maker.pid) !== maker.startTime && !existsSync(maker.stateDir);
    if (dead) await removeContainer(host, file.slice(0, -5));
  }
};

/** null: it went meanwhile, or its writer was killed within it, before there was anything else. */
const readMaker = (path: string): z.infer<typeof MakerSchema> | null => {
  try {
    return MakerSchema.parse(JSON.parse(readFileSync(path, "utf8")));
  } catch {
    return null;
  }
};

/** A start that is ready to be run. `finish` comes after it, whatever came of it: what is still there is taken back. */
export type Launch = { readonly start: Start; readonly root: string; readonly facts: () => Facts; readonly finish: () => Promise<void> };

/** Everything up to the plan: directories, namespace, layers, config. */
export const prepareRun = async (options: RunOptions, dirs: Dirs, cwd: string): Promise<Launch> => {
  refuseForNow(options);
  const root = ensureRuntimeRoot("coracle", dirs.root);
  const places = { dataDir: storagePath(options.storage ?? dirs.storage), runtimeDir: root };
  const facts = readStartFacts(root, places);
  checkUserns(facts); // before anything is made
  const snapshotter = settleSnapshotter(options, facts);
  const storage = ensureStorage(places.dataDir);
  const full = (): Facts => readFacts({ ...places, depth: "full" });
  sweep(root);
  const { layout, image } = await readSource(options, facts, cwd);
  checkBindSources(options, true);
  const pinned = ensureUserns(root, full);
  const host = snapshotHost(storage, pinned, full, root);
  await sweepContainers(host);
  const where: Where = { id: newId(), root, storage };
  claim(where);
  // Where there is state, there may be life: the executor was killed, and the next start's sweep sees to it.
  const finish = async (): Promise<void> => {
    if (!existsSync(stateOf(where))) await removeContainer(host, nameOf(where.id));
  };
  try {
    const prepared = await prepareLayers(host, layout, image, snapshotter, `${storage}/${containerOf(where)}`);
    const { start } = compile(options, image, prepared, facts, pinned, where);
    if (options.cidfile !== null) writeCidFile(options.cidfile, where.id, cwd);
    return { start: { ...start, notes: [...prepared.notes, ...start.notes] }, root, facts: full, finish };
  } catch (cause) {
    await finish();
    throw cause;
  }
};

const prepareLayers = async (
  host: SnapshotHost,
  layout: ImageLayout,
  image: LayoutImage,
  snapshotter: Snapshotter,
  container: string,
): Promise<Layers & { readonly notes: readonly string[] }> => {
  const make = (...names: readonly string[]): void => {
    storing(host.storage, () => {
      for (const name of names) mkdirSync(`${container}/${name}`, { recursive: true, mode: 0o755 });
    });
  };
  if (snapshotter === "copy") {
    const rootfs = `${container}/rootfs`;
    make("rootfs");
    const notes = await copyImage(host, layout, image, rootfs);
    return { snapshotter, directories: [rootfs], users: readUsers([rootfs]), notes };
  }
  const { layers, notes } = await prepareImage(host, layout, image);
  make("upper", "work", "merged");
  return { snapshotter, directories: layers, users: readUsers(layers), notes };
};

const writeCidFile = (path: string, id: string, cwd: string): void => {
  try {
    writeFileSync(resolve(cwd, path), id, { flag: "wx" });
  } catch (cause) {
    throw new Fault("E_USAGE", {
      message: `--cidfile ${path} cannot be written`,
      cause,
      why: cause instanceof Error ? cause.message : String(cause),
      hint: "remove the old file, or name another",
    });
  }
};

/** The plan of a run line, for this host or for another one's facts; nothing is made, and no privilege is needed. */
export const explainRun = async (
  options: RunOptions,
  dirs: Dirs,
  cwd: string,
  foreign: Facts | null,
): Promise<{ readonly start: Start; readonly config: Config }> => {
  const dataDir = options.storage ?? dirs.storage;
  const facts = foreign ?? readFacts({ depth: "full", ...(dataDir === null ? {} : { dataDir }) });
  const { layout, image } = await readSource(options, facts, cwd);
  const maps = userMaps(facts);
  const pinned: PinnedUserns = {
    path: "/proc/HOLDER/ns/user",
    inode: 0,
    setgroups: maps.setgroups,
    uidMap: maps.uid,
    gidMap: maps.gid,
  };
  const storage = dataDir ?? facts.dirs.data.path;
  const root = dirs.root ?? (facts.dirs.runtime.path || `/tmp/coracle-${facts.self.uid}`);
  const where: Where = { id: "0".repeat(64), root, storage };
  const snapshotter = settleSnapshotter(options, facts);
  const directories = layerDirectories(storage, idMapOf(pinned), image.config);
  const unpacked = directories.every((path) => existsSync(path));
  const users = unpacked ? readUsers(directories) : await readUsersOfLayout(layout, image);
  return compile(options, image, { snapshotter, directories, users }, facts, pinned, where);
};
