/*
 * A further process in a container that is there.
 *
 *     parent                              child
 *       open_init: pidfd, namespaces
 *       spawn ───────────────────────────> (cloned; with version 2 in the container's cgroup)
 *       cgroup_attach; notify scoped ───>  await scoped            version 1: moved while it is still outside
 *                                          console_connect         by a path of the caller's
 *                                          enter                   not dumpable, then setns to all at once
 *       adopt <──────────────────────────  refork                  into the pid namespace
 *       await ready <────────────────────  …; notify ready         ids, limits, directory, executable
 *       pid file; notify recorded ──────>  await recorded
 *       await_exec <·····················  exec                    (end of file: close-on-exec)
 *
 * Whoever is in the container may be its enemy: it must neither trace this process, nor find its descriptors or its
 * executable in /proc, before what is executed is the container's own (CVE-2016-9962, CVE-2019-5736).
 */
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include "stage.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

void state_unlock(struct stage *s);      /* state.c */

static int init_fd = -1;
static int foreign; /* CLONE_* of init's namespaces that are not ours */

int op_unlock_state(struct stage *s, const struct unlock_state_args *a)
{
	(void)a;
	state_unlock(s);
	return 0;
}

/* Which namespaces init does not share with us. To join one's own user namespace is EINVAL; to join others that are ours
 * anyway may want a privilege that we have not got. */
static int find_foreign(struct stage *s, uint64_t pid)
{
	static const struct { const char *name; int flag; } kinds[] = {
		{"user", CLONE_NEWUSER}, {"mnt", CLONE_NEWNS}, {"pid", CLONE_NEWPID}, {"net", CLONE_NEWNET},
		{"ipc", CLONE_NEWIPC}, {"uts", CLONE_NEWUTS}, {"cgroup", CLONE_NEWCGROUP}, {"time", CLONE_NEWTIME},
	};
	char path[32] = "/proc/", digits[20], *at = path + 6;
	int n = 0, r = 0;
	do
		digits[n++] = (char)('0' + pid % 10);
	while (pid /= 10);
	while (n)
		*at++ = digits[--n];
	memcpy(at, "/ns", 4);
	int theirs = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), ours = open("/proc/self/ns", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (theirs < 0 || ours < 0)
		r = failed(s, SYS_open);
	for (size_t i = 0; r == 0 && i < sizeof kinds / sizeof *kinds; i++) {
		struct stat their, our;
		if (fstatat(ours, kinds[i].name, &our, 0) < 0)
			continue; /* this kernel has no such namespace */
		if (fstatat(theirs, kinds[i].name, &their, 0) < 0)
			r = failed(s, SYS_newfstatat);
		else if (their.st_ino != our.st_ino)
			foreign |= kinds[i].flag;
	}
	if (theirs >= 0)
		close(theirs);
	if (ours >= 0)
		close(ours);
	return r;
}

int op_open_init(struct stage *s, const struct open_init_args *a)
{
	uint64_t pid, start_time;
	int r = get_slot(s, a->pid, &pid);
	if (r == 0)
		r = get_slot(s, a->start_time, &start_time);
	if (r < 0)
		return r;
	init_fd = pidfd_of(pid, start_time);
	if (init_fd < 0)
		return failed(s, SYS_pidfd_open);
	foreign = 0;
	r = find_foreign(s, pid);
	/* What /proc showed was init's, if init is not gone yet. */
	struct pollfd dead = {.fd = init_fd, .events = POLLIN};
	return poll(&dead, 1, 0) != 0 ? failed_as(s, SYS_pidfd_open, ESRCH) : r;
}

int op_enter(struct stage *s, const struct enter_args *a)
{
	(void)a;
	/* First: once inside, the namespace's root would have the right to trace us. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return failed(s, SYS_prctl);
	/* By one pidfd, all or nothing (Linux 5.8); the kernel orders them, the user namespace first. */
	if (foreign && syscall(SYS_setns, init_fd, foreign) < 0)
		return failed(s, SYS_setns);
	close(init_fd);
	s->root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return s->root_fd < 0 ? failed(s, SYS_open) : 0;
}

int op_await_exec(struct stage *s, const struct await_exec_args *a)
{
	unsigned char byte;
	ssize_t n;
	(void)a;
	while ((n = recv(s->sync_fd, &byte, 1, 0)) < 0 && errno == EINTR)
		;
	if (n > 0)
		return failed_as(s, SYS_recvfrom, EPROTO);
	if (s->shared->reported)
		return -ENDED;
	if (s->shared->executed)
		return 0;
	/* Killed on its way: its descriptors are closed a moment before its pidfd says so. */
	struct pollfd dead = {.fd = s->pidfd, .events = POLLIN};
	(void)poll(&dead, 1, 10000);
	return child_vanished(s, 0) ? -ENDED : failed_as(s, SYS_recvfrom, EPROTO);
}

/* The kernel says "(unreachable)…" of a directory outside the root. */
int op_workdir(struct stage *s, const struct workdir_args *a)
{
	char path[PATH_MAX];
	if (chdir(text_of(s, a->path)) < 0)
		return failed(s, SYS_chdir);
	if (syscall(SYS_getcwd, path, sizeof path) < 0 || path[0] != '/')
		return failed_as(s, SYS_getcwd, ENOENT);
	return 0;
}

int op_cgroup_open(struct stage *s, const struct cgroup_open_args *a)
{
	int fd = open(text_of(s, a->dir), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return failed(s, SYS_open);
	set_slot(s, (unsigned)a->fd, (uint64_t)fd);
	return 0;
}
