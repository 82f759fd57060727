/*
 * libFuzzer on untar: any bytes may be a layer. The first byte chooses the mode; the rest is extracted into a directory
 * on a tmpfs, and removed again. What sanitizers do not see is asserted here: nothing beside the target changes.
 *
 *     clang-14 -std=c11 -D_GNU_SOURCE -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
 *         -o build/untar_fuzz fuzz/untar_fuzz.c untar/(all).c
 *     node corpus.ts build/untar_corpus
 *     build/untar_fuzz -max_total_time=60 -max_len=65536 build/untar_corpus
 */
#include "../untar/untar.h"
#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct source {
	const uint8_t *data;
	size_t left, piece;
};

static ssize_t read_source(void *arg, void *buffer, size_t size) {
	struct source *s = arg;
	/* Odd pieces, so that headers and content fall across reads. */
	if (size > s->piece) size = s->piece;
	if (size > s->left) size = s->left;
	memcpy(buffer, s->data, size);
	s->data += size;
	s->left -= size;
	return (ssize_t)size;
}

static int base = -1; /* holds "target" and "victim", and never anything else */

static void prepare(void) {
	char path[] = "/dev/shm/untar-fuzz-XXXXXX";
	assert(mkdtemp(path));
	base = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert(base >= 0);
	int fd = openat(base, "victim", O_WRONLY | O_CREAT | O_CLOEXEC, 0400);
	assert(fd >= 0 && write(fd, "untouched", 9) == 9);
	close(fd);
}

static void check_victim(void) {
	char content[16] = "";
	struct stat st;
	int fd = openat(base, "victim", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	assert(fd >= 0 && read(fd, content, sizeof content - 1) == 9 && strcmp(content, "untouched") == 0);
	assert(fstat(fd, &st) == 0 && (st.st_mode & 07777) == 0400 && st.st_nlink == 1);
	close(fd);
	fd = dup(base);
	DIR *dir = fdopendir(fd);
	assert(dir);
	rewinddir(dir);
	for (struct dirent *e; (e = readdir(dir));)
		assert(strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || strcmp(e->d_name, "victim") == 0 || strcmp(e->d_name, "target") == 0);
	closedir(dir);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	static struct untar u;
	uint8_t digest[32], mode;
	if (size == 0) return -1;
	if (base < 0) prepare();
	mode = data[0];

	untar_init(&u, -1, NULL, NULL);
	assert(remove_tree(&u, base, "target", NULL) == 0);
	untar_free(&u);
	assert(mkdirat(base, "target", 0755) == 0);

	struct source source = {data + 1, size - 1, mode & 4 ? 509 : 1 << 20};
	int root = openat(base, "target", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert(root >= 0);
	untar_init(&u, root, read_source, &source);
	u.options.apply = mode & 1;
	u.options.single_id = !(mode & 2);
	u.options.max_entries = 2000;
	u.options.max_bytes = 1 << 22;
	if (untar_run(&u, digest) < 0) assert(u.failed_op && u.failed_errno && *errno_name(u.failed_errno));
	else assert(!u.failed_op && u.in.total == size - 1);
	untar_free(&u);
	close(root);
	check_victim();
	return 0;
}
