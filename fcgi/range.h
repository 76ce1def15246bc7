/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_FCGI_RANGE_H
#define FIRN_FCGI_RANGE_H

/* What a Range header asks for (RFC 9110 section 14): pure, and bounded. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RANGE_MAX 16u

/* Of a text of some size: both are within it. */
struct range {
	uint64_t first, last;
};

struct range_set {
	struct range v[RANGE_MAX]; /* in the order they were asked for */
	size_t n;
};

/*
 * Read a header for a text of that size, which is not 0. False when it is
 * to be ignored: malformed, of another unit than bytes, more than RANGE_MAX
 * ranges, or more bytes than there are. Ranges beyond the end are left out;
 * when none is left (n is 0) the header can't be satisfied.
 */
bool range_read(const char *header, uint64_t size, struct range_set *ret);

#endif
