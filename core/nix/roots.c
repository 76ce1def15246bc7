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
#include "core/nix/impl.h"
#include "core/sys/fs.h"
#include "core/sys/log.h"

/*
 * Every process has a directory of its own, STATE/nix/roots/RANDOM, with a
 * file that it holds locked as long as it lives, whatever ends it. A
 * directory whose lock can be had belongs to nobody any more: it is removed,
 * and Nix's next collection drops the roots that pointed there.
 */
#define LOCK_NAME "lock"
#define UNLOCKED_S 60

static void
remove_tree(const char *path)
{
	struct err e = ERR_INIT;

	if (fs_remove_tree(path, &e) < 0 && e.kind != ERR_NOT_FOUND)
		log_err(LOG_WARN, "nix.roots", &e);
}

/*
 * Is the owner of this directory gone? One without a lock is being made, or
 * was being removed by a process that died over it.
 */
static bool
is_abandoned(const char *dir)
{
	AUTO(buf) struct buf path = BUF_INIT;
	AUTO(fd) int fd = -1;
	struct stat st;

	buf_printf(&path, "%s/" LOCK_NAME, dir);
	fd = open(path.p, O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		return flock(fd, LOCK_EX | LOCK_NB) == 0;
	return errno == ENOENT && stat(dir, &st) == 0 &&
	       time(NULL) - st.st_mtime > UNLOCKED_S;
}

static void
remove_abandoned(const char *roots)
{
	struct fs_names names;
	struct err e = ERR_INIT;
	size_t removed = 0;

	if (fs_list(roots, &names, &e) < 0) {
		log_err(LOG_WARN, "nix.roots", &e);
		return;
	}
	for (size_t i = 0; i < names.n; i++) {
		AUTO(buf) struct buf dir = BUF_INIT;

		buf_printf(&dir, "%s/%s", roots, names.v[i]);
		if (!is_abandoned(dir.p))
			continue;
		remove_tree(dir.p);
		removed++;
	}
	if (removed > 0)
		log_info("nix.roots_removed", LOG_N("n", removed));
	fs_names_free(&names);
}

/* 0 and the lock; 1: somebody took it for abandoned, try again. */
static int
make_own(struct nix *n, const char *roots, struct err *e)
{
	AUTO(buf) struct buf dir = BUF_INIT, lock = BUF_INIT;
	AUTO(fd) int fd = -1;
	char name[33];

	fs_random_hex(name);
	buf_printf(&dir, "%s/%s", roots, name);
	if (fs_mkdirs(dir.p, 0700, e) < 0)
		return -1;
	buf_printf(&lock, "%s/" LOCK_NAME, dir.p);
	fd = open(lock.p, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set_errno(e, ERR_SYSTEM, errno, "create %s", lock.p);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno == EWOULDBLOCK)
			return 1;
		return err_set_errno(e, ERR_SYSTEM, errno, "lock %s", lock.p);
	}
	n->roots = buf_steal(&dir);
	n->roots_lock = fd;
	fd = -1;
	return 0;
}

int
nix_roots_open(struct nix *n, struct err *e)
{
	AUTO(buf) struct buf roots = BUF_INIT;
	int r;

	buf_printf(&roots, "%s/roots", n->dir);
	if (fs_mkdirs(roots.p, 0700, e) < 0)
		return err_wrap(e, "GC roots");
	remove_abandoned(roots.p);
	do
		r = make_own(n, roots.p, e);
	while (r > 0);
	return r;
}

void
nix_roots_close(struct nix *n)
{
	if (n->roots)
		remove_tree(n->roots);
	free(n->roots);
	n->roots = NULL;
	if (n->roots_lock >= 0)
		(void)close(n->roots_lock);
	n->roots_lock = -1;
}

int
nix_root_new(struct nix *n, struct nix_root **ret, struct err *e)
{
	AUTO(buf) struct buf dir = BUF_INIT;

	buf_printf(&dir, "%s/%llu", n->roots,
		   (unsigned long long)atomic_fetch_add(&n->next_root, 1));
	if (fs_mkdirs(dir.p, 0700, e) < 0)
		return err_wrap(e, "GC root");
	*ret = xcalloc(1, sizeof(**ret));
	(*ret)->dir = buf_steal(&dir);
	return 0;
}

void
nix_root_free(struct nix_root *root)
{
	if (!root)
		return;
	remove_tree(root->dir);
	free(root->dir);
	free(root);
}
