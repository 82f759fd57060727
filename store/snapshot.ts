/**
 * An image's layers as directories, ready to be an overlay's lower directories.
 *
 *     STORAGE/layers/          0700: it may hold set-uid files
 *       <id>/layer.json        written last, so that what has it is whole
 *       <id>/diff/             the layer, its whiteouts in overlayfs's form
 *       <id>.lock              held by whoever unpacks that layer
 *       <id>.new/              being unpacked, or left by one who died at it; only the lock's holder touches it
 *
 * A layer is kept by its chain ID (image-spec, config.md#layer-chainid) and not by its diff ID, because directories that
 * it does not list take their metadata from the layers below; and by the id map, because the same layer has other
 * owners on disk under another map. The id is short: overlayfs takes all lower directories in one page of text.
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, open, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { PassThrough, type Readable, type Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip, createZstdDecompress } from "node:zlib";
import * as z from "zod/mini";
import { Fault } from "#core/fault";
import type { Descriptor, ImageConfig } from "#core/spec/image";
import { type ImageLayout, type LayoutImage, layerEncoding, openBlob } from "./layout.ts";

/**
 * Runs a program in the user namespace whose ids the files get, feeds it `stdin` to the end (null: nothing), and
 * collects what it says. It must not fail when the program stops reading early; the exit code tells. `code` is null
 * where a signal ended the program.
 */
export type RunInUserns = (
  program: string,
  args: readonly string[],
  stdin: Readable | null,
) => Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }>;

export type SnapshotHost = {
  /** Absolute. */
  readonly storage: string;
  /** Path of native/build/untar. */
  readonly untar: string;
  readonly runInUserns: RunInUserns;
  /** The user namespace's id maps in any canonical text, or null where only one id is mapped: then owners are recorded, not applied. */
  readonly idMap: string | null;
};

export type UnpackOptions = {
  /** Per layer; 0: no limit. */
  readonly maxEntries?: number;
  readonly maxBytes?: number;
  /** Whether a layer is on disk before it counts as there (default: true). Without, a power cut may leave a layer of empty files. */
  readonly sync?: boolean;
};

export type PreparedImage = {
  /** Absolute paths of the layers' directories, the base first and the top last. */
  readonly layers: readonly string[];
  readonly config: ImageConfig;
  /** The manifest's. */
  readonly digest: string;
  /** What could not be done as the image wants it: device nodes, xattrs … one sentence each. */
  readonly notes: readonly string[];
};

const MAX_ENTRIES = 4_000_000;
const MAX_BYTES = 256 * 1024 ** 3;
/** Measured: gunzip at the default of 16 KiB takes three times as long. */
const CHUNK = 1024 * 1024;
/** `untar` takes no more; only metadata of directories that nobody listed comes from there. */
const MAX_LOWERS = 256;

const SummarySchema = z.object({
  entries: z.int(),
  bytes: z.int(),
  notes: z.array(z.object({ entry: z.string(), note: z.string(), errno: z.optional(z.string()) })),
  noteCount: z.int(),
  sha256: z.string(),
});
const FailureSchema = z.object({ entry: z.string(), op: z.string(), errno: z.string() });
const LayerSchema = z.object({
  version: z.literal(1),
  chainId: z.string(),
  diffId: z.string(),
  idMap: z.nullable(z.string()),
  entries: z.int(),
  bytes: z.int(),
  notes: z.array(z.string()),
});
type LayerRecord = z.infer<typeof LayerSchema>;

const codeOf = (error: unknown): string =>
  typeof error === "object" && error !== null && "code" in error && typeof error.code === "string" ? error.code : "unknown error";

const parse = <T extends z.ZodMiniType>(schema: T, text: string): z.infer<T> | null => {
  try {
    const result = schema.safeParse(JSON.parse(text));
    return result.success ? result.data : null;
  } catch {
    return null;
  }
};

/** Chain IDs of all layers, from their diff IDs, the base first. */
export const chainIds = (diffIds: readonly string[]): readonly string[] => {
  const chain: string[] = [];
  for (const diffId of diffIds) {
    const below = chain.at(-1);
    chain.push(below === undefined ? diffId : `sha256:${createHash("sha256").update(`${below} ${diffId}`).digest("hex")}`);
  }
  return chain;
};

/** Where the layers of an image are, or will be once `prepareImage` has unpacked them: the base first. `idMap` as in `SnapshotHost`. */
export const layerDirectories = (storage: string, idMap: string | null, config: ImageConfig): readonly string[] =>
  chainIds(config.rootfs.diff_ids).map((chainId) => join(storage, "layers", layerId({ idMap }, chainId), "diff"));

const layersDir = (host: SnapshotHost): string => join(host.storage, "layers");

/** 80 bits: the record tells the whole, so that a collision is seen. */
const layerId = (host: Pick<SnapshotHost, "idMap">, chainId: string): string =>
  createHash("sha256")
    .update(`${chainId}\n${host.idMap ?? "single"}`)
    .digest("hex")
    .slice(0, 20);

/** A record that is absent or not ours is null; the layer is then unpacked (again). */
const readRecord = async (host: SnapshotHost, chainId: string): Promise<LayerRecord | null> => {
  const path = join(layersDir(host), layerId(host, chainId), "layer.json");
  const record = parse(
    LayerSchema,
    await readFile(path, "utf8").catch((cause: unknown) => {
      if (codeOf(cause) === "ENOENT") return "";
      throw new Fault("E_STORAGE", { message: `${path} cannot be read: ${codeOf(cause)}`, cause });
    }),
  );
  if (record !== null && (record.chainId !== chainId || record.idMap !== host.idMap)) {
    throw new Fault("E_STORAGE", {
      message: `${path} belongs to another layer (${record.chainId})`,
      hint: "remove this layer's directory",
    });
  }
  return record;
};

const FORMAT_OPS: ReadonlySet<string> = new Set([
  "header",
  "pax",
  "checksum",
  "sparse",
  "truncated",
  "name",
  "linkname",
  "owner",
  "xattr",
  "type",
  "whiteout",
  "link",
  "resolve",
  "symlink",
  "limit-path",
  "limit-depth",
  "limit-entries",
  "limit-bytes",
]);
const STORAGE_ERRNOS: ReadonlySet<string> = new Set(["ENOSPC", "EDQUOT", "EROFS", "EIO"]);

const STORAGE_HINTS: Readonly<Record<string, string>> = {
  ENOSPC: "free some space, or name another place with --storage DIR",
  EDQUOT: "the disk quota is used up: free some space, or name another place with --storage DIR",
  EROFS: "the storage is read-only: name another place with --storage DIR",
  ENOTSUP: "the storage's file system has no user.* xattrs (NFS?): name a place on a local disk with --storage DIR",
};

/** What `untar` could not do, as a fault. @param stderr its one line */
const unpackFault = (what: string, code: number | null, stderr: string): Fault => {
  const failure = parse(FailureSchema, stderr);
  if (failure === null) {
    return new Fault("E_EXECUTOR_VANISHED", {
      message: `${what}: untar ended ${code === null ? "by a signal" : `with code ${code}`} and no report`,
      why: stderr.trim().slice(0, 400),
    });
  }
  const { entry, op, errno } = failure;
  const message = `${what} cannot be unpacked: "${entry}": ${op}: ${errno}`;
  if (op === "chown" && errno === "EINVAL") {
    return new Fault("E_SUBID", {
      message,
      errno,
      why: "the file's owner is not among the ids that are mapped for this user",
      hint: "grant at least 65536 ids in /etc/subuid and /etc/subgid",
    });
  }
  if (FORMAT_OPS.has(op) && !STORAGE_ERRNOS.has(errno)) {
    return new Fault("E_IMAGE", {
      message,
      errno,
      why: errno === "EXDEV" ? "the name leads out of the layer" : "the layer is malformed, hostile, or beyond the limits",
    });
  }
  const hint = STORAGE_HINTS[errno];
  return new Fault("E_STORAGE", { message, errno, ...(hint === undefined ? {} : { hint }) });
};

/** Removes a tree that may belong to subordinate ids. One that is gone is success. */
const removeTree = async (host: SnapshotHost, path: string): Promise<void> => {
  if (!existsSync(path)) return; // most often; and a process in the namespace is not free
  const { code, stderr } = await host.runInUserns(host.untar, ["--remove", path], null);
  if (code === 0) return;
  const failure = parse(FailureSchema, stderr);
  throw new Fault("E_STORAGE", {
    message: `${path} cannot be removed: ${failure === null ? `untar ended with code ${code}` : `${failure.entry}: ${failure.errno}`}`,
  });
};

/**
 * Holds a lock while `work` runs. The kernel's lock lives in a child that ends with its stdin, thus with this process,
 * however that ends.
 */
const withLock = async <T>(host: SnapshotHost, path: string, work: () => Promise<T>): Promise<T> => {
  const child = spawn(host.untar, ["--lock", path], { stdio: ["pipe", "pipe", "pipe"] });
  const ended = once(child, "close").catch((cause: unknown) => {
    throw new Fault("E_NATIVE_MISSING", { message: `${host.untar} cannot be run: ${codeOf(cause)}`, cause });
  });
  const said: string[] = [];
  child.stderr.setEncoding("utf8").on("data", (text: string) => said.push(text));
  const locked = await Promise.race([once(child.stdout, "data"), ended.then(() => null)]);
  if (locked === null)
    throw new Fault("E_STORAGE", { message: `${path} cannot be locked: ${parse(FailureSchema, said.join(""))?.errno ?? "unknown error"}` });
  try {
    return await work();
  } finally {
    child.stdin.end();
    await ended;
  }
};

const decoderFor = (descriptor: Descriptor): Transform => {
  switch (layerEncoding(descriptor.mediaType)) {
    case "gzip":
      return createGunzip({ chunkSize: CHUNK });
    case "zstd":
      return createZstdDecompress({ chunkSize: CHUNK });
    case "none":
      return new PassThrough({ highWaterMark: CHUNK });
    default:
      throw new Fault("E_IMAGE", {
        message: `layer ${descriptor.digest} has a media type that is no layer of a file system: ${descriptor.mediaType}`,
      });
  }
};

/** A layer's archive, decompressed. Ends with a Fault E_IMAGE where the blob is not what its descriptor says. */
export async function* openLayer(layout: Pick<ImageLayout, "dir">, descriptor: Descriptor, what: string): AsyncGenerator<Buffer> {
  const decoder = decoderFor(descriptor);
  const fed = pipeline(await openBlob(layout, descriptor, what), decoder).then(
    () => null,
    (error: unknown) => ({ error }),
  );
  try {
    yield* decoder;
  } catch (cause) {
    const broken = await fed;
    if (broken !== null && broken.error instanceof Fault) throw broken.error;
    throw new Fault("E_IMAGE", { message: `${what} cannot be decompressed: ${codeOf(cause)}`, cause });
  } finally {
    decoder.destroy();
  }
}

type Layer = { readonly what: string; readonly descriptor: Descriptor; readonly diffId: string; readonly chainId: string };

/** Reads a blob to its end. @throws Fault E_IMAGE where it is not what its descriptor says */
const verifyBlob = async (layout: Pick<ImageLayout, "dir">, { descriptor, what }: Layer): Promise<void> => {
  for await (const _ of await openBlob(layout, descriptor, what));
};

/** zlib and zstd name their errors so; all else that a decoder may end with is a consequence of `untar`'s end. */
const isDecoderError = (error: unknown): boolean => /^(Z_|ZSTD_)/.test(codeOf(error));

/** Feeds a layer to `untar`. @returns its summary, once content, digest and diff ID were found true */
const feed = async (host: SnapshotHost, layout: Pick<ImageLayout, "dir">, layer: Layer, args: readonly string[]) => {
  const { what, descriptor, diffId } = layer;
  const decoder = decoderFor(descriptor);
  const decoderErrors: unknown[] = [];
  decoder.on("error", (error: unknown) => decoderErrors.push(error));
  const source = await openBlob(layout, descriptor, what);
  const fed = pipeline(source, decoder).then(
    () => null,
    (error: unknown) => ({ error }),
  );
  const run = await host.runInUserns(host.untar, args, decoder).finally(() => decoder.destroy());
  const broken = await fed;
  if (broken !== null && broken.error instanceof Fault) throw broken.error;
  const decoderError = decoderErrors.find(isDecoderError);
  if (decoderError !== undefined || run.code !== 0) {
    // A damaged blob explains whatever came of it, but untar and zlib stop before its end, where the digest would have told.
    await verifyBlob(layout, layer);
    if (decoderError === undefined) throw unpackFault(what, run.code, run.stderr);
    throw new Fault("E_IMAGE", { message: `${what} cannot be decompressed: ${codeOf(decoderError)}`, cause: decoderError });
  }
  const summary = parse(SummarySchema, run.stdout);
  if (summary === null || broken !== null) {
    throw new Fault("E_INTERNAL", {
      message: `${what}: untar ended well, but not with its whole input or summary: ${run.stdout.slice(0, 200)}`,
      cause: broken?.error,
    });
  }
  if (`sha256:${summary.sha256}` !== diffId) {
    throw new Fault("E_IMAGE", {
      message: `${what} does not match its diff ID`,
      why: `its content is sha256:${summary.sha256}, the config says ${diffId}`,
      hint: "the image was built wrongly, or changed: build or pull it again",
    });
  }
  return summary;
};

const unpackFlags = (host: SnapshotHost, options: UnpackOptions): readonly string[] => [
  ...(host.idMap === null ? ["--single-id"] : []),
  ...(options.sync === true ? ["--sync"] : []),
  "--max-entries",
  String(options.maxEntries ?? MAX_ENTRIES),
  "--max-bytes",
  String(options.maxBytes ?? MAX_BYTES),
];

const notesOf = ({ notes, noteCount }: z.infer<typeof SummarySchema>): string[] => [
  ...notes.map(({ entry, note, errno }) => `${entry}: ${note}${errno === undefined ? "" : ` (${errno})`}`),
  ...(noteCount > notes.length ? [`and ${noteCount - notes.length} more`] : []),
];

const writeRecord = async (dir: string, record: LayerRecord, sync: boolean): Promise<void> => {
  const file = await open(join(dir, "layer.json"), "w", 0o600);
  try {
    await file.writeFile(JSON.stringify(record));
    if (sync) await file.sync();
  } finally {
    await file.close();
  }
};

const syncDir = async (path: string): Promise<void> => {
  const dir = await open(path, "r");
  try {
    await dir.sync();
  } finally {
    await dir.close();
  }
};

const unpack = async (
  host: SnapshotHost,
  layout: Pick<ImageLayout, "dir">,
  layer: Layer,
  lowers: readonly string[],
  options: UnpackOptions,
): Promise<LayerRecord> => {
  const target = join(layersDir(host), layerId(host, layer.chainId));
  const fresh = `${target}.new`;
  const sync = options.sync ?? true;
  try {
    // Left by one who died, whose untar may still be running for a moment: removing the directory that it locks waits
    // for its end. A target without record is no layer either.
    await removeTree(host, join(fresh, "diff"));
    await removeTree(host, fresh);
    await removeTree(host, target);
    await mkdir(join(fresh, "diff"), { recursive: true, mode: 0o755 });
    const summary = await feed(host, layout, layer, [
      ...unpackFlags(host, { ...options, sync }),
      ...lowers
        .toReversed()
        .slice(0, MAX_LOWERS)
        .flatMap((lower) => ["--lower", lower]),
      join(fresh, "diff"),
    ]);
    const record: LayerRecord = {
      version: 1,
      chainId: layer.chainId,
      diffId: layer.diffId,
      idMap: host.idMap,
      entries: summary.entries,
      bytes: summary.bytes,
      notes: notesOf(summary),
    };
    await writeRecord(fresh, record, sync);
    await rename(fresh, target);
    if (sync) await syncDir(layersDir(host));
    return record;
  } catch (cause) {
    const suppressed = await removeTree(host, fresh).then(
      () => [],
      (error: unknown) => [error],
    );
    if (cause instanceof Fault) {
      const { message, why, hint, errno, issues } = cause;
      if (suppressed.length === 0) throw cause;
      throw new Fault(cause.code, {
        message,
        issues,
        cause,
        suppressed,
        ...(why === undefined ? {} : { why }),
        ...(hint === undefined ? {} : { hint }),
        ...(errno === undefined ? {} : { errno }),
      });
    }
    const hint = STORAGE_HINTS[codeOf(cause)];
    throw new Fault("E_STORAGE", {
      message: `${layer.what} cannot be stored in ${fresh}: ${codeOf(cause)}`,
      cause,
      suppressed,
      ...(hint === undefined ? {} : { hint }),
    });
  }
};

/**
 * Unpacks the layers of an image that are not there yet. Idempotent; processes that do so at once share the work: the
 * second waits for the first and finds the layer done.
 * @throws Fault E_IMAGE where a layer is not what the image says or is hostile, E_STORAGE where it cannot be written,
 *   E_SUBID where it has owners that are not mapped. Nothing of the failed layer is left.
 */
export const prepareImage = async (
  host: SnapshotHost,
  layout: Pick<ImageLayout, "dir">,
  image: LayoutImage,
  options: UnpackOptions = {},
): Promise<PreparedImage> => {
  const diffIds = image.config.rootfs.diff_ids;
  const chain = chainIds(diffIds);
  const layers: string[] = [];
  const notes: string[] = [];
  await mkdir(layersDir(host), { recursive: true, mode: 0o700 }).catch((cause: unknown) => {
    const hint = STORAGE_HINTS[codeOf(cause)];
    throw new Fault("E_STORAGE", {
      message: `${layersDir(host)} cannot be made: ${codeOf(cause)}`,
      cause,
      ...(hint === undefined ? {} : { hint }),
    });
  });
  for (const [i, descriptor] of image.manifest.layers.entries()) {
    const [diffId, chainId] = [diffIds[i], chain[i]];
    const what = `layer ${i + 1} of ${image.manifest.layers.length}`;
    if (diffId === undefined || chainId === undefined)
      throw new Fault("E_IMAGE", { message: `${what} has no diff ID in the image's config` });
    const path = join(layersDir(host), layerId(host, chainId));
    const record =
      (await readRecord(host, chainId)) ??
      (await withLock(
        host,
        `${path}.lock`,
        async () => (await readRecord(host, chainId)) ?? unpack(host, layout, { what, descriptor, diffId, chainId }, layers, options),
      ));
    layers.push(join(path, "diff"));
    notes.push(...record.notes.map((note) => `${what}: ${note}`));
  }
  return { layers, config: image.config, digest: image.manifestDescriptor.digest, notes };
};

/**
 * Extracts the layers of an image one over the other into a directory of a container's own, where no overlay can be had:
 * whiteouts remove.
 * @param directory absolute; it exists and is empty. What is in it after a failure is the caller's to remove (`removeCopy`).
 * @returns notes as `PreparedImage`'s.
 * @throws Fault as `prepareImage`.
 */
export const copyImage = async (
  host: SnapshotHost,
  layout: Pick<ImageLayout, "dir">,
  image: LayoutImage,
  directory: string,
  options: UnpackOptions = {},
): Promise<readonly string[]> => {
  const diffIds = image.config.rootfs.diff_ids;
  const notes: string[] = [];
  for (const [i, descriptor] of image.manifest.layers.entries()) {
    const diffId = diffIds[i];
    const what = `layer ${i + 1} of ${image.manifest.layers.length}`;
    if (diffId === undefined) throw new Fault("E_IMAGE", { message: `${what} has no diff ID in the image's config` });
    // It lives as long as its container: nothing is lost if it never gets to the disk.
    const summary = await feed(host, layout, { what, descriptor, diffId, chainId: "" }, [
      "--apply",
      ...unpackFlags(host, { ...options, sync: options.sync ?? false }),
      directory,
    ]);
    notes.push(...notesOf(summary).map((note) => `${what}: ${note}`));
  }
  return notes;
};

/**
 * Removes a container's directory, whoever its files belong to; one that is gone is success.
 * @throws Fault E_STORAGE
 */
export const removeCopy = removeTree;

/**
 * Removes a layer's directory; one that is gone is success. The caller knows that no container uses it.
 * @throws Fault E_STORAGE
 */
export const removeLayer = async (host: SnapshotHost, chainId: string): Promise<void> => {
  const path = join(layersDir(host), layerId(host, chainId));
  await withLock(host, `${path}.lock`, async () => {
    // First out of its place, in one step: half a layer must never pass for a whole one.
    await removeTree(host, `${path}.new`);
    const gone = await rename(path, `${path}.new`).then(
      () => null,
      (cause: unknown) => (codeOf(cause) === "ENOENT" ? null : { cause }),
    );
    if (gone !== null) throw new Fault("E_STORAGE", { message: `${path} cannot be removed: ${codeOf(gone.cause)}`, cause: gone.cause });
    await removeTree(host, `${path}.new`);
  });
};
