/*
 * Mounts, through descriptors only (fsopen(2), open_tree(2), move_mount(2), mount_setattr(2); Linux 5.2 to 5.12).
 *
 * A mount is made detached, given its attributes while nobody can see it, and only then attached to a directory that
 * was resolved below the root. There is no moment at which it is there without its restrictions.
 */
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/stat.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include "stage.h"

/* linux/stat.h and sys/stat.h cannot both be complete in every libc; the fields that are needed here. */
static int mount_id_of(int fd, uint64_t *id)
{
	struct statx x;
	if (syscall(SYS_statx, fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &x) < 0)
		return -1;
	*id = x.stx_mnt_id;
	return 0;
}

static int set_attributes(int fd, bool recursive, uint64_t set, uint64_t clear, uint64_t propagation)
{
	struct mount_attr attr = {.attr_set = set, .attr_clr = clear, .propagation = propagation};
	if (!(set | clear | propagation))
		return 0;
	/* The access time modes are one field of several bits: to set one is to clear the field. */
	if (set & MOUNT_ATTR__ATIME)
		attr.attr_clr |= MOUNT_ATTR__ATIME;
	return (int)syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &attr, sizeof attr);
}

/* Attaches a detached mount to what `path` means below the root, and checks that the path now leads into it. */
static int attach(struct stage *s, int mount, int target, const char *path)
{
	uint64_t made, found;
	if (syscall(SYS_move_mount, mount, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return failed(s, SYS_move_mount);
	int fd = open_in_root(s, path, O_PATH, 0);
	if (fd < 0)
		return failed(s, SYS_openat2);
	int r = 0;
	if (mount_id_of(mount, &made) == 0 && mount_id_of(fd, &found) == 0 && made != found)
		r = failed_as(s, SYS_move_mount, EXDEV); /* the path was swapped under us */
	close(fd);
	return r;
}

/* Options as mount(8) writes them: comma-separated, `key` or `key=value`. */
static int set_options(int fs, const char *data)
{
	char option[PATH_MAX];
	while (*data) {
		size_t length = strcspn(data, ",");
		if (length >= sizeof option) {
			errno = ENAMETOOLONG;
			return -1;
		}
		memcpy(option, data, length);
		option[length] = 0;
		char *value = strchr(option, '=');
		if (value)
			*value++ = 0;
		if (length > 0 && syscall(SYS_fsconfig, fs, value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, option, value, 0) < 0)
			return -1;
		data += length + (data[length] == ',');
	}
	return 0;
}

/* @returns a detached mount of a new file system, or -errno. */
static int make_mount(struct stage *s, const char *type, const char *source, const char *data, bool readonly, uint64_t attrs)
{
	int fs = (int)syscall(SYS_fsopen, type, FSOPEN_CLOEXEC);
	if (fs < 0)
		return failed(s, SYS_fsopen);
	int mount = -1;
	if ((*source && syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "source", source, 0) < 0) || set_options(fs, data) < 0 ||
	    (readonly && syscall(SYS_fsconfig, fs, FSCONFIG_SET_FLAG, "ro", NULL, 0) < 0) ||
	    syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		mount = failed(s, SYS_fsconfig);
	else if ((mount = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, attrs)) < 0)
		mount = failed(s, SYS_fsmount);
	close(fs);
	return mount;
}

/* A copy of a mount or of a tree, detached; `fd` with an empty path is that very file. */
static int clone_tree(int fd, const char *path, bool recursive)
{
	return (int)syscall(SYS_open_tree, fd, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (*path ? 0 : AT_EMPTY_PATH) | (recursive ? AT_RECURSIVE : 0));
}

int op_propagation(struct stage *s, const struct propagation_args *a)
{
	return syscall(SYS_mount, NULL, "/", NULL, a->flags, NULL) < 0 ? failed(s, SYS_mount) : 0;
}

int op_root_bind(struct stage *s, const struct root_bind_args *a)
{
	int target = open(text_of(s, a->source), O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (target < 0)
		return failed(s, SYS_open);
	int tree = clone_tree(target, "", true), r = 0;
	if (tree < 0)
		r = failed(s, SYS_open_tree);
	else if (set_attributes(tree, true, 0, 0, a->propagation) < 0)
		r = failed(s, SYS_mount_setattr);
	else if (syscall(SYS_move_mount, tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		r = failed(s, SYS_move_mount);
	close(target);
	s->root_fd = tree;
	return r;
}

/* mount(2), for its options may be a page long, where fsconfig(2) takes 256 bytes a value; and relative to `dir`, for 127 layers. */
int op_root_overlay(struct stage *s, const struct root_overlay_args *a)
{
	if (chdir(text_of(s, a->dir)) < 0)
		return failed(s, SYS_chdir);
	if (syscall(SYS_mount, "overlay", text_of(s, a->target), "overlay", 0, text_of(s, a->data)) < 0)
		return failed(s, SYS_mount);
	s->root_fd = open(text_of(s, a->target), O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (s->root_fd < 0)
		return failed(s, SYS_open);
	return chdir("/") < 0 ? failed(s, SYS_chdir) : 0;
}

int op_root_open(struct stage *s, const struct root_open_args *a)
{
	s->root_fd = open(text_of(s, a->path), O_PATH | O_DIRECTORY | O_CLOEXEC);
	return s->root_fd < 0 ? failed(s, SYS_open) : 0;
}

int op_mount_fs(struct stage *s, const struct mount_fs_args *a)
{
	const char *path = text_of(s, a->target);
	int target = make_in_root(s, path, true, 0755);
	if (target < 0)
		return failed(s, SYS_openat2);
	int mount = make_mount(s, text_of(s, a->type), text_of(s, a->source), text_of(s, a->data), a->superblock & 1, a->attrs), r = mount;
	if (mount >= 0) {
		r = set_attributes(mount, false, 0, 0, a->propagation) < 0 ? failed(s, SYS_mount_setattr) : attach(s, mount, target, path);
		close(mount);
	}
	close(target);
	return r;
}

int op_mount_bind(struct stage *s, const struct mount_bind_args *a)
{
	const char *path = text_of(s, a->target);
	struct stat st;
	int target = -1, r = 0, tree = clone_tree(AT_FDCWD, text_of(s, a->source), a->recursive);
	if (tree < 0)
		return failed(s, SYS_open_tree);
	if (fstat(tree, &st) < 0)
		r = failed(s, SYS_fstat);
	else if (set_attributes(tree, false, a->set, a->clear, a->propagation) < 0 || set_attributes(tree, true, a->set_recursive, a->clear_recursive, 0) < 0)
		r = failed(s, SYS_mount_setattr);
	else if ((target = make_in_root(s, path, S_ISDIR(st.st_mode), S_ISDIR(st.st_mode) ? 0755 : 0644)) < 0)
		r = failed(s, SYS_openat2);
	else
		r = attach(s, tree, target, path);
	if (target >= 0)
		close(target);
	close(tree);
	return r;
}

int op_remount(struct stage *s, const struct remount_args *a)
{
	int fd = open_in_root(s, text_of(s, a->target), O_PATH, 0);
	if (fd < 0)
		return failed(s, SYS_openat2);
	int r = set_attributes(fd, false, a->set, a->clear, 0) < 0 ? failed(s, SYS_mount_setattr) : 0;
	close(fd);
	return r;
}

int op_root_readonly(struct stage *s, const struct root_readonly_args *a)
{
	(void)a;
	return set_attributes(s->root_fd, false, MOUNT_ATTR_RDONLY, 0, 0) < 0 ? failed(s, SYS_mount_setattr) : 0;
}

/* The old root is stacked on the new and detached: no directory is needed for it (pivot_root(2), "pivot_root(".", ".")"). */
int op_pivot(struct stage *s, const struct pivot_args *a)
{
	if (fchdir(s->root_fd) < 0)
		return failed(s, SYS_fchdir);
	if (syscall(SYS_pivot_root, ".", ".") < 0)
		return failed(s, SYS_pivot_root);
	if (syscall(SYS_umount2, ".", 2 /* MNT_DETACH */) < 0)
		return failed(s, SYS_umount2);
	if (chdir("/") < 0)
		return failed(s, SYS_chdir);
	if (a->propagation && syscall(SYS_mount, NULL, "/", NULL, a->propagation, NULL) < 0)
		return failed(s, SYS_mount);
	return 0;
}

/*
 * The host's /dev/null, seen to be one: the container's may be a link to what an attacker wants bound (CVE-2025-31133).
 * Made once a start, and cloned for each path.
 */
static int null_tree(struct stage *s)
{
	struct stat st;
	if (s->null_fd < 0) {
		s->null_fd = clone_tree(AT_FDCWD, "/dev/null", false);
		if (s->null_fd < 0)
			return failed(s, SYS_open_tree);
		if (fstat(s->null_fd, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3))
			return failed_as(s, SYS_open_tree, ENODEV);
	}
	return s->null_fd;
}

static int empty_tree(struct stage *s)
{
	if (s->empty_fd < 0)
		s->empty_fd = make_mount(s, "tmpfs", "tmpfs", "nr_blocks=1,nr_inodes=1", true, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	return s->empty_fd;
}

/* Opens what is to be hidden or locked; a path that is not there needs neither. */
static int open_existing(struct stage *s, const char *path, int *fd)
{
	*fd = open_in_root(s, path, O_PATH, 0);
	if (*fd >= 0)
		return 1;
	return errno == ENOENT || errno == ENOTDIR ? 0 : failed(s, SYS_openat2);
}

int op_mask(struct stage *s, const struct mask_args *a)
{
	struct stat st;
	int target, r = open_existing(s, text_of(s, a->path), &target);
	if (r <= 0)
		return r;
	if (fstat(target, &st) < 0)
		r = failed(s, SYS_fstat);
	else {
		/* The first path gets the tree itself, the next ones copies: before Linux 6.15 only what is attached can be copied. */
		bool fresh = (S_ISDIR(st.st_mode) ? s->empty_fd : s->null_fd) < 0;
		int source = S_ISDIR(st.st_mode) ? empty_tree(s) : null_tree(s);
		int tree = source < 0 || fresh ? source : clone_tree(source, "", false);
		if (source < 0)
			r = source;
		else if (tree < 0)
			r = failed(s, SYS_open_tree);
		else {
			r = attach(s, tree, target, text_of(s, a->path));
			if (tree != source)
				close(tree);
		}
	}
	close(target);
	return r;
}

int op_readonly(struct stage *s, const struct readonly_args *a)
{
	int target, r = open_existing(s, text_of(s, a->path), &target);
	if (r <= 0)
		return r;
	int tree = clone_tree(target, "", true);
	if (tree < 0)
		r = failed(s, SYS_open_tree);
	else if (set_attributes(tree, true, MOUNT_ATTR_RDONLY, 0, 0) < 0)
		r = failed(s, SYS_mount_setattr);
	else
		r = attach(s, tree, target, text_of(s, a->path));
	if (tree >= 0)
		close(tree);
	close(target);
	return r;
}

/* ---- what is made in the file system rather than mounted over it */

static int parent_in_root(struct stage *s, const char *path, const char **last)
{
	char parent[PATH_MAX];
	const char *slash = strrchr(path, '/');
	*last = slash ? slash + 1 : path;
	size_t length = slash ? (size_t)(slash - path) : 0;
	if (length >= sizeof parent || !**last) {
		errno = EINVAL;
		return -1;
	}
	memcpy(parent, path, length);
	parent[length] = 0;
	return make_in_root(s, length ? parent : "/", true, 0755);
}

int op_device(struct stage *s, const struct device_args *a)
{
	const char *last;
	int dir = parent_in_root(s, text_of(s, a->path), &last);
	if (dir < 0)
		return failed(s, SYS_openat2);
	int r = 0;
	/* The umask is the caller's: modes are set afterwards, as config.json says. */
	if (mknodat(dir, last, (mode_t)a->mode, makedev((unsigned)a->major, (unsigned)a->minor)) < 0)
		r = failed(s, SYS_mknodat);
	else if (fchmodat(dir, last, (mode_t)a->mode & 07777, 0) < 0)
		r = failed(s, SYS_fchmodat);
	else if (fchownat(dir, last, (uid_t)a->uid, (gid_t)a->gid, AT_SYMLINK_NOFOLLOW) < 0)
		r = failed(s, SYS_fchownat);
	close(dir);
	return r;
}

int op_symlink(struct stage *s, const struct symlink_args *a)
{
	const char *last;
	int dir = parent_in_root(s, text_of(s, a->path), &last);
	if (dir < 0)
		return failed(s, SYS_openat2);
	int r = symlinkat(text_of(s, a->target), dir, last) < 0 && errno != EEXIST ? failed(s, SYS_symlinkat) : 0;
	close(dir);
	return r;
}

int op_directory(struct stage *s, const struct directory_args *a)
{
	int fd = make_in_root(s, text_of(s, a->path), true, (unsigned)a->mode);
	if (fd < 0)
		return failed(s, SYS_openat2);
	close(fd);
	return 0;
}
