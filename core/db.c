/* SPDX-License-Identifier: Apache-2.0 */
#include "core/db.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/digest.h"
#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/db_file.h"
#include "core/sys/fs.h"

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
	return db_file_open(db->path, &c->sql, ret_damaged, e);
}

/* --- damage that shows while it is used */

/* With the lock held. Another process may have done it before us. */
static int
replace_file(struct db *db, const struct conn *c, struct err *e)
{
	AUTO(fd) int lock = -1;
	struct stat st;
	int r;

	if (fs_mkdirs(db->dir, 0755, e) < 0 ||
	    db_file_lock_dir(db->dir, &lock, e) < 0)
		return -1;
	if (stat(db->path, &st) == 0 && st.st_ino == c->ino &&
	    st.st_dev == c->dev)
		r = db_file_set_aside(db->path, e);
	else
		r = db_file_set_aside_if_damaged(db->path, e);
	return r < 0 ? -1 : db_file_make_ready(db->path, db->schema, e);
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
	if (fs_mkdirs(dir, 0755, e) < 0 ||
	    db_file_lock_dir(dir, &lock, e) < 0 ||
	    db_file_set_aside_if_damaged(path.p, e) < 0)
		return -1;
	db = xcalloc(1, sizeof(*db));
	db->schema = schema;
	db->dir = xstrdup(dir);
	db->path = buf_steal(&path);
	(void)pthread_mutex_init(&db->lock, NULL);
	if (pthread_key_create(&db->mine, conn_drop) != 0)
		abort();
	/* This thread's stays open: a full disk has no room to begin with. */
	if (db_file_make_ready(db->path, db->schema, e) < 0 ||
	    conn_get(db, &c, e) < 0) {
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
	if (r == SQLITE_ERROR ||
	    (r != SQLITE_OK && db_file_is_damage(c->sql))) {
		if (heal(db, e) < 0 || conn_get(db, &c, e) < 0)
			return NULL;
		r = prepare(c, q);
	}
	if (r != SQLITE_OK) {
		db_file_error(e, c->sql, db->schema->queries[q]);
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
	if (db_file_is_damage(sqlite3_db_handle(s)))
		return heal(db, e);
	db_file_error(e, sqlite3_db_handle(s), sqlite3_sql(s));
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
