/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/compression.h"

#include <string.h>

#include "core/base/buf.h"
#include "core/base/err.h"

static const struct {
	const char *name;
	const char *media_type;
	int max_level;
	int default_level;
} kinds[] = {
	[COMPRESSION_GZIP] = {"gzip",
			      "application/vnd.oci.image.layer.v1.tar+gzip", 12,
			      1},
	[COMPRESSION_ZSTD] = {"zstd",
			      "application/vnd.oci.image.layer.v1.tar+zstd", 19,
			      3},
};

int
compression_parse(const char *s, struct compression *ret, struct err *e)
{
	struct str rest = str_of(s), name = {.p = NULL};

	(void)str_cut(&rest, ':', &name);
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		uint64_t level = (uint64_t)kinds[i].default_level;

		if (!str_eq(name, kinds[i].name))
			continue;
		if (rest.p &&
		    (!str_to_u64(rest, (uint64_t)kinds[i].max_level, &level) ||
		     level == 0))
			return err_set(e, ERR_INVALID,
				       "the level of %s is 1 to %d, not \"%s\"",
				       kinds[i].name, kinds[i].max_level,
				       s + name.n + 1);
		ret->kind = (enum compression_kind)i;
		ret->level = (int)level;
		return 0;
	}
	return err_set(e, ERR_INVALID,
		       "compression is gzip or zstd, perhaps with :LEVEL, not "
		       "\"%s\"",
		       s);
}

const char *
compression_name(enum compression_kind kind)
{
	return kinds[kind].name;
}

const char *
compression_media_type(enum compression_kind kind)
{
	return kinds[kind].media_type;
}
