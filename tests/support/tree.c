/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/sys/fs.h"

static struct arena memory = ARENA_INIT;
static const char *root;

NORETURN static void
bail_out(const char *what, const char *why)
{
	printf("Bail out! %s: %s\n", what, why);
	exit(1);
}

void
tree_init(void)
{
	const char *tmp = getenv("TMPDIR");
	char *path = arena_printf(&memory, "%s/firn-test-XXXXXX",
				  tmp && tmp[0] ? tmp : "/tmp");

	if (!mkdtemp(path))
		bail_out(path, strerror(errno));
	root = path;
}

void
tree_done(void)
{
	struct err e = ERR_INIT;

	if (fs_remove_tree(root, &e) < 0)
		bail_out("clean up", e.msg);
	arena_release(&memory);
}

const char *
tree_path(const char *fmt, ...)
{
	AUTO(buf) struct buf b = BUF_INIT;
	va_list ap;

	buf_printf(&b, "%s/", root);
	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	return arena_strdup(&memory, b.p);
}

void
tree_dir(const char *path)
{
	struct err e = ERR_INIT;

	if (fs_mkdirs(path, 0755, &e) < 0)
		bail_out("mkdir", e.msg);
}

static void
make_parent(const char *path)
{
	const char *slash = strrchr(path, '/');

	tree_dir(arena_strndup(&memory, path, (size_t)(slash - path)));
}

void
tree_file(const char *path, const char *text)
{
	AUTO(fd) int fd = -1;
	struct err e = ERR_INIT;

	make_parent(path);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		bail_out(path, strerror(errno));
	if (fs_write_all(fd, text, strlen(text), &e) < 0)
		bail_out(path, e.msg);
}

void
tree_link(const char *path, const char *target)
{
	make_parent(path);
	if (symlink(target, path) < 0)
		bail_out(path, strerror(errno));
}
