/*
 * A root file system that a program serves (fuse-overlayfs).
 *
 *     stage ── fork ──> guardian ── clone(CLONE_PARENT) ──> server
 *
 * The mount is made in the namespace that init has before the container's own: the container gets a copy of it (the plan's
 * `unshare`), so that pivot_root does not move the server into what it serves, and nothing in the container can unmount
 * under it. The server is in neither the container's pid namespace nor its user namespace: it is not seen there, and
 * cannot be traced from there.
 *
 * The guardian ends the server when init ends, though stage may be dead by then. It holds two descriptors and no memory
 * of its own to speak of.
 */
#include <fcntl.h>
#include <linux/sched.h>
#include <linux/stat.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include "stage.h"

enum { PATIENCE = 10000, INIT = 0, STAGE = 1 };

/* guardian ──> stage: first the server's pid, then whether it has mounted. */
struct word { int32_t pid, error, call; };

static pid_t guardian;

static _Noreturn void serve(struct stage *s, const struct fuse_root_args *a)
{
	union { const char *in; char *out; } texts[] = {{text_of(s, a->program)}, {"-f"}, {"-o"}, {text_of(s, a->options)}, {text_of(s, a->target)}};
	char *argv[] = {texts[0].out, texts[1].out, texts[2].out, texts[3].out, texts[4].out, NULL}, *env[] = {NULL};
	sigset_t none;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = 0; fd < 3; fd++)
		dup2(null, fd);
	syscall(SYS_close_range, 3, ~0u, 0);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execve(argv[0], argv, env);
	_exit(127);
}

static bool is_mounted(const char *path)
{
	struct statx x;
	return syscall(SYS_statx, AT_FDCWD, path, AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC, STATX_TYPE, &x) == 0 && x.stx_attributes & STATX_ATTR_MOUNT_ROOT;
}

static bool ended(int pidfd, int wait)
{
	struct pollfd end = {.fd = pidfd, .events = POLLIN};
	return poll(&end, 1, wait) == 1;
}

static _Noreturn void refuse(long call)
{
	struct word w = {.error = errno, .call = (int)call};
	(void)write_all(STAGE, &w, sizeof w);
	_exit(1);
}

static _Noreturn void guard(struct stage *s, const struct fuse_root_args *a, int pipe)
{
	int server, init = fcntl(s->pidfd, F_DUPFD, 3);
	(void)setsid(); /* what the terminal, or anybody, sends to the caller's process group is not for us, nor for the server */
	pipe = fcntl(pipe, F_DUPFD, 3);
	dup2(init, INIT);
	dup2(pipe, STAGE);
	syscall(SYS_close_range, 2, ~0u, 0); /* the lock, the report and the caller's pipes are not ours to keep open */
	if (syscall(SYS_setns, INIT, CLONE_NEWNS) < 0)
		refuse(SYS_setns);
	if (chdir(text_of(s, a->dir)) < 0)
		refuse(SYS_chdir);
	struct clone_args args = {.flags = CLONE_PARENT | CLONE_PIDFD, .pidfd = (uintptr_t)&server};
	long pid = syscall(SYS_clone3, &args, sizeof args);
	if (pid < 0)
		refuse(SYS_clone3);
	if (pid == 0)
		serve(s, a);
	struct word w = {.pid = (int32_t)pid};
	(void)write_all(STAGE, &w, sizeof w);
	for (int left = PATIENCE; !is_mounted(text_of(s, a->target)); left--)
		if (left == 0 || ended(server, 1) || ended(INIT, 0)) {
			w.error = left ? ECONNABORTED : ETIMEDOUT;
			w.call = SYS_mount;
			(void)syscall(SYS_pidfd_send_signal, server, SIGKILL, NULL, 0);
			break;
		}
	(void)write_all(STAGE, &w, sizeof w);
	close(STAGE);
	(void)chdir("/");
	struct pollfd ends[] = {{.fd = INIT, .events = POLLIN}, {.fd = server, .events = POLLIN}};
	while (poll(ends, 2, -1) < 0 && errno == EINTR)
		;
	(void)syscall(SYS_pidfd_send_signal, server, SIGKILL, NULL, 0);
	_exit(0);
}

static void reap_guardian(void)
{
	while (guardian > 0 && waitpid(guardian, NULL, 0) < 0 && errno == EINTR)
		;
	guardian = 0;
}

static int hear(struct stage *s, int pipe, struct word *w)
{
	ssize_t n;
	while ((n = read(pipe, w, sizeof *w)) < 0 && errno == EINTR)
		;
	if (n != sizeof *w)
		return failed_as(s, SYS_read, ECONNABORTED);
	return w->error ? failed_as(s, w->call, w->error) : 0;
}

int op_fuse_root(struct stage *s, const struct fuse_root_args *a)
{
	int pair[2];
	struct word w;
	if (pipe2(pair, O_CLOEXEC) < 0)
		return failed(s, SYS_pipe2);
	guardian = fork();
	if (guardian < 0)
		return failed(s, SYS_fork);
	if (guardian == 0)
		guard(s, a, pair[1]);
	close(pair[1]);
	int r = hear(s, pair[0], &w);
	if (r == 0)
		r = put_identity(s, w.pid, a->pid, a->start_time);
	if (r == 0)
		r = hear(s, pair[0], &w);
	close(pair[0]);
	return r;
}

int op_fuse_end(struct stage *s, const struct fuse_end_args *a)
{
	uint64_t pid, start_time;
	int r = 0;
	if (get_slot(s, a->pid, &pid) == 0 && get_slot(s, a->start_time, &start_time) == 0) {
		int fd = pidfd_of(pid, start_time);
		if (fd >= 0) {
			r = kill_and_wait(s, fd);
			close(fd);
		} else if (errno != ESRCH)
			return failed(s, SYS_pidfd_open);
	}
	reap_guardian(); /* its reason has ended */
	return r;
}
