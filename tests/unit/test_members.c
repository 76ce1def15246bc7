/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <sys/wait.h>
#include <time.h>

#include "core/pack/members.h"
#include "tests/support/pack_tree.h"

#define CACHE "/cache"

static const char *const paths[] = {PATH_A, PATH_B, PATH_C, PATH_D};

static struct members *
cache_open(uint64_t max_bytes)
{
	struct members *m = NULL;
	struct err e = ERR_INIT;

	if (members_open(in_root(CACHE), max_bytes, &m, &e) < 0)
		die(e.msg);
	return m;
}

static void
pack_with(struct members *m, const char *const *v, size_t n,
	  struct compression c, struct layer *ret)
{
	AUTO(buf) struct buf blob = BUF_INIT;
	struct pack_input in = input_of(v, n);
	struct err e = ERR_INIT;

	if (pack_as(&c, &blob, 2, &in, m, ret, &e) < 0)
		die(e.msg);
}

/* How many entries there are, and their names below the root. */
static size_t
list_entries(char (*names)[128], size_t cap)
{
	struct err e = ERR_INIT;
	struct fs_names subs, files;
	size_t n = 0;

	if (fs_list(in_root(CACHE), &subs, &e) < 0)
		die(e.msg);
	for (size_t i = 0; i < subs.n; i++) {
		char sub[64];

		if (strlen(subs.v[i]) != 2)
			continue;
		(void)snprintf(sub, sizeof(sub), CACHE "/%s", subs.v[i]);
		if (fs_list(in_root(sub), &files, &e) < 0)
			die(e.msg);
		for (size_t k = 0; k < files.n && n < cap; k++)
			(void)snprintf(names[n++], sizeof(*names), "%s/%s", sub,
				       files.v[k]);
		fs_names_free(&files);
	}
	fs_names_free(&subs);
	return n;
}

static void
test_same(void)
{
	static const struct compression kinds[] = {
		{COMPRESSION_GZIP, 1},
		{COMPRESSION_ZSTD, 3},
		{COMPRESSION_GZIP, 2},
	};
	char names[64][128];
	AUTO(members) struct members *m = cache_open(64 * MIB);
	size_t before = 0;

	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		struct layer none, cold, warm, part;
		size_t n;

		pack_with(NULL, paths, 4, kinds[k], &none);
		pack_with(m, paths + 1, 2, kinds[k], &part);
		pack_with(m, paths, 4, kinds[k], &cold);
		n = list_entries(names, 64);
		ok(n > before, "another compressor, other members");
		pack_with(m, paths, 4, kinds[k], &warm);
		is_u64(list_entries(names, 64), n, "a second time adds none");
		ok(digest_eq(&none.digest, &cold.digest) &&
			   digest_eq(&none.diff_id, &cold.diff_id),
		   "some members known: the same layer");
		ok(digest_eq(&none.digest, &warm.digest) &&
			   digest_eq(&none.diff_id, &warm.diff_id),
		   "all members known: the same layer");
		before = n;
	}
}

static void
damage(const char *name, off_t at, bool cut)
{
	int fd = open(in_root(name), O_RDWR);
	char c = 0;

	if (fd < 0 || (cut && ftruncate(fd, at) < 0))
		die(name);
	if (!cut) {
		if (pread(fd, &c, 1, at) != 1)
			die(name);
		c ^= 1;
		if (pwrite(fd, &c, 1, at) != 1)
			die(name);
	}
	close(fd);
}

static void
test_damage(void)
{
	const struct compression gzip = {COMPRESSION_GZIP, 1};
	char names[64][128];
	AUTO(members) struct members *m = cache_open(64 * MIB);
	struct layer want, got;
	size_t n;

	pack_with(m, paths, 4, gzip, &want);
	n = list_entries(names, 64);
	ok(n >= 6, "there are entries to damage");
	damage(names[0], 0, true);
	damage(names[1], 20, true);
	damage(names[2], 3, false);
	damage(names[3], 60, false);
	damage(names[4], 40, false);
	/* One that is whole, but of another key. */
	if (unlink(in_root(names[5])) < 0 ||
	    link(in_root(names[n - 1]), in_root(names[5])) < 0)
		die("link");
	pack_with(m, paths, 4, gzip, &got);
	ok(digest_eq(&want.digest, &got.digest), "damaged members aren't used");
	is_u64(list_entries(names, 64), n, "but made again");
}

static void
test_limit(void)
{
	/* A file takes a block of the disk, however small it is. */
	AUTO(members) struct members *m = cache_open((uint64_t)20 * 4096);
	char names[64][128];
	struct digest first, key;
	char member[1000], back[1000];
	size_t got, n;

	memset(member, 'm', sizeof(member));
	digest_of("first", 5, &first);
	members_put(m, &first, member, sizeof(member));
	for (unsigned i = 0; i < 60; i++) {
		const struct timespec tick = {.tv_nsec = 5000000};

		nanosleep(&tick, NULL);
		digest_of(&i, sizeof(i), &key);
		members_put(m, &key, member, sizeof(member));
		if (!members_get(m, &first, back, sizeof(back), &got))
			break;
	}
	n = list_entries(names, 64);
	ok(n >= 10 && n <= 20, "%zu entries where there is room for 20", n);
	ok(members_get(m, &first, back, sizeof(back), &got) &&
		   got == sizeof(member) && memcmp(back, member, got) == 0,
	   "what is used stays");
	ok(members_get(m, &key, back, sizeof(back), &got), "the latest too");
	ok(!members_get(m, &key, back, 10, &got), "not over the reader's room");
}

#define LEFT CACHE "/new/00000000000000000000000000000001"
#define BUSY CACHE "/new/00000000000000000000000000000002"

static void
test_unfinished(void)
{
	const struct timespec old[2] = {{.tv_sec = 1}, {.tv_sec = 1}};

	make_file(LEFT, "x", 1, 0600);
	make_file(BUSY, "x", 1, 0600);
	if (utimensat(AT_FDCWD, in_root(LEFT), old, 0) < 0)
		die("utimensat");
	members_free(cache_open(20000));
	ok(access(in_root(LEFT), F_OK) < 0,
	   "what a killed process left goes at the next start");
	ok(access(in_root(BUSY), F_OK) == 0, "what may be in use doesn't");
}

/* What somebody else put into the directory. */
static void
test_strangers(void)
{
	static const char *const files[] = {
		CACHE "/aa",
		CACHE "/notes",
		CACHE "/new/notes",
		CACHE "/bb/notes",
	};
	struct members *m = NULL;
	struct err e = ERR_INIT;
	bool there = true;

	make_dir(CACHE "/bb");
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		make_noise(files[i], 100000, 1);
		if (utimensat(
			    AT_FDCWD, in_root(files[i]),
			    (struct timespec[2]){{.tv_sec = 1}, {.tv_sec = 1}},
			    0) < 0)
			die("utimensat");
	}
	ok(members_open(in_root(CACHE), 20000, &m, &e) == 0,
	   "files of others are no hindrance %s", e.msg);
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		there = there && access(in_root(files[i]), F_OK) == 0;
	ok(there, "and are left alone");
	members_free(m);
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		(void)unlink(in_root(files[i]));
}

/* Either directory is deleted while it is in use. */
static void
test_deleted(void)
{
	static const char *const dirs[] = {CACHE "/new", CACHE};
	AUTO(members) struct members *m = cache_open(MIB);
	struct digest key;
	char back[10];
	size_t n;

	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		struct err e = ERR_INIT;

		digest_of(&i, sizeof(i), &key);
		if (fs_remove_tree(in_root(dirs[i]), &e) < 0)
			die(e.msg);
		members_put(m, &key, "member", 6);
		ok(members_get(m, &key, back, sizeof(back), &n) && n == 6,
		   "members are kept again after %s was deleted", dirs[i]);
	}
}

/* The cache's directory goes away under it: it is as if it weren't there. */
static void
test_gone(void)
{
	AUTO(members) struct members *m = cache_open(64 * MIB);
	struct err e = ERR_INIT;
	struct layer want, got;
	const struct compression gzip = {COMPRESSION_GZIP, 1};

	pack_with(NULL, paths, 4, gzip, &want);
	if (fs_remove_tree(in_root(CACHE), &e) < 0)
		die(e.msg);
	pack_with(m, paths, 4, gzip, &got);
	ok(digest_eq(&want.digest, &got.digest), "a cache that is gone");
}

/* Processes that share a cache too small for them. */
static void
test_processes(void)
{
	const struct compression gzip = {COMPRESSION_GZIP, 1};
	struct layer want;
	pid_t pids[4];
	bool same = true;

	pack_with(NULL, paths, 4, gzip, &want);
	for (size_t i = 0; i < ARRAY_LEN(pids); i++) {
		pids[i] = fork();
		if (pids[i] < 0)
			die("fork");
		if (pids[i] == 0) {
			struct members *m = cache_open(2 * MIB);
			struct layer got;
			bool good = true;

			for (int k = 0; k < 5; k++) {
				pack_with(m, paths, 4, gzip, &got);
				good = good &&
				       digest_eq(&want.digest, &got.digest);
			}
			_exit(good ? 0 : 1);
		}
	}
	for (size_t i = 0; i < ARRAY_LEN(pids); i++) {
		int status;

		same = waitpid(pids[i], &status, 0) == pids[i] && status == 0 &&
		       same;
	}
	ok(same, "four processes on one cache");
}

int
main(void)
{
	tree_init();
	make_dir(PATH_A);
	make_noise(PATH_A "/f", 3 * MIB, 1);
	make_dir(PATH_B);
	make_noise(PATH_B "/f", 9 * MIB / 2, 2);
	make_noise(PATH_C, 1000, 3);
	make_dir(PATH_D);
	test_same();
	test_damage();
	test_limit();
	test_unfinished();
	test_strangers();
	test_deleted();
	test_gone();
	test_processes();
	tree_remove();
	return done_testing();
}
