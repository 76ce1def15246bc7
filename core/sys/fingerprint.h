/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_SYS_FINGERPRINT_H
#define FIRN_SYS_FINGERPRINT_H

/*
 * A cheap name for the state of a directory tree: a hash over names, types,
 * modes, sizes, link targets, and modification and change times of all that
 * is in it, without reading a file. The path may be a link to the directory;
 * links in the tree are not followed.
 *
 * Equal fingerprints mean equal trees: the kernel sets the change time and
 * nobody can set it back. Different ones mean nothing (a touched file has a
 * new one). Since clocks tick, a tree with a change in the last two seconds
 * gets a fingerprint that no second call will give again.
 */
#include <stdbool.h>
#include <stddef.h>

#include "core/base/attr.h"

struct err;

/* The prefix and 40 hex digits. */
#define FINGERPRINT_PREFIX "tree-"
#define FINGERPRINT_CAP 48

/* How many entries a tree may have. */
#define FINGERPRINT_MAX_FILES 2000000u

/*
 * Of a directory, without a repository of git, ".git", at its top.
 * *ret_plain: there is one, and otherwise nothing that git would not know of:
 * no directory that is empty, no other repository, neither a socket nor the
 * like. ERR_SYSTEM for what is larger, can't be read, or is no directory.
 */
MUST_CHECK int fingerprint_work_tree(const char *path,
				     char ret[FINGERPRINT_CAP], bool *ret_plain,
				     struct err *e);

/* Of n files or directories, all of each, and what they are called. */
MUST_CHECK int fingerprint_paths(const char *const *paths, size_t n,
				 char ret[FINGERPRINT_CAP], struct err *e);

#endif
