/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_MODEL_CLOSURES_H
#define FIRN_MODEL_CLOSURES_H

/*
 * What is in the closure of each node of a graph, as sets of bits.
 *
 * Up to CLOSURES_BITS nodes every node has a bit. Of more, as many are drawn
 * by their names, without version and hash, and stand for the others: counts
 * are then estimates, work stays linear, and an update hardly changes the
 * draw.
 */
#include <stddef.h>
#include <stdint.h>

struct arena;
struct graph;

#define CLOSURES_WORDS 16
#define CLOSURES_BITS (64 * CLOSURES_WORDS)

struct closures {
	size_t words;    /* of each set, a multiple of four */
	size_t bits;     /* drawn nodes */
	uint64_t *below; /* g->n sets: what a node needs, and itself */
	size_t *users;   /* how many nodes need it, itself among them */
	/* members of the union of two sets of n words, the fastest way */
	size_t (*count)(const uint64_t *a, const uint64_t *b, size_t n);
};

/* order is graph_sort's; the result lives in the arena. */
void closures_build(struct arena *a, const struct graph *g, const size_t *order,
		    struct closures *ret);

static inline const uint64_t *
closures_of(const struct closures *c, size_t v)
{
	return &c->below[v * c->words];
}

/* The count that needs no instruction that some machines lack. */
size_t closures_count_anywhere(const uint64_t *a, const uint64_t *b, size_t n);

/* The bytes of each node's closure, exactly; ret has room for g->n. */
void closures_sizes(const struct graph *g, const size_t *order, uint64_t *ret);

#endif
