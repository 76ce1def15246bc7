/* SPDX-License-Identifier: Apache-2.0 */
#include "core/pack/compress.h"

#include <dlfcn.h>
#include <libdeflate.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "core/base/attr.h"
#include "core/base/mem.h"
#include "tests/support/tap.h"

static size_t
allocated(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

/* Some that repeats, some that doesn't. */
static void
fill(unsigned char *p, size_t n)
{
	uint32_t x = 1;

	for (size_t i = 0; i < n; i++) {
		x = x * 1664525u + 1013904223u;
		p[i] = i > 5000 && (i & 64) ? p[i - 4093]
					    : (unsigned char)(x >> 24);
	}
}

/* The pool's limits are made of what codec_memory says. */
static void
test_memory(const struct compression *c)
{
	size_t n = codec_block(c), cap = codec_bound(c, n), before, used;
	AUTO(mem) unsigned char *in = xmalloc(n);
	AUTO(mem) unsigned char *out = xmalloc(cap);
	struct codec *k;

	fill(in, n);
	before = allocated();
	k = codec_new(c);
	(void)codec_run(k, in, n, out, cap);
	(void)codec_run(k, in, CODEC_SHORT - 1, out, cap);
	used = allocated() - before;
	codec_free(k);
	if (before == 0)
		skip("memory of a codec", "the allocator doesn't tell");
	else
		ok(used > 0 && used <= codec_memory(c),
		   "%s:%d has %zu of at most %zu KiB for itself",
		   compression_name(c->kind), c->level, used >> 10,
		   codec_memory(c) >> 10);
}

/*
 * Libraries of another version, as it were: one byte of the members of blocks
 * of at least so much, or of less, is not what it was.
 */
static size_t changed_from = SIZE_MAX, changed_to = SIZE_MAX;

static void
change(unsigned char *out, size_t in_n)
{
	if (in_n >= changed_from && in_n < changed_to)
		out[20] ^= 1;
}

size_t
libdeflate_gzip_compress(struct libdeflate_compressor *c, const void *in,
			 size_t n, void *out, size_t cap)
{
	__typeof__(libdeflate_gzip_compress) *real;
	size_t got;

	*(void **)&real = dlsym(RTLD_NEXT, "libdeflate_gzip_compress");
	got = real(c, in, n, out, cap);
	change(out, n);
	return got;
}

size_t
ZSTD_compress2(ZSTD_CCtx *c, void *out, size_t cap, const void *in, size_t n)
{
	__typeof__(ZSTD_compress2) *real;
	size_t got;

	*(void **)&real = dlsym(RTLD_NEXT, "ZSTD_compress2");
	got = real(c, out, cap, in, n);
	change(out, n);
	return got;
}

static void
test_id(const struct compression *c)
{
	char want[CODEC_ID_CAP], same[CODEC_ID_CAP], other[CODEC_ID_CAP];

	codec_id(c, want);
	codec_id(c, same);
	is_str(same, want, "the same library, the same id");
	changed_from = CODEC_SHORT;
	codec_id(c, other);
	ok(strcmp(other, want) != 0, "%s: other bytes for a long block",
	   compression_name(c->kind));
	changed_from = 0;
	changed_to = CODEC_SHORT;
	codec_id(c, other);
	ok(strcmp(other, want) != 0, "%s: other bytes for a short block",
	   compression_name(c->kind));
	changed_from = changed_to = SIZE_MAX;
}

int
main(void)
{
	static const struct compression kinds[] = {
		{COMPRESSION_GZIP, 1},  {COMPRESSION_GZIP, 8},
		{COMPRESSION_GZIP, 9},  {COMPRESSION_GZIP, 10},
		{COMPRESSION_GZIP, 12}, {COMPRESSION_ZSTD, 1},
		{COMPRESSION_ZSTD, 3},  {COMPRESSION_ZSTD, 4},
		{COMPRESSION_ZSTD, 8},  {COMPRESSION_ZSTD, 9},
		{COMPRESSION_ZSTD, 12}, {COMPRESSION_ZSTD, 13},
		{COMPRESSION_ZSTD, 19},
	};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		test_memory(&kinds[i]);
	test_id(&(struct compression){COMPRESSION_GZIP, 1});
	test_id(&(struct compression){COMPRESSION_ZSTD, 3});
	return done_testing();
}
