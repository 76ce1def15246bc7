/* SPDX-License-Identifier: Apache-2.0 */
#include "core/stages.h"

#include "core/sys/clock.h"

const char *
stage_name(enum stage s)
{
	static const char *const names[STAGES] = {
		[STAGE_RESOLVE] = "resolve", [STAGE_EVALUATE] = "evaluate",
		[STAGE_REALISE] = "realise", [STAGE_CLOSURE] = "closure",
		[STAGE_PACK] = "pack",       [STAGE_MANIFEST] = "manifest",
		[STAGE_SBOM] = "sbom",
	};

	return names[s];
}

static void
leave(struct stages *t, uint64_t now)
{
	if (t->since)
		t->us[t->at] += now - t->since;
}

void
stages_enter(struct stages *t, enum stage s)
{
	uint64_t now = clock_us();

	leave(t, now);
	t->since = now;
	t->at = s;
}

void
stages_end(struct stages *t)
{
	leave(t, clock_us());
	t->since = 0;
}
