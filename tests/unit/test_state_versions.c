/* SPDX-License-Identifier: Apache-2.0 */
/* A database of another version, or one that says so. */
#include "core/base/arena.h"
#include "core/sys/log.h"
#include "tests/support/rows.h"
#include "tests/support/tree.h"

/* A database with one of each, which says that it is of this version. */
static const char *
make_version(int version)
{
	const char *dir = tree_path("version-%d", version);
	struct state *st = rows_open(dir);
	char sql[64];

	rows_put(st);
	state_free(st);
	(void)snprintf(sql, sizeof(sql), "PRAGMA user_version = %d", version);
	rows_exec(dir, sql);
	return dir;
}

static void
test_empty_file(void)
{
	const char *dir = tree_path("empty");
	struct state *st;

	tree_file(tree_path("empty/firn.sqlite"), "");
	st = rows_open(dir);
	ok(!rows_set_aside(dir), "an empty file is no damage");
	rows_put(st);
	rows_all(st, "it is made a database");
	state_free(st);
}

static void
test_newer(void)
{
	const char *dir = make_version(99);
	struct err e = ERR_INIT;
	struct state *st;

	ok(state_open(dir, &st, &e) < 0 && e.kind == ERR_SYSTEM &&
		   strstr(e.msg, "newer"),
	   "a newer version's is refused: %s", e.msg);
	ok(!rows_set_aside(dir), "and left alone");
}

/* Its version is that of a new file, or of tables that are there already. */
static void
test_lost_version(int version)
{
	rows_begun_anew(make_version(version));
}

/* Version 1, as it was released; not to be changed. */
static const char version_1[] =
	"CREATE TABLE revisions (key BLOB PRIMARY KEY, id TEXT NOT NULL,"
	"  time INTEGER NOT NULL, until INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE images (key BLOB PRIMARY KEY, manifest BLOB NOT NULL)"
	"  WITHOUT ROWID;"
	"CREATE TABLE layers (key BLOB PRIMARY KEY, digest BLOB NOT NULL,"
	"  diff_id BLOB NOT NULL, size INTEGER NOT NULL,"
	"  compression INTEGER NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE manifests (digest BLOB PRIMARY KEY,"
	"  size INTEGER NOT NULL, media_type TEXT NOT NULL,"
	"  blobs BLOB NOT NULL) WITHOUT ROWID;"
	"INSERT INTO images VALUES (zeroblob(32), x'"
	"abababababababababababababababababababababababababababababababab');"
	"PRAGMA user_version = 1;";

static const char version_1_at_work[] =
	"REPLACE INTO images VALUES (zeroblob(32), zeroblob(32));"
	"SELECT manifest FROM images WHERE key = zeroblob(32);"
	"SELECT digest, diff_id, size, compression FROM layers;"
	"SELECT size, media_type, blobs FROM manifests;"
	"SELECT id, time FROM revisions";

static void
test_migration(void)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	const char *dir = tree_path("old");
	struct digest key = {.b = {0}}, d = {.b = {0}};
	struct state_names names = {.n = 0};
	struct err e = ERR_INIT;
	struct state *st;
	bool found = false;

	tree_dir(dir);
	rows_exec(dir, version_1);
	st = rows_open(dir);
	ok(!rows_set_aside(dir), "a database of version 1 is no damage");
	ok(state_get_image(st, &key, &found, &d, &e) == 0 && !found,
	   "what has no checksum is not believed %s", e.msg);
	ok(state_put_tag(st, "git", "latest", &d, &e) == 0 &&
		   state_list_images(st, NULL, 9, &a, &names, &e) == 0 &&
		   names.n == 1,
	   "and learns what is new %s", e.msg);
	state_free(st);
	rows_exec(dir, version_1_at_work);
	st = rows_open(dir);
	ok(state_list_images(st, NULL, 9, &a, &names, &e) == 0 && names.n == 1,
	   "once is enough; one of version 1 may be at work on it");
	state_free(st);
}

int
main(void)
{
	tree_init();
	/* It warns of what it sets aside. */
	log_set_level(LOG_ERROR);
	test_empty_file();
	test_lost_version(0);
	test_lost_version(2);
	test_lost_version(-3);
	test_newer();
	test_migration();
	tree_done();
	return done_testing();
}
