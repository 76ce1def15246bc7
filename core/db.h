/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_DB_H
#define FIRN_DB_H

/*
 * An SQLite database as state.c uses it: WAL, a connection and prepared
 * statements for each thread. Any thread, several processes.
 *
 * A query goes db_begin, db_bind_*, db_step, the columns, db_finish; or
 * db_run for those without rows. Numbers of parameters begin at 1. Failures
 * are ERR_SYSTEM; after one in db_step there is no db_finish.
 *
 * A database that turns out to be damaged, or not to be there any more, while
 * it is used is no failure: it is set aside and made anew, and the query has
 * no rows, as it would have of the new one.
 */
#include <sqlite3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/attr.h"

struct db;
struct digest;
struct err;

/*
 * Queries and migrations may call row_checksum(TABLE, COLUMN...), which gives
 * the SHA-256 of its arguments as a blob.
 */
struct db_schema {
	/* Step i makes version i + 1 out of version i. */
	const char *const *migrations;
	size_t n_migrations;
	const char *const *queries;
	size_t n_queries;
};

/*
 * Opens DIR/firn.sqlite, makes or migrates it; one that is damaged is set
 * aside as *.damaged. schema is borrowed.
 */
MUST_CHECK int db_open(const char *dir, const struct db_schema *schema,
		       struct db **ret, struct err *e);
/* No other thread uses it any more. */
void db_free(struct db *db);

/* This thread's statement of schema->queries[q]; NULL when it failed. */
sqlite3_stmt *db_begin(struct db *db, size_t q, struct err *e);

void db_bind_digest(sqlite3_stmt *s, int i, const struct digest *d);
void db_bind_text(sqlite3_stmt *s, int i, const char *text);
void db_bind_u64(sqlite3_stmt *s, int i, uint64_t v);

/* One row or none. After a row, read columns, then db_finish. */
MUST_CHECK int db_step(struct db *db, sqlite3_stmt *s, bool *ret_row,
		       struct err *e);
void db_finish(sqlite3_stmt *s);

/* Step once, and finish. */
MUST_CHECK int db_run(struct db *db, sqlite3_stmt *s, struct err *e);

/* A column that must be a digest; false when it is none. */
MUST_CHECK bool db_column_digest(sqlite3_stmt *s, int i, struct digest *ret);

#endif
