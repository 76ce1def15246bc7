/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/forest.h"
#include "core/pack/pack.h"
#include "tests/support/tap.h"
#include "tests/support/tree.h"

/* The packages of one image, and what became of them. */
static struct {
	const char *paths[8];
	size_t n;
	struct arena arena;
	struct forest forest;
} im;

static void
make_line(const char *dir, const char *line)
{
	AUTO(buf) struct buf path = BUF_INIT;
	const char *arrow = strstr(line, " -> ");

	buf_printf(&path, "%s/%s", dir, line);
	if (arrow) {
		buf_truncate(&path, path.len - strlen(arrow));
		tree_link(path.p, arrow + strlen(" -> "));
	} else if (str_has_suffix(line, "/")) {
		buf_truncate(&path, path.len - 1);
		tree_dir(path.p);
	} else {
		tree_file(path.p, line);
	}
}

/*
 * A package made of lines: "bin/x" is a file, "bin/" a directory, "a -> b" a
 * link. Returns its store path.
 */
static const char *
package(const char *name, const char *const *lines)
{
	static unsigned serial;
	const char *path = tree_path("store/%032u-%s", ++serial, name);

	tree_dir(path);
	for (; *lines; lines++)
		make_line(path, *lines);
	im.paths[im.n++] = path;
	return path;
}

#define PACKAGE(name, ...) \
	package(name, (const char *const[]){__VA_ARGS__, NULL})

static const struct pack_entry *
entry(const char *name)
{
	for (size_t i = 0; i < im.forest.n; i++)
		if (strcmp(im.forest.entries[i].name, name) == 0)
			return &im.forest.entries[i];
	return NULL;
}

static bool
is_type(const char *name, enum pack_entry_type type)
{
	const struct pack_entry *p = entry(name);

	return p && p->type == type;
}

/* NULL when it is no link. */
static const char *
target(const char *name)
{
	return is_type(name, PACK_SYMLINK) ? entry(name)->target : NULL;
}

/* name is a link to REST in the store path. */
static void
leads_to(const char *name, const char *path, const char *rest, const char *says)
{
	AUTO(buf) struct buf want = BUF_INIT;

	buf_printf(&want, "%s/%s", path, rest);
	is_str(target(name), want.p, says);
}

/* What tar and every runtime need: sorted, unique, parents before children. */
static bool
is_sane(void)
{
	for (size_t i = 0; i < im.forest.n; i++) {
		const struct pack_entry *p = &im.forest.entries[i];
		const char *slash = strrchr(p->name, '/');
		char *parent = slash ? arena_strndup(&im.arena, p->name,
						     (size_t)(slash - p->name))
				     : NULL;

		if (i > 0 && strcmp(p[-1].name, p->name) >= 0)
			return false;
		if (parent && !is_type(parent, PACK_DIR))
			return false;
		if (p->type == PACK_SYMLINK && p->target[0] == '/' &&
		    !strstr(p->target, "/store/"))
			return false;
	}
	return true;
}

static void
grow(const char *says)
{
	struct err e = ERR_INIT;

	im.forest = (struct forest){.n = 0};
	ok(forest_make(&im.arena, im.paths, im.n, &im.forest, &e) == 0 &&
		   is_sane(),
	   "%s %s", says, e.msg);
}

static void
fell(void)
{
	arena_release(&im.arena);
	im.n = 0;
}

static void
test_nothing(void)
{
	grow("an image without packages");
	ok(is_type("etc", PACK_DIR) && entry("etc")->mode == 0755, "/etc");
	ok(is_type("tmp", PACK_DIR) && entry("tmp")->mode == 01777, "/tmp");
	ok(is_type("var/tmp", PACK_DIR) && entry("var/tmp")->mode == 01777,
	   "/var/tmp");
	ok(entry("var")->mode == 0755 && entry("root")->mode == 0700,
	   "/var and /root");
	ok(is_type("etc/passwd", PACK_FILE) && is_type("etc/group", PACK_FILE),
	   "/etc/passwd, /etc/group");
	ok(strstr(entry("etc/passwd")->data, "root:x:0:0:") &&
		   strstr(entry("etc/passwd")->data, "nobody:x:65534:") &&
		   !strstr(entry("etc/passwd")->data, "/bin/sh"),
	   "root and nobody, without a shell where none is");
	ok(entry("etc/passwd")->n == strlen(entry("etc/passwd")->data) &&
		   entry("etc/passwd")->mode == 0644,
	   "its size and mode");
	ok(is_type("etc/nsswitch.conf", PACK_FILE), "/etc/nsswitch.conf");
	ok(!entry("bin/sh") && !entry("usr/bin/env") &&
		   is_type("usr/bin", PACK_DIR),
	   "no link that would dangle");
	ok(!im.forest.cert_file, "no certificates");
	is_str(im.forest.path, "/bin:/usr/bin", "PATH");
	is_u64(im.forest.collisions, 0, "no collisions");
	fell();
}

static void
test_merge(void)
{
	const char *git =
		PACKAGE("git", "bin/git", "share/doc/git/a", "bin/both",
			"nix-support/propagated", "lib/nix-support/kept",
			"sbin/gitd", "share/empty/");
	const char *htop = PACKAGE("htop", "bin/htop", "share/doc/htop/a",
				   "bin/both", "nix/x", "proc/x", "dev/x",
				   "sys/x", "link -> bin/htop", "opt -> share");

	grow("two packages");
	leads_to("bin/git", git, "bin/git", "a file of the first");
	leads_to("bin/htop", htop, "bin/htop", "a file of the second");
	ok(is_type("bin", PACK_DIR) && is_type("share/doc", PACK_DIR) &&
		   entry("share/doc")->mode == 0755,
	   "directories are real ones");
	leads_to("share/doc/git/a", git, "share/doc/git/a", "deep inside");
	ok(is_type("share/empty", PACK_DIR), "an empty directory is kept");
	leads_to("bin/both", git, "bin/both", "of two files the first wins");
	is_u64(im.forest.collisions, 1, "  and the other is counted");
	ok(!entry("nix-support"), "nix-support is left out");
	ok(entry("lib/nix-support/kept"), "  but not further down");
	ok(!entry("nix") && !entry("proc") && !entry("sys") && !entry("dev"),
	   "what would cover the system's own is left out");
	leads_to("link", htop, "link", "a link is a link to the link");
	leads_to("opt", htop, "opt", "also one to a directory");
	is_str(im.forest.path, "/bin:/sbin:/usr/bin", "sbin is in PATH");
	fell();
}

/* By the name without hash, whatever the order in which they are given. */
static void
test_order(void)
{
	const char *z = PACKAGE("zsh", "bin/x"), *a = PACKAGE("ash", "bin/x");

	grow("given as zsh, ash");
	leads_to("bin/x", a, "bin/x", "the first by name wins");
	im.paths[0] = a;
	im.paths[1] = z;
	arena_release(&im.arena);
	grow("given as ash, zsh");
	leads_to("bin/x", a, "bin/x", "and again");
	fell();
}

static void
test_directory_links(void)
{
	const char *a = PACKAGE("a", "real/one", "share -> real");
	const char *b = PACKAGE("b", "share/two");

	grow("a directory behind a link, and a real one");
	ok(is_type("share", PACK_DIR), "are merged to a directory");
	leads_to("share/one", a, "share/one", "  with the first's");
	leads_to("share/two", b, "share/two", "  and the second's");
	fell();

	a = PACKAGE("a", "x");
	b = PACKAGE("b", "x/y");
	grow("a file where another has a directory");
	leads_to("x", a, "x", "the first wins");
	is_u64(im.forest.collisions, 1, "  and it is counted");
	fell();

	a = PACKAGE("a", "x -> nowhere", "y/1");
	PACKAGE("b", "x/1", "y -> nowhere");
	grow("dangling links against directories");
	leads_to("x", a, "x", "a link that came first stays");
	leads_to("y/1", a, "y/1", "a directory that came first stays");
	is_u64(im.forest.collisions, 2, "  and both are counted");
	fell();
}

static void
test_same_file(void)
{
	const char *lib = PACKAGE("lib", "share/x", "bin/tool");
	AUTO(buf) struct buf tool = BUF_INIT, share = BUF_INIT;

	buf_printf(&tool, "bin/tool -> %s/bin/tool", lib);
	buf_printf(&share, "doc -> %s/share", lib);
	im.n = 0;
	lib = PACKAGE("a", tool.p, share.p);
	PACKAGE("b", tool.p, share.p);
	grow("two packages that link to the same file and directory");
	leads_to("bin/tool", lib, "bin/tool", "one link is there");
	leads_to("doc", lib, "doc", "and the other");
	is_u64(im.forest.collisions, 0, "nobody has lost");
	fell();
}

static void
test_lib64(void)
{
	const char *a = PACKAGE("a", "lib/a.so", "lib64 -> lib");
	const char *b = PACKAGE("b", "lib/b.so", "lib64 -> lib"), *c;

	grow("lib64 -> lib in two packages");
	is_str(target("lib64"), "lib", "it is in the image too");
	leads_to("lib/a.so", a, "lib/a.so", "and lib has both: one");
	leads_to("lib/b.so", b, "lib/b.so", "  two");
	is_u64(im.forest.collisions, 0, "no collision");

	c = PACKAGE("c", "lib64/c.so", "lib64/a.so");
	arena_release(&im.arena);
	grow("and a third with a real lib64");
	is_str(target("lib64"), "lib", "the link stays");
	leads_to("lib/c.so", c, "lib64/c.so", "its files are there");
	is_u64(im.forest.collisions, 1, "a file of the same name has lost");
	fell();

	a = PACKAGE("a", "include/x.h", "include/sub -> .");
	b = PACKAGE("b", "include/y.h", "include/sub -> .");
	c = PACKAGE("c", "include/sub/z.h");
	grow("a link to its own directory in two packages");
	is_str(target("include/sub"), ".", "it is in the image too");
	leads_to("include/z.h", c, "include/sub/z.h", "and leads further");
	fell();
}

static void
test_loops(void)
{
	const char *a = PACKAGE("a", "x/up -> ..", "x/f", "y/here -> ../y");

	PACKAGE("b", "x/up -> ..", "x/g", "y/here -> ../y");
	grow("links that lead back up, in two packages");
	leads_to("x/up", a, "x/up", "stay links");
	leads_to("y/here", a, "y/here", "  of the first");
	ok(entry("x/f") && entry("x/g"), "the rest is merged");
	fell();

	PACKAGE("a", "p/to -> ../q", "q/to -> ../p", "p/1", "q/1");
	PACKAGE("b", "p/to -> ../q", "q/to -> ../p", "p/2", "q/2");
	grow("directories that link to each other, in two packages");
	ok(entry("p/1") && entry("p/2") && entry("q/1") && entry("q/2"),
	   "both are merged");
	fell();

	PACKAGE("a", "s -> t", "t -> s", "u -> u");
	PACKAGE("b", "s -> t", "t -> s", "u -> u");
	PACKAGE("c", "s/f", "u/f");
	grow("links that lead nowhere but to each other");
	ok(target("s") && target("t") && target("u"), "stay as they are");
	fell();
}

/* A relative link means the image's files, not those of our own directory. */
static void
test_working_directory(void)
{
	const char *here = tree_path("here");

	tree_file(tree_path("here/share/secret"), "x");
	tree_dir(tree_path("here/usr"));
	if (chdir(here) < 0)
		exit(1);
	PACKAGE("a", "var -> share", "usr -> .", "bin/env");
	PACKAGE("b", "var -> share", "usr -> .", "bin/env");
	grow("links named like directories of ours");
	ok(!entry("var/secret") && !entry("usr/share"),
	   "nothing of our working directory gets in");
	is_str(target("usr"), ".", "usr is what the packages say");
	fell();
	if (chdir("/") < 0)
		exit(1);
}

static void
test_shell(void)
{
	const char *bash = PACKAGE("bash", "bin/bash");
	const char *tools =
		PACKAGE("coreutils", "bin/coreutils", "bin/env -> coreutils");

	grow("bash and coreutils");
	leads_to("bin/sh", bash, "bin/bash", "/bin/sh is bash");
	leads_to("usr/bin/env", tools, "bin/env", "/usr/bin/env");
	ok(strstr(entry("etc/passwd")->data, "root:x:0:0:root:/root:/bin/sh\n"),
	   "root has a shell");
	fell();

	tools = PACKAGE("coreutils", "bin/coreutils", "bin/env -> coreutils");
	PACKAGE("coreutils-full", "bin/coreutils", "bin/env -> coreutils");
	bash = PACKAGE("dash", "bin/dash", "bin/sh -> dash");
	grow("two coreutils, and dash");
	leads_to("usr/bin/env", tools, "bin/coreutils",
		 "/usr/bin/env leads into the store");
	leads_to("bin/sh", bash, "bin/sh", "a package's own sh stays");
	fell();

	PACKAGE("broken", "bin/env -> gone", "bin/bash -> gone");
	grow("links that dangle");
	ok(!entry("usr/bin/env") && !entry("bin/sh"),
	   "give no further ones that dangle");
	fell();

	bash = PACKAGE("bash", "usr/bin/bash", "usr/bin/env", "bin -> usr/bin");
	grow("one package whose bin is a link");
	leads_to("bin/sh", bash, "bin/bash", "has a /bin/sh too");
	leads_to("usr/bin/env", bash, "usr/bin/env", "and its own env");
	fell();
}

static void
test_certificates(void)
{
	static const char *const links[] = {
		"etc/ssl/certs/ca-certificates.crt",
		"etc/ssl/cert.pem",
		"etc/pki/tls/certs/ca-bundle.crt",
	};
	const char *ca = PACKAGE("nss-cacert", "etc/ssl/certs/ca-bundle.crt");

	grow("certificates");
	is_str(im.forest.cert_file, "/etc/ssl/certs/ca-bundle.crt",
	       "where they are");
	for (size_t i = 0; i < ARRAY_LEN(links); i++)
		leads_to(links[i], ca, "etc/ssl/certs/ca-bundle.crt", links[i]);
	fell();
}

/* A package that brings what we would make wins. */
static void
test_root_files(void)
{
	const char *a = PACKAGE("rootfs", "etc/passwd", "etc/nsswitch.conf",
				"tmp/keep", "var/lib/x", "usr/bin/env",
				"bin/bash", "bin/env", "bin/sh", "root -> tmp");

	grow("a package with /etc/passwd");
	leads_to("etc/passwd", a, "etc/passwd", "its passwd");
	leads_to("etc/nsswitch.conf", a, "etc/nsswitch.conf", "its nsswitch");
	ok(is_type("etc/group", PACK_FILE), "and our group");
	leads_to("bin/sh", a, "bin/sh", "its shell");
	leads_to("usr/bin/env", a, "usr/bin/env", "its env");
	ok(entry("tmp")->mode == 01777, "/tmp is for everyone all the same");
	leads_to("tmp/keep", a, "tmp/keep", "  with what is in it");
	ok(is_type("var/tmp", PACK_DIR) && entry("var/lib/x"), "/var has both");
	ok(is_type("root", PACK_DIR) && entry("root")->mode == 0700,
	   "a directory behind a link becomes ours");
	fell();

	a = PACKAGE("odd", "etc", "var", "usr -> nowhere", "bin/env", "tmp");
	grow("files where our directories would be");
	leads_to("etc", a, "etc", "stay");
	ok(!entry("etc/passwd") && !entry("var/tmp") && !entry("usr/bin"),
	   "and nothing goes below them");
	fell();
}

static void
test_limits(void)
{
	AUTO(buf) struct buf line = BUF_INIT;
	struct err e = ERR_INIT;
	struct forest f;

	for (unsigned i = 0; i < FOREST_MAX_DEPTH + 1; i++)
		buf_adds(&line, "d/");
	PACKAGE("deep", line.p);
	ok(forest_make(&im.arena, im.paths, im.n, &f, &e) < 0 &&
		   e.kind == ERR_DENIED,
	   "too deep: %s", e.msg);
	fell();
}

static void
test_roots(void)
{
	const char *a = PACKAGE("real", "bin/x");
	const char *file = tree_path("store/%032u-file.txt", 0u);
	const char *link = tree_path("store/%032u-link", 0u);

	tree_file(file, "x");
	tree_link(link, a);
	im.paths[0] = file;
	im.paths[im.n++] = link;
	grow("store paths that are a file, and a link to a directory");
	leads_to("bin/x", link, "bin/x", "the directory behind it is merged");
	fell();
}

int
main(void)
{
	tree_init();
	test_nothing();
	test_merge();
	test_order();
	test_directory_links();
	test_same_file();
	test_lib64();
	test_loops();
	test_working_directory();
	test_shell();
	test_certificates();
	test_root_files();
	test_limits();
	test_roots();
	tree_done();
	return done_testing();
}
