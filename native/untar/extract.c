/*
 * Entries → files.
 *
 * Everything is made by descriptor of its parent and last name: with O_EXCL, so nothing that is there is written through;
 * what is in the way is removed first, without following it. Metadata goes through the new file's own descriptor, in the
 * order that the kernel demands: content, owner (clears set-uid bits and capabilities), xattrs, mode, times.
 *
 * A whiteout in a layer hides what is in layers *below*, never what the same layer brings, in whatever order both stand
 * (image-spec, layer.md#whiteouts). In overlay mode it becomes a character device 0/0, and an opaque directory the xattr
 * user.overlay.opaque (overlayfs.rst; `userxattr` mounts read user.*, which an unprivileged user may write).
 */
#include "untar.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#define WHITEOUT_PREFIX ".wh."
#define OPAQUE_MARKER ".wh..wh..opq"
#define OWNER_XATTR "user.coracle.owner"

bool is_whiteout(const struct stat *st) {
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

/* ---- metadata ---------------------------------------------------------------------------------------------------- */

/*
 * What a layer must not set: the words of overlayfs (a redirect or metacopy would show files of other layers), of
 * fuse-overlayfs and podman (which would override owner and mode), and our own.
 */
static bool is_reserved_xattr(const char *name) {
	static const char *const prefixes[] = {"trusted.overlay.", "user.overlay.", "user.coracle.", "user.fuseoverlayfs.", "user.containers.", "trusted.containers."};
	for (size_t i = 0; i < COUNT(prefixes); i++)
		if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0) return true;
	return false;
}

static int set_xattrs(struct untar *u, int fd, const struct xattr *xattrs, size_t count) {
	for (size_t i = 0; i < count; i++) {
		const struct xattr *x = &xattrs[i];
		if (is_reserved_xattr(x->name)) {
			note(u, "reserved xattr ignored", 0);
			continue;
		}
		if (fsetxattr(fd, x->name, x->value, x->size, 0) == 0) continue;
		/* EPERM: trusted.*, or capabilities of an unmapped owner; ENOTSUP: not on this file system; EINVAL: of another kernel. */
		if (errno != EPERM && errno != ENOTSUP && errno != EINVAL) return fail(u, "setxattr", errno);
		char what[320];
		snprintf(what, sizeof what, "xattr %.255s not set", x->name);
		note(u, what, errno);
	}
	return 0;
}

static bool owner_differs(const struct untar *u, uint32_t uid, uint32_t gid) {
	return uid != u->uid || gid != u->gid;
}

/*
 * With one id there is only one owner, and it stands for root. Any other is written down, for fuse-overlayfs and for a
 * later push; the mode is with it, because a set-uid file of another owner must not become one of ours.
 */
static int record_owner(struct untar *u, int fd, uint32_t uid, uint32_t gid, uint32_t mode) {
	char text[48];
	int size = snprintf(text, sizeof text, "%u:%u:%o", uid, gid, mode);
	if (fsetxattr(fd, OWNER_XATTR, text, (size_t)size, 0) == 0) return 0;
	if (errno != ENOTSUP && errno != EPERM) return fail(u, "setxattr", errno);
	note(u, "owner not recorded", errno);
	return 0;
}

/* Owner, xattrs, mode and times of an open file or directory. */
static int set_metadata(struct untar *u, int fd, uint32_t uid, uint32_t gid, uint32_t mode, const struct xattr *xattrs, size_t xattr_count,
                        struct timespec mtime, bool mode_is_set) {
	if (u->options.single_id && (uid || gid)) {
		if (record_owner(u, fd, uid, gid, mode) < 0) return -1;
		mode &= ~06000u;
	} else if (!u->options.single_id && (!mode_is_set || owner_differs(u, uid, gid)) && fchown(fd, uid, gid) < 0) return fail(u, "chown", errno);
	if (set_xattrs(u, fd, xattrs, xattr_count) < 0) return -1;
	if (!mode_is_set && fchmod(fd, mode) < 0) return fail(u, "chmod", errno);
	struct timespec times[2] = {mtime, mtime};
	return futimens(fd, times) < 0 ? fail(u, "utimens", errno) : 0;
}

/* The same for what has no descriptor to write to: links, FIFOs, devices. They carry no user.* xattrs. */
static int set_metadata_at(struct untar *u, int dir, const char *name) {
	const struct entry *e = &u->entry;
	if (!u->options.single_id && (owner_differs(u, e->uid, e->gid) || u->options.apply) && fchownat(dir, name, e->uid, e->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return fail(u, "chown", errno);
	if (e->xattr_count) note(u, "xattrs ignored: neither file nor directory", 0);
	struct timespec times[2] = {e->mtime, e->mtime};
	return utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW) < 0 ? fail(u, "utimens", errno) : 0;
}

/* ---- directories: metadata last ---------------------------------------------------------------------------------- */

/* Copies xattrs into one block, which is freed whole. */
static struct xattr *copy_xattrs(const struct xattr *from, size_t count) {
	size_t size = count * sizeof *from;
	for (size_t i = 0; i < count; i++) size += strlen(from[i].name) + 1 + from[i].size;
	struct xattr *to = malloc(size ? size : 1);
	if (!to) return NULL;
	char *at = (char *)(to + count);
	for (size_t i = 0; i < count; i++) {
		to[i] = (struct xattr){strcpy(at, from[i].name), NULL, from[i].size};
		at += strlen(at) + 1;
		to[i].value = memcpy(at, from[i].value, from[i].size);
		at += from[i].size;
	}
	return to;
}

static int add_late_dir(struct untar *u, const char *path, ino_t ino, uint32_t uid, uint32_t gid, uint32_t mode, struct timespec mtime,
                        const struct xattr *xattrs, size_t xattr_count) {
	if (u->late_count == u->late_room) {
		size_t room = u->late_room ? u->late_room * 2 : 256;
		struct late_dir *more = realloc(u->late, room * sizeof *more);
		if (!more) return fail(u, "memory", ENOMEM);
		u->late = more;
		u->late_room = room;
	}
	struct late_dir *late = &u->late[u->late_count];
	*late = (struct late_dir){strdup(path), ino, u->late_count, mode, uid, gid, 0, mtime, copy_xattrs(xattrs, xattr_count), xattr_count};
	if (!late->path || !late->xattrs) {
		free(late->path);
		free(late->xattrs);
		return fail(u, "memory", ENOMEM);
	}
	for (const char *p = path; *p; p++) late->depth += *p == '/';
	if (*path) late->depth++;
	u->late_count++;
	return 0;
}

/* All xattrs of a lower directory. @return how many; names and values go into `text` */
static size_t read_xattrs(int fd, struct xattr xattrs[], size_t limit, char *text, size_t room) {
	ssize_t names = flistxattr(fd, text, room);
	size_t count = 0, used = names > 0 ? (size_t)names : 0;
	for (char *name = text; name < text + names && count < limit; name += strlen(name) + 1) {
		if (strncmp(name, "trusted.overlay.", 16) == 0 || strncmp(name, "user.overlay.", 13) == 0) continue;
		ssize_t size = fgetxattr(fd, name, text + used, room - used);
		if (size < 0) continue;
		xattrs[count++] = (struct xattr){name, (uint8_t *)text + used, (size_t)size};
		used += (size_t)size;
	}
	return count;
}

/*
 * The directory that a layer names without listing it: in an overlay it covers the one below, so it takes that one's
 * metadata (a layer with tmp/x must not make /tmp 0755). Where there is none below: 0755, root's, and time 0, so that
 * the same layer always gives the same tree.
 */
static int add_implied(struct untar *u, const char *path, ino_t ino) {
	for (size_t i = 0; i < u->options.lower_count; i++) {
		int fd = open_below(u->options.lowers[i], path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
		if (fd < 0 && errno == ENOENT) continue;
		if (fd < 0) break; /* a file, a link or a whiteout: what lies deeper is hidden */
		char text[8192];
		struct xattr xattrs[32];
		struct stat st;
		size_t count = read_xattrs(fd, xattrs, COUNT(xattrs), text, sizeof text), kept = 0;
		uint32_t uid = 0, gid = 0, mode = 0755;
		int known = fstat(fd, &st);
		close(fd);
		if (known < 0) break;
		if (u->options.single_id) mode = st.st_mode & 07777;
		else uid = st.st_uid, gid = st.st_gid, mode = st.st_mode & 07777;
		for (size_t j = 0; j < count; j++) {
			/* The owner goes on record again from the numbers. */
			if (strcmp(xattrs[j].name, OWNER_XATTR) == 0) {
				char owner[48];
				snprintf(owner, sizeof owner, "%.*s", (int)xattrs[j].size, (const char *)xattrs[j].value);
				if (sscanf(owner, "%u:%u:%o", &uid, &gid, &mode) != 3) uid = gid = 0, mode = st.st_mode & 07777;
			} else xattrs[kept++] = xattrs[j];
		}
		return add_late_dir(u, path, ino, uid, gid, mode & 07777, st.st_mtim, xattrs, kept);
	}
	return add_late_dir(u, path, ino, 0, 0, 0755, (struct timespec){0, 0}, NULL, 0);
}

int make_implied_dir(struct untar *u, int parent, ino_t parent_ino, const char *name, const char *path) {
	struct stat st;
	if (mkdirat(parent, name, 0700) < 0 || fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0) return fail(u, "mkdir", errno);
	if (u->options.apply && made_add(u, parent_ino, name) < 0) return -1;
	return add_implied(u, path, st.st_ino);
}

/* The root is there before the layer, and covers the roots below like an implied directory. */
int prepare_root(struct untar *u) {
	struct stat st;
	if (u->options.apply) return 0;
	if (fstat(u->root, &st) < 0) return fail(u, "stat", errno);
	/* A set-gid directory or a default ACL around the storage would be inherited by all that follows. */
	if (((st.st_mode & S_ISGID) || st.st_gid != u->gid) && !u->options.single_id) (void)fchown(u->root, (uid_t)-1, u->gid);
	if (fchmod(u->root, 0700) < 0) return fail(u, "chmod", errno);
	(void)fremovexattr(u->root, "system.posix_acl_default");
	(void)fremovexattr(u->root, "system.posix_acl_access");
	return add_implied(u, "", st.st_ino);
}

static int by_ino(const void *a, const void *b) {
	const struct late_dir *x = a, *y = b;
	return x->ino != y->ino ? (x->ino < y->ino ? -1 : 1) : (x->order < y->order ? -1 : 1);
}

/* Deepest first: a directory's own mode may forbid to enter it. */
static int by_depth(const void *a, const void *b) {
	const struct late_dir *x = a, *y = b;
	return x->depth != y->depth ? (x->depth > y->depth ? -1 : 1) : (x->order < y->order ? -1 : 1);
}

int apply_late_dirs(struct untar *u) {
	size_t count = 0;
	if (u->late_count == 0) return 0;
	qsort(u->late, u->late_count, sizeof *u->late, by_ino);
	/* Of several for one directory, the last holds; one of a directory that is gone finds another inode, or none. */
	for (size_t i = 0; i < u->late_count; i++) {
		if (i + 1 < u->late_count && u->late[i + 1].ino == u->late[i].ino) {
			free(u->late[i].path);
			free(u->late[i].xattrs);
		} else u->late[count++] = u->late[i];
	}
	u->late_count = count;
	qsort(u->late, u->late_count, sizeof *u->late, by_depth);
	for (size_t i = 0; i < u->late_count; i++) {
		struct late_dir *late = &u->late[i];
		const char *base;
		ino_t ino;
		struct stat st;
		snprintf(u->entry.name, sizeof u->entry.name, "%s", late->path);
		int parent = *late->path ? open_parent(u, late->path, false, &base, &ino) : u->root;
		if (parent < 0) {
			/* Replaced or removed since. */
			if (u->failed_errno != ENOENT && u->failed_errno != ENOTDIR && u->failed_errno != ELOOP) return -1;
			u->failed_op = NULL;
			continue;
		}
		int fd = open_below(parent, *late->path ? base : "", O_RDONLY | O_DIRECTORY | O_NOFOLLOW, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
		if (fd < 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP)) continue;
		if (fd < 0) return fail(u, "open", errno);
		int result = fstat(fd, &st) < 0 ? fail(u, "stat", errno) : 0;
		if (result == 0 && st.st_ino == late->ino)
			result = set_metadata(u, fd, late->uid, late->gid, late->mode, late->xattrs, late->xattr_count, late->mtime, false);
		close(fd);
		if (result < 0) return -1;
	}
	return 0;
}

void extract_free(struct untar *u) {
	for (size_t i = 0; i < u->late_count; i++) {
		free(u->late[i].path);
		free(u->late[i].xattrs);
	}
	free(u->late);
	for (size_t i = 0; i < u->made.room; i++) free(u->made.slots[i].name);
	free(u->made.slots);
}

/* ---- entries ----------------------------------------------------------------------------------------------------- */

/* Removes what is in the place of the entry. @return 1 where that was a whiteout, 0, -1 */
static int clear_way(struct untar *u, int dir, const char *name) {
	struct stat st;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0) return errno == ENOENT ? 0 : fail(u, "stat", errno);
	if (remove_tree(u, dir, name, NULL) < 0) return -1;
	/* `dir` may be in the cache, and is still valid, as it is not below `name`: but the caller must look it up again. */
	if (S_ISDIR(st.st_mode) || S_ISLNK(st.st_mode)) forget_dirs(u);
	return is_whiteout(&st);
}

/* Repeats an attempt that found its place taken, once the place is free. The parent is looked up anew each time. */
typedef int attempt_fn(struct untar *, int dir, const char *name);

static int with_room(struct untar *u, attempt_fn *attempt, const char *op, bool *was_whiteout) {
	for (int tries = 0;; tries++) {
		const char *base;
		ino_t ino;
		int dir = open_parent(u, u->entry.name, true, &base, &ino);
		if (dir < 0) return -1;
		int result = attempt(u, dir, base);
		if (u->failed_op) return -1;
		if (result >= 0) return u->options.apply && made_add(u, ino, base) < 0 ? -1 : result;
		if (errno != EEXIST || tries) return fail(u, op, errno);
		int cleared = clear_way(u, dir, base);
		if (cleared < 0) return -1;
		if (was_whiteout) *was_whiteout = cleared;
	}
}

static int open_new(struct untar *u, int dir, const char *name) {
	const struct entry *e = &u->entry;
	/* Without the need to change it later, the file is born with its mode (the umask is 0). */
	uint32_t mode = (e->mode & 07000) || e->xattr_count || u->options.single_id || u->options.apply ? 0600 : e->mode;
	return openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
}

/* Writes the next `length` bytes of content at `offset`. */
static int copy_content(struct untar *u, int fd, uint64_t offset, uint64_t length) {
	while (length) {
		const uint8_t *data;
		size_t size = length < SIZE_MAX ? (size_t)length : SIZE_MAX;
		if (read_content(u, &data, &size) < 0) return -1;
		for (size_t done = 0; done < size;) {
			ssize_t n = pwrite(fd, data + done, size - done, (off_t)(offset + done));
			if (n < 0 && errno == EINTR) continue;
			if (n < 0) return fail(u, "write", errno);
			done += (size_t)n;
		}
		offset += size;
		length -= size;
	}
	return 0;
}

static int write_content(struct untar *u, int fd) {
	struct entry *e = &u->entry;
	if (!e->sparse) return copy_content(u, fd, 0, e->left);
	if (ftruncate(fd, (off_t)e->real_size) < 0) return fail(u, "truncate", errno);
	for (size_t i = 0; i < e->extent_count; i++)
		if (copy_content(u, fd, e->extents[i].offset, e->extents[i].length) < 0) return -1;
	return 0;
}

static int extract_file(struct untar *u) {
	struct entry *e = &u->entry;
	int fd = with_room(u, open_new, "create", NULL);
	if (fd < 0) return -1;
	bool mode_is_set = !((e->mode & 07000) || e->xattr_count || u->options.single_id || u->options.apply);
	int result = write_content(u, fd);
	if (result == 0) result = set_metadata(u, fd, e->uid, e->gid, e->mode, e->xattrs, e->xattr_count, e->mtime, mode_is_set);
	/* Some file systems report a full disk or quota only here. */
	if (close(fd) < 0 && result == 0) result = fail(u, "close", errno);
	u->bytes += e->size;
	return result;
}

static int make_dir(struct untar *u, int dir, const char *name) {
	struct stat st;
	(void)u;
	if (mkdirat(dir, name, 0700) == 0) return 0;
	int err = errno;
	if (err == EEXIST && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode)) return 0;
	errno = err;
	return -1;
}

static int set_opaque(struct untar *u, int dir, const char *name) {
	int fd = open_below(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
	if (fd < 0) return fail(u, "open", errno);
	int result = fsetxattr(fd, "user.overlay.opaque", "y", 1, 0) < 0 ? fail(u, "opaque", errno) : 0;
	close(fd);
	return result;
}

static int extract_dir(struct untar *u) {
	const struct entry *e = &u->entry;
	struct stat st;
	if (!*e->name) {
		if (fstat(u->root, &st) < 0) return fail(u, "stat", errno);
		return add_late_dir(u, "", st.st_ino, e->uid, e->gid, e->mode, e->mtime, e->xattrs, e->xattr_count);
	}
	bool was_whiteout = false;
	if (with_room(u, make_dir, "mkdir", &was_whiteout) < 0) return -1;
	const char *base;
	ino_t ino;
	int dir = open_parent(u, e->name, false, &base, &ino);
	if (dir < 0) return -1;
	if (was_whiteout && !u->options.apply && set_opaque(u, dir, base) < 0) return -1;
	if (fstatat(dir, base, &st, AT_SYMLINK_NOFOLLOW) < 0) return fail(u, "stat", errno);
	return add_late_dir(u, e->name, st.st_ino, e->uid, e->gid, e->mode, e->mtime, e->xattrs, e->xattr_count);
}

static int make_symlink(struct untar *u, int dir, const char *name) {
	/* Its target is for the container to resolve; nothing here ever follows it out of the root. */
	return symlinkat(u->entry.link, dir, name);
}

static int make_node(struct untar *u, int dir, const char *name) {
	const struct entry *e = &u->entry;
	mode_t type = e->type == '6' ? S_IFIFO : e->type == '3' ? S_IFCHR : S_IFBLK;
	return mknodat(dir, name, type | e->mode, e->type == '6' ? 0 : makedev(e->major, e->minor));
}

/* For symlinks, FIFOs and devices. */
static int extract_node(struct untar *u, attempt_fn *make, const char *op) {
	const char *base;
	ino_t ino;
	if (with_room(u, make, op, NULL) < 0) return -1;
	int dir = open_parent(u, u->entry.name, false, &base, &ino);
	return dir < 0 ? -1 : set_metadata_at(u, dir, base);
}

static int make_link(struct untar *u, int dir, const char *name) {
	const char *base;
	ino_t ino;
	struct stat target, there;
	int from = open_parent(u, u->entry.link, false, &base, &ino);
	if (from < 0) return -1;
	if (!*base || fstatat(from, base, &target, AT_SYMLINK_NOFOLLOW) < 0) return fail(u, "link", *base ? errno : EPERM);
	/* A whiteout is no file of the layer, and directories have one name. */
	if (is_whiteout(&target)) return fail(u, "link", ENOENT);
	if (S_ISDIR(target.st_mode)) return fail(u, "link", EPERM);
	/* 0, not AT_SYMLINK_FOLLOW: a link to a symlink is a second name of the symlink. */
	if (linkat(from, base, dir, name, 0) == 0) return 0;
	if (errno != EEXIST || fstatat(dir, name, &there, AT_SYMLINK_NOFOLLOW) < 0) return -1;
	/* A file that is linked to itself must not be cleared out of its own way. */
	if (there.st_dev == target.st_dev && there.st_ino == target.st_ino) return 0;
	errno = EEXIST;
	return -1;
}

/* ---- whiteouts --------------------------------------------------------------------------------------------------- */

static int whiteout(struct untar *u, int dir, const char *name) {
	struct stat st;
	if (u->options.apply) {
		int result = remove_tree(u, dir, name, &u->made);
		forget_dirs(u);
		return result;
	}
	if (mknodat(dir, name, S_IFCHR, makedev(0, 0)) == 0) return 0;
	if (errno != EEXIST) return fail(u, "whiteout", errno);
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0) return fail(u, "stat", errno);
	/* The layer has put something there itself. A file hides what is below anyhow, a directory does once it is opaque. */
	return S_ISDIR(st.st_mode) ? set_opaque(u, dir, name) : 0;
}

/* @return 1 where the entry was a whiteout and is done with, 0, -1 */
static int extract_whiteout(struct untar *u) {
	struct entry *e = &u->entry;
	const char *base = strrchr(e->name, '/');
	base = base ? base + 1 : e->name;
	if (strncmp(base, WHITEOUT_PREFIX, strlen(WHITEOUT_PREFIX)) != 0) return 0;
	ino_t ino;
	if (strcmp(base, OPAQUE_MARKER) == 0) {
		int dir = open_parent(u, e->name, true, &base, &ino);
		if (dir < 0) return -1;
		if (!u->options.apply) return fsetxattr(dir, "user.overlay.opaque", "y", 1, 0) < 0 ? fail(u, "opaque", errno) : 1;
		int result = remove_content(u, dir, &u->made);
		forget_dirs(u);
		return result < 0 ? -1 : 1;
	}
	if (strncmp(base, ".wh..wh.", 8) == 0) {
		u->skipped++;
		note(u, "metadata of aufs ignored", 0);
		return 1;
	}
	const char *name = base + strlen(WHITEOUT_PREFIX);
	/* ".wh..." would remove the parent's parent. */
	if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) return fail(u, "whiteout", EINVAL);
	int dir = open_parent(u, e->name, true, &base, &ino);
	return dir < 0 || whiteout(u, dir, name) < 0 ? -1 : 1;
}

int extract(struct untar *u) {
	struct entry *e = &u->entry;
	if (u->options.max_entries && u->entries >= u->options.max_entries) return fail(u, "limit-entries", E2BIG);
	if (u->options.max_bytes && (e->real_size > u->options.max_bytes || u->bytes > u->options.max_bytes - e->real_size))
		return fail(u, "limit-bytes", EFBIG);
	u->entries++;
	if (e->type == 'V' || e->type == 'D' || e->type == 'N') {
		u->skipped++;
		note(u, "entry of GNU tar's own bookkeeping ignored", 0);
		return 0;
	}
	if (!*e->name) return e->type == '5' ? extract_dir(u) : fail(u, "name", EISDIR);
	int done = extract_whiteout(u);
	if (done) return done < 0 ? -1 : 0;
	switch (e->type) {
	case '0':
		return extract_file(u);
	case '1':
		return with_room(u, make_link, "link", NULL) < 0 ? -1 : 0;
	case '2':
		return extract_node(u, make_symlink, "symlink");
	case '3':
	case '4':
		/* Only the initial user namespace's root may make devices; 0/0 would be a whiteout in disguise. */
		if (u->may_mknod && (e->major || e->minor)) return extract_node(u, make_node, "mknod");
		u->skipped++;
		note(u, "device node skipped", 0);
		return 0;
	case '5':
		return extract_dir(u);
	case '6':
		return extract_node(u, make_node, "mkfifo");
	default:
		return fail(u, "type", EINVAL);
	}
}

int untar_run(struct untar *u, uint8_t digest[32]) {
	int more;
	if (prepare_root(u) < 0) return -1;
	while ((more = read_entry(u)) > 0)
		if (extract(u) < 0 || skip_content(u) < 0) return -1;
	if (more < 0 || drain(u) < 0 || apply_late_dirs(u) < 0) return -1;
	if (u->options.sync && syncfs(u->root) < 0) return fail_at(u, "", "sync", errno);
	if (digest) sha256_final(&u->in.hash, digest);
	return 0;
}

void untar_init(struct untar *u, int root, read_fn *read, void *arg) {
	memset(u, 0, sizeof *u);
	u->root = root;
	u->uid = geteuid();
	u->gid = getegid();
	u->options.max_path = PATH_LIMIT - 1;
	u->options.max_depth = PATH_LIMIT / 2;
	u->in.read = read;
	u->in.arg = arg;
	u->in.room = 1 << 20;
	u->in.buffer = malloc(u->in.room);
	u->in.hashing = true;
	sha256_init(&u->in.hash);
	/* Modes are what the layer says. */
	umask(0);
}

void untar_free(struct untar *u) {
	forget_dirs(u);
	extract_free(u);
	reader_free(u);
	for (size_t i = 0; i < u->note_count && i < NOTE_LIMIT; i++) {
		free(u->notes[i].entry);
		free(u->notes[i].what);
	}
}
