/**
 * `--security-opt seccomp=FILE`: docker's profile format, or the plain `linux.seccomp` object of the runtime
 * specification, made into the latter. Docker's adds conditions to rules (capabilities, architectures, the kernel's
 * version), older names (`name` for `names`), and `archMap`.
 */
import * as z from "zod/mini";
import { Fault } from "#core/fault";
import { parseJson } from "#core/json";
import { nativeArchOf } from "#core/seccomp/arch";
import { SECCOMP_ACTIONS, SECCOMP_ARCHS, SECCOMP_FLAGS, SECCOMP_OPERATORS, type Seccomp } from "#core/spec/config";
import { isObject, uint32, uint64 } from "#core/spec/fields";

const texts = z.nullish(z.array(z.string()));
const ConditionSchema = z.nullish(
  z.object({ caps: texts, arches: texts, minKernel: z.nullish(z.string().check(z.regex(/^([0-9]+\.[0-9]+)?$/))) }),
);
const archs = z.nullish(z.array(z.enum(SECCOMP_ARCHS)));

const ProfileSchema = z.lazy(() =>
  z.object({
    defaultAction: z.enum(SECCOMP_ACTIONS),
    defaultErrnoRet: z.nullish(uint32),
    architectures: archs,
    archMap: z.nullish(z.array(z.object({ architecture: z.string(), subArchitectures: archs }))),
    flags: z.nullish(z.array(z.enum(SECCOMP_FLAGS))),
    listenerPath: z.nullish(z.string()),
    listenerMetadata: z.nullish(z.string()),
    syscalls: z.nullish(
      z.array(
        z.object({
          names: texts,
          name: z.nullish(z.string()),
          action: z.enum(SECCOMP_ACTIONS),
          errnoRet: z.nullish(uint32),
          args: z.nullish(z.array(z.object({ index: uint32, value: uint64, valueTwo: z.nullish(uint64), op: z.enum(SECCOMP_OPERATORS) }))),
          includes: ConditionSchema,
          excludes: ConditionSchema,
        }),
      ),
    ),
  }),
);

/** For whom a profile's conditions are decided. `arch` is GOARCH's word. */
export type SeccompTarget = {
  readonly capabilities: readonly string[];
  readonly arch: string;
  readonly kernel: { readonly major: number; readonly minor: number };
};

/** Docker's profiles name architectures by Go's words, but for these. */
const profileArchNames: Readonly<Record<string, string>> = {
  "386": "x86",
  loong64: "loongarch64",
  mips64le: "mipsel64",
  mips64p32: "mips64n32",
  mips64p32le: "mips3l64n32",
  mipsle: "mipsel",
};

const isRecent = (minimum: string, kernel: SeccompTarget["kernel"]): boolean => {
  const [major = 0, minor = 0] = minimum.split(".").map(Number);
  return kernel.major > major || (kernel.major === major && kernel.minor >= minor);
};

/**
 * Reads a profile for one container.
 *
 * @param path names the file in messages.
 * @returns null where the profile is empty: docker's sign for "no filter".
 * @throws Fault E_USAGE: not JSON, or not a profile; every issue is listed.
 */
export const readSeccompProfile = (path: string, text: string, target: SeccompTarget): Seccomp | null => {
  const hint = "docker's profile format and the linux.seccomp object of the OCI runtime specification are understood";
  const bad = (what: string): Fault => new Fault("E_USAGE", { message: `--security-opt seccomp=${path}: ${what}`, hint });
  let document: unknown;
  try {
    document = parseJson(text);
  } catch (cause) {
    throw cause instanceof Fault
      ? new Fault("E_USAGE", { message: `--security-opt seccomp=${path}: ${cause.message}`, issues: cause.issues, hint, cause })
      : cause;
  }
  if (isObject(document) && Object.keys(document).length === 0) return null;
  const parsed = z.safeParse(ProfileSchema, document);
  if (!parsed.success) {
    const issues = parsed.error.issues.map((issue) => ({
      pointer: issue.path.map((key) => `/${String(key).replaceAll("~", "~0").replaceAll("/", "~1")}`).join(""),
      message: issue.message || issue.code || "does not fit",
    }));
    throw new Fault("E_USAGE", {
      message: `--security-opt seccomp=${path}: it is not a seccomp profile (${issues[0]?.pointer || "/"})`,
      issues,
      hint,
    });
  }
  const profile = parsed.data;
  const named = profile.architectures ?? [];
  const map = profile.archMap ?? [];
  if (named.length > 0 && map.length > 0) throw bad("it has both architectures and archMap");

  const native = nativeArchOf(target.arch);
  const entry = map.find((a) => a.architecture === native);
  const own = SECCOMP_ARCHS.find((a) => a === native);
  const chosen = entry !== undefined && own !== undefined ? [own, ...(entry.subArchitectures ?? [])] : [...named];
  const arch = profileArchNames[target.arch] ?? target.arch;

  const syscalls: NonNullable<Seccomp["syscalls"]> = [];
  for (const [index, rule] of (profile.syscalls ?? []).entries()) {
    if ((rule.name ?? "") !== "" && (rule.names ?? []).length > 0) throw bad(`syscalls/${index} has both name and names`);
    const names = rule.name ? [rule.name] : (rule.names ?? []);
    if (names.length === 0) throw bad(`syscalls/${index} names no system call`);
    const { includes, excludes } = rule;
    if (excludes?.arches?.includes(arch) === true) continue;
    if (excludes?.caps?.some((c) => target.capabilities.includes(c)) === true) continue;
    if (excludes?.minKernel && isRecent(excludes.minKernel, target.kernel)) continue;
    if ((includes?.arches ?? []).length > 0 && includes?.arches?.includes(arch) !== true) continue;
    if (includes?.caps?.every((c) => target.capabilities.includes(c)) === false) continue;
    if (includes?.minKernel && !isRecent(includes.minKernel, target.kernel)) continue;
    syscalls.push({
      names,
      action: rule.action,
      ...(typeof rule.errnoRet === "number" ? { errnoRet: rule.errnoRet } : {}),
      ...((rule.args ?? []).length === 0
        ? {}
        : {
            args: (rule.args ?? []).map((a) => ({
              index: a.index,
              value: a.value,
              ...(a.valueTwo === null || a.valueTwo === undefined ? {} : { valueTwo: a.valueTwo }),
              op: a.op,
            })),
          }),
    });
  }
  return {
    defaultAction: profile.defaultAction,
    ...(typeof profile.defaultErrnoRet === "number" ? { defaultErrnoRet: profile.defaultErrnoRet } : {}),
    ...(chosen.length === 0 ? {} : { architectures: chosen }),
    ...((profile.flags ?? []).length === 0 ? {} : { flags: profile.flags ?? [] }),
    ...(profile.listenerPath ? { listenerPath: profile.listenerPath } : {}),
    ...(profile.listenerMetadata ? { listenerMetadata: profile.listenerMetadata } : {}),
    syscalls,
  };
};
