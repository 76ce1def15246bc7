/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/layers.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/model/graph.h"
#include "core/model/layers_impl.h"

const char *
layers_algorithm_id(enum layer_algorithm algorithm)
{
	return algorithm == LAYERS_NIXERY ? "nixery-1" : "firn-1";
}

const char *
layers_algorithm_name(enum layer_algorithm algorithm)
{
	return algorithm == LAYERS_NIXERY ? "nixery" : "firn";
}

int
layers_algorithm_parse(const char *s, enum layer_algorithm *ret, struct err *e)
{
	if (strcmp(s, "firn") == 0)
		*ret = LAYERS_FIRN;
	else if (strcmp(s, "nixery") == 0)
		*ret = LAYERS_NIXERY;
	else
		return err_set(e, ERR_INVALID,
			       "layer algorithm is firn or nixery");
	return 0;
}

struct ranked {
	uint64_t size;
	uint64_t head; /* first bytes of the name, as a number */
	const char *name;
	size_t n_refs;
	size_t node;
};

/*
 * Largest first, then by name. Two paths of one name, size and number of
 * references are told apart by the rest of their paths only.
 */
static int
ranked_cmp(const void *a, const void *b)
{
	const struct ranked *x = a, *y = b;
	int c;

	if (x->size != y->size)
		return x->size < y->size ? 1 : -1;
	if (x->head != y->head)
		return x->head < y->head ? -1 : 1;
	c = strcmp(x->name, y->name);
	if (c != 0)
		return c;
	if (x->n_refs != y->n_refs)
		return x->n_refs < y->n_refs ? -1 : 1;
	return (x->node > y->node) - (x->node < y->node);
}

static void
rank_nodes(const struct graph *g, size_t *ret)
{
	AUTO(mem) struct ranked *v = xcalloc(g->n, sizeof(*v));

	for (size_t i = 0; i < g->n; i++) {
		v[i].size = g->nodes[i].nar_size;
		v[i].name = graph_name_of(g->nodes[i].path);
		v[i].n_refs = g->nodes[i].n_refs;
		v[i].node = i;
		for (size_t k = 0, end = 0; k < 8; k++) {
			end |= v[i].name[end ? 0 : k] == '\0';
			v[i].head = v[i].head << 8 |
				    (end ? 0 : (unsigned char)v[i].name[k]);
		}
	}
	qsort(v, g->n, sizeof(*v), ranked_cmp);
	for (size_t i = 0; i < g->n; i++)
		ret[i] = v[i].node;
}

/* A group that waits for its place in the manifest. */
struct placed {
	uint64_t rating;
	size_t first; /* lowest rank of its nodes */
	size_t group;
};

static int
placed_cmp(const void *a, const void *b)
{
	const struct placed *x = a, *y = b;

	if (x->rating != y->rating)
		return x->rating < y->rating ? 1 : -1;
	return (x->first > y->first) - (x->first < y->first);
}

/* Groups to layers: highest rating first, nodes ascending. */
static void
lay_out(struct arena *a, const struct graph *g, const size_t *rank,
	const struct grouping *in, struct layer_plans *ret)
{
	AUTO(mem) struct placed *order = xcalloc(in->n, sizeof(*order));
	AUTO(mem) size_t *place = xcalloc(in->n, sizeof(*place));
	AUTO(mem) size_t *fill = xcalloc(in->n, sizeof(*fill));
	size_t *paths = arena_alloc(a, g->n, sizeof(*paths)), at = 0;

	ret->n = in->n;
	ret->v = arena_alloc(a, in->n, sizeof(*ret->v));
	for (size_t i = 0; i < in->n; i++)
		order[i] = (struct placed){in->rating[i], SIZE_MAX, i};
	for (size_t i = g->n; i-- > 0;)
		order[in->group[rank[i]]].first = i;
	qsort(order, in->n, sizeof(*order), placed_cmp);
	for (size_t i = 0; i < in->n; i++)
		place[order[i].group] = i;
	for (size_t v = 0; v < g->n; v++) {
		struct layer_plan *l = &ret->v[place[in->group[v]]];

		l->n++;
		l->size += g->nodes[v].nar_size;
	}
	for (size_t i = 0; i < in->n; i++) {
		struct layer_plan *l = &ret->v[i];

		l->rating = order[i].rating;
		l->why = in->why[order[i].group];
		l->paths = &paths[at];
		fill[i] = at;
		at += l->n;
	}
	for (size_t v = 0; v < g->n; v++)
		paths[fill[place[in->group[v]]]++] = v;
}

int
layers_plan(struct arena *a, const struct graph *g,
	    const struct layer_options *o, struct layer_plans *ret,
	    struct err *e)
{
	AUTO(mem) size_t *order = xcalloc(g->n + 1, sizeof(*order));
	AUTO(mem) size_t *rank = xcalloc(g->n + 1, sizeof(*rank));
	struct grouping groups = {.n = 0};

	if (o->budget == 0)
		return err_set(e, ERR_INVALID, "a budget of no layers");
	if (graph_sort(g, order, e) < 0)
		return -1;
	*ret = (struct layer_plans){.v = NULL};
	if (g->n == 0)
		return 0;
	rank_nodes(g, rank);
	if (o->algorithm == LAYERS_NIXERY)
		layers_group_nixery(a, g, order, rank, o, &groups);
	else
		layers_group_firn(a, g, order, rank, o, &groups);
	lay_out(a, g, rank, &groups, ret);
	return 0;
}
