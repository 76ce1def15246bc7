/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/model/image.h"
#include "tests/support/tap.h"

static const struct {
	const char *name, *path, *want, *canonical;
} cases[] = {
	{"packages are sorted", "htop/git", "cacert git htop iana-etc",
	 "git/htop"},
	{"repetition does not matter", "git/htop/git/git",
	 "cacert git htop iana-etc", "git/htop"},
	{"shell expands", "shell",
	 "bashinteractive cacert coreutils iana-etc moreutils nano", "shell"},
	{"shell expands only in front", "git/shell",
	 "cacert git iana-etc shell", "git/shell"},
	{"meta-packages in any number and order", "shell/arm64/shell/git",
	 "bashinteractive cacert coreutils git iana-etc moreutils nano",
	 "arm64/shell/git"},
	{"what is always in may be asked for", "cacert", "cacert iana-etc",
	 "cacert"},
	{"nested sets", "xorg.xev/haskellpackages.stylish-haskell",
	 "cacert haskellpackages.stylish-haskell iana-etc xorg.xev",
	 "haskellpackages.stylish-haskell/xorg.xev"},
	{"a package called like a meta-package stays behind", "zsh/shell/amd64",
	 "amd64 cacert iana-etc shell zsh", "zsh/amd64/shell"},
	{"only a platform", "arm64", NULL, NULL},
	{"two platforms", "arm64/amd64/git", NULL, NULL},
	{"an empty part is refused", "git//htop", NULL, NULL},
	{"nothing is refused", "", NULL, NULL},
	{"a trailing slash is refused", "git/", NULL, NULL},
};

static void
test_case(size_t i)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	AUTO(buf) struct buf got = BUF_INIT;
	struct err e = ERR_INIT;
	struct image im;

	if (image_parse(&a, cases[i].path, &im, &e) < 0) {
		ok(!cases[i].want && e.kind == ERR_INVALID, "%s (%s)",
		   cases[i].name, e.msg);
		return;
	}
	for (size_t k = 0; k < im.n_packages; k++)
		buf_printf(&got, "%s%s", k ? " " : "", im.packages[k]);
	is_str(got.p, cases[i].want, cases[i].name);
	is_str(im.name, cases[i].canonical, "  and its canonical name");
}

static void
test_limits(void)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	AUTO(buf) struct buf name = BUF_INIT;
	struct err e = ERR_INIT;
	struct image im;

	for (int i = 0; i < 127; i++)
		buf_printf(&name, "%sa", i ? "/" : "");
	ok(image_parse(&a, name.p, &im, &e) < 0 && e.kind == ERR_INVALID,
	   "too many packages: %s", e.msg);
	err_clear(&e);
	for (int i = 0; i < 300; i++)
		buf_addc(&name, 'a');
	ok(image_parse(&a, name.p, &im, &e) < 0 && e.kind == ERR_INVALID,
	   "too long: %s", e.msg);
}

int
main(void)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	struct err e = ERR_INIT;
	struct image ab, ba;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		test_case(i);
	test_limits();
	ok(image_parse(&a, "ab/c", &ab, &e) == 0 &&
		   image_parse(&a, "a/bc", &ba, &e) == 0 &&
		   strcmp(ab.name, ba.name) != 0,
	   "ab/c and a/bc are not the same image (nixery B2)");
	ok(platform_find("linux/arm64") == platform_find("arm64") &&
		   !platform_find("windows/amd64") && !platform_find("arm"),
	   "platforms are found by either name");
	return done_testing();
}
