/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_TESTS_PACK_TREE_H
#define FIRN_TESTS_PACK_TREE_H

/*
 * A store of one's own in a temporary directory, and packing from it. Errors
 * of the test itself end the program.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/digest.h"
#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/sink.h"
#include "core/pack/pack.h"
#include "core/sys/fs.h"
#include "tests/support/tap.h"

#define MIB ((size_t)1 << 20)

#define PATH_A "/nix/store/00000000000000000000000000000000-a"
#define PATH_B "/nix/store/11111111111111111111111111111111-b"
#define PATH_C "/nix/store/22222222222222222222222222222222-c"
#define PATH_D "/nix/store/33333333333333333333333333333333-d"

static char tree_root[64];

NORETURN static inline void
die(const char *what)
{
	printf("Bail out! %s: %s\n", what, strerror(errno));
	exit(1);
}

static inline void
tree_init(void)
{
	(void)snprintf(tree_root, sizeof(tree_root), "/tmp/test_pack.XXXXXX");
	if (!mkdtemp(tree_root) || chmod(tree_root, 0755) < 0)
		die("mkdtemp");
}

static inline void
tree_remove(void)
{
	struct err e = ERR_INIT;

	if (fs_remove_tree(tree_root, &e) < 0)
		die(e.msg);
}

/* Below the root; a call's text is there until the fourth after it. */
static inline const char *
in_root(const char *name)
{
	static char paths[4][5000];
	static unsigned at;
	char *p = paths[at++ % 4];

	(void)snprintf(p, sizeof(paths[0]), "%s%s", tree_root, name);
	return p;
}

static inline void
make_dir(const char *name)
{
	struct err e = ERR_INIT;

	if (fs_mkdirs(in_root(name), 0755, &e) < 0)
		die(e.msg);
}

static inline void
make_file(const char *name, const void *p, size_t n, mode_t mode)
{
	int fd = open(in_root(name), O_WRONLY | O_CREAT | O_TRUNC, 0644);

	if (fd < 0 || write(fd, p, n) != (ssize_t)n || fchmod(fd, mode) < 0)
		die(name);
	close(fd);
}

/* A file of n zeros that takes no room. */
static inline void
make_hole(const char *name, size_t n)
{
	make_file(name, "", 0, 0644);
	if (truncate(in_root(name), (off_t)n) < 0)
		die(name);
}

static inline void
make_link(const char *name, const char *target)
{
	if (symlink(target, in_root(name)) < 0)
		die(name);
}

/* n bytes that look a little like a program, different for each seed. */
static inline unsigned char *
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

static inline void
make_noise(const char *name, size_t n, unsigned seed)
{
	AUTO(mem) unsigned char *p = noise(n, seed);

	make_file(name, p, n, 0444);
}

/* n bytes of words, which repeat as a text's do. */
static inline void
make_text(const char *name, size_t n)
{
	static const char *const words[] = {
		"layer ",  "of ",        "a ",      "store ",
		"path, ",  "registry\n", "the ",    "block ",
		"image: ", "is ",        "digest ", "compressed ",
	};
	AUTO(buf) struct buf b = BUF_INIT;
	uint32_t x = 1;

	while (b.len < n) {
		x = x * 1664525u + 1013904223u;
		buf_adds(&b, words[(x >> 16) % ARRAY_LEN(words)]);
		if (x >> 29 == 0)
			buf_printf(&b, "%u ", x >> 8);
	}
	make_file(name, b.p, n, 0444);
}

static inline struct pack_input
input_of(const char *const *paths, size_t n)
{
	return (struct pack_input){
		.paths = paths,
		.n_paths = n,
		.root = tree_root,
	};
}

static const struct compression gzip_1 = {COMPRESSION_GZIP, 1};

/* Pack with so many threads; the blob goes to *blob. */
static inline int
pack_as(const struct compression *c, struct buf *blob, unsigned threads,
	const struct pack_input *in, struct members *members, struct layer *ret,
	struct err *e)
{
	struct pack_pool *p = pack_pool_new(threads, c);
	AUTO(sink) struct sink *out = sink_to_buf(blob, 256 * MIB);
	int r;

	pack_pool_use_members(p, members);
	r = pack_layer(p, in, out, ret, e);
	pack_pool_free(p);
	return r;
}

static inline int
pack_to(struct buf *blob, unsigned threads, const struct pack_input *in,
	struct members *members, struct layer *ret, struct err *e)
{
	return pack_as(&gzip_1, blob, threads, in, members, ret, e);
}

#endif
