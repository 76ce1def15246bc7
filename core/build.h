/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_BUILD_H
#define FIRN_BUILD_H

/*
 * The pipeline: from what was asked to a manifest in storage. The engine
 * runs it on its threads; this file alone knows the order of the stages.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/assemble.h"
#include "core/base/arena.h"
#include "core/base/attr.h"
#include "core/base/err.h"
#include "core/cache.h"
#include "core/config.h"
#include "core/counts.h"
#include "core/keys.h"
#include "core/model/image.h"
#include "core/pack/pack.h"
#include "core/stages.h"

struct buildlogs;
struct failures;
struct flights;
struct job;
struct manifest_info;
struct members;
struct nix;
struct nix_options;
struct resolve_options;
struct revision;
struct state;
struct store;

/* What every build works with; any number at a time. Borrowed. */
struct builder {
	const struct config *config;
	struct store *store;
	struct state *state;
	pthread_mutex_t nix_lock; /* while nix is opened */
	struct nix *nix;          /* NULL: not there yet; see build_open_nix */
	struct cache cache;   /* for who waits: it soon says that it can't */
	struct cache patient; /* for who has work to lose: store_for_build */
	struct assembler assembler;
	struct key_settings settings;
	struct counts counts;
	struct members *members;   /* NULL: blocks are not kept */
	struct buildlogs *logs;    /* NULL: they are not kept */
	struct flights *resolving; /* by revision key */
	/* By image key: what can't be built, and is not tried again yet. */
	struct failures *failures;
	/* Of one key: why the source could not be asked just now. */
	struct failures *source_failures;
	char pack_id[PACK_ID_CAP];
};

/* What was asked. */
struct order {
	struct arena arena; /* has the rest */
	struct image image;
	const struct platform *platforms[CONFIG_PLATFORMS_MAX];
	size_t n_platforms; /* more than one: an index over them is built */
	const char *tag;
	char request[64]; /* the id of the request that came first */
};

/*
 * Which state of the package set does the tag mean, as far as it is known
 * without a look at the source? Absence is an answer.
 */
MUST_CHECK int build_find_revision(const struct builder *g, const char *tag,
				   bool *ret_found, struct revision *ret,
				   struct err *e);

/* The resolver's side of the configuration; borrows from it. */
struct resolve_options build_resolve_options(const struct config *c);

/*
 * Open all that builds work with; *g is zeroed. Without Nix or the source it
 * is good for what was built before. config is borrowed until builder_close,
 * which is called also after a failure, when no build runs any more.
 */
MUST_CHECK int builder_open(struct builder *g, const struct config *config,
			    struct err *e);
void builder_close(struct builder *g);

/* The storage that is configured. */
MUST_CHECK int build_open_store(const struct config *c, struct store **ret,
				struct err *e);

/* Are storage, state, Nix and the source there? For /readyz. */
MUST_CHECK int build_check(struct builder *g, struct err *e);

/* Nix's side of the configuration; borrows from it. */
void build_nix_options(const struct config *c, struct nix_options *ret);

/*
 * Have Nix, if it can be had now: what a build needs is looked for when it
 * needs it. nix, once it is there, stays until the builder's owner frees it.
 */
MUST_CHECK int build_open_nix(struct builder *g, struct err *e);
bool build_has_nix(struct builder *g);

/* How a build went, also when it failed. */
struct build_report {
	size_t n_layers;      /* that had to be looked at; 0: all was found */
	struct stages stages; /* where the time went */
	bool again; /* it failed a moment ago; the error is from then */
};

/*
 * Build, or find on the way that it is there. Every manifest is made in both
 * forms. *ret is the OCI form.
 */
MUST_CHECK int build_run(struct builder *g, struct job *j,
			 const struct order *o, struct manifest_info *ret,
			 struct build_report *ret_report, struct err *e);

/*
 * Is there a log (engine_read_log) of a build that failed so? Where the
 * message tells it all nobody needs one, and who asks for a thousand names
 * that are none does not push out what others look for.
 */
bool build_keeps_log(enum err_kind kind);

#endif
