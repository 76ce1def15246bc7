/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_FCGI_PARK_H
#define FIRN_FCGI_PARK_H

/*
 * Exchanges that wait, watched by one thread: for what they wait for, for
 * their deadlines, and for their clients' leaving.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "fcgi/exchange.h"

struct err;
struct park;
struct pollfd;

/* One of them; a part of the caller's connection. */
struct parked {
	struct exchange *x;
	int fd; /* hangs up when the client leaves */

	/* Ours. */
	struct parked *next;
	struct pollfd *poll;
};

struct park_options {
	size_t max;
	void *ctx;
	/* Has that ended what x waits for? Asked after park_wake. */
	bool (*ready)(void *ctx, struct exchange *x);
	/*
	 * The wait is over (WAKE_READY, WAKE_DEADLINE, WAKE_SHUTDOWN), or the
	 * client has left. On the thread of park_run; p is the caller's again.
	 */
	void (*back)(void *ctx, struct parked *p, enum wake why);
	void (*left)(void *ctx, struct parked *p);
};

MUST_CHECK int park_new(const struct park_options *o, struct park **ret,
			struct err *e);
/* After park_run has returned. */
void park_free(struct park *k);

enum park_result {
	PARK_DONE,   /* p is the park's now */
	PARK_FULL,   /* max wait already */
	PARK_CLOSED, /* nobody may wait any more */
};

/* Any thread. */
enum park_result park_add(struct park *k, struct parked *p);

/* Something that they wait for has ended. Any thread. */
void park_wake(struct park *k);

/* Watch until park_close; then all are back with WAKE_SHUTDOWN. */
void park_run(struct park *k);
void park_close(struct park *k);

size_t park_count(struct park *k);

#endif
