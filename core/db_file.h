/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_DB_FILE_H
#define FIRN_DB_FILE_H

/*
 * The file of a database (db.h): opened, made, migrated and, when it is
 * damaged, set aside. Any thread. Failures are ERR_SYSTEM.
 */
#include <sqlite3.h>
#include <stdbool.h>

#include "core/base/attr.h"

struct db_schema;
struct err;

/* What SQLite says of its last failure, and of what was tried. Returns -1. */
int db_file_error(struct err *e, sqlite3 *sql, const char *what);

/* Does its last failure say that the file is damaged, or is another one? */
bool db_file_is_damage(sqlite3 *sql);

/*
 * A connection, for one thread at a time, that knows row_checksum; the
 * caller's to close. *ret_damaged is set when the file is why it failed.
 */
MUST_CHECK int db_file_open(const char *path, sqlite3 **ret, bool *ret_damaged,
			    struct err *e);

/*
 * One process makes, migrates or replaces at a time. A new database can't be
 * switched to WAL by two at once (SQLite fails at once then, whatever the busy
 * timeout), and one may find damaged what the other is about to replace. The
 * lock is held for as long as *ret_fd is open; the caller closes it, also
 * after a failure.
 */
MUST_CHECK int db_file_lock_dir(const char *dir, int *ret_fd, struct err *e);

/* The rest is called with the directory locked. */

/* Rename it to *.damaged, and say so in the log. */
MUST_CHECK int db_file_set_aside(const char *path, struct err *e);

/* Read all of it, and set it aside unless it is sound or isn't there. */
MUST_CHECK int db_file_set_aside_if_damaged(const char *path, struct err *e);

/*
 * Make it or migrate it to the schema's version. One whose tables are not
 * those of its version is set aside and made anew; one of a newer version is
 * left alone, and a failure.
 */
MUST_CHECK int db_file_make_ready(const char *path,
				  const struct db_schema *schema,
				  struct err *e);

#endif
