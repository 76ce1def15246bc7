/* SPDX-License-Identifier: Apache-2.0 */
#include "core/state.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/model/layers.h"
#include "core/sys/fs.h"
#include "core/sys/log.h"

/*
 * Step i makes version i + 1 out of version i. Steps are only ever added:
 * databases of every older version are out there.
 */
static const char *const migrations[] = {
	"CREATE TABLE revisions ("
	"  key BLOB PRIMARY KEY, id TEXT NOT NULL, time INTEGER NOT NULL,"
	"  until INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE images ("
	"  key BLOB PRIMARY KEY, manifest BLOB NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE layers ("
	"  key BLOB PRIMARY KEY, digest BLOB NOT NULL, diff_id BLOB NOT NULL,"
	"  size INTEGER NOT NULL, compression INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE manifests ("
	"  digest BLOB PRIMARY KEY, size INTEGER NOT NULL,"
	"  media_type TEXT NOT NULL, blobs BLOB NOT NULL) WITHOUT ROWID;",

	"CREATE TABLE tags ("
	"  name TEXT NOT NULL, tag TEXT NOT NULL, manifest BLOB NOT NULL,"
	"  PRIMARY KEY (name, tag)) WITHOUT ROWID;",
};

enum query {
	GET_REVISION,
	PUT_REVISION,
	GET_IMAGE,
	PUT_IMAGE,
	GET_LAYER,
	PUT_LAYER,
	GET_MANIFEST,
	PUT_MANIFEST,
	PUT_TAG,
	LIST_TAGS,
	LIST_IMAGES,
	CHECK,
	N_QUERIES,
};

static const char *const queries[] = {
	[GET_REVISION] = "SELECT id, time FROM revisions"
			 " WHERE key = ?1 AND until > ?2",
	[PUT_REVISION] = "REPLACE INTO revisions VALUES (?1, ?2, ?3, ?4)",
	[GET_IMAGE] = "SELECT manifest FROM images WHERE key = ?1",
	[PUT_IMAGE] = "REPLACE INTO images VALUES (?1, ?2)",
	[GET_LAYER] = "SELECT digest, diff_id, size, compression FROM layers"
		      " WHERE key = ?1",
	[PUT_LAYER] = "REPLACE INTO layers VALUES (?1, ?2, ?3, ?4, ?5)",
	[GET_MANIFEST] = "SELECT size, media_type, blobs FROM manifests"
			 " WHERE digest = ?1",
	[PUT_MANIFEST] = "REPLACE INTO manifests VALUES (?1, ?2, ?3, ?4)",
	[PUT_TAG] = "REPLACE INTO tags VALUES (?1, ?2, ?3)",
	[LIST_TAGS] = "SELECT tag FROM tags WHERE name = ?3 AND tag > ?1"
		      " ORDER BY tag LIMIT ?2",
	[LIST_IMAGES] = "SELECT DISTINCT name FROM tags WHERE name > ?1"
			" ORDER BY name LIMIT ?2",
	[CHECK] = "SELECT count(*) FROM sqlite_schema",
};

/* One thread's connection. */
struct conn {
	struct state *state;
	struct conn *next;
	sqlite3 *db;
	sqlite3_stmt *stmts[N_QUERIES];
};

struct state {
	char *path;
	pthread_key_t mine; /* this thread's struct conn */
	pthread_mutex_t lock;
	struct conn *all;
};

static int
db_error(struct err *e, sqlite3 *db, const char *what)
{
	return err_set(e, ERR_SYSTEM, "state database: %s: %s", what,
		       sqlite3_errmsg(db));
}

static void
conn_close(struct conn *c)
{
	for (size_t i = 0; i < N_QUERIES; i++)
		(void)sqlite3_finalize(c->stmts[i]);
	(void)sqlite3_close(c->db);
	free(c);
}

/* At a thread's end. */
static void
conn_drop(void *arg)
{
	struct conn *c = arg, **at;
	struct state *st = c->state;

	(void)pthread_mutex_lock(&st->lock);
	for (at = &st->all; *at != c; at = &(*at)->next)
		continue;
	*at = c->next;
	(void)pthread_mutex_unlock(&st->lock);
	conn_close(c);
}

static int
open_db(const char *path, sqlite3 **ret, struct err *e)
{
	static const char setup[] = "PRAGMA journal_mode = WAL;"
				    "PRAGMA synchronous = NORMAL;";
	sqlite3 *db = NULL;

	if (sqlite3_open_v2(path, &db,
			    SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE |
				    SQLITE_OPEN_NOMUTEX,
			    NULL) != SQLITE_OK ||
	    sqlite3_busy_timeout(db, 10000) != SQLITE_OK ||
	    sqlite3_exec(db, setup, NULL, NULL, NULL) != SQLITE_OK) {
		db_error(e, db, "open");
		(void)sqlite3_close(db);
		return -1;
	}
	*ret = db;
	return 0;
}

static int
conn_get(struct state *st, struct conn **ret, struct err *e)
{
	struct conn *c = pthread_getspecific(st->mine);

	if (!c) {
		c = xcalloc(1, sizeof(*c));
		c->state = st;
		if (open_db(st->path, &c->db, e) < 0) {
			free(c);
			return -1;
		}
		(void)pthread_mutex_lock(&st->lock);
		c->next = st->all;
		st->all = c;
		(void)pthread_mutex_unlock(&st->lock);
		(void)pthread_setspecific(st->mine, c);
	}
	*ret = c;
	return 0;
}

/* --- making and migrating */

static int
get_version(sqlite3 *db, int *ret)
{
	sqlite3_stmt *s = NULL;
	int r = sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &s, NULL);

	if (r == SQLITE_OK)
		r = sqlite3_step(s);
	if (r == SQLITE_ROW)
		*ret = sqlite3_column_int(s, 0);
	(void)sqlite3_finalize(s);
	return r == SQLITE_ROW ? 0 : -1;
}

static int
run_migrations(sqlite3 *db, int from, struct err *e)
{
	char pragma[64];

	for (size_t i = (size_t)from; i < ARRAY_LEN(migrations); i++)
		if (sqlite3_exec(db, migrations[i], NULL, NULL, NULL) !=
		    SQLITE_OK)
			return db_error(e, db, "migrate");
	(void)snprintf(pragma, sizeof(pragma), "PRAGMA user_version = %zu",
		       ARRAY_LEN(migrations));
	if (sqlite3_exec(db, pragma, NULL, NULL, NULL) != SQLITE_OK)
		return db_error(e, db, "migrate");
	return 0;
}

/* In one transaction, so that two processes that start at once agree. */
static int
migrate(sqlite3 *db, struct err *e)
{
	int version = 0, r;

	if (sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
		return db_error(e, db, "lock");
	if (get_version(db, &version) < 0)
		r = db_error(e, db, "read version");
	else if (version > (int)ARRAY_LEN(migrations))
		r = err_set(e, ERR_SYSTEM,
			    "state database: made by a newer version of Firn "
			    "(%d; this one knows %zu)",
			    version, ARRAY_LEN(migrations));
	else
		r = run_migrations(db, version, e);
	if (sqlite3_exec(db, r == 0 ? "COMMIT" : "ROLLBACK", NULL, NULL,
			 NULL) != SQLITE_OK &&
	    r == 0)
		r = db_error(e, db, "commit");
	return r;
}

/* Is the file there sound? false: damaged, or no database at all. */
static bool
is_sound(const char *path)
{
	sqlite3_stmt *s = NULL;
	sqlite3 *db = NULL;
	bool sound;
	int r = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL);

	if (r == SQLITE_OK)
		(void)sqlite3_busy_timeout(db, 10000);
	if (r == SQLITE_OK)
		r = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &s,
				       NULL);
	if (r == SQLITE_OK)
		r = sqlite3_step(s);
	if (r == SQLITE_ROW)
		sound = strcmp((const char *)sqlite3_column_text(s, 0), "ok") ==
			0;
	else
		sound = r != SQLITE_CORRUPT && r != SQLITE_NOTADB;
	(void)sqlite3_finalize(s);
	(void)sqlite3_close(db);
	return sound;
}

static int
set_aside_if_damaged(const char *path, struct err *e)
{
	static const char *const parts[] = {"-wal", "-shm", ""};
	bool found;

	if (fs_stat_file(path, &found, NULL, e) < 0)
		return -1;
	if (!found || is_sound(path))
		return 0;
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
state_open(const char *dir, struct state **ret, struct err *e)
{
	AUTO(buf) struct buf path = BUF_INIT;
	struct state *st;
	struct conn *c;

	buf_printf(&path, "%s/firn.sqlite", dir);
	if (fs_mkdirs(dir, 0755, e) < 0 || set_aside_if_damaged(path.p, e) < 0)
		return -1;
	st = xcalloc(1, sizeof(*st));
	st->path = buf_steal(&path);
	(void)pthread_mutex_init(&st->lock, NULL);
	if (pthread_key_create(&st->mine, conn_drop) != 0)
		abort();
	if (conn_get(st, &c, e) < 0 || migrate(c->db, e) < 0) {
		state_free(st);
		return -1;
	}
	*ret = st;
	return 0;
}

void
state_free(struct state *st)
{
	if (!st)
		return;
	(void)pthread_key_delete(st->mine);
	while (st->all) {
		struct conn *c = st->all;

		st->all = c->next;
		conn_close(c);
	}
	(void)pthread_mutex_destroy(&st->lock);
	free(st->path);
	free(st);
}

/* --- queries: get a statement, bind, step, read, done */

static sqlite3_stmt *
begin(struct state *st, enum query q, struct err *e)
{
	struct conn *c;

	if (conn_get(st, &c, e) < 0)
		return NULL;
	if (!c->stmts[q] &&
	    sqlite3_prepare_v3(c->db, queries[q], -1, SQLITE_PREPARE_PERSISTENT,
			       &c->stmts[q], NULL) != SQLITE_OK) {
		db_error(e, c->db, queries[q]);
		return NULL;
	}
	return c->stmts[q];
}

static void
bind_digest(sqlite3_stmt *s, int i, const struct digest *d)
{
	(void)sqlite3_bind_blob(s, i, d->b, DIGEST_SIZE, SQLITE_TRANSIENT);
}

static void
bind_text(sqlite3_stmt *s, int i, const char *text)
{
	(void)sqlite3_bind_text(s, i, text, -1, SQLITE_TRANSIENT);
}

static void
bind_u64(sqlite3_stmt *s, int i, uint64_t v)
{
	(void)sqlite3_bind_int64(s, i, (sqlite3_int64)v);
}

/* One row or none. After a row, read columns, then finish(). */
static int
step(sqlite3_stmt *s, bool *ret_row, struct err *e)
{
	int r = sqlite3_step(s);

	*ret_row = r == SQLITE_ROW;
	if (r == SQLITE_ROW || r == SQLITE_DONE)
		return 0;
	db_error(e, sqlite3_db_handle(s), sqlite3_sql(s));
	(void)sqlite3_reset(s);
	return -1;
}

static void
finish(sqlite3_stmt *s)
{
	(void)sqlite3_reset(s);
	(void)sqlite3_clear_bindings(s);
}

static int
run(sqlite3_stmt *s, struct err *e)
{
	bool row;

	if (step(s, &row, e) < 0)
		return -1;
	finish(s);
	return 0;
}

/* A column that must be a digest; anything else is damage. */
static int
column_digest(sqlite3_stmt *s, int i, struct digest *ret, struct err *e)
{
	const void *p = sqlite3_column_blob(s, i);

	if (!p || sqlite3_column_bytes(s, i) != DIGEST_SIZE)
		return err_set(e, ERR_SYSTEM,
			       "state database: a digest is damaged");
	memcpy(ret->b, p, DIGEST_SIZE);
	return 0;
}

int
state_get_revision(struct state *st, const struct digest *key, uint64_t now,
		   bool *ret_found, struct revision *ret, struct err *e)
{
	sqlite3_stmt *s = begin(st, GET_REVISION, e);

	*ret_found = false;
	if (!s)
		return -1;
	bind_digest(s, 1, key);
	bind_u64(s, 2, now);
	if (step(s, ret_found, e) < 0)
		return -1;
	if (*ret_found) {
		(void)snprintf(ret->id, sizeof(ret->id), "%s",
			       (const char *)sqlite3_column_text(s, 0));
		ret->time = (uint64_t)sqlite3_column_int64(s, 1);
	}
	finish(s);
	return 0;
}

int
state_put_revision(struct state *st, const struct digest *key,
		   const struct revision *r, uint64_t until, struct err *e)
{
	sqlite3_stmt *s = begin(st, PUT_REVISION, e);

	if (!s)
		return -1;
	bind_digest(s, 1, key);
	bind_text(s, 2, r->id);
	bind_u64(s, 3, r->time);
	bind_u64(s, 4, until);
	return run(s, e);
}

int
state_get_image(struct state *st, const struct digest *key, bool *ret_found,
		struct digest *ret, struct err *e)
{
	sqlite3_stmt *s = begin(st, GET_IMAGE, e);
	int r = 0;

	*ret_found = false;
	if (!s)
		return -1;
	bind_digest(s, 1, key);
	if (step(s, ret_found, e) < 0)
		return -1;
	if (*ret_found)
		r = column_digest(s, 0, ret, e);
	finish(s);
	return r;
}

int
state_put_image(struct state *st, const struct digest *key,
		const struct digest *manifest, struct err *e)
{
	sqlite3_stmt *s = begin(st, PUT_IMAGE, e);

	if (!s)
		return -1;
	bind_digest(s, 1, key);
	bind_digest(s, 2, manifest);
	return run(s, e);
}

int
state_get_layer(struct state *st, const struct digest *key, bool *ret_found,
		struct layer *ret, struct err *e)
{
	sqlite3_stmt *s = begin(st, GET_LAYER, e);
	int r = 0;

	*ret_found = false;
	if (!s)
		return -1;
	bind_digest(s, 1, key);
	if (step(s, ret_found, e) < 0)
		return -1;
	if (*ret_found) {
		r = column_digest(s, 0, &ret->digest, e);
		if (r == 0)
			r = column_digest(s, 1, &ret->diff_id, e);
		ret->size = (uint64_t)sqlite3_column_int64(s, 2);
		ret->compression =
			(enum compression_kind)sqlite3_column_int(s, 3);
	}
	finish(s);
	return r;
}

int
state_put_layer(struct state *st, const struct digest *key,
		const struct layer *l, struct err *e)
{
	sqlite3_stmt *s = begin(st, PUT_LAYER, e);

	if (!s)
		return -1;
	bind_digest(s, 1, key);
	bind_digest(s, 2, &l->digest);
	bind_digest(s, 3, &l->diff_id);
	bind_u64(s, 4, l->size);
	bind_u64(s, 5, (uint64_t)l->compression);
	return run(s, e);
}

int
state_get_manifest(struct state *st, const struct digest *d, bool *ret_found,
		   uint64_t *ret_size, struct buf *media_type,
		   struct buf *blobs, struct err *e)
{
	sqlite3_stmt *s = begin(st, GET_MANIFEST, e);
	int n;

	*ret_found = false;
	if (!s)
		return -1;
	bind_digest(s, 1, d);
	if (step(s, ret_found, e) < 0)
		return -1;
	if (*ret_found) {
		*ret_size = (uint64_t)sqlite3_column_int64(s, 0);
		buf_adds(media_type, (const char *)sqlite3_column_text(s, 1));
		n = sqlite3_column_bytes(s, 2);
		buf_add(blobs, sqlite3_column_blob(s, 2), (size_t)n);
	}
	finish(s);
	return 0;
}

int
state_put_manifest(struct state *st, const struct digest *d, uint64_t size,
		   const char *media_type, const struct digest *blobs, size_t n,
		   struct err *e)
{
	sqlite3_stmt *s = begin(st, PUT_MANIFEST, e);

	if (!s)
		return -1;
	bind_digest(s, 1, d);
	bind_u64(s, 2, size);
	bind_text(s, 3, media_type);
	(void)sqlite3_bind_blob64(s, 4, blobs, n * sizeof(*blobs),
				  SQLITE_TRANSIENT);
	return run(s, e);
}

int
state_put_tag(struct state *st, const char *name, const char *tag,
	      const struct digest *manifest, struct err *e)
{
	sqlite3_stmt *s = begin(st, PUT_TAG, e);

	if (!s)
		return -1;
	bind_text(s, 1, name);
	bind_text(s, 2, tag);
	bind_digest(s, 3, manifest);
	return run(s, e);
}

/* Rows of one text column; one more than max is asked for, to know of it. */
static int
list(sqlite3_stmt *s, const char *last, size_t max, struct arena *a,
     struct state_names *ret, struct err *e)
{
	bool row = false;
	size_t cap = 16;

	bind_text(s, 1, last ? last : "");
	bind_u64(s, 2, (uint64_t)max + 1);
	*ret = (struct state_names){.v = arena_alloc(a, cap, sizeof(char *))};
	for (;;) {
		if (step(s, &row, e) < 0)
			return -1;
		ret->more = row && ret->n == max;
		if (!row || ret->more)
			break;
		if (ret->n == cap) {
			const char **v =
				arena_alloc(a, cap * 2, sizeof(char *));

			memcpy(v, ret->v, cap * sizeof(char *));
			ret->v = v;
			cap *= 2;
		}
		ret->v[ret->n++] = arena_strdup(
			a, (const char *)sqlite3_column_text(s, 0));
	}
	finish(s);
	return 0;
}

int
state_list_tags(struct state *st, const char *name, const char *last,
		size_t max, struct arena *a, struct state_names *ret,
		struct err *e)
{
	sqlite3_stmt *s = begin(st, LIST_TAGS, e);

	if (!s)
		return -1;
	bind_text(s, 3, name);
	return list(s, last, max, a, ret, e);
}

int
state_list_images(struct state *st, const char *last, size_t max,
		  struct arena *a, struct state_names *ret, struct err *e)
{
	sqlite3_stmt *s = begin(st, LIST_IMAGES, e);

	return s ? list(s, last, max, a, ret, e) : -1;
}

int
state_check(struct state *st, struct err *e)
{
	sqlite3_stmt *s = begin(st, CHECK, e);

	return s ? run(s, e) : -1;
}
