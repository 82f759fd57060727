/* Control groups, version 2 and version 1. Paths are the host's, below a directory that is delegated to the user. */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include "stage.h"

/*
 * Version 1: a new cpuset has neither CPUs nor memory nodes, and takes no process, unless its parent says
 * cgroup.clone_children. So it gets its parent's; on version 2, where empty means just that, nothing is to be done.
 */
static int inherit_cpuset(int parent, int child)
{
	static const char *const files[] = {"cpuset.cpus", "cpuset.mems"};
	if (faccessat(child, "tasks", F_OK, 0) < 0)
		return 0;
	for (int i = 0; i < 2; i++) {
		char text[4096];
		int fd = openat(child, files[i], O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return errno == ENOENT ? 0 : -1;
		ssize_t n = read(fd, text, sizeof text);
		close(fd);
		if (n > 1) /* more than a newline */
			continue;
		fd = openat(parent, files[i], O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return -1;
		n = read(fd, text, sizeof text);
		close(fd);
		if (n < 0 || write_file_at(child, files[i], text, (size_t)n) < 0)
			return -1;
	}
	return 0;
}

/* Version 2 knows of a whole tree; version 1 only of the processes right here. */
static bool is_populated(int dir)
{
	char text[256] = {0};
	int fd = openat(dir, "cgroup.events", O_RDONLY | O_CLOEXEC);
	bool whole = fd >= 0;
	if (!whole)
		fd = openat(dir, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t n = read(fd, text, sizeof text - 1);
	close(fd);
	return whole ? strstr(text, "populated 1") != NULL : n > 0;
}

int op_cgroup_create(struct stage *s, const struct cgroup_create_args *a)
{
	char enable[256], name[PATH_MAX];
	size_t used = 0;
	char *controllers[strv_count(s, a->controllers) + 1];
	strv_fill(s, a->controllers, controllers);
	for (char **c = controllers; *c; c++) {
		int n = snprintf(enable + used, sizeof enable - used, "%s+%s", used ? " " : "", *c);
		if (n < 0 || (size_t)n >= sizeof enable - used)
			return failed_as(s, SYS_write, ENAMETOOLONG);
		used += (size_t)n;
	}
	if (a->name.length >= sizeof name)
		return failed_as(s, SYS_mkdirat, ENAMETOOLONG);
	memcpy(name, text_of(s, a->name), a->name.length + 1);
	int at = open(text_of(s, a->base), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (at < 0)
		return failed(s, SYS_open);
	char *rest = NULL;
	for (char *part = strtok_r(name, "/", &rest); part; part = strtok_r(NULL, "/", &rest)) {
		int r = 0, next = -1;
		if (used && write_file_at(at, "cgroup.subtree_control", enable, used) < 0)
			r = failed(s, SYS_write);
		else if (mkdirat(at, part, 0755) < 0 && errno != EEXIST)
			r = failed(s, SYS_mkdirat);
		else if ((next = openat(at, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
			r = failed(s, SYS_openat);
		else if (inherit_cpuset(at, next) < 0)
			r = failed(s, SYS_write);
		close(at);
		if (r < 0) {
			if (next >= 0)
				close(next);
			return r;
		}
		at = next;
	}
	/* Around a scope it is made twice, and the second time init is in it. Version 1 has one for each hierarchy. */
	uint64_t before;
	bool again = get_slot(s, a->fd, &before) == 0 && faccessat(at, "tasks", F_OK, 0) < 0;
	if (!again && is_populated(at)) {
		close(at);
		return failed_as(s, SYS_mkdirat, EEXIST);
	}
	set_slot(s, (unsigned)a->fd, (uint64_t)at);
	return 0;
}

int op_cgroup_set(struct stage *s, const struct cgroup_set_args *a)
{
	int dir = open(text_of(s, a->dir), O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return failed(s, SYS_open);
	int r = write_file_at(dir, text_of(s, a->file), text_of(s, a->value), a->value.length) < 0 ? failed(s, SYS_write) : 0;
	close(dir);
	return r;
}

int op_cgroup_attach(struct stage *s, const struct cgroup_attach_args *a)
{
	uint64_t pid;
	char text[24], path[PATH_MAX];
	char *dirs[strv_count(s, a->dirs) + 1];
	int r = get_slot(s, a->pid, &pid);
	if (r < 0)
		return r;
	strv_fill(s, a->dirs, dirs);
	int length = snprintf(text, sizeof text, "%llu", (unsigned long long)pid);
	for (char **d = dirs; *d; d++) {
		snprintf(path, sizeof path, "%s/cgroup.procs", *d);
		if (write_file_at(AT_FDCWD, path, text, (size_t)length) < 0)
			return failed(s, SYS_write);
	}
	return 0;
}

/* Version 2 kills a whole tree at once (cgroup.kill, Linux 5.14); otherwise one process after the other. */
static void kill_members(int dir)
{
	char line[32];
	if (write_file_at(dir, "cgroup.kill", "1", 1) == 0)
		return;
	int fd = openat(dir, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	FILE *procs = fd < 0 ? NULL : fdopen(fd, "r");
	if (!procs)
		return;
	while (fgets(line, sizeof line, procs)) {
		int pid = atoi(line);
		if (pid > 0 && pid != getpid()) /* 0: a process of another pid namespace, not ours to kill */
			(void)kill(pid, SIGKILL);
	}
	fclose(procs);
}

/* Children first: a cgroup with children cannot be removed. */
static int remove_tree(struct stage *s, int parent, const char *name, bool made)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : failed(s, SYS_openat);
	DIR *dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return failed(s, SYS_openat);
	}
	for (struct dirent *e; (e = readdir(dir));)
		if (e->d_type == DT_DIR && e->d_name[0] != '.')
			(void)remove_tree(s, dirfd(dir), e->d_name, made);
	int r = -1;
	/* Members that were killed take a moment to be gone: 0.1 ms at first, two seconds in all. */
	struct timespec pause = {0, 100000};
	for (int tries = 0; tries < 40; tries++) {
		r = unlinkat(parent, name, AT_REMOVEDIR);
		if (r == 0 || errno != EBUSY || !made)
			break;
		kill_members(dirfd(dir));
		nanosleep(&pause, NULL);
		if (pause.tv_nsec < 50000000)
			pause.tv_nsec *= 2;
	}
	if (r < 0 && (errno == ENOENT || (errno == EBUSY && !made)))
		r = 0;
	if (r < 0)
		r = failed(s, SYS_rmdir);
	closedir(dir);
	return r;
}

/*
 * systemd ends a scope when the kernel tells it that its cgroup is empty. The kernel holds that back by up to 10 ms
 * (CGROUP_FILE_NOTIFY_MIN_INTV), and forgets it if the directory goes first: the unit then stays "running" for ever. So
 * the directory is systemd's to remove, unless systemd itself has gone.
 */
static int remove_scope(struct stage *s, const char *path, bool made)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : failed(s, SYS_open);
	DIR *dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return failed(s, SYS_open);
	}
	bool others = !made && is_populated(fd);
	if (made)
		kill_members(fd);
	for (struct dirent *e; !others && (e = readdir(dir));)
		if (e->d_type == DT_DIR && e->d_name[0] != '.')
			(void)remove_tree(s, fd, e->d_name, made);
	closedir(dir);
	if (others)
		return 0;
	struct timespec pause = {0, 500000};
	for (int tries = 0; tries < 100; tries++) {
		if (access(path, F_OK) < 0 && errno == ENOENT)
			return 0;
		nanosleep(&pause, NULL);
		if (pause.tv_nsec < 20000000)
			pause.tv_nsec *= 2;
	}
	return remove_tree(s, AT_FDCWD, path, made);
}

int op_cgroup_remove(struct stage *s, const struct cgroup_remove_args *a)
{
	static const char scope[] = ".scope";
	uint64_t fd;
	bool made = get_slot(s, a->made, &fd) == 0;
	const char *path = text_of(s, a->dir);
	size_t length = strlen(path);
	if (length > sizeof scope && strcmp(path + length - (sizeof scope - 1), scope) == 0)
		return remove_scope(s, path, made);
	return remove_tree(s, AT_FDCWD, path, made);
}
