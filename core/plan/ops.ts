/**
 * The op table: the one place where the plan's vocabulary is defined.
 *
 * `native/ops.h` (record layouts, kinds, dispatch) and docs/plan-ops.md are generated from it, and CI fails on drift.
 *
 * Rules:
 * - Codes are ABI: an undo list that an older version wrote is run by a newer one. Append; never renumber, never
 *   reorder or retype an argument.
 * - Ops are semantic, not raw system calls: what can be judged only inside the container (a hostile root file system)
 *   is judged in C, by descriptors, at the moment of use.
 * - There is no `if` on the wire. The planner branches on facts.
 */

/**
 * How an argument travels. Every argument is one 8-byte cell; those that are not numbers are `{offset, length}` of the
 * blob area. Text is NUL-terminated there and holds no NUL of its own (the encoder and the decoder both check).
 *
 * - `u64`, `i64`, `bool`, `flags`: a number (`flags` names its bits in `explain`).
 * - `path`: text, not empty. `text`: may be empty, which ops read as "absent".
 * - `strv`: texts, one after the other. `ids`: numbers, 4 bytes each, little-endian.
 * - `template`: literal text with holes for slots. `bpf`: classic BPF instructions, 8 bytes each.
 * - `plan`: a whole encoded plan, stored for a later verb or for undo.
 * - `reads`: a slot that must have been written. `maybe`: likewise, or none. `writes`: a slot that this step fills.
 */
export type Kind =
  | "u64"
  | "i64"
  | "bool"
  | "flags"
  | "path"
  | "text"
  | "strv"
  | "ids"
  | "template"
  | "bpf"
  | "plan"
  | "reads"
  | "maybe"
  | "writes";

/** Who runs a step: `parent` outside the new namespaces, `child` inside; `both` on either side. */
export type Side = "parent" | "child" | "both";

type OpSpec = { readonly code: number; readonly side: Side; readonly args: Readonly<Record<string, Kind>>; readonly doc: string };

/** What only run time knows. The numbers are ABI, as op codes are. */
export const slots = {
  pid: 1, // init, in the pid namespace of the parent side
  startTime: 2, // field 22 of /proc/PID/stat, in clock ticks since boot: with the pid, a process's identity
  cgroupFd: 3,
  signal: 4, // input of `kill`
  status: 5, // 0 stopped, 1 created, 2 running, 3 paused
  exit: 6, // wait status of init, as waitpid gives it
  fusePid: 7, // the program that serves the root file system
  fuseStartTime: 8,
  execPid: 9, // a process that `exec` adds to a container
  execStartTime: 10,
} as const;
export type SlotName = keyof typeof slots;

/** Meeting points of the two sides. A message is one byte that holds the point's number. */
export const points = {
  spawned: 1,
  mapped: 2,
  namespaces: 3,
  hooked: 4,
  ready: 5,
  recorded: 6,
  scoped: 7,
  unrooted: 8,
  rooted: 9,
} as const;
export type PointName = keyof typeof points;

export const ops = {
  // ---- state, on the parent side
  lock_state: {
    code: 1,
    side: "parent",
    args: { dir: "path", create: "bool" },
    doc: "Creates the container's state directory (0700) or finds it, locks it, and checks that the path still names what was locked.",
  },
  undo_log: {
    code: 2,
    side: "parent",
    args: { undo: "plan" },
    doc: "Writes the whole undo list before the first side effect; slots are appended to it as they become known.",
  },
  load_slots: { code: 3, side: "parent", args: {}, doc: "Reads the slots that an earlier verb appended to the undo list." },
  store_plan: {
    code: 4,
    side: "parent",
    args: { name: "path", plan: "plan" },
    doc: "Stores a plan for a later verb in the state directory.",
  },
  store_file: {
    code: 5,
    side: "parent",
    args: { name: "path", content: "template" },
    doc: "Writes a file of the state directory, atomically.",
  },
  remove_state: { code: 6, side: "parent", args: {}, doc: "Removes the state directory; from then on the container does not exist." },
  run_undo: { code: 7, side: "parent", args: {}, doc: "Runs the undo list that an interrupted start left in the state directory." },
  pid_file: {
    code: 8,
    side: "parent",
    args: { path: "path", content: "template" },
    doc: "Writes the pid file that the caller asked for, atomically.",
  },
  remove_tree: {
    code: 10,
    side: "parent",
    args: { dir: "path" },
    doc: "Removes a directory and all below it on the same file system, by descriptors; links are not followed.",
  },
  unlock_state: {
    code: 11,
    side: "parent",
    args: {},
    doc: "Gives the lock up early: what follows may take as long as the container pleases.",
  },
  print: { code: 9, side: "parent", args: { content: "template" }, doc: "Writes text to standard output." },

  // ---- processes, on the parent side
  start_listen: { code: 16, side: "parent", args: {}, doc: "Opens start.sock in the state directory; init inherits the listening end." },
  spawn: {
    code: 17,
    side: "parent",
    args: { flags: "flags", cgroup: "maybe", pid: "writes", startTime: "writes" },
    doc: "Clones the child side into new namespaces, and into its cgroup where that is version 2.",
  },
  adopt: {
    code: 18,
    side: "parent",
    args: { pid: "writes", startTime: "writes" },
    doc: "Takes over the process that the child side forked in its place (after joining namespaces).",
  },
  notify: { code: 19, side: "both", args: { point: "u64" }, doc: "Tells the other side that a point was reached." },
  await: { code: 20, side: "both", args: { point: "u64" }, doc: "Waits until the other side reaches a point; its death ends the wait." },
  status: {
    code: 21,
    side: "parent",
    args: { pid: "maybe", startTime: "maybe", freezer: "text", frozen: "text", status: "writes" },
    doc: "Derives the status: from the process, start.sock and the freezer. It is never stored.",
  },
  require_status: {
    code: 22,
    side: "parent",
    args: { status: "reads", allowed: "u64" },
    doc: "Fails unless the status is one of those allowed (a bit per status).",
  },
  connect_start: {
    code: 23,
    side: "parent",
    args: {},
    doc: "Tells init to go on, and waits for its exec: end of file is success, a frame is its error.",
  },
  signal: {
    code: 24,
    side: "parent",
    args: { pid: "reads", startTime: "reads", signal: "reads" },
    doc: "Sends a signal through a pidfd, after the start time was compared.",
  },
  kill_wait: {
    code: 25,
    side: "parent",
    args: { pid: "maybe", startTime: "maybe" },
    doc: "Kills init, if it still is the one on record, and waits until it is gone.",
  },
  wait_exit: { code: 26, side: "parent", args: { exit: "writes" }, doc: "Waits for init to end, passing signals on to it." },

  fuse_root: {
    code: 27,
    side: "parent",
    args: { program: "path", dir: "path", options: "path", target: "path", pid: "writes", startTime: "writes" },
    doc: "Starts a FUSE server in init's mount namespace, of which the container's will be a copy, and waits until it has mounted. Paths are relative to the storage directory. Whatever happens to this process, the server ends with init.",
  },
  fuse_end: {
    code: 28,
    side: "parent",
    args: { pid: "maybe", startTime: "maybe" },
    doc: "Kills the FUSE server, if it still is the one on record, and waits until it is gone.",
  },

  open_init: {
    code: 29,
    side: "parent",
    args: { pid: "reads", startTime: "reads" },
    doc: "Opens init, after the start time was compared, and finds which of its namespaces are not ours: those that `enter` joins.",
  },
  await_exec: {
    code: 30,
    side: "parent",
    args: {},
    doc: "Waits until the child has executed its payload: close-on-exec ends the connection, or a frame tells why not.",
  },

  // ---- cgroups, on the parent side
  cgroup_create: {
    code: 32,
    side: "parent",
    args: { base: "path", name: "path", controllers: "strv", fd: "writes" },
    doc: "Creates a cgroup below a delegated one, and enables controllers on the way (version 2; none on version 1). One that is there must be empty: another container may live in it.",
  },
  cgroup_set: { code: 33, side: "parent", args: { dir: "path", file: "path", value: "text" }, doc: "Writes one knob of a cgroup." },
  cgroup_attach: {
    code: 34,
    side: "parent",
    args: { dirs: "strv", pid: "reads" },
    doc: "Moves init into its version 1 cgroups, all hierarchies back to back: the first write waits for an RCU grace period, the others ride on it.",
  },
  cgroup_remove: {
    code: 35,
    side: "parent",
    args: { dir: "path", made: "maybe" },
    doc: "Removes a cgroup and its children: with all that lives in them where this start made it (its slot is set), else only what is empty, for it may be another's. A scope is left to systemd, which would not notice.",
  },
  systemd_scope: {
    code: 36,
    side: "parent",
    args: { socket: "path", uid: "u64", request: "template", cgroup: "path", pid: "reads" },
    doc: "Asks systemd's user manager over D-Bus for a delegated scope around the child, and waits until the cgroup is there.",
  },

  cgroup_open: {
    code: 37,
    side: "parent",
    args: { dir: "path", fd: "writes" },
    doc: "Opens a cgroup (version 2) that is there, for a process to be cloned into.",
  },
  cgroup_freeze: {
    code: 38,
    side: "parent",
    args: { file: "path", value: "text", events: "path", settled: "text", gone: "bool" },
    doc: "Freezes a cgroup or thaws it, and waits until its events file says that all of it is; `gone`: a cgroup that is gone has nothing left to thaw.",
  },

  cgroup_thaw_killed: {
    code: 39,
    side: "parent",
    args: { file: "path", value: "text", signal: "reads" },
    doc: "After SIGKILL: thaws a version 1 cgroup, for a frozen process does not die.",
  },

  // ---- id maps, on the parent side
  map_helper: {
    code: 48,
    side: "parent",
    args: { newuidmap: "path", newgidmap: "path", uid: "strv", gid: "strv", pid: "reads" },
    doc: "Maps subordinate ids with newuidmap and newgidmap, both at once.",
  },
  map_write: {
    code: 49,
    side: "parent",
    args: { uid: "text", gid: "text", denySetgroups: "bool", pid: "reads" },
    doc: "Writes the id maps itself: one own id, or ranges where it holds the capability for them.",
  },
  join_user: {
    code: 50,
    side: "both",
    args: { path: "path", inode: "u64" },
    doc: "Joins a user namespace, after its inode number was compared (0: any).",
  },

  // ---- hooks
  hook: {
    code: 56,
    side: "both",
    args: { path: "path", args: "strv", env: "strv", timeoutMs: "u64", state: "template", cwd: "text", soft: "bool" },
    doc: "Runs an OCI hook with the container's state on standard input; a soft one only warns.",
  },

  // ---- namespaces, on the child side
  unshare: { code: 64, side: "child", args: { flags: "flags" }, doc: "Makes the remaining namespaces, while the parent maps ids." },
  setns: { code: 65, side: "child", args: { path: "path", type: "flags" }, doc: "Joins a namespace by path." },
  refork: {
    code: 66,
    side: "child",
    args: { flags: "flags", cgroup: "text" },
    doc: "Forks again, as a sibling, so that joined namespaces and the scope's cgroup apply; the first process ends.",
  },
  become: {
    code: 67,
    side: "child",
    args: { uid: "u64", gid: "u64", setgroups: "bool" },
    doc: "Takes an id that the new user namespace maps, so that files can be made in it.",
  },
  setsid: { code: 68, side: "child", args: {}, doc: "Starts a session of its own, away from the caller's terminal." },
  hostname: { code: 69, side: "child", args: { name: "path" }, doc: "Sets the host name." },
  domainname: { code: 70, side: "child", args: { name: "path" }, doc: "Sets the NIS domain name." },
  loopback: { code: 71, side: "child", args: {}, doc: "Brings the loopback interface up." },
  time_offsets: { code: 72, side: "child", args: { offsets: "path" }, doc: "Sets the clocks of the new time namespace, and enters it." },

  enter: {
    code: 73,
    side: "child",
    args: {},
    doc: "Joins the namespaces of the init that was opened, all at once; from before that on, nobody in them can trace this process or read its descriptors.",
  },

  // ---- mounts, on the child side
  propagation: {
    code: 80,
    side: "child",
    args: { flags: "flags" },
    doc: "Sets the propagation of the whole mount tree, so that nothing leaks out.",
  },
  root_bind: {
    code: 81,
    side: "child",
    args: { source: "path", propagation: "flags" },
    doc: "Binds the root file system, and opens it: every later path is resolved below this descriptor.",
  },
  root_overlay: {
    code: 82,
    side: "child",
    args: { dir: "path", data: "path", target: "path" },
    doc: "Mounts the layers as an overlay (paths in the options are relative to the storage directory), and opens it as the root.",
  },
  mount_fs: {
    code: 83,
    side: "child",
    args: { type: "path", source: "text", target: "path", data: "text", attrs: "flags", superblock: "flags", propagation: "flags" },
    doc: "Mounts a file system below the root: resolved, created, mounted and checked by descriptors.",
  },
  mount_bind: {
    code: 84,
    side: "child",
    args: {
      source: "path",
      target: "path",
      recursive: "bool",
      set: "flags",
      clear: "flags",
      setRecursive: "flags",
      clearRecursive: "flags",
      propagation: "flags",
    },
    doc: "Binds a file or a tree from the host below the root.",
  },
  device: {
    code: 85,
    side: "child",
    args: { path: "path", mode: "u64", major: "u64", minor: "u64", uid: "u64", gid: "u64" },
    doc: "Makes a device node (needs the initial user namespace).",
  },
  symlink: { code: 86, side: "child", args: { path: "path", target: "path" }, doc: "Makes a symbolic link, unless one is there." },
  directory: { code: 87, side: "child", args: { path: "path", mode: "u64" }, doc: "Makes a directory below the root, with its parents." },
  pivot: { code: 88, side: "child", args: { propagation: "flags" }, doc: "Makes the new root the root, and detaches the old one." },
  root_readonly: { code: 89, side: "child", args: {}, doc: "Makes the root mount read-only." },
  mask: {
    code: 90,
    side: "child",
    args: { path: "path" },
    doc: "Hides a path: a file under /dev/null, a directory under an empty, read-only tmpfs.",
  },
  readonly: { code: 91, side: "child", args: { path: "path" }, doc: "Binds a path over itself, read-only." },
  remount: {
    code: 92,
    side: "child",
    args: { target: "path", set: "flags", clear: "flags" },
    doc: "Changes the attributes of a mount, e.g. back to read-only after files were made in it.",
  },

  root_open: {
    code: 93,
    side: "child",
    args: { path: "path" },
    doc: "Opens a root that is mounted already: every later path is resolved below this descriptor.",
  },

  mount_copy_up: {
    code: 94,
    side: "child",
    args: { type: "path", source: "text", target: "path", data: "text", attrs: "flags", superblock: "flags", propagation: "flags" },
    doc: "As mount_fs, and copies into it what it hides (tmpcopyup).",
  },

  // ---- the process, on the child side
  sysctl: {
    code: 104,
    side: "child",
    args: { path: "path", value: "text" },
    doc: "Sets a namespaced kernel parameter, through a /proc that is checked to be procfs.",
  },
  rlimit: { code: 105, side: "child", args: { resource: "u64", soft: "u64", hard: "u64" }, doc: "Sets a resource limit." },
  oom_score: { code: 106, side: "child", args: { value: "i64" }, doc: "Sets oom_score_adj." },
  keyring: { code: 107, side: "child", args: { name: "path" }, doc: "Joins a session keyring of its own; a full quota only warns." },
  no_new_privs: { code: 108, side: "child", args: {}, doc: "No exec gains privileges from here on." },
  bounding: { code: 109, side: "child", args: { keep: "u64" }, doc: "Drops every capability but these from the bounding set." },
  ids: {
    code: 110,
    side: "child",
    args: { uid: "u64", gid: "u64", groups: "ids", setgroups: "bool", umask: "u64" },
    doc: "Takes the process's user, groups and umask; capabilities survive until the next steps.",
  },
  capabilities: {
    code: 111,
    side: "child",
    args: { effective: "u64", permitted: "u64", inheritable: "u64", ambient: "u64" },
    doc: "Sets the four other capability sets.",
  },
  seccomp: { code: 112, side: "child", args: { filter: "bpf", flags: "flags" }, doc: "Loads the system call filter." },
  cwd: {
    code: 113,
    side: "child",
    args: { path: "path" },
    doc: "Enters the working directory, and checks that it is inside the root (CVE-2024-21626).",
  },
  resolve: {
    code: 114,
    side: "child",
    args: { file: "path", search: "text" },
    doc: "Finds the executable, so that its absence is known at create.",
  },
  console: {
    code: 115,
    side: "child",
    args: { socket: "path", rows: "u64", columns: "u64" },
    doc: "Makes a terminal in the container's devpts and sends its master to the caller's socket.",
  },
  await_start: {
    code: 116,
    side: "child",
    args: {},
    doc: "Waits on start.sock until a `start` connects; from then on errors go to that caller.",
  },
  exec: {
    code: 117,
    side: "child",
    args: { argv: "strv", env: "strv", preserveFds: "u64" },
    doc: "Closes every other descriptor and executes the payload.",
  },
  parent_death: {
    code: 118,
    side: "child",
    args: { signal: "u64" },
    doc: "Asks for a signal when the parent side dies: for what must not outlive its caller.",
  },
  console_connect: {
    code: 119,
    side: "child",
    args: { socket: "path" },
    doc: "Connects to the caller's console socket while its path still means what the caller meant.",
  },
  terminal: {
    code: 120,
    side: "child",
    args: { rows: "u64", columns: "u64", uid: "u64" },
    doc: "Makes a terminal in the devpts of the container that was entered, gives it to the user, and sends its master to the connected socket; /dev/console stays init's.",
  },
  workdir: {
    code: 121,
    side: "child",
    args: { path: "path" },
    doc: "Enters a working directory that must be there, and checks that it is inside the root (CVE-2024-21626).",
  },
} as const satisfies Readonly<Record<string, OpSpec>>;

export type OpName = keyof typeof ops;

/** Literal text and holes. `decimal` writes the number, `status` its word, `le32` four bytes (for D-Bus messages). */
export type TemplatePart =
  | string
  | { readonly slot: SlotName; readonly as: "decimal" | "status" }
  | { readonly bytes: readonly number[] }
  | { readonly slot: SlotName; readonly as: "le32" };
export type Template = readonly TemplatePart[];
export type Instruction = readonly [code: number, jt: number, jf: number, k: number];

type ValueOf = {
  u64: number | bigint;
  i64: number | bigint;
  bool: boolean;
  flags: number | bigint;
  path: string;
  text: string;
  strv: readonly string[];
  ids: readonly number[];
  template: Template;
  bpf: readonly Instruction[];
  plan: Plan;
  reads: SlotName;
  maybe: SlotName | null;
  writes: SlotName;
};

/** The arguments of one op, typed from the table. */
export type Args<N extends OpName> = {
  readonly [K in keyof (typeof ops)[N]["args"]]: (typeof ops)[N]["args"][K] extends Kind ? ValueOf[(typeof ops)[N]["args"][K]] : never;
};

/** One step. `origin` is the JSON pointer of what asked for it, or a word in parentheses where no line of the config did. */
export type Step = {
  readonly [N in OpName]: { readonly op: N; readonly side: "parent" | "child"; readonly args: Args<N>; readonly origin: string };
}[OpName];

/** A program: the steps of both sides, each side in its own order. Pure data. */
export type Plan = { readonly version: 1; readonly steps: readonly Step[] };
