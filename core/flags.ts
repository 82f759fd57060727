/**
 * Command lines, read by tables. One table of flags serves the parser, `--help` and the man page, for `coracle` and for
 * `coracle-oci`.
 *
 * The rules are those of docker's parser (pflag): `--flag=value`, `--flag value`, `-f value`, `-fvalue`, `-f=value`,
 * clusters of short switches (`-it`, the last of which may take a value: `-itv/a:/b`), `--switch=false`, `--` ends the
 * flags. Where a command runs another (`run IMAGE CMD …`) flags end at the first argument.
 */
import { Fault } from "#core/fault";

export type Flag = {
  /** Without dashes. */
  readonly name: string;
  /** One letter. */
  readonly short?: string;
  /** Other names of the same flag; not shown. */
  readonly aliases?: readonly string[];
  /** `switch` takes no value (but `=true` or `=false`); of `text` and `int` the last one given counts, of `list` all do. */
  readonly kind: "switch" | "text" | "int" | "list";
  /** What stands for the value in help, e.g. `BYTES`. */
  readonly value?: string;
  /** One line without a full stop. */
  readonly help: string;
  /** The heading in help under which the flag stands. */
  readonly group?: string;
  /** What differs from the flag of the same name of docker (or runc); absent: the same meaning. For the man page. */
  readonly differs?: string;
  /** Known, and refused with this reason: better than to ignore it. */
  readonly unsupported?: string;
};

/** What was given: per flag name the values in their order; a switch has `true` or `false`. Flags not given are absent. */
export type FlagValues = ReadonlyMap<string, readonly string[]>;

export type ParsedFlags = {
  readonly values: FlagValues;
  /** What is no flag, in order; `--` itself is left out. */
  readonly rest: readonly string[];
};

export type ParseOptions = {
  /** As it was typed, for messages: `coracle run`. */
  readonly command: string;
  /** True: flags may stand behind arguments, too. Default false: the first argument ends them. */
  readonly interspersed?: boolean;
  /** True: `-name` is `--name`, as runc's parser has it; short switches cannot be joined then. */
  readonly singleDash?: boolean;
};

/** Go's strconv.ParseBool; null for anything else. */
export const parseBool = (text: string): boolean | null => {
  if (/^(1|t|T|true|TRUE|True)$/.test(text)) return true;
  return /^(0|f|F|false|FALSE|False)$/.test(text) ? false : null;
};

/** Edits (insert, delete, replace, swap of neighbours) that turn one word into another. */
export const editDistance = (a: string, b: string): number => {
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      let best = Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (last[j - 1] ?? 0) + cost);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) best = Math.min(best, (before[j - 2] ?? 0) + 1);
      row.push(best);
    }
    before = last;
    last = row;
  }
  return last[b.length] ?? 0;
};

/** The candidate that was most likely meant, or null where none is near. */
export const didYouMean = (word: string, candidates: readonly string[]): string | null => {
  if (word.length < 2 || word.length > 64) return null;
  const limit = Math.max(1, Math.floor(word.length / 3));
  let best: string | null = null;
  let distance = limit + 1;
  for (const candidate of candidates) {
    const d = candidate.startsWith(word) && word.length >= 3 ? 1 : editDistance(word, candidate);
    if (d < distance) [best, distance] = [candidate, d];
  }
  return best;
};

const usage = (options: ParseOptions, message: string, hint?: string): Fault =>
  new Fault("E_USAGE", { message, hint: hint ?? `see ${options.command} --help` });

/** Every flag by `--name`, alias and `-s`. */
const indexOf = (table: readonly Flag[]): ReadonlyMap<string, Flag> => {
  const index = new Map<string, Flag>();
  for (const flag of table) {
    for (const name of [flag.name, ...(flag.aliases ?? [])]) index.set(`--${name}`, flag);
    if (flag.short !== undefined) index.set(`-${flag.short}`, flag);
  }
  return index;
};

const checkValue = (flag: Flag, shown: string, value: string, options: ParseOptions): string => {
  if (flag.kind === "switch") {
    const on = parseBool(value);
    if (on === null) throw usage(options, `${shown}: "${value}" is neither true nor false`);
    return on ? "true" : "false";
  }
  if (flag.kind === "int" && !/^[+-]?[0-9]{1,18}$/.test(value)) throw usage(options, `${shown}: "${value}" is not a whole number`);
  return value;
};

/**
 * Reads a command line.
 *
 * @param argv without the program's and the command's name.
 * @throws Fault E_USAGE: an unknown flag (with the nearest known one), a missing or malformed value; E_UNSUPPORTED: a
 * flag that is known and not supported.
 */
export const parseFlags = (table: readonly Flag[], argv: readonly string[], options: ParseOptions): ParsedFlags => {
  const index = indexOf(table);
  const values = new Map<string, string[]>();
  const rest: string[] = [];
  let at = 0;

  const set = (flag: Flag, shown: string, value: string): void => {
    if (flag.unsupported !== undefined) {
      throw new Fault("E_UNSUPPORTED", {
        message: `${shown} is not supported${flag.unsupported === "" ? " yet" : `: ${flag.unsupported}`}`,
        hint: "leave it out",
      });
    }
    const checked = checkValue(flag, shown, value, options);
    const list = values.get(flag.name);
    if (list === undefined) values.set(flag.name, [checked]);
    else list.push(checked);
  };

  /** The value that stands in the next argument, whatever it looks like: `--oom-score-adj -500`. */
  const next = (flag: Flag, shown: string): string => {
    const value = argv[at];
    // A flag that is refused anyway needs no value to be refused.
    if (value === undefined && flag.unsupported === undefined)
      throw usage(options, `${shown} needs a value`, `write ${shown} ${flag.value ?? "VALUE"}`);
    at++;
    return value ?? "";
  };

  const long = (shown: string, key: string, value: string | undefined): void => {
    const flag = index.get(key);
    if (flag === undefined) {
      const near = didYouMean(
        key.slice(2),
        [...index.keys()].filter((name) => name.startsWith("--")).map((name) => name.slice(2)),
      );
      throw usage(options, `unknown flag: ${shown}`, near === null ? undefined : `did you mean --${near}?`);
    }
    set(flag, shown, value ?? (flag.kind === "switch" ? "true" : next(flag, shown)));
  };

  const shorts = (argument: string): void => {
    for (let i = 1; i < argument.length; i++) {
      const shown = `-${argument[i]}`;
      const flag = index.get(shown);
      if (flag === undefined) {
        // `-name` for `--name` is the likeliest slip.
        const meant = index.has(`-${argument}`) ? `did you mean -${argument}?` : undefined;
        throw usage(options, `unknown flag: ${shown}${argument.length > 2 ? ` in ${argument}` : ""}`, meant);
      }
      const tail = argument.slice(i + 1);
      if (flag.kind === "switch" && !tail.startsWith("=")) {
        set(flag, shown, "true");
        continue;
      }
      // The rest of the word is the value.
      set(flag, shown, tail === "" ? next(flag, shown) : tail.replace(/^=/, ""));
      break;
    }
  };

  while (at < argv.length) {
    const argument = argv[at++] ?? "";
    if (argument === "--") {
      rest.push(...argv.slice(at));
      break;
    }
    if (!argument.startsWith("-") || argument === "-") {
      rest.push(argument);
      if (options.interspersed === true) continue;
      rest.push(...argv.slice(at));
      break;
    }
    const equals = argument.indexOf("=");
    const name = equals < 0 ? argument : argument.slice(0, equals);
    const value = equals < 0 ? undefined : argument.slice(equals + 1);
    if (name.startsWith("--")) {
      if (/^--(-|$)/.test(name)) throw usage(options, `bad flag syntax: ${argument}`);
      long(name, name, value);
    } else if (options.singleDash === true) long(name, name.length === 2 && index.has(name) ? name : `-${name}`, value);
    else shorts(argument);
  }
  return { values, rest };
};

/** The last value of a flag, or null where it was not given. */
export const flagText = (values: FlagValues, name: string): string | null => values.get(name)?.at(-1) ?? null;
/** All values of a flag. */
export const flagList = (values: FlagValues, name: string): readonly string[] => values.get(name) ?? [];
/** A switch; `fallback` where it was not given. */
export const flagOn = (values: FlagValues, name: string, fallback = false): boolean => {
  const text = flagText(values, name);
  return text === null ? fallback : text === "true";
};

const placeholder = (flag: Flag): string => (flag.kind === "switch" ? "" : ` ${flag.value ?? (flag.kind === "int" ? "N" : "VALUE")}`);
const groupsOf = (table: readonly Flag[]): readonly (readonly [string, readonly Flag[]])[] => {
  const groups = new Map<string, Flag[]>();
  for (const flag of table) {
    if (flag.unsupported !== undefined) continue;
    const group = flag.group ?? "Options";
    groups.set(group, [...(groups.get(group) ?? []), flag]);
  }
  return [...groups];
};

/** The flags part of `--help`: one line per supported flag, under the headings of the table. Flags that are refused are left out. */
export const formatHelp = (table: readonly Flag[]): string => {
  const left = (flag: Flag): string => `  ${flag.short === undefined ? "   " : `-${flag.short},`} --${flag.name}${placeholder(flag)}`;
  const width = Math.max(0, ...groupsOf(table).flatMap(([, flags]) => flags.map((f) => left(f).length)));
  return groupsOf(table)
    .map(
      ([group, flags]) =>
        `${group}:\n${flags.map((f) => `${left(f).padEnd(width)}  ${f.help}${f.kind === "list" ? " (repeatable)" : ""}`).join("\n")}\n`,
    )
    .join("\n");
};

/** Text for roff: hyphens that are typed, backslashes, no character beyond ASCII, and a line that begins with a control character. */
const roff = (text: string): string =>
  text
    .replace(/\\/g, "\\e")
    .replace(/-/g, "\\-")
    .replace(/…/g, "...")
    .replace(/^([.'])/gm, "\\&$1");

/** The OPTIONS of a man page (man(7) macros): the supported flags, how they differ from docker's, and the list of those that are refused. */
export const formatMan = (table: readonly Flag[]): string => {
  const entry = (f: Flag): string => {
    const names = [...(f.short === undefined ? [] : [`-${f.short}`]), `--${f.name}`].map((n) => `\\fB${roff(n)}\\fR`).join(", ");
    const value = f.kind === "switch" ? "" : ` \\fI${roff(placeholder(f).trim())}\\fR`;
    const repeat = f.kind === "list" ? " May be given more than once." : "";
    return `.TP\n${names}${value}\n${roff(f.help)}.${repeat}${f.differs === undefined ? "" : `\n${roff(f.differs)}.`}\n`;
  };
  const supported = groupsOf(table).map(([group, flags]) => `.SS ${roff(group)}\n${flags.map(entry).join("")}`);
  const refused = table.filter((f) => f.unsupported !== undefined).map((f) => `\\fB${roff(`--${f.name}`)}\\fR`);
  return (
    supported.join("") + (refused.length === 0 ? "" : `.SS Not supported yet\nThese are refused, never ignored: ${refused.join(", ")}.\n`)
  );
};
