/** process of config.json → the last steps of the child side (config.md#process, config.md#linux-process). */
import type { Facts } from "#core/facts";
import { CAPABILITIES, RLIMITS } from "#core/spec/check";
import type { CapabilitySet, Config } from "#core/spec/config";
import type { Instruction, Step } from "./ops.ts";
import { BY_CORACLE, child } from "./step.ts";

type Report = { readonly issue: (pointer: string, message: string, hint?: string) => void; readonly note: (text: string) => void };

/** A capability set as bits. Names were checked; those that this kernel or namespace cannot give are noted and left out. */
const bits = (names: readonly string[], available: bigint, report: Report, set: string): bigint => {
  let value = 0n;
  for (const name of names) {
    const bit = 1n << BigInt(CAPABILITIES.findIndex((known) => known === name));
    if ((available & bit) === 0n) report.note(`/process/capabilities/${set}: ${name} is not available to this process, and left out`);
    else value |= bit;
  }
  return value;
};

export type Filter = { readonly filter: readonly Instruction[]; readonly flags: number } | null;

export type PayloadContext = Report & {
  readonly facts: { readonly self: Pick<Facts["self"], "capBounding"> };
  /** A user namespace is made or joined: in it, every capability is there to be given. */
  readonly userns: boolean;
  readonly setgroups: boolean;
  readonly preserveFds: number;
  readonly seccomp: Filter;
  /** Steps between "ready" and exec: rendezvous, the wait for `start`, startContainer hooks. */
  readonly handshake: readonly Step[];
  readonly newKeyring: boolean;
  readonly id: string;
};

const ALL = (1n << BigInt(CAPABILITIES.length)) - 1n;

const pathOf = (env: readonly string[]): string =>
  env.findLast((entry) => entry.startsWith("PATH="))?.slice(5) ?? "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Before the pivot: what needs the host's /proc, or the container's /dev through a descriptor. */
export const planConsole = (config: Config, context: Report & { readonly consoleSocket: string | null }): readonly Step[] => {
  const { process } = config;
  if (process?.terminal !== true) {
    if (context.consoleSocket !== null)
      context.issue(
        "/process/terminal",
        "a console socket was given, but the process wants no terminal",
        "set process.terminal, or leave --console-socket out",
      );
    return [];
  }
  if (context.consoleSocket === null) {
    context.issue(
      "/process/terminal",
      "a terminal needs someone to hold its other end",
      "give --console-socket, or set process.terminal to false",
    );
    return [];
  }
  return [
    child(
      "console",
      { socket: context.consoleSocket, rows: process.consoleSize?.height ?? 0, columns: process.consoleSize?.width ?? 0 },
      "/process/terminal",
    ),
  ];
};

export const planPayload = (config: Pick<Config, "process">, context: PayloadContext): readonly Step[] => {
  const { process } = config;
  if (process === undefined) return [];
  const at = "/process";
  const args = process.args ?? [];
  const user = process.user ?? {};
  const names = (set: CapabilitySet): readonly string[] => process.capabilities?.[set] ?? [];
  const available = context.userns ? ALL : BigInt(`0x${context.facts.self.capBounding || "0"}`);
  const mask = (set: CapabilitySet): bigint => bits(names(set), available, context, set);
  const permitted = mask("permitted");
  const inheritable = mask("inheritable");
  // The primary group is held in any case; engines name it again among the others.
  const groups = (user.additionalGids ?? []).filter((gid) => context.setgroups || gid !== (user.gid ?? 0));
  if (groups.length > 0 && !context.setgroups)
    context.issue(
      `${at}/user/additionalGids`,
      "supplementary groups cannot be set where setgroups(2) is denied",
      "have subordinate gids granted, or leave them out",
    );
  const capabilities = child(
    "capabilities",
    { effective: mask("effective") & permitted, permitted, inheritable, ambient: mask("ambient") & permitted & inheritable },
    `${at}/capabilities`,
  );
  const seccomp =
    context.seccomp === null ? [] : [child("seccomp", { filter: context.seccomp.filter, flags: context.seccomp.flags }, "/linux/seccomp")];
  const noNewPrivs = process.noNewPrivileges === true;
  return [
    ...(process.rlimits ?? []).map(({ type, soft, hard }, i) =>
      child("rlimit", { resource: RLIMITS.findIndex((name) => name === type), soft, hard }, `${at}/rlimits/${i}`),
    ),
    ...(context.newKeyring ? [child("keyring", { name: `_ses.${context.id}` }, BY_CORACLE)] : []),
    child("cwd", { path: process.cwd }, `${at}/cwd`),
    ...(noNewPrivs ? [child("no_new_privs", {}, `${at}/noNewPrivileges`)] : []),
    child("bounding", { keep: mask("bounding") }, `${at}/capabilities/bounding`),
    child(
      "ids",
      { uid: user.uid ?? 0, gid: user.gid ?? 0, groups, setgroups: context.setgroups, umask: user.umask ?? 0o022 },
      `${at}/user`,
    ),
    // Without no_new_privs a filter needs CAP_SYS_ADMIN, so it comes before capabilities drop; with it, as late as can be.
    ...(noNewPrivs ? [capabilities] : []),
    child("resolve", { file: args[0] ?? "/", search: pathOf(process.env ?? []) }, `${at}/args/0`),
    ...context.handshake,
    ...(noNewPrivs ? seccomp : [...seccomp, capabilities]),
    child("exec", { argv: args, env: process.env ?? [], preserveFds: context.preserveFds }, `${at}/args`),
  ];
};
