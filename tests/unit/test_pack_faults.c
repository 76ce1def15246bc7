/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/pack_tree.h"

/* What store paths may hold that is not nice, and what may go wrong. */

static const char *const path_a[] = {PATH_A};

static void
digest_of_paths(const char *const *paths, size_t n, struct layer *ret)
{
	AUTO(buf) struct buf blob = BUF_INIT;
	struct pack_input in = input_of(paths, n);
	struct err e = ERR_INIT;

	if (pack_to(&blob, 2, &in, NULL, ret, &e) < 0)
		die(e.msg);
}

/* How packing PATH_A fails; NULL when it doesn't. */
static const char *
failure(struct err *e)
{
	AUTO(buf) struct buf blob = BUF_INIT;
	struct pack_input in = input_of(path_a, 1);
	struct layer l;

	err_clear(e);
	return pack_to(&blob, 2, &in, NULL, &l, e) < 0 ? e->msg : NULL;
}

static void
start_again(void)
{
	tree_remove();
	tree_init();
	make_dir(PATH_A);
}

static void
test_names(void)
{
	AUTO(buf) struct buf name = BUF_INIT;
	struct err e = ERR_INIT;
	char target[4096];

	start_again();
	memset(target, 't', sizeof(target) - 1);
	target[sizeof(target) - 1] = '\0';
	make_link(PATH_A "/link", target);
	make_file(PATH_A "/\xff\xfe\n new\nline", "x", 1, 0444);
	buf_printf(&name, "%s/%0255d", PATH_A, 1);
	make_dir(name.p);
	buf_printf(&name, "/%0200d", 2);
	make_file(name.p, "x", 1, 0444);
	ok(failure(&e) == NULL, "long and odd names: %s", e.msg);
}

static void
test_huge_directory(void)
{
	struct layer l;
	char name[100];

	start_again();
	for (int i = 0; i < 5000; i++) {
		(void)snprintf(name, sizeof(name), PATH_A "/%d", i * 7919);
		make_file(name, "", 0, 0444);
	}
	digest_of_paths(path_a, 1, &l);
	ok(l.size > 5000, "a directory of 5000 files");
}

static void
test_hard_links(void)
{
	struct layer apart, linked;

	start_again();
	make_noise(PATH_A "/one", 1000, 1);
	make_noise(PATH_A "/two", 1000, 1);
	digest_of_paths(path_a, 1, &apart);
	if (unlink(in_root(PATH_A "/two")) < 0 ||
	    link(in_root(PATH_A "/one"), in_root(PATH_A "/two")) < 0)
		die("link");
	digest_of_paths(path_a, 1, &linked);
	ok(digest_eq(&apart.digest, &linked.digest),
	   "hard links don't change the bytes");
}

static void
test_metadata(void)
{
	struct layer before, after;

	start_again();
	make_file(PATH_A "/f", "x", 1, 0600);
	digest_of_paths(path_a, 1, &before);
	if (chmod(in_root(PATH_A), 0700) < 0 ||
	    chmod(in_root(PATH_A "/f"), 0444) < 0 ||
	    utimensat(AT_FDCWD, in_root(PATH_A "/f"), NULL, 0) < 0)
		die("chmod");
	digest_of_paths(path_a, 1, &after);
	ok(digest_eq(&before.digest, &after.digest),
	   "owner's bits but x, and times, don't either");
	if (chmod(in_root(PATH_A "/f"), 0555) < 0)
		die("chmod");
	digest_of_paths(path_a, 1, &after);
	ok(!digest_eq(&before.digest, &after.digest), "the x bit does");
}

static void
test_sparse(void)
{
	struct layer hole, zeros;
	AUTO(mem) char *p = xcalloc(1, 9 * MIB);

	start_again();
	make_hole(PATH_A "/f", 9 * MIB);
	digest_of_paths(path_a, 1, &hole);
	make_file(PATH_A "/f", p, 9 * MIB, 0444);
	digest_of_paths(path_a, 1, &zeros);
	ok(digest_eq(&hole.digest, &zeros.digest), "holes are zeros");
}

static void
test_unreadable(void)
{
	struct err e = ERR_INIT;

	start_again();
	ok(failure(&e) == NULL, "all is well");
	make_file(PATH_A "/secret", "x", 1, 0);
	if (geteuid() == 0 && seteuid(65534) < 0)
		die("seteuid");
	is_str(failure(&e),
	       "pack " PATH_A "/secret: open secret: Permission denied",
	       "an unreadable file");
	ok(e.kind == ERR_SYSTEM, "is the system's fault");
	if (getuid() == 0 && seteuid(0) < 0)
		die("seteuid");

	start_again();
	if (mkfifo(in_root(PATH_A "/pipe"), 0644) < 0)
		die("mkfifo");
	is_str(failure(&e),
	       "pack " PATH_A "/: pipe is neither file nor directory nor link",
	       "a pipe");

	start_again();
	if (rmdir(in_root(PATH_A)) < 0)
		die("rmdir");
	ok(failure(&e) && e.kind == ERR_SYSTEM && strstr(e.msg, "No such file"),
	   "a path that isn't there: %s", e.msg);
}

static void
test_depth(void)
{
	AUTO(buf) struct buf name = BUF_INIT;
	struct err e = ERR_INIT;

	start_again();
	buf_adds(&name, PATH_A);
	for (int i = 0; i < 190; i++)
		buf_adds(&name, "/d");
	make_dir(name.p);
	ok(failure(&e) == NULL, "190 levels: %s", e.msg);
	for (int i = 0; i < 20; i++)
		buf_adds(&name, "/d");
	make_dir(name.p);
	ok(failure(&e) && strstr(e.msg, "nested too deeply"),
	   "but not any number");
	/* In two, or it would be too deep to be removed. */
	buf_truncate(&name, name.len - 200);
	if (rename(in_root(name.p), in_root("/rest")) < 0)
		die("rename");
}

/* A sink that does something while the path is read. */
struct prank {
	struct sink base;
	void (*play)(void);
	int writes;
	int fail_at; /* "No space left" at this write; 0: never */
	bool finished;
};

static int
prank_write(struct sink *s, const void *p UNUSED, size_t n UNUSED,
	    struct err *e)
{
	struct prank *k = (struct prank *)s;

	if (++k->writes == k->fail_at)
		return err_set_errno(e, ERR_SYSTEM, ENOSPC, "write");
	/* The first is of what comes before the store paths. */
	if (k->writes == 2 && k->play)
		k->play();
	return 0;
}

static int
prank_finish(struct sink *s, struct err *e UNUSED)
{
	((struct prank *)s)->finished = true;
	return 0;
}

static void
prank_free(struct sink *s UNUSED)
{
}

static const struct sink_ops prank_ops = {
	.write = prank_write,
	.finish = prank_finish,
	.free = prank_free,
};

/*
 * Pack PATH_A, whose file "big" is larger than all blocks of the pool, so
 * that it is still being read when the sink gets the first of it.
 */
static int
pack_prank(struct prank *k, struct err *e)
{
	struct pack_pool *p = pack_pool_new(1, &gzip_1);
	struct pack_input in = input_of(path_a, 1);
	struct layer l;
	int r;

	k->base.ops = &prank_ops;
	err_clear(e);
	r = pack_layer(p, &in, &k->base, &l, e);
	pack_pool_free(p);
	return r;
}

static void
cut_big(void)
{
	if (truncate(in_root(PATH_A "/big"), 1000) < 0)
		die("truncate");
}

static void
extend_big(void)
{
	if (truncate(in_root(PATH_A "/big"), (off_t)(65 * MIB)) < 0)
		die("truncate");
}

static void
rewrite_big(void)
{
	int fd = open(in_root(PATH_A "/big"), O_WRONLY);

	if (fd < 0 || pwrite(fd, "x", 1, 0) != 1)
		die("write");
	close(fd);
}

static void
remove_next(void)
{
	if (unlink(in_root(PATH_A "/next")) < 0)
		die("unlink");
}

static void
link_next(void)
{
	remove_next();
	make_link(PATH_A "/next", "/etc/hostname");
}

static void
test_changes(void)
{
	static const struct {
		const char *what;
		void (*play)(void);
		const char *want;
	} cases[] = {
		{"a file that is cut", cut_big,
		 "pack " PATH_A "/big: became shorter while it was read"},
		{"a file that grows", extend_big,
		 "pack " PATH_A "/big: changed while it was read"},
		{"a file that is written to", rewrite_big,
		 "pack " PATH_A "/big: changed while it was read"},
		{"a file that vanishes", remove_next,
		 "pack " PATH_A "/next: open next: No such file or directory"},
		{"a file that becomes a link", link_next,
		 "pack " PATH_A "/next: open next: Too many levels of "
		 "symbolic links"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct prank k = {.play = cases[i].play};
		struct err e = ERR_INIT;

		start_again();
		make_hole(PATH_A "/big", 64 * MIB);
		make_file(PATH_A "/next", "x", 1, 0444);
		ok(pack_prank(&k, &e) < 0 && e.kind == ERR_SYSTEM, "%s",
		   cases[i].what);
		is_str(e.msg, cases[i].want, "and it is said");
		ok(!k.finished, "the layer isn't finished");
	}
}

static void
test_full_disk(void)
{
	for (int at = 1; at <= 20; at += 19) {
		struct prank k = {.fail_at = at};
		struct err e = ERR_INIT;

		start_again();
		make_hole(PATH_A "/big", 64 * MIB);
		ok(pack_prank(&k, &e) < 0 && !k.finished && k.writes == at,
		   "a full disk ends it at once");
		is_str(e.msg, "write: No space left on device", "and is told");
	}
}

static void
test_refused(void)
{
	static const char *const twice[] = {PATH_A, PATH_A};
	static const char *const inside[] = {PATH_A, PATH_A "/sub"};
	static const char *const relative[] = {"nix/store/x"};
	static const char *const dots[] = {"/nix/store/../x"};
	static const char *const slash[] = {PATH_A "/"};
	static const struct {
		const char *what;
		struct pack_entry entry;
		const char *const *paths;
		size_t n_paths;
	} cases[] = {
		{"a path twice", {.name = "x"}, twice, 2},
		{"a path in a path", {.name = "x"}, inside, 2},
		{"a relative path", {.name = "x"}, relative, 1},
		{"a path with ..", {.name = "x"}, dots, 1},
		{"a path with a slash at its end", {.name = "x"}, slash, 1},
		{"an entry with ..", {.name = "a/../b"}, NULL, 0},
		{"an entry from the root", {.name = "/a"}, NULL, 0},
		{"an entry with no name", {.name = ""}, NULL, 0},
		{"an entry with an empty part", {.name = "a//b"}, NULL, 0},
		{"an entry in a path", {.name = &PATH_A[1]}, path_a, 1},
		{"a path in a file",
		 {.name = "nix/store", .type = PACK_FILE, .data = ""},
		 path_a,
		 1},
	};

	start_again();
	make_dir(PATH_A "/sub");
	make_dir("/nix/x");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(buf) struct buf blob = BUF_INIT;
		struct pack_input in =
			input_of(cases[i].paths, cases[i].n_paths);
		struct err e = ERR_INIT;
		struct layer l;

		in.entries = &cases[i].entry;
		in.n_entries = 1;
		ok(pack_to(&blob, 1, &in, NULL, &l, &e) < 0 &&
			   e.kind == ERR_INVALID && blob.len == 0,
		   "%s: %s", cases[i].what, e.msg);
	}
}

int
main(void)
{
	tree_init();
	test_names();
	test_huge_directory();
	test_hard_links();
	test_metadata();
	test_sparse();
	test_unreadable();
	test_depth();
	test_changes();
	test_full_disk();
	test_refused();
	tree_remove();
	return done_testing();
}
