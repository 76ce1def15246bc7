/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/model/closures.h"
#include "core/model/domtree.h"
#include "core/model/graph.h"
#include "core/model/layers.h"
#include "core/model/popularity.h"
#include "tests/support/tap.h"

#define GOLDEN "tests/golden/layers"

static void
read_file(const char *path, struct buf *to)
{
	char chunk[65536];
	FILE *f = fopen(path, "re");
	size_t n;

	if (!f) {
		printf("Bail out! can't open %s\n", path);
		exit(1);
	}
	while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0)
		buf_add(to, chunk, n);
	(void)fclose(f);
}

static void
write_json(struct json_out *o, const struct json *v)
{
	uint64_t n;

	if (v->type == JSON_OBJECT) {
		json_object(o);
		for (const struct json *k = v->kids; k; k = k->next) {
			json_key(o, k->key);
			write_json(o, k);
		}
		json_object_end(o);
	} else if (v->type == JSON_ARRAY) {
		json_array(o);
		for (const struct json *k = v->kids; k; k = k->next)
			write_json(o, k);
		json_array_end(o);
	} else if (json_u64(v, &n)) {
		json_num(o, n);
	} else {
		json_strn(o, v->s, v->n);
	}
}

/* A part of a document as text again, for a parser of its own. */
static void
text_of(const struct json *v, struct buf *to)
{
	AUTO(json_out) struct json_out o;

	json_out_init(&o, to);
	write_json(&o, v);
}

/* Plans as text: a line a layer, its rating and its paths, lowest first. */
static void
plans_text(const struct graph *g, const struct layer_plans *p, struct buf *to)
{
	for (size_t i = p->n; i-- > 0;) {
		buf_printf(to, "%llu:", (unsigned long long)p->v[i].rating);
		for (size_t k = 0; k < p->v[i].n; k++)
			buf_printf(to, " %s", g->nodes[p->v[i].paths[k]].path);
		buf_addc(to, '\n');
	}
}

static int
line_cmp(const void *a, const void *b)
{
	const struct json *const *x = a, *const *y = b;
	uint64_t p = 0, q = 0;

	(void)json_get_u64(*x, "rating", &p);
	(void)json_get_u64(*y, "rating", &q);
	return (p > q) - (p < q);
}

/*
 * The reference's order is the one in which it folded; the manifest's is by
 * rating, and no case has two layers of one rating.
 */
static void
golden_text(const struct json *layers, struct buf *to)
{
	AUTO(mem)
	const struct json **v = xcalloc(layers->n + 1, sizeof(*v));
	size_t n = 0;

	for (const struct json *k = layers->kids; k; k = k->next)
		v[n++] = k;
	qsort(v, n, sizeof(*v), line_cmp);
	for (size_t i = 0; i < n; i++) {
		uint64_t rating = 0;

		(void)json_get_u64(v[i], "rating", &rating);
		buf_printf(to, "%llu:", (unsigned long long)rating);
		for (const struct json *k = json_get(v[i], "paths")->kids; k;
		     k = k->next)
			buf_printf(to, " %s", k->s);
		buf_addc(to, '\n');
	}
}

static void
golden_case(const char *file)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(buf) struct buf part = BUF_INIT;
	AUTO(buf) struct buf got = BUF_INIT;
	AUTO(buf) struct buf want = BUF_INIT;
	AUTO(popularity) struct popularity *pop = popularity_new();
	struct layer_options o = {.algorithm = LAYERS_NIXERY};
	struct layer_plans plans;
	const struct json *v;
	struct err e = ERR_INIT;
	struct graph g;
	uint64_t budget = 0;

	read_file(file, &text);
	if (json_parse(&a, text.p, text.len, NULL, &v, &e) < 0) {
		ok(false, "%s: %s", file, e.msg);
		return;
	}
	text_of(json_get(v, "popularity"), &part);
	ok(popularity_add_json(pop, part.p, part.len, &e) == 0, "%s: counts",
	   file);
	buf_clear(&part);
	text_of(json_get(v, "closure"), &part);
	if (!ok(graph_parse_json(&a, part.p, part.len, &g, &e) == 0,
		"%s: closure", file))
		return;
	(void)json_get_u64(v, "budget", &budget);
	o.budget = budget;
	o.popularity = pop;
	if (!ok(layers_plan(&a, &g, &o, &plans, &e) == 0, "%s: plan", file))
		return;
	plans_text(&g, &plans, &got);
	golden_text(json_get(v, "layers"), &want);
	is_str(got.p, want.p, file);
}

static int
no_dots(const struct dirent *d)
{
	return str_has_suffix(d->d_name, ".json");
}

static void
test_golden(void)
{
	struct dirent **names;
	int n = scandir(GOLDEN, &names, no_dots, alphasort);

	ok(n >= 24, "%d golden cases of the reference", n);
	for (int i = 0; i < n; i++) {
		AUTO(buf) struct buf path = BUF_INIT;

		buf_printf(&path, "%s/%s", GOLDEN, names[i]->d_name);
		golden_case(path.p);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
}

int
main(void)
{
	test_golden();
	return done_testing();
}
