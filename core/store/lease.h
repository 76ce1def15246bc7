/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_STORE_LEASE_H
#define FIRN_STORE_LEASE_H

/*
 * Something that is good for a while and is had by asking: a token, or keys.
 * It is asked for before it ends, by one thread, while the others go on with
 * the one that there is; and not again for a while after a failure. Any
 * thread.
 */
#include <stdint.h>

#include "core/base/attr.h"

struct err;
struct lease;

/* What was had, and how long it is good; or how long not to ask again. */
struct lease_answer {
	void *value;
	uint64_t life_s;
	uint64_t quiet_ms; /* after a failure; 0: as lease_new was told */
};

struct lease_ops {
	int (*ask)(void *ctx, struct lease_answer *ret, struct err *e);
	void (*free_value)(void *value);
};

/*
 * ctx is borrowed. After a failure it is left alone for quiet_ms, then for
 * twice as long each time.
 */
struct lease *lease_new(const struct lease_ops *ops, void *ctx,
			uint64_t quiet_ms, uint64_t quiet_max_ms);
void lease_free(struct lease *l);

/* left_ms: for so long the value is good. */
typedef void lease_use_fn(void *arg, void *value, uint64_t left_ms);

/*
 * Call use with a value that is good now; it has to be quick, and copies what
 * it wants to keep. A failure is that of ask, also of one a moment ago.
 */
MUST_CHECK int lease_use(struct lease *l, lease_use_fn *use, void *arg,
			 struct err *e);

/* After a failure: until it can be asked for again. */
void lease_wait(struct lease *l);

/* It was refused: ask for another one next time. */
void lease_drop(struct lease *l);

/* How many values there were. */
unsigned lease_generation(struct lease *l);

#endif
