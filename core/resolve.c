/* SPDX-License-Identifier: Apache-2.0 */
#include "core/resolve.h"

#include <string.h>

#include "core/base/err.h"
#include "core/sys/fingerprint.h"

int
resolve_check_tag(const struct source *s, const char *tag, struct err *e)
{
	switch (s->kind) {
	case SOURCE_PATH:
		if (strcmp(tag, SOURCE_TAG_DEFAULT) != 0)
			return err_set(e, ERR_NOT_FOUND,
				       "there is no tag \"%s\": packages come "
				       "from a directory, whose only tag is "
				       "%s",
				       tag, SOURCE_TAG_DEFAULT);
		return 0;
	case SOURCE_CHANNEL:
	case SOURCE_GIT:
	case SOURCE_FLAKE:
		break;
	}
	return err_set(e, ERR_NOT_FOUND, "there is no tag \"%s\"", tag);
}

int
resolve_revision(const struct source *s, const char *tag,
		 const struct resolve_options *o UNUSED, struct revision *ret,
		 struct err *e)
{
	if (resolve_check_tag(s, tag, e) < 0)
		return -1;
	*ret = (struct revision){.time = 0};
	return fingerprint_tree(s->location, ret->id, e);
}
