/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP against a server of one thread, which answers what the path says and
 * closes: the request itself is what some tests look at.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/sys/fs.h"
#include "core/sys/http.h"
#include "tests/support/tap.h"

struct fake {
	int fd;
	unsigned port;
	pthread_t thread;
	atomic_uint requests;
	struct buf seen; /* the last request, whole */
};

static const struct {
	const char *path, *answer;
} answers[] = {
	{"/ok", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"x\"\r\n"
		"X-Empty:\r\n\r\nhello"},
	{"/short", "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello"},
	{"/garbage", "I am no web server\r\n\r\n"},
	{"/gone", "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"},
	{"/to-ok", "HTTP/1.1 302 Found\r\nLocation: /ok\r\nETag: \"old\"\r\n"
		   "Content-Length: 0\r\n\r\n"},
	{"/to-file", "HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n"
		     "Content-Length: 0\r\n\r\n"},
	{"/loop", "HTTP/1.1 302 Found\r\nLocation: /loop\r\n"
		  "Content-Length: 0\r\n\r\n"},
};

/* Read a request: its head, and as much body as it announces. */
static bool
read_request(int fd, struct buf *to)
{
	char chunk[4096];
	const char *end, *length;
	size_t want = 0;

	buf_clear(to);
	for (;;) {
		ssize_t n;

		end = strstr(to->p, "\r\n\r\n");
		if (end && (length = strstr(to->p, "Content-Length: ")))
			want = strtoul(length + 16, NULL, 10);
		if (end && to->len >= (size_t)(end - to->p) + 4 + want)
			return true;
		n = read(fd, chunk, sizeof(chunk));
		if (n <= 0)
			return false;
		buf_add(to, chunk, (size_t)n);
	}
}

static void
answer(struct fake *f, int fd, unsigned count)
{
	const char *text = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
	struct str rest = {f->seen.p, f->seen.len}, method, path;
	char byte;

	if (!str_cut(&rest, ' ', &method) || !str_cut(&rest, ' ', &path))
		return;
	path.n = strcspn(path.p, "? ");
	for (size_t i = 0; i < ARRAY_LEN(answers); i++)
		if (str_eq(path, answers[i].path))
			text = answers[i].answer;
	if (str_eq(path, "/third-time") && count < 3)
		text = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n";
	/* Until the other side gives up. */
	if (str_eq(path, "/hang"))
		(void)!read(fd, &byte, 1);
	else
		(void)!write(fd, text, strlen(text));
}

static void *
serve(void *arg)
{
	struct fake *f = arg;
	int fd;

	while ((fd = accept(f->fd, NULL, NULL)) >= 0) {
		if (read_request(fd, &f->seen))
			answer(f, fd, atomic_fetch_add(&f->requests, 1) + 1);
		(void)close(fd);
	}
	return NULL;
}

static void
fake_start(struct fake *f)
{
	struct sockaddr_in at = {.sin_family = AF_INET,
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(at);

	buf_init(&f->seen);
	f->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(f->fd, (struct sockaddr *)&at, n) < 0 ||
	    listen(f->fd, 8) < 0 ||
	    getsockname(f->fd, (struct sockaddr *)&at, &n) < 0)
		abort();
	f->port = ntohs(at.sin_port);
	(void)pthread_create(&f->thread, NULL, serve, f);
}

static void
fake_stop(struct fake *f)
{
	(void)shutdown(f->fd, SHUT_RDWR);
	(void)pthread_join(f->thread, NULL);
	(void)close(f->fd);
	buf_release(&f->seen);
}

static int
ask(struct http *h, const struct fake *f, const char *path,
    struct http_request r, struct http_answer *a, struct err *e)
{
	char url[128];

	(void)snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", f->port,
		       path);
	r.url = url;
	err_clear(e);
	return http_do(h, &r, a, e);
}

static void
fails(struct http *h, const struct fake *f, const char *path,
      struct http_request r, enum err_kind kind, const char *says)
{
	AUTO(http_answer) struct http_answer a = HTTP_ANSWER_INIT;
	struct err e = ERR_INIT;

	ok(ask(h, f, path, r, &a, &e) < 0 && e.kind == kind, "%s: %s", says,
	   e.msg);
}

static void
test_answers(struct http *h, struct fake *f)
{
	AUTO(http_answer) struct http_answer a = HTTP_ANSWER_INIT;
	AUTO(buf) struct buf etag = BUF_INIT;
	struct http_request get = {.method = "GET", .max_answer = 5};
	FILE *file = tmpfile();
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
	char text[8];
	struct err e = ERR_INIT;

	ok(ask(h, f, "/ok", get, &a, &e) == 0 && a.status == 200, "GET %s",
	   e.msg);
	is_str(a.body.p, "hello", "its body");
	ok(http_answer_header(&a, "etag", &etag) &&
		   !http_answer_header(&a, "none", &etag),
	   "its headers");
	is_str(etag.p, "\"x\"", "without regard to case");
	ok(ask(h, f, "/gone", get, &a, &e) == 0 && a.status == 404,
	   "any status is an answer");
	get.max_answer = 4;
	fails(h, f, "/ok", get, ERR_INVALID,
	      "more than was asked for is an error");
	get.max_answer = 5;
	get.to_fd = true;
	get.out = fileno(file);
	ok(ask(h, f, "/ok", get, &a, &e) == 0 && a.status == 200 &&
		   a.body.len == 0 &&
		   pread(fileno(file), text, sizeof(text), 0) == 5 &&
		   memcmp(text, "hello", 5) == 0,
	   "an answer can go to a file");
	get.max_answer = 4;
	fails(h, f, "/ok", get, ERR_INVALID,
	      "which holds no more than asked for");
	get.max_answer = 5;
	get.out = full;
	fails(h, f, "/ok", get, ERR_SYSTEM, "a file that is full");
	get.to_fd = false;
	(void)close(full);
	(void)fclose(file);
	get.max_answer = 49;
	fails(h, f, "/short", get, ERR_INVALID,
	      "more is announced than was asked for");
	get.max_answer = 50;
	fails(h, f, "/short", get, ERR_UPSTREAM, "and less than was announced");
	ok(ask(h, f, "/garbage?secret", get, &a, &e) < 0 &&
		   !strstr(e.msg, "secret") && !strstr(e.msg, "no web"),
	   "and garbage, which is not quoted: %s", e.msg);
	get.timeout_ms = 200;
	ok(ask(h, f, "/hang?secret", get, &a, &e) < 0 &&
		   !strstr(e.msg, "secret"),
	   "a server that hangs: %s", e.msg);
}

static void
test_redirects(struct http *h, struct fake *f)
{
	AUTO(http_answer) struct http_answer a = HTTP_ANSWER_INIT;
	AUTO(buf) struct buf etag = BUF_INIT;
	struct http_request get = {.method = "GET", .max_answer = 5};
	struct err e = ERR_INIT;

	ok(ask(h, f, "/to-ok", get, &a, &e) == 0 && a.status == 302,
	   "a redirect is not followed unasked");
	get.redirects = 2;
	ok(ask(h, f, "/to-ok", get, &a, &e) == 0 && a.status == 200 &&
		   http_answer_header(&a, "ETag", &etag),
	   "but when asked to");
	is_str(etag.p, "\"x\"", "the headers are those of the last answer");
	ok(ask(h, f, "/loop", get, &a, &e) < 0, "not for ever: %s", e.msg);
	ok(ask(h, f, "/to-file", get, &a, &e) < 0, "nor to a file: %s", e.msg);
}

static void
test_bodies(struct http *h, struct fake *f)
{
	AUTO(http_answer) struct http_answer a = HTTP_ANSWER_INIT;
	const struct http_header headers[] = {{"X-One", "1"}, {"X-None", ""}};
	struct http_request put = {
		.method = "PUT",
		.headers = headers,
		.n_headers = 2,
		.body = "0123456789",
		.size = 10,
		.max_answer = 9,
	};
	char path[] = "/tmp/firn-test-http-XXXXXX";
	struct err e = ERR_INIT;
	int fd = mkstemp(path);

	ok(ask(h, f, "/put", put, &a, &e) == 0 && a.status == 200, "PUT %s",
	   e.msg);
	ok(str_has_prefix(f->seen.p, "PUT /put HTTP/1.1\r\n") &&
		   strstr(f->seen.p, "\r\nX-One: 1\r\n") &&
		   strstr(f->seen.p, "\r\nX-None:\r\n") &&
		   strstr(f->seen.p, "\r\nContent-Length: 10\r\n") &&
		   !strstr(f->seen.p, "Expect:"),
	   "  its headers");
	ok(str_has_suffix(f->seen.p, "\r\n\r\n0123456789"), "  and body");
	put.method = "POST";
	put.from_fd = true;
	put.fd = fd;
	put.offset = 3;
	put.size = 4;
	ok(write(fd, "0123456789", 10) == 10 &&
		   ask(h, f, "/post", put, &a, &e) == 0 &&
		   str_has_suffix(f->seen.p, "\r\n\r\n3456"),
	   "POST of a part of a file");
	put.size = 40;
	fails(h, f, "/post", put, ERR_SYSTEM, "a file that is too short");
	put = (struct http_request){.method = "HEAD"};
	ok(ask(h, f, "/ok", put, &a, &e) == 0 && a.status == 200 &&
		   a.body.len == 0 &&
		   str_has_prefix(f->seen.p, "HEAD /ok HTTP/1.1\r\n"),
	   "HEAD");
	put.method = "DELETE";
	ok(ask(h, f, "/x", put, &a, &e) < 0 &&
		   str_has_prefix(f->seen.p, "DELETE /x HTTP/1.1\r\n"),
	   "DELETE");
	(void)close(fd);
	(void)unlink(path);
}

static int
get_text(struct http *h, const struct fake *f, const char *path, struct buf *to,
	 struct err *e)
{
	char url[128];

	(void)snprintf(url, sizeof(url), "http://name:pw@127.0.0.1:%u%s",
		       f->port, path);
	err_clear(e);
	buf_clear(to);
	return http_get(h, url, 99, 2000, to, e);
}

static void
test_get(struct http *h, struct fake *f)
{
	AUTO(buf) struct buf got = BUF_INIT;
	struct err e = ERR_INIT;

	ok(get_text(h, f, "/to-ok", &got, &e) == 0, "http_get %s", e.msg);
	is_str(got.p, "hello", "  follows redirects");
	ok(get_text(h, f, "/gone", &got, &e) < 0 && e.kind == ERR_NOT_FOUND &&
		   !strstr(e.msg, "pw"),
	   "  says what is not there: %s", e.msg);
	atomic_store(&f->requests, 0);
	ok(get_text(h, f, "/third-time", &got, &e) == 0, "  tries again %s",
	   e.msg);
	is_u64(atomic_load(&f->requests), 3, "  three times");
	err_clear(&e);
	buf_clear(&got);
	ok(http_get(h, "file:///dev/null", 9, 0, &got, &e) == 0 && got.len == 0,
	   "  reads files");
	ok(http_get(h, "file:///no/such", 9, 0, &got, &e) < 0 &&
		   e.kind == ERR_NOT_FOUND,
	   "  or says that there is none");
	err_clear(&e);
	ok(http_get(h, "gopher://x/", 9, 0, &got, &e) < 0,
	   "  and knows no other schemes: %s", e.msg);
}

int
main(void)
{
	const struct http_options o = {.connect_timeout_ms = 2000};
	struct http *h = http_new(&o);
	struct fake f = {.requests = 0};

	fake_start(&f);
	test_answers(h, &f);
	test_redirects(h, &f);
	test_bodies(h, &f);
	test_get(h, &f);
	fake_stop(&f);
	http_free(h);
	return done_testing();
}
