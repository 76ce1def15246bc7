/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_PACK_PACK_H
#define FIRN_PACK_PACK_H

/*
 * Store paths in, the bytes of a layer out:
 *
 *	entries -> tar -> SHA-256 (diff ID) -> compress -> SHA-256 (digest)
 *
 * The same input gives the same bytes on every machine and for any number of
 * threads: names relative ("nix/store/..."), in byte order as they are
 * written (a directory's with a slash at its end), each once; mtime 1, uid
 * and gid 0, no names of users; modes 0444 or 0555, directories 0555; hard
 * links as separate files. Directories that nothing brings, as nix/ and
 * nix/store/, come before what lies in them, with mode 0755. A change of the
 * bytes changes PACK_FORMAT. Memory does not grow with the layer.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/model/compression.h"
#include "core/model/layers.h"

struct err;
struct members;
struct pack_pool;
struct sink;

#define PACK_FORMAT 1u

/* What the image itself brings, beside store paths: made up, not read. */
enum pack_entry_type {
	PACK_DIR,
	PACK_FILE,
	PACK_SYMLINK,
};

struct pack_entry {
	enum pack_entry_type type;
	unsigned mode;      /* permission bits; ignored for links */
	const char *name;   /* relative, no trailing slash, e.g. "etc/passwd" */
	const char *target; /* PACK_SYMLINK */
	const char *data;   /* PACK_FILE */
	size_t n;           /* bytes of data */
};

struct pack_input {
	/* In any order; parents need not be there. */
	const struct pack_entry *entries;
	size_t n_entries;

	/* Store paths, absolute, in any order, without repetition. */
	const char *const *paths;
	size_t n_paths;

	/*
	 * Where "/" of the store paths is: "" normally, another directory
	 * for a store that lives elsewhere.
	 */
	const char *root;
};

/*
 * Threads that compress, shared by everything that is packed at a time.
 * Safe to use from any thread.
 *
 * Memory is bounded, whatever the number of threads: 50 MiB for a layer,
 * and eight times as much for all that are packed at once. Levels whose
 * compressors need much for themselves (zstd above 3, most of all above 8)
 * may take more, up to 200 MiB for a layer. Threads that there would be no
 * memory for aren't started, or idle.
 */
struct pack_pool *pack_pool_new(unsigned threads, const struct compression *c);
void pack_pool_free(struct pack_pool *p);

/*
 * Keep members of what is packed, and use those that are there (members.h):
 * the bytes are the same, sooner. Before the first layer; m is borrowed.
 */
void pack_pool_use_members(struct pack_pool *p, struct members *m);

/*
 * The disk is full: delete the members that are kept. False when that makes
 * no room.
 */
bool pack_pool_yield(struct pack_pool *p);

/*
 * Pack one layer into out, which is finished but not freed. Blocks; may run
 * on several threads at once, of which some wait while there are more than
 * two above the pool's threads, or more than sixteen; out is written by another
 * thread than the caller's, or by the caller's where no other can be started. A
 * file that is unreadable, vanishes or changes meanwhile is ERR_SYSTEM, and a
 * failure of out is what out says; out is not finished then. Names that can't
 * be in one layer are ERR_INVALID.
 */
MUST_CHECK int pack_layer(struct pack_pool *p, const struct pack_input *in,
			  struct sink *out, struct layer *ret, struct err *e);

/*
 * What the bytes depend on beside the paths: PACK_FORMAT, compressor, level,
 * block size, library and its version. Part of every layer key. Written to
 * buf, which PACK_ID_CAP bytes are enough for.
 */
#define PACK_ID_CAP 128
void pack_id(const struct compression *c, char buf[PACK_ID_CAP]);

#endif
