/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_BASE_JSON_H
#define FIRN_BASE_JSON_H

/*
 * JSON (RFC 8259) in and out, on yajl's callback parser and generator.
 *
 * Reading is strict and bounded: invalid UTF-8, a NUL in a string, trailing
 * text, too deep or too many values are errors. The tree lives in the
 * caller's arena. Writing is canonical: no spaces, keys in the order they
 * are written, invalid UTF-8 replaced by U+FFFD.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/buf.h"

struct arena;
struct err;

enum json_type {
	JSON_NULL,
	JSON_BOOL,
	JSON_NUMBER,
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT,
};

struct json {
	enum json_type type;
	bool b;            /* JSON_BOOL */
	const char *s;     /* JSON_STRING; JSON_NUMBER as it was written */
	size_t n;          /* bytes of s, or number of children */
	const char *key;   /* this value's name, when in an object */
	struct json *kids; /* first child */
	struct json *next; /* next sibling */
};

struct json_limits {
	size_t max_bytes; /* of the text */
	size_t max_depth;
	size_t max_values;
};

/* 4 MiB, depth 64, a million values: for what a peer or a file says. */
extern const struct json_limits json_limits_default;

/*
 * Parse n bytes; lim NULL means the default. Fails with ERR_INVALID and the
 * reason; the caller wraps it with whose text it was.
 */
MUST_CHECK int json_parse(struct arena *a, const char *text, size_t n,
			  const struct json_limits *lim,
			  const struct json **ret, struct err *e);

/*
 * Lookups that take "not there" and "of another type" for NULL or false, so
 * that they chain: v may be NULL.
 */
const struct json *json_get(const struct json *v, const char *key);
const char *json_get_str(const struct json *v, const char *key);
bool json_get_u64(const struct json *v, const char *key, uint64_t *ret);
bool json_is(const struct json *v, enum json_type type);
/* A whole number from 0 to 2^64-1 without fraction or exponent. */
bool json_u64(const struct json *v, uint64_t *ret);

/* The generator. Calls nest as the text does; misuse aborts. */
struct json_out {
	void *gen;
	struct buf *to; /* borrowed */
};

void json_out_init(struct json_out *o, struct buf *to);
/* Indented by two spaces, for people. */
void json_out_init_pretty(struct json_out *o, struct buf *to);
void json_out_release(struct json_out *o);

void json_object(struct json_out *o);
void json_object_end(struct json_out *o);
void json_array(struct json_out *o);
void json_array_end(struct json_out *o);
void json_key(struct json_out *o, const char *key);
void json_strn(struct json_out *o, const char *s, size_t n);
void json_str(struct json_out *o, const char *s);
void json_num(struct json_out *o, uint64_t v);
void json_bool(struct json_out *o, bool v);
void json_null(struct json_out *o);

/* json_key and the value in one call. */
void json_kstr(struct json_out *o, const char *key, const char *s);
void json_knum(struct json_out *o, const char *key, uint64_t v);

static inline void
json_out_auto(struct json_out *o)
{
	json_out_release(o);
}

#endif
