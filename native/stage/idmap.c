/* User namespace id maps (user_namespaces(7)). */
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "stage.h"

static pid_t start_helper(struct stage *s, const char *path, const char *pid, struct blob ranges)
{
	uint32_t n = strv_count(s, ranges);
	char *argv[n + 3];
	char *none[] = {NULL};
	union { const char *in; char *out; } name = {path}, number = {pid};
	argv[0] = name.out;
	argv[1] = number.out;
	strv_fill(s, ranges, argv + 2);
	pid_t helper = fork();
	if (helper == 0) {
		sigset_t empty;
		sigemptyset(&empty);
		sigprocmask(SIG_SETMASK, &empty, NULL);
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);
		for (int fd = 0; fd < 3; fd++)
			dup2(null, fd); /* engines read one line from us: the helper's is not it */
		execve(path, argv, none);
		_exit(127);
	}
	return helper;
}

static int end_of(pid_t pid)
{
	int status = -1;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

/* Both at once: each is a fork, an exec and a dynamic start, 1.5 ms. */
int op_map_helper(struct stage *s, const struct map_helper_args *a)
{
	uint64_t pid;
	char number[24];
	int r = get_slot(s, a->pid, &pid);
	if (r < 0)
		return r;
	snprintf(number, sizeof number, "%llu", (unsigned long long)pid);
	pid_t uid = start_helper(s, text_of(s, a->newuidmap), number, a->uid);
	pid_t gid = start_helper(s, text_of(s, a->newgidmap), number, a->gid);
	if (uid < 0 || gid < 0)
		r = failed(s, SYS_fork);
	if (uid > 0 && end_of(uid) != 0 && r == 0)
		r = failed_as(s, SYS_execve, EPERM);
	if (gid > 0 && end_of(gid) != 0 && r == 0)
		r = failed_as(s, SYS_execve, EPERM);
	return r;
}

int op_map_write(struct stage *s, const struct map_write_args *a)
{
	uint64_t pid;
	char path[40];
	int r = get_slot(s, a->pid, &pid);
	if (r < 0)
		return r;
	snprintf(path, sizeof path, "/proc/%llu", (unsigned long long)pid);
	int dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return failed(s, SYS_open);
	/* Without privilege a group map may be written only after setgroups was given up (CVE-2014-8989). */
	if (a->deny_setgroups && write_file_at(dir, "setgroups", "deny", 4) < 0)
		r = failed(s, SYS_write);
	else if (write_file_at(dir, "gid_map", text_of(s, a->gid), a->gid.length) < 0 ||
		 write_file_at(dir, "uid_map", text_of(s, a->uid), a->uid.length) < 0)
		r = failed(s, SYS_write);
	close(dir);
	return r;
}

int op_join_user(struct stage *s, const struct join_user_args *a)
{
	struct stat st, own;
	/* Undo runs where the start did, and there it has been joined; the kernel says EINVAL to joining one's own. */
	if (a->inode && stat("/proc/self/ns/user", &own) == 0 && own.st_ino == a->inode)
		return 0;
	int fd = open(text_of(s, a->path), O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return failed(s, SYS_open);
	int r = 0;
	if (a->inode && (fstat(fd, &st) < 0 || st.st_ino != a->inode))
		r = failed_as(s, SYS_setns, ESTALE); /* the holder died, and its pid is another's */
	else if (syscall(SYS_setns, fd, CLONE_NEWUSER) < 0)
		r = failed(s, SYS_setns);
	close(fd);
	return r;
}
