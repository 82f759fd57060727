/*
 * Bytes → entries: v7, ustar, PAX (IEEE Std 1003.1-2001, pax(1)) and GNU tar's headers, sparse files in GNU's four
 * formats (GNU tar manual, "Storing Sparse Files").
 *
 *     offset 0    100  108  116  124   136    148   156   157       257    263 265    297    329   337   345    500
 *            name mode uid  gid  size  mtime  cksum type  linkname  magic  ver uname  gname  major minor prefix
 *     GNU's sparse header:  386 four extents of 12+12 · 482 more follow · 483 real size
 */
#include "untar.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- input ------------------------------------------------------------------------------------------------------- */

/* Makes at least `size` bytes available in one piece. @return 1, 0 at the end of the source with fewer, -1 */
static int input_need(struct untar *u, size_t size) {
	struct input *in = &u->in;
	while (in->end - in->at < size) {
		if (in->ended) return 0;
		if (in->at == in->end) in->at = in->end = 0;
		if (in->at + size > in->room) {
			memmove(in->buffer, in->buffer + in->at, in->end - in->at);
			in->end -= in->at;
			in->at = 0;
		}
		ssize_t n = in->read(in->arg, in->buffer + in->end, in->room - in->end);
		if (n < 0 && errno == EINTR) continue;
		if (n < 0) return fail(u, "read", errno);
		if (n == 0) {
			in->ended = true;
			continue;
		}
		if (in->hashing) sha256_update(&in->hash, in->buffer + in->end, (size_t)n);
		in->end += (size_t)n;
		in->total += (uint64_t)n;
	}
	return 1;
}

/* Cut short in the middle of something. */
static int truncated(struct untar *u) {
	return fail(u, "truncated", EBADMSG);
}

static int input_skip(struct untar *u, uint64_t size) {
	while (size) {
		int more = input_need(u, 1);
		if (more < 0) return -1;
		if (more == 0) return truncated(u);
		uint64_t n = u->in.end - u->in.at;
		if (n > size) n = size;
		u->in.at += n;
		size -= n;
	}
	return 0;
}

static uint32_t padding_of(uint64_t size) {
	return (uint32_t)(-size & (BLOCK - 1));
}

int read_content(struct untar *u, const uint8_t **data, size_t *size) {
	struct entry *e = &u->entry;
	int more = e->left ? input_need(u, 1) : 1;
	if (more < 0) return -1;
	if (more == 0) return truncated(u);
	uint64_t n = u->in.end - u->in.at;
	if (n > e->left) n = e->left;
	if (n > *size) n = *size;
	*data = u->in.buffer + u->in.at;
	*size = n;
	u->in.at += n;
	e->left -= n;
	return 0;
}

int skip_content(struct untar *u) {
	struct entry *e = &u->entry;
	uint64_t size = e->left + e->padding;
	e->left = e->padding = 0;
	return input_skip(u, size);
}

int drain(struct untar *u) {
	for (;;) {
		u->in.at = u->in.end;
		int more = input_need(u, 1);
		if (more <= 0) return more;
	}
}

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

/* A number field: octal, or base 256 where the first bit is set (GNU, star). @return false where it is neither, or too wide */
static bool parse_number(const uint8_t *field, size_t size, int64_t *out) {
	if (field[0] & 0x80) {
		/* Two's complement of size * 8 - 1 bits. */
		uint8_t sign = field[0] & 0x40 ? 0xff : 0;
		uint64_t value = 0;
		for (size_t i = 0; i < size; i++) {
			uint8_t byte = (uint8_t)((i ? field[i] : field[i] & 0x7f) ^ (i ? sign : sign & 0x7f));
			if (value >> 56) return false;
			value = value << 8 | byte;
		}
		if (value >> 63) return false;
		*out = sign ? (int64_t)~value : (int64_t)value;
		return true;
	}
	size_t i = 0;
	uint64_t value = 0;
	while (i < size && (field[i] == ' ' || field[i] == 0)) i++;
	for (; i < size && field[i] >= '0' && field[i] <= '7'; i++) {
		if (value >> 60) return false;
		value = value << 3 | (uint64_t)(field[i] - '0');
	}
	/* What stands behind a NUL does not count. */
	for (; i < size && field[i]; i++)
		if (field[i] != ' ') return false;
	*out = (int64_t)value;
	return true;
}

static bool parse_decimal(const char *text, const char *end, uint64_t *out) {
	uint64_t value = 0;
	if (text == end) return false;
	for (; text < end; text++) {
		if (*text < '0' || *text > '9' || value > (INT64_MAX - 9) / 10) return false;
		value = value * 10 + (uint64_t)(*text - '0');
	}
	*out = value;
	return true;
}

/* [-]seconds[.fraction]; what is finer than nanoseconds is cut off. */
static bool parse_time(const char *text, struct timespec *out) {
	bool negative = *text == '-';
	const char *end = text + strlen(text), *dot = strchr(text, '.');
	uint64_t seconds;
	long nanos = 0, scale = 100000000;
	if (!parse_decimal(text + negative, dot ? dot : end, &seconds)) return false;
	for (const char *p = dot ? dot + 1 : end; p < end; p++, scale /= 10) {
		if (*p < '0' || *p > '9') return false;
		nanos += (*p - '0') * scale;
	}
	*out = (struct timespec){(time_t)seconds, nanos};
	if (negative) *out = nanos ? (struct timespec){-(time_t)seconds - 1, 1000000000 - nanos} : (struct timespec){-(time_t)seconds, 0};
	return true;
}

/* ---- PAX --------------------------------------------------------------------------------------------------------- */

/* What the records of one extended header say; null: nothing. Pointers go into the header's text. */
struct pax {
	const char *path, *linkpath, *size, *uid, *gid, *mtime;
	const char *sparse_major, *sparse_minor, *sparse_name, *sparse_size, *sparse_real_size, *sparse_map, *sparse_blocks;
};

static bool has_prefix(const char *s, const char *prefix) {
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

static int add_extent(struct untar *u, size_t *room, uint64_t offset, uint64_t length) {
	struct entry *e = &u->entry;
	if (e->extent_count == SPARSE_LIMIT) return fail(u, "sparse", E2BIG);
	if (e->extent_count == *room) {
		*room = *room ? *room * 2 : 16;
		struct extent *more = realloc(u->extents, *room * sizeof *more);
		if (!more) return fail(u, "sparse", ENOMEM);
		u->extents = more;
	}
	e->extents = u->extents;
	e->extents[e->extent_count++] = (struct extent){offset, length};
	return 0;
}

/*
 * Records are "length SP key=value LF", the length being that of the whole record. An empty value takes back what the
 * key said. The text is cut in place: '=' and LF become NULs.
 */
static int parse_pax(struct untar *u, struct pax *pax) {
	const struct {
		const char *key;
		const char **slot;
	} keys[] = {
	    {"path", &pax->path},
	    {"linkpath", &pax->linkpath},
	    {"size", &pax->size},
	    {"uid", &pax->uid},
	    {"gid", &pax->gid},
	    {"mtime", &pax->mtime},
	    {"GNU.sparse.major", &pax->sparse_major},
	    {"GNU.sparse.minor", &pax->sparse_minor},
	    {"GNU.sparse.name", &pax->sparse_name},
	    {"GNU.sparse.size", &pax->sparse_size},
	    {"GNU.sparse.realsize", &pax->sparse_real_size},
	    {"GNU.sparse.map", &pax->sparse_map},
	    {"GNU.sparse.numblocks", &pax->sparse_blocks},
	};
	static const char xattr_prefix[] = "SCHILY.xattr.";
	struct entry *e = &u->entry;
	char *at = u->pax.text, *end = at + u->pax.size;
	size_t room = 0;
	bool have_offset = false;
	uint64_t offset = 0, length;

	while (at < end) {
		char *space = memchr(at, ' ', (size_t)(end - at));
		if (!space || !parse_decimal(at, space, &length) || length > (uint64_t)(end - at)) return fail(u, "pax", EBADMSG);
		char *key = space + 1, *last = at + length - 1, *equals = key < last ? memchr(key, '=', (size_t)(last - key)) : NULL;
		if (last < key || *last != '\n' || !equals || equals == key || memchr(key, 0, (size_t)(equals - key))) return fail(u, "pax", EBADMSG);
		char *value = equals + 1;
		*equals = *last = 0;
		at = last + 1;
		if (has_prefix(key, xattr_prefix)) {
			if (value == last) continue;
			if (e->xattr_count == XATTR_LIMIT) return fail(u, "xattr", E2BIG);
			e->xattrs[e->xattr_count++] = (struct xattr){key + strlen(xattr_prefix), (const uint8_t *)value, (size_t)(last - value)};
			continue;
		}
		/* Format 0.0 repeats these two in pairs. */
		bool is_offset = strcmp(key, "GNU.sparse.offset") == 0;
		if (is_offset || strcmp(key, "GNU.sparse.numbytes") == 0) {
			if (is_offset == have_offset || !parse_decimal(value, last, &length)) return fail(u, "sparse", EBADMSG);
			if (!is_offset && add_extent(u, &room, offset, length) < 0) return -1;
			have_offset = is_offset;
			offset = length;
			continue;
		}
		for (size_t i = 0; i < COUNT(keys); i++) {
			if (strcmp(key, keys[i].key) != 0) continue;
			if (memchr(value, 0, (size_t)(last - value))) return fail(u, "pax", EBADMSG);
			*keys[i].slot = value == last ? NULL : value;
		}
	}
	return have_offset ? fail(u, "sparse", EBADMSG) : 0;
}

static int pax_number(struct untar *u, const char *text, uint64_t limit, uint64_t *out) {
	if (!text) return 0;
	if (!parse_decimal(text, text + strlen(text), out) || *out > limit) return fail(u, "pax", EBADMSG);
	return 0;
}

/* The whole content of an extension header, with a NUL behind it. */
static int read_extension(struct untar *u, struct extension *x, uint64_t size) {
	if (size > EXTENSION_LIMIT) return fail(u, "header", E2BIG);
	char *text = realloc(x->text, size + 1);
	if (!text) return fail(u, "header", ENOMEM);
	*x = (struct extension){text, size, true};
	u->entry.left = size;
	u->entry.padding = padding_of(size);
	for (size_t at = 0; at < size;) {
		const uint8_t *data;
		size_t n = size - at;
		if (read_content(u, &data, &n) < 0) return -1;
		memcpy(text + at, data, n);
		at += n;
	}
	text[size] = 0;
	return skip_content(u);
}

/* ---- sparse files ------------------------------------------------------------------------------------------------ */

/* Extents must lie in order, apart, inside the file, and account for all content in the stream. */
static int check_extents(struct untar *u) {
	struct entry *e = &u->entry;
	uint64_t at = 0, data = 0;
	for (size_t i = 0; i < e->extent_count; i++) {
		struct extent x = e->extents[i];
		if (x.offset < at || x.offset > e->real_size || x.length > e->real_size - x.offset) return fail(u, "sparse", EBADMSG);
		at = x.offset + x.length;
		data += x.length;
	}
	return data == e->left ? 0 : fail(u, "sparse", EBADMSG);
}

/* A run of extents of 24 bytes each; one that begins with NUL ends the list. */
static int gnu_extents(struct untar *u, size_t *room, const uint8_t *at, int count) {
	for (int i = 0; i < count && at[24 * i]; i++) {
		int64_t offset, length;
		if (!parse_number(at + 24 * i, 12, &offset) || !parse_number(at + 24 * i + 12, 12, &length) || offset < 0 || length < 0)
			return fail(u, "sparse", EBADMSG);
		if (add_extent(u, room, (uint64_t)offset, (uint64_t)length) < 0) return -1;
	}
	return 0;
}

/* Old GNU format: type 'S', more extents in blocks of 21 between header and content. */
static int read_gnu_sparse(struct untar *u, const uint8_t *header) {
	struct entry *e = &u->entry;
	size_t room = 0;
	int64_t real;
	bool more = header[482];
	if (memcmp(header + 257, "ustar  ", 8) != 0 || !parse_number(header + 483, 12, &real) || real < 0) return fail(u, "sparse", EBADMSG);
	e->extent_count = 0;
	if (gnu_extents(u, &room, header + 386, 4) < 0) return -1;
	while (more) {
		int ready = input_need(u, BLOCK);
		if (ready <= 0) return ready < 0 ? -1 : truncated(u);
		const uint8_t *block = u->in.buffer + u->in.at;
		u->in.at += BLOCK;
		more = block[504];
		if (gnu_extents(u, &room, block, 21) < 0) return -1;
	}
	e->sparse = true;
	e->real_size = (uint64_t)real;
	return check_extents(u);
}

/* A decimal number and a line feed from the content. */
static int content_number(struct untar *u, uint64_t *out) {
	char digits[24];
	for (size_t n = 0; n < sizeof digits; n++) {
		const uint8_t *data;
		size_t one = 1;
		if (read_content(u, &data, &one) < 0) return -1;
		if (one == 0) break;
		digits[n] = (char)*data;
		if (digits[n] != '\n') continue;
		if (!parse_decimal(digits, digits + n, out)) break;
		return 0;
	}
	return fail(u, "sparse", EBADMSG);
}

/* Format 1.0: the map stands before the content, in whole blocks. */
static int read_sparse_map(struct untar *u) {
	struct entry *e = &u->entry;
	uint64_t before = e->left, count, offset, length;
	size_t room = 0, gap;
	const uint8_t *data;
	e->extent_count = 0;
	if (content_number(u, &count) < 0) return -1;
	if (count > SPARSE_LIMIT) return fail(u, "sparse", E2BIG);
	for (; count; count--)
		if (content_number(u, &offset) < 0 || content_number(u, &length) < 0 || add_extent(u, &room, offset, length) < 0) return -1;
	for (size_t left = padding_of(before - e->left); left; left -= gap) {
		gap = left;
		if (read_content(u, &data, &gap) < 0) return -1;
		if (gap == 0) return fail(u, "sparse", EBADMSG);
	}
	e->size = e->left; /* the map is no content */
	return 0;
}

/* The major version of a sparse file in PAX headers, -1 where it is none (or of a version that nobody knows). */
static int pax_sparse_version(const struct pax *pax, size_t extents) {
	const char *major = pax->sparse_major ? pax->sparse_major : "", *minor = pax->sparse_minor ? pax->sparse_minor : "";
	if (strcmp(major, "1") == 0 && strcmp(minor, "0") == 0) return 1;
	if (strcmp(major, "0") == 0 && (strcmp(minor, "0") == 0 || strcmp(minor, "1") == 0)) return 0;
	/* 0.0 and 0.1 were written without versions for a time. */
	return !*major && !*minor && (pax->sparse_map || extents) ? 0 : -1;
}

static int read_pax_sparse(struct untar *u, const struct pax *pax, int version) {
	struct entry *e = &u->entry;
	uint64_t blocks = e->extent_count;
	e->sparse = true;
	if (pax_number(u, pax->sparse_size, INT64_MAX, &e->real_size) < 0) return -1;
	if (pax_number(u, pax->sparse_real_size, INT64_MAX, &e->real_size) < 0) return -1;
	if (version == 1) return read_sparse_map(u) < 0 ? -1 : check_extents(u);
	if (pax->sparse_map) { /* 0.1: "offset,length,offset,length" */
		size_t room = 0;
		e->extent_count = 0;
		for (const char *at = pax->sparse_map;;) {
			uint64_t pair[2];
			for (int i = 0; i < 2; i++) {
				const char *comma = strchr(at, ','), *end = comma ? comma : at + strlen(at);
				if (!parse_decimal(at, end, &pair[i]) || (i == 0 && !comma)) return fail(u, "sparse", EBADMSG);
				at = comma ? comma + 1 : end;
			}
			if (add_extent(u, &room, pair[0], pair[1]) < 0) return -1;
			if (!*at) break;
		}
		blocks = e->extent_count;
	}
	if (pax_number(u, pax->sparse_blocks, SPARSE_LIMIT, &blocks) < 0) return -1;
	return blocks == e->extent_count ? check_extents(u) : fail(u, "sparse", EBADMSG);
}

/* ---- entries ----------------------------------------------------------------------------------------------------- */

static bool checksum_holds(const uint8_t *header) {
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
	(void)header; /* a fuzzer would never get past it */
	return true;
#else
	int64_t stored;
	int32_t sum = 8 * ' ', signed_sum = 8 * ' '; /* some old writers summed signed bytes */
	for (int i = 0; i < BLOCK; i++) {
		if (i >= 148 && i < 156) continue;
		sum += header[i];
		signed_sum += (int8_t)header[i];
	}
	return parse_number(header + 148, 8, &stored) && (stored == sum || stored == signed_sum);
#endif
}

static bool is_zero_block(const uint8_t *block) {
	return block[0] == 0 && memcmp(block, block + 1, BLOCK - 1) == 0;
}

/* The name of a header, which a NUL ends only where it is shorter than its fields: prefix/name in ustar and star. */
static void header_name(const uint8_t *header, char name[PATH_LIMIT]) {
	size_t prefix = 0, size = strnlen((const char *)header, 100);
	bool ustar = memcmp(header + 257, "ustar\0", 6) == 0;
	if (ustar) prefix = strnlen((const char *)header + 345, memcmp(header + 508, "tar\0", 4) == 0 ? 131 : 155);
	if (prefix) {
		memcpy(name, header + 345, prefix);
		name[prefix++] = '/';
	}
	memcpy(name + prefix, header, size);
	name[prefix + size] = 0;
}

/* Where a name came from an extension it may be of any length: it is cleaned, or the entry is refused. */
static int set_name(struct untar *u, const char *raw, char to[PATH_LIMIT], const char *op) {
	if (clean_path(raw, to) == 0) return 0;
	int err = errno;
	return fail_at(u, raw, op, err);
}

static int set_names(struct untar *u, const struct pax *pax, const uint8_t *header) {
	struct entry *e = &u->entry;
	char name[PATH_LIMIT], link[101];
	header_name(header, name);
	snprintf(link, sizeof link, "%.100s", (const char *)header + 157);
	const char *from = pax->path ? pax->path : name, *target = pax->linkpath ? pax->linkpath : link;
	if (u->long_name.present) from = u->long_name.text;
	if (u->long_link.present) target = u->long_link.text;
	if (pax->sparse_name) from = pax->sparse_name;
	/* Only where v7 left the type out does a slash make a directory. */
	if (e->type == 0) e->type = *from && from[strlen(from) - 1] == '/' ? '5' : '0';
	if (set_name(u, from, e->name, "name") < 0) return -1;
	if (strlen(e->name) > u->options.max_path) return fail(u, "limit-path", ENAMETOOLONG);
	uint32_t depth = 1;
	for (const char *p = e->name; *p; p++) depth += *p == '/';
	if (depth > u->options.max_depth) return fail(u, "limit-depth", ENAMETOOLONG);
	if (e->type == '1') return set_name(u, target, e->link, "linkname");
	if (e->type != '2') return 0;
	if (strlen(target) >= sizeof e->link) return fail(u, "linkname", ENAMETOOLONG);
	strcpy(e->link, target);
	return 0;
}

/* Everything of a real entry's header, once the extensions before it are known. */
static int read_header(struct untar *u, const uint8_t *block) {
	struct entry *e = &u->entry;
	struct pax pax = {0};
	uint8_t header[BLOCK];
	int64_t mode, uid, gid, size, mtime, major = 0, minor = 0;

	memcpy(header, block, BLOCK); /* reading on moves the buffer */
	header_name(header, e->name); /* for messages, until the true name is known */
	if (u->pax.present && parse_pax(u, &pax) < 0) return -1;
	if (!parse_number(header + 100, 8, &mode) || !parse_number(header + 108, 8, &uid) || !parse_number(header + 116, 8, &gid) ||
	    !parse_number(header + 124, 12, &size) || !parse_number(header + 136, 12, &mtime))
		return fail(u, "header", EBADMSG);
	e->type = (char)header[156];
	int sparse = pax_sparse_version(&pax, e->extent_count);
	if (sparse < 0) pax.sparse_name = NULL;
	if (set_names(u, &pax, header) < 0) return -1;
	if ((e->type == '3' || e->type == '4') && (!parse_number(header + 329, 8, &major) || !parse_number(header + 337, 8, &minor)))
		return fail(u, "header", EBADMSG);

	uint64_t wide_uid = (uint64_t)uid, wide_gid = (uint64_t)gid, wide_size = (uint64_t)size;
	if (pax_number(u, pax.uid, INT64_MAX, &wide_uid) < 0 || pax_number(u, pax.gid, INT64_MAX, &wide_gid) < 0 ||
	    pax_number(u, pax.size, INT64_MAX, &wide_size) < 0)
		return -1;
	/* -1 means "leave it" to chown(2), and negative numbers arrive here as huge ones. */
	if (wide_uid >= UINT32_MAX || wide_gid >= UINT32_MAX) return fail(u, "owner", EOVERFLOW);
	if (wide_size > INT64_MAX) return fail(u, "header", EBADMSG);
	e->mtime = (struct timespec){mtime, 0};
	if (pax.mtime && !parse_time(pax.mtime, &e->mtime)) return fail(u, "pax", EBADMSG);
	e->mode = (uint32_t)mode & 07777;
	e->uid = (uint32_t)wide_uid;
	e->gid = (uint32_t)wide_gid;
	e->major = (uint32_t)major;
	e->minor = (uint32_t)minor;
	/* Links, devices, directories and FIFOs have no content, whatever their size says. */
	e->size = e->type >= '1' && e->type <= '6' ? 0 : wide_size;
	e->real_size = e->left = e->size;
	e->padding = padding_of(e->size);
	if (e->type == 'S') {
		e->type = '0';
		return read_gnu_sparse(u, header);
	}
	if (e->type == '7') e->type = '0'; /* contiguous: a file to everyone */
	if (sparse < 0) return 0;
	return e->type == '0' ? read_pax_sparse(u, &pax, sparse) : fail(u, "sparse", EBADMSG);
}

/* A global header concerns all entries after it. Go's reader hands it out and no engine looks at it; so it must not count here either. */
static int skip_global(struct untar *u, uint64_t size) {
	struct extension global = {0};
	int result = read_extension(u, &global, size);
	/* git archive writes a lone comment: nothing is lost with it. */
	if (result == 0 && !(global.size > 0 && strstr(global.text, " comment=") && strchr(global.text, '\n') == global.text + global.size - 1))
		note(u, "global PAX header ignored", 0);
	free(global.text);
	return result;
}

static int read_size(struct untar *u, const uint8_t *header, uint64_t *size) {
	int64_t n;
	if (!parse_number(header + 124, 12, &n) || n < 0) return fail(u, "header", EBADMSG);
	*size = (uint64_t)n;
	return 0;
}

int read_entry(struct untar *u) {
	struct entry *e = &u->entry;
	u->pax.present = u->long_name.present = u->long_link.present = false;
	e->name[0] = e->link[0] = 0;
	e->xattr_count = e->extent_count = 0;
	e->sparse = false;
	for (;;) {
		bool extended = u->pax.present || u->long_name.present || u->long_link.present;
		int ready = input_need(u, BLOCK);
		if (ready < 0) return -1;
		/* Writers that leave out the two blocks of zeros are common; half a header is not one of them. */
		if (ready == 0) return u->in.at == u->in.end && !extended ? 0 : truncated(u);
		const uint8_t *block = u->in.buffer + u->in.at;
		uint64_t size = 0;
		if (is_zero_block(block)) {
			u->in.at += BLOCK;
			ready = input_need(u, BLOCK);
			if (ready < 0) return -1;
			if (extended || (ready == 1 && !is_zero_block(u->in.buffer + u->in.at))) return fail(u, "header", EBADMSG);
			return 0;
		}
		if (!checksum_holds(block)) return fail(u, "checksum", EBADMSG);
		u->in.at += BLOCK;
		switch (block[156]) {
		case 'x':
		case 'g':
		case 'L':
		case 'K':
			if (read_size(u, block, &size) < 0) return -1;
			if (block[156] == 'g' ? skip_global(u, size) < 0
			                      : read_extension(u, block[156] == 'x' ? &u->pax : block[156] == 'L' ? &u->long_name : &u->long_link, size) < 0)
				return -1;
			break;
		default:
			return read_header(u, block) < 0 ? -1 : 1;
		}
	}
}

void reader_free(struct untar *u) {
	free(u->pax.text);
	free(u->long_name.text);
	free(u->long_link.text);
	free(u->extents);
	free(u->in.buffer);
}
