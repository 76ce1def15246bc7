/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_PACK_POOL_H
#define FIRN_PACK_POOL_H

/*
 * Threads that compress blocks for any number of lanes. A lane is one layer
 * that is being packed: blocks go in by one thread and come out, compressed
 * and in the same order, by another.
 *
 *	reader: lane_take, fill it, lane_submit; ... lane_close
 *	writer: lane_next, use it, lane_give; ... until NULL
 *
 * The number of blocks is fixed, so memory is bounded by the pool and not by
 * what is packed. LANE_OWN of them are each lane's own, so that one goes on
 * however slow the others' writers are; the others are for who comes first.
 * lane_take waits for one. This can't deadlock: a lane's oldest block never
 * waits for another, and a lane can always take its own.
 *
 * lane_fail, by either side: what comes in is thrown away and lane_take
 * returns NULL. The writer goes on to lane_next until it returns NULL.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/base/err.h"
#include "core/model/compression.h"
#include "core/pack/pack.h"

struct block {
	/* What goes in, at most codec_block(); then the member. */
	unsigned char *p;
	size_t n; /* bytes; 0 for what was thrown away */

	/* The pool's own. */
	struct lane *lane;
	struct block *next_job;
	struct block *next_lane;
	bool done;
};

/* pthread_create, with every signal left to the other threads. */
MUST_CHECK int pool_start_thread(pthread_t *ret, void *(*fn)(void *),
				 void *arg);

struct lane;

/* Of the blocks of a lane, those that it waits for nobody to get. */
#define LANE_OWN 2u

const struct compression *pool_compression(const struct pack_pool *p);

/* The lane borrows the pool. Waits while there are too many. */
struct lane *lane_new(struct pack_pool *p);
/* Only when lane_next has returned NULL. */
void lane_free(struct lane *l);

/* A block to fill, n = 0; NULL when the lane failed. */
struct block *lane_take(struct lane *l);
void lane_submit(struct lane *l, struct block *take_b);
void lane_close(struct lane *l);

struct block *lane_next(struct lane *l);
void lane_give(struct lane *l, struct block *take_b);

/* The first error is kept; e is copied. */
void lane_fail(struct lane *l, const struct err *e);
/* After lane_next returned NULL: 0, or -1 and the error. */
MUST_CHECK int lane_result(struct lane *l, struct err *e);

#endif
