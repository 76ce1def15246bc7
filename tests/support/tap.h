/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_TESTS_TAP_H
#define FIRN_TESTS_TAP_H

/*
 * Test Anything Protocol, version 12, for the programs in tests/unit.
 *
 *	int main(void)
 *	{
 *		ok(1 + 1 == 2, "addition");
 *		is_str(name, "git", "the name is kept");
 *		return done_testing();
 *	}
 */
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "core/base/attr.h"

/* Threads may test, too. */
static atomic_int tap_run, tap_failed;

PRINTF(2, 3) static inline bool ok(bool good, const char *fmt, ...)
{
	va_list ap;

	if (!good)
		tap_failed++;
	flockfile(stdout);
	printf("%sok %d - ", good ? "" : "not ", ++tap_run);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	(void)fflush(stdout);
	funlockfile(stdout);
	return good;
}

static inline bool
is_str(const char *got, const char *want, const char *name)
{
	bool same = got == want || (got && want && strcmp(got, want) == 0);

	ok(same, "%s", name);
	if (!same)
		printf("# got:  %s\n# want: %s\n", got ? got : "(null)",
		       want ? want : "(null)");
	return same;
}

static inline bool
is_u64(unsigned long long got, unsigned long long want, const char *name)
{
	bool same = got == want;

	ok(same, "%s", name);
	if (!same)
		printf("# got:  %llu\n# want: %llu\n", got, want);
	return same;
}

/* What can't be tried here, and why. */
UNUSED static inline void
skip(const char *name, const char *why)
{
	printf("ok %d - %s # SKIP %s\n", ++tap_run, name, why);
}

static inline int
done_testing(void)
{
	printf("1..%d\n", tap_run);
	return tap_failed ? 1 : 0;
}

#endif
