/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/err.h"
#include "core/base/json.h"
#include "core/nix/eval.h"
#include "tests/fuzz/fuzz.h"

#define STORE "/nix/store"

/*
 * What Nix answers to nix/eval.nix for two packages. Half of it is the
 * package set's words: what is taken of them are store paths and names that
 * can stand on a command line, and a refusal is one line.
 */
static void
check_output(const struct nix_output *o)
{
	FUZZ_CHECK(nix_text_is_store_path(o->path, STORE));
	FUZZ_CHECK(nix_text_is_store_path(o->drv, STORE));
	FUZZ_CHECK(str_has_suffix(o->drv, ".drv"));
	FUZZ_CHECK(o->output[0] && !strpbrk(o->output, "!,^/ \n"));
	FUZZ_CHECK(o->attribute && o->name);
	FUZZ_CHECK(!o->license || o->license[0]);
}

static int
read_answer(const uint8_t *data, size_t n, struct err *e)
{
	const char *const packages[] = {"hello", "xorg.xev"};
	const char *const names[] = {"hello", "help", "xorg"};
	const struct nix_request request = {
		.system = "x86_64-linux",
		.packages = packages,
		.n_packages = ARRAY_LEN(packages),
	};
	AUTO(arena) struct arena a = ARENA_INIT, scratch = ARENA_INIT;
	const struct nix_index_key key = {.hex = "fuzz"};
	const struct json *answer;
	struct nix nix = {.dir = "/nowhere"};
	struct eval v = {
		.nix = &nix,
		.arena = &a,
		.request = &request,
		.store_dir = STORE,
	};
	int r;

	if (json_parse(&scratch, (const char *)data, n, NULL, &answer, e) < 0)
		return -1;
	v.index = nix_index_add(&nix, &key, names, ARRAY_LEN(names));
	r = nix_read_packages(&v, &scratch, answer, e);
	for (size_t i = 0; r == 0 && i < v.found.n; i++)
		check_output(&v.found.v[i]);
	nix_index_release(v.index);
	vec_release(&v.found);
	return r;
}

bool
fuzz_rejects(const uint8_t *data, size_t n)
{
	struct err e = ERR_INIT;

	return read_answer(data, n, &e) < 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct err e = ERR_INIT;

	if (read_answer(data, n, &e) < 0)
		FUZZ_CHECK(e.kind != ERR_NONE && e.kind != ERR_SYSTEM &&
			   e.msg[0] && !strchr(e.msg, '\n'));
	return 0;
}
