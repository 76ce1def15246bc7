/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_MODEL_LAYERS_H
#define FIRN_MODEL_LAYERS_H

/* How a closure is cut into layers, and what a packed layer is. */
#include <stddef.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/digest.h"
#include "core/model/compression.h"

struct arena;
struct err;
struct graph;
struct popularity;

enum layer_algorithm {
	LAYERS_FIRN,   /* merge what changes together: the default */
	LAYERS_NIXERY, /* the reference: dominator tree and popularity */
};

/* A layer that is to be: nodes of the graph, as ascending indices. */
struct layer_plan {
	const size_t *paths;
	size_t n;
	uint64_t size;   /* sum of NAR sizes */
	uint64_t rating; /* what the order in the manifest follows */
	const char *why; /* one line: why it stands alone or was merged */
};

struct layer_plans {
	struct layer_plan *v; /* in manifest order */
	size_t n;
};

struct layer_options {
	enum layer_algorithm algorithm;
	size_t budget;                       /* most layers, at least 1 */
	const struct popularity *popularity; /* may be NULL */
};

/* A layer that is there: what manifest and config say of it. */
struct layer {
	struct digest digest;  /* of the compressed blob */
	struct digest diff_id; /* of the tar archive in it */
	uint64_t size;         /* of the blob, bytes */
	enum compression_kind compression;
};

/*
 * Name and version of an algorithm, as it stands in cache keys: a change of
 * the groups that it makes changes this.
 */
const char *layers_algorithm_id(enum layer_algorithm algorithm);
/* "firn", "nixery": as layers_algorithm_parse takes it. */
const char *layers_algorithm_name(enum layer_algorithm algorithm);
MUST_CHECK int layers_algorithm_parse(const char *s, enum layer_algorithm *ret,
				      struct err *e);

/*
 * Cut the graph. Every node is in exactly one layer, there are at most
 * budget layers (none for an empty graph), and the result depends on nothing
 * but the graph's paths, sizes and references. Lives in the arena. Pure, any
 * thread. Fails with ERR_INVALID (a budget of 0; cycles between nodes).
 */
MUST_CHECK int layers_plan(struct arena *a, const struct graph *g,
			   const struct layer_options *o,
			   struct layer_plans *ret, struct err *e);

#endif
