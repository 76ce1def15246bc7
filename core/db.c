/* SPDX-License-Identifier: Apache-2.0 */
#include "core/db.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "core/base/buf.h"
#include "core/base/digest.h"
#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/sys/fs.h"
#include "core/sys/log.h"

/* One thread's connection. */
struct conn {
	struct db *owner;
	struct conn *next;
	sqlite3 *sql;         /* NULL: closed */
	sqlite3_stmt **stmts; /* one for each query, made at first use */
	unsigned generation;  /* of the file that it has open */
	dev_t dev;
	ino_t ino;
};

struct db {
	const struct db_schema *schema;
	char *dir;
	char *path;
	pthread_key_t mine;   /* this thread's struct conn */
	pthread_mutex_t lock; /* of what follows */
	struct conn *all;
	unsigned generation; /* counts the files that were set aside */
};

static int
db_error(struct err *e, sqlite3 *sql, const char *what)
{
	err_set(e, ERR_SYSTEM, "state database: %s: %s", what,
		sqlite3_errmsg(sql));
	if (sqlite3_errcode(sql) == SQLITE_FULL)
		e->errnum = ENOSPC;
	return -1;
}

/* Its file may have been set aside: then nothing of it is to be tidied up. */
static void
conn_shut(struct conn *c)
{
	if (!c->sql)
		return;
	for (size_t i = 0; i < c->owner->schema->n_queries; i++) {
		(void)sqlite3_finalize(c->stmts[i]);
		c->stmts[i] = NULL;
	}
	(void)sqlite3_close(c->sql);
	c->sql = NULL;
}

static void
conn_close(struct conn *c)
{
	conn_shut(c);
	free(c->stmts);
	free(c);
}

/* At a thread's end. */
static void
conn_drop(void *arg)
{
	struct conn *c = arg, **at;
	struct db *db = c->owner;

	(void)pthread_mutex_lock(&db->lock);
	for (at = &db->all; *at != c; at = &(*at)->next)
		continue;
	*at = c->next;
	(void)pthread_mutex_unlock(&db->lock);
	conn_close(c);
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

/* Does this error say that the file is damaged, or is another one? */
static bool
is_damage(sqlite3 *sql)
{
	int code = sqlite3_extended_errcode(sql);

	return (code & 0xff) == SQLITE_CORRUPT ||
	       (code & 0xff) == SQLITE_NOTADB ||
	       code == SQLITE_READONLY_DBMOVED ||
	       code == SQLITE_IOERR_SHORT_READ;
}

static int
open_db(const char *path, sqlite3 **ret, bool *ret_damaged, struct err *e)
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
		db_error(e, sql, "open");
		*ret_damaged = is_damage(sql);
		(void)sqlite3_close(sql);
		return -1;
	}
	*ret = sql;
	return 0;
}

/* Open what is there. Its generation and number, read first, may be old. */
static int
conn_open(struct conn *c, bool *ret_damaged, struct err *e)
{
	struct db *db = c->owner;
	struct stat st = {.st_ino = 0};

	(void)pthread_mutex_lock(&db->lock);
	c->generation = db->generation;
	(void)pthread_mutex_unlock(&db->lock);
	(void)stat(db->path, &st);
	c->dev = st.st_dev;
	c->ino = st.st_ino;
	*ret_damaged = false;
	return open_db(db->path, &c->sql, ret_damaged, e);
}

/* --- making and migrating */

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
			return db_error(e, sql, "migrate");
	(void)snprintf(pragma, sizeof(pragma), "PRAGMA user_version = %zu",
		       schema->n_migrations);
	if (sqlite3_exec(sql, pragma, NULL, NULL, NULL) != SQLITE_OK)
		return db_error(e, sql, "migrate");
	return 0;
}

/*
 * One process opens at a time. A new database can't be switched to WAL by
 * two at once (SQLite fails at once then, whatever the busy timeout), and
 * one may find damaged what the other is about to replace.
 */
static int
lock_dir(const char *dir, int *ret_fd, struct err *e)
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
		return db_error(e, sql, "switch to WAL");
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
		return db_error(e, sql, "read version");
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
		return db_error(e, sql, "lock");
	r = migrate_from(schema, sql, ret_damaged, e);
	if (sqlite3_exec(sql, r == 0 ? "COMMIT" : "ROLLBACK", NULL, NULL,
			 NULL) != SQLITE_OK &&
	    r == 0)
		r = db_error(e, sql, "commit");
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

static int
set_aside(const char *path, struct err *e)
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

static int
set_aside_if_damaged(const char *path, struct err *e)
{
	bool found;

	if (fs_stat_file(path, &found, NULL, e) < 0)
		return -1;
	if (!found || is_sound(path))
		return 0;
	return set_aside(path, e);
}

static int
try_ready(const struct db *db, bool *ret_damaged, struct err *e)
{
	sqlite3 *sql = NULL;
	int r;

	if (open_db(db->path, &sql, ret_damaged, e) < 0)
		return -1;
	r = use_wal(sql, e);
	if (r == 0)
		r = migrate(db->schema, sql, ret_damaged, e);
	(void)sqlite3_close(sql);
	return r;
}

/* Make or migrate the file, with the directory locked. */
static int
make_ready(const struct db *db, struct err *e)
{
	bool damaged = false;

	if (try_ready(db, &damaged, e) == 0)
		return 0;
	if (!damaged)
		return -1;
	err_clear(e);
	return set_aside(db->path, e) < 0 ? -1 : try_ready(db, &damaged, e);
}

/* --- damage that shows while it is used */

/* With the lock held. Another process may have done it before us. */
static int
replace_file(struct db *db, const struct conn *c, struct err *e)
{
	AUTO(fd) int lock = -1;
	struct stat st;
	int r;

	if (fs_mkdirs(db->dir, 0755, e) < 0 || lock_dir(db->dir, &lock, e) < 0)
		return -1;
	if (stat(db->path, &st) == 0 && st.st_ino == c->ino &&
	    st.st_dev == c->dev)
		r = set_aside(db->path, e);
	else
		r = set_aside_if_damaged(db->path, e);
	return r < 0 ? -1 : make_ready(db, e);
}

/*
 * This thread's connection has met damage. Its statement stays valid until
 * the next db_begin, which opens the new file.
 */
static int
heal(struct db *db, struct err *e)
{
	struct conn *c = pthread_getspecific(db->mine);
	int r = 0;

	(void)pthread_mutex_lock(&db->lock);
	if (c->generation == db->generation) {
		r = replace_file(db, c, e);
		if (r == 0)
			db->generation++;
	}
	(void)pthread_mutex_unlock(&db->lock);
	return r;
}

static bool
is_outdated(const struct conn *c)
{
	struct db *db = c->owner;
	bool yes;

	(void)pthread_mutex_lock(&db->lock);
	yes = c->generation != db->generation;
	(void)pthread_mutex_unlock(&db->lock);
	return yes;
}

/*
 * Was the file removed, or replaced? SQLite would go on with what nobody else
 * sees any more.
 */
static bool
is_gone(const struct conn *c)
{
	struct stat st;

	return stat(c->owner->path, &st) < 0 || st.st_ino != c->ino ||
	       st.st_dev != c->dev;
}

/* This thread's connection, to the file that is there. */
static int
conn_get(struct db *db, struct conn **ret, struct err *e)
{
	struct conn *c = pthread_getspecific(db->mine);
	bool damaged;

	if (!c) {
		c = xcalloc(1, sizeof(*c));
		c->owner = db;
		c->stmts = xcalloc(db->schema->n_queries, sizeof(*c->stmts));
		(void)pthread_mutex_lock(&db->lock);
		c->next = db->all;
		db->all = c;
		(void)pthread_mutex_unlock(&db->lock);
		(void)pthread_setspecific(db->mine, c);
	}
	if (c->sql && is_gone(c) && heal(db, e) < 0)
		return -1;
	if (c->sql && is_outdated(c))
		conn_shut(c);
	if (!c->sql && conn_open(c, &damaged, e) < 0) {
		if (!damaged)
			return -1;
		err_clear(e);
		if (heal(db, e) < 0 || conn_open(c, &damaged, e) < 0)
			return -1;
	}
	*ret = c;
	return 0;
}

int
db_open(const char *dir, const struct db_schema *schema, struct db **ret,
	struct err *e)
{
	AUTO(buf) struct buf path = BUF_INIT;
	AUTO(fd) int lock = -1;
	struct db *db;
	struct conn *c;

	buf_printf(&path, "%s/firn.sqlite", dir);
	if (fs_mkdirs(dir, 0755, e) < 0 || lock_dir(dir, &lock, e) < 0 ||
	    set_aside_if_damaged(path.p, e) < 0)
		return -1;
	db = xcalloc(1, sizeof(*db));
	db->schema = schema;
	db->dir = xstrdup(dir);
	db->path = buf_steal(&path);
	(void)pthread_mutex_init(&db->lock, NULL);
	if (pthread_key_create(&db->mine, conn_drop) != 0)
		abort();
	/* This thread's stays open: a full disk has no room to begin with. */
	if (make_ready(db, e) < 0 || conn_get(db, &c, e) < 0) {
		db_free(db);
		return -1;
	}
	*ret = db;
	return 0;
}

void
db_free(struct db *db)
{
	if (!db)
		return;
	(void)pthread_key_delete(db->mine);
	while (db->all) {
		struct conn *c = db->all;

		db->all = c->next;
		conn_close(c);
	}
	(void)pthread_mutex_destroy(&db->lock);
	free(db->dir);
	free(db->path);
	free(db);
}

/* --- queries */

static int
prepare(struct conn *c, size_t q)
{
	if (c->stmts[q])
		return SQLITE_OK;
	return sqlite3_prepare_v3(c->sql, c->owner->schema->queries[q], -1,
				  SQLITE_PREPARE_PERSISTENT, &c->stmts[q],
				  NULL);
}

sqlite3_stmt *
db_begin(struct db *db, size_t q, struct err *e)
{
	struct conn *c;
	int r;

	if (conn_get(db, &c, e) < 0)
		return NULL;
	r = prepare(c, q);
	/* Our queries are right: an error says that the tables are not. */
	if (r == SQLITE_ERROR || (r != SQLITE_OK && is_damage(c->sql))) {
		if (heal(db, e) < 0 || conn_get(db, &c, e) < 0)
			return NULL;
		r = prepare(c, q);
	}
	if (r != SQLITE_OK) {
		db_error(e, c->sql, db->schema->queries[q]);
		return NULL;
	}
	return c->stmts[q];
}

void
db_bind_digest(sqlite3_stmt *s, int i, const struct digest *d)
{
	(void)sqlite3_bind_blob(s, i, d->b, DIGEST_SIZE, SQLITE_TRANSIENT);
}

void
db_bind_text(sqlite3_stmt *s, int i, const char *text)
{
	(void)sqlite3_bind_text(s, i, text, -1, SQLITE_TRANSIENT);
}

void
db_bind_u64(sqlite3_stmt *s, int i, uint64_t v)
{
	(void)sqlite3_bind_int64(s, i, (sqlite3_int64)v);
}

int
db_step(struct db *db, sqlite3_stmt *s, bool *ret_row, struct err *e)
{
	int r = sqlite3_step(s);

	*ret_row = r == SQLITE_ROW;
	if (r == SQLITE_ROW || r == SQLITE_DONE)
		return 0;
	if (is_damage(sqlite3_db_handle(s)))
		return heal(db, e);
	db_error(e, sqlite3_db_handle(s), sqlite3_sql(s));
	(void)sqlite3_reset(s);
	return -1;
}

void
db_finish(sqlite3_stmt *s)
{
	(void)sqlite3_reset(s);
	(void)sqlite3_clear_bindings(s);
}

int
db_run(struct db *db, sqlite3_stmt *s, struct err *e)
{
	bool row;

	if (db_step(db, s, &row, e) < 0)
		return -1;
	db_finish(s);
	return 0;
}

bool
db_column_digest(sqlite3_stmt *s, int i, struct digest *ret)
{
	const void *p = sqlite3_column_blob(s, i);

	if (!p || sqlite3_column_bytes(s, i) != DIGEST_SIZE)
		return false;
	memcpy(ret->b, p, DIGEST_SIZE);
	return true;
}
