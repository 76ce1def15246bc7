/* SPDX-License-Identifier: Apache-2.0 */
#include "core/jobs.h"

#include <assert.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/sys/fs.h"

struct job {
	struct jobs *table;
	struct job *next;        /* in the list of live jobs */
	struct job *next_queued; /* in the queue */
	struct digest key;
	char id[33];
	void *payload;
	unsigned refs; /* holders, and one for the table while it lives */
	enum job_state state;
	struct manifest_info result;
	struct err error;
	atomic_bool cancel;
	char progress[128];
};

struct jobs {
	struct jobs_options o;
	pthread_mutex_t lock;
	pthread_cond_t work;  /* for the threads: the queue or stop changed */
	pthread_cond_t ended; /* for waiters: a job has ended */
	struct job *live;
	struct job *first_queued;
	struct job **last_queued;
	size_t queued;
	size_t running;
	bool stop;
	void (*on_end)(void *ctx);
	void *on_end_ctx;
	pthread_t *threads;
};

static void
lock(struct jobs *t)
{
	(void)pthread_mutex_lock(&t->lock);
}

static void
unlock(struct jobs *t)
{
	(void)pthread_mutex_unlock(&t->lock);
}

/* With the lock held; true when nobody has it any more. */
static bool
drop(struct job *j)
{
	return --j->refs == 0;
}

static void
destroy(struct job *j)
{
	if (j->payload)
		j->table->o.free_payload(j->payload);
	free(j);
}

static struct job *
take_queued(struct jobs *t)
{
	struct job *j = t->first_queued;

	t->first_queued = j->next_queued;
	if (!t->first_queued)
		t->last_queued = &t->first_queued;
	t->queued--;
	return j;
}

/* Make a job's end known, take it off the list. With the lock held. */
static void
end(struct job *j, const struct manifest_info *result, const struct err *e)
{
	struct jobs *t = j->table;
	struct job **at;

	if (e->kind == ERR_NONE) {
		j->result = *result;
		j->state = JOB_DONE;
	} else {
		j->error = *e;
		j->state = JOB_FAILED;
	}
	for (at = &t->live; *at != j; at = &(*at)->next)
		continue;
	*at = j->next;
	(void)pthread_cond_broadcast(&t->ended);
}

static void *
work(void *arg)
{
	struct jobs *t = arg;

	for (;;) {
		struct manifest_info result = {.size = 0};
		struct err e = ERR_INIT;
		struct job *j;
		bool last;

		lock(t);
		while (!t->first_queued && !t->stop)
			(void)pthread_cond_wait(&t->work, &t->lock);
		if (!t->first_queued) {
			unlock(t);
			return NULL;
		}
		j = take_queued(t);
		t->running++;
		if (t->stop)
			err_set(&e, ERR_BUSY, "the registry is shutting down");
		unlock(t);

		if (e.kind == ERR_NONE &&
		    t->o.run(t->o.ctx, j, j->payload, &result, &e) == 0)
			assert(e.kind == ERR_NONE);
		lock(t);
		t->running--;
		end(j, &result, &e);
		last = drop(j);
		unlock(t);
		if (last)
			destroy(j);
		if (t->on_end)
			t->on_end(t->on_end_ctx);
	}
}

struct jobs *
jobs_new(const struct jobs_options *o)
{
	struct jobs *t = xcalloc(1, sizeof(*t));
	pthread_condattr_t attr;

	t->o = *o;
	t->last_queued = &t->first_queued;
	(void)pthread_mutex_init(&t->lock, NULL);
	(void)pthread_cond_init(&t->work, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&t->ended, &attr);
	(void)pthread_condattr_destroy(&attr);
	t->threads = xcalloc(o->threads, sizeof(*t->threads));
	for (unsigned i = 0; i < o->threads; i++)
		if (pthread_create(&t->threads[i], NULL, work, t) != 0)
			abort();
	return t;
}

void
jobs_stop(struct jobs *t)
{
	lock(t);
	t->stop = true;
	for (struct job *j = t->live; j; j = j->next)
		atomic_store(&j->cancel, true);
	(void)pthread_cond_broadcast(&t->work);
	unlock(t);
	for (unsigned i = 0; i < t->o.threads; i++)
		(void)pthread_join(t->threads[i], NULL);
}

void
jobs_free(struct jobs *t)
{
	assert(!t->live);
	(void)pthread_mutex_destroy(&t->lock);
	(void)pthread_cond_destroy(&t->work);
	(void)pthread_cond_destroy(&t->ended);
	free(t->threads);
	free(t);
}

void
jobs_on_end(struct jobs *t, void (*fn)(void *ctx), void *ctx)
{
	t->on_end = fn;
	t->on_end_ctx = ctx;
}

/* With the lock held. */
static struct job *
find_live(struct jobs *t, const struct digest *key)
{
	struct job *j;

	for (j = t->live; j; j = j->next)
		if (digest_eq(&j->key, key))
			break;
	return j;
}

/* With the lock held. */
static struct job *
enqueue(struct jobs *t, const struct digest *key, void *payload)
{
	struct job *j = xcalloc(1, sizeof(*j));

	j->table = t;
	j->key = *key;
	j->payload = payload;
	j->refs = 1;
	fs_random_hex(j->id);
	(void)snprintf(j->progress, sizeof(j->progress), "waiting its turn");
	j->next = t->live;
	t->live = j;
	*t->last_queued = j;
	t->last_queued = &j->next_queued;
	t->queued++;
	(void)pthread_cond_signal(&t->work);
	return j;
}

int
jobs_start(struct jobs *t, const struct digest *key, void *take_payload,
	   struct job **ret, struct err *e)
{
	struct job *j;
	int r = 0;

	lock(t);
	j = find_live(t, key);
	if (!j && t->stop) {
		r = err_set(e, ERR_BUSY, "the registry is shutting down");
	} else if (!j &&
		   t->running + t->queued >= t->o.threads + t->o.max_queue) {
		r = err_set(e, ERR_BUSY,
			    "%zu images are being built and %zu more wait; "
			    "try again later",
			    t->running, t->queued);
	} else if (!j) {
		j = enqueue(t, key, take_payload);
		take_payload = NULL;
	}
	if (j) {
		j->refs++;
		*ret = j;
	}
	unlock(t);
	if (take_payload)
		t->o.free_payload(take_payload);
	return r;
}

void
jobs_count(struct jobs *t, uint64_t *ret_running, uint64_t *ret_queued)
{
	lock(t);
	*ret_running = t->running;
	*ret_queued = t->queued;
	unlock(t);
}

enum job_state
job_poll(struct job *j, struct manifest_info *ret, struct err *ret_err)
{
	enum job_state state;

	lock(j->table);
	state = j->state;
	if (state == JOB_DONE)
		*ret = j->result;
	else if (state == JOB_FAILED)
		*ret_err = j->error;
	unlock(j->table);
	return state;
}

bool
job_wait(struct job *j, uint64_t timeout_ms)
{
	struct timespec until;
	bool ended;

	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)(timeout_ms / 1000);
	until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	lock(j->table);
	while (j->state == JOB_RUNNING &&
	       pthread_cond_timedwait(&j->table->ended, &j->table->lock,
				      &until) == 0)
		continue;
	ended = j->state != JOB_RUNNING;
	unlock(j->table);
	return ended;
}

const char *
job_id(const struct job *j)
{
	return j->id;
}

void
job_progress(struct job *j, struct buf *to)
{
	lock(j->table);
	buf_adds(to, j->progress);
	unlock(j->table);
}

void
job_set_progress(struct job *j, const char *fmt, ...)
{
	va_list ap;

	lock(j->table);
	va_start(ap, fmt);
	(void)vsnprintf(j->progress, sizeof(j->progress), fmt, ap);
	va_end(ap);
	unlock(j->table);
}

void
job_release(struct job *take_job)
{
	struct jobs *t;
	bool last;

	if (!take_job)
		return;
	t = take_job->table;
	lock(t);
	last = drop(take_job);
	unlock(t);
	if (last)
		destroy(take_job);
}

const atomic_bool *
job_cancel_flag(const struct job *j)
{
	return &j->cancel;
}
