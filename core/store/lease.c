/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/lease.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/store/cloud.h"
#include "core/sys/http.h"

/* It is renewed so long before it ends, or after half of a short life. */
#define RENEW_S 300u

struct lease {
	const struct lease_ops *ops;
	void *ctx;
	uint64_t quiet_ms;
	uint64_t quiet_max_ms;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t answered;
	bool asking;
	void *value; /* NULL: none */
	uint64_t renew_at;
	uint64_t ends_at;
	uint64_t quiet_until;
	unsigned failures; /* in a row */
	unsigned generation;
	struct err failure;
};

struct lease *
lease_new(const struct lease_ops *ops, void *ctx, uint64_t quiet_ms,
	  uint64_t quiet_max_ms)
{
	struct lease *l = xcalloc(1, sizeof(*l));

	l->ops = ops;
	l->ctx = ctx;
	l->quiet_ms = quiet_ms > 0 ? quiet_ms : 1;
	l->quiet_max_ms = quiet_max_ms;
	(void)pthread_mutex_init(&l->lock, NULL);
	(void)pthread_cond_init(&l->answered, NULL);
	return l;
}

static void
forget(struct lease *l)
{
	if (l->value)
		l->ops->free_value(l->value);
	l->value = NULL;
}

void
lease_free(struct lease *l)
{
	if (!l)
		return;
	forget(l);
	(void)pthread_cond_destroy(&l->answered);
	(void)pthread_mutex_destroy(&l->lock);
	free(l);
}

static bool
is_good(const struct lease *l)
{
	return l->value && cloud_now_ms() < l->ends_at;
}

static uint64_t
backoff(struct lease *l)
{
	uint64_t ms = l->failures < 20 ? l->quiet_ms << l->failures++
				       : l->quiet_max_ms;

	return ms < l->quiet_max_ms ? ms : l->quiet_max_ms;
}

/* The lock is held, but not while we ask. */
static void
renew(struct lease *l)
{
	struct lease_answer a = {.value = NULL};
	struct err e = ERR_INIT;
	uint64_t early;
	int r;

	l->asking = true;
	(void)pthread_mutex_unlock(&l->lock);
	r = l->ops->ask(l->ctx, &a, &e);
	(void)pthread_mutex_lock(&l->lock);
	l->asking = false;
	(void)pthread_cond_broadcast(&l->answered);
	if (r < 0) {
		l->failure = e;
		l->quiet_until =
			cloud_now_ms() + (a.quiet_ms ? a.quiet_ms : backoff(l));
		return;
	}
	l->failures = 0;
	forget(l);
	l->value = a.value;
	l->generation++;
	early = a.life_s > 2 * RENEW_S ? RENEW_S * 1000 : a.life_s * 500;
	l->ends_at = cloud_now_ms() + a.life_s * 1000;
	l->renew_at = l->ends_at - early;
}

int
lease_use(struct lease *l, lease_use_fn *use, void *arg, struct err *e)
{
	uint64_t now;
	int r = -1;

	(void)pthread_mutex_lock(&l->lock);
	while (!is_good(l) && l->asking)
		(void)pthread_cond_wait(&l->answered, &l->lock);
	if ((!is_good(l) || cloud_now_ms() >= l->renew_at) && !l->asking &&
	    cloud_now_ms() >= l->quiet_until)
		renew(l);
	/* One that could not be renewed may be good still. */
	now = cloud_now_ms();
	if (l->value && now < l->ends_at) {
		use(arg, l->value, l->ends_at - now);
		r = 0;
	} else {
		*e = l->failure;
	}
	(void)pthread_mutex_unlock(&l->lock);
	return r;
}

void
lease_wait(struct lease *l)
{
	uint64_t until, now = cloud_now_ms();

	(void)pthread_mutex_lock(&l->lock);
	until = l->quiet_until;
	(void)pthread_mutex_unlock(&l->lock);
	if (now < until)
		http_sleep(until - now);
}

void
lease_drop(struct lease *l)
{
	(void)pthread_mutex_lock(&l->lock);
	forget(l);
	(void)pthread_mutex_unlock(&l->lock);
}

unsigned
lease_generation(struct lease *l)
{
	unsigned n;

	(void)pthread_mutex_lock(&l->lock);
	n = l->generation;
	(void)pthread_mutex_unlock(&l->lock);
	return n;
}
