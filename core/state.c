/* SPDX-License-Identifier: Apache-2.0 */
#include "core/state.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/db.h"
#include "core/model/graph.h"
#include "core/model/layers.h"
#include "core/model/popularity.h"
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

	("CREATE TABLE referrers ("
	 "  subject BLOB PRIMARY KEY, list BLOB NOT NULL) WITHOUT ROWID;"),

	("CREATE TABLE usage ("
	 "  name TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;"),

	/*
	 * What is trusted has a checksum now. Nothing of it is taken over: it
	 * may be damaged already, and the records in storage have it too. The
	 * old tables stay, empty: a process of an older version may be at
	 * work beside us, and would take a change of them for damage.
	 */
	"CREATE TABLE kept_revisions ("
	"  key BLOB PRIMARY KEY, id TEXT NOT NULL, time INTEGER NOT NULL,"
	"  until INTEGER NOT NULL, checksum BLOB NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE kept_images ("
	"  key BLOB PRIMARY KEY, manifest BLOB NOT NULL,"
	"  checksum BLOB NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE kept_layers ("
	"  key BLOB PRIMARY KEY, digest BLOB NOT NULL, diff_id BLOB NOT NULL,"
	"  size INTEGER NOT NULL, compression INTEGER NOT NULL,"
	"  checksum BLOB NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE kept_manifests ("
	"  digest BLOB PRIMARY KEY, size INTEGER NOT NULL,"
	"  media_type TEXT NOT NULL, blobs BLOB NOT NULL,"
	"  checksum BLOB NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE kept_referrers ("
	"  subject BLOB PRIMARY KEY, list BLOB NOT NULL,"
	"  checksum BLOB NOT NULL) WITHOUT ROWID;"
	"DELETE FROM revisions; DELETE FROM images; DELETE FROM layers;"
	"DELETE FROM manifests; DELETE FROM referrers;",
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
	GET_REFERRERS,
	PUT_REFERRERS,
	ADD_USAGE,
	GET_USAGE,
	CHECK,
};

/* Lookups begin with: is the row as it was written? */
#define ROW(table, columns, where)                                            \
	"SELECT checksum IS row_checksum('" table "', " columns "), " columns \
	" FROM " table " WHERE " where
#define PUT(table, parameters)                            \
	"REPLACE INTO " table " VALUES (" parameters ", " \
	"row_checksum('" table "', " parameters "))"

static const char *const queries[] = {
	[GET_REVISION] = ROW("kept_revisions", "key, id, time, until",
			     "key = ?1 AND until > ?2 AND until <= ?3"),
	[PUT_REVISION] = PUT("kept_revisions", "?1, ?2, ?3, ?4"),
	[GET_IMAGE] = ROW("kept_images", "key, manifest", "key = ?1"),
	[PUT_IMAGE] = PUT("kept_images", "?1, ?2"),
	[GET_LAYER] =
		ROW("kept_layers", "key, digest, diff_id, size, compression",
		    "key = ?1"),
	[PUT_LAYER] = PUT("kept_layers", "?1, ?2, ?3, ?4, ?5"),
	[GET_MANIFEST] = ROW("kept_manifests",
			     "digest, size, media_type, blobs", "digest = ?1"),
	[PUT_MANIFEST] = PUT("kept_manifests", "?1, ?2, ?3, ?4"),
	[PUT_TAG] = "REPLACE INTO tags VALUES (?1, ?2, ?3)",
	[LIST_TAGS] = "SELECT tag FROM tags WHERE name = ?3 AND tag > ?1"
		      " ORDER BY tag LIMIT ?2",
	[LIST_IMAGES] = "SELECT DISTINCT name FROM tags WHERE name > ?1"
			" ORDER BY name LIMIT ?2",
	[GET_REFERRERS] =
		ROW("kept_referrers", "subject, list", "subject = ?1"),
	[PUT_REFERRERS] = PUT("kept_referrers", "?1, ?2"),
	[ADD_USAGE] = "INSERT INTO usage SELECT DISTINCT value, 1"
		      " FROM json_each(?1) WHERE true"
		      " ON CONFLICT (name) DO UPDATE SET count = count + 1",
	[GET_USAGE] = "SELECT name, count FROM usage",
	[CHECK] = "SELECT count(*) FROM sqlite_schema",
};

static const struct db_schema schema = {
	.migrations = migrations,
	.n_migrations = ARRAY_LEN(migrations),
	.queries = queries,
	.n_queries = ARRAY_LEN(queries),
};

struct state {
	struct db *db;
};

int
state_open(const char *dir, struct state **ret, struct err *e)
{
	struct db *db;

	if (db_open(dir, &schema, &db, e) < 0)
		return -1;
	*ret = xcalloc(1, sizeof(**ret));
	(*ret)->db = db;
	return 0;
}

void
state_free(struct state *st)
{
	if (!st)
		return;
	db_free(st->db);
	free(st);
}

void
state_forgive(struct err *e)
{
	log_err(LOG_WARN, "state.not_kept", e);
	err_clear(e);
}

static void
warn_damaged(sqlite3_stmt *s, const struct digest *key)
{
	char hex[DIGEST_HEX_CAP];

	digest_hex(key, hex);
	log_warn("state.row_damaged", LOG_S("key", hex),
		 LOG_S("query", sqlite3_sql(s)));
}

/*
 * The row of a key. One that is not as it was written counts as none: what
 * it said is found again elsewhere, and put in its place.
 */
static int
step_row(struct state *st, sqlite3_stmt *s, const struct digest *key,
	 bool *ret_found, struct err *e)
{
	if (db_step(st->db, s, ret_found, e) < 0)
		return -1;
	if (*ret_found && sqlite3_column_int(s, 0) != 1) {
		warn_damaged(s, key);
		*ret_found = false;
	}
	return 0;
}

int
state_get_revision(struct state *st, const struct digest *key, uint64_t now,
		   uint64_t ttl_s, bool *ret_found, struct revision *ret,
		   struct err *e)
{
	sqlite3_stmt *s = db_begin(st->db, GET_REVISION, e);

	*ret_found = false;
	if (!s)
		return -1;
	db_bind_digest(s, 1, key);
	db_bind_u64(s, 2, now);
	db_bind_u64(s, 3, now + ttl_s);
	if (step_row(st, s, key, ret_found, e) < 0)
		return -1;
	if (*ret_found) {
		(void)snprintf(ret->id, sizeof(ret->id), "%s",
			       (const char *)sqlite3_column_text(s, 2));
		ret->time = (uint64_t)sqlite3_column_int64(s, 3);
	}
	db_finish(s);
	return 0;
}

int
state_put_revision(struct state *st, const struct digest *key,
		   const struct revision *r, uint64_t until, struct err *e)
{
	sqlite3_stmt *s = db_begin(st->db, PUT_REVISION, e);

	if (!s)
		return -1;
	db_bind_digest(s, 1, key);
	db_bind_text(s, 2, r->id);
	db_bind_u64(s, 3, r->time);
	db_bind_u64(s, 4, until);
	return db_run(st->db, s, e);
}

/* Tables of one digest for another. */
static int
get_digest(struct state *st, enum query q, const struct digest *key,
	   bool *ret_found, struct digest *ret, struct err *e)
{
	sqlite3_stmt *s = db_begin(st->db, q, e);

	*ret_found = false;
	if (!s)
		return -1;
	db_bind_digest(s, 1, key);
	if (step_row(st, s, key, ret_found, e) < 0)
		return -1;
	if (*ret_found && !db_column_digest(s, 2, ret)) {
		warn_damaged(s, key);
		*ret_found = false;
	}
	db_finish(s);
	return 0;
}

static int
put_digest(struct state *st, enum query q, const struct digest *key,
	   const struct digest *value, struct err *e)
{
	sqlite3_stmt *s = db_begin(st->db, q, e);

	if (!s)
		return -1;
	db_bind_digest(s, 1, key);
	db_bind_digest(s, 2, value);
	return db_run(st->db, s, e);
}

int
state_get_image(struct state *st, const struct digest *key, bool *ret_found,
		struct digest *ret, struct err *e)
{
	return get_digest(st, GET_IMAGE, key, ret_found, ret, e);
}

int
state_put_image(struct state *st, const struct digest *key,
		const struct digest *manifest, struct err *e)
{
	return put_digest(st, PUT_IMAGE, key, manifest, e);
}

int
state_get_referrers(struct state *st, const struct digest *subject,
		    bool *ret_found, struct digest *ret, struct err *e)
{
	return get_digest(st, GET_REFERRERS, subject, ret_found, ret, e);
}

int
state_put_referrers(struct state *st, const struct digest *subject,
		    const struct digest *list, struct err *e)
{
	return put_digest(st, PUT_REFERRERS, subject, list, e);
}

/* Its checksum is right; who wrote it may have been wrong. */
static bool
column_compression(sqlite3_stmt *s, int i, enum compression_kind *ret)
{
	sqlite3_int64 v = sqlite3_column_int64(s, i);

	if (v != COMPRESSION_GZIP && v != COMPRESSION_ZSTD)
		return false;
	*ret = (enum compression_kind)v;
	return true;
}

int
state_get_layer(struct state *st, const struct digest *key, bool *ret_found,
		struct layer *ret, struct err *e)
{
	sqlite3_stmt *s = db_begin(st->db, GET_LAYER, e);

	*ret_found = false;
	if (!s)
		return -1;
	db_bind_digest(s, 1, key);
	if (step_row(st, s, key, ret_found, e) < 0)
		return -1;
	if (*ret_found) {
		ret->size = (uint64_t)sqlite3_column_int64(s, 4);
		if (!db_column_digest(s, 2, &ret->digest) ||
		    !db_column_digest(s, 3, &ret->diff_id) ||
		    !column_compression(s, 5, &ret->compression)) {
			warn_damaged(s, key);
			*ret_found = false;
		}
	}
	db_finish(s);
	return 0;
}

int
state_put_layer(struct state *st, const struct digest *key,
		const struct layer *l, struct err *e)
{
	sqlite3_stmt *s = db_begin(st->db, PUT_LAYER, e);

	if (!s)
		return -1;
	db_bind_digest(s, 1, key);
	db_bind_digest(s, 2, &l->digest);
	db_bind_digest(s, 3, &l->diff_id);
	db_bind_u64(s, 4, l->size);
	db_bind_u64(s, 5, (uint64_t)l->compression);
	return db_run(st->db, s, e);
}

int
state_get_manifest(struct state *st, const struct digest *d, bool *ret_found,
		   uint64_t *ret_size, struct buf *media_type,
		   struct buf *blobs, struct err *e)
{
	sqlite3_stmt *s = db_begin(st->db, GET_MANIFEST, e);
	int n;

	*ret_found = false;
	if (!s)
		return -1;
	db_bind_digest(s, 1, d);
	if (step_row(st, s, d, ret_found, e) < 0)
		return -1;
	if (*ret_found) {
		*ret_size = (uint64_t)sqlite3_column_int64(s, 2);
		buf_adds(media_type, (const char *)sqlite3_column_text(s, 3));
		n = sqlite3_column_bytes(s, 4);
		buf_add(blobs, sqlite3_column_blob(s, 4), (size_t)n);
	}
	db_finish(s);
	return 0;
}

int
state_put_manifest(struct state *st, const struct digest *d, uint64_t size,
		   const char *media_type, const struct digest *blobs, size_t n,
		   struct err *e)
{
	sqlite3_stmt *s = db_begin(st->db, PUT_MANIFEST, e);

	if (!s)
		return -1;
	db_bind_digest(s, 1, d);
	db_bind_u64(s, 2, size);
	db_bind_text(s, 3, media_type);
	(void)sqlite3_bind_blob64(s, 4, blobs, n * sizeof(*blobs),
				  SQLITE_TRANSIENT);
	return db_run(st->db, s, e);
}

int
state_put_tag(struct state *st, const char *name, const char *tag,
	      const struct digest *manifest, struct err *e)
{
	sqlite3_stmt *s = db_begin(st->db, PUT_TAG, e);

	if (!s)
		return -1;
	db_bind_text(s, 1, name);
	db_bind_text(s, 2, tag);
	db_bind_digest(s, 3, manifest);
	return db_run(st->db, s, e);
}

/* Rows of one text column; one more than max is asked for, to know of it. */
static int
list(struct state *st, sqlite3_stmt *s, const char *last, size_t max,
     struct arena *a, struct state_names *ret, struct err *e)
{
	const char *name;
	bool row = false;
	size_t cap = 16;

	db_bind_text(s, 1, last ? last : "");
	db_bind_u64(s, 2, (uint64_t)max + 1);
	*ret = (struct state_names){.v = arena_alloc(a, cap, sizeof(char *))};
	for (;;) {
		if (db_step(st->db, s, &row, e) < 0)
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
		name = (const char *)sqlite3_column_text(s, 0);
		/* Damage may have made it NULL. */
		ret->v[ret->n++] = arena_strdup(a, name ? name : "");
	}
	db_finish(s);
	return 0;
}

int
state_list_tags(struct state *st, const char *name, const char *last,
		size_t max, struct arena *a, struct state_names *ret,
		struct err *e)
{
	sqlite3_stmt *s = db_begin(st->db, LIST_TAGS, e);

	if (!s)
		return -1;
	db_bind_text(s, 3, name);
	return list(st, s, last, max, a, ret, e);
}

int
state_list_images(struct state *st, const char *last, size_t max,
		  struct arena *a, struct state_names *ret, struct err *e)
{
	sqlite3_stmt *s = db_begin(st->db, LIST_IMAGES, e);

	return s ? list(st, s, last, max, a, ret, e) : -1;
}

int
state_add_usage(struct state *st, const struct graph *g, struct err *e)
{
	AUTO(json_out) struct json_out o = {.gen = NULL};
	AUTO(buf) struct buf names = BUF_INIT;
	sqlite3_stmt *s = db_begin(st->db, ADD_USAGE, e);

	if (!s)
		return -1;
	json_out_init(&o, &names);
	json_array(&o);
	for (size_t i = 0; i < g->n; i++)
		json_str(&o, graph_name_of(g->nodes[i].path));
	json_array_end(&o);
	db_bind_text(s, 1, names.p);
	return db_run(st->db, s, e);
}

int
state_get_usage(struct state *st, struct popularity *to, struct err *e)
{
	sqlite3_stmt *s = db_begin(st->db, GET_USAGE, e);
	const char *name;
	bool row = false;

	if (!s)
		return -1;
	for (;;) {
		if (db_step(st->db, s, &row, e) < 0)
			return -1;
		if (!row)
			break;
		name = (const char *)sqlite3_column_text(s, 0);
		if (name)
			popularity_add(to, name,
				       (uint64_t)sqlite3_column_int64(s, 1));
	}
	db_finish(s);
	return 0;
}

int
state_check(struct state *st, struct err *e)
{
	sqlite3_stmt *s = db_begin(st->db, CHECK, e);

	return s ? db_run(st->db, s, e) : -1;
}
