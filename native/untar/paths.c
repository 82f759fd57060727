/*
 * Names → directories.
 *
 * A layer may hold symbolic links, also in the middle of its own paths (usr-merged images do), and these mean what they
 * mean in the container: "/" is the layer's root. So a parent is resolved by the kernel with RESOLVE_IN_ROOT (openat2,
 * Linux 5.6): no "..", no absolute link and no race leads out of it, and RESOLVE_NO_XDEV keeps mounts out. Docker does
 * the same by chroot, containerd by resolving text.
 *
 * Links into layers *below* are not followed: the layers lie in separate directories here, as they do for every other
 * engine on overlayfs, so "bin/x" with "bin" a link in a lower layer makes a directory that covers the link.
 *
 * Resolved directories stay open in a small cache, since the entries of one directory stand together. Whatever removes
 * a directory or a link empties the cache, for its keys are text.
 */
#include "untar.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#define LINK_LIMIT 40 /* as the kernel's MAXSYMLINKS */

int clean_path(const char *from, char to[PATH_LIMIT]) {
	size_t size = 0;
	while (*from) {
		const char *end = strchr(from, '/');
		size_t n = end ? (size_t)(end - from) : strlen(from);
		if (n == 2 && from[0] == '.' && from[1] == '.') {
			/* Lexical, before any link is looked at: as Go's path.Clean, which every engine applies. */
			if (size == 0) return errno = EXDEV, -1;
			while (size && to[--size] != '/') continue;
		} else if (n && !(n == 1 && from[0] == '.')) {
			if (n > NAME_LIMIT || size + n + 2 > PATH_LIMIT) return errno = ENAMETOOLONG, -1;
			if (size) to[size++] = '/';
			memcpy(to + size, from, n);
			size += n;
		}
		from += n + (end != NULL);
	}
	to[size] = 0;
	return 0;
}

int open_below(int dir, const char *path, int flags, uint64_t resolve) {
	struct open_how how = {.flags = (uint64_t)(flags | O_CLOEXEC), .resolve = resolve | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV};
	int fd;
	/* EAGAIN: somebody renamed something somewhere while ".." was resolved. */
	for (int tries = 0; (fd = (int)syscall(SYS_openat2, dir, *path ? path : ".", &how, sizeof how)) < 0 && errno == EAGAIN && tries < 100;) tries++;
	return fd;
}

/* A directory that is there and no link, in a directory at hand. */
static int open_child(int dir, const char *name) {
	return open_below(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

void forget_dirs(struct untar *u) {
	for (size_t i = 0; i < DIR_SLOTS; i++) {
		if (!u->dirs[i].path) continue;
		free(u->dirs[i].path);
		close(u->dirs[i].fd);
		u->dirs[i].path = NULL;
	}
}

/* Takes the place of `name`, which is no directory: what the entries that follow need there is one. */
static int whiteout_to_dir(struct untar *u, int dir, ino_t ino, const char *name, const char *path) {
	if (unlinkat(dir, name, 0) < 0) return fail(u, "unlink", errno);
	if (make_implied_dir(u, dir, ino, name, path) < 0) return -1;
	int fd = open_child(dir, name);
	/* The layer removed what was below under this name, and put a directory of its own there. */
	int result = fd < 0 || fsetxattr(fd, "user.overlay.opaque", "y", 1, 0) < 0 ? fail(u, "opaque", errno) : 0;
	if (fd >= 0) close(fd);
	return result;
}

/*
 * The slow way, component by component: for paths with missing directories, also behind links. `path` is resolved to
 * `real`, which has no links, while directories are made. @return a descriptor, -1
 */
static int walk(struct untar *u, const char *path) {
	char real[PATH_LIMIT] = "", pending[2 * PATH_LIMIT], name[NAME_LIMIT + 1], target[PATH_LIMIT];
	size_t size = 0;
	int links = 0, fd = open_child(u->root, "");
	char *at = pending;

	if (fd < 0) return fail(u, "open", errno);
	strcpy(pending, path);
	while (*at) {
		size_t n = strcspn(at, "/");
		if (n > NAME_LIMIT) {
			fail(u, "resolve", ENAMETOOLONG);
			break;
		}
		memcpy(name, at, n);
		name[n] = 0;
		at += n + (at[n] == '/');
		if (n == 0 || strcmp(name, ".") == 0) continue;
		int next = -1;
		if (strcmp(name, "..") == 0) { /* only links have it; at the root it stays there */
			while (size && real[--size] != '/') continue;
			real[size] = 0;
			next = open_below(u->root, real, O_RDONLY | O_DIRECTORY, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
			if (next < 0) fail(u, "resolve", errno);
		} else {
			if (size + n + 2 > sizeof real) {
				fail(u, "resolve", ENAMETOOLONG);
				break;
			}
			size_t before = size;
			if (size) real[size++] = '/';
			strcpy(real + size, name);
			size += n;
			next = open_child(fd, name);
			struct stat here, st;
			int err = next < 0 ? errno : 0;
			if (err && fstat(fd, &here) < 0) fail(u, "stat", errno);
			else if (err == ENOENT) {
				if (make_implied_dir(u, fd, here.st_ino, name, real) == 0 && (next = open_child(fd, name)) < 0) fail(u, "open", errno);
			} else if (err == ENOTDIR || err == ELOOP) {
				ssize_t length;
				if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) fail(u, "stat", errno);
				else if (S_ISLNK(st.st_mode)) {
					size_t rest = strlen(at);
					if (++links > LINK_LIMIT) fail(u, "resolve", ELOOP);
					else if ((length = readlinkat(fd, name, target, sizeof target - 1)) < 0) fail(u, "readlink", errno);
					else if ((size_t)length + 1 + rest + 1 > sizeof pending) fail(u, "resolve", ENAMETOOLONG);
					else {
						memmove(pending + length + 1, at, rest + 1);
						memcpy(pending, target, (size_t)length);
						pending[length] = '/';
						at = pending;
						size = target[0] == '/' ? 0 : before;
						real[size] = 0;
						next = open_below(u->root, real, O_RDONLY | O_DIRECTORY, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
						if (next < 0) fail(u, "resolve", errno);
					}
				} else if (is_whiteout(&st) && !u->options.apply) {
					if (whiteout_to_dir(u, fd, here.st_ino, name, real) == 0 && (next = open_child(fd, name)) < 0) fail(u, "open", errno);
				} else fail(u, "resolve", ENOTDIR);
			} else if (err) fail(u, "open", err);
		}
		if (next < 0) break;
		close(fd);
		fd = next;
	}
	if (!u->failed_op) return fd;
	close(fd);
	return -1;
}

static struct dir_slot *find_slot(struct untar *u, const char *path, size_t size) {
	struct dir_slot *oldest = u->dirs;
	for (struct dir_slot *slot = u->dirs; slot < u->dirs + DIR_SLOTS; slot++) {
		if (slot->path && strncmp(slot->path, path, size) == 0 && slot->path[size] == 0) return slot;
		if (!slot->path) {
			if (oldest->path) oldest = slot;
		} else if (oldest->path && slot->used < oldest->used) oldest = slot;
	}
	if (oldest->path) {
		free(oldest->path);
		close(oldest->fd);
		oldest->path = NULL;
	}
	return oldest;
}

int open_parent(struct untar *u, const char *path, bool create, const char **base, ino_t *ino) {
	const char *slash = strrchr(path, '/');
	size_t size = slash ? (size_t)(slash - path) : 0;
	*base = slash ? slash + 1 : path;
	struct dir_slot *slot = find_slot(u, path, size);
	if (!slot->path) {
		struct stat st;
		char *parent = strndup(path, size);
		if (!parent) return fail(u, "resolve", ENOMEM);
		int fd = open_below(u->root, parent, O_RDONLY | O_DIRECTORY, RESOLVE_IN_ROOT);
		/* Nothing there, a dangling link, a whiteout: what is missing can be made. */
		if (fd < 0 && create && (errno == ENOENT || errno == ENOTDIR)) fd = walk(u, parent);
		else if (fd < 0) fail(u, "resolve", errno);
		if (fd < 0 || fstat(fd, &st) < 0) {
			if (fd >= 0) fail(u, "stat", errno), close(fd);
			free(parent);
			return -1;
		}
		*slot = (struct dir_slot){parent, fd, st.st_ino, 0};
	}
	slot->used = ++u->dir_clock;
	*ino = slot->ino;
	return slot->fd;
}
