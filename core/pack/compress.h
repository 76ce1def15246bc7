/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_PACK_COMPRESS_H
#define FIRN_PACK_COMPRESS_H

/*
 * Blocks of bytes to members: gzip members (RFC 1952, 2.2) by libdeflate, or
 * zstd frames (RFC 8878, 3.1). Any number of members, one after the other,
 * are one stream to every reader. A member's bytes depend on its block, the
 * kind and the level alone.
 */
#include <stddef.h>

#include "core/base/attr.h"
#include "core/model/compression.h"

struct codec;

/* Bytes of a full block. */
#define CODEC_BLOCK ((size_t)1 << 20)

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
 * and a mark of what the library at hand makes of a sample, since a shared
 * library may be newer than the header that names its version.
 */
#define CODEC_ID_CAP 96
void codec_id(const struct compression *c, char ret[CODEC_ID_CAP]);

static inline void
codec_auto(struct codec **k)
{
	codec_free(*k);
}

#endif
