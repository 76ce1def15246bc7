/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/err.h"
#include "core/nix/errors.h"
#include "core/nix/impl.h"
#include "core/nix/report.h"
#include "tests/fuzz/fuzz.h"

/*
 * Standard error of a failed run of Nix, its exit code in the first byte:
 * whatever it says, there is an error of one line, and bounded memory.
 */
static void
check(const struct nix_run *r, bool build)
{
	struct err e = ERR_INIT;

	if (build)
		FUZZ_CHECK(nix_fail_realise(r, &e) == -1);
	else
		FUZZ_CHECK(nix_fail_eval(r, "some.package", "x86_64-linux",
					 &e) == -1);
	FUZZ_CHECK(e.kind != ERR_NONE && e.msg[0] && !strchr(e.msg, '\n'));
}

static void
noop(void *ctx, const char *line, size_t n)
{
	FUZZ_CHECK(!memchr(line, '\n', n));
	FUZZ_CHECK(!memchr(line, '\033', n) || n == 1);
	*(size_t *)ctx += n;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	size_t total = 0;
	const struct nix_watch w = {.on_line = noop, .ctx = &total};
	struct nix nix = {.store_dir = "/nix/store"};
	struct nix_run r = {.nix = &nix, .timeout_ms = 1000};
	struct str rest, line;

	if (n == 0)
		return 0;
	(void)pthread_mutex_init(&nix.lock, NULL);
	r.report = nix_report_new(&w);
	r.exit_code = data[0] & 0x7F;
	r.timed_out = (data[0] & 0x80) != 0;
	rest = (struct str){.p = (const char *)data + 1, .n = n - 1};
	while (str_cut(&rest, '\n', &line))
		nix_report_line(r.report, line.p, line.n);
	FUZZ_CHECK(r.report->n_errors <= NIX_ERRORS_MAX);
	FUZZ_CHECK(r.report->builds.n <= NIX_BUILDS_MAX);
	check(&r, false);
	check(&r, true);
	(void)nix_was_collected(&r);
	nix_report_free(r.report);
	(void)pthread_mutex_destroy(&nix.lock);
	return 0;
}
