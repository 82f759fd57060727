/* Generated from core/plan/ops.ts by `npm run generate`. Do not edit. */
#ifndef CORACLE_OPS_H
#define CORACLE_OPS_H
#include <stdint.h>

enum {
	WIRE_MAGIC = 0x4c435243,
	WIRE_VERSION = 1,
	WIRE_HEADER = 32,
	WIRE_RECORD = 128,
	WIRE_CELLS = 15,
	WIRE_MAX_STEPS = 16384,
	WIRE_MAX_SIZE = 16777216,
	WIRE_NO_SLOT = 255,
};

enum side { SIDE_PARENT = 1, SIDE_CHILD = 2, SIDE_BOTH = 3 };
enum kind { KIND_U64, KIND_I64, KIND_BOOL, KIND_FLAGS, KIND_PATH, KIND_TEXT, KIND_STRV, KIND_IDS, KIND_TEMPLATE, KIND_BPF, KIND_PLAN, KIND_READS, KIND_MAYBE, KIND_WRITES };
enum slot { SLOT_PID = 1, SLOT_START_TIME = 2, SLOT_CGROUP_FD = 3, SLOT_SIGNAL = 4, SLOT_STATUS = 5, SLOT_EXIT = 6, SLOT_FUSE_PID = 7, SLOT_FUSE_START_TIME = 8, SLOT_EXEC_PID = 9, SLOT_EXEC_START_TIME = 10, SLOTS = 11 };
enum point { POINT_SPAWNED = 1, POINT_MAPPED = 2, POINT_NAMESPACES = 3, POINT_HOOKED = 4, POINT_READY = 5, POINT_RECORDED = 6, POINT_SCOPED = 7, POINT_UNROOTED = 8, POINT_ROOTED = 9 };

/* A cell that stands for bytes: where they are in the blob area. */
struct blob { uint32_t offset, length; };

enum op {
	OP_LOCK_STATE = 1,
	OP_UNDO_LOG = 2,
	OP_LOAD_SLOTS = 3,
	OP_STORE_PLAN = 4,
	OP_STORE_FILE = 5,
	OP_REMOVE_STATE = 6,
	OP_RUN_UNDO = 7,
	OP_PID_FILE = 8,
	OP_REMOVE_TREE = 10,
	OP_UNLOCK_STATE = 11,
	OP_PRINT = 9,
	OP_START_LISTEN = 16,
	OP_SPAWN = 17,
	OP_ADOPT = 18,
	OP_NOTIFY = 19,
	OP_AWAIT = 20,
	OP_STATUS = 21,
	OP_REQUIRE_STATUS = 22,
	OP_CONNECT_START = 23,
	OP_SIGNAL = 24,
	OP_KILL_WAIT = 25,
	OP_WAIT_EXIT = 26,
	OP_FUSE_ROOT = 27,
	OP_FUSE_END = 28,
	OP_OPEN_INIT = 29,
	OP_AWAIT_EXEC = 30,
	OP_CGROUP_CREATE = 32,
	OP_CGROUP_SET = 33,
	OP_CGROUP_ATTACH = 34,
	OP_CGROUP_REMOVE = 35,
	OP_SYSTEMD_SCOPE = 36,
	OP_CGROUP_OPEN = 37,
	OP_CGROUP_FREEZE = 38,
	OP_CGROUP_THAW_KILLED = 39,
	OP_MAP_HELPER = 48,
	OP_MAP_WRITE = 49,
	OP_JOIN_USER = 50,
	OP_HOOK = 56,
	OP_UNSHARE = 64,
	OP_SETNS = 65,
	OP_REFORK = 66,
	OP_BECOME = 67,
	OP_SETSID = 68,
	OP_HOSTNAME = 69,
	OP_DOMAINNAME = 70,
	OP_LOOPBACK = 71,
	OP_TIME_OFFSETS = 72,
	OP_ENTER = 73,
	OP_PROPAGATION = 80,
	OP_ROOT_BIND = 81,
	OP_ROOT_OVERLAY = 82,
	OP_MOUNT_FS = 83,
	OP_MOUNT_BIND = 84,
	OP_DEVICE = 85,
	OP_SYMLINK = 86,
	OP_DIRECTORY = 87,
	OP_PIVOT = 88,
	OP_ROOT_READONLY = 89,
	OP_MASK = 90,
	OP_READONLY = 91,
	OP_REMOUNT = 92,
	OP_ROOT_OPEN = 93,
	OP_MOUNT_COPY_UP = 94,
	OP_SYSCTL = 104,
	OP_RLIMIT = 105,
	OP_OOM_SCORE = 106,
	OP_KEYRING = 107,
	OP_NO_NEW_PRIVS = 108,
	OP_BOUNDING = 109,
	OP_IDS = 110,
	OP_CAPABILITIES = 111,
	OP_SECCOMP = 112,
	OP_CWD = 113,
	OP_RESOLVE = 114,
	OP_CONSOLE = 115,
	OP_AWAIT_START = 116,
	OP_EXEC = 117,
	OP_PARENT_DEATH = 118,
	OP_CONSOLE_CONNECT = 119,
	OP_TERMINAL = 120,
	OP_WORKDIR = 121,
	OP_END = 122,
};

/* Creates the container's state directory (0700) or finds it, locks it, and checks that the path still names what was locked. */
struct lock_state_args { struct blob dir; uint64_t create; };
/* Writes the whole undo list before the first side effect; slots are appended to it as they become known. */
struct undo_log_args { struct blob undo; };
/* Reads the slots that an earlier verb appended to the undo list. */
struct load_slots_args { uint64_t unused; };
/* Stores a plan for a later verb in the state directory. */
struct store_plan_args { struct blob name; struct blob plan; };
/* Writes a file of the state directory, atomically. */
struct store_file_args { struct blob name; struct blob content; };
/* Removes the state directory; from then on the container does not exist. */
struct remove_state_args { uint64_t unused; };
/* Runs the undo list that an interrupted start left in the state directory. */
struct run_undo_args { uint64_t unused; };
/* Writes the pid file that the caller asked for, atomically. */
struct pid_file_args { struct blob path; struct blob content; };
/* Removes a directory and all below it on the same file system, by descriptors; links are not followed. */
struct remove_tree_args { struct blob dir; };
/* Gives the lock up early: what follows may take as long as the container pleases. */
struct unlock_state_args { uint64_t unused; };
/* Writes text to standard output. */
struct print_args { struct blob content; };
/* Opens start.sock in the state directory; init inherits the listening end. */
struct start_listen_args { uint64_t unused; };
/* Clones the child side into new namespaces, and into its cgroup where that is version 2. */
struct spawn_args { uint64_t flags; uint64_t cgroup; uint64_t pid; uint64_t start_time; };
/* Takes over the process that the child side forked in its place (after joining namespaces). */
struct adopt_args { uint64_t pid; uint64_t start_time; };
/* Tells the other side that a point was reached. */
struct notify_args { uint64_t point; };
/* Waits until the other side reaches a point; its death ends the wait. */
struct await_args { uint64_t point; };
/* Derives the status: from the process, start.sock and the freezer. It is never stored. */
struct status_args { uint64_t pid; uint64_t start_time; struct blob freezer; struct blob frozen; uint64_t status; };
/* Fails unless the status is one of those allowed (a bit per status). */
struct require_status_args { uint64_t status; uint64_t allowed; };
/* Tells init to go on, and waits for its exec: end of file is success, a frame is its error. */
struct connect_start_args { uint64_t unused; };
/* Sends a signal through a pidfd, after the start time was compared. */
struct signal_args { uint64_t pid; uint64_t start_time; uint64_t signal; };
/* Kills init, if it still is the one on record, and waits until it is gone. */
struct kill_wait_args { uint64_t pid; uint64_t start_time; };
/* Waits for init to end, passing signals on to it. */
struct wait_exit_args { uint64_t exit; };
/* Starts a FUSE server in init's mount namespace, of which the container's will be a copy, and waits until it has mounted. Paths are relative to the storage directory. Whatever happens to this process, the server ends with init. */
struct fuse_root_args { struct blob program; struct blob dir; struct blob options; struct blob target; uint64_t pid; uint64_t start_time; };
/* Kills the FUSE server, if it still is the one on record, and waits until it is gone. */
struct fuse_end_args { uint64_t pid; uint64_t start_time; };
/* Opens init, after the start time was compared, and finds which of its namespaces are not ours: those that `enter` joins. */
struct open_init_args { uint64_t pid; uint64_t start_time; };
/* Waits until the child has executed its payload: close-on-exec ends the connection, or a frame tells why not. */
struct await_exec_args { uint64_t unused; };
/* Creates a cgroup below a delegated one, and enables controllers on the way (version 2; none on version 1). One that is there must be empty: another container may live in it. */
struct cgroup_create_args { struct blob base; struct blob name; struct blob controllers; uint64_t fd; };
/* Writes one knob of a cgroup. */
struct cgroup_set_args { struct blob dir; struct blob file; struct blob value; };
/* Moves init into its version 1 cgroups, all hierarchies back to back: the first write waits for an RCU grace period, the others ride on it. */
struct cgroup_attach_args { struct blob dirs; uint64_t pid; };
/* Removes a cgroup and its children: with all that lives in them where this start made it (its slot is set), else only what is empty, for it may be another's. A scope is left to systemd, which would not notice. */
struct cgroup_remove_args { struct blob dir; uint64_t made; };
/* Asks systemd's user manager over D-Bus for a delegated scope around the child, and waits until the cgroup is there. */
struct systemd_scope_args { struct blob socket; uint64_t uid; struct blob request; struct blob cgroup; uint64_t pid; };
/* Opens a cgroup (version 2) that is there, for a process to be cloned into. */
struct cgroup_open_args { struct blob dir; uint64_t fd; };
/* Freezes a cgroup or thaws it, and waits until its events file says that all of it is; `gone`: a cgroup that is gone has nothing left to thaw. */
struct cgroup_freeze_args { struct blob file; struct blob value; struct blob events; struct blob settled; uint64_t gone; };
/* After SIGKILL: thaws a version 1 cgroup, for a frozen process does not die. */
struct cgroup_thaw_killed_args { struct blob file; struct blob value; uint64_t signal; };
/* Maps subordinate ids with newuidmap and newgidmap, both at once. */
struct map_helper_args { struct blob newuidmap; struct blob newgidmap; struct blob uid; struct blob gid; uint64_t pid; };
/* Writes the id maps itself: one own id, or ranges where it holds the capability for them. */
struct map_write_args { struct blob uid; struct blob gid; uint64_t deny_setgroups; uint64_t pid; };
/* Joins a user namespace, after its inode number was compared (0: any). */
struct join_user_args { struct blob path; uint64_t inode; };
/* Runs an OCI hook with the container's state on standard input; a soft one only warns. */
struct hook_args { struct blob path; struct blob args; struct blob env; uint64_t timeout_ms; struct blob state; struct blob cwd; uint64_t soft; };
/* Makes the remaining namespaces, while the parent maps ids. */
struct unshare_args { uint64_t flags; };
/* Joins a namespace by path. */
struct setns_args { struct blob path; uint64_t type; };
/* Forks again, as a sibling, so that joined namespaces and the scope's cgroup apply; the first process ends. */
struct refork_args { uint64_t flags; struct blob cgroup; };
/* Takes an id that the new user namespace maps, so that files can be made in it. */
struct become_args { uint64_t uid; uint64_t gid; uint64_t setgroups; };
/* Starts a session of its own, away from the caller's terminal. */
struct setsid_args { uint64_t unused; };
/* Sets the host name. */
struct hostname_args { struct blob name; };
/* Sets the NIS domain name. */
struct domainname_args { struct blob name; };
/* Brings the loopback interface up. */
struct loopback_args { uint64_t unused; };
/* Sets the clocks of the new time namespace, and enters it. */
struct time_offsets_args { struct blob offsets; };
/* Joins the namespaces of the init that was opened, all at once; from before that on, nobody in them can trace this process or read its descriptors. */
struct enter_args { uint64_t unused; };
/* Sets the propagation of the whole mount tree, so that nothing leaks out. */
struct propagation_args { uint64_t flags; };
/* Binds the root file system, and opens it: every later path is resolved below this descriptor. */
struct root_bind_args { struct blob source; uint64_t propagation; };
/* Mounts the layers as an overlay (paths in the options are relative to the storage directory), and opens it as the root. */
struct root_overlay_args { struct blob dir; struct blob data; struct blob target; };
/* Mounts a file system below the root: resolved, created, mounted and checked by descriptors. */
struct mount_fs_args { struct blob type; struct blob source; struct blob target; struct blob data; uint64_t attrs; uint64_t superblock; uint64_t propagation; };
/* Binds a file or a tree from the host below the root. */
struct mount_bind_args { struct blob source; struct blob target; uint64_t recursive; uint64_t set; uint64_t clear; uint64_t set_recursive; uint64_t clear_recursive; uint64_t propagation; };
/* Makes a device node (needs the initial user namespace). */
struct device_args { struct blob path; uint64_t mode; uint64_t major; uint64_t minor; uint64_t uid; uint64_t gid; };
/* Makes a symbolic link, unless one is there. */
struct symlink_args { struct blob path; struct blob target; };
/* Makes a directory below the root, with its parents. */
struct directory_args { struct blob path; uint64_t mode; };
/* Makes the new root the root, and detaches the old one. */
struct pivot_args { uint64_t propagation; };
/* Makes the root mount read-only. */
struct root_readonly_args { uint64_t unused; };
/* Hides a path: a file under /dev/null, a directory under an empty, read-only tmpfs. */
struct mask_args { struct blob path; };
/* Binds a path over itself, read-only. */
struct readonly_args { struct blob path; };
/* Changes the attributes of a mount, e.g. back to read-only after files were made in it. */
struct remount_args { struct blob target; uint64_t set; uint64_t clear; };
/* Opens a root that is mounted already: every later path is resolved below this descriptor. */
struct root_open_args { struct blob path; };
/* As mount_fs, and copies into it what it hides (tmpcopyup). */
struct mount_copy_up_args { struct blob type; struct blob source; struct blob target; struct blob data; uint64_t attrs; uint64_t superblock; uint64_t propagation; };
/* Sets a namespaced kernel parameter, through a /proc that is checked to be procfs. */
struct sysctl_args { struct blob path; struct blob value; };
/* Sets a resource limit. */
struct rlimit_args { uint64_t resource; uint64_t soft; uint64_t hard; };
/* Sets oom_score_adj. */
struct oom_score_args { int64_t value; };
/* Joins a session keyring of its own; a full quota only warns. */
struct keyring_args { struct blob name; };
/* No exec gains privileges from here on. */
struct no_new_privs_args { uint64_t unused; };
/* Drops every capability but these from the bounding set. */
struct bounding_args { uint64_t keep; };
/* Takes the process's user, groups and umask; capabilities survive until the next steps. */
struct ids_args { uint64_t uid; uint64_t gid; struct blob groups; uint64_t setgroups; uint64_t umask; };
/* Sets the four other capability sets. */
struct capabilities_args { uint64_t effective; uint64_t permitted; uint64_t inheritable; uint64_t ambient; };
/* Loads the system call filter. */
struct seccomp_args { struct blob filter; uint64_t flags; };
/* Enters the working directory, and checks that it is inside the root (CVE-2024-21626). */
struct cwd_args { struct blob path; };
/* Finds the executable, so that its absence is known at create. */
struct resolve_args { struct blob file; struct blob search; };
/* Makes a terminal in the container's devpts and sends its master to the caller's socket. */
struct console_args { struct blob socket; uint64_t rows; uint64_t columns; };
/* Waits on start.sock until a `start` connects; from then on errors go to that caller. */
struct await_start_args { uint64_t unused; };
/* Closes every other descriptor and executes the payload. */
struct exec_args { struct blob argv; struct blob env; uint64_t preserve_fds; };
/* Asks for a signal when the parent side dies: for what must not outlive its caller. */
struct parent_death_args { uint64_t signal; };
/* Connects to the caller's console socket while its path still means what the caller meant. */
struct console_connect_args { struct blob socket; };
/* Makes a terminal in the devpts of the container that was entered, gives it to the user, and sends its master to the connected socket; /dev/console stays init's. */
struct terminal_args { uint64_t rows; uint64_t columns; uint64_t uid; };
/* Enters a working directory that must be there, and checks that it is inside the root (CVE-2024-21626). */
struct workdir_args { struct blob path; };

/* X(name, code, side, number of arguments, kinds) */
#define OPS(X) \
	X(lock_state, 1, SIDE_PARENT, 2, KIND_PATH, KIND_BOOL) \
	X(undo_log, 2, SIDE_PARENT, 1, KIND_PLAN) \
	X(load_slots, 3, SIDE_PARENT, 0, 0) \
	X(store_plan, 4, SIDE_PARENT, 2, KIND_PATH, KIND_PLAN) \
	X(store_file, 5, SIDE_PARENT, 2, KIND_PATH, KIND_TEMPLATE) \
	X(remove_state, 6, SIDE_PARENT, 0, 0) \
	X(run_undo, 7, SIDE_PARENT, 0, 0) \
	X(pid_file, 8, SIDE_PARENT, 2, KIND_PATH, KIND_TEMPLATE) \
	X(remove_tree, 10, SIDE_PARENT, 1, KIND_PATH) \
	X(unlock_state, 11, SIDE_PARENT, 0, 0) \
	X(print, 9, SIDE_PARENT, 1, KIND_TEMPLATE) \
	X(start_listen, 16, SIDE_PARENT, 0, 0) \
	X(spawn, 17, SIDE_PARENT, 4, KIND_FLAGS, KIND_MAYBE, KIND_WRITES, KIND_WRITES) \
	X(adopt, 18, SIDE_PARENT, 2, KIND_WRITES, KIND_WRITES) \
	X(notify, 19, SIDE_BOTH, 1, KIND_U64) \
	X(await, 20, SIDE_BOTH, 1, KIND_U64) \
	X(status, 21, SIDE_PARENT, 5, KIND_MAYBE, KIND_MAYBE, KIND_TEXT, KIND_TEXT, KIND_WRITES) \
	X(require_status, 22, SIDE_PARENT, 2, KIND_READS, KIND_U64) \
	X(connect_start, 23, SIDE_PARENT, 0, 0) \
	X(signal, 24, SIDE_PARENT, 3, KIND_READS, KIND_READS, KIND_READS) \
	X(kill_wait, 25, SIDE_PARENT, 2, KIND_MAYBE, KIND_MAYBE) \
	X(wait_exit, 26, SIDE_PARENT, 1, KIND_WRITES) \
	X(fuse_root, 27, SIDE_PARENT, 6, KIND_PATH, KIND_PATH, KIND_PATH, KIND_PATH, KIND_WRITES, KIND_WRITES) \
	X(fuse_end, 28, SIDE_PARENT, 2, KIND_MAYBE, KIND_MAYBE) \
	X(open_init, 29, SIDE_PARENT, 2, KIND_READS, KIND_READS) \
	X(await_exec, 30, SIDE_PARENT, 0, 0) \
	X(cgroup_create, 32, SIDE_PARENT, 4, KIND_PATH, KIND_PATH, KIND_STRV, KIND_WRITES) \
	X(cgroup_set, 33, SIDE_PARENT, 3, KIND_PATH, KIND_PATH, KIND_TEXT) \
	X(cgroup_attach, 34, SIDE_PARENT, 2, KIND_STRV, KIND_READS) \
	X(cgroup_remove, 35, SIDE_PARENT, 2, KIND_PATH, KIND_MAYBE) \
	X(systemd_scope, 36, SIDE_PARENT, 5, KIND_PATH, KIND_U64, KIND_TEMPLATE, KIND_PATH, KIND_READS) \
	X(cgroup_open, 37, SIDE_PARENT, 2, KIND_PATH, KIND_WRITES) \
	X(cgroup_freeze, 38, SIDE_PARENT, 5, KIND_PATH, KIND_TEXT, KIND_PATH, KIND_TEXT, KIND_BOOL) \
	X(cgroup_thaw_killed, 39, SIDE_PARENT, 3, KIND_PATH, KIND_TEXT, KIND_READS) \
	X(map_helper, 48, SIDE_PARENT, 5, KIND_PATH, KIND_PATH, KIND_STRV, KIND_STRV, KIND_READS) \
	X(map_write, 49, SIDE_PARENT, 4, KIND_TEXT, KIND_TEXT, KIND_BOOL, KIND_READS) \
	X(join_user, 50, SIDE_BOTH, 2, KIND_PATH, KIND_U64) \
	X(hook, 56, SIDE_BOTH, 7, KIND_PATH, KIND_STRV, KIND_STRV, KIND_U64, KIND_TEMPLATE, KIND_TEXT, KIND_BOOL) \
	X(unshare, 64, SIDE_CHILD, 1, KIND_FLAGS) \
	X(setns, 65, SIDE_CHILD, 2, KIND_PATH, KIND_FLAGS) \
	X(refork, 66, SIDE_CHILD, 2, KIND_FLAGS, KIND_TEXT) \
	X(become, 67, SIDE_CHILD, 3, KIND_U64, KIND_U64, KIND_BOOL) \
	X(setsid, 68, SIDE_CHILD, 0, 0) \
	X(hostname, 69, SIDE_CHILD, 1, KIND_PATH) \
	X(domainname, 70, SIDE_CHILD, 1, KIND_PATH) \
	X(loopback, 71, SIDE_CHILD, 0, 0) \
	X(time_offsets, 72, SIDE_CHILD, 1, KIND_PATH) \
	X(enter, 73, SIDE_CHILD, 0, 0) \
	X(propagation, 80, SIDE_CHILD, 1, KIND_FLAGS) \
	X(root_bind, 81, SIDE_CHILD, 2, KIND_PATH, KIND_FLAGS) \
	X(root_overlay, 82, SIDE_CHILD, 3, KIND_PATH, KIND_PATH, KIND_PATH) \
	X(mount_fs, 83, SIDE_CHILD, 7, KIND_PATH, KIND_TEXT, KIND_PATH, KIND_TEXT, KIND_FLAGS, KIND_FLAGS, KIND_FLAGS) \
	X(mount_bind, 84, SIDE_CHILD, 8, KIND_PATH, KIND_PATH, KIND_BOOL, KIND_FLAGS, KIND_FLAGS, KIND_FLAGS, KIND_FLAGS, KIND_FLAGS) \
	X(device, 85, SIDE_CHILD, 6, KIND_PATH, KIND_U64, KIND_U64, KIND_U64, KIND_U64, KIND_U64) \
	X(symlink, 86, SIDE_CHILD, 2, KIND_PATH, KIND_PATH) \
	X(directory, 87, SIDE_CHILD, 2, KIND_PATH, KIND_U64) \
	X(pivot, 88, SIDE_CHILD, 1, KIND_FLAGS) \
	X(root_readonly, 89, SIDE_CHILD, 0, 0) \
	X(mask, 90, SIDE_CHILD, 1, KIND_PATH) \
	X(readonly, 91, SIDE_CHILD, 1, KIND_PATH) \
	X(remount, 92, SIDE_CHILD, 3, KIND_PATH, KIND_FLAGS, KIND_FLAGS) \
	X(root_open, 93, SIDE_CHILD, 1, KIND_PATH) \
	X(mount_copy_up, 94, SIDE_CHILD, 7, KIND_PATH, KIND_TEXT, KIND_PATH, KIND_TEXT, KIND_FLAGS, KIND_FLAGS, KIND_FLAGS) \
	X(sysctl, 104, SIDE_CHILD, 2, KIND_PATH, KIND_TEXT) \
	X(rlimit, 105, SIDE_CHILD, 3, KIND_U64, KIND_U64, KIND_U64) \
	X(oom_score, 106, SIDE_CHILD, 1, KIND_I64) \
	X(keyring, 107, SIDE_CHILD, 1, KIND_PATH) \
	X(no_new_privs, 108, SIDE_CHILD, 0, 0) \
	X(bounding, 109, SIDE_CHILD, 1, KIND_U64) \
	X(ids, 110, SIDE_CHILD, 5, KIND_U64, KIND_U64, KIND_IDS, KIND_BOOL, KIND_U64) \
	X(capabilities, 111, SIDE_CHILD, 4, KIND_U64, KIND_U64, KIND_U64, KIND_U64) \
	X(seccomp, 112, SIDE_CHILD, 2, KIND_BPF, KIND_FLAGS) \
	X(cwd, 113, SIDE_CHILD, 1, KIND_PATH) \
	X(resolve, 114, SIDE_CHILD, 2, KIND_PATH, KIND_TEXT) \
	X(console, 115, SIDE_CHILD, 3, KIND_PATH, KIND_U64, KIND_U64) \
	X(await_start, 116, SIDE_CHILD, 0, 0) \
	X(exec, 117, SIDE_CHILD, 3, KIND_STRV, KIND_STRV, KIND_U64) \
	X(parent_death, 118, SIDE_CHILD, 1, KIND_U64) \
	X(console_connect, 119, SIDE_CHILD, 1, KIND_PATH) \
	X(terminal, 120, SIDE_CHILD, 3, KIND_U64, KIND_U64, KIND_U64) \
	X(workdir, 121, SIDE_CHILD, 1, KIND_PATH)

#endif
