/* SPDX-License-Identifier: Apache-2.0 */
#include "core/recent.h"

#include <pthread.h>
#include <stdlib.h>

#include "core/base/digest.h"
#include "core/base/mem.h"
#include "core/sys/clock.h"

#define SLOTS 1024u

struct recent {
	uint64_t ms;
	pthread_mutex_t lock; /* of what follows */
	struct {
		struct digest digest;
		uint64_t until; /* 0: nothing is here */
	} slots[SLOTS];
};

/* Digests are evenly spread by themselves. */
static size_t
slot_of(const struct digest *d)
{
	return ((size_t)d->b[0] << 8 | d->b[1]) % SLOTS;
}

struct recent *
recent_new(uint64_t ms)
{
	struct recent *r = xcalloc(1, sizeof(*r));

	r->ms = ms;
	(void)pthread_mutex_init(&r->lock, NULL);
	return r;
}

void
recent_free(struct recent *r)
{
	if (!r)
		return;
	(void)pthread_mutex_destroy(&r->lock);
	free(r);
}

bool
recent_has(struct recent *r, const struct digest *d)
{
	size_t i = slot_of(d);
	bool has;

	if (!r)
		return false;
	(void)pthread_mutex_lock(&r->lock);
	has = r->slots[i].until > clock_ms() &&
	      digest_eq(&r->slots[i].digest, d);
	(void)pthread_mutex_unlock(&r->lock);
	return has;
}

void
recent_note(struct recent *r, const struct digest *d)
{
	size_t i = slot_of(d);

	if (!r)
		return;
	(void)pthread_mutex_lock(&r->lock);
	r->slots[i].digest = *d;
	r->slots[i].until = clock_ms() + r->ms;
	(void)pthread_mutex_unlock(&r->lock);
}
