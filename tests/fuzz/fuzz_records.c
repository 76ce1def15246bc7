/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/err.h"
#include "core/model/layers.h"
#include "core/records.h"
#include "core/store/store.h"
#include "core/sys/log.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/store_mem.h"

static void
put_as(struct store *st, const char *kind, const struct digest *key,
       const uint8_t *data, size_t n)
{
	struct err e = ERR_INIT;
	char hex[DIGEST_HEX_CAP], name[128];

	digest_hex(key, hex);
	(void)snprintf(name, sizeof(name), "%s/%s", kind, hex);
	FUZZ_CHECK(store_put_record(st, name, data, n, &e) == 0);
}

/* A record that makes no sense counts as absent; it is never an error. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct store *st = store_mem_new();
	struct err e = ERR_INIT;
	struct layer l, again;
	struct digest key, d;
	bool found = false;

	log_set_level(LOG_ERROR);
	digest_of("key", 3, &key);
	if (n > STORE_RECORD_MAX)
		n = STORE_RECORD_MAX;
	put_as(st, "manifests", &key, data, n);
	put_as(st, "layers", &key, data, n);
	FUZZ_CHECK(records_get_image(st, &key, &found, &d, &e) == 0);
	FUZZ_CHECK(records_get_layer(st, &key, &found, &l, &e) == 0);
	if (found) {
		FUZZ_CHECK(records_put_layer(st, &key, &l, &e) == 0);
		FUZZ_CHECK(records_get_layer(st, &key, &found, &again, &e) ==
				   0 &&
			   found && digest_eq(&l.digest, &again.digest) &&
			   l.size == again.size &&
			   l.compression == again.compression);
	}
	store_free(st);
	return 0;
}
