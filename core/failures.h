/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_FAILURES_H
#define FIRN_FAILURES_H

/*
 * Errors that hold for a while: who asks for the same again is told the same,
 * and nobody tries again so soon. A fixed number of them; one may be
 * forgotten for another at any time. Any thread.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/attr.h"

struct digest;
struct err;
struct failures;

/* What is noted holds for ms milliseconds. */
NONNULL_RESULT struct failures *failures_new(size_t slots, uint64_t ms);
/* NULL is fine. */
void failures_free(struct failures *take_f);

/* The error of this key, into *ret; false: there is none. */
bool failures_find(struct failures *f, const struct digest *key,
		   struct err *ret);
void failures_note(struct failures *f, const struct digest *key,
		   const struct err *e);
void failures_forget(struct failures *f, const struct digest *key);

#endif
