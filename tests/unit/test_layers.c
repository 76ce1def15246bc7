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
#include "tests/support/files.h"
#include "tests/support/tap.h"

#define GOLDEN "tests/golden/layers"

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

/* --- properties on random graphs */

struct random {
	uint64_t state;
};

/* splitmix64 */
static uint64_t
next(struct random *r)
{
	uint64_t z = r->state += 0x9E3779B97F4A7C15u;

	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
	z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
	return z ^ (z >> 31);
}

static size_t
below(struct random *r, size_t n)
{
	return (size_t)(next(r) % n);
}

/* A graph as the test knows it: node i refers to smaller ones only. */
struct sketch {
	size_t n;
	uint64_t size[6000];
	size_t refs[6000][8];
	size_t n_refs[6000];
};

static void
sketch_make(struct sketch *s, struct random *r, size_t n)
{
	size_t most = 1 + below(r, 8);

	s->n = n;
	for (size_t i = 0; i < n; i++) {
		size_t want = i > 0 ? below(r, most + 1) : 0;

		/* some sizes are equal, some 0 */
		s->size[i] = below(r, 4) ? next(r) % 100000000 : below(r, 3);
		s->n_refs[i] = 0;
		for (size_t k = 0; k < want; k++) {
			size_t to = below(r, 3)
					    ? below(r, i)
					    : i - 1 - below(r, i < 5 ? i : 5);
			bool known = false;

			for (size_t j = 0; j < s->n_refs[i]; j++)
				known = known || s->refs[i][j] == to;
			if (!known)
				s->refs[i][s->n_refs[i]++] = to;
		}
	}
}

/* The path of node i; salt changes every hash. */
static void
path_to(struct buf *to, size_t i, uint64_t salt)
{
	static const char digits[] = "0123456789abcdfghijklmnpqrsvwxyz";
	struct random r = {.state = salt * 1000003 + i};

	buf_adds(to, "/nix/store/");
	for (int k = 0; k < 32; k++)
		buf_addc(to, digits[below(&r, 32)]);
	buf_printf(to, "-%c%zu-1.%zu", (char)('a' + i % 7), i, i % 3);
}

/* As JSON, nodes and references in an order that shuffle decides. */
static void
sketch_json(const struct sketch *s, uint64_t salt, uint64_t shuffle,
	    struct buf *to)
{
	AUTO(mem) size_t *order = xcalloc(s->n + 1, sizeof(*order));
	struct random r = {.state = shuffle};

	for (size_t i = 0; i < s->n; i++)
		order[i] = i;
	for (size_t i = s->n; i > 1; i--) {
		size_t k = below(&r, i), t = order[i - 1];

		order[i - 1] = order[k];
		order[k] = t;
	}
	buf_addc(to, '[');
	for (size_t j = 0; j < s->n; j++) {
		size_t i = order[j], first = below(&r, 8);

		buf_printf(to, "%s{\"path\":\"", j > 0 ? "," : "");
		path_to(to, i, salt);
		buf_printf(to, "\",\"narSize\":%llu,\"references\":[",
			   (unsigned long long)s->size[i]);
		for (size_t k = 0; k < s->n_refs[i]; k++) {
			buf_adds(to, k > 0 ? ",\"" : "\"");
			path_to(to, s->refs[i][(k + first) % s->n_refs[i]],
				salt);
			buf_addc(to, '"');
		}
		buf_adds(to, "]}");
	}
	buf_addc(to, ']');
}

static int
text_cmp(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Layers in order, of each the names without hashes, sorted. */
static void
names_text(struct arena *a, const struct graph *g, const struct layer_plans *p,
	   struct buf *to)
{
	for (size_t i = 0; i < p->n; i++) {
		const char **v = arena_alloc(a, p->v[i].n, sizeof(*v));

		for (size_t k = 0; k < p->v[i].n; k++)
			v[k] = graph_name_of(g->nodes[p->v[i].paths[k]].path);
		qsort(v, p->v[i].n, sizeof(*v), text_cmp);
		buf_printf(to, "%llu %llu", (unsigned long long)p->v[i].rating,
			   (unsigned long long)p->v[i].size);
		for (size_t k = 0; k < p->v[i].n; k++)
			buf_printf(to, " %s", v[k]);
		buf_printf(to, ": %s\n", p->v[i].why);
	}
}

/* Each path in exactly one layer, in ascending order, none empty. */
static bool
is_partition(const struct graph *g, const struct layer_plans *p, size_t budget)
{
	AUTO(mem) bool *seen = xcalloc(g->n + 1, sizeof(*seen));
	size_t n = 0;

	for (size_t i = 0; i < p->n; i++) {
		uint64_t size = 0;

		for (size_t k = 0; k < p->v[i].n; k++, n++) {
			size_t v = p->v[i].paths[k];

			if (v >= g->n || seen[v] ||
			    (k > 0 && v <= p->v[i].paths[k - 1]))
				return false;
			seen[v] = true;
			size += g->nodes[v].nar_size;
		}
		if (p->v[i].n == 0 || p->v[i].size != size ||
		    (i > 0 && p->v[i].rating > p->v[i - 1].rating))
			return false;
	}
	return n == g->n && p->n <= budget;
}

/* Plan what the JSON says, as names; false when it is no good plan. */
static bool
plan_names(const struct sketch *s, uint64_t salt, uint64_t shuffle,
	   const struct layer_options *o, struct buf *ret)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	AUTO(buf) struct buf json = BUF_INIT;
	struct layer_plans plans;
	struct err e = ERR_INIT;
	struct graph g;

	sketch_json(s, salt, shuffle, &json);
	if (graph_parse_json(&a, json.p, json.len, &g, &e) < 0 ||
	    layers_plan(&a, &g, o, &plans, &e) < 0) {
		printf("# %s\n", e.msg);
		return false;
	}
	names_text(&a, &g, &plans, ret);
	return is_partition(&g, &plans, o->budget);
}

/*
 * The same closure in another order and with other hashes, as after an
 * update that everything depends on, has the same plan.
 */
static bool
check_random(struct sketch *s, struct random *r, enum layer_algorithm algorithm)
{
	const struct layer_options o = {
		.algorithm = algorithm,
		.budget = 1 + below(r, below(r, 4) ? 130 : 3),
	};
	AUTO(buf) struct buf one = BUF_INIT, two = BUF_INIT;
	uint64_t salt = next(r);

	return plan_names(s, salt, next(r), &o, &one) &&
	       plan_names(s, salt + 1, next(r), &o, &two) &&
	       strcmp(one.p, two.p) == 0;
}

static void
test_random(void)
{
	static struct sketch s;
	struct random r = {.state = 20240229};
	size_t bad = 0, runs = 3000, large = 12;

	for (size_t i = 0; i < runs; i++) {
		sketch_make(&s, &r, 1 + below(&r, i % 20 ? 40 : 400));
		bad += !check_random(&s, &r, LAYERS_FIRN);
		bad += !check_random(&s, &r, LAYERS_NIXERY);
	}
	is_u64(bad, 0,
	       "3,000 random closures: a partition within the budget, in any "
	       "order, with any hashes");
	for (size_t i = bad = 0; i < large; i++) {
		sketch_make(&s, &r, 1000 + below(&r, 5000));
		bad += !check_random(&s, &r, LAYERS_FIRN);
		bad += !check_random(&s, &r, LAYERS_NIXERY);
	}
	is_u64(bad, 0, "the same of large ones, whose counts are estimates");
}

/* --- parts, against the definition */

/* What can be reached from the root, or from v, without going through gone. */
static void
reach(const struct graph *g, const bool *top, size_t from, size_t gone,
      bool *ret)
{
	bool more = true;

	for (size_t v = 0; v < g->n; v++)
		ret[v] = v != gone && (from < g->n ? v == from : top[v]);
	while (more) {
		more = false;
		for (size_t v = 0; v < g->n; v++)
			for (size_t k = 0; ret[v] && k < g->nodes[v].n_refs;
			     k++) {
				size_t w = g->nodes[v].refs[k];

				more = more || (w != gone && !ret[w]);
				ret[w] = ret[w] || w != gone;
			}
	}
}

static bool
check_parts(struct arena *a, const struct graph *g, struct random *r)
{
	size_t *order = arena_alloc(a, g->n, sizeof(*order));
	size_t *idom = arena_alloc(a, g->n, sizeof(*idom));
	size_t *users = arena_alloc(a, g->n, sizeof(*users));
	uint64_t *sizes = arena_alloc(a, g->n, sizeof(*sizes));
	bool *top = arena_alloc(a, g->n, sizeof(*top));
	bool *all = arena_alloc(a, g->n, sizeof(*all));
	struct closures c;
	struct err e = ERR_INIT;
	bool good = graph_sort(g, order, &e) == 0;

	for (size_t v = 0; v < g->n; v++)
		top[v] = below(r, 10) == 0;
	domtree_build(g, order, top, idom);
	closures_build(a, g, order, &c);
	closures_sizes(g, order, sizes);
	/* as domtree_build does: what nothing refers to is a top as well */
	memset(all, 0, g->n);
	for (size_t v = 0; v < g->n; v++)
		for (size_t k = 0; k < g->nodes[v].n_refs; k++)
			all[g->nodes[v].refs[k]] = true;
	for (size_t v = 0; v < g->n; v++)
		top[v] = top[v] || !all[v];
	for (size_t d = 0; d < g->n; d++) {
		uint64_t size = 0;
		size_t n = 0;

		/* d dominates what can't be reached without it */
		reach(g, top, g->n, d, all);
		for (size_t v = 0; v < g->n; v++) {
			bool below_d = false;

			for (size_t at = v; at < g->n; at = idom[at])
				below_d = below_d || at == d;
			good = good && below_d == !all[v];
		}
		reach(g, top, d, g->n, all);
		for (size_t v = 0; v < g->n; v++) {
			n += all[v];
			users[v] += all[v];
			size += all[v] ? g->nodes[v].nar_size : 0;
		}
		good = good && size == sizes[d] &&
		       n == c.count(closures_of(&c, d), closures_of(&c, d),
				    c.words);
	}
	for (size_t v = 0; v < g->n; v++) {
		const uint64_t *x = closures_of(&c, v);
		const uint64_t *y = closures_of(&c, below(r, g->n));

		good = good && users[v] == c.users[v] &&
		       c.count(x, y, c.words) ==
			       closures_count_anywhere(x, y, c.words);
	}
	return good;
}

static void
test_parts(void)
{
	static struct sketch s;
	struct random r = {.state = 7};
	size_t bad = 0;

	for (size_t i = 0; i < 400; i++) {
		AUTO(arena) struct arena a = ARENA_INIT;
		AUTO(buf) struct buf json = BUF_INIT;
		struct err e = ERR_INIT;
		struct graph g;

		sketch_make(&s, &r, 1 + below(&r, 70));
		sketch_json(&s, i, i, &json);
		bad += graph_parse_json(&a, json.p, json.len, &g, &e) < 0 ||
		       !check_parts(&a, &g, &r);
	}
	is_u64(bad, 0,
	       "dominators, closures, users and sizes are what their "
	       "definitions say");
}

static void
test_refused(void)
{
	const size_t one = 1, zero = 0;
	struct graph_node nodes[2] = {
		{.path = "/nix/store/a-x", .refs = &one, .n_refs = 1},
		{.path = "/nix/store/b-y", .refs = &zero, .n_refs = 1},
	};
	const struct graph cycle = {.nodes = nodes, .n = 2}, empty = {.n = 0};
	AUTO(arena) struct arena a = ARENA_INIT;
	struct layer_options o = {.budget = 0};
	struct layer_plans plans;
	struct err e = ERR_INIT;

	ok(layers_plan(&a, &empty, &o, &plans, &e) < 0 && e.kind == ERR_INVALID,
	   "a budget of 0: %s", e.msg);
	err_clear(&e);
	o.budget = 3;
	ok(layers_plan(&a, &empty, &o, &plans, &e) == 0 && plans.n == 0,
	   "an empty closure has no layers");
	ok(layers_plan(&a, &cycle, &o, &plans, &e) < 0 && e.kind == ERR_INVALID,
	   "a cycle: %s", e.msg);
}

int
main(void)
{
	test_golden();
	test_random();
	test_parts();
	test_refused();
	return done_testing();
}
