/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_MODEL_ARTIFACT_H
#define FIRN_MODEL_ARTIFACT_H

/*
 * What is attached to an image: artifacts, each a manifest that names the
 * image as its subject (OCI image specification 1.1, manifest.md, "Guidelines
 * for Artifact Usage"), and the index that lists a subject's artifacts (OCI
 * distribution specification 1.1, "Listing Referrers"). Canonical bytes.
 */
#include <stddef.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/digest.h"

struct arena;
struct buf;
struct err;

/* The config of an artifact that needs none. */
#define MEDIA_TYPE_EMPTY "application/vnd.oci.empty.v1+json"
#define ARTIFACT_EMPTY "{}"

/* Of which platform's image an artifact tells; of use below an index. */
#define ANNOTATION_PLATFORM "dev.firn.platform"

/* Most artifacts that are read from an index. */
#define ARTIFACTS_MAX 256u

/* One document, with the strings borrowed, or in an arena when read. */
struct artifact {
	const char *type;      /* artifactType, and the document's media type */
	const char *file_name; /* for tools that save it */
	const char *created;   /* RFC 3339 */
	const char *platform;  /* "linux/amd64" */
	struct digest document;
	uint64_t size; /* of the document, bytes */
};

/* A manifest that is named somewhere. */
struct artifact_manifest {
	const char *media_type;
	struct digest digest;
	uint64_t size;
};

/* The artifact's manifest, appended to to. */
void artifact_write(const struct artifact *in,
		    const struct artifact_manifest *subject, struct buf *to);

/* Read one that we wrote: ERR_INVALID when it isn't. */
MUST_CHECK int artifact_read(struct arena *a, const char *text, size_t n,
			     struct artifact *ret, struct err *e);

/* An artifact in the list of its subject. */
struct referrer {
	struct digest digest; /* of its manifest */
	uint64_t size;
	const char *type;
	const char *created;
	const char *platform;
};

struct referrers {
	struct referrer *v;
	size_t n;
};

/* The index over them, in order, appended to to. */
void referrers_write(const struct referrers *in, struct buf *to);

/* Read one that we wrote: ERR_INVALID when it isn't. */
MUST_CHECK int referrers_read(struct arena *a, const char *text, size_t n,
			      struct referrers *ret, struct err *e);

/* Keep those of one artifact type. */
void referrers_filter(struct referrers *r, const char *type);

#endif
