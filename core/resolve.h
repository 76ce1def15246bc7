/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_RESOLVE_H
#define FIRN_RESOLVE_H

/*
 * From a source and a tag to a revision that never moves, and to the
 * directory that holds it.
 *
 * Git repositories and tarballs are unpacked once for each revision, below
 * the state directory, and evaluated there as directories; those in use and
 * the four used last are kept. (A flake's revision is Nix's matter:
 * nix_lock_flake.)
 *
 * The caller remembers the answer for the time to live; here nothing is
 * cached. May take minutes and start processes (git, tar), so it is called on
 * build threads only; any thread, any time.
 */
#include <stdatomic.h>
#include <stdbool.h>

#include "core/base/attr.h"
#include "core/model/source.h"

struct buf;
struct err;

struct resolve_options {
	const char *channel_url; /* with %s for the revision */
	const char *state_path;
	bool offline;
	/*
	 * Of the commits behind channel_url, which may be anybody's, only the
	 * one that is configured and those that were found as a name's.
	 */
	bool found_commits_only;
	const atomic_bool *cancel; /* ends it (ERR_BUSY); may be NULL */
};

/*
 * Can this tag be one of the source's revisions at all? Looks at the words
 * alone, at once: ERR_NOT_FOUND, with what would be a tag, when it can't.
 */
MUST_CHECK int resolve_check_tag(const struct source *s, const char *tag,
				 struct err *e);

/*
 * Is what is configured there, as far as a look at this machine's files
 * tells? Asks nobody and starts no process. ERR_UPSTREAM if not.
 */
MUST_CHECK int resolve_check_source(const struct source *s,
				    const struct resolve_options *o,
				    struct err *e);

/*
 * Resolve. ERR_NOT_FOUND when there is no such revision, ERR_UPSTREAM when
 * the source can't be reached, ERR_SYSTEM when it can't be read. Not for
 * flakes (asserts).
 */
MUST_CHECK int resolve_revision(const struct source *s, const char *tag,
				const struct resolve_options *o,
				struct revision *ret, struct err *e);

/*
 * The directory that holds what was resolved, appended to path: fetched again
 * if it is not there any more. ERR_BUSY when that state of the source can't
 * be had any more, since it moved on: resolve anew. Not for flakes.
 *
 * It stays there until the descriptor *ret_hold is closed; -1 for what is not
 * ours.
 */
MUST_CHECK int resolve_tree(const struct source *s, const char *tag,
			    const struct revision *r,
			    const struct resolve_options *o, struct buf *path,
			    int *ret_hold, struct err *e);

#endif
