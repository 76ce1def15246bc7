/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <libdeflate.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "core/base/buf.h"
#include "core/base/digest.h"
#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/sink.h"
#include "core/pack/pack.h"
#include "core/sys/fs.h"
#include "tests/support/tap.h"

#define MIB ((size_t)1 << 20)

static char root[64]; /* the directory that this run works in */

static void
die(const char *what)
{
	printf("Bail out! %s: %s\n", what, strerror(errno));
	exit(1);
}

/* root/name; each call's text is there until the fourth after it. */
static const char *
in_root(const char *name)
{
	static char paths[4][512];
	static unsigned at;
	char *p = paths[at++ % 4];

	(void)snprintf(p, sizeof(paths[0]), "%s/%s", root, name);
	return p;
}

static void
make_dir(const char *name)
{
	struct err e = ERR_INIT;

	if (fs_mkdirs(in_root(name), 0755, &e) < 0)
		die(e.msg);
}

static void
make_file(const char *name, const void *p, size_t n, mode_t mode)
{
	int fd = open(in_root(name), O_WRONLY | O_CREAT | O_TRUNC, 0644);

	if (fd < 0 || write(fd, p, n) != (ssize_t)n || fchmod(fd, mode) < 0)
		die(name);
	close(fd);
}

static void
make_link(const char *name, const char *target)
{
	if (symlink(target, in_root(name)) < 0)
		die(name);
}

/* n bytes that look a little like a program, different for each seed. */
static unsigned char *
noise(size_t n, unsigned seed)
{
	unsigned char *p = xmalloc(n);
	uint32_t x = seed;

	for (size_t i = 0; i < n; i++) {
		x = x * 1664525u + 1013904223u;
		p[i] = i > 40 && (x & 0x70000000u) ? p[i - 1 - ((x >> 20) & 31)]
						   : (unsigned char)(x >> 24);
	}
	return p;
}

#define PATH_A "/nix/store/00000000000000000000000000000000-a"
#define PATH_B "/nix/store/11111111111111111111111111111111-b"
#define PATH_C "/nix/store/22222222222222222222222222222222-c"
#define PATH_D "/nix/store/33333333333333333333333333333333-d"

static const char *const all_paths[] = {PATH_A, PATH_B, PATH_C, PATH_D};

/* A small tree with one of each; its digests are golden. */
static void
make_tree(void)
{
	AUTO(mem) unsigned char *big = noise(5 * MIB / 2, 7);

	make_dir(PATH_A "/bin");
	make_file(PATH_A "/bin/tool", "#!/bin/sh\n", 10, 0755);
	make_file(PATH_A "/bin-x", "sorts before bin/", 17, 0644);
	make_dir(PATH_A "/empty");
	make_file(PATH_A "/none", "", 0, 0444);
	make_link(PATH_A "/bin/link", "tool");
	make_dir(PATH_B);
	make_file(PATH_B "/big", big, 5 * MIB / 2, 0444);
	make_file(PATH_C, "a store path that is a file\n", 28, 0644);
	make_link(PATH_D, PATH_A);
}

static const struct pack_entry base_entries[] = {
	{.type = PACK_DIR, .mode = 0755, .name = "etc"},
	{.type = PACK_FILE,
	 .mode = 0644,
	 .name = "etc/passwd",
	 .data = "root:x:0:0::/root:/bin/sh\n",
	 .n = 26},
	{.type = PACK_DIR, .mode = 01777, .name = "tmp"},
	{.type = PACK_SYMLINK, .name = "usr/bin/env", .target = PATH_A "/bin"},
};

static struct pack_input
input_of(const char *const *paths, size_t n)
{
	return (struct pack_input){
		.paths = paths,
		.n_paths = n,
		.root = root,
		.compression = {.kind = COMPRESSION_GZIP, .level = 1},
	};
}

/* Pack with so many threads; the blob goes to *blob. */
static int
pack_to(struct buf *blob, unsigned threads, const struct pack_input *in,
	struct layer *ret, struct err *e)
{
	struct pack_pool *p = pack_pool_new(threads);
	AUTO(sink) struct sink *out = sink_to_buf(blob, 64 * MIB);
	int r = pack_layer(p, in, out, ret, e);

	pack_pool_free(p);
	return r;
}

/* Every member of a gzip blob, one after the other. */
static bool
gunzip(const struct buf *blob, struct buf *tar, size_t *ret_members)
{
	struct libdeflate_decompressor *d = libdeflate_alloc_decompressor();
	AUTO(mem) char *block = xmalloc(3 * MIB);
	size_t at = 0;
	bool good = true;

	*ret_members = 0;
	while (good && at < blob->len) {
		size_t used, n;

		good = libdeflate_gzip_decompress_ex(
			       d, blob->p + at, blob->len - at, block, 3 * MIB,
			       &used, &n) == LIBDEFLATE_SUCCESS;
		if (good) {
			buf_add(tar, block, n);
			at += used;
			(*ret_members)++;
		}
	}
	libdeflate_free_decompressor(d);
	return good;
}

/* "mode type name[ -> target]" for each entry, a line each. */
static void
list_tar(const struct buf *tar, struct buf *list)
{
	for (size_t at = 0; at + 1024 < tar->len;) {
		const char *h = tar->p + at;
		size_t size = strtoul(h + 124, NULL, 8);

		buf_printf(list, "%lo %c %s", strtoul(h + 100, NULL, 8), h[156],
			   h);
		if (h[156] == '2')
			buf_printf(list, " -> %s", h + 157);
		buf_addc(list, '\n');
		at += 512 + (size + 511) / 512 * 512;
	}
}

static void
test_contents(void)
{
	static const char want[] =
		"755 5 etc/\n"
		"644 0 etc/passwd\n"
		"755 5 nix/\n"
		"755 5 nix/store/\n"
		"555 5 nix/store/00000000000000000000000000000000-a/\n"
		"444 0 nix/store/00000000000000000000000000000000-a/bin-x\n"
		"555 5 nix/store/00000000000000000000000000000000-a/bin/\n"
		"777 2 nix/store/00000000000000000000000000000000-a/bin/link"
		" -> tool\n"
		"555 0 nix/store/00000000000000000000000000000000-a/bin/tool\n"
		"555 5 nix/store/00000000000000000000000000000000-a/empty/\n"
		"444 0 nix/store/00000000000000000000000000000000-a/none\n"
		"555 5 nix/store/11111111111111111111111111111111-b/\n"
		"444 0 nix/store/11111111111111111111111111111111-b/big\n"
		"444 0 nix/store/22222222222222222222222222222222-c\n"
		"777 2 nix/store/33333333333333333333333333333333-d -> "
		"/nix/store/00000000000000000000000000000000-a\n"
		"1777 5 tmp/\n"
		"755 5 usr/\n"
		"755 5 usr/bin/\n"
		"777 2 usr/bin/env -> "
		"/nix/store/00000000000000000000000000000000-a/bin\n";
	AUTO(buf) struct buf blob = BUF_INIT;
	AUTO(buf) struct buf tar = BUF_INIT;
	AUTO(buf) struct buf list = BUF_INIT;
	struct pack_input in = input_of(all_paths, ARRAY_LEN(all_paths));
	struct err e = ERR_INIT;
	struct layer l;
	struct digest d;
	size_t members = 0;

	in.entries = base_entries;
	in.n_entries = ARRAY_LEN(base_entries);
	ok(pack_to(&blob, 2, &in, &l, &e) == 0, "pack: %s", e.msg);
	is_u64(l.size, blob.len, "the size is that of the blob");
	digest_of(blob.p, blob.len, &d);
	ok(digest_eq(&d, &l.digest), "the digest is that of the blob");
	ok(gunzip(&blob, &tar, &members), "the blob is gzip");
	digest_of(tar.p, tar.len, &d);
	ok(digest_eq(&d, &l.diff_id), "the diff ID is that of the archive");
	/* what comes before, a, two of b, c, d, what comes after */
	is_u64(members, 7, "members end at store paths and full blocks");
	list_tar(&tar, &list);
	is_str(list.p, want, "every entry, once, sorted, parents first");
}

static void
test_threads(void)
{
	static const struct compression kinds[] = {
		{COMPRESSION_GZIP, 1},
		{COMPRESSION_GZIP, 9},
		{COMPRESSION_ZSTD, 3},
	};
	static const unsigned threads[] = {1, 2, 16};

	for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
		struct pack_input in = input_of(all_paths, 4);
		struct layer first, l;
		char id[PACK_ID_CAP];

		in.compression = kinds[k];
		for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
			AUTO(buf) struct buf blob = BUF_INIT;
			struct err e = ERR_INIT;

			if (pack_to(&blob, threads[i], &in, &l, &e) < 0)
				die(e.msg);
			if (i == 0)
				first = l;
			ok(digest_eq(&l.digest, &first.digest) &&
				   l.compression == kinds[k].kind,
			   "%s:%d, the same with %u threads",
			   compression_name(kinds[k].kind), kinds[k].level,
			   threads[i]);
		}
		pack_id(&kinds[k], id);
		ok(strncmp(id, "firn-pack-1/", 12) == 0, "id: %s", id);
	}
}

int
main(void)
{
	struct err e = ERR_INIT;

	(void)snprintf(root, sizeof(root), "/tmp/test_pack.XXXXXX");
	if (!mkdtemp(root))
		die("mkdtemp");
	make_tree();
	test_contents();
	test_threads();
	if (fs_remove_tree(root, &e) < 0)
		die(e.msg);
	return done_testing();
}
