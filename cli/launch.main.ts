/**
 * `coracle run` and `coracle explain`: an image and flags become config.json, that becomes a plan, and the plan is run or
 * shown. One path for both: what explain prints is what run executes.
 */
import { randomBytes } from "node:crypto";
import { closeSync, constants, fstatSync, lstatSync, mkdirSync, openSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { chooseSnapshotter } from "#core/doctor";
import type { Facts } from "#core/facts";
import { Fault } from "#core/fault";
import { buildConfig } from "#core/image/build-config";
import { linuxPlatform, parsePlatform, type Platform } from "#core/image/platform";
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
import { createRunInUserns, ensureUserns } from "#linux/userns";
import { type ImageLayout, type LayoutImage, readImage, readLayout } from "#store/layout";
import { layerDirectories, prepareImage, type SnapshotHost } from "#store/snapshot";

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

/** docker's rule: `-v` makes a source that is missing, `--mount` wants it there. */
const checkBindSources = (options: RunOptions, make: boolean): void => {
  for (const { path, create } of bindSources(options)) {
    if (statSync(path, { throwIfNoEntry: false }) !== undefined) continue;
    if (!create) throw new Fault("E_USAGE", { message: `the bind source ${path} does not exist`, hint: "create it, or use -v, which makes a directory" });
    if (make) mkdirSync(path, { recursive: true });
  }
};

const deviceNumbers = (options: RunOptions): Record<string, { major: number; minor: number }> =>
  Object.fromEntries(
    limitedDevices(options).map((path) => {
      const stat = statSync(path, { throwIfNoEntry: false });
      if (stat === undefined) throw new Fault("E_USAGE", { message: `the device ${path} does not exist`, hint: "name a device that the host has" });
      const rdev = stat.isBlockDevice() || stat.isCharacterDevice() ? stat.rdev : stat.dev;
      // dev_t of Linux: 12 bits of major, 20 of minor, interleaved.
      return [path, { major: (rdev >> 8) & 0xfff, minor: (rdev & 0xff) | ((rdev >> 12) & 0xfff00) }];
    }),
  );

const newId = (): string => randomBytes(32).toString("hex");

/** What the two verbs share once the image and the namespace are known. */
const compile = (
  options: RunOptions,
  image: LayoutImage,
  layers: readonly string[],
  facts: Facts,
  pinned: PinnedUserns,
  where: { readonly id: string; readonly root: string; readonly storage: string },
): { readonly start: Start; readonly config: Config } => {
  const { id, root, storage } = where;
  const notes: string[] = [];
  const inside = (rows: readonly IdRow[]) => rows.map((row) => ({ containerID: row.inside, hostID: row.inside, size: row.count }));
  const container = `containers/${id.slice(0, 12)}`;
  // The embedded image shows who it is on the host; from inside, the kernel tells only of the user-wide namespace.
  const outer = options.image === "hello" ? [`CORACLE_OUTER_UIDS=${rowsText(pinned.uidMap)}`, `CORACLE_OUTER_GIDS=${rowsText(pinned.gidMap)}`] : [];
  const config = buildConfig(image.config.config, { ...options, env: [...outer, ...options.env] }, {
    facts,
    id,
    rootfs: `${storage}/${container}/merged`,
    users: { passwd: readImageFile(layers, "etc", "passwd"), group: readImageFile(layers, "etc", "group") },
    ids: { uid: inside(pinned.uidMap), gid: inside(pinned.gidMap), path: null },
    defaultSeccomp: buildDefaultSeccomp,
    cgroupsPath: null,
    initPath: null,
    devices: deviceNumbers(options),
    files: {},
    hostMqueue: statSync("/dev/mqueue", { throwIfNoEntry: false }) !== undefined,
    maskedPaths: [],
  });
  const filter = buildFilter(config, facts, (text) => notes.push(text));
  const start = buildStart({
    verb: "run",
    id,
    config,
    facts,
    stateDir: `${root}/${id.slice(0, 12)}`,
    bundle: `${storage}/${container}`,
    root: overlayRoot(layers, storage, container),
    pinned,
    release: [parent("join_user", { path: pinned.path, inode: pinned.inode }, "(coracle)"), parent("remove_tree", { dir: `${storage}/${container}` }, "(coracle)")],
    pidFile: null,
    consoleSocket: null,
    preserveFds: 0,
    cgroupManager: "auto",
    limits: options.limitsPolicy,
    newKeyring: true,
    keep: false,
    seccomp: filter,
    created: new Date().toISOString(),
  });
  return { start: { ...start, notes: [...notes, ...start.notes] }, config };
};

/** Paths are relative to the storage directory: all the layers of an image must fit into one page of options. */
const overlayRoot = (layers: readonly string[], storage: string, container: string): RootSource => {
  const relative = layers.map((path) => (path.startsWith(`${storage}/`) ? path.slice(storage.length + 1) : path));
  const data = [`lowerdir=${relative.toReversed().join(":")}`, `upperdir=${container}/upper`, `workdir=${container}/work`, "userxattr"].join(",");
  if (data.length > 4095)
    throw new Fault("E_UNSUPPORTED", { message: `the image's ${layers.length} layers do not fit into one overlay mount`, why: "its options are longer than a page", hint: "--snapshotter copy" });
  return { kind: "overlay", dir: storage, data, target: `${container}/merged` };
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
    [options.snapshotter !== null && options.snapshotter !== "overlay", `--snapshotter ${options.snapshotter ?? ""}`, "use overlay"],
    [!["none", "host", "default"].includes(options.network), `--network ${options.network}`, "use none or host"],
  ];
  const found = missing.find(([wanted]) => wanted);
  if (found !== undefined) throw new Fault("E_UNSUPPORTED", { message: `${found[1]} is not supported yet`, hint: found[2] });
};

/** Starts that were killed leave their state; what has stopped and has an undo list is undone here. */
const sweep = (root: string): void => {
  for (const name of readdirSync(root))
    if (!name.startsWith(".")) runPlan(encodePlan(buildSweep(`${root}/${name}`)), { scratch: root });
};

export type Dirs = { readonly root: string | null; readonly storage: string | null };

const snapshotHost = (storage: string, pinned: PinnedUserns, facts: () => Facts, root: string): SnapshotHost => ({
  storage,
  untar: nativePath("untar"),
  runInUserns: createRunInUserns(pinned, facts, root),
  idMap: pinned.uidMap.length + pinned.gidMap.length > 2 || (pinned.uidMap[0]?.count ?? 1) > 1 ? mapText(pinned) : null,
});

const rowsText = (rows: readonly IdRow[]): string => rows.map(({ inside, outside, count }) => `${inside} ${outside} ${count}`).join(",");
const mapText = ({ uidMap, gidMap }: Pick<PinnedUserns, "uidMap" | "gidMap">): string => `${rowsText(uidMap)};${rowsText(gidMap)}`;

/** A start that is ready to be run, and what takes back what was made for it so far. */
export type Launch = { readonly start: Start; readonly root: string; readonly facts: () => Facts; readonly abandon: () => void };

/** Everything up to the plan: directories, namespace, layers, config. */
export const prepareRun = async (options: RunOptions, dirs: Dirs, cwd: string): Promise<Launch> => {
  refuseForNow(options);
  const root = ensureRuntimeRoot("coracle", dirs.root);
  const where = { dataDir: storagePath(options.storage ?? dirs.storage), runtimeDir: root };
  const facts = readStartFacts(root, where);
  checkUserns(facts); // before anything is made
  const storage = ensureStorage(where.dataDir);
  const full = (): Facts => readFacts({ ...where, depth: "full" });
  sweep(root);
  checkBindSources(options, true);
  const { layout, image } = await readSource(options, facts, cwd);
  const pinned = ensureUserns(root, full);
  const prepared = await prepareImage(snapshotHost(storage, pinned, full, root), layout, image);
  const id = newId();
  const { start } = compile(options, image, prepared.layers, facts, pinned, { id, root, storage });
  const container = `${storage}/containers/${id.slice(0, 12)}`;
  for (const name of ["upper", "work", "merged"]) mkdirSync(`${container}/${name}`, { recursive: true, mode: 0o755 });
  if (options.cidfile !== null) writeCidFile(options.cidfile, id, cwd);
  return { start: { ...start, notes: [...prepared.notes, ...start.notes] }, root, facts: full, abandon: () => rmSync(container, { recursive: true, force: true }) };
};

const writeCidFile = (path: string, id: string, cwd: string): void => {
  try {
    writeFileSync(resolve(cwd, path), id, { flag: "wx" });
  } catch (cause) {
    throw new Fault("E_USAGE", { message: `--cidfile ${path} cannot be written`, cause, why: cause instanceof Error ? cause.message : String(cause), hint: "remove the old file, or name another" });
  }
};

/** The plan of a run line, for this host or for another one's facts; nothing is made, and no privilege is needed. */
export const explainRun = async (options: RunOptions, dirs: Dirs, cwd: string, foreign: Facts | null): Promise<{ readonly start: Start; readonly config: Config }> => {
  const dataDir = options.storage ?? dirs.storage;
  const facts = foreign ?? readFacts({ depth: "full", ...(dataDir === null ? {} : { dataDir }) });
  const { image } = await readSource(options, facts, cwd);
  const maps = userMaps(facts);
  const pinned: PinnedUserns = { path: "/proc/HOLDER/ns/user", inode: 0, setgroups: maps.uid.length > 1, uidMap: maps.uid, gidMap: maps.gid };
  const storage = dataDir ?? facts.dirs.data.path;
  const root = dirs.root ?? (facts.dirs.runtime.path || `/tmp/coracle-${facts.self.uid}`);
  const layers = layerDirectories(storage, mapText(pinned), image.config);
  const { start, config } = compile(options, image, layers, facts, pinned, { id: "0".repeat(64), root, storage });
  const snapshotter = chooseSnapshotter(facts);
  const notes = snapshotter === "overlay" ? [] : [`this host's storage cannot hold an overlay; ${snapshotter} is what would do, and is not supported yet`];
  return { start: { ...start, notes: [...start.notes, ...notes] }, config };
};

