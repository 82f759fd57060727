/**
 * Who a container runs as: `user[:group]`, resolved against the texts of the image's own /etc/passwd and /etc/group.
 *
 * The rules are those that docker and runc share (moby/sys `user`): a number is an id and never a name, even where a
 * user of that name exists; the first matching line wins; an explicit group leaves the user's supplementary groups
 * out; numbers need no line. The files belong to the image, so they are hostile: sizes are limited, malformed lines
 * match nothing.
 */
import { Fault } from "#core/fault";

/** Bytes (here: UTF-16 units) of one file that are looked at; moby/sys has the same limit. */
export const MAX_USER_FILE = 10 << 20;
/** As runc and containerd: 2^31−1, not the kernel's 2^32−2, for the sake of 32-bit tools. */
export const MAX_ID = 2 ** 31 - 1;
/** The kernel's NGROUPS_MAX: setgroups(2) fails with EINVAL above. */
const MAX_GROUPS = 65_536;

/** The image's own files; null where the image has none, or where it is no regular file. */
export type UserFiles = { readonly passwd: string | null; readonly group: string | null };

export type ResolvedUser = {
  readonly uid: number;
  readonly gid: number;
  /** What setgroups(2) gets: the gid first (CVE-2022-36109), then the supplementary groups, without repeats. */
  readonly additionalGids: readonly number[];
  /** The passwd entry's directory; "/" where there is no entry or an empty field. */
  readonly home: string;
  /** The passwd entry's name; "" where a numeric id has none. */
  readonly username: string;
};

type PasswdEntry = { readonly name: string; readonly uid: number; readonly gid: number; readonly home: string };
type GroupEntry = { readonly name: string; readonly gid: number; readonly members: readonly string[] };

/** A field of a file: a decimal id in range, or null. Go's Atoi would read a malformed id as 0, that is, as root: it matches nothing here. */
const fieldId = (text: string | undefined): number | null => {
  if (text === undefined || !/^[0-9]{1,10}$/.test(text)) return null;
  const id = Number(text);
  return id <= MAX_ID ? id : null;
};

function* lines(text: string, file: string): Generator<readonly string[]> {
  if (text.length > MAX_USER_FILE) {
    throw new Fault("E_USER", {
      message: `${file} of the image has ${text.length} bytes, at most ${MAX_USER_FILE} are read`,
      hint: "use numeric ids: --user UID:GID needs neither file",
    });
  }
  for (let start = 0; start <= text.length; ) {
    const newline = text.indexOf("\n", start);
    const end = newline < 0 ? text.length : newline;
    const line = text.slice(start, end).trim();
    start = end + 1;
    if (line !== "" && !line.startsWith("#")) yield line.split(":");
  }
}

/** Finds the first entry that `matches`; entries with a malformed uid or gid are passed over. */
const findPasswd = (text: string | null, matches: (entry: PasswdEntry) => boolean): PasswdEntry | null => {
  for (const [name = "", , uidText, gidText, , home = ""] of lines(text ?? "", "/etc/passwd")) {
    const uid = fieldId(uidText);
    const gid = fieldId(gidText);
    if (uid === null || gid === null) continue;
    const entry = { name, uid, gid, home };
    if (matches(entry)) return entry;
  }
  return null;
};

const parseGroups = (text: string | null): readonly GroupEntry[] => {
  const entries: GroupEntry[] = [];
  for (const [name = "", , gidText, members = ""] of lines(text ?? "", "/etc/group")) {
    const gid = fieldId(gidText);
    if (gid !== null) entries.push({ name, gid, members: members === "" ? [] : members.split(",") });
  }
  return entries;
};

type IdOrName = { readonly text: string; readonly id: number | null };

/** A number (Go's Atoi: an optional sign and digits) is an id; all else a name. */
const parseIdOrName = (text: string, flag: string): IdOrName => {
  if (!/^[+-]?[0-9]+$/.test(text)) return { text, id: null };
  const id = Number(text);
  if (id < 0 || id > MAX_ID) {
    throw new Fault("E_USER", { message: `${flag} ${text} is out of range`, hint: `ids run from 0 to ${MAX_ID}` });
  }
  return { text, id };
};

const findGroup = (groups: readonly GroupEntry[], wanted: IdOrName): number | null =>
  groups.find((g) => (wanted.id === null ? g.name === wanted.text : g.gid === wanted.id))?.gid ?? wanted.id;

const missing = (kind: "user" | "group", name: string, file: string, text: string | null): Fault =>
  new Fault("E_USER", {
    message: `unable to find ${kind} ${name}: no matching entries in ${kind === "user" ? "passwd" : "group"} file`,
    why: text === null ? `the image has no ${file}` : `no line of the image's ${file} has that name`,
    hint: `use a numeric id, or add the ${kind} to ${file} in the image`,
  });

/**
 * Resolves `--user` (or the image's `User`) and `--group-add`.
 *
 * @param spec `""` (root, or whoever has uid 0), `user`, `uid`, `user:group`, `uid:gid` and mixtures.
 * @param groupAdd names or ids of further groups. A name must exist, a number need not.
 * @throws Fault E_USER for an unknown name, an id out of range, or a file above `MAX_USER_FILE`.
 */
export const resolveUser = (spec: string, groupAdd: readonly string[], files: UserFiles): ResolvedUser => {
  const colon = spec.indexOf(":");
  const userText = colon < 0 ? spec : spec.slice(0, colon);
  const groupText = colon < 0 ? "" : spec.slice(colon + 1);
  const wantedUser = userText === "" ? null : parseIdOrName(userText, "user id");
  const wantedGroup = groupText === "" ? null : parseIdOrName(groupText, "group id");
  if (spec.includes("\0") || spec.includes("\n")) throw new Fault("E_USER", { message: "a user name cannot contain NUL or a line break" });

  const byName = wantedUser !== null && wantedUser.id === null;
  const wantedUid = wantedUser?.id ?? 0;
  const entry = findPasswd(files.passwd, byName ? (e) => e.name === userText : (e) => e.uid === wantedUid);
  if (entry === null && byName) throw missing("user", userText, "/etc/passwd", files.passwd);

  const groups = wantedGroup === null && entry === null && groupAdd.length === 0 ? [] : parseGroups(files.group);
  let gid = entry?.gid ?? 0;
  const supplementary: number[] = [];
  if (wantedGroup !== null) {
    const found = findGroup(groups, wantedGroup);
    if (found === null) throw missing("group", groupText, "/etc/group", files.group);
    gid = found;
  } else if (entry !== null && entry.name !== "") {
    for (const g of groups) if (g.members.includes(entry.name)) supplementary.push(g.gid);
  }
  for (const text of groupAdd) {
    if (text === "") throw new Fault("E_USER", { message: "--group-add needs a group's name or id" });
    const found = findGroup(groups, parseIdOrName(text, "group id"));
    if (found === null) throw missing("group", text, "/etc/group", files.group);
    supplementary.push(found);
  }
  const additionalGids = [...new Set([gid, ...supplementary])];
  if (additionalGids.length > MAX_GROUPS) {
    throw new Fault("E_USER", {
      message: `the user is in ${additionalGids.length} groups, the kernel allows ${MAX_GROUPS}`,
      hint: "name the group: --user USER:GROUP leaves the others out",
    });
  }
  return {
    uid: entry?.uid ?? wantedUid,
    gid,
    additionalGids,
    home: entry === null || entry.home === "" ? "/" : entry.home,
    username: entry?.name ?? "",
  };
};
