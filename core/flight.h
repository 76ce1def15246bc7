/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_FLIGHT_H
#define FIRN_FLIGHT_H

/*
 * One piece of work per key at a time: who comes first does it, who comes
 * later waits for the result or its error. Any thread.
 *
 *	struct flight *f = flight_join(table, key, &first);
 *	if (first)
 *		flight_land(f, &result, sizeof(result), err or NULL);
 *	else
 *		flight_wait(f, &result, sizeof(result), e);
 *	flight_release(f);
 *
 * A key is free again as soon as its flight has landed.
 */
#include <stdbool.h>
#include <stddef.h>

#include "core/base/attr.h"
#include "core/base/digest.h"

struct err;
struct flight;
struct flights;

/* Results are copied and at most this large. */
#define FLIGHT_RESULT_MAX 512

struct flights *flights_new(void);
/* None may be in the air. */
void flights_free(struct flights *t);

/* Join the flight of this key, or start it: *ret_first then. */
struct flight *flight_join(struct flights *t, const struct digest *key,
			   bool *ret_first);

/* By the first, exactly once. error NULL: it succeeded. */
void flight_land(struct flight *f, const void *result, size_t n,
		 const struct err *error);

/* Wait for it; the result, or a copy of its error. */
MUST_CHECK int flight_wait(struct flight *f, void *ret, size_t n,
			   struct err *e);

void flight_release(struct flight *take_f);

#endif
