/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_MODEL_POPULARITY_H
#define FIRN_MODEL_POPULARITY_H

/*
 * How many things use a package: a table from "name-version", the part of a
 * store path after its hash, to a count. It comes from a file in the format
 * of Nixery's popcount, {"glibc-2.37":283412,...}, or is learnt from the
 * closures that a registry has built.
 *
 * Filled by one thread, then immutable and safe for many.
 */
#include <stddef.h>
#include <stdint.h>

#include "core/base/attr.h"

struct buf;
struct err;
struct graph;
struct popularity;

/* Most names, and the largest count, of a table. */
#define POPULARITY_MAX_NAMES 1000000u
#define POPULARITY_MAX_COUNT UINT32_MAX

struct popularity *popularity_new(void);
void popularity_free(struct popularity *p);

/*
 * Add the counts of a popcount file to the table. Fails with ERR_INVALID,
 * and then the table may hold a part of them.
 */
MUST_CHECK int popularity_add_json(struct popularity *p, const char *text,
				   size_t n, struct err *e);

/*
 * Learn from an image that was built: each package of it is used once more.
 * A table that is full takes no new names.
 */
void popularity_add_image(struct popularity *p, const struct graph *g);

/* Add to the count of one name (copied). */
void popularity_add(struct popularity *p, const char *name, uint64_t count);

/* The count of a name; 1 where the table does not know it, or p is NULL. */
uint64_t popularity_of(const struct popularity *p, const char *name);

/*
 * The table as a popcount file, sorted by name, with a newline at its end.
 * Smaller counts than least are left out.
 */
void popularity_write_json(const struct popularity *p, uint64_t least,
			   struct buf *to);

static inline void
popularity_auto(struct popularity **p)
{
	popularity_free(*p);
}

#endif
