/* SPDX-License-Identifier: Apache-2.0 */
#include "core/sys/fingerprint.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "core/base/buf.h"
#include "core/base/digest.h"
#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/sys/fs.h"

/* How long after a change another one may have the same time. */
#define RACY_SECONDS 2

struct walk {
	struct hasher hash;
	size_t files;
	time_t newest;
	bool may_be_file;
	bool work_tree;
	bool has_repository;
	bool strange; /* something that git would not know of */
};

static void
add_times(struct walk *w, const struct stat *st)
{
	hasher_field_u64(&w->hash, (uint64_t)st->st_mtim.tv_sec);
	hasher_field_u64(&w->hash, (uint64_t)st->st_mtim.tv_nsec);
	hasher_field_u64(&w->hash, (uint64_t)st->st_ctim.tv_sec);
	hasher_field_u64(&w->hash, (uint64_t)st->st_ctim.tv_nsec);
	if (st->st_ctim.tv_sec > w->newest)
		w->newest = st->st_ctim.tv_sec;
}

static int
add_entry(struct walk *w, const FTSENT *f, size_t root, struct err *e)
{
	AUTO(buf) struct buf target = BUF_INIT;

	if (++w->files > FINGERPRINT_MAX_FILES)
		return err_set(e, ERR_SYSTEM, "more than %u files",
			       FINGERPRINT_MAX_FILES);
	hasher_field_str(&w->hash, f->fts_path + root);
	hasher_field_u64(&w->hash, f->fts_statp->st_mode);
	hasher_field_u64(&w->hash, (uint64_t)f->fts_statp->st_size);
	add_times(w, f->fts_statp);
	if (f->fts_info == FTS_SL || f->fts_info == FTS_SLNONE) {
		if (fs_readlink(AT_FDCWD, f->fts_accpath, &target, e) < 0)
			return -1;
		hasher_field(&w->hash, target.p, target.len);
	}
	return 0;
}

static int
by_name(const FTSENT **a, const FTSENT **b)
{
	return strcmp((*a)->fts_name, (*b)->fts_name);
}

/*
 * In a work tree: is it the repository, to be left out? fts_number counts what
 * is in a directory.
 */
static bool
look_for_git(struct walk *w, FTS *fts, FTSENT *f)
{
	bool named = strcmp(f->fts_name, ".git") == 0;
	bool top = named && f->fts_level == 1;

	if (!w->work_tree || f->fts_level == FTS_ROOTLEVEL)
		return false;
	if (f->fts_info == FTS_DP) {
		/* What is skipped comes a second time, too. */
		w->strange = w->strange || (f->fts_number == 0 && !top);
		return false;
	}
	f->fts_parent->fts_number++;
	if (top && f->fts_info == FTS_D) {
		w->has_repository = true;
		(void)fts_set(fts, f, FTS_SKIP);
		return true;
	}
	w->strange = w->strange || named || f->fts_info == FTS_DEFAULT;
	return false;
}

static int
walk_tree(struct walk *w, const char *path, struct err *e)
{
	AUTO(mem) char *copy = xstrdup(path);
	char *const roots[] = {copy, NULL};
	/* The directory itself may be named by a link, nothing in it. */
	FTS *fts = fts_open(roots, FTS_PHYSICAL | FTS_COMFOLLOW | FTS_NOCHDIR,
			    by_name);
	FTSENT *f;
	int r = 0;

	if (!fts)
		return err_set_errno(e, ERR_SYSTEM, errno, "read");
	for (errno = 0; r == 0 && (f = fts_read(fts)) != NULL; errno = 0) {
		if (f->fts_info == FTS_DNR || f->fts_info == FTS_ERR ||
		    f->fts_info == FTS_NS)
			r = err_set_errno(e, ERR_SYSTEM, f->fts_errno,
					  "read %s", f->fts_path);
		else if (f->fts_level == FTS_ROOTLEVEL &&
			 !(w->may_be_file && f->fts_info == FTS_F) &&
			 f->fts_info != FTS_D && f->fts_info != FTS_DP)
			r = err_set(e, ERR_SYSTEM, "it is no directory");
		else if (!look_for_git(w, fts, f) && f->fts_info != FTS_DP)
			r = add_entry(w, f, strlen(path), e);
	}
	if (r == 0 && errno != 0)
		r = err_set_errno(e, ERR_SYSTEM, errno, "read");
	(void)fts_close(fts);
	return r;
}

static int
print(struct walk *w, const char *const *paths, size_t n,
      char ret[FINGERPRINT_CAP], struct err *e)
{
	/* Before the walk: what is seen early may change again meanwhile. */
	time_t now = time(NULL);
	char hex[DIGEST_HEX_CAP];
	struct digest d;
	int r = 0;

	hasher_init(&w->hash);
	for (size_t i = 0; r == 0 && i < n; i++) {
		if (w->may_be_file)
			hasher_field_str(&w->hash, paths[i]);
		r = walk_tree(w, paths[i], e);
		if (r < 0)
			(void)err_wrap(e, "fingerprint of %s", paths[i]);
	}
	if (r == 0 && w->newest + RACY_SECONDS >= now) {
		char nonce[33];

		fs_random_hex(nonce);
		hasher_field_str(&w->hash, nonce);
	}
	hasher_finish(&w->hash, &d);
	hasher_release(&w->hash);
	if (r < 0)
		return -1;
	digest_hex(&d, hex);
	(void)snprintf(ret, FINGERPRINT_CAP, FINGERPRINT_PREFIX "%.40s", hex);
	return 0;
}

int
fingerprint_work_tree(const char *path, char ret[FINGERPRINT_CAP],
		      bool *ret_plain, struct err *e)
{
	struct walk w = {.work_tree = true};
	int r = print(&w, &path, 1, ret, e);

	*ret_plain = w.has_repository && !w.strange;
	return r;
}

int
fingerprint_paths(const char *const *paths, size_t n, char ret[FINGERPRINT_CAP],
		  struct err *e)
{
	struct walk w = {.may_be_file = true};

	return print(&w, paths, n, ret, e);
}
