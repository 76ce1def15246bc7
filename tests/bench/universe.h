/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_TESTS_BENCH_UNIVERSE_H
#define FIRN_TESTS_BENCH_UNIVERSE_H

/*
 * A package collection with real sizes and dependencies (made by
 * make-universe), and what happens to it: images that nodes pull, and
 * updates after which they pull again. Any failure ends the program.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct graph;
struct arena;
struct popularity;

struct adjacency {
	size_t *at; /* n + 1 */
	size_t *to;
};

struct universe {
	size_t n;
	char **name;
	char **path; /* store path */
	size_t *source;
	size_t n_sources;
	bool *hidden; /* libraries, documentation: nobody asks for them */
	uint64_t *nar;
	uint64_t *csz;
	struct adjacency deps, users;
};

void universe_load(struct universe *u, const char *file);
void universe_free(struct universe *u);
/* The line of a package, or SIZE_MAX. */
size_t universe_find(const struct universe *u, const char *name);

/* Everything that can be reached, ascending; to be freed. */
size_t *universe_reach(const struct universe *u, const struct adjacency *edges,
		       const size_t *from, size_t n, size_t *ret_n);

/* The graph of a closed set of packages, and which package each node is. */
void universe_graph(const struct universe *u, struct arena *a,
		    const size_t *closure, size_t n, struct graph *ret,
		    size_t **ret_package);

/* Counts as popcount would find them. */
struct popularity *universe_popularity(const struct universe *u);

#define TRACE_NODES 40
#define TRACE_PULLS 20
#define TRACE_UPDATES 7

struct image {
	size_t *paths; /* closure, ascending */
	size_t n;
};

struct trace {
	size_t n_images;
	struct image *images;
	size_t pulls[TRACE_NODES][TRACE_PULLS]; /* images */
	bool *changed[TRACE_UPDATES];           /* by package */
};

/*
 * Images of one to six packages, drawn by popularity, whose closures have
 * from lo up to hi paths; and updates by Nix's rule: a new package gives a
 * new store path to all that depends on it. large: one or two packages.
 */
void trace_make(struct trace *t, const struct universe *u, uint64_t seed,
		size_t n_images, size_t lo, size_t hi, bool large);
void trace_free(struct trace *t);

struct random {
	uint64_t state;
};

uint64_t random_next(struct random *r);
size_t random_below(struct random *r, size_t n);

#endif
