/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_MODEL_NARINFO_H
#define FIRN_MODEL_NARINFO_H

/* What a binary cache says of one store path: the .narinfo files of Nix. */
#include <stddef.h>

#include "core/base/attr.h"

struct arena;
struct err;

/* More is not read: the largest of a real cache have some 20 KB. */
#define NARINFO_MAX (1u << 20)

struct narinfo {
	const char *path;        /* last part of the store path: HASH-NAME */
	const char *const *refs; /* likewise; without the path itself */
	size_t n_refs;
};

/* Lives in the arena. Fails with ERR_INVALID. */
MUST_CHECK int narinfo_parse(struct arena *a, const char *text, size_t n,
			     struct narinfo *ret, struct err *e);

#endif
