/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/sys/cores.h"
#include "core/sys/fs.h"
#include "core/sys/fsat.h"
#include "tests/support/tap.h"
#include "tests/support/tree.h"

static unsigned
mode_of(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 ? (unsigned)st.st_mode & 07777u : 0;
}

static void
test_read(void)
{
	AUTO(buf) struct buf b = BUF_INIT;
	const char *path = tree_path("read");
	struct err e = ERR_INIT;

	tree_file(path, "0123456789");
	buf_adds(&b, "<");
	ok(fs_read_file(path, 10, &b, &e) == 0, "a file of the limit's size");
	is_str(b.p, "<0123456789", "is appended");
	ok(fs_read_file(path, 9, &b, &e) < 0 && e.kind == ERR_INVALID,
	   "one byte more is refused: %s", e.msg);
	err_clear(&e);
	ok(fs_read_file(tree_path("none"), 9, &b, &e) < 0 &&
		   e.kind == ERR_NOT_FOUND && strstr(e.msg, "none"),
	   "a file that isn't there: %s", e.msg);
	err_clear(&e);
	tree_dir(tree_path("dir"));
	ok(fs_read_file(tree_path("dir"), 9, &b, &e) < 0 &&
		   e.kind == ERR_SYSTEM,
	   "a directory is no file: %s", e.msg);
}

static void
test_atomic(void)
{
	AUTO(buf) struct buf b = BUF_INIT;
	const char *path = tree_path("atomic/file");
	struct fs_names names = {.n = 0};
	struct err e = ERR_INIT;

	tree_dir(tree_path("atomic"));
	ok(fs_write_atomic(path, "one", 3, &e) == 0 &&
		   fs_write_atomic(path, "two\0", 4, &e) == 0 &&
		   fs_read_file(path, 9, &b, &e) == 0 && b.len == 4 &&
		   memcmp(b.p, "two", 4) == 0,
	   "a file is written and replaced");
	ok(mode_of(path) == 0644, "others may read it");
	tree_dir(tree_path("atomic/dir"));
	ok(fs_write_atomic(tree_path("atomic/dir"), "x", 1, &e) < 0 &&
		   e.kind == ERR_SYSTEM,
	   "a directory isn't replaced: %s", e.msg);
	err_clear(&e);
	ok(fs_list(tree_path("atomic"), &names, &e) == 0 && names.n == 2,
	   "nothing else is left behind");
	fs_names_free(&names);
	ok(fs_write_atomic(tree_path("none/file"), "x", 1, &e) < 0 &&
		   e.kind == ERR_SYSTEM,
	   "no directory to write in: %s", e.msg);
	err_clear(&e);
	ok(chdir(tree_path("atomic")) == 0 &&
		   fs_write_atomic("here", "x", 1, &e) == 0 &&
		   mode_of(tree_path("atomic/here")) == 0644 && chdir("/") == 0,
	   "a name without a directory means this one");
}

/* Readers see one whole text or the other. */
static const char *shared_path;

static void *
write_over(void *arg)
{
	struct err e = ERR_INIT;
	char text[5000];

	memset(text, *(char *)arg, sizeof(text));
	for (int i = 0; i < 30; i++)
		if (fs_write_atomic(shared_path, text, sizeof(text), &e) < 0)
			return arg;
	return NULL;
}

static void
test_atomic_readers(void)
{
	char a = 'a', b = 'b';
	char *who[] = {&a, &b};
	pthread_t t[2];
	bool good = true;

	shared_path = tree_path("shared");
	(void)write_over(&a);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		(void)pthread_create(&t[i], NULL, write_over, who[i]);
	for (int i = 0; i < 200; i++) {
		AUTO(buf) struct buf text = BUF_INIT;
		struct err e = ERR_INIT;

		good = good &&
		       fs_read_file(shared_path, 5000, &text, &e) == 0 &&
		       text.len == 5000 && text.p[0] == text.p[4999];
	}
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		void *failed;

		(void)pthread_join(t[i], &failed);
		good = good && !failed;
	}
	ok(good, "who reads meanwhile sees a whole file");
}

static void
test_temp(void)
{
	AUTO(buf) struct buf one = BUF_INIT, two = BUF_INIT;
	AUTO(fd) int a = -1;
	AUTO(fd) int b = -1;
	struct err e = ERR_INIT;

	buf_adds(&one, "kept");
	ok(fs_create_temp(tree_path("dir"), &two, &b, &e) == 0 &&
		   mode_of(two.p) == 0600 && fs_write_all(b, "x", 1, &e) == 0,
	   "a temporary file of our own");
	ok(fs_create_temp(tree_path("none"), &one, &a, &e) < 0 && a == -1 &&
		   strcmp(one.p, "kept") == 0,
	   "none where there is no directory: %s", e.msg);
	(void)unlink(two.p);
}

static void
test_dirs(void)
{
	struct err e = ERR_INIT;

	(void)umask(0);
	ok(fs_mkdirs(tree_path("m/k//d"), 0750, &e) == 0 &&
		   mode_of(tree_path("m")) == 0750 &&
		   mode_of(tree_path("m/k/d")) == 0750,
	   "directories with their parents %s", e.msg);
	(void)umask(022);
	ok(fs_mkdirs(tree_path("m/k/d/"), 0700, &e) == 0 &&
		   mode_of(tree_path("m/k/d")) == 0750,
	   "one that is there is left as it is");
	tree_file(tree_path("m/f"), "");
	ok(fs_mkdirs(tree_path("m/f"), 0755, &e) < 0 && e.kind == ERR_SYSTEM,
	   "a file in its place: %s", e.msg);
	err_clear(&e);
	ok(fs_mkdirs(tree_path("m/f/x"), 0755, &e) < 0 && e.kind == ERR_SYSTEM,
	   "a file in its way: %s", e.msg);
	err_clear(&e);
	tree_file(tree_path("outside/kept"), "");
	tree_link(tree_path("m/link"), tree_path("outside"));
	tree_link(tree_path("m/k/dangling"), "nowhere");
	ok(fs_remove_tree(tree_path("m"), &e) == 0 &&
		   mode_of(tree_path("m")) == 0,
	   "a tree is removed %s", e.msg);
	ok(mode_of(tree_path("outside/kept")) != 0,
	   "but not what its links lead to");
	ok(fs_remove_tree(tree_path("m"), &e) < 0 && e.kind == ERR_NOT_FOUND,
	   "not twice: %s", e.msg);
	err_clear(&e);
	tree_link(tree_path("link-to-dir"), "outside");
	ok(fs_remove_tree(tree_path("link-to-dir"), &e) < 0 &&
		   mode_of(tree_path("outside/kept")) != 0,
	   "a link is no tree: %s", e.msg);
}

static void
test_stat(void)
{
	struct err e = ERR_INIT;
	uint64_t size = 0;
	bool found = false;

	tree_file(tree_path("stat"), "12345");
	ok(fs_stat_file(tree_path("stat"), &found, &size, &e) == 0 && found &&
		   size == 5,
	   "a file and its size");
	ok(fs_stat_file(tree_path("stat"), &found, NULL, &e) == 0 && found,
	   "or without");
	ok(fs_stat_file(tree_path("none"), &found, &size, &e) == 0 && !found,
	   "absence is an answer");
	ok(fs_stat_file(tree_path("stat/x"), &found, &size, &e) == 0 && !found,
	   "also below a file");
	ok(fs_stat_file(tree_path("dir"), &found, &size, &e) < 0 &&
		   e.kind == ERR_SYSTEM && !found,
	   "a directory is an error: %s", e.msg);
}

static void
test_list(void)
{
	struct fs_names names = {.n = 0};
	struct err e = ERR_INIT;

	tree_file(tree_path("list/b"), "");
	tree_file(tree_path("list/B"), "");
	tree_file(tree_path("list/\xC3\xA4"), "");
	tree_dir(tree_path("list/.hidden"));
	tree_dir(tree_path("list/a"));
	ok(fs_list(tree_path("list"), &names, &e) == 0 && names.n == 5 &&
		   strcmp(names.v[0], ".hidden") == 0 &&
		   strcmp(names.v[1], "B") == 0 &&
		   strcmp(names.v[2], "a") == 0 &&
		   strcmp(names.v[3], "b") == 0 &&
		   strcmp(names.v[4], "\xC3\xA4") == 0,
	   "names in the order of their bytes");
	fs_names_free(&names);
	ok(fs_list(tree_path("list/a"), &names, &e) == 0 && names.n == 0,
	   "none in an empty directory");
	fs_names_free(&names);
	ok(fs_list(tree_path("none"), &names, &e) < 0 &&
		   e.kind == ERR_NOT_FOUND,
	   "no directory: %s", e.msg);
}

static void
test_links(void)
{
	AUTO(buf) struct buf target = BUF_INIT, got = BUF_INIT;
	struct err e = ERR_INIT;

	for (int i = 0; i < 400; i++)
		buf_adds(&target, "long/text/");
	tree_link(tree_path("long-link"), target.p);
	ok(fs_readlink(AT_FDCWD, tree_path("long-link"), &got, &e) == 0,
	   "a link of four thousand bytes %s", e.msg);
	is_str(got.p, target.p, "  is read whole");
	ok(fs_readlink(AT_FDCWD, tree_path("stat"), &got, &e) < 0,
	   "a file is no link: %s", e.msg);
	err_clear(&e);
	ok(fs_readlink(AT_FDCWD, tree_path("none"), &got, &e) < 0 &&
		   e.kind == ERR_NOT_FOUND,
	   "no link: %s", e.msg);
}

static void
test_random(void)
{
	char a[33], b[33];

	fs_random_hex(a);
	fs_random_hex(b);
	ok(strlen(a) == 32 && strspn(a, "0123456789abcdef") == 32 &&
		   strcmp(a, b) != 0,
	   "random names: %s", a);
}

/* --- fsat.h */

static void
test_at_types(void)
{
	enum fsat_type type = FSAT_DIR;
	struct err e = ERR_INIT;

	tree_file(tree_path("at/file"), "12345");
	tree_link(tree_path("at/link"), "file");
	(void)mkfifo(tree_path("at/fifo"), 0600);
	ok(fsat_type(AT_FDCWD, tree_path("at"), &type, &e) == 0 &&
		   type == FSAT_DIR,
	   "a directory");
	ok(fsat_type(AT_FDCWD, tree_path("at/file"), &type, &e) == 0 &&
		   type == FSAT_FILE,
	   "a file");
	ok(fsat_type(AT_FDCWD, tree_path("at/link"), &type, &e) == 0 &&
		   type == FSAT_SYMLINK,
	   "a link");
	ok(fsat_type(AT_FDCWD, tree_path("at/fifo"), &type, &e) < 0 &&
		   e.kind == ERR_SYSTEM,
	   "nothing else: %s", e.msg);
	err_clear(&e);
	ok(fsat_type(AT_FDCWD, tree_path("at/none"), &type, &e) < 0 &&
		   e.kind == ERR_SYSTEM,
	   "absence is an error: %s", e.msg);
}

static void
test_at_files(void)
{
	struct fsat_stamp stamp = {.size = 0};
	struct err e = ERR_INIT;
	AUTO(fd) int dir = -1;
	AUTO(fd) int file = -1;
	int other = -1;
	bool exec = true;

	ok(fsat_open_dir(AT_FDCWD, tree_path("at"), &dir, &e) == 0 &&
		   fsat_open_file(dir, "file", &file, &stamp, &exec, &e) == 0 &&
		   stamp.size == 5 && !exec,
	   "a file in a directory that is open");
	ok(fsat_check_stamp(file, &stamp, &e) == 0, "it is as it was");
	tree_file(tree_path("at/file"), "1234567");
	ok(fsat_check_stamp(file, &stamp, &e) < 0 && e.kind == ERR_SYSTEM,
	   "until it is written to: %s", e.msg);
	err_clear(&e);
	ok(fsat_open_file(dir, "link", &other, &stamp, &exec, &e) < 0,
	   "a link is not followed: %s", e.msg);
	err_clear(&e);
	ok(fsat_open_file(dir, "fifo", &other, &stamp, &exec, &e) < 0,
	   "nor a pipe waited for: %s", e.msg);
	err_clear(&e);
	(void)unlink(tree_path("at/link"));
	tree_link(tree_path("at/link"), "/");
	ok(fsat_open_dir(dir, "link", &other, &e) < 0,
	   "nor a link to a directory: %s", e.msg);
	(void)chmod(tree_path("at/file"), 0755);
	err_clear(&e);
	ok(fsat_open_file(dir, "file", &other, &stamp, &exec, &e) == 0 && exec,
	   "what may be executed");
	(void)close(other);
}

static void
test_at_list(void)
{
	AUTO(fsat_list) struct fsat_list l = FSAT_LIST_INIT;
	AUTO(buf) struct buf got = BUF_INIT;
	struct err e = ERR_INIT;
	AUTO(fd) int dir = -1;

	tree_file(tree_path("order/a-b"), "");
	tree_dir(tree_path("order/a"));
	tree_file(tree_path("order/a0"), "");
	tree_link(tree_path("order/B"), "x");
	ok(fsat_open_dir(AT_FDCWD, tree_path("order"), &dir, &e) == 0 &&
		   fsat_list(dir, &l, &e) == 0 && l.n == 4,
	   "a list %s", e.msg);
	for (size_t i = 0; i < l.n; i++)
		buf_printf(&got, "%s%s ", l.names.p + l.v[i].at,
			   l.v[i].type == FSAT_DIR ? "/" : "");
	is_str(got.p, "B a-b a/ a0 ", "in the order of a sorted archive");
	ok(l.v[0].type == FSAT_SYMLINK && l.v[1].type == FSAT_FILE,
	   "with types");
}

/* Control groups as files: what bounds the processors. */
static void
test_cores(void)
{
	static const struct {
		const char *groups, *outer, *inner;
		unsigned want;
		const char *what;
	} cases[] = {
		{"0::/a/b\n", "max 100000\n", "max 100000\n", 0, "no quota"},
		{"0::/a/b\n", "max 100000\n", "150000 100000\n", 2,
		 "a quota, rounded up"},
		{"0::/a/b\n", "100000 100000\n", "400000 100000\n", 1,
		 "the outer group's counts too"},
		{"3:cpu:/x\n0::/a/b\n", "max 1\n", "300000 100000\n", 3,
		 "among groups of version 1"},
		{"3:cpu:/a/b\n", "max 1\n", "300000 100000\n", 0,
		 "version 1 alone"},
		{"0::/a/b\n", "", "0 0\n", 0, "no sense"},
		{"", "", "", 0, "nothing"},
	};
	const char *root = tree_path("cgroup");

	tree_dir(root);
	tree_dir(tree_path("cgroup/a"));
	tree_dir(tree_path("cgroup/a/b"));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		tree_file(tree_path("cgroup/self"), cases[i].groups);
		tree_file(tree_path("cgroup/a/cpu.max"), cases[i].outer);
		tree_file(tree_path("cgroup/a/b/cpu.max"), cases[i].inner);
		is_u64(cores_quota(tree_path("cgroup/self"), root),
		       cases[i].want, cases[i].what);
	}
	is_u64(cores_quota(tree_path("cgroup/none"), root), 0, "no groups");
}

/* As many as we may run on, whatever the machine has. */
static void
test_affinity(void)
{
	cpu_set_t all, one;
	size_t at = 0;

	if (sched_getaffinity(0, sizeof(all), &all) < 0) {
		skip("affinity", "too many processors");
		return;
	}
	while (!CPU_ISSET(at, &all))
		at++;
	CPU_ZERO(&one);
	CPU_SET(at, &one);
	ok(cores_count() >= 1 && cores_count() <= (unsigned)CPU_COUNT(&all),
	   "%u processors", cores_count());
	ok(sched_setaffinity(0, sizeof(one), &one) == 0 && cores_count() == 1,
	   "one, when there is one for us");
	(void)sched_setaffinity(0, sizeof(all), &all);
}

int
main(void)
{
	tree_init();
	test_cores();
	test_affinity();
	test_read();
	test_atomic();
	test_atomic_readers();
	test_temp();
	test_dirs();
	test_stat();
	test_list();
	test_links();
	test_random();
	test_at_types();
	test_at_files();
	test_at_list();
	tree_done();
	return done_testing();
}
