/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_CACHE_H
#define FIRN_CACHE_H

/*
 * The two cache tiers as one: this machine's database first, then the
 * records in storage; and the rule that nothing is found whose blobs are not
 * all there. Any thread.
 *
 * A manifest counts as there when its bytes are right, a layer or config when
 * its size is what the manifest says. What is damaged is no more there (see
 * store_damaged): it is made again, to the same digest, and so all that
 * points to it stays.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/digest.h"

struct err;
struct layer;
struct manifest_info;
struct recent;
struct state;
struct store;

struct cache {
	struct state *state; /* borrowed, all of these */
	struct store *store;
	/*
	 * Manifests that were whole a moment ago: CACHE_NEAR does not look
	 * for each of their blobs again. NULL: it always looks.
	 */
	struct recent *whole;
	/* Manifests whose bytes were right a moment ago. Likewise. */
	struct recent *sound;
};

enum cache_depth {
	/*
	 * What is known on this machine: no network, no waiting. Nothing is
	 * found that would have to be looked for in a cloud first.
	 */
	CACHE_NEAR,
	CACHE_FAR, /* the records too */
};

/*
 * The manifest of an image key or output key, when it and all its blobs are
 * there.
 */
MUST_CHECK int cache_find_image(const struct cache *c, const struct digest *key,
				enum cache_depth depth, bool *ret_found,
				struct manifest_info *ret, struct err *e);
MUST_CHECK int cache_put_image(const struct cache *c, const struct digest *key,
			       const struct digest *manifest, struct err *e);

/* A layer, when its blob is there. */
MUST_CHECK int cache_find_layer(const struct cache *c, const struct digest *key,
				bool *ret_found, struct layer *ret,
				struct err *e);
MUST_CHECK int cache_put_layer(const struct cache *c, const struct digest *key,
			       const struct layer *l, struct err *e);

/*
 * What is known of a manifest: from the database, or from its own bytes,
 * which are checked and then remembered. Not found when it isn't there or is
 * no manifest. With whole, all its blobs must be there too; those of an
 * index are manifests, which must be whole themselves.
 */
MUST_CHECK int cache_find_manifest(const struct cache *c,
				   const struct digest *d, bool whole,
				   bool *ret_found, struct manifest_info *ret,
				   struct err *e);

/*
 * The index of what is attached to a manifest; with whole, when all of that
 * is there.
 */
MUST_CHECK int cache_find_referrers(const struct cache *c,
				    const struct digest *subject, bool whole,
				    bool *ret_found, struct manifest_info *ret,
				    struct err *e);
MUST_CHECK int cache_put_referrers(const struct cache *c,
				   const struct digest *subject,
				   const struct digest *list, struct err *e);

#endif
