/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reference: what Nixery does, for those who want to compare.
 *
 * A node is marked when its closure has more than 100 MB or when 100 or more
 * packages use it; nss-cacert and iana-etc count 500,000. Under a root that
 * refers to what was asked for and to the marked nodes, each child of the
 * root in the dominator tree is a group with all below it. Its rating is its
 * top's popularity times the sum of its members' closure sizes, so that
 * shared paths count many times. Over the budget, groups are sorted once,
 * lowest rating first, and the first is folded into the second, that into the
 * third, and so on; ratings are added and not sorted again.
 *
 *	asked for: app -> libx, app -> cacert, libx -> libc    budget 1
 *
 * gives {app, libx, libc} and {cacert}; the first has the lower rating and is
 * folded into the second.
 *
 * The order of groups of one rating is undefined in Nixery; here the one with
 * the larger top comes last, then the one whose top's name comes first.
 * Ratings stop at 2^64 - 1, where Nixery's wrap around.
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/mem.h"
#include "core/model/closures.h"
#include "core/model/domtree.h"
#include "core/model/graph.h"
#include "core/model/layers_impl.h"
#include "core/model/popularity.h"

#define LARGE_CLOSURE 100000000u
#define POPULAR 100u
#define IN_EVERY_IMAGE 500000u

struct top {
	uint64_t rating;
	uint64_t count; /* popularity */
	size_t rank;
	size_t node;
	size_t group;
	size_t members;
};

static uint64_t
add_capped(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static uint64_t
mul_capped(uint64_t a, uint64_t b)
{
	return b > 0 && a > UINT64_MAX / b ? UINT64_MAX : a * b;
}

static uint64_t
count_of(const struct popularity *p, const char *path)
{
	const char *name = graph_name_of(path);

	if (str_has_prefix(name, "nss-cacert") ||
	    str_has_prefix(name, "iana-etc"))
		return IN_EVERY_IMAGE;
	return popularity_of(p, name);
}

static int
top_cmp(const void *a, const void *b)
{
	const struct top *x = a, *y = b;

	if (x->rating != y->rating)
		return x->rating < y->rating ? -1 : 1;
	return (x->rank < y->rank) - (x->rank > y->rank);
}

/* Closure sizes: the input's where it has them, else our own. */
static void
sizes_of(const struct graph *g, const size_t *order, uint64_t *ret)
{
	bool whole = true;

	for (size_t v = 0; v < g->n; v++) {
		ret[v] = g->nodes[v].closure_size;
		whole = whole && (ret[v] > 0 || g->nodes[v].nar_size == 0);
	}
	if (!whole)
		closures_sizes(g, order, ret);
}

/* Children of the root, and of each node its top, as an index into them. */
static size_t
find_tops(const struct graph *g, const size_t *order, const uint64_t *size,
	  const struct popularity *p, size_t *ret_group, struct top *ret)
{
	AUTO(mem) bool *marked = xcalloc(g->n, sizeof(*marked));
	AUTO(mem) size_t *idom = xcalloc(g->n, sizeof(*idom));
	size_t n = 0;

	for (size_t v = 0; v < g->n; v++)
		marked[v] = size[v] > LARGE_CLOSURE ||
			    count_of(p, g->nodes[v].path) >= POPULAR;
	for (size_t i = 0; i < g->n_roots; i++)
		marked[g->roots[i]] = true;
	domtree_build(g, order, marked, idom);
	for (size_t i = g->n; i-- > 0;) {
		size_t v = order[i];
		struct top *t;

		if (idom[v] < g->n) {
			ret_group[v] = ret_group[idom[v]];
		} else {
			ret_group[v] = n;
			ret[n] = (struct top){.node = v, .group = n};
			n++;
		}
		t = &ret[ret_group[v]];
		t->rating = add_capped(t->rating, size[v]);
		t->members++;
	}
	for (size_t i = 0; i < n; i++) {
		ret[i].count = count_of(p, g->nodes[ret[i].node].path);
		ret[i].rating = mul_capped(ret[i].count, ret[i].rating);
	}
	return n;
}

static const char *
why(struct arena *a, const struct graph *g, const struct top *t, uint64_t size,
    size_t folded)
{
	const char *name = graph_name_of(g->nodes[t->node].path);
	const char *how = t->members == 1 ? "alone" : "together";

	if (folded > 0)
		return arena_printf(a,
				    "folded: the %zu groups of the lowest "
				    "rating share a layer to keep to the "
				    "budget",
				    folded + 1);
	if (t->count >= POPULAR)
		return arena_printf(a, "%s: %s is popular (count %llu)", how,
				    name, (unsigned long long)t->count);
	if (size > LARGE_CLOSURE)
		return arena_printf(a, "%s: the closure of %s is over 100 MB",
				    how, name);
	if (t->members == 1)
		return arena_printf(a,
				    "alone: %s was asked for, or more than "
				    "one need it",
				    name);
	return arena_printf(a, "together: %s and what only it needs", name);
}

void
layers_group_nixery(struct arena *a, const struct graph *g, const size_t *order,
		    const size_t *rank, const struct layer_options *o,
		    struct grouping *ret)
{
	AUTO(mem) uint64_t *size = xcalloc(g->n, sizeof(*size));
	AUTO(mem) struct top *tops = xcalloc(g->n, sizeof(*tops));
	AUTO(mem) size_t *place = xcalloc(g->n, sizeof(*place));
	size_t n, folded;

	ret->group = arena_alloc(a, g->n, sizeof(*ret->group));
	sizes_of(g, order, size);
	n = find_tops(g, order, size, o->popularity, ret->group, tops);
	for (size_t i = 0; i < g->n; i++)
		place[rank[i]] = i;
	for (size_t i = 0; i < n; i++)
		tops[i].rank = place[tops[i].node];
	qsort(tops, n, sizeof(*tops), top_cmp);

	folded = n > o->budget ? n - o->budget : 0;
	ret->n = n - folded;
	ret->rating = arena_alloc(a, ret->n, sizeof(*ret->rating));
	ret->why = arena_alloc(a, ret->n, sizeof(*ret->why));
	for (size_t i = 0; i < n; i++) {
		size_t k = i < folded ? 0 : i - folded;

		place[tops[i].group] = k;
		ret->rating[k] = add_capped(ret->rating[k], tops[i].rating);
		ret->why[k] = why(a, g, &tops[i], size[tops[i].node],
				  k == 0 ? folded : 0);
	}
	for (size_t v = 0; v < g->n; v++)
		ret->group[v] = place[ret->group[v]];
}
