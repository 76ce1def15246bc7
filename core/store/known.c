/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chains in a table of fixed size. Digests are as good as random, and those
 * that get here are of blobs that exist: no hash beside their first bytes.
 */
#include "core/store/known.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/digest.h"
#include "core/base/mem.h"

#define SLOTS 65536u
#define ENTRIES_MAX 100000u
#define BYTES_MAX (64u << 20) /* of blobs, all in all */
#define BLOB_MAX (1u << 20)   /* of one */

struct entry {
	struct entry *next;
	struct digest digest;
	uint64_t size;
	uint64_t seen;
	char *url; /* NULL: none */
	uint64_t url_until;
	unsigned url_generation;
	void *bytes; /* of size; NULL: not kept */
};

struct known {
	pthread_mutex_t lock;
	struct entry *slots[SLOTS];
	size_t n;
	size_t bytes;
};

struct known *
known_new(void)
{
	struct known *k = xcalloc(1, sizeof(*k));

	(void)pthread_mutex_init(&k->lock, NULL);
	return k;
}

static struct entry **
slot_of(struct known *k, const struct digest *d)
{
	size_t i = (size_t)d->b[0] << 8 | d->b[1];
	struct entry **at = &k->slots[i % SLOTS];

	while (*at && !digest_eq(&(*at)->digest, d))
		at = &(*at)->next;
	return at;
}

static void
drop(struct known *k, struct entry **at)
{
	struct entry *x = *at;

	*at = x->next;
	if (x->bytes)
		k->bytes -= (size_t)x->size;
	k->n--;
	free(x->url);
	free(x->bytes);
	free(x);
}

static void
drop_all(struct known *k)
{
	for (size_t i = 0; i < SLOTS; i++)
		while (k->slots[i])
			drop(k, &k->slots[i]);
}

void
known_free(struct known *k)
{
	drop_all(k);
	(void)pthread_mutex_destroy(&k->lock);
	free(k);
}

void
known_put(struct known *k, const struct digest *d, uint64_t size, uint64_t now)
{
	struct entry **at;

	(void)pthread_mutex_lock(&k->lock);
	at = slot_of(k, d);
	if (*at && (*at)->size != size)
		drop(k, at);
	if (!*at) {
		struct entry *x;

		if (k->n >= ENTRIES_MAX) {
			drop_all(k);
			at = slot_of(k, d);
		}
		x = xcalloc(1, sizeof(*x));
		x->digest = *d;
		x->size = size;
		x->next = *at;
		*at = x;
		k->n++;
	}
	(*at)->seen = now;
	(void)pthread_mutex_unlock(&k->lock);
}

bool
known_get(struct known *k, const struct digest *d, uint64_t *ret_size,
	  uint64_t *ret_seen)
{
	const struct entry *x;

	(void)pthread_mutex_lock(&k->lock);
	x = *slot_of(k, d);
	if (x) {
		*ret_size = x->size;
		*ret_seen = x->seen;
	}
	(void)pthread_mutex_unlock(&k->lock);
	return x != NULL;
}

void
known_forget(struct known *k, const struct digest *d)
{
	struct entry **at;

	(void)pthread_mutex_lock(&k->lock);
	at = slot_of(k, d);
	if (*at)
		drop(k, at);
	(void)pthread_mutex_unlock(&k->lock);
}

void
known_put_url(struct known *k, const struct digest *d, const char *url,
	      uint64_t until, unsigned generation)
{
	struct entry *x;

	(void)pthread_mutex_lock(&k->lock);
	x = *slot_of(k, d);
	if (x) {
		free(x->url);
		x->url = xstrdup(url);
		x->url_until = until;
		x->url_generation = generation;
	}
	(void)pthread_mutex_unlock(&k->lock);
}

bool
known_get_url(struct known *k, const struct digest *d, uint64_t now,
	      unsigned generation, struct buf *ret)
{
	const struct entry *x;
	bool good;

	(void)pthread_mutex_lock(&k->lock);
	x = *slot_of(k, d);
	good = x && x->url && now < x->url_until &&
	       x->url_generation == generation;
	if (good)
		buf_adds(ret, x->url);
	(void)pthread_mutex_unlock(&k->lock);
	return good;
}

void
known_put_bytes(struct known *k, const struct digest *d, const void *p,
		size_t n)
{
	struct entry *x;

	if (n > BLOB_MAX)
		return;
	(void)pthread_mutex_lock(&k->lock);
	if (k->bytes + n > BYTES_MAX)
		drop_all(k);
	x = *slot_of(k, d);
	if (x && x->size == n && !x->bytes) {
		x->bytes = xmalloc(n);
		if (n > 0)
			memcpy(x->bytes, p, n);
		k->bytes += n;
	}
	(void)pthread_mutex_unlock(&k->lock);
}

bool
known_get_bytes(struct known *k, const struct digest *d, struct buf *to)
{
	const struct entry *x;
	bool there;

	(void)pthread_mutex_lock(&k->lock);
	x = *slot_of(k, d);
	there = x && x->bytes;
	if (there)
		buf_add(to, x->bytes, (size_t)x->size);
	(void)pthread_mutex_unlock(&k->lock);
	return there;
}
