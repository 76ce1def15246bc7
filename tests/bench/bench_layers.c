/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a layering costs those who pull.
 *
 *	bench_layers replay UNIVERSE [FIRST-SEED SEEDS IMAGES]
 *	bench_layers time UNIVERSE
 *
 * replay: bytes that nodes download, in first pulls and in pulls after
 * updates, over those that they would download if every path were a layer by
 * itself, per algorithm, kind of closure and budget; the mean over the seeds,
 * and the worst of them. time: milliseconds of layers_plan for closures of
 * 1,000 to 50,000 paths.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/model/graph.h"
#include "core/model/layers.h"
#include "core/model/popularity.h"
#include "tests/bench/universe.h"

/* What a layer costs beyond its content, in bytes. */
#define LAYER_OVERHEAD 1024

static double
now_ms(clockid_t clock)
{
	struct timespec t;

	(void)clock_gettime(clock, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* Layers of one image, as packages: part[i] is the layer of paths[i]. */
struct cut {
	size_t *part;
	size_t n;
};

/* Which layers a node has: a set of 64-bit identities. */
struct set {
	uint64_t *slot;
	size_t n, cap;
};

static bool
set_add(struct set *s, uint64_t id)
{
	size_t i;

	if (s->n + 1 > s->cap / 2) {
		struct set bigger = {.cap = s->cap ? s->cap * 2 : 1024};

		bigger.slot = xcalloc(bigger.cap, sizeof(*bigger.slot));
		for (i = 0; i < s->cap; i++)
			if (s->slot[i])
				(void)set_add(&bigger, s->slot[i]);
		free(s->slot);
		*s = bigger;
	}
	id |= 1u;
	for (i = (size_t)(id >> 20) & (s->cap - 1); s->slot[i];
	     i = (i + 1) & (s->cap - 1))
		if (s->slot[i] == id)
			return false;
	s->slot[i] = id;
	s->n++;
	return true;
}

/* Identity of a layer: its packages with their versions, in order. */
static void
identities(const struct image *im, const struct cut *c, const unsigned *version,
	   uint64_t *ret)
{
	memset(ret, 0, c->n * sizeof(*ret));
	for (size_t i = 0; i < im->n; i++) {
		struct random r = {.state = ret[c->part[i]]};

		r.state += im->paths[i] * TRACE_UPDATES * 2 +
			   version[im->paths[i]];
		ret[c->part[i]] = random_next(&r);
	}
}

static uint64_t
pull_all(const struct universe *u, const struct trace *t,
	 const struct cut *cuts, const unsigned *version, struct set *held)
{
	uint64_t **ids = xcalloc(t->n_images, sizeof(*ids));
	uint64_t **sizes = xcalloc(t->n_images, sizeof(*sizes));
	uint64_t moved = 0;

	for (size_t i = 0; i < t->n_images; i++) {
		const struct image *im = &t->images[i];

		ids[i] = xcalloc(cuts[i].n + 1, sizeof(**ids));
		sizes[i] = xcalloc(cuts[i].n + 1, sizeof(**sizes));
		identities(im, &cuts[i], version, ids[i]);
		for (size_t k = 0; k < cuts[i].n; k++)
			sizes[i][k] = LAYER_OVERHEAD;
		for (size_t k = 0; k < im->n; k++)
			sizes[i][cuts[i].part[k]] += u->csz[im->paths[k]];
	}
	for (size_t node = 0; node < TRACE_NODES; node++)
		for (size_t i = 0; i < TRACE_PULLS; i++) {
			size_t im = t->pulls[node][i];

			for (size_t k = 0; k < cuts[im].n; k++)
				if (set_add(&held[node], ids[im][k]))
					moved += sizes[im][k];
		}
	for (size_t i = 0; i < t->n_images; i++) {
		free(ids[i]);
		free(sizes[i]);
	}
	free(ids);
	free(sizes);
	return moved;
}

struct moved {
	uint64_t pull, update;
};

static struct moved
replay(const struct universe *u, const struct trace *t, const struct cut *cuts)
{
	struct set held[TRACE_NODES] = {{.n = 0}};
	unsigned *version = xcalloc(u->n, sizeof(*version));
	struct moved m = {.pull = pull_all(u, t, cuts, version, held)};

	for (size_t k = 0; k < TRACE_UPDATES; k++) {
		for (size_t v = 0; v < u->n; v++)
			version[v] += t->changed[k][v];
		m.update += pull_all(u, t, cuts, version, held);
	}
	for (size_t i = 0; i < TRACE_NODES; i++)
		free(held[i].slot);
	free(version);
	return m;
}

/* Cut an image; part is by position in the image's sorted packages. */
static void
cut_image(const struct universe *u, const struct image *im,
	  const struct layer_options *o, struct cut *ret)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	struct layer_plans plans;
	struct graph g;
	struct err e = ERR_INIT;
	size_t *package, *place = xcalloc(u->n, sizeof(*place));

	universe_graph(u, &a, im->paths, im->n, &g, &package);
	if (layers_plan(&a, &g, o, &plans, &e) < 0) {
		(void)fprintf(stderr, "bench: %s\n", e.msg);
		exit(1);
	}
	for (size_t i = 0; i < im->n; i++)
		place[im->paths[i]] = i;
	ret->n = plans.n;
	ret->part = xcalloc(im->n + 1, sizeof(*ret->part));
	for (size_t k = 0; k < plans.n; k++)
		for (size_t i = 0; i < plans.v[k].n; i++)
			ret->part[place[package[plans.v[k].paths[i]]]] = k;
	free(place);
}

static struct moved
replay_cut(const struct universe *u, const struct trace *t,
	   const struct layer_options *o)
{
	struct cut *cuts = xcalloc(t->n_images, sizeof(*cuts));
	struct moved m;

	for (size_t i = 0; i < t->n_images; i++) {
		if (o) {
			cut_image(u, &t->images[i], o, &cuts[i]);
			continue;
		}
		cuts[i].n = t->images[i].n;
		cuts[i].part = xcalloc(cuts[i].n + 1, sizeof(size_t));
		for (size_t k = 0; k < cuts[i].n; k++)
			cuts[i].part[k] = k;
	}
	m = replay(u, t, cuts);
	for (size_t i = 0; i < t->n_images; i++)
		free(cuts[i].part);
	free(cuts);
	return m;
}

#define BUDGETS 4

static const struct {
	const char *name;
	size_t lo, hi; /* paths in the closure of a package */
	bool large;
	size_t budgets[BUDGETS]; /* 0 ends them */
} classes[] = {
	{"mix", 0, SIZE_MAX, false, {10, 30, 94, 120}},
	{"small", 0, 60, false, {10, 30, 94, 0}},
	{"large", 250, SIZE_MAX, true, {10, 30, 94, 120}},
};

/* One line of the table, over all seeds. */
struct cell {
	double nixery, firn, pull, update; /* sums */
	double worst;                      /* of firn */
	size_t ahead;                      /* seeds where firn moves less */
};

static double
ratio(struct moved m, struct moved low)
{
	return (double)(m.pull + m.update) / (double)(low.pull + low.update);
}

static void
replay_class(const struct universe *u, const struct popularity *pop,
	     uint64_t seed, size_t n_images, size_t c, struct cell *cells)
{
	struct trace t;
	struct moved low;

	trace_make(&t, u, seed, n_images, classes[c].lo, classes[c].hi,
		   classes[c].large);
	low = replay_cut(u, &t, NULL);
	for (size_t b = 0; b < BUDGETS && classes[c].budgets[b]; b++) {
		struct layer_options o = {
			.algorithm = LAYERS_NIXERY,
			.budget = classes[c].budgets[b],
			.popularity = pop,
		};
		struct moved ref = replay_cut(u, &t, &o), m;
		struct cell *to = &cells[b];
		double r;

		o.algorithm = LAYERS_FIRN;
		m = replay_cut(u, &t, &o);
		r = ratio(m, low);
		to->nixery += ratio(ref, low);
		to->firn += r;
		to->pull += (double)m.pull / (double)low.pull;
		to->update += (double)m.update / (double)low.update;
		to->worst = r > to->worst ? r : to->worst;
		to->ahead += r < ratio(ref, low);
	}
	trace_free(&t);
}

static void
replay_all(const struct universe *u, const struct popularity *pop,
	   uint64_t first, size_t seeds, size_t n_images)
{
	double n = (double)seeds;

	printf("bytes moved, every path a layer = 1; %zu seeds, %zu images\n"
	       "closures budget  nixery    firn   worst ahead     pull  "
	       "update\n",
	       seeds, n_images);
	for (size_t c = 0; c < ARRAY_LEN(classes); c++) {
		struct cell cells[BUDGETS] = {{.worst = 0}};

		for (size_t i = 0; i < seeds; i++)
			replay_class(u, pop, first + i, n_images, c, cells);
		for (size_t b = 0; b < BUDGETS && classes[c].budgets[b]; b++)
			printf("%-8s %6zu  %6.3f  %6.3f  %6.3f %2zu/%-2zu    "
			       "%6.3f  %6.3f\n",
			       classes[c].name, classes[c].budgets[b],
			       cells[b].nixery / n, cells[b].firn / n,
			       cells[b].worst, cells[b].ahead, seeds,
			       cells[b].pull / n, cells[b].update / n);
		(void)fflush(stdout);
	}
}

/* A closed set of about n packages: whole closures in a fixed order. */
static size_t *
closure_of(const struct universe *u, size_t want, size_t *ret_n)
{
	struct random r = {.state = 4};
	size_t *roots = xcalloc(u->n, sizeof(*roots)), n = 0;

	for (;;) {
		size_t *c, step = n < 200 ? 1 : n / 16;

		for (; step > 0; step--)
			roots[n++] = random_below(&r, u->n);
		c = universe_reach(u, &u->deps, roots, n, ret_n);
		if (*ret_n >= want) {
			free(roots);
			return c;
		}
		free(c);
	}
}

static void
time_one(const struct universe *u, const struct popularity *pop, size_t want,
	 enum layer_algorithm algorithm, const char *name)
{
	const struct layer_options o = {
		.algorithm = algorithm, .budget = 94, .popularity = pop};
	AUTO(arena) struct arena a = ARENA_INIT;
	size_t n, *package, *c = closure_of(u, want, &n);
	struct graph g;
	double best = 1e9, sum = 0, best_cpu = 1e9;
	size_t edges = 0;
	int runs = 9;

	universe_graph(u, &a, c, n, &g, &package);
	for (size_t v = 0; v < g.n; v++)
		edges += g.nodes[v].n_refs;
	for (int i = 0; i < runs; i++) {
		AUTO(arena) struct arena mine = ARENA_INIT;
		struct layer_plans plans;
		struct err e = ERR_INIT;
		double t = now_ms(CLOCK_MONOTONIC);
		double cpu = now_ms(CLOCK_THREAD_CPUTIME_ID);

		if (layers_plan(&mine, &g, &o, &plans, &e) < 0)
			exit(1);
		t = now_ms(CLOCK_MONOTONIC) - t;
		cpu = now_ms(CLOCK_THREAD_CPUTIME_ID) - cpu;
		sum += t;
		best = t < best ? t : best;
		best_cpu = cpu < best_cpu ? cpu : best_cpu;
	}
	printf("%-7s %6zu %7zu  %8.2f %8.2f %8.2f\n", name, n, edges, best,
	       sum / runs, best_cpu);
	(void)fflush(stdout);
	free(c);
}

static void
time_all(const struct universe *u, const struct popularity *pop)
{
	static const size_t sizes[] = {1000, 2000, 5000, 10000, 20000, 50000};

	printf("layers_plan, budget 94, ms   best     mean  best CPU\n"
	       "            paths    refs\n");
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		time_one(u, pop, sizes[i], LAYERS_FIRN, "firn");
		time_one(u, pop, sizes[i], LAYERS_NIXERY, "nixery");
	}
}

/* A number from the command line, or what it is without. */
static uint64_t
number(int argc, char **argv, int at, uint64_t without)
{
	uint64_t n = without;

	if (at < argc && !str_to_u64(str_of(argv[at]), UINT32_MAX, &n)) {
		(void)fprintf(stderr, "bench: %s is no number\n", argv[at]);
		exit(2);
	}
	return n;
}

int
main(int argc, char **argv)
{
	AUTO(popularity) struct popularity *pop = NULL;
	struct universe u;

	if (argc < 3) {
		(void)fputs("usage: bench_layers replay UNIVERSE [FIRST-SEED "
			    "SEEDS IMAGES]\n"
			    "       bench_layers time UNIVERSE\n",
			    stderr);
		return 2;
	}
	universe_load(&u, argv[2]);
	pop = universe_popularity(&u);
	if (strcmp(argv[1], "time") == 0)
		time_all(&u, pop);
	else
		replay_all(&u, pop, number(argc, argv, 3, 1),
			   (size_t)number(argc, argv, 4, 5),
			   (size_t)number(argc, argv, 5, 100));
	universe_free(&u);
	return 0;
}
