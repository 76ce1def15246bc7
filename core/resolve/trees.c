/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/resolve/impl.h"
#include "core/sys/fs.h"
#include "core/sys/log.h"

/*
 * STATE/src/ID is the tree of a revision, and STATE/src/ID.ok, made when the
 * tree is whole, says so: it holds the revision's time, and its own
 * modification time is when the tree was used last. What has no such file
 * and is not being made is left over from a process that died.
 *
 * Who reads a tree holds a shared lock on its directory. A tree may be some
 * hundreds of megabytes: of those that nobody holds, the ones used last are
 * kept.
 */
#define KEPT 4u
/* So long may it take to make one. */
#define MAKING_S 3600

static void
base_path(const struct resolve_options *o, struct buf *to)
{
	buf_printf(to, "%s/src", o->state_path);
}

static void
name_temp(const struct resolve_options *o, struct buf *to)
{
	char name[33];

	fs_random_hex(name);
	base_path(o, to);
	buf_printf(to, "/new-%s", name);
}

void
trees_path(const struct resolve_options *o, const char *id, struct buf *to)
{
	base_path(o, to);
	buf_printf(to, "/%s", id);
}

/* Others may remove the tree meanwhile; somebody may have removed it alone. */
int
trees_find(const struct resolve_options *o, const char *id, bool *ret_found,
	   uint64_t *ret_time, struct err *e)
{
	AUTO(buf) struct buf path = BUF_INIT, text = BUF_INIT;
	struct err none = ERR_INIT;

	trees_path(o, id, &path);
	*ret_found = false;
	if (access(path.p, F_OK) < 0 && errno == ENOENT)
		return 0;
	buf_adds(&path, ".ok");
	if (fs_read_file(path.p, 64, &text, &none) < 0) {
		if (none.kind == ERR_NOT_FOUND)
			return 0;
		*e = none;
		return -1;
	}
	if (!str_to_u64((struct str){.p = text.p, .n = text.len}, UINT64_MAX,
			ret_time))
		return err_set(e, ERR_SYSTEM, "%s is damaged", path.p);
	if (utimensat(AT_FDCWD, path.p, NULL, 0) < 0) {
		if (errno == ENOENT)
			return 0;
		return err_set_errno(e, ERR_SYSTEM, errno, "%s", path.p);
	}
	*ret_found = true;
	return 0;
}

/*
 * Lock the directory at the path. *ret_fd stays -1 when it is not there (any
 * more), or somebody is in the way who is not waited for.
 */
static int
lock_tree(const char *tree, int how, int *ret_fd, struct err *e)
{
	AUTO(fd) int fd = open(tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat here, there;
	int r;

	*ret_fd = -1;
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0)
		return err_set_errno(e, ERR_SYSTEM, errno, "open %s", tree);
	do
		r = flock(fd, how);
	while (r < 0 && errno == EINTR);
	if (r < 0 && errno == EWOULDBLOCK)
		return 0;
	if (r < 0 || fstat(fd, &here) < 0)
		return err_set_errno(e, ERR_SYSTEM, errno, "lock %s", tree);
	/* It may have been removed, and made anew, before we had the lock. */
	if (stat(tree, &there) == 0 && there.st_ino == here.st_ino &&
	    there.st_dev == here.st_dev) {
		*ret_fd = fd;
		fd = -1;
	}
	return 0;
}

int
trees_hold(const char *tree, int *ret_hold, struct err *e)
{
	AUTO(buf) struct buf mark = BUF_INIT;

	if (lock_tree(tree, LOCK_SH, ret_hold, e) < 0)
		return -1;
	buf_printf(&mark, "%s.ok", tree);
	if (*ret_hold >= 0 && access(mark.p, F_OK) < 0) {
		(void)close(*ret_hold);
		*ret_hold = -1;
	}
	return 0;
}

void
trees_abort(const char *temp)
{
	struct err e = ERR_INIT;

	if (fs_remove_tree(temp, &e) < 0 && e.kind != ERR_NOT_FOUND)
		log_err(LOG_WARN, "source.remove", &e);
}

int
trees_begin(const struct resolve_options *o, struct buf *temp, struct err *e)
{
	name_temp(o, temp);
	return fs_mkdirs(temp->p, 0700, e);
}

/* --- those that are not needed any more */

struct aged {
	char *path; /* of the tree */
	struct timespec used;
	bool whole;
};

static int
newest_first(const void *a, const void *b)
{
	const struct aged *x = a, *y = b;

	if (x->used.tv_sec != y->used.tv_sec)
		return x->used.tv_sec < y->used.tv_sec ? 1 : -1;
	if (x->used.tv_nsec != y->used.tv_nsec)
		return x->used.tv_nsec < y->used.tv_nsec ? 1 : -1;
	return strcmp(x->path, y->path);
}

/* Away from its name first: nobody ever finds half of a tree. */
static void
remove_one(const struct resolve_options *o, const struct aged *t)
{
	AUTO(buf) struct buf mark = BUF_INIT, temp = BUF_INIT;
	AUTO(fd) int fd = -1;
	struct err e = ERR_INIT;

	if (lock_tree(t->path, LOCK_EX | LOCK_NB, &fd, &e) < 0)
		log_err(LOG_WARN, "source.remove", &e);
	if (fd < 0)
		return;
	name_temp(o, &temp);
	buf_printf(&mark, "%s.ok", t->path);
	(void)unlink(mark.p);
	if (rename(t->path, temp.p) == 0)
		trees_abort(temp.p);
}

/* A file of fs_create_temp's (a download) that nobody writes to any more. */
static bool
is_left_over(const char *name, const struct stat *st, time_t now)
{
	return S_ISREG(st->st_mode) && strlen(name) == 32 &&
	       strspn(name, "0123456789abcdef") == 32 &&
	       now - st->st_mtim.tv_sec > MAKING_S;
}

static void
prune(const struct resolve_options *o)
{
	struct {
		VEC(struct aged);
	} trees = VEC_INIT;
	AUTO(buf) struct buf base = BUF_INIT;
	struct fs_names names;
	struct err e = ERR_INIT;
	time_t now = time(NULL);
	size_t whole = 0;

	base_path(o, &base);
	if (fs_list(base.p, &names, &e) < 0)
		return;
	for (size_t i = 0; i < names.n; i++) {
		AUTO(buf) struct buf path = BUF_INIT, mark = BUF_INIT;
		struct aged t = {.path = NULL};
		struct stat st;

		buf_printf(&path, "%s/%s", base.p, names.v[i]);
		buf_printf(&mark, "%s.ok", path.p);
		if (lstat(path.p, &st) < 0)
			continue;
		if (is_left_over(names.v[i], &st, now))
			(void)unlink(path.p);
		if (!S_ISDIR(st.st_mode))
			continue;
		t.used = st.st_ctim;
		t.whole = stat(mark.p, &st) == 0;
		if (t.whole)
			t.used = st.st_mtim;
		t.path = buf_steal(&path);
		vec_push(&trees, t);
	}
	if (trees.n > 0)
		qsort(trees.v, trees.n, sizeof(*trees.v), newest_first);
	for (size_t i = 0; i < trees.n; i++) {
		whole += trees.v[i].whole;
		if (trees.v[i].whole ? whole > KEPT
				     : now - trees.v[i].used.tv_sec > MAKING_S)
			remove_one(o, &trees.v[i]);
		free(trees.v[i].path);
	}
	vec_release(&trees);
	fs_names_free(&names);
}

/* Another process may have been faster: then its tree is as good. */
static int
move_in(const char *from, const char *tree, struct err *e)
{
	if (chmod(from, 0755) < 0)
		return err_set_errno(e, ERR_SYSTEM, errno, "chmod %s", from);
	if (rename(from, tree) == 0 || errno == ENOTEMPTY || errno == EEXIST)
		return 0;
	return err_set_errno(e, ERR_SYSTEM, errno, "rename to %s", tree);
}

int
trees_commit(const struct resolve_options *o, const char *temp,
	     const char *from, const char *id, uint64_t when, struct err *e)
{
	AUTO(buf) struct buf tree = BUF_INIT, mark = BUF_INIT, text = BUF_INIT;
	int r;

	trees_path(o, id, &tree);
	buf_printf(&mark, "%s.ok", tree.p);
	buf_printf(&text, "%llu", (unsigned long long)when);
	r = move_in(from, tree.p, e);
	if (r == 0)
		r = fs_write_atomic(mark.p, text.p, text.len, e);
	trees_abort(temp);
	prune(o);
	return r;
}
