/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_ASSEMBLE_H
#define FIRN_ASSEMBLE_H

/*
 * Gets the layers of an image into storage: each is found in the cache, or
 * packed once, whoever asks for it at the same time. Several layers are
 * worked on at once. Any thread.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/digest.h"

struct cache;
struct err;
struct flights;
struct layer;
struct pack_entry;
struct pack_pool;

struct assembler {
	const struct cache *cache; /* borrowed, all of these */
	struct flights *flights;
	struct pack_pool *pool;
	/*
	 * Layers at once in one image, at least 1. Of all images together as
	 * many, and one for each further image.
	 */
	unsigned threads;
	atomic_uint helpers;          /* 0; threads beside the callers' own */
	atomic_uint_least64_t packed; /* layers, since the start */
	atomic_uint_least64_t reused;
};

/* What goes into a layer; everything is borrowed. */
struct assembly {
	struct digest key;
	const char *const *paths; /* store paths, sorted */
	size_t n_paths;
	const struct pack_entry *entries; /* sorted */
	size_t n_entries;
};

/*
 * ret has room for n layers. on_layer is called after each, on any thread.
 * The first failure stops the rest; so does *cancel (ERR_BUSY).
 */
MUST_CHECK int assemble_layers(struct assembler *as,
			       const struct assembly *layers, size_t n,
			       const atomic_bool *cancel,
			       void (*on_layer)(void *ctx), void *ctx,
			       struct layer *ret, struct err *e);

#endif
