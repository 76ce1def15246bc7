/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_MODEL_SBOM_H
#define FIRN_MODEL_SBOM_H

/*
 * What is in an image, as a software bill of materials: one document in
 * SPDX 2.3 (JSON), one in CycloneDX 1.5 (JSON). Both name exactly the store
 * paths of the closure and their references.
 *
 * The bytes depend on the input alone: there is no clock and nothing random
 * in them, and a document's identifier is a hash of what it says. Pure.
 */
#include <stddef.h>

#include "core/base/attr.h"
#include "core/base/buf.h"

struct digest;
struct graph;

/* Raised when the same input gives other documents. */
#define SBOM_FORMAT 1u

/*
 * Most paths and references of a closure, together, that are written down:
 * about 300 bytes each in SPDX, and clients read a document as a whole.
 */
#define SBOM_MAX_ENTRIES 300000u

enum sbom_format {
	SBOM_SPDX,
	SBOM_CYCLONEDX,
	SBOM_FORMATS, /* how many there are */
};

/* "application/spdx+json", "application/vnd.cyclonedx+json" */
const char *sbom_media_type(enum sbom_format format);
/* A name for the file that it is stored in. */
const char *sbom_file_name(enum sbom_format format);

/* What is known of a store path beside what the graph says. */
struct sbom_path {
	const struct digest *layer; /* that it is in */
	/* Of those that were asked for; NULL elsewhere: */
	const char *attribute; /* "xorg.xev" */
	const char *output;    /* "out" */
	const char *license;   /* an SPDX expression; NULL: not known */
};

struct sbom_input {
	const char *name;           /* the image's: "shell/git" */
	const struct digest *image; /* of its OCI manifest */
	const char *arch;           /* "amd64" */
	const char *created;        /* as its config says: RFC 3339, UTC */
	const struct graph *graph;
	const struct sbom_path *paths; /* one for each node, in order */
};

/* The document, appended to to. */
void sbom_write(enum sbom_format format, const struct sbom_input *in,
		struct buf *to);

/* What the name of a store path tells; the parts are slices of it. */
struct sbom_name {
	struct str name;
	struct str version; /* empty: it has none */
	struct str output;  /* "dev"; empty: the first, or not known */
};

/*
 * As Nix's parseDrvName: the version begins after the first dash that no
 * letter follows. What stands behind a version and is one of the names that
 * packages give their outputs ("openssl-3.0.8-dev") is the output, as is
 * output, when that is not NULL.
 */
void sbom_split_name(const char *path, const char *output,
		     struct sbom_name *ret);

#endif
