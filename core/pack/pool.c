/* SPDX-License-Identifier: Apache-2.0 */
#include "core/pack/pool.h"

#include <signal.h>
#include <stdlib.h>

#include "core/base/attr.h"
#include "core/base/digest.h"
#include "core/base/mem.h"
#include "core/pack/compress.h"
#include "core/pack/members.h"

struct pack_pool {
	pthread_mutex_t mutex; /* over everything here and in the lanes */
	pthread_cond_t work;   /* a job, or the end */
	pthread_cond_t room;   /* a block is free, or a lane failed */

	struct block *jobs_head; /* oldest first */
	struct block *jobs_tail;
	struct block *free;
	unsigned n_blocks; /* made so far */
	unsigned max_blocks;
	unsigned max_lane; /* of them, in one lane */
	bool stop;

	struct members *members; /* or NULL */
	pthread_t *threads;
	unsigned n_threads;
};

struct lane {
	struct pack_pool *p;
	struct compression c;
	char id[CODEC_ID_CAP]; /* for the members' keys */
	pthread_cond_t ready;  /* the head is done, or the lane closed */
	struct block *head;    /* in order */
	struct block *tail;
	unsigned n_held; /* blocks between lane_take and lane_give */
	bool closed;
	bool failed;
	struct err err;
};

static void
block_free(struct block *b)
{
	free(b->in);
	free(b->out);
	free(b);
}

/* The next job, NULL at the end. */
static struct block *
pool_get(struct pack_pool *p)
{
	struct block *b;

	while (!p->jobs_head && !p->stop)
		pthread_cond_wait(&p->work, &p->mutex);
	b = p->jobs_head;
	if (b)
		p->jobs_head = b->next_job;
	return b;
}

/* The block's member: a known one, or made now. */
static void
block_compress(struct block *b, struct codec *k)
{
	const struct lane *l = b->lane;
	struct members *known = l->p->members;
	size_t cap = codec_bound(&l->c, b->n);
	struct digest key;

	if (b->out_cap < cap) {
		free(b->out);
		b->out = xmalloc(cap);
		b->out_cap = cap;
	}
	if (known) {
		AUTO(hasher) struct hasher h;

		hasher_init(&h);
		hasher_field_str(&h, l->id);
		hasher_field(&h, b->in, b->n);
		hasher_finish(&h, &key);
		if (members_get(known, &key, b->out, cap, &b->out_n))
			return;
	}
	b->out_n = codec_run(k, b->in, b->n, b->out, b->out_cap);
	if (known)
		members_put(known, &key, b->out, b->out_n);
}

static void *
pool_thread(void *arg)
{
	struct pack_pool *p = arg;
	AUTO(codec) struct codec *k = NULL;
	struct compression have = {.level = 0};
	struct block *b;

	pthread_mutex_lock(&p->mutex);
	while ((b = pool_get(p)) != NULL) {
		const struct compression c = b->lane->c;
		bool dropped = b->lane->failed;

		pthread_mutex_unlock(&p->mutex);
		if (!k || c.kind != have.kind || c.level != have.level) {
			codec_free(k);
			k = codec_new(&c);
			have = c;
		}
		b->out_n = 0;
		if (!dropped)
			block_compress(b, k);
		pthread_mutex_lock(&p->mutex);
		b->done = true;
		if (b->lane->head == b)
			pthread_cond_signal(&b->lane->ready);
	}
	pthread_mutex_unlock(&p->mutex);
	return NULL;
}

int
pool_start_thread(pthread_t *ret, void *(*fn)(void *), void *arg)
{
	sigset_t all, old;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(ret, NULL, fn, arg);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return r;
}

struct pack_pool *
pack_pool_new(unsigned threads)
{
	struct pack_pool *p = xcalloc(1, sizeof(*p));

	if (threads == 0)
		threads = 1;
	pthread_mutex_init(&p->mutex, NULL);
	pthread_cond_init(&p->work, NULL);
	pthread_cond_init(&p->room, NULL);
	/*
	 * A lane that has a block for every thread, one that is read and one
	 * that is written keeps them all busy; the rest is slack, and enough
	 * for a second lane to get on.
	 */
	p->max_lane = threads + 4;
	p->max_blocks = 2 * threads + 6;
	p->threads = xcalloc(threads, sizeof(*p->threads));
	for (p->n_threads = 0; p->n_threads < threads; p->n_threads++) {
		/* Fewer threads give the same bytes; none at all don't. */
		if (pool_start_thread(&p->threads[p->n_threads], pool_thread,
				      p) != 0)
			break;
	}
	if (p->n_threads == 0)
		abort();
	return p;
}

void
pack_pool_use_members(struct pack_pool *p, struct members *m)
{
	p->members = m;
}

void
pack_pool_free(struct pack_pool *p)
{
	struct block *b;

	if (!p)
		return;
	pthread_mutex_lock(&p->mutex);
	p->stop = true;
	pthread_cond_broadcast(&p->work);
	pthread_mutex_unlock(&p->mutex);
	for (unsigned i = 0; i < p->n_threads; i++)
		pthread_join(p->threads[i], NULL);
	while ((b = p->free) != NULL) {
		p->free = b->next_job;
		block_free(b);
	}
	pthread_cond_destroy(&p->room);
	pthread_cond_destroy(&p->work);
	pthread_mutex_destroy(&p->mutex);
	free(p->threads);
	free(p);
}

struct lane *
lane_new(struct pack_pool *p, const struct compression *c)
{
	struct lane *l = xcalloc(1, sizeof(*l));

	l->p = p;
	l->c = *c;
	if (p->members)
		codec_id(c, l->id);
	pthread_cond_init(&l->ready, NULL);
	return l;
}

void
lane_free(struct lane *l)
{
	pthread_cond_destroy(&l->ready);
	free(l);
}

struct block *
lane_take(struct lane *l)
{
	struct pack_pool *p = l->p;
	struct block *b = NULL;

	pthread_mutex_lock(&p->mutex);
	while (!l->failed && (l->n_held >= p->max_lane ||
			      (!p->free && p->n_blocks >= p->max_blocks)))
		pthread_cond_wait(&p->room, &p->mutex);
	if (!l->failed) {
		b = p->free;
		if (b) {
			p->free = b->next_job;
		} else {
			b = xcalloc(1, sizeof(*b));
			b->in = xmalloc(CODEC_BLOCK);
			p->n_blocks++;
		}
		b->lane = l;
		b->n = 0;
		b->done = false;
		b->next_job = b->next_lane = NULL;
		l->n_held++;
	}
	pthread_mutex_unlock(&p->mutex);
	return b;
}

void
lane_submit(struct lane *l, struct block *take_b)
{
	struct pack_pool *p = l->p;

	pthread_mutex_lock(&p->mutex);
	if (p->jobs_head)
		p->jobs_tail->next_job = take_b;
	else
		p->jobs_head = take_b;
	p->jobs_tail = take_b;
	if (l->head)
		l->tail->next_lane = take_b;
	else
		l->head = take_b;
	l->tail = take_b;
	pthread_cond_signal(&p->work);
	pthread_mutex_unlock(&p->mutex);
}

void
lane_close(struct lane *l)
{
	pthread_mutex_lock(&l->p->mutex);
	l->closed = true;
	pthread_cond_signal(&l->ready);
	pthread_mutex_unlock(&l->p->mutex);
}

struct block *
lane_next(struct lane *l)
{
	struct block *b;

	pthread_mutex_lock(&l->p->mutex);
	while (l->head ? !l->head->done : !l->closed)
		pthread_cond_wait(&l->ready, &l->p->mutex);
	b = l->head;
	if (b)
		l->head = b->next_lane;
	pthread_mutex_unlock(&l->p->mutex);
	return b;
}

void
lane_give(struct lane *l, struct block *take_b)
{
	struct pack_pool *p = l->p;

	pthread_mutex_lock(&p->mutex);
	take_b->next_job = p->free;
	p->free = take_b;
	l->n_held--;
	/* Readers wait here for different reasons: let each look. */
	pthread_cond_broadcast(&p->room);
	pthread_mutex_unlock(&p->mutex);
}

void
lane_fail(struct lane *l, const struct err *e)
{
	pthread_mutex_lock(&l->p->mutex);
	if (!l->failed) {
		l->failed = true;
		l->err = *e;
	}
	pthread_cond_broadcast(&l->p->room);
	pthread_mutex_unlock(&l->p->mutex);
}

int
lane_result(struct lane *l, struct err *e)
{
	int r = 0;

	pthread_mutex_lock(&l->p->mutex);
	if (l->failed) {
		*e = l->err;
		r = -1;
	}
	pthread_mutex_unlock(&l->p->mutex);
	return r;
}
