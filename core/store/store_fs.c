/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Storage in a directory, as an OCI image layout (image-layout.md):
 *
 *	oci-layout index.json   the names of the manifests (layout.h)
 *	blobs/sha256/HEX        mode 0444, never changed once it is there
 *	image-manifests/HEX     links to blobs that are OCI image manifests
 *	manifests/KEY           records
 *	layers/KEY
 *	staging/ID.lock         held by a process as long as it lives
 *	staging/ID/HEX          what that process is writing
 *
 * A blob is written, synced and then renamed, so a crash leaves nothing but
 * a file in the staging of a process that is gone; the next one to open the
 * storage finds its lock free and removes it. Nothing depends on extended
 * attributes: a copy made by any tool is complete.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/store/layout.h"
#include "core/store/store_impl.h"
#include "core/sys/fs.h"

#define EXPOSED "image-manifests"
/* What is no larger is replaced only where it differs. */
#define COMPARE_MAX (1u << 20)

struct store_fs {
	struct store base;
	char *path;
	char *staging; /* our own directory */
	char *lock_path;
	int lock_fd;
};

struct staged {
	struct sink base;
	struct buf path;
	uint64_t size;
	int fd;
};

static struct store_fs *
fs_of(struct store *st)
{
	return (struct store_fs *)st;
}

static void
blob_path(const struct store_fs *s, const struct digest *d, struct buf *to)
{
	char hex[DIGEST_HEX_CAP];

	digest_hex(d, hex);
	buf_printf(to, "%s/blobs/sha256/%s", s->path, hex);
}

/* --- staged blobs */

static int
staged_write(struct sink *sink, const void *p, size_t n, struct err *e)
{
	struct staged *t = (struct staged *)sink;

	t->size += n;
	if (fs_write_all(t->fd, p, n, e) < 0)
		return err_wrap(e, "storage");
	return 0;
}

static int
staged_finish(struct sink *sink, struct err *e)
{
	struct staged *t = (struct staged *)sink;

	if (fchmod(t->fd, 0444) < 0)
		return err_set_errno(e, ERR_SYSTEM, errno, "chmod %s",
				     t->path.p);
	return fs_sync(t->fd, t->path.p, e);
}

static void
staged_free(struct sink *sink)
{
	struct staged *t = (struct staged *)sink;

	(void)unlink(t->path.p);
	(void)close(t->fd);
	buf_release(&t->path);
	free(t);
}

static const struct sink_ops staged_ops = {
	.write = staged_write,
	.finish = staged_finish,
	.free = staged_free,
};

static int
fs_begin(struct store *st, struct sink **ret_staged, struct err *e)
{
	struct staged *t = xcalloc(1, sizeof(*t));

	t->base.ops = &staged_ops;
	buf_init(&t->path);
	if (fs_create_temp(fs_of(st)->staging, &t->path, &t->fd, e) < 0) {
		buf_release(&t->path);
		free(t);
		return -1;
	}
	*ret_staged = &t->base;
	return 0;
}

static void
fs_discard(struct store *st UNUSED, struct sink *take_staged)
{
	sink_free(take_staged);
}

static int
fs_has(struct store *st, const struct digest *d, bool *ret_found,
       uint64_t *ret_size, struct err *e)
{
	AUTO(buf) struct buf path = BUF_INIT;

	blob_path(fs_of(st), d, &path);
	return fs_stat_file(path.p, ret_found, ret_size, e);
}

/*
 * Is what is there what its name says? Of what is large nobody asks: a rename
 * costs less than to read it.
 */
static bool
is_sound(const char *path, const struct digest *d)
{
	AUTO(buf) struct buf text = BUF_INIT;
	struct err unread = ERR_INIT;
	struct digest got;

	if (fs_read_file(path, COMPARE_MAX, &text, &unread) < 0)
		return false;
	digest_of(text.p, text.len, &got);
	return digest_eq(&got, d);
}

static int
fs_commit(struct store *st, struct sink *take_staged, const struct digest *d,
	  struct err *e)
{
	AUTO(sink) struct sink *sink = take_staged;
	struct staged *t = (struct staged *)sink;
	AUTO(buf) struct buf path = BUF_INIT, dir = BUF_INIT;
	uint64_t size = 0;
	bool found;

	blob_path(fs_of(st), d, &path);
	if (fs_stat_file(path.p, &found, &size, e) < 0)
		return -1;
	if (found && size == t->size && size <= COMPARE_MAX &&
	    is_sound(path.p, d))
		return 0;
	if (rename(t->path.p, path.p) < 0)
		return err_set_errno(e, ERR_SYSTEM, errno, "rename to %s",
				     path.p);
	buf_printf(&dir, "%s/blobs/sha256", fs_of(st)->path);
	return fs_sync_dir(dir.p, e);
}

static int
fs_read_blob(struct store *st, const struct digest *d, size_t max,
	     struct buf *to, struct err *e)
{
	AUTO(buf) struct buf path = BUF_INIT;

	blob_path(fs_of(st), d, &path);
	return fs_read_file(path.p, max, to, e);
}

static int
fs_locate(struct store *st, const struct digest *d, struct store_location *ret,
	  struct err *e)
{
	char text[DIGEST_TEXT_CAP];
	bool found;

	if (fs_has(st, d, &found, &ret->size, e) < 0)
		return -1;
	digest_text(d, text);
	if (!found)
		return err_set(e, ERR_NOT_FOUND, "there is no blob %s", text);
	ret->where = STORE_FILE;
	(void)snprintf(ret->at, sizeof(ret->at), "blobs/sha256/%s", text + 7);
	return 0;
}

/* --- records */

static int
fs_put_record(struct store *st, const char *name, const void *p, size_t n,
	      struct err *e)
{
	AUTO(buf) struct buf path = BUF_INIT, dir = BUF_INIT;

	buf_printf(&path, "%s/%s", fs_of(st)->path, name);
	buf_add(&dir, path.p, (size_t)(strrchr(path.p, '/') - path.p));
	if (fs_mkdirs(dir.p, 0755, e) < 0)
		return -1;
	return fs_write_atomic(path.p, p, n, e);
}

static int
fs_get_record(struct store *st, const char *name, bool *ret_found,
	      struct buf *to, struct err *e)
{
	AUTO(buf) struct buf path = BUF_INIT;

	buf_printf(&path, "%s/%s", fs_of(st)->path, name);
	if (fs_stat_file(path.p, ret_found, NULL, e) < 0)
		return -1;
	if (!*ret_found)
		return 0;
	return fs_read_file(path.p, STORE_RECORD_MAX, to, e);
}

static int
fs_publish(struct store *st, const char *name, const char *media_type,
	   const struct digest *d, uint64_t size, struct err *e)
{
	return layout_publish(fs_of(st)->path, name, media_type, d, size, e);
}

/*
 * A link whose owner is another than its blob's, as an operator's tool may
 * leave it, is none that a web server follows. Where it can't be removed, the
 * web server asks us for the manifest.
 */
static void
drop_foreign_link(const char *link)
{
	struct stat own, blob;

	if (lstat(link, &own) == 0 && stat(link, &blob) == 0 &&
	    own.st_uid != blob.st_uid)
		(void)unlink(link);
}

static int
fs_list_names(struct store *st, store_visit_name *fn, void *ctx, struct err *e)
{
	return layout_list(fs_of(st)->path, fn, ctx, e);
}

static int
fs_expose_manifest(struct store *st, const struct digest *d, struct err *e)
{
	AUTO(buf) struct buf link = BUF_INIT, target = BUF_INIT;
	char hex[DIGEST_HEX_CAP];

	digest_hex(d, hex);
	buf_printf(&link, "%s/" EXPOSED "/%s", fs_of(st)->path, hex);
	buf_printf(&target, "../" STORE_BLOBS "/%s", hex);
	drop_foreign_link(link.p);
	if (symlink(target.p, link.p) < 0 && errno != EEXIST)
		return err_set_errno(e, ERR_SYSTEM, errno, "symlink %s",
				     link.p);
	return 0;
}

/* --- listing and removing */

static int
fs_list_dir(struct store *st, const char *dir, store_visit *fn, void *ctx,
	    struct err *e)
{
	AUTO(buf) struct buf path = BUF_INIT;
	struct fs_names names;
	size_t start;
	int r = 0;

	buf_printf(&path, "%s/%s", fs_of(st)->path, dir);
	if (fs_list(path.p, &names, e) < 0) {
		if (e->kind != ERR_NOT_FOUND)
			return -1;
		err_clear(e);
		return 0;
	}
	start = path.len;
	for (size_t i = 0; r == 0 && i < names.n; i++) {
		struct store_item item = {.name = names.v[i]};
		struct stat there;

		buf_truncate(&path, start);
		buf_printf(&path, "/%s", names.v[i]);
		/* It may be gone by now. */
		if (lstat(path.p, &there) < 0 || !S_ISREG(there.st_mode))
			continue;
		item.size = (uint64_t)there.st_size;
		item.modified = (uint64_t)there.st_mtime;
		r = fn(ctx, &item, e);
	}
	fs_names_free(&names);
	return r;
}

static int
fs_remove(struct store *st, const char *path, struct err *e)
{
	AUTO(buf) struct buf full = BUF_INIT;

	buf_printf(&full, "%s/%s", fs_of(st)->path, path);
	if (unlink(full.p) < 0 && errno != ENOENT)
		return err_set_errno(e, ERR_SYSTEM, errno, "unlink %s", full.p);
	if (!str_has_prefix(path, STORE_BLOBS "/"))
		return 0;
	buf_clear(&full);
	buf_printf(&full, "%s/" EXPOSED "%s", fs_of(st)->path,
		   path + strlen(STORE_BLOBS));
	if (unlink(full.p) < 0 && errno != ENOENT)
		return err_set_errno(e, ERR_SYSTEM, errno, "unlink %s", full.p);
	return 0;
}

static int
fs_check(struct store *st, struct err *e)
{
	struct sink *staged = NULL;

	if (fs_begin(st, &staged, e) < 0)
		return -1;
	fs_discard(st, staged);
	return 0;
}

/* --- opening */

/*
 * Take an exclusive lock on a file that may be removed by someone else
 * meanwhile. *ret_fd is -1 when another process holds it.
 */
static int
lock_file(const char *path, int flags, int *ret_fd, struct err *e)
{
	for (int tries = 0; tries < 100; tries++) {
		AUTO(fd) int fd = open(path, O_RDWR | O_CLOEXEC | flags, 0600);
		struct stat ours, there;

		*ret_fd = -1;
		if (fd < 0 && errno == ENOENT && !(flags & O_CREAT))
			return 0;
		if (fd < 0)
			return err_set_errno(e, ERR_SYSTEM, errno, "open %s",
					     path);
		if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
			if (errno == EWOULDBLOCK)
				return 0;
			return err_set_errno(e, ERR_SYSTEM, errno, "lock %s",
					     path);
		}
		if (fstat(fd, &ours) == 0 && stat(path, &there) == 0 &&
		    ours.st_ino == there.st_ino &&
		    ours.st_dev == there.st_dev) {
			*ret_fd = fd;
			fd = -1;
			return 0;
		}
	}
	return err_set(e, ERR_SYSTEM, "can't lock %s", path);
}

/* Remove the staging of processes that are gone: whose lock is free. */
static int
sweep_staging(const char *staging, struct err *e)
{
	struct fs_names names;
	int r = 0;

	if (fs_list(staging, &names, e) < 0)
		return -1;
	for (size_t i = 0; r == 0 && i < names.n; i++) {
		AUTO(buf) struct buf lock = BUF_INIT, dir = BUF_INIT;
		AUTO(fd) int fd = -1;
		size_t n = strlen(names.v[i]);
		struct stat st;

		if (!str_has_suffix(names.v[i], ".lock"))
			continue;
		buf_printf(&lock, "%s/%s", staging, names.v[i]);
		buf_printf(&dir, "%s/%.*s", staging, (int)n - 5, names.v[i]);
		r = lock_file(lock.p, 0, &fd, e);
		if (r < 0 || fd < 0)
			continue;
		if (lstat(dir.p, &st) == 0)
			r = fs_remove_tree(dir.p, e);
		(void)unlink(lock.p);
	}
	fs_names_free(&names);
	return r;
}

static int
make_staging(struct store_fs *s, const char *staging, struct err *e)
{
	AUTO(buf) struct buf lock = BUF_INIT, dir = BUF_INIT;
	char id[33];

	fs_random_hex(id);
	buf_printf(&lock, "%s/%s.lock", staging, id);
	buf_printf(&dir, "%s/%s", staging, id);
	if (lock_file(lock.p, O_CREAT, &s->lock_fd, e) < 0)
		return -1;
	s->lock_path = buf_steal(&lock);
	s->staging = buf_steal(&dir);
	return fs_mkdirs(s->staging, 0700, e);
}

static int
make_layout(struct store_fs *s, struct err *e)
{
	static const char layout[] = "{\"imageLayoutVersion\":\"1.0.0\"}";
	AUTO(buf) struct buf path = BUF_INIT;
	bool found;

	buf_printf(&path, "%s/blobs/sha256", s->path);
	if (fs_mkdirs(path.p, 0755, e) < 0)
		return -1;
	buf_clear(&path);
	buf_printf(&path, "%s/" EXPOSED, s->path);
	if (fs_mkdirs(path.p, 0755, e) < 0)
		return -1;
	buf_clear(&path);
	buf_printf(&path, "%s/oci-layout", s->path);
	if (fs_stat_file(path.p, &found, NULL, e) < 0)
		return -1;
	if (!found && fs_write_atomic(path.p, layout, strlen(layout), e) < 0)
		return -1;
	buf_clear(&path);
	buf_printf(&path, "%s/staging", s->path);
	if (fs_mkdirs(path.p, 0755, e) < 0 || sweep_staging(path.p, e) < 0)
		return -1;
	return make_staging(s, path.p, e);
}

static void
fs_free(struct store *st)
{
	struct store_fs *s = fs_of(st);

	if (s->staging)
		(void)rmdir(s->staging);
	if (s->lock_path)
		(void)unlink(s->lock_path);
	if (s->lock_fd >= 0)
		(void)close(s->lock_fd);
	free(s->staging);
	free(s->lock_path);
	free(s->path);
	free(s);
}

static const struct store_ops fs_ops = {
	.name = "filesystem",
	.has = fs_has,
	.begin = fs_begin,
	.commit = fs_commit,
	.discard = fs_discard,
	.read = fs_read_blob,
	.locate = fs_locate,
	.put_record = fs_put_record,
	.get_record = fs_get_record,
	.publish = fs_publish,
	.list_names = fs_list_names,
	.expose_manifest = fs_expose_manifest,
	.list = fs_list_dir,
	.remove = fs_remove,
	.check = fs_check,
	.free = fs_free,
};

int
store_fs_open(const char *path, struct store **ret, struct err *e)
{
	struct store_fs *s = xcalloc(1, sizeof(*s));

	s->base.ops = &fs_ops;
	s->path = xstrdup(path);
	s->lock_fd = -1;
	if (make_layout(s, e) < 0) {
		fs_free(&s->base);
		return err_wrap(e, "storage in %s", path);
	}
	*ret = &s->base;
	return 0;
}
