/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A database whose bytes are not those that were put: what is not right is not
 * given out, and what is put again is there.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/sys/log.h"
#include "tests/support/rows.h"
#include "tests/support/tree.h"

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
test_damaged(const char *name, off_t at)
{
	const char *dir = tree_path("damaged-%s", name);
	struct state *st = rows_open(dir);
	char junk[6000];

	rows_put(st);
	state_free(st);
	memset(junk, 'j', sizeof(junk));
	scribble(tree_path("damaged-%s/firn.sqlite", name), at, junk,
		 sizeof(junk));
	rows_begun_anew(dir);
}

/* Damage, or loss, of a database that is in use. */
static void
test_damaged_in_use(const char *name, bool lost)
{
	const char *dir = tree_path("in-use-%s", name);
	const char *file = tree_path("in-use-%s/firn.sqlite", name);
	struct state *st = rows_open(dir), *other;
	char junk[6000];

	rows_put(st);
	/* What is in the WAL would hide it. */
	state_free(st);
	st = rows_open(dir);
	memset(junk, 'j', sizeof(junk));
	if (lost)
		(void)unlink(file);
	else
		for (off_t at = 0; at < 20 * 4096; at += (off_t)sizeof(junk))
			scribble(file, at, junk, sizeof(junk));
	rows_put(st);
	rows_put(st);
	rows_all(st, "what is put after it is there");
	ok(lost || rows_set_aside(dir), "%s: set aside", name);
	other = rows_open(dir);
	rows_all(other, "for others too");
	state_free(other);
	state_free(st);
	st = rows_open(dir);
	rows_all(st, "and later");
	state_free(st);
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
	struct state *st = rows_open(dir);
	char sql[256];
	unsigned kept;

	rows_put(st);
	state_free(st);
	(void)snprintf(sql, sizeof(sql), "UPDATE %s SET %s = %s", table, column,
		       value);
	rows_exec(dir, sql);
	st = rows_open(dir);
	kept = rows_kept(st);
	ok(kept == (ALL & ~lost), "%s: gone, and no other: %u", sql, kept);
	rows_put(st);
	rows_all(st, "it is put again");
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
	const struct digest a = rows_key("a"), b = rows_key("b");
	struct state *st = rows_open(dir);
	bool found[2] = {true, true};
	struct err e = ERR_INIT;
	struct digest d;

	if (state_put_image(st, &a, &a, &e) < 0 ||
	    state_put_image(st, &b, &b, &e) < 0)
		exit(1);
	state_free(st);
	rows_exec(dir, "CREATE TEMP TABLE t AS SELECT * FROM kept_images;"
		       "UPDATE kept_images SET (manifest, checksum) ="
		       " (SELECT manifest, checksum FROM t"
		       "  WHERE t.key <> kept_images.key)");
	st = rows_open(dir);
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

	for (int i = 0; i < FLIP_ROUNDS; i++) {
		struct err e = ERR_INIT;
		struct state *st = rows_open(dir);
		unsigned kept;

		if (!rows_try_put(st, &e)) {
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
		kept = rows_kept(st);
		wrong += (kept & WRONG) != 0;
		failed += (kept & FAILED) != 0;
		harmed += kept != ALL;
		unhealed += !rows_try_put(st, &e) || rows_kept(st) != ALL;
		state_free(st);
	}
	ok(harmed > 0, "%d rounds of flipped bits: %d did harm", FLIP_ROUNDS,
	   harmed);
	ok(wrong == 0, "what is given out is right (not: %d)", wrong);
	ok(failed == 0, "nothing fails (does: %d)", failed);
	ok(unhealed == 0, "what is put again is there (not: %d)", unhealed);
}

int
main(void)
{
	tree_init();
	/* It warns of each. */
	log_set_level(LOG_ERROR);
	test_damaged("header", 0);
	test_damaged("page", 4096);
	test_damaged_in_use("damaged", false);
	test_damaged_in_use("lost", true);
	test_damaged_values();
	test_swapped_rows();
	test_bit_flips();
	tree_done();
	return done_testing();
}
