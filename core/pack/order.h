/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_PACK_ORDER_H
#define FIRN_PACK_ORDER_H

/*
 * What stands in a layer, in the order of the archive: the names as they are
 * written there (a directory's with a slash at its end) in byte order, which
 * puts parents before children. Directories that nothing brings are made up.
 */
#include <stddef.h>

#include "core/base/attr.h"

struct arena;
struct err;
struct pack_entry;
struct pack_input;

struct order_item {
	const char *name;               /* as written */
	const struct pack_entry *entry; /* one of the input's, or */
	const char *path;               /* a store path; both NULL: made up */
};

struct order {
	struct order_item *v;
	size_t n;
};

/*
 * The order of an input; lives in the arena. Looks at what the store paths
 * are. ERR_INVALID: a name that is no clean path, stands there twice, or
 * lies within a store path, a file or a link; ERR_SYSTEM: a store path that
 * isn't there or is of another kind.
 */
MUST_CHECK int order_make(struct arena *a, const struct pack_input *in,
			  struct order *ret, struct err *e);

#endif
