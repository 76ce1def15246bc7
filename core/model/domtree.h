/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_MODEL_DOMTREE_H
#define FIRN_MODEL_DOMTREE_H

/*
 * The dominator tree of a closure under an artificial root.
 *
 * d dominates v when every way from the root to v leads through d: then v is
 * in the closure only because d is.
 */
#include <stdbool.h>
#include <stddef.h>

struct graph;

/*
 * order is graph_sort's. The root refers to every node with top[v], and to
 * every node that nothing refers to. ret_idom has room for g->n; a node that
 * only the root dominates has g->n. Time: references times log nodes.
 */
void domtree_build(const struct graph *g, const size_t *order, const bool *top,
		   size_t *ret_idom);

#endif
