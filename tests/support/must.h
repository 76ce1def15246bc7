/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_TESTS_MUST_H
#define FIRN_TESTS_MUST_H

/* What a test stands on: where it fails, the program ends. */
#include <stdio.h>
#include <stdlib.h>

#include "core/base/err.h"

/* r is what a function of ours returned that was given e. */
static inline void
must(int r, const struct err *e)
{
	if (r == 0)
		return;
	printf("Bail out! %s\n", e->msg);
	exit(1);
}

#endif
