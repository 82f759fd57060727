/*
 * Paths below the container's root.
 *
 * The root file system is hostile: any component may be a symbolic link, and may be swapped while we look. So a path is
 * resolved by the kernel (openat2(2), RESOLVE_IN_ROOT), used through the descriptor that came of it, and never by name
 * again (CVE-2021-30465, CVE-2019-19921).
 */
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include "stage.h"

int open_in_root(struct stage *s, const char *path, int flags, int extra_resolve)
{
	int fd, tries = 0;
	/* EAGAIN: something was renamed while the kernel looked. A racer can go on for ever; we don't. */
	do
		fd = sys_openat2(s->root_fd, path, (uint64_t)flags | O_CLOEXEC, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | (uint64_t)extra_resolve);
	while (fd < 0 && errno == EAGAIN && ++tries < 64);
	return fd;
}

static int make_component(struct stage *s, const char *prefix, bool directory, unsigned mode, int depth);

/* The directory that holds the last component of `path`, made if need be; `*last` points at that component. */
static int open_parent(struct stage *s, const char *path, const char **last, int depth)
{
	char parent[PATH_MAX];
	const char *slash = strrchr(path, '/');
	*last = slash ? slash + 1 : path;
	size_t length = slash ? (size_t)(slash - path) : 0;
	if (length >= sizeof parent) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(parent, path, length);
	parent[length] = 0;
	if (length == 0)
		return open_in_root(s, "/", O_PATH | O_DIRECTORY, 0);
	int fd = open_in_root(s, parent, O_PATH | O_DIRECTORY, 0);
	return fd >= 0 || errno != ENOENT ? fd : make_component(s, parent, true, 0755, depth + 1);
}

/* A dangling link: what it points to is made, below the root as the kernel would resolve it. */
static int follow_dangling(struct stage *s, int parent, const char *path, const char *last, bool directory, unsigned mode, int depth)
{
	char target[PATH_MAX], joined[2 * PATH_MAX];
	ssize_t n = readlinkat(parent, last, target, sizeof target - 1);
	if (n < 0)
		return -1;
	target[n] = 0;
	if (target[0] == '/')
		return make_component(s, target, directory, mode, depth + 1);
	snprintf(joined, sizeof joined, "%.*s%s", (int)(last - path), path, target);
	return make_component(s, joined, directory, mode, depth + 1);
}

static int make_component(struct stage *s, const char *path, bool directory, unsigned mode, int depth)
{
	const char *last;
	char trimmed[2 * PATH_MAX];
	size_t length = strlen(path);
	if (depth > 64 || length >= sizeof trimmed) {
		errno = ELOOP;
		return -1;
	}
	while (length > 1 && path[length - 1] == '/')
		length--;
	memcpy(trimmed, path, length);
	trimmed[length] = 0;
	int parent = open_parent(s, trimmed, &last, depth);
	if (parent < 0)
		return -1;
	int made;
	if (directory)
		made = mkdirat(parent, last, mode);
	else {
		made = openat(parent, last, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
		if (made >= 0)
			close(made);
	}
	int fd = -1;
	if (made >= 0 || errno == EEXIST) {
		fd = open_in_root(s, trimmed, O_PATH | (directory ? O_DIRECTORY : 0), 0);
		if (fd < 0 && errno == ENOENT)
			fd = follow_dangling(s, parent, trimmed, last, directory, mode, depth);
	}
	int error = errno;
	close(parent);
	errno = error;
	return fd;
}

/* Opens a path below the root (O_PATH), making it and its parents where they are missing. @returns the descriptor, or -1. */
int make_in_root(struct stage *s, const char *path, bool directory, unsigned mode)
{
	int fd = open_in_root(s, path, O_PATH | (directory ? O_DIRECTORY : 0), 0);
	return fd >= 0 || errno != ENOENT ? fd : make_component(s, path, directory, mode, 0);
}
