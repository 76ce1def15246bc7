/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_BASE_ERR_H
#define FIRN_BASE_ERR_H

/*
 * Errors: functions return 0 or -1 and describe a failure in a struct err
 * that the caller owns. It never allocates. Success leaves it alone.
 *
 * An error is returned or logged, never both. The text is one line of UTF-8,
 * meant for a person; it holds no path, token or stack unless the kind is
 * ERR_UPSTREAM or one below it, whose text clients never see: they get a
 * general one, or the one that was set with err_set_told.
 */
#include <stdbool.h>

#include "core/base/attr.h"

/* Why an operation failed, in terms its caller can act on. */
enum err_kind {
	ERR_NONE = 0,
	ERR_INVALID,   /* the request itself is malformed */
	ERR_NOT_FOUND, /* no such package, tag, manifest or blob */
	ERR_DENIED,    /* policy: unfree, insecure, broken, too large */
	ERR_BUILD,     /* Nix ran and refused */
	ERR_TIMEOUT,   /* a deadline of the image passed */
	ERR_BUSY,      /* a queue is full; the same may work later */
	ERR_UPSTREAM,  /* the network or Nix failed */
	ERR_STORAGE,   /* object storage failed */
	ERR_SYSTEM,    /* local I/O, limits, corrupt state */
};

#define ERR_MSG_MAX 1024
#define ERR_DETAIL_MAX 4096

struct err {
	enum err_kind kind;
	int errnum;            /* what err_set_errno was given; 0: no such */
	char msg[ERR_MSG_MAX]; /* one line */
	char detail[ERR_DETAIL_MAX]; /* more lines (a log's end), or empty */
	const char *told;            /* a literal, or NULL */
};

#define ERR_INIT                                          \
	{                                                 \
		.kind = ERR_NONE, .msg = "", .detail = "" \
	}

/*
 * Set the error; returns -1, so that raising is one return statement.
 * Asserts that none was set before. A longer text is cut at a character.
 */
PRINTF(3, 4)
int err_set(struct err *e, enum err_kind kind, const char *fmt, ...);

/* The same with ": " and the text of the errno value errnum appended. */
PRINTF(4, 5)
int err_set_errno(struct err *e, enum err_kind kind, int errnum,
		  const char *fmt, ...);

/* Put "context: " before the text; keeps the kind. Returns -1. */
PRINTF(2, 3) int err_wrap(struct err *e, const char *fmt, ...);

/*
 * Put a text behind it; where both have no room, the end of the older one
 * goes.
 */
PRINTF(2, 3) void err_append(struct err *e, const char *fmt, ...);

/*
 * Attach detail, n bytes of any text: its last ERR_DETAIL_MAX bytes are
 * kept, from a line's start where one is there.
 */
void err_set_detail(struct err *e, const char *text, size_t n);

/* Did it fail for want of room on a disk? */
bool err_is_full(const struct err *e);

/*
 * What clients are told of an error that is the operator's: a literal that
 * names nothing of this machine.
 */
void err_set_told(struct err *e, const char *literal);

/* Forget the error, so that the struct can be used again. */
void err_clear(struct err *e);

/* Stable lower-case name of a kind, for logs and metrics. */
const char *err_kind_name(enum err_kind kind);

/*
 * Static analysis (make tidy) sees one file at a time. That these return -1
 * is what tells it that a failure ends a function.
 */
#if defined(FIRN_ANALYZER) && !defined(FIRN_ERR_C)
#define err_set(...) ((void)err_set(__VA_ARGS__), -1)
#define err_set_errno(...) ((void)err_set_errno(__VA_ARGS__), -1)
#define err_wrap(...) ((void)err_wrap(__VA_ARGS__), -1)
#endif

#endif
