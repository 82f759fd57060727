/* Namespaces, on the child side (namespaces(7)). */
#include <fcntl.h>
#include <grp.h>
#include <linux/sched.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include "stage.h"

int op_unshare(struct stage *s, const struct unshare_args *a) { return syscall(SYS_unshare, a->flags) < 0 ? failed(s, SYS_unshare) : 0; }

int op_setns(struct stage *s, const struct setns_args *a)
{
	int fd = open(text_of(s, a->path), O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return failed(s, SYS_open);
	int r = syscall(SYS_setns, fd, a->type) < 0 ? failed(s, SYS_setns) : 0;
	close(fd);
	return r;
}

/* Whether a user namespace that is joined allows it, only who is in it can read. */
static bool setgroups_denied(void)
{
	char word[8] = {0};
	int fd = open("/proc/self/setgroups", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, word, sizeof word - 1);
	if (fd >= 0)
		close(fd);
	return n > 0 && strncmp(word, "deny", 4) == 0;
}

int op_become(struct stage *s, const struct become_args *a)
{
	if (a->setgroups && syscall(SYS_setgroups, 0, NULL) < 0) {
		int r = failed(s, SYS_setgroups);
		if (r != -EPERM || !setgroups_denied())
			return r;
		s->keeps_groups = true;
	}
	if (syscall(SYS_setresgid, a->gid, a->gid, a->gid) < 0)
		return failed(s, SYS_setresgid);
	if (syscall(SYS_setresuid, a->uid, a->uid, a->uid) < 0)
		return failed(s, SYS_setresuid);
	return 0;
}

int op_setsid(struct stage *s, const struct setsid_args *a)
{
	(void)a;
	return setsid() < 0 && errno != EPERM ? failed(s, SYS_setsid) : 0; /* EPERM: it leads one already */
}

int op_hostname(struct stage *s, const struct hostname_args *a)
{
	return syscall(SYS_sethostname, text_of(s, a->name), a->name.length) < 0 ? failed(s, SYS_sethostname) : 0;
}

int op_domainname(struct stage *s, const struct domainname_args *a)
{
	return syscall(SYS_setdomainname, text_of(s, a->name), a->name.length) < 0 ? failed(s, SYS_setdomainname) : 0;
}

int op_loopback(struct stage *s, const struct loopback_args *a)
{
	struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	(void)a;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return failed(s, SYS_socket);
	int r = ioctl(fd, SIOCSIFFLAGS, &lo) < 0 ? failed(s, SYS_ioctl) : 0;
	close(fd);
	return r;
}

/* Offsets can be set only while the namespace has no process; unshare leaves this one outside, so it may still enter. */
int op_time_offsets(struct stage *s, const struct time_offsets_args *a)
{
	if (write_file_at(AT_FDCWD, "/proc/self/timens_offsets", text_of(s, a->offsets), a->offsets.length) < 0)
		return failed(s, SYS_write);
	int fd = open("/proc/self/ns/time_for_children", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return failed(s, SYS_open);
	int r = syscall(SYS_setns, fd, CLONE_NEWTIME) < 0 ? failed(s, SYS_setns) : 0;
	close(fd);
	return r;
}
