/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_PACK_COMPRESS_H
#define FIRN_PACK_COMPRESS_H

/*
 * Blocks of bytes to members: gzip members (RFC 1952, 2.2) by libdeflate, or
 * zstd frames (RFC 8878, 3.1). Any number of members, one after the other,
 * are one stream to every reader. A member's bytes depend on its block, the
 * kind and the level alone.
 *
 * Some of the levels are tuned, on some 270 MB of programs and text:
 * - A gzip block under CODEC_SHORT, which has little to look back on, is
 *   compressed one level harder. Small store paths that are members of their
 *   own are then no larger than in one stream. Not above level 8: the step
 *   from 9 to 10 takes thirteen times the memory.
 * - zstd:1 looks for shorter matches than the library's level 1 does: 2.4 %
 *   smaller, for a tenth more time.
 * Blocks of 2 MiB instead of 1 make zstd:3 1.3 % smaller, and gzip:1 0.1 %:
 * gzip has the smaller ones, for the sake of memory.
 */
#include <stddef.h>

#include "core/base/attr.h"
#include "core/model/compression.h"

struct codec;

#define CODEC_SHORT ((size_t)512 << 10)

/* Bytes of a full block. */
size_t codec_block(const struct compression *c);

/* The most memory that a codec has for itself. */
size_t codec_memory(const struct compression *c);

/* A codec serves one thread at a time. */
struct codec *codec_new(const struct compression *c);
void codec_free(struct codec *k);

/* Room that the member of a block of n bytes may need. */
size_t codec_bound(const struct compression *c, size_t n);

/*
 * Compress n bytes to out, cap bytes, at least codec_bound(n). Returns the
 * member's size. Can't fail.
 */
size_t codec_run(struct codec *k, const void *in, size_t n, void *out,
		 size_t cap);

/*
 * What the bytes depend on: kind, level, block size, library, its version,
 * and a mark of what the library at hand makes of two samples, since a shared
 * library may be newer than the header that names its version. Takes the
 * time of compressing half a MiB.
 */
#define CODEC_ID_CAP 96
void codec_id(const struct compression *c, char ret[CODEC_ID_CAP]);

static inline void
codec_auto(struct codec **k)
{
	codec_free(*k);
}

#endif
