/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "core/flight.h"
#include "tests/support/tap.h"

#define WAITERS 8

struct waiter {
	struct flights *table;
	struct digest key;
	sem_t *joined;
	bool first;
	int r;
	int value;
	struct err e;
};

static void *
wait_for_it(void *arg)
{
	struct waiter *w = arg;
	struct flight *f = flight_join(w->table, &w->key, &w->first);

	(void)sem_post(w->joined);
	if (!w->first)
		w->r = flight_wait(f, &w->value, sizeof(w->value), &w->e);
	flight_release(f);
	return NULL;
}

/* One is in the air; eight more join before it lands. */
static void
test_latecomers(struct flights *t, const struct err *error)
{
	struct waiter w[WAITERS];
	pthread_t threads[WAITERS];
	bool first = false, good = true;
	struct digest key;
	struct flight *f;
	const int value = 42;
	sem_t joined;

	digest_of("key", 3, &key);
	(void)sem_init(&joined, 0, 0);
	f = flight_join(t, &key, &first);
	ok(first, "who comes first is told so");
	for (size_t i = 0; i < WAITERS; i++) {
		w[i] = (struct waiter){.table = t,
				       .key = key,
				       .joined = &joined,
				       .e = ERR_INIT};
		(void)pthread_create(&threads[i], NULL, wait_for_it, &w[i]);
	}
	for (size_t i = 0; i < WAITERS; i++)
		(void)sem_wait(&joined);
	flight_land(f, &value, sizeof(value), error);
	flight_release(f);
	for (size_t i = 0; i < WAITERS; i++) {
		(void)pthread_join(threads[i], NULL);
		if (error)
			good = good && w[i].r < 0 &&
			       w[i].e.kind == error->kind &&
			       strcmp(w[i].e.msg, error->msg) == 0;
		else
			good = good && w[i].r == 0 && w[i].value == value;
		good = good && !w[i].first;
	}
	ok(good, "%s",
	   error ? "latecomers get the error" : "latecomers get the result");
	(void)sem_destroy(&joined);
}

static void
test_keys(struct flights *t)
{
	struct digest one, two;
	struct flight *f, *g, *again;
	bool first = false;
	int value = 0;
	struct err e = ERR_INIT;

	digest_of("1", 1, &one);
	digest_of("2", 1, &two);
	f = flight_join(t, &one, &first);
	g = flight_join(t, &two, &first);
	ok(first && f != g, "another key does not wait");
	again = flight_join(t, &one, &first);
	ok(!first && again == f, "the same key joins");
	value = 7;
	flight_land(f, &value, sizeof(value), NULL);
	flight_release(f);
	f = flight_join(t, &one, &first);
	ok(first && f != again, "a key is free again once it has landed");
	value = 0;
	ok(flight_wait(again, &value, sizeof(value), &e) == 0 && value == 7,
	   "who joined before still gets that result");
	flight_release(again);
	value = 8;
	flight_land(g, &value, sizeof(value), NULL);
	flight_land(f, &value, sizeof(value), NULL);
	flight_release(f);
	flight_release(g);
}

/* Work on few keys by many threads: at most one at a time on each. */
#define KEYS 3
#define ROUNDS 500

static struct storm {
	struct flights *table;
	atomic_int busy[KEYS];
	atomic_int bad;
	atomic_int work;
	atomic_int waits;
} storm;

static void
storm_once(unsigned k)
{
	struct err e = ERR_INIT, sent = ERR_INIT;
	struct digest key;
	struct flight *f;
	bool first;
	unsigned got = 0;

	digest_of(&k, sizeof(k), &key);
	f = flight_join(storm.table, &key, &first);
	if (first) {
		if (atomic_fetch_add(&storm.busy[k], 1) != 0)
			atomic_fetch_add(&storm.bad, 1);
		if (atomic_fetch_add(&storm.work, 1) % 5 == 0)
			err_set(&sent, ERR_BUILD, "on purpose");
		atomic_fetch_sub(&storm.busy[k], 1);
		flight_land(f, &k, sizeof(k),
			    sent.kind == ERR_NONE ? NULL : &sent);
	} else {
		int r = flight_wait(f, &got, sizeof(got), &e);

		if (r == 0 ? got != k : e.kind != ERR_BUILD)
			atomic_fetch_add(&storm.bad, 1);
		atomic_fetch_add(&storm.waits, 1);
	}
	flight_release(f);
}

static void *
storm_thread(void *arg UNUSED)
{
	for (unsigned i = 0; i < ROUNDS; i++)
		storm_once(i % KEYS);
	return NULL;
}

static void
test_storm(struct flights *t)
{
	pthread_t threads[WAITERS];

	storm.table = t;
	for (size_t i = 0; i < WAITERS; i++)
		(void)pthread_create(&threads[i], NULL, storm_thread, NULL);
	for (size_t i = 0; i < WAITERS; i++)
		(void)pthread_join(threads[i], NULL);
	is_u64((unsigned)atomic_load(&storm.bad), 0,
	       "never two at once on a key, and every result is the key's");
	is_u64((unsigned)(atomic_load(&storm.work) + atomic_load(&storm.waits)),
	       WAITERS * ROUNDS, "everyone was served");
}

int
main(void)
{
	struct flights *t = flights_new();
	struct err error = ERR_INIT;

	test_latecomers(t, NULL);
	err_set(&error, ERR_DENIED, "not this one");
	test_latecomers(t, &error);
	test_keys(t);
	test_storm(t);
	flights_free(t);
	flights_free(NULL);
	return done_testing();
}
