/* SPDX-License-Identifier: Apache-2.0 */
#include "core/pack/compress.h"

#include <libdeflate.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <zstd.h>

#include "core/base/digest.h"
#include "core/base/mem.h"

struct codec {
	struct compression c;
	struct libdeflate_compressor *gzip; /* one is set, as c.kind says */
	ZSTD_CCtx *zstd;
};

/* Both libraries fail here only when they can't allocate. */
static void
must(bool good)
{
	if (!good)
		abort();
}

static void
set_zstd(ZSTD_CCtx *z, ZSTD_cParameter p, int v)
{
	must(!ZSTD_isError(ZSTD_CCtx_setParameter(z, p, v)));
}

struct codec *
codec_new(const struct compression *c)
{
	struct codec *k = xcalloc(1, sizeof(*k));

	k->c = *c;
	switch (c->kind) {
	case COMPRESSION_GZIP:
		k->gzip = libdeflate_alloc_compressor(c->level);
		must(k->gzip != NULL);
		break;
	case COMPRESSION_ZSTD:
		k->zstd = ZSTD_createCCtx();
		must(k->zstd != NULL);
		set_zstd(k->zstd, ZSTD_c_compressionLevel, c->level);
		set_zstd(k->zstd, ZSTD_c_contentSizeFlag, 1);
		/* The registry's digest covers it. */
		set_zstd(k->zstd, ZSTD_c_checksumFlag, 0);
		break;
	}
	return k;
}

void
codec_free(struct codec *k)
{
	if (!k)
		return;
	libdeflate_free_compressor(k->gzip);
	(void)ZSTD_freeCCtx(k->zstd);
	free(k);
}

size_t
codec_bound(const struct compression *c, size_t n)
{
	switch (c->kind) {
	case COMPRESSION_GZIP:
		return libdeflate_gzip_compress_bound(NULL, n);
	case COMPRESSION_ZSTD:
		return ZSTD_compressBound(n);
	}
	return 0;
}

size_t
codec_run(struct codec *k, const void *in, size_t n, void *out, size_t cap)
{
	size_t got = 0;

	switch (k->c.kind) {
	case COMPRESSION_GZIP:
		got = libdeflate_gzip_compress(k->gzip, in, n, out, cap);
		must(got > 0);
		break;
	case COMPRESSION_ZSTD:
		got = ZSTD_compress2(k->zstd, out, cap, in, n);
		must(!ZSTD_isError(got));
		break;
	}
	return got;
}

/* Some that repeats, some that nearly does, some that doesn't. */
static void
fill_sample(unsigned char *p, size_t n)
{
	uint32_t x = 1;

	for (size_t i = 0; i < n; i++) {
		x = x * 1664525u + 1013904223u;
		if (i >= 64 && (x >> 29) != 0)
			p[i] = p[i - 1 - ((i >> 6) & 31)];
		else
			p[i] = (unsigned char)(x >> 24);
	}
}

void
codec_id(const struct compression *c, char ret[CODEC_ID_CAP])
{
	unsigned char sample[8192];
	AUTO(codec) struct codec *k = codec_new(c);
	size_t cap = codec_bound(c, sizeof(sample));
	AUTO(mem) unsigned char *out = xmalloc(cap);
	char hex[DIGEST_HEX_CAP];
	struct digest d;

	fill_sample(sample, sizeof(sample));
	digest_of(out, codec_run(k, sample, sizeof(sample), out, cap), &d);
	digest_hex(&d, hex);
	(void)snprintf(ret, CODEC_ID_CAP, "%s:%d/%zu/%s/%.16s",
		       compression_name(c->kind), c->level, CODEC_BLOCK,
		       c->kind == COMPRESSION_GZIP
			       ? "libdeflate-" LIBDEFLATE_VERSION_STRING
			       : "libzstd-" ZSTD_VERSION_STRING,
		       hex);
}
