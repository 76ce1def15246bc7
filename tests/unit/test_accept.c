/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/buf.h"
#include "core/engine.h"
#include "fcgi/accept.h"
#include "tests/support/tap.h"

#define OCI_INDEX "application/vnd.oci.image.index.v1+json"
#define OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define LIST "application/vnd.docker.distribution.manifest.list.v2+json"
#define DOCKER "application/vnd.docker.distribution.manifest.v2+json"

/* want: I index, M manifest, l list, d Docker manifest. */
static const struct {
	const char *name, *accept, *want;
} cases[] = {
	{"no header takes all", "", "IM"},
	{"white space is no header", " \t", "IM"},
	{"anything", "*/*", "IM"},
	{"any application", "application/*;q=0.1", "IM"},
	{"containers/image",
	 OCI_MANIFEST ", " DOCKER
		      ", application/vnd.docker.distribution.manifest."
		      "v1+prettyjws, " LIST ", " OCI_INDEX,
	 "IMld"},
	{"the order does not matter", OCI_INDEX "," LIST "," DOCKER, "Ild"},
	{"Docker alone", DOCKER, "d"},
	{"Docker's two", DOCKER ", " LIST, "ld"},
	{"parameters", OCI_MANIFEST "; charset=utf-8;q=0.5", "M"},
	{"q=0 is a no", OCI_MANIFEST ";q=0, " DOCKER ";q=1", "d"},
	{"q=0.000 too", OCI_MANIFEST "; Q=0.000," DOCKER, "d"},
	{"q=0.001 is a yes", OCI_MANIFEST ";q=0.001", "M"},
	{"a refusal by name counts", OCI_INDEX ";q=0, */*", "M"},
	{"... in any order", "*/*, " OCI_INDEX ";q=0", "M"},
	{"... also of a wider range", "application/*;q=0, */*", ""},
	{"... which a name overrides", "application/*;q=0, " OCI_INDEX, "I"},
	{"... and a narrower one", "*/*;q=0, application/*", "IM"},
	{"of yes and no yes counts", OCI_INDEX ", " OCI_INDEX ";q=0", "I"},
	{"no to anything is no to all", "*/*;q=0", ""},
	{"Docker's are not anything", LIST ";q=0, */*, " DOCKER, "IMd"},
	{"case does not matter", "Application/VND.oci.image.manifest.v1+JSON",
	 "M"},
	{"other types", "text/html, image/*", ""},
	{"junk", ",,;;q=,=;/,", ""},
	{"a longer type is another", OCI_MANIFEST "x", ""},
};

int
main(void)
{
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(buf) struct buf got = BUF_INIT;
		struct manifest_accept a;

		accept_read(cases[i].accept, &a);
		buf_printf(&got, "%s%s%s%s", a.oci_index ? "I" : "",
			   a.oci_manifest ? "M" : "", a.docker_list ? "l" : "",
			   a.docker_manifest ? "d" : "");
		is_str(got.p, cases[i].want, cases[i].name);
	}
	return done_testing();
}
