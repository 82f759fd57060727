/*
 * Processes: init's birth, its two meeting places, its death.
 *
 * While a start runs, the sides talk over a socket pair; a message is one byte, the number of a point:
 *
 *     parent                              child
 *       spawn ───────────────────────────> (cloned)
 *       map ids                            unshare
 *       notify mapped ──────────────────>  await mapped
 *       await namespaces <───────────────  notify namespaces       (only where hooks want to run)
 *       hooks; notify hooked ───────────>  await hooked
 *       await ready <────────────────────  notify ready            root made, process ready to be executed
 *       pid file, record; notify recorded> await recorded          from here init may outlive the parent
 *
 * Either side's death is the other's end of file. Init that sees it before `recorded` exits: so no kill at any moment
 * leaves an orphan.
 *
 * After `create`, init listens on start.sock. A `start` connects and sends 'S'; it then reads frames, or end of file,
 * which close-on-exec gives it when the payload runs. A connection without 'S' is a probe ("is it still waiting?").
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <linux/sched.h>
#include "stage.h"

void state_unlock(struct stage *s);
int state_relock(struct stage *s);

/* Field 22 of /proc/PID/stat. The name in field 2 may hold anything, so count from its last parenthesis. */
int start_time_of(int pid, uint64_t *ticks)
{
	char path[32] = "/proc/", text[512], *at = path + 6, digits[12];
	int n = 0;
	do
		digits[n++] = (char)('0' + pid % 10);
	while (pid /= 10);
	while (n)
		*at++ = digits[--n];
	memcpy(at, "/stat", 6);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	ssize_t length = read(fd, text, sizeof text - 1);
	close(fd);
	if (length <= 0) {
		errno = ESRCH;
		return -1;
	}
	text[length] = 0;
	at = strrchr(text, ')');
	for (int field = 2; at && field < 22; field++)
		at = strchr(at + 1, ' ');
	if (!at) {
		errno = EBADMSG;
		return -1;
	}
	*ticks = strtoull(at + 1, NULL, 10);
	return 0;
}

/* A pid alone may have been given to another process since: opened first, compared then, there is no gap. */
int pidfd_of(uint64_t pid, uint64_t start_time)
{
	uint64_t now;
	int fd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
	if (fd < 0)
		return -1;
	if (start_time_of((int)pid, &now) < 0 || now != start_time) {
		close(fd);
		errno = ESRCH;
		return -1;
	}
	return fd;
}

int put_identity(struct stage *s, int pid, uint64_t pid_slot, uint64_t start_slot)
{
	uint64_t ticks;
	/* The pid first: should the rest fail, undo kills by the pidfd that this process holds. */
	s->slots[pid_slot] = (uint64_t)pid;
	s->slots_set |= 1u << pid_slot;
	if (start_time_of(pid, &ticks) < 0)
		return failed(s, SYS_open);
	/* One entry's presence implies the other's: start time is appended before the pid. */
	set_slot(s, (unsigned)start_slot, ticks);
	set_slot(s, (unsigned)pid_slot, (uint64_t)pid);
	return 0;
}

int op_spawn(struct stage *s, const struct spawn_args *a)
{
	int pair[2];
	uint64_t cgroup = 0;
	sigset_t all;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return failed(s, SYS_socketpair);
	struct clone_args args = {.flags = a->flags | CLONE_PIDFD | CLONE_CLEAR_SIGHAND, .exit_signal = SIGCHLD, .pidfd = (uintptr_t)&s->pidfd};
	if (get_slot(s, a->cgroup, &cgroup) == 0) {
		args.flags |= CLONE_INTO_CGROUP; /* Linux 5.7; 9 us, where a write to cgroup.procs waits 4 ms for RCU */
		args.cgroup = cgroup;
	}
	/* A signal that arrives from here on is passed on by `wait_exit`, or ends this process after the start. */
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	long pid = syscall(SYS_clone3, &args, sizeof args);
	if (pid < 0) {
		int r = failed(s, SYS_clone3);
		close(pair[0]);
		close(pair[1]);
		return r;
	}
	if (pid == 0) {
		close(pair[0]);
		/* The lock lives as long as any copy of its descriptor: it is the parent's alone. */
		close(s->state_fd);
		close(s->log_fd);
		s->state_fd = s->log_fd = -1;
		s->sync_fd = pair[1];
		s->side = SIDE_CHILD;
		child_main(s);
	}
	close(pair[1]);
	s->sync_fd = pair[0];
	return put_identity(s, (int)pid, a->pid, a->start_time);
}

static int lost(struct stage *s)
{
	if (s->side == SIDE_CHILD)
		_exit(127); /* nobody is left to tell, and nothing may outlive the start */
	if (s->shared->reported)
		return -ENDED;
	uint32_t reached = s->shared->progress[SIDE_CHILD];
	uint32_t own = s->step;
	s->step = reached ? reached - 1 : 0;
	report(s, FRAME_VANISHED, 0, 0);
	s->step = own;
	return -ENDED;
}

/*
 * Before its exec the child never ends without a word; after it, its end is the payload's business. A process that is
 * ending can be missed for a moment, so an error that it may be the cause of (EACCES from its /proc files) gives it one.
 */
bool child_vanished(struct stage *s, int error)
{
	bool ending = error == -ESRCH || error == -ENOENT || error == -EACCES || error == -EPERM;
	struct pollfd dead = {.fd = s->pidfd, .events = POLLIN};
	if (s->shared->forked && s->slots[SLOT_PID] != (uint64_t)s->shared->forked)
		return false; /* the first process ended as it should, and the second is not adopted yet */
	if (s->pidfd < 0 || s->shared->executed || poll(&dead, 1, ending ? 50 : 0) != 1)
		return false;
	(void)lost(s);
	return true;
}

int op_notify(struct stage *s, const struct notify_args *a)
{
	unsigned char point = (unsigned char)a->point;
	if (send(s->sync_fd, &point, 1, MSG_NOSIGNAL) == 1)
		return 0;
	return errno == EPIPE || errno == ECONNRESET ? lost(s) : failed(s, SYS_sendto);
}

int op_await(struct stage *s, const struct await_args *a)
{
	unsigned char point;
	ssize_t n;
	while ((n = recv(s->sync_fd, &point, 1, 0)) < 0 && errno == EINTR)
		;
	if (n == 0 || (n < 0 && errno == ECONNRESET))
		return lost(s);
	if (n < 0)
		return failed(s, SYS_recvfrom);
	return point == a->point ? 0 : failed_as(s, SYS_recvfrom, EPROTO);
}

int op_refork(struct stage *s, const struct refork_args *a)
{
	/* The kernel writes the pid, as the parent side knows it, before the new process runs. */
	struct clone_args args = {.flags = a->flags | CLONE_PARENT | CLONE_PARENT_SETTID, .parent_tid = (uintptr_t)&s->shared->forked};
	if (a->cgroup.length) {
		int fd = open(text_of(s, a->cgroup), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			return failed(s, SYS_open);
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)fd;
	}
	long pid = syscall(SYS_clone3, &args, sizeof args);
	if (pid < 0)
		return failed(s, SYS_clone3);
	if (pid > 0)
		_exit(0);
	know_self(s);
	/* From the new process, so that no later point of its can overtake this one. */
	struct notify_args spawned = {.point = POINT_SPAWNED};
	return op_notify(s, &spawned);
}

int op_adopt(struct stage *s, const struct adopt_args *a)
{
	struct await_args spawned = {.point = POINT_SPAWNED};
	int first = s->pidfd;
	int r = op_await(s, &spawned);
	if (r < 0)
		return r;
	/* It is our child and not reaped: its pid cannot have been given away. */
	int pid = s->shared->forked;
	s->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (s->pidfd < 0)
		return failed(s, SYS_pidfd_open);
	siginfo_t info;
	(void)waitid(P_PIDFD, (id_t)first, &info, WEXITED);
	close(first);
	return put_identity(s, pid, a->pid, a->start_time);
}

/* sun_path holds 108 bytes, state directories are longer: so by a name relative to the directory, which is entered for it. */
static int socket_in_state(struct stage *s, int (*use)(int, const struct sockaddr *, socklen_t))
{
	struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "start.sock"};
	int here = open(".", O_PATH | O_CLOEXEC);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return failed(s, SYS_socket);
	int r = 0;
	if (fchdir(s->state_fd) < 0)
		r = failed(s, SYS_fchdir);
	else if (use(fd, (const struct sockaddr *)&address, sizeof address) < 0)
		r = failed(s, use == connect ? SYS_connect : SYS_bind);
	if (here >= 0) {
		(void)fchdir(here);
		close(here);
	}
	if (r < 0) {
		close(fd);
		return r;
	}
	return fd;
}

int op_start_listen(struct stage *s, const struct start_listen_args *a)
{
	(void)a;
	int fd = socket_in_state(s, bind);
	if (fd < 0)
		return fd;
	if (listen(fd, 8) < 0)
		return failed(s, SYS_listen);
	s->listen_fd = fd;
	return 0;
}

int op_await_start(struct stage *s, const struct await_start_args *a)
{
	(void)a;
	/* Engines read to the end of what the creator held: nothing of it stays open here. */
	close(s->sync_fd);
	close(s->report_fd);
	s->sync_fd = s->report_fd = -1;
	for (;;) {
		char word;
		int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC);
		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd < 0)
			return failed(s, SYS_accept4);
		if (recv(fd, &word, 1, 0) == 1 && word == 'S') {
			s->report_fd = fd;
			close(s->listen_fd);
			return 0;
		}
		close(fd);
	}
}

int op_connect_start(struct stage *s, const struct connect_start_args *a)
{
	(void)a;
	struct frame f;
	bool executed = false;
	int fd = socket_in_state(s, connect);
	if (fd < 0)
		return fd;
	if (send(fd, "S", 1, MSG_NOSIGNAL) != 1)
		return failed(s, SYS_sendto);
	for (;;) {
		ssize_t n = recv(fd, &f, sizeof f, MSG_WAITALL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n != sizeof f)
			break;
		if (f.kind == FRAME_EXEC)
			executed = true;
		else
			(void)write_all(s->report_fd, &f, sizeof f);
		if (f.kind == FRAME_ERROR)
			executed = false, s->shared->reported = 1;
	}
	close(fd);
	if (s->shared->reported)
		return -ENDED;
	if (!executed) {
		report(s, FRAME_VANISHED, 0, 0);
		return -ENDED;
	}
	(void)unlinkat(s->state_fd, "start.sock", 0);
	return 0;
}

static bool waits_for_start(struct stage *s)
{
	int fd = socket_in_state(s, connect);
	if (fd < 0)
		return false;
	close(fd);
	return true;
}

enum { STOPPED, CREATED, RUNNING, PAUSED };

int op_status(struct stage *s, const struct status_args *a)
{
	uint64_t pid, start_time, status = STOPPED;
	if (get_slot(s, a->pid, &pid) == 0 && get_slot(s, a->start_time, &start_time) == 0) {
		int fd = pidfd_of(pid, start_time);
		struct pollfd dead = {.fd = fd, .events = POLLIN};
		/* A zombie's pidfd is readable: it has stopped, whether or not its parent cares. */
		if (fd >= 0 && poll(&dead, 1, 0) == 0)
			status = waits_for_start(s) ? CREATED : RUNNING;
		if (fd >= 0)
			close(fd);
	}
	if (status == RUNNING && a->freezer.length) {
		char text[256] = {0};
		int fd = open(text_of(s, a->freezer), O_RDONLY | O_CLOEXEC);
		if (fd >= 0 && read(fd, text, sizeof text - 1) > 0 && strstr(text, text_of(s, a->frozen)))
			status = PAUSED;
		if (fd >= 0)
			close(fd);
	}
	set_slot(s, (unsigned)a->status, status);
	return 0;
}

int op_require_status(struct stage *s, const struct require_status_args *a)
{
	uint64_t status;
	int r = get_slot(s, a->status, &status);
	if (r < 0)
		return r;
	if (a->allowed & 1ull << status)
		return 0;
	report(s, FRAME_SLOT, 0, status);
	return failed_as(s, 0, EBUSY);
}

int op_signal(struct stage *s, const struct signal_args *a)
{
	uint64_t pid, start_time, number;
	int r = get_slot(s, a->pid, &pid);
	if (r == 0)
		r = get_slot(s, a->start_time, &start_time);
	if (r == 0)
		r = get_slot(s, a->signal, &number);
	if (r < 0)
		return r;
	int fd = pidfd_of(pid, start_time);
	if (fd < 0)
		return failed(s, SYS_pidfd_open);
	r = syscall(SYS_pidfd_send_signal, fd, (int)number, NULL, 0) < 0 ? failed(s, SYS_pidfd_send_signal) : 0;
	close(fd);
	return r;
}

int kill_and_wait(struct stage *s, int fd)
{
	struct pollfd dead = {.fd = fd, .events = POLLIN};
	siginfo_t info;
	int r = 0;
	if (syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) < 0 && errno != ESRCH)
		r = failed(s, SYS_pidfd_send_signal);
	else if (poll(&dead, 1, 10000) != 1)
		r = failed_as(s, SYS_poll, ETIMEDOUT);
	(void)waitid(P_PIDFD, (id_t)fd, &info, WEXITED | WNOHANG); /* reaps it where it is ours */
	return r;
}

int op_kill_wait(struct stage *s, const struct kill_wait_args *a)
{
	uint64_t pid, start_time;
	int fd = s->pidfd;
	if (fd < 0) {
		if (get_slot(s, a->pid, &pid) < 0 || get_slot(s, a->start_time, &start_time) < 0)
			return 0; /* there never was one */
		fd = pidfd_of(pid, start_time);
	}
	if (fd < 0)
		return errno == ESRCH ? 0 : failed(s, SYS_pidfd_open);
	int r = kill_and_wait(s, fd);
	if (fd != s->pidfd)
		close(fd);
	return r;
}

int op_wait_exit(struct stage *s, const struct wait_exit_args *a)
{
	sigset_t all;
	struct signalfd_siginfo got;
	sigfillset(&all);
	int signals = signalfd(-1, &all, SFD_CLOEXEC);
	if (signals < 0)
		return failed(s, SYS_signalfd4);
	state_unlock(s);
	struct pollfd events[] = {{.fd = s->pidfd, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
	while (!(events[0].revents & POLLIN)) {
		if (poll(events, 2, -1) < 0 && errno != EINTR)
			return failed(s, SYS_poll);
		if ((events[1].revents & POLLIN) && read(signals, &got, sizeof got) == sizeof got)
			switch (got.ssi_signo) {
			case SIGCHLD: case SIGTTIN: case SIGTTOU: case SIGPIPE: case SIGURG:
				break; /* about this process, not about the container */
			case SIGTSTP:
				(void)kill(getpid(), SIGSTOP);
				break;
			default:
				(void)syscall(SYS_pidfd_send_signal, s->pidfd, (int)got.ssi_signo, NULL, 0);
			}
	}
	close(signals);
	siginfo_t info = {0};
	if (waitid(P_PIDFD, (id_t)s->pidfd, &info, WEXITED) < 0)
		return failed(s, SYS_waitid);
	uint64_t status = info.si_code == CLD_EXITED ? (uint64_t)info.si_status << 8 : (uint64_t)info.si_status;
	if (!s->shared->reported && child_vanished(s, 0))
		return -ENDED;
	set_slot(s, (unsigned)a->exit, status);
	report(s, FRAME_EXIT, 0, status);
	/* Someone may have deleted the container meanwhile, and undone all that the remaining steps would undo. */
	return state_relock(s) < 0 ? 1 : 0;
}

int op_parent_death(struct stage *s, const struct parent_death_args *a)
{
	return prctl(PR_SET_PDEATHSIG, (unsigned long)a->signal, 0, 0, 0) < 0 ? failed(s, SYS_prctl) : 0;
}
