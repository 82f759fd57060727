import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { test } from "uvu";
import { equal, is } from "uvu/assert";
import { Fault } from "#core/fault";
import { type ImageConfig, MEDIA_TYPES } from "#core/spec/image";
import { newBlob, writeLayout } from "./layout.ts";
import { readImageFiles } from "./read-files.ts";
import { buildTar, type TarEntry } from "./tar.ts";

const work = mkdtempSync(join(tmpdir(), "read-files-test-"));
process.on("exit", () => rmSync(work, { recursive: true, force: true }));
let count = 0;

const file = (path: string, content: string): TarEntry => ({ path, type: "file", mode: 0o644, content: Buffer.from(content) });
const config: ImageConfig = { architecture: "amd64", os: "linux", rootfs: { type: "layers", diff_ids: [] } };

const read = async (tars: readonly Buffer[], damage = (_: string): void => undefined): Promise<unknown> => {
  const dir = join(work, String(count++));
  const layers = tars.map((tar, i) =>
    i % 2 === 0 ? newBlob(MEDIA_TYPES.ociLayerGzip, gzipSync(tar)) : newBlob(MEDIA_TYPES.ociLayerZstd, zstdCompressSync(tar)),
  );
  await writeLayout(dir, { schemaVersion: 2, manifests: [] }, layers);
  damage(dir);
  const descriptor = newBlob(MEDIA_TYPES.ociConfig, Buffer.from("{}")).descriptor;
  const image = { manifest: { schemaVersion: 2 as const, config: descriptor, layers: layers.map((l) => l.descriptor) }, config };
  return readImageFiles({ dir }, image, ["etc/passwd", "etc/group"]);
};
const tar = (...entries: readonly TarEntry[]): Buffer => buildTar(entries, 0);
const base = tar(
  { path: "etc", type: "directory", mode: 0o755 },
  file("a/big", "x".repeat(70_000)),
  file("etc/passwd", "base"),
  file("etc/group", "g"),
);
const both = (passwd: string | null, group: string | null) => ({ "etc/passwd": passwd, "etc/group": group });

test("the topmost layer decides", async () => {
  equal(await read([base]), both("base", "g"));
  equal(await read([base, tar(file("etc/passwd", "top"))]), both("top", "g"));
  equal(await read([tar(file("x", "y"))]), both(null, null));
  equal(await read([base, tar(file("etc/.wh.passwd", ""))]), both(null, "g"));
  equal(await read([base, tar(file("etc/.wh.passwd", "")), tar(file("etc/passwd", "again"))]), both("again", "g"));
  equal(await read([base, tar(file(".wh.etc", ""))]), both(null, null));
  equal(await read([base, tar(file("etc/.wh..wh..opq", ""), file("etc/group", "new"))]), both(null, "new"));
  equal(await read([base, tar({ path: "etc", type: "symlink", target: "/other", mode: 0o777 })]), both(null, null));
  equal(await read([base, tar({ path: "etc/passwd", type: "symlink", target: "/host", mode: 0o777 })]), both(null, "g"));
});

test("what GNU tar writes: ./ before names, long names, pax headers", async () => {
  const at = join(work, "tree");
  mkdirSync(join(at, "etc"), { recursive: true });
  mkdirSync(join(at, "a".repeat(150), "b".repeat(150)), { recursive: true });
  writeFileSync(join(at, "a".repeat(150), "b".repeat(150), "deep"), "deep");
  writeFileSync(join(at, "etc/passwd"), "gnu");
  symlinkSync("/x", join(at, "etc/group"));
  for (const format of ["gnu", "pax", "ustar"]) {
    const made = spawnSync("tar", ["--format", format, "-C", at, "-cf", "-", format === "ustar" ? "./etc" : "."], { maxBuffer: 1 << 24 });
    is(made.status, 0, made.stderr.toString());
    equal(await read([base, made.stdout]), both("gnu", null), format);
  }
});

test("damage is a fault, a cut archive is what was read of it", async () => {
  equal(await read([base.subarray(0, 72_704)]), both(null, "g"));
  try {
    await read([base], (dir) => {
      const [name = ""] = readdirSync(join(dir, "blobs/sha256"));
      writeFileSync(join(dir, "blobs/sha256", name), "damaged");
    });
  } catch (error) {
    is(error instanceof Fault && error.code, "E_IMAGE");
    return;
  }
  throw new Error("damage was not seen");
});

test.run();
