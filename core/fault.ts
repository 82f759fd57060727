/**
 * The one shape of a failure, and the one table of failures.
 *
 * Expected outcomes are data (`null`, `Issue[]`); everything else is a `Fault`. A fault's code maps here, and only
 * here, to its class, to `coracle`'s exit code (docker's: 125 the engine failed, 126 cannot be executed, 127 not
 * found) and to the canonical phrase that engines match on (podman and containerd match on text). `docs/errors.md` is
 * generated from this table.
 */

/** One thing that is wrong with an input document. */
export type Issue = {
  /** JSON pointer (RFC 6901) into the document. */
  readonly pointer: string;
  /** What is wrong, in a phrase that does not repeat the pointer. */
  readonly message: string;
  /** What to write instead, where that is known. */
  readonly hint?: string;
  /** 1-based, when the document's text was at hand. */
  readonly line?: number;
  readonly column?: number;
};

/** The closed set of error classes (containerd's errdefs is the model). */
export type FaultClass =
  | "invalid" // the caller's input is wrong
  | "not-found"
  | "exists"
  | "state" // the container is in the wrong state for this
  | "denied" // a policy or a permission forbids it
  | "unsupported" // this host cannot do it
  | "unavailable" // it may work later
  | "executor" // the plan's executor failed
  | "internal"; // a defect of ours

export type FaultSpec = {
  readonly class: FaultClass;
  /** `coracle`'s exit code; `coracle-oci` exits 1 whatever happens, as runc does. */
  readonly exit: 1 | 125 | 126 | 127;
  /** The phrase that comes first on an engine's line. */
  readonly phrase: string;
  /** For docs/errors.md: what it means and what usually helps. */
  readonly doc: string;
};

export const faults = {
  E_USAGE: {
    class: "invalid",
    exit: 125,
    phrase: "invalid command line",
    doc: "A flag or an argument is unknown, missing or malformed. The message names it.",
  },
  E_JSON: { class: "invalid", exit: 125, phrase: "invalid JSON", doc: "A document is not JSON. The message gives line and column." },
  E_CONFIG: {
    class: "invalid",
    exit: 125,
    phrase: "invalid config.json",
    doc: "config.json breaks the runtime specification. Every issue is listed with its JSON pointer, line and column.",
  },
  E_IMAGE: {
    class: "invalid",
    exit: 125,
    phrase: "invalid image",
    doc: "An image's index, manifest, config or layout breaks the image specification, or a blob does not match its digest.",
  },
  E_BUNDLE: {
    class: "not-found",
    exit: 125,
    phrase: "no such file or directory",
    doc: "The bundle, its config.json or its rootfs is missing.",
  },
  E_NO_CONTAINER: {
    class: "not-found",
    exit: 125,
    phrase: "container does not exist",
    doc: "No container of that id lives under this --root.",
  },
  E_NO_IMAGE: { class: "not-found", exit: 125, phrase: "no such image", doc: "The image reference names nothing that is stored here." },
  E_EXISTS: {
    class: "exists",
    exit: 125,
    phrase: "container already exists",
    doc: "A container of that id lives under this --root. Delete it, or choose another id.",
  },
  E_STATE: { class: "state", exit: 125, phrase: "container not running", doc: "The container is not in a state that allows this." },
  E_RUNNING: {
    class: "state",
    exit: 125,
    phrase: "container is running",
    doc: "The container has been started, and this needs one that has not, or has ended. Stop it first, or use --force.",
  },
  E_EXEC_NOT_FOUND: {
    class: "not-found",
    exit: 127,
    phrase: "executable file not found in $PATH",
    doc: "The container's file system has no such executable.",
  },
  E_EXEC_NO_FILE: {
    class: "not-found",
    exit: 127,
    phrase: "no such file or directory",
    doc: "The container's file system has no such file, or its interpreter or ELF loader is missing.",
  },
  E_EXEC_DENIED: {
    class: "denied",
    exit: 126,
    phrase: "permission denied",
    doc: "The file exists but cannot be executed: no execute bit, a directory, a noexec mount, or no permission.",
  },
  E_USER: {
    class: "not-found",
    exit: 125,
    phrase: "unable to find user",
    doc: "The image has no such user or group. Use a numeric id, or add it to the image's /etc/passwd.",
  },
  E_USERNS: {
    class: "unsupported",
    exit: 125,
    phrase: "user namespaces are not available",
    doc: "The kernel or a policy forbids user namespaces to this user. `coracle doctor` names which.",
  },
  E_SUBID: {
    class: "unsupported",
    exit: 125,
    phrase: "no subordinate ids",
    doc: "The container needs ids that /etc/subuid and /etc/subgid do not grant to this user.",
  },
  E_LIMITS: {
    class: "unsupported",
    exit: 125,
    phrase: "resource limits cannot be enforced",
    doc: "No cgroup is delegated to this user, so limits would not hold. Remedy on the doctor page, or --limits best-effort.",
  },
  E_UNSUPPORTED: {
    class: "unsupported",
    exit: 125,
    phrase: "not supported",
    doc: "The property is valid, but this host or this version cannot enforce it, and to drop it silently would be a lie.",
  },
  E_RUNTIME_DIR: {
    class: "denied",
    exit: 125,
    phrase: "no usable runtime directory",
    doc: "XDG_RUNTIME_DIR and its fall-back are missing, not ours, or open to others.",
  },
  E_STORAGE: {
    class: "unavailable",
    exit: 125,
    phrase: "storage failed",
    doc: "The storage directory cannot be written: full, read-only, or not ours.",
  },
  E_STEP: {
    class: "executor",
    exit: 125,
    phrase: "container start failed",
    doc: "A step of the plan failed. The message names the step, the system call, the errno and the line of config.json that asked for it.",
  },
  E_EXECUTOR_VANISHED: {
    class: "executor",
    exit: 125,
    phrase: "container start was cut short",
    doc: "The executor died without a report: killed, or out of memory. The message names the step that it had reached.",
  },
  E_NATIVE_MISSING: {
    class: "internal",
    exit: 125,
    phrase: "native helper is missing",
    doc: "The native helpers are not built. Run `npm run build:native`; it needs a C compiler (Debian: musl-tools).",
  },
  E_FACTS: {
    class: "internal",
    exit: 125,
    phrase: "host facts are malformed",
    doc: "The prober's answer, or the --facts file, does not fit the facts schema.",
  },
  E_INTERNAL: {
    class: "internal",
    exit: 125,
    phrase: "internal error",
    doc: "A defect of Coracle. Please report it with the whole message.",
  },
} as const satisfies Readonly<Record<string, FaultSpec>>;

export type FaultCode = keyof typeof faults;

export type FaultInit = {
  /** What failed, in one sentence without a full stop: it stands behind the code. */
  readonly message: string;
  /** All that is wrong with the input, where input is at fault. */
  readonly issues?: readonly Issue[];
  /** The step of the plan: its index, side, op, and the JSON pointer that asked for it. */
  readonly step?: { readonly index: number; readonly of: number; readonly side: string; readonly op: string; readonly origin: string };
  /** The proven cause on this host. */
  readonly why?: string;
  /** What to try: a command or an edit. */
  readonly hint?: string;
  readonly errno?: string;
  readonly cause?: unknown;
  /** Clean-ups that failed on the way out; kept, never instead of the cause. */
  readonly suppressed?: readonly unknown[];
};

/** The only class of exception that Coracle throws on purpose. */
export class Fault extends Error {
  readonly code: FaultCode;
  readonly issues: readonly Issue[];
  readonly step: FaultInit["step"];
  readonly why: string | undefined;
  readonly hint: string | undefined;
  readonly errno: string | undefined;
  readonly suppressed: readonly unknown[];

  constructor(code: FaultCode, init: FaultInit) {
    super(init.message, init.cause === undefined ? undefined : { cause: init.cause });
    this.name = "Fault";
    this.code = code;
    this.issues = init.issues ?? [];
    this.step = init.step;
    this.why = init.why;
    this.hint = init.hint;
    this.errno = init.errno;
    this.suppressed = init.suppressed ?? [];
  }

  get spec(): FaultSpec {
    return faults[this.code];
  }
}
