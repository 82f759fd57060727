/**
 * Makes the embedded image: `dist/image/`, an OCI layout with one gzip layer that holds native/build/hello. The bytes
 * depend on nothing but that program, this file, zlib (pinned with Node) and SOURCE_DATE_EPOCH, so that two machines
 * make the same image (reproducible-builds.org/specs/source-date-epoch).
 *
 *     node scripts/embed-image.ts [--hello FILE] [--out DIR]
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { gzipSync } from "node:zlib";
import { Fault } from "#core/fault";
import { type ImageConfig, type Index, type Manifest, MEDIA_TYPES } from "#core/spec/image";
import { newBlob, REF_NAME, writeLayout } from "#store/layout";
import { buildTar, type TarEntry } from "#store/tar";

/** The tag in the layout, and the name that `coracle run` knows the image by. */
const NAME = "hello";

/** `e_machine` of the ELF header (elf(5)) → GOARCH: the program itself says which machine it is for. */
const ELF_MACHINES: Readonly<Record<number, string>> = { 0x03: "386", 0x28: "arm", 0x3e: "amd64", 0xb7: "arm64", 0xf3: "riscv64" };

const architectureOf = (program: Buffer, path: string): string => {
  const architecture =
    program.length < 20 || program.toString("latin1", 0, 4) !== "\x7fELF" ? undefined : ELF_MACHINES[program.readUInt16LE(18)];
  if (architecture === undefined)
    throw new Fault("E_NATIVE_MISSING", { message: `${path} is not a program for a machine that we know`, hint: "npm run build:native" });
  return architecture;
};

const text = (lines: readonly string[]): Buffer => Buffer.from(lines.map((line) => `${line}\n`).join(""));

const entriesOf = (hello: Buffer): readonly TarEntry[] => [
  { path: "hello", type: "file", mode: 0o755, content: hello },
  { path: "etc", type: "directory", mode: 0o755 },
  {
    path: "etc/passwd",
    type: "file",
    mode: 0o644,
    content: text(["root:x:0:0:root:/root:/hello", "nobody:x:65534:65534:nobody:/:/hello"]),
  },
  { path: "etc/group", type: "file", mode: 0o644, content: text(["root:x:0:", "nogroup:x:65534:"]) },
  { path: "root", type: "directory", mode: 0o700 },
  { path: "tmp", type: "directory", mode: 0o1777 },
  // Mount points: so the image also starts where its root cannot be written.
  ...["dev", "proc", "sys"].map((path): TarEntry => ({ path, type: "directory", mode: 0o755 })),
];

/** The blobs and the index of the image. Pure but for the compressor. @param epoch seconds since 1970 */
export const buildEmbeddedImage = (hello: Buffer, architecture: string, epoch: number) => {
  const tar = buildTar(entriesOf(hello), epoch);
  const created = new Date(epoch * 1000).toISOString().replace(".000Z", "Z");
  const layer = newBlob(MEDIA_TYPES.ociLayerGzip, gzipSync(tar, { level: 9 }));
  const config = newBlob(
    MEDIA_TYPES.ociConfig,
    Buffer.from(
      JSON.stringify({
        created,
        architecture,
        os: "linux",
        config: {
          Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
          Entrypoint: ["/hello"],
          WorkingDir: "/",
          Labels: {
            "org.opencontainers.image.title": NAME,
            "org.opencontainers.image.description": "Prints who and where it is: proof at a glance that a container is one",
          },
        },
        rootfs: { type: "layers", diff_ids: [newBlob(MEDIA_TYPES.ociLayerTar, tar).descriptor.digest] },
        history: [{ created, created_by: "scripts/embed-image.ts" }],
      } satisfies ImageConfig),
    ),
  );
  const manifest = newBlob(
    MEDIA_TYPES.ociManifest,
    Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: MEDIA_TYPES.ociManifest,
        config: config.descriptor,
        layers: [layer.descriptor],
      } satisfies Manifest),
    ),
  );
  const index: Index = {
    schemaVersion: 2,
    mediaType: MEDIA_TYPES.ociIndex,
    manifests: [{ ...manifest.descriptor, platform: { architecture, os: "linux" }, annotations: { [REF_NAME]: NAME } }],
  };
  return { index, blobs: [layer, config, manifest] };
};

const main = async (): Promise<void> => {
  const root = join(import.meta.dirname, "..");
  const { values } = parseArgs({ options: { hello: { type: "string" }, out: { type: "string" } } });
  const path = values.hello ?? join(root, "native/build/hello");
  const epoch = Number(process.env["SOURCE_DATE_EPOCH"] ?? "0");
  if (!Number.isSafeInteger(epoch) || epoch < 0)
    throw new Fault("E_USAGE", { message: "SOURCE_DATE_EPOCH is not a number of seconds since 1970" });
  const hello = await readFile(path).catch((cause: unknown) => {
    throw new Fault("E_NATIVE_MISSING", { message: `${path} cannot be read`, hint: "npm run build:native", cause });
  });
  const { index, blobs } = buildEmbeddedImage(hello, architectureOf(hello, path), epoch);
  await writeLayout(values.out ?? join(root, "dist/image"), index, blobs);
};

if (import.meta.main) await main();
