/*
 * Trees → nothing, by descriptor: links are unlinked and never followed, and nothing that is mounted is entered or
 * touched (openat2 with RESOLVE_NO_XDEV also sees bind mounts of the same file system, which st_dev does not).
 */
#include "untar.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- what this layer made ---------------------------------------------------------------------------------------- */

static size_t made_hash(ino_t dir, const char *name) {
	uint64_t h = 0xcbf29ce484222325u ^ (uint64_t)dir * 0x9e3779b97f4a7c15u; /* FNV-1a */
	for (; *name; name++) h = (h ^ (uint8_t)*name) * 0x100000001b3u;
	return (size_t)(h ^ h >> 32);
}

static struct made_name *made_find(const struct made *made, ino_t dir, const char *name) {
	for (size_t i = made_hash(dir, name);; i++) {
		struct made_name *slot = &made->slots[i & (made->room - 1)];
		if (!slot->name || (slot->dir == dir && strcmp(slot->name, name) == 0)) return slot;
	}
}

bool made_has(const struct made *made, ino_t dir, const char *name) {
	return made->room && made_find(made, dir, name)->name;
}

int made_add(struct untar *u, ino_t dir, const char *name) {
	struct made *made = &u->made;
	if (made->count * 2 >= made->room) {
		struct made larger = {calloc(made->room ? made->room * 2 : 1024, sizeof *larger.slots), made->room ? made->room * 2 : 1024, made->count};
		if (!larger.slots) return fail(u, "memory", ENOMEM);
		for (size_t i = 0; i < made->room; i++)
			if (made->slots[i].name) *made_find(&larger, made->slots[i].dir, made->slots[i].name) = made->slots[i];
		free(made->slots);
		*made = larger;
	}
	struct made_name *slot = made_find(made, dir, name);
	if (slot->name) return 0;
	*slot = (struct made_name){dir, strdup(name)};
	if (!slot->name) return fail(u, "memory", ENOMEM);
	made->count++;
	return 0;
}

/* ---- removal ----------------------------------------------------------------------------------------------------- */

/*
 * A container can make a tree of any depth, by mkdir and chdir. A descriptor for each level would end at RLIMIT_NOFILE,
 * so deeper directories are moved up to where the removal began, and come round again there.
 */
#define DEPTH_LIMIT 64

struct removal {
	const struct made *made;
	int top;
	uint64_t moved;
};

static int remove_children(struct untar *u, struct removal *r, int dir, int depth);

/* Opens a directory that is to be emptied; one that its owner may not read or enter is made accessible. */
static int open_doomed(int dir, const char *name) {
	const uint64_t resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
	int fd = open_below(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, resolve);
	if (fd >= 0 || errno != EACCES) return fd;
	/* fchmodat follows links, and fchmod refuses O_PATH: the way through /proc names what was opened, whatever it is now. */
	char path[32];
	int handle = open_below(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, resolve);
	if (handle < 0) return -1;
	snprintf(path, sizeof path, "/proc/self/fd/%d", handle);
	int changed = chmod(path, 0700);
	close(handle);
	if (changed < 0) return errno = EACCES, -1;
	return open_below(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, resolve);
}

static int remove_dir(struct untar *u, struct removal *r, int dir, const char *name, bool keep, int depth) {
	struct stat st;
	int fd = open_doomed(dir, name);
	if (fd < 0) return errno == ENOENT ? 0 : fail_at(u, name, "remove", errno);
	/* A directory without write permission cannot be emptied by an owner without capabilities. */
	if (fstat(fd, &st) == 0 && (st.st_mode & 0700) != 0700) (void)fchmod(fd, 0700);
	int result = 0;
	if (depth < DEPTH_LIMIT || r->made) result = remove_children(u, r, fd, depth + 1);
	else {
		char aside[40];
		close(fd);
		do snprintf(aside, sizeof aside, ".coracle-doomed-%llu", (unsigned long long)r->moved++);
		while ((result = renameat(dir, name, r->top, aside)) < 0 && (errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR));
		return result < 0 ? fail_at(u, name, "remove", errno) : 0;
	}
	/* With a set, what was made in a directory that was not keeps it alive. */
	if (r->made && (st.st_mode & 0700) != 0700) (void)fchmod(fd, st.st_mode & 07777);
	close(fd);
	if (result < 0 || keep) return result;
	if (unlinkat(dir, name, AT_REMOVEDIR) == 0) {
		u->removed++;
		return 0;
	}
	return errno == ENOENT || (r->made && errno == ENOTEMPTY) ? 0 : fail_at(u, name, "remove", errno);
}

static int remove_one(struct untar *u, struct removal *r, int dir, ino_t ino, const char *name, int type, int depth) {
	bool keep = r->made && made_has(r->made, ino, name);
	if (type != DT_DIR) {
		struct stat st;
		if (keep && type != DT_UNKNOWN) return 0;
		if (keep && (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))) return 0;
		if (!keep) {
			if (unlinkat(dir, name, 0) == 0) {
				u->removed++;
				return 0;
			}
			if (errno == ENOENT) return 0;
			if (errno != EISDIR) return fail_at(u, name, "remove", errno);
		}
	}
	return remove_dir(u, r, dir, name, keep, depth);
}

static int remove_children(struct untar *u, struct removal *r, int dir, int depth) {
	_Alignas(8) char buffer[4096];
	struct stat st;
	if (fstat(dir, &st) < 0) return fail_at(u, "", "remove", errno);
	/* Again, until a whole pass finds nothing to do: directories may have been moved up here meanwhile. */
	for (uint64_t before = UINT64_MAX; before != u->removed + r->moved;) {
		before = u->removed + r->moved;
		if (lseek(dir, 0, SEEK_SET) < 0) return fail_at(u, "", "remove", errno);
		for (;;) {
			long size = syscall(SYS_getdents64, dir, buffer, sizeof buffer);
			if (size < 0) return fail_at(u, "", "remove", errno);
			if (size == 0) break;
			/* struct linux_dirent64: 8 inode, 8 offset, 2 length, 1 type, name */
			for (long at = 0; at < size;) {
				uint16_t length;
				memcpy(&length, buffer + at + 16, sizeof length);
				int type = (unsigned char)buffer[at + 18];
				const char *name = buffer + at + 19;
				at += length;
				if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) continue;
				if (remove_one(u, r, dir, st.st_ino, name, type, depth) < 0) return -1;
			}
		}
	}
	return 0;
}

int remove_content(struct untar *u, int dir, const struct made *made) {
	struct removal r = {made, dir, 0};
	return remove_children(u, &r, dir, 0);
}

int remove_tree(struct untar *u, int parent, const char *name, const struct made *made) {
	struct stat st;
	if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0) return errno == ENOENT ? 0 : fail(u, "remove", errno);
	if (!S_ISDIR(st.st_mode)) {
		struct stat here;
		if (made && fstat(parent, &here) == 0 && made_has(made, here.st_ino, name)) return 0;
		if (unlinkat(parent, name, 0) < 0) return errno == ENOENT ? 0 : fail(u, "remove", errno);
		u->removed++;
		return 0;
	}
	struct stat here;
	if (fstat(parent, &here) < 0) return fail(u, "remove", errno);
	/* Deep directories are moved up to this one, which goes last. */
	int fd = open_doomed(parent, name);
	if (fd < 0) return fail(u, "remove", errno);
	if ((st.st_mode & 0700) != 0700) (void)fchmod(fd, 0700);
	int result = remove_content(u, fd, made);
	close(fd);
	if (result < 0 || (made && made_has(made, here.st_ino, name))) return result;
	if (unlinkat(parent, name, AT_REMOVEDIR) == 0) {
		u->removed++;
		return 0;
	}
	return errno == ENOENT || (made && errno == ENOTEMPTY) ? 0 : fail(u, "remove", errno);
}
