/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/closures.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/mem.h"
#include "core/model/graph.h"

struct drawn {
	uint64_t lot;
	const char *name;
	uint64_t size;
	size_t node;
};

/*
 * A number that a name draws: FNV-1a over what precedes the version, which
 * starts at a dash before anything but a letter (as Nix has it), then the
 * last step of splitmix64.
 */
static uint64_t
lot_of(const char *name)
{
	uint64_t z = 0xCBF29CE484222325u;

	for (const char *s = name; *s; s++) {
		char c = 'a';

		if (s[0] == '-')
			c = s[1];
		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z'))
			break;
		z = (z ^ (unsigned char)*s) * 0x100000001B3u;
	}
	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
	z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
	return z ^ (z >> 31);
}

static int
drawn_cmp(const void *a, const void *b)
{
	const struct drawn *x = a, *y = b;

	if (x->lot != y->lot)
		return x->lot < y->lot ? -1 : 1;
	if (x->size != y->size)
		return x->size < y->size ? -1 : 1;
	return strcmp(x->name, y->name);
}

/* Which nodes have a bit, in ret[0] to ret[bits - 1]. */
static void
draw(const struct graph *g, size_t bits, struct drawn *ret)
{
	for (size_t v = 0; v < g->n; v++)
		ret[v].node = v;
	if (bits == g->n)
		return;
	for (size_t v = 0; v < g->n; v++) {
		ret[v].name = graph_name_of(g->nodes[v].path);
		ret[v].lot = lot_of(ret[v].name);
		ret[v].size = g->nodes[v].nar_size;
	}
	qsort(ret, g->n, sizeof(*ret), drawn_cmp);
}

static void
set_or(uint64_t *to, const uint64_t *from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] |= from[i];
}

size_t
closures_count_anywhere(const uint64_t *a, const uint64_t *b, size_t n)
{
	const uint64_t m1 = 0x5555555555555555u, m2 = 0x3333333333333333u;
	const uint64_t m4 = 0x0F0F0F0F0F0F0F0Fu, m8 = 0x00FF00FF00FF00FFu;
	uint64_t sum = 0;

	/* a byte of sum takes 8 a word, so it holds CLOSURES_WORDS words */
	for (size_t i = 0; i < n; i++) {
		uint64_t x = a[i] | b[i];

		x -= (x >> 1) & m1;
		x = (x & m2) + ((x >> 2) & m2);
		sum += (x + (x >> 4)) & m4;
	}
	sum = (sum & m8) + ((sum >> 8) & m8);
	return (size_t)((sum * 0x0001000100010001u) >> 48);
}

#ifdef __x86_64__
__attribute__((target("popcnt"))) static size_t
count_popcnt(const uint64_t *a, const uint64_t *b, size_t n)
{
	int s0 = 0, s1 = 0, s2 = 0, s3 = 0;

	for (size_t i = 0; i < n; i += 4) {
		s0 += __builtin_popcountll(a[i] | b[i]);
		s1 += __builtin_popcountll(a[i + 1] | b[i + 1]);
		s2 += __builtin_popcountll(a[i + 2] | b[i + 2]);
		s3 += __builtin_popcountll(a[i + 3] | b[i + 3]);
	}
	return (size_t)s0 + (size_t)s1 + (size_t)s2 + (size_t)s3;
}
#endif

static void
choose_count(struct closures *c)
{
	c->count = closures_count_anywhere;
#ifdef __x86_64__
	if (__builtin_cpu_supports("popcnt"))
		c->count = count_popcnt;
#endif
}

void
closures_build(struct arena *a, const struct graph *g, const size_t *order,
	       struct closures *ret)
{
	AUTO(mem) struct drawn *lots = xcalloc(g->n + 1, sizeof(*lots));
	AUTO(mem) size_t *direct = xcalloc(g->n + 1, sizeof(*direct));
	AUTO(mem) uint64_t *above = NULL;
	size_t bits = g->n < CLOSURES_BITS ? g->n : CLOSURES_BITS;
	size_t w = (bits + 255) / 256 * 4;

	above = xcalloc(g->n + 1, (w + 1) * sizeof(*above));
	ret->words = w;
	ret->bits = bits;
	ret->below = arena_alloc(a, g->n + 1, (w + 1) * sizeof(*ret->below));
	ret->users = arena_alloc(a, g->n + 1, sizeof(*ret->users));
	choose_count(ret);
	draw(g, bits, lots);
	for (size_t i = 0; i < bits; i++) {
		size_t at = lots[i].node * w + i / 64;

		ret->below[at] |= UINT64_C(1) << (i % 64);
		above[at] |= UINT64_C(1) << (i % 64);
	}
	for (size_t i = 0; i < g->n; i++) {
		const struct graph_node *node = &g->nodes[order[i]];

		for (size_t k = 0; k < node->n_refs; k++)
			set_or(&ret->below[order[i] * w],
			       &ret->below[node->refs[k] * w], w);
	}
	for (size_t i = g->n; i-- > 0;) {
		size_t v = order[i], n;
		const struct graph_node *node = &g->nodes[v];

		for (size_t k = 0; k < node->n_refs; k++) {
			set_or(&above[node->refs[k] * w], &above[v * w], w);
			direct[node->refs[k]]++;
		}
		n = ret->count(&above[v * w], &above[v * w], w) * g->n / bits;
		ret->users[v] = n > direct[v] ? n : direct[v] + 1;
	}
}

/* --- exact sizes */

/* Sums of the sizes of eight nodes, by which of them are meant. */
struct sums {
	uint64_t of[256];
};

/* A block of columns: nodes first to first + 64 * words, in order. */
struct block {
	size_t first, words;
	uint64_t *set;     /* g->n sets */
	bool *some;        /* which sets are not empty */
	struct sums *sums; /* words * 8 */
};

static void
block_sums(struct block *b, const struct graph *g, const size_t *order)
{
	for (size_t k = 0; k < b->words * 8; k++) {
		uint64_t *of = b->sums[k].of;

		for (size_t i = 1; i < 256; i++) {
			size_t low = (size_t)__builtin_ctz((unsigned)i);
			size_t at = b->first + 8 * k + low;

			of[i] = of[i & (i - 1)];
			if (at < g->n)
				of[i] += g->nodes[order[at]].nar_size;
		}
	}
}

static uint64_t
block_size(const struct block *b, const uint64_t *set)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < b->words; i++) {
		const struct sums *sums = &b->sums[8 * i];

		for (uint64_t x = set[i]; x; x >>= 8)
			sum += sums++->of[x & 255u];
	}
	return sum;
}

/* Add what of each closure lies in the block. */
static void
block_add(struct block *b, const struct graph *g, const size_t *order,
	  uint64_t *ret)
{
	size_t w = b->words;

	memset(b->some, 0, g->n * sizeof(*b->some));
	for (size_t i = b->first; i < g->n; i++) {
		size_t v = order[i], at = i - b->first;
		const struct graph_node *node = &g->nodes[v];
		uint64_t *set = &b->set[v * w];

		if (at < 64 * w) {
			memset(set, 0, w * sizeof(*set));
			set[at / 64] |= UINT64_C(1) << (at % 64);
			b->some[v] = true;
		}
		for (size_t k = 0; k < node->n_refs; k++) {
			size_t r = node->refs[k];

			if (!b->some[r])
				continue;
			if (!b->some[v])
				memset(set, 0, w * sizeof(*set));
			b->some[v] = true;
			set_or(set, &b->set[r * w], w);
		}
		if (b->some[v])
			ret[v] += block_size(b, set);
	}
}

void
closures_sizes(const struct graph *g, const size_t *order, uint64_t *ret)
{
	struct block b = {.words = CLOSURES_WORDS};
	AUTO(mem) uint64_t *set = xcalloc(g->n + 1, b.words * sizeof(*set));
	AUTO(mem) bool *some = xcalloc(g->n + 1, sizeof(*some));
	AUTO(mem) struct sums *sums = xcalloc(b.words * 8, sizeof(*sums));

	b.set = set;
	b.some = some;
	b.sums = sums;
	memset(ret, 0, g->n * sizeof(*ret));
	for (b.first = 0; b.first < g->n; b.first += 64 * b.words) {
		block_sums(&b, g, order);
		block_add(&b, g, order, ret);
	}
}
