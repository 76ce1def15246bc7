/* SPDX-License-Identifier: Apache-2.0 */
#include "core/cache.h"

#include <string.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/jobs.h"
#include "core/model/layers.h"
#include "core/model/manifest.h"
#include "core/recent.h"
#include "core/records.h"
#include "core/state.h"
#include "core/store/store.h"
#include "core/sys/log.h"

static int find_manifest(const struct cache *c, const struct digest *d,
			 enum cache_depth depth, bool whole, bool *ret_found,
			 struct manifest_info *ret, struct err *e);

static int
is_there(const struct cache *c, const struct digest *d, enum cache_depth depth,
	 bool *ret, struct err *e)
{
	if (depth == CACHE_NEAR)
		return store_has_near(c->store, d, ret, NULL, e);
	return store_has(c->store, d, ret, NULL, e);
}

/*
 * Are all of these n digests in storage? The children of an index have to be
 * whole themselves.
 */
static int
all_there(const struct cache *c, const char *blobs, size_t n, bool index,
	  enum cache_depth depth, bool *ret, struct err *e)
{
	*ret = true;
	for (size_t i = 0; *ret && i < n; i++) {
		struct manifest_info child;
		struct digest d;
		int r;

		memcpy(d.b, blobs + i * DIGEST_SIZE, DIGEST_SIZE);
		r = index ? find_manifest(c, &d, depth, true, ret, &child, e)
			  : is_there(c, &d, depth, ret, e);
		if (r < 0)
			return -1;
	}
	return 0;
}

/* From its own bytes: for a database that has not heard of it. */
static int
learn_manifest(const struct cache *c, const struct digest *d, bool *ret_found,
	       struct manifest_info *ret, struct buf *blobs, struct err *e)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	AUTO(buf) struct buf text = BUF_INIT;
	struct manifest_summary s;
	struct err bad = ERR_INIT;
	uint64_t size = 0;

	if (store_has(c->store, d, ret_found, &size, e) < 0)
		return -1;
	if (!*ret_found || size > MANIFEST_MAX) {
		*ret_found = false;
		return 0;
	}
	*ret_found = false;
	if (store_read(c->store, d, MANIFEST_MAX, &text, &bad) < 0) {
		if (bad.kind != ERR_SYSTEM && bad.kind != ERR_NOT_FOUND) {
			*e = bad;
			return -1;
		}
		/* Damaged: it is made again. */
		log_err(LOG_ERROR, "manifest.damaged", &bad);
		return 0;
	}
	if (manifest_read(&a, text.p, text.len, &s, &bad) < 0)
		return 0;
	buf_add(blobs, s.blobs, s.n * sizeof(*s.blobs));
	ret->digest = *d;
	ret->size = size;
	ret->media_type = s.media_type;
	*ret_found = true;
	return state_put_manifest(c->state, d, size, s.media_type, s.blobs, s.n,
				  e);
}

static int
find_manifest(const struct cache *c, const struct digest *d,
	      enum cache_depth depth, bool whole, bool *ret_found,
	      struct manifest_info *ret, struct err *e)
{
	AUTO(buf) struct buf type = BUF_INIT, blobs = BUF_INIT;
	bool there = true;

	ret->digest = *d;
	if (state_get_manifest(c->state, d, ret_found, &ret->size, &type,
			       &blobs, e) < 0)
		return -1;
	if (*ret_found) {
		ret->media_type = manifest_known_type(type.p);
		*ret_found = ret->media_type != NULL;
	}
	if (!*ret_found) {
		buf_clear(&blobs);
		if (is_there(c, d, depth, ret_found, e) < 0 ||
		    (*ret_found &&
		     learn_manifest(c, d, ret_found, ret, &blobs, e) < 0))
			return -1;
	} else if (is_there(c, d, depth, ret_found, e) < 0) {
		return -1;
	}
	if (!*ret_found || !whole)
		return 0;
	if (depth == CACHE_NEAR && recent_has(c->whole, d))
		return 0;
	if (all_there(c, blobs.p, blobs.len / DIGEST_SIZE,
		      manifest_is_index(ret->media_type), depth, &there, e) < 0)
		return -1;
	*ret_found = there;
	if (there)
		recent_note(c->whole, d);
	return 0;
}

int
cache_find_manifest(const struct cache *c, const struct digest *d, bool whole,
		    bool *ret_found, struct manifest_info *ret, struct err *e)
{
	return find_manifest(c, d, CACHE_FAR, whole, ret_found, ret, e);
}

int
cache_find_image(const struct cache *c, const struct digest *key,
		 enum cache_depth depth, bool *ret_found,
		 struct manifest_info *ret, struct err *e)
{
	bool near = false;
	struct digest d;

	if (state_get_image(c->state, key, &near, &d, e) < 0)
		return -1;
	*ret_found = near;
	if (!near && depth == CACHE_FAR &&
	    records_get_image(c->store, key, ret_found, &d, e) < 0)
		return -1;
	if (!*ret_found)
		return 0;
	if (find_manifest(c, &d, depth, true, ret_found, ret, e) < 0)
		return -1;
	if (*ret_found && !near)
		return state_put_image(c->state, key, &d, e);
	return 0;
}

int
cache_put_image(const struct cache *c, const struct digest *key,
		const struct digest *manifest, struct err *e)
{
	if (records_put_image(c->store, key, manifest, e) < 0)
		return -1;
	return state_put_image(c->state, key, manifest, e);
}

int
cache_find_layer(const struct cache *c, const struct digest *key,
		 bool *ret_found, struct layer *ret, struct err *e)
{
	bool near = false;
	uint64_t size = 0;

	if (state_get_layer(c->state, key, &near, ret, e) < 0)
		return -1;
	*ret_found = near;
	if (!near && records_get_layer(c->store, key, ret_found, ret, e) < 0)
		return -1;
	if (!*ret_found)
		return 0;
	if (store_has(c->store, &ret->digest, ret_found, &size, e) < 0)
		return -1;
	if (*ret_found && size != ret->size) {
		char text[DIGEST_TEXT_CAP];

		digest_text(&ret->digest, text);
		log_error("blob.damaged", LOG_S("digest", text),
			  LOG_N("size", size), LOG_N("expected", ret->size));
		*ret_found = false;
	}
	if (*ret_found && !near)
		return state_put_layer(c->state, key, ret, e);
	return 0;
}

int
cache_put_layer(const struct cache *c, const struct digest *key,
		const struct layer *l, struct err *e)
{
	if (records_put_layer(c->store, key, l, e) < 0)
		return -1;
	return state_put_layer(c->state, key, l, e);
}

int
cache_find_referrers(const struct cache *c, const struct digest *subject,
		     bool whole, bool *ret_found, struct manifest_info *ret,
		     struct err *e)
{
	bool near = false;
	struct digest d;

	if (state_get_referrers(c->state, subject, &near, &d, e) < 0)
		return -1;
	*ret_found = near;
	if (!near &&
	    records_get_referrers(c->store, subject, ret_found, &d, e) < 0)
		return -1;
	if (!*ret_found)
		return 0;
	if (cache_find_manifest(c, &d, whole, ret_found, ret, e) < 0)
		return -1;
	if (*ret_found && !near)
		return state_put_referrers(c->state, subject, &d, e);
	return 0;
}

int
cache_put_referrers(const struct cache *c, const struct digest *subject,
		    const struct digest *list, struct err *e)
{
	if (records_put_referrers(c->store, subject, list, e) < 0)
		return -1;
	return state_put_referrers(c->state, subject, list, e);
}
