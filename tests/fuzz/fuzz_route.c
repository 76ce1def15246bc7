/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/err.h"
#include "fcgi/route.h"
#include "tests/fuzz/fuzz.h"

/* Printable, and nothing that ends a header or climbs out of a path. */
static void
check_path(const char *path)
{
	FUZZ_CHECK(path[0] == '/' && !strstr(path, "//"));
	FUZZ_CHECK(!strstr(path, "/../") && !strstr(path, "/./"));
	for (; *path; path++)
		FUZZ_CHECK(*path > 0x20 && *path < 0x7F && *path != '%');
}

static void
check_hop(struct arena *a, const struct route *r)
{
	enum route_part part;
	struct err e = ERR_INIT;
	struct route again;
	char *uri = route_hop(a, r, 7);

	FUZZ_CHECK(!strpbrk(uri, "\r\n "));
	if (strlen(uri) > ROUTE_URI_MAX)
		return;
	FUZZ_CHECK(route_parse(a, uri, &again, &part, &e) == 0);
	FUZZ_CHECK(again.kind == r->kind && again.query.w == 7);
	FUZZ_CHECK(strcmp(again.path, r->path) == 0);
	FUZZ_CHECK(again.query.has_n == r->query.has_n);
	FUZZ_CHECK(again.query.n == r->query.n);
}

/* A URI that is taken is clean, and its next hop is the same place. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	struct err e = ERR_INIT;
	enum route_part part;
	struct route r;
	const char *uri = arena_strndup(&a, (const char *)data, n);

	if (route_parse(&a, uri, &r, &part, &e) < 0) {
		FUZZ_CHECK(e.kind == ERR_INVALID && e.msg[0]);
		return 0;
	}
	check_path(r.path);
	FUZZ_CHECK(!r.name || (strlen(r.name) <= 255 && r.name[0]));
	FUZZ_CHECK(!r.tag || (strlen(r.tag) <= ROUTE_TAG_MAX && r.tag[0]));
	FUZZ_CHECK(!r.tag || (r.kind == ROUTE_MANIFEST &&
			      r.digest_kind == ROUTE_DIGEST_NONE));
	FUZZ_CHECK(r.kind != ROUTE_BLOB || r.digest_kind != ROUTE_DIGEST_NONE);
	if (r.tag)
		(void)route_tag_is_probe(r.tag);
	check_hop(&a, &r);
	return 0;
}
