/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/err.h"
#include "fcgi/request.h"
#include "fcgi/route.h"
#include "tests/support/tap.h"

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define SHA256 "sha256:" HEX64
#define SHA512 "sha512:" HEX64 HEX64

static const struct {
	const char *label, *uri;
	enum route_kind kind;
	const char *name, *tag;
	enum route_digest digest;
} good[] = {
	{"the base", "/v2/", ROUTE_BASE, NULL, NULL, 0},
	{"the base without slash", "/v2", ROUTE_BASE, NULL, NULL, 0},
	{"the base with a query", "/v2/?x=1", ROUTE_BASE, NULL, NULL, 0},
	{"a manifest by tag", "/v2/git/manifests/latest", ROUTE_MANIFEST, "git",
	 "latest", ROUTE_DIGEST_NONE},
	{"a long name", "/v2/shell/git/htop/manifests/v1.0_b-c", ROUTE_MANIFEST,
	 "shell/git/htop", "v1.0_b-c", ROUTE_DIGEST_NONE},
	{"verbs in a name", "/v2/manifests/blobs/manifests/tags",
	 ROUTE_MANIFEST, "manifests/blobs", "tags", ROUTE_DIGEST_NONE},
	{"separators in a name", "/v2/a.b/c_d/e__f/g---h/manifests/x",
	 ROUTE_MANIFEST, "a.b/c_d/e__f/g---h", "x", ROUTE_DIGEST_NONE},
	{"a manifest by digest", "/v2/git/manifests/" SHA256, ROUTE_MANIFEST,
	 "git", NULL, ROUTE_DIGEST_SHA256},
	{"an encoded colon", "/v2/git/manifests/sha256%3A" HEX64,
	 ROUTE_MANIFEST, "git", NULL, ROUTE_DIGEST_SHA256},
	{"an encoded colon in lower case", "/v2/git/blobs/sha256%3a" HEX64,
	 ROUTE_BLOB, "git", NULL, ROUTE_DIGEST_SHA256},
	{"a digest that we don't use", "/v2/git/blobs/" SHA512, ROUTE_BLOB,
	 "git", NULL, ROUTE_DIGEST_OTHER},
	{"a mirror's query", "/v2/git/manifests/1?ns=docker.io", ROUTE_MANIFEST,
	 "git", "1", ROUTE_DIGEST_NONE},
	{"tags", "/v2/a/b/tags/list", ROUTE_TAGS, "a/b", NULL, 0},
	{"referrers", "/v2/a/referrers/" SHA256, ROUTE_REFERRERS, "a", NULL,
	 ROUTE_DIGEST_SHA256},
	{"the catalog", "/v2/_catalog?n=3", ROUTE_CATALOG, NULL, NULL, 0},
	{"an extension", "/v2/_oci/ext/discover", ROUTE_V2_NONE, NULL, NULL, 0},
	{"an unknown verb", "/v2/git/layers/x", ROUTE_V2_NONE, NULL, NULL, 0},
	{"a name alone", "/v2/git", ROUTE_V2_NONE, NULL, NULL, 0},
	{"other tags", "/v2/git/tags/all", ROUTE_V2_NONE, NULL, NULL, 0},
	{"version 1", "/v1/_ping", ROUTE_NONE, NULL, NULL, 0},
	{"nearly the base", "/v22/", ROUTE_NONE, NULL, NULL, 0},
	{"the page", "/", ROUTE_INDEX, NULL, NULL, 0},
	{"liveness", "/healthz", ROUTE_HEALTH, NULL, NULL, 0},
	{"readiness", "/readyz?x", ROUTE_READY, NULL, NULL, 0},
	{"metrics", "/metrics", ROUTE_METRICS, NULL, NULL, 0},
	{"a build", "/builds/0123456789abcdef0123456789abcdef", ROUTE_BUILD,
	 NULL, NULL, 0},
	{"a build in capitals", "/builds/0123456789ABCDEF0123456789ABCDEF",
	 ROUTE_NONE, NULL, NULL, 0},
	{"a short build", "/builds/0123456789abcdef0123456789abcde", ROUTE_NONE,
	 NULL, NULL, 0},
	{"a long build", "/builds/0123456789abcdef0123456789abcdef0",
	 ROUTE_NONE, NULL, NULL, 0},
	{"more of a build", "/builds/0123456789abcdef0123456789abcde/",
	 ROUTE_NONE, NULL, NULL, 0},
	{"no build", "/builds/", ROUTE_NONE, NULL, NULL, 0},
};

static void
test_good(void)
{
	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		AUTO(arena) struct arena a = ARENA_INIT;
		struct err e = ERR_INIT;
		enum route_part part;
		struct route r;

		if (!ok(route_parse(&a, good[i].uri, &r, &part, &e) == 0 &&
				r.kind == good[i].kind &&
				r.digest_kind == good[i].digest,
			"%s", good[i].label))
			printf("# kind %s, error: %s\n",
			       route_kind_name(r.kind), e.msg);
		is_str(r.name, good[i].name, "... its name");
		is_str(r.tag, good[i].tag, "... its tag");
	}
}

/* Each line of a file is a URI that is refused for the same part. */
static void
test_reject(const char *path, enum route_part want)
{
	FILE *f = fopen(path, "r");
	char line[8192];
	unsigned n = 0;

	ok(f != NULL, "%s is there", path);
	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		AUTO(arena) struct arena a = ARENA_INIT;
		struct err e = ERR_INIT;
		enum route_part part;
		struct route r;

		line[strcspn(line, "\n")] = '\0';
		n++;
		if (!ok(route_parse(&a, line, &r, &part, &e) < 0 &&
				part == want && e.kind == ERR_INVALID,
			"%s:%u is refused", path, n))
			printf("# %.200s: part %d, %s\n", line, (int)part,
			       e.msg);
	}
	ok(n > 0, "%s is not empty", path);
	(void)fclose(f);
}

static bool
parses(const char *uri)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	struct err e = ERR_INIT;
	enum route_part part;
	struct route r;

	return route_parse(&a, uri, &r, &part, &e) == 0;
}

static void
test_lengths(void)
{
	AUTO(buf) struct buf uri = BUF_INIT;

	for (unsigned n = 255; n <= 256; n++) {
		buf_clear(&uri);
		buf_printf(&uri, "/v2/%0*d/manifests/x", (int)n, 0);
		ok(parses(uri.p) == (n == 255), "a name of %u characters", n);
	}
	for (unsigned n = 128; n <= 129; n++) {
		buf_clear(&uri);
		buf_printf(&uri, "/v2/a/manifests/%0*d", (int)n, 0);
		ok(parses(uri.p) == (n == 128), "a tag of %u characters", n);
	}
	for (unsigned n = 4096; n <= 4097; n++) {
		buf_clear(&uri);
		buf_printf(&uri, "/v2/?%0*d", (int)n - 5, 0);
		ok(parses(uri.p) == (n == 4096), "a URI of %u characters", n);
	}
}

static void
test_query(void)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	struct err e = ERR_INIT;
	enum route_part part;
	struct route r;

	ok(route_parse(&a,
		       "/v2/a/tags/list?n=10&last=b%2Fc&ns=docker.io&w=3&"
		       "artifactType=application%2Fspdx%2Bjson&n=11&&x&=&w",
		       &r, &part, &e) == 0,
	   "a query is read");
	ok(r.query.has_n && r.query.n == 10, "the first n counts");
	is_str(r.query.last, "b/c", "last is decoded");
	is_str(r.query.artifact_type, "application/spdx+json",
	       "artifactType is decoded");
	is_str(r.query.ns, "docker.io", "ns is known");
	ok(r.query.has_w && r.query.w == 3, "w is known");
	ok(route_parse(&a,
		       "/v2/?artifactType=&artifactType=application/spdx+json",
		       &r, &part, &e) == 0,
	   "a query that is not escaped is read");
	is_str(r.query.artifact_type, "application/spdx+json",
	       "... a plus is one, and an empty type none");
	ok(route_parse(&a, "/v2/?n=-1&w=9999999999999999999999&last=%00", &r,
		       &part, &e) == 0 &&
		   r.query.bad_n && !r.query.has_n,
	   "a bad n is told apart from none");
	is_u64(r.query.w, 99, "w is clamped");
	is_str(r.query.last, NULL, "a control byte is dropped");
	ok(route_parse(&a, "/v2/?w=x&n=&last=%zz&ns=%4", &r, &part, &e) == 0 &&
		   r.query.w == 99 && !r.query.last && !r.query.ns,
	   "a hop count that is no number counts as the last");
}

static void
test_hop(void)
{
	static const struct {
		const char *uri, *want;
	} hops[] = {
		{"/v2/a/manifests/b", "/v2/a/manifests/b?w=4"},
		{"/v2/a/manifests/b?", "/v2/a/manifests/b?w=4"},
		{"/v2/a/manifests/b?w=3", "/v2/a/manifests/b?w=4"},
		{"/v2/a/manifests/b?ns=d.io&w=3&w=2&x",
		 "/v2/a/manifests/b?ns=d.io&x&w=4"},
		{"/v2/a/manifests/b?q=%2F%zz\"<>",
		 "/v2/a/manifests/b?q=%2F%zz\"<>&w=4"},
	};

	for (size_t i = 0; i < ARRAY_LEN(hops); i++) {
		AUTO(arena) struct arena a = ARENA_INIT;
		struct err e = ERR_INIT;
		enum route_part part;
		struct route r;

		if (!ok(route_parse(&a, hops[i].uri, &r, &part, &e) == 0, "%s",
			hops[i].uri))
			continue;
		is_str(route_hop(&a, &r, 4), hops[i].want, "... its next hop");
	}
}

static void
test_probes(void)
{
	char hex[DIGEST_HEX_CAP];
	struct digest subject;

	ok(route_tag_is_probe("sha256-" HEX64 ".sig"), "a signature's tag");
	ok(route_tag_is_probe("sha256-" HEX64), "a referrers tag");
	ok(!route_tag_is_probe("sha256-" HEX64 "0"), "a longer hex number");
	ok(!route_tag_is_probe("sha256-0123"), "a shorter one");
	ok(!route_tag_is_probe("nixos-25.05"), "a channel");
	ok(route_tag_subject("sha256-" HEX64, &subject), "its subject");
	digest_hex(&subject, hex);
	is_str(hex, HEX64, "... is the digest");
	ok(!route_tag_subject("sha256-" HEX64 ".sig", &subject) &&
		   !route_tag_subject("sha256-0123", &subject) &&
		   !route_tag_subject("latest", &subject),
	   "other tags have none");
}

static void
test_request(void)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	struct err e = ERR_INIT;
	struct request r;
	static char p[][64] = {
		"REQUEST_METHOD=HEAD",    "REQUEST_URI=/v2/?a=b",
		"HTTP_ACCEPT=one",        "REQUEST_ID=00ff",
		"HTTP_ACCEPT=two, three", "HTTP_X_ODD",
		"HTTP_USER_AGENT=a=b",    "HTTP_USER_AGENT=second",
		"HTTP_ACCEPT=four",
	};
	char *envp[ARRAY_LEN(p) + 1] = {NULL};
	char *many[REQUEST_PARAMS_MAX + 2] = {NULL};

	for (size_t i = 0; i < ARRAY_LEN(p); i++)
		envp[i] = p[i];
	ok(request_read(&a, envp, &r, &e) == 0 && r.method == METHOD_HEAD,
	   "parameters are read");
	is_str(r.uri, "/v2/?a=b", "the value starts at the first =");
	is_str(r.accept, "one, two, three, four", "Accept headers are joined");
	is_str(r.user_agent, "a=b", "of others the first counts");
	is_str(r.id, "00ff", "the request's id");
	is_str(r.host, "", "what is missing is empty");
	memcpy(p[3], "REQUEST_ID=x\"y", 15);
	ok(request_read(&a, envp, &r, &e) == 0 && !*r.id,
	   "an id that is not hex is dropped");
	for (size_t i = 0; i <= REQUEST_PARAMS_MAX; i++)
		many[i] = p[2];
	ok(request_read(&a, many, &r, &e) < 0 && e.kind == ERR_INVALID,
	   "too many parameters are refused");
	ok(r.method == METHOD_OTHER, "... and the request is whole");
}

int
main(void)
{
	test_good();
	test_reject("tests/reject/route/uri", ROUTE_PART_URI);
	test_reject("tests/reject/route/name", ROUTE_PART_NAME);
	test_reject("tests/reject/route/tag", ROUTE_PART_TAG);
	test_reject("tests/reject/route/digest", ROUTE_PART_DIGEST);
	test_lengths();
	test_query();
	test_hop();
	test_probes();
	test_request();
	return done_testing();
}
