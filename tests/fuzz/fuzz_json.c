/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/json.h"
#include "tests/fuzz/fuzz.h"

static void
write_value(struct json_out *o, const struct json *v)
{
	uint64_t n = 0;

	switch (v->type) {
	case JSON_NULL:
		json_null(o);
		break;
	case JSON_BOOL:
		json_bool(o, v->b);
		break;
	case JSON_NUMBER:
		(void)json_u64(v, &n);
		json_num(o, n);
		break;
	case JSON_STRING:
		FUZZ_CHECK(strlen(v->s) == v->n);
		json_strn(o, v->s, v->n);
		break;
	case JSON_ARRAY:
		json_array(o);
		for (const struct json *k = v->kids; k; k = k->next)
			write_value(o, k);
		json_array_end(o);
		break;
	case JSON_OBJECT:
		json_object(o);
		for (const struct json *k = v->kids; k; k = k->next) {
			FUZZ_CHECK(json_get(v, k->key));
			json_key(o, k->key);
			write_value(o, k);
		}
		json_object_end(o);
		break;
	}
}

static bool
rewrite(const char *text, size_t n, struct buf *to)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	AUTO(json_out) struct json_out o = {.gen = NULL};
	const struct json *v = NULL;
	struct err e = ERR_INIT;

	if (json_parse(&a, text, n, NULL, &v, &e) < 0) {
		FUZZ_CHECK(e.kind == ERR_INVALID && e.msg[0]);
		return false;
	}
	json_out_init(&o, to);
	write_value(&o, v);
	return true;
}

/* What is read can be written, read again, and is the same then. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	AUTO(buf) struct buf once = BUF_INIT, twice = BUF_INIT;

	if (!rewrite((const char *)data, n, &once))
		return 0;
	FUZZ_CHECK(rewrite(once.p, once.len, &twice));
	FUZZ_CHECK(strcmp(once.p, twice.p) == 0);
	return 0;
}
