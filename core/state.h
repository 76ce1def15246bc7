/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_STATE_H
#define FIRN_STATE_H

/*
 * What this machine remembers, in SQLite: the first cache tier. Nothing in
 * it is the only copy; a database that is lost or damaged costs lookups: it
 * is set aside as *.damaged and made anew when that is noticed, at the next
 * open or while it is used. Rows have checksums: one that is not as it was
 * put is logged and counts as absent, and the next put mends it.
 *
 * Any thread, several processes: WAL, a connection and prepared statements
 * per thread. Lookups say absence with false; failures are ERR_SYSTEM.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/digest.h"
#include "core/model/source.h"

struct arena;
struct buf;
struct err;
struct graph;
struct layer;
struct popularity;
struct state;

/* Opens DIR/firn.sqlite, makes or migrates it. */
MUST_CHECK int state_open(const char *dir, struct state **ret, struct err *e);
/* No other thread uses it any more. */
void state_free(struct state *st);

/*
 * After a put that failed: that something was not kept (a full disk) costs
 * lookups, and need not fail what was asked for. Logs e, and clears it.
 */
void state_forgive(struct err *e);

/*
 * What a moving reference resolved to, until a time (seconds since 1970). It
 * is not found either when it would hold for more than ttl_s from now: it was
 * put while things were remembered for longer.
 */
MUST_CHECK int state_get_revision(struct state *st, const struct digest *key,
				  uint64_t now, uint64_t ttl_s, bool *ret_found,
				  struct revision *ret, struct err *e);
MUST_CHECK int state_put_revision(struct state *st, const struct digest *key,
				  const struct revision *r, uint64_t until,
				  struct err *e);

/* Image keys and output keys to the digest of a manifest. */
MUST_CHECK int state_get_image(struct state *st, const struct digest *key,
			       bool *ret_found, struct digest *ret,
			       struct err *e);
MUST_CHECK int state_put_image(struct state *st, const struct digest *key,
			       const struct digest *manifest, struct err *e);

/* Layer keys to layers. */
MUST_CHECK int state_get_layer(struct state *st, const struct digest *key,
			       bool *ret_found, struct layer *ret,
			       struct err *e);
MUST_CHECK int state_put_layer(struct state *st, const struct digest *key,
			       const struct layer *l, struct err *e);

/*
 * Manifests that we have served: size, media type, and the blobs that must
 * be there with it. The digests are appended to blobs, DIGEST_SIZE each.
 */
MUST_CHECK int state_get_manifest(struct state *st, const struct digest *d,
				  bool *ret_found, uint64_t *ret_size,
				  struct buf *media_type, struct buf *blobs,
				  struct err *e);
MUST_CHECK int state_put_manifest(struct state *st, const struct digest *d,
				  uint64_t size, const char *media_type,
				  const struct digest *blobs, size_t n,
				  struct err *e);

/* Subjects to the index of what is attached to them. */
MUST_CHECK int state_get_referrers(struct state *st,
				   const struct digest *subject,
				   bool *ret_found, struct digest *ret,
				   struct err *e);
MUST_CHECK int state_put_referrers(struct state *st,
				   const struct digest *subject,
				   const struct digest *list, struct err *e);

/*
 * What has been built under which name: image names and their tags, for the
 * lists that clients ask for. Names come sorted by bytes, those after last
 * (NULL: from the first), at most max of them, and live in the arena.
 */
struct state_names {
	const char **v;
	size_t n;
	bool more;
};

MUST_CHECK int state_put_tag(struct state *st, const char *name,
			     const char *tag, const struct digest *manifest,
			     struct err *e);
MUST_CHECK int state_list_tags(struct state *st, const char *name,
			       const char *last, size_t max, struct arena *a,
			       struct state_names *ret, struct err *e);
MUST_CHECK int state_list_images(struct state *st, const char *last, size_t max,
				 struct arena *a, struct state_names *ret,
				 struct err *e);

/*
 * How often each package was in an image that was built here: one more for
 * each name of the closure; and all counts so far, added to the table.
 */
MUST_CHECK int state_add_usage(struct state *st, const struct graph *g,
			       struct err *e);
MUST_CHECK int state_get_usage(struct state *st, struct popularity *to,
			       struct err *e);

/* Does it answer? For /readyz. */
MUST_CHECK int state_check(struct state *st, struct err *e);

#endif
