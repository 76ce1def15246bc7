/* SPDX-License-Identifier: Apache-2.0 */
#include "core/db_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/digest.h"
#include "core/base/err.h"
#include "core/db.h"
#include "core/sys/fs.h"
#include "core/sys/log.h"

int
db_file_error(struct err *e, sqlite3 *sql, const char *what)
{
	err_set(e, ERR_SYSTEM, "state database: %s: %s", what,
		sqlite3_errmsg(sql));
	if (sqlite3_errcode(sql) == SQLITE_FULL)
		e->errnum = ENOSPC;
	return -1;
}

/*
 * row_checksum(TABLE, COLUMN...): of all that a row says. Each value goes
 * with its type: a number that damage turned into text is another one.
 */
static void
row_checksum(sqlite3_context *ctx, int n, sqlite3_value **v)
{
	AUTO(hasher) struct hasher h;
	struct digest d;

	hasher_init(&h);
	for (int i = 0; i < n; i++) {
		int type = sqlite3_value_type(v[i]);

		hasher_field_u64(&h, (uint64_t)type);
		if (type == SQLITE_INTEGER) {
			hasher_field_u64(&h,
					 (uint64_t)sqlite3_value_int64(v[i]));
		} else {
			const void *p = sqlite3_value_blob(v[i]);

			hasher_field(&h, p, (size_t)sqlite3_value_bytes(v[i]));
		}
	}
	hasher_finish(&h, &d);
	sqlite3_result_blob(ctx, d.b, DIGEST_SIZE, SQLITE_TRANSIENT);
}

bool
db_file_is_damage(sqlite3 *sql)
{
	int code = sqlite3_extended_errcode(sql);

	return (code & 0xff) == SQLITE_CORRUPT ||
	       (code & 0xff) == SQLITE_NOTADB ||
	       code == SQLITE_READONLY_DBMOVED ||
	       code == SQLITE_IOERR_SHORT_READ;
}

int
db_file_open(const char *path, sqlite3 **ret, bool *ret_damaged, struct err *e)
{
	static const char setup[] = "PRAGMA synchronous = NORMAL;";
	sqlite3 *sql = NULL;

	if (sqlite3_open_v2(path, &sql,
			    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE |
				    SQLITE_OPEN_NOMUTEX,
			    NULL) != SQLITE_OK ||
	    sqlite3_busy_timeout(sql, 10000) != SQLITE_OK ||
	    sqlite3_create_function_v2(
		    sql, "row_checksum", -1, SQLITE_UTF8 | SQLITE_DETERMINISTIC,
		    NULL, row_checksum, NULL, NULL, NULL) != SQLITE_OK ||
	    sqlite3_exec(sql, setup, NULL, NULL, NULL) != SQLITE_OK) {
		db_file_error(e, sql, "open");
		*ret_damaged = db_file_is_damage(sql);
		(void)sqlite3_close(sql);
		return -1;
	}
	*ret = sql;
	return 0;
}

/* The number that a query without parameters gives. */
static int
get_number(sqlite3 *sql, const char *query, sqlite3_int64 *ret)
{
	sqlite3_stmt *s = NULL;
	int r = sqlite3_prepare_v2(sql, query, -1, &s, NULL);

	if (r == SQLITE_OK)
		r = sqlite3_step(s);
	if (r == SQLITE_ROW)
		*ret = sqlite3_column_int64(s, 0);
	(void)sqlite3_finalize(s);
	return r == SQLITE_ROW ? 0 : -1;
}

static int
run_migrations(const struct db_schema *schema, sqlite3 *sql, size_t from,
	       struct err *e)
{
	char pragma[64];

	for (size_t i = from; i < schema->n_migrations; i++)
		if (sqlite3_exec(sql, schema->migrations[i], NULL, NULL,
				 NULL) != SQLITE_OK)
			return db_file_error(e, sql, "migrate");
	(void)snprintf(pragma, sizeof(pragma), "PRAGMA user_version = %zu",
		       schema->n_migrations);
	if (sqlite3_exec(sql, pragma, NULL, NULL, NULL) != SQLITE_OK)
		return db_file_error(e, sql, "migrate");
	return 0;
}

int
db_file_lock_dir(const char *dir, int *ret_fd, struct err *e)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;

	if (fd < 0)
		return err_set_errno(e, ERR_SYSTEM, errno, "open %s", dir);
	*ret_fd = fd;
	do
		r = flock(fd, LOCK_EX);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return err_set_errno(e, ERR_SYSTEM, errno, "lock %s", dir);
	return 0;
}

static int
use_wal(sqlite3 *sql, struct err *e)
{
	if (sqlite3_exec(sql, "PRAGMA journal_mode = WAL", NULL, NULL, NULL) !=
	    SQLITE_OK)
		return db_file_error(e, sql, "switch to WAL");
	return 0;
}

/*
 * Does its version fit what is in it? The tables of version 0 are none; and
 * steps that are right fail only on tables that are not those of its version.
 */
static int
migrate_from(const struct db_schema *schema, sqlite3 *sql, bool *ret_damaged,
	     struct err *e)
{
	sqlite3_int64 version, tables;
	int r;

	if (get_number(sql, "PRAGMA user_version", &version) < 0 ||
	    get_number(sql, "SELECT count(*) FROM sqlite_schema", &tables) < 0)
		return db_file_error(e, sql, "read version");
	if (version > (sqlite3_int64)schema->n_migrations)
		return err_set(e, ERR_SYSTEM,
			       "state database: made by a newer version of "
			       "Firn (%lld; this one knows %zu)",
			       version, schema->n_migrations);
	*ret_damaged = version < 0 || (version == 0 && tables > 0);
	if (*ret_damaged)
		return err_set(e, ERR_SYSTEM,
			       "state database: its version is damaged");
	r = run_migrations(schema, sql, (size_t)version, e);
	*ret_damaged = r < 0 && sqlite3_errcode(sql) == SQLITE_ERROR;
	return r;
}

/* In one transaction: it is there whole or not at all. */
static int
migrate(const struct db_schema *schema, sqlite3 *sql, bool *ret_damaged,
	struct err *e)
{
	int r;

	if (sqlite3_exec(sql, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
		return db_file_error(e, sql, "lock");
	r = migrate_from(schema, sql, ret_damaged, e);
	if (sqlite3_exec(sql, r == 0 ? "COMMIT" : "ROLLBACK", NULL, NULL,
			 NULL) != SQLITE_OK &&
	    r == 0)
		r = db_file_error(e, sql, "commit");
	return r;
}

/* Is the file there sound? false: damaged, or no database at all. */
static bool
is_sound(const char *path)
{
	sqlite3_stmt *s = NULL;
	sqlite3 *sql = NULL;
	bool sound;
	int r = sqlite3_open_v2(path, &sql, SQLITE_OPEN_READWRITE, NULL);

	if (r == SQLITE_OK)
		(void)sqlite3_busy_timeout(sql, 10000);
	if (r == SQLITE_OK)
		r = sqlite3_prepare_v2(sql, "PRAGMA quick_check(1)", -1, &s,
				       NULL);
	if (r == SQLITE_OK)
		r = sqlite3_step(s);
	if (r == SQLITE_ROW)
		sound = strcmp((const char *)sqlite3_column_text(s, 0), "ok") ==
			0;
	else
		sound = r != SQLITE_CORRUPT && r != SQLITE_NOTADB;
	(void)sqlite3_finalize(s);
	(void)sqlite3_close(sql);
	return sound;
}

int
db_file_set_aside(const char *path, struct err *e)
{
	static const char *const parts[] = {"-wal", "-shm", ""};

	log_error("state.damaged", LOG_S("path", path),
		  LOG_S("action", "set aside as *.damaged, starting anew"));
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		AUTO(buf) struct buf from = BUF_INIT, to = BUF_INIT;

		buf_printf(&from, "%s%s", path, parts[i]);
		buf_printf(&to, "%s%s.damaged", path, parts[i]);
		if (rename(from.p, to.p) < 0 && parts[i][0] == '\0')
			return err_set(e, ERR_SYSTEM, "can't set %s aside",
				       path);
	}
	return 0;
}

int
db_file_set_aside_if_damaged(const char *path, struct err *e)
{
	bool found;

	if (fs_stat_file(path, &found, NULL, e) < 0)
		return -1;
	if (!found || is_sound(path))
		return 0;
	return db_file_set_aside(path, e);
}

static int
try_ready(const char *path, const struct db_schema *schema, bool *ret_damaged,
	  struct err *e)
{
	sqlite3 *sql = NULL;
	int r;

	if (db_file_open(path, &sql, ret_damaged, e) < 0)
		return -1;
	r = use_wal(sql, e);
	if (r == 0)
		r = migrate(schema, sql, ret_damaged, e);
	(void)sqlite3_close(sql);
	return r;
}

int
db_file_make_ready(const char *path, const struct db_schema *schema,
		   struct err *e)
{
	bool damaged = false;

	if (try_ready(path, schema, &damaged, e) == 0)
		return 0;
	if (!damaged)
		return -1;
	err_clear(e);
	return db_file_set_aside(path, e) < 0
		       ? -1
		       : try_ready(path, schema, &damaged, e);
}
