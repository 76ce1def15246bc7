/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_TESTS_FILES_H
#define FIRN_TESTS_FILES_H

/* Files that a test brings, for tests of rooms that know no files. */
#include <stdio.h>
#include <stdlib.h>

#include "core/base/buf.h"

/* Append a whole file; a test that can't read its own files ends. */
static inline void
read_file(const char *path, struct buf *to)
{
	char chunk[65536];
	FILE *f = fopen(path, "re");
	size_t n;

	if (!f) {
		printf("Bail out! can't open %s\n", path);
		exit(1);
	}
	while ((n = fread(chunk, 1, sizeof(chunk), f)) > 0)
		buf_add(to, chunk, n);
	(void)fclose(f);
}

#endif
