/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_STORE_KNOWN_H
#define FIRN_STORE_KNOWN_H

/*
 * What a process remembers of blobs in a cloud: that they were there, a URL
 * that is good still, and the bytes of small ones. Bounded: what is too much
 * is forgotten. Any thread.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct digest;
struct known;

struct known *known_new(void);
void known_free(struct known *k);

/* The blob was seen at this time, with this size; times as the caller likes. */
void known_put(struct known *k, const struct digest *d, uint64_t size,
	       uint64_t now);
/* When it was seen last; false: never. */
bool known_get(struct known *k, const struct digest *d, uint64_t *ret_size,
	       uint64_t *ret_seen);
void known_forget(struct known *k, const struct digest *d);

/*
 * A URL until a time, for a blob that is known; it is copied. One of another
 * generation is none any more.
 */
void known_put_url(struct known *k, const struct digest *d, const char *url,
		   uint64_t until, unsigned generation);
bool known_get_url(struct known *k, const struct digest *d, uint64_t now,
		   unsigned generation, struct buf *ret);

/* The bytes of a blob that is known, already checked. */
void known_put_bytes(struct known *k, const struct digest *d, const void *p,
		     size_t n);
bool known_get_bytes(struct known *k, const struct digest *d, struct buf *to);

#endif
