/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_MODEL_LAYERS_IMPL_H
#define FIRN_MODEL_LAYERS_IMPL_H

/* Between layers.c and the algorithms. */
#include "core/model/layers.h"

/*
 * An algorithm's answer: each node's group, numbered from 0 without gaps,
 * and of each group its rating and why it is one.
 */
struct grouping {
	size_t *group; /* by node */
	size_t n;      /* groups */
	uint64_t *rating;
	const char **why;
};

/*
 * Both: order is graph_sort's, the graph is not empty, the budget not 0.
 * rank puts nodes into an order that does not depend on the hashes in their
 * paths; ties go by it. The answer lives in the arena.
 */
void layers_group_nixery(struct arena *a, const struct graph *g,
			 const size_t *order, const size_t *rank,
			 const struct layer_options *o, struct grouping *ret);
void layers_group_firn(struct arena *a, const struct graph *g,
		       const size_t *order, const size_t *rank,
		       const struct layer_options *o, struct grouping *ret);

#endif
