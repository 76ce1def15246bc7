/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/model/narinfo.h"
#include "core/model/popularity.h"
#include "tests/support/tap.h"

/* Counts, and the file that they come from and go to. */
static void
test_popularity(void)
{
	static const char *const bad[] = {
		"[]",
		"{\"a\":-1}",
		"{\"a\":1.5}",
		"{\"a\":4294967296}",
		"{\"a\":{\"b\":1}}",
		"{\"a\":\"1\"}",
		"{\"a\":1",
	};
	AUTO(popularity) struct popularity *p = popularity_new();
	AUTO(buf) struct buf text = BUF_INIT;
	static const char file[] = "{\"glibc-2.37\":300,\"a-1\":1,\"b-1\":7}";
	struct err e = ERR_INIT;

	ok(popularity_add_json(p, file, strlen(file), &e) == 0, "counts");
	is_u64(popularity_of(p, "glibc-2.37"), 300, "of a name");
	is_u64(popularity_of(p, "glibc"), 1, "of a name that is not there");
	is_u64(popularity_of(NULL, "glibc-2.37"), 1, "without a table");
	popularity_add(p, "b-1", UINT64_MAX);
	is_u64(popularity_of(p, "b-1"), POPULARITY_MAX_COUNT, "they stop");
	popularity_write_json(p, 2, &text);
	is_str(text.p, "{\"b-1\":4294967295,\"glibc-2.37\":300}\n",
	       "written sorted, ones left out");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		err_clear(&e);
		ok(popularity_add_json(p, bad[i], strlen(bad[i]), &e) < 0 &&
			   e.kind == ERR_INVALID,
		   "refused: %s", bad[i]);
	}
}

#define NAR_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-app-1"
#define NAR_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-lib-2"

static void
test_narinfo(void)
{
	static const char *const bad[] = {
		"",
		"StorePath: /nix/store/" NAR_A "\n",
		"References: \n",
		"StorePath: " NAR_A "\nReferences: \n",
		"StorePath: /nix/store/x\nReferences: \n",
		"StorePath: /nix/store/" NAR_A "\nReferences: ../../etc\n",
	};
	static const char good[] = "StorePath: /nix/store/" NAR_A
				   "\nURL: nar/x.nar.xz\nReferences: " NAR_B
				   " " NAR_A " " NAR_B "\nSig: k:v\n";
	AUTO(arena) struct arena a = ARENA_INIT;
	struct err e = ERR_INIT;
	struct narinfo info;

	if (ok(narinfo_parse(&a, good, strlen(good), &info, &e) == 0,
	       "a narinfo is read")) {
		is_str(info.path, NAR_A, "its path");
		ok(info.n_refs == 1 && strcmp(info.refs[0], NAR_B) == 0,
		   "its references, once each, without itself");
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		err_clear(&e);
		ok(narinfo_parse(&a, bad[i], strlen(bad[i]), &info, &e) < 0 &&
			   e.kind == ERR_INVALID,
		   "refused: %s", e.msg);
	}
}

int
main(void)
{
	test_popularity();
	test_narinfo();
	return done_testing();
}
