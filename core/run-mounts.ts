/**
 * The mounts that a person asks for: `-v SOURCE:TARGET[:OPTIONS]`, `--mount type=…,…`, `--tmpfs TARGET[:OPTIONS]`, with
 * docker's rules. Each becomes plain data; `core/image/build-config.ts` writes it into config.json.
 */
import * as z from "zod/mini";
import { Fault } from "#core/fault";
import { parseBytes } from "./units.ts";

export const PROPAGATIONS = ["private", "rprivate", "slave", "rslave"] as const;

const BindSchema = z.object({
  type: z.literal("bind"),
  /** An absolute path of the host, cleaned. */
  source: z.string(),
  destination: z.string(),
  readOnly: z.boolean(),
  /** Submounts of the source: none, or with them; `writable` leaves them writable under a read-only bind. */
  submounts: z.enum(["none", "all", "writable"]),
  propagation: z.enum(PROPAGATIONS),
  /** `-v` and `bind-create-src` make a missing source directory, `--mount` refuses. */
  createSource: z.boolean(),
  /** `z` and `Z`: give the source a label that the container may use; means something under SELinux only. */
  relabel: z.boolean(),
});

const TmpfsSchema = z.object({
  type: z.literal("tmpfs"),
  destination: z.string(),
  /** mount(8)'s options, merged with the defaults noexec, nosuid, nodev. */
  options: z.array(z.string()),
});

export const UserMountSchema = z.lazy(() => z.discriminatedUnion("type", [BindSchema, TmpfsSchema]));
export type UserMount = z.infer<typeof UserMountSchema>;

const usage = (flag: string, text: string, what: string, hint?: string): Fault =>
  new Fault("E_USAGE", { message: `${flag} ${text}: ${what}`, ...(hint === undefined ? {} : { hint }) });
const unsupported = (flag: string, text: string, what: string, hint: string): Fault =>
  new Fault("E_UNSUPPORTED", { message: `${flag} ${text}: ${what}`, hint });

/** Go's path.Clean: no `.`, `..`, `//`. `..` at the root stays at the root. */
export const cleanPath = (path: string): string => {
  const absolute = path.startsWith("/");
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") parts.push(part);
    else if (parts.length > 0 && parts.at(-1) !== "..") parts.pop();
    else if (!absolute) parts.push("..");
  }
  const joined = parts.join("/");
  return absolute ? `/${joined}` : joined === "" ? "." : joined;
};

const checkDestination = (flag: string, text: string, path: string): string => {
  if (path.includes("\0")) throw usage(flag, text, "a path cannot contain NUL");
  if (!path.startsWith("/")) throw usage(flag, text, `the path in the container "${path}" must be absolute`);
  const clean = cleanPath(path);
  if (clean === "/") throw usage(flag, text, 'the path in the container cannot be "/"', "the root file system comes from the image");
  return clean;
};

const hostPath = (flag: string, text: string, path: string, cwd: string): string => {
  if (path.includes("\0")) throw usage(flag, text, "a path cannot contain NUL");
  return cleanPath(path.startsWith("/") ? path : `${cwd}/${path}`);
};

const propagationOf = (flag: string, text: string, word: string): (typeof PROPAGATIONS)[number] => {
  const known = PROPAGATIONS.find((p) => p === word);
  if (known !== undefined) return known;
  if (word !== "shared" && word !== "rshared")
    throw usage(flag, text, `"${word}" is not a propagation`, `known: ${PROPAGATIONS.join(", ")}`);
  // mount_namespaces(7): a mount namespace that is owned by another user namespace is less privileged, and shared mounts become slaves in it.
  throw unsupported(
    flag,
    text,
    `${word} cannot hold: the kernel lets no mount leave a user namespace`,
    "use rslave, so that the host's mounts reach the container",
  );
};

const consistencies: readonly string[] = ["consistent", "cached", "delegated", "default"];

/**
 * `-v`: `SOURCE:TARGET[:ro|rw,PROPAGATION,…]`. A source that begins with `.` is taken from `cwd`.
 * @throws Fault E_USAGE; E_UNSUPPORTED for volumes.
 */
export const parseVolume = (text: string, cwd: string): UserMount => {
  const flag = "--volume";
  const volumes = (): Fault =>
    unsupported(flag, text, "volumes are not supported yet", `bind a directory: ${flag} /path/on/host:/path/in/container, or use --tmpfs`);
  const [source = "", target, mode = "", ...more] = text.split(":");
  if (more.length > 0 || source === "" || target === "") throw usage(flag, text, "it is not SOURCE:TARGET[:OPTIONS]");
  if (target === undefined) {
    checkDestination(flag, text, source);
    throw volumes();
  }
  const groups = new Map<string, string>();
  for (const option of mode === "" ? [] : mode.split(",")) {
    const group = ["ro", "rw"].includes(option)
      ? "access"
      : ["z", "Z"].includes(option)
        ? "label"
        : consistencies.includes(option)
          ? "consistency"
          : option === "nocopy"
            ? "copy"
            : [...PROPAGATIONS, "shared", "rshared"].includes(option)
              ? "propagation"
              : null;
    if (group === null)
      throw usage(flag, text, `"${option}" is not an option of a bind`, `known: ro, rw, ${PROPAGATIONS.join(", ")}, z, Z`);
    const before = groups.get(group);
    if (before !== undefined) throw usage(flag, text, `"${before}" and "${option}" exclude each other`, "give one of them");
    groups.set(group, option);
  }
  if (!/^[/.~]/.test(source)) throw volumes();
  if (source.startsWith("~")) throw usage(flag, text, 'the shell expands "~" only at the start of a word', "write the whole path");
  if (groups.has("copy")) throw usage(flag, text, "nocopy is for volumes, and this is a bind");
  return {
    type: "bind",
    source: hostPath(flag, text, source, cwd),
    destination: checkDestination(flag, text, target),
    readOnly: groups.get("access") === "ro",
    submounts: "all",
    propagation: propagationOf(flag, text, groups.get("propagation") ?? "rprivate"),
    createSource: true,
    relabel: groups.has("label"),
  };
};

/** Options of tmpfs that are a word, by what they decide: the last one wins (moby/sys/mount's MergeTmpfsOptions). */
const tmpfsWords: ReadonlyMap<string, string> = new Map(
  Object.entries({
    ...{
      ro: "ro",
      rw: "ro",
      suid: "suid",
      nosuid: "suid",
      dev: "dev",
      nodev: "dev",
      exec: "exec",
      noexec: "exec",
      sync: "sync",
      async: "sync",
    },
    ...{
      dirsync: "dirsync",
      atime: "atime",
      noatime: "atime",
      diratime: "diratime",
      nodiratime: "diratime",
      relatime: "relatime",
      norelatime: "relatime",
    },
    ...{
      strictatime: "strictatime",
      nostrictatime: "strictatime",
      private: "propagation",
      rprivate: "propagation",
      slave: "propagation",
      rslave: "propagation",
    },
  }),
);
const tmpfsKeys: readonly string[] = ["size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol"];

const mergeTmpfs = (flag: string, text: string, asked: readonly string[]): string[] => {
  const merged = new Map<string, string>();
  for (const option of ["noexec", "nosuid", "nodev", "rprivate", ...asked]) {
    if (option === "defaults") continue;
    const equals = option.indexOf("=");
    const key = equals < 0 ? tmpfsWords.get(option) : option.slice(0, equals);
    if (key === undefined || (equals >= 0 && !tmpfsKeys.includes(key))) {
      throw usage(
        flag,
        text,
        `"${option}" is not an option of tmpfs`,
        `known: ${tmpfsKeys.map((k) => `${k}=`).join(", ")}, ro, rw, exec, noexec, suid, dev, …`,
      );
    }
    merged.delete(key); // the place in the list, too, is that of the last one
    merged.set(key, option);
  }
  return [...merged.values()];
};

/** `--tmpfs TARGET[:OPTIONS]`, with noexec, nosuid and nodev unless undone. @throws Fault E_USAGE. */
export const parseTmpfs = (text: string): UserMount => {
  const colon = text.indexOf(":");
  const options = colon < 0 ? "" : text.slice(colon + 1);
  return {
    type: "tmpfs",
    destination: checkDestination("--tmpfs", text, colon < 0 ? text : text.slice(0, colon)),
    options: mergeTmpfs("--tmpfs", text, options === "" ? [] : options.split(",")),
  };
};

/** The fields of one CSV record (RFC 4180): a field in double quotes may contain commas, and a doubled quote. Null where a quote is misplaced. */
const csvFields = (text: string): readonly string[] | null => {
  const fields: string[] = [];
  const field = /("(?:[^"]|"")*"|[^",]*)(,|$)/y;
  for (;;) {
    const match = field.exec(text);
    if (match === null) return null;
    const raw = match[1] ?? "";
    fields.push(raw.startsWith('"') ? raw.slice(1, -1).replace(/""/g, '"') : raw);
    if (match[2] === "") return fields;
  }
};

const mountKeys: ReadonlyMap<string, string> = new Map(
  Object.entries({ src: "source", dst: "target", destination: "target", ro: "readonly" }),
);

/** `--mount type=bind|tmpfs,source=…,target=…,…`, CSV, keys as docker's. @throws Fault E_USAGE; E_UNSUPPORTED for volumes and images. */
export const parseMount = (text: string, cwd: string): UserMount => {
  const flag = "--mount";
  const fields = csvFields(text.trim());
  if (fields === null) throw usage(flag, text, "a quote is misplaced", 'quote a whole field: "source=/a,b"');
  const given = new Map<string, string>();
  for (const field of fields) {
    const equals = field.indexOf("=");
    const key = (equals < 0 ? field : field.slice(0, equals)).toLowerCase();
    const value = equals < 0 ? null : field.slice(equals + 1);
    if (key.trim() !== key || key === "") throw usage(flag, text, `"${field}" is not key=value`);
    if (value !== null && value.trim() !== value) throw usage(flag, text, `the value of ${key} begins or ends with a blank`);
    if (value === "") throw usage(flag, text, `the value of ${key} is empty`);
    const name = mountKeys.get(key) ?? key;
    if (value === null && !["readonly", "bind-create-src", "bind-nonrecursive", "volume-nocopy"].includes(name))
      throw usage(flag, text, `"${field}" is not key=value`);
    given.set(name, value ?? "true");
  }
  const type = (given.get("type") ?? "volume").toLowerCase();
  if (["volume", "image", "cluster", "npipe"].includes(type)) {
    throw unsupported(flag, text, `the mount type "${type}" is not supported yet`, "use type=bind or type=tmpfs");
  }
  if (type !== "bind" && type !== "tmpfs") throw usage(flag, text, `the mount type "${type}" is unknown`, "use type=bind or type=tmpfs");
  const known = [
    "type",
    "target",
    "readonly",
    "consistency",
    ...(type === "bind" ? ["source", "bind-propagation", "bind-recursive", "bind-create-src"] : ["tmpfs-size", "tmpfs-mode"]),
  ];
  for (const key of given.keys()) {
    if (key === "bind-nonrecursive") throw usage(flag, text, "bind-nonrecursive is gone from docker", "use bind-recursive=disabled");
    if (!known.includes(key)) throw usage(flag, text, `"${key}" is not an option of a ${type} mount`, `known: ${known.join(", ")}`);
  }
  const on = (key: string): boolean => {
    const value = given.get(key) ?? "false";
    if (!/^(1|true|0|false)$/.test(value)) throw usage(flag, text, `${key}: "${value}" is neither true nor false`);
    return value === "1" || value === "true";
  };
  const target = given.get("target");
  if (target === undefined) throw usage(flag, text, "the target is missing", "add target=/path/in/container");
  const destination = checkDestination(flag, text, target);
  const readOnly = on("readonly");
  if (type === "tmpfs") {
    const size = given.get("tmpfs-size");
    const mode = given.get("tmpfs-mode");
    if (mode !== undefined && !/^[0-7]{1,5}$/.test(mode))
      throw usage(flag, text, `tmpfs-mode: "${mode}" is not an octal mode`, "write tmpfs-mode=1777");
    const options = [
      ...(readOnly ? ["ro"] : []),
      ...(mode === undefined ? [] : [`mode=${mode}`]),
      ...(size === undefined ? [] : [`size=${parseBytes(size, "--mount tmpfs-size")}`]),
    ];
    return { type, destination, options: mergeTmpfs(flag, text, options) };
  }
  const source = given.get("source");
  if (source === undefined) throw usage(flag, text, "the source is missing", "add source=/path/on/host");
  if (!/^[/.]/.test(source)) throw usage(flag, text, `the source "${source}" must be an absolute path, or begin with "."`);
  const recursive = given.get("bind-recursive") ?? "enabled";
  const submounts = { enabled: "all", readonly: "all", disabled: "none", writable: "writable" } as const;
  if (recursive !== "enabled" && recursive !== "disabled" && recursive !== "writable" && recursive !== "readonly") {
    throw usage(flag, text, `bind-recursive: "${recursive}" is unknown`, "known: enabled, disabled, writable, readonly");
  }
  const propagation = propagationOf(flag, text, (given.get("bind-propagation") ?? "rprivate").toLowerCase());
  if ((recursive === "writable" || recursive === "readonly") && !readOnly)
    throw usage(flag, text, `bind-recursive=${recursive} needs readonly`, "add readonly");
  if (recursive === "readonly" && given.get("bind-propagation") !== "rprivate") {
    throw usage(flag, text, "bind-recursive=readonly needs bind-propagation=rprivate", "add bind-propagation=rprivate");
  }
  return {
    type,
    source: hostPath(flag, text, source, cwd),
    destination,
    readOnly,
    submounts: submounts[recursive],
    propagation,
    createSource: on("bind-create-src"),
    relabel: false,
  };
};
