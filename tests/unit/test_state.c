/* SPDX-License-Identifier: Apache-2.0 */
/* What is kept: found again as it was put, also when many put at once. */
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/arena.h"
#include "core/model/graph.h"
#include "core/model/popularity.h"
#include "core/sys/log.h"
#include "tests/support/rows.h"
#include "tests/support/tree.h"

static void
test_values(void)
{
	const char *dir = tree_path("values/of/state");
	const struct digest key = rows_key("key"), other = rows_key("other");
	struct revision r = {.id = "new"};
	struct err e = ERR_INIT;
	struct state *st = rows_open(dir);
	struct digest d;
	bool found = true;

	rows_none(st, "a new database has nothing");
	ok(state_check(st, &e) == 0, "and answers %s", e.msg);
	rows_put(st);
	rows_all(st, "all are found");
	state_free(st);
	st = rows_open(dir);
	rows_all(st, "all are there after opening again");
	ok(state_get_revision(st, &key, 1000, 300, &found, &r, &e) == 0 &&
		   !found,
	   "a revision ends when its time is over");
	ok(state_put_revision(st, &key, &r, 2000, &e) == 0 &&
		   state_get_revision(st, &key, 1990, 9, &found, &r, &e) == 0 &&
		   !found,
	   "what would hold for longer than one is to remember it");
	ok(state_get_revision(st, &key, 1991, 9, &found, &r, &e) == 0 && found,
	   "and no longer than that");
	ok(state_put_revision(st, &key, &r, 2000, &e) == 0 &&
		   state_get_revision(st, &key, 1999, 300, &found, &r, &e) ==
			   0 &&
		   found && strcmp(r.id, "new") == 0,
	   "it is replaced");
	ok(state_put_image(st, &key, &other, &e) == 0 &&
		   state_get_image(st, &key, &found, &d, &e) == 0 && found &&
		   digest_eq(&d, &other),
	   "so is an image");
	ok(state_get_image(st, &other, &found, &d, &e) == 0 && !found,
	   "another key has none");
	state_free(st);
	state_free(NULL);
}

/* What can't be a value of ours is no index into a table, and heals. */
static void
test_bad_value(void)
{
	struct state *st = rows_open(tree_path("bad-value"));
	const struct layer good = rows_layer();
	struct layer bad = good, got;
	const struct digest key = rows_key("key");
	struct err e = ERR_INIT;
	bool found = true;

	bad.compression = (enum compression_kind)77;
	log_set_level(LOG_ERROR);
	ok(state_put_layer(st, &key, &bad, &e) == 0 &&
		   state_get_layer(st, &key, &found, &got, &e) == 0 && !found,
	   "a compression that there isn't is none %s", e.msg);
	ok(state_put_layer(st, &key, &good, &e) == 0 &&
		   state_get_layer(st, &key, &found, &got, &e) == 0 && found,
	   "and is replaced %s", e.msg);
	state_free(st);
}

static void
test_tags(void)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	struct state *st = rows_open(tree_path("tags"));
	const struct digest d = rows_key("m");
	struct state_names names;
	struct err e = ERR_INIT;
	char name[16];
	bool good = true;

	ok(state_list_images(st, NULL, 10, &a, &names, &e) == 0 &&
		   names.n == 0 && !names.more,
	   "no image yet");
	for (int i = 39; i >= 0; i--) {
		(void)snprintf(name, sizeof(name), "i%02d", i);
		good = good && state_put_tag(st, name, "latest", &d, &e) == 0;
		good = good && state_put_tag(st, name, "23.05", &d, &e) == 0;
		good = good && state_put_tag(st, name, "latest", &d, &e) == 0;
	}
	ok(good, "forty images of two tags %s", e.msg);
	ok(state_list_images(st, NULL, 40, &a, &names, &e) == 0 &&
		   names.n == 40 && !names.more &&
		   strcmp(names.v[0], "i00") == 0 &&
		   strcmp(names.v[39], "i39") == 0,
	   "all, each once, sorted");
	ok(state_list_images(st, "i09", 20, &a, &names, &e) == 0 &&
		   names.n == 20 && names.more &&
		   strcmp(names.v[0], "i10") == 0,
	   "twenty after the tenth, and there are more");
	ok(state_list_images(st, "i39", 20, &a, &names, &e) == 0 &&
		   names.n == 0 && !names.more,
	   "none after the last");
	ok(state_list_images(st, NULL, 0, &a, &names, &e) == 0 &&
		   names.n == 0 && names.more,
	   "none at all when none is wanted");
	ok(state_list_tags(st, "i07", NULL, 10, &a, &names, &e) == 0 &&
		   names.n == 2 && strcmp(names.v[0], "23.05") == 0 &&
		   strcmp(names.v[1], "latest") == 0,
	   "the tags of one");
	ok(state_list_tags(st, "i07", "23.05", 1, &a, &names, &e) == 0 &&
		   names.n == 1 && !names.more,
	   "those after one");
	ok(state_list_tags(st, "none", NULL, 10, &a, &names, &e) == 0 &&
		   names.n == 0,
	   "none of an image that there isn't");
	state_free(st);
}

/* Each image counts once for each name, whatever the hash. */
static void
test_usage(void)
{
	struct state *st = rows_open(tree_path("usage"));
	static const char *const paths[] = {
		"/nix/store/00000000000000000000000000000000-a-1",
		"/nix/store/11111111111111111111111111111111-a-1",
		"/nix/store/22222222222222222222222222222222-b-2",
	};
	AUTO(popularity) struct popularity *p = popularity_new();
	struct graph_node nodes[3] = {
		{.path = paths[0]}, {.path = paths[1]}, {.path = paths[2]}};
	const struct graph both = {.nodes = nodes, .n = 3};
	const struct graph first = {.nodes = nodes, .n = 1};
	struct err e = ERR_INIT;

	ok(state_add_usage(st, &both, &e) == 0 &&
		   state_add_usage(st, &first, &e) == 0 &&
		   state_add_usage(st, &both, &e) == 0 &&
		   state_get_usage(st, p, &e) == 0,
	   "what images were made of is counted %s", e.msg);
	is_u64(popularity_of(p, "a-1"), 3, "  once an image");
	is_u64(popularity_of(p, "b-2"), 2, "  each name");
	state_free(st);
}

static void
test_no_directory(void)
{
	struct err e = ERR_INIT;
	struct state *st = NULL;

	tree_file(tree_path("file"), "");
	ok(state_open(tree_path("file/state"), &st, &e) < 0 &&
		   e.kind == ERR_SYSTEM,
	   "no directory can be made there: %s", e.msg);
	err_clear(&e);
	tree_dir(tree_path("dir/firn.sqlite"));
	ok(state_open(tree_path("dir"), &st, &e) < 0 && e.kind == ERR_SYSTEM,
	   "a directory in its place: %s", e.msg);
}

/* --- many at once */

#define ROUNDS 100

/* One of those that only this one writes. */
static struct digest
own_key(int who, int i)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%d-%d", who, i);
	return rows_key(text);
}

/* Write and read own and shared keys; how many times it went wrong. */
static int
work(struct state *st, int who)
{
	int bad = 0;

	for (int i = 0; i < ROUNDS; i++) {
		struct err e = ERR_INIT;
		const struct digest key = own_key(who, i),
				    shared = rows_key("shared");
		struct digest got;
		bool found = false;

		if (state_put_image(st, &key, &key, &e) < 0 ||
		    state_put_image(st, &shared, &key, &e) < 0 ||
		    state_get_image(st, &key, &found, &got, &e) < 0 || !found ||
		    !digest_eq(&key, &got)) {
			printf("# %s\n", e.msg);
			bad++;
		}
	}
	return bad;
}

static bool
all_written(struct state *st, int n)
{
	for (int who = 0; who < n; who++) {
		for (int i = 0; i < ROUNDS; i++) {
			const struct digest key = own_key(who, i);
			struct err e = ERR_INIT;
			struct digest got;
			bool found = false;

			if (state_get_image(st, &key, &found, &got, &e) < 0 ||
			    !found)
				return false;
		}
	}
	return true;
}

/* Processes that open a new database at the same moment, then work on it. */
static void
test_processes(void)
{
	const char *dir = tree_path("processes");
	pid_t pids[4];
	bool good = true;
	struct state *st;
	int go[2], status;

	if (pipe(go) < 0)
		exit(1);
	for (int i = 0; i < (int)ARRAY_LEN(pids); i++) {
		pids[i] = fork();
		if (pids[i] == 0) {
			char c;

			(void)close(go[1]);
			/* Ends when the parent closes its side. */
			(void)!read(go[0], &c, 1);
			st = rows_open(dir);
			_exit(work(st, i) ? 1 : 0);
		}
	}
	(void)close(go[0]);
	(void)close(go[1]);
	for (size_t i = 0; i < ARRAY_LEN(pids); i++) {
		status = -1;
		(void)waitpid(pids[i], &status, 0);
		good = good && status == 0;
	}
	ok(good, "four processes open and write at once");
	st = rows_open(dir);
	ok(all_written(st, ARRAY_LEN(pids)), "and nothing got lost");
	state_free(st);
}

struct worker {
	struct state *st;
	int who;
	int bad;
};

static void *
run_worker(void *arg)
{
	struct worker *w = arg;

	w->bad = work(w->st, w->who);
	return NULL;
}

static void
test_threads(void)
{
	struct state *st = rows_open(tree_path("threads"));
	struct worker w[6];
	pthread_t t[6];
	int bad = 0;

	for (int i = 0; i < (int)ARRAY_LEN(w); i++) {
		w[i] = (struct worker){.st = st, .who = i};
		(void)pthread_create(&t[i], NULL, run_worker, &w[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(w); i++) {
		(void)pthread_join(t[i], NULL);
		bad += w[i].bad;
	}
	ok(bad == 0, "six threads write at once");
	ok(all_written(st, ARRAY_LEN(w)), "and nothing got lost");
	state_free(st);
}

int
main(void)
{
	tree_init();
	test_processes();
	test_values();
	test_bad_value();
	test_tags();
	test_usage();
	test_no_directory();
	test_threads();
	tree_done();
	return done_testing();
}
