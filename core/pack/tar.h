/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_PACK_TAR_H
#define FIRN_PACK_TAR_H

/*
 * One entry's head in a tar archive (POSIX.1-2017, "pax Interchange
 * Format"): plain ustar where that can say it, else with an extended header
 * before it, or GNU's where a long name isn't ASCII. No clock (mtime 1), no
 * owner (0, no names), no locale: names are bytes. Pure.
 */
#include <stddef.h>
#include <stdint.h>

struct buf;

#define TAR_BLOCK 512u
/* Two blocks of zeros end an archive. */
#define TAR_END (2 * TAR_BLOCK)

enum tar_type {
	TAR_FILE = '0',
	TAR_SYMLINK = '2',
	TAR_DIR = '5',
};

struct tar_entry {
	enum tar_type type;
	unsigned mode;    /* permission bits */
	const char *name; /* relative; that of a directory ends in a slash */
	size_t name_n;
	const char *target; /* of a symbolic link */
	size_t target_n;
	uint64_t size; /* of a file's contents, which follow */
};

/* Append the head: a multiple of TAR_BLOCK. */
void tar_head(struct buf *to, const struct tar_entry *t);

/* Zeros that follow size bytes of contents. */
static inline size_t
tar_padding(uint64_t size)
{
	return (size_t)(-size & (TAR_BLOCK - 1));
}

#endif
