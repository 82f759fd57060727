/*
 * untar [OPTIONS] DIR < layer.tar     extracts one layer (already decompressed) into DIR, which exists
 *     --apply            whiteouts remove, rather than being written for overlayfs
 *     --single-id        one id is mapped: owners are recorded in user.coracle.owner, not applied
 *     --lower DIR        a layer below, nearest first; directories that the layer does not list take their metadata from it
 *     --max-entries N, --max-bytes N, --max-path N, --max-depth N
 *     --sync             what was written is on disk when this ends
 * untar --remove DIR                  removes DIR and all below it, on its file system only; one that is not there is success
 * untar --lock FILE                   holds flock(2) on FILE: says "locked", and keeps it until stdin ends
 *
 * An extraction holds flock(2) on DIR and --remove waits for it: who was killed may have left a child that is still at it.
 *
 * To be run inside the user namespace whose ids the files get. One JSON object on stdout, or one on stderr:
 * {"entry": name, "op": what was tried, "errno": name}. Exit codes: 0, 1 failed, 2 usage.
 */
#include "untar/untar.h"
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static struct untar u;

static int usage(void) {
	fputs("usage: untar [--apply] [--single-id] [--lower DIR]... [--max-entries N] [--max-bytes N] [--max-path N] [--max-depth N] [--sync] DIR\n"
	      "       untar --remove DIR\n"
	      "       untar --lock FILE\n",
	      stderr);
	return 2;
}

static ssize_t read_stdin(void *arg, void *buffer, size_t size) {
	(void)arg;
	return read(0, buffer, size);
}

static int finish(int result, const uint8_t *digest) {
	if (result == 0 && !print_summary(&u, digest)) result = fail_at(&u, "", "stdout", errno);
	if (result < 0) print_failure(&u);
	return result < 0;
}

/* True only for root of the initial user namespace, which alone may make device nodes. */
static bool is_initial_root(void) {
	char map[64] = "";
	int fd = open("/proc/self/uid_map", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, map, sizeof map - 1);
	if (fd >= 0) close(fd);
	unsigned long inside, outside, count;
	return n > 0 && sscanf(map, "%lu %lu %lu", &inside, &outside, &count) == 3 && inside == 0 && outside == 0 && count == UINT32_MAX && geteuid() == 0;
}

static int run_remove(const char *path) {
	char *copy = strdup(path);
	untar_init(&u, -1, NULL, NULL);
	for (size_t n = copy ? strlen(copy) : 0; n > 1 && copy[n - 1] == '/';) copy[--n] = 0;
	char *slash = copy ? strrchr(copy, '/') : NULL;
	const char *name = slash ? slash + 1 : copy;
	if (!copy || !*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) return usage();
	if (slash) *slash = 0;
	int parent = open(!slash ? "." : slash == copy ? "/" : copy, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (parent < 0) return errno == ENOENT ? finish(0, NULL) : finish(fail_at(&u, path, "open", errno), NULL);
	/* A directory that cannot be opened (mode 0) was never extracted into; one that cannot be locked (NFS) is removed all the same. */
	int doomed = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (doomed >= 0) (void)flock(doomed, LOCK_EX);
	return finish(remove_tree(&u, parent, name, NULL), NULL);
}

/*
 * Node has no flock. The lock is the kernel's, so it ends with this process, and this process with its stdin: whoever
 * dies, nothing stays locked. The file is removed under the lock; so after locking, its name must still lead to it.
 */
static int run_lock(const char *path) {
	for (;;) {
		struct stat held, named;
		int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		int result;
		if (fd < 0) return finish(fail_at(&u, path, "open", errno), NULL);
		while ((result = flock(fd, LOCK_EX)) < 0 && errno == EINTR) continue;
		if (result < 0 || fstat(fd, &held) < 0) return finish(fail_at(&u, path, "lock", errno), NULL);
		if (stat(path, &named) == 0 && named.st_ino == held.st_ino && named.st_dev == held.st_dev) break;
		close(fd);
	}
	char c;
	if (write(1, "locked\n", 7) != 7) return finish(fail_at(&u, path, "stdout", errno), NULL);
	while (read(0, &c, 1) > 0 || errno == EINTR) errno = 0;
	(void)unlink(path);
	return 0;
}

static bool parse_count(const char *text, uint64_t max, uint64_t *out) {
	char *end;
	errno = 0;
	unsigned long long n = strtoull(text, &end, 10);
	*out = n;
	return *text >= '0' && *text <= '9' && !*end && !errno && n <= max;
}

int main(int argc, char **argv) {
	enum { APPLY = 1, SINGLE_ID, LOWER, MAX_ENTRIES, MAX_BYTES, MAX_PATH, MAX_DEPTH, SYNC, REMOVE, LOCK };
	static const struct option options[] = {
	    {"apply", 0, NULL, APPLY},           {"single-id", 0, NULL, SINGLE_ID}, {"lower", 1, NULL, LOWER}, {"max-entries", 1, NULL, MAX_ENTRIES},
	    {"max-bytes", 1, NULL, MAX_BYTES},   {"max-path", 1, NULL, MAX_PATH},   {"max-depth", 1, NULL, MAX_DEPTH},
	    {"sync", 0, NULL, SYNC},             {"remove", 1, NULL, REMOVE},       {"lock", 1, NULL, LOCK},   {NULL, 0, NULL, 0},
	};
	uint8_t digest[32];
	uint64_t n;
	int option;

	untar_init(&u, -1, read_stdin, NULL);
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		bool good = true;
		switch (option) {
		case APPLY:
			u.options.apply = true;
			break;
		case SINGLE_ID:
			u.options.single_id = true;
			break;
		case SYNC:
			u.options.sync = true;
			break;
		case LOWER:
			if (u.options.lower_count == LOWER_LIMIT) return finish(fail_at(&u, optarg, "lower", E2BIG), NULL);
			int fd = open(optarg, O_PATH | O_DIRECTORY | O_CLOEXEC);
			if (fd < 0) return finish(fail_at(&u, optarg, "lower", errno), NULL);
			u.options.lowers[u.options.lower_count++] = fd;
			break;
		case MAX_ENTRIES:
			good = parse_count(optarg, UINT64_MAX, &u.options.max_entries);
			break;
		case MAX_BYTES:
			good = parse_count(optarg, UINT64_MAX, &u.options.max_bytes);
			break;
		case MAX_PATH:
			good = parse_count(optarg, PATH_LIMIT - 1, &n);
			u.options.max_path = (uint32_t)n;
			break;
		case MAX_DEPTH:
			good = parse_count(optarg, UINT32_MAX, &n);
			u.options.max_depth = (uint32_t)n;
			break;
		case REMOVE:
			return optind == argc ? run_remove(optarg) : usage();
		case LOCK:
			return optind == argc ? run_lock(optarg) : usage();
		default:
			good = false;
		}
		if (!good) return usage();
	}
	if (optind + 1 != argc) return usage();
	u.root = open(argv[optind], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (u.root < 0) return finish(fail_at(&u, argv[optind], "open", errno), NULL);
	if (flock(u.root, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK) return finish(fail_at(&u, argv[optind], "lock", errno), NULL);
	u.may_mknod = is_initial_root();
	/* Larger pipes, fewer switches between the decompressor and us. Fails where stdin is none. */
	(void)fcntl(0, F_SETPIPE_SZ, 1 << 20);
	return finish(u.in.buffer ? untar_run(&u, digest) : fail_at(&u, "", "memory", ENOMEM), digest);
}
