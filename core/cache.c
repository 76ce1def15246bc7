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
	 bool *ret, uint64_t *ret_size, struct err *e)
{
	if (depth == CACHE_NEAR)
		return store_has_near(c->store, d, ret, ret_size, e);
	return store_has(c->store, d, ret, ret_size, e);
}

/* Of a cloud's blob it is said when there is time to ask for it. */
static bool
has_size(const struct cache *c, const struct digest *d, enum cache_depth depth,
	 uint64_t size, uint64_t expected)
{
	if (size == expected)
		return true;
	if (depth == CACHE_FAR || store_is_near(c->store))
		store_damaged(c->store, d, size, expected);
	return false;
}

/*
 * Are all blobs of a manifest in storage? The children of an index have to be
 * whole themselves.
 */
static int
all_there(const struct cache *c, const struct manifest_summary *m,
	  enum cache_depth depth, bool *ret, struct err *e)
{
	bool index = manifest_is_index(m->media_type);

	*ret = true;
	for (size_t i = 0; *ret && i < m->n; i++) {
		const struct digest *d = &m->blobs[i];
		struct manifest_info child;
		uint64_t size = 0;

		if (index ? find_manifest(c, d, depth, true, ret, &child, e) < 0
			  : is_there(c, d, depth, ret, &size, e) < 0)
			return -1;
		if (*ret && !index && m->sizes)
			*ret = has_size(c, d, depth, size, m->sizes[i]);
	}
	return 0;
}

/*
 * A manifest's own bytes, checked. Not found: there is none, or no more, or
 * none that can be read; whoever needs it makes it again.
 */
static int
read_manifest(const struct cache *c, const struct digest *d, struct arena *a,
	      bool *ret_found, struct manifest_summary *ret, struct err *e)
{
	AUTO(buf) struct buf text = BUF_INIT;
	struct err bad = ERR_INIT;

	*ret_found = false;
	if (store_read(c->store, d, MANIFEST_MAX, &text, &bad) < 0) {
		if (bad.kind == ERR_STORAGE) {
			*e = bad;
			return -1;
		}
		if (bad.kind == ERR_SYSTEM)
			log_err(LOG_ERROR, "manifest.unreadable", &bad);
		return 0;
	}
	*ret_found = manifest_read(a, text.p, text.len, ret, &bad) == 0;
	if (*ret_found)
		recent_note(c->sound, d);
	return 0;
}

/* For a database that has not heard of it. */
static int
learn_manifest(const struct cache *c, const struct digest *d, uint64_t size,
	       struct arena *a, bool *ret_found, struct manifest_summary *ret,
	       struct err *e)
{
	*ret_found = false;
	if (size > MANIFEST_MAX)
		return 0;
	if (read_manifest(c, d, a, ret_found, ret, e) < 0)
		return -1;
	if (!*ret_found)
		return 0;
	if (state_put_manifest(c->state, d, size, ret->media_type, ret->blobs,
			       ret->n, e) < 0)
		state_forgive(e);
	return 0;
}

/*
 * One that the database knows: are its bytes still right? The web server may
 * send them without us, so that nobody else looks. What is in a cloud only
 * we send, and look then.
 */
static bool
look_again(const struct cache *c, const struct digest *d,
	   enum cache_depth depth, bool whole, struct arena *a,
	   struct manifest_summary *m)
{
	struct manifest_summary read;
	struct err away = ERR_INIT;
	bool found;

	if (depth == CACHE_NEAR && !store_is_near(c->store))
		return true;
	if (!whole && recent_has(c->sound, d))
		return true;
	if (read_manifest(c, d, a, &found, &read, &away) < 0) {
		/* The cloud is unwell; what was there is still there. */
		log_debug("storage.assumed", LOG_S("error", away.msg));
		return true;
	}
	if (found)
		*m = read;
	return found;
}

static int
find_manifest(const struct cache *c, const struct digest *d,
	      enum cache_depth depth, bool whole, bool *ret_found,
	      struct manifest_info *ret, struct err *e)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	AUTO(buf) struct buf type = BUF_INIT, blobs = BUF_INIT;
	struct manifest_summary m = {.n = 0};
	uint64_t size = 0;
	bool known;

	ret->digest = *d;
	if (state_get_manifest(c->state, d, &known, &ret->size, &type, &blobs,
			       e) < 0 ||
	    is_there(c, d, depth, ret_found, &size, e) < 0)
		return -1;
	ret->media_type = known ? manifest_known_type(type.p) : NULL;
	known = ret->media_type != NULL;
	if (*ret_found && known)
		*ret_found = has_size(c, d, depth, size, ret->size);
	if (!*ret_found ||
	    (known && whole && depth == CACHE_NEAR && recent_has(c->whole, d)))
		return 0;
	if (known) {
		m.media_type = ret->media_type;
		m.blobs = (const struct digest *)(const void *)blobs.p;
		m.n = blobs.len / DIGEST_SIZE;
		*ret_found = look_again(c, d, depth, whole, &a, &m);
	} else if (learn_manifest(c, d, size, &a, ret_found, &m, e) < 0) {
		return -1;
	}
	if (!*ret_found)
		return 0;
	ret->size = size;
	ret->media_type = m.media_type;
	if (whole && all_there(c, &m, depth, ret_found, e) < 0)
		return -1;
	if (whole && *ret_found)
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
	if (*ret_found && !near && state_put_image(c->state, key, &d, e) < 0)
		state_forgive(e);
	return 0;
}

int
cache_put_image(const struct cache *c, const struct digest *key,
		const struct digest *manifest, struct err *e)
{
	if (records_put_image(c->store, key, manifest, e) < 0)
		return -1;
	if (state_put_image(c->state, key, manifest, e) < 0)
		state_forgive(e);
	return 0;
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
	if (*ret_found)
		*ret_found =
			has_size(c, &ret->digest, CACHE_FAR, size, ret->size);
	if (*ret_found && !near && state_put_layer(c->state, key, ret, e) < 0)
		state_forgive(e);
	return 0;
}

int
cache_put_layer(const struct cache *c, const struct digest *key,
		const struct layer *l, struct err *e)
{
	if (records_put_layer(c->store, key, l, e) < 0)
		return -1;
	if (state_put_layer(c->state, key, l, e) < 0)
		state_forgive(e);
	return 0;
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
	if (*ret_found && !near &&
	    state_put_referrers(c->state, subject, &d, e) < 0)
		state_forgive(e);
	return 0;
}

int
cache_put_referrers(const struct cache *c, const struct digest *subject,
		    const struct digest *list, struct err *e)
{
	if (records_put_referrers(c->store, subject, list, e) < 0)
		return -1;
	if (state_put_referrers(c->state, subject, list, e) < 0)
		state_forgive(e);
	return 0;
}
