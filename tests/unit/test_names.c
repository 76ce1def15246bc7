/* SPDX-License-Identifier: Apache-2.0 */

#include "core/base/arena.h"
#include "core/base/err.h"
#include "core/names.h"
#include "core/state.h"
#include "core/store/store.h"
#include "core/sys/log.h"
#include "tests/support/must.h"
#include "tests/support/store_mem.h"
#include "tests/support/tap.h"
#include "tests/support/tree.h"

/* All images, each with its tags: "a:1,2 b:3 ". */
static const char *
all_names(struct state *st, struct arena *a)
{
	struct state_names images, tags;
	struct err e = ERR_INIT;
	const char *text = "";

	must(state_list_images(st, NULL, 99, a, &images, &e), &e);
	for (size_t i = 0; i < images.n; i++) {
		must(state_list_tags(st, images.v[i], NULL, 99, a, &tags, &e),
		     &e);
		text = arena_printf(a, "%s%s:", text, images.v[i]);
		for (size_t k = 0; k < tags.n; k++)
			text = arena_printf(a, "%s%s%s", text, k ? "," : "",
					    tags.v[k]);
		text = arena_printf(a, "%s ", text);
	}
	return text;
}

static struct state *
open_state(const char *dir)
{
	struct state *st = NULL;
	struct err e = ERR_INIT;

	must(state_open(tree_path("%s", dir), &st, &e), &e);
	return st;
}

int
main(void)
{
	static const char *const published[] = {
		"git:latest",
		"shell/git:25.05",
		"shell/git:latest",
		/* Other tools' and other versions' */
		"git",
		":latest",
		"git:",
		"git:.x",
		"git:a b",
		"UPPER//x:1",
		"htop/git:latest",
		"../x:latest",
		":",
		"",
	};
	AUTO(arena) struct arena a = ARENA_INIT;
	struct store *store = NULL, *mem = store_mem_new();
	struct err e = ERR_INIT;
	struct state *st;
	struct digest d;

	tree_init();
	log_set_level(LOG_ERROR);
	must(store_open(
		     &(struct store_options){
			     .backend = "filesystem",
			     .path = tree_path("storage"),
		     },
		     &store, &e),
	     &e);
	st = open_state("one");
	names_restore(st, store);
	is_str(all_names(st, &a), "", "where nothing was built is no name");
	digest_of("x", 1, &d);
	for (size_t i = 0; i < ARRAY_LEN(published); i++)
		must(store_publish(store, published[i], "t/m", &d, 1, &e), &e);
	names_restore(st, store);
	is_str(all_names(st, &a), "git:latest shell/git:25.05,latest ",
	       "a new database has the names that are images");
	must(store_publish(store, "later:latest", "t/m", &d, 1, &e), &e);
	names_restore(st, store);
	is_str(all_names(st, &a),
	       "git:latest later:latest shell/git:25.05,latest ",
	       "one that has some learns the others");
	state_free(st);
	st = open_state("two");
	names_restore(st, mem);
	is_str(all_names(st, &a), "", "a storage without names has none");
	state_free(st);
	store_free(mem);
	store_free(store);
	tree_done();
	return done_testing();
}
