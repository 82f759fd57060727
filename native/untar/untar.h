/*
 * untar: one layer of an image, from a tar stream to a directory.
 *
 *   reader.c   bytes → entries      what tar, PAX and GNU headers say; nothing here touches the file system
 *   paths.c    names → directories  every path is resolved below the target's descriptor, never as text from /
 *   extract.c  entries → files      creation, whiteouts, metadata
 *   remove.c   trees → nothing      by descriptor, on one file system
 *   report.c   JSON                 the summary on stdout, one failure line on stderr
 *   sha256.c   the diff ID, computed while the stream is read
 *
 * The stream is hostile. Where readers of tar disagree (sizes of links, global headers, a slash behind a file's name),
 * this one follows Go's archive/tar, because every other engine uses it: what two tools read differently is how
 * a scanner is shown another file system than the one that runs.
 *
 * Functions return 0 (or what they name), and -1 after fail() has recorded what went wrong. Nothing exits or aborts, so
 * the fuzzer runs the very same code.
 */
#ifndef CORACLE_UNTAR_H
#define CORACLE_UNTAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

#define BLOCK 512
#define PATH_LIMIT 4096 /* the kernel's PATH_MAX, with the NUL */
#define NAME_LIMIT 255
/* PAX headers, long names: as Go's archive/tar. */
#define EXTENSION_LIMIT (1 << 20)
#define SPARSE_LIMIT (1 << 16)
#define XATTR_LIMIT 256
#define LOWER_LIMIT 256
#define NOTE_LIMIT 32

/* ---- sha256.c */

struct sha256 {
	uint32_t state[8];
	uint64_t length;
	uint8_t block[64];
};

void sha256_init(struct sha256 *);
void sha256_update(struct sha256 *, const void *data, size_t size);
void sha256_final(struct sha256 *, uint8_t digest[32]);

/* ---- reader.c */

/* A source of bytes: read(2)'s contract. */
typedef ssize_t read_fn(void *arg, void *buffer, size_t size);

struct input {
	read_fn *read;
	void *arg;
	uint8_t *buffer;
	size_t room, at, end;
	uint64_t total; /* bytes read from the source so far */
	struct sha256 hash;
	bool hashing, ended;
};

struct xattr {
	const char *name;
	const uint8_t *value;
	size_t size;
};

/* A run of data in a sparse file; what lies between two runs is a hole. */
struct extent {
	uint64_t offset, length;
};

struct entry {
	char type; /* '0' file, '1' hard link, '2' symlink, '3' character device, '4' block device, '5' directory, '6' FIFO, else as in the header */
	char name[PATH_LIMIT]; /* clean: relative, without ".", "..", "//"; "" is the root itself */
	char link[PATH_LIMIT]; /* a symlink's target as it is; a hard link's clean */
	uint32_t mode;         /* 07777 */
	uint32_t uid, gid;
	struct timespec mtime;
	uint32_t major, minor;
	uint64_t size;      /* of the content in the stream */
	uint64_t real_size; /* of the file */
	uint64_t left;      /* content that was not read yet */
	uint32_t padding;
	bool sparse;
	struct extent *extents; /* owned by the reader */
	size_t extent_count;
	struct xattr xattrs[XATTR_LIMIT];
	size_t xattr_count;
};

/* Text that extension headers gave for the next entry. */
struct extension {
	char *text;
	size_t size;
	bool present;
};

/* ---- paths.c */

#define DIR_SLOTS 32

/* A directory that is held open, by the text that led to it. */
struct dir_slot {
	char *path; /* null: free */
	int fd;
	ino_t ino;
	uint64_t used;
};

/* ---- extract.c */

/* A directory's metadata is applied when all is in place: what is written into a directory changes its times. */
struct late_dir {
	char *path;
	ino_t ino;
	uint64_t order;
	uint32_t mode, uid, gid, depth;
	struct timespec mtime;
	struct xattr *xattrs; /* one block: the array, then names and values */
	size_t xattr_count;
};

/* Set of (directory's inode, name): what this layer made, which its own whiteouts leave alone. */
struct made {
	struct made_name {
		ino_t dir;
		char *name;
	} *slots;
	size_t room, count;
};

struct note {
	char *entry, *what;
	int err; /* 0: none */
};

struct options {
	bool apply;     /* whiteouts remove, rather than being written for overlayfs */
	bool single_id; /* one id is mapped: owners are recorded, not applied */
	bool sync;
	uint64_t max_entries, max_bytes; /* 0: no limit */
	uint32_t max_path, max_depth;
	int lowers[LOWER_LIMIT]; /* directories of the layers below, nearest first */
	size_t lower_count;
};

struct untar {
	struct options options;
	int root;
	uid_t uid; /* who makes files, as seen here */
	gid_t gid;
	bool may_mknod;

	struct input in;
	struct extension pax, long_name, long_link;
	struct extent *extents;
	struct entry entry;

	struct dir_slot dirs[DIR_SLOTS];
	uint64_t dir_clock;
	struct late_dir *late;
	size_t late_count, late_room;
	struct made made;

	uint64_t entries, bytes, skipped, removed;
	struct note notes[NOTE_LIMIT];
	uint64_t note_count; /* also those beyond NOTE_LIMIT */

	/* The first failure; set once. */
	const char *failed_op;
	int failed_errno;
	char failed_entry[PATH_LIMIT];
};

/* report.c */
int fail(struct untar *, const char *op, int err);
int fail_at(struct untar *, const char *entry, const char *op, int err);
void note(struct untar *, const char *what, int err);
void print_failure(const struct untar *);
/* @return false where stdout could not be written */
bool print_summary(const struct untar *, const uint8_t digest[32]);
const char *errno_name(int err);

/* reader.c */
int read_entry(struct untar *); /* 1: u->entry, 0: the end, -1 */
/* The next piece of the entry's content, at most *size; valid until the next call. @return 0, -1 */
int read_content(struct untar *, const uint8_t **data, size_t *size);
int skip_content(struct untar *);
int drain(struct untar *);
void reader_free(struct untar *);

/* paths.c */
/* Cleans `from` into `to`. @return 0; -1 where it leads out of the root or is too long (errno says which) */
int clean_path(const char *from, char to[PATH_LIMIT]);
/* The directory that holds u's `path`, and the last name. Missing ones are made if `create`. @return a descriptor that the cache owns, -1 */
int open_parent(struct untar *, const char *path, bool create, const char **base, ino_t *ino);
void forget_dirs(struct untar *);
int open_below(int dir, const char *path, int flags, uint64_t resolve);

/* extract.c */
int extract(struct untar *);
int make_implied_dir(struct untar *, int parent, ino_t parent_ino, const char *name, const char *path);
bool is_whiteout(const struct stat *);
int prepare_root(struct untar *);
int apply_late_dirs(struct untar *);
void extract_free(struct untar *);

/* remove.c */
/* Removes `name` in `parent` and all below it. With `made`, what is in that set stays, and directories that it keeps full. */
int remove_tree(struct untar *, int parent, const char *name, const struct made *made);
/* The same for what is in `dir`, but not `dir` itself. Moves the descriptor's position. */
int remove_content(struct untar *, int dir, const struct made *made);
bool made_has(const struct made *, ino_t dir, const char *name);
int made_add(struct untar *, ino_t dir, const char *name);

/* The whole: reads u->in to its end and fills u->root. @return 0, -1 */
int untar_run(struct untar *, uint8_t digest[32]);
void untar_init(struct untar *, int root, read_fn *read, void *arg);
void untar_free(struct untar *);

#endif
