/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_ATTACH_H
#define FIRN_ATTACH_H

/*
 * Attaches SBOMs to images: the documents as blobs, a manifest around each,
 * and the index of what a subject has attached, which the referrers API
 * serves. All of it is stored with the images, by digest, and found again
 * through the cache's two tiers. Any thread.
 */
#include <stdbool.h>
#include <stddef.h>

#include "core/base/attr.h"

struct arena;
struct cache;
struct digest;
struct graph;
struct manifest_info;
struct nix;
struct nix_outputs;
struct nix_watch;

/* Of one build; everything is borrowed. */
struct attach {
	bool wanted; /* else nothing is done */
	const struct cache *cache;
	struct nix *nix; /* for attach_to_found */
	const struct nix_watch *watch;
	struct arena *arena;
	const char *name; /* of the image: "shell/git" */
};

/*
 * An image does without SBOMs rather than fail for them. So these return
 * nothing, and log what went wrong ("sbom.failed"). What a manifest has
 * already is left as it is.
 */

/*
 * Make the SBOMs of an image, whose OCI manifest this is, and attach them.
 * outputs were asked for, graph is their closure. Manifest and config are
 * read back from storage: they say which layer has which path, and when the
 * image was created.
 */
void attach_to_image(const struct attach *at, const struct manifest_info *image,
		     const struct nix_outputs *outputs,
		     const struct graph *graph);

/*
 * The same for an image that was found, and may have been made before there
 * were SBOMs. Nothing is built or fetched for it: where its packages are not
 * in the Nix store any more, it has none. outputs are what was evaluated.
 */
void attach_to_found(const struct attach *at, const struct manifest_info *image,
		     const struct nix_outputs *outputs);

/* Does the manifest lack SBOMs that it should have? */
bool attach_is_needed(const struct attach *at, const struct digest *subject);

/*
 * Attach what these n manifests have to another that stands for them: the
 * other form of an image, or an index over several.
 */
void attach_to_other(const struct attach *at,
		     const struct manifest_info *subject,
		     const struct digest *from, size_t n);

#endif
