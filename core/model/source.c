/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/source.h"

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
