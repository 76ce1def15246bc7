/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_TESTS_ROWS_H
#define FIRN_TESTS_ROWS_H

/*
 * For tests of core/state: one row of each kind under one key, put, and
 * looked for again. Directories are absolute paths (tree_path). What a test
 * stands on ends the program where it fails ("Bail out!"). One thread.
 */
#include <stdbool.h>

#include "core/base/digest.h"
#include "core/base/err.h"
#include "core/model/layers.h"
#include "core/state.h"
#include "tests/support/tap.h"

struct digest rows_key(const char *text);
/* The layer that is put. */
struct layer rows_layer(void);

NONNULL_RESULT struct state *rows_open(const char *dir);
/* Run SQL on the database of a directory that nobody has open. */
void rows_exec(const char *dir, const char *sql);
/* Is there a database that was found damaged? */
bool rows_set_aside(const char *dir);

MUST_CHECK bool rows_try_put(struct state *st, struct err *e);

/* What was put, as far as it is there: a bit each, and one for wrong. */
enum {
	REVISION = 1,
	IMAGE = 2,
	LAYER = 4,
	MANIFEST = 8,
	REFERRERS = 16,
	ALL = 31,
	WRONG = 32,
	FAILED = 64,
};

unsigned rows_kept(struct state *st);

static inline void
rows_put(struct state *st)
{
	struct err e = ERR_INIT;

	ok(rows_try_put(st, &e), "put one of each %s", e.msg);
}

static inline void
rows_none(struct state *st, const char *says)
{
	is_u64(rows_kept(st), 0, says);
}

static inline void
rows_all(struct state *st, const char *says)
{
	is_u64(rows_kept(st), ALL, says);
}

/* A database that can't be read is set aside, and one made that works. */
static inline void
rows_begun_anew(const char *dir)
{
	struct state *st = rows_open(dir);

	rows_none(st, "a database that can't be read is begun anew");
	ok(rows_set_aside(dir), "and set aside: %s", strrchr(dir, '/') + 1);
	rows_put(st);
	state_free(st);
	st = rows_open(dir);
	rows_all(st, "the new one is good");
	state_free(st);
}

#endif
