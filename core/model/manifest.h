/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_MODEL_MANIFEST_H
#define FIRN_MODEL_MANIFEST_H

/*
 * Config and manifest of an image, as canonical bytes: the same layers and
 * settings give the same digests everywhere (OCI image specification 1.1,
 * config.md and manifest.md).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/model/layers.h"

struct arena;
struct buf;
struct err;
struct platform;

#define MEDIA_TYPE_CONFIG "application/vnd.oci.image.config.v1+json"
#define MEDIA_TYPE_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define MEDIA_TYPE_INDEX "application/vnd.oci.image.index.v1+json"

/* Largest manifest that clients take. */
#define MANIFEST_MAX (4u << 20)

/* A packed layer and what is in it, for the history. */
struct manifest_layer {
	struct layer layer;
	const char *const *paths; /* store paths, sorted */
	size_t n_paths;
	const char *comment; /* where there are no paths */
};

struct manifest_input {
	const struct platform *platform;
	const struct manifest_layer *layers; /* from the lowest */
	size_t n_layers;
	uint64_t created;      /* seconds since 1970; at most the year 9999 */
	const char *revision;  /* of the source; NULL: no label */
	const char *path;      /* PATH */
	const char *cert_file; /* SSL_CERT_FILE; NULL: none */
	const char *command;   /* Cmd; NULL: none */
};

/* The config, appended to to. */
void manifest_write_config(const struct manifest_input *in, struct buf *to);

/* The manifest over a config of that digest and size, appended to to. */
void manifest_write(const struct manifest_input *in,
		    const struct digest *config, uint64_t config_size,
		    struct buf *to);

/* What a stored manifest says. */
struct manifest_summary {
	const char *media_type; /* static */
	const struct digest
		*blobs; /* config and layers; children of an index */
	size_t n;
};

/*
 * Read a manifest or index (untrusted: from storage): ERR_INVALID when it is
 * none, when it is not what its mediaType says, or has more than 4096
 * descriptors. Lives in the arena.
 */
MUST_CHECK int manifest_read(struct arena *a, const char *text, size_t n,
			     struct manifest_summary *ret, struct err *e);

#endif
