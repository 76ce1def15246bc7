/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clouds that misbehave: whatever a call is answered with, nothing is
 * believed that isn't so, no secret gets into an error, and it works again
 * when the cloud does. And the URLs that clients are given.
 */
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

static const char *const secrets[] = {
	CLOUD_SECRET, CLOUD_TOKEN,   CLOUD_BODY_SECRET, "X-Amz-Signature",
	"X-Goog-Sig", "PRIVATE KEY", "ya29.",           "assertion",
};

static bool
shows_secret(const char *text)
{
	for (size_t i = 0; i < ARRAY_LEN(secrets); i++)
		if (strstr(text, secrets[i]))
			return true;
	return false;
}

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

/* A failure of storage's that shows no secret, and says what it is. */
static bool
is_clean(const struct err *e)
{
	bool good = e->kind == ERR_STORAGE && !shows_secret(e->msg) &&
		    !e->detail[0] && str_has_prefix(e->msg, "storage: ");

	if (!good)
		printf("# %s: %s\n", err_kind_name(e->kind), e->msg);
	return good;
}

/* --- one fault at each call */

static const char *const actions[] = {
	"status:403", "status:404", "status:429", "status:500", "close",
	"truncate",   "corrupt",    "lose",       "shorten",
};

/*
 * An upload with the fault on call number skip (and all later ones). It may
 * fail, then cleanly; if it succeeds, the blob is there, whole.
 */
static bool
upload_is_honest(struct test_cloud *c, const char *action, unsigned skip,
		 size_t n, bool *ret_good)
{
	static char big[34u << 20];
	struct store *st = reopen(c), *fresh;
	struct sink *staged = NULL;
	struct err e = ERR_INIT;
	struct digest d;
	char fault[200];
	uint64_t size = 0;
	bool found = false, honest = true;

	memset(big, (int)skip + 1, n);
	digest_of(big, n, &d);
	(void)snprintf(
		fault, sizeof(fault),
		"{\"action\":\"%s\",\"path\":\"%s\",\"skip\":%u}", action,
		strcmp(c->options.backend, "s3") == 0 ? "" : "storage/v1",
		skip);
	test_cloud_fault(c, fault);
	if (store_begin(st, &staged, &e) < 0 ||
	    sink_write(staged, big, n, &e) < 0 || sink_finish(staged, &e) < 0)
		return false;
	*ret_good = store_commit(st, staged, &d, &e) == 0;
	if (!*ret_good)
		honest = is_clean(&e);
	test_cloud_heal(c);
	/* As another replica sees it. */
	fresh = reopen(c);
	err_clear(&e);
	if (store_has(fresh, &d, &found, &size, &e) < 0)
		honest = false;
	if (*ret_good && (!found || size != n))
		honest = false;
	err_clear(&e);
	if (found && n < 1000) {
		AUTO(buf) struct buf got = BUF_INIT;

		/* What is there is right, or is seen to be wrong. */
		if (store_read(fresh, &d, n, &got, &e) == 0
			    ? memcmp(got.p, big, n) != 0
			    : *ret_good || e.kind != ERR_SYSTEM)
			honest = false;
	}
	err_clear(&e);
	/* It works again at once, and mends what is broken. */
	if (store_put(fresh, big, n < 1000 ? n : 1, &d, &e) < 0)
		honest = false;
	if (store_remove_blob(fresh, &d, &e) < 0)
		honest = false;
	store_free(fresh);
	store_free(st);
	return honest;
}

static void
test_uploads(struct test_cloud *c, const char *name, size_t n, unsigned calls)
{
	/* Large ones take their time: all of them with `make test-storage`. */
	size_t step = n < 1000 || getenv("FIRN_TEST_LONG") ? 1 : 4;

	for (size_t i = 0; i < ARRAY_LEN(actions); i += step) {
		unsigned failed = 0;
		bool honest = true;

		for (unsigned skip = 0; skip < calls; skip++) {
			bool good = false;

			if (!upload_is_honest(c, actions[i], skip, n, &good)) {
				printf("# at call %u\n", skip);
				honest = false;
			}
			failed += !good;
		}
		ok(honest,
		   "%s: upload %zu bytes, %s at call 0 to %u (%u failed)", name,
		   n, actions[i], calls - 1, failed);
	}
}

static void
test_reads(struct test_cloud *c, const char *name)
{
	struct store *st = reopen(c);
	struct err e = ERR_INIT;
	struct digest d;

	ok(store_put(st, "some blob", 9, &d, &e) == 0 &&
		   store_put_record(st, "layers/0", "some text", 9, &e) == 0,
	   "%s: a blob and a record %s", name, e.msg);
	store_free(st);
	for (size_t i = 0; i < ARRAY_LEN(actions) - 2; i++) {
		AUTO(buf) struct buf blob = BUF_INIT, record = BUF_INIT;
		bool found = false, there = false, honest = true;
		char fault[100];

		st = reopen(c);
		(void)snprintf(fault, sizeof(fault), "{\"action\":\"%s\"}",
			       actions[i]);
		test_cloud_fault(c, fault);
		if (store_has(st, &d, &found, NULL, &e) < 0)
			honest = is_clean(&e);
		else if (!found && strcmp(actions[i], "status:404") != 0 &&
			 strcmp(actions[i], "corrupt") != 0)
			honest = false;
		err_clear(&e);
		if (store_read(st, &d, 99, &blob, &e) == 0)
			honest = honest && strcmp(blob.p, "some blob") == 0;
		else if (e.kind != ERR_SYSTEM && e.kind != ERR_NOT_FOUND)
			honest = honest && is_clean(&e);
		err_clear(&e);
		if (store_get_record(st, "layers/0", &there, &record, &e) < 0)
			honest = honest && is_clean(&e);
		err_clear(&e);
		test_cloud_heal(c);
		store_free(st);
		ok(honest, "%s: reads, %s", name, actions[i]);
	}
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
	ok(store_has(st, &other, &found, NULL, &e) < 0 && is_clean(&e),
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
		 now() - start < 20);
	ok(found, "%s: and is asked again (after %.1f s)", name, now() - start);
	store_free(st);
	c->options.recheck_s = 60;
}

static void
test_hang(struct test_cloud *c, const char *name)
{
	struct store *st = reopen(c);
	struct err e = ERR_INIT;
	struct digest d;
	bool found;
	double start = now(), took;

	digest_of("hang", 4, &d);
	test_cloud_fault(c, "{\"action\":\"hang\"}");
	ok(store_has(st, &d, &found, NULL, &e) < 0 && is_clean(&e),
	   "%s: hangs: %s", name, e.msg);
	took = now() - start;
	ok(took < 15, "%s: a call is given up (%.1f s)", name, took);
	test_cloud_heal(c);
	store_free(st);
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

	c->options.url_ttl_s = 6;
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
	(void)sleep(4);
	ok(store_locate(st, &d, &again, &e) == 0 &&
		   strcmp(at.at, again.at) != 0,
	   "  after half its life there is a new one");
	(void)sleep(3);
	is_u64(fetch("GET", at.at, &a), 403, "  the old one has expired");
	is_u64(fetch("GET", again.at, &a), 200, "  the new one has not");
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
	(void)sleep(2);
	ok(store_has(st, &d, &found, NULL, &e) < 0 && is_clean(&e),
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
		   is_clean(&e) && !strstr(e.msg, "another-secret"),
	   "a wrong secret: %s", e.msg);
	err_clear(&e);
	ok(store_check(st, &e) < 0 && is_clean(&e), "is not ready: %s", e.msg);
	store_free(st);
	o = c->options;
	o.s3.bucket = "other";
	err_clear(&e);
	ok(store_open(&o, &st, &e) == 0 && store_put(st, "x", 1, &d, &e) < 0 &&
		   is_clean(&e) && strstr(e.msg, "NoSuchBucket"),
	   "a wrong bucket: %s", e.msg);
	store_free(st);
}

/* Standard error went to a file, where the log is now. */
static void
test_log(const char *path)
{
	AUTO(buf) struct buf text = BUF_INIT;
	struct err e = ERR_INIT;

	if (fs_read_file(path, 64u << 20, &text, &e) < 0)
		printf("# %s\n", e.msg);
	ok(text.len > 0, "%zu bytes of log at level debug", text.len);
	ok(!shows_secret(text.p), "show no secret");
	(void)unlink(path);
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

int
main(void)
{
	char log[] = "/tmp/firn-test-log-XXXXXX";
	struct test_cloud c;
	int fd = mkstemp(log);

	(void)dup2(fd, STDERR_FILENO);
	(void)close(fd);
	log_set_level(LOG_DEBUG);
	if (start(&c, TEST_S3_TOKEN, "s3")) {
		test_uploads(&c, "s3", 100, 3);
		test_reads(&c, "s3");
		test_urls(&c, "s3");
		test_delivery(&c);
		test_wrong_secret(&c);
		test_away(&c, "s3");
		test_hang(&c, "s3");
		test_uploads(&c, "s3", 34u << 20, 6);
		test_cloud_stop(&c);
	}
	if (start(&c, TEST_GCS_KEY, "gcs")) {
		test_uploads(&c, "gcs", 100, 3);
		test_reads(&c, "gcs");
		test_urls(&c, "gcs");
		test_tokens(&c);
		test_bad_options(&c);
		test_away(&c, "gcs");
		if (getenv("FIRN_TEST_LONG"))
			test_hang(&c, "gcs");
		test_uploads(&c, "gcs", 34u << 20, 5);
		test_cloud_stop(&c);
	}
	test_log(log);
	return done_testing();
}
