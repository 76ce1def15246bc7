/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/config.h"
#include "tests/fuzz/fuzz.h"

#define VARIABLES 64

/* An environment, one variable a line. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct str rest = {.p = (const char *)data, .n = n}, line;
	AUTO(arena) struct arena a = ARENA_INIT;
	const char *envp[VARIABLES + 1];
	struct config *c = NULL;
	struct err e = ERR_INIT;
	size_t k = 0;

	while (k < VARIABLES && str_cut(&rest, '\n', &line))
		envp[k++] = arena_strndup(&a, line.p, line.n);
	envp[k] = NULL;
	if (config_read(envp, &c, &e) < 0) {
		FUZZ_CHECK(e.kind == ERR_INVALID && e.msg[0]);
		return 0;
	}
	FUZZ_CHECK(c->source.location && c->source.location[0]);
	FUZZ_CHECK(c->storage_path && c->state_path && c->nix_dir);
	FUZZ_CHECK(c->n_platforms > 0 &&
		   c->n_platforms <= CONFIG_PLATFORMS_MAX);
	FUZZ_CHECK(c->layer_budget >= 1 && c->layer_budget <= 125);
	FUZZ_CHECK(c->threads >= 1 && c->max_builds >= 1);
	config_free(c);
	return 0;
}
