#include "facts_trial.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif
#ifndef CLONE_NEWCGROUP
#define CLONE_NEWCGROUP 0x02000000
#endif

/* A dead NFS server or a stopped FUSE server must not hang a doctor. */
static const unsigned deadline_seconds = 3;

static const int ns_flags[NS_COUNT] = {
	[NS_MOUNT] = CLONE_NEWNS, [NS_PID] = CLONE_NEWPID,	 [NS_NETWORK] = CLONE_NEWNET, [NS_IPC] = CLONE_NEWIPC,
	[NS_UTS] = CLONE_NEWUTS,  [NS_CGROUP] = CLONE_NEWCGROUP, [NS_TIME] = CLONE_NEWTIME,
};

static void note(struct tried *tried, int result)
{
	*tried = result < 0 ? (struct tried){FAILED, errno, NULL} : (struct tried){WORKS, 0, NULL};
}

static void mark(struct tried *tried, int count, struct tried as)
{
	for (int i = 0; i < count; i++)
		tried[i] = as;
}

static void mark_all(struct trials *trials, struct tried as)
{
	trials->userns = trials->mapping = trials->data_overlay = as;
	mark(trials->ns, NS_COUNT, as);
	mark(trials->fs, FS_COUNT, as);
}

void trials_skip(struct trials *trials, const char *cause)
{
	mark_all(trials, (struct tried){NOT_TRIED, 0, cause});
}

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	ssize_t n = write(fd, text, strlen(text));
	int error = errno;
	close(fd);
	errno = error;
	return n < 0 ? -1 : 0;
}

/* A plain process that dies with its parent, and soon anyway. */
static pid_t fork_child(void)
{
	pid_t parent = getpid();
	pid_t pid = fork();
	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* In a new pid namespace the parent is seen as 0; elsewhere another parent means that ours died before the prctl. */
	if (getppid() != 0 && getppid() != parent)
		_exit(1);
	alarm(deadline_seconds);
	return 0;
}

static void reap(pid_t pid)
{
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static int map_self(uid_t uid, gid_t gid)
{
	char line[64];
	/* user_namespaces(7): without privilege outside, gid_map may be written only once setgroups is denied. */
	if (write_file("/proc/self/setgroups", "deny") < 0)
		return -1;
	snprintf(line, sizeof line, "0 %u 1\n", gid);
	if (write_file("/proc/self/gid_map", line) < 0)
		return -1;
	snprintf(line, sizeof line, "0 %u 1\n", uid);
	return write_file("/proc/self/uid_map", line);
}

/* overlay as an unprivileged user mounts it; layers are relative to `at`, so nothing needs escaping. `volatile`, for else
 * the unmount writes out the whole file system below (ovl_sync_fs): tens of milliseconds where others write. */
static int mount_overlay(int at, const char *target)
{
	int cwd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int result = cwd < 0 || fchdir(at) < 0 ? -1 : mount("overlay", target, "overlay", MS_NOSUID | MS_NODEV, "userxattr,volatile,lowerdir=l,upperdir=u,workdir=w");
	int error = errno;
	if (cwd >= 0 && fchdir(cwd) == 0)
		close(cwd);
	errno = error;
	return result;
}

static int make_layers(int at)
{
	return mkdirat(at, "l", 0755) < 0 || mkdirat(at, "u", 0755) < 0 || mkdirat(at, "w", 0755) < 0 || mkdirat(at, "m", 0755) < 0 ? -1 : 0;
}

/* Removes a tree of ours; never follows a link, never leaves the file system that it began on. */
static void remove_tree(int at, const char *name, dev_t device)
{
	if (unlinkat(at, name, 0) == 0 || (errno != EISDIR && errno != EPERM))
		return;
	if (unlinkat(at, name, AT_REMOVEDIR) == 0)
		return; /* overlay's work/work has mode 0: empty, it can be removed but not opened */
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_dev != device) {
		if (fd >= 0)
			close(fd);
		return;
	}
	DIR *dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return;
	}
	for (struct dirent *entry; (entry = readdir(dir));)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			remove_tree(fd, entry->d_name, device);
	closedir(dir);
	unlinkat(at, name, AT_REMOVEDIR);
}

/* `mount` succeeds on file systems that then refuse whiteouts or opaque directories: so write, delete, and look. */
static int use_overlay(int at)
{
	int file = openat(at, "m/f", O_WRONLY | O_APPEND | O_CLOEXEC);
	if (file < 0)
		return -1;
	ssize_t n = write(file, "x", 1); /* copies the file up */
	close(file);
	if (n != 1)
		return -1;
	/* A whiteout (device 0:0, mknod) in place of the lower directory, then an opaque directory (user.overlay.opaque) over it. */
	return unlinkat(at, "m/d", AT_REMOVEDIR) < 0 || mkdirat(at, "m/d", 0755) < 0 ? -1 : 0;
}

/* In a directory of its own below the data directory, gone again before this returns. */
static void try_data_overlay(struct trials *trials, int data)
{
	char name[48] = ".coracle-facts";
	struct stat st;
	if (data < 0 || fstat(data, &st) < 0) {
		note(&trials->data_overlay, -1);
		return;
	}
	/* Numbered, for two probers may meet; a pid says nothing here, where we are 1. */
	for (unsigned i = 1; mkdirat(data, name, 0700) < 0; i++) {
		if (errno != EEXIST || i == 100) {
			note(&trials->data_overlay, -1);
			return;
		}
		snprintf(name, sizeof name, ".coracle-facts-%u", i);
	}
	int at = openat(data, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int result = at < 0 || make_layers(at) < 0 || mkdirat(at, "l/d", 0755) < 0 ? -1 : 0;
	if (result == 0) {
		int file = openat(at, "l/f", O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
		result = file < 0 ? -1 : 0;
		if (file >= 0)
			close(file);
	}
	if (result == 0)
		result = mount_overlay(at, "m");
	if (result == 0) {
		result = use_overlay(at);
		int error = errno;
		/* In the data directory, not below `m`: a working directory inside would make this EBUSY. */
		if (fchdir(at) == 0)
			umount2("m", MNT_DETACH);
		errno = error;
	}
	note(&trials->data_overlay, result);
	remove_tree(data, name, st.st_dev);
	if (at >= 0)
		close(at);
}

static int try_fuse(const char *target)
{
	/* Opened here, in the new user namespace: fuse refuses (EINVAL) a device that was opened in another one. */
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -1;
	char options[64];
	snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0", fd);
	int result = mount("coracle", target, "fuse", MS_NOSUID | MS_NODEV, options); /* returns without waiting for a server */
	int error = errno;
	close(fd); /* aborts the connection: nobody can hang on it */
	errno = error;
	return result;
}

/* Runs as root of a new user namespace that owns every other namespace that could be made; pid 1 where one is `pid`. */
static void try_mounts(struct trials *trials, const char *data_path)
{
	const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
	/* Held open, because the tmpfs below may hide the way there. */
	int data = data_path ? open(data_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	/* Any directory will do: nothing but this namespace sees what is mounted over it. */
	static const char *const bases[] = {"/tmp", "/run", "/mnt", "/dev/shm", "/etc"};
	const char *target = NULL;
	for (size_t i = 0; i < sizeof bases / sizeof *bases; i++) {
		struct stat st;
		if (stat(bases[i], &st) < 0 || !S_ISDIR(st.st_mode))
			continue;
		int result = mount("tmpfs", bases[i], "tmpfs", MS_NOSUID | MS_NODEV, "mode=700,size=64k");
		note(&trials->fs[FS_TMPFS], result);
		target = bases[i];
		if (result == 0 && chdir(bases[i]) == 0 && make_layers(AT_FDCWD) == 0)
			target = "m";
		break;
	}
	if (!target)
		target = "/";
	if (trials->fs[FS_TMPFS].outcome == WORKS) {
		int here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
		note(&trials->fs[FS_OVERLAY], here < 0 ? -1 : mount_overlay(here, "m"));
	} else {
		trials->fs[FS_OVERLAY] = (struct tried){NOT_TRIED, 0, "no-tmpfs"};
	}
	/* They stack on one directory: what lies below does not matter. */
	note(&trials->fs[FS_FUSE], try_fuse(target));
	note(&trials->fs[FS_PROC], mount("proc", target, "proc", flags, NULL));
	note(&trials->fs[FS_SYSFS], mount("sysfs", target, "sysfs", flags | MS_RDONLY, NULL));
	note(&trials->fs[FS_MQUEUE], mount("mqueue", target, "mqueue", flags, NULL));
	/* No gid=5: it is EINVAL under the single-id map of this trial. */
	note(&trials->fs[FS_DEVPTS], mount("devpts", target, "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620"));
	/* Last, for it is the only one that can be slow, and the answers so far are already on the shared page. */
	if (data_path)
		try_data_overlay(trials, data);
	else
		trials->data_overlay = (struct tried){NOT_TRIED, 0, "no-data-dir"};
}

static void try_namespaces(struct trials *trials, const struct trial_input *input)
{
	if (unshare(CLONE_NEWUSER) < 0) {
		note(&trials->userns, -1);
		goto no_userns;
	}
	trials->userns_made = true;
	note(&trials->userns, map_self(input->uid, input->gid));
	if (trials->userns.outcome != WORKS)
		goto no_userns;

	/* One by one, to know which fails. A mount namespace owned by another user namespace receives mounts but passes none
	 * on (mount_namespaces(7)): no propagation change is needed to keep these trials to ourselves. */
	for (int i = 0; i < NS_COUNT; i++)
		note(&trials->ns[i], unshare(ns_flags[i]));
	if (trials->ns[NS_MOUNT].outcome != WORKS) {
		const struct tried none = {NOT_TRIED, 0, "no-mount-namespace"};
		mark(trials->fs, FS_COUNT, none);
		trials->data_overlay = none;
		return;
	}
	/* A fork, for pid and time namespaces hold for children only; the parent stays to keep the deadline. */
	pid_t pid = fork_child();
	if (pid == 0) {
		try_mounts(trials, input->data);
		_exit(0);
	}
	reap(pid);
	return;

no_userns:;
	const struct tried none = {NOT_TRIED, 0, "no-userns"};
	mark(trials->ns, NS_COUNT, none);
	mark(trials->fs, FS_COUNT, none);
	trials->data_overlay = none;
}

static pid_t run_helper(const char *helper, pid_t target, unsigned own, struct range range)
{
	pid_t pid = fork_child();
	if (pid != 0)
		return pid;
	char text[5][24];
	snprintf(text[0], sizeof text[0], "%d", target);
	snprintf(text[1], sizeof text[1], "%u", own);
	snprintf(text[2], sizeof text[2], "%lu", range.start);
	snprintf(text[3], sizeof text[3], "%lu", range.count);
	/* Its complaint is not part of the document. */
	int null = open("/dev/null", O_RDWR);
	if (null >= 0) {
		dup2(null, 1);
		dup2(null, 2);
	}
	execl(helper, helper, text[0], "0", text[1], "1", "1", text[2], text[3], (char *)NULL);
	_exit(127);
}

static bool succeeded(pid_t pid)
{
	int status;
	if (pid < 0)
		return false;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return false;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* A child that waits in a new user namespace until the other end of `pipes` closes. -1: it could not be made. */
static pid_t hold_userns(int *hold)
{
	int ready[2], stay[2];
	if (pipe2(ready, O_CLOEXEC) < 0)
		return -1;
	if (pipe2(stay, O_CLOEXEC) < 0) {
		close(ready[0]);
		close(ready[1]);
		return -1;
	}
	pid_t pid = fork_child();
	if (pid == 0) {
		char byte = unshare(CLONE_NEWUSER) == 0;
		close(stay[1]);
		if (write(ready[1], &byte, 1) == 1 && byte)
			(void)!read(stay[0], &byte, 1);
		_exit(0);
	}
	close(ready[1]);
	close(stay[0]);
	char byte = 0;
	if (pid > 0 && read(ready[0], &byte, 1) != 1)
		byte = 0;
	close(ready[0]);
	*hold = stay[1];
	if (byte)
		return pid;
	close(stay[1]);
	reap(pid);
	return -1;
}

static void try_mapping(struct trials *trials, const struct trial_input *input)
{
	if (!input->newuidmap || !input->newgidmap || input->subuid.count == 0 || input->subgid.count == 0) {
		trials->mapping = (struct tried){NOT_TRIED, 0, "no-subids"};
		return;
	}
	int hold;
	pid_t target = hold_userns(&hold);
	if (target < 0) {
		trials->mapping = (struct tried){NOT_TRIED, 0, "no-userns"};
		return;
	}
	pid_t uids = run_helper(input->newuidmap, target, input->uid, input->subuid);
	pid_t gids = run_helper(input->newgidmap, target, input->gid, input->subgid);
	bool uids_ok = succeeded(uids), gids_ok = succeeded(gids);
	/* The helpers say no with an exit status and a sentence; EPERM is what they met or mean. */
	trials->mapping = uids_ok && gids_ok ? (struct tried){WORKS, 0, NULL} : (struct tried){FAILED, EPERM, uids_ok ? "newgidmap-refused" : "newuidmap-refused"};
	close(hold);
	reap(target);
}

void trials_run(struct trials *result, const struct trial_input *input)
{
	struct trials *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED) {
		trials_skip(result, "no-memory");
		return;
	}
	/* What a child has not answered when it is gone, it never will. */
	mark_all(shared, (struct tried){FAILED, ETIMEDOUT, "timed-out"});

	/* The two sides have nothing in common and each waits for the kernel: side by side they take the longer one's time. */
	pid_t child = fork_child();
	if (child == 0) {
		try_namespaces(shared, input);
		_exit(0);
	}
	if (child < 0) {
		int error = errno;
		mark_all(shared, (struct tried){FAILED, error, "no-fork"});
	} else {
		try_mapping(shared, input);
		reap(child);
	}
	*result = *shared;
	munmap(shared, sizeof *shared);
}
