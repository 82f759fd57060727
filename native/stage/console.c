/*
 * The terminal (runtime-spec, config.md#process; runc's docs/terminals.md, "detached, new terminal").
 *
 * The pair is made in the container's own devpts, and bound by descriptor; no name inside the container is trusted
 * (CVE-2025-52565).
 */
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <termios.h>
#include "stage.h"

#ifndef TIOCGPTPEER
#define TIOCGPTPEER 0x5441
#endif

static int caller_fd = -1; /* of an exec: connected before it enters the container, used inside */

/* @returns a connection to the socket of the caller's, who will hold the master; or -errno. */
static int connect_caller(struct stage *s, struct blob path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	if (path.length >= sizeof address.sun_path)
		return failed_as(s, SYS_connect, ENAMETOOLONG);
	memcpy(address.sun_path, text_of(s, path), path.length);
	int caller = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (caller < 0)
		return failed(s, SYS_socket);
	return connect(caller, (const struct sockaddr *)&address, sizeof address) < 0 ? failed(s, SYS_connect) : caller;
}

static int send_master(int socket, int master)
{
	static const char name[] = "/dev/ptmx"; /* what runc's peers expect as the message */
	union { char room[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } control = {0};
	union { const char *in; void *out; } base = {name};
	struct iovec text = {base.out, sizeof name - 1};
	struct msghdr message = {.msg_iov = &text, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room};
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &master, sizeof master);
	return sendmsg(socket, &message, MSG_NOSIGNAL) < 0 ? -1 : 0;
}

/* A pair of the container's devpts. The instance is seen to be one: what lies at the path may be anything. */
static int open_pair(struct stage *s, uint64_t rows, uint64_t columns, int *master, int *slave)
{
	struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns};
	struct statfs fs;
	int unlock = 0;
	*master = open_in_root(s, "/dev/pts/ptmx", O_RDWR | O_NOCTTY, RESOLVE_NO_SYMLINKS);
	if (*master < 0)
		return failed(s, SYS_openat2);
	if (fstatfs(*master, &fs) < 0 || fs.f_type != DEVPTS_SUPER_MAGIC)
		return failed_as(s, SYS_fstatfs, ENODEV);
	if (ioctl(*master, TIOCSPTLCK, &unlock) < 0)
		return failed(s, SYS_ioctl);
	*slave = ioctl(*master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (*slave < 0)
		return failed(s, SYS_ioctl);
	if ((rows || columns) && ioctl(*slave, TIOCSWINSZ, &size) < 0)
		return failed(s, SYS_ioctl);
	return 0;
}

/* The master to the caller; the slave becomes standard input, output and error, and the session's terminal. */
static int take_terminal(struct stage *s, int caller, int master, int slave)
{
	if (send_master(caller, master) < 0)
		return failed(s, SYS_sendmsg);
	if (ioctl(slave, TIOCSCTTY, 0) < 0)
		return failed(s, SYS_ioctl);
	for (int fd = 0; fd < 3; fd++)
		if (dup2(slave, fd) < 0)
			return failed(s, SYS_dup2);
	close(slave);
	close(master);
	close(caller);
	return 0;
}

int op_console(struct stage *s, const struct console_args *a)
{
	int master, slave, caller = connect_caller(s, a->socket);
	if (caller < 0)
		return caller;
	int r = open_pair(s, a->rows, a->columns, &master, &slave);
	if (r < 0)
		return r;
	int target = make_in_root(s, "/dev/console", false, 0600);
	if (target < 0)
		return failed(s, SYS_openat2);
	int tree = (int)syscall(SYS_open_tree, slave, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
	if (tree < 0)
		return failed(s, SYS_open_tree);
	if (syscall(SYS_move_mount, tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return failed(s, SYS_move_mount);
	close(tree);
	close(target);
	return take_terminal(s, caller, master, slave);
}

int op_console_connect(struct stage *s, const struct console_connect_args *a)
{
	caller_fd = connect_caller(s, a->socket);
	return caller_fd < 0 ? caller_fd : 0;
}

int op_terminal(struct stage *s, const struct terminal_args *a)
{
	int master, slave, r = open_pair(s, a->rows, a->columns, &master, &slave);
	if (r < 0)
		return r;
	/* The user may open it again by name. */
	if (fchown(slave, (uid_t)a->uid, (gid_t)-1) < 0)
		return failed(s, SYS_fchown);
	return take_terminal(s, caller_fd, master, slave);
}
