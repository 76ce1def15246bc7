/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <time.h>

#include "core/assemble.h"
#include "core/base/err.h"
#include "core/cache.h"
#include "core/flight.h"
#include "core/model/layers.h"
#include "core/pack/members.h"
#include "core/pack/pack.h"
#include "core/state.h"
#include "core/store/store.h"
#include "tests/support/must.h"
#include "tests/support/store_mem.h"
#include "tests/support/tap.h"
#include "tests/support/tree.h"

#define N 6

/* Layers of made-up files, so that no store path is needed. */
static struct pack_entry entries[N];
static struct assembly layers[N];
static char names[N][16];

static struct scene {
	struct cache cache;
	struct assembler as;
	atomic_int told;
} s;

static void
make_layers(void)
{
	for (size_t i = 0; i < N; i++) {
		int n = snprintf(names[i], sizeof(names[i]), "file%zu", i);

		entries[i] = (struct pack_entry){.type = PACK_FILE,
						 .mode = 0644,
						 .name = names[i],
						 .data = names[i],
						 .n = (size_t)n};
		layers[i] = (struct assembly){.entries = &entries[i],
					      .n_entries = 1};
		digest_of(names[i], (size_t)n, &layers[i].key);
	}
}

static void
begin(const char *dir, unsigned threads)
{
	struct err e = ERR_INIT;

	s.cache.store = store_mem_new();
	must(state_open(tree_path("%s", dir), &s.cache.state, &e), &e);
	s.as = (struct assembler){
		.cache = &s.cache,
		.flights = flights_new(),
		.pool = pack_pool_new(
			2, &(struct compression){COMPRESSION_GZIP, 1}),
		.threads = threads,
	};
	atomic_store(&s.told, 0);
}

static void
finish(void)
{
	pack_pool_free(s.as.pool);
	flights_free(s.as.flights);
	state_free(s.cache.state);
	store_free(s.cache.store);
}

static void
tell(void *ctx)
{
	if (ctx == &s)
		atomic_fetch_add(&s.told, 1);
}

static int
run(const struct assembly *what, size_t n, const atomic_bool *cancel,
    struct layer *ret, struct err *e)
{
	return assemble_layers(&s.as, what, n, cancel, tell, &s, ret, e);
}

static unsigned
packed(void)
{
	return (unsigned)atomic_load(&s.as.packed);
}

static bool
all_there(const struct layer *l, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct err e = ERR_INIT;
		uint64_t size = 0;
		bool found = false;

		if (store_has(s.cache.store, &l[i].digest, &found, &size, &e) <
			    0 ||
		    !found || size != l[i].size)
			return false;
	}
	return true;
}

static void
test_pack_and_reuse(void)
{
	struct layer got[N], again[N], single[N];
	struct err e = ERR_INIT;
	bool same = true;

	begin("reuse", 4);
	ok(run(layers, N, NULL, got, &e) == 0 && all_there(got, N),
	   "all layers are in storage %s", e.msg);
	is_u64(packed(), N, "each was packed");
	is_u64((unsigned)atomic_load(&s.told), N, "each was told of");
	ok(run(layers, N, NULL, again, &e) == 0 && packed() == N &&
		   atomic_load(&s.as.reused) == N,
	   "the second time they are found");
	store_mem_remove(s.cache.store, &got[2].digest);
	ok(run(layers, N, NULL, again, &e) == 0 && packed() == N + 1 &&
		   digest_eq(&again[2].digest, &got[2].digest) &&
		   all_there(again, N),
	   "one that got lost is packed again, to the same digest");
	ok(run(layers, 0, NULL, again, &e) == 0, "no layers is fine");
	finish();

	begin("single", 1);
	ok(run(layers, N, NULL, single, &e) == 0, "with one thread");
	for (size_t i = 0; i < N; i++)
		same = same && digest_eq(&single[i].digest, &got[i].digest) &&
		       digest_eq(&single[i].diff_id, &got[i].diff_id);
	ok(same, "they are the same");
	finish();
}

static void
test_twice_in_one(void)
{
	const struct assembly twice[4] = {layers[0], layers[1], layers[0],
					  layers[0]};
	struct layer got[4];
	struct err e = ERR_INIT;

	begin("twice", 4);
	ok(run(twice, 4, NULL, got, &e) == 0 && packed() == 2 &&
		   digest_eq(&got[0].digest, &got[2].digest) &&
		   digest_eq(&got[0].digest, &got[3].digest),
	   "what is wanted several times is packed once");
	finish();
}

struct call {
	pthread_t thread;
	struct layer got[N];
	int r;
};

static void *
call_thread(void *arg)
{
	struct call *c = arg;
	struct err e = ERR_INIT;

	c->r = run(layers, N, NULL, c->got, &e);
	return NULL;
}

/* All at once, each with its number in r: did all get their layers? */
static bool
call_all(struct call *calls, size_t n, void *(*thread)(void *))
{
	bool good = true;

	for (size_t i = 0; i < n; i++) {
		calls[i].r = (int)i;
		(void)pthread_create(&calls[i].thread, NULL, thread, &calls[i]);
	}
	for (size_t i = 0; i < n; i++) {
		(void)pthread_join(calls[i].thread, NULL);
		good = good && calls[i].r == 0 && all_there(calls[i].got, N);
	}
	return good;
}

static void
test_at_once(void)
{
	struct call calls[4];

	begin("at-once", 2);
	ok(call_all(calls, ARRAY_LEN(calls), call_thread),
	   "four images of the same layers at once");
	is_u64(packed(), N, "each layer is packed once");
	finish();
}

/* Told of a layer, on a thread: how many are there? */
static atomic_uint there, most_there;

static void
tell_slowly(void *ctx UNUSED)
{
	const struct timespec tick = {.tv_nsec = 30000000};
	unsigned n = atomic_fetch_add(&there, 1) + 1;
	unsigned most = atomic_load(&most_there);

	while (n > most && !atomic_compare_exchange_weak(&most_there, &most, n))
		continue;
	nanosleep(&tick, NULL);
	atomic_fetch_sub(&there, 1);
}

/* An image of layers that no other has. */
static void *
image_thread(void *arg)
{
	struct assembly own[N];
	struct call *c = arg;
	struct err e = ERR_INIT;

	for (size_t i = 0; i < N; i++) {
		own[i] = layers[i];
		own[i].key.b[0] = (unsigned char)c->r;
	}
	c->r = assemble_layers(&s.as, own, N, NULL, tell_slowly, NULL, c->got,
			       &e);
	return NULL;
}

static void
test_threads(void)
{
	struct call calls[3];

	begin("threads", 3);
	ok(call_all(calls, ARRAY_LEN(calls), image_thread),
	   "three images of different layers at once");
	ok(atomic_load(&most_there) >= 3 && atomic_load(&most_there) <= 5,
	   "on %u threads: three, and one for each further image",
	   atomic_load(&most_there));
	is_u64(atomic_load(&s.as.helpers), 0, "all of them are gone");
	finish();
}

static void
test_failure(void)
{
	struct layer got[N];
	struct err e = ERR_INIT;

	begin("failure", 1);
	store_mem_fail_write(s.cache.store);
	ok(run(layers, N, NULL, got, &e) < 0 && e.kind == ERR_SYSTEM,
	   "a full disk: %s", e.msg);
	ok(err_is_full(&e), "which is what it is");
	is_u64(packed(), 0, "the first failure stops the rest");
	err_clear(&e);
	ok(run(layers, N, NULL, got, &e) == 0 && packed() == N,
	   "and nothing stays behind of it %s", e.msg);
	finish();
}

/* Members that are kept are in the way. */
static void
test_yield(void)
{
	struct members *m = NULL;
	struct layer got[N];
	struct err e = ERR_INIT;
	struct digest key;
	char back[8];
	size_t n;

	must(members_open(tree_path("members"), 1 << 20, &m, &e), &e);
	digest_of("key", 3, &key);
	members_put(m, &key, "member", 6);
	begin("yield", 1);
	pack_pool_use_members(s.as.pool, m);
	store_mem_fail_write(s.cache.store);
	ok(run(layers, N, NULL, got, &e) == 0 && packed() == N,
	   "a disk that is full of members %s", e.msg);
	ok(!members_get(m, &key, back, sizeof(back), &n), "they gave way");
	members_put(m, &key, "member", 6);
	ok(!members_get(m, &key, back, sizeof(back), &n),
	   "and do so for some time");
	finish();
	members_free(m);
}

static void
test_unreadable(void)
{
	const char *const gone[] = {tree_path("no/such/path")};
	struct assembly bad = {.paths = gone, .n_paths = 1};
	struct assembly some[2] = {layers[0], bad};
	struct layer got[2];
	struct err e = ERR_INIT;

	digest_of("bad", 3, &some[1].key);
	begin("unreadable", 2);
	ok(run(some, 2, NULL, got, &e) < 0 && e.kind == ERR_SYSTEM,
	   "a store path that is gone: %s", e.msg);
	finish();
}

static void
test_cancel(void)
{
	struct layer got[N];
	struct err e = ERR_INIT;
	atomic_bool cancel = true;

	begin("cancel", 2);
	ok(run(layers, N, &cancel, got, &e) < 0 && e.kind == ERR_BUSY &&
		   packed() == 0,
	   "what is cancelled is not begun: %s", e.msg);
	finish();
}

int
main(void)
{
	tree_init();
	make_layers();
	test_pack_and_reuse();
	test_twice_in_one();
	test_at_once();
	test_threads();
	test_failure();
	test_yield();
	test_unreadable();
	test_cancel();
	tree_done();
	return done_testing();
}
