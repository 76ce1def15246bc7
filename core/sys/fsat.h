/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_SYS_FSAT_H
#define FIRN_SYS_FSAT_H

/*
 * Reading a tree from a directory that is open, one name at a time: a name
 * is never followed when it is a symbolic link, and may lie deeper than
 * PATH_MAX. dirfd may be AT_FDCWD. Failures are ERR_SYSTEM with the name and
 * the system's text, absence too: a tree that is read is not to change.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "core/base/attr.h"
#include "core/base/buf.h"

struct err;

enum fsat_type {
	FSAT_DIR,
	FSAT_FILE,
	FSAT_SYMLINK,
};

/* Anything else than a directory, a file or a link is an error. */
MUST_CHECK int fsat_type(int dirfd, const char *name, enum fsat_type *ret,
			 struct err *e);

MUST_CHECK int fsat_open_dir(int dirfd, const char *name, int *ret_fd,
			     struct err *e);

/* What tells whether a file was written to while it was read. */
struct fsat_stamp {
	uint64_t size;
	struct timespec mtime;
};

/* A regular file and its state; *ret_exec: may its owner execute it? */
MUST_CHECK int fsat_open_file(int dirfd, const char *name, int *ret_fd,
			      struct fsat_stamp *ret_stamp, bool *ret_exec,
			      struct err *e);

/* Fails when the open file isn't as the stamp says. */
MUST_CHECK int fsat_check_stamp(int fd, const struct fsat_stamp *stamp,
				struct err *e);

/*
 * What is in a directory, in the order of a tar archive that is sorted by
 * its bytes: a directory's name counts as if it ended in a slash.
 */
struct fsat_list {
	struct buf names; /* each with its NUL */
	struct fsat_item {
		size_t at; /* of its name in names */
		enum fsat_type type;
	} * v;
	size_t n;
	size_t cap;
};

#define FSAT_LIST_INIT                                         \
	{                                                      \
		.names = BUF_INIT, .v = NULL, .n = 0, .cap = 0 \
	}

/* fd stays open and the caller's. */
MUST_CHECK int fsat_list(int fd, struct fsat_list *ret, struct err *e);
void fsat_list_release(struct fsat_list *l);

static inline void
fsat_list_auto(struct fsat_list *l)
{
	fsat_list_release(l);
}

#endif
