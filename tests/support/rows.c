/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/rows.h"

#include <sqlite3.h>
#include <stdlib.h>

#include "core/base/buf.h"
#include "core/sys/fs.h"
#include "tests/support/must.h"

struct digest
rows_key(const char *text)
{
	struct digest d;

	digest_of(text, strlen(text), &d);
	return d;
}

struct layer
rows_layer(void)
{
	return (struct layer){
		.digest = rows_key("blob"),
		.diff_id = rows_key("tar"),
		.size = (uint64_t)1 << 40,
		.compression = COMPRESSION_ZSTD,
	};
}

struct state *
rows_open(const char *dir)
{
	struct err e = ERR_INIT;
	struct state *st = NULL;

	must(state_open(dir, &st, &e), &e);
	return st;
}

void
rows_exec(const char *dir, const char *sql)
{
	AUTO(buf) struct buf file = BUF_INIT;
	sqlite3 *db = NULL;
	char *why = NULL;

	buf_printf(&file, "%s/firn.sqlite", dir);
	if (sqlite3_open(file.p, &db) != SQLITE_OK ||
	    sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK) {
		printf("Bail out! %s: %s\n", sql, why ? why : "can't open");
		exit(1);
	}
	(void)sqlite3_close(db);
}

bool
rows_set_aside(const char *dir)
{
	AUTO(buf) struct buf file = BUF_INIT;
	struct err e = ERR_INIT;
	bool found = false;

	buf_printf(&file, "%s/firn.sqlite.damaged", dir);
	return fs_stat_file(file.p, &found, NULL, &e) == 0 && found;
}

bool
rows_try_put(struct state *st, struct err *e)
{
	const struct digest key = rows_key("key"),
			    blobs[] = {rows_key("1"), rows_key("2")};
	const struct revision r = {.id = "0123abcd", .time = 17};
	const struct layer l = rows_layer();

	return state_put_referrers(st, &key, &blobs[1], e) == 0 &&
	       state_put_revision(st, &key, &r, 1000, e) == 0 &&
	       state_put_image(st, &key, &blobs[0], e) == 0 &&
	       state_put_layer(st, &key, &l, e) == 0 &&
	       state_put_manifest(st, &key, 99, "type", blobs, 2, e) == 0;
}

static unsigned
kept_if(bool found, bool right, unsigned which)
{
	return found ? (right ? which : WRONG) : 0;
}

static unsigned
kept_manifest(struct state *st, struct err *e)
{
	AUTO(buf) struct buf type = BUF_INIT, blobs = BUF_INIT;
	const struct digest key = rows_key("key"), one = rows_key("1"),
			    two = rows_key("2");
	uint64_t size = 0;
	bool found = true;

	if (state_get_manifest(st, &key, &found, &size, &type, &blobs, e) < 0)
		return FAILED;
	return kept_if(
		found,
		size == 99 && strcmp(type.p, "type") == 0 &&
			blobs.len == sizeof(one) + sizeof(two) &&
			memcmp(blobs.p, one.b, sizeof(one)) == 0 &&
			memcmp(blobs.p + sizeof(one), two.b, sizeof(two)) == 0,
		MANIFEST);
}

static bool
is_layer(const struct layer *l)
{
	const struct layer put = rows_layer();

	return digest_eq(&l->digest, &put.digest) &&
	       digest_eq(&l->diff_id, &put.diff_id) && l->size == put.size &&
	       l->compression == put.compression;
}

unsigned
rows_kept(struct state *st)
{
	const struct digest key = rows_key("key"), one = rows_key("1"),
			    two = rows_key("2");
	bool found[4] = {true, true, true, true};
	struct err e = ERR_INIT;
	struct layer l = {.size = 0};
	struct revision r;
	struct digest d, list;
	unsigned kept;

	if (state_get_revision(st, &key, 999, 300, &found[0], &r, &e) < 0 ||
	    state_get_image(st, &key, &found[1], &d, &e) < 0 ||
	    state_get_layer(st, &key, &found[2], &l, &e) < 0 ||
	    state_get_referrers(st, &key, &found[3], &list, &e) < 0)
		kept = FAILED;
	else
		kept = kept_if(found[0],
			       strcmp(r.id, "0123abcd") == 0 && r.time == 17,
			       REVISION) |
		       kept_if(found[1], digest_eq(&d, &one), IMAGE) |
		       kept_if(found[2], is_layer(&l), LAYER) |
		       kept_if(found[3], digest_eq(&list, &two), REFERRERS) |
		       kept_manifest(st, &e);
	if (kept & FAILED)
		printf("# %s\n", e.msg);
	return kept;
}
