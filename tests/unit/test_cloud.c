/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clouds that are away, hang or want to be left alone; wrong settings; and
 * the URLs that clients are given. test_cloud_faults.c has the rest of what
 * may go wrong.
 */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/sink.h"
#include "core/store/store.h"
#include "core/sys/fs.h"
#include "core/sys/http.h"
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

static struct store *
reopen(struct test_cloud *c)
{
	struct store *st = NULL;
	struct err e = ERR_INIT;

	if (store_open(&c->options, &st, &e) < 0) {
		printf("Bail out! %s\n", e.msg);
		exit(1);
	}
	return st;
}

/* --- a cloud that is away, or hangs */

static void
test_away(struct test_cloud *c, const char *name)
{
	struct store *st = reopen(c);
	struct err e = ERR_INIT;
	struct store_location at;
	struct digest known, other;
	unsigned fast = 0;
	bool found = false;
	double start;

	digest_of("other", 5, &other);
	ok(store_put(st, "known", 5, &known, &e) == 0 &&
		   store_put(st, "other", 5, &other, &e) == 0,
	   "%s: blobs", name);
	store_free(st);
	c->options.recheck_s = 0;
	st = reopen(c);
	ok(store_locate(st, &known, &at, &e) == 0, "%s: one is known", name);
	test_cloud_kill(c);
	ok(store_locate(st, &known, &at, &e) == 0 && at.size == 5,
	   "%s: killed: what was there is given out %s", name, e.msg);
	ok(store_has(st, &other, &found, NULL, &e) < 0 &&
		   test_cloud_is_clean(&e),
	   "%s: of the rest nothing is said: %s", name, e.msg);
	for (int i = 0; i < 20; i++) {
		start = now();
		err_clear(&e);
		(void)!store_has(st, &other, &found, NULL, &e);
		fast += now() - start < 0.05;
	}
	ok(fast >= 17, "%s: and that soon without asking (%u of 20)", name,
	   fast);
	ok(test_cloud_restart(c), "%s: it comes back", name);
	start = now();
	do {
		err_clear(&e);
		(void)usleep(50000);
	} while (store_has(st, &other, &found, NULL, &e) < 0 &&
		 now() - start < 60);
	ok(found, "%s: and is asked again (after %.1f s)", name, now() - start);
	store_free(st);
	c->options.recheck_s = 60;
}

/* --- a cloud that has enough of us */

/* The status that a call gets before it fails; how long a build waits. */
static void
test_retry_after(struct test_cloud *c, const char *name)
{
	struct store *st;
	struct err e = ERR_INIT;
	struct digest d, other;
	bool found;
	double start;

	digest_of("nobody's", 8, &other);
	c->options.timeout_ms = 500; /* so it is believed up to 6 s */
	st = reopen(c);
	/* Google's has a token by now, or that would be told so. */
	(void)!store_has(st, &other, &found, NULL, &e);
	test_cloud_fault(c, "{\"action\":\"status:429\",\"count\":1,"
			    "\"retry_after\":1}");
	start = now();
	ok(store_put(st, "after a while", 13, &d, &e) == 0 &&
		   now() - start >= 0.9,
	   "%s: a build comes again when it is told to (%.1f s) %s", name,
	   now() - start, e.msg);
	test_cloud_fault(c, "{\"action\":\"status:503\",\"count\":1,"
			    "\"retry_after\":3600}");
	start = now();
	ok(store_has(st, &other, &found, NULL, &e) < 0 &&
		   test_cloud_is_clean(&e) && now() - start < 3,
	   "%s: who waits is told at once: %s", name, e.msg);
	err_clear(&e);
	ok(store_has(st, &other, &found, NULL, &e) < 0 &&
		   test_cloud_is_clean(&e) && strstr(e.msg, "asks not to"),
	   "%s: as are others, and nobody calls: %s", name, e.msg);
	err_clear(&e);
	ok(store_put(st, "an hour", 7, &d, &e) == 0 && now() - start < 30,
	   "%s: but no hour is waited for (%.1f s) %s", name, now() - start,
	   e.msg);
	ok(store_has(st, &other, &found, NULL, &e) == 0,
	   "%s: and all is well again %s", name, e.msg);
	test_cloud_heal(c);
	store_free(st);
	c->options.timeout_ms = 0;
}

/* With a second's patience a call to a cloud that hangs is given up. */
static void
test_hang(struct test_cloud *c, const char *name)
{
	struct store *st;
	struct err e = ERR_INIT;
	struct digest d;
	double start = now();
	bool found;

	digest_of("hang", 4, &d);
	c->options.timeout_ms = 300;
	st = reopen(c);
	test_cloud_fault(c, "{\"action\":\"hang\"}");
	ok(store_has(st, &d, &found, NULL, &e) < 0 && test_cloud_is_clean(&e),
	   "%s: hangs: %s", name, e.msg);
	ok(now() - start < 30, "%s: the call is given up (%.1f s)", name,
	   now() - start);
	test_cloud_heal(c);
	store_free(st);
	c->options.timeout_ms = 0;
}

/* --- who waits, and who builds */

struct looked {
	struct digest blob;
	struct store *st;
};

/* 1: it is right; 0: absent, or wrong. */
static int
look_has(const struct looked *l, struct err *e)
{
	bool found = false;

	if (store_has(l->st, &l->blob, &found, NULL, e) < 0)
		return -1;
	return found ? 1 : 0;
}

static int
look_read(const struct looked *l, struct err *e)
{
	AUTO(buf) struct buf got = BUF_INIT;

	if (store_read(l->st, &l->blob, 99, &got, e) < 0)
		return -1;
	return strcmp(got.p, "looked for") == 0 ? 1 : 0;
}

static int
look_record(const struct looked *l, struct err *e)
{
	AUTO(buf) struct buf got = BUF_INIT;
	bool found = false;

	if (store_get_record(l->st, "layers/0", &found, &got, e) < 0)
		return -1;
	return found && strcmp(got.p, "text") == 0 ? 1 : 0;
}

static const struct {
	const char *name;
	int (*run)(const struct looked *l, struct err *e);
} looks[] = {
	{"look for a blob", look_has},
	{"read a blob", look_read},
	{"read a record", look_record},
};

/* Four calls fail in a row. */
static void
test_unwell(struct test_cloud *c, const char *name)
{
	struct store *st = reopen(c);
	struct looked l;
	struct err e = ERR_INIT;

	ok(store_put(st, "looked for", 10, &l.blob, &e) == 0 &&
		   store_put_record(st, "layers/0", "text", 4, &e) == 0,
	   "%s: a blob and a record %s", name, e.msg);
	store_free(st);
	for (size_t i = 0; i < ARRAY_LEN(looks); i++) {
		err_clear(&e);
		st = l.st = reopen(c);
		test_cloud_fault(c, "{\"action\":\"status:503\","
				    "\"path\":\"firn-test/\",\"count\":4}");
		ok(looks[i].run(&l, &e) < 0 && test_cloud_is_clean(&e),
		   "%s: unwell: who waits can't %s: %s", name, looks[i].name,
		   e.msg);
		test_cloud_heal(c);
		test_cloud_fault(c, "{\"action\":\"status:503\","
				    "\"path\":\"firn-test/\",\"count\":4}");
		err_clear(&e);
		l.st = store_for_build(st);
		ok(looks[i].run(&l, &e) == 1, "%s: who builds can %s", name,
		   e.msg);
		test_cloud_heal(c);
		store_free(st);
	}
}

/* A build's storage is the same one, and a build gives up, too. */
static void
test_build(struct test_cloud *c, const char *name)
{
	struct store *st, *build;
	struct looked l;
	struct err e = ERR_INIT;
	struct digest known;
	bool found = false;
	double start, took;
	int r;

	c->options.recheck_s = 0;
	st = reopen(c);
	l.st = build = store_for_build(st);
	ok(build != st && store_for_build(build) == build,
	   "%s: a build has its own", name);
	ok(store_put(build, "known", 5, &known, &e) == 0 &&
		   store_has(st, &known, &found, NULL, &e) == 0 && found,
	   "%s: which is the same %s", name, e.msg);
	digest_of("away", 4, &l.blob);
	test_cloud_kill(c);
	ok(store_has(build, &known, &found, NULL, &e) == 0 && found,
	   "%s: away: what was there is there %s", name, e.msg);
	for (size_t i = 0; i < ARRAY_LEN(looks); i++) {
		start = now();
		err_clear(&e);
		r = looks[i].run(&l, &e);
		took = now() - start;
		ok(r < 0 && test_cloud_is_clean(&e) && took < 20,
		   "%s: can't %s: %s (%.1f s)", name, looks[i].name, e.msg,
		   took);
	}
	ok(test_cloud_restart(c), "%s: it comes back", name);
	store_free(st);
	c->options.recheck_s = 60;
}

/* --- URLs */

static unsigned
fetch(const char *method, const char *url, struct http_answer *a)
{
	struct http *h = http_new(&(struct http_options){.ca_file = NULL});
	const struct http_request r = {
		.method = method, .url = url, .max_answer = 4096};
	struct err e = ERR_INIT;

	if (http_do(h, &r, a, &e) < 0)
		printf("# %s\n", e.msg);
	http_free(h);
	return a->status;
}

static void
test_urls(struct test_cloud *c, const char *name)
{
	AUTO(http_answer) struct http_answer a = HTTP_ANSWER_INIT;
	struct store_location at, again;
	struct store *st;
	struct err e = ERR_INIT;
	struct digest d;
	char *q, saved;

	c->options.url_ttl_s = 10;
	st = reopen(c);
	ok(store_put(st, "a blob", 6, &d, &e) == 0 &&
		   store_locate(st, &d, &at, &e) == 0 && at.where == STORE_URL,
	   "%s: a URL %s", name, e.msg);
	ok(!strstr(at.at, CLOUD_SECRET) && !strstr(at.at, "PRIVATE"),
	   "%s: without the secret", name);
	is_u64(fetch("GET", at.at, &a), 200, "  GET");
	is_str(a.body.p, "a blob", "  gives the blob");
	is_u64(fetch("HEAD", at.at, &a), 403, "  it is not for HEAD");
	ok(store_locate(st, &d, &again, &e) == 0 &&
		   strcmp(at.at, again.at) == 0,
	   "  the same is given out again");
	q = strstr(at.at, "blobs/sha256/") + strlen("blobs/sha256/");
	saved = *q;
	*q = saved == '0' ? '1' : '0';
	is_u64(fetch("GET", at.at, &a), 403, "  nor for another blob");
	*q = saved;
	q = at.at + strlen(at.at) - 1;
	saved = *q;
	*q = saved == '0' ? '1' : '0';
	is_u64(fetch("GET", at.at, &a), 403, "  nor with another signature");
	*q = saved;
	(void)usleep(5100000);
	ok(store_locate(st, &d, &again, &e) == 0 &&
		   strcmp(at.at, again.at) != 0,
	   "  after half its life there is a new one");
	test_cloud_clock(c, 5);
	is_u64(fetch("GET", at.at, &a), 403, "  the old one has expired");
	is_u64(fetch("GET", again.at, &a), 200, "  the new one has not");
	test_cloud_clock(c, 11);
	is_u64(fetch("GET", again.at, &a), 403, "  and then it has, too");
	test_cloud_clock(c, 0);
	store_free(st);
	c->options.url_ttl_s = 900;
}

static void
test_delivery(struct test_cloud *c)
{
	struct store_location at;
	struct err e = ERR_INIT;
	struct store *st;
	struct digest d;

	c->options.s3.public_endpoint = "https://s3.example";
	st = reopen(c);
	ok(store_put(st, "x", 1, &d, &e) == 0 &&
		   store_locate(st, &d, &at, &e) == 0 &&
		   at.where == STORE_URL &&
		   str_has_prefix(at.at, "https://s3.example/firn-test/blobs/"),
	   "clients get the public endpoint");
	store_free(st);
	c->options.delivery = STORE_DELIVERY_PROXY;
	st = reopen(c);
	ok(store_locate(st, &d, &at, &e) == 0 && at.where == STORE_PROXY &&
		   str_has_prefix(at.at, c->url),
	   "the web server gets ours");
	store_free(st);
	c->options.delivery = STORE_DELIVERY_AUTO;
	st = reopen(c);
	ok(store_locate(st, &d, &at, &e) == 0 && at.where == STORE_URL,
	   "auto: what clients can reach they fetch");
	store_free(st);
	c->options.s3.public_endpoint = NULL;
	st = reopen(c);
	ok(store_locate(st, &d, &at, &e) == 0 && at.where == STORE_PROXY,
	   "auto: not what is on this machine");
	store_free(st);
	c->options.delivery = STORE_DELIVERY_REDIRECT;
}

static void
test_tokens(struct test_cloud *c)
{
	struct store *st = reopen(c);
	struct err e = ERR_INIT;
	struct digest d;
	bool found = true, good = true;

	digest_of("t", 1, &d);
	for (int i = 0; i < 4; i++) {
		good = good && store_has(st, &d, &found, NULL, &e) == 0;
		(void)usleep(900000);
	}
	ok(good, "tokens that last two seconds are renewed %s", e.msg);
	test_cloud_kill(c);
	ok(test_cloud_restart(c), "the cloud forgets all tokens");
	err_clear(&e);
	ok(store_has(st, &d, &found, NULL, &e) == 0,
	   "one that is refused is renewed %s", e.msg);
	test_cloud_fault(c, "{\"action\":\"status:400\",\"path\":\"token\"}");
	(void)usleep(2100000); /* the one that is there has to end */
	ok(store_has(st, &d, &found, NULL, &e) < 0 && test_cloud_is_clean(&e),
	   "none can be had: %s", e.msg);
	test_cloud_heal(c);
	store_free(st);
}

static void
test_bad_options(struct test_cloud *c)
{
	struct store_options o = c->options;
	struct store *st = NULL;
	struct err e = ERR_INIT;

	o.gcs.credentials = "/dev/null";
	ok(store_open(&o, &st, &e) < 0 && e.kind == ERR_INVALID,
	   "a key file that is none: %s", e.msg);
	err_clear(&e);
	o.gcs.credentials = "/no/such/file";
	ok(store_open(&o, &st, &e) < 0 && e.kind == ERR_INVALID,
	   "or is not there: %s", e.msg);
	err_clear(&e);
	o = c->options;
	o.gcs.endpoint = "ftp://x";
	ok(store_open(&o, &st, &e) < 0 && e.kind == ERR_INVALID,
	   "an endpoint that is none: %s", e.msg);
}

/* --- wrong keys */

static void
test_wrong_secret(struct test_cloud *c)
{
	struct store_options o = c->options;
	struct store *st = NULL;
	struct err e = ERR_INIT;
	struct digest d;

	o.s3.secret = "another-secret";
	ok(store_open(&o, &st, &e) == 0 && store_put(st, "x", 1, &d, &e) < 0 &&
		   test_cloud_is_clean(&e) && !strstr(e.msg, "another-secret"),
	   "a wrong secret: %s", e.msg);
	err_clear(&e);
	ok(store_check(st, &e) < 0 && test_cloud_is_clean(&e),
	   "is not ready: %s", e.msg);
	store_free(st);
	o = c->options;
	o.s3.bucket = "other";
	err_clear(&e);
	ok(store_open(&o, &st, &e) == 0 && store_put(st, "x", 1, &d, &e) < 0 &&
		   test_cloud_is_clean(&e) && strstr(e.msg, "NoSuchBucket"),
	   "a wrong bucket: %s", e.msg);
	store_free(st);
}

static bool
start(struct test_cloud *c, enum test_cloud_kind kind, const char *name)
{
	const char *why;

	if (test_cloud_start(c, kind, &why))
		return true;
	skip(name, why);
	return false;
}

static void
test_s3(void)
{
	struct test_cloud c;

	if (!start(&c, TEST_S3_TOKEN, "s3"))
		return;
	test_urls(&c, "s3");
	test_delivery(&c);
	test_wrong_secret(&c);
	test_away(&c, "s3");
	test_hang(&c, "s3");
	test_unwell(&c, "s3");
	test_build(&c, "s3");
	test_retry_after(&c, "s3");
	test_cloud_stop(&c);
}

static void *
test_gcs(void *arg UNUSED)
{
	struct test_cloud c;

	if (!start(&c, TEST_GCS_KEY, "gcs"))
		return NULL;
	test_urls(&c, "gcs");
	test_tokens(&c);
	test_bad_options(&c);
	test_away(&c, "gcs");
	test_hang(&c, "gcs");
	test_unwell(&c, "gcs");
	test_build(&c, "gcs");
	test_retry_after(&c, "gcs");
	test_cloud_stop(&c);
	return NULL;
}

/* Both at once: most of their time they wait. */
int
main(void)
{
	struct test_log log = {.path = ""};
	pthread_t gcs;

	test_log_begin(&log);
	(void)pthread_create(&gcs, NULL, test_gcs, NULL);
	test_s3();
	(void)pthread_join(gcs, NULL);
	ok(test_log_end(&log), "there is a log, and no secret in it");
	return done_testing();
}
