/* SPDX-License-Identifier: Apache-2.0 */
#include "core/flight.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/mem.h"

struct flight {
	struct flights *table;
	struct flight *next;
	struct digest key;
	unsigned refs;
	bool landed;
	struct err error;
	unsigned char result[FLIGHT_RESULT_MAX];
};

/*
 * A list is enough: it is as long as there are pieces of work under way,
 * which is bounded by the number of threads that do any.
 */
struct flights {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct flight *in_air;
};

struct flights *
flights_new(void)
{
	struct flights *t = xcalloc(1, sizeof(*t));

	(void)pthread_mutex_init(&t->lock, NULL);
	(void)pthread_cond_init(&t->changed, NULL);
	return t;
}

void
flights_free(struct flights *t)
{
	if (!t)
		return;
	assert(!t->in_air);
	(void)pthread_mutex_destroy(&t->lock);
	(void)pthread_cond_destroy(&t->changed);
	free(t);
}

struct flight *
flight_join(struct flights *t, const struct digest *key, bool *ret_first)
{
	struct flight *f;

	(void)pthread_mutex_lock(&t->lock);
	for (f = t->in_air; f; f = f->next)
		if (digest_eq(&f->key, key))
			break;
	*ret_first = !f;
	if (!f) {
		f = xcalloc(1, sizeof(*f));
		f->table = t;
		f->key = *key;
		f->next = t->in_air;
		t->in_air = f;
	}
	f->refs++;
	(void)pthread_mutex_unlock(&t->lock);
	return f;
}

void
flight_land(struct flight *f, const void *result, size_t n,
	    const struct err *error)
{
	struct flights *t = f->table;
	struct flight **at;

	assert(n <= sizeof(f->result));
	(void)pthread_mutex_lock(&t->lock);
	assert(!f->landed);
	if (error)
		f->error = *error;
	else
		memcpy(f->result, result, n);
	f->landed = true;
	for (at = &t->in_air; *at != f; at = &(*at)->next)
		continue;
	*at = f->next;
	(void)pthread_cond_broadcast(&t->changed);
	(void)pthread_mutex_unlock(&t->lock);
}

int
flight_wait(struct flight *f, void *ret, size_t n, struct err *e)
{
	struct flights *t = f->table;

	assert(n <= sizeof(f->result));
	(void)pthread_mutex_lock(&t->lock);
	while (!f->landed)
		(void)pthread_cond_wait(&t->changed, &t->lock);
	(void)pthread_mutex_unlock(&t->lock);
	/* What has landed never changes again. */
	if (f->error.kind != ERR_NONE) {
		*e = f->error;
		return -1;
	}
	memcpy(ret, f->result, n);
	return 0;
}

void
flight_release(struct flight *take_f)
{
	struct flights *t = take_f->table;
	bool last;

	(void)pthread_mutex_lock(&t->lock);
	last = --take_f->refs == 0;
	assert(!last || take_f->landed);
	(void)pthread_mutex_unlock(&t->lock);
	if (last)
		free(take_f);
}
