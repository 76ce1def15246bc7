/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/support/pack_tree.h"

/* Layers that share a pool: none of them keeps the others from getting on. */

#define WAIT_SECONDS 20

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned stuck; /* sinks that wait for let_go */
static bool let_go;
static unsigned active; /* sinks between the first write and the last */
static unsigned most_active;

/* A sink that is slow, or stands still. */
struct slow {
	struct sink base;
	bool sticks;
	bool began;
};

static int
slow_write(struct sink *s, const void *p UNUSED, size_t n UNUSED,
	   struct err *e UNUSED)
{
	struct slow *w = (struct slow *)s;
	const struct timespec tick = {.tv_nsec = 5000000};

	pthread_mutex_lock(&mutex);
	if (!w->began && ++active > most_active)
		most_active = active;
	if (w->sticks && !w->began)
		stuck++;
	w->began = true;
	pthread_cond_broadcast(&changed);
	while (w->sticks && !let_go)
		pthread_cond_wait(&changed, &mutex);
	pthread_mutex_unlock(&mutex);
	if (!w->sticks)
		nanosleep(&tick, NULL);
	return 0;
}

static int
slow_finish(struct sink *s UNUSED, struct err *e UNUSED)
{
	pthread_mutex_lock(&mutex);
	active--;
	pthread_mutex_unlock(&mutex);
	return 0;
}

static void
slow_free(struct sink *s UNUSED)
{
}

static const struct sink_ops slow_ops = {
	.write = slow_write,
	.finish = slow_finish,
	.free = slow_free,
};

/* One layer of one path, packed on a thread. */
struct job {
	pthread_t thread;
	struct pack_pool *pool;
	const char *path;
	struct slow out;
	struct layer layer;
	bool good;
	bool ended;
};

static void *
run_job(void *arg)
{
	struct job *j = arg;
	struct pack_input in = input_of(&j->path, 1);
	struct err e = ERR_INIT;

	j->good = pack_layer(j->pool, &in, &j->out.base, &j->layer, &e) == 0;
	pthread_mutex_lock(&mutex);
	j->ended = true;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&mutex);
	return NULL;
}

static void
start_job(struct job *j, struct pack_pool *p, const char *path, bool sticks)
{
	*j = (struct job){.pool = p, .path = path};
	j->out.base.ops = &slow_ops;
	j->out.sticks = sticks;
	if (pthread_create(&j->thread, NULL, run_job, j) != 0)
		die("pthread_create");
}

static void
test_slow_writers(void)
{
	struct pack_pool *p = pack_pool_new(2, &gzip_1);
	const struct timespec settle = {.tv_nsec = 300000000};
	struct job slow[2], tiny;
	struct timespec until;
	bool passed;

	start_job(&slow[0], p, PATH_A, true);
	start_job(&slow[1], p, PATH_A, true);
	pthread_mutex_lock(&mutex);
	while (stuck < 2)
		pthread_cond_wait(&changed, &mutex);
	pthread_mutex_unlock(&mutex);
	/* They take whatever blocks they can get. */
	nanosleep(&settle, NULL);
	start_job(&tiny, p, PATH_C, false);
	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += WAIT_SECONDS;
	pthread_mutex_lock(&mutex);
	while (!tiny.ended &&
	       pthread_cond_timedwait(&changed, &mutex, &until) == 0)
		continue;
	passed = tiny.ended;
	let_go = true;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&mutex);
	pthread_join(tiny.thread, NULL);
	pthread_join(slow[0].thread, NULL);
	pthread_join(slow[1].thread, NULL);
	ok(passed, "two layers whose writers stand still don't stop a third");
	ok(tiny.good && slow[0].good && slow[1].good &&
		   digest_eq(&slow[0].layer.digest, &slow[1].layer.digest),
	   "and all get done");
	pack_pool_free(p);
}

static void
test_many(void)
{
	struct pack_pool *p = pack_pool_new(1, &gzip_1);
	struct job jobs[20];
	bool good = true;

	most_active = 0;
	for (size_t i = 0; i < ARRAY_LEN(jobs); i++)
		start_job(&jobs[i], p, PATH_B, false);
	for (size_t i = 0; i < ARRAY_LEN(jobs); i++) {
		pthread_join(jobs[i].thread, NULL);
		good = good && jobs[i].good &&
		       digest_eq(&jobs[i].layer.digest, &jobs[0].layer.digest);
	}
	ok(good, "twenty layers on a pool of one thread");
	ok(most_active >= 2 && most_active <= 3, "of which %u were begun",
	   most_active);
	pack_pool_free(p);
}

static void *
nothing(void *arg)
{
	return arg;
}

/* 0: the same digest; 1: another, or none; 2: threads can still be started. */
static int
pack_without_threads(const struct digest *want)
{
	const struct rlimit one = {1, 1};
	struct pack_pool *p = pack_pool_new(2, &gzip_1);
	struct slow out = {.base = {.ops = &slow_ops}};
	const char *path = PATH_A;
	struct pack_input in = input_of(&path, 1);
	struct err e = ERR_INIT;
	struct layer l;
	pthread_t t;

	if (setrlimit(RLIMIT_NPROC, &one) < 0 ||
	    (geteuid() == 0 && setresuid(65534, 65534, 65534) < 0) ||
	    pthread_create(&t, NULL, nothing, NULL) == 0)
		return 2;
	if (pack_layer(p, &in, &out.base, &l, &e) < 0)
		return 1;
	return digest_eq(&l.digest, want) ? 0 : 1;
}

static void
test_no_thread(void)
{
	AUTO(buf) struct buf blob = BUF_INIT;
	const char *path = PATH_A;
	struct pack_input in = input_of(&path, 1);
	struct err e = ERR_INIT;
	struct layer l;
	int status;
	pid_t pid;

	if (pack_to(&blob, 2, &in, NULL, &l, &e) < 0)
		die(e.msg);
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid == 0)
		_exit(pack_without_threads(&l.digest));
	if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		status = 1 << 8;
	if (WEXITSTATUS(status) == 2)
		skip("no thread for a writer", "threads can't be forbidden");
	else
		ok(WEXITSTATUS(status) == 0,
		   "where no thread can be started, the same layer");
}

int
main(void)
{
	tree_init();
	make_dir(PATH_A);
	make_hole(PATH_A "/big", 40 * MIB);
	make_dir(PATH_B);
	make_noise(PATH_B "/f", 5 * MIB, 1);
	make_file(PATH_C, "tiny", 4, 0444);
	test_slow_writers();
	test_many();
	test_no_thread();
	tree_remove();
	return done_testing();
}
