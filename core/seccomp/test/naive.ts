/** A policy's meaning, straight from its text: no numbers sorted, no graph, 64-bit compares by bigint. The compiler is held against it. */
import { architectures, nativeArchOf, numbersOf, versionOf, X32_BIT } from "#core/seccomp/arch";
import type { SeccompPolicy, SeccompRule } from "#core/seccomp/compile";
import type { SeccompData } from "#core/seccomp/interpret";

const values: Readonly<Record<string, number>> = {
  SCMP_ACT_KILL: 0,
  SCMP_ACT_KILL_THREAD: 0,
  SCMP_ACT_KILL_PROCESS: 0x80000000,
  SCMP_ACT_TRAP: 0x30000,
  SCMP_ACT_ERRNO: 0x50000,
  SCMP_ACT_NOTIFY: 0x7fc00000,
  SCMP_ACT_TRACE: 0x7ff00000,
  SCMP_ACT_LOG: 0x7ffc0000,
  SCMP_ACT_ALLOW: 0x7fff0000,
};

export const actionOf = (name: string, errno: number | undefined): number =>
  (values[name] ?? 0) + (name === "SCMP_ACT_ERRNO" || name === "SCMP_ACT_TRACE" ? (errno ?? 1) : 0);

const ENOSYS = 0x50026;
const WORD = 2n ** 32n;

// socketcall's and ipc's first arguments, by the call that they stand for (linux/net.h, linux/ipc.h).
const sockets =
  "socket bind listen connect accept getsockname getpeername socketpair send recv sendto recvfrom shutdown setsockopt getsockopt sendmsg recvmsg accept4 recvmmsg sendmmsg";
const viaSocketcall = new Map(
  sockets
    .replace("listen connect", "connect listen")
    .split(" ")
    .map((name, i) => [name, BigInt(i + 1)]),
);
const viaIpc = new Map([
  ["semop", 1n],
  ["semget", 2n],
  ["semctl", 3n],
  ["semtimedop", 4n],
  ["msgsnd", 11n],
  ["msgrcv", 12n],
  ["msgget", 13n],
  ["msgctl", 14n],
  ["shmat", 21n],
  ["shmdt", 22n],
  ["shmget", 23n],
  ["shmctl", 24n],
]);

type Arg = NonNullable<SeccompRule["args"]>[number];

const matches = ({ index, op, value, valueTwo }: Arg, data: SeccompData, bits: number): boolean => {
  let found = BigInt.asUintN(64, data.args[index] ?? 0n);
  let wanted = BigInt(value);
  if (op === "SCMP_CMP_MASKED_EQ") {
    found &= wanted;
    wanted = BigInt(valueTwo ?? 0) & wanted;
  }
  if (bits === 32) {
    found %= WORD;
    // -1 and the like mean their lower half; other wide values are larger than any argument
    if (
      wanted >= 2n ** 64n - 2n ** 31n ||
      (op === "SCMP_CMP_MASKED_EQ" && wanted >> 32n === WORD - 1n && (BigInt(valueTwo ?? 0) & 0x80000000n) !== 0n)
    )
      wanted %= WORD;
  }
  switch (op) {
    case "SCMP_CMP_NE":
      return found !== wanted;
    case "SCMP_CMP_LT":
      return found < wanted;
    case "SCMP_CMP_LE":
      return found <= wanted;
    case "SCMP_CMP_GT":
      return found > wanted;
    case "SCMP_CMP_GE":
      return found >= wanted;
    default:
      return found === wanted;
  }
};

/** What the policy answers, as a SECCOMP_RET_* value. */
export const evaluate = (policy: SeccompPolicy, goarch: string, data: SeccompData): number => {
  const native = nativeArchOf(goarch) ?? "";
  const named = [native, ...(policy.architectures ?? [])];
  const fallback = actionOf(policy.defaultAction, policy.defaultErrnoRet);
  const isX32 = data.arch === architectures["SCMP_ARCH_X32"]?.audit && data.nr >= X32_BIT;
  const arch = named
    .filter((name) => (isX32 ? name === "SCMP_ARCH_X32" : name !== "SCMP_ARCH_X32"))
    .map((name) => architectures[name])
    .find((candidate) => candidate?.audit === data.arch);
  if (arch === undefined)
    return isX32 && data.nr === 0xffffffff && named.some((name) => architectures[name]?.audit === data.arch) ? fallback : 0;

  const numbers = numbersOf(arch.table);
  const entries = policy.syscalls ?? [];
  // Each name of each entry, its conditions split where two are on one argument.
  const rules = entries.flatMap((entry) =>
    entry.names.flatMap((name) => {
      const args = entry.args ?? [];
      const twice = args.some((arg, i) => args.some((other, j) => i !== j && other.index === arg.index));
      const action = actionOf(entry.action, entry.errnoRet);
      return twice ? args.map((arg) => ({ name, action, args: [arg] })) : [{ name, action, args: [...args] }];
    }),
  );
  const effective = rules.filter(({ action }) => action !== fallback);
  const hits: { action: number; always: boolean }[] = [];
  for (const { name, action, args } of effective) {
    if (numbers.get(name) === data.nr) {
      if (args.every((arg) => matches(arg, data, arch.bits))) hits.push({ action, always: args.length === 0 });
    }
    for (const [via, subcalls, size] of [
      ["socketcall", viaSocketcall, 32],
      ["ipc", viaIpc, 16],
    ] as const) {
      const subcall = subcalls.get(name);
      if (subcall === undefined || numbers.get(via) !== data.nr) continue;
      if (args.length > 0 && (action | 0) > (fallback | 0)) continue;
      if (BigInt.asUintN(size, data.args[0] ?? 0n) === subcall) hits.push({ action, always: false });
    }
  }
  const hit = hits.find(({ always }) => always) ?? hits[0];
  if (hit !== undefined) return hit.action;

  const permissive = ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE"].includes(policy.defaultAction);
  const named_ = new Set(entries.flatMap(({ names }) => names));
  const known = [...named_].flatMap((name) => numbers.get(name) ?? []).filter((nr) => arch.table !== "arm" || nr < 0xf0000);
  if (permissive || known.length === 0) return fallback;
  if (effective.some(({ name }) => numbers.get(name) === data.nr)) return fallback; // it has rules, and none matched
  if (arch.table.startsWith("s390") && data.nr === 0) return ENOSYS;
  if (data.nr > Math.max(...known)) return arch.table === "arm" && data.nr >= 0xf0000 ? fallback : ENOSYS;
  const newest = Math.max(...[...named_].map(versionOf));
  const here = [...numbers].filter(([, nr]) => nr === data.nr).map(([name]) => name);
  return here.some((name) => !named_.has(name) && versionOf(name) > newest) ? ENOSYS : fallback;
};
