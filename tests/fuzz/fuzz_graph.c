/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/arena.h"
#include "core/base/err.h"
#include "core/model/graph.h"
#include "core/model/layers.h"
#include "tests/fuzz/fuzz.h"

/* Every node in one layer, no layer empty, none over the budget. */
static void
check_plan(struct arena *a, const struct graph *g,
	   const struct layer_options *o)
{
	struct err e = ERR_INIT;
	struct layer_plans plans;
	bool *seen = arena_alloc(a, g->n + 1, sizeof(*seen));
	size_t n = 0;

	FUZZ_CHECK(layers_plan(a, g, o, &plans, &e) == 0);
	FUZZ_CHECK(plans.n <= o->budget);
	for (size_t i = 0; i < plans.n; i++) {
		uint64_t size = 0;

		FUZZ_CHECK(plans.v[i].n > 0 && plans.v[i].why);
		for (size_t k = 0; k < plans.v[i].n; k++) {
			size_t v = plans.v[i].paths[k];

			FUZZ_CHECK(v < g->n && !seen[v]);
			seen[v] = true;
			size += g->nodes[v].nar_size;
			n++;
		}
		FUZZ_CHECK(plans.v[i].size == size);
	}
	FUZZ_CHECK(n == g->n);
}

/* The first byte is a budget, the rest JSON: what is a graph has plans. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	struct layer_options o = {.algorithm = LAYERS_FIRN};
	struct err e = ERR_INIT;
	struct graph g;

	if (n == 0)
		return 0;
	o.budget = 1 + data[0] % 128;
	if (graph_parse_json(&a, (const char *)data + 1, n - 1, &g, &e) < 0) {
		FUZZ_CHECK(e.kind == ERR_INVALID && e.msg[0]);
		return 0;
	}
	check_plan(&a, &g, &o);
	o.algorithm = LAYERS_NIXERY;
	check_plan(&a, &g, &o);
	return 0;
}
