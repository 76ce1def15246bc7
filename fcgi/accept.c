/* SPDX-License-Identifier: Apache-2.0 */
#include "fcgi/accept.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "core/base/buf.h"
#include "core/engine.h"

static struct str
trim(struct str s)
{
	while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t')) {
		s.p++;
		s.n--;
	}
	while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

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
	param = trim(param);
	if (param.n < 3 || (param.p[0] != 'q' && param.p[0] != 'Q') ||
	    param.p[1] != '=' || param.p[2] != '0')
		return false;
	for (size_t i = 3; i < param.n; i++)
		if (param.p[i] != '.' && param.p[i] != '0')
			return false;
	return true;
}

static void
read_range(struct str range, struct manifest_accept *ret)
{
	struct str type, param;

	if (!str_cut(&range, ';', &type))
		return;
	while (str_cut(&range, ';', &param))
		if (is_refusal(param))
			return;
	type = trim(type);
	if (is(type, "application/vnd.oci.image.index.v1+json"))
		ret->oci_index = true;
	else if (is(type, "application/vnd.oci.image.manifest.v1+json"))
		ret->oci_manifest = true;
	else if (is(type, "application/vnd.docker.distribution.manifest.list."
			  "v2+json"))
		ret->docker_list = true;
	else if (is(type,
		    "application/vnd.docker.distribution.manifest.v2+json"))
		ret->docker_manifest = true;
	else if (is(type, "*/*") || is(type, "application/*"))
		ret->oci_index = ret->oci_manifest = true;
}

void
accept_read(const char *accept, struct manifest_accept *ret)
{
	struct str rest = str_of(accept), range;

	*ret = (struct manifest_accept){.oci_index = false};
	if (trim(rest).n == 0) {
		ret->oci_index = ret->oci_manifest = true;
		return;
	}
	while (str_cut(&rest, ',', &range))
		read_range(range, ret);
}
