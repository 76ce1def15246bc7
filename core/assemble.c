/* SPDX-License-Identifier: Apache-2.0 */
#include "core/assemble.h"

#include <pthread.h>
#include <stdlib.h>

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/sink.h"
#include "core/cache.h"
#include "core/flight.h"
#include "core/model/layers.h"
#include "core/pack/pack.h"
#include "core/store/store.h"

/* One call's work, shared by its threads. */
struct batch {
	struct assembler *as;
	const struct assembly *layers;
	size_t n;
	const atomic_bool *cancel;
	void (*on_layer)(void *ctx);
	void *ctx;
	struct layer *ret;
	atomic_size_t next;
	pthread_mutex_t lock; /* over error */
	struct err error;     /* of the first that failed */
};

static int
pack_one(struct assembler *as, const struct assembly *in, struct layer *ret,
	 struct err *e)
{
	const struct pack_input input = {
		.entries = in->entries,
		.n_entries = in->n_entries,
		.paths = in->paths,
		.n_paths = in->n_paths,
		.root = "",
	};
	struct store *st = as->cache->store;
	struct sink *staged = NULL;

	if (store_begin(st, &staged, e) < 0)
		return -1;
	if (pack_layer(as->pool, &input, staged, ret, e) < 0) {
		store_discard(st, staged);
		return -1;
	}
	if (store_commit(st, staged, &ret->digest, e) < 0)
		return -1;
	atomic_fetch_add(&as->packed, 1);
	return cache_put_layer(as->cache, &in->key, ret, e);
}

/* Where the disk is full, what is kept of other layers gives way to it. */
static int
pack_anyhow(struct assembler *as, const struct assembly *in, struct layer *ret,
	    struct err *e)
{
	if (pack_one(as, in, ret, e) == 0)
		return 0;
	if (!err_is_full(e) || !pack_pool_yield(as->pool))
		return -1;
	err_clear(e);
	return pack_one(as, in, ret, e);
}

static int
find_or_pack(struct assembler *as, const struct assembly *in, struct layer *ret,
	     struct err *e)
{
	bool found = false;

	if (cache_find_layer(as->cache, &in->key, &found, ret, e) < 0)
		return -1;
	if (found) {
		atomic_fetch_add(&as->reused, 1);
		return 0;
	}
	return pack_anyhow(as, in, ret, e);
}

/* The same, once per key at a time. */
static int
get_layer(struct assembler *as, const struct assembly *in, struct layer *ret,
	  struct err *e)
{
	struct flight *f;
	bool first;
	int r;

	f = flight_join(as->flights, &in->key, &first);
	if (first) {
		r = find_or_pack(as, in, ret, e);
		flight_land(f, ret, sizeof(*ret), r < 0 ? e : NULL);
	} else {
		r = flight_wait(f, ret, sizeof(*ret), e);
	}
	flight_release(f);
	return r;
}

static void
note_error(struct batch *b, const struct err *e)
{
	(void)pthread_mutex_lock(&b->lock);
	if (b->error.kind == ERR_NONE)
		b->error = *e;
	(void)pthread_mutex_unlock(&b->lock);
	/* The others find nothing left to do. */
	atomic_store(&b->next, b->n);
}

/* Get the next layer; false when there is nothing left to do. */
static bool
work(struct batch *b)
{
	struct err e = ERR_INIT;
	size_t i = atomic_fetch_add(&b->next, 1);

	if (i >= b->n)
		return false;
	if (b->cancel && atomic_load(b->cancel))
		err_set(&e, ERR_BUSY, "the registry is shutting down");
	else if (get_layer(b->as, &b->layers[i], &b->ret[i], &e) == 0)
		b->on_layer(b->ctx);
	if (e.kind == ERR_NONE)
		return true;
	note_error(b, &e);
	return false;
}

static void *
help(void *arg)
{
	struct batch *b = arg;

	while (work(b))
		continue;
	atomic_fetch_sub(&b->as->helpers, 1);
	return NULL;
}

/* One more thread for the batch, if there may be one and it can be started. */
static bool
hire(struct batch *b, pthread_t *ret)
{
	struct assembler *as = b->as;

	if (atomic_fetch_add(&as->helpers, 1) + 1 < as->threads &&
	    pthread_create(ret, NULL, help, b) == 0)
		return true;
	atomic_fetch_sub(&as->helpers, 1);
	return false;
}

int
assemble_layers(struct assembler *as, const struct assembly *layers, size_t n,
		const atomic_bool *cancel, void (*on_layer)(void *ctx),
		void *ctx, struct layer *ret, struct err *e)
{
	struct batch b = {
		.as = as,
		.layers = layers,
		.n = n,
		.cancel = cancel,
		.on_layer = on_layer,
		.ctx = ctx,
		.ret = ret,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.error = ERR_INIT,
	};
	size_t most = (as->threads < n ? as->threads : n), hired = 0;
	AUTO(mem) pthread_t *threads = xcalloc(most + 1, sizeof(*threads));

	/* This thread works too; others join as other images let them go. */
	do {
		while (hired + 1 < most && hire(&b, &threads[hired]))
			hired++;
	} while (work(&b));
	for (size_t i = 0; i < hired; i++)
		(void)pthread_join(threads[i], NULL);
	(void)pthread_mutex_destroy(&b.lock);
	if (b.error.kind == ERR_NONE)
		return 0;
	*e = b.error;
	return -1;
}
