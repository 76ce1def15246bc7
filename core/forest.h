/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_FOREST_H
#define FIRN_FOREST_H

/*
 * What an image has beside /nix/store: a forest of symbolic links that puts
 * its packages at /bin, /etc, /share, and the few files and directories
 * that every image needs.
 *
 * Directories are real ones (so that a later image can add to them), made by
 * merging those of the packages; everything else is a link into the store.
 * Where two packages have the same name, a directory is merged (also one
 * behind a link, unless that leads back to where it stands), and of files the
 * first wins, in the order of the packages' names (then paths). A relative
 * link that two packages share, such as lib64 -> lib, is kept as it is. A
 * package that brings /etc/passwd or the like wins over ours. nix-support is
 * left out, and so is what would cover /nix, /proc, /sys and /dev.
 */
#include <stddef.h>

#include "core/base/attr.h"

struct arena;
struct err;
struct pack_entry;

struct forest {
	const struct pack_entry *entries; /* sorted as pack.h wants them */
	size_t n;
	const char *path;      /* what PATH should be */
	const char *cert_file; /* where the CA bundle is; NULL: nowhere */
	size_t collisions;     /* names that lost against another file */
};

/*
 * Changes with the entries that the same packages give; part of the keys.
 */
#define FOREST_FORMAT 2u

/* Most entries, and the deepest directory, that a forest may have. */
#define FOREST_MAX_ENTRIES 1000000u
#define FOREST_MAX_DEPTH 100u

/*
 * Make the forest of n store paths. Reads their directories. Lives in the
 * arena. ERR_DENIED over a limit, ERR_SYSTEM when one can't be read.
 */
MUST_CHECK int forest_make(struct arena *a, const char *const *paths, size_t n,
			   struct forest *ret, struct err *e);

#endif
