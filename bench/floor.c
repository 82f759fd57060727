/*
 * The floor: what the plan of bench/start.ts does, written out by hand, with nothing read, checked, verified, recorded
 * or reported. `stage` is measured against it.
 *
 * floor.h is made by bench/start.ts: ROOTFS, UID_MAP, GID_MAP, the filter, and (for the second floor, STATE) the
 * directory and sizes of the files of the container's state, which are then written and removed, too.
 */
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "floor.h"

#define CHECK(call)                                                                                                            \
	({                                                                                                                     \
		long result_ = (long)(call);                                                                                   \
		if (result_ < 0) {                                                                                             \
			perror("floor: " #call);                                                                               \
			_exit(1);                                                                                              \
		}                                                                                                              \
		(int)result_;                                                                                                  \
	})

static int root;

static void put(int dir, const char *path, const char *text, size_t length)
{
	int fd = CHECK(openat(dir, path, O_WRONLY | O_CLOEXEC));
	CHECK(write(fd, text, length));
	close(fd);
}

static int new_fs(const char *type, const char *const *options, unsigned attrs)
{
	int fs = CHECK(syscall(SYS_fsopen, type, FSOPEN_CLOEXEC));
	CHECK(syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "source", type, 0));
	for (; *options; options += 2)
		CHECK(syscall(SYS_fsconfig, fs, options[1] ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, options[0], options[1], 0));
	CHECK(syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
	int mount = CHECK(syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, attrs));
	close(fs);
	return mount;
}

static void attach(int mount, const char *path)
{
	CHECK(syscall(SYS_move_mount, mount, "", root, path, MOVE_MOUNT_F_EMPTY_PATH));
	close(mount);
}

static int clone_of(int fd, const char *path, unsigned flags)
{
	return CHECK(syscall(SYS_open_tree, fd, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | flags));
}

static void restrict_mount(int fd, unsigned flags, uint64_t set, uint64_t propagation)
{
	struct mount_attr attr = {.attr_set = set, .propagation = propagation};
	CHECK(syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH | flags, &attr, sizeof attr));
}

static void mounts(void)
{
	const char *const none[] = {NULL}, *const dev[] = {"mode", "755", "size", "65536k", NULL}, *const shm[] = {"mode", "1777", "size", "65536k", NULL};
	const char *const pts[] = {"newinstance", NULL, "ptmxmode", "0666", "mode", "0620", NULL};
	const unsigned quiet = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC;
	attach(new_fs("proc", none, 0), "proc");
	attach(new_fs("tmpfs", dev, MOUNT_ATTR_NOSUID | MOUNT_ATTR_STRICTATIME), "dev");
	CHECK(mkdirat(root, "dev/pts", 0755));
	attach(new_fs("devpts", pts, quiet), "dev/pts");
	CHECK(mkdirat(root, "dev/shm", 0755));
	attach(new_fs("tmpfs", shm, quiet | MOUNT_ATTR_NODEV), "dev/shm");
	CHECK(mkdirat(root, "dev/mqueue", 0755));
	attach(new_fs("mqueue", none, quiet | MOUNT_ATTR_NODEV), "dev/mqueue");
	attach(new_fs("sysfs", none, quiet | MOUNT_ATTR_NODEV | MOUNT_ATTR_RDONLY), "sys");
	static const char *const devices[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"};
	for (unsigned i = 0; i < sizeof devices / sizeof *devices; i++) {
		close(CHECK(openat(root, devices[i] + 1, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644)));
		attach(clone_of(AT_FDCWD, devices[i], 0), devices[i] + 1);
	}
	CHECK(symlinkat("/proc/self/fd", root, "dev/fd"));
	CHECK(symlinkat("/proc/self/fd/0", root, "dev/stdin"));
	CHECK(symlinkat("/proc/self/fd/1", root, "dev/stdout"));
	CHECK(symlinkat("/proc/self/fd/2", root, "dev/stderr"));
	CHECK(symlinkat("pts/ptmx", root, "dev/ptmx"));
}

static void restrictions(void)
{
	static const char *const readonly[] = {"proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger"};
	static const char *const masked[] = {"proc/acpi", "proc/asound", "proc/interrupts", "proc/kcore", "proc/keys", "proc/latency_stats", "proc/sched_debug", "proc/scsi",
					     "proc/timer_list", "proc/timer_stats", "sys/devices/virtual/powercap", "sys/firmware"};
	const char *const tiny[] = {"nr_blocks", "1", "nr_inodes", "1", "ro", NULL, NULL};
	for (unsigned i = 0; i < sizeof readonly / sizeof *readonly; i++) {
		int tree = (int)syscall(SYS_open_tree, root, readonly[i], OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
		if (tree < 0)
			continue;
		restrict_mount(tree, AT_RECURSIVE, MOUNT_ATTR_RDONLY, 0);
		attach(tree, readonly[i]);
	}
	int null = clone_of(AT_FDCWD, "/dev/null", 0), empty = -1;
	for (unsigned i = 0; i < sizeof masked / sizeof *masked; i++) {
		struct stat st;
		if (fstatat(root, masked[i], &st, 0) < 0)
			continue;
		if (S_ISDIR(st.st_mode) && empty < 0)
			empty = new_fs("tmpfs", tiny, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
		attach(clone_of(S_ISDIR(st.st_mode) ? empty : null, "", AT_EMPTY_PATH), masked[i]);
	}
}

static _Noreturn void child(int sync)
{
	char byte;
	CHECK(syscall(SYS_unshare, CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET));
	if (read(sync, &byte, 1) != 1)
		_exit(1);
	CHECK(syscall(SYS_setresgid, 0, 0, 0));
	CHECK(syscall(SYS_setresuid, 0, 0, 0));
	CHECK(syscall(SYS_unshare, CLONE_NEWCGROUP));
	CHECK(setsid());
	CHECK(syscall(SYS_sethostname, "coracle", 7));
	struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int net = CHECK(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	CHECK(ioctl(net, SIOCSIFFLAGS, &lo));
	close(net);
	CHECK(syscall(SYS_mount, NULL, "/", NULL, 0x84000 /* MS_SLAVE | MS_REC */, NULL));
	root = clone_of(AT_FDCWD, ROOTFS, AT_RECURSIVE);
	restrict_mount(root, AT_RECURSIVE, 0, 0x40000 /* MS_PRIVATE */);
	CHECK(syscall(SYS_move_mount, root, "", AT_FDCWD, ROOTFS, MOVE_MOUNT_F_EMPTY_PATH));
	mounts();
	restrictions();
	restrict_mount(root, 0, MOUNT_ATTR_RDONLY, 0);
	CHECK(fchdir(root));
	CHECK(syscall(SYS_pivot_root, ".", "."));
	CHECK(syscall(SYS_umount2, ".", 2 /* MNT_DETACH */));
	CHECK(chdir("/"));
	uint64_t limit[2] = {1024, 1024};
	CHECK(syscall(SYS_prlimit64, 0, 7 /* RLIMIT_NOFILE */, limit, NULL));
	(void)syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, "_ses.floor");
	CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	for (unsigned cap = 0; cap <= CAP_LAST_CAP; cap++)
		if (!(CAPABILITIES >> cap & 1) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			break;
	umask(022);
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2] = {{(uint32_t)CAPABILITIES, (uint32_t)CAPABILITIES, 0}, {(uint32_t)(CAPABILITIES >> 32), (uint32_t)(CAPABILITIES >> 32), 0}};
	CHECK(syscall(SYS_capset, &header, data));
	CHECK(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0));
#ifdef STATE
	/* No orphan: what runs was recorded before. */
	CHECK(write(sync, "", 1));
	if (read(sync, &byte, 1) != 1)
		_exit(1);
#endif
	struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
	CHECK(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, FILTER_FLAGS, &program));
	char name[] = "/payload", path[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", term[] = "TERM=xterm";
	char *argv[] = {name, NULL}, *env[] = {path, term, NULL};
	CHECK(execve("/payload", argv, env));
	_exit(127);
}

#ifdef STATE
static int state;

static void store(const char *name, const char *temporary, size_t size)
{
	static const char zeros[65536];
	int fd = CHECK(openat(state, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
	CHECK(write(fd, zeros, size));
	close(fd);
	if (name != temporary)
		CHECK(renameat(state, temporary, state, name));
}
#endif

int main(void)
{
	int pair[2], status, pidfd = -1;
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
#ifdef STATE
	CHECK(mkdir(STATE, 0700));
	state = CHECK(open(STATE, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	static const struct { const char *name, *temporary; size_t size; } files[] = {STATE_FILES};
	store("undo", "undo", UNDO_SIZE);
#endif
	struct clone_args args = {.flags = CLONE_NEWUSER | CLONE_NEWPID | CLONE_PIDFD | CLONE_CLEAR_SIGHAND, .exit_signal = SIGCHLD, .pidfd = (uintptr_t)&pidfd};
	int pid = CHECK(syscall(SYS_clone3, &args, sizeof args));
	if (pid == 0) {
		close(pair[0]);
		child(pair[1]);
	}
	close(pair[1]);
	char path[32];
	snprintf(path, sizeof path, "/proc/%d", pid);
	int proc = CHECK(open(path, O_PATH | O_DIRECTORY | O_CLOEXEC));
	put(proc, "setgroups", "deny", 4);
	put(proc, "gid_map", GID_MAP, sizeof GID_MAP - 1);
	put(proc, "uid_map", UID_MAP, sizeof UID_MAP - 1);
	close(proc);
	CHECK(write(pair[0], "", 1));
#ifdef STATE
	char byte;
	unsigned last = sizeof files / sizeof *files - 1;
	for (unsigned i = 0; i < last; i++)
		store(files[i].name, files[i].temporary, files[i].size);
	if (read(pair[0], &byte, 1) != 1)
		return 1;
	store(files[last].name, files[last].temporary, files[last].size); /* the record holds the pid of what is ready */
	CHECK(write(pair[0], "", 1));
#endif
	CHECK(waitpid(pid, &status, 0));
#ifdef STATE
	for (unsigned i = 0; i < sizeof files / sizeof *files; i++)
		CHECK(unlinkat(state, files[i].name, 0));
	CHECK(unlinkat(state, "undo", 0));
	CHECK(rmdir(STATE));
#endif
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
