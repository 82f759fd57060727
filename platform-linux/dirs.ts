/** Coracle's directories, checked before use: what lies in them is trusted. */
import { accessSync, constants, existsSync, lstatSync, mkdirSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, resolve } from "node:path";
import { Fault } from "#core/fault";

const uid = (): number => process.getuid?.() ?? 0;

/** One by one: Node's own `recursive` never ends where the kernel answers ENOENT for good, as below /proc. */
const makeDirectories = (path: string): void => {
  if (existsSync(path)) return;
  if (dirname(path) !== path) makeDirectories(dirname(path));
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (cause) {
    if (!existsSync(path)) throw cause; // else another process was quicker
  }
};

/** A directory that is ours, private, and no link: else whoever can write there could plant plans for us to run. */
const ensurePrivate = (path: string): string | null => {
  try {
    makeDirectories(path);
    const stat = lstatSync(path);
    if (!stat.isDirectory()) return `${path} is not a directory`;
    if (stat.uid !== uid()) return `${path} belongs to uid ${stat.uid}, not to you (${uid()})`;
    // To take the right away now would be too late: what lies there may be planted.
    if ((stat.mode & 0o022) !== 0) return `${path} can be written by others (mode ${(stat.mode & 0o7777).toString(8).padStart(4, "0")})`;
    accessSync(path, constants.W_OK | constants.X_OK);
    return null;
  } catch (cause) {
    return whyNotMade(path) ?? (cause instanceof Error ? cause.message : String(cause));
  }
};

/** Node calls a directory that cannot be made on a read-only file system "ENOENT": what the nearest one above says is the cause. */
const whyNotMade = (path: string): string | null => {
  const above = dirname(path);
  if (!existsSync(above)) return above === path ? null : whyNotMade(above);
  try {
    accessSync(above, constants.W_OK | constants.X_OK);
    return null;
  } catch (cause) {
    return `${path} cannot be made: ${cause instanceof Error ? cause.message : String(cause)}`;
  }
};

/**
 * The directory of running containers' state: `--root`; else below $XDG_RUNTIME_DIR; else, for root, /run; else a private
 * directory under /tmp. The two commands have roots of their own: what `coracle` made, `coracle` sweeps.
 * @throws Fault E_RUNTIME_DIR that says what is wrong with each.
 */
export const ensureRuntimeRoot = (name: "coracle" | "coracle-oci", explicit: string | null): string => {
  const xdg = process.env["XDG_RUNTIME_DIR"] ?? "";
  const candidates =
    explicit !== null
      ? [resolve(explicit)]
      : [...(xdg.startsWith("/") ? [`${xdg}/${name}`] : []), ...(uid() === 0 ? [`/run/${name}`] : []), `/tmp/${name}-${uid()}`];
  const reasons: string[] = [];
  for (const path of candidates) {
    const reason = ensurePrivate(path);
    if (reason === null) return path;
    reasons.push(reason);
  }
  throw new Fault("E_RUNTIME_DIR", {
    message: "no directory for the state of running containers",
    why: reasons.join("; "),
    hint:
      explicit === null
        ? "set XDG_RUNTIME_DIR to a directory of your own (mode 0700), or give --root DIR"
        : "give --root a directory that is yours and that nobody else can write to",
  });
};

/** The directory of what lasts: `--storage`, $CORACLE_STORAGE, $XDG_DATA_HOME/coracle, ~/.local/share/coracle; absolute. */
export const storagePath = (explicit: string | null): string => {
  const data = process.env["XDG_DATA_HOME"] ?? "";
  return resolve(
    explicit ?? process.env["CORACLE_STORAGE"] ?? (data.startsWith("/") ? `${data}/coracle` : `${homedir()}/.local/share/coracle`),
  );
};

/**
 * `storagePath`, made where it is not there.
 * @throws Fault E_STORAGE.
 */
export const ensureStorage = (explicit: string | null): string => {
  const path = storagePath(explicit);
  const reason = ensurePrivate(path);
  if (reason === null) return path;
  throw new Fault("E_STORAGE", {
    message: `the storage directory ${path} cannot be used`,
    why: reason,
    hint: "give --storage DIR, or set CORACLE_STORAGE, to a directory that you, and nobody else, can write to",
  });
};
