/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/resolve.h"
#include "tests/support/tap.h"
#include "tests/support/tree.h"

static void
test_path_tags(void)
{
	static const char *const bad[] = {"", "Latest", "latest ",
					  "nixos-23.05", "0123456789abcdef"};
	const struct source s = {.kind = SOURCE_PATH, .location = "/pkgs"};
	struct err e = ERR_INIT;

	ok(resolve_check_tag(&s, SOURCE_TAG_DEFAULT, &e) == 0,
	   "a directory has the tag latest");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		err_clear(&e);
		ok(resolve_check_tag(&s, bad[i], &e) < 0 &&
			   e.kind == ERR_NOT_FOUND &&
			   strstr(e.msg, SOURCE_TAG_DEFAULT) &&
			   !strstr(e.msg, "/pkgs"),
		   "and not \"%s\": %s", bad[i], e.msg);
	}
}

static void
test_path(void)
{
	const struct resolve_options o = {.offline = true,
					  .state_path = tree_path("state")};
	const struct source s = {.kind = SOURCE_PATH,
				 .location = tree_path("pkgs")};
	const struct source none = {.kind = SOURCE_PATH,
				    .location = tree_path("none")};
	struct revision r = {.time = 1}, again = {.time = 1};
	struct err e = ERR_INIT;

	tree_file(tree_path("pkgs/default.nix"), "{ }");
	ok(resolve_revision(&s, "latest", &o, &r, &e) == 0 && r.id[0] &&
		   r.time == 0,
	   "a directory's revision: %s", r.id);
	tree_file(tree_path("pkgs/default.nix"), "{ } ");
	ok(resolve_revision(&s, "latest", &o, &again, &e) == 0 &&
		   strcmp(r.id, again.id) != 0,
	   "another one after an edit");
	ok(resolve_revision(&s, "v1", &o, &r, &e) < 0 &&
		   e.kind == ERR_NOT_FOUND,
	   "no other tag: %s", e.msg);
	err_clear(&e);
	ok(resolve_revision(&none, "latest", &o, &r, &e) < 0 &&
		   e.kind == ERR_SYSTEM,
	   "a directory that is gone: %s", e.msg);
}

int
main(void)
{
	tree_init();
	test_path_tags();
	test_path();
	tree_done();
	return done_testing();
}
