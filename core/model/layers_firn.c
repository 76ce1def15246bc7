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
 *	F(u)      256 * (1 - (255/256)^u): how likely one of u paths changes,
 *	users(v)  the number of the image's n paths that need v.
 *
 * A layer costs size(L) * F(U(L)). A path alone in its layer earns
 * alone(v) = size(v) * 100 * sqrt(users(v) / n): another image can share it
 * as it is.
 *
 *  1. Every path is a layer of its own. Of a large image that holds for the
 *     largest paths only; the smaller ones share a layer with those whose
 *     closures are about as large (equal binary logarithm).
 *  2. While there are more layers than the budget allows, the two are merged
 *     whose merging costs least:
 *	size(a) * (F(U(ab)) - F(U(a))) + size(b) * (F(U(ab)) - F(U(b)))
 *	+ alone(a) + alone(b)
 *     where alone is 0 for a layer of several paths.
 *  3. Twice, each path in turn, the largest first, goes to the layer where it
 *     lowers the total cost most.
 *
 * Example: app (1 MB) needs lib (5 MB) and libc (30 MB); lib needs libc; the
 * budget is 2. U is 3, 2 and 1. {app, lib} costs lib the difference of F(3)
 * and F(2), and what both earn alone. {lib, libc} costs the same difference
 * on 30 MB and the 3,000 that libc, which all need, earns. So app and lib
 * share a layer, and an update of lib or app moves 6 MB, not 35.
 *
 * Sums are in 1/256 of these units, in integers: with at most 2^45 bytes of
 * paths they stay below 2^63. Ties go to the lower rank.
 */
#include <stdlib.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/mem.h"
#include "core/model/closures.h"
#include "core/model/graph.h"
#include "core/model/layers_impl.h"

/* Clusters that merging starts from; more only where the budget is large. */
#define MIN_START 256u
#define MAX_START 2048u
#define BUCKETS 18u /* binary logarithms of a closure's paths */
#define PASSES 2
/* Paths that may move, largest first. */
#define MAX_MOVERS 1024u
#define ALONE_WEIGHT 100u
#define FRACTION 256u

struct cluster {
	uint64_t size;
	uint64_t cost;  /* F of the union */
	uint64_t alone; /* what it earns as a single path */
	size_t members;
	size_t count;  /* of the union's bits */
	uint64_t loss; /* of merging with next, the best that comes after */
	size_t next;   /* a later cluster, SIZE_MAX: none; when not live,
			  the one that took it in */
	bool live;
};

struct work {
	const struct graph *g;
	const size_t *rank;
	struct closures sets;
	uint64_t *cost;  /* F by the number of bits */
	uint64_t *alone; /* by rank */
	struct cluster *c;
	size_t n;         /* clusters at the start */
	uint64_t *unions; /* of each cluster */
	size_t *cluster;  /* by rank */
	size_t movers;    /* ranks below this may move */
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
	return closures_count(a, b, w->sets.words);
}

/* Largest r with r * r <= x. */
static uint64_t
isqrt(uint64_t x)
{
	uint64_t r = 0;

	for (uint64_t bit = UINT64_C(1) << 31; bit > 0; bit >>= 1)
		if ((r | bit) <= x / (r | bit))
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
			f += ((UINT64_C(256) << 32) - f) / 256;
		w->cost[bits] = f / ((UINT64_C(1) << 32) / FRACTION);
	}
}

static void
make_alone(struct work *w, struct arena *a)
{
	const uint64_t scale = (uint64_t)ALONE_WEIGHT * FRACTION;

	w->alone = arena_alloc(a, w->g->n, sizeof(*w->alone));
	for (size_t i = 0; i < w->g->n; i++) {
		size_t v = w->rank[i];

		w->alone[i] = w->g->nodes[v].nar_size *
			      isqrt(scale * scale * w->sets.users[v] / w->g->n);
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
	c->live = true;
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
	size_t start = budget > MIN_START / 2 ? 2 * budget : MIN_START;
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

	c->next = SIZE_MAX;
	c->loss = UINT64_MAX;
	for (size_t i = k + 1; i < w->n; i++) {
		uint64_t loss;

		if (!w->c[i].live)
			continue;
		loss = loss_of(w, k, i, c->loss);
		if (loss < c->loss) {
			c->loss = loss;
			c->next = i;
		}
	}
}

static void
absorb(struct work *w, size_t k, size_t gone)
{
	struct cluster *c = &w->c[k], *d = &w->c[gone];
	uint64_t *set = set_of_cluster(w, k);

	set_or(set, set_of_cluster(w, gone), w->sets.words);
	c->count = set_count(w, set, set);
	c->cost = w->cost[c->count];
	c->size += d->size;
	c->members += d->members;
	c->alone = 0;
	d->live = false;
	d->next = k; /* where it went */
	for (size_t i = 0; i < w->n; i++) {
		struct cluster *x = &w->c[i];

		if (!x->live)
			continue;
		if (i == k || x->next == k || x->next == gone) {
			find_next(w, i);
		} else if (i < k) {
			uint64_t loss = loss_of(w, i, k, x->loss);

			if (loss < x->loss ||
			    (loss == x->loss && k < x->next)) {
				x->loss = loss;
				x->next = k;
			}
		}
	}
}

/* Step 2. */
static void
merge(struct work *w, size_t budget)
{
	size_t left = w->n;

	if (left <= budget)
		return;
	for (size_t k = 0; k < w->n; k++)
		find_next(w, k);
	for (; left > budget; left--) {
		size_t best = SIZE_MAX;

		for (size_t k = 0; k < w->n; k++)
			if (w->c[k].live && w->c[k].next != SIZE_MAX &&
			    (best == SIZE_MAX ||
			     w->c[k].loss < w->c[best].loss))
				best = k;
		absorb(w, best, w->c[best].next);
	}
}

/* What moving needs besides: how often bits of a union occur. */
struct moving {
	uint64_t *twice; /* of each cluster, bits of two members or more */
	uint64_t *fixed; /* unions of those that can't move */
	uint64_t *fixed_twice;
	size_t *first; /* of each cluster, its movers as a list */
	size_t *after; /* by rank; SIZE_MAX ends a list */
};

static void
add_bits(uint64_t *once, uint64_t *twice, const uint64_t *set, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		twice[i] |= once[i] & set[i];
		once[i] |= set[i];
	}
}

static void
moving_init(struct moving *m, struct work *w, struct arena *a)
{
	size_t words = w->sets.words, bytes = words * sizeof(uint64_t);

	w->movers = w->g->n < MAX_MOVERS ? w->g->n : MAX_MOVERS;
	m->twice = arena_alloc(a, w->n, bytes);
	m->fixed = arena_alloc(a, w->n, bytes);
	m->fixed_twice = arena_alloc(a, w->n, bytes);
	m->first = arena_alloc(a, w->n, sizeof(*m->first));
	m->after = arena_alloc(a, w->movers, sizeof(*m->after));
	for (size_t k = 0; k < w->n; k++)
		m->first[k] = SIZE_MAX;
	for (size_t i = w->g->n; i-- > w->movers;) {
		size_t at = w->cluster[i] * words;

		add_bits(&m->fixed[at], &m->fixed_twice[at], set_of_rank(w, i),
			 words);
	}
	memcpy(m->twice, m->fixed_twice, w->n * bytes);
	memcpy(w->unions, m->fixed, w->n * bytes);
	for (size_t i = w->movers; i-- > 0;) {
		size_t k = w->cluster[i];

		add_bits(set_of_cluster(w, k), &m->twice[k * words],
			 set_of_rank(w, i), words);
		m->after[i] = m->first[k];
		m->first[k] = i;
	}
}

/* The layer where path i lowers the cost most; its own where none does. */
static size_t
best_place(const struct work *w, const struct moving *m, size_t i)
{
	size_t own = w->cluster[i], words = w->sets.words, best = own;
	const struct cluster *c = &w->c[own];
	const uint64_t *set = set_of_rank(w, i), *any = set_of_cluster(w, own);
	const uint64_t *twice = &m->twice[own * words];
	uint64_t lonely[CLOSURES_WORDS], size, self, least;

	for (size_t k = 0; k < words; k++)
		lonely[k] = set[k] & any[k] & ~twice[k];
	size = w->g->nodes[w->rank[i]].nar_size;
	self = w->cost[set_count(w, set, set)];
	least = c->size * c->cost -
		(c->size - size) *
			w->cost[c->count - set_count(w, lonely, lonely)];
	for (size_t k = 0; k < w->n; k++) {
		const struct cluster *d = &w->c[k];
		uint64_t f = self > d->cost ? self : d->cost, more;

		if (!d->live || k == own)
			continue;
		/* at least this, as the union is no smaller than either */
		more = size * f + d->size * (f - d->cost) + d->alone;
		if (more >= least)
			continue;
		f = w->cost[set_count(w, set_of_cluster(w, k), set)];
		more = size * f + d->size * (f - d->cost) + d->alone;
		if (more < least) {
			least = more;
			best = k;
		}
	}
	return best;
}

static void
recount(struct work *w, size_t k)
{
	struct cluster *c = &w->c[k];

	c->count = set_count(w, set_of_cluster(w, k), set_of_cluster(w, k));
	c->cost = w->cost[c->count];
	c->alone = 0;
}

static void
move(struct work *w, struct moving *m, size_t i, size_t to)
{
	size_t own = w->cluster[i], words = w->sets.words;
	size_t bytes = words * sizeof(uint64_t), *link = &m->first[own];
	uint64_t size = w->g->nodes[w->rank[i]].nar_size;

	while (*link != i)
		link = &m->after[*link];
	*link = m->after[i];
	m->after[i] = m->first[to];
	m->first[to] = i;
	w->cluster[i] = to;

	memcpy(set_of_cluster(w, own), &m->fixed[own * words], bytes);
	memcpy(&m->twice[own * words], &m->fixed_twice[own * words], bytes);
	for (size_t k = m->first[own]; k != SIZE_MAX; k = m->after[k])
		add_bits(set_of_cluster(w, own), &m->twice[own * words],
			 set_of_rank(w, k), words);
	add_bits(set_of_cluster(w, to), &m->twice[to * words],
		 set_of_rank(w, i), words);
	w->c[own].size -= size;
	w->c[own].members--;
	w->c[to].size += size;
	w->c[to].members++;
	recount(w, own);
	recount(w, to);
}

/* Step 3. */
static void
move_paths(struct work *w, struct arena *a)
{
	struct moving m;

	for (size_t i = 0; i < w->g->n; i++) {
		size_t k = w->cluster[i];

		while (!w->c[k].live)
			k = w->c[k].next;
		w->cluster[i] = k;
	}
	moving_init(&m, w, a);
	for (int pass = 0; pass < PASSES; pass++) {
		for (size_t i = 0; i < w->movers; i++) {
			size_t to;

			if (w->c[w->cluster[i]].members == 1)
				continue;
			to = best_place(w, &m, i);
			if (to != w->cluster[i])
				move(w, &m, i, to);
		}
	}
}

static const char *
why(struct arena *a, const struct work *w, const struct cluster *c,
    size_t users)
{
	size_t n = w->g->n, paths = c->count * n / w->sets.bits;

	if (c->members == 1)
		return arena_printf(a,
				    "alone: needed by %zu of %zu paths, "
				    "changes with any of %zu",
				    users, n, paths);
	return arena_printf(a,
			    "merged: %zu paths that change with any of %zu, "
			    "each needed by %zu of %zu or more",
			    c->members, paths, users, n);
}

/* Step 4: number the layers; the more are sure to share it, the higher. */
static void
rate(struct work *w, struct arena *a, struct grouping *ret)
{
	AUTO(mem) size_t *number = xcalloc(w->n, sizeof(*number));
	AUTO(mem) size_t *users = xcalloc(w->n, sizeof(*users));

	ret->group = arena_alloc(a, w->g->n, sizeof(*ret->group));
	ret->rating = arena_alloc(a, w->n, sizeof(*ret->rating));
	ret->why = arena_alloc(a, w->n, sizeof(*ret->why));
	ret->n = 0;
	for (size_t k = 0; k < w->n; k++)
		users[k] = SIZE_MAX;
	for (size_t i = 0; i < w->g->n; i++) {
		size_t *least = &users[w->cluster[i]];
		size_t mine = w->sets.users[w->rank[i]];

		*least = mine < *least ? mine : *least;
	}
	for (size_t k = 0; k < w->n; k++) {
		if (!w->c[k].live)
			continue;
		number[k] = ret->n++;
		ret->rating[number[k]] = w->c[k].size * users[k];
		ret->why[number[k]] = why(a, w, &w->c[k], users[k]);
	}
	for (size_t i = 0; i < w->g->n; i++)
		ret->group[w->rank[i]] = number[w->cluster[i]];
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
	make_alone(&w, &mine);
	w.c = arena_alloc(&mine, most, sizeof(*w.c));
	w.unions = arena_alloc(&mine, most, w.sets.words * sizeof(*w.unions));
	w.cluster = arena_alloc(&mine, g->n, sizeof(*w.cluster));
	make_clusters(&w, o->budget);
	merge(&w, o->budget);
	if (g->n > o->budget)
		move_paths(&w, &mine);
	rate(&w, a, ret);
}
