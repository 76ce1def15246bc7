/* SPDX-License-Identifier: Apache-2.0 */
#include "core/forest.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/strmap.h"
#include "core/base/vec.h"
#include "core/model/graph.h"
#include "core/pack/pack.h"
#include "core/sys/fs.h"

/* A directory or file, whatever its name. */
struct inode {
	dev_t dev;
	ino_t ino;
};

/*
 * The forest under construction: entries in the order in which they came,
 * and an index from names to them. A link's target is in the store, or
 * relative: then it stays in the image (share_sibling_link).
 */
struct grove {
	struct arena *arena;
	struct strmap index;
	struct {
		VEC(struct pack_entry);
	} entries;
	struct {
		VEC(struct inode);
	} merging; /* directories that are being merged, one in the other */
	size_t collisions;
};

static struct pack_entry *
find(const struct grove *g, const char *name)
{
	size_t i;

	return strmap_get(&g->index, name, &i) ? &g->entries.v[i] : NULL;
}

static int
add(struct grove *g, struct pack_entry entry, struct err *e)
{
	if (g->entries.n >= FOREST_MAX_ENTRIES)
		return err_set(e, ERR_DENIED,
			       "the packages have more than %u files",
			       FOREST_MAX_ENTRIES);
	entry.name = arena_strdup(g->arena, entry.name);
	strmap_put(&g->index, entry.name, g->entries.n, NULL);
	vec_push(&g->entries, entry);
	return 0;
}

static int
add_dir(struct grove *g, const char *name, unsigned mode, struct err *e)
{
	return add(g,
		   (struct pack_entry){
			   .type = PACK_DIR, .name = name, .mode = mode},
		   e);
}

static int
add_link(struct grove *g, const char *name, const char *target, struct err *e)
{
	return add(
		g,
		(struct pack_entry){.type = PACK_SYMLINK,
				    .name = name,
				    .target = arena_strdup(g->arena, target)},
		e);
}

static bool
is_dir(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool
is_same(const char *a, const char *b)
{
	struct stat x, y;

	return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev &&
	       x.st_ino == y.st_ino;
}

/*
 * Does a link lead back to a directory that is being merged? To follow it
 * would go round for ever, so it stays a link.
 */
static bool
is_loop(const struct grove *g, const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return false;
	for (size_t i = 0; i < g->merging.n; i++)
		if (g->merging.v[i].dev == st.st_dev &&
		    g->merging.v[i].ino == st.st_ino)
			return true;
	return false;
}

static void
parent_of(const char *name, struct buf *to)
{
	const char *slash = strrchr(name, '/');

	buf_add(to, name, slash ? (size_t)(slash - name) : 0);
}

/*
 * What stands at a name of the image when the image's own links are
 * followed; its name goes to *to, "" is the root (and NULL is returned, as
 * for what isn't there).
 */
static struct pack_entry *
follow(const struct grove *g, const char *name, struct buf *to)
{
	struct pack_entry *at;

	buf_clear(to);
	buf_adds(to, name);
	for (int hops = 0; hops < 16; hops++) {
		AUTO(buf) struct buf next = BUF_INIT;

		at = find(g, to->p);
		if (!at || at->type != PACK_SYMLINK || at->target[0] == '/')
			return at;
		parent_of(to->p, &next);
		if (strcmp(at->target, ".") != 0)
			buf_printf(&next, "%s%s", next.len ? "/" : "",
				   at->target);
		buf_clear(to);
		buf_adds(to, next.p);
	}
	return NULL;
}

static int merge_dir(struct grove *g, const char *name, const char *path,
		     unsigned depth, struct err *e);

/* The text of a link that stays beside or below itself: lib64 -> lib. */
static bool
read_sibling_link(const char *path, struct buf *to)
{
	struct err e = ERR_INIT;
	struct str rest, part;

	if (fs_readlink(AT_FDCWD, path, to, &e) < 0)
		return false;
	if (strcmp(to->p, ".") == 0)
		return true;
	rest = str_of(to->p);
	while (str_cut(&rest, '/', &part))
		if (part.n == 0 || str_eq(part, ".") || str_eq(part, ".."))
			return false;
	return true;
}

/*
 * Two packages that both have lib64 -> lib: the image has it too, and its
 * lib is merged already.
 */
static bool
share_sibling_link(struct grove *g, struct pack_entry *old, const char *path)
{
	AUTO(buf) struct buf theirs = BUF_INIT, ours = BUF_INIT;

	if (old->type != PACK_SYMLINK || !read_sibling_link(path, &theirs))
		return false;
	if (old->target[0] != '/')
		return strcmp(old->target, theirs.p) == 0;
	if (!read_sibling_link(old->target, &ours) ||
	    strcmp(ours.p, theirs.p) != 0)
		return false;
	old->target = arena_strdup(g->arena, ours.p);
	return true;
}

/* What was one link to a directory of the store becomes a directory. */
static int
open_up(struct grove *g, struct pack_entry *old, const char *name,
	unsigned depth, struct err *e)
{
	const char *behind = old->target;

	old->type = PACK_DIR;
	old->mode = 0755;
	old->target = NULL;
	return merge_dir(g, name, behind, depth, e);
}

/*
 * A name that is taken: merge where both sides are directories, perhaps
 * behind links; else the first one stays.
 */
static int
merge_taken(struct grove *g, struct pack_entry *old, const char *name,
	    const char *path, unsigned depth, struct err *e)
{
	AUTO(buf) struct buf at = BUF_INIT;

	if (share_sibling_link(g, old, path))
		return 0;
	if (!is_dir(path) || is_loop(g, path))
		goto lost;
	old = follow(g, name, &at);
	if (!old && at.len > 0)
		goto lost;
	if (old && old->type == PACK_SYMLINK) {
		if (!is_dir(old->target) || is_loop(g, old->target))
			goto lost;
		if (is_same(old->target, path))
			return 0;
		if (open_up(g, old, at.p, depth, e) < 0)
			return -1;
	}
	return merge_dir(g, at.p, path, depth, e);
lost:
	old = follow(g, name, &at);
	if (!old || old->type != PACK_SYMLINK || !is_same(old->target, path))
		g->collisions++;
	return 0;
}

static bool
is_left_out(const char *parent, const char *name)
{
	static const char *const names[] = {"nix", "proc", "sys", "dev",
					    "nix-support"};

	if (parent[0] != '\0')
		return false;
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

/* path: of the entry in the store; name: of the entry in the image. */
static int
merge_entry(struct grove *g, const char *name, const char *path, unsigned depth,
	    struct err *e)
{
	struct pack_entry *old = find(g, name);
	struct stat st;

	if (old)
		return merge_taken(g, old, name, path, depth, e);
	if (lstat(path, &st) < 0)
		return err_set_errno(e, ERR_SYSTEM, errno, "stat %s", path);
	if (!S_ISDIR(st.st_mode))
		return add_link(g, name, path, e);
	if (add_dir(g, name, 0755, e) < 0)
		return -1;
	return merge_dir(g, name, path, depth, e);
}

static int
merge_names(struct grove *g, const char *name, const char *path, unsigned depth,
	    struct err *e)
{
	struct fs_names names;
	int r = 0;

	if (fs_list(path, &names, e) < 0)
		return -1;
	for (size_t i = 0; r == 0 && i < names.n; i++) {
		AUTO(buf) struct buf sub = BUF_INIT, from = BUF_INIT;

		if (is_left_out(name, names.v[i]))
			continue;
		buf_printf(&sub, "%s%s%s", name, name[0] ? "/" : "",
			   names.v[i]);
		buf_printf(&from, "%s/%s", path, names.v[i]);
		r = merge_entry(g, sub.p, from.p, depth + 1, e);
	}
	fs_names_free(&names);
	return r;
}

static int
merge_dir(struct grove *g, const char *name, const char *path, unsigned depth,
	  struct err *e)
{
	struct inode self;
	struct stat st;
	int r;

	if (depth >= FOREST_MAX_DEPTH)
		return err_set(e, ERR_DENIED,
			       "the packages' directories are nested more "
			       "than %u deep",
			       FOREST_MAX_DEPTH);
	if (stat(path, &st) < 0)
		return err_set_errno(e, ERR_SYSTEM, errno, "stat %s", path);
	self = (struct inode){.dev = st.st_dev, .ino = st.st_ino};
	vec_push(&g->merging, self);
	r = merge_names(g, name, path, depth, e);
	g->merging.n--;
	return r;
}

/* --- what every image has */

/* May something be put at this name? Only where its parent is ours. */
static bool
has_parent(const struct grove *g, const char *name)
{
	AUTO(buf) struct buf parent = BUF_INIT;
	const struct pack_entry *p;

	parent_of(name, &parent);
	p = find(g, parent.p);
	return parent.len == 0 || (p && p->type == PACK_DIR);
}

/* One directory of ours, when its parent is there. */
static int
need_one_dir(struct grove *g, const char *name, struct err *e)
{
	struct pack_entry *old = find(g, name);

	if (!old)
		return has_parent(g, name) ? add_dir(g, name, 0755, e) : 0;
	if (old->type == PACK_SYMLINK && old->target[0] == '/' &&
	    is_dir(old->target))
		return open_up(g, old, name, 1, e);
	return 0;
}

/*
 * A directory of ours, with its parents; a package's keeps its content. Where
 * a package has something else at one of these names, it stays, and nothing
 * of ours goes below it.
 */
static int
need_dir(struct grove *g, const char *name, unsigned mode, struct err *e)
{
	struct pack_entry *made;

	for (const char *p = strchr(name, '/'); p; p = strchr(p + 1, '/')) {
		AUTO(buf) struct buf parent = BUF_INIT;

		buf_add(&parent, name, (size_t)(p - name));
		if (need_one_dir(g, parent.p, e) < 0)
			return -1;
	}
	if (need_one_dir(g, name, e) < 0)
		return -1;
	made = find(g, name);
	if (made && made->type == PACK_DIR)
		made->mode = mode;
	return 0;
}

static int
need_file(struct grove *g, const char *name, const char *text, struct err *e)
{
	if (find(g, name) || !has_parent(g, name))
		return 0;
	return add(g,
		   (struct pack_entry){.type = PACK_FILE,
				       .name = name,
				       .mode = 0644,
				       .data = text,
				       .n = strlen(text)},
		   e);
}

/* Where a link of the forest leads in the end; NULL when nowhere. */
static const char *
target_of(const struct grove *g, const char *name)
{
	AUTO(buf) struct buf at = BUF_INIT;
	const struct pack_entry *f = follow(g, name, &at);
	struct stat st;

	if (!f || f->type != PACK_SYMLINK || stat(f->target, &st) < 0)
		return NULL;
	return f->target;
}

/* name -> wherever other leads, when other is there and name is not. */
static int
need_alias(struct grove *g, const char *name, const char *other, struct err *e)
{
	const char *target = target_of(g, other);
	AUTO(buf) struct buf parent = BUF_INIT;

	if (!target || find(g, name))
		return 0;
	parent_of(name, &parent);
	if (need_dir(g, parent.p, 0755, e) < 0)
		return -1;
	return has_parent(g, name) ? add_link(g, name, target, e) : 0;
}

static int
add_base(struct grove *g, struct err *e)
{
	static const char *const certs[] = {
		"etc/ssl/certs/ca-certificates.crt", /* Debian, Go */
		"etc/ssl/cert.pem",                  /* OpenSSL, Alpine */
		"etc/pki/tls/certs/ca-bundle.crt",   /* Fedora */
	};
	static const struct {
		const char *name;
		unsigned mode;
	} dirs[] = {
		{"etc", 0755},     {"root", 0700},     {"tmp", 01777},
		{"usr/bin", 0755}, {"var/tmp", 01777},
	};
	const char *passwd;

	for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
		if (need_dir(g, dirs[i].name, dirs[i].mode, e) < 0)
			return -1;
	/* What is in a bin that is a link could not be found otherwise. */
	if (find(g, "bin") && need_dir(g, "bin", 0755, e) < 0)
		return -1;
	if (need_alias(g, "bin/sh", "bin/bash", e) < 0 ||
	    need_alias(g, "bin/sh", "bin/dash", e) < 0 ||
	    need_alias(g, "usr/bin/env", "bin/env", e) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(certs); i++)
		if (need_alias(g, certs[i], "etc/ssl/certs/ca-bundle.crt", e) <
		    0)
			return -1;
	passwd = find(g, "bin/sh")
			 ? "root:x:0:0:root:/root:/bin/sh\n"
			   "nobody:x:65534:65534:nobody:/:/sbin/nologin\n"
			 : "root:x:0:0:root:/root:/sbin/nologin\n"
			   "nobody:x:65534:65534:nobody:/:/sbin/nologin\n";
	if (need_file(g, "etc/passwd", passwd, e) < 0 ||
	    need_file(g, "etc/group", "root:x:0:\nnobody:x:65534:\n", e) < 0)
		return -1;
	return need_file(g, "etc/nsswitch.conf", "hosts: files dns\n", e);
}

/* --- order */

static int
by_package(const void *a, const void *b)
{
	const char *x = *(const char *const *)a, *y = *(const char *const *)b;
	int c = strcmp(graph_name_of(x), graph_name_of(y));

	return c ? c : strcmp(x, y);
}

static int
by_name(const void *a, const void *b)
{
	const struct pack_entry *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static void
hand_over(struct grove *g, struct forest *ret)
{
	struct pack_entry *out =
		arena_alloc(g->arena, g->entries.n, sizeof(*out));

	ret->cert_file = find(g, "etc/ssl/certs/ca-bundle.crt")
				 ? "/etc/ssl/certs/ca-bundle.crt"
				 : NULL;
	ret->path = find(g, "sbin") ? "/bin:/sbin:/usr/bin" : "/bin:/usr/bin";
	assert(g->entries.v); /* add_base has made some */
	memcpy(out, g->entries.v, g->entries.n * sizeof(*out));
	qsort(out, g->entries.n, sizeof(*out), by_name);
	ret->entries = out;
	ret->n = g->entries.n;
	ret->collisions = g->collisions;
}

int
forest_make(struct arena *a, const char *const *paths, size_t n,
	    struct forest *ret, struct err *e)
{
	struct grove g = {.arena = a};
	const char **order = arena_alloc(a, n + 1, sizeof(*order));
	int r = 0;

	if (n > 0)
		memcpy(order, paths, n * sizeof(*order));
	qsort(order, n, sizeof(*order), by_package);
	for (size_t i = 0; r == 0 && i < n; i++)
		if (is_dir(order[i]))
			r = merge_dir(&g, "", order[i], 0, e);
	if (r == 0)
		r = add_base(&g, e);
	if (r == 0)
		hand_over(&g, ret);
	strmap_release(&g.index);
	vec_release(&g.entries);
	vec_release(&g.merging);
	return r;
}
