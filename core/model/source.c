/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/source.h"

#include "core/base/digest.h"

const char *
source_kind_name(enum source_kind kind)
{
	switch (kind) {
	case SOURCE_PATH:
		return "path";
	case SOURCE_CHANNEL:
		return "channel";
	case SOURCE_GIT:
		return "git";
	case SOURCE_FLAKE:
		return "flake";
	}
	return "unknown";
}

/* A channel of the same name is another one where its tarballs are others. */
void
source_hash(const struct source *s, struct hasher *h)
{
	hasher_field_str(h, source_kind_name(s->kind));
	hasher_field_str(h, s->location);
	if (s->kind == SOURCE_CHANNEL)
		hasher_field_str(h, s->channel_url);
}
