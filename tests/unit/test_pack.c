/* SPDX-License-Identifier: Apache-2.0 */
#include <libdeflate.h>
#include <pthread.h>
#include <stdlib.h>
#include <zstd.h>

#include "tests/support/pack_tree.h"

static const char *const all_paths[] = {PATH_A, PATH_B, PATH_C, PATH_D};

/* A small tree with one of each; its digests are golden. */
static void
make_tree(void)
{
	make_dir(PATH_A "/bin");
	make_file(PATH_A "/bin/tool", "#!/bin/sh\n", 10, 0755);
	make_file(PATH_A "/bin-x", "sorts before bin/", 17, 0644);
	make_dir(PATH_A "/empty");
	make_file(PATH_A "/none", "", 0, 0444);
	make_link(PATH_A "/bin/link", "tool");
	make_dir(PATH_B);
	make_noise(PATH_B "/big", 5 * MIB / 2, 7);
	make_text(PATH_B "/text", 7 * MIB / 4);
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
		"444 0 nix/store/11111111111111111111111111111111-b/text\n"
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
	ok(pack_to(&blob, 2, &in, NULL, &l, &e) == 0, "pack: %s", e.msg);
	is_u64(l.size, blob.len, "the size is that of the blob");
	digest_of(blob.p, blob.len, &d);
	ok(digest_eq(&d, &l.digest), "the digest is that of the blob");
	ok(gunzip(&blob, &tar, &members), "the blob is gzip");
	digest_of(tar.p, tar.len, &d);
	ok(digest_eq(&d, &l.diff_id), "the diff ID is that of the archive");
	/* what comes before, a, five of b, c, d, what comes after */
	is_u64(members, 10, "members end at store paths and full blocks");
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

		for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
			AUTO(buf) struct buf blob = BUF_INIT;
			struct err e = ERR_INIT;

			if (pack_as(&kinds[k], &blob, threads[i], &in, NULL, &l,
				    &e) < 0)
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

/* Every frame of a zstd blob. */
static bool
unzstd(const struct buf *blob, struct buf *tar)
{
	AUTO(mem) char *block = xmalloc(3 * MIB);
	size_t at = 0, used, n;

	while (at < blob->len) {
		used = ZSTD_findFrameCompressedSize(blob->p + at,
						    blob->len - at);
		if (ZSTD_isError(used))
			return false;
		n = ZSTD_decompress(block, 3 * MIB, blob->p + at, used);
		if (ZSTD_isError(n))
			return false;
		buf_add(tar, block, n);
		at += used;
	}
	return true;
}

static void
test_zstd(void)
{
	AUTO(buf) struct buf blob = BUF_INIT;
	AUTO(buf) struct buf tar = BUF_INIT;
	struct pack_input in = input_of(all_paths, 4);
	struct err e = ERR_INIT;
	struct layer l;
	struct digest d;

	ok(pack_as(&(struct compression){COMPRESSION_ZSTD, 1}, &blob, 2, &in,
		   NULL, &l, &e) == 0,
	   "zstd: %s", e.msg);
	ok(unzstd(&blob, &tar), "the blob is zstd");
	digest_of(tar.p, tar.len, &d);
	ok(digest_eq(&d, &l.diff_id), "zstd: the diff ID");
}

/*
 * The digests in tests/golden/pack/small: "diff-id DIGEST", which holds
 * everywhere, and "ID DIGEST" for compressors as pack_id names them. Another
 * version of a library may make other bytes; then there is nothing to
 * compare, but pack_id must differ too.
 */
static void
test_golden(const char *file)
{
	static const struct compression kinds[] = {
		{COMPRESSION_GZIP, 1}, {COMPRESSION_GZIP, 6},
		{COMPRESSION_GZIP, 9}, {COMPRESSION_ZSTD, 1},
		{COMPRESSION_ZSTD, 3}, {COMPRESSION_ZSTD, 19},
	};
	AUTO(buf) struct buf text = BUF_INIT;
	struct err e = ERR_INIT;

	if (fs_read_file(file, 65536, &text, &e) < 0)
		die(e.msg);
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		AUTO(buf) struct buf blob = BUF_INIT;
		AUTO(buf) struct buf want = BUF_INIT;
		struct pack_input in = input_of(all_paths, 4);
		char id[PACK_ID_CAP], digest[DIGEST_TEXT_CAP];
		struct layer l;

		in.entries = base_entries;
		in.n_entries = ARRAY_LEN(base_entries);
		if (pack_as(&kinds[i], &blob, 2, &in, NULL, &l, &e) < 0)
			die(e.msg);
		digest_text(&l.diff_id, digest);
		buf_printf(&want, "diff-id %s\n", digest);
		if (i == 0 && !ok(strstr(text.p, want.p) != NULL, "golden"))
			printf("# got: %s", want.p);
		pack_id(&kinds[i], id);
		digest_text(&l.digest, digest);
		buf_clear(&want);
		buf_printf(&want, "%s %s\n", id, digest);
		if (!strstr(text.p, id))
			skip(id, "no golden digest for this library");
		else
			ok(strstr(text.p, want.p) != NULL, "golden %s", id);
		printf("# got: %s", want.p);
	}
}

/* Several layers at once, each with its own thread, on one pool. */
struct at_once {
	struct pack_pool *pool;
	const char *const *paths;
	struct layer layer;
	bool good;
};

static void *
pack_at_once(void *arg)
{
	struct at_once *o = arg;
	AUTO(buf) struct buf blob = BUF_INIT;
	AUTO(sink) struct sink *out = sink_to_buf(&blob, 64 * MIB);
	struct pack_input in = input_of(o->paths, 1);
	struct err e = ERR_INIT;

	o->good = pack_layer(o->pool, &in, out, &o->layer, &e) == 0;
	return NULL;
}

static void
test_at_once(void)
{
	struct at_once v[12];
	pthread_t threads[ARRAY_LEN(v)];
	struct pack_pool *p = pack_pool_new(2, &gzip_1);
	bool same = true;

	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		v[i] = (struct at_once){.pool = p, .paths = &all_paths[i % 4]};
		if (pthread_create(&threads[i], NULL, pack_at_once, &v[i]) != 0)
			die("pthread_create");
	}
	for (size_t i = 0; i < ARRAY_LEN(v); i++) {
		pthread_join(threads[i], NULL);
		same = same && v[i].good &&
		       digest_eq(&v[i].layer.digest, &v[i % 4].layer.digest);
	}
	ok(same, "layers that are packed at once");
	pack_pool_free(p);
}

static void
test_empty(void)
{
	AUTO(buf) struct buf blob = BUF_INIT;
	AUTO(buf) struct buf tar = BUF_INIT;
	struct pack_input in = input_of(NULL, 0);
	struct err e = ERR_INIT;
	struct layer l;
	size_t members;

	ok(pack_to(&blob, 1, &in, NULL, &l, &e) == 0 &&
		   gunzip(&blob, &tar, &members) && tar.len == 1024,
	   "an empty layer is an empty archive");
}

int
main(int argc, char **argv)
{
	tree_init();
	make_tree();
	test_contents();
	test_threads();
	test_zstd();
	test_golden(argc > 1 ? argv[1] : "tests/golden/pack/small");
	test_at_once();
	test_empty();
	tree_remove();
	return done_testing();
}
