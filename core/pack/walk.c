/* SPDX-License-Identifier: Apache-2.0 */
#include "core/pack/walk.h"

#include <fcntl.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/sys/fs.h"

/* Each level holds a descriptor, and packers run side by side. */
#define DEPTH_MAX 200u

struct walk {
	walk_fn *fn;
	void *ctx;
	struct buf name;   /* of the entry at hand, relative to "/" */
	struct buf target; /* of a link */
};

static int walk_dir(struct walk *w, int dirfd, const char *at, unsigned depth,
		    struct err *e);

static int
walk_file(struct walk *w, int dirfd, const char *at, struct err *e)
{
	AUTO(fd) int fd = -1;
	struct walk_entry we = {
		.type = FSAT_FILE,
		.name = w->name.p,
		.name_n = w->name.len,
	};

	if (fsat_open_file(dirfd, at, &fd, &we.stamp, &we.exec, e) < 0)
		return -1;
	we.fd = fd;
	return w->fn(w->ctx, &we, e);
}

static int
walk_link(struct walk *w, int dirfd, const char *at, struct err *e)
{
	struct walk_entry we = {
		.type = FSAT_SYMLINK,
		.name = w->name.p,
		.name_n = w->name.len,
		.fd = -1,
	};

	buf_clear(&w->target);
	if (fs_readlink(dirfd, at, &w->target, e) < 0) {
		/* It was there a moment ago: not the caller's mistake. */
		e->kind = ERR_SYSTEM;
		return -1;
	}
	we.target = w->target.p;
	we.target_n = w->target.len;
	return w->fn(w->ctx, &we, e);
}

/* The entry at (its name stands in w->name) of the directory dirfd. */
static int
walk_one(struct walk *w, int dirfd, const char *at, enum fsat_type type,
	 unsigned depth, struct err *e)
{
	switch (type) {
	case FSAT_DIR:
		buf_addc(&w->name, '/');
		return walk_dir(w, dirfd, at, depth, e);
	case FSAT_FILE:
		return walk_file(w, dirfd, at, e);
	case FSAT_SYMLINK:
		return walk_link(w, dirfd, at, e);
	}
	return 0;
}

static int
walk_dir(struct walk *w, int dirfd, const char *at, unsigned depth,
	 struct err *e)
{
	AUTO(fsat_list) struct fsat_list list = FSAT_LIST_INIT;
	AUTO(fd) int fd = -1;
	size_t len = w->name.len;
	const struct walk_entry we = {
		.type = FSAT_DIR,
		.name = w->name.p,
		.name_n = len,
		.fd = -1,
	};

	if (depth == 0)
		return err_set(e, ERR_SYSTEM, "nested too deeply");
	if (fsat_open_dir(dirfd, at, &fd, e) < 0 || w->fn(w->ctx, &we, e) < 0 ||
	    fsat_list(fd, &list, e) < 0)
		return -1;
	for (size_t i = 0; i < list.n; i++) {
		const char *name = list.names.p + list.v[i].at;

		buf_adds(&w->name, name);
		if (walk_one(w, fd, name, list.v[i].type, depth - 1, e) < 0)
			return -1;
		buf_truncate(&w->name, len);
	}
	return 0;
}

int
walk_path(const char *root, const char *path, walk_fn *fn, void *ctx,
	  struct err *e)
{
	struct walk w = {
		.fn = fn, .ctx = ctx, .name = BUF_INIT, .target = BUF_INIT};
	AUTO(buf) struct buf real = BUF_INIT;
	enum fsat_type type;
	int r;

	buf_printf(&real, "%s%s", root, path);
	buf_adds(&w.name, path + 1);
	r = fsat_type(AT_FDCWD, real.p, &type, e);
	if (r == 0)
		r = walk_one(&w, AT_FDCWD, real.p, type, DEPTH_MAX, e);
	if (r < 0)
		err_wrap(e, "pack /%s", w.name.p);
	buf_release(&w.name);
	buf_release(&w.target);
	return r;
}
