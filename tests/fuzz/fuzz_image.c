/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/arena.h"
#include "core/base/err.h"
#include "core/model/image.h"
#include "tests/fuzz/fuzz.h"

/* The canonical name is the name of the same image, and its own. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	struct err e = ERR_INIT;
	struct image im, again;
	const char *name = arena_strndup(&a, (const char *)data, n);

	if (image_parse(&a, name, &im, &e) < 0) {
		FUZZ_CHECK(e.kind == ERR_INVALID && e.msg[0]);
		return 0;
	}
	FUZZ_CHECK(image_parse(&a, im.name, &again, &e) == 0);
	FUZZ_CHECK(strcmp(im.name, again.name) == 0);
	FUZZ_CHECK(im.shell == again.shell && im.platform == again.platform);
	FUZZ_CHECK(im.n_packages == again.n_packages);
	for (size_t i = 0; i < im.n_packages; i++) {
		FUZZ_CHECK(strcmp(im.packages[i], again.packages[i]) == 0);
		FUZZ_CHECK(i == 0 ||
			   strcmp(im.packages[i - 1], im.packages[i]) < 0);
	}
	return 0;
}
