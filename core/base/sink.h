/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_BASE_SINK_H
#define FIRN_BASE_SINK_H

/*
 * One stage of the byte pipeline tar -> hash -> compress -> hash -> store.
 *
 * A stage borrows its bytes and its next stage; whoever made a stage frees
 * it. After the first failure the chain is dead: only sink_free() may follow.
 * A stage belongs to one thread at a time.
 */
#include <stddef.h>
#include <stdint.h>

#include "core/base/attr.h"

struct buf;
struct err;
struct sink;

struct sink_ops {
	int (*write)(struct sink *s, const void *p, size_t n, struct err *e);
	/* Flush what is held back, then the next stage. */
	int (*finish)(struct sink *s, struct err *e);
	void (*free)(struct sink *s);
};

/* Embed as the first member. */
struct sink {
	const struct sink_ops *ops;
};

/* Push n bytes into the chain. */
MUST_CHECK static inline int
sink_write(struct sink *s, const void *p, size_t n, struct err *e)
{
	return s->ops->write(s, p, n, e);
}

/* Flush every stage, first to last. Call exactly once. */
MUST_CHECK static inline int
sink_finish(struct sink *s, struct err *e)
{
	return s->ops->finish(s, e);
}

/* NULL is fine. */
static inline void
sink_free(struct sink *s)
{
	if (s)
		s->ops->free(s);
}

static inline void
sink_auto(struct sink **s)
{
	sink_free(*s);
}

/*
 * A sink that collects into to (borrowed), at most max bytes: over it, a
 * write fails with ERR_SYSTEM.
 */
struct sink *sink_to_buf(struct buf *to, size_t max);

#endif
