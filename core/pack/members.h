/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_PACK_MEMBERS_H
#define FIRN_PACK_MEMBERS_H

/*
 * Compressed blocks of recent layers, kept in a directory. A block's key is
 * the digest of what the compressor is and of the bytes that went in, so an
 * entry can't be stale, and serves a path in whatever layer it comes.
 *
 * Several processes may share the directory, and any of it may be deleted at
 * any time. Files in it that are none of ours are left alone. An entry is
 * checked against its digest when it is read; a bad one is deleted. Used from
 * any thread. What goes wrong is logged, once in a while, and otherwise as if
 * the cache were not there.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/attr.h"

struct digest;
struct err;
struct members;

/*
 * Make the directory when it isn't there. When there are more than max_bytes
 * in it, those that were not used for longest go; a few percent more may be
 * there for a while. Bytes are those of the disk; the directories' own, 1 MiB
 * of most filesystems, aren't counted. ERR_SYSTEM: it can't be made or read.
 */
MUST_CHECK int members_open(const char *dir, uint64_t max_bytes,
			    struct members **ret, struct err *e);
void members_free(struct members *m);

/* Read an entry of at most cap bytes; false when there is none. */
bool members_get(struct members *m, const struct digest *key, void *to,
		 size_t cap, size_t *ret_n);

void members_put(struct members *m, const struct digest *key, const void *p,
		 size_t n);

/*
 * The disk is full: delete what is kept, and keep nothing for some minutes.
 * True when there may be more room for it.
 */
bool members_yield(struct members *m);

static inline void
members_auto(struct members **m)
{
	members_free(*m);
}

#endif
