/* SPDX-License-Identifier: Apache-2.0 */
#include "core/pack/pack.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/digest.h"
#include "core/base/err.h"
#include "core/base/sink.h"
#include "core/pack/compress.h"
#include "core/pack/order.h"
#include "core/pack/pool.h"
#include "core/pack/tar.h"
#include "core/pack/walk.h"
#include "core/sys/fs.h"

/*
 * The reading end: an archive's bytes into blocks. A block ends where it is
 * full and at the borders of store paths, so that what stands in the blocks
 * of a path depends on the path alone.
 */
struct packer {
	struct lane *lane;
	size_t block_n;
	struct block *cur;  /* being filled, or NULL */
	struct hasher diff; /* over what was submitted */
	struct buf head;    /* an entry's head, made here */

	/* For want of a thread, the other end is ours too. */
	struct writer *writer; /* or NULL */
	unsigned n_submitted;  /* that the writer hasn't had */
};

/* The writing end. */
struct writer {
	struct lane *lane;
	struct sink *out;
	struct hasher digest;
	uint64_t size;
	struct err err;
};

/* Write a block, once it is there; false at the lane's end. */
static bool
writer_step(struct writer *w)
{
	struct block *b = lane_next(w->lane);

	if (!b)
		return false;
	if (w->err.kind == ERR_NONE && b->n > 0) {
		hasher_add(&w->digest, b->p, b->n);
		w->size += b->n;
		if (sink_write(w->out, b->p, b->n, &w->err) < 0)
			lane_fail(w->lane, &w->err);
	}
	lane_give(w->lane, b);
	return true;
}

static void *
writer_thread(void *arg)
{
	while (writer_step(arg))
		continue;
	return NULL;
}

/* End the block at hand. */
static void
packer_cut(struct packer *k)
{
	if (!k->cur)
		return;
	hasher_add(&k->diff, k->cur->p, k->cur->n);
	lane_submit(k->lane, k->cur);
	k->n_submitted++;
	k->cur = NULL;
}

/* Where the next bytes go; *ret_n is how many fit, at least one. */
static int
packer_room(struct packer *k, unsigned char **ret_at, size_t *ret_n,
	    struct err *e)
{
	if (k->cur && k->cur->n == k->block_n)
		packer_cut(k);
	if (!k->cur) {
		/* To wait for a block that only we could give is in vain. */
		while (k->writer && k->n_submitted >= LANE_OWN) {
			(void)writer_step(k->writer);
			k->n_submitted--;
		}
		k->cur = lane_take(k->lane);
	}
	if (!k->cur) {
		int r = lane_result(k->lane, e);

		assert(r < 0); /* why else is there no block? */
		return r;
	}
	*ret_at = k->cur->p + k->cur->n;
	*ret_n = k->block_n - k->cur->n;
	return 0;
}

/* n bytes from p; NULL means zeros. */
static int
packer_add(struct packer *k, const char *p, size_t n, struct err *e)
{
	while (n > 0) {
		unsigned char *at;
		size_t part;

		if (packer_room(k, &at, &part, e) < 0)
			return -1;
		if (part > n)
			part = n;
		if (p) {
			memcpy(at, p, part);
			p += part;
		} else {
			memset(at, 0, part);
		}
		k->cur->n += part;
		n -= part;
	}
	return 0;
}

static int
packer_add_head(struct packer *k, const struct tar_entry *t, struct err *e)
{
	buf_clear(&k->head);
	tar_head(&k->head, t);
	return packer_add(k, k->head.p, k->head.len, e);
}

/* A file's contents, read straight into the blocks. */
static int
packer_add_file(struct packer *k, int fd, const struct fsat_stamp *stamp,
		struct err *e)
{
	for (uint64_t left = stamp->size; left > 0;) {
		unsigned char *at;
		size_t part;

		if (packer_room(k, &at, &part, e) < 0)
			return -1;
		if (part > left)
			part = (size_t)left;
		if (fs_read(fd, at, part, &part, e) < 0)
			return -1;
		if (part == 0)
			return err_set(e, ERR_SYSTEM,
				       "became shorter while it was read");
		k->cur->n += part;
		left -= part;
	}
	if (fsat_check_stamp(fd, stamp, e) < 0)
		return -1;
	return packer_add(k, NULL, tar_padding(stamp->size), e);
}

/* walk_fn: an entry of a store path. */
static int
packer_add_walked(void *ctx, const struct walk_entry *w, struct err *e)
{
	struct packer *k = ctx;
	struct tar_entry t = {
		.type = TAR_DIR,
		.mode = 0555,
		.name = w->name,
		.name_n = w->name_n,
	};

	switch (w->type) {
	case FSAT_DIR:
		return packer_add_head(k, &t, e);
	case FSAT_SYMLINK:
		t.type = TAR_SYMLINK;
		t.mode = 0777;
		t.target = w->target;
		t.target_n = w->target_n;
		return packer_add_head(k, &t, e);
	case FSAT_FILE:
		t.type = TAR_FILE;
		t.mode = w->exec ? 0555 : 0444;
		t.size = w->stamp.size;
		if (packer_add_head(k, &t, e) < 0)
			return -1;
		return packer_add_file(k, w->fd, &w->stamp, e);
	}
	return 0;
}

/* One that the image brings, or a directory made up for what lies in it. */
static int
packer_add_entry(struct packer *k, const char *name,
		 const struct pack_entry *pe, struct err *e)
{
	static const struct pack_entry parent = {.type = PACK_DIR,
						 .mode = 0755};
	struct tar_entry t = {
		.type = TAR_DIR,
		.name = name,
		.name_n = strlen(name),
	};

	if (!pe)
		pe = &parent;
	t.mode = pe->mode & 07777;
	switch (pe->type) {
	case PACK_DIR:
		return packer_add_head(k, &t, e);
	case PACK_SYMLINK:
		t.type = TAR_SYMLINK;
		t.mode = 0777;
		t.target = pe->target;
		t.target_n = strlen(pe->target);
		return packer_add_head(k, &t, e);
	case PACK_FILE:
		t.type = TAR_FILE;
		t.size = pe->n;
		if (packer_add_head(k, &t, e) < 0 ||
		    packer_add(k, pe->data, pe->n, e) < 0)
			return -1;
		return packer_add(k, NULL, tar_padding(pe->n), e);
	}
	return 0;
}

static int
packer_run(struct packer *k, const char *root, const struct order *o,
	   struct err *e)
{
	for (size_t i = 0; i < o->n; i++) {
		const struct order_item *it = &o->v[i];
		int r;

		if (it->path) {
			packer_cut(k);
			r = walk_path(root, it->path, packer_add_walked, k, e);
			packer_cut(k);
		} else {
			r = packer_add_entry(k, it->name, it->entry, e);
		}
		if (r < 0)
			return -1;
	}
	if (packer_add(k, NULL, TAR_END, e) < 0)
		return -1;
	packer_cut(k);
	return 0;
}

/* Both ends over an order that is made; the lane is empty afterwards. */
static int
run_lane(struct packer *k, struct writer *w, const char *root,
	 const struct order *o, struct err *e)
{
	struct err mine = ERR_INIT;
	pthread_t thread;

	if (pool_start_thread(&thread, writer_thread, w) != 0)
		k->writer = w;
	if (packer_run(k, root, o, &mine) < 0)
		lane_fail(k->lane, &mine);
	if (k->cur)
		lane_give(k->lane, k->cur);
	lane_close(k->lane);
	if (k->writer)
		(void)writer_thread(w);
	else
		pthread_join(thread, NULL);
	return lane_result(k->lane, e);
}

int
pack_layer(struct pack_pool *p, const struct pack_input *in, struct sink *out,
	   struct layer *ret, struct err *e)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	const struct compression *c = pool_compression(p);
	struct packer k = {.head = BUF_INIT, .block_n = codec_block(c)};
	struct writer w = {.out = out, .err = ERR_INIT};
	struct order o;
	int r;

	if (order_make(&a, in, &o, e) < 0)
		return -1;
	k.lane = w.lane = lane_new(p);
	hasher_init(&k.diff);
	hasher_init(&w.digest);
	r = run_lane(&k, &w, in->root, &o, e);
	if (r == 0) {
		hasher_finish(&k.diff, &ret->diff_id);
		hasher_finish(&w.digest, &ret->digest);
		ret->size = w.size;
		ret->compression = c->kind;
		r = sink_finish(out, e);
	}
	hasher_release(&w.digest);
	hasher_release(&k.diff);
	buf_release(&k.head);
	lane_free(k.lane);
	return r;
}

void
pack_id(const struct compression *c, char buf[PACK_ID_CAP])
{
	char codec[CODEC_ID_CAP];

	codec_id(c, codec);
	(void)snprintf(buf, PACK_ID_CAP, "firn-pack-%u/%s", PACK_FORMAT, codec);
}
