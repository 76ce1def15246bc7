/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_PACK_WALK_H
#define FIRN_PACK_WALK_H

/*
 * A store path as a list of entries in the order of an archive: parents
 * before children, and the names as they are written (a directory's with a
 * slash at its end) in byte order.
 */
#include <stdbool.h>
#include <stddef.h>

#include "core/base/attr.h"
#include "core/sys/fsat.h"

struct err;

struct walk_entry {
	enum fsat_type type;
	const char *name; /* relative to "/"; a directory's ends in a slash */
	size_t name_n;
	const char *target; /* of a link */
	size_t target_n;
	bool exec;               /* of a file */
	int fd;                  /* of a file, at its start; closed for you */
	struct fsat_stamp stamp; /* of a file */
};

/* An entry; it is valid during the call. */
typedef int walk_fn(void *ctx, const struct walk_entry *w, struct err *e);

/*
 * Walk path ("/nix/store/..."), which is read below the directory root ("":
 * the real one). Symbolic links are never followed. Failures are ERR_SYSTEM
 * (unreadable, vanished, neither file nor directory nor link, nested too
 * deeply), or what fn returned.
 */
MUST_CHECK int walk_path(const char *root, const char *path, walk_fn *fn,
			 void *ctx, struct err *e);

#endif
