/**
 * A few small files of an image, read from its layers as they are in the layout: for a look at an image that nothing has
 * unpacked. What names mean follows image-spec, layer.md: the topmost layer decides, whiteouts hide.
 */
import type { ImageConfig } from "#core/spec/image";
import type { ImageLayout, LayoutImage } from "./layout.ts";
import { openLayer } from "./snapshot.ts";

const BLOCK = 512;
const MAX_SIZE = 1024 * 1024;

/** Takes bytes off a stream of chunks in pieces of a wanted size. */
class Reader {
  readonly #chunks: AsyncIterator<Buffer>;
  #pending: Buffer = Buffer.alloc(0);

  constructor(stream: AsyncIterable<Buffer>) {
    this.#chunks = stream[Symbol.asyncIterator]();
  }

  /** null at the end of the stream. */
  async take(size: number): Promise<Buffer | null> {
    const parts: Buffer[] = [];
    let left = size;
    await this.#walk(size, (piece) => {
      parts.push(piece);
      left -= piece.length;
    });
    return left > 0 ? null : Buffer.concat(parts);
  }

  async skip(size: number): Promise<void> {
    await this.#walk(size, () => undefined);
  }

  async #walk(size: number, use: (piece: Buffer) => void): Promise<void> {
    for (let left = size; left > 0; ) {
      if (this.#pending.length === 0) {
        const { done, value } = await this.#chunks.next();
        if (done === true) return;
        this.#pending = value;
      }
      const piece = this.#pending.subarray(0, left);
      this.#pending = this.#pending.subarray(piece.length);
      left -= piece.length;
      use(piece);
    }
  }
}

const field = (block: Buffer, at: number, size: number): string => {
  const raw = block.subarray(at, at + size);
  const end = raw.indexOf(0);
  return raw.toString("utf8", 0, end < 0 ? size : end);
};

/** Octal digits, or GNU's base 256 where the first bit is set. */
const sizeOf = (block: Buffer): number =>
  ((block[124] ?? 0) & 0x80) !== 0
    ? block.subarray(125, 136).reduce((sum, byte) => sum * 256 + byte, 0)
    : Number.parseInt(field(block, 124, 12).trim() || "0", 8);

const paxPath = (records: Buffer): string | null => /(?:^|\n)\d+ path=([^\n]*)\n/.exec(records.toString("utf8"))?.[1] ?? null;

const cleanName = (name: string): string =>
  name
    .split("/")
    .filter((part) => part !== "" && part !== ".")
    .join("/");

/** Files of one layer; null: it hides or replaces the name. A name that the layer says nothing of is not in the map. */
const readLayerFiles = async (stream: AsyncIterable<Buffer>, wanted: readonly string[]): Promise<ReadonlyMap<string, string | null>> => {
  const found = new Map<string, string | null>();
  const hidden = new Set<string>();
  const reader = new Reader(stream);
  let longName: string | null = null;
  for (let block = await reader.take(BLOCK); block?.some((byte) => byte !== 0); block = await reader.take(BLOCK)) {
    const size = sizeOf(block);
    if (!Number.isSafeInteger(size) || size < 0) break; // unpacking will say what is wrong with it
    const padding = (BLOCK - (size % BLOCK)) % BLOCK;
    const type = field(block, 156, 1);
    const prefix = field(block, 257, 5) === "ustar" ? field(block, 345, 155) : "";
    if ((type === "x" || type === "L") && size <= MAX_SIZE) {
      const body = await reader.take(size);
      await reader.skip(padding);
      if (body !== null) longName = type === "x" ? (paxPath(body) ?? longName) : field(body, 0, size);
      continue;
    }
    const name = cleanName(longName ?? (prefix === "" ? field(block, 0, 100) : `${prefix}/${field(block, 0, 100)}`));
    if (type !== "g") longName = null;
    if ((type === "" || type === "0" || type === "7") && wanted.includes(name) && size <= MAX_SIZE) {
      found.set(name, (await reader.take(size))?.toString("utf8") ?? null);
      await reader.skip(padding);
      continue;
    }
    for (const path of wanted) {
      const [directory = "", base = ""] = path.split("/");
      if (name === path || name === `${directory}/.wh.${base}` || name === `.wh.${directory}`) hidden.add(path);
      if (name === `${directory}/.wh..wh..opq` || (name === directory && type !== "5")) hidden.add(path);
    }
    await reader.skip(size + padding);
  }
  for (const path of hidden) if (!found.has(path)) found.set(path, null);
  return found;
};

/**
 * @param wanted paths `directory/file`.
 * @returns their contents; null where the image has no such regular file (links are not followed).
 * @throws Fault E_IMAGE where a blob is missing or damaged.
 */
export const readImageFiles = async (
  layout: Pick<ImageLayout, "dir">,
  image: Pick<LayoutImage, "manifest"> & { readonly config: ImageConfig },
  wanted: readonly string[],
): Promise<Readonly<Record<string, string | null>>> => {
  const files = new Map<string, string | null>();
  for (const [i, descriptor] of [...image.manifest.layers.entries()].toReversed()) {
    const missing = wanted.filter((path) => !files.has(path));
    if (missing.length === 0) break;
    const layer = await openLayer(layout, descriptor, `layer ${i + 1} of ${image.manifest.layers.length}`);
    for (const [path, content] of await readLayerFiles(layer, missing)) files.set(path, content);
  }
  return Object.fromEntries(wanted.map((path) => [path, files.get(path) ?? null]));
};
