/* SPDX-License-Identifier: Apache-2.0 */
#include "core/pack/pool.h"

#include <signal.h>
#include <stdlib.h>

#include "core/base/attr.h"
#include "core/base/digest.h"
#include "core/base/mem.h"
#include "core/pack/compress.h"
#include "core/pack/members.h"

/*
 * What a lane may take: blocks, and for those that are being compressed, a
 * compressor and room for what it makes. Fewer threads than MIN_BUSY would
 * make dear levels bearable for nobody.
 */
#define LANE_BYTES ((size_t)48 << 20)
#define MIN_BUSY 4u

/* Blocks that are read, written, or wait for either. */
#define SLACK 4u

/* What all lanes may have, in what a single one may. */
#define POOL_LANES 8u

#define MAX_LANES 16u

/* What a thread needs to compress; as few of them as work at a time. */
struct bench {
	struct bench *next;
	struct codec *codec;
	unsigned char *p; /* for the member */
};

struct pack_pool {
	struct compression c;
	size_t room;             /* of a block and a bench */
	char id[CODEC_ID_CAP];   /* for the members' keys */
	struct members *members; /* or NULL */
	unsigned max_lanes;
	unsigned max_lane;   /* blocks in one of them */
	unsigned max_busy;   /* of these, being compressed */
	unsigned max_shared; /* blocks beyond each lane's own */
	pthread_t *threads;
	unsigned n_threads;

	pthread_mutex_t mutex; /* over what follows and what is in the lanes */
	pthread_cond_t work;   /* a job, or the end */
	pthread_cond_t room_free; /* a block is free, or a lane failed */
	pthread_cond_t lane_free; /* a lane has ended */
	struct block *jobs;       /* oldest first */
	struct block **jobs_end;
	struct block *free;
	struct bench *benches; /* that are not in use */
	unsigned n_lanes;
	unsigned n_shared;
	bool stop;
};

struct lane {
	struct pack_pool *p;
	pthread_cond_t ready; /* the head is done, or the lane closed */
	struct block *head;   /* in order */
	struct block *tail;
	unsigned n_held; /* blocks between lane_take and lane_give */
	unsigned n_busy; /* of these, being compressed */
	bool closed;
	bool failed;
	struct err err;
};

static void
block_free(struct block *b)
{
	free(b->p);
	free(b);
}

static void
bench_free(struct bench *w)
{
	codec_free(w->codec);
	free(w->p);
	free(w);
}

/* The next job, with its lane's leave to work on it; NULL at the end. */
static struct block *
pool_get(struct pack_pool *p)
{
	for (;;) {
		struct block **at = &p->jobs, *b;

		while (*at && (*at)->lane->n_busy >= p->max_busy)
			at = &(*at)->next_job;
		b = *at;
		if (b) {
			*at = b->next_job;
			if (p->jobs_end == &b->next_job)
				p->jobs_end = at;
			b->lane->n_busy++;
			return b;
		}
		if (p->stop)
			return NULL;
		/*
		 * Jobs that have to wait for their lane are for the threads
		 * that work for it, which look here when they are done.
		 */
		pthread_cond_wait(&p->work, &p->mutex);
	}
}

/* One that is free, the one used last, or a new one. */
static struct bench *
bench_get(struct pack_pool *p)
{
	struct bench *w = p->benches;

	if (w) {
		p->benches = w->next;
		return w;
	}
	w = xcalloc(1, sizeof(*w));
	w->codec = codec_new(&p->c);
	w->p = xmalloc(p->room);
	return w;
}

/* Make the block its member: a known one, or made now. */
static void
block_compress(struct pack_pool *p, struct block *b, struct bench *w)
{
	unsigned char *in = b->p;
	struct digest key;
	bool known = false;
	size_t n = 0;

	if (p->members) {
		AUTO(hasher) struct hasher h;

		hasher_init(&h);
		hasher_field_str(&h, p->id);
		hasher_field(&h, in, b->n);
		hasher_finish(&h, &key);
		known = members_get(p->members, &key, w->p, p->room, &n);
	}
	if (!known)
		n = codec_run(w->codec, in, b->n, w->p, p->room);
	if (p->members && !known)
		members_put(p->members, &key, w->p, n);
	b->p = w->p;
	b->n = n;
	w->p = in;
}

static void *
pool_thread(void *arg)
{
	struct pack_pool *p = arg;
	struct block *b;

	pthread_mutex_lock(&p->mutex);
	while ((b = pool_get(p)) != NULL) {
		struct lane *l = b->lane;

		if (l->failed) {
			b->n = 0;
		} else {
			struct bench *w = bench_get(p);

			pthread_mutex_unlock(&p->mutex);
			block_compress(p, b, w);
			pthread_mutex_lock(&p->mutex);
			w->next = p->benches;
			p->benches = w;
		}
		l->n_busy--;
		b->done = true;
		if (l->head == b)
			pthread_cond_signal(&l->ready);
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

static unsigned
lesser(size_t a, size_t b)
{
	return (unsigned)(a < b ? a : b);
}

/* Set the limits; the threads that there may be at most. */
static unsigned
set_limits(struct pack_pool *p, unsigned threads)
{
	size_t busy;

	p->room = codec_bound(&p->c, codec_block(&p->c));
	busy = (LANE_BYTES - SLACK * p->room) /
	       (2 * p->room + codec_memory(&p->c));
	if (busy < MIN_BUSY)
		busy = MIN_BUSY;
	threads = lesser(threads, POOL_LANES * busy);
	p->max_busy = lesser(threads, busy);
	p->max_lane = p->max_busy + SLACK;
	p->max_shared = threads + SLACK;
	p->max_lanes = lesser(threads + 2, MAX_LANES);
	return threads;
}

struct pack_pool *
pack_pool_new(unsigned threads, const struct compression *c)
{
	struct pack_pool *p = xcalloc(1, sizeof(*p));

	p->c = *c;
	p->jobs_end = &p->jobs;
	pthread_mutex_init(&p->mutex, NULL);
	pthread_cond_init(&p->work, NULL);
	pthread_cond_init(&p->room_free, NULL);
	pthread_cond_init(&p->lane_free, NULL);
	threads = set_limits(p, threads > 0 ? threads : 1);
	p->threads = xcalloc(threads, sizeof(*p->threads));
	for (; p->n_threads < threads; p->n_threads++) {
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
	if (m)
		codec_id(&p->c, p->id);
}

bool
pack_pool_yield(struct pack_pool *p)
{
	return p->members && members_yield(p->members);
}

void
pack_pool_free(struct pack_pool *p)
{
	struct block *b;
	struct bench *w;

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
	while ((w = p->benches) != NULL) {
		p->benches = w->next;
		bench_free(w);
	}
	pthread_cond_destroy(&p->lane_free);
	pthread_cond_destroy(&p->room_free);
	pthread_cond_destroy(&p->work);
	pthread_mutex_destroy(&p->mutex);
	free(p->threads);
	free(p);
}

const struct compression *
pool_compression(const struct pack_pool *p)
{
	return &p->c;
}

struct lane *
lane_new(struct pack_pool *p)
{
	struct lane *l = xcalloc(1, sizeof(*l));

	l->p = p;
	pthread_cond_init(&l->ready, NULL);
	pthread_mutex_lock(&p->mutex);
	while (p->n_lanes >= p->max_lanes)
		pthread_cond_wait(&p->lane_free, &p->mutex);
	p->n_lanes++;
	pthread_mutex_unlock(&p->mutex);
	return l;
}

void
lane_free(struct lane *l)
{
	pthread_mutex_lock(&l->p->mutex);
	l->p->n_lanes--;
	pthread_cond_signal(&l->p->lane_free);
	pthread_mutex_unlock(&l->p->mutex);
	pthread_cond_destroy(&l->ready);
	free(l);
}

static bool
lane_may_take(const struct lane *l)
{
	const struct pack_pool *p = l->p;

	return l->n_held < LANE_OWN ||
	       (l->n_held < p->max_lane && p->n_shared < p->max_shared);
}

struct block *
lane_take(struct lane *l)
{
	struct pack_pool *p = l->p;
	struct block *b = NULL;

	pthread_mutex_lock(&p->mutex);
	while (!l->failed && !lane_may_take(l))
		pthread_cond_wait(&p->room_free, &p->mutex);
	if (!l->failed) {
		b = p->free;
		if (b) {
			p->free = b->next_job;
		} else {
			b = xcalloc(1, sizeof(*b));
			b->p = xmalloc(p->room);
		}
		b->lane = l;
		b->n = 0;
		b->done = false;
		b->next_job = b->next_lane = NULL;
		if (l->n_held >= LANE_OWN)
			p->n_shared++;
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
	*p->jobs_end = take_b;
	p->jobs_end = &take_b->next_job;
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
	if (l->n_held >= LANE_OWN)
		p->n_shared--;
	/* Readers wait here for different reasons: let each look. */
	pthread_cond_broadcast(&p->room_free);
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
	pthread_cond_broadcast(&l->p->room_free);
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
