/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/layers.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/model/graph.h"

const char *
layers_algorithm_id(enum layer_algorithm algorithm)
{
	return algorithm == LAYERS_NIXERY ? "nixery-0" : "firn-0";
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

struct by_size {
	uint64_t size;
	size_t node;
};

static int
largest_first(const void *a, const void *b)
{
	const struct by_size *x = a, *y = b;

	if (x->size != y->size)
		return x->size < y->size ? 1 : -1;
	return (x->node > y->node) - (x->node < y->node);
}

static int
ascending(const void *a, const void *b)
{
	size_t x = *(const size_t *)a, y = *(const size_t *)b;

	return (x > y) - (x < y);
}

/* The largest paths stand alone, the rest shares the last layer. */
int
layers_plan(struct arena *a, const struct graph *g,
	    const struct layer_options *o, struct layer_plans *ret,
	    struct err *e)
{
	AUTO(mem) struct by_size *order = xcalloc(g->n + 1, sizeof(*order));
	AUTO(mem) size_t *sorted = xcalloc(g->n + 1, sizeof(*sorted));
	size_t *paths = arena_alloc(a, g->n + 1, sizeof(*paths));

	if (o->budget == 0)
		return err_set(e, ERR_INVALID, "a budget of no layers");
	if (graph_sort(g, sorted, e) < 0)
		return -1;
	for (size_t v = 0; v < g->n; v++)
		order[v] = (struct by_size){g->nodes[v].nar_size, v};
	qsort(order, g->n, sizeof(*order), largest_first);
	ret->n = g->n < o->budget ? g->n : o->budget;
	ret->v = arena_alloc(a, ret->n + 1, sizeof(*ret->v));
	for (size_t i = 0; i < ret->n; i++) {
		struct layer_plan *l = &ret->v[i];

		l->paths = &paths[i];
		l->n = i + 1 < ret->n ? 1 : g->n - i;
		for (size_t k = i; k < i + l->n; k++) {
			paths[k] = order[k].node;
			l->size += order[k].size;
		}
		l->rating = l->size;
		l->why = l->n == 1 ? "large" : "the rest";
		qsort(&paths[i], l->n, sizeof(*paths), ascending);
	}
	return 0;
}
