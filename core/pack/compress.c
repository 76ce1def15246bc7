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

/* The last of libdeflate's levels that is made by its lean compressors. */
#define GZIP_LEAN_MAX 9

struct codec {
	struct compression c;
	/* As c.kind says; each made when a block needs it. */
	struct libdeflate_compressor *gzip, *gzip_short;
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
	return k;
}

void
codec_free(struct codec *k)
{
	if (!k)
		return;
	libdeflate_free_compressor(k->gzip);
	libdeflate_free_compressor(k->gzip_short);
	(void)ZSTD_freeCCtx(k->zstd);
	free(k);
}

size_t
codec_block(const struct compression *c)
{
	return (c->kind == COMPRESSION_ZSTD ? (size_t)2 : (size_t)1) << 20;
}

/* As libdeflate 1.14 and libzstd 1.5.4 need; test_compress compares. */
size_t
codec_memory(const struct compression *c)
{
	static const struct {
		int level; /* the last that it holds for */
		size_t mib;
	} zstd[] = {{3, 2}, {8, 7}, {9, 13}, {12, 25}};

	if (c->kind == COMPRESSION_GZIP)
		return (c->level <= GZIP_LEAN_MAX ? (size_t)3 : (size_t)18)
		       << 19;
	for (size_t i = 0; i < ARRAY_LEN(zstd); i++) {
		if (c->level <= zstd[i].level)
			return zstd[i].mib << 20;
	}
	return (size_t)34 << 20;
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

static size_t
run_gzip(struct codec *k, const void *in, size_t n, void *out, size_t cap)
{
	bool is_short = n < CODEC_SHORT && k->c.level < GZIP_LEAN_MAX;
	struct libdeflate_compressor **z = is_short ? &k->gzip_short : &k->gzip;
	size_t got;

	if (!*z)
		*z = libdeflate_alloc_compressor(k->c.level + is_short);
	must(*z != NULL);
	got = libdeflate_gzip_compress(*z, in, n, out, cap);
	must(got > 0);
	return got;
}

static size_t
run_zstd(struct codec *k, const void *in, size_t n, void *out, size_t cap)
{
	size_t got;

	if (!k->zstd) {
		k->zstd = ZSTD_createCCtx();
		must(k->zstd != NULL);
		set_zstd(k->zstd, ZSTD_c_compressionLevel, k->c.level);
		if (k->c.level == 1)
			set_zstd(k->zstd, ZSTD_c_minMatch, 6);
		set_zstd(k->zstd, ZSTD_c_contentSizeFlag, 1);
		/* The registry's digest covers the contents. */
		set_zstd(k->zstd, ZSTD_c_checksumFlag, 0);
	}
	got = ZSTD_compress2(k->zstd, out, cap, in, n);
	must(!ZSTD_isError(got));
	return got;
}

size_t
codec_run(struct codec *k, const void *in, size_t n, void *out, size_t cap)
{
	switch (k->c.kind) {
	case COMPRESSION_GZIP:
		return run_gzip(k, in, n, out, cap);
	case COMPRESSION_ZSTD:
		return run_zstd(k, in, n, out, cap);
	}
	return 0;
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

/*
 * Digits that stand for what the library makes of a short block and of a long
 * one: it has levels and tables of its own for either.
 */
static void
make_mark(const struct compression *c, char ret[DIGEST_HEX_CAP])
{
	static const size_t sizes[] = {8192, CODEC_SHORT};
	AUTO(codec) struct codec *k = codec_new(c);
	AUTO(mem) unsigned char *sample = xmalloc(CODEC_SHORT);
	size_t cap = codec_bound(c, CODEC_SHORT);
	AUTO(mem) unsigned char *out = xmalloc(cap);
	AUTO(hasher) struct hasher h;
	struct digest d;

	fill_sample(sample, CODEC_SHORT);
	hasher_init(&h);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
		hasher_add(&h, out, codec_run(k, sample, sizes[i], out, cap));
	hasher_finish(&h, &d);
	digest_hex(&d, ret);
}

void
codec_id(const struct compression *c, char ret[CODEC_ID_CAP])
{
	bool zstd = c->kind == COMPRESSION_ZSTD;
	char mark[DIGEST_HEX_CAP];

	make_mark(c, mark);
	(void)snprintf(ret, CODEC_ID_CAP, "%s:%d/%zu/%s-%s/%.16s",
		       compression_name(c->kind), c->level, codec_block(c),
		       zstd ? "libzstd" : "libdeflate",
		       zstd ? ZSTD_versionString() : LIBDEFLATE_VERSION_STRING,
		       mark);
}
