/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/digest.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* libcrypto fails here only when it can't allocate. */
static void
must(int ok)
{
	if (ok != 1)
		abort();
}

static EVP_MD *sha256;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void
fetch(void)
{
	sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	must(sha256 != NULL);
}

/* Looked up once: EVP_sha256() is looked up, under locks, at every use. */
static const EVP_MD *
algorithm(void)
{
	must(pthread_once(&once, fetch) == 0);
	return sha256;
}

void
digest_hex(const struct digest *d, char ret[DIGEST_HEX_CAP])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < DIGEST_SIZE; i++) {
		ret[2 * i] = digits[d->b[i] >> 4];
		ret[2 * i + 1] = digits[d->b[i] & 15];
	}
	ret[2 * DIGEST_SIZE] = '\0';
}

void
digest_text(const struct digest *d, char ret[DIGEST_TEXT_CAP])
{
	memcpy(ret, "sha256:", 7);
	digest_hex(d, ret + 7);
}

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

bool
digest_parse_hex(struct str s, struct digest *ret)
{
	struct digest d;

	if (s.n != (size_t)2 * DIGEST_SIZE)
		return false;
	for (size_t i = 0; i < DIGEST_SIZE; i++) {
		int hi = hex_value(s.p[2 * i]);
		int lo = hex_value(s.p[2 * i + 1]);

		if (hi < 0 || lo < 0)
			return false;
		d.b[i] = (unsigned char)(hi * 16 + lo);
	}
	*ret = d;
	return true;
}

bool
digest_parse(struct str s, struct digest *ret)
{
	if (s.n < 7 || memcmp(s.p, "sha256:", 7) != 0)
		return false;
	return digest_parse_hex((struct str){.p = s.p + 7, .n = s.n - 7}, ret);
}

bool
digest_eq(const struct digest *a, const struct digest *b)
{
	return memcmp(a->b, b->b, DIGEST_SIZE) == 0;
}

void
digest_of(const void *p, size_t n, struct digest *ret)
{
	must(EVP_Digest(p, n, ret->b, NULL, algorithm(), NULL));
}

void
hasher_init(struct hasher *h)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();

	must(ctx != NULL);
	must(EVP_DigestInit_ex(ctx, algorithm(), NULL));
	h->ctx = ctx;
}

void
hasher_release(struct hasher *h)
{
	EVP_MD_CTX_free(h->ctx);
	h->ctx = NULL;
}

void
hasher_add(struct hasher *h, const void *p, size_t n)
{
	must(EVP_DigestUpdate(h->ctx, p, n));
}

void
hasher_finish(struct hasher *h, struct digest *ret)
{
	must(EVP_DigestFinal_ex(h->ctx, ret->b, NULL));
	must(EVP_DigestInit_ex(h->ctx, algorithm(), NULL));
}

static void
add_length(struct hasher *h, uint64_t n)
{
	unsigned char le[8];

	for (size_t i = 0; i < sizeof(le); i++)
		le[i] = (unsigned char)(n >> (8 * i));
	hasher_add(h, le, sizeof(le));
}

void
hasher_field(struct hasher *h, const void *p, size_t n)
{
	add_length(h, n);
	hasher_add(h, p, n);
}

void
hasher_field_str(struct hasher *h, const char *s)
{
	if (s)
		hasher_field(h, s, strlen(s));
	else
		add_length(h, UINT64_MAX);
}

void
hasher_field_u64(struct hasher *h, uint64_t v)
{
	add_length(h, 8);
	add_length(h, v);
}
