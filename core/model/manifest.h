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

/* The same, as Docker wrote it down first (image manifest version 2, schema 2).
 */
#define MEDIA_TYPE_DOCKER_CONFIG \
	"application/vnd.docker.container.image.v1+json"
#define MEDIA_TYPE_DOCKER_MANIFEST \
	"application/vnd.docker.distribution.manifest.v2+json"
#define MEDIA_TYPE_DOCKER_LIST \
	"application/vnd.docker.distribution.manifest.list.v2+json"
#define MEDIA_TYPE_DOCKER_LAYER \
	"application/vnd.docker.image.rootfs.diff.tar.gzip"

/* One image has a manifest in each form; config and layers are the same. */
enum manifest_form {
	MANIFEST_OCI,
	MANIFEST_DOCKER,
};

/* The static string that equals a type of ours; NULL when it is none. */
const char *manifest_known_type(const char *s);
/* Of these, an OCI index or a Docker list? */
bool manifest_is_index(const char *media_type);

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

/*
 * The Docker form of an OCI manifest, appended to to. ERR_INVALID when that
 * is none, or has layers that this form has no type for (zstd).
 */
MUST_CHECK int manifest_write_docker(const char *oci, size_t n, struct buf *to,
				     struct err *e);

/* A manifest in an index. */
struct manifest_child {
	const struct platform *platform;
	struct digest digest;
	uint64_t size;
	const char *media_type;
};

/* What an OCI index says of platforms that it has no image for. */
#define ANNOTATION_MISSING "dev.firn.platforms.missing"

/*
 * An index over n children in that order, appended to to. missing: text for
 * ANNOTATION_MISSING, or NULL; a Docker list has no place for it.
 */
void manifest_write_index(enum manifest_form form,
			  const struct manifest_child *children, size_t n,
			  const char *missing, struct buf *to);

/* What a stored manifest says. */
struct manifest_summary {
	const char *media_type; /* static */
	const struct digest
		*blobs;        /* config and layers; children of an index */
	const uint64_t *sizes; /* of each of them */
	size_t n;
	const char *missing; /* ANNOTATION_MISSING; NULL: nothing */
};

/*
 * Read a manifest or index (untrusted: from storage): ERR_INVALID when it is
 * none, when it is not what its mediaType says, or has more than 4096
 * descriptors. Lives in the arena.
 */
MUST_CHECK int manifest_read(struct arena *a, const char *text, size_t n,
			     struct manifest_summary *ret, struct err *e);

#endif
