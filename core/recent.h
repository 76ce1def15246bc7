/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_RECENT_H
#define FIRN_RECENT_H

/*
 * Digests of which something was found to hold a moment ago, so that it is
 * not looked up again for each request. A fixed number of them; one may be
 * forgotten for another at any time. Any thread.
 */
#include <stdbool.h>
#include <stdint.h>

#include "core/base/attr.h"

struct digest;
struct recent;

/* What is noted holds for ms milliseconds. */
NONNULL_RESULT struct recent *recent_new(uint64_t ms);
/* NULL is fine. */
void recent_free(struct recent *take_r);

/* A NULL r remembers nothing. */
bool recent_has(struct recent *r, const struct digest *d);
void recent_note(struct recent *r, const struct digest *d);

#endif
