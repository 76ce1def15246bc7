/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/arena.h"
#include "core/base/err.h"
#include "core/model/graph.h"
#include "tests/fuzz/fuzz.h"

/* What Nix prints of a closure: what is read is a graph without a cycle. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	struct err e = ERR_INIT;
	struct graph g;
	size_t *order;

	if (graph_parse_dump(&a, (const char *)data, n, "/nix/store", &g, &e) <
	    0) {
		FUZZ_CHECK(e.kind == ERR_INVALID && e.msg[0]);
		return 0;
	}
	order = arena_alloc(&a, g.n + 1, sizeof(*order));
	FUZZ_CHECK(graph_sort(&g, order, &e) == 0);
	for (size_t i = 0; i < g.n; i++)
		for (size_t k = 0; k < g.nodes[i].n_refs; k++)
			FUZZ_CHECK(g.nodes[i].refs[k] < g.n);
	return 0;
}
