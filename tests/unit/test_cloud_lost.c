/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clouds that forget a large upload while it goes on: it begins again, and
 * fails when that does not help; but not when it had come to its end.
 */
#include <pthread.h>
#include <stdlib.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/sink.h"
#include "core/store/store.h"
#include "core/sys/log.h"
#include "tests/support/clouds.h"
#include "tests/support/tap.h"

/* What one cloud calls things. */
struct world {
	struct test_cloud c;
	const char *name;
	const char *begin; /* in the line of a call that begins an upload */
	size_t part_size;
	size_t size;
	unsigned n; /* so many blobs were made */
};

/* A fault, or two, and how many uploads are begun then. */
struct lost {
	const char *what;
	const char *faults[2];
	unsigned begun; /* 0: it fails, after three */
};

#define S3_PART(n) "\"method\":\"PUT\",\"path\":\"partNumber=" n "\""
#define S3_END "\"method\":\"POST\",\"path\":\"uploadId=\""
#define GCS_PIECE(n) "\"method\":\"PUT\",\"path\":\"upload_id=\",\"skip\":" n
#define ONCE ",\"count\":1}"
#define FORGET "{\"action\":\"forget\","
#define GONE "{\"action\":\"forget:410\","

static const struct lost s3_lost[] = {
	{"at the first part", {FORGET S3_PART("1") ONCE}, 2},
	{"in the middle", {FORGET S3_PART("2") ONCE}, 2},
	{"at the last part", {FORGET S3_PART("3") ONCE}, 2},
	{"at its end", {FORGET S3_END ONCE}, 2},
	{"twice", {FORGET S3_PART("3") ",\"count\":2}"}, 3},
	{"here and there", {FORGET S3_PART("1") ONCE, FORGET S3_END ONCE}, 3},
	{"each time", {FORGET S3_PART("2") "}"}, 0},
	{"at its end each time", {FORGET S3_END "}"}, 0},
	{"when it was complete", {"{\"action\":\"truncate\"," S3_END ONCE}, 1},
};

static const struct lost gcs_lost[] = {
	{"at the first piece", {FORGET GCS_PIECE("0") ONCE}, 2},
	{"in the middle", {FORGET GCS_PIECE("2") ONCE}, 2},
	{"in the middle (410)", {GONE GCS_PIECE("2") ONCE}, 2},
	{"at the last piece", {FORGET GCS_PIECE("4") ONCE}, 2},
	{"at the last piece (410)", {GONE GCS_PIECE("4") ONCE}, 2},
	{"when asked how it stands",
	 {"{\"action\":\"status:400\"," GCS_PIECE("1") ONCE,
	  GONE GCS_PIECE("1") ONCE},
	 2},
	{"twice", {GONE GCS_PIECE("1") ",\"count\":2}"}, 3},
	{"each time", {FORGET GCS_PIECE("2") "}"}, 0},
	{"each time (410)", {GONE GCS_PIECE("2") "}"}, 0},
	{"when it was complete",
	 {"{\"action\":\"truncate\"," GCS_PIECE("4") ONCE,
	  GONE GCS_PIECE("4") ONCE},
	 1},
};

/* A blob that nobody has, of two halves that differ. */
static int
commit(struct world *w, struct store *st, struct digest *ret, struct err *e)
{
	AUTO(mem) char *bytes = xmalloc(w->size);
	struct sink *staged = NULL;

	memset(bytes, 'a', w->size / 2);
	memset(bytes + w->size / 2, 'b', w->size - w->size / 2);
	(void)snprintf(bytes, w->size, "%u", w->n++);
	digest_of(bytes, w->size, ret);
	if (store_begin(st, &staged, e) < 0)
		return -1;
	if (sink_write(staged, bytes, w->size, e) < 0 ||
	    sink_finish(staged, e) < 0) {
		store_discard(st, staged);
		return -1;
	}
	return store_commit(st, staged, ret, e);
}

static struct store *
reopen(struct world *w)
{
	struct store *st = NULL;
	struct err e = ERR_INIT;

	if (store_open(&w->c.options, &st, &e) < 0) {
		printf("Bail out! %s\n", e.msg);
		exit(1);
	}
	return st;
}

/* As someone else finds it: *ret_there, and then with the right bytes. */
static bool
is_right(struct world *w, const struct digest *d, bool *ret_there)
{
	AUTO(buf) struct buf got = BUF_INIT;
	struct store *st = reopen(w);
	struct err e = ERR_INIT;
	bool good;

	good = store_has(st, d, ret_there, NULL, &e) == 0 &&
	       (!*ret_there || store_read(st, d, w->size, &got, &e) == 0);
	if (!good)
		printf("# %s\n", e.msg);
	store_free(st);
	return good;
}

static void
test_lost(struct world *w, const struct lost *l)
{
	struct store *st = reopen(w);
	size_t before = test_cloud_count(&w->c, w->begin), begun;
	struct err e = ERR_INIT;
	struct digest d;
	bool there = false, right;
	int r;

	for (size_t i = 0; i < ARRAY_LEN(l->faults) && l->faults[i]; i++)
		test_cloud_fault(&w->c, l->faults[i]);
	r = commit(w, st, &d, &e);
	test_cloud_heal(&w->c);
	begun = test_cloud_count(&w->c, w->begin) - before;
	right = is_right(w, &d, &there);
	ok(right && there == (l->begun > 0), "%s: lost %s: it is %s", w->name,
	   l->what, there ? "there" : "not there");
	if (l->begun > 0)
		ok(r == 0, "%s: the upload succeeds %s", w->name, e.msg);
	else
		ok(r < 0 && test_cloud_is_clean(&e) &&
			   strstr(e.msg, "3 times") && strstr(e.msg, "status"),
		   "%s: the upload fails: %s", w->name, e.msg);
	is_u64(begun, l->begun ? l->begun : 3, "  uploads were begun");
	err_clear(&e);
	if (l->begun == 0)
		ok(commit(w, st, &d, &e) == 0, "%s: the next one goes on %s",
		   w->name, e.msg);
	store_free(st);
}

static void
test_cloud(struct world *w, enum test_cloud_kind kind, const struct lost *v,
	   size_t n)
{
	const char *why;

	if (!test_cloud_start(&w->c, kind, &why)) {
		skip(w->name, why);
		return;
	}
	w->c.options.part_size = w->part_size;
	for (size_t i = 0; i < n; i++)
		test_lost(w, &v[i]);
	test_cloud_stop(&w->c);
}

static void *
test_gcs(void *arg UNUSED)
{
	struct world w = {
		.name = "gcs",
		.begin = "uploadType=resumable 200",
		.part_size = 256u << 10,
		.size = (1u << 20) + 9,
	};

	test_cloud(&w, TEST_GCS_PUBLIC, gcs_lost, ARRAY_LEN(gcs_lost));
	return NULL;
}

/* Both at once. No store takes smaller parts. */
int
main(void)
{
	struct world w = {
		.name = "s3",
		.begin = "?uploads= 200",
		.part_size = 5u << 20,
		.size = (10u << 20) + 9,
	};
	struct test_log log = {.path = ""};
	pthread_t gcs;

	test_log_begin(&log);
	(void)pthread_create(&gcs, NULL, test_gcs, NULL);
	test_cloud(&w, TEST_S3, s3_lost, ARRAY_LEN(s3_lost));
	(void)pthread_join(gcs, NULL);
	ok(test_log_end(&log), "there is a log, and no secret in it");
	return done_testing();
}
