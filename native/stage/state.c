/*
 * The state directory: one a container, 0700, below the runtime root.
 *
 *     undo        the undo list, then 16 bytes {slot, value} for each slot that became known
 *     start.sock  while init waits for `start`
 *     *.plan      the later verbs
 *     record.json what the verbs' hosts want to know
 *
 * The lock is flock(2) on the directory itself: there is no lock file to leave behind.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include "stage.h"

/* After the wait for a lock, the path may name another directory, or none: then the container is not the one meant. */
static int lock_and_check(struct stage *s)
{
	struct stat held, named;
	if (flock(s->state_fd, LOCK_EX) < 0)
		return failed(s, SYS_flock);
	if (fstat(s->state_fd, &held) < 0 || fstatat(AT_FDCWD, s->state_path, &named, AT_SYMLINK_NOFOLLOW) < 0)
		return failed(s, SYS_newfstatat);
	if (held.st_ino != named.st_ino || held.st_dev != named.st_dev)
		return failed_as(s, SYS_flock, ENOENT);
	return 0;
}

int op_lock_state(struct stage *s, const struct lock_state_args *a)
{
	s->state_path = text_of(s, a->dir);
	if (a->create && mkdir(s->state_path, 0700) < 0)
		return failed(s, SYS_mkdir);
	s->state_fd = open(s->state_path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (s->state_fd < 0)
		return failed(s, SYS_open);
	int r = lock_and_check(s);
	s->created = a->create && r == 0;
	return r;
}

/* A foreground `run` waits for hours: other verbs must get at the container meanwhile. */
void state_unlock(struct stage *s)
{
	if (s->state_fd >= 0)
		(void)flock(s->state_fd, LOCK_UN);
}
int state_relock(struct stage *s) { return s->state_fd >= 0 ? lock_and_check(s) : 0; }

int op_undo_log(struct stage *s, const struct undo_log_args *a)
{
	int fd = openat(s->state_fd, "undo", O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0)
		return failed(s, SYS_openat);
	if (write_all(fd, bytes_of(s, a->undo), a->undo.length) < 0) {
		int r = failed(s, SYS_write);
		close(fd);
		return r;
	}
	s->log_fd = fd;
	return 0;
}

/* @returns the undo list as it was written, and the slots behind it put in place. */
static int read_log(struct stage *s, struct plan *undo)
{
	struct stat st;
	int fd = openat(s->state_fd, "undo", O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return failed(s, SYS_openat);
	uint32_t header[WIRE_HEADER / 4];
	int r = failed_as(s, SYS_read, EBADMSG);
	if (fstat(fd, &st) == 0 && st.st_size < 2 * WIRE_MAX_SIZE && pread(fd, header, sizeof header, 0) == sizeof header &&
	    header[3] <= (uint64_t)st.st_size) {
		unsigned char *copy = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (copy != MAP_FAILED && pread(fd, copy, (size_t)st.st_size, 0) == st.st_size && plan_check(undo, copy, header[3], 1) == 0)
			r = 0;
		/* A last entry that was cut short by a kill is not one. */
		for (size_t at = header[3]; r == 0 && at + 16 <= (size_t)st.st_size; at += 16) {
			uint64_t entry[2];
			memcpy(entry, copy + at, sizeof entry);
			if (entry[0] > 0 && entry[0] < SLOTS)
				set_slot(s, (unsigned)entry[0], entry[1]);
		}
	}
	close(fd);
	return r;
}

int op_load_slots(struct stage *s, const struct load_slots_args *a)
{
	struct plan undo;
	(void)a;
	/* No list: the start was killed before its first side effect, and there is nothing to know. */
	int r = read_log(s, &undo);
	return r == -ENOENT ? 0 : r;
}

int op_run_undo(struct stage *s, const struct run_undo_args *a)
{
	struct plan undo, mine = s->plan;
	(void)a;
	int r = read_log(s, &undo);
	if (r == 0) {
		run_undo(s, undo);
		s->plan = mine;
		s->undoing = false;
		return 0;
	}
	/* Killed before the list was whole: nothing but the directory had been made. */
	return op_remove_state(s, NULL);
}

/* Readers see the old file or the new one. */
static int replace_file(struct stage *s, int dir, const char *path, const char *temporary, int r, int fd)
{
	if (close(fd) < 0 && r == 0)
		r = failed(s, SYS_close);
	if (r == 0 && renameat(dir, temporary, dir, path) < 0)
		r = failed(s, SYS_renameat);
	if (r < 0)
		(void)unlinkat(dir, temporary, 0);
	return r;
}

static int open_temporary(struct stage *s, int dir, const char *path, mode_t mode, char *name, size_t room)
{
	if ((size_t)snprintf(name, room, "%s.tmp", path) >= room)
		return failed_as(s, SYS_openat, ENAMETOOLONG);
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
	return fd < 0 ? failed(s, SYS_openat) : fd;
}

int op_store_plan(struct stage *s, const struct store_plan_args *a)
{
	char name[64];
	int fd = open_temporary(s, s->state_fd, text_of(s, a->name), 0600, name, sizeof name);
	if (fd < 0)
		return fd;
	int r = write_all(fd, bytes_of(s, a->plan), a->plan.length) < 0 ? failed(s, SYS_write) : 0;
	return replace_file(s, s->state_fd, text_of(s, a->name), name, r, fd);
}

int op_store_file(struct stage *s, const struct store_file_args *a)
{
	char name[64];
	int fd = open_temporary(s, s->state_fd, text_of(s, a->name), 0600, name, sizeof name);
	if (fd < 0)
		return fd;
	return replace_file(s, s->state_fd, text_of(s, a->name), name, render(s, a->content, fd), fd);
}

int op_pid_file(struct stage *s, const struct pid_file_args *a)
{
	char name[PATH_MAX];
	int fd = open_temporary(s, AT_FDCWD, text_of(s, a->path), 0644, name, sizeof name);
	if (fd < 0)
		return fd;
	return replace_file(s, AT_FDCWD, text_of(s, a->path), name, render(s, a->content, fd), fd);
}

int op_print(struct stage *s, const struct print_args *a) { return render(s, a->content, STDOUT_FILENO); }

/* The undo list goes last: whatever interrupts this, the next `delete` finds it and finishes. */
int op_remove_state(struct stage *s, const struct remove_state_args *a)
{
	(void)a;
	int copy = openat(s->state_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = copy < 0 ? NULL : fdopendir(copy);
	if (!dir)
		return errno == ENOENT ? 0 : failed(s, SYS_openat);
	for (struct dirent *e; (e = readdir(dir));)
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") && strcmp(e->d_name, "undo"))
			(void)unlinkat(s->state_fd, e->d_name, 0);
	closedir(dir);
	(void)unlinkat(s->state_fd, "undo", 0);
	if (rmdir(s->state_path) < 0 && errno != ENOENT)
		return failed(s, SYS_rmdir);
	return 0;
}

/*
 * Removes what a directory holds. Descriptors lead, so that a link that is swapped in leads nowhere; what is mounted over a
 * directory is another file system, and stays.
 */
static int empty_directory(struct stage *s, int fd, dev_t device, int depth)
{
	struct stat st;
	int r = 0;
	DIR *dir = depth < 4096 ? fdopendir(fd) : NULL;
	if (!dir) {
		r = failed_as(s, SYS_openat, depth < 4096 ? errno : ELOOP);
		close(fd);
		return r;
	}
	for (struct dirent *e; (e = readdir(dir));) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (unlinkat(dirfd(dir), e->d_name, 0) == 0 || errno == ENOENT)
			continue;
		if (errno != EISDIR && errno != EPERM) {
			r = failed(s, SYS_unlinkat);
			continue;
		}
		/* overlayfs leaves a work directory of mode 0 behind; the owner may open it once it has changed that. */
		(void)fchmodat(dirfd(dir), e->d_name, 0700, AT_SYMLINK_NOFOLLOW);
		int next = openat(dirfd(dir), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (next < 0) {
			r = failed(s, SYS_openat);
			continue;
		}
		if (fstat(next, &st) < 0 || st.st_dev != device) {
			close(next);
			r = failed_as(s, SYS_unlinkat, EXDEV);
			continue;
		}
		int below = empty_directory(s, next, device, depth + 1);
		if (below < 0)
			r = below;
		else if (unlinkat(dirfd(dir), e->d_name, AT_REMOVEDIR) < 0 && errno != ENOENT)
			r = failed(s, SYS_unlinkat);
	}
	closedir(dir);
	return r;
}

int op_remove_tree(struct stage *s, const struct remove_tree_args *a)
{
	struct stat st;
	int fd = open(text_of(s, a->dir), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : failed(s, SYS_open);
	if (fstat(fd, &st) < 0) {
		close(fd);
		return failed(s, SYS_fstat);
	}
	int r = empty_directory(s, fd, st.st_dev, 0);
	if (r == 0 && rmdir(text_of(s, a->dir)) < 0 && errno != ENOENT)
		r = failed(s, SYS_rmdir);
	return r;
}
