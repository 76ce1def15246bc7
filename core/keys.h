/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_KEYS_H
#define FIRN_KEYS_H

/*
 * The keys under which things are cached: SHA-256 over everything that the
 * thing depends on, each field with its length (digest.h), each kind of key
 * with its own first word. Two replicas with the same configuration compute
 * the same keys. Pure.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/digest.h"
#include "core/model/layers.h"

struct image;
struct platform;
struct revision;
struct source;

/* Raised when bytes change for a reason that no other field tells. */
#define IMAGE_FORMAT 1u

/* What may be served, as far as the bytes of an image do not tell it. */
struct key_policy {
	const char *const *allow;
	size_t n_allow;
	const char *const *deny;
	size_t n_deny;
	bool allow_unfree;
	bool allow_insecure;
	bool allow_broken;
	uint64_t max_closure_size;
	uint64_t max_closure_paths;
};

/* What the operator set, and the formats that this program writes. */
struct key_settings {
	enum layer_algorithm algorithm;
	uint64_t budget;
	uint64_t forest_format;
	const char *pack_id;       /* pack.h */
	const char *popularity_id; /* of the counts in use; NULL: none */
	/*
	 * What was made while more was allowed is not found any more when
	 * less is.
	 */
	struct key_policy policy;
};

/* A moving reference: which revision is this tag now? */
void key_revision(const struct source *s, const char *tag, struct digest *ret);

/* In which state are the overlays, files or directories, now? */
void key_overlays(const char *const *paths, size_t n, struct digest *ret);

/*
 * What was asked, as asked, for n platforms: one build for all who ask for
 * it at a time.
 */
void key_request(const struct image *im, const char *tag,
		 const struct platform *const *p, size_t n, struct digest *ret);

/* An image of a source that is resolved. */
void key_image(const struct key_settings *k, const struct source *s,
	       const struct revision *r, const struct platform *p,
	       const struct image *im, struct digest *ret);

/*
 * An image by the store paths of its packages (sorted), of any source. Whoever
 * has the paths evaluated them under the policy: of it only the limits of
 * closures count.
 */
void key_output(const struct key_settings *k, const struct platform *p,
		const struct image *im, const char *const *paths, size_t n,
		struct digest *ret);

/*
 * A layer: the store paths in it (sorted), and the packages whose forest is
 * in it (sorted; none for most layers).
 */
void key_layer(const struct key_settings *k, const char *const *paths, size_t n,
	       const char *const *forest, size_t n_forest, struct digest *ret);

/* Another form of a manifest, e.g. "docker". */
void key_form(const char *form, const struct digest *manifest,
	      struct digest *ret);

/*
 * An index over images, by their image keys; and whether it may lack some.
 */
void key_index(const struct digest *image_keys, size_t n, bool may_lack,
	       struct digest *ret);

#endif
