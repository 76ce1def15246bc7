/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_MODEL_COMPRESSION_H
#define FIRN_MODEL_COMPRESSION_H

/*
 * Which compressor a layer is packed with, as the configuration says it and
 * as the media type of the OCI image specification (layer.md) names it.
 */
#include "core/base/attr.h"

struct err;

enum compression_kind {
	COMPRESSION_GZIP,
	COMPRESSION_ZSTD,
};

struct compression {
	enum compression_kind kind;
	int level;
};

/*
 * "gzip", "zstd", or either with ":LEVEL" (gzip 1 to 12, zstd 1 to 19).
 * Anything else is ERR_INVALID with what is allowed.
 */
MUST_CHECK int compression_parse(const char *s, struct compression *ret,
				 struct err *e);

const char *compression_name(enum compression_kind kind);
const char *compression_media_type(enum compression_kind kind);

#endif
