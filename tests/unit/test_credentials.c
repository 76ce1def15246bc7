/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys for S3 that are had by asking: from each who gives them, anew before
 * they end and when they are refused; and what comes of it when they can't be
 * had.
 */
#include <stdlib.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/store/store.h"
#include "core/sys/fs.h"
#include "core/sys/http.h"
#include "tests/support/clouds.h"
#include "tests/support/must.h"
#include "tests/support/tap.h"

/* Files with tokens and keys, and where the fake is, without a key. */
struct world {
	struct test_cloud c;
	char web_token[96], container_token[96], keys[96], keys_url[96];
};

static bool
write_file(const char *path, const char *text)
{
	struct err e = ERR_INIT;

	return fs_write_atomic(path, text, strlen(text), &e) == 0;
}

static bool
set_up(struct world *w, const char **ret_why)
{
	struct store_options *o = &w->c.options;

	if (!test_cloud_start(&w->c, TEST_S3, ret_why))
		return false;
	(void)snprintf(w->web_token, 96, "%s/web", w->c.dir);
	(void)snprintf(w->container_token, 96, "%s/container", w->c.dir);
	(void)snprintf(w->keys, 96, "%s/keys", w->c.dir);
	(void)snprintf(w->keys_url, 96, "%s/keys", w->c.url);
	o->s3.key_id = o->s3.secret = NULL;
	o->s3.keys.sts_url = w->c.url;
	*ret_why = "a file can't be written";
	return write_file(w->web_token, "firn-test-web/+=\n") &&
	       write_file(w->container_token, "firn-test-container") &&
	       write_file(w->keys, "[other]\naws_access_key_id=x\n"
				   "aws_secret_access_key=y\n\n"
				   "# ours\r\n[firn]\r\n"
				   "aws_access_key_id = test-key\r\n"
				   "aws_secret_access_key= " CLOUD_SECRET
				   "\r\nregion = nowhere\n[more]\n"
				   "aws_access_key_id = z\n");
}

enum source { FILE_KEYS, WEB, CONTAINER, INSTANCE };

static const struct {
	const char *name;
	const char *path; /* of the fake that gives keys; NULL: a file */
} sources[] = {
	[FILE_KEYS] = {"a file", NULL},
	[WEB] = {"a web identity", "^/$"},
	[CONTAINER] = {"a container", "^/keys$"},
	[INSTANCE] = {"an instance", "^/latest/meta-data/.*role$"},
};

static void
choose(struct world *w, enum source s)
{
	struct store_keys *k = &w->c.options.s3.keys;

	*k = (struct store_keys){.sts_url = w->c.url};
	switch (s) {
	case FILE_KEYS:
		k->file = w->keys;
		k->profile = "firn";
		break;
	case WEB:
		k->role = "arn:aws:iam::123456789012:role/firn";
		k->web_token_file = w->web_token;
		/* It comes first. */
		k->file = "/no/such/file";
		break;
	case CONTAINER:
		k->container_url = w->keys_url;
		k->container_token_file = w->container_token;
		break;
	case INSTANCE:
		k->instance_url = w->c.url;
		break;
	}
}

static struct store *
reopen(struct world *w)
{
	struct store *st = NULL;
	struct err e = ERR_INIT;

	must(store_open(&w->c.options, &st, &e), &e);
	return st;
}

static unsigned
fetch(const char *url)
{
	AUTO(http_answer) struct http_answer a = HTTP_ANSWER_INIT;
	struct http *h = http_new(&(struct http_options){.ca_file = NULL});
	const struct http_request r = {
		.method = "GET", .url = url, .max_answer = 4096};
	struct err e = ERR_INIT;

	if (http_do(h, &r, &a, &e) < 0)
		printf("# %s\n", e.msg);
	http_free(h);
	return a.status;
}

static void
test_source(struct world *w, enum source s)
{
	const char *name = sources[s].name;
	struct store *st = reopen(w);
	struct store_location at;
	struct err e = ERR_INIT;
	struct digest d;

	ok(store_put(st, name, strlen(name), &d, &e) == 0,
	   "%s: has keys that are good %s", name, e.msg);
	ok(store_locate(st, &d, &at, &e) == 0 && fetch(at.at) == 200,
	   "%s: URLs are signed with them %s", name, e.msg);
	store_free(st);
}

/* Is the URL good for so many seconds at most? */
static bool
ends_within(const char *url, unsigned long s)
{
	const char *at = strstr(url, "X-Amz-Expires=");

	return at && strtoul(at + strlen("X-Amz-Expires="), NULL, 10) - 1 < s;
}

static void
test_renewal(struct world *w, enum source s)
{
	const char *name = sources[s].name;
	struct store *st;
	struct store_location at;
	struct err e = ERR_INIT;
	struct digest d, none;
	bool found, good = true;

	digest_of("none", 4, &none);
	test_cloud_life(&w->c, 4);
	st = reopen(w);
	ok(store_put(st, name, strlen(name), &d, &e) == 0 &&
		   store_locate(st, &d, &at, &e) == 0 && ends_within(at.at, 4),
	   "%s: a URL ends with its key %s", name, e.msg);
	for (int i = 0; i < 10; i++) {
		good = good && store_has(st, &none, &found, NULL, &e) == 0;
		(void)usleep(500000);
	}
	ok(good, "%s: keys are renewed before they end %s", name, e.msg);
	test_cloud_life(&w->c, 3600);
	err_clear(&e);
	ok(store_locate(st, &d, &at, &e) == 0 && fetch(at.at) == 200,
	   "%s: and a URL that is about to end is not given out %s", name,
	   e.msg);
	test_cloud_drop_tokens(&w->c);
	ok(store_has(st, &none, &found, NULL, &e) == 0,
	   "%s: keys that are refused are asked for anew %s", name, e.msg);
	store_free(st);
}

/*
 * Keys that were changed: whatever the refusal is called, once, the others are
 * used at once, and no URL of the old ones is given out.
 */
static void
test_refused(struct world *w, enum source s)
{
	static const struct {
		const char *fault, *method;
	} refusals[] = {
		{"status:403:InvalidAccessKeyId", "PUT"},
		{"status:403:InvalidToken", "PUT"},
		{"status:403:SignatureDoesNotMatch", "PUT"},
		{"status:403", "HEAD"},
	};

	for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
		struct store *st = reopen(w);
		struct store_location old, at;
		struct err e = ERR_INIT;
		struct digest d, put;
		char json[128];
		bool good;

		good = store_put(st, "first", 5, &d, &e) == 0 &&
		       store_locate(st, &d, &old, &e) == 0;
		/* A URL says when it was signed. */
		(void)usleep(1100000);
		(void)snprintf(json, sizeof(json),
			       "{\"action\":\"%s\",\"method\":\"%s\","
			       "\"count\":1}",
			       refusals[i].fault, refusals[i].method);
		test_cloud_fault(&w->c, json);
		good = good && store_put(st, json, strlen(json), &put, &e) == 0;
		ok(good, "%s: %s %s: other keys are used %s", sources[s].name,
		   refusals[i].method, refusals[i].fault, e.msg);
		ok(good && store_locate(st, &d, &at, &e) == 0 &&
			   strcmp(at.at, old.at) != 0,
		   "  for URLs too %s", e.msg);
		test_cloud_heal(&w->c);
		store_free(st);
	}
}

/* Who gives keys is not beyond a proxy, whatever is beyond it. */
static void
test_no_proxy(struct world *w, enum source s)
{
	struct store *st;
	struct err e = ERR_INIT;
	struct digest none;
	bool found, asked;

	digest_of("none", 4, &none);
	st = reopen(w);
	(void)setenv("http_proxy", "http://127.0.0.1:1", 1);
	asked = store_has(st, &none, &found, NULL, &e) < 0 &&
		!strstr(e.msg, "get keys");
	(void)unsetenv("http_proxy");
	ok(asked, "%s: a proxy is for the storage alone: %s", sources[s].name,
	   e.msg);
	store_free(st);
}

static void
test_failure(struct world *w, enum source s)
{
	static const char *const faults[] = {
		"status:403", "status:404", "status:429", "status:500",
		"close",      "truncate",   "hang",
	};
	struct err e = ERR_INIT;
	struct digest none;
	bool found;

	digest_of("none", 4, &none);
	for (size_t i = 0; i < ARRAY_LEN(faults); i++) {
		struct store *st;
		bool clean, back = false;
		char json[128];

		w->c.options.timeout_ms =
			strcmp(faults[i], "hang") == 0 ? 100 : 1000;
		st = reopen(w);
		(void)snprintf(json, sizeof(json),
			       "{\"action\":\"%s\",\"path\":\"%s\"}", faults[i],
			       sources[s].path);
		test_cloud_fault(&w->c, json);
		err_clear(&e);
		clean = store_has(st, &none, &found, NULL, &e) < 0 &&
			test_cloud_is_clean(&e);
		test_cloud_heal(&w->c);
		for (int n = 0; n < 400 && !back; n++) {
			struct err again = ERR_INIT;

			back = store_has(st, &none, &found, NULL, &again) == 0;
			if (!back)
				(void)usleep(50000);
		}
		ok(clean && back, "%s: %s: %s", sources[s].name, faults[i],
		   e.msg);
		store_free(st);
	}
	w->c.options.timeout_ms = 0;
}

static void
test_bad_settings(struct world *w)
{
	struct store_keys *k = &w->c.options.s3.keys;
	struct store *st = NULL;
	struct err e = ERR_INIT;
	struct digest none;
	bool found;

	digest_of("none", 4, &none);
	*k = (struct store_keys){.profile = "default"};
	ok(store_open(&w->c.options, &st, &e) < 0 && e.kind == ERR_INVALID,
	   "no keys at all: %s", e.msg);
	k->file = w->keys;
	st = reopen(w);
	err_clear(&e);
	ok(store_has(st, &none, &found, NULL, &e) < 0 &&
		   test_cloud_is_clean(&e),
	   "a profile that is not there: %s", e.msg);
	store_free(st);
	k->profile = "more";
	st = reopen(w);
	err_clear(&e);
	ok(store_has(st, &none, &found, NULL, &e) < 0 &&
		   test_cloud_is_clean(&e),
	   "half a key: %s", e.msg);
	store_free(st);
	choose(w, CONTAINER);
	ok(write_file(w->container_token, "two\nlines"), "a token");
	st = reopen(w);
	err_clear(&e);
	ok(store_has(st, &none, &found, NULL, &e) < 0 &&
		   test_cloud_is_clean(&e),
	   "that is none: %s", e.msg);
	store_free(st);
}

int
main(void)
{
	struct world w = {.keys = ""};
	struct test_log log = {.path = ""};
	const char *why;

	test_log_begin(&log);
	if (!set_up(&w, &why)) {
		skip("keys", why);
		return done_testing();
	}
	for (enum source s = FILE_KEYS; s <= INSTANCE; s++) {
		choose(&w, s);
		test_source(&w, s);
		if (s == FILE_KEYS)
			test_refused(&w, s);
		if (s == CONTAINER || s == INSTANCE)
			test_no_proxy(&w, s);
		if (!sources[s].path)
			continue;
		test_failure(&w, s);
		if (s == CONTAINER || getenv("FIRN_TEST_LONG"))
			test_renewal(&w, s);
	}
	test_bad_settings(&w);
	test_cloud_stop(&w.c);
	ok(test_log_end(&log), "there is a log, and no secret in it");
	return done_testing();
}
