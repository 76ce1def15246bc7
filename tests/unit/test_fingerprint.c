/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/sys/fingerprint.h"
#include "tests/support/must.h"
#include "tests/support/tap.h"
#include "tests/support/tree.h"

/*
 * The clock of this program, in place of the library's: by how much it is
 * ahead. A test can make a tree and have it an hour old.
 */
static time_t ahead;

time_t
time(time_t *ret)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	if (ret)
		*ret = now.tv_sec + ahead;
	return now.tv_sec + ahead;
}

static const char *
print(const char *path, char ret[FINGERPRINT_CAP])
{
	struct err e = ERR_INIT;
	bool plain;

	must(fingerprint_work_tree(path, ret, &plain, &e), &e);
	return ret;
}

static const char *
make_tree(const char *name)
{
	tree_file(tree_path("%s/a", name), "one");
	tree_file(tree_path("%s/sub/b", name), "two");
	tree_link(tree_path("%s/sub/link", name), "b");
	tree_dir(tree_path("%s/empty", name));
	return tree_path("%s", name);
}

static void
test_same(void)
{
	char one[FINGERPRINT_CAP], two[FINGERPRINT_CAP];
	const char *dir = make_tree("same");

	ok(strcmp(print(dir, one), print(dir, two)) == 0,
	   "the same tree, the same name: %s", one);
	ok(strlen(one) == 45 && strncmp(one, "tree-", 5) == 0 &&
		   strspn(one + 5, "0123456789abcdef") == 40,
	   "tree- and forty digits");
}

/* --- changes */

static void
edit(const char *dir)
{
	tree_file(tree_path("%s/sub/b", dir), "three");
}

/* The change time alone tells of this one. */
static void
edit_and_hide(const char *dir)
{
	const char *path = tree_path("%s/sub/b", dir);
	struct timespec times[2];
	struct stat st, now;

	(void)stat(path, &st);
	times[0] = st.st_atim;
	times[1] = st.st_mtim;
	/* The clock of files ticks a few times a second. */
	do {
		tree_file(path, "TWO");
		(void)utimensat(AT_FDCWD, path, times, 0);
		(void)stat(path, &now);
	} while (now.st_ctim.tv_sec == st.st_ctim.tv_sec &&
		 now.st_ctim.tv_nsec == st.st_ctim.tv_nsec);
}

static void
touch(const char *dir)
{
	const struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 2}};

	(void)utimensat(AT_FDCWD, tree_path("%s/a", dir), times, 0);
}

static void
rename_file(const char *dir)
{
	(void)rename(tree_path("%s/a", dir), tree_path("%s/c", dir));
}

static void
swap_files(const char *dir)
{
	(void)rename(tree_path("%s/a", dir), tree_path("%s/t", dir));
	(void)rename(tree_path("%s/sub/b", dir), tree_path("%s/a", dir));
	(void)rename(tree_path("%s/t", dir), tree_path("%s/sub/b", dir));
}

static void
change_mode(const char *dir)
{
	(void)chmod(tree_path("%s/a", dir), 0755);
}

static void
add_file(const char *dir)
{
	tree_file(tree_path("%s/empty/new", dir), "");
}

static void
remove_file(const char *dir)
{
	(void)unlink(tree_path("%s/sub/b", dir));
}

static void
move_link(const char *dir)
{
	(void)unlink(tree_path("%s/sub/link", dir));
	tree_link(tree_path("%s/sub/link", dir), "a");
}

static void
remove_dir(const char *dir)
{
	(void)rmdir(tree_path("%s/empty", dir));
}

static void
file_to_dir(const char *dir)
{
	(void)unlink(tree_path("%s/a", dir));
	tree_dir(tree_path("%s/a", dir));
}

static const struct {
	const char *name;
	void (*change)(const char *dir);
} changes[] = {
	{"an edit", edit},
	{"an edit that hides", edit_and_hide},
	{"a touch", touch},
	{"a rename", rename_file},
	{"an exchange", swap_files},
	{"a mode", change_mode},
	{"a new file", add_file},
	{"a file less", remove_file},
	{"a link that leads elsewhere", move_link},
	{"a directory less", remove_dir},
	{"a directory for a file", file_to_dir},
};

static void
test_change(size_t i)
{
	char before[FINGERPRINT_CAP], after[FINGERPRINT_CAP];
	char again[FINGERPRINT_CAP], name[16];
	const char *dir;

	(void)snprintf(name, sizeof(name), "change%zu", i);
	dir = make_tree(name);
	print(dir, before);
	changes[i].change(name);
	ok(strcmp(before, print(dir, after)) != 0, "%s changes it",
	   changes[i].name);
	ok(strcmp(after, print(dir, again)) == 0, "  and then it stays");
}

static void
test_racy(void)
{
	char prints[10][FINGERPRINT_CAP];
	const char *dir = make_tree("racy");
	bool differ = true;

	ahead = 0;
	for (size_t i = 0; i < ARRAY_LEN(prints); i++)
		print(dir, prints[i]);
	for (size_t i = 0; i < ARRAY_LEN(prints); i++)
		for (size_t k = 0; k < i; k++)
			differ = differ && strcmp(prints[i], prints[k]) != 0;
	ok(differ, "a tree that has just changed never has the same name");
	ahead = -3600;
	ok(strcmp(print(dir, prints[0]), print(dir, prints[1])) != 0,
	   "nor has one whose changes lie ahead");
	ahead = 3600;
	ok(strcmp(print(dir, prints[0]), print(dir, prints[1])) == 0,
	   "an hour later it has one");
}

static void
test_link(void)
{
	char before[FINGERPRINT_CAP], after[FINGERPRINT_CAP];
	const char *link = tree_path("link");

	make_tree("linked");
	tree_link(link, "linked");
	print(link, before);
	edit("linked");
	ok(strcmp(before, print(link, after)) != 0,
	   "a tree that is named by a link is looked into");
	tree_link(tree_path("linked/away"), "/");
	print(link, after);
	ok(true, "and links in it are not followed");
}

static void
test_errors(void)
{
	char text[FINGERPRINT_CAP];
	struct err e = ERR_INIT;
	bool plain;

	ok(fingerprint_work_tree(tree_path("none"), text, &plain, &e) < 0 &&
		   e.kind == ERR_SYSTEM,
	   "no tree: %s", e.msg);
	err_clear(&e);
	tree_link(tree_path("dangling"), "nowhere");
	ok(fingerprint_work_tree(tree_path("dangling"), text, &plain, &e) < 0 &&
		   e.kind == ERR_SYSTEM,
	   "a link that dangles: %s", e.msg);
	err_clear(&e);
	tree_file(tree_path("file"), "x");
	ok(fingerprint_work_tree(tree_path("file"), text, &plain, &e) < 0 &&
		   e.kind == ERR_SYSTEM,
	   "a file: %s", e.msg);
}

static const char *
print_all(const char *const *paths, size_t n, char ret[FINGERPRINT_CAP])
{
	struct err e = ERR_INIT;

	ok(fingerprint_paths(paths, n, ret, &e) == 0, "files and trees: %s",
	   e.msg);
	return ret;
}

static void
test_paths(void)
{
	char one[FINGERPRINT_CAP], two[FINGERPRINT_CAP];
	AUTO(mem) char *file = xstrdup(tree_path("alone.nix"));
	AUTO(mem) char *dir = xstrdup(make_tree("beside"));
	const char *const paths[] = {file, dir}, *const swapped[] = {dir, file};
	struct err e = ERR_INIT;

	tree_file(file, "one");
	print_all(paths, 2, one);
	ok(strcmp(one, print_all(paths, 2, two)) == 0, "the same twice");
	ok(strcmp(one, print_all(swapped, 2, two)) != 0, "the order counts");
	ok(strcmp(one, print_all(paths, 1, two)) != 0, "so does each");
	tree_file(file, "three");
	ok(strcmp(one, print_all(paths, 2, two)) != 0, "an edited file");
	print_all(paths, 2, one);
	edit("beside");
	ok(strcmp(one, print_all(paths, 2, two)) != 0, "an edited tree");
	(void)unlink(file);
	ok(fingerprint_paths(paths, 2, two, &e) < 0 && e.kind == ERR_SYSTEM &&
		   strstr(e.msg, file),
	   "a file that is not there: %s", e.msg);
}

int
main(void)
{
	tree_init();
	ahead = 3600;
	test_same();
	for (size_t i = 0; i < ARRAY_LEN(changes); i++)
		test_change(i);
	test_link();
	test_errors();
	test_paths();
	test_racy();
	tree_done();
	return done_testing();
}
