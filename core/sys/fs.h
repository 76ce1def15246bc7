/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_SYS_FS_H
#define FIRN_SYS_FS_H

/*
 * Files. Failures are ERR_SYSTEM with the path and the system's text, but
 * ERR_NOT_FOUND where a file that is opened or read isn't there.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include "core/base/attr.h"

struct buf;
struct digest;
struct err;

/* AUTO(fd): close at end of scope. */
static inline void
fd_auto(int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

MUST_CHECK int fs_open_read(const char *path, int *ret_fd, struct err *e);

/* Up to n bytes; *ret_n is 0 at the end of the file. */
MUST_CHECK int fs_read(int fd, void *p, size_t n, size_t *ret_n, struct err *e);

/* The whole file, at most max bytes (a larger one is ERR_INVALID). */
MUST_CHECK int fs_read_file(const char *path, size_t max, struct buf *to,
			    struct err *e);

/* The SHA-256 of n bytes of a file, without moving its offset. */
MUST_CHECK int fs_hash_range(int fd, uint64_t offset, uint64_t n,
			     struct digest *ret, struct err *e);

MUST_CHECK int fs_write_all(int fd, const void *p, size_t n, struct err *e);

/* Flush data to the disk; and a directory's entries. */
MUST_CHECK int fs_sync(int fd, const char *path, struct err *e);
MUST_CHECK int fs_sync_dir(const char *path, struct err *e);

/*
 * Write a file so that it is there whole or not at all, also after a crash:
 * random name beside it, sync, rename over path, sync of the directory.
 */
MUST_CHECK int fs_write_atomic(const char *path, const void *p, size_t n,
			       struct err *e);

/*
 * A new file in dir under a random name, mode 0600, open for writing. The
 * full path is appended to path, which the caller renames or unlinks.
 */
MUST_CHECK int fs_create_temp(const char *dir, struct buf *path, int *ret_fd,
			      struct err *e);

/*
 * A file without a name in the file system of dir, open for reading and
 * writing: it is gone when it is closed, however the process ends.
 */
MUST_CHECK int fs_open_nameless(const char *dir, int *ret_fd, struct err *e);

/* mkdir -p; directories made get mode. */
MUST_CHECK int fs_mkdirs(const char *path, unsigned mode, struct err *e);

/* Remove what is in a directory, and below it, and the directory. */
MUST_CHECK int fs_remove_tree(const char *path, struct err *e);

/* Is there a regular file, and how large? Absence is an answer. */
MUST_CHECK int fs_stat_file(const char *path, bool *ret_found,
			    uint64_t *ret_size, struct err *e);

/* Is there something, of whatever kind? False also when nobody can tell. */
bool fs_exists(const char *path);

/*
 * The names in a directory in byte order, without . and .. ; free each and
 * the array with fs_names_free.
 */
struct fs_names {
	char **v;
	size_t n;
};

MUST_CHECK int fs_list(const char *path, struct fs_names *ret, struct err *e);
void fs_names_free(struct fs_names *names);

/* The target of a symbolic link, of any length. */
MUST_CHECK int fs_readlink(int dirfd, const char *name, struct buf *to,
			   struct err *e);

/* 16 random bytes as 32 hex digits and a NUL. */
void fs_random_hex(char ret[33]);

#endif
