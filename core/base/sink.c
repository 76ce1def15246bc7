/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/sink.h"

#include <stdlib.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/mem.h"

struct buf_sink {
	struct sink base;
	struct buf *to;
	size_t max;
};

static int
buf_sink_write(struct sink *s, const void *p, size_t n, struct err *e)
{
	struct buf_sink *b = (struct buf_sink *)s;

	if (n > b->max - b->to->len)
		return err_set(e, ERR_SYSTEM, "more than %zu bytes", b->max);
	buf_add(b->to, p, n);
	return 0;
}

static int
buf_sink_finish(struct sink *s UNUSED, struct err *e UNUSED)
{
	return 0;
}

static void
buf_sink_free(struct sink *s)
{
	free(s);
}

static const struct sink_ops buf_sink_ops = {
	.write = buf_sink_write,
	.finish = buf_sink_finish,
	.free = buf_sink_free,
};

struct sink *
sink_to_buf(struct buf *to, size_t max)
{
	struct buf_sink *b = xcalloc(1, sizeof(*b));

	b->base.ops = &buf_sink_ops;
	b->to = to;
	b->max = max;
	return &b->base;
}
