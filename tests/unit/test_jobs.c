/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/jobs.h"
#include "tests/support/must.h"
#include "tests/support/tap.h"

/* Long enough for any machine; passed only when something is broken. */
#define LONG_MS 60000u

/* What the work is told to do. */
enum order {
	WORK,   /* succeed when the gate opens */
	REFUSE, /* fail when it opens */
	ENDURE, /* go on until it is cancelled */
};

static struct scene {
	struct jobs *table;
	sem_t started; /* posted by each piece of work */
	sem_t gate;    /* awaited by each */
	atomic_int runs;
	atomic_int freed; /* payloads */
	atomic_int ends;
} s;

static int
run(void *ctx, struct job *j, void *payload, struct manifest_info *ret,
    struct err *e)
{
	enum order order = *(enum order *)payload;

	if (ctx != &s)
		return err_set(e, ERR_SYSTEM, "not the context");
	atomic_fetch_add(&s.runs, 1);
	job_set_progress(j, "%s %d", "step", 1);
	(void)sem_post(&s.started);
	if (order == ENDURE) {
		while (!atomic_load(job_cancel_flag(j)))
			(void)sched_yield();
		return err_set(e, ERR_BUSY, "cancelled");
	}
	(void)sem_wait(&s.gate);
	if (order == REFUSE)
		return err_set(e, ERR_BUILD, "it does not compile");
	*ret = (struct manifest_info){.size = 17, .media_type = "x"};
	return 0;
}

static void
free_payload(void *payload)
{
	atomic_fetch_add(&s.freed, 1);
	free(payload);
}

static void
count_end(void *ctx)
{
	if (ctx == &s)
		atomic_fetch_add(&s.ends, 1);
}

static void
begin(unsigned threads, size_t max_queue)
{
	const struct jobs_options o = {
		.threads = threads,
		.max_queue = max_queue,
		.run = run,
		.free_payload = free_payload,
		.ctx = &s,
	};

	(void)sem_init(&s.started, 0, 0);
	(void)sem_init(&s.gate, 0, 0);
	atomic_store(&s.runs, 0);
	atomic_store(&s.freed, 0);
	atomic_store(&s.ends, 0);
	s.table = jobs_new(&o);
	jobs_on_end(s.table, count_end, &s);
}

static void
finish(void)
{
	jobs_free(s.table);
	(void)sem_destroy(&s.started);
	(void)sem_destroy(&s.gate);
}

static int
start(const char *key, enum order order, struct job **ret, struct err *e)
{
	enum order *payload = xmalloc(sizeof(*payload));
	struct digest d;

	*payload = order;
	digest_of(key, strlen(key), &d);
	return jobs_start(s.table, &d, payload, ret, e);
}

static struct job *
must_start(const char *key, enum order order)
{
	struct err e = ERR_INIT;
	struct job *j = NULL;

	must(start(key, order, &j, &e), &e);
	return j;
}

struct asker {
	enum job_state state;
	struct manifest_info info;
	struct err e;
	char id[64];
	sem_t *asked;
};

static void *
ask(void *arg)
{
	struct asker *a = arg;
	struct job *j = must_start("popular", WORK);

	(void)snprintf(a->id, sizeof(a->id), "%s", job_id(j));
	(void)sem_post(a->asked);
	(void)job_wait(j, LONG_MS);
	a->state = job_poll(j, &a->info, &a->e);
	job_release(j);
	return NULL;
}

static void
test_one_for_all(void)
{
	struct asker a[10];
	pthread_t t[ARRAY_LEN(a)];
	bool good = true, same = true;
	sem_t asked;

	(void)sem_init(&asked, 0, 0);
	begin(3, 10);
	for (size_t i = 0; i < ARRAY_LEN(a); i++) {
		a[i] = (struct asker){.e = ERR_INIT, .asked = &asked};
		(void)pthread_create(&t[i], NULL, ask, &a[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(a); i++)
		(void)sem_wait(&asked);
	(void)sem_post(&s.gate);
	for (size_t i = 0; i < ARRAY_LEN(a); i++) {
		(void)pthread_join(t[i], NULL);
		good = good && a[i].state == JOB_DONE && a[i].info.size == 17;
		same = same && strcmp(a[i].id, a[0].id) == 0;
	}
	is_u64((unsigned)atomic_load(&s.runs), 1, "ten ask, one build");
	ok(good, "everyone gets its result");
	ok(same && strlen(a[0].id) == 32, "it is one job: %s", a[0].id);
	jobs_stop(s.table);
	is_u64((unsigned)atomic_load(&s.freed), 10, "payloads are freed");
	is_u64((unsigned)atomic_load(&s.ends), 1, "one end is told");
	finish();
	(void)sem_destroy(&asked);
}

static void
test_error(void)
{
	struct manifest_info info = {.size = 0};
	struct err e = ERR_INIT, again = ERR_INIT;
	struct job *j, *other;

	begin(1, 1);
	j = must_start("bad", REFUSE);
	other = must_start("bad", REFUSE);
	ok(job_poll(j, &info, &e) == JOB_RUNNING && e.kind == ERR_NONE,
	   "a job that waits or works runs");
	ok(!job_wait(j, 0) && !job_wait(j, 1), "waiting ends with the time");
	(void)sem_post(&s.gate);
	ok(job_wait(j, LONG_MS) && job_poll(j, &info, &e) == JOB_FAILED &&
		   e.kind == ERR_BUILD,
	   "it fails");
	is_str(e.msg, "it does not compile", "  with the reason");
	ok(job_poll(other, &info, &again) == JOB_FAILED &&
		   strcmp(again.msg, e.msg) == 0,
	   "for everyone");
	job_release(other);
	other = must_start("bad", WORK);
	ok(other != j && strcmp(job_id(other), job_id(j)) != 0,
	   "an error isn't kept: who asks now starts anew");
	(void)sem_post(&s.gate);
	ok(job_wait(other, LONG_MS) && job_poll(other, &info, &e) == JOB_DONE,
	   "and may succeed");
	job_release(j);
	job_release(other);
	job_release(NULL);
	jobs_stop(s.table);
	finish();
}

static void
test_full(void)
{
	AUTO(buf) struct buf line = BUF_INIT;
	struct job *j[3], *same, *none = NULL;
	uint64_t running = 0, queued = 0;
	struct err e = ERR_INIT;

	begin(1, 2);
	j[0] = must_start("0", WORK);
	(void)sem_wait(&s.started);
	j[1] = must_start("1", WORK);
	j[2] = must_start("2", WORK);
	jobs_count(s.table, &running, &queued);
	ok(running == 1 && queued == 2, "one works, two wait");
	ok(start("3", WORK, &none, &e) < 0 && e.kind == ERR_BUSY && !none,
	   "no room for a fourth: %s", e.msg);
	is_u64((unsigned)atomic_load(&s.freed), 1, "its payload is freed");
	err_clear(&e);
	ok(start("2", WORK, &same, &e) == 0 && same == j[2],
	   "but who asks for one that waits joins it");
	job_release(same);
	job_progress(j[0], &line);
	is_str(line.p, "step 1", "progress of what works");
	buf_clear(&line);
	job_progress(j[2], &line);
	ok(line.len > 0, "and of what waits: %s", line.p);
	job_release(j[1]);
	for (int i = 0; i < 3; i++)
		(void)sem_post(&s.gate);
	ok(job_wait(j[2], LONG_MS), "all get their turn");
	is_u64((unsigned)atomic_load(&s.runs), 3,
	       "also the one that nobody held any more");
	none = must_start("3", WORK);
	(void)sem_post(&s.gate);
	ok(job_wait(none, LONG_MS), "and there is room again");
	job_release(none);
	job_release(j[0]);
	job_release(j[2]);
	jobs_stop(s.table);
	jobs_count(s.table, &running, &queued);
	ok(running == 0 && queued == 0, "nothing is left");
	finish();
}

static void
test_no_queue(void)
{
	struct err e = ERR_INIT;
	struct job *j, *none;

	begin(1, 0);
	j = must_start("0", WORK);
	ok(start("1", WORK, &none, &e) < 0 && e.kind == ERR_BUSY,
	   "without a queue there is room for what can work at once");
	(void)sem_post(&s.gate);
	(void)job_wait(j, LONG_MS);
	job_release(j);
	jobs_stop(s.table);
	finish();
}

static void
test_stop(void)
{
	struct manifest_info info = {.size = 0};
	struct err e = ERR_INIT, queued = ERR_INIT;
	struct job *works, *waits, *none = NULL;

	begin(1, 5);
	works = must_start("works", ENDURE);
	waits = must_start("waits", WORK);
	job_release(must_start("held by nobody", WORK));
	(void)sem_wait(&s.started);
	ok(!atomic_load(job_cancel_flag(works)), "nobody has cancelled it");
	jobs_stop(s.table);
	ok(job_poll(works, &info, &e) == JOB_FAILED && e.kind == ERR_BUSY,
	   "stopping cancels what works");
	ok(job_poll(waits, &info, &queued) == JOB_FAILED &&
		   queued.kind == ERR_BUSY,
	   "and fails what waits: %s", queued.msg);
	ok(job_wait(waits, 0), "nobody waits for it any more");
	is_u64((unsigned)atomic_load(&s.runs), 1, "it has not been begun");
	is_u64((unsigned)atomic_load(&s.ends), 3, "all ends are told");
	err_clear(&e);
	ok(start("late", WORK, &none, &e) < 0 && e.kind == ERR_BUSY,
	   "nothing can be started then: %s", e.msg);
	job_release(works);
	job_release(waits);
	is_u64((unsigned)atomic_load(&s.freed), 4, "every payload is freed");
	finish();
}

/* Many threads, few keys, jobs that end at once, holders that leave early. */
static void *
storm(void *arg)
{
	unsigned n = *(unsigned *)arg;

	for (unsigned i = 0; i < 300; i++) {
		struct manifest_info info = {.size = 0};
		struct err e = ERR_INIT;
		struct job *j = NULL;
		char key[8];

		(void)snprintf(key, sizeof(key), "%u", (n + i) % 4);
		(void)sem_post(&s.gate);
		if (start(key, i % 3 ? WORK : REFUSE, &j, &e) < 0)
			continue;
		if (i % 2 && job_wait(j, LONG_MS))
			(void)job_poll(j, &info, &e);
		job_release(j);
	}
	return NULL;
}

static void
test_storm(void)
{
	pthread_t t[6];
	unsigned n[6];

	begin(3, 2);
	for (unsigned i = 0; i < ARRAY_LEN(t); i++) {
		n[i] = i;
		(void)pthread_create(&t[i], NULL, storm, &n[i]);
	}
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		(void)pthread_join(t[i], NULL);
	for (int i = 0; i < 10; i++)
		(void)sem_post(&s.gate);
	jobs_stop(s.table);
	is_u64((unsigned)atomic_load(&s.freed), 1800,
	       "1800 requests: every payload is freed");
	finish();
}

int
main(void)
{
	test_one_for_all();
	test_error();
	test_full();
	test_no_queue();
	test_stop();
	test_storm();
	return done_testing();
}
