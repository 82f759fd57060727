/*
 * systemd's user manager, over D-Bus (D-Bus specification: Authentication Protocol, Message Protocol).
 *
 * From a plain login session no cgroup can be entered: the common ancestor of the session's scope and the user's
 * delegated tree is root's. Only systemd, which may write there, can move a process: into a scope that it makes around
 * it. core marshals the messages (Hello, then StartTransientUnit); the child's pid is the one hole in them.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include "stage.h"

/* EXTERNAL wants the uid as the bus sees it: the one outside any user namespace of ours. In hexadecimal of its decimal text. */
static int authenticate(int fd, uint64_t uid)
{
	char line[128], digits[24];
	int n = snprintf(digits, sizeof digits, "%llu", (unsigned long long)uid);
	int length = 1 + snprintf(line + 1, sizeof line - 1, "AUTH EXTERNAL ");
	line[0] = 0;
	for (int i = 0; i < n; i++)
		length += snprintf(line + length, sizeof line - (size_t)length, "%02x", digits[i]);
	length += snprintf(line + length, sizeof line - (size_t)length, "\r\n");
	if (write_all(fd, line, (size_t)length) < 0)
		return -1;
	size_t got = 0;
	while (got < sizeof line - 1) {
		if (read(fd, line + got, 1) != 1)
			return -1;
		if (line[got++] == '\n')
			break;
	}
	if (got < 3 || memcmp(line, "OK ", 3) != 0) {
		errno = EACCES;
		return -1;
	}
	return write_all(fd, "BEGIN\r\n", 7);
}

static int read_exactly(int fd, void *data, size_t length)
{
	for (char *at = data; length > 0;) {
		ssize_t n = read(fd, at, length);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			if (n == 0)
				errno = ECONNRESET;
			return -1;
		}
		at += n;
		length -= (size_t)n;
	}
	return 0;
}

static uint32_t word(const unsigned char *at)
{
	return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

/*
 * The serial that a reply answers: header field 5, a uint32; and an error's name, field 4. Fields are (byte code,
 * signature, value), 8-byte aligned.
 */
static uint32_t reply_serial(const unsigned char *fields, uint32_t length, const char **error)
{
	uint32_t serial = 0;
	for (uint32_t at = 0; at + 4 <= length; at = (at + 7) & ~7u) {
		uint32_t code = fields[at], signature = fields[at + 2];
		if (fields[at + 1] != 1)
			return 0;
		at += 4; /* past a signature of one character and its NUL */
		if (signature == 'u') {
			at = (at + 3) & ~3u;
			if (at + 4 > length)
				return 0;
			if (code == 5)
				serial = word(fields + at);
			at += 4;
		} else if (signature == 's' || signature == 'o') {
			at = (at + 3) & ~3u;
			if (at + 4 > length)
				return 0;
			uint32_t size = word(fields + at);
			if (size >= length - at - 4 || fields[at + 4 + size])
				return 0;
			if (code == 4)
				*error = (const char *)fields + at + 4;
			at += 4 + size + 1;
		} else if (signature == 'g') {
			if (at >= length)
				return 0;
			at += 1u + fields[at] + 1;
		} else
			return 0;
	}
	return serial;
}

/* The errors that say what to do about them; the manager's journal has its reason for the others. */
static int errno_of(const char *error)
{
	static const struct {
		const char *name;
		int number;
	} known[] = {
		{"org.freedesktop.systemd1.UnitExists", EEXIST},
		{"org.freedesktop.DBus.Error.InvalidArgs", EINVAL},
		{"org.freedesktop.DBus.Error.NoReply", ETIMEDOUT},
		{"org.freedesktop.DBus.Error.ServiceUnknown", ECONNREFUSED},
		{"org.freedesktop.DBus.Error.NameHasNoOwner", ECONNREFUSED},
	};
	for (size_t i = 0; error && i < sizeof known / sizeof *known; i++)
		if (strcmp(error, known[i].name) == 0)
			return known[i].number;
	return EPERM;
}

/* Reads up to the answer to our second message. A method return is 2, an error 3; signals pass by. */
static int await_reply(int fd)
{
	unsigned char header[16], body[16384];
	for (;;) {
		if (read_exactly(fd, header, sizeof header) < 0)
			return -1;
		uint32_t fields = word(header + 12), rest = ((fields + 7) & ~7u) + word(header + 4);
		if (header[0] != 'l' || fields > sizeof body || rest > sizeof body) {
			errno = EPROTO;
			return -1;
		}
		if (read_exactly(fd, body, rest) < 0)
			return -1;
		const char *error = NULL;
		if (reply_serial(body, fields, &error) != 2)
			continue;
		if (header[1] == 3) {
			errno = errno_of(error);
			return -1;
		}
		if (header[1] == 2)
			return 0;
	}
}

/* The reply only says that the job was queued: the move is done when the kernel says so. */
static int await_cgroup(uint64_t pid, const char *cgroup)
{
	char path[40], text[PATH_MAX + 64], want[PATH_MAX + 8];
	snprintf(path, sizeof path, "/proc/%llu/cgroup", (unsigned long long)pid);
	snprintf(want, sizeof want, "0::%s\n", cgroup);
	struct timespec pause = {0, 500000};
	for (int tries = 0; tries < 4000; tries++) {
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return -1;
		ssize_t n = read(fd, text, sizeof text - 1);
		close(fd);
		if (n > 0) {
			text[n] = 0;
			if (strstr(text, want))
				return 0;
		}
		nanosleep(&pause, NULL);
	}
	errno = ETIMEDOUT;
	return -1;
}

int op_systemd_scope(struct stage *s, const struct systemd_scope_args *a)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval limit = {.tv_sec = 10};
	uint64_t pid;
	int r = get_slot(s, a->pid, &pid);
	if (r < 0)
		return r;
	if (a->socket.length >= sizeof address.sun_path)
		return failed_as(s, SYS_connect, ENAMETOOLONG);
	memcpy(address.sun_path, text_of(s, a->socket), a->socket.length);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return failed(s, SYS_socket);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	if (connect(fd, (const struct sockaddr *)&address, sizeof address) < 0)
		r = failed(s, SYS_connect);
	else if (authenticate(fd, a->uid) < 0)
		r = failed(s, SYS_sendto);
	else if ((r = render(s, a->request, fd)) == 0 && await_reply(fd) < 0)
		r = failed(s, SYS_recvfrom);
	close(fd);
	if (r == 0 && await_cgroup(pid, text_of(s, a->cgroup)) < 0)
		r = failed(s, SYS_read);
	return r;
}
