/**
 * OCI image layouts (image-spec 1.1, image-layout.md): a directory with `oci-layout`, `index.json` and
 * `blobs/<algorithm>/<encoded>`. Everything that is read is verified by size and digest as it is read, so a layout may
 * come from anyone: what it can do is name content, and content that is not what it was named is refused.
 */
import { createHash, hash as hashOf } from "node:crypto";
import { closeSync, constants, createReadStream, fstatSync, openSync, readFileSync } from "node:fs";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { Fault, type Issue } from "#core/fault";
import {
  choosePlatform,
  formatPlatform,
  isAttestation,
  type Platform,
  platformFromSpec,
  platformMatches,
  type SpecPlatform,
} from "#core/image/platform";
import { parseDigest } from "#core/spec/digest";
import {
  type Descriptor,
  type ImageConfig,
  INDEX_TYPES,
  type Index,
  MANIFEST_TYPES,
  type Manifest,
  MEDIA_TYPES,
  parseImageConfig,
  parseIndex,
  parseLayout,
  parseManifest,
} from "#core/spec/image";

/** image-spec, annotations.md: the name of an image in a layout's index. */
export const REF_NAME = "org.opencontainers.image.ref.name";
/** containerd and Docker write the full reference here, and only its tag in `REF_NAME`. */
const CONTAINERD_NAME = "io.containerd.image.name";

/** Documents are read whole; registries refuse larger ones too. Bytes. */
const MAX_DOCUMENT = 16 * 1024 * 1024;
/** An index may point to an index; nobody needs more than one such step. */
const MAX_NESTING = 4;
const READ_CHUNK = 1024 * 1024;

export type ImageLayout = { readonly dir: string; readonly index: Index };

export type LayoutImage = {
  readonly manifestDescriptor: Descriptor;
  readonly manifest: Manifest;
  readonly config: ImageConfig;
};

type Content = Pick<Descriptor, "digest" | "size">;

const codeOf = (error: unknown): string | undefined => {
  if (typeof error !== "object" || error === null || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
};

const badImage = (message: string, more: { why?: string; hint?: string; issues?: readonly Issue[]; cause?: unknown } = {}): Fault =>
  new Fault("E_IMAGE", { message, ...more });

const AGAIN = "copy the image again, e.g. skopeo copy SOURCE oci:DIR:TAG";

/** A parser's value, or the fault that lists all of its issues. */
const demand = <T>(what: string, value: T | null, issues: readonly Issue[]): T => {
  if (value !== null) return value;
  const [first] = issues;
  throw badImage(`${what} breaks the image specification`, {
    issues,
    ...(first === undefined ? {} : { why: `${first.pointer === "" ? "the document" : first.pointer} ${first.message}` }),
    hint: AGAIN,
  });
};

const utf8 = (bytes: Uint8Array, what: string): string => {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw badImage(`${what} is not UTF-8`, { hint: AGAIN, cause });
  }
};

// Documents are read synchronously: they are small, and every start reads them.
const readText = (dir: string, file: string): string => {
  try {
    return utf8(readFileSync(join(dir, file)), join(dir, file));
  } catch (cause) {
    const code = codeOf(cause);
    if (code === undefined) throw cause;
    if (code !== "ENOENT" && code !== "ENOTDIR") throw badImage(`${join(dir, file)} cannot be read: ${code}`, { cause });
    throw new Fault("E_NO_IMAGE", {
      message: `${dir} is not an OCI image layout: it has no ${file}`,
      hint: "name the directory that holds oci-layout and index.json",
      cause,
    });
  }
};

/** Which of an image's documents it is that is no JSON. */
const named = <T>(what: string, parse: () => T): T => {
  try {
    return parse();
  } catch (cause) {
    if (!(cause instanceof Fault) || cause.code !== "E_JSON") throw cause;
    throw new Fault("E_JSON", { message: `${what}: ${cause.message}`, issues: cause.issues, hint: AGAIN, cause });
  }
};

/** @throws Fault E_NO_IMAGE where `dir` is no layout, E_IMAGE or E_JSON where it is a broken one. */
export const readLayout = async (dir: string): Promise<ImageLayout> => {
  const marker = named(`${dir}/oci-layout`, () => parseLayout(readText(dir, "oci-layout")));
  demand(`${dir}/oci-layout`, marker.layout, marker.issues);
  const { index, issues } = named(`${dir}/index.json`, () => parseIndex(readText(dir, "index.json")));
  return { dir, index: demand(`${dir}/index.json`, index, issues) };
};

/** Where a blob lies. Only called with digests that the grammar accepted, so no part of it can lead elsewhere. */
const blobPath = (dir: string, digest: string): string => {
  const parsed = parseDigest(digest);
  if (parsed === null || (parsed.algorithm !== "sha256" && parsed.algorithm !== "sha512")) {
    throw badImage(`digest ${digest} cannot be verified`, { why: "only sha256 and sha512 are supported", hint: AGAIN });
  }
  return join(dir, "blobs", parsed.algorithm, parsed.encoded);
};

const mismatch = (what: string, { digest }: Content, why: string): Fault =>
  badImage(`${what} (${digest}) does not match its descriptor`, { why, hint: `the blob was damaged or changed; ${AGAIN}` });

/** @returns a descriptor of a regular file of the size that the image says. */
const openBlobFile = (layout: Pick<ImageLayout, "dir">, content: Content, what: string): number => {
  const path = blobPath(layout.dir, content.digest);
  let file: number;
  try {
    // O_NONBLOCK: a FIFO in the place of a blob must not block us for ever.
    file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    const code = codeOf(cause);
    if (code === "ENOENT")
      throw badImage(`${what} is missing: ${path}`, { why: "the layout names a blob that it does not hold", hint: AGAIN, cause });
    throw badImage(`${what} cannot be read: ${path}: ${code ?? "unknown error"}`, { cause });
  }
  const stat = fstatSync(file);
  if (stat.isFile() && stat.size === content.size) return file;
  closeSync(file);
  throw mismatch(
    what,
    content,
    stat.isFile() ? `it has ${stat.size} bytes, the descriptor says ${content.size}` : "it is not a regular file",
  );
};

const algorithmOf = (content: Content): string => parseDigest(content.digest)?.algorithm ?? "";

const demandDigest = (content: Content, what: string, found: string): void => {
  if (found !== parseDigest(content.digest)?.encoded) throw mismatch(what, content, `its content is ${algorithmOf(content)}:${found}`);
};

async function* verified(file: number, content: Content, what: string): AsyncGenerator<Buffer> {
  const hash = createHash(algorithmOf(content));
  let size = 0;
  // The stream closes the file, also when this is left early. The size is checked again: the file may grow while it is read.
  for await (const chunk of createReadStream("", { fd: file, highWaterMark: READ_CHUNK })) {
    const bytes = Buffer.isBuffer(chunk) ? chunk : Buffer.from(String(chunk));
    size += bytes.length;
    if (size > content.size) throw mismatch(what, content, `it has more than the ${content.size} bytes of its descriptor`);
    hash.update(bytes);
    yield bytes;
  }
  if (size !== content.size) throw mismatch(what, content, `it has ${size} bytes, the descriptor says ${content.size}`);
  demandDigest(content, what, hash.digest("hex"));
}

/**
 * A blob's content, verified as it passes: the stream fails at its end where the content is not what the descriptor
 * says, so nothing that was made of it may be used before the stream has ended.
 * @param what the blob's role, for messages: "layer 2 of 3"
 */
export const openBlob = async (layout: Pick<ImageLayout, "dir">, content: Content, what: string): Promise<Readable> => {
  const file = openBlobFile(layout, content, what);
  return Readable.from(verified(file, content, what), { objectMode: false, highWaterMark: READ_CHUNK });
};

/** A document's content, verified. @throws Fault E_IMAGE */
export const readBlob = (layout: Pick<ImageLayout, "dir">, content: Content, what: string): Buffer => {
  if (content.size > MAX_DOCUMENT)
    throw badImage(`${what} (${content.digest}) is too large`, { why: `it has ${content.size} bytes, the limit is ${MAX_DOCUMENT}` });
  const file = openBlobFile(layout, content, what);
  try {
    const bytes = readFileSync(file);
    if (bytes.length !== content.size) throw mismatch(what, content, `it has ${bytes.length} bytes, the descriptor says ${content.size}`);
    demandDigest(content, what, hashOf(algorithmOf(content), bytes));
    return bytes;
  } finally {
    closeSync(file);
  }
};

/** zod gives null for a member that is null, the platform rules want it absent. */
const specPlatform = ({ platform }: Descriptor): SpecPlatform | undefined =>
  platform === null || platform === undefined
    ? undefined
    : {
        os: platform.os,
        architecture: platform.architecture,
        variant: platform.variant ?? undefined,
        "os.version": platform["os.version"] ?? undefined,
        "os.features": platform["os.features"] ?? undefined,
      };

const choose = (machine: Platform, descriptors: readonly Descriptor[], what: string): Descriptor => {
  const views = descriptors.map((descriptor) => ({
    descriptor,
    mediaType: descriptor.mediaType,
    digest: descriptor.digest,
    platform: specPlatform(descriptor),
    annotations: descriptor.annotations ?? undefined,
  }));
  return choosePlatform(machine, views, what).descriptor;
};

/** The names that a layout's index gives its images, without repeats, in order. */
export const imageNames = (layout: ImageLayout): readonly string[] => [
  ...new Set(layout.index.manifests.flatMap(({ annotations }) => annotations?.[REF_NAME] ?? annotations?.[CONTAINERD_NAME] ?? [])),
];

const candidates = (layout: ImageLayout, name: string | null): readonly Descriptor[] => {
  const images = layout.index.manifests.filter(
    (d) => !isAttestation({ digest: d.digest, platform: specPlatform(d), annotations: d.annotations ?? undefined }),
  );
  const names = imageNames(layout);
  const listed = names.length === 0 ? "the layout gives no names" : `the layout has ${names.join(", ")}`;
  if (images.length === 0) throw new Fault("E_NO_IMAGE", { message: `${layout.dir} holds no image`, why: "index.json lists no manifest" });
  if (name !== null) {
    const named = images.filter(({ annotations }) => annotations?.[REF_NAME] === name || annotations?.[CONTAINERD_NAME] === name);
    if (named.length > 0) return named;
    throw new Fault("E_NO_IMAGE", {
      message: `${layout.dir} has no image named "${name}"`,
      why: listed,
      hint: `write oci:${layout.dir}${names.length === 0 ? "" : `:${names[0]}`}`,
    });
  }
  const distinct = new Set(images.map(({ annotations }) => annotations?.[REF_NAME] ?? annotations?.[CONTAINERD_NAME] ?? ""));
  if (distinct.size <= 1) return images;
  throw new Fault("E_NO_IMAGE", {
    message: `${layout.dir} holds several images`,
    why: listed,
    hint: `choose one: oci:${layout.dir}:${names[0] ?? "TAG"}`,
  });
};

const LAYER_ENCODINGS: Readonly<Record<string, "none" | "gzip" | "zstd">> = {
  [MEDIA_TYPES.ociLayerTar]: "none",
  [MEDIA_TYPES.ociLayerGzip]: "gzip",
  [MEDIA_TYPES.ociLayerZstd]: "zstd",
  [MEDIA_TYPES.dockerLayerGzip]: "gzip",
  [MEDIA_TYPES.dockerForeignLayerGzip]: "gzip",
  "application/vnd.docker.image.rootfs.diff.tar": "none",
  "application/vnd.docker.image.rootfs.diff.tar.zstd": "zstd",
  // Deprecated in image-spec 1.1, still in the wild (Windows base layers).
  "application/vnd.oci.image.layer.nondistributable.v1.tar": "none",
  "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip": "gzip",
  "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd": "zstd",
};

/** How a layer of this media type is compressed; null where it is no layer of a file system. */
export const layerEncoding = (mediaType: string): "none" | "gzip" | "zstd" | null => LAYER_ENCODINGS[mediaType] ?? null;

const resolveManifest = async (
  layout: ImageLayout,
  descriptor: Descriptor,
  machine: Platform,
  depth: number,
): Promise<readonly [Descriptor, Manifest]> => {
  const what = `${INDEX_TYPES.includes(descriptor.mediaType) ? "index" : "manifest"} ${descriptor.digest}`;
  if (INDEX_TYPES.includes(descriptor.mediaType)) {
    if (depth >= MAX_NESTING) throw badImage(`${what} is nested more than ${MAX_NESTING} deep`, { hint: AGAIN });
    const { index, issues } = parseIndex(utf8(readBlob(layout, descriptor, what), what));
    return resolveManifest(layout, choose(machine, demand(what, index, issues).manifests, what), machine, depth + 1);
  }
  if (!MANIFEST_TYPES.includes(descriptor.mediaType)) {
    throw badImage(`${what} is no image: its media type is ${descriptor.mediaType}`, { hint: `images have ${MEDIA_TYPES.ociManifest}` });
  }
  const { manifest, issues } = parseManifest(utf8(readBlob(layout, descriptor, what), what));
  return [descriptor, demand(what, manifest, issues)];
};

/**
 * Finds an image in a layout and reads its manifest and config.
 * @param name the tag (`REF_NAME`); null takes the only image there
 * @param machine chooses among platforms
 * @throws Fault E_NO_IMAGE where there is no such image, E_IMAGE where it is broken or runs on other machines only
 */
export const readImage = async (layout: ImageLayout, name: string | null, machine: Platform): Promise<LayoutImage> => {
  const subject = `oci:${layout.dir}${name === null ? "" : `:${name}`}`;
  const [manifestDescriptor, manifest] = await resolveManifest(layout, choose(machine, candidates(layout, name), subject), machine, 0);
  const configTypes: readonly string[] = [MEDIA_TYPES.ociConfig, MEDIA_TYPES.dockerConfig];
  if (!configTypes.includes(manifest.config.mediaType)) {
    throw badImage(`${subject} is an artifact, no image of a file system`, {
      why: `its config's media type is ${manifest.config.mediaType}`,
    });
  }
  const what = `config ${manifest.config.digest}`;
  const parsed = parseImageConfig(utf8(readBlob(layout, manifest.config, what), what));
  const config = demand(what, parsed.config, parsed.issues);
  const platform = platformFromSpec({
    os: config.os,
    architecture: config.architecture,
    variant: config.variant ?? undefined,
    "os.version": config["os.version"] ?? undefined,
    "os.features": config["os.features"] ?? undefined,
  });
  if (!platformMatches(machine, platform))
    throw badImage(`${subject} is for ${formatPlatform(platform)}`, { why: `this machine is ${formatPlatform(machine)}` });
  if (config.rootfs.diff_ids.length !== manifest.layers.length) {
    throw badImage(
      `${subject} has ${manifest.layers.length} layers, but its config tells the diff IDs of ${config.rootfs.diff_ids.length}`,
      { hint: AGAIN },
    );
  }
  return { manifestDescriptor, manifest, config };
};

/** A blob to be written, and its descriptor. */
export type NewBlob = { readonly descriptor: Descriptor; readonly bytes: Uint8Array };

export const newBlob = (mediaType: string, bytes: Uint8Array): NewBlob => ({
  descriptor: { mediaType, digest: `sha256:${createHash("sha256").update(bytes).digest("hex")}`, size: bytes.length },
  bytes,
});

/**
 * Writes a layout that appears whole: built beside `dir`, then renamed into its place.
 * @returns false where `dir` already holds the same index and nothing was written
 * @throws Fault E_STORAGE
 */
export const writeLayout = async (dir: string, index: Index, blobs: readonly NewBlob[]): Promise<boolean> => {
  const text = JSON.stringify(index);
  const same = await readFile(join(dir, "index.json"), "utf8").then(
    (old) => old === text,
    () => false,
  );
  if (same) return false;
  const fresh = `${dir}.new-${process.pid}`;
  const old = `${dir}.old-${process.pid}`;
  try {
    await rm(fresh, { recursive: true, force: true });
    for (const { descriptor, bytes } of blobs) {
      const path = blobPath(fresh, descriptor.digest);
      await mkdir(join(path, ".."), { recursive: true, mode: 0o755 });
      await writeFile(path, bytes, { mode: 0o644 });
    }
    await writeFile(join(fresh, "oci-layout"), JSON.stringify({ imageLayoutVersion: "1.0.0" }), { mode: 0o644 });
    await writeFile(join(fresh, "index.json"), text, { mode: 0o644 });
    // Two renames, because rename(2) replaces a directory only where that is empty.
    await rename(dir, old).catch((error: unknown) => {
      if (codeOf(error) !== "ENOENT") throw error;
    });
    await rename(fresh, dir);
    await rm(old, { recursive: true, force: true });
    return true;
  } catch (cause) {
    const cleaned = await rm(fresh, { recursive: true, force: true }).then(
      () => [],
      (error: unknown) => [error],
    );
    throw new Fault("E_STORAGE", {
      message: `the image layout ${dir} cannot be written: ${codeOf(cause) ?? "unknown error"}`,
      cause,
      suppressed: cleaned,
    });
  }
};
