/**
 * `linux.seccomp` of config.json → classic BPF.
 *
 *     ld arch
 *     jeq <native> ─────> ld nr; a tree of number ranges ─> ret | argument tests ─> ret
 *     jeq <sub-arch> ───> the same for its own numbers
 *     ret KILL_THREAD
 *
 * The policy becomes a graph of decisions in which equal parts are one node; the graph is then written from its end
 * to its start, so that every jump goes forward to a place that is known. Loading a filter costs mostly what the
 * kernel's action cache costs (Linux 5.11: it walks the filter once for each number of two architectures), so the
 * depth of the trees is what counts. That cache follows only ld, and, jmp with a constant, and ret: nothing else is used.
 */
import type { Issue } from "#core/fault";
import { type Arch, architectures, idOf, nativeArchOf, numbersById, versionsById, X32_BIT } from "#core/seccomp/arch";
import { type Instruction, MAX_INSTRUCTIONS } from "#core/seccomp/interpret";

type Int64 = number | bigint;

/** `linux.seccomp` as the runtime specification writes it; whatever `SeccompSchema` of core/spec parses fits. */
export type SeccompPolicy = {
  readonly defaultAction: string;
  readonly defaultErrnoRet?: number | undefined;
  readonly architectures?: readonly string[] | undefined;
  readonly flags?: readonly string[] | undefined;
  readonly listenerPath?: string | undefined;
  readonly listenerMetadata?: string | undefined;
  readonly syscalls?: readonly SeccompRule[] | undefined;
};

export type SeccompRule = {
  readonly names: readonly string[];
  readonly action: string;
  readonly errnoRet?: number | undefined;
  readonly args?:
    | readonly { readonly index: number; readonly value: Int64; readonly valueTwo?: Int64 | undefined; readonly op: string }[]
    | undefined;
};

export type SeccompTarget = {
  /** GOARCH's word. */
  readonly arch: string;
  /** Where known, flags that this kernel lacks are refused here rather than at load. */
  readonly kernel?: { readonly major: number; readonly minor: number };
};

export type CompiledSeccomp = {
  readonly filter: readonly Instruction[];
  /** Second argument of seccomp(SECCOMP_SET_MODE_FILTER), NEW_LISTENER included. */
  readonly flags: number;
  /** A notify descriptor comes back from seccomp(2) and belongs at `listenerPath`. */
  readonly listener: boolean;
  /** What was ignored, and why. */
  readonly notes: readonly string[];
};

const ENOSYS = 38;
const EPERM = 1;

/** SECCOMP_RET_* (linux/seccomp.h) and the largest data that goes with it; 0 where it takes none. */
const actions: Readonly<Record<string, { readonly value: number; readonly maxData: number }>> = {
  SCMP_ACT_KILL: { value: 0x00000000, maxData: 0 }, // KILL_THREAD's older name
  SCMP_ACT_KILL_THREAD: { value: 0x00000000, maxData: 0 },
  SCMP_ACT_KILL_PROCESS: { value: 0x80000000, maxData: 0 },
  SCMP_ACT_TRAP: { value: 0x00030000, maxData: 0 },
  SCMP_ACT_ERRNO: { value: 0x00050000, maxData: 4095 }, // MAX_ERRNO: the kernel would clamp
  SCMP_ACT_NOTIFY: { value: 0x7fc00000, maxData: 0 },
  SCMP_ACT_TRACE: { value: 0x7ff00000, maxData: 0xffff },
  SCMP_ACT_LOG: { value: 0x7ffc0000, maxData: 0 },
  SCMP_ACT_ALLOW: { value: 0x7fff0000, maxData: 0 },
};
const RET_ENOSYS = 0x00050000 | ENOSYS;
/** Actions under which the call happens. TRACE too: a tracer answers ENOSYS itself (runc's reasoning). */
const PERMISSIVE: ReadonlySet<number> = new Set([0x7ff00000, 0x7ffc0000, 0x7fff0000]);
/**
 * For a call of an architecture that the policy does not name: libseccomp's default (SCMP_FLTATR_ACT_BADARCH), which no
 * runtime changes. The numbers mean other calls there, so none of the policy's rules can be applied to them.
 */
const BAD_ARCH = 0x00000000;

const flagBits: Readonly<Record<string, number>> = {
  SECCOMP_FILTER_FLAG_TSYNC: 1,
  SECCOMP_FILTER_FLAG_LOG: 2,
  SECCOMP_FILTER_FLAG_SPEC_ALLOW: 4,
  SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV: 32,
};
const FLAG_NEW_LISTENER = 8;
const FLAG_TSYNC_ESRCH = 16;

// ── The graph ────────────────────────────────────────────────────────────────────────────────────────────────────────

type Op = "eq" | "gt" | "ge" | "set";
type Leaf = { readonly id: number; readonly size: number; readonly action: number };
type Test = {
  readonly id: number;
  readonly size: number;
  readonly word: string;
  readonly offset: number;
  readonly mask: number;
  readonly op: Op;
  readonly k: number;
  readonly yes: Node;
  readonly no: Node;
};
type Node = Leaf | Test;
type Graph = {
  readonly leaf: (action: number) => Leaf;
  /** `(word at offset & mask) op k ? yes : no`. */
  readonly test: (offset: number, mask: number, op: Op, k: number, yes: Node, no: Node) => Node;
};

const NR = 0;
const ARCH = 4;
const FULL = 0xffffffff;

const createGraph = (): Graph => {
  const known = new Map<string, Node>();
  const leaves = new Map<number, Leaf>();
  let id = 0;
  return {
    leaf: (action) => {
      const found = leaves.get(action) ?? { id: id++, size: 1, action };
      leaves.set(action, found);
      return found;
    },
    test: (offset, mask, op, k, yes, no) => {
      if (yes === no) return yes;
      const key = `${offset},${mask},${op},${k},${yes.id},${no.id}`;
      const found = known.get(key) ?? { id: id++, size: 1 + yes.size + no.size, word: `${offset}&${mask}`, offset, mask, op, k, yes, no };
      known.set(key, found);
      return found;
    },
  };
};

// ── Arguments ────────────────────────────────────────────────────────────────────────────────────────────────────────

type Word = { readonly hi: number; readonly lo: number };
type Condition = { readonly arg: number; readonly op: string; readonly value: Word; readonly mask: Word };
type Rule = { readonly action: number; readonly conditions: readonly Condition[] };

const toWord = (value: Int64): Word =>
  typeof value === "bigint"
    ? { hi: Number(BigInt.asUintN(32, value >> 32n)), lo: Number(BigInt.asUintN(32, value)) }
    : { hi: Math.floor(value / 0x100000000) >>> 0, lo: value >>> 0 };

const and = (a: number, b: number): number => (a & b) >>> 0;
const ALL: Word = { hi: FULL, lo: FULL };

/** What is known of the words on the way to a test: bounds, excluded values, and tests already made. */
type Facts = {
  readonly bounds: ReadonlyMap<string, { readonly min: number; readonly max: number }>;
  readonly made: ReadonlyMap<string, boolean>;
};
const NOTHING: Facts = { bounds: new Map(), made: new Map() };

const factKey = (word: string, op: Op, k: number): string => `${word} ${op} ${k}`;

const implied = (facts: Facts, word: string, op: Op, k: number): boolean | undefined => {
  const bounds = facts.bounds.get(word);
  if (bounds !== undefined) {
    const { min, max } = bounds;
    if (op === "eq") {
      if (k < min || k > max) return false;
      if (min === max) return true;
    } else if (op === "set") {
      if (min === max) return and(min, k) !== 0;
    } else {
      const least = op === "gt" ? k + 1 : k;
      if (min >= least) return true;
      if (max < least) return false;
    }
  }
  return facts.made.get(factKey(word, op, k));
};

const learn = (facts: Facts, word: string, op: Op, k: number, holds: boolean): Facts => {
  const { min, max } = facts.bounds.get(word) ?? { min: 0, max: FULL };
  const made = new Map(facts.made).set(factKey(word, op, k), holds);
  const least = op === "gt" ? k + 1 : k;
  const next =
    op === "eq"
      ? holds
        ? { min: k, max: k }
        : { min: k === min ? min + 1 : min, max: k === max ? max - 1 : max }
      : op === "set"
        ? { min, max }
        : holds
          ? { min: Math.max(min, least), max }
          : { min, max: Math.min(max, least - 1) };
  return { bounds: new Map(facts.bounds).set(word, next), made };
};

type Then = (facts: Facts) => Node;

/** The tests of one condition, skipping what the facts decide. 64 bits are compared as two words: equal high words defer to the low ones. */
const buildCondition = (graph: Graph, arch: Arch, condition: Condition, facts: Facts, yes: Then, no: Then): Node => {
  const { arg, op, value, mask } = condition;
  const first = 16 + 8 * arg;
  const low = arch.bigEndian ? first + 4 : first;
  const high = arch.bigEndian ? first : first + 4;
  const ask = (offset: number, m: number, test: Op, k: number, known: Facts, ifSo: Then, ifNot: Then): Node => {
    const word = `${offset}&${m}`;
    const answer = implied(known, word, test, k);
    if (answer !== undefined) return answer ? ifSo(known) : ifNot(known);
    return graph.test(offset, m, test, k, ifSo(learn(known, word, test, k, true)), ifNot(learn(known, word, test, k, false)));
  };
  // One bit of jset spares the `and`, and leaves the whole word loaded for the next test.
  const masked = (offset: number, m: number, k: number, known: Facts, ifSo: Then, ifNot: Then): Node => {
    if (m === 0) return ifSo(known);
    if (m === FULL) return ask(offset, FULL, "eq", k, known, ifSo, ifNot);
    if (k === 0) return ask(offset, FULL, "set", m, known, ifNot, ifSo);
    if (k === m && (m & (m - 1)) === 0) return ask(offset, FULL, "set", m, known, ifSo, ifNot);
    return ask(offset, m, "eq", k, known, ifSo, ifNot);
  };
  const lowEqual = (known: Facts, ifSo: Then, ifNot: Then): Node => masked(low, mask.lo, and(value.lo, mask.lo), known, ifSo, ifNot);
  const equal = (known: Facts, ifSo: Then, ifNot: Then): Node =>
    arch.bits === 32
      ? lowEqual(known, ifSo, ifNot)
      : masked(high, mask.hi, and(value.hi, mask.hi), known, (more) => lowEqual(more, ifSo, ifNot), ifNot);
  const above = (test: "gt" | "ge", ifSo: Then, ifNot: Then): Node => {
    const lowAbove: Then = (known) => ask(low, FULL, test, value.lo, known, ifSo, ifNot);
    if (arch.bits === 32) return lowAbove(facts);
    // Equality first: it is the common way (small values), and where the high word is 0 it decides the rest.
    return ask(high, FULL, "eq", value.hi, facts, lowAbove, (known) => ask(high, FULL, "gt", value.hi, known, ifSo, ifNot));
  };
  switch (op) {
    case "SCMP_CMP_NE":
      return equal(facts, no, yes);
    case "SCMP_CMP_GT":
      return above("gt", yes, no);
    case "SCMP_CMP_GE":
      return above("ge", yes, no);
    case "SCMP_CMP_LT":
      return above("ge", no, yes);
    case "SCMP_CMP_LE":
      return above("gt", no, yes);
    default:
      return equal(facts, yes, no);
  }
};

/** Decisions that carrying facts from rule to rule may cost before it is given up for that call. */
const DEEP_BUDGET = 512;

/** The rules of one call, first match first. */
const buildRules = (graph: Graph, arch: Arch, rules: readonly Rule[], otherwise: Node): Node => {
  // With facts from one rule to the next, lists such as `personality`'s five values need one look at the high word; but
  // facts multiply the ways through a list, so there is a budget.
  let budget = DEEP_BUDGET;
  const deep = (i: number, j: number, facts: Facts): Node => {
    const rule = rules[i];
    if (rule === undefined || --budget < 0) return otherwise;
    const condition = rule.conditions[j];
    if (condition === undefined) return graph.leaf(rule.action);
    return buildCondition(
      graph,
      arch,
      condition,
      facts,
      (known) => deep(i, j + 1, known),
      (known) => deep(i + 1, 0, known),
    );
  };
  const node = rules.length <= 64 ? deep(0, 0, NOTHING) : otherwise;
  if (rules.length <= 64 && budget >= 0) return node;
  return rules.reduceRight<Node>(
    (next, { action, conditions }) =>
      conditions.reduceRight<Node>(
        (match, condition) =>
          buildCondition(
            graph,
            arch,
            condition,
            NOTHING,
            () => match,
            () => next,
          ),
        graph.leaf(action),
      ),
    otherwise,
  );
};

// ── Numbers ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** A run of numbers with one decision, up to the next run's `from`. */
type Range = { readonly from: number; readonly node: Node };

/** Isolated numbers that a leaf of the range tree may test one by one, instead of two range tests each. */
const SINGLES_PER_LEAF = 2;

/** A leaf of the range tree: one decision for all its numbers but a few. */
type Group = { readonly from: number; readonly singles: readonly Range[]; readonly node: Node };

const buildGroups = (ranges: readonly Range[]): Group[] => {
  const groups: Group[] = [];
  for (let i = 0; i < ranges.length; ) {
    const first = ranges[i];
    if (first === undefined) break;
    const isSingle = (at: number): boolean => (ranges[at + 1]?.from ?? 2 ** 32) - (ranges[at]?.from ?? 0) === 1;
    const tryWith = (main: Node): { length: number; singles: Range[] } => {
      const singles: Range[] = [];
      let at = i;
      for (let range = ranges[at]; range !== undefined; range = ranges[++at]) {
        if (range.node === main) continue;
        if (!isSingle(at) || singles.length === SINGLES_PER_LEAF) break;
        singles.push(range);
      }
      return { length: at - i, singles };
    };
    const second = ranges[i + 1];
    let main = first.node;
    let best = tryWith(main);
    if (second !== undefined && isSingle(i)) {
      const other = tryWith(second.node);
      if (other.length > best.length) {
        main = second.node;
        best = other;
      }
    }
    groups.push({ from: first.from, singles: best.singles, node: main });
    i += best.length;
  }
  return groups;
};

const buildRanges = (graph: Graph, ranges: readonly Range[]): Node => {
  const groups = buildGroups(ranges);
  const build = (from: number, to: number): Node => {
    const group = groups[from];
    if (group === undefined) throw new RangeError("an empty range of system calls");
    if (to - from === 1)
      return group.singles.reduceRight<Node>(
        (otherwise, single) => graph.test(NR, FULL, "eq", single.from, single.node, otherwise),
        group.node,
      );
    const middle = (from + to) >> 1;
    return graph.test(NR, FULL, "ge", groups[middle]?.from ?? 0, build(middle, to), build(from, middle));
  };
  return build(0, groups.length);
};

// ── Writing it down ──────────────────────────────────────────────────────────────────────────────────────────────────

const jumpCode: Readonly<Record<Op, number>> = { eq: 0x15, gt: 0x25, ge: 0x35, set: 0x45 };
const LONGEST_JUMP = 255;

const countNodes = (root: Node): number => {
  const seen = new Set<Node>([root]);
  for (const node of seen) if ("yes" in node) seen.add(node.yes).add(node.no);
  return seen.size;
};

/**
 * Writes the graph backwards. A place is counted from the program's end, so it never moves. A target further than a jump
 * can reach gets a `ja` (or, if it is a return, a copy) in front, and later jumps use that one.
 */
const emit = (root: Node): Instruction[] => {
  const reversed: Instruction[] = [];
  const places = new Map<string, number>();
  const push = (key: string, instruction: Instruction): void => {
    places.set(key, reversed.push(instruction) - 1);
  };
  /** Where to enter a node when `loaded` is in the accumulator. */
  const keyOf = (node: Node, loaded: string): string =>
    !("yes" in node)
      ? `ret ${node.action}`
      : node.word === loaded
        ? `jump ${node.id}`
        : loaded === `${node.offset}&${FULL}`
          ? `and ${node.id}`
          : `load ${node.id}`;
  const near = (node: Node, loaded: string): number => {
    const key = keyOf(node, loaded);
    const place = places.get(key) ?? 0;
    if (reversed.length - place - 1 > LONGEST_JUMP)
      push(key, "yes" in node ? [0x05, 0, 0, reversed.length - place - 1] : [0x06, 0, 0, node.action]);
    return places.get(key) ?? 0;
  };
  const pushJump = (test: Test): void => {
    let yes: number;
    let no: number;
    let before: number;
    do {
      before = reversed.length;
      yes = near(test.yes, test.word);
      no = near(test.no, test.word);
    } while (reversed.length !== before);
    push(`jump ${test.id}`, [jumpCode[test.op], before - yes - 1, before - no - 1, test.k]);
  };
  const finish = (node: Test, loaded: string): void => {
    const key = keyOf(node, loaded);
    const jump = `jump ${node.id}`;
    if (!places.has(jump)) pushJump(node);
    if (key === jump) return;
    if (places.get(jump) !== reversed.length - 1) pushJump(node); // a load falls through, so its jump must follow
    if (node.mask !== FULL) push(`and ${node.id}`, [0x54, 0, 0, node.mask]);
    if (key.startsWith("load")) push(key, [0x20, 0, 0, node.offset]);
  };
  // A stack of our own: a list of a thousand values is a thousand nodes deep, too deep for QuickJS to recurse into.
  const pending: { readonly node: Node; readonly loaded: string; readonly ready: boolean }[] = [{ node: root, loaded: "", ready: false }];
  for (let item = pending.pop(); item !== undefined; item = pending.pop()) {
    const { node, loaded, ready } = item;
    if (places.has(keyOf(node, loaded))) continue;
    if (!("yes" in node)) push(keyOf(node, loaded), [0x06, 0, 0, node.action]);
    else if (ready || places.has(`jump ${node.id}`)) finish(node, loaded);
    else {
      // The larger half is written first, and so ends up further away.
      const [far, close] = node.yes.size > node.no.size ? [node.yes, node.no] : [node.no, node.yes];
      pending.push(
        { node, loaded, ready: true },
        { node: close, loaded: node.word, ready: false },
        { node: far, loaded: node.word, ready: false },
      );
    }
  }
  return reversed.reverse();
};

// ── Policy ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const counted = (calls: string, first: number): [string, number][] => calls.split(" ").map((call, i) => [call, first + i]);

/** socketcall(2) and ipc(2): calls inside a call, told apart by those bits of the first argument that the kernel looks at (linux/net.h, linux/ipc.h). */
const multiplexers: readonly {
  readonly via: string;
  readonly mask: number;
  readonly calls: readonly (readonly [call: string, subcall: number])[];
}[] = [
  {
    via: "socketcall",
    mask: FULL,
    calls: counted(
      "socket bind connect listen accept getsockname getpeername socketpair send recv sendto recvfrom shutdown setsockopt getsockopt sendmsg recvmsg accept4 recvmmsg sendmmsg",
      1,
    ),
  },
  {
    via: "ipc",
    mask: 0xffff, // the upper half is a version
    calls: [
      ...counted("semop semget semctl semtimedop", 1),
      ...counted("msgsnd msgrcv msgget msgctl", 11),
      ...counted("shmat shmdt shmget shmctl", 21),
    ],
  },
];

/** arm keeps its private calls (breakpoint, cacheflush, set_tls) far above all others. */
const ARM_PRIVATE = 0xf0000;

/** A rule for one name, as parsed. */
type NamedRule = { readonly id: number; readonly action: number; readonly conditions: readonly Condition[] };

/**
 * A value on a 32-bit architecture: the upper half of seccomp_data's argument is always 0 there. A sign-extended value
 * (−1 written as 2^64 − 1) means its lower half, as in libseccomp; any other wide value can be no argument's.
 */
const fits32 = ({ hi, lo }: Word): boolean => hi === 0 || (hi === FULL && lo >= 0x80000000);

/** A condition that is decided by the architecture alone; undefined where it is not. */
const decidedBy32 = ({ op, value, mask }: Condition): boolean | undefined => {
  const compared = { hi: and(value.hi, mask.hi), lo: and(value.lo, mask.lo) };
  if (fits32(op === "SCMP_CMP_MASKED_EQ" ? { hi: compared.hi, lo: compared.hi === 0 ? 0 : value.lo } : compared)) return undefined;
  return op === "SCMP_CMP_NE" || op === "SCMP_CMP_LT" || op === "SCMP_CMP_LE";
};

/**
 * Compiles a policy.
 *
 * Semantics, where the specification is silent, are those of runc with libseccomp:
 * - the native architecture always counts as named; others kill the thread;
 * - a rule with the default's action is dropped; a rule without arguments beats those with, and the first such wins;
 *   of those with arguments the first that matches wins (libseccomp refuses or reorders overlaps, so no profile relies on it);
 * - two conditions on one argument make every condition of that entry a rule of its own;
 * - unknown names are ignored, with a note; flags default to SPEC_ALLOW, and only where `flags` is absent;
 * - **ENOSYS for what the profile's author cannot have known.** glibc falls back to an older call on ENOSYS, but not on
 *   EPERM, so a new libc breaks under an old profile. With a default that denies, a number above the highest that the profile names on
 *   that architecture is answered ENOSYS (runc's patchbpf); so is an unnamed call below it that came with a later Linux
 *   than all that the profile names (close_range has a lower number than openat2, and is younger: patchbpf's stated gap).
 *   s390's number 0 too: the kernel puts it in place of a number that it does not know.
 *
 * Stricter than libseccomp in one point: a rule on an argument of, say, `socket` cannot be checked inside socketcall(2), where the arguments
 * are in memory. A rule that grants is not extended to it; a rule that denies is, without its arguments.
 */
export const compileSeccomp = (policy: SeccompPolicy, target: SeccompTarget): CompiledSeccomp | { readonly issues: readonly Issue[] } => {
  const issues: Issue[] = [];
  const notes: string[] = [];
  const root = "/linux/seccomp";
  const complain = (pointer: string, message: string, hint?: string): void => {
    issues.push({ pointer: `${root}${pointer}`, message, ...(hint === undefined ? {} : { hint }) });
  };

  const parseAction = (name: string, errno: number | undefined, pointer: string, errnoField: string): number => {
    const action = Object.hasOwn(actions, name) ? actions[name] : undefined;
    if (action === undefined) {
      complain(pointer, `unknown action ${JSON.stringify(name)}`);
      return 0;
    }
    if (action.maxData === 0) {
      // The specification: "the runtime MUST print an error and fail".
      if (errno !== undefined) complain(errnoField, `${name} takes no errno`, "remove it, or use SCMP_ACT_ERRNO");
      return action.value;
    }
    const data = errno ?? EPERM;
    if (!Number.isInteger(data) || data < 0 || data > action.maxData) complain(errnoField, `${name} takes 0 to ${action.maxData}`);
    return (action.value | (data & action.maxData)) >>> 0;
  };

  const native = nativeArchOf(target.arch);
  if (native === null) {
    complain("", `no seccomp support for the architecture ${target.arch}`);
    return { issues };
  }
  const named = [...new Set([native, ...(policy.architectures ?? [])])];
  for (const [i, name] of (policy.architectures ?? []).entries()) {
    const arch = Object.hasOwn(architectures, name) ? architectures[name] : undefined;
    if (arch === undefined) complain(`/architectures/${i}`, `unknown architecture ${JSON.stringify(name)}`);
    else if (arch.bigEndian !== architectures[native]?.bigEndian)
      complain(`/architectures/${i}`, `${name} has another byte order than ${native}, so no kernel runs both`);
  }

  const defaultAction = parseAction(policy.defaultAction, policy.defaultErrnoRet, "/defaultAction", "/defaultErrnoRet");
  if (policy.defaultAction === "SCMP_ACT_NOTIFY") {
    // As runc: the calls that carry the descriptor to the agent would themselves wait for the agent.
    complain("/defaultAction", "SCMP_ACT_NOTIFY cannot be the default action", "name the system calls to be notified of");
  }

  const rules: NamedRule[] = [];
  const unknown = new Set<string>();
  let listener = false;
  for (const [i, entry] of (policy.syscalls ?? []).entries()) {
    const at = `/syscalls/${i}`;
    const action = parseAction(entry.action, entry.errnoRet, `${at}/action`, `${at}/errnoRet`);
    listener ||= entry.action === "SCMP_ACT_NOTIFY";
    const conditions: Condition[] = [];
    for (const [j, { index, op, value, valueTwo }] of (entry.args ?? []).entries()) {
      if (!Number.isInteger(index) || index < 0 || index > 5) complain(`${at}/args/${j}/index`, "a system call has arguments 0 to 5");
      const masked = op === "SCMP_CMP_MASKED_EQ";
      if (!masked && !["SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT"].includes(op))
        complain(`${at}/args/${j}/op`, `unknown operator ${JSON.stringify(op)}`);
      // For a masked comparison `value` is the mask and `valueTwo` what must remain.
      conditions.push({ arg: index, op, value: toWord(masked ? (valueTwo ?? 0) : value), mask: masked ? toWord(value) : ALL });
    }
    const repeated = new Set(conditions.map(({ arg }) => arg)).size < conditions.length;
    for (const [j, name] of entry.names.entries()) {
      const id = idOf(name);
      if (name === "") complain(`${at}/names/${j}`, "an empty name");
      else if (id === undefined) unknown.add(name);
      else if (repeated) for (const condition of conditions) rules.push({ id, action, conditions: [condition] });
      else rules.push({ id, action, conditions });
    }
    if (repeated) notes.push(`syscalls/${i} (${entry.names[0]}…): two conditions on one argument, so any one of its conditions is enough`);
  }
  if (unknown.size > 0) notes.push(`unknown system calls ignored: ${[...unknown].join(", ")}`);

  let flags = policy.flags === undefined ? (flagBits["SECCOMP_FILTER_FLAG_SPEC_ALLOW"] ?? 0) : 0;
  for (const [i, name] of (policy.flags ?? []).entries()) {
    const bit = Object.hasOwn(flagBits, name) ? flagBits[name] : undefined;
    if (bit === undefined) complain(`/flags/${i}`, `unknown flag ${JSON.stringify(name)}`);
    else if (bit !== 32) flags |= bit;
    else if (!listener) notes.push(`${name} ignored: no rule notifies, and the kernel takes it only with a listener`);
    else if (target.kernel !== undefined && target.kernel.major * 1000 + target.kernel.minor < 5019)
      complain(`/flags/${i}`, `${name} needs Linux 5.19, and this is ${target.kernel.major}.${target.kernel.minor}`);
    else flags |= bit;
  }
  if (listener) flags |= FLAG_NEW_LISTENER | ((flags & 1) === 0 ? 0 : FLAG_TSYNC_ESRCH); // the kernel wants ESRCH where both return something
  if (listener && (policy.listenerPath ?? "") === "")
    complain("/listenerPath", "required by SCMP_ACT_NOTIFY", "give the unix socket of the seccomp agent");
  if ((policy.listenerMetadata ?? "") !== "" && (policy.listenerPath ?? "") === "")
    complain("/listenerMetadata", "must not be set without listenerPath");
  if (issues.length > 0) return { issues };

  const graph = createGraph();
  const versions = versionsById();
  const newest = rules.reduce((version, { id }) => Math.max(version, versions[id] ?? 0), 0);
  const namedIds = new Set(rules.map(({ id }) => id));
  /** Calls younger than the profile. */
  const younger = [...versions.keys()].filter((id) => (versions[id] ?? 0) > newest && !namedIds.has(id));
  const denies = !PERMISSIVE.has((defaultAction & 0xffff0000) >>> 0);

  /** One architecture's numbers, ascending and gapless from `start` up to (not with) `end`. */
  const rangesOf = (name: string, start: number, end: number): Range[] => {
    const arch = architectures[name];
    if (arch === undefined) return [];
    const numbers = numbersById(arch.table);
    const numberOf = (call: string): number => numbers[idOf(call) ?? -1] ?? -1;
    const always = new Map<number, number>();
    const conditional = new Map<number, Rule[]>();
    const addRule = (nr: number, { action, conditions }: Rule): void => {
      if (action === defaultAction) return;
      if (conditions.length === 0) {
        if (!always.has(nr)) always.set(nr, action);
        return;
      }
      const list = conditional.get(nr) ?? [];
      conditional.set(nr, list);
      const decided = arch.bits === 32 ? conditions.map(decidedBy32) : [];
      if (!decided.includes(false)) list.push({ action, conditions: conditions.filter((_, i) => decided[i] === undefined) });
    };
    const inner = new Map<number, { readonly outer: number; readonly condition: Condition }>();
    for (const { via, mask, calls } of multiplexers) {
      const outer = numberOf(via);
      if (outer < 0) continue;
      for (const [call, subcall] of calls) {
        const condition = { arg: 0, op: "SCMP_CMP_MASKED_EQ", value: { hi: 0, lo: subcall }, mask: { hi: 0, lo: mask } };
        inner.set(idOf(call) ?? -1, { outer, condition });
      }
    }
    let highest = -1;
    for (const rule of rules) {
      const nr = numbers[rule.id] ?? -1;
      if (nr >= 0) {
        if (nr > highest && (arch.table !== "arm" || nr < ARM_PRIVATE)) highest = nr;
        addRule(nr, rule);
      }
      const muxed = inner.get(rule.id);
      if (muxed === undefined) continue;
      if (rule.conditions.length > 0 && (rule.action | 0) > (defaultAction | 0)) continue; // signed, as the kernel ranks actions
      addRule(muxed.outer, { action: rule.action, conditions: [muxed.condition] });
    }

    const otherwise = graph.leaf(defaultAction);
    const decisions = new Map<number, Node>();
    for (const [nr, action] of always) decisions.set(nr, graph.leaf(action));
    for (const [nr, list] of conditional) if (!always.has(nr)) decisions.set(nr, buildRules(graph, arch, list, otherwise));
    const knowsEnough = denies && highest >= 0;
    if (knowsEnough) {
      const enosys = graph.leaf(RET_ENOSYS);
      for (const id of younger) {
        const nr = numbers[id] ?? -1;
        if (nr >= 0 && nr <= highest && !decisions.has(nr)) decisions.set(nr, enosys);
      }
      if (arch.table === "s390" || arch.table === "s390x") decisions.set(0, enosys);
    }

    const ranges: Range[] = [];
    const put = (from: number, node: Node): void => {
      if (ranges.at(-1)?.node !== node) ranges.push({ from, node });
    };
    const beyond = knowsEnough ? graph.leaf(RET_ENOSYS) : otherwise;
    const fill = (from: number, to: number): void => {
      const limit = arch.table === "arm" ? ARM_PRIVATE : end;
      if (from <= highest && from < to) put(from, otherwise);
      const above = Math.max(from, highest + 1);
      if (above < Math.min(to, limit)) put(above, beyond);
      if (Math.max(from, limit) < to) put(Math.max(from, limit), otherwise);
    };
    let next = start;
    for (const nr of [...decisions.keys()].sort((a, b) => a - b)) {
      const node = decisions.get(nr);
      if (node === undefined) continue;
      fill(next, nr);
      put(nr, node);
      next = nr + 1;
    }
    fill(next, end);
    return ranges;
  };

  const END = 2 ** 32;
  const byToken = new Map<number, string[]>();
  for (const name of named) {
    const token = architectures[name]?.audit ?? 0;
    byToken.set(token, [...(byToken.get(token) ?? []), name]);
  }
  const branches = [...byToken].map(([token, members]): readonly [number, Node] => {
    const x64 = members.find((name) => name === "SCMP_ARCH_X86_64");
    if (x64 === undefined && !members.includes("SCMP_ARCH_X32")) return [token, buildRanges(graph, rangesOf(members[0] ?? "", 0, END))];
    const badArch = graph.leaf(BAD_ARCH);
    const below = x64 === undefined ? badArch : buildRanges(graph, rangesOf(x64, 0, X32_BIT));
    // −1 is what a tracer writes to skip a call: no x32 call, so not a bad architecture either (libseccomp).
    const above = members.includes("SCMP_ARCH_X32")
      ? buildRanges(graph, rangesOf("SCMP_ARCH_X32", X32_BIT, END))
      : graph.test(NR, FULL, "eq", FULL, graph.leaf(defaultAction), badArch);
    return [token, graph.test(NR, FULL, "ge", X32_BIT, above, below)];
  });
  const program = branches.reduceRight<Node>(
    (otherwise, [token, node]) => graph.test(ARCH, FULL, "eq", token, node, otherwise),
    graph.leaf(BAD_ARCH),
  );

  const tooLong = (length: number): { readonly issues: readonly Issue[] } => ({
    issues: [
      {
        pointer: root,
        message: `the policy compiles to ${length} instructions, and the kernel takes ${MAX_INSTRUCTIONS}`,
        hint: "use fewer argument conditions or fewer architectures",
      },
    ],
  });
  const nodes = countNodes(program);
  if (nodes > MAX_INSTRUCTIONS) return tooLong(nodes); // each is an instruction at least; spares the emitter's recursion
  const filter = emit(program);
  return filter.length > MAX_INSTRUCTIONS ? tooLong(filter.length) : { filter, flags, listener, notes };
};
