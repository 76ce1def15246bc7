/* SPDX-License-Identifier: Apache-2.0 */
#include "fcgi/accept.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "core/base/buf.h"
#include "core/engine.h"

/* Media types compare without regard to case. */
static bool
is(struct str s, const char *type)
{
	return s.n == strlen(type) && strncasecmp(s.p, type, s.n) == 0;
}

/* "q=0", "q=0.", "q=0.000": not acceptable. */
static bool
is_refusal(struct str param)
{
	param = str_trim(param);
	if (param.n < 3 || (param.p[0] != 'q' && param.p[0] != 'Q') ||
	    param.p[1] != '=' || param.p[2] != '0')
		return false;
	for (size_t i = 3; i < param.n; i++)
		if (param.p[i] != '.' && param.p[i] != '0')
			return false;
	return true;
}

/* The forms that there are. Docker's are never sent but by their names. */
enum { OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST, FORMS };

static const struct {
	const char *type;
	bool wild;
} forms[FORMS] = {
	[OCI_INDEX] = {"application/vnd.oci.image.index.v1+json", true},
	[OCI_MANIFEST] = {"application/vnd.oci.image.manifest.v1+json", true},
	[DOCKER_LIST] = {"application/vnd.docker.distribution.manifest.list."
			 "v2+json",
			 false},
	[DOCKER_MANIFEST] = {"application/vnd.docker.distribution.manifest."
			     "v2+json",
			     false},
};

/* What the ranges say of a form: the closest counts (RFC 9110 12.5.1). */
struct verdict {
	unsigned rank;
	bool yes;
};

/* How closely a media range means a form, 3 by name; 0 when it does not. */
static unsigned
rank_of(struct str range, size_t form)
{
	if (is(range, forms[form].type))
		return 3;
	if (!forms[form].wild)
		return 0;
	return is(range, "application/*") ? 2 : is(range, "*/*");
}

static void
read_range(struct str range, struct verdict of[static FORMS])
{
	struct str type, param;
	bool yes = true;

	if (!str_cut(&range, ';', &type))
		return;
	while (str_cut(&range, ';', &param))
		yes = yes && !is_refusal(param);
	type = str_trim(type);
	for (size_t i = 0; i < FORMS; i++) {
		unsigned rank = rank_of(type, i);

		if (rank == 0 || rank < of[i].rank)
			continue;
		/* Said twice, and not the same: a yes counts. */
		of[i].yes = yes || (rank == of[i].rank && of[i].yes);
		of[i].rank = rank;
	}
}

void
accept_read(const char *accept, struct manifest_accept *ret)
{
	struct verdict of[FORMS] = {{.rank = 0}};
	struct str rest = str_of(accept), range;

	if (str_trim(rest).n == 0)
		rest = str_of("*/*");
	while (str_cut(&rest, ',', &range))
		read_range(range, of);
	*ret = (struct manifest_accept){
		.oci_index = of[OCI_INDEX].yes,
		.oci_manifest = of[OCI_MANIFEST].yes,
		.docker_list = of[DOCKER_LIST].yes,
		.docker_manifest = of[DOCKER_MANIFEST].yes,
	};
}
