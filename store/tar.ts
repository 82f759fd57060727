/**
 * A deterministic tar writer: POSIX ustar (IEEE Std 1003.1-1988, pax(1) "ustar Interchange Format"), the same bytes for
 * the same entries, whoever writes them, wherever and whenever. It writes what we build ourselves, so it does without
 * PAX headers: what ustar cannot say is a defect of the caller.
 *
 *     offset 0    100     108  116  124   136    148   156   157       257    263 265    297    329   337   345    500
 *            name mode    uid  gid  size  mtime  cksum type  linkname  magic  ver uname  gname  major minor prefix
 */
import { Fault } from "#core/fault";

export const TAR_BLOCK = 512;

export type TarEntry = {
  /** Relative, without leading "./" or trailing "/". */
  readonly path: string;
  readonly mode: number;
  readonly uid?: number;
  readonly gid?: number;
} & (
  | { readonly type: "file"; readonly content: Uint8Array }
  | { readonly type: "directory" }
  | { readonly type: "symlink" | "link"; readonly target: string }
);

/** The fields of one header as they are to be written; only tests write odd ones. */
export type TarHeader = {
  readonly name: Uint8Array;
  readonly prefix?: Uint8Array;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  /** Seconds since 1970. */
  readonly mtime: number;
  /** One character: "0" file, "1" hard link, "2" symlink, "5" directory, … */
  readonly type: string;
  readonly linkname?: Uint8Array;
};

const octal = (value: number, width: number): Buffer => {
  const digits = value.toString(8).padStart(width - 1, "0");
  if (!Number.isInteger(value) || value < 0 || digits.length >= width)
    throw new Fault("E_INTERNAL", { message: `tar: ${value} does not fit ${width - 1} octal digits` });
  return Buffer.from(`${digits}\0`, "latin1");
};

/** Sum of all bytes, with the checksum's own field taken as spaces. */
export const tarChecksum = (block: Uint8Array): Buffer => {
  let sum = 8 * 0x20;
  for (let i = 0; i < TAR_BLOCK; i++) if (i < 148 || i >= 156) sum += block[i] ?? 0;
  return Buffer.from(`${sum.toString(8).padStart(6, "0")}\0 `, "latin1");
};

export const buildTarHeader = (header: TarHeader): Buffer => {
  const block = Buffer.alloc(TAR_BLOCK);
  block.set(header.name, 0);
  block.set(octal(header.mode, 8), 100);
  block.set(octal(header.uid, 8), 108);
  block.set(octal(header.gid, 8), 116);
  block.set(octal(header.size, 12), 124);
  block.set(octal(header.mtime, 12), 136);
  block.write(header.type, 156, "latin1");
  if (header.linkname !== undefined) block.set(header.linkname, 157);
  block.write("ustar\x0000", 257, "latin1");
  if (header.prefix !== undefined) block.set(header.prefix, 345);
  block.set(tarChecksum(block), 148);
  return block;
};

/** Content, filled up to whole blocks. */
export const padTarContent = (content: Uint8Array): Buffer => {
  const padded = Buffer.alloc(Math.ceil(content.length / TAR_BLOCK) * TAR_BLOCK);
  padded.set(content);
  return padded;
};

/** Two blocks of zeros. */
export const TAR_END: Buffer = Buffer.alloc(2 * TAR_BLOCK);

/** A path of more than 100 bytes is cut at a slash: prefix (155) "/" name (100). */
const splitName = (path: string): { name: Buffer; prefix?: Buffer } => {
  const bytes = Buffer.from(path);
  if (bytes.length <= 100) return { name: bytes };
  for (let cut = bytes.length - 101; cut <= 155 && cut < bytes.length; cut++) {
    if (cut > 0 && bytes[cut] === 0x2f) return { name: bytes.subarray(cut + 1), prefix: bytes.subarray(0, cut) };
  }
  throw new Fault("E_INTERNAL", { message: `tar: "${path}" does not fit a ustar header` });
};

const types = { file: "0", link: "1", symlink: "2", directory: "5" } as const;

/**
 * A whole archive. Entries are sorted by path in byte order, so a directory stands before what is in it.
 * @param mtime of every entry, in seconds since 1970
 */
export const buildTar = (entries: readonly TarEntry[], mtime: number): Buffer => {
  const sorted = [...entries].sort((a, b) => Buffer.compare(Buffer.from(a.path), Buffer.from(b.path)));
  const parts = sorted.flatMap((entry) => {
    const content = entry.type === "file" ? entry.content : new Uint8Array();
    const linkname = entry.type === "symlink" || entry.type === "link" ? Buffer.from(entry.target) : Buffer.alloc(0);
    if (linkname.length > 100)
      throw new Fault("E_INTERNAL", { message: `tar: link target "${linkname.toString()}" does not fit a ustar header` });
    const header = buildTarHeader({
      ...splitName(entry.type === "directory" ? `${entry.path}/` : entry.path),
      mode: entry.mode,
      uid: entry.uid ?? 0,
      gid: entry.gid ?? 0,
      size: content.length,
      mtime,
      type: types[entry.type],
      linkname,
    });
    return [header, padTarContent(content)];
  });
  return Buffer.concat([...parts, TAR_END]);
};
