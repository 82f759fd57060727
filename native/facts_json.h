/*
 * A JSON writer for the prober: one growing buffer, commas put by itself. It cannot produce anything but JSON, whatever
 * bytes a path or an environment variable holds.
 */
#ifndef CORACLE_FACTS_JSON_H
#define CORACLE_FACTS_JSON_H

#include <stdbool.h>
#include <stddef.h>

/* `key` is NULL inside an array and at the top. */
void json_open(const char *key, char bracket);
void json_close(char bracket);
void json_string(const char *key, const char *value); /* a NULL value is written as null */
void json_int(const char *key, long long value);
void json_bool(const char *key, bool value);
void json_null(const char *key);
/* Writes what was gathered and a line feed to fd 1; false where that failed. */
bool json_flush(void);

#endif
