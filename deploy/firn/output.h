/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_CMD_OUTPUT_H
#define FIRN_CMD_OUTPUT_H

/* Where the result of a subcommand goes when it is asked for as a file. */
#include <stdbool.h>

#include "core/base/attr.h"
#include "core/base/sink.h"

struct err;

/*
 * A sink into a file that is there whole or not at all: it has a name only
 * when output_commit gives it one, over a file that was there (of a symbolic
 * link, over what it points at; one that points at nothing is replaced). What
 * is no regular file, as a pipe or a device, is written to directly. Without a
 * path (NULL) bytes go nowhere. A directory or an empty name is ERR_INVALID.
 * The caller frees *ret with sink_free, also after a failure.
 */
MUST_CHECK int output_open(const char *path, struct sink **ret, struct err *e);

/* After sink_finish: the file is to be seen. */
MUST_CHECK int output_commit(struct sink *s, struct err *e);

/*
 * Have the descriptors 0 to 2 taken, so that no file that is opened later is
 * mistaken for one of them. What is written to an output that was not there
 * fails.
 */
void output_keep_standard(void);

/* What was printed is written; false: it is not, and that is said. */
MUST_CHECK bool output_is_written(void);

#endif
