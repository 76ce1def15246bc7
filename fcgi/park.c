/* SPDX-License-Identifier: Apache-2.0 */
#include "fcgi/park.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/mem.h"

struct park {
	struct park_options o;
	int wake_fd;
	atomic_bool closing;
	struct pollfd *fds; /* the watching thread's: wake_fd, then theirs */

	pthread_mutex_t lock; /* of what follows */
	struct parked *list;  /* only the watching thread takes off it */
	size_t n;
	bool closed;
};

int
park_new(const struct park_options *o, struct park **ret, struct err *e)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct park *k;

	if (fd < 0)
		return err_set_errno(e, ERR_SYSTEM, errno, "make an eventfd");
	k = xcalloc(1, sizeof(*k));
	k->o = *o;
	k->wake_fd = fd;
	k->fds = xcalloc(o->max + 1, sizeof(*k->fds));
	(void)pthread_mutex_init(&k->lock, NULL);
	*ret = k;
	return 0;
}

void
park_free(struct park *k)
{
	if (!k)
		return;
	(void)close(k->wake_fd);
	(void)pthread_mutex_destroy(&k->lock);
	free(k->fds);
	free(k);
}

enum park_result
park_add(struct park *k, struct parked *p)
{
	enum park_result ret = PARK_DONE;

	p->poll = NULL;
	(void)pthread_mutex_lock(&k->lock);
	if (k->closed) {
		ret = PARK_CLOSED;
	} else if (k->n >= k->o.max) {
		ret = PARK_FULL;
	} else {
		p->next = k->list;
		k->list = p;
		k->n++;
	}
	(void)pthread_mutex_unlock(&k->lock);
	if (ret == PARK_DONE)
		park_wake(k);
	return ret;
}

void
park_wake(struct park *k)
{
	const uint64_t one = 1;

	(void)!write(k->wake_fd, &one, sizeof(one));
}

void
park_close(struct park *k)
{
	atomic_store(&k->closing, true);
	park_wake(k);
}

size_t
park_count(struct park *k)
{
	size_t n;

	(void)pthread_mutex_lock(&k->lock);
	n = k->n;
	(void)pthread_mutex_unlock(&k->lock);
	return n;
}

/* Move what *at points to onto another list. The lock is held. */
static void
move(struct park *k, struct parked **at, struct parked **to)
{
	struct parked *p = *at;

	*at = p->next;
	p->next = *to;
	*to = p;
	k->n--;
}

static void
give_back(struct park *k, struct parked *list, enum wake why)
{
	while (list) {
		struct parked *p = list;

		list = p->next;
		k->o.back(k->o.ctx, p, why);
	}
}

/*
 * Give back whose wait is over, and list the rest to be watched. Returns
 * when the next deadline is.
 */
static uint64_t
sweep(struct park *k, size_t *ret_n)
{
	uint64_t now = exchange_now_ms(), next = UINT64_MAX;
	struct parked *ready = NULL, *late = NULL, **at;

	(void)pthread_mutex_lock(&k->lock);
	at = &k->list;
	while (*at) {
		struct parked *p = *at;

		if (k->o.ready(k->o.ctx, p->x)) {
			move(k, at, &ready);
			continue;
		}
		if (p->x->deadline_ms <= now) {
			move(k, at, &late);
			continue;
		}
		if (p->x->deadline_ms < next)
			next = p->x->deadline_ms;
		p->poll = &k->fds[(*ret_n)++];
		*p->poll = (struct pollfd){.fd = p->fd, .events = POLLRDHUP};
		at = &p->next;
	}
	(void)pthread_mutex_unlock(&k->lock);
	give_back(k, ready, WAKE_READY);
	give_back(k, late, WAKE_DEADLINE);
	return next;
}

/* Let go of those whose client has left. */
static void
drop_left(struct park *k)
{
	struct parked *gone = NULL, **at;

	(void)pthread_mutex_lock(&k->lock);
	at = &k->list;
	while (*at) {
		/* Who came after the sweep has no poll yet. */
		if ((*at)->poll && (*at)->poll->revents) {
			move(k, at, &gone);
			continue;
		}
		(*at)->poll = NULL;
		at = &(*at)->next;
	}
	(void)pthread_mutex_unlock(&k->lock);
	while (gone) {
		struct parked *p = gone;

		gone = p->next;
		k->o.left(k->o.ctx, p);
	}
}

static int
timeout_until(uint64_t next)
{
	uint64_t now = exchange_now_ms();

	if (next == UINT64_MAX)
		return -1;
	if (next <= now)
		return 0;
	return next - now > INT32_MAX ? INT32_MAX : (int)(next - now);
}

void
park_run(struct park *k)
{
	struct parked *all;
	uint64_t drained;

	while (!atomic_load(&k->closing)) {
		size_t n = 1;
		uint64_t next = sweep(k, &n);

		k->fds[0] = (struct pollfd){.fd = k->wake_fd, .events = POLLIN};
		(void)poll(k->fds, n, timeout_until(next));
		if (k->fds[0].revents)
			(void)!read(k->wake_fd, &drained, sizeof(drained));
		drop_left(k);
	}
	(void)pthread_mutex_lock(&k->lock);
	k->closed = true;
	all = k->list;
	k->list = NULL;
	k->n = 0;
	(void)pthread_mutex_unlock(&k->lock);
	give_back(k, all, WAKE_SHUTDOWN);
}
