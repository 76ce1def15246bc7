/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every fault at every kind of call to every cloud. Whatever happens: an
 * operation succeeds and is right, or fails as storage's failure that shows
 * no secret; what is known here is given out meanwhile; nothing wrong is
 * believed afterwards; and the same open storage works again when the cloud
 * does.
 */
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/sink.h"
#include "core/store/store.h"
#include "core/sys/fs.h"
#include "core/sys/log.h"
#include "tests/support/clouds.h"
#include "tests/support/tap.h"

static double
now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* A cloud, what is in it, and how much a large blob is there. */
struct world {
	struct test_cloud c;
	const char *name;
	bool s3;
	char *bytes; /* room for a large blob */
	size_t large;
	unsigned n;          /* so many blobs were made */
	struct digest known; /* "known": the storage under test has seen it */
	struct digest other; /* "other": it has not */
};

/* What an operation believes, if it succeeds. */
enum belief {
	RIGHT,
	ABSENT, /* it is not there, or needs nothing done */
	WRONG,
};

typedef int operation(struct world *w, struct store *st, unsigned n,
		      enum belief *ret, struct err *e);

static int
op_has(struct world *w, struct store *st, unsigned n UNUSED, enum belief *ret,
       struct err *e)
{
	uint64_t size = 0;
	bool found = false;

	if (store_has(st, &w->other, &found, &size, e) < 0)
		return -1;
	*ret = !found ? ABSENT : size == 5 ? RIGHT : WRONG;
	return 0;
}

static int
op_read(struct world *w, struct store *st, unsigned n UNUSED, enum belief *ret,
	struct err *e)
{
	AUTO(buf) struct buf got = BUF_INIT;

	if (store_read(st, &w->other, 99, &got, e) < 0) {
		/* Damaged, and noticed; the caller makes it again. */
		if (e->kind != ERR_NOT_FOUND)
			return -1;
		err_clear(e);
		*ret = ABSENT;
		return 0;
	}
	*ret = strcmp(got.p, "other") == 0 ? RIGHT : WRONG;
	return 0;
}

static int
op_get_record(struct world *w UNUSED, struct store *st, unsigned n UNUSED,
	      enum belief *ret, struct err *e)
{
	AUTO(buf) struct buf got = BUF_INIT;
	bool found = false;

	if (store_get_record(st, "layers/0", &found, &got, e) < 0)
		return -1;
	/* Records have checksums of their own: see core/records.h. */
	*ret = found && strcmp(got.p, "some text") == 0 ? RIGHT : ABSENT;
	return 0;
}

/* A blob that nobody has, and then someone who looks from elsewhere. */
static int
commit(struct world *w, struct store *st, unsigned n, size_t size,
       enum belief *ret, struct err *e)
{
	char *bytes = w->bytes;
	AUTO(buf) struct buf got = BUF_INIT;
	struct store *fresh = NULL;
	struct sink *staged = NULL;
	struct err ignored = ERR_INIT;
	struct digest d;
	uint64_t there = 0;
	bool found = false;
	int r;

	memset(bytes, (int)(n % 251), size);
	(void)snprintf(bytes, size, "%u", n);
	digest_of(bytes, size, &d);
	if (store_begin(st, &staged, e) < 0 ||
	    sink_write(staged, bytes, size, e) < 0 ||
	    sink_finish(staged, e) < 0)
		return -1;
	r = store_commit(st, staged, &d, e);
	test_cloud_heal(&w->c);
	if (store_open(&w->c.options, &fresh, &ignored) < 0 ||
	    store_has(fresh, &d, &found, &there, &ignored) < 0)
		found = false;
	*ret = found && there == size ? RIGHT : WRONG;
	if (found && size < 1000 && r == 0 &&
	    store_read(fresh, &d, size, &got, &ignored) < 0 &&
	    ignored.kind != ERR_NOT_FOUND)
		*ret = WRONG;
	store_free(fresh);
	return r;
}

static int
op_put(struct world *w, struct store *st, unsigned n, enum belief *ret,
       struct err *e)
{
	return commit(w, st, n, 100, ret, e);
}

static int
op_upload(struct world *w, struct store *st, unsigned n, enum belief *ret,
	  struct err *e)
{
	return commit(w, st, n, w->large, ret, e);
}

static int
op_put_record(struct world *w UNUSED, struct store *st, unsigned n,
	      enum belief *ret, struct err *e)
{
	char text[16];

	(void)snprintf(text, sizeof(text), "%u", n);
	*ret = RIGHT;
	return store_put_record(st, "layers/1", text, strlen(text), e);
}

static int
count(void *ctx, const struct store_item *item UNUSED, struct err *e UNUSED)
{
	++*(unsigned *)ctx;
	return 0;
}

static int
op_list(struct world *w UNUSED, struct store *st, unsigned n UNUSED,
	enum belief *ret, struct err *e)
{
	unsigned seen = 0;

	if (store_list_records(st, "lists", count, &seen, e) < 0)
		return -1;
	*ret = seen == 9 ? RIGHT : WRONG;
	return 0;
}

static int
op_remove(struct world *w UNUSED, struct store *st, unsigned n UNUSED,
	  enum belief *ret, struct err *e)
{
	struct digest d;

	*ret = RIGHT;
	digest_of("never", 5, &d);
	return store_remove_blob(st, &d, e);
}

/* The kinds of calls, and the operations that make them. */
struct call {
	const char *name;
	operation *run;
	const char *s3_method, *s3_path;
	const char *gcs_method, *gcs_path;
	unsigned gcs_skip; /* so many such calls are good */
};

#define BYTES "alt=media"
#define SESSION "upload_id="

static const struct call calls[] = {
	{"get a token", op_has, NULL, NULL, "POST", "/token", 0},
	{"get a token for an upload", op_put, NULL, NULL, "POST", "/token", 0},
	{"look for a blob", op_has, "HEAD", "/blobs/", "GET", "fields=size", 0},
	{"read a blob", op_read, "GET", "/blobs/", "GET", BYTES, 0},
	{"read a record", op_get_record, "GET", "/layers/", "GET", BYTES, 0},
	{"upload a blob", op_put, "PUT", "/blobs/", "POST", "=multipart", 0},
	{"look whether it is there", op_put, "HEAD", "/blobs/", "GET",
	 "fields=size", 0},
	{"write a record", op_put_record, "PUT", "/layers/", "POST",
	 "=multipart", 0},
	{"begin an upload", op_upload, "POST", "uploads=", "POST", "=resumable",
	 0},
	{"upload a part", op_upload, "PUT", "partNumber=2", "PUT", SESSION, 1},
	{"complete an upload", op_upload, "POST", "uploadId=", "PUT", SESSION,
	 4},
	{"abort an upload", op_upload, "PUT|DELETE", "uploadId=", NULL, NULL,
	 0},
	{"list", op_list, "GET", "list-type", "GET", "/o[?]prefix", 0},
	{"remove", op_remove, "DELETE", "/blobs/", "DELETE", "blobs", 0},
};

static const char *const faults[] = {
	"killed",     "hang",       "close",      "status:401", "status:403",
	"status:404", "status:429", "status:500", "status:503", "truncate",
	"corrupt",    "lose",       "shorten",
};

/* What one more attempt overcomes. */
static const char *const passing[] = {
	"close", "status:429", "status:500", "status:503", "truncate",
};

static void
set_fault(struct world *w, const struct call *call, const char *fault,
	  bool once)
{
	char json[256];

	if (strcmp(fault, "killed") == 0) {
		test_cloud_kill(&w->c);
		return;
	}
	(void)snprintf(json, sizeof(json),
		       "{\"action\":\"%s\",\"method\":\"%s\",\"path\":\"%s\","
		       "\"skip\":%u,\"count\":%u}",
		       fault, w->s3 ? call->s3_method : call->gcs_method,
		       w->s3 ? call->s3_path : call->gcs_path,
		       w->s3 ? 0 : call->gcs_skip, once ? 1u : 1000000u);
	test_cloud_fault(&w->c, json);
	if (!w->s3 && strcmp(call->gcs_path, "/token") == 0)
		test_cloud_drop_tokens(&w->c);
}

static void
heal(struct world *w)
{
	if (w->c.pid == 0 && !test_cloud_restart(&w->c))
		printf("# it can't be started again\n");
	test_cloud_heal(&w->c);
}

/* What is known is given out, whatever the cloud does. */
static bool
known_is_served(struct world *w, struct store *st)
{
	AUTO(buf) struct buf got = BUF_INIT;
	struct store_location at;
	struct err e = ERR_INIT;
	bool good = store_locate(st, &w->known, &at, &e) == 0 && at.size == 5 &&
		    store_read(st, &w->known, 99, &got, &e) == 0 &&
		    strcmp(got.p, "known") == 0;

	if (!good)
		printf("# what is known is not served: %s\n", e.msg);
	return good;
}

static struct store *
open_under_test(struct world *w, uint64_t timeout_ms)
{
	struct store_options o = w->c.options;
	struct store *st = NULL;
	struct err e = ERR_INIT;
	bool found;

	o.timeout_ms = timeout_ms;
	o.recheck_s = 0;
	if (store_open(&o, &st, &e) < 0) {
		printf("Bail out! %s\n", e.msg);
		exit(1);
	}
	/* A machine that is busy may need more than one try. */
	for (int i = 0; i < 100; i++) {
		err_clear(&e);
		if (store_has(st, &w->known, &found, NULL, &e) == 0)
			break;
		(void)usleep(20000);
	}
	(void)known_is_served(w, st);
	return st;
}

/* Until it works as it should; how many seconds that took, or -1. */
static double
recovery(struct world *w, const struct call *call, struct store *st, unsigned n)
{
	double start = now();
	struct err e = ERR_INIT;
	enum belief b;

	do {
		err_clear(&e);
		b = WRONG;
		if (call->run(w, st, n, &b, &e) == 0 && b == RIGHT)
			return now() - start;
		(void)usleep(20000);
	} while (now() - start < 20);
	printf("# not recovered: %s\n", e.msg);
	return -1;
}

static void
test_fault(struct world *w, const struct call *call, const char *fault)
{
	bool hangs = strcmp(fault, "hang") == 0;
	struct store *st = open_under_test(w, hangs ? 50 : 1000);
	bool gone = strcmp(fault, "status:404") == 0;
	enum belief b = WRONG;
	struct err e = ERR_INIT;
	double start, took, back;
	bool good;
	int r;

	set_fault(w, call, fault, false);
	start = now();
	r = call->run(w, st, ++w->n, &b, &e);
	took = now() - start;
	/* Who is told so can't know better; a record may be unreadable. */
	if (r < 0)
		good = test_cloud_is_clean(&e);
	else
		good = b == RIGHT ||
		       (b == ABSENT && (gone || strcmp(fault, "corrupt") == 0));
	set_fault(w, call, fault, false);
	if (!gone)
		good = known_is_served(w, st) && good;
	heal(w);
	back = recovery(w, call, st, ++w->n);
	ok(good && took < 15 && back >= 0,
	   "%s: %s, %s: %s %s (%.1f s, then %.1f s)", w->name, call->name,
	   fault, r < 0 ? "failed" : "went on", e.msg, took, back);
	store_free(st);
}

static void
test_passing(struct world *w, const struct call *call)
{
	for (size_t i = 0; i < ARRAY_LEN(passing); i++) {
		struct store *st = open_under_test(w, 5000);
		enum belief b = WRONG;
		struct err e = ERR_INIT;

		set_fault(w, call, passing[i], true);
		ok(call->run(w, st, ++w->n, &b, &e) == 0 && b == RIGHT,
		   "%s: %s, %s once is overcome %s", w->name, call->name,
		   passing[i], e.msg);
		heal(w);
		store_free(st);
	}
}

/* What S3 calls passing, by the code of an answer that otherwise is final. */
static void
test_passing_codes(struct world *w)
{
	static const char *const codes[] = {"400:RequestTimeout",
					    "409:OperationAborted"};

	for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
		struct store *st = open_under_test(w, 5000);
		struct err e = ERR_INIT;
		struct digest d;
		char json[96];

		(void)snprintf(json, sizeof(json),
			       "{\"action\":\"status:%s\","
			       "\"method\":\"PUT\",\"count\":2}",
			       codes[i]);
		test_cloud_fault(&w->c, json);
		ok(store_put(st, codes[i], strlen(codes[i]), &d, &e) == 0,
		   "%s: %s is overcome %s", w->name, codes[i], e.msg);
		heal(w);
		store_free(st);
	}
}

static bool
fill(struct world *w)
{
	struct store *st = NULL;
	struct err e = ERR_INIT;
	char name[16];
	bool good;

	good = store_open(&w->c.options, &st, &e) == 0 &&
	       store_put(st, "known", 5, &w->known, &e) == 0 &&
	       store_put(st, "other", 5, &w->other, &e) == 0 &&
	       store_put_record(st, "layers/0", "some text", 9, &e) == 0;
	for (unsigned i = 0; good && i < 9; i++) {
		(void)snprintf(name, sizeof(name), "lists/%u", i % 10);
		good = store_put_record(st, name, "x", 1, &e) == 0;
	}
	store_free(st);
	return ok(good, "%s: something is there %s", w->name, e.msg);
}

static void
test_faults(struct world *w, enum test_cloud_kind kind)
{
	const char *why;

	if (!test_cloud_start(&w->c, kind, &why)) {
		skip(w->name, why);
		return;
	}
	/* Two parts, or five pieces: no store takes smaller ones. */
	w->c.options.part_size = w->s3 ? 5u << 20 : 256u << 10;
	w->c.options.pause_ms = 5;
	w->large = w->s3 ? 6u << 20 : (1u << 20) + 9;
	w->bytes = xmalloc(w->large);
	for (size_t i = 0; fill(w) && i < ARRAY_LEN(calls); i++) {
		if (!(w->s3 ? calls[i].s3_path : calls[i].gcs_path))
			continue;
		for (size_t k = 0; k < ARRAY_LEN(faults); k++)
			test_fault(w, &calls[i], faults[k]);
		test_passing(w, &calls[i]);
	}
	if (w->s3)
		test_passing_codes(w);
	free(w->bytes);
	test_cloud_stop(&w->c);
}

static void *
test_gcs(void *arg UNUSED)
{
	struct world w = {.name = "gcs"};

	test_faults(&w, TEST_GCS_KEY);
	return NULL;
}

/* Both at once: most of their time they wait. */
int
main(void)
{
	struct world w = {.name = "s3", .s3 = true};
	struct test_log log = {.path = ""};
	pthread_t gcs;

	test_log_begin(&log);
	(void)pthread_create(&gcs, NULL, test_gcs, NULL);
	test_faults(&w, TEST_S3_TOKEN);
	(void)pthread_join(gcs, NULL);
	ok(test_log_end(&log), "there is a log, and no secret in it");
	return done_testing();
}
