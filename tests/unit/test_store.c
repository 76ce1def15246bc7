/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One contract, every backend: what core/store/store.h promises.
 */
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/sink.h"
#include "core/store/store.h"
#include "core/sys/fs.h"
#include "tests/support/store_mem.h"
#include "tests/support/tap.h"

static bool
has(struct store *st, const struct digest *d)
{
	struct err e = ERR_INIT;
	uint64_t size = 0;
	bool found = false;

	return store_has(st, d, &found, &size, &e) == 0 && found;
}

static void
test_blobs(struct store *st, const char *name)
{
	AUTO(buf) struct buf got = BUF_INIT;
	struct store_location at;
	struct sink *staged = NULL;
	struct err e = ERR_INIT;
	struct digest abc, none, d;

	digest_of("abc", 3, &abc);
	digest_of("never", 5, &none);
	ok(!has(st, &abc), "%s: absence is an answer", name);
	ok(store_begin(st, &staged, &e) == 0 &&
		   sink_write(staged, "ab", 2, &e) == 0 &&
		   sink_write(staged, "c", 1, &e) == 0 &&
		   sink_finish(staged, &e) == 0 && !has(st, &abc),
	   "%s: what is staged can't be seen", name);
	ok(store_commit(st, staged, &abc, &e) == 0 && has(st, &abc),
	   "%s: what is committed can", name);
	ok(store_put(st, "abc", 3, &d, &e) == 0 && digest_eq(&d, &abc),
	   "%s: committing again is a success", name);
	ok(store_read(st, &abc, 3, &got, &e) == 0 && got.len == 3,
	   "%s: read back", name);
	ok(store_read(st, &abc, 2, &got, &e) < 0, "%s: not over the limit",
	   name);
	err_clear(&e);
	ok(store_read(st, &none, 9, &got, &e) < 0 && e.kind == ERR_NOT_FOUND,
	   "%s: reading what isn't there", name);
	err_clear(&e);
	ok(store_locate(st, &abc, &at, &e) == 0 && at.size == 3 && at.at[0],
	   "%s: locate", name);
	ok(store_locate(st, &none, &at, &e) < 0 && e.kind == ERR_NOT_FOUND,
	   "%s: locate what isn't there", name);
	err_clear(&e);
	ok(store_begin(st, &staged, &e) == 0 &&
		   sink_write(staged, "never", 5, &e) == 0,
	   "%s: begin another", name);
	store_discard(st, staged);
	ok(!has(st, &none), "%s: discarded", name);
	ok(store_put(st, "", 0, &d, &e) == 0 && has(st, &d),
	   "%s: an empty blob", name);
	ok(store_check(st, &e) == 0, "%s: check", name);
}

static void
test_records(struct store *st, const char *name)
{
	static const char *const bad[] = {
		"", "x", "/x", "x/", "../x", "x/../y", "a/b/c", "a/B", "a/.b",
	};
	AUTO(buf) struct buf got = BUF_INIT;
	struct err e = ERR_INIT;
	bool found = true;

	ok(store_get_record(st, "layers/0", &found, &got, &e) == 0 && !found,
	   "%s: no record", name);
	ok(store_put_record(st, "layers/0", "one", 3, &e) == 0 &&
		   store_put_record(st, "layers/0", "two!", 4, &e) == 0 &&
		   store_get_record(st, "layers/0", &found, &got, &e) == 0 &&
		   found,
	   "%s: a record is replaced", name);
	is_str(got.p, "two!", "  and has the new text");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		err_clear(&e);
		ok(store_put_record(st, bad[i], "x", 1, &e) < 0,
		   "%s: bad name of a record \"%s\"", name, bad[i]);
	}
}

static void *
put_many(void *arg)
{
	struct store *st = arg;
	struct err e = ERR_INIT;
	char text[32];
	struct digest d;
	long bad = 0;

	for (int i = 0; i < 200; i++) {
		int n = snprintf(text, sizeof(text), "blob %d", i);

		if (store_put(st, text, (size_t)n, &d, &e) < 0 ||
		    store_put_record(st, "layers/shared", text, (size_t)n, &e) <
			    0 ||
		    !has(st, &d)) {
			bad++;
			err_clear(&e);
		}
	}
	return bad ? st : NULL;
}

static void
test_threads(struct store *st, const char *name)
{
	pthread_t t[4];
	bool good = true;

	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		(void)pthread_create(&t[i], NULL, put_many, st);
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		void *r;

		(void)pthread_join(t[i], &r);
		good = good && !r;
	}
	ok(good, "%s: four writers of the same blobs and records", name);
}

/* How many files lie in the staging directories. */
static size_t
staged_files(const char *path)
{
	AUTO(buf) struct buf dir = BUF_INIT;
	struct err e = ERR_INIT;
	struct fs_names names;
	size_t n;

	buf_printf(&dir, "%s/staging", path);
	if (fs_list(dir.p, &names, &e) < 0)
		return 999;
	n = names.n;
	fs_names_free(&names);
	return n;
}

static void
test_damage(struct store *st, const char *path)
{
	AUTO(buf) struct buf got = BUF_INIT, file = BUF_INIT;
	struct store_location at;
	struct err e = ERR_INIT;
	struct digest d;

	ok(store_put(st, "intact", 6, &d, &e) == 0 &&
		   store_locate(st, &d, &at, &e) == 0,
	   "a blob to be damaged");
	buf_printf(&file, "%s/%s", path, at.at);
	(void)unlink(file.p);
	ok(fs_write_atomic(file.p, "broken", 6, &e) == 0 &&
		   store_read(st, &d, 99, &got, &e) < 0 &&
		   e.kind == ERR_SYSTEM && got.len == 0,
	   "damage is noticed: %s", e.msg);
	err_clear(&e);
	ok(fs_write_atomic(file.p, "brok", 4, &e) == 0 &&
		   store_put(st, "intact", 6, &d, &e) == 0 &&
		   store_read(st, &d, 99, &got, &e) == 0,
	   "a blob that was cut short is mended by the next commit");
}

static void
test_layout(struct store *st, const char *path)
{
	AUTO(buf) struct buf file = BUF_INIT, got = BUF_INIT;
	struct err e = ERR_INIT;
	struct digest one, two;

	buf_printf(&file, "%s/index.json", path);
	digest_of("1", 1, &one);
	digest_of("2", 1, &two);
	ok(store_publish(st, "b:latest", "t/m", &one, 1, &e) == 0 &&
		   store_publish(st, "a:latest", "t/m", &one, 1, &e) == 0 &&
		   store_publish(st, "b:latest", "t/m", &two, 2, &e) == 0 &&
		   fs_read_file(file.p, 9999, &got, &e) == 0,
	   "manifests get names");
	is_str(got.p,
	       "{\"schemaVersion\":2,\"mediaType\":"
	       "\"application/vnd.oci.image.index.v1+json\",\"manifests\":["
	       "{\"mediaType\":\"t/m\",\"digest\":\"sha256:"
	       "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4"
	       "b\",\"size\":1,\"annotations\":{\"org.opencontainers.image."
	       "ref.name\":\"a:latest\"}},"
	       "{\"mediaType\":\"t/m\",\"digest\":\"sha256:"
	       "d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab3"
	       "5\",\"size\":2,\"annotations\":{\"org.opencontainers.image."
	       "ref.name\":\"b:latest\"}}]}",
	       "  sorted, each once, the latest counts");
	ok(fs_write_atomic(file.p, "{broken", 7, &e) == 0 &&
		   store_publish(st, "c:latest", "t/m", &one, 1, &e) == 0,
	   "  and a damaged index is begun anew");
}

/* A process that is killed while it stages leaves nothing for long. */
static void
test_crash(const char *path)
{
	struct err e = ERR_INIT;
	struct store *st = NULL;
	struct sink *staged;
	size_t before;
	pid_t pid = fork();

	if (pid == 0) {
		if (store_open("filesystem", path, &st, &e) == 0 &&
		    store_begin(st, &staged, &e) == 0 &&
		    sink_write(staged, "x", 1, &e) == 0)
			_exit(0);
		_exit(1);
	}
	(void)waitpid(pid, NULL, 0);
	before = staged_files(path);
	ok(store_open("filesystem", path, &st, &e) == 0, "open after a crash");
	ok(before > 0 && staged_files(path) == before,
	   "only our own staging is left (was %zu)", before);
	store_free(st);
	is_u64(staged_files(path), before - 2, "and none after the end");
}

int
main(void)
{
	char path[] = "/tmp/firn-test-store-XXXXXX";
	struct err e = ERR_INIT;
	struct store *st = store_mem_new(), *fs = NULL;

	test_blobs(st, "memory");
	test_records(st, "memory");
	test_threads(st, "memory");
	store_free(st);

	if (!ok(mkdtemp(path) && store_open("filesystem", path, &fs, &e) == 0,
		"open a directory %s", e.msg))
		return done_testing();
	test_blobs(fs, "filesystem");
	test_records(fs, "filesystem");
	test_threads(fs, "filesystem");
	test_damage(fs, path);
	test_layout(fs, path);
	test_crash(path);
	store_free(fs);
	err_clear(&e);
	ok(store_open("floppy", path, &fs, &e) < 0 && e.kind == ERR_INVALID,
	   "no such backend: %s", e.msg);
	err_clear(&e);
	ok(fs_remove_tree(path, &e) == 0, "clean up %s", e.msg);
	return done_testing();
}
