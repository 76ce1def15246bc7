/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/arena.h"
#include "core/base/err.h"
#include "core/base/json.h"
#include "core/sys/log.h"
#include "tests/support/tap.h"

/*
 * Standard error is a pipe that keeps writes apart (pipe(2), O_DIRECT): each
 * read is one write.
 */
static int from;

static struct arena arena = ARENA_INIT;

/* One write as a line; NULL when there was none. */
static char *
next_write(void)
{
	char text[4096];
	ssize_t n = read(from, text, sizeof(text));

	return n <= 0 ? NULL : arena_strndup(&arena, text, (size_t)n);
}

/* The next event, which must be a line of its own; NULL when none is. */
static const struct json *
next_event(void)
{
	const struct json *v = NULL;
	struct err e = ERR_INIT;
	const char *line = next_write();

	if (!line || strchr(line, '\n') != line + strlen(line) - 1)
		return NULL;
	if (json_parse(&arena, line, strlen(line), NULL, &v, &e) < 0)
		return NULL;
	return v;
}

static void
test_line(void)
{
	const struct json *v, *k;
	const char *ts;
	uint64_t ms = 0;

	log_info("image.built", LOG_S("image", "a\"b\n\xFF"),
		 LOG_N("ms", UINT64_MAX));
	v = next_event();
	ok(json_is(v, JSON_OBJECT), "one event, one write, one line of JSON");
	is_str(json_get_str(v, "level"), "info", "its level");
	is_str(json_get_str(v, "event"), "image.built", "its name");
	is_str(json_get_str(v, "image"), "a\"b\n\xEF\xBF\xBD",
	       "any text, mended");
	ok(json_get_u64(v, "ms", &ms) && ms == UINT64_MAX, "any number");
	ok(!json_get(v, "request"), "no request");
	ts = json_get_str(v, "ts");
	ok(ts && strlen(ts) == strlen("2026-01-02T03:04:05.678Z") &&
		   ts[10] == 'T' && ts[19] == '.' && ts[23] == 'Z',
	   "the time: %s", ts ? ts : "none");
	k = v->kids;
	ok(k && strcmp(k->key, "ts") == 0 && strcmp(k->next->key, "level") == 0,
	   "keys in a stable order");
}

static void
test_levels(void)
{
	static const char *const names[] = {"error", "warn", "info", "debug"};
	enum log_level level = LOG_ERROR;

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		ok(log_level_parse(names[i], &level) && (size_t)level == i,
		   "the level %s", names[i]);
	ok(!log_level_parse("Info", &level) && !log_level_parse("", &level) &&
		   !log_level_parse("warning", &level) && level == LOG_DEBUG,
	   "no other");
	log_debug("x", LOG_N("n", 1));
	ok(!next_write() && !log_enabled(LOG_DEBUG) && log_enabled(LOG_INFO),
	   "info is where it starts");
	log_set_level(LOG_DEBUG);
	log_debug("x", LOG_N("n", 1));
	ok(next_event(), "debug is heard when it is asked for");
	log_set_level(LOG_ERROR);
	log_warn("x", LOG_N("n", 1));
	ok(!next_write(), "a warning isn't when only errors are");
	log_error("x", LOG_N("n", 1));
	ok(next_event(), "an error always is");
	log_set_level(LOG_INFO);
}

static void *
other_thread(void *arg UNUSED)
{
	is_str(log_request(), "", "another thread serves no request");
	log_set_request("theirs");
	return NULL;
}

static void
test_request(void)
{
	char id[200], copy[8] = "mine";
	pthread_t t;

	log_set_request(copy);
	copy[0] = 'X';
	is_str(log_request(), "mine", "the request's id is copied");
	(void)pthread_create(&t, NULL, other_thread, NULL);
	(void)pthread_join(t, NULL);
	log_info("x", LOG_N("n", 1));
	is_str(json_get_str(next_event(), "request"), "mine",
	       "each thread has its own");
	memset(id, 'i', sizeof(id) - 1);
	id[sizeof(id) - 1] = '\0';
	log_set_request(id);
	ok(strlen(log_request()) > 30 && strlen(log_request()) < sizeof(id) - 1,
	   "a long one is cut");
	log_set_request(NULL);
	is_str(log_request(), "", "and none is none");
}

static void
test_errors(void)
{
	struct err e = ERR_INIT;
	const struct json *v;

	err_set(&e, ERR_BUILD, "it broke");
	log_err(LOG_WARN, "build.failed", &e);
	v = next_event();
	is_str(json_get_str(v, "kind"), "build", "an error's kind");
	is_str(json_get_str(v, "error"), "it broke", "its text");
	ok(!json_get(v, "detail"), "no detail where none is");
	err_set_detail(&e, "one\ntwo", 7);
	log_err(LOG_ERROR, "build.failed", &e);
	v = next_event();
	is_str(json_get_str(v, "detail"), "one\ntwo", "detail, on one line");
	is_str(json_get_str(v, "level"), "error", "at the level asked for");
	errno = ENOENT;
	log_err(LOG_ERROR, "x", &e);
	ok(errno == ENOENT, "errno is left alone");
	(void)next_event();
}

#define LINES 50

static void *
many_lines(void *arg)
{
	for (size_t i = 0; i < LINES; i++)
		log_info("storm", LOG_S("who", arg));
	return NULL;
}

static void
test_threads(void)
{
	static char names[4][2] = {"a", "b", "c", "d"};
	pthread_t t[ARRAY_LEN(names)];
	size_t got = 0;

	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		(void)pthread_create(&t[i], NULL, many_lines, names[i]);
	/* A full pipe makes them wait. */
	(void)fcntl(from, F_SETFL, 0);
	while (got < LINES * ARRAY_LEN(t) && next_event())
		got++;
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		(void)pthread_join(t[i], NULL);
	is_u64(got, LINES * ARRAY_LEN(t), "four threads' lines stay whole");
}

int
main(void)
{
	int fds[2];

	if (pipe2(fds, O_DIRECT | O_CLOEXEC) < 0) {
		skip("logging", "pipes that keep writes apart are not there");
		return done_testing();
	}
	from = fds[0];
	(void)fcntl(from, F_SETFL, O_NONBLOCK);
	(void)dup2(fds[1], STDERR_FILENO);
	test_line();
	test_levels();
	test_request();
	test_errors();
	test_threads();
	arena_release(&arena);
	return done_testing();
}
