/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_RESOLVE_H
#define FIRN_RESOLVE_H

/*
 * From a source and a tag to a revision that never moves.
 *
 * The caller remembers the answer for the time to live; here nothing is
 * cached. May take seconds and start processes (git), so it is called on
 * build threads only.
 */
#include <stdbool.h>

#include "core/base/attr.h"
#include "core/model/source.h"

struct err;

struct resolve_options {
	const char *channel_url; /* with %s for the revision */
	const char *state_path;
	bool offline;
};

/*
 * Can this tag be one of the source's revisions at all? Looks at the words
 * alone, at once: ERR_NOT_FOUND, with what would be a tag, when it can't.
 */
MUST_CHECK int resolve_check_tag(const struct source *s, const char *tag,
				 struct err *e);

/*
 * Resolve. ERR_NOT_FOUND when there is no such revision, ERR_UPSTREAM when
 * the source can't be reached, ERR_SYSTEM when it can't be read.
 */
MUST_CHECK int resolve_revision(const struct source *s, const char *tag,
				const struct resolve_options *o,
				struct revision *ret, struct err *e);

#endif
