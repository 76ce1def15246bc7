/* SPDX-License-Identifier: Apache-2.0 */
#include "deploy/firn/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/sys/fs.h"

struct output {
	struct sink base;
	int fd;
	struct buf path; /* empty: nothing is to be renamed */
	struct buf dir;
	struct buf temp; /* the name until it is whole, where it has one */
};

static int
output_write(struct sink *s, const void *p, size_t n, struct err *e)
{
	struct output *o = (struct output *)s;

	return o->fd < 0 ? 0 : fs_write_all(o->fd, p, n, e);
}

static int
output_finish(struct sink *s, struct err *e)
{
	struct output *o = (struct output *)s;

	return o->path.len == 0 ? 0 : fs_sync(o->fd, o->path.p, e);
}

static void
output_free(struct sink *s)
{
	struct output *o = (struct output *)s;

	if (o->fd >= 0)
		(void)close(o->fd);
	if (o->temp.len > 0)
		(void)unlink(o->temp.p);
	buf_release(&o->temp);
	buf_release(&o->dir);
	buf_release(&o->path);
	free(o);
}

static const struct sink_ops output_ops = {
	.write = output_write,
	.finish = output_finish,
	.free = output_free,
};

/* Create the file; one without a name, where the filesystem can do it. */
static int
create(struct output *o, struct err *e)
{
	const char *slash = strrchr(o->path.p, '/');

	if (slash)
		buf_add(&o->dir, o->path.p, (size_t)(slash - o->path.p) + 1);
	else
		buf_adds(&o->dir, "./");
	o->fd = open(o->dir.p, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
	if (o->fd >= 0)
		return 0;
	if (errno != EOPNOTSUPP && errno != EISDIR)
		return err_set_errno(e, ERR_SYSTEM, errno,
				     "create a file in %s", o->dir.p);
	return fs_create_temp(o->dir.p, &o->temp, &o->fd, e);
}

int
output_open(const char *path, struct sink **ret, struct err *e)
{
	struct output *o = xcalloc(1, sizeof(*o));
	AUTO(mem) char *real = NULL;
	struct stat st;

	o->base.ops = &output_ops;
	o->fd = -1;
	buf_init(&o->path);
	buf_init(&o->dir);
	buf_init(&o->temp);
	*ret = &o->base;
	if (!path)
		return 0;
	if (path[0] == '\0')
		return err_set(e, ERR_INVALID, "the output has an empty name");
	if (stat(path, &st) < 0) {
		buf_adds(&o->path, path);
		return create(o, e);
	}
	if (S_ISDIR(st.st_mode))
		return err_set(e, ERR_INVALID, "%s is a directory", path);
	if (!S_ISREG(st.st_mode)) {
		o->fd = open(path, O_WRONLY | O_CLOEXEC);
		return o->fd < 0 ? err_set_errno(e, ERR_SYSTEM, errno,
						 "open %s", path)
				 : 0;
	}
	real = realpath(path, NULL);
	buf_adds(&o->path, real ? real : path);
	return create(o, e);
}

int
output_commit(struct sink *s, struct err *e)
{
	struct output *o = (struct output *)s;
	char hex[33], from[64];

	if (o->path.len == 0)
		return 0;
	if (o->temp.len == 0) {
		fs_random_hex(hex);
		buf_printf(&o->temp, "%s%s", o->dir.p, hex);
		(void)snprintf(from, sizeof(from), "/proc/self/fd/%d", o->fd);
		if (linkat(AT_FDCWD, from, AT_FDCWD, o->temp.p,
			   AT_SYMLINK_FOLLOW) < 0) {
			buf_clear(&o->temp);
			return err_set_errno(e, ERR_SYSTEM, errno, "link %s",
					     o->path.p);
		}
	}
	if (fchmod(o->fd, 0644) < 0 || rename(o->temp.p, o->path.p) < 0)
		return err_set_errno(e, ERR_SYSTEM, errno, "rename to %s",
				     o->path.p);
	buf_clear(&o->temp);
	return fs_sync_dir(o->dir.p, e);
}

void
output_keep_standard(void)
{
	int fd;

	/* Each takes the lowest number that is free; none can be written. */
	do
		fd = open("/dev/null", O_RDONLY);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		(void)close(fd);
}

bool
output_is_written(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return true;
	(void)fprintf(stderr, "firn: standard output can't be written\n");
	return false;
}
