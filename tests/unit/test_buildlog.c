/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/buildlog.h"
#include "core/sys/fs.h"
#include "tests/support/must.h"
#include "tests/support/tap.h"
#include "tests/support/tree.h"

#define ID "0123456789abcdef0123456789abcdef"

static struct buildlogs *
open_logs(const char *name)
{
	struct buildlogs *t;
	struct err e = ERR_INIT;

	must(buildlogs_open(tree_path("%s", name), &t, &e), &e);
	return t;
}

static void
line(struct buildlog *l, const char *text)
{
	buildlog_line(l, text, strlen(text));
}

/* The text; NULL (and nothing) when there is none. */
static const char *
text_of(struct buildlogs *t, const char *id, bool *ret_running, struct buf *to)
{
	struct err e = ERR_INIT;

	buf_clear(to);
	if (buildlogs_read(t, id, to, ret_running, &e) == 0)
		return to->p;
	return e.kind == ERR_NOT_FOUND ? NULL : "it can't be read";
}

static void
test_life(void)
{
	struct buildlogs *t = open_logs("life");
	AUTO(buf) struct buf text = BUF_INIT;
	struct buildlog *l;
	bool running;

	is_str(text_of(t, ID, &running, &text), NULL, "a build nobody knows");
	l = buildlog_start(t, ID);
	is_str(text_of(t, ID, &running, &text), "", "one that begins");
	ok(running && !buildlog_has_lines(l), "  and runs");
	buildlog_say(l, "%s", "git:latest");
	ok(!buildlog_has_lines(l), "what we say is no line of a builder's");
	line(l, "one");
	line(l, "== failed: not true");
	is_str(text_of(t, ID, &running, &text),
	       "== git:latest\none\n == failed: not true\n",
	       "its lines so far, which can't pass for ours");
	ok(buildlog_has_lines(l), "there are some");
	buildlog_end(l, true);
	is_str(text_of(t, ID, &running, &text),
	       "== git:latest\none\n == failed: not true\n", "it is kept");
	ok(!running, "  and runs no more");
	buildlogs_free(t);
	t = open_logs("life");
	ok(text_of(t, ID, &running, &text), "also for another process");
	l = buildlog_start(t, "ffffffffffffffffffffffffffffffff");
	line(l, "x");
	buildlog_end(l, false);
	is_str(text_of(t, "ffffffffffffffffffffffffffffffff", &running, &text),
	       NULL, "another is not kept");
	is_str(text_of(t, "../life/" ID, &running, &text), NULL,
	       "an identifier is no path");
	buildlogs_free(t);
}

static void
test_untrusted(void)
{
	static const struct {
		const char *name, *in, *want;
	} cases[] = {
		{"text", "a b\tc \xC3\xA9 \xE2\x82\xAC \xF0\x9F\x8D\x80",
		 "a b\tc \xC3\xA9 \xE2\x82\xAC \xF0\x9F\x8D\x80\n"},
		{"control characters", "a\r\a\b\x1B[2Jb\x7F\n", "a[2Jb\n"},
		{"controls above them",
		 "a\xC2\x9B"
		 "2Jb\x9B",
		 "a2Jb\n"},
		{"what is no UTF-8", "a\xFF\xC3(\xE2\x82\xC0\x80z", "a(z\n"},
		{"surrogates and overlong",
		 "\xED\xA0\x80\xE0\x80\xAF\xF0\x80\x80\xAFx", "x\n"},
		{"an end in a character", "a\xE2\x82", "a\n"},
	};
	struct buildlogs *t = open_logs("untrusted");
	bool running;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(buf) struct buf text = BUF_INIT;
		char id[33];
		struct buildlog *l;

		fs_random_hex(id);
		l = buildlog_start(t, id);
		line(l, cases[i].in);
		is_str(text_of(t, id, &running, &text), cases[i].want,
		       cases[i].name);
		buildlog_end(l, false);
	}
	buildlogs_free(t);
}

/* 100,000 lines of some 30 bytes: the first and the last are kept. */
static void
test_bounds(void)
{
	struct buildlogs *t = open_logs("bounds");
	AUTO(buf) struct buf live = BUF_INIT, text = BUF_INIT;
	struct buildlog *l = buildlog_start(t, ID);
	const char *cut, *after;
	bool running;

	for (unsigned i = 0; i < 100000; i++) {
		AUTO(buf) struct buf s = BUF_INIT;

		buf_printf(&s, "this is line number %06u", i);
		line(l, s.p);
	}
	(void)text_of(t, ID, &running, &live);
	buildlog_end(l, true);
	(void)text_of(t, ID, &running, &text);
	ok(text.len <= BUILDLOG_MAX + 100 && text.len > BUILDLOG_MAX / 2,
	   "%zu bytes are kept of 2,700,000", text.len);
	ok(strcmp(live.p, text.p) == 0, "the same as while it ran");
	ok(str_has_prefix(text.p, "this is line number 000000\n"),
	   "from the first");
	ok(str_has_suffix(text.p, "\nthis is line number 099999\n"),
	   "to the last");
	cut = strstr(text.p, "\n== ");
	ok(cut && strstr(cut, " bytes are left out here\n"),
	   "with a line that says so");
	after = cut ? strchr(cut + 1, '\n') + 1 : "";
	is_u64(strtoull(cut ? cut + 4 : "", NULL, 10) + text.len -
		       (size_t)(after - cut - 1),
	       100000 * 27, "and how much that was");
	ok(str_has_prefix(after, "this is line number "), "at a line's start");
	buildlogs_free(t);
}

static size_t
count_files(const char *dir)
{
	struct err e = ERR_INIT;
	struct fs_names names;
	size_t n;

	if (fs_list(dir, &names, &e) < 0)
		return SIZE_MAX;
	n = names.n;
	fs_names_free(&names);
	return n;
}

static void
make_log(const char *dir, unsigned i, size_t size, time_t age)
{
	const struct timespec times[2] = {{.tv_sec = time(NULL) - age},
					  {.tv_sec = time(NULL) - age}};
	const char *path = tree_path("%s/%032x", dir, i);

	tree_file(path, "old");
	if (truncate(path, (off_t)size) < 0)
		ok(false, "%s gets longer", path);
	(void)utimensat(AT_FDCWD, path, times, 0);
}

/* Start and end one: at the first start, the directory is looked through. */
static void
sweep(const char *dir)
{
	struct buildlogs *t = open_logs(dir);

	buildlog_end(buildlog_start(t, ID), false);
	buildlogs_free(t);
}

static void
test_sweep(void)
{
	tree_file(tree_path("many/notes.txt"), "not ours");
	for (unsigned i = 0; i < BUILDLOGS_KEPT + 20; i++)
		make_log("many", i, 10, 100 + (time_t)i);
	sweep("many");
	is_u64(count_files(tree_path("many")), BUILDLOGS_KEPT,
	       "so many are kept, with what is not ours and the new one");
	ok(fs_exists(tree_path("many/%032x", 0)) &&
		   fs_exists(tree_path("many/notes.txt")) &&
		   !fs_exists(tree_path("many/%032x", BUILDLOGS_KEPT + 19)),
	   "  the newest ones");
	tree_dir(tree_path("large"));
	for (unsigned i = 0; i < 40; i++)
		make_log("large", i, BUILDLOGS_BYTES / 32, 100 + (time_t)i);
	sweep("large");
	is_u64(count_files(tree_path("large")), 32, "so many bytes");
	make_log("old", 1, 1, BUILDLOGS_AGE_S + 100);
	make_log("old", 2, 1, BUILDLOGS_AGE_S - 100);
	sweep("old");
	is_u64(count_files(tree_path("old")), 1, "and for so long");
}

/* Nothing fails where nothing can be written. */
static void
test_no_disk(void)
{
	struct buildlogs *t = open_logs("gone");
	AUTO(buf) struct buf text = BUF_INIT;
	struct buildlog *l;
	bool running;

	(void)rmdir(tree_path("gone"));
	l = buildlog_start(t, ID);
	line(l, "one");
	is_str(text_of(t, ID, &running, &text), "one\n",
	       "while it runs it can be read");
	buildlog_end(l, true);
	is_str(text_of(t, ID, &running, &text), NULL, "then it is gone");
	buildlogs_free(t);
}

struct reader {
	struct buildlogs *t;
	atomic_bool stop;
	size_t bad;
};

static void *
read_on(void *ctx)
{
	struct reader *r = ctx;

	while (!atomic_load(&r->stop)) {
		AUTO(buf) struct buf text = BUF_INIT;
		bool running;
		const char *s = text_of(r->t, ID, &running, &text);

		if (s && *s && !str_has_suffix(s, "\n"))
			r->bad++;
	}
	return NULL;
}

static void
test_threads(void)
{
	struct reader r = {.t = open_logs("threads")};
	pthread_t t;

	(void)pthread_create(&t, NULL, read_on, &r);
	for (unsigned k = 0; k < 4; k++) {
		struct buildlog *l = buildlog_start(r.t, ID);

		for (unsigned i = 0; i < 30000; i++)
			line(l, "some line that is long enough to matter");
		buildlog_end(l, false);
	}
	atomic_store(&r.stop, true);
	(void)pthread_join(t, NULL);
	is_u64(r.bad, 0, "who reads meanwhile sees whole lines");
	buildlogs_free(r.t);
}

int
main(void)
{
	tree_init();
	test_life();
	test_untrusted();
	test_bounds();
	test_sweep();
	test_no_disk();
	test_threads();
	tree_done();
	return done_testing();
}
