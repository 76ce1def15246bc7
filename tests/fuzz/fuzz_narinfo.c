/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/arena.h"
#include "core/base/err.h"
#include "core/model/graph.h"
#include "core/model/narinfo.h"
#include "tests/fuzz/fuzz.h"

/* What a binary cache says of a path: names that are names of store paths. */
bool
fuzz_rejects(const uint8_t *data, size_t n)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	struct err e = ERR_INIT;
	struct narinfo info;

	return narinfo_parse(&a, (const char *)data, n, &info, &e) < 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	struct err e = ERR_INIT;
	struct narinfo info;

	if (narinfo_parse(&a, (const char *)data, n, &info, &e) < 0) {
		FUZZ_CHECK(e.kind == ERR_INVALID && e.msg[0]);
		return 0;
	}
	FUZZ_CHECK(graph_base_ok(info.path));
	for (size_t i = 0; i < info.n_refs; i++)
		FUZZ_CHECK(graph_base_ok(info.refs[i]) &&
			   strcmp(info.refs[i], info.path) != 0);
	return 0;
}
