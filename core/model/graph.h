/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_MODEL_GRAPH_H
#define FIRN_MODEL_GRAPH_H

/*
 * The closure of an image: store paths and their runtime references.
 *
 * Nodes are sorted by path in byte order, references are sorted indices
 * without the node itself, and every reference is a node. What was read is
 * checked: paths lie directly in the store directory, nothing occurs twice,
 * nothing is missing, sizes and counts are within limits, and there are no
 * cycles.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/digest.h"

struct arena;
struct err;

struct graph_node {
	const char *path;       /* e.g. /nix/store/...-git-2.39 */
	uint64_t nar_size;      /* bytes */
	uint64_t closure_size;  /* bytes; 0 where the input has none */
	struct digest nar_hash; /* zero where the input has none */
	const size_t *refs;
	size_t n_refs;
};

struct graph {
	struct graph_node *nodes;
	size_t n;
	/*
	 * What the closure was asked for, ascending; none where the input
	 * does not say. Nodes that nothing refers to need not be named.
	 */
	const size_t *roots;
	size_t n_roots;
};

/*
 * Most nodes, and references of all nodes together, that are read; most
 * bytes of all nodes together (32 TiB), so that products of a size and a
 * count of nodes fit 64 bits.
 */
#define GRAPH_MAX_NODES 200000u
#define GRAPH_MAX_REFS 20000000u
#define GRAPH_MAX_SIZE (UINT64_C(1) << 45)

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
 * [{"path":...,"narHash":...,"narSize":N,"references":[...]},...], or the
 * object around it, {"exportReferencesGraph":{NAME:[roots]},NAME:[...]}.
 * "closureSize" and "narHash" (SHA-256, in base 16, Nix's base 32 or as SRI)
 * may be missing. The store directory is the first path's. Fails with
 * ERR_INVALID.
 */
MUST_CHECK int graph_parse_json(struct arena *a, const char *text, size_t n,
				struct graph *ret, struct err *e);

/*
 * The nodes' indices so that each comes after all that it refers to. ret has
 * room for g->n. A cycle is ERR_INVALID with the name of a node on it. What
 * was parsed has none.
 */
MUST_CHECK int graph_sort(const struct graph *g, size_t *ret, struct err *e);

/* Is this HASH-NAME, the last part of a store path? */
bool graph_base_ok(const char *s);

/* The part of a store path after "HASH-": name and version. */
const char *graph_name_of(const char *path);

#endif
