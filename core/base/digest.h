/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_BASE_DIGEST_H
#define FIRN_BASE_DIGEST_H

/*
 * SHA-256, digests as the OCI image specification writes them
 * ("sha256:" and 64 lower-case hex digits; descriptor.md, "Digests"), and
 * the unambiguous encoding under cache keys.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/buf.h"

#define DIGEST_SIZE 32
#define DIGEST_HEX_CAP (2 * DIGEST_SIZE + 1)
#define DIGEST_TEXT_CAP (7 + DIGEST_HEX_CAP)

struct digest {
	unsigned char b[DIGEST_SIZE];
};

/* Hex digits alone, and with the "sha256:" prefix; both NUL-terminated. */
void digest_hex(const struct digest *d, char ret[DIGEST_HEX_CAP]);
void digest_text(const struct digest *d, char ret[DIGEST_TEXT_CAP]);

/* Strict: lower-case hex of the right length. False otherwise. */
MUST_CHECK bool digest_parse_hex(struct str s, struct digest *ret);
MUST_CHECK bool digest_parse(struct str s, struct digest *ret);

bool digest_eq(const struct digest *a, const struct digest *b);

/* The digest of n bytes. */
void digest_of(const void *p, size_t n, struct digest *ret);

/*
 * Incremental hashing: hasher_init, any number of hasher_add*, then
 * hasher_finish, which leaves it ready for the next message. Not shared
 * between threads.
 */
struct hasher {
	void *ctx;
};

void hasher_init(struct hasher *h);
void hasher_release(struct hasher *h);
void hasher_add(struct hasher *h, const void *p, size_t n);
void hasher_finish(struct hasher *h, struct digest *ret);

/*
 * Fields of a key: each is preceded by its length as eight little-endian
 * bytes, so that no two lists of fields encode alike. NULL differs from "".
 */
void hasher_field(struct hasher *h, const void *p, size_t n);
void hasher_field_str(struct hasher *h, const char *s);
void hasher_field_u64(struct hasher *h, uint64_t v);

static inline void
hasher_auto(struct hasher *h)
{
	hasher_release(h);
}

#endif
