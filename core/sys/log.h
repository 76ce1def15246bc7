/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_SYS_LOG_H
#define FIRN_SYS_LOG_H

/*
 * One event, one JSON object on one line, one write(2) to standard error.
 *
 *	log_info("image.built", LOG_S("image", name), LOG_N("ms", ms));
 *
 * gives {"ts":"2026-01-02T03:04:05.678Z","level":"info","event":
 * "image.built","request":"...","image":"git","ms":17}. Keys are stable;
 * "request" is there when the thread serves a request. Safe on any thread.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/attr.h"

struct err;

enum log_level {
	LOG_ERROR,
	LOG_WARN,
	LOG_INFO,
	LOG_DEBUG,
};

struct log_field {
	const char *key; /* NULL ends the list */
	const char *s;   /* the text; NULL: n is meant */
	uint64_t n;
};

#define LOG_S(k, v)                  \
	{                            \
		.key = (k), .s = (v) \
	}
#define LOG_N(k, v)                             \
	{                                       \
		.key = (k), .s = NULL, .n = (v) \
	}

/* "error", "warn", "info", "debug". */
MUST_CHECK bool log_level_parse(const char *s, enum log_level *ret);

/* Events above this level are dropped; "info" until it is called. */
void log_set_level(enum log_level level);
bool log_enabled(enum log_level level);

/*
 * What stands under "request" in this thread's events from now on; copied.
 * NULL: nothing.
 */
void log_set_request(const char *id);
/* The same text, "" when there is none; valid until the next set. */
const char *log_request(void);

void log_emit(enum log_level level, const char *event,
	      const struct log_field *fields);

#define log_at(level, event, ...)  \
	log_emit((level), (event), \
		 (const struct log_field[]){__VA_ARGS__, {.key = NULL}})
#define log_error(event, ...) log_at(LOG_ERROR, event, __VA_ARGS__)
#define log_warn(event, ...) log_at(LOG_WARN, event, __VA_ARGS__)
#define log_info(event, ...) log_at(LOG_INFO, event, __VA_ARGS__)
#define log_debug(event, ...) log_at(LOG_DEBUG, event, __VA_ARGS__)

/* An error that is handled here: its kind, text and detail. */
void log_err(enum log_level level, const char *event, const struct err *e);

#endif
