/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/arena.h"
#include "core/base/err.h"
#include "core/model/manifest.h"
#include "tests/fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	struct manifest_summary s;
	struct err e = ERR_INIT;
	struct digest d;
	char text[DIGEST_TEXT_CAP];

	if (manifest_read(&a, (const char *)data, n, &s, &e) < 0) {
		FUZZ_CHECK(e.kind == ERR_INVALID && e.msg[0]);
		return 0;
	}
	FUZZ_CHECK(strcmp(s.media_type, MEDIA_TYPE_INDEX) == 0 ||
		   strcmp(s.media_type, MEDIA_TYPE_MANIFEST) == 0);
	for (size_t i = 0; i < s.n; i++) {
		digest_text(&s.blobs[i], text);
		FUZZ_CHECK(digest_parse(str_of(text), &d));
	}
	return 0;
}
