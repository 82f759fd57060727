/**
 * Tar archives for untar's tests and its fuzzer: every header format, every feature and every way out of a directory
 * that a layer can try, written here byte by byte. `node native/corpus.ts DIR` writes them as seeds for the fuzzer.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildTarHeader, padTarContent, TAR_BLOCK, TAR_END, tarChecksum } from "#store/tar";

type Field = string | Buffer;
const bytes = (value: Field): Buffer => (typeof value === "string" ? Buffer.from(value) : value);

export type Item = {
  readonly name: Field;
  readonly type?: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly mtime?: number;
  readonly content?: Field;
  readonly link?: Field;
  /** What the header says of the size, where that is not the content's. */
  readonly size?: number;
  /** Changes the finished header; its checksum is then made anew. */
  readonly patch?: (header: Buffer) => void;
};

const reseal = (header: Buffer): Buffer => {
  header.set(tarChecksum(header), 148);
  return header;
};

export const item = ({
  name,
  type = "0",
  mode = 0o644,
  uid = 0,
  gid = 0,
  mtime = 1_000_000_000,
  content = "",
  link = "",
  size,
  patch,
}: Item): Buffer => {
  const body = bytes(content);
  const header = buildTarHeader({
    name: bytes(name).subarray(0, 100),
    mode,
    uid,
    gid,
    size: size ?? body.length,
    mtime,
    type,
    linkname: bytes(link).subarray(0, 100),
  });
  patch?.(header);
  return Buffer.concat([reseal(header), padTarContent(body)]);
};

export const dir = (name: string, mode = 0o755, more: Partial<Item> = {}): Buffer => item({ name: `${name}/`, type: "5", mode, ...more });
export const symlink = (name: string, link: string): Buffer => item({ name, type: "2", mode: 0o777, link });
export const link = (name: string, target: string, more: Partial<Item> = {}): Buffer => item({ name, type: "1", link: target, ...more });

/** One PAX record: its length counts itself. */
const record = (key: string, value: Field): Buffer => {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), bytes(value), Buffer.from("\n")]);
  let length = rest.length;
  while (`${length}`.length + rest.length !== length) length = `${length}`.length + rest.length;
  return Buffer.concat([Buffer.from(`${length}`), rest]);
};

export const pax = (records: readonly (readonly [string, Field])[], type = "x"): Buffer =>
  item({ name: "PaxHeaders/x", type, content: Buffer.concat(records.map(([key, value]) => record(key, value))) });

/** GNU's long name ('L') or long link ('K'). */
export const long = (type: "L" | "K", name: string): Buffer => item({ name: "././@LongLink", type, content: `${name}\0` });

export const tar = (...parts: readonly Buffer[]): Buffer => Buffer.concat([...parts, TAR_END]);

const gnuMagic = (header: Buffer): void => void header.write("ustar  \0", 257, "latin1");

/** Base 256: the first bit set, the number in the last bytes, two's complement. */
const base256 = (value: bigint, size: number): Buffer => {
  const field = Buffer.alloc(size, value < 0n ? 0xff : 0);
  for (let i = size - 1, rest = value; i >= size - 8; i--, rest >>= 8n) field[i] = Number(rest & 0xffn);
  field[0] = (field[0] ?? 0) | 0x80;
  return field;
};

const at12 = (value: number): Buffer => Buffer.from(`${value.toString(8).padStart(11, "0")}\0`);

/** Old GNU sparse file ('S'): four extents in the header, 21 in each further block. */
export const gnuSparse = (name: string, realSize: number, extents: readonly (readonly [number, string])[]): Buffer => {
  const pairs = extents.map(([offset, text]) => Buffer.concat([at12(offset), at12(text.length)]));
  const blocks: Buffer[] = [];
  for (let i = 4; i < pairs.length; i += 21) {
    const block = Buffer.alloc(TAR_BLOCK);
    block.set(Buffer.concat(pairs.slice(i, i + 21)), 0);
    block[504] = i + 21 < pairs.length ? 1 : 0;
    blocks.push(block);
  }
  const content = Buffer.from(extents.map(([, text]) => text).join(""));
  const header = item({
    name,
    type: "S",
    size: content.length,
    patch: (h) => {
      gnuMagic(h);
      h.set(Buffer.concat(pairs.slice(0, 4)), 386);
      h[482] = pairs.length > 4 ? 1 : 0;
      h.set(at12(realSize), 483);
    },
  });
  return Buffer.concat([header, ...blocks, padTarContent(content)]);
};

const SPARSE = [
  [1000, "first"],
  [200_000, "second"],
] as const;
const SPARSE_SIZE = 300_000;
const sparseData = SPARSE.map(([, text]) => text).join("");
const sparsePairs = SPARSE.flatMap(([offset, text]) => [offset, text.length]);
const sparseMap10 = `${SPARSE.length}\n${sparsePairs.map((n) => `${n}\n`).join("")}`.padEnd(TAR_BLOCK, "\0");

export const sparseFiles: Readonly<Record<string, Buffer>> = {
  "old GNU": gnuSparse("sparse", SPARSE_SIZE, SPARSE),
  "PAX 0.0": Buffer.concat([
    pax([
      ["GNU.sparse.size", `${SPARSE_SIZE}`],
      ["GNU.sparse.numblocks", "2"],
      ...SPARSE.flatMap(([offset, text]): [string, string][] => [
        ["GNU.sparse.offset", `${offset}`],
        ["GNU.sparse.numbytes", `${text.length}`],
      ]),
    ]),
    item({ name: "sparse", content: sparseData }),
  ]),
  "PAX 0.1": Buffer.concat([
    pax([
      ["GNU.sparse.size", `${SPARSE_SIZE}`],
      ["GNU.sparse.numblocks", "2"],
      ["GNU.sparse.map", sparsePairs.join(",")],
      ["GNU.sparse.name", "sparse"],
    ]),
    item({ name: "GNUSparseFile.1/sparse", content: sparseData }),
  ]),
  "PAX 1.0": Buffer.concat([
    pax([
      ["GNU.sparse.major", "1"],
      ["GNU.sparse.minor", "0"],
      ["GNU.sparse.name", "sparse"],
      ["GNU.sparse.realsize", `${SPARSE_SIZE}`],
    ]),
    item({ name: "GNUSparseFile.1/sparse", content: sparseMap10 + sparseData }),
  ]),
};
export const sparseContent = (): Buffer => {
  const whole = Buffer.alloc(SPARSE_SIZE);
  for (const [offset, text] of SPARSE) whole.write(text, offset);
  return whole;
};

export const CAP_NET_RAW_V2: Buffer = Buffer.from("0100000200200000000000000000000000000000", "hex");

export const longName = `${"d".repeat(80)}/${"e".repeat(80)}/${"f".repeat(200)}`;

/** Layers that are extracted. */
export const good: Readonly<Record<string, Buffer>> = {
  empty: tar(),
  "no end blocks": item({ name: "file", content: "x" }),
  "v7 header": tar(
    item({ name: "file", type: "\0", content: "x", patch: (h) => void h.fill(0, 257) }),
    item({ name: "old/", type: "\0", patch: (h) => void h.fill(0, 257) }),
  ),
  "ustar prefix": tar(item({ name: "c", content: "x", patch: (h) => void h.write("a/b", 345) })),
  "pax names": tar(
    pax([
      ["path", longName],
      ["mtime", "1234567890.123456789"],
      ["comment", "none"],
    ]),
    item({ name: "short", content: "long" }),
    pax([["linkpath", `/${"t".repeat(300)}`]]),
    symlink("link", "short"),
  ),
  "gnu names": tar(
    long("L", longName),
    item({ name: "short", content: "long", patch: gnuMagic }),
    long("K", `/${"t".repeat(300)}`),
    symlink("link", "short"),
  ),
  "base 256": tar(
    item({ name: "file", patch: (h) => h.set(base256(-5n, 12), 136) }),
    item({ name: "owner", patch: (h) => h.set(base256(0n, 8), 108) }),
  ),
  "pax size": tar(
    pax([["size", "5"]]),
    item({ name: "file", size: 0, content: "" }).subarray(0, TAR_BLOCK),
    padTarContent(Buffer.from("hello")),
  ),
  xattrs: tar(
    pax([
      ["SCHILY.xattr.user.a", "one"],
      ["SCHILY.xattr.user.b", Buffer.from([0, 10, 61, 255])],
      ["SCHILY.xattr.user.overlay.redirect", "/x"],
    ]),
    item({ name: "file", mode: 0o444 }),
  ),
  capability: tar(pax([["SCHILY.xattr.security.capability", CAP_NET_RAW_V2]]), item({ name: "file", mode: 0o755 })),
  "set-uid": tar(item({ name: "su", mode: 0o4755 }), item({ name: "sg", mode: 0o2755 }), dir("tmp", 0o1777)),
  "hard links": tar(
    dir("a"),
    item({ name: "a/file", content: "x" }),
    link("b", "a/file"),
    link("c", "/a/file"),
    link("b", "b"),
    symlink("s", "a/file"),
    link("t", "s"),
  ),
  fifo: tar(item({ name: "fifo", type: "6", mode: 0o620 })),
  devices: tar(
    item({ name: "null", type: "3", patch: (h) => void h.write("0000001\0" + "0000003\0", 329) }),
    item({ name: "disguise", type: "3" }),
  ),
  "order of parents": tar(item({ name: "a/b/c", content: "x" }), dir("a", 0o500, { mtime: 5 }), dir("a/b", 0o700, { mtime: 6 })),
  replaced: tar(
    dir("a"),
    item({ name: "a/x" }),
    item({ name: "a", content: "file" }),
    item({ name: "f" }),
    dir("f"),
    item({ name: "f/y" }),
    symlink("l", "nowhere"),
    item({ name: "l", content: "own" }),
  ),
  "links inside": tar(
    dir("usr"),
    dir("usr/lib"),
    symlink("lib", "usr/lib"),
    item({ name: "lib/x", content: "1" }),
    symlink("abs", "/usr/lib"),
    item({ name: "abs/y", content: "2" }),
    symlink("up", "../../usr"),
    item({ name: "up/z", content: "3" }),
  ),
  "dangling parent": tar(symlink("lib", "usr/lib"), item({ name: "lib/x", content: "1" })),
  whiteouts: tar(
    item({ name: ".wh.gone" }),
    item({ name: "d/.wh.gone" }),
    dir("o"),
    item({ name: "o/.wh..wh..opq" }),
    item({ name: "o/new", content: "new" }),
  ),
  "whiteouts of own": tar(
    item({ name: ".wh.a" }),
    dir("a"),
    item({ name: "a/x", content: "own" }),
    dir("b"),
    item({ name: "b/x", content: "own" }),
    item({ name: ".wh.b" }),
    item({ name: "c", content: "own" }),
    item({ name: ".wh.c" }),
    item({ name: ".wh.e" }),
    item({ name: "e/x", content: "own" }),
  ),
  "global header": tar(pax([["comment", "0123"]], "g"), pax([["path", "evil"]], "g"), item({ name: "file" })),
  "odd names": tar(
    item({ name: "./a//b/./c", content: "x" }),
    item({ name: "/abs", content: "x" }),
    item({ name: "p/q/../r", content: "x" }),
    item({ name: Buffer.from([0x66, 0xff, 0x22]) }),
    dir("./", 0o711),
  ),
  ...Object.fromEntries(Object.entries(sparseFiles).map(([name, file]) => [`sparse ${name}`, tar(file)])),
  "sparse of many": tar(
    gnuSparse(
      "many",
      100_000,
      Array.from({ length: 50 }, (_, i) => [i * 2000, "y"] as const),
    ),
  ),
};

/** Layers that try to leave; those of which nothing is refused do what they do inside. `outside` is a directory beside the target. */
export const escapes: Readonly<Record<string, { readonly tar: (outside: string) => Buffer; readonly refused: string | null }>> = {
  "dot dot": { tar: () => tar(item({ name: "../outside/evil", content: "x" })), refused: "EXDEV" },
  "dot dot inside": { tar: () => tar(item({ name: "a/../../outside/evil", content: "x" })), refused: "EXDEV" },
  "dot dot by PAX": { tar: () => tar(pax([["path", "../outside/evil"]]), item({ name: "good" })), refused: "EXDEV" },
  "dot dot by GNU": { tar: () => tar(long("L", "../outside/evil"), item({ name: "good" })), refused: "EXDEV" },
  absolute: { tar: (outside) => tar(item({ name: `${outside}/evil`, content: "x" })), refused: null },
  "through absolute link": { tar: (outside) => tar(symlink("l", outside), item({ name: "l/evil", content: "x" })), refused: null },
  "through relative link": { tar: () => tar(symlink("l", "../outside"), item({ name: "l/evil", content: "x" })), refused: null },
  "through two links": {
    tar: () => tar(dir("a"), symlink("a/up", "../.."), symlink("l", "a/up/../outside"), item({ name: "l/evil", content: "x" })),
    refused: null,
  },
  "through /proc": { tar: () => tar(symlink("l", "/proc/self/root"), item({ name: "l/tmp/evil", content: "x" })), refused: null },
  "directory turned link": {
    tar: (outside) => tar(dir("d"), item({ name: "d/a" }), symlink("d", outside), item({ name: "d/evil", content: "x" })),
    refused: null,
  },
  "file over link": { tar: (outside) => tar(symlink("l", `${outside}/victim`), item({ name: "l", content: "evil" })), refused: null },
  "file over hard link of link": {
    tar: (outside) => tar(symlink("l", `${outside}/victim`), link("m", "l"), item({ name: "m", content: "evil" })),
    refused: null,
  },
  "metadata through link": { tar: (outside) => tar(dir("d", 0o777), symlink("d", outside)), refused: null },
  "directory over link": {
    tar: (outside) => tar(symlink("l", outside), dir("l", 0o777), item({ name: "l/evil", content: "x" })),
    refused: null,
  },
  "hard link out": { tar: () => tar(link("evil", "../outside/victim")), refused: "EXDEV" },
  "hard link out, absolute": { tar: (outside) => tar(link("evil", `${outside}/victim`)), refused: "ENOENT" },
  "hard link through link": { tar: (outside) => tar(symlink("l", outside), link("evil", "l/victim")), refused: "ENOENT" },
  "hard link to the root": { tar: () => tar(link("evil", ".")), refused: "EPERM" },
  "hard link to a directory": { tar: () => tar(dir("d"), link("evil", "d")), refused: "EPERM" },
  "whiteout of dot dot": { tar: () => tar(item({ name: "a/.wh..." })), refused: "EINVAL" },
  "whiteout of dot": { tar: () => tar(item({ name: "a/.wh.." })), refused: "EINVAL" },
  "whiteout of nothing": { tar: () => tar(item({ name: "a/.wh." })), refused: "EINVAL" },
  "whiteout through link": { tar: (outside) => tar(symlink("l", outside), item({ name: "l/.wh.victim" })), refused: null },
  "opaque through link": { tar: (outside) => tar(symlink("l", outside), item({ name: "l/.wh..wh..opq" })), refused: null },
  "root replaced by a link": { tar: (outside) => tar(symlink(".", outside)), refused: "EISDIR" },
  "root as a file": { tar: () => tar(item({ name: "./", content: "x" })), refused: "EISDIR" },
  "link loop": { tar: () => tar(symlink("a", "b"), symlink("b", "a"), item({ name: "a/x" })), refused: "ELOOP" },
  "file as a parent": { tar: () => tar(item({ name: "f" }), item({ name: "f/x" })), refused: "ENOTDIR" },
  "fifo as a parent": { tar: () => tar(item({ name: "f", type: "6" }), item({ name: "f/x" })), refused: "ENOTDIR" },
};

const flip = (archive: Buffer, at: number): Buffer => {
  const copy = Buffer.from(archive);
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
};
const file = tar(item({ name: "file", content: "content" }));

/** Archives that are broken: what untar says of each is `op`. */
export const broken: Readonly<Record<string, { readonly tar: Buffer; readonly op: string }>> = {
  checksum: { tar: flip(file, 0), op: "checksum" },
  "cut in a header": { tar: file.subarray(0, 300), op: "truncated" },
  "cut in content": { tar: file.subarray(0, 515), op: "truncated" },
  "cut after an extension": { tar: pax([["path", "x"]]), op: "truncated" },
  "lone zero block": { tar: Buffer.concat([item({ name: "a" }), Buffer.alloc(TAR_BLOCK), item({ name: "b" }), TAR_END]), op: "header" },
  "pax length": { tar: tar(item({ name: "p", type: "x", content: "99 path=x\n" }), item({ name: "f" })), op: "pax" },
  "pax without =": { tar: tar(item({ name: "p", type: "x", content: "7 path\n" }), item({ name: "f" })), op: "pax" },
  "pax NUL in path": { tar: tar(pax([["path", "a\0b"]]), item({ name: "f" })), op: "pax" },
  "pax size of nine exabytes": { tar: tar(pax([["size", "9999999999999999999"]]), item({ name: "f" })), op: "pax" },
  "huge extension": { tar: tar(item({ name: "p", type: "x", size: 2 ** 30 })), op: "header" },
  "negative size": { tar: tar(item({ name: "f", patch: (h) => h.set(base256(-1n, 12), 124) })), op: "header" },
  "garbage number": { tar: tar(item({ name: "f", patch: (h) => void h.write("9999", 124) })), op: "header" },
  "owner of 2^32-1": { tar: tar(pax([["uid", "4294967295"]]), item({ name: "f" })), op: "owner" },
  "unknown type": { tar: tar(item({ name: "f", type: "Z" })), op: "type" },
  "long component": { tar: tar(pax([["path", "x".repeat(256)]]), item({ name: "f" })), op: "name" },
  "sparse out of order": {
    tar: tar(
      gnuSparse("s", 5000, [
        [2000, "a"],
        [1000, "b"],
      ]),
    ),
    op: "sparse",
  },
  "sparse beyond the end": { tar: tar(gnuSparse("s", 10, [[8, "abcd"]])), op: "sparse" },
  "sparse with too much data": {
    tar: tar(
      pax([
        ["GNU.sparse.map", "0,1"],
        ["GNU.sparse.size", "10"],
      ]),
      item({ name: "s", content: "12345" }),
    ),
    op: "sparse",
  },
  "sparse map of nothing": {
    tar: tar(
      pax([
        ["GNU.sparse.major", "1"],
        ["GNU.sparse.minor", "0"],
        ["GNU.sparse.realsize", "10"],
      ]),
      item({ name: "s" }),
    ),
    op: "sparse",
  },
  "sparse directory": {
    tar: tar(
      pax([
        ["GNU.sparse.map", "0,0"],
        ["GNU.sparse.size", "10"],
      ]),
      dir("d"),
    ),
    op: "sparse",
  },
};

const writeSeeds = (to: string): void => {
  mkdirSync(to, { recursive: true });
  const all = [
    ...Object.entries(good),
    ...Object.entries(escapes).map(([name, { tar: make }]): [string, Buffer] => [name, make("/tmp")]),
    ...Object.entries(broken).map(([name, { tar: archive }]): [string, Buffer] => [name, archive]),
  ];
  // The fuzzer's first byte: apply mode, all ids, small reads.
  for (const mode of [0, 1, 2, 4, 5]) {
    for (const [name, archive] of all)
      writeFileSync(join(to, `${mode}-${name.replaceAll(/[^A-Za-z0-9]+/g, "-")}`), Buffer.concat([Buffer.of(mode), archive]));
  }
};

const [target] = process.argv.slice(2);
if (import.meta.main && target !== undefined) writeSeeds(target);
