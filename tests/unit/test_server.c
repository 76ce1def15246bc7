/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/sys/log.h"
#include "fcgi/listen.h"
#include "fcgi/server.h"
#include "tests/support/fcgi_client.h"
#include "tests/support/tap.h"

#define THREADS 3u
#define WAITERS 40u
#define SILENT 300u

/*
 * An application that parks /park until `released` is set, /soon for 50 ms,
 * and answers anything else at once.
 */
static atomic_bool released;
static atomic_uint begun, ended, answered_n;
static char dir[] = "/tmp/firn-test-XXXXXX";
static char path[64], spec[80];
static struct server *server;

static void
say(struct exchange *x, const char *text)
{
	response_start(&x->response, 200);
	response_header(&x->response, "Content-Type", "text/plain");
	buf_printf(&x->response.body, "%s %s", text, x->request.uri);
}

static bool
test_serve(void *ctx, struct exchange *x, enum wake why)
{
	static const char *const words[] = {
		[WAKE_NEW] = "now",           [WAKE_READY] = "ready",
		[WAKE_DEADLINE] = "deadline", [WAKE_FULL] = "full",
		[WAKE_SHUTDOWN] = "shutdown",
	};
	(void)ctx;
	if (why == WAKE_NEW)
		atomic_fetch_add(&begun, 1);
	if (x->malformed) {
		say(x, "malformed");
		return true;
	}
	if (why == WAKE_NEW && str_has_prefix(x->request.uri, "/park")) {
		x->deadline_ms = exchange_now_ms() + 60000;
		return false;
	}
	if (why == WAKE_NEW && str_has_prefix(x->request.uri, "/soon")) {
		x->deadline_ms = exchange_now_ms() + 50;
		return false;
	}
	say(x, words[why]);
	return true;
}

static bool
test_ready(void *ctx, struct exchange *x)
{
	(void)ctx;
	return atomic_load(&released) &&
	       str_has_prefix(x->request.uri, "/park");
}

static void
test_end(void *ctx, struct exchange *x, bool answered, size_t bytes)
{
	(void)ctx;
	(void)x;
	(void)bytes;
	atomic_fetch_add(&ended, 1);
	if (answered)
		atomic_fetch_add(&answered_n, 1);
}

static void
sleep_ms(long ms)
{
	const struct timespec t = {ms / 1000, ms % 1000 * 1000000};

	(void)nanosleep(&t, NULL);
}

/* Wait until the server says so many are parked; false after a minute. */
static bool
parked_are(uint64_t want)
{
	struct server_stats s;

	for (int i = 0; i < 6000; i++) {
		server_stats(server, &s);
		if (s.parked == want)
			return true;
		sleep_ms(10);
	}
	return false;
}

/* Likewise; they are counted when they are parked no more. */
static uint64_t
left_are(uint64_t want)
{
	struct server_stats s;

	server_stats(server, &s);
	for (int i = 0; i < 6000 && s.left != want; i++) {
		sleep_ms(10);
		server_stats(server, &s);
	}
	return s.left;
}

static int
ask(const char *uri, bool keep)
{
	AUTO(buf) struct buf b = BUF_INIT;
	int fd = client_connect(path);

	client_request(&b, "GET", uri, keep);
	if (fd >= 0 && !client_send(fd, &b)) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

/* The body of the answer on fd, which is closed; "" when there is none. */
static const char *
body_of(int fd, struct buf *to)
{
	const char *body;

	buf_clear(to);
	if (fd < 0 || !client_answer(fd, to))
		buf_clear(to);
	if (fd >= 0)
		(void)close(fd);
	body = strstr(to->p, "\r\n\r\n");
	return body ? body + 4 : "";
}

static void
test_simple(void)
{
	AUTO(buf) struct buf b = BUF_INIT, got = BUF_INIT;
	int fd = ask("/a", false);

	ok(client_answer(fd, &got), "an answer comes");
	is_str(got.p,
	       "Status: 200 OK\r\nContent-Type: text/plain\r\n"
	       "Content-Length: 6\r\n\r\nnow /a",
	       "... as CGI text");
	ok(client_is_closed(fd), "... and the connection ends");
	(void)close(fd);
	fd = ask("/b", true);
	for (int i = 0; i < 5; i++) {
		buf_clear(&got);
		ok(client_answer(fd, &got), "a kept connection: answer %d", i);
		client_request(&b, "GET", "/c", true);
		(void)client_send(fd, &b);
		buf_clear(&b);
	}
	client_request(&b, "HEAD", "/d", false);
	is_str(body_of(fd, &got), "now /c", "... the last but one");
	fd = client_connect(path);
	(void)client_send(fd, &b);
	is_str(body_of(fd, &got), "", "HEAD has no body");
	ok(strstr(got.p, "Content-Length: 6") != NULL, "... but its length");
}

static void
test_waiting(void)
{
	AUTO(buf) struct buf got = BUF_INIT;
	int fds[WAITERS];

	is_str(body_of(ask("/soon", false), &got), "deadline /soon",
	       "a deadline ends a wait");
	for (unsigned i = 0; i < WAITERS; i++)
		fds[i] = ask("/park", i % 2 == 0);
	ok(parked_are(WAITERS), "more wait than there are threads");
	is_str(body_of(ask("/x", false), &got), "now /x",
	       "... and others are served");
	is_str(body_of(ask("/park", false), &got), "full /park",
	       "one more is refused");
	for (unsigned i = 0; i < 10; i++)
		(void)close(fds[i]);
	ok(parked_are(WAITERS - 10), "clients that leave are noticed");
	is_u64(left_are(10), 10, "... and counted");
	atomic_store(&released, true);
	server_wake(server);
	for (unsigned i = 10; i < WAITERS; i++)
		if (strcmp(body_of(fds[i], &got), "ready /park") != 0)
			ok(false, "waiter %u is answered: %s", i, got.p);
	ok(parked_are(0), "all who stayed are answered");
	is_str(body_of(ask("/park", false), &got), "ready /park",
	       "what has ended already is not waited for");
	atomic_store(&released, false);
}

static void
test_silent(void)
{
	AUTO(buf) struct buf b = BUF_INIT, got = BUF_INIT;
	int fds[SILENT];

	for (unsigned i = 0; i < SILENT; i++)
		fds[i] = client_connect(path);
	is_str(body_of(ask("/x", false), &got), "now /x",
	       "connections that say nothing hold nobody up");
	client_request(&b, "GET", "/late", false);
	ok(client_send(fds[SILENT - 1], &b), "... and may speak later");
	is_str(body_of(fds[SILENT - 1], &got), "now /late", "... then served");
	for (unsigned i = 0; i + 1 < SILENT; i++)
		(void)close(fds[i]);
}

/* Send bytes, and hang up or not; the server must live. */
static void
try_bytes(const char *label, const struct buf *b, bool hang_up)
{
	AUTO(buf) struct buf got = BUF_INIT;
	int fd = client_connect(path);

	(void)client_send(fd, b);
	if (hang_up)
		(void)close(fd);
	else
		ok(client_is_closed(fd), "%s: the connection is closed", label);
	is_str(body_of(ask("/x", false), &got), "now /x", label);
	if (!hang_up)
		(void)close(fd);
}

static void
test_malformed(void)
{
	AUTO(buf) struct buf b = BUF_INIT, whole = BUF_INIT, got = BUF_INIT;

	buf_adds(&b, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	try_bytes("HTTP instead of FastCGI", &b, false);
	buf_clear(&b);
	client_begin(&b, 7, true);
	try_bytes("an unknown role", &b, false);
	buf_clear(&b);
	client_record(&b, FCGI_PARAMS, "x", 1);
	client_record(&b, FCGI_BEGIN, "short", 5);
	try_bytes("records out of order", &b, true);
	client_request(&whole, "GET", "/cut", true);
	for (size_t n = 1; n < whole.len; n++) {
		int fd = client_connect(path);

		buf_clear(&b);
		buf_add(&b, whole.p, n);
		(void)client_send(fd, &b);
		(void)close(fd);
	}
	is_str(body_of(ask("/x", false), &got), "now /x",
	       "requests cut anywhere do no harm");
	buf_clear(&b);
	client_begin(&b, 1, false);
	client_record(&b, FCGI_PARAMS, "\x7F\x7Fname", 6);
	client_record(&b, FCGI_PARAMS, "", 0);
	try_bytes("a parameter longer than its record", &b, false);
}

static void
test_large(void)
{
	AUTO(buf) struct buf b = BUF_INIT, got = BUF_INIT, params = BUF_INIT;
	char chunk[60000];
	int fd = client_connect(path);

	client_begin(&b, 1, true);
	client_param(&params, "REQUEST_METHOD", "GET");
	client_param(&params, "REQUEST_URI", "/x");
	for (int i = 0; i < 300; i++)
		client_param(&params, "HTTP_X", "y");
	client_record(&b, FCGI_PARAMS, params.p, params.len);
	client_record(&b, FCGI_PARAMS, "", 0);
	client_record(&b, FCGI_STDIN, "", 0);
	(void)client_send(fd, &b);
	is_str(body_of(fd, &got), "malformed /x", "too many parameters");
	memset(chunk, 'x', sizeof(chunk));
	chunk[sizeof(chunk) - 1] = '\0';
	buf_clear(&b);
	buf_clear(&params);
	client_begin(&b, 1, true);
	client_param(&params, "REQUEST_METHOD", "POST");
	client_param(&params, "REQUEST_URI", "/body");
	client_record(&b, FCGI_PARAMS, params.p, params.len);
	client_record(&b, FCGI_PARAMS, "", 0);
	client_record(&b, FCGI_STDIN, chunk, 30000);
	client_record(&b, FCGI_STDIN, "", 0);
	fd = client_connect(path);
	(void)client_send(fd, &b);
	is_str(body_of(fd, &got), "now /body", "a body is read and dropped");
}

/* Many clients at once, some waiting, some leaving. */
static void *
hammer(void *arg)
{
	AUTO(buf) struct buf got = BUF_INIT;
	unsigned seed = (unsigned)(uintptr_t)arg;

	for (int i = 0; i < 120; i++) {
		int kind = (int)(rand_r(&seed) % 4);
		int fd = ask(kind == 0 ? "/soon" : "/x", kind == 1);

		if (kind == 3 && fd >= 0)
			(void)close(fd);
		else if (!*body_of(fd, &got))
			return arg;
	}
	return NULL;
}

static void
test_many(void)
{
	pthread_t t[4];
	void *failed = NULL;

	for (uintptr_t i = 0; i < ARRAY_LEN(t); i++)
		(void)pthread_create(&t[i], NULL, hammer, (void *)(i + 1));
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		void *one;

		(void)pthread_join(t[i], &one);
		failed = failed ? failed : one;
	}
	ok(!failed, "four clients at once are all answered");
}

static void
test_stop(void)
{
	AUTO(buf) struct buf got = BUF_INIT;
	struct err e = ERR_INIT;
	int fds[10];

	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = ask("/park", true);
	ok(parked_are(ARRAY_LEN(fds)), "some wait when the end comes");
	ok(server_stop(server, 60000, &e) == 0, "it ends: %s", e.msg);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		is_str(body_of(fds[i], &got), "shutdown /park",
		       "who waits is sent on");
	server_free(server);
	is_u64(atomic_load(&ended), atomic_load(&begun),
	       "every exchange ended once");
}

int
main(void)
{
	struct server_options o = {
		.threads = THREADS,
		.waiters = WAITERS,
		.app = {.serve = test_serve,
			.ready = test_ready,
			.end = test_end},
	};
	struct err e = ERR_INIT;

	log_set_level(LOG_ERROR);
	if (!mkdtemp(dir))
		return 1;
	(void)snprintf(path, sizeof(path), "%s/s", dir);
	(void)snprintf(spec, sizeof(spec), "unix:%s", path);
	if (!ok(listen_open(spec, &o.listen_fd, &e) == 0 &&
			server_start(&o, &server, &e) == 0,
		"it starts %s", e.msg))
		return done_testing();
	test_simple();
	test_waiting();
	test_silent();
	test_malformed();
	test_large();
	test_many();
	test_stop();
	(void)close(o.listen_fd);
	(void)unlink(path);
	(void)rmdir(dir);
	return done_testing();
}
