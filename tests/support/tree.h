/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_TESTS_TREE_H
#define FIRN_TESTS_TREE_H

/*
 * A directory of its own for a test program, below TMPDIR or /tmp, and short
 * ways to fill it. Paths are those of tree_path; parents are made. What fails
 * ends the program ("Bail out!"). One thread.
 */
#include <stddef.h>
#include <sys/types.h>

#include "core/base/attr.h"

void tree_init(void);
/* Remove it, whatever is in it. */
void tree_done(void);

/* The absolute path of a name, as in printf; valid until tree_done. */
PRINTF(1, 2) const char *tree_path(const char *fmt, ...);

void tree_dir(const char *path);
void tree_file(const char *path, const char *text);
void tree_link(const char *path, const char *target);

#endif
