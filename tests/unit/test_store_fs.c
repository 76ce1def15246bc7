/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What only the filesystem backend has: a layout that others read, damage, and
 * what is left of a crash. The contract of all backends is in test_store.c.
 */
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/sink.h"
#include "core/store/store.h"
#include "core/sys/fs.h"
#include "tests/support/tap.h"

static bool
has(struct store *st, const struct digest *d)
{
	struct err e = ERR_INIT;
	bool found = false;

	return store_has(st, d, &found, NULL, &e) == 0 && found;
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
	static const char *const bad[] = {"brok", "broken", "", "too large"};
	AUTO(buf) struct buf got = BUF_INIT, file = BUF_INIT, link = BUF_INIT;
	struct store_location at;
	struct err e = ERR_INIT;
	struct digest d;
	char hex[DIGEST_HEX_CAP];

	ok(store_put(st, "intact", 6, &d, &e) == 0 &&
		   store_locate(st, &d, &at, &e) == 0,
	   "a blob to be damaged");
	buf_printf(&file, "%s/%s", path, at.at);
	(void)unlink(file.p);
	ok(fs_write_atomic(file.p, "broken", 6, &e) == 0 &&
		   store_expose_manifest(st, &d, &e) == 0 &&
		   store_read(st, &d, 99, &got, &e) < 0 &&
		   e.kind == ERR_NOT_FOUND && got.len == 0,
	   "damage is noticed: %s", e.msg);
	err_clear(&e);
	digest_hex(&d, hex);
	buf_printf(&link, "%s/image-manifests/%s", path, hex);
	ok(!has(st, &d) && !fs_exists(link.p),
	   "what is damaged is not there any more, nor for the web server");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		buf_clear(&got);
		ok(fs_write_atomic(file.p, bad[i], strlen(bad[i]), &e) == 0 &&
			   store_put(st, "intact", 6, &d, &e) == 0 &&
			   store_read(st, &d, 99, &got, &e) == 0,
		   "\"%s\" is mended by the next commit %s", bad[i], e.msg);
	}
	ok(store_remove_blob(st, &d, &e) == 0, "it is removed");
}

/* A layer, of which nobody reads the bytes to find out. */
static void
test_damaged_layer(struct store *st, const char *path)
{
	static char right[2u << 20], wrong[2u << 20];
	AUTO(buf) struct buf file = BUF_INIT, got = BUF_INIT;
	struct err e = ERR_INIT;
	struct digest d;
	char hex[DIGEST_HEX_CAP];

	memset(right, 'r', sizeof(right));
	memset(wrong, 'w', sizeof(wrong));
	digest_of(right, sizeof(right), &d);
	digest_hex(&d, hex);
	buf_printf(&file, "%s/blobs/sha256/%s", path, hex);
	ok(fs_write_atomic(file.p, wrong, sizeof(wrong), &e) == 0 &&
		   store_put(st, right, sizeof(right), &d, &e) == 0 &&
		   store_read(st, &d, sizeof(right), &got, &e) == 0,
	   "a large one of the right size and wrong bytes is replaced %s",
	   e.msg);
	store_damaged(st, &d, 7, sizeof(right));
	ok(!has(st, &d), "one that is known to be damaged is removed");
}

/* "NAME=1" where the manifest is what test_layout calls one. */
static int
list_name(void *ctx, const char *name, const struct digest *d,
	  struct err *e UNUSED)
{
	struct digest one;

	digest_of("1", 1, &one);
	buf_printf(ctx, "%s=%d ", name, digest_eq(d, &one) ? 1 : 2);
	return 0;
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
	ok(store_list_names(st, list_name, &got, &e) == 0,
	   "  names are listed %s", e.msg);
	ok(str_has_suffix(got.p, "]}a:latest=1 b:latest=2 "),
	   "  with their manifests");
	ok(fs_write_atomic(file.p, "{broken", 7, &e) == 0 &&
		   store_list_names(st, list_name, &got, &e) == 0 &&
		   store_publish(st, "c:latest", "t/m", &one, 1, &e) == 0,
	   "  and a damaged index is begun anew");
}

/* What the web server finds without asking. */
static void
test_exposed(struct store *st, const char *path)
{
	AUTO(buf) struct buf file = BUF_INIT, got = BUF_INIT;
	char hex[DIGEST_HEX_CAP];
	struct err e = ERR_INIT;
	struct digest d;
	struct stat there;

	ok(store_put(st, "{\"a\":1}", 7, &d, &e) == 0 &&
		   store_expose_manifest(st, &d, &e) == 0 &&
		   store_expose_manifest(st, &d, &e) == 0,
	   "a manifest is exposed, and again");
	digest_hex(&d, hex);
	buf_printf(&file, "%s/image-manifests/%s", path, hex);
	ok(fs_read_file(file.p, 99, &got, &e) == 0 && got.len == 7,
	   "  and found by its digest");
	if (geteuid() == 0)
		ok(lchown(file.p, 1, 1) == 0 &&
			   store_expose_manifest(st, &d, &e) == 0 &&
			   lstat(file.p, &there) == 0 && there.st_uid == 0,
		   "  anew where the link was somebody else's");
	ok(store_remove_blob(st, &d, &e) == 0 && lstat(file.p, &there) < 0,
	   "  until the blob is removed");
}

static int
open_fs(const char *path, struct store **ret, struct err *e)
{
	const struct store_options o = {.backend = "filesystem", .path = path};

	return store_open(&o, ret, e);
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
		if (open_fs(path, &st, &e) == 0 &&
		    store_begin(st, &staged, &e) == 0 &&
		    sink_write(staged, "x", 1, &e) == 0)
			_exit(0);
		_exit(1);
	}
	(void)waitpid(pid, NULL, 0);
	before = staged_files(path);
	ok(open_fs(path, &st, &e) == 0, "open after a crash");
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
	struct store *fs = NULL;

	if (!ok(mkdtemp(path) && open_fs(path, &fs, &e) == 0,
		"open a directory %s", e.msg))
		return done_testing();
	test_damage(fs, path);
	test_damaged_layer(fs, path);
	test_layout(fs, path);
	test_exposed(fs, path);
	test_crash(path);
	store_free(fs);
	err_clear(&e);
	ok(fs_remove_tree(path, &e) == 0, "clean up %s", e.msg);
	return done_testing();
}
