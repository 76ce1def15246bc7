/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a fuzz target without a fuzzer: over every file of its corpus and
 * every input that once made it fail or has to be refused, and over what is
 * left of each when it is cut short. The target is named by the program's name,
 * replay_X. Runs at the top of the tree, as all tests do.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/sys/fs.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/tap.h"

#define INPUT_MAX ((size_t)16 << 20)
/* An input is cut at so many places at most. */
#define CUTS 256

/* In a block of its own, so that reading past the end is noticed. */
static void
run(const char *p, size_t n)
{
	AUTO(mem) uint8_t *copy = xmalloc(n > 0 ? n : 1);

	if (n > 0)
		memcpy(copy, p, n);
	(void)LLVMFuzzerTestOneInput(copy, n);
}

static int
run_file(const char *path, bool refused, struct err *e)
{
	AUTO(buf) struct buf text = BUF_INIT;
	size_t step;

	if (fs_read_file(path, INPUT_MAX, &text, e) < 0)
		return -1;
	printf("# %s\n", path);
	(void)fflush(stdout);
	step = text.len / CUTS + 1;
	for (size_t n = 0; n < text.len; n += step)
		run(text.p, n);
	run(text.p, text.len);
	if (refused && !fuzz_rejects((const uint8_t *)text.p, text.len))
		return err_set(e, ERR_INVALID, "%s is taken", path);
	return 0;
}

/* How many files were run, which is none when there is no such directory. */
static int
run_all(const char *kind, const char *target, bool refused, size_t *ret_files,
	struct err *e)
{
	AUTO(buf) struct buf dir = BUF_INIT;
	struct fs_names names;
	int r = 0;

	*ret_files = 0;
	buf_printf(&dir, "tests/%s/%s", kind, target);
	if (fs_list(dir.p, &names, e) < 0) {
		if (e->kind != ERR_NOT_FOUND)
			return -1;
		err_clear(e);
		return 0;
	}
	for (size_t i = 0; r == 0 && i < names.n; i++) {
		AUTO(buf) struct buf path = BUF_INIT;

		buf_printf(&path, "%s/%s", dir.p, names.v[i]);
		r = run_file(path.p, refused, e);
	}
	*ret_files = names.n;
	fs_names_free(&names);
	return r;
}

int
main(void)
{
	const char *target = strchr(program_invocation_short_name, '_');
	size_t n = 0;
	struct err e = ERR_INIT;
	bool good;

	target = target ? target + 1 : "";
	good = run_all("fuzz/corpus", target, false, &n, &e) == 0 && n > 0;
	ok(good, "%s: %zu inputs of the corpus, whole and cut %s", target, n,
	   e.msg);
	err_clear(&e);
	good = run_all("fuzz/regress", target, false, &n, &e) == 0;
	ok(good, "%s: %zu inputs that failed once %s", target, n, e.msg);
	err_clear(&e);
	if (fuzz_rejects) {
		good = run_all("reject/nix", target, true, &n, &e) == 0 &&
		       n > 0;
		ok(good, "%s: %zu inputs are refused %s", target, n, e.msg);
	}
	return done_testing();
}
