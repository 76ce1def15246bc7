/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One contract, every backend: what core/store/store.h promises.
 */
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/sink.h"
#include "core/store/store.h"
#include "core/sys/fs.h"
#include "tests/support/clouds.h"
#include "tests/support/store_mem.h"
#include "tests/support/tap.h"

static bool
has(struct store *st, const struct digest *d)
{
	struct err e = ERR_INIT;
	uint64_t size = 0;
	bool found = false;

	return store_has(st, d, &found, &size, &e) == 0 && found;
}

static bool
has_near(struct store *st, const struct digest *d)
{
	struct err e = ERR_INIT;
	bool found = false;

	return store_has_near(st, d, &found, NULL, &e) == 0 && found;
}

static void
test_blobs(struct store *st, const char *name)
{
	AUTO(buf) struct buf got = BUF_INIT;
	struct store_location at;
	struct sink *staged = NULL;
	struct err e = ERR_INIT;
	struct digest abc, none, d;

	digest_of("abc", 3, &abc);
	digest_of("never", 5, &none);
	ok(!has(st, &abc) && !has_near(st, &abc), "%s: absence is an answer",
	   name);
	ok(store_begin(st, &staged, &e) == 0 &&
		   sink_write(staged, "ab", 2, &e) == 0 &&
		   sink_write(staged, "c", 1, &e) == 0 &&
		   sink_finish(staged, &e) == 0 && !has(st, &abc),
	   "%s: what is staged can't be seen", name);
	ok(store_commit(st, staged, &abc, &e) == 0 && has(st, &abc) &&
		   has_near(st, &abc),
	   "%s: what is committed can %s", name, e.msg);
	ok(store_put(st, "abc", 3, &d, &e) == 0 && digest_eq(&d, &abc),
	   "%s: committing again is a success", name);
	ok(store_read(st, &abc, 3, &got, &e) == 0 && got.len == 3,
	   "%s: read back", name);
	ok(store_read(st, &abc, 2, &got, &e) < 0, "%s: not over the limit",
	   name);
	err_clear(&e);
	ok(store_read(st, &none, 9, &got, &e) < 0 && e.kind == ERR_NOT_FOUND,
	   "%s: reading what isn't there", name);
	err_clear(&e);
	ok(store_locate(st, &abc, &at, &e) == 0 && at.size == 3 && at.at[0],
	   "%s: locate", name);
	ok(store_locate(st, &none, &at, &e) < 0 && e.kind == ERR_NOT_FOUND,
	   "%s: locate what isn't there", name);
	err_clear(&e);
	ok(store_begin(st, &staged, &e) == 0 &&
		   sink_write(staged, "never", 5, &e) == 0,
	   "%s: begin another", name);
	store_discard(st, staged);
	ok(!has(st, &none), "%s: discarded", name);
	ok(store_put(st, "", 0, &d, &e) == 0 && has(st, &d),
	   "%s: an empty blob", name);
	ok(store_check(st, &e) == 0, "%s: check", name);
}

static void
test_records(struct store *st, const char *name)
{
	static const char *const bad[] = {
		"", "x", "/x", "x/", "../x", "x/../y", "a/b/c", "a/B", "a/.b",
	};
	AUTO(buf) struct buf got = BUF_INIT;
	struct err e = ERR_INIT;
	bool found = true;

	ok(store_get_record(st, "layers/0", &found, &got, &e) == 0 && !found,
	   "%s: no record", name);
	ok(store_put_record(st, "layers/0", "one", 3, &e) == 0 &&
		   store_put_record(st, "layers/0", "two!", 4, &e) == 0 &&
		   store_get_record(st, "layers/0", &found, &got, &e) == 0 &&
		   found,
	   "%s: a record is replaced", name);
	is_str(got.p, "two!", "  and has the new text");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		err_clear(&e);
		ok(store_put_record(st, bad[i], "x", 1, &e) < 0,
		   "%s: bad name of a record \"%s\"", name, bad[i]);
	}
}

/* By each of four threads. */
#define WRITES 100

/* What a walk sees. */
struct seen {
	const struct digest *digest;
	const char *name;
	size_t n, hits;
	uint64_t bytes;
	bool recent;
};

static int
see(void *ctx, const struct store_item *item, struct err *e UNUSED)
{
	struct seen *s = ctx;

	s->n++;
	s->bytes += item->size;
	if (item->modified > (uint64_t)time(NULL) - 3600)
		s->recent = true;
	if (item->name ? s->name && strcmp(item->name, s->name) == 0
		       : s->digest && digest_eq(&item->digest, s->digest))
		s->hits++;
	return 0;
}

static int
refuse(void *ctx UNUSED, const struct store_item *item UNUSED, struct err *e)
{
	return err_set(e, ERR_BUSY, "enough");
}

static void
test_lists(struct store *st, const char *name)
{
	struct err e = ERR_INIT;
	struct digest d, first;
	struct seen s = {.name = "lists/7"};
	char text[16];
	bool good = true, found = true;
	AUTO(buf) struct buf got = BUF_INIT;

	/* More than a page of the fake clouds. */
	for (int i = 0; i < 20; i++) {
		(void)snprintf(text, sizeof(text), "lists/%d", i);
		good = good &&
		       store_put_record(st, text, "12345", 5, &e) == 0 &&
		       store_put(st, text, strlen(text), &d, &e) == 0;
		if (i == 0)
			first = d;
	}
	ok(good && store_list_records(st, "lists", see, &s, &e) == 0,
	   "%s: list records %s", name, e.msg);
	ok(s.n == 20 && s.hits == 1 && s.bytes == 100,
	   "%s: each once, with its size (%zu)", name, s.n);
	s = (struct seen){.name = "x"};
	ok(store_list_records(st, "none", see, &s, &e) == 0 && s.n == 0,
	   "%s: there may be none", name);
	s = (struct seen){.digest = &first};
	ok(store_list_blobs(st, see, &s, &e) == 0 && s.hits == 1 && s.n >= 20,
	   "%s: list blobs (%zu) %s", name, s.n, e.msg);
	ok(s.recent || strcmp(name, "memory") == 0, "%s: and when they came",
	   name);
	ok(store_list_blobs(st, refuse, NULL, &e) < 0 && e.kind == ERR_BUSY,
	   "%s: a walk can be ended", name);
	err_clear(&e);
	ok(store_remove_blob(st, &first, &e) == 0 && !has(st, &first) &&
		   store_remove_blob(st, &first, &e) == 0,
	   "%s: remove a blob, also one that is gone %s", name, e.msg);
	ok(store_remove_record(st, "lists/7", &e) == 0 &&
		   store_get_record(st, "lists/7", &found, &got, &e) == 0 &&
		   !found && store_remove_record(st, "lists/7", &e) == 0,
	   "%s: likewise a record %s", name, e.msg);
	ok(store_remove_record(st, "../x", &e) < 0, "%s: but no other file",
	   name);
	err_clear(&e);
}

/* A blob of several parts, and a last one that is not full. */
static void
test_large(struct store *st, const char *name)
{
	struct sink *staged = NULL;
	AUTO(hasher) struct hasher h;
	struct err e = ERR_INIT;
	struct store_location at;
	struct digest d;
	static char chunk[1u << 20];
	bool good;

	hasher_init(&h);
	good = store_begin(st, &staged, &e) == 0;
	for (unsigned i = 0; good && i < 70; i++) {
		memset(chunk, (int)i, sizeof(chunk));
		hasher_add(&h, chunk, sizeof(chunk) - 7);
		good = sink_write(staged, chunk, sizeof(chunk) - 7, &e) == 0;
	}
	hasher_finish(&h, &d);
	ok(good && sink_finish(staged, &e) == 0 &&
		   store_commit(st, staged, &d, &e) == 0,
	   "%s: a blob of 70 MB %s", name, e.msg);
	ok(store_locate(st, &d, &at, &e) == 0 &&
		   at.size == 70 * (sizeof(chunk) - 7),
	   "%s: is there whole", name);
	ok(store_remove_blob(st, &d, &e) == 0, "%s: is removed", name);
}

static void *
put_many(void *arg)
{
	struct store *st = arg;
	struct err e = ERR_INIT;
	char text[32];
	struct digest d;
	long bad = 0;

	for (int i = 0; i < WRITES; i++) {
		int n = snprintf(text, sizeof(text), "blob %d", i);

		if (store_put(st, text, (size_t)n, &d, &e) < 0 ||
		    store_put_record(st, "layers/shared", text, (size_t)n, &e) <
			    0 ||
		    !has(st, &d)) {
			bad++;
			err_clear(&e);
		}
	}
	return bad ? st : NULL;
}

static void
test_threads(struct store *st, const char *name)
{
	pthread_t t[4];
	bool good = true;

	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		(void)pthread_create(&t[i], NULL, put_many, st);
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		void *r;

		(void)pthread_join(t[i], &r);
		good = good && !r;
	}
	ok(good, "%s: four writers of the same blobs and records", name);
}

/* So many threads put as many blobs each, all of which a cloud gets in parts.
 */
#define LARGE_BLOBS 4u
#define LARGE_SIZE (3u << 20)

struct large_put {
	struct store *st;
	unsigned char first; /* the first of its blobs */
	struct err e;
};

static void
fill(char *p, unsigned char which)
{
	for (size_t i = 0; i < LARGE_SIZE; i++)
		p[i] = (char)(which + i / 4096);
}

static void *
put_large(void *arg)
{
	struct large_put *w = arg;
	char *p = xmalloc(LARGE_SIZE);
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < LARGE_BLOBS; i++) {
		struct digest d;

		fill(p, (unsigned char)(w->first + i));
		rc = store_put(w->st, p, LARGE_SIZE, &d, &w->e);
	}
	free(p);
	return NULL;
}

/* What goes up at the same time gets mixed up nowhere. */
static void
test_large_threads(struct store *st, const char *name)
{
	struct large_put w[LARGE_BLOBS];
	pthread_t t[LARGE_BLOBS];
	char *p = xmalloc(LARGE_SIZE);

	for (unsigned i = 0; i < LARGE_BLOBS; i++) {
		w[i] = (struct large_put){st, (unsigned char)(i * LARGE_BLOBS),
					  ERR_INIT};
		(void)pthread_create(&t[i], NULL, put_large, &w[i]);
	}
	for (unsigned i = 0; i < LARGE_BLOBS; i++) {
		(void)pthread_join(t[i], NULL);
		ok(w[i].e.kind == ERR_NONE, "%s: writer %u of large blobs %s",
		   name, i, w[i].e.msg);
	}
	for (unsigned i = 0; i < LARGE_BLOBS * LARGE_BLOBS; i++) {
		AUTO(buf) struct buf got = BUF_INIT;
		struct err e = ERR_INIT;
		struct digest d;

		fill(p, (unsigned char)i);
		digest_of(p, LARGE_SIZE, &d);
		ok(store_read(st, &d, LARGE_SIZE, &got, &e) == 0 &&
			   got.len == LARGE_SIZE &&
			   memcmp(got.p, p, LARGE_SIZE) == 0 &&
			   store_remove_blob(st, &d, &e) == 0,
		   "%s:   their blob %u is whole %s", name, i, e.msg);
	}
	free(p);
}

static void
test_contract(struct store *st, const char *name)
{
	test_blobs(st, name);
	test_records(st, name);
	test_lists(st, name);
	test_threads(st, name);
	test_large_threads(st, name);
}

static void
test_opened(const struct store_options *o, const char *name)
{
	struct store *st = NULL;
	struct err e = ERR_INIT;

	if (!ok(store_open(o, &st, &e) == 0, "%s: open %s", name, e.msg))
		return;
	test_contract(st, name);
	test_large(st, name);
	store_free(st);
}

static void
test_filesystem(void)
{
	char path[] = "/tmp/firn-test-store-XXXXXX";
	const struct store_options o = {.backend = "filesystem", .path = path};
	struct err e = ERR_INIT;

	if (!ok(mkdtemp(path), "make a directory"))
		return;
	test_opened(&o, "filesystem");
	ok(fs_remove_tree(path, &e) == 0, "clean up %s", e.msg);
}

static void
test_fake_cloud(enum test_cloud_kind kind, const char *name)
{
	struct test_cloud c;
	const char *why;

	if (!test_cloud_start(&c, kind, &why)) {
		skip(name, why);
		return;
	}
	test_opened(&c.options, name);
	test_cloud_stop(&c);
}

/* FIRN_TEST_LARGE="s3 2048": a blob of so many MiB, and what memory it took. */
static void
test_memory(const char *what)
{
	static char chunk[1u << 20];
	enum test_cloud_kind kind = what[0] == 's' ? TEST_S3 : TEST_GCS_PUBLIC;
	unsigned long mib = strtoul(what + strcspn(what, " "), NULL, 10);
	AUTO(hasher) struct hasher h;
	struct err e = ERR_INIT;
	struct store *st = NULL;
	struct sink *staged;
	struct test_cloud c;
	struct rusage usage;
	struct digest d;
	uint64_t size = 0;
	bool good = true, found = false;
	const char *why;
	time_t start = time(NULL);

	hasher_init(&h);
	if (!ok(test_cloud_start(&c, kind, &why) &&
			store_open(&c.options, &st, &e) == 0 &&
			store_begin(st, &staged, &e) == 0,
		"a cloud %s", e.msg))
		return;
	for (unsigned long i = 0; good && i < mib; i++) {
		memset(chunk, (int)(i % 251), sizeof(chunk));
		hasher_add(&h, chunk, sizeof(chunk));
		good = sink_write(staged, chunk, sizeof(chunk), &e) == 0;
	}
	hasher_finish(&h, &d);
	ok(good && sink_finish(staged, &e) == 0 &&
		   store_commit(st, staged, &d, &e) == 0 &&
		   store_has(st, &d, &found, &size, &e) == 0 && found &&
		   size == (uint64_t)mib << 20,
	   "%lu MiB are uploaded %s", mib, e.msg);
	(void)getrusage(RUSAGE_SELF, &usage);
	printf("# peak %ld %ld\n", usage.ru_maxrss, (long)(time(NULL) - start));
	store_free(st);
	test_cloud_stop(&c);
}

/*
 * A real server: FIRN_TEST_S3="NAME ENDPOINT BUCKET REGION KEY-ID SECRET";
 * tests/storage starts those that it finds.
 */
static void
test_real_s3(void)
{
	char spool[] = "/tmp/firn-test-spool-XXXXXX";
	const char *env = getenv("FIRN_TEST_S3");
	char *copy, *save = NULL, *f[6] = {NULL};
	struct err e = ERR_INIT;

	if (!env)
		return;
	copy = strdup(env);
	for (size_t i = 0; i < ARRAY_LEN(f); i++)
		f[i] = strtok_r(i ? NULL : copy, " ", &save);
	if (ok(f[5] && mkdtemp(spool), "FIRN_TEST_S3 has six words")) {
		const struct store_options o = {
			.backend = "s3",
			.spool = spool,
			.url_ttl_s = 900,
			.recheck_s = 60,
			.s3 = {.endpoint = f[1],
			       .bucket = f[2],
			       .region = f[3],
			       .key_id = f[4],
			       .secret = f[5]},
		};

		test_opened(&o, f[0]);
		ok(fs_remove_tree(spool, &e) == 0, "clean up %s", e.msg);
	}
	free(copy);
}

int
main(void)
{
	const struct store_options floppy = {.backend = "floppy"};
	struct store *st = store_mem_new();
	struct err e = ERR_INIT;

	if (getenv("FIRN_TEST_S3") || getenv("FIRN_TEST_LARGE")) {
		if (getenv("FIRN_TEST_LARGE"))
			test_memory(getenv("FIRN_TEST_LARGE"));
		else
			test_real_s3();
		store_free(st);
		return done_testing();
	}
	test_contract(st, "memory");
	store_free(st);
	test_filesystem();
	test_fake_cloud(TEST_S3, "s3");
	test_fake_cloud(TEST_S3_TOKEN, "s3 with a session token");
	test_fake_cloud(TEST_GCS_KEY, "gcs with a key");
	test_fake_cloud(TEST_GCS_PUBLIC, "gcs without a key");
	ok(store_open(&floppy, &st, &e) < 0 && e.kind == ERR_INVALID,
	   "no such backend: %s", e.msg);
	return done_testing();
}
