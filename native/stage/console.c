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

int send_master(int socket, int master); /* exec.c has a terminal of its own */
int send_master(int socket, int master)
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

int op_console(struct stage *s, const struct console_args *a)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct winsize size = {.ws_row = (unsigned short)a->rows, .ws_col = (unsigned short)a->columns};
	struct statfs fs;
	int unlock = 0;
	if (a->socket.length >= sizeof address.sun_path)
		return failed_as(s, SYS_connect, ENAMETOOLONG);
	memcpy(address.sun_path, text_of(s, a->socket), a->socket.length);
	int caller = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (caller < 0)
		return failed(s, SYS_socket);
	if (connect(caller, (const struct sockaddr *)&address, sizeof address) < 0)
		return failed(s, SYS_connect);
	int master = open_in_root(s, "/dev/pts/ptmx", O_RDWR | O_NOCTTY, RESOLVE_NO_SYMLINKS);
	if (master < 0)
		return failed(s, SYS_openat2);
	if (fstatfs(master, &fs) < 0 || fs.f_type != DEVPTS_SUPER_MAGIC)
		return failed_as(s, SYS_fstatfs, ENODEV);
	if (ioctl(master, TIOCSPTLCK, &unlock) < 0)
		return failed(s, SYS_ioctl);
	int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		return failed(s, SYS_ioctl);
	if ((a->rows || a->columns) && ioctl(slave, TIOCSWINSZ, &size) < 0)
		return failed(s, SYS_ioctl);
	int target = make_in_root(s, "/dev/console", false, 0600);
	if (target < 0)
		return failed(s, SYS_openat2);
	int tree = (int)syscall(SYS_open_tree, slave, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
	if (tree < 0)
		return failed(s, SYS_open_tree);
	if (syscall(SYS_move_mount, tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return failed(s, SYS_move_mount);
	if (send_master(caller, master) < 0)
		return failed(s, SYS_sendmsg);
	if (ioctl(slave, TIOCSCTTY, 0) < 0)
		return failed(s, SYS_ioctl);
	for (int fd = 0; fd < 3; fd++)
		if (dup2(slave, fd) < 0)
			return failed(s, SYS_dup2);
	close(tree);
	close(target);
	close(slave);
	close(master);
	close(caller);
	return 0;
}
