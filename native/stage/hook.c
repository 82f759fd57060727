/* OCI hooks (runtime-spec, config.md#posix-platform-hooks), and other programs that a start needs. */
#include <fcntl.h>
#include <linux/memfd.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include "stage.h"

static int wait_until(int pidfd, uint64_t timeout_ms)
{
	struct pollfd dead = {.fd = pidfd, .events = POLLIN};
	int r;
	while ((r = poll(&dead, 1, timeout_ms == 0 || timeout_ms > INT_MAX ? -1 : (int)timeout_ms)) < 0 && errno == EINTR)
		;
	return r;
}

/* Runs a program and waits. @returns 0 with its wait status, or -errno: ETIMEDOUT after it was killed, or exec's errno. */
int run_program(struct stage *s, const char *path, char *const argv[], char *const env[], int stdin_fd, const char *cwd, uint64_t timeout_ms, int *status)
{
	int exec_error[2];
	if (pipe2(exec_error, O_CLOEXEC) < 0)
		return failed(s, SYS_pipe2);
	pid_t pid = fork();
	if (pid < 0) {
		close(exec_error[0]);
		close(exec_error[1]);
		return failed(s, SYS_fork);
	}
	if (pid == 0) {
		sigset_t none;
		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		signal(SIGPIPE, SIG_DFL);
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);
		dup2(stdin_fd >= 0 ? stdin_fd : null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO); /* standard output is the payload's, or the caller's answer */
		syscall(SYS_close_range, 3, ~0u, 4 /* CLOSE_RANGE_CLOEXEC */);
		if (!cwd || chdir(cwd) == 0)
			execve(path, argv, env);
		int error = errno;
		(void)write_all(exec_error[1], &error, sizeof error);
		_exit(127);
	}
	close(exec_error[1]);
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0), error = 0, r = 0;
	if (pidfd >= 0 && wait_until(pidfd, timeout_ms) == 0) {
		(void)kill(pid, SIGKILL);
		r = failed_as(s, SYS_waitid, ETIMEDOUT);
	}
	while (waitpid(pid, status, 0) < 0 && errno == EINTR)
		;
	if (r == 0 && read(exec_error[0], &error, sizeof error) == sizeof error)
		r = failed_as(s, SYS_execve, error);
	close(exec_error[0]);
	if (pidfd >= 0)
		close(pidfd);
	return r;
}

int op_hook(struct stage *s, const struct hook_args *a)
{
	char *argv[strv_count(s, a->args) + 1], *env[strv_count(s, a->env) + 1];
	int status = 0, state = memfd_create("state", MFD_CLOEXEC);
	strv_fill(s, a->args, argv);
	strv_fill(s, a->env, env);
	int r = state < 0 ? failed(s, SYS_memfd_create) : render(s, a->state, state);
	if (r == 0) {
		(void)lseek(state, 0, SEEK_SET);
		r = run_program(s, text_of(s, a->path), argv, env, state, a->cwd.length ? text_of(s, a->cwd) : NULL, a->timeout_ms, &status);
	}
	if (state >= 0)
		close(state);
	if (r == 0 && status != 0)
		r = failed_as(s, 0, ECHILD); /* it ran, and said no */
	if (r < 0 && a->soft) {
		report(s, FRAME_WARN, -r, (uint64_t)status);
		return 0;
	}
	return r;
}
