/* SPDX-License-Identifier: Apache-2.0 */
#include "core/sys/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/vec.h"
#include "core/sys/clock.h"
#include "core/sys/fs.h"

#define HEADERS_MAX 65536u
#define IDLE_MAX 64u
#define GET_ATTEMPTS 3u

struct http {
	char *ca_file;
	long connect_timeout_ms;
	uint64_t stall_timeout_ms;
	pthread_mutex_t lock;
	/* Handles that nobody uses just now, each with its connections. */
	struct {
		VEC(CURL *);
	} idle;
};

static void
start_curl(void)
{
	if (curl_global_init(CURL_GLOBAL_ALL) != CURLE_OK)
		abort();
}

struct http *
http_new(const struct http_options *o)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct http *h = xcalloc(1, sizeof(*h));

	(void)pthread_once(&once, start_curl);
	h->ca_file = o->ca_file ? xstrdup(o->ca_file) : NULL;
	h->connect_timeout_ms =
		o->connect_timeout_ms ? (long)o->connect_timeout_ms : 5000;
	h->stall_timeout_ms = o->stall_timeout_ms ? o->stall_timeout_ms : 20000;
	(void)pthread_mutex_init(&h->lock, NULL);
	return h;
}

void
http_free(struct http *h)
{
	if (!h)
		return;
	for (size_t i = 0; i < h->idle.n; i++)
		curl_easy_cleanup(h->idle.v[i]);
	vec_release(&h->idle);
	(void)pthread_mutex_destroy(&h->lock);
	free(h->ca_file);
	free(h);
}

static CURL *
take_handle(struct http *h)
{
	CURL *c = NULL;

	(void)pthread_mutex_lock(&h->lock);
	if (h->idle.n > 0)
		c = h->idle.v[--h->idle.n];
	(void)pthread_mutex_unlock(&h->lock);
	if (!c && !(c = curl_easy_init()))
		abort();
	return c;
}

/* A reset keeps the connections and forgets the request, secrets and all. */
static void
give_back(struct http *h, CURL *c)
{
	curl_easy_reset(c);
	(void)pthread_mutex_lock(&h->lock);
	if (h->idle.n < IDLE_MAX) {
		vec_push(&h->idle, c);
		c = NULL;
	}
	(void)pthread_mutex_unlock(&h->lock);
	if (c)
		curl_easy_cleanup(c);
}

/* --- one request, as libcurl's callbacks see it */

struct call {
	CURL *handle;
	const struct http_request *r;
	struct http_answer *a;
	uint64_t sent;
	uint64_t stall_timeout_ms;
	uint64_t moved_at; /* when something was sent or heard last */
	curl_off_t moved;
	bool stalled;
	uint64_t received;
	bool too_large;
	bool unreadable;       /* the file that is sent */
	struct err unwritable; /* the one that takes the answer */
};

static size_t
on_body(char *p, size_t size, size_t n, void *arg)
{
	struct call *c = arg;
	curl_off_t whole = 0; /* what is announced, if it is; else -1 */

	n *= size;
	(void)curl_easy_getinfo(c->handle, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T,
				&whole);
	if (n > c->r->max_answer - c->received ||
	    (whole > 0 && (uint64_t)whole > c->r->max_answer)) {
		c->too_large = true;
		return 0;
	}
	c->received += n;
	if (!c->r->to_fd)
		buf_add(&c->a->body, p, n);
	else if (fs_write_all(c->r->out, p, n, &c->unwritable) < 0)
		return 0;
	return n;
}

static size_t
on_header(char *p, size_t size, size_t n, void *arg)
{
	struct call *c = arg;
	size_t len;

	n *= size;
	/* A status line: what came before was a redirect, or 100. */
	if (n > 5 && memcmp(p, "HTTP/", 5) == 0)
		buf_clear(&c->a->headers);
	if (c->a->headers.len + n > HEADERS_MAX) {
		c->too_large = true;
		return 0;
	}
	for (len = n; len > 0 && (p[len - 1] == '\r' || p[len - 1] == '\n');)
		len--;
	buf_add(&c->a->headers, p, len);
	buf_addc(&c->a->headers, '\n');
	return n;
}

static size_t
on_read(char *to, size_t size, size_t n, void *arg)
{
	struct call *c = arg;
	uint64_t left = c->r->size - c->sent;
	ssize_t got;

	n *= size;
	if (n > left)
		n = (size_t)left;
	if (!c->r->from_fd) {
		if (n > 0)
			memcpy(to, (const char *)c->r->body + c->sent, n);
		c->sent += n;
		return n;
	}
	do
		got = pread(c->r->fd, to, n, (off_t)(c->r->offset + c->sent));
	while (got < 0 && errno == EINTR);
	if (got < 0 || (got == 0 && n > 0)) {
		c->unreadable = true;
		return CURL_READFUNC_ABORT;
	}
	c->sent += (uint64_t)got;
	return (size_t)got;
}

/*
 * Once a second at least. libcurl's own limit of speed is of little use: it
 * looks at a mean of some seconds.
 */
static int
on_progress(void *arg, curl_off_t total_down UNUSED, curl_off_t down,
	    curl_off_t total_up UNUSED, curl_off_t up)
{
	struct call *c = arg;

	if (down + up != c->moved) {
		c->moved = down + up;
		c->moved_at = clock_ms();
	}
	c->stalled = clock_ms() - c->moved_at >= c->stall_timeout_ms;
	return c->stalled ? 1 : 0;
}

/* A connection that had been idle was closed: the body goes out again. */
static int
on_seek(void *arg, curl_off_t offset, int origin)
{
	struct call *c = arg;

	if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > c->r->size)
		return CURL_SEEKFUNC_FAIL;
	c->sent = (uint64_t)offset;
	return CURL_SEEKFUNC_OK;
}

static struct curl_slist *
make_headers(const struct http_request *r)
{
	struct curl_slist *list = NULL;
	AUTO(buf) struct buf line = BUF_INIT;

	/* Not to wait for a server's leave before a body. */
	list = curl_slist_append(list, "Expect:");
	for (size_t i = 0; i < r->n_headers; i++) {
		const char *value = r->headers[i].value;

		buf_clear(&line);
		/* libcurl's way to say that a value is empty is ";". */
		buf_printf(&line, value[0] ? "%s: %s" : "%s;%s",
			   r->headers[i].name, value);
		list = curl_slist_append(list, line.p);
		if (!list)
			abort();
	}
	return list;
}

static void
set_method(CURL *c, struct call *call)
{
	const struct http_request *r = call->r;

	if (strcmp(r->method, "HEAD") == 0) {
		(void)curl_easy_setopt(c, CURLOPT_NOBODY, 1L);
	} else if (strcmp(r->method, "PUT") == 0 ||
		   strcmp(r->method, "POST") == 0) {
		(void)curl_easy_setopt(c, CURLOPT_UPLOAD, 1L);
		(void)curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, r->method);
		(void)curl_easy_setopt(c, CURLOPT_INFILESIZE_LARGE,
				       (curl_off_t)r->size);
		(void)curl_easy_setopt(c, CURLOPT_READFUNCTION, on_read);
		(void)curl_easy_setopt(c, CURLOPT_READDATA, call);
		(void)curl_easy_setopt(c, CURLOPT_SEEKFUNCTION, on_seek);
		(void)curl_easy_setopt(c, CURLOPT_SEEKDATA, call);
		(void)curl_easy_setopt(c, CURLOPT_UPLOAD_BUFFERSIZE, 262144L);
	} else {
		(void)curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, r->method);
	}
}

static void
set_options(const struct http *h, CURL *c, struct call *call)
{
	const struct http_request *r = call->r;

	(void)curl_easy_setopt(c, CURLOPT_URL, r->url);
	(void)curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	(void)curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
	(void)curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(c, CURLOPT_USERAGENT, "firn/" FIRN_VERSION);
	(void)curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS,
			       h->connect_timeout_ms);
	(void)curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)r->timeout_ms);
	if (h->ca_file)
		(void)curl_easy_setopt(c, CURLOPT_CAINFO, h->ca_file);
	(void)curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION,
			       r->redirects > 0 ? 1L : 0L);
	(void)curl_easy_setopt(c, CURLOPT_MAXREDIRS, (long)r->redirects);
	(void)curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
	(void)curl_easy_setopt(c, CURLOPT_WRITEDATA, call);
	(void)curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
	(void)curl_easy_setopt(c, CURLOPT_HEADERDATA, call);
	(void)curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
	(void)curl_easy_setopt(c, CURLOPT_XFERINFODATA, call);
	(void)curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
	if (r->direct)
		(void)curl_easy_setopt(c, CURLOPT_NOPROXY, "*");
	set_method(c, call);
}

void
http_url_host(const char *url, struct buf *to)
{
	const char *host = strstr(url, "://");
	size_t n;

	host = host ? host + 3 : url;
	n = strcspn(host, "/?#");
	for (size_t i = 0; i < n; i++) {
		if (host[i] == '@') {
			host += i + 1;
			n -= i + 1;
			break;
		}
	}
	buf_add(to, host, n);
}

static int
fail(const struct call *call, CURLcode code, struct err *e)
{
	AUTO(buf) struct buf host = BUF_INIT;

	http_url_host(call->r->url, &host);
	if (call->unreadable)
		return err_set(e, ERR_SYSTEM,
			       "the file to be sent to %s can't be read",
			       host.p);
	if (call->unwritable.kind != ERR_NONE) {
		*e = call->unwritable;
		return -1;
	}
	if (call->stalled)
		code = CURLE_OPERATION_TIMEDOUT;
	if (call->too_large)
		return err_set(e, ERR_INVALID, "%s answers too much", host.p);
	/* Not libcurl's error buffer: it may quote what was received. */
	return err_set(e, ERR_UPSTREAM, "%s: %s", host.p,
		       curl_easy_strerror(code));
}

int
http_do(struct http *h, const struct http_request *r, struct http_answer *a,
	struct err *e)
{
	struct call call = {
		.r = r,
		.a = a,
		.stall_timeout_ms = r->stall_timeout_ms ? r->stall_timeout_ms
							: h->stall_timeout_ms,
		.moved_at = clock_ms(),
	};
	struct curl_slist *headers = make_headers(r);
	CURL *c = take_handle(h);
	CURLcode code;
	long status = 0;
	int ret = 0;

	call.handle = c;
	a->status = 0;
	buf_clear(&a->body);
	buf_clear(&a->headers);
	set_options(h, c, &call);
	(void)curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
	code = curl_easy_perform(c);
	(void)curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
	a->status = (unsigned)status;
	if (code != CURLE_OK || status == 0)
		ret = fail(&call, code, e);
	give_back(h, c);
	curl_slist_free_all(headers);
	return ret;
}

void
http_answer_release(struct http_answer *a)
{
	buf_release(&a->body);
	buf_release(&a->headers);
}

bool
http_answer_header(const struct http_answer *a, const char *name,
		   struct buf *ret)
{
	struct str rest = {a->headers.p, a->headers.len}, line, key;

	while (str_cut(&rest, '\n', &line)) {
		if (!str_cut(&line, ':', &key) || key.n != strlen(name) ||
		    strncasecmp(key.p, name, key.n) != 0)
			continue;
		while (line.n > 0 && (*line.p == ' ' || *line.p == '\t')) {
			line.p++;
			line.n--;
		}
		buf_add(ret, line.p, line.n);
		return true;
	}
	return false;
}

uint64_t
http_retry_after(const struct http_answer *a, uint64_t max_ms)
{
	AUTO(buf) struct buf text = BUF_INIT;
	time_t at, now = time(NULL);
	uint64_t s;

	if (!http_answer_header(a, "retry-after", &text))
		return 0;
	if (!str_to_u64(str_of(text.p), UINT64_MAX, &s)) {
		at = curl_getdate(text.p, NULL);
		s = at > now ? (uint64_t)(at - now) : 0;
	}
	return s < max_ms / 1000 ? s * 1000 : s > 0 ? max_ms : 0;
}

void
http_sleep(uint64_t ms)
{
	const struct timespec t = {
		.tv_sec = (time_t)(ms / 1000),
		.tv_nsec = (long)(ms % 1000) * 1000000,
	};

	(void)nanosleep(&t, NULL);
}

void
http_pause(unsigned attempt, uint64_t base_ms, uint64_t max_ms)
{
	uint64_t ms = attempt < 20 ? base_ms << attempt : max_ms;
	char hex[33];

	if (ms > max_ms)
		ms = max_ms;
	/* Half of it and a random part, so that many do not come as one. */
	fs_random_hex(hex);
	hex[8] = '\0';
	http_sleep(ms / 2 + strtoul(hex, NULL, 16) % (ms / 2 + 1));
}

static int
get_file(const char *url, size_t max, struct buf *to, struct err *e)
{
	const char *path = url + strlen("file://");

	if (path[0] != '/')
		return err_set(e, ERR_UPSTREAM,
			       "a file URL begins with file:///");
	return fs_read_file(path, max, to, e);
}

int
http_get(struct http *h, const char *url, size_t max, uint64_t timeout_ms,
	 struct buf *to, struct err *e)
{
	AUTO(http_answer) struct http_answer a = HTTP_ANSWER_INIT;
	AUTO(buf) struct buf host = BUF_INIT;
	const struct http_request r = {
		.method = "GET",
		.url = url,
		.max_answer = max,
		.redirects = 5,
		.timeout_ms = timeout_ms,
	};

	if (str_has_prefix(url, "file://"))
		return get_file(url, max, to, e);
	for (unsigned i = 0; i < GET_ATTEMPTS; i++) {
		if (i > 0)
			http_pause(i, 250, 2000);
		err_clear(e);
		if (http_do(h, &r, &a, e) == 0 && a.status < 500 &&
		    a.status != 429)
			break;
	}
	if (e->kind != ERR_NONE)
		return -1;
	if (a.status == 200) {
		buf_add(to, a.body.p, a.body.len);
		return 0;
	}
	http_url_host(url, &host);
	return err_set(e,
		       a.status == 404 || a.status == 410 ? ERR_NOT_FOUND
							  : ERR_UPSTREAM,
		       "%s answers with status %u", host.p, a.status);
}
