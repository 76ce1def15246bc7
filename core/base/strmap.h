/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_BASE_STRMAP_H
#define FIRN_BASE_STRMAP_H

/*
 * Hash map from strings to size_t (an index into the caller's array). Keys
 * are borrowed and must outlive the map. The hash is keyed by a seed that is
 * drawn once per process, so that names from outside can't be chosen to
 * collide; nothing iterates over a map, so the seed shows nowhere.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct strmap_slot;

struct strmap {
	struct strmap_slot *slots;
	size_t n;
	size_t cap;
};

#define STRMAP_INIT                             \
	{                                       \
		.slots = NULL, .n = 0, .cap = 0 \
	}

void strmap_init(struct strmap *m);
void strmap_release(struct strmap *m);

/* Add or replace. True when the key was there; *ret_old then (may be NULL). */
bool strmap_put(struct strmap *m, const char *key, size_t value,
		size_t *ret_old);

bool strmap_get(const struct strmap *m, const char *key, size_t *ret);

static inline void
strmap_auto(struct strmap *m)
{
	strmap_release(m);
}

#endif
