/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_MODEL_SBOM_IMPL_H
#define FIRN_MODEL_SBOM_IMPL_H

/* What the two formats have in common. See sbom.h. */
#include "core/model/sbom.h"

struct graph_node;
struct json_out;

#define SBOM_TOOL "firn"
#define SBOM_UUID_CAP 37

void sbom_write_spdx(const struct sbom_input *in, struct buf *to);
void sbom_write_cyclonedx(const struct sbom_input *in, struct buf *to);

/*
 * An identifier of the document: 128 bits of a hash of all that it says, in
 * the form of RFC 9562's version 8.
 */
void sbom_uuid(enum sbom_format format, const struct sbom_input *in,
	       char ret[SBOM_UUID_CAP]);

/* Append the package URL of a store path, and of the image. */
void sbom_path_purl(const char *path, const struct sbom_name *name,
		    struct buf *to);
void sbom_image_purl(const struct sbom_input *in, struct buf *to);

/* The part of a store path after the last slash. */
const char *sbom_base_name(const char *path);

/* Does the node have a NAR hash? */
bool sbom_has_hash(const struct graph_node *n);

void sbom_put_slice(struct json_out *o, const char *key, struct str s);

#endif
