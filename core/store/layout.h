/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_STORE_LAYOUT_H
#define FIRN_STORE_LAYOUT_H

/*
 * The index.json of an OCI image layout (image-layout.md): which manifests
 * the directory holds and under which names, so that other tools can read
 * it, e.g. `skopeo inspect oci:DIR:git:latest`.
 */
#include <stdint.h>

#include "core/base/attr.h"
#include "core/store/store.h"

struct digest;
struct err;

/*
 * Name a manifest, or move a name to another one. The file is replaced as a
 * whole, under a lock that other processes respect.
 */
MUST_CHECK int layout_publish(const char *dir, const char *name,
			      const char *media_type, const struct digest *d,
			      uint64_t size, struct err *e);

/* Each name, with the manifest it names; as store_list_names. */
MUST_CHECK int layout_list(const char *dir, store_visit_name *fn, void *ctx,
			   struct err *e);

#endif
