/* SPDX-License-Identifier: Apache-2.0 */
/*
 * In a graph without cycles, the immediate dominator of a node is the deepest
 * common ancestor, in the dominator tree, of all that refer to it. So one
 * walk from referrers to references builds the tree: when its turn comes, a
 * node's own place is known, and it lifts the place of what it refers to.
 *
 *	root -> a, a -> b, a -> c, b -> d, c -> d
 *
 * gives a under the root, b and c under a, and d under a, where b and c meet.
 *
 * Common ancestors are found in logarithmic time with one pointer more a
 * node, which jumps to an ancestor that depends on the depth alone (E. W.
 * Myers, "An applicative random-access stack", 1983).
 */
#include "core/model/domtree.h"

#include <stdint.h>
#include <stdlib.h>

#include "core/base/mem.h"
#include "core/model/graph.h"

struct place {
	size_t parent;
	size_t jump;
	size_t depth;
};

#define NOWHERE SIZE_MAX

static size_t
meet(const struct place *t, size_t a, size_t b)
{
	if (t[a].depth < t[b].depth) {
		size_t swap = a;

		a = b;
		b = swap;
	}
	while (t[a].depth > t[b].depth)
		a = t[t[a].jump].depth >= t[b].depth ? t[a].jump : t[a].parent;
	while (a != b) {
		bool far = t[a].jump != t[b].jump;

		a = far ? t[a].jump : t[a].parent;
		b = far ? t[b].jump : t[b].parent;
	}
	return a;
}

/* v's parent is known: the rest of its place. */
static void
settle(struct place *t, size_t v)
{
	size_t p = t[v].parent, j = t[p].jump;

	t[v].depth = t[p].depth + 1;
	if (t[p].depth - t[j].depth == t[j].depth - t[t[j].jump].depth)
		t[v].jump = t[j].jump;
	else
		t[v].jump = p;
}

void
domtree_build(const struct graph *g, const size_t *order, const bool *top,
	      size_t *ret_idom)
{
	AUTO(mem) struct place *t = xcalloc(g->n + 1, sizeof(*t));
	size_t root = g->n;

	for (size_t v = 0; v < g->n; v++)
		t[v].parent = top[v] ? root : NOWHERE;
	t[root] = (struct place){.parent = root, .jump = root};
	for (size_t i = g->n; i-- > 0;) {
		size_t v = order[i];
		const struct graph_node *node = &g->nodes[v];

		if (t[v].parent == NOWHERE)
			t[v].parent = root;
		settle(t, v);
		for (size_t k = 0; k < node->n_refs; k++) {
			size_t *up = &t[node->refs[k]].parent;

			*up = *up == NOWHERE ? v : meet(t, *up, v);
		}
		ret_idom[v] = t[v].parent;
	}
}
