/* A tmpfs that begins with what it hides: engines' `tmpcopyup`, for /tmp and /run over a read-only image. */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include "stage.h"

_Static_assert(sizeof(struct mount_copy_up_args) == sizeof(struct mount_fs_args), "the same arguments, read as the other's");

static int copy_directory(struct stage *s, int from, int to, int depth);

static int copy_bytes(int from, int to)
{
	ssize_t n;
	while ((n = sendfile(to, from, NULL, 1 << 20)) > 0)
		;
	return (int)n;
}

/* An id that is not mapped cannot be given: the file stays ours. */
static int give(int dir, const char *name, const struct stat *st)
{
	struct timespec times[] = {st->st_atim, st->st_mtim};
	if (fchownat(dir, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0 && errno != EINVAL && errno != EPERM)
		return -1;
	/* Behind chown, which takes set-id bits away. No link is at `name`: it was made a moment ago, in a file system of our own. */
	if (!S_ISLNK(st->st_mode) && fchmodat(dir, name, st->st_mode & 07777, 0) < 0)
		return -1;
	return utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW);
}

static int copy_entry(struct stage *s, int from, int to, const char *name, const struct stat *st, int depth)
{
	char link[PATH_MAX];
	int in = -1, out = -1, r = 0;
	if (S_ISLNK(st->st_mode)) {
		ssize_t n = readlinkat(from, name, link, sizeof link - 1);
		link[n < 0 ? 0 : n] = 0;
		return n < 0 || symlinkat(link, to, name) < 0 ? failed(s, SYS_symlinkat) : 0;
	}
	if (!S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode)) {
		/* A device cannot be made here, and a socket has nobody who listens. */
		if (mknodat(to, name, st->st_mode, st->st_rdev) < 0)
			report(s, FRAME_WARN, errno, 0);
		return 0;
	}
	bool directory = S_ISDIR(st->st_mode);
	if (directory && mkdirat(to, name, 0700) < 0)
		return failed(s, SYS_mkdirat);
	in = openat(from, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | (directory ? O_DIRECTORY : 0));
	out = openat(to, name, directory ? O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC : O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (in < 0 || out < 0)
		r = failed(s, SYS_openat);
	else if (directory)
		r = copy_directory(s, in, out, depth + 1);
	else if (copy_bytes(in, out) < 0)
		r = failed(s, SYS_sendfile);
	if (in >= 0)
		close(in);
	if (out >= 0)
		close(out);
	return r;
}

static int copy_directory(struct stage *s, int from, int to, int depth)
{
	int r = 0, copy = depth < 256 ? dup(from) : -1;
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	if (!dir)
		return failed_as(s, SYS_getdents64, depth < 256 ? errno : ELOOP);
	for (struct dirent *e; r == 0 && (e = readdir(dir));) {
		struct stat st;
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (fstatat(from, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			r = failed(s, SYS_newfstatat);
		else
			r = copy_entry(s, from, to, e->d_name, &st, depth);
		struct stat made;
		if (r == 0 && fstatat(to, e->d_name, &made, AT_SYMLINK_NOFOLLOW) == 0 && give(to, e->d_name, &st) < 0)
			r = failed(s, SYS_fchownat);
	}
	closedir(dir);
	return r;
}

int op_mount_copy_up(struct stage *s, const struct mount_copy_up_args *a)
{
	union { const struct mount_copy_up_args *own; const struct mount_fs_args *plain; } args = {a};
	/* Opened before it is hidden. What is not there has nothing to copy. */
	int from = open_in_root(s, text_of(s, a->target), O_RDONLY | O_DIRECTORY, 0);
	int r = from < 0 && errno != ENOENT ? failed(s, SYS_openat2) : op_mount_fs(s, args.plain);
	if (r == 0 && from >= 0) {
		int to = open_in_root(s, text_of(s, a->target), O_RDONLY | O_DIRECTORY, 0);
		r = to < 0 ? failed(s, SYS_openat2) : copy_directory(s, from, to, 0);
		if (to >= 0)
			close(to);
	}
	if (from >= 0)
		close(from);
	return r;
}
