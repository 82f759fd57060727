import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { suite } from "uvu";
import { equal, is, match, ok } from "uvu/assert";
import { Fault, type FaultCode } from "#core/fault";
import { type Descriptor, type ImageConfig, MEDIA_TYPES } from "#core/spec/image";
import { buildEmbeddedImage } from "../scripts/embed-image.ts";
import { type LayoutImage, newBlob, readImage, readLayout, writeLayout } from "./layout.ts";
import { chainIds, type PreparedImage, prepareImage, type RunInUserns, removeLayer, type SnapshotHost } from "./snapshot.ts";
import { buildTar, type TarEntry } from "./tar.ts";

const native = join(import.meta.dirname, "../native/build");
const untar = join(native, "untar");
const work = mkdtempSync(join(tmpdir(), "snapshot-test-"));
let count = 0;
const place = (): string => join(work, String(count++));

const unshare =
  (flags: readonly string[], seen: string[][] = []): RunInUserns =>
  async (program, args, stdin) => {
    seen.push([...args]);
    const child = spawn("unshare", ["--user", "--map-root-user", ...flags, program, ...args], { stdio: ["pipe", "pipe", "pipe"] });
    const feed = stdin === null ? Promise.resolve(void child.stdin.end()) : pipeline(stdin, child.stdin).catch(() => undefined);
    const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "close"), feed]);
    return { code: child.exitCode, stdout, stderr };
  };

const hostOf = (more: Partial<SnapshotHost> = {}): SnapshotHost => ({
  storage: place(),
  untar,
  runInUserns: unshare([]),
  idMap: null,
  ...more,
});

const reasonAgainst = (flags: readonly string[]): string | null => {
  const { status, stderr, error } = spawnSync("unshare", ["--user", "--map-root-user", ...flags, "true"], { encoding: "utf8" });
  return status === 0 ? null : (error?.message ?? stderr.trim());
};

const file = (path: string, content = path): TarEntry => ({ path, type: "file", mode: 0o644, content: Buffer.from(content) });
const dir = (path: string, mode = 0o755): TarEntry => ({ path, type: "directory", mode });

type Spec = { readonly tar: Buffer; readonly mediaType?: string; readonly bytes?: Buffer; readonly diffId?: string };

/** An image of layers as given; the bytes of each are made from its tar unless they are given too. */
const makeImage = async (specs: readonly Spec[]): Promise<{ layout: { dir: string }; image: LayoutImage }> => {
  const layout = { dir: place() };
  const layers = specs.map(({ tar, mediaType = MEDIA_TYPES.ociLayerGzip, bytes }) => {
    const encode =
      mediaType === MEDIA_TYPES.ociLayerTar
        ? (b: Buffer) => b
        : mediaType === MEDIA_TYPES.ociLayerZstd
          ? (b: Buffer) => zstdCompressSync(b)
          : (b: Buffer) => gzipSync(b);
    return newBlob(mediaType, bytes ?? encode(tar));
  });
  const config: ImageConfig = {
    architecture: "amd64",
    os: "linux",
    rootfs: { type: "layers", diff_ids: specs.map(({ tar, diffId }) => diffId ?? newBlob("x/y", tar).descriptor.digest) },
  };
  const descriptor: Descriptor = newBlob(MEDIA_TYPES.ociManifest, Buffer.from("{}")).descriptor;
  await writeLayout(layout.dir, { schemaVersion: 2, manifests: [] }, layers);
  return {
    layout,
    image: {
      manifestDescriptor: descriptor,
      manifest: { schemaVersion: 2, config: descriptor, layers: layers.map((l) => l.descriptor) },
      config,
    },
  };
};

const prepare = async (host: SnapshotHost, specs: readonly Spec[]): Promise<PreparedImage> => {
  const { layout, image } = await makeImage(specs);
  return prepareImage(host, layout, image, { sync: false });
};

const fails = async (code: FaultCode, message: RegExp, work: () => Promise<unknown>): Promise<Fault> => {
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

const left = (host: SnapshotHost): readonly string[] =>
  existsSync(join(host.storage, "layers")) ? readdirSync(join(host.storage, "layers")) : [];

const base = buildTar([dir("etc"), file("etc/passwd"), file("gone"), dir("tmp", 0o1777)], 0);
const top = buildTar([file(".wh.gone", ""), file("new"), file("tmp/x")], 0);

const test = suite("snapshot");
const reason = reasonAgainst([]);
const testHere = (name: string, body: () => Promise<void>): void => {
  if (reason === null) test(name, body);
  else console.log(`skip: ${name}: ${reason}`);
};

test("untar is built", () => ok(existsSync(untar), "make -C native"));

test("chain IDs are those of the specification", () => {
  const [a, b] = [`sha256:${"a".repeat(64)}`, `sha256:${"b".repeat(64)}`];
  // printf '%s %s' "$a" "$b" | sha256sum
  equal(chainIds([a, b]), [a, "sha256:ccd722928bd92476ba1745586fed6e45a102504185ad88cd89e01ff116fd146c"]);
  equal(chainIds([]), []);
});

testHere("layers are unpacked once, in order, and mean what they mean", async () => {
  const seen: string[][] = [];
  const host = hostOf({ runInUserns: unshare([], seen) });
  const { layout, image } = await makeImage([{ tar: base }, { tar: top }]);
  const first = await prepareImage(host, layout, image, { sync: false });
  is(first.layers.length, 2);
  is(first.digest, image.manifestDescriptor.digest);
  equal(first.notes, []);
  const [lower = "", upper = ""] = first.layers;
  is(readFileSync(join(lower, "etc/passwd"), "utf8"), "etc/passwd");
  ok(statSync(join(upper, "gone")).isCharacterDevice());
  is(statSync(join(upper, "tmp")).mode & 0o7777, 0o1777, "from the layer below");
  is(statSync(join(host.storage, "layers")).mode & 0o777, 0o700);
  const runs = seen.length;
  equal((await prepareImage(host, layout, image)).layers, first.layers);
  is(seen.length, runs, "nothing is run when all is there");
  equal(
    left(host).filter((name) => /new|lock/.test(name)),
    [],
  );
  ok(lower.length - host.storage.length < 40, "short, for overlayfs's page of options");
});

testHere("the embedded image runs from its layer", async () => {
  const hello = join(native, "hello");
  if (!existsSync(hello)) return console.log("skip: the embedded image runs from its layer: hello is not built");
  const { index, blobs } = buildEmbeddedImage(readFileSync(hello), "amd64", 0);
  const layoutDir = place();
  await writeLayout(layoutDir, index, blobs);
  const layout = await readLayout(layoutDir);
  const image = await readImage(layout, "hello", { os: "linux", architecture: "amd64", variant: "", osVersion: "", osFeatures: [] });
  const { layers } = await prepareImage(hostOf(), layout, image);
  is(spawnSync(join(layers[0] ?? "", "hello"), ["echo", "it", "runs"], { encoding: "utf8" }).stdout, "it runs\n");
});

testHere("gzip, zstd and plain layers give the same tree", async () => {
  for (const mediaType of [MEDIA_TYPES.ociLayerGzip, MEDIA_TYPES.ociLayerZstd, MEDIA_TYPES.ociLayerTar, MEDIA_TYPES.dockerLayerGzip]) {
    const { layers } = await prepare(hostOf(), [{ tar: base, mediaType }]);
    equal(readdirSync(layers[0] ?? "").sort(), ["etc", "gone", "tmp"], mediaType);
  }
});

testHere("a gzip stream of several members", async () => {
  const bytes = Buffer.concat([gzipSync(base.subarray(0, 700)), gzipSync(base.subarray(700))]);
  is((await prepare(hostOf(), [{ tar: base, bytes }])).layers.length, 1);
});

testHere("the same layer on other layers is another one, and under another id map too", async () => {
  const host = hostOf();
  const [alone] = (await prepare(host, [{ tar: top }])).layers;
  const [, above] = (await prepare(host, [{ tar: base }, { tar: top }])).layers;
  const [mapped] = (await prepare({ ...host, idMap: "0:1000:1" }, [{ tar: top }])).layers;
  is(new Set([alone, above, mapped]).size, 3);
});

testHere("at once, within one process: each layer is unpacked one time", async () => {
  const seen: string[][] = [];
  const host = hostOf({ runInUserns: unshare([], seen) });
  const { layout, image } = await makeImage([{ tar: base }, { tar: top }]);
  const all = await Promise.all(Array.from({ length: 4 }, () => prepareImage(host, layout, image, { sync: false })));
  for (const { layers } of all) equal(layers, all[0]?.layers);
  is(seen.filter((args) => !args.includes("--remove")).length, 2);
});

testHere("what one who died has left is cleared away", async () => {
  const host = hostOf();
  const { layout, image } = await makeImage([{ tar: base }]);
  const [diff = ""] = (await prepareImage(host, layout, image, { sync: false })).layers;
  const layer = join(diff, "..");
  // Half a layer in the making, a target without its record, and a lock that nobody holds.
  rmSync(join(layer, "layer.json"));
  rmSync(join(diff, "etc"), { recursive: true });
  mkdirSync(join(`${layer}.new`, "diff/junk"), { recursive: true });
  chmodSync(join(`${layer}.new`, "diff/junk"), 0);
  writeFileSync(`${layer}.lock`, "");
  await prepareImage(host, layout, image, { sync: false });
  equal(readdirSync(diff).sort(), ["etc", "gone", "tmp"]);
  equal(left(host).length, 1);
});

testHere("kill -9 in the midst of unpacking: the next one succeeds", async () => {
  const host = hostOf();
  const big = buildTar([dir("d"), ...Array.from({ length: 2000 }, (_, i) => file(`d/${i}`))], 0);
  const { layout, image } = await makeImage([{ tar: big }]);
  for (let i = 0; i < 5; i++) {
    const killed = new AbortController();
    const runInUserns: RunInUserns = async (program, args, stdin) => {
      if (args.includes("--remove")) return host.runInUserns(program, args, stdin);
      const child = spawn("unshare", ["--user", "--map-root-user", program, ...args], {
        stdio: ["pipe", "pipe", "pipe"],
        signal: killed.signal,
        killSignal: "SIGKILL",
      });
      child.on("error", () => undefined);
      setTimeout(() => killed.abort(), 2 + i * 4);
      if (stdin !== null) await pipeline(stdin, child.stdin).catch(() => undefined);
      if (child.exitCode === null && child.signalCode === null) await once(child, "close");
      // As if this process had died as well: nothing is cleaned up.
      return { code: child.exitCode, stdout: "", stderr: "" };
    };
    const outcome = await prepareImage({ ...host, runInUserns }, layout, image, { sync: false }).catch((error: unknown) => error);
    // It may have been quicker than the signal: then its report is missing.
    ok(outcome instanceof Fault && ["E_EXECUTOR_VANISHED", "E_INTERNAL"].includes(outcome.code), String(outcome));
  }
  const { layers } = await prepareImage(host, layout, image, { sync: false });
  is(readdirSync(join(layers[0] ?? "", "d")).length, 2000);
});

testHere("layers that are not what they say: each with its fault, and nothing left", async () => {
  const host = hostOf();
  const damaged = gzipSync(base);
  const cases: readonly (readonly [FaultCode, RegExp, Spec])[] = [
    ["E_IMAGE", /diff ID/, { tar: base, diffId: `sha256:${"0".repeat(64)}` }],
    ["E_IMAGE", /cannot be decompressed: Z_/, { tar: base, bytes: Buffer.concat([damaged.subarray(0, 40), Buffer.alloc(100, 0xff)]) }],
    ["E_IMAGE", /cannot be decompressed: Z_/, { tar: base, bytes: damaged.subarray(0, -20) }],
    ["E_IMAGE", /media type/, { tar: base, mediaType: "text/plain" }],
    ["E_IMAGE", /"..\/evil": name: EXDEV/, { tar: buildTar([file("../evil")], 0) }],
    ["E_IMAGE", /checksum/, { tar: Buffer.alloc(1024, 65) }],
    ["E_IMAGE", /truncated/, { tar: base.subarray(0, 700) }],
  ];
  for (const [code, message, spec] of cases) {
    await fails(code, message, () => prepare(host, [spec]));
    equal(left(host), [], String(message));
  }
});

testHere("a blob that changed on disk is refused, though its content unpacks", async () => {
  const host = hostOf();
  const { layout, image } = await makeImage([{ tar: Buffer.concat([base, Buffer.alloc(1024)]), mediaType: MEDIA_TYPES.ociLayerTar }]);
  const path = join(layout.dir, "blobs", (image.manifest.layers[0]?.digest ?? "").replace(":", "/"));
  const bytes = readFileSync(path);
  bytes[bytes.length - 1] = 1; // behind the end of the archive: only the digest sees it
  writeFileSync(path, bytes);
  await fails("E_IMAGE", /layer 1 of 1 .* does not match its descriptor/, () => prepareImage(host, layout, image, { sync: false }));
  equal(left(host), []);
  bytes[0] = 0xff; // untar stops at once, and the digest is still named as the cause
  writeFileSync(path, bytes);
  await fails("E_IMAGE", /does not match its descriptor/, () => prepareImage(host, layout, image, { sync: false }));
});

testHere("limits hold for a bomb", async () => {
  const host = hostOf();
  const { layout, image } = await makeImage([
    { tar: buildTar([{ path: "zeros", type: "file", mode: 0o644, content: Buffer.alloc(1 << 24) }], 0) },
  ]);
  await fails("E_IMAGE", /limit-bytes/, () => prepareImage(host, layout, image, { maxBytes: 1 << 20, sync: false }));
  await fails("E_IMAGE", /limit-entries/, () =>
    prepare(host, [{ tar: base }]).then(() =>
      makeImage([{ tar: top }]).then((made) => prepareImage(host, made.layout, made.image, { maxEntries: 2, sync: false })),
    ),
  );
});

testHere("an untar that is killed, or absent, is named", async () => {
  await fails("E_EXECUTOR_VANISHED", /by a signal/, () =>
    prepare(
      hostOf({
        runInUserns: async (program, args, stdin) =>
          args.includes("--remove") ? unshare([])(program, args, stdin) : { code: null, stdout: "", stderr: "" },
      }),
      [{ tar: base }],
    ),
  );
  await fails("E_NATIVE_MISSING", /cannot be run: ENOENT/, () => prepare(hostOf({ untar: "/nonexistent/untar" }), [{ tar: base }]));
});

testHere("storage that cannot be written is named", async () => {
  const storage = place();
  writeFileSync(storage, "");
  await fails("E_STORAGE", /cannot be made: (ENOTDIR|EEXIST)/, () => prepare(hostOf({ storage }), [{ tar: base }]));
});

testHere("what could not be kept is told", async () => {
  const header = Buffer.from(buildTar([file("null", "")], 0));
  header.write("3", 156, "latin1");
  header.write("0000001\x000000003\x00", 329, "latin1");
  let sum = 256;
  for (let i = 0; i < 512; i++) if (i < 148 || i >= 156) sum += header[i] ?? 0;
  header.write(`${sum.toString(8).padStart(6, "0")}\x00 `, 148, "latin1");
  const host = hostOf();
  const notes = ["layer 1 of 1: null: device node skipped"];
  equal((await prepare(host, [{ tar: header }])).notes, notes);
  equal((await prepare(host, [{ tar: header }])).notes, notes, "also when it is there already");
});

const fullReason = reasonAgainst(["--map-auto"]);
if (fullReason !== null) console.log(`skip: owners of subordinate ids: ${fullReason}`);
else {
  test("owners of subordinate ids, and the removal of what the user alone could not remove", async () => {
    const host = hostOf({ runInUserns: unshare(["--map-auto"]), idMap: "0:1000:1,1:100000:65536" });
    const tar = buildTar(
      [
        { path: "d", type: "directory", mode: 0o700, uid: 33, gid: 33 },
        { path: "d/f", type: "file", mode: 0o600, uid: 33, content: Buffer.from("x") },
      ],
      0,
    );
    const { layers } = await prepare(host, [{ tar }]);
    const { uid } = statSync(join(layers[0] ?? "", "d"));
    ok(uid !== process.getuid?.() && uid !== 33, `${uid}`);
    const [chain = ""] = chainIds([newBlob("x/y", tar).descriptor.digest]);
    await removeLayer(host, chain);
    equal(left(host), []);
    await removeLayer(host, chain);
    const fault = await fails("E_SUBID", /"f": chown: EINVAL/, () =>
      prepare(host, [{ tar: buildTar([{ ...file("f"), uid: 2_000_000 }], 0) }]),
    );
    match(fault.hint ?? "", /subuid/);
  });
}

test.after(
  () => void spawnSync("unshare", ["--user", "--map-root-user", ...(fullReason === null ? ["--map-auto"] : []), untar, "--remove", work]),
);

test.run();
