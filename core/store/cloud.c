/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/cloud.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/store/xml.h"
#include "core/sys/log.h"

/*
 * Someone waits: two more attempts within a second. A build waits: five more
 * within some twenty, since its work would be lost.
 */
#define QUICK_ATTEMPTS 3u
#define PATIENT_ATTEMPTS 6u

/*
 * All else is a multiple of what a small call may take (5 s). A build's may
 * take thrice that, or be silent for as long.
 */
#define TIMEOUT_MS 5000u
#define PATIENCE 3u
/* No attempt begins after so many: a cloud that hangs takes time, too. */
#define QUICK_TIMEOUTS 1u
#define PATIENT_TIMEOUTS 18u
/* A cloud may ask us to stay away for so many. */
#define QUIET_TIMEOUTS 12u
/* What is no larger goes out at once, so that only its answer takes time. */
#define SMALL_BODY 65536u
#define PART_SIZE (32u << 20)

/* So many attempts that fail in a row open the breaker, for so long. */
#define BREAKER_FAILURES 5u
#define BREAKER_OPEN_MS 2000u
#define DOUBT_MS 60000u

void
cloud_init(struct cloud *c, const struct cloud_ops *ops, const char *name,
	   const struct store_options *o)
{
	uint64_t timeout_ms = o->timeout_ms ? o->timeout_ms : TIMEOUT_MS;
	const struct http_options http = {
		.ca_file = o->ca_file,
		.connect_timeout_ms = timeout_ms,
		.stall_timeout_ms = PATIENCE * timeout_ms,
	};

	c->ops = ops;
	c->name = xstrdup(name);
	c->http = http_new(&http);
	c->pause_ms = o->pause_ms ? o->pause_ms : 500;
	c->timeout_ms = timeout_ms;
	c->part_size = o->part_size ? o->part_size : PART_SIZE;
}

void
cloud_release(struct cloud *c)
{
	http_free(c->http);
	free(c->name);
}

/* --- the breaker */

uint64_t
cloud_now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* May this call go out? While it is open, one in a while may. */
static bool
breaker_admits(struct cloud *c, bool patient)
{
	uint_least64_t until = atomic_load(&c->open_until_ms);
	uint64_t now = cloud_now_ms();

	if (patient || atomic_load(&c->failures) < BREAKER_FAILURES)
		return true;
	return now >= until &&
	       atomic_compare_exchange_strong(&c->open_until_ms, &until,
					      now + 2 * c->timeout_ms);
}

static void
breaker_note(struct cloud *c, bool good, const struct err *e)
{
	uint64_t open_ms = c->timeout_ms / 2;
	unsigned n;

	if (good) {
		n = atomic_exchange(&c->failures, 0);
		if (n >= BREAKER_FAILURES)
			log_info("storage.up", LOG_S("storage", c->name));
		return;
	}
	n = atomic_fetch_add(&c->failures, 1) + 1;
	if (open_ms > BREAKER_OPEN_MS)
		open_ms = BREAKER_OPEN_MS;
	if (n >= BREAKER_FAILURES)
		atomic_store(&c->open_until_ms, cloud_now_ms() + open_ms);
	if (n == BREAKER_FAILURES)
		log_warn("storage.down", LOG_S("storage", c->name),
			 LOG_S("error", e->msg));
}

/* --- calls */

/*
 * The word by which both clouds name an error. The rest of the body is not
 * looked at: S3 answers a bad signature with what was to be signed.
 */
static void
error_code(const struct http_answer *a, char ret[64])
{
	AUTO(buf) struct buf code = BUF_INIT;

	ret[0] = '\0';
	if (!xml_text((struct str){a->body.p, a->body.len}, "Code", &code) ||
	    code.len == 0 || code.len >= 60)
		return;
	for (size_t i = 0; i < code.len; i++) {
		char ch = code.p[i];

		if (!(ch >= 'A' && ch <= 'Z') && !(ch >= 'a' && ch <= 'z') &&
		    !(ch >= '0' && ch <= '9'))
			return;
	}
	(void)snprintf(ret, 64, " (%s)", code.p);
}

int
cloud_unexpected(const struct cloud *c, const struct cloud_call *call,
		 const struct http_answer *a, struct err *e)
{
	char code[64];

	error_code(a, code);
	return err_set(e, ERR_STORAGE,
		       "storage: %s: can't %s: it answers with status %u%s",
		       c->name, call->what, a->status, code);
}

enum verdict {
	ANSWERED,
	REFUSED, /* the credentials; others may do */
	UNWELL,  /* the same may work later */
	FINAL,   /* it won't */
};

static bool
is_one_of(const char *code, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(code, names[i]) == 0)
			return true;
	return false;
}

/*
 * The code of an answer to HEAD can't be seen. 403 may mean that the key was
 * changed; or that it may not list, and then it is said of all that isn't
 * there: others are asked for once in a while.
 */
static bool
may_doubt(struct cloud *c)
{
	uint64_t now = cloud_now_ms(), last = atomic_load(&c->doubted_ms);

	return (last == 0 || now - last >= DOUBT_MS) &&
	       atomic_compare_exchange_strong(&c->doubted_ms, &last, now);
}

static enum verdict
judge(struct cloud *c, const struct cloud_call *call,
      const struct http_answer *a)
{
	static const char *const refused[] = {
		" (ExpiredToken)",
		" (InvalidAccessKeyId)",
		" (InvalidToken)",
		" (SignatureDoesNotMatch)",
	};
	static const char *const passing[] = {
		" (OperationAborted)",
		" (RequestTimeout)",
		" (SlowDown)",
	};
	bool head = strcmp(call->method, "HEAD") == 0;
	unsigned s = a->status;
	char code[64];

	if (s < 400)
		return !call->is_good || call->is_good(a) ? ANSWERED : UNWELL;
	if (s == 404 || s == 410 || s == 412 || s == 416)
		return ANSWERED;
	error_code(a, code);
	/* Nothing else makes a HEAD a bad request. */
	if (s == 401 || is_one_of(code, refused, ARRAY_LEN(refused)) ||
	    (head && s == 400) || (head && s == 403 && may_doubt(c)))
		return REFUSED;
	if (s == 408 || s == 429 || s >= 500 ||
	    is_one_of(code, passing, ARRAY_LEN(passing)))
		return UNWELL;
	return FINAL;
}

/* --- a cloud that asks us to stay away for a while */

uint64_t
cloud_quiet_max_ms(uint64_t timeout_ms)
{
	return QUIET_TIMEOUTS * (timeout_ms ? timeout_ms : TIMEOUT_MS);
}

static void
note_quiet(struct cloud *c, const struct http_answer *a)
{
	uint64_t ms = http_retry_after(a, cloud_quiet_max_ms(c->timeout_ms));

	if (ms > 0)
		atomic_store(&c->quiet_until_ms, cloud_now_ms() + ms);
}

/* A build waits for as long as is asked; where someone waits, it fails. */
static int
keep_away(struct cloud *c, const struct cloud_call *call, struct err *e)
{
	uint64_t until = atomic_load(&c->quiet_until_ms);
	uint64_t now = cloud_now_ms();

	if (now >= until)
		return 0;
	if (call->patient) {
		http_sleep(until - now);
		return 0;
	}
	if (e->kind != ERR_NONE)
		return -1;
	return err_set(e, ERR_STORAGE,
		       "storage: %s: can't %s: it asks not to be called for "
		       "%" PRIu64 " s",
		       c->name, call->what, (until - now + 999) / 1000);
}

static enum verdict
attempt(struct cloud *c, const struct cloud_call *call, struct http_answer *a,
	struct err *e)
{
	enum verdict v = UNWELL;

	if (c->ops->send(c, call, a, e) < 0) {
		if (e->kind == ERR_SYSTEM || e->kind == ERR_INVALID)
			v = FINAL; /* our own disk, or too large an answer */
		if (e->kind != ERR_SYSTEM &&
		    !(e->kind == ERR_INVALID && call->bounded))
			e->kind = ERR_STORAGE;
		if (!str_has_prefix(e->msg, "storage: "))
			err_wrap(e, "storage: %s: can't %s", c->name,
				 call->what);
	} else {
		v = judge(c, call, a);
		if (v != ANSWERED)
			(void)cloud_unexpected(c, call, a, e);
		if (v == UNWELL)
			note_quiet(c, a);
	}
	/* Who is forbidden something has an answer. */
	breaker_note(c,
		     v == ANSWERED || v == FINAL ||
			     (v == REFUSED && a->status == 403),
		     e);
	return v;
}

int
cloud_call(struct cloud *c, const struct cloud_call *call,
	   struct http_answer *a, struct err *e)
{
	unsigned attempts = call->patient ? PATIENT_ATTEMPTS : QUICK_ATTEMPTS;
	uint64_t last = cloud_now_ms() +
			c->timeout_ms * (call->patient ? PATIENT_TIMEOUTS
						       : QUICK_TIMEOUTS);
	bool renewed = false;

	for (unsigned i = 0;; i++) {
		enum verdict v;

		if (keep_away(c, call, e) < 0)
			return -1;
		if (!breaker_admits(c, call->patient)) {
			if (e->kind != ERR_NONE)
				return -1;
			return err_set(e, ERR_STORAGE,
				       "storage: %s: can't %s: it did not "
				       "answer lately",
				       c->name, call->what);
		}
		err_clear(e);
		v = attempt(c, call, a, e);
		if (v == ANSWERED)
			return 0;
		if (v == REFUSED && !renewed && c->ops->renew &&
		    c->ops->renew(c)) {
			renewed = true;
			continue;
		}
		if (v != UNWELL || i + 1 >= attempts || cloud_now_ms() > last)
			return -1;
		log_debug("storage.retry", LOG_S("error", e->msg),
			  LOG_N("attempt", i + 1));
		if (call->patient)
			http_pause(i, c->pause_ms, 8000);
		else
			http_pause(i, c->pause_ms / 5, 500);
	}
}

void
cloud_limit(const struct cloud *c, const struct cloud_call *call,
	    struct http_request *r)
{
	if (!call->patient)
		r->timeout_ms = c->timeout_ms;
	else if (call->slow)
		r->stall_timeout_ms = PATIENT_TIMEOUTS * c->timeout_ms;
	else if (call->size <= SMALL_BODY)
		r->timeout_ms = PATIENCE * c->timeout_ms;
}

int
cloud_stat_key(struct cloud *c, const char *key, bool patient, bool *ret_found,
	       uint64_t *ret_size, struct err *e)
{
	AUTO(http_answer) struct http_answer a = HTTP_ANSWER_INIT;
	AUTO(buf) struct buf path = BUF_INIT;
	struct cloud_call call = {
		.what = "look for a blob",
		.method = c->ops->look_method,
		.query = {c->ops->look},
		.n_query = c->ops->look.name ? 1 : 0,
		.patient = patient,
	};

	c->ops->path(c, key, &path);
	call.path = path.p;
	*ret_found = false;
	if (cloud_call(c, &call, &a, e) < 0)
		return -1;
	if (a.status == 404)
		return 0;
	if (a.status != 200 || !c->ops->size(&a, ret_size))
		return cloud_unexpected(c, &call, &a, e);
	*ret_found = true;
	return 0;
}

int
cloud_get_key(struct cloud *c, const char *key, bool patient, size_t max,
	      bool *ret_found, struct buf *to, struct err *e)
{
	AUTO(http_answer) struct http_answer a = HTTP_ANSWER_INIT;
	AUTO(buf) struct buf path = BUF_INIT;
	struct cloud_call call = {
		.what = "read",
		.method = "GET",
		.query = {c->ops->bytes},
		.n_query = c->ops->bytes.name ? 1 : 0,
		.max_answer = max > CLOUD_ANSWER_MAX ? max : CLOUD_ANSWER_MAX,
		.bounded = true,
		.patient = patient,
	};

	c->ops->path(c, key, &path);
	call.path = path.p;
	*ret_found = false;
	if (cloud_call(c, &call, &a, e) < 0)
		return -1;
	if (a.status == 404)
		return 0;
	if (a.status != 200)
		return cloud_unexpected(c, &call, &a, e);
	if (a.body.len > max)
		return err_set(e, ERR_INVALID,
			       "a blob is larger than %zu bytes", max);
	buf_add(to, a.body.p, a.body.len);
	*ret_found = true;
	return 0;
}

int
cloud_remove_key(struct cloud *c, const char *key, struct err *e)
{
	AUTO(http_answer) struct http_answer a = HTTP_ANSWER_INIT;
	AUTO(buf) struct buf path = BUF_INIT;
	struct cloud_call call = {.what = "remove", .method = "DELETE"};

	c->ops->path(c, key, &path);
	call.path = path.p;
	if (cloud_call(c, &call, &a, e) < 0)
		return -1;
	if (a.status >= 300 && a.status != 404)
		return cloud_unexpected(c, &call, &a, e);
	return 0;
}

void
cloud_add_query(const struct cloud_call *call, struct buf *to)
{
	for (size_t i = 0; i < call->n_query; i++) {
		buf_addc(to, i ? '&' : '?');
		sign_encode(to, call->query[i].name, false);
		buf_addc(to, '=');
		sign_encode(to, call->query[i].value, false);
	}
}

/* --- endpoints and times */

int
cloud_endpoint(const char *setting, const char *url, struct buf *to,
	       struct err *e)
{
	size_t scheme = str_has_prefix(url, "https://")  ? 8
			: str_has_prefix(url, "http://") ? 7
							 : 0;
	size_t n = strlen(url);

	while (n > scheme && url[n - 1] == '/')
		n--;
	if (scheme == 0 || n == scheme || n > 300 ||
	    strcspn(url + scheme, "/?#@ \"\\") < n - scheme)
		return err_set(e, ERR_INVALID,
			       "%s: a URL like https://host:port without a "
			       "path or a name is wanted",
			       setting);
	buf_add(to, url, n);
	return 0;
}

void
cloud_host(const char *endpoint, struct buf *to)
{
	const char *own = str_has_prefix(endpoint, "https:") ? ":443" : ":80";
	size_t start = to->len;

	http_url_host(endpoint, to);
	if (str_has_suffix(to->p + start, own))
		buf_truncate(to, to->len - strlen(own));
}

static bool
is_loopback(const char *endpoint)
{
	AUTO(buf) struct buf host = BUF_INIT;

	http_url_host(endpoint, &host);
	return strcmp(host.p, "localhost") == 0 ||
	       str_has_prefix(host.p, "localhost:") ||
	       str_has_prefix(host.p, "127.") ||
	       str_has_prefix(host.p, "[::1]");
}

bool
cloud_is_proxied(const struct store_options *o, const char *endpoint)
{
	switch (o->delivery) {
	case STORE_DELIVERY_REDIRECT:
		return false;
	case STORE_DELIVERY_PROXY:
		return true;
	case STORE_DELIVERY_AUTO:
		break;
	}
	return is_loopback(endpoint);
}

uint64_t
cloud_time(const char *text)
{
	struct tm tm = {.tm_isdst = 0};
	time_t t;

	if (!strptime(text, "%Y-%m-%dT%H:%M:%S", &tm))
		return 0;
	t = timegm(&tm);
	return t < 0 ? 0 : (uint64_t)t;
}
