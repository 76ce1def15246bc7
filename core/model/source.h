/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_MODEL_SOURCE_H
#define FIRN_MODEL_SOURCE_H

/*
 * Where packages come from, and which state of it an image is made of.
 *
 * A source is configured; together with the tag of an image it is resolved
 * (core/resolve.h) to a revision, which never moves: that is what cache keys
 * hold and what Nix is told.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/attr.h"

struct hasher;

enum source_kind {
	SOURCE_PATH,    /* a local directory */
	SOURCE_CHANNEL, /* a channel, branch or commit of nixpkgs */
	SOURCE_GIT,     /* a git repository; the tag is the reference */
	SOURCE_FLAKE,   /* a flake reference */
};

struct source {
	enum source_kind kind;
	const char *location; /* directory, channel, repository URL, flake */
	/*
	 * Of a channel: where its tarballs are, with one %s for the name;
	 * other kinds do not look at it.
	 */
	const char *channel_url;
};

/* "path", "channel", "git", "flake": stable, part of keys. */
const char *source_kind_name(enum source_kind kind);

/* What tells a source from others, into the hash of a key. */
void source_hash(const struct source *s, struct hasher *h);

#define REVISION_CAP 128

/* A source, resolved. */
struct revision {
	/*
	 * What tells this state from any other: a commit, the hash of a
	 * tree, a fingerprint of a directory. It names the state in labels
	 * and keys.
	 */
	char id[REVISION_CAP];
	uint64_t time; /* of the commit, seconds since 1970; 0: unknown */
	/*
	 * The state of the operator's overlays, which change what the names
	 * of the set mean; "" when there are none.
	 */
	char overlays[REVISION_CAP];
};

/* A tag that is not asked for by name means what is configured. */
#define SOURCE_TAG_DEFAULT "latest"

#endif
