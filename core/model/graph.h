/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_MODEL_GRAPH_H
#define FIRN_MODEL_GRAPH_H

/*
 * The closure of an image: store paths and their runtime references.
 *
 * Nodes are sorted by path in byte order, references are sorted indices
 * without the node itself, and every reference is a node. What was read is
 * checked: paths lie directly in the store directory, nothing occurs twice,
 * nothing is missing, sizes and counts are within limits.
 */
#include <stddef.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/digest.h"

struct arena;
struct err;

struct graph_node {
	const char *path;       /* e.g. /nix/store/...-git-2.39 */
	uint64_t nar_size;      /* bytes */
	struct digest nar_hash; /* zero where the input has none */
	const size_t *refs;
	size_t n_refs;
};

struct graph {
	struct graph_node *nodes;
	size_t n;
};

/* Most nodes, and references of all nodes together, that are read. */
#define GRAPH_MAX_NODES 200000u
#define GRAPH_MAX_REFS 20000000u

/*
 * Read what `nix-store --dump-db PATH...` prints (the same in Nix 2.0 to
 * 2.36): per path its name, NAR hash in base 16, NAR size, deriver or an
 * empty line, count of references, references, each on a line. Everything
 * lives in the arena. Fails with ERR_INVALID.
 */
MUST_CHECK int graph_parse_dump(struct arena *a, const char *text, size_t n,
				const char *store_dir, struct graph *ret,
				struct err *e);

/*
 * Read the JSON of Nix's exportReferencesGraph with structured attributes:
 * [{"path":...,"narHash":...,"narSize":N,"references":[...]},...].
 * Fails with ERR_INVALID.
 */
MUST_CHECK int graph_parse_json(struct arena *a, const char *text, size_t n,
				struct graph *ret, struct err *e);

/* The part of a store path after "HASH-": name and version. */
const char *graph_name_of(const char *path);

#endif
