/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/model/graph.h"
#include "core/model/layers.h"
#include "core/model/popularity.h"
#include "core/state.h"
#include "core/sys/fs.h"
#include "core/sys/log.h"
#include "tests/support/tap.h"
#include "tests/support/tree.h"

static struct digest
key_of(const char *text)
{
	struct digest d;

	digest_of(text, strlen(text), &d);
	return d;
}

static struct state *
must_open(const char *dir)
{
	struct err e = ERR_INIT;
	struct state *st = NULL;

	if (state_open(dir, &st, &e) < 0) {
		printf("Bail out! %s\n", e.msg);
		exit(1);
	}
	return st;
}

static const struct layer *
some_layer(void)
{
	static struct layer l = {.size = (uint64_t)1 << 40,
				 .compression = COMPRESSION_ZSTD};

	l.digest = key_of("blob");
	l.diff_id = key_of("tar");
	return &l;
}

static bool
put_quietly(struct state *st, struct err *e)
{
	const struct digest key = key_of("key"),
			    blobs[] = {key_of("1"), key_of("2")};
	const struct revision r = {.id = "0123abcd", .time = 17};

	return state_put_referrers(st, &key, &blobs[1], e) == 0 &&
	       state_put_revision(st, &key, &r, 1000, e) == 0 &&
	       state_put_image(st, &key, &blobs[0], e) == 0 &&
	       state_put_layer(st, &key, some_layer(), e) == 0 &&
	       state_put_manifest(st, &key, 99, "type", blobs, 2, e) == 0;
}

static void
put_all(struct state *st)
{
	struct err e = ERR_INIT;

	ok(put_quietly(st, &e), "put one of each %s", e.msg);
}

/* What put_all put, as far as it is there: a bit each, and one for wrong. */
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

static unsigned
kept_if(bool found, bool right, unsigned which)
{
	return found ? (right ? which : WRONG) : 0;
}

static unsigned
kept_manifest(struct state *st, struct err *e)
{
	AUTO(buf) struct buf type = BUF_INIT, blobs = BUF_INIT;
	const struct digest key = key_of("key"), one = key_of("1"),
			    two = key_of("2");
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

static unsigned
what_is_kept(struct state *st)
{
	const struct digest key = key_of("key"), one = key_of("1"),
			    two = key_of("2");
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
		       kept_if(found[2],
			       digest_eq(&l.digest, &some_layer()->digest) &&
				       digest_eq(&l.diff_id,
						 &some_layer()->diff_id) &&
				       l.size == some_layer()->size &&
				       l.compression == COMPRESSION_ZSTD,
			       LAYER) |
		       kept_if(found[3], digest_eq(&list, &two), REFERRERS) |
		       kept_manifest(st, &e);
	if (kept & FAILED)
		printf("# %s\n", e.msg);
	return kept;
}

static void
has_none(struct state *st, const char *says)
{
	is_u64(what_is_kept(st), 0, says);
}

static void
has_all(struct state *st, const char *says)
{
	is_u64(what_is_kept(st), ALL, says);
}

static void
test_values(void)
{
	const char *dir = tree_path("values/of/state");
	const struct digest key = key_of("key"), other = key_of("other");
	struct revision r = {.id = "new"};
	struct err e = ERR_INIT;
	struct state *st = must_open(dir);
	struct digest d;
	bool found = true;

	has_none(st, "a new database has nothing");
	ok(state_check(st, &e) == 0, "and answers %s", e.msg);
	put_all(st);
	has_all(st, "all are found");
	state_free(st);
	st = must_open(dir);
	has_all(st, "all are there after opening again");
	ok(state_get_revision(st, &key, 1000, 300, &found, &r, &e) == 0 &&
		   !found,
	   "a revision ends when its time is over");
	ok(state_put_revision(st, &key, &r, 2000, &e) == 0 &&
		   state_get_revision(st, &key, 1990, 9, &found, &r, &e) == 0 &&
		   !found,
	   "what would hold for longer than one is to remember it");
	ok(state_get_revision(st, &key, 1991, 9, &found, &r, &e) == 0 && found,
	   "and no longer than that");
	ok(state_put_revision(st, &key, &r, 2000, &e) == 0 &&
		   state_get_revision(st, &key, 1999, 300, &found, &r, &e) ==
			   0 &&
		   found && strcmp(r.id, "new") == 0,
	   "it is replaced");
	ok(state_put_image(st, &key, &other, &e) == 0 &&
		   state_get_image(st, &key, &found, &d, &e) == 0 && found &&
		   digest_eq(&d, &other),
	   "so is an image");
	ok(state_get_image(st, &other, &found, &d, &e) == 0 && !found,
	   "another key has none");
	state_free(st);
	state_free(NULL);
}

/* What can't be a value of ours is no index into a table, and heals. */
static void
test_bad_value(void)
{
	struct state *st = must_open(tree_path("bad-value"));
	struct layer l = *some_layer(), got;
	const struct digest key = key_of("key");
	struct err e = ERR_INIT;
	bool found = true;

	l.compression = (enum compression_kind)77;
	log_set_level(LOG_ERROR);
	ok(state_put_layer(st, &key, &l, &e) == 0 &&
		   state_get_layer(st, &key, &found, &got, &e) == 0 && !found,
	   "a compression that there isn't is none %s", e.msg);
	ok(state_put_layer(st, &key, some_layer(), &e) == 0 &&
		   state_get_layer(st, &key, &found, &got, &e) == 0 && found,
	   "and is replaced %s", e.msg);
	state_free(st);
}

static void
test_tags(void)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	struct state *st = must_open(tree_path("tags"));
	const struct digest d = key_of("m");
	struct state_names names;
	struct err e = ERR_INIT;
	char name[16];
	bool good = true;

	ok(state_list_images(st, NULL, 10, &a, &names, &e) == 0 &&
		   names.n == 0 && !names.more,
	   "no image yet");
	for (int i = 39; i >= 0; i--) {
		(void)snprintf(name, sizeof(name), "i%02d", i);
		good = good && state_put_tag(st, name, "latest", &d, &e) == 0;
		good = good && state_put_tag(st, name, "23.05", &d, &e) == 0;
		good = good && state_put_tag(st, name, "latest", &d, &e) == 0;
	}
	ok(good, "forty images of two tags %s", e.msg);
	ok(state_list_images(st, NULL, 40, &a, &names, &e) == 0 &&
		   names.n == 40 && !names.more &&
		   strcmp(names.v[0], "i00") == 0 &&
		   strcmp(names.v[39], "i39") == 0,
	   "all, each once, sorted");
	ok(state_list_images(st, "i09", 20, &a, &names, &e) == 0 &&
		   names.n == 20 && names.more &&
		   strcmp(names.v[0], "i10") == 0,
	   "twenty after the tenth, and there are more");
	ok(state_list_images(st, "i39", 20, &a, &names, &e) == 0 &&
		   names.n == 0 && !names.more,
	   "none after the last");
	ok(state_list_images(st, NULL, 0, &a, &names, &e) == 0 &&
		   names.n == 0 && names.more,
	   "none at all when none is wanted");
	ok(state_list_tags(st, "i07", NULL, 10, &a, &names, &e) == 0 &&
		   names.n == 2 && strcmp(names.v[0], "23.05") == 0 &&
		   strcmp(names.v[1], "latest") == 0,
	   "the tags of one");
	ok(state_list_tags(st, "i07", "23.05", 1, &a, &names, &e) == 0 &&
		   names.n == 1 && !names.more,
	   "those after one");
	ok(state_list_tags(st, "none", NULL, 10, &a, &names, &e) == 0 &&
		   names.n == 0,
	   "none of an image that there isn't");
	state_free(st);
}

/* --- files that are not as they should be */

static bool
exists(const char *path)
{
	struct err e = ERR_INIT;
	bool found = false;

	return fs_stat_file(path, &found, NULL, &e) == 0 && found;
}

/* Overwrite n bytes of a file. */
static void
scribble(const char *path, off_t at, const void *p, size_t n)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || pwrite(fd, p, n, at) != (ssize_t)n)
		exit(1);
	(void)close(fd);
}

static void
test_empty_file(void)
{
	struct state *st;

	tree_file(tree_path("empty/firn.sqlite"), "");
	st = must_open(tree_path("empty"));
	ok(!exists(tree_path("empty/firn.sqlite.damaged")),
	   "an empty file is no damage");
	put_all(st);
	has_all(st, "it is made a database");
	state_free(st);
}

static void
test_damaged(const char *name, off_t at)
{
	const char *dir = tree_path("damaged-%s", name);
	const char *file = tree_path("damaged-%s/firn.sqlite", name);
	struct state *st = must_open(dir);
	char junk[6000];

	put_all(st);
	state_free(st);
	memset(junk, 'j', sizeof(junk));
	scribble(file, at, junk, sizeof(junk));
	log_set_level(LOG_ERROR);
	st = must_open(dir);
	has_none(st, "a damaged database is begun anew");
	ok(exists(tree_path("damaged-%s/firn.sqlite.damaged", name)),
	   "and set aside: %s", name);
	put_all(st);
	state_free(st);
	st = must_open(dir);
	has_all(st, "the new one is good");
	state_free(st);
}

/* Damage, or loss, of a database that is in use. */
static void
test_damaged_in_use(const char *name, bool lost)
{
	const char *dir = tree_path("in-use-%s", name);
	const char *file = tree_path("in-use-%s/firn.sqlite", name);
	struct state *st = must_open(dir), *other;
	char junk[6000];

	put_all(st);
	/* What is in the WAL would hide it. */
	state_free(st);
	st = must_open(dir);
	memset(junk, 'j', sizeof(junk));
	log_set_level(LOG_ERROR);
	if (lost)
		(void)unlink(file);
	else
		for (off_t at = 0; at < 20 * 4096; at += (off_t)sizeof(junk))
			scribble(file, at, junk, sizeof(junk));
	put_all(st);
	put_all(st);
	has_all(st, "what is put after it is there");
	ok(lost || exists(tree_path("in-use-%s/firn.sqlite.damaged", name)),
	   "%s: set aside", name);
	other = must_open(dir);
	has_all(other, "for others too");
	state_free(other);
	state_free(st);
	st = must_open(dir);
	has_all(st, "and later");
	state_free(st);
}

static void
test_newer(void)
{
	static const unsigned char version[] = {0, 0, 0, 99};
	const char *dir = tree_path("newer");
	struct state *st = must_open(dir);
	struct err e = ERR_INIT;

	put_all(st);
	state_free(st);
	/* "User version" (sqlite.org/fileformat2.html, section 1.3). */
	scribble(tree_path("newer/firn.sqlite"), 60, version, sizeof(version));
	ok(state_open(dir, &st, &e) < 0 && e.kind == ERR_SYSTEM &&
		   strstr(e.msg, "newer"),
	   "a newer version's is refused: %s", e.msg);
	ok(!exists(tree_path("newer/firn.sqlite.damaged")), "and left alone");
}

/* Run SQL on a database that nobody has open. */
static void
must_exec(const char *file, const char *sql)
{
	sqlite3 *db = NULL;
	char *why = NULL;

	if (sqlite3_open(file, &db) != SQLITE_OK ||
	    sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK) {
		printf("Bail out! %s: %s\n", sql, why ? why : "can't open");
		exit(1);
	}
	(void)sqlite3_close(db);
}

/* A value that is another one than was written, and one that can't be. */
static const struct {
	const char *table, *column;
	unsigned lost;
} columns[] = {
	{"kept_revisions", "id", REVISION},
	{"kept_revisions", "time", REVISION},
	{"kept_revisions", "until", REVISION},
	{"kept_revisions", "checksum", REVISION},
	{"kept_images", "manifest", IMAGE},
	{"kept_images", "checksum", IMAGE},
	{"kept_layers", "digest", LAYER},
	{"kept_layers", "diff_id", LAYER},
	{"kept_layers", "size", LAYER},
	{"kept_layers", "compression", LAYER},
	{"kept_layers", "checksum", LAYER},
	{"kept_manifests", "size", MANIFEST},
	{"kept_manifests", "media_type", MANIFEST},
	{"kept_manifests", "blobs", MANIFEST},
	{"kept_manifests", "checksum", MANIFEST},
	{"kept_referrers", "list", REFERRERS},
	{"kept_referrers", "checksum", REFERRERS},
};

static void
test_damaged_value(const char *table, const char *column, unsigned lost,
		   const char *value)
{
	const char *dir = tree_path("value");
	struct state *st = must_open(dir);
	char sql[256];
	unsigned kept;

	put_all(st);
	state_free(st);
	(void)snprintf(sql, sizeof(sql), "UPDATE %s SET %s = %s", table, column,
		       value);
	must_exec(tree_path("value/firn.sqlite"), sql);
	st = must_open(dir);
	kept = what_is_kept(st);
	ok(kept == (ALL & ~lost), "%s: gone, and no other: %u", sql, kept);
	put_all(st);
	has_all(st, "it is put again");
	state_free(st);
}

static void
test_damaged_values(void)
{
	static const char *const values[] = {
		"randomblob(32)",
		"x'0102'",
		"7",
	};

	log_set_level(LOG_ERROR);
	for (size_t i = 0; i < ARRAY_LEN(columns); i++)
		for (size_t k = 0; k < ARRAY_LEN(values); k++)
			test_damaged_value(columns[i].table, columns[i].column,
					   columns[i].lost, values[k]);
	/* A row that stands under another's key. */
	test_damaged_value("kept_images", "key", IMAGE, "zeroblob(32)");
}

/* Two images of the same key length; their rows' values change places. */
static void
test_swapped_rows(void)
{
	const char *dir = tree_path("swapped");
	const struct digest a = key_of("a"), b = key_of("b");
	struct state *st = must_open(dir);
	bool found[2] = {true, true};
	struct err e = ERR_INIT;
	struct digest d;

	if (state_put_image(st, &a, &a, &e) < 0 ||
	    state_put_image(st, &b, &b, &e) < 0)
		exit(1);
	state_free(st);
	must_exec(tree_path("swapped/firn.sqlite"),
		  "CREATE TEMP TABLE t AS SELECT * FROM kept_images;"
		  "UPDATE kept_images SET (manifest, checksum) ="
		  " (SELECT manifest, checksum FROM t"
		  "  WHERE t.key <> kept_images.key)");
	st = must_open(dir);
	ok(state_get_image(st, &a, &found[0], &d, &e) == 0 && !found[0] &&
		   state_get_image(st, &b, &found[1], &d, &e) == 0 && !found[1],
	   "what stands under another's key is not believed %s", e.msg);
	state_free(st);
}

#define FLIP_ROUNDS 100
#define VERSION_AT 60 /* "user version", sqlite.org/fileformat2.html, 1.3 */

static void
flip_bits(const char *file, unsigned *seed)
{
	int fd = open(file, O_RDWR | O_CLOEXEC);
	off_t size = lseek(fd, 0, SEEK_END), at;
	unsigned char c;

	for (int n = 0; n < 8; n++) {
		/* Any bit at all, but that of a version that is to come. */
		do
			at = (off_t)rand_r(seed) % size;
		while (at >= VERSION_AT && at < VERSION_AT + 4);
		if (pread(fd, &c, 1, at) != 1)
			exit(1);
		c ^= (unsigned char)(1U << ((unsigned)rand_r(seed) % 8));
		if (pwrite(fd, &c, 1, at) != 1)
			exit(1);
	}
	(void)close(fd);
}

/* Whatever bits are flipped: what is given out is right, and it heals. */
static void
test_bit_flips(void)
{
	const char *dir = tree_path("flips");
	const char *file = tree_path("flips/firn.sqlite");
	unsigned seed = 20261122;
	int wrong = 0, failed = 0, unhealed = 0, harmed = 0;

	log_set_level(LOG_ERROR);
	for (int i = 0; i < FLIP_ROUNDS; i++) {
		struct err e = ERR_INIT;
		struct state *st = must_open(dir);
		unsigned kept;

		if (!put_quietly(st, &e)) {
			printf("# round %d: %s\n", i, e.msg);
			failed++;
			err_clear(&e);
		}
		state_free(st);
		flip_bits(file, &seed);
		if (state_open(dir, &st, &e) < 0) {
			printf("# round %d: %s\n", i, e.msg);
			failed++;
			(void)unlink(file);
			continue;
		}
		kept = what_is_kept(st);
		wrong += (kept & WRONG) != 0;
		failed += (kept & FAILED) != 0;
		harmed += kept != ALL;
		unhealed += !put_quietly(st, &e) || what_is_kept(st) != ALL;
		state_free(st);
	}
	ok(harmed > 0, "%d rounds of flipped bits: %d did harm", FLIP_ROUNDS,
	   harmed);
	ok(wrong == 0, "what is given out is right (not: %d)", wrong);
	ok(failed == 0, "nothing fails (does: %d)", failed);
	ok(unhealed == 0, "what is put again is there (not: %d)", unhealed);
}

/* Its version is that of a new file, or of tables that are there already. */
static void
test_lost_version(int version)
{
	const char *dir = tree_path("version-%d", version);
	const char *file = tree_path("version-%d/firn.sqlite", version);
	struct state *st = must_open(dir);
	char sql[64];

	put_all(st);
	state_free(st);
	(void)snprintf(sql, sizeof(sql), "PRAGMA user_version = %d", version);
	must_exec(file, sql);
	log_set_level(LOG_ERROR);
	st = must_open(dir);
	has_none(st, "a version that doesn't fit its tables: begun anew");
	ok(exists(tree_path("version-%d/firn.sqlite.damaged", version)),
	   "and set aside: version %d", version);
	put_all(st);
	state_free(st);
	st = must_open(dir);
	has_all(st, "the new one is good");
	state_free(st);
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
	sqlite3 *db = NULL;
	struct state *st;
	bool found = false;

	tree_dir(dir);
	ok(sqlite3_open(tree_path("old/firn.sqlite"), &db) == SQLITE_OK &&
		   sqlite3_exec(db, version_1, NULL, NULL, NULL) == SQLITE_OK,
	   "a database of version 1");
	(void)sqlite3_close(db);
	st = must_open(dir);
	ok(state_get_image(st, &key, &found, &d, &e) == 0 && !found,
	   "what has no checksum is not believed %s", e.msg);
	ok(state_put_tag(st, "git", "latest", &d, &e) == 0 &&
		   state_list_images(st, NULL, 9, &a, &names, &e) == 0 &&
		   names.n == 1,
	   "and learns what is new %s", e.msg);
	state_free(st);
	must_exec(tree_path("old/firn.sqlite"), version_1_at_work);
	st = must_open(dir);
	ok(state_list_images(st, NULL, 9, &a, &names, &e) == 0 && names.n == 1,
	   "once is enough; one of version 1 may be at work on it");
	state_free(st);
}

/* --- many at once */

#define ROUNDS 100

/* Write and read own and shared keys; how many times it went wrong. */
static int
work(struct state *st, int who)
{
	int bad = 0;

	for (int i = 0; i < ROUNDS; i++) {
		struct err e = ERR_INIT;
		struct digest key, shared = key_of("shared"), got;
		char text[32];
		bool found = false;

		(void)snprintf(text, sizeof(text), "%d-%d", who, i);
		key = key_of(text);
		if (state_put_image(st, &key, &key, &e) < 0 ||
		    state_put_image(st, &shared, &key, &e) < 0 ||
		    state_get_image(st, &key, &found, &got, &e) < 0 || !found ||
		    !digest_eq(&key, &got)) {
			printf("# %s\n", e.msg);
			bad++;
		}
	}
	return bad;
}

static bool
all_written(struct state *st, int n)
{
	for (int who = 0; who < n; who++) {
		for (int i = 0; i < ROUNDS; i++) {
			struct err e = ERR_INIT;
			struct digest key, got;
			char text[32];
			bool found = false;

			(void)snprintf(text, sizeof(text), "%d-%d", who, i);
			key = key_of(text);
			if (state_get_image(st, &key, &found, &got, &e) < 0 ||
			    !found)
				return false;
		}
	}
	return true;
}

/* Processes that open a new database at the same moment, then work on it. */
static void
test_processes(void)
{
	const char *dir = tree_path("processes");
	pid_t pids[4];
	bool good = true;
	struct state *st;
	int go[2], status;

	if (pipe(go) < 0)
		exit(1);
	for (int i = 0; i < (int)ARRAY_LEN(pids); i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			char c;

			(void)close(go[1]);
			/* Ends when the parent closes its side. */
			(void)!read(go[0], &c, 1);
			st = must_open(dir);
			_exit(work(st, i) ? 1 : 0);
		}
	}
	(void)close(go[0]);
	(void)close(go[1]);
	for (size_t i = 0; i < ARRAY_LEN(pids); i++) {
		status = -1;
		(void)waitpid(pids[i], &status, 0);
		good = good && status == 0;
	}
	ok(good, "four processes open and write at once");
	st = must_open(dir);
	ok(all_written(st, ARRAY_LEN(pids)), "and nothing got lost");
	state_free(st);
}

struct worker {
	struct state *st;
	int who;
	int bad;
};

static void *
run_worker(void *arg)
{
	struct worker *w = arg;

	w->bad = work(w->st, w->who);
	return NULL;
}

static void
test_threads(void)
{
	struct state *st = must_open(tree_path("threads"));
	struct worker w[6];
	pthread_t t[6];
	int bad = 0;

	for (int i = 0; i < (int)ARRAY_LEN(w); i++) {
		w[i] = (struct worker){.st = st, .who = i};
		(void)pthread_create(&t[i], NULL, run_worker, &w[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(w); i++) {
		(void)pthread_join(t[i], NULL);
		bad += w[i].bad;
	}
	ok(bad == 0, "six threads write at once");
	ok(all_written(st, ARRAY_LEN(w)), "and nothing got lost");
	state_free(st);
}

static void
test_no_directory(void)
{
	struct err e = ERR_INIT;
	struct state *st = NULL;

	tree_file(tree_path("file"), "");
	ok(state_open(tree_path("file/state"), &st, &e) < 0 &&
		   e.kind == ERR_SYSTEM,
	   "no directory can be made there: %s", e.msg);
	err_clear(&e);
	tree_dir(tree_path("dir/firn.sqlite"));
	ok(state_open(tree_path("dir"), &st, &e) < 0 && e.kind == ERR_SYSTEM,
	   "a directory in its place: %s", e.msg);
}

/* Each image counts once for each name, whatever the hash. */
static void
test_usage(void)
{
	struct state *st = must_open(tree_path("usage"));
	static const char *const paths[] = {
		"/nix/store/00000000000000000000000000000000-a-1",
		"/nix/store/11111111111111111111111111111111-a-1",
		"/nix/store/22222222222222222222222222222222-b-2",
	};
	AUTO(popularity) struct popularity *p = popularity_new();
	struct graph_node nodes[3] = {
		{.path = paths[0]}, {.path = paths[1]}, {.path = paths[2]}};
	const struct graph both = {.nodes = nodes, .n = 3};
	const struct graph first = {.nodes = nodes, .n = 1};
	struct err e = ERR_INIT;

	ok(state_add_usage(st, &both, &e) == 0 &&
		   state_add_usage(st, &first, &e) == 0 &&
		   state_add_usage(st, &both, &e) == 0 &&
		   state_get_usage(st, p, &e) == 0,
	   "what images were made of is counted %s", e.msg);
	is_u64(popularity_of(p, "a-1"), 3, "  once an image");
	is_u64(popularity_of(p, "b-2"), 2, "  each name");
	state_free(st);
}

int
main(void)
{
	tree_init();
	test_processes();
	test_values();
	test_bad_value();
	test_tags();
	test_empty_file();
	test_damaged("header", 0);
	test_damaged("page", 4096);
	test_damaged_in_use("damaged", false);
	test_damaged_in_use("lost", true);
	test_damaged_values();
	test_swapped_rows();
	test_bit_flips();
	test_lost_version(0);
	test_lost_version(2);
	test_lost_version(-3);
	test_newer();
	test_migration();
	test_threads();
	test_no_directory();
	test_usage();
	tree_done();
	return done_testing();
}
