/* SPDX-License-Identifier: Apache-2.0 */
#include "core/failures.h"

#include <pthread.h>
#include <stdlib.h>

#include "core/base/digest.h"
#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/sys/clock.h"

struct failure {
	struct digest key;
	uint64_t until; /* 0: nothing is here */
	struct err error;
};

struct failures {
	uint64_t ms;
	size_t n;
	pthread_mutex_t lock; /* of the slots */
	struct failure *slots;
};

struct failures *
failures_new(size_t slots, uint64_t ms)
{
	struct failures *f = xcalloc(1, sizeof(*f));

	f->ms = ms;
	f->n = slots;
	f->slots = xcalloc(slots, sizeof(*f->slots));
	(void)pthread_mutex_init(&f->lock, NULL);
	return f;
}

void
failures_free(struct failures *f)
{
	if (!f)
		return;
	(void)pthread_mutex_destroy(&f->lock);
	free(f->slots);
	free(f);
}

/* Digests are evenly spread by themselves. */
static struct failure *
slot_of(struct failures *f, const struct digest *key)
{
	return &f->slots[((size_t)key->b[0] << 8 | key->b[1]) % f->n];
}

bool
failures_find(struct failures *f, const struct digest *key, struct err *ret)
{
	const struct failure *s = slot_of(f, key);
	bool found;

	(void)pthread_mutex_lock(&f->lock);
	found = s->until > clock_ms() && digest_eq(&s->key, key);
	if (found)
		*ret = s->error;
	(void)pthread_mutex_unlock(&f->lock);
	return found;
}

void
failures_note(struct failures *f, const struct digest *key, const struct err *e)
{
	struct failure *s = slot_of(f, key);

	(void)pthread_mutex_lock(&f->lock);
	s->key = *key;
	s->error = *e;
	s->until = clock_ms() + f->ms;
	(void)pthread_mutex_unlock(&f->lock);
}

void
failures_forget(struct failures *f, const struct digest *key)
{
	struct failure *s = slot_of(f, key);

	(void)pthread_mutex_lock(&f->lock);
	if (digest_eq(&s->key, key))
		s->until = 0;
	(void)pthread_mutex_unlock(&f->lock);
}
