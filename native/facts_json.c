#include "facts_json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *buffer;
static size_t length, capacity;
static bool comma;

static void put(const char *bytes, size_t count)
{
	if (length + count > capacity) {
		capacity = (length + count) * 2 + 8192;
		buffer = realloc(buffer, capacity);
		if (!buffer)
			abort();
	}
	memcpy(buffer + length, bytes, count);
	length += count;
}

/* Length of the valid UTF-8 sequence at s, 0 where there is none (RFC 3629: no overlong forms, no surrogates). */
static size_t utf8_length(const unsigned char *s)
{
	size_t count = s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;
	for (size_t i = 1; i < count; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) || (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return count;
}

static void put_quoted(const char *text)
{
	put("\"", 1);
	for (const unsigned char *s = (const unsigned char *)text; *s;) {
		char escape[8];
		size_t wide;
		if (*s == '"' || *s == '\\') {
			escape[0] = '\\';
			escape[1] = (char)*s++;
			put(escape, 2);
		} else if (*s >= 0x20 && *s < 0x7f) {
			put((const char *)s++, 1);
		} else if (*s <= 0x7f) {
			put(escape, (size_t)snprintf(escape, sizeof escape, "\\u%04x", *s++));
		} else if ((wide = utf8_length(s)) > 0) {
			put((const char *)s, wide);
			s += wide;
		} else {
			put("\\ufffd", 6); /* a file name may hold any byte; a JSON text may not */
			s++;
		}
	}
	put("\"", 1);
}

static void begin(const char *key)
{
	if (comma)
		put(",", 1);
	comma = true;
	if (key) {
		put_quoted(key);
		put(":", 1);
	}
}

void json_open(const char *key, char bracket)
{
	begin(key);
	put(&bracket, 1);
	comma = false;
}

void json_close(char bracket)
{
	put(&bracket, 1);
	comma = true;
}

void json_string(const char *key, const char *value)
{
	if (!value) {
		json_null(key);
		return;
	}
	begin(key);
	put_quoted(value);
}

void json_int(const char *key, long long value)
{
	char digits[24];
	begin(key);
	put(digits, (size_t)snprintf(digits, sizeof digits, "%lld", value));
}

void json_bool(const char *key, bool value)
{
	begin(key);
	put(value ? "true" : "false", value ? 4 : 5);
}

void json_null(const char *key)
{
	begin(key);
	put("null", 4);
}

bool json_flush(void)
{
	put("\n", 1);
	for (size_t done = 0; done < length;) {
		ssize_t n = write(1, buffer + done, length - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}
