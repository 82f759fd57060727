/**
 * Images: image-spec 1.1 (descriptor, index, manifest, config, layout), and Docker's schema 2 manifest and manifest
 * list, which have the same members under other media types.
 *
 * Docker and containerd write these documents with Go, for which `null` is an absent member, and images in the wild
 * have it ("Env": null); so optional members accept it, beyond what the specification's schema allows.
 */
import * as z from "zod/mini";
import type { Issue } from "#core/fault";
import { isDigest } from "./digest.ts";
import { anyObject, count, expecting, flag, int64, matching, text, textMap, texts } from "./fields.ts";
import { parseDocument, type Report } from "./issues.ts";

/** Absent, or null. */
const maybe = z.nullish;

export const MEDIA_TYPES = {
  ociIndex: "application/vnd.oci.image.index.v1+json",
  ociManifest: "application/vnd.oci.image.manifest.v1+json",
  ociConfig: "application/vnd.oci.image.config.v1+json",
  ociLayerTar: "application/vnd.oci.image.layer.v1.tar",
  ociLayerGzip: "application/vnd.oci.image.layer.v1.tar+gzip",
  ociLayerZstd: "application/vnd.oci.image.layer.v1.tar+zstd",
  ociEmpty: "application/vnd.oci.empty.v1+json",
  dockerManifestList: "application/vnd.docker.distribution.manifest.list.v2+json",
  dockerManifest: "application/vnd.docker.distribution.manifest.v2+json",
  dockerConfig: "application/vnd.docker.container.image.v1+json",
  dockerLayerGzip: "application/vnd.docker.image.rootfs.diff.tar.gzip",
  dockerForeignLayerGzip: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
} as const;

/** Media types of documents that list manifests, and of manifests. */
export const INDEX_TYPES: readonly string[] = [MEDIA_TYPES.ociIndex, MEDIA_TYPES.dockerManifestList];
export const MANIFEST_TYPES: readonly string[] = [MEDIA_TYPES.ociManifest, MEDIA_TYPES.dockerManifest];

// RFC 6838, section 4.2.
const mediaType = matching(/^[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}\/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}$/, "a media type");

const digest = expecting<string>(
  (value) => typeof value === "string" && isDigest(value),
  'a digest such as "sha256:" and 64 lower-case hexadecimal digits',
);

export const PlatformSchema = z.lazy(() =>
  z.object({
    architecture: text,
    os: text,
    "os.version": maybe(text),
    "os.features": maybe(texts),
    variant: maybe(text),
  }),
);

export const DescriptorSchema = z.lazy(() =>
  z.object({
    mediaType,
    digest,
    size: count,
    urls: maybe(texts),
    annotations: maybe(textMap),
    /** The content itself, in base64. */
    data: maybe(text),
    artifactType: maybe(mediaType),
    platform: maybe(PlatformSchema),
  }),
);

const schemaVersion = expecting<2>(
  (value) => value === 2,
  "the number 2",
  (found) => (found === 1 ? "schema 1 is obsolete: push the image anew with a current tool" : undefined),
);

// A document must not be readable as two kinds at once (CVE-2021-41190).
const otherKind = z.optional(expecting<never>(() => false, "no such member: a document is either an index or a manifest"));

/** An image index, or Docker's manifest list. */
export const IndexSchema = z.lazy(() =>
  z.object({
    schemaVersion,
    mediaType: maybe(mediaType),
    artifactType: maybe(mediaType),
    manifests: z.array(DescriptorSchema),
    layers: otherKind,
    config: otherKind,
    subject: maybe(DescriptorSchema),
    annotations: maybe(textMap),
  }),
);

/** An image manifest, or Docker's schema 2 manifest. */
export const ManifestSchema = z.lazy(() =>
  z.object({
    schemaVersion,
    mediaType: maybe(mediaType),
    artifactType: maybe(mediaType),
    config: DescriptorSchema,
    layers: z.array(DescriptorSchema),
    manifests: otherKind,
    subject: maybe(DescriptorSchema),
    annotations: maybe(textMap),
  }),
);

// RFC 3339, section 5.6; Go's zero time (0001-01-01T00:00:00Z) is common.
const dateTime = matching(
  /^\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])[Tt]([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)$/,
  'a date and time such as "2026-01-31T12:00:00Z"',
);

const emptyObjects = z.record(z.string(), anyObject);

/** What a container of the image runs with by default. */
export const RunConfigSchema = z.lazy(() =>
  z.object({
    User: maybe(text),
    ExposedPorts: maybe(emptyObjects),
    Env: maybe(texts),
    Entrypoint: maybe(texts),
    Cmd: maybe(texts),
    Volumes: maybe(emptyObjects),
    WorkingDir: maybe(text),
    Labels: maybe(textMap),
    StopSignal: maybe(text),
    ArgsEscaped: maybe(flag),
    // Docker's own, not in the specification.
    Shell: maybe(texts),
    OnBuild: maybe(texts),
    StopTimeout: maybe(int64),
    /** Durations in nanoseconds. */
    Healthcheck: maybe(
      z.object({
        Test: maybe(texts),
        Interval: maybe(int64),
        Timeout: maybe(int64),
        StartPeriod: maybe(int64),
        StartInterval: maybe(int64),
        Retries: maybe(int64),
      }),
    ),
  }),
);

export const ImageConfigSchema = z.lazy(() =>
  z.object({
    created: maybe(dateTime),
    author: maybe(text),
    architecture: text,
    variant: maybe(text),
    os: text,
    "os.version": maybe(text),
    "os.features": maybe(texts),
    config: maybe(RunConfigSchema),
    rootfs: z.object({ type: z.literal("layers"), diff_ids: z.array(digest) }),
    history: maybe(
      z.array(
        z.object({
          created: maybe(dateTime),
          created_by: maybe(text),
          author: maybe(text),
          comment: maybe(text),
          empty_layer: maybe(flag),
        }),
      ),
    ),
  }),
);

export const LayoutSchema = z.lazy(() =>
  z.object({
    imageLayoutVersion: expecting<"1.0.0">((value) => value === "1.0.0", 'the version "1.0.0"'),
  }),
);

export type Platform = z.infer<typeof PlatformSchema>;
export type Descriptor = z.infer<typeof DescriptorSchema>;
export type Index = z.infer<typeof IndexSchema>;
export type Manifest = z.infer<typeof ManifestSchema>;
export type RunConfig = z.infer<typeof RunConfigSchema>;
export type ImageConfig = z.infer<typeof ImageConfigSchema>;
export type Layout = z.infer<typeof LayoutSchema>;

type Outcome = { readonly issues: readonly Issue[]; readonly notes: readonly string[] };

/** A document's own media type, if any, is one of its kind (CVE-2021-41190 too). */
const checkKind = (
  document: { readonly mediaType?: string | null | undefined },
  kind: string,
  types: readonly string[],
  report: Report,
): void => {
  const own = document.mediaType;
  if (own !== undefined && own !== null && !types.includes(own))
    report.issue("/mediaType", `expected the media type of ${kind}, found ${JSON.stringify(own)}`);
};

/** An image index or Docker's manifest list. @throws Fault E_JSON */
export const parseIndex = (source: string): { readonly index: Index | null } & Outcome => {
  const { value, issues, notes } = parseDocument(source, IndexSchema, (index, report) => checkKind(index, "an index", INDEX_TYPES, report));
  return { index: value, issues, notes };
};

/** An image manifest or Docker's schema 2 manifest. @throws Fault E_JSON */
export const parseManifest = (source: string): { readonly manifest: Manifest | null } & Outcome => {
  const { value, issues, notes } = parseDocument(source, ManifestSchema, (manifest, report) =>
    checkKind(manifest, "a manifest", MANIFEST_TYPES, report),
  );
  return { manifest: value, issues, notes };
};

/** An image's config. @throws Fault E_JSON */
export const parseImageConfig = (source: string): { readonly config: ImageConfig | null } & Outcome => {
  const { value, issues, notes } = parseDocument(source, ImageConfigSchema, (config, report) => {
    const layers = (config.history ?? []).filter((entry) => entry.empty_layer !== true).length;
    const { length } = config.rootfs.diff_ids;
    if (layers > 0 && layers !== length) report.note("/history", `tells of ${layers} layers, where rootfs has ${length}`);
  });
  return { config: value, issues, notes };
};

/** The file `oci-layout`. @throws Fault E_JSON */
export const parseLayout = (source: string): { readonly layout: Layout | null } & Outcome => {
  const { value, issues, notes } = parseDocument(source, LayoutSchema);
  return { layout: value, issues, notes };
};
