/* What untar has to say: one JSON object on stdout, or one on stderr. */
#include "untar.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *errno_name(int err) {
	static const struct {
		int err;
		const char *name;
	} names[] = {
#define N(e) {e, #e}
	    N(EPERM),  N(ENOENT), N(EINTR),   N(EIO),    N(ENXIO),  N(E2BIG),        N(EBADF),     N(EAGAIN),  N(ENOMEM),     N(EACCES),
	    N(EFAULT), N(EBUSY),  N(EEXIST),  N(EXDEV),  N(ENODEV), N(ENOTDIR),      N(EISDIR),    N(EINVAL),  N(ENFILE),     N(EMFILE),
	    N(EFBIG),  N(ENOSPC), N(EROFS),   N(EMLINK), N(EPIPE),  N(ENAMETOOLONG), N(ENOSYS),    N(ELOOP),   N(ENOTEMPTY),  N(ENODATA),
	    N(EBADMSG), N(EOVERFLOW), N(ENOTSUP), N(ESTALE), N(EDQUOT), N(ERANGE),   N(ETXTBSY),   N(ECONNRESET),
#undef N
	};
	for (size_t i = 0; i < COUNT(names); i++)
		if (names[i].err == err) return names[i].name;
	return "EUNKNOWN";
}

int fail_at(struct untar *u, const char *entry, const char *op, int err) {
	if (!u->failed_op) {
		u->failed_op = op;
		u->failed_errno = err;
		snprintf(u->failed_entry, sizeof u->failed_entry, "%s", entry);
	}
	return -1;
}

int fail(struct untar *u, const char *op, int err) {
	return fail_at(u, u->entry.name, op, err);
}

void note(struct untar *u, const char *what, int err) {
	if (u->note_count++ >= NOTE_LIMIT) return;
	/* Out of memory costs the note's text, not the extraction. */
	u->notes[u->note_count - 1] = (struct note){strdup(u->entry.name), strdup(what), err};
}

/* Length of the valid UTF-8 sequence at s (RFC 3629), 0 where there is none. */
static size_t utf8_length(const unsigned char *s) {
	if (s[0] < 0x80) return 1;
	size_t n = s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : s[0] >= 0xe0 && s[0] < 0xf0 ? 3 : s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : 0;
	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80) return 0;
	bool overlong = (s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xf0 && s[1] < 0x90);
	bool outside = (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf4 && s[1] > 0x8f);
	return overlong || outside ? 0 : n;
}

/* Names are bytes, JSON is not: a byte that is no UTF-8 is written as a lone surrogate (PEP 383), so that it can be told apart. */
static void json_string(FILE *out, const char *text) {
	const unsigned char *s = (const unsigned char *)(text ? text : "");
	putc('"', out);
	while (*s) {
		size_t n = utf8_length(s);
		if (n == 0) fprintf(out, "\\udc%02x", *s), n = 1;
		else if (*s == '"' || *s == '\\') fprintf(out, "\\%c", *s);
		else if (*s < 0x20 || *s == 0x7f) fprintf(out, "\\u%04x", *s);
		else fwrite(s, 1, n, out);
		s += n;
	}
	putc('"', out);
}

void print_failure(const struct untar *u) {
	fputs("{\"entry\":", stderr);
	json_string(stderr, u->failed_entry);
	fprintf(stderr, ",\"op\":\"%s\",\"errno\":\"%s\"}\n", u->failed_op, errno_name(u->failed_errno));
}

bool print_summary(const struct untar *u, const uint8_t digest[32]) {
	printf("{\"entries\":%llu,\"bytes\":%llu,\"skipped\":%llu,\"removed\":%llu,\"notes\":[", (unsigned long long)u->entries,
	       (unsigned long long)u->bytes, (unsigned long long)u->skipped, (unsigned long long)u->removed);
	for (size_t i = 0; i < u->note_count && i < NOTE_LIMIT; i++) {
		fputs(i ? ",{\"entry\":" : "{\"entry\":", stdout);
		json_string(stdout, u->notes[i].entry);
		fputs(",\"note\":", stdout);
		json_string(stdout, u->notes[i].what);
		if (u->notes[i].err) printf(",\"errno\":\"%s\"", errno_name(u->notes[i].err));
		putchar('}');
	}
	printf("],\"noteCount\":%llu", (unsigned long long)u->note_count);
	if (digest) {
		printf(",\"streamBytes\":%llu,\"sha256\":\"", (unsigned long long)u->in.total);
		for (int i = 0; i < 32; i++) printf("%02x", digest[i]);
		putchar('"');
	}
	fputs("}\n", stdout);
	return fflush(stdout) == 0 && !ferror(stdout);
}
