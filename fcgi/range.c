/* SPDX-License-Identifier: Apache-2.0 */
#include "fcgi/range.h"

#include <string.h>
#include <strings.h>

#include "core/base/buf.h"

/*
 * One of "N-M", "N-", "-N". False when it is none of these; first is the size
 * when nothing of the text is asked for.
 */
static bool
read_one(struct str spec, uint64_t size, struct range *ret)
{
	struct str last = spec, first;

	if (!str_cut(&last, '-', &first) || !last.p)
		return false;
	if (first.n == 0) {
		uint64_t tail;

		if (!str_to_u64(last, UINT64_MAX, &tail))
			return false;
		ret->first = tail < size ? size - tail : 0;
		ret->last = size - 1;
		return true;
	}
	ret->last = UINT64_MAX;
	if (!str_to_u64(first, UINT64_MAX, &ret->first) ||
	    (last.n > 0 && !str_to_u64(last, UINT64_MAX, &ret->last)) ||
	    ret->first > ret->last)
		return false;
	if (ret->last >= size)
		ret->last = size - 1;
	return true;
}

bool
range_read(const char *header, uint64_t size, struct range_set *ret)
{
	static const char unit[] = "bytes=";
	const size_t skip = sizeof(unit) - 1;
	uint64_t left = size;
	struct str rest, spec;
	bool any = false;

	ret->n = 0;
	if (strncasecmp(header, unit, skip) != 0)
		return false;
	rest = str_of(header + skip);
	while (str_cut(&rest, ',', &spec)) {
		struct range one;

		spec = str_trim(spec);
		if (spec.n == 0)
			continue;
		if (!read_one(spec, size, &one))
			return false;
		any = true;
		if (one.first >= size)
			continue;
		/* Who asks for more than all of it gets all of it, once. */
		if (ret->n == RANGE_MAX || one.last - one.first >= left)
			return false;
		left -= one.last - one.first + 1;
		ret->v[ret->n++] = one;
	}
	return any;
}
