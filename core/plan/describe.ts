/** One step in words: what `explain` prints, and what an error says has failed. */
import { RLIMITS } from "#core/spec/check";
import { formatFlags } from "./linux.ts";
import { type Args, type OpName, points, type Step, type Template } from "./ops.ts";

const templateText = (template: Template): string =>
  template.map((part) => (typeof part === "string" ? part : "slot" in part ? `{${part.slot}}` : `(${part.bytes.length} bytes)`)).join("");
const clip = (text: string, length = 120): string => (text.length > length ? `${text.slice(0, length - 1)}…` : text);
const attrs = (value: number | bigint): string => formatFlags("attr", Number(value));
const clone = (value: number | bigint): string => formatFlags("clone", Number(value));
const ms = (value: number | bigint): string => formatFlags("ms", Number(value));
const hex = (value: number | bigint): string => `0x${BigInt(value).toString(16)}`;
const limit = (value: number | bigint): string => (BigInt(value) === 0xffffffffffffffffn ? "unlimited" : String(value));
const pointName = (number: number | bigint): string =>
  Object.entries(points).find(([, point]) => point === Number(number))?.[0] ?? String(number);
const map = (text: string): string => text.trim().replaceAll("\n", ", ");
const when = (condition: boolean, text: string): string => (condition ? text : "");
const extra = (...parts: readonly string[]): string => {
  const said = parts.filter((part) => part !== "" && part !== "0");
  return said.length === 0 ? "" : ` (${said.join("; ")})`;
};
const statuses = ["stopped", "created", "running", "paused"];
const allowed = (mask: number | bigint): string => statuses.filter((_, bit) => (Number(mask) >> bit) & 1).join(" or ");

const words: { readonly [N in OpName]: (args: Args<N>) => string } = {
  lock_state: ({ dir, create }) => `${create ? "create and lock" : "lock"} ${dir}`,
  undo_log: ({ undo }) => `write down how to undo this start: ${undo.steps.length} steps`,
  load_slots: () => "read pid and start time",
  store_plan: ({ name, plan }) => `store ${name}: ${plan.steps.length} steps`,
  store_file: ({ name }) => `write ${name}`,
  remove_state: () => "remove the state directory",
  run_undo: () => "undo an interrupted start",
  pid_file: ({ path }) => `write the pid to ${path}`,
  remove_tree: ({ dir }) => `remove ${dir}`,
  unlock_state: () => "give up the lock",
  open_init: () => "open init and its namespaces",
  await_exec: () => "wait for the exec",
  cgroup_open: ({ dir }) => `open cgroup ${dir}`,
  cgroup_freeze: ({ file, value, settled }) => `write ${value} to ${file}, and wait for ${settled}`,
  cgroup_thaw_killed: ({ file, value }) => `after SIGKILL, write ${value} to ${file}`,
  enter: () => "enter the container's namespaces",
  console_connect: ({ socket }) => `connect to ${socket}`,
  terminal: () => "make a terminal, and send it to the caller",
  workdir: ({ path }) => `enter ${path}`,
  print: ({ content }) => `print ${clip(templateText(content).trim())}`,
  start_listen: () => "open start.sock",
  spawn: ({ flags, cgroup }) => `clone ${clone(flags) === "0" ? "a child" : clone(flags)}${when(cgroup !== null, " into the cgroup")}`,
  adopt: () => "take over the process that the child forked",
  notify: ({ point }) => `tell: ${pointName(point)}`,
  await: ({ point }) => `wait: ${pointName(point)}`,
  status: () => "derive the status",
  require_status: ({ allowed: mask }) => `go on only if ${allowed(mask)}`,
  connect_start: () => "let init go on, and wait for its exec",
  signal: () => "send the signal",
  kill_wait: () => "kill init, and wait until it is gone",
  fuse_root: ({ program, dir, options }) => `serve / by ${program}${extra(`in ${dir}`, clip(options))}`,
  fuse_end: () => "end the FUSE server, and wait until it is gone",
  wait_exit: () => "wait for init's end, passing signals on",
  cgroup_create: ({ base, name, controllers }) => `create cgroup ${base}/${name}${extra(controllers.map((c) => `+${c}`).join(" "))}`,
  cgroup_set: ({ dir, file, value }) => `set ${file} = ${value} in ${dir}`,
  cgroup_attach: ({ dirs }) => `move init into ${dirs.join(", ")}`,
  cgroup_remove: ({ dir }) => `remove cgroup ${dir}`,
  systemd_scope: ({ socket, cgroup }) => `ask systemd at ${socket} for scope ${cgroup}`,
  map_helper: ({ uid, gid }) => `map ids with newuidmap ${uid.join(" ")} and newgidmap ${gid.join(" ")}`,
  map_write: ({ uid, gid, denySetgroups }) =>
    `write uid map ${map(uid)} and gid map ${map(gid)}${when(denySetgroups, ", giving up setgroups")}`,
  join_user: ({ path }) => `join the user namespace ${path}`,
  hook: ({ path, timeoutMs }) => `run hook ${path}${extra(Number(timeoutMs) === 0 ? "" : `at most ${Number(timeoutMs) / 1000} s`)}`,
  unshare: ({ flags }) => `unshare ${clone(flags)}`,
  setns: ({ path, type }) => `join ${path}${extra(clone(type))}`,
  refork: ({ flags, cgroup }) => `fork again${extra(clone(flags), when(cgroup !== "", `into ${cgroup}`))}`,
  become: ({ uid, gid, setgroups }) => `become ${uid}:${gid}${when(!setgroups, ", keeping groups")}`,
  setsid: () => "start a session",
  hostname: ({ name }) => `set the host name ${name}`,
  domainname: ({ name }) => `set the domain name ${name}`,
  loopback: () => "bring lo up",
  time_offsets: ({ offsets }) => `set the clocks ${map(offsets)}`,
  propagation: ({ flags }) => `make every mount ${ms(flags)}`,
  root_bind: ({ source }) => `bind root ${source}`,
  root_overlay: ({ dir, data }) => `mount overlay on /${extra(`in ${dir}`, clip(data))}`,
  root_open: ({ path }) => `open root ${path}`,
  mount_fs: ({ type, target, data, attrs: flags }) => `mount ${type} on ${target}${extra(attrs(flags), data)}`,
  mount_copy_up: ({ type, target, data, attrs: flags }) =>
    `mount ${type} on ${target}, with a copy of what it hides${extra(attrs(flags), data)}`,
  mount_bind: ({ source, target, recursive, set, setRecursive }) =>
    `bind ${source} on ${target}${extra(when(recursive, "recursive"), attrs(set), when(Number(setRecursive) !== 0, `recursively ${attrs(setRecursive)}`))}`,
  device: ({ path, major, minor }) => `make device ${path}${extra(`${major}:${minor}`)}`,
  symlink: ({ path, target }) => `link ${path} to ${target}`,
  directory: ({ path }) => `make directory ${path}`,
  pivot: ({ propagation }) => `pivot to the new root${extra(ms(propagation))}`,
  root_readonly: () => "make the root read-only",
  mask: ({ path }) => `mask ${path}`,
  readonly: ({ path }) => `make ${path} read-only`,
  remount: ({ target, set, clear }) => `change mount ${target}${extra(attrs(set), when(Number(clear) !== 0, `without ${attrs(clear)}`))}`,
  sysctl: ({ path, value }) => `set sysctl ${path.replaceAll("/", ".")} = ${value}`,
  rlimit: ({ resource, soft, hard }) => `set ${RLIMITS[Number(resource)] ?? resource} to ${limit(soft)} (hard ${limit(hard)})`,
  oom_score: ({ value }) => `set oom_score_adj ${value}`,
  keyring: ({ name }) => `join keyring ${name}`,
  no_new_privs: () => "set no_new_privs",
  bounding: ({ keep }) => `drop capabilities from the bounding set, but ${hex(keep)}`,
  ids: ({ uid, gid, groups, umask }) =>
    `become ${uid}:${gid}${extra(groups.length === 0 ? "" : `groups ${groups.join(" ")}`, `umask ${Number(umask).toString(8).padStart(4, "0")}`)}`,
  capabilities: ({ effective, permitted, inheritable, ambient }) =>
    `set capabilities: effective ${hex(effective)}, permitted ${hex(permitted)}, inheritable ${hex(inheritable)}, ambient ${hex(ambient)}`,
  seccomp: ({ filter }) => `load the seccomp filter${extra(`${filter.length} instructions`)}`,
  cwd: ({ path }) => `enter ${path}`,
  resolve: ({ file }) => `find ${file}`,
  console: ({ socket }) => `make a terminal, and send it to ${socket}`,
  await_start: () => "wait for start",
  exec: ({ argv }) => `execute ${clip(argv.map((arg) => (/^[\w./:=,@%+-]+$/.test(arg) ? arg : JSON.stringify(arg))).join(" "))}`,
  parent_death: ({ signal }) => `ask for signal ${signal} when the parent dies`,
};

/** What a step does, in a phrase without a full stop. */
export const describeStep = (step: Step): string => {
  // The table's type pairs each op with its arguments; a union's member cannot be paired by index without a cast.
  const say: (args: never) => string = words[step.op];
  return call(say, step.args);
};

const call = (say: (args: never) => string, args: unknown): string => {
  const apply: unknown = Reflect.apply(say, undefined, [args]);
  return typeof apply === "string" ? apply : "";
};
