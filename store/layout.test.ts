import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { suite } from "uvu";
import { equal, is, match, not, ok, unreachable } from "uvu/assert";
import { Fault, type FaultCode } from "#core/fault";
import type { Platform } from "#core/image/platform";
import { type Descriptor, type Index, MEDIA_TYPES } from "#core/spec/image";
import { buildEmbeddedImage } from "../scripts/embed-image.ts";
import { imageNames, layerEncoding, newBlob, openBlob, REF_NAME, readBlob, readImage, readLayout, writeLayout } from "./layout.ts";
import { buildTar, TAR_BLOCK } from "./tar.ts";

const work = mkdtempSync(join(tmpdir(), "layout-test-"));
let count = 0;
const place = (): string => join(work, String(count++));

const machine = (architecture: string): Platform => ({ os: "linux", architecture, variant: "", osVersion: "", osFeatures: [] });
const amd64 = machine("amd64");

const fails = async (code: FaultCode, message: RegExp, work: () => unknown): Promise<Fault> => {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    is(error.code, code, error.message);
    match(error.message, message);
    return error;
  }
  throw new Error("it did not fail");
};

const image = (architecture = "amd64", content = "program") => buildEmbeddedImage(Buffer.from(content), architecture, 0);

/** A layout of several images, each under a name of its own or none. */
const layoutOf = async (...images: readonly { name?: string; architecture?: string; content?: string }[]): Promise<string> => {
  const dir = place();
  const built = images.map(({ name, architecture, content }) => ({ name, ...image(architecture, content) }));
  const manifests = built.flatMap(({ name, index }) =>
    index.manifests.map((d): Descriptor => ({ ...d, annotations: name === undefined ? {} : { [REF_NAME]: name } })),
  );
  await writeLayout(
    dir,
    { schemaVersion: 2, manifests },
    built.flatMap(({ blobs }) => blobs),
  );
  return dir;
};

const indexFile = async (index: unknown): Promise<string> => {
  const dir = await layoutOf({});
  writeFileSync(join(dir, "index.json"), JSON.stringify(index));
  return dir;
};

const test = suite("layout");

test("tar: the same bytes whatever the order, as ustar says", () => {
  const a = { path: "a", type: "file", mode: 0o644, content: Buffer.from("x") } as const;
  const d = { path: "d", type: "directory", mode: 0o1777 } as const;
  const s = { path: "d/s", type: "symlink", mode: 0o777, target: "../a" } as const;
  const tar = buildTar([s, d, a], 86400);
  ok(tar.equals(buildTar([a, d, s], 86400)));
  is(tar.length, TAR_BLOCK * (2 + 1 + 1 + 2));
  is(tar.toString("latin1", 0, 1), "a");
  is(tar.toString("latin1", 257, 265), "ustar\x0000");
  is(tar.toString("latin1", 136, 147), "00000250600");
  is(createHash("sha256").update(tar).digest("hex"), "35b43e58c070e0cf183e84117cfb7210676d1c10c761df2c9173241597c63fa8");
});

test("tar: long names are cut at a slash, longer ones are refused", () => {
  const path = `${"p".repeat(120)}/${"n".repeat(99)}`;
  const tar = buildTar([{ path, type: "file", mode: 0o644, content: Buffer.alloc(0) }], 0);
  is(`${tar.toString("latin1", 345, 465)}/${tar.toString("latin1", 0, 99)}`, path);
  try {
    buildTar([{ path: "n".repeat(101), type: "file", mode: 0o644, content: Buffer.alloc(0) }], 0);
    unreachable();
  } catch (error) {
    ok(error instanceof Fault);
  }
});

test("the embedded image is a correct layout, reproducible, and SOURCE_DATE_EPOCH moves it", async () => {
  const dir = place();
  const { index, blobs } = image();
  is(await writeLayout(dir, index, blobs), true);
  is(await writeLayout(dir, image().index, image().blobs), false, "nothing is written when it is current");
  not.equal(buildEmbeddedImage(Buffer.from("program"), "amd64", 1).index, index);
  const layout = await readLayout(dir);
  equal(imageNames(layout), ["hello"]);
  const { manifest, config } = await readImage(layout, "hello", amd64);
  equal(config.config?.Entrypoint, ["/hello"]);
  is(config.created, "1970-01-01T00:00:00Z");
  const [layer] = manifest.layers;
  ok(layer);
  const tar = gunzipSync(await readBlob(layout, layer, "layer"));
  is(`sha256:${createHash("sha256").update(tar).digest("hex")}`, config.rootfs.diff_ids[0]);
  equal(
    readdirSync(join(dir, "..")).filter((name) => name.startsWith(`${dir.split("/").at(-1)}.`)),
    [],
    "nothing else is left",
  );
});

test("a new layout takes the place of an old one whole", async () => {
  const dir = place();
  await writeLayout(dir, image().index, image().blobs);
  writeFileSync(join(dir, "stray"), "");
  is(await writeLayout(dir, image("amd64", "other").index, image("amd64", "other").blobs), true);
  equal(readdirSync(dir).sort(), ["blobs", "index.json", "oci-layout"]);
  is(readdirSync(join(dir, "blobs/sha256")).length, 3);
});

test("other tools read the embedded image", async () => {
  const dir = await layoutOf({ name: "hello" });
  for (const [tool, args] of [
    ["skopeo", ["inspect", `oci:${dir}:hello`]],
    ["umoci", ["unpack", "--rootless", "--image", `${dir}:hello`, place()]],
  ] as const) {
    if (spawnSync(tool, ["--version"]).error !== undefined) console.log(`skip: ${tool} reads the embedded image: ${tool} is not installed`);
    else execFileSync(tool, args, { stdio: "pipe" });
  }
});

test("images are found by name; without one, the only image is taken", async () => {
  const two = await readLayout(await layoutOf({ name: "a", content: "1" }, { name: "b", content: "2" }));
  const digest = async (name: string | null): Promise<string> => (await readImage(two, name, amd64)).manifestDescriptor.digest;
  not.equal(await digest("a"), await digest("b"));
  const several = await fails("E_NO_IMAGE", /several images/, () => digest(null));
  match(several.why ?? "", /a, b/);
  const absent = await fails("E_NO_IMAGE", /no image named "c"/, () => digest("c"));
  match(absent.hint ?? "", /:a$/);
  await readImage(await readLayout(await layoutOf({})), null, amd64);
  await readImage(await readLayout(await layoutOf({ name: "x" })), null, amd64);
});

test("one name for several platforms: the machine decides", async () => {
  const layout = await readLayout(await layoutOf({ name: "x", architecture: "amd64" }, { name: "x", architecture: "arm64" }));
  for (const architecture of ["amd64", "arm64"])
    is((await readImage(layout, "x", machine(architecture))).config.architecture, architecture);
  const fault = await fails("E_IMAGE", /no manifest for linux\/s390x/, () => readImage(layout, null, machine("s390x")));
  match(fault.why ?? "", /linux\/amd64, linux\/arm64/);
});

test("an index in an index, but not without end", async () => {
  const { index, blobs } = image();
  const nested = (depth: number, inner: Index): { index: Index; blobs: typeof blobs } => {
    if (depth === 0) return { index: inner, blobs };
    const blob = newBlob(MEDIA_TYPES.ociIndex, Buffer.from(JSON.stringify(inner)));
    const outer = nested(depth - 1, { schemaVersion: 2, manifests: [blob.descriptor] });
    return { index: outer.index, blobs: [...outer.blobs, blob] };
  };
  for (const [depth, good] of [
    [1, true],
    [4, true],
    [5, false],
  ] as const) {
    const dir = place();
    const made = nested(depth, index);
    await writeLayout(dir, made.index, made.blobs);
    const read = async () => readImage(await readLayout(dir), null, amd64);
    if (good) is((await read()).config.architecture, "amd64");
    else await fails("E_IMAGE", /nested/, read);
  }
});

test("a config for another machine than its index says is refused", async () => {
  const { index, blobs } = image("arm64");
  const dir = place();
  await writeLayout(
    dir,
    { ...index, manifests: index.manifests.map((d) => ({ ...d, platform: { os: "linux", architecture: "amd64" } })) },
    blobs,
  );
  await fails("E_IMAGE", /is for linux\/arm64/, async () => readImage(await readLayout(dir), null, amd64));
});

test("what is no layout, and broken ones", async () => {
  await fails("E_NO_IMAGE", /no oci-layout/, () => readLayout(place()));
  const noIndex = await layoutOf({});
  rmSync(join(noIndex, "index.json"));
  await fails("E_NO_IMAGE", /no index\.json/, () => readLayout(noIndex));
  const version = await layoutOf({});
  writeFileSync(join(version, "oci-layout"), '{"imageLayoutVersion":"2.0.0"}');
  await fails("E_IMAGE", /oci-layout/, () => readLayout(version));
  await fails("E_JSON", /line 1/, async () => {
    const dir = await layoutOf({});
    writeFileSync(join(dir, "index.json"), "{");
    return readLayout(dir);
  });
  const fault = await fails("E_IMAGE", /index\.json/, async () =>
    readLayout(await indexFile({ schemaVersion: 2, manifests: [{ mediaType: "x/y", digest: "sha256:../../etc", size: 1 }] })),
  );
  is(fault.issues[0]?.pointer, "/manifests/0/digest");
  await fails("E_NO_IMAGE", /holds no image/, async () =>
    readImage(await readLayout(await indexFile({ schemaVersion: 2, manifests: [] })), null, amd64),
  );
});

test("blobs are verified by size and digest as they are read", async () => {
  const dir = await layoutOf({});
  const content = Buffer.alloc(3_000_000, 7);
  const { descriptor } = newBlob(MEDIA_TYPES.ociLayerTar, content);
  const path = join(dir, "blobs", descriptor.digest.replace(":", "/"));
  const layout = { dir };
  const missing = await fails("E_IMAGE", /layer 1 of 1 is missing/, () => readBlob(layout, descriptor, "layer 1 of 1"));
  match(missing.message, /blobs\/sha256/);
  writeFileSync(path, content);
  ok((await readBlob(layout, descriptor, "layer")).equals(content));
  let read = 0;
  for await (const chunk of await openBlob(layout, descriptor, "layer")) read += chunk.length;
  is(read, content.length);
  content[1_500_000] = 8;
  writeFileSync(path, content);
  const changed = await fails("E_IMAGE", /does not match its descriptor/, () => readBlob(layout, descriptor, "layer"));
  match(changed.why ?? "", /its content is sha256:/);
  truncateSync(path, 100);
  match((await fails("E_IMAGE", /does not match/, () => readBlob(layout, descriptor, "layer"))).why ?? "", /100 bytes.*3000000/);
  rmSync(path);
  mkdirSync(path);
  match((await fails("E_IMAGE", /does not match/, () => readBlob(layout, descriptor, "layer"))).why ?? "", /not a regular file/);
  rmSync(path, { recursive: true });
  execFileSync("mkfifo", [path]);
  await fails("E_IMAGE", /does not match/, () => readBlob(layout, descriptor, "layer"));
  await fails("E_IMAGE", /cannot be verified/, () =>
    readBlob(layout, { digest: "md5:d41d8cd98f00b204e9800998ecf8427e", size: 0 }, "layer"),
  );
  await fails("E_IMAGE", /too large/, () => readBlob(layout, { ...descriptor, size: 2 ** 40 }, "layer"));
});

test("sha512 is verified too, and a blob may be a link to a file", async () => {
  const dir = await layoutOf({});
  const content = Buffer.from("content");
  const encoded = createHash("sha512").update(content).digest("hex");
  mkdirSync(join(dir, "blobs/sha512"));
  writeFileSync(join(dir, "elsewhere"), content);
  symlinkSync("../../elsewhere", join(dir, "blobs/sha512", encoded));
  is((await readBlob({ dir }, { digest: `sha512:${encoded}`, size: 7 }, "x")).toString(), "content");
});

test("artifacts and media types that are no image", async () => {
  const { index, blobs } = image();
  const [layer, config] = blobs;
  ok(layer && config);
  const manifest = newBlob(
    MEDIA_TYPES.ociManifest,
    Buffer.from(JSON.stringify({ schemaVersion: 2, config: { ...config.descriptor, mediaType: MEDIA_TYPES.ociEmpty }, layers: [] })),
  );
  const dir = place();
  await writeLayout(dir, { ...index, manifests: [manifest.descriptor] }, [...blobs, manifest]);
  await fails("E_IMAGE", /artifact/, async () => readImage(await readLayout(dir), null, amd64));
  await fails("E_IMAGE", /is no image/, async () =>
    readImage(
      await readLayout(await indexFile({ schemaVersion: 2, manifests: [{ ...layer.descriptor, mediaType: "text/plain" }] })),
      null,
      amd64,
    ),
  );
  equal(
    [layerEncoding(MEDIA_TYPES.ociLayerZstd), layerEncoding(MEDIA_TYPES.dockerLayerGzip), layerEncoding("application/wasm")],
    ["zstd", "gzip", null],
  );
});

test("a config that tells of other layers than the manifest has", async () => {
  const { blobs } = image();
  const [layer, config] = blobs;
  ok(layer && config);
  const manifest = newBlob(
    MEDIA_TYPES.ociManifest,
    Buffer.from(JSON.stringify({ schemaVersion: 2, config: config.descriptor, layers: [layer.descriptor, layer.descriptor] })),
  );
  const dir = place();
  await writeLayout(dir, { schemaVersion: 2, manifests: [manifest.descriptor] }, [...blobs, manifest]);
  await fails("E_IMAGE", /has 2 layers/, async () => readImage(await readLayout(dir), null, amd64));
});

test("a place that cannot be written is named, and nothing is left", async () => {
  const file = place();
  writeFileSync(file, "");
  await fails("E_STORAGE", /ENOTDIR/, () => writeLayout(join(file, "x"), image().index, image().blobs));
  is(statSync(file).size, 0);
  is(readFileSync(file).length, 0);
});

test.after(() => rmSync(work, { recursive: true }));

test.run();
