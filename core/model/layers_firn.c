/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Merge what changes together.
 *
 * A store path changes whenever anything in its closure does. So a layer is
 * downloaded again whenever anything in the union of its members' closures
 * changes, whatever its members are for. Let
 *
 *	size(L)   be the NAR bytes of a layer,
 *	U(L)      the number of paths in the union of its members' closures,
 *	F(u)      180 * (1 - (179/180)^u): how likely one of u paths changes,
 *	s(v)      how likely another image has v too: sqrt(users(v) / n), where
 *		  users(v) of the image's n paths need v; or, where counts
 *		  are known, 65 % of that and 35 % of sqrt(c / (c + 300)) for
 *		  a count of c.
 *
 * A layer costs size(L) * F(U(L)). A path alone in its layer earns
 * alone(v) = size(v) * 85 * s(v): another image can share it as it is.
 *
 *  1. Every path is a layer of its own. Of a large image that holds for the
 *     largest paths only; the smaller ones share a layer with those whose
 *     closures are about as large (equal binary logarithm).
 *  2. While there are more layers than the budget allows, the two are merged
 *     whose merging costs least:
 *	size(a) * (F(U(ab)) - F(U(a))) + size(b) * (F(U(ab)) - F(U(b)))
 *	+ alone(a) + alone(b)
 *     where alone is 0 for a layer of several paths.
 *  3. Each path in turn, the largest first, goes to the layer where it lowers
 *     the total cost most; and the largest once more.
 *
 * Example: app (1 MB) needs lib (5 MB) and libc (30 MB); lib needs libc; the
 * budget is 2. U is 3, 2 and 1; alone they earn 49, 347 and 2,550. Merging
 * app and lib loses 49 + 347 and 5 * (F(3) - F(2)). Merging lib and libc loses
 * 347 + 2,550 and 30 * (F(2) - F(1)). So app and lib share a layer, and an
 * update of either moves 6 MB, not 35.
 *
 * The weights were found by replaying pulls and updates over a package
 * collection (tests/bench), the ratios are flat around them.
 *
 * Sums are in 1/256 of these units, in integers: with at most 2^45 bytes of
 * paths they stay below 2^63. Of equal losses the pair counts whose first is
 * the larger, then whose second is the smaller path.
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/mem.h"
#include "core/model/closures.h"
#include "core/model/graph.h"
#include "core/model/layers_impl.h"
#include "core/model/popularity.h"

/* Clusters that merging starts from; more only where the budget is large. */
#define MIN_START 224u
#define MAX_START 2048u
#define BUCKETS 18u /* binary logarithms of a closure's paths */
/* How many paths may move in each pass, largest first. */
static const size_t movers[] = {1024, 256};
#define CHANGE_SCALE 180u
#define ALONE_WEIGHT 85u
#define COUNT_HALF 300u
#define COUNT_PERCENT 35u
#define FRACTION 256u

struct cluster {
	uint64_t size;
	uint64_t cost;  /* F of the union */
	uint64_t alone; /* what it earns as a single path */
	uint64_t loss;  /* of merging with next */
	/*
	 * The best to merge with of those that come after, SIZE_MAX: none.
	 * Of a cluster that was merged away, the one that took it in.
	 */
	size_t next;
	size_t members;
	size_t count; /* of the union's bits */
	bool stale;   /* next is gone or has grown; loss is a lower bound */
};

struct work {
	const struct graph *g;
	const size_t *rank;
	struct closures sets;
	uint64_t *cost;  /* F by the number of bits */
	uint64_t *alone; /* by rank */
	struct cluster *c;
	size_t n;     /* clusters at the start */
	size_t *live; /* those that are left, ascending */
	size_t n_live;
	uint64_t *unions; /* of each cluster */
	uint64_t *twice;  /* bits of a union that two members have, or more */
	size_t *cluster;  /* by rank */
};

static const uint64_t *
set_of_rank(const struct work *w, size_t i)
{
	return closures_of(&w->sets, w->rank[i]);
}

static uint64_t *
set_of_cluster(const struct work *w, size_t k)
{
	return &w->unions[k * w->sets.words];
}

static void
set_or(uint64_t *to, const uint64_t *from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] |= from[i];
}

static size_t
set_count(const struct work *w, const uint64_t *a, const uint64_t *b)
{
	return w->sets.count(a, b, w->sets.words);
}

/* Largest r with r * r <= x, for x below 2^62. */
static uint64_t
isqrt(uint64_t x)
{
	uint64_t r = 0, bit = 1;

	while (bit * bit <= x)
		bit <<= 1;
	for (; bit > 0; bit >>= 1)
		if ((r | bit) * (r | bit) <= x)
			r |= bit;
	return r;
}

/*
 * F for every number of bits, in 1/FRACTION; a bit stands for g->n / bits
 * paths. The recurrence runs in 32 bits of fraction.
 */
static void
make_costs(struct work *w, struct arena *a)
{
	uint64_t f = 0, at = 0;

	w->cost = arena_alloc(a, w->sets.bits + 1, sizeof(*w->cost));
	for (size_t bits = 1; bits <= w->sets.bits; bits++) {
		for (; at < bits * w->g->n / w->sets.bits; at++)
			f += (((uint64_t)CHANGE_SCALE << 32) - f) /
			     CHANGE_SCALE;
		w->cost[bits] = f / ((UINT64_C(1) << 32) / FRACTION);
	}
}

static void
make_alone(struct work *w, struct arena *a, const struct popularity *counts)
{
	const uint64_t scale = (uint64_t)ALONE_WEIGHT * FRACTION;

	w->alone = arena_alloc(a, w->g->n, sizeof(*w->alone));
	for (size_t i = 0; i < w->g->n; i++) {
		size_t v = w->rank[i];
		const struct graph_node *node = &w->g->nodes[v];
		uint64_t share, c;

		share = isqrt(scale * scale * w->sets.users[v] / w->g->n);
		if (counts) {
			c = popularity_of(counts, graph_name_of(node->path));
			c = isqrt(scale * scale * c / (c + COUNT_HALF));
			share = (share * (100 - COUNT_PERCENT) +
				 c * COUNT_PERCENT) /
				100;
		}
		w->alone[i] = node->nar_size * share;
	}
}

static void
cluster_add(struct work *w, size_t k, size_t i)
{
	struct cluster *c = &w->c[k];
	uint64_t *set = set_of_cluster(w, k);

	set_or(set, set_of_rank(w, i), w->sets.words);
	c->count = set_count(w, set, set);
	c->cost = w->cost[c->count];
	c->size += w->g->nodes[w->rank[i]].nar_size;
	c->members++;
	c->alone = c->members == 1 ? w->alone[i] : 0;
	w->cluster[i] = k;
}

static size_t
log2_of(size_t x)
{
	size_t n = 0;

	while (x >>= 1)
		n++;
	return n;
}

/* Step 1. */
static void
make_clusters(struct work *w, size_t budget)
{
	size_t start = 2 * budget > MIN_START ? 2 * budget : MIN_START;
	size_t bucket[BUCKETS], singles = w->g->n;

	if (start > MAX_START)
		start = MAX_START;
	if (w->g->n > start)
		singles = start - BUCKETS;
	for (size_t k = 0; k < BUCKETS; k++)
		bucket[k] = SIZE_MAX;
	for (size_t i = 0; i < w->g->n; i++) {
		size_t k = i, paths;

		if (i >= singles) {
			const uint64_t *set = set_of_rank(w, i);

			paths = set_count(w, set, set) * w->g->n / w->sets.bits;
			k = log2_of(paths);
			if (k >= BUCKETS)
				k = BUCKETS - 1;
			if (bucket[k] == SIZE_MAX)
				bucket[k] = w->n++;
			k = bucket[k];
		} else {
			w->n++;
		}
		cluster_add(w, k, i);
	}
}

/*
 * The loss of merging a and b, or something above limit that is no more than
 * it: the union is at least as large as the larger.
 */
static uint64_t
loss_of(const struct work *w, size_t a, size_t b, uint64_t limit)
{
	const struct cluster *x = &w->c[a], *y = &w->c[b];
	uint64_t alone = x->alone + y->alone, f;

	f = x->cost > y->cost ? y->size * (x->cost - y->cost)
			      : x->size * (y->cost - x->cost);
	if (f + alone >= limit)
		return f + alone;
	f = w->cost[set_count(w, set_of_cluster(w, a), set_of_cluster(w, b))];
	return x->size * (f - x->cost) + y->size * (f - y->cost) + alone;
}

/* The best cluster after k to merge it with. */
static void
find_next(struct work *w, size_t k)
{
	struct cluster *c = &w->c[k];

	c->stale = false;
	c->next = SIZE_MAX;
	c->loss = UINT64_MAX;
	for (size_t j = w->n_live; j-- > 0 && w->live[j] > k;) {
		uint64_t loss = loss_of(w, k, w->live[j], c->loss);

		if (loss < c->loss) {
			c->loss = loss;
			c->next = w->live[j];
		}
	}
}

/*
 * Cluster k has taken in gone. Whatever comes before k may now fit it better
 * than what it had. Where k or gone was what it had, all others are no better
 * than the loss it knows, which so remains a lower bound.
 */
static void
update_nexts(struct work *w, size_t k, size_t gone)
{
	for (size_t j = 0; j < w->n_live && w->live[j] < gone; j++) {
		size_t i = w->live[j];
		struct cluster *x = &w->c[i];
		uint64_t loss;

		if (i == k)
			continue;
		x->stale = x->stale || x->next == k || x->next == gone;
		if (i > k)
			continue;
		loss = loss_of(w, i, k, x->loss);
		if (loss < x->loss || (loss == x->loss && k <= x->next)) {
			x->loss = loss;
			x->next = k;
			x->stale = false;
		}
	}
}

static void
absorb(struct work *w, size_t k, size_t gone)
{
	struct cluster *c = &w->c[k], *d = &w->c[gone];
	uint64_t *set = set_of_cluster(w, k);
	size_t at;

	set_or(set, set_of_cluster(w, gone), w->sets.words);
	c->count = set_count(w, set, set);
	c->cost = w->cost[c->count];
	c->size += d->size;
	c->members += d->members;
	c->alone = 0;
	d->next = k;
	for (at = 0; w->live[at] != gone; at++)
		;
	w->n_live--;
	memmove(&w->live[at], &w->live[at + 1],
		(w->n_live - at) * sizeof(*w->live));
}

/* The first of the clusters whose merging loses least. */
static size_t
find_best(struct work *w)
{
	for (;;) {
		size_t best = SIZE_MAX;

		/* the last has none after it */
		for (size_t j = 0; j + 1 < w->n_live; j++)
			if (j == 0 || w->c[w->live[j]].loss < w->c[best].loss)
				best = w->live[j];
		if (!w->c[best].stale)
			return best;
		find_next(w, best);
	}
}

/* Step 2. */
static void
merge(struct work *w, size_t budget)
{
	for (size_t k = 0; k < w->n; k++)
		w->live[w->n_live++] = k;
	if (w->n <= budget)
		return;
	for (size_t k = 0; k < w->n; k++)
		find_next(w, k);
	while (w->n_live > budget) {
		size_t k = find_best(w), gone = w->c[k].next;

		absorb(w, k, gone);
		update_nexts(w, k, gone);
		find_next(w, k);
	}
}

/* Number the clusters that are left from 0. */
static void
compact(struct work *w)
{
	AUTO(mem) size_t *number = xcalloc(w->n, sizeof(*number));

	for (size_t k = 0; k < w->n; k++)
		number[k] = SIZE_MAX;
	for (size_t j = 0; j < w->n_live; j++)
		number[w->live[j]] = j;
	for (size_t i = 0; i < w->g->n; i++) {
		size_t k = w->cluster[i];

		while (number[k] == SIZE_MAX)
			k = w->c[k].next;
		w->cluster[i] = number[k];
	}
	for (size_t j = 0; j < w->n_live; j++)
		w->c[j] = w->c[w->live[j]];
	w->n = w->n_live;
}

/* Count anew which bits of a cluster's union one member has, which more. */
static void
count_bits(struct work *w)
{
	size_t words = w->sets.words;

	memset(w->unions, 0, w->n * words * sizeof(*w->unions));
	memset(w->twice, 0, w->n * words * sizeof(*w->twice));
	for (size_t i = 0; i < w->g->n; i++) {
		uint64_t *once = set_of_cluster(w, w->cluster[i]);
		uint64_t *twice = &w->twice[w->cluster[i] * words];
		const uint64_t *set = set_of_rank(w, i);

		for (size_t k = 0; k < words; k++) {
			twice[k] |= once[k] & set[k];
			once[k] |= set[k];
		}
	}
}

/* The bits that a cluster has for its member i alone. */
static void
lonely_bits(const struct work *w, size_t i, uint64_t *ret)
{
	size_t k = w->cluster[i];
	const uint64_t *once = set_of_cluster(w, k);
	const uint64_t *twice = &w->twice[k * w->sets.words];
	const uint64_t *set = set_of_rank(w, i);

	for (size_t j = 0; j < w->sets.words; j++)
		ret[j] = set[j] & once[j] & ~twice[j];
}

/* The layer where path i lowers the cost most; its own where none does. */
static size_t
best_place(const struct work *w, size_t i)
{
	size_t own = w->cluster[i], best = own;
	const struct cluster *c = &w->c[own];
	const uint64_t *set = set_of_rank(w, i);
	uint64_t lonely[CLOSURES_WORDS], size, self, least, bound;

	lonely_bits(w, i, lonely);
	size = w->g->nodes[w->rank[i]].nar_size;
	self = w->cost[set_count(w, set, set)];
	least = c->size * c->cost -
		(c->size - size) *
			w->cost[c->count - set_count(w, lonely, lonely)];
	if (size == 0)
		return own;
	bound = least / size + 1;
	for (size_t k = 0; k < w->n; k++) {
		const struct cluster *d = &w->c[k];
		uint64_t f, more;

		/* the union is no smaller than either */
		if (d->cost >= bound || k == own)
			continue;
		f = self > d->cost ? self : d->cost;
		if (size * f + d->size * (f - d->cost) + d->alone >= least)
			continue;
		f = w->cost[set_count(w, set_of_cluster(w, k), set)];
		more = size * f + d->size * (f - d->cost) + d->alone;
		if (more < least) {
			least = more;
			bound = least / size + 1;
			best = k;
		}
	}
	return best;
}

static void
resize(struct work *w, size_t k, uint64_t size, size_t members)
{
	struct cluster *c = &w->c[k];

	c->size = size;
	c->members = members;
	c->count = set_count(w, set_of_cluster(w, k), set_of_cluster(w, k));
	c->cost = w->cost[c->count];
	c->alone = 0;
}

/*
 * Which bits have become single ones in the cluster that i leaves is not
 * counted at once: until the next pass its members' worth is underrated.
 */
static void
move(struct work *w, size_t i, size_t to)
{
	size_t own = w->cluster[i];
	struct cluster *c = &w->c[own], *d = &w->c[to];
	uint64_t *from_set = set_of_cluster(w, own);
	uint64_t *to_set = set_of_cluster(w, to);
	uint64_t *twice = &w->twice[to * w->sets.words];
	const uint64_t *set = set_of_rank(w, i);
	uint64_t lonely[CLOSURES_WORDS], size;

	lonely_bits(w, i, lonely);
	for (size_t k = 0; k < w->sets.words; k++) {
		from_set[k] &= ~lonely[k];
		twice[k] |= to_set[k] & set[k];
		to_set[k] |= set[k];
	}
	size = w->g->nodes[w->rank[i]].nar_size;
	resize(w, own, c->size - size, c->members - 1);
	resize(w, to, d->size + size, d->members + 1);
	w->cluster[i] = to;
}

/* Step 3. */
static void
move_paths(struct work *w)
{
	for (size_t pass = 0; pass < ARRAY_LEN(movers); pass++) {
		count_bits(w);
		for (size_t i = 0; i < movers[pass] && i < w->g->n; i++) {
			size_t to;

			if (w->c[w->cluster[i]].members == 1)
				continue;
			to = best_place(w, i);
			if (to != w->cluster[i])
				move(w, i, to);
		}
	}
}

static const char *
why(struct arena *a, const struct work *w, const struct cluster *c,
    size_t users)
{
	size_t n = w->g->n, paths = c->count * n / w->sets.bits;

	if (c->members > 1)
		return arena_printf(a,
				    "merged to keep to the budget: these %zu "
				    "change when any of %zu paths does",
				    c->members, paths);
	if (paths > 1)
		return arena_printf(a,
				    "alone: %zu of %zu paths need it, and it "
				    "changes when any of %zu does",
				    users, n, paths);
	return arena_printf(a,
			    "alone: %zu of %zu paths need it, and nothing else "
			    "changes it",
			    users, n);
}

/* Step 4: number the layers; the more are sure to share it, the higher. */
static void
rate(struct work *w, struct arena *a, struct grouping *ret)
{
	AUTO(mem) size_t *users = xcalloc(w->n, sizeof(*users));

	ret->group = arena_alloc(a, w->g->n, sizeof(*ret->group));
	ret->rating = arena_alloc(a, w->n, sizeof(*ret->rating));
	ret->why = arena_alloc(a, w->n, sizeof(*ret->why));
	ret->n = w->n;
	for (size_t k = 0; k < w->n; k++)
		users[k] = SIZE_MAX;
	for (size_t i = 0; i < w->g->n; i++) {
		size_t *least = &users[w->cluster[i]];
		size_t mine = w->sets.users[w->rank[i]];

		*least = mine < *least ? mine : *least;
	}
	for (size_t k = 0; k < w->n; k++) {
		ret->rating[k] = w->c[k].size * users[k];
		ret->why[k] = why(a, w, &w->c[k], users[k]);
	}
	for (size_t i = 0; i < w->g->n; i++)
		ret->group[w->rank[i]] = w->cluster[i];
}

void
layers_group_firn(struct arena *a, const struct graph *g, const size_t *order,
		  const size_t *rank, const struct layer_options *o,
		  struct grouping *ret)
{
	AUTO(arena) struct arena mine = ARENA_INIT;
	struct work w = {.g = g, .rank = rank};
	size_t most = 2 * o->budget > MIN_START ? MAX_START : MIN_START;

	if (most > g->n)
		most = g->n;
	closures_build(&mine, g, order, &w.sets);
	make_costs(&w, &mine);
	make_alone(&w, &mine, o->popularity);
	w.c = arena_alloc(&mine, most, sizeof(*w.c));
	w.unions = arena_alloc(&mine, most, w.sets.words * sizeof(*w.unions));
	w.twice = arena_alloc(&mine, most, w.sets.words * sizeof(*w.twice));
	w.cluster = arena_alloc(&mine, g->n, sizeof(*w.cluster));
	make_clusters(&w, o->budget);
	w.live = arena_alloc(&mine, w.n, sizeof(*w.live));
	merge(&w, o->budget);
	compact(&w);
	if (g->n > o->budget)
		move_paths(&w);
	rate(&w, a, ret);
}
