/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_BUILD_IMPL_H
#define FIRN_BUILD_IMPL_H

/* What the files of the pipeline, build*.c, share; for them alone. */
#include <stdatomic.h>

#include "core/attach.h"
#include "core/base/arena.h"
#include "core/build.h"
#include "core/model/source.h"
#include "core/nix.h"
#include "core/stages.h"

struct buf;
struct buildlog;

/* Of what builder.source_failures holds. */
#define BUILD_SOURCE_KEY ((const struct digest){.b = {0}})

/* One build, while it runs. */
struct build {
	struct builder *g;
	struct job *job;
	struct arena arena;
	const struct order *order;
	const struct platform *platform; /* the one that is being built */
	struct revision revision;
	const char *tree; /* where the set is; NULL: not needed so far */
	int tree_hold;    /* keeps it there; -1: none */
	/*
	 * Finding an image may fail soon: who asks again loses nothing. The
	 * patient one from where work begins; attach has the same.
	 */
	const struct cache *cache;
	struct digest image_key;
	struct nix_watch watch;
	struct attach attach;
	size_t n_layers;
	atomic_size_t layers_ready;
	struct stages stages;
	bool again;    /* it failed a moment ago; the error is from then */
	bool remember; /* who asks again is told the error */
	uint64_t start_ms;
	struct buildlog *log; /* NULL: none is kept */
};

/* What it does now: for those who wait, and for its page. */
PRINTF(2, 3) void build_say(struct build *b, const char *fmt, ...);

/* The build's page, from its start to its end; *e may gain where it is. */
void build_tell_start(struct build *b);
void build_tell_line(void *b, const char *line, size_t n);
void build_tell_end(struct build *b, const struct manifest_info *made,
		    struct err *e);

/*
 * Which state of the package set does the order's tag mean? Into b->revision.
 */
MUST_CHECK int build_resolve(struct build *b, struct err *e);

/* Where the set is on disk; NULL for a flake, which Nix finds by itself. */
MUST_CHECK int build_find_tree(struct build *b, const char **ret,
			       struct err *e);

/*
 * One platform's image, b->platform's: found or built, in OCI's form. Sets
 * b->image_key.
 */
MUST_CHECK int build_image(struct build *b, struct manifest_info *ret,
			   struct err *e);

/* Store a manifest that needs these n blobs, and remember it. */
MUST_CHECK int build_put_manifest(struct build *b, const struct buf *text,
				  const char *media_type,
				  const struct digest *blobs, size_t n,
				  struct manifest_info *ret, struct err *e);

/*
 * All that was ordered, each image in each form, and the indexes. *ret is
 * the OCI form of what the order's name stands for.
 */
MUST_CHECK int build_forms(struct build *b, struct manifest_info *ret,
			   struct err *e);

#endif
