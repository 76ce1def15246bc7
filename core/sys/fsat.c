/* SPDX-License-Identifier: Apache-2.0 */
#include "core/sys/fsat.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/vec.h"
#include "core/sys/fs.h"

static int
fail(struct err *e, const char *what, const char *name)
{
	return err_set_errno(e, ERR_SYSTEM, errno, "%s %s", what, name);
}

static int
type_of_mode(mode_t mode, const char *name, enum fsat_type *ret, struct err *e)
{
	if (S_ISREG(mode))
		*ret = FSAT_FILE;
	else if (S_ISDIR(mode))
		*ret = FSAT_DIR;
	else if (S_ISLNK(mode))
		*ret = FSAT_SYMLINK;
	else
		return err_set(e, ERR_SYSTEM,
			       "%s is neither file nor directory nor link",
			       name);
	return 0;
}

int
fsat_type(int dirfd, const char *name, enum fsat_type *ret, struct err *e)
{
	struct stat st;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return fail(e, "stat", name);
	return type_of_mode(st.st_mode, name, ret, e);
}

int
fsat_open_dir(int dirfd, const char *name, int *ret_fd, struct err *e)
{
	int fd = openat(dirfd, name,
			O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return fail(e, "open directory", name);
	*ret_fd = fd;
	return 0;
}

int
fsat_open_file(int dirfd, const char *name, int *ret_fd,
	       struct fsat_stamp *ret_stamp, bool *ret_exec, struct err *e)
{
	/* Not to hang on a pipe that took the file's place. */
	AUTO(fd)
	int fd = openat(dirfd, name,
			O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return fail(e, "open", name);
	if (fstat(fd, &st) < 0)
		return fail(e, "stat", name);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_SYSTEM, "%s changed while it was read",
			       name);
	ret_stamp->size = (uint64_t)st.st_size;
	ret_stamp->mtime = st.st_mtim;
	*ret_exec = (st.st_mode & S_IXUSR) != 0;
	*ret_fd = fd;
	fd = -1;
	return 0;
}

int
fsat_check_stamp(int fd, const struct fsat_stamp *stamp, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_set_errno(e, ERR_SYSTEM, errno, "stat");
	if ((uint64_t)st.st_size != stamp->size ||
	    st.st_mtim.tv_sec != stamp->mtime.tv_sec ||
	    st.st_mtim.tv_nsec != stamp->mtime.tv_nsec)
		return err_set(e, ERR_SYSTEM, "changed while it was read");
	return 0;
}

/* Byte order of the names, where that of a directory ends in a slash. */
static int
by_tar_name(const void *pa, const void *pb, void *names)
{
	const struct fsat_item *a = pa, *b = pb;
	const unsigned char *s = (const unsigned char *)names + a->at;
	const unsigned char *t = (const unsigned char *)names + b->at;
	unsigned c, d;

	while (*s && *s == *t) {
		s++;
		t++;
	}
	c = *s ? *s : a->type == FSAT_DIR ? '/' : 0;
	d = *t ? *t : b->type == FSAT_DIR ? '/' : 0;
	return c < d ? -1 : c > d;
}

static int
list_add(struct fsat_list *l, int fd, const struct dirent *d, struct err *e)
{
	struct fsat_item item = {.at = l->names.len};

	switch (d->d_type) {
	case DT_REG:
		item.type = FSAT_FILE;
		break;
	case DT_DIR:
		item.type = FSAT_DIR;
		break;
	case DT_LNK:
		item.type = FSAT_SYMLINK;
		break;
	default: /* DT_UNKNOWN: some filesystems don't tell */
		if (fsat_type(fd, d->d_name, &item.type, e) < 0)
			return -1;
	}
	buf_add(&l->names, d->d_name, strlen(d->d_name) + 1);
	vec_push(l, item);
	return 0;
}

int
fsat_list(int fd, struct fsat_list *ret, struct err *e)
{
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	DIR *dir = own < 0 ? NULL : fdopendir(own);
	struct dirent *d;
	int r = 0;

	if (!dir) {
		r = err_set_errno(e, ERR_SYSTEM, errno, "read directory");
		if (own >= 0)
			(void)close(own);
		return r;
	}
	while (r == 0) {
		errno = 0;
		d = readdir(dir);
		if (!d)
			break;
		if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
			r = list_add(ret, fd, d, e);
	}
	if (r == 0 && errno != 0)
		r = err_set_errno(e, ERR_SYSTEM, errno, "read directory");
	(void)closedir(dir);
	if (ret->n > 1)
		qsort_r(ret->v, ret->n, sizeof(*ret->v), by_tar_name,
			ret->names.p);
	return r;
}

void
fsat_list_release(struct fsat_list *l)
{
	buf_release(&l->names);
	vec_release(l);
}
