/* SPDX-License-Identifier: Apache-2.0 */
#include "core/sys/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "core/base/buf.h"
#include "core/base/digest.h"
#include "core/base/err.h"
#include "core/base/vec.h"

static int
fail(struct err *e, const char *what, const char *path)
{
	int errnum = errno;

	return err_set_errno(e, errnum == ENOENT ? ERR_NOT_FOUND : ERR_SYSTEM,
			     errnum, "%s %s", what, path);
}

int
fs_open_read(const char *path, int *ret_fd, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return fail(e, "open", path);
	*ret_fd = fd;
	return 0;
}

int
fs_read(int fd, void *p, size_t n, size_t *ret_n, struct err *e)
{
	ssize_t got;

	do
		got = read(fd, p, n);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return err_set_errno(e, ERR_SYSTEM, errno, "read");
	*ret_n = (size_t)got;
	return 0;
}

int
fs_read_file(const char *path, size_t max, struct buf *to, struct err *e)
{
	AUTO(fd) int fd = -1;
	size_t start = to->len, n;

	if (fs_open_read(path, &fd, e) < 0)
		return -1;
	do {
		char chunk[16384];

		if (fs_read(fd, chunk, sizeof(chunk), &n, e) < 0)
			return err_wrap(e, "%s", path);
		if (n > max - (to->len - start))
			return err_set(e, ERR_INVALID,
				       "%s is larger than %zu bytes", path,
				       max);
		buf_add(to, chunk, n);
	} while (n > 0);
	return 0;
}

int
fs_hash_range(int fd, uint64_t offset, uint64_t n, struct digest *ret,
	      struct err *e)
{
	AUTO(hasher) struct hasher h;
	char chunk[65536];

	hasher_init(&h);
	while (n > 0) {
		size_t want = n < sizeof(chunk) ? (size_t)n : sizeof(chunk);
		ssize_t got = pread(fd, chunk, want, (off_t)offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_set_errno(e, ERR_SYSTEM, errno, "read");
		if (got == 0)
			return err_set(e, ERR_SYSTEM, "a file is too short");
		hasher_add(&h, chunk, (size_t)got);
		offset += (uint64_t)got;
		n -= (uint64_t)got;
	}
	hasher_finish(&h, ret);
	return 0;
}

int
fs_write_all(int fd, const void *p, size_t n, struct err *e)
{
	const char *at = p;

	while (n > 0) {
		ssize_t done = write(fd, at, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return err_set_errno(e, ERR_SYSTEM, errno, "write");
		at += done;
		n -= (size_t)done;
	}
	return 0;
}

int
fs_sync(int fd, const char *path, struct err *e)
{
	if (fsync(fd) < 0)
		return err_set_errno(e, ERR_SYSTEM, errno, "fsync %s", path);
	return 0;
}

int
fs_sync_dir(const char *path, struct err *e)
{
	AUTO(fd) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return fail(e, "open directory", path);
	return fs_sync(fd, path, e);
}

void
fs_random_hex(char ret[33])
{
	static const char digits[] = "0123456789abcdef";
	unsigned char raw[16];

	/* Blocks only before the system has ever had entropy. */
	if (getrandom(raw, sizeof(raw), 0) != (ssize_t)sizeof(raw))
		abort();
	for (size_t i = 0; i < sizeof(raw); i++) {
		ret[2 * i] = digits[raw[i] >> 4];
		ret[2 * i + 1] = digits[raw[i] & 15];
	}
	ret[32] = '\0';
}

int
fs_create_temp(const char *dir, struct buf *path, int *ret_fd, struct err *e)
{
	char name[33];
	size_t start = path->len;
	int fd;

	fs_random_hex(name);
	buf_printf(path, "%s/%s", dir, name);
	fd = open(path->p + start, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
		  0600);
	if (fd < 0) {
		err_set_errno(e, ERR_SYSTEM, errno, "create %s",
			      path->p + start);
		buf_truncate(path, start);
		return -1;
	}
	*ret_fd = fd;
	return 0;
}

int
fs_open_nameless(const char *dir, int *ret_fd, struct err *e)
{
	AUTO(buf) struct buf path = BUF_INIT;
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	char name[33];

	/* Not every file system can; the window is then a moment. */
	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) {
		fs_random_hex(name);
		buf_printf(&path, "%s/%s", dir, name);
		fd = open(path.p, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd >= 0)
			(void)unlink(path.p);
	}
	if (fd < 0)
		return err_set_errno(e, ERR_SYSTEM, errno,
				     "create a temporary file in %s", dir);
	*ret_fd = fd;
	return 0;
}

int
fs_write_atomic(const char *path, const void *p, size_t n, struct err *e)
{
	const char *slash = strrchr(path, '/');
	AUTO(buf) struct buf dir = BUF_INIT, temp = BUF_INIT;
	AUTO(fd) int fd = -1;

	if (slash)
		buf_add(&dir, path, (size_t)(slash - path));
	else
		buf_adds(&dir, ".");
	if (dir.len == 0)
		buf_adds(&dir, "/");
	if (fs_create_temp(dir.p, &temp, &fd, e) < 0)
		return -1;
	if (fs_write_all(fd, p, n, e) < 0 || fs_sync(fd, temp.p, e) < 0)
		goto out;
	if (fchmod(fd, 0644) < 0 || rename(temp.p, path) < 0) {
		err_set_errno(e, ERR_SYSTEM, errno, "rename to %s", path);
		goto out;
	}
	return fs_sync_dir(dir.p, e);
out:
	(void)unlink(temp.p);
	return -1;
}

int
fs_mkdirs(const char *path, unsigned mode, struct err *e)
{
	AUTO(buf) struct buf part = BUF_INIT;
	struct stat st;

	for (size_t i = 1;; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		buf_clear(&part);
		buf_add(&part, path, i);
		if (mkdir(part.p, (mode_t)mode) < 0 && errno != EEXIST)
			return err_set_errno(e, ERR_SYSTEM, errno, "mkdir %s",
					     part.p);
		if (path[i] == '\0')
			break;
	}
	if (stat(path, &st) < 0)
		return fail(e, "stat", path);
	if (!S_ISDIR(st.st_mode))
		return err_set(e, ERR_SYSTEM, "%s is not a directory", path);
	return 0;
}

static int
remove_entries(int fd, const char *path, unsigned depth, struct err *e)
{
	struct dirent *d;
	DIR *dir = fdopendir(fd);
	int r = 0;

	if (!dir) {
		(void)close(fd);
		return err_set_errno(e, ERR_SYSTEM, errno, "read %s", path);
	}
	while (r == 0 && (d = readdir(dir)) != NULL) {
		int sub;

		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
			continue;
		if (unlinkat(dirfd(dir), d->d_name, 0) == 0)
			continue;
		if (errno != EISDIR && errno != EPERM) {
			r = err_set_errno(e, ERR_SYSTEM, errno, "unlink %s/%s",
					  path, d->d_name);
			break;
		}
		if (depth == 0) {
			r = err_set(e, ERR_SYSTEM, "%s is nested too deeply",
				    path);
			break;
		}
		sub = openat(dirfd(dir), d->d_name,
			     O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (sub < 0)
			r = err_set_errno(e, ERR_SYSTEM, errno, "open %s/%s",
					  path, d->d_name);
		else
			r = remove_entries(sub, path, depth - 1, e);
		if (r == 0 && unlinkat(dirfd(dir), d->d_name, AT_REMOVEDIR) < 0)
			r = err_set_errno(e, ERR_SYSTEM, errno, "rmdir %s/%s",
					  path, d->d_name);
	}
	(void)closedir(dir);
	return r;
}

int
fs_remove_tree(const char *path, struct err *e)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return fail(e, "open directory", path);
	if (remove_entries(fd, path, 200, e) < 0)
		return -1;
	if (rmdir(path) < 0)
		return fail(e, "rmdir", path);
	return 0;
}

int
fs_stat_file(const char *path, bool *ret_found, uint64_t *ret_size,
	     struct err *e)
{
	struct stat st;

	*ret_found = false;
	if (stat(path, &st) < 0) {
		if (errno == ENOENT || errno == ENOTDIR)
			return 0;
		return fail(e, "stat", path);
	}
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_SYSTEM, "%s is not a file", path);
	*ret_found = true;
	if (ret_size)
		*ret_size = (uint64_t)st.st_size;
	return 0;
}

bool
fs_exists(const char *path)
{
	return faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static int
by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

int
fs_list(const char *path, struct fs_names *ret, struct err *e)
{
	struct {
		VEC(char *);
	} names = VEC_INIT;
	struct dirent *d;
	DIR *dir = opendir(path);

	if (!dir)
		return fail(e, "open directory", path);
	errno = 0;
	while ((d = readdir(dir)) != NULL) {
		if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
			vec_push(&names, xstrdup(d->d_name));
		errno = 0;
	}
	ret->v = names.v;
	ret->n = names.n;
	if (errno != 0) {
		fail(e, "read directory", path);
		(void)closedir(dir);
		fs_names_free(ret);
		return -1;
	}
	(void)closedir(dir);
	if (ret->n > 0)
		qsort(ret->v, ret->n, sizeof(*ret->v), by_bytes);
	return 0;
}

void
fs_names_free(struct fs_names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->v[i]);
	free(names->v);
	names->v = NULL;
	names->n = 0;
}

int
fs_readlink(int dirfd, const char *name, struct buf *to, struct err *e)
{
	char target[PATH_MAX + 1];
	ssize_t n = readlinkat(dirfd, name, target, sizeof(target));

	if (n < 0)
		return fail(e, "readlink", name);
	if ((size_t)n == sizeof(target))
		return err_set(e, ERR_SYSTEM, "the link %s is too long", name);
	buf_add(to, target, (size_t)n);
	return 0;
}
