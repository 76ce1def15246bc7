/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_BASE_ARENA_H
#define FIRN_BASE_ARENA_H

/*
 * Memory with one lifetime: many allocations, freed in one go. Used for what
 * lives as long as a request or a build. Not safe for several threads.
 */
#include <stddef.h>

#include "core/base/attr.h"

struct arena_block;

struct arena {
	struct arena_block *head;
	char *at;
	size_t left;
};

#define ARENA_INIT                                  \
	{                                           \
		.head = NULL, .at = NULL, .left = 0 \
	}

void arena_init(struct arena *a);
void arena_release(struct arena *a);

/* Zeroed, aligned for any type; count * size must not overflow (aborts). */
NONNULL_RESULT void *arena_alloc(struct arena *a, size_t count, size_t size);
NONNULL_RESULT char *arena_strdup(struct arena *a, const char *s);
NONNULL_RESULT char *arena_strndup(struct arena *a, const char *s, size_t n);
PRINTF(2, 3) char *arena_printf(struct arena *a, const char *fmt, ...);

/* arena_new(a, struct thing): one zeroed struct thing. */
#define arena_new(a, type) ((type *)arena_alloc((a), 1, sizeof(type)))

static inline void
arena_auto(struct arena *a)
{
	arena_release(a);
}

#endif
