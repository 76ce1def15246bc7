/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_BASE_BUF_H
#define FIRN_BASE_BUF_H

/*
 * struct buf: bytes that grow and are owned, always followed by a NUL.
 * struct str: a borrowed slice, not NUL-terminated.
 *
 * Out of memory aborts (see mem.h); a size from outside is checked against a
 * limit before it gets here.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/attr.h"

struct buf {
	char *p;
	size_t len;
	size_t cap;
};

extern const char buf_empty[1];

#define BUF_INIT                                                      \
	{                                                             \
		.p = (char *)(uintptr_t)buf_empty, .len = 0, .cap = 0 \
	}

void buf_init(struct buf *b);
void buf_release(struct buf *b);

/* Empty it, keep the memory. */
void buf_clear(struct buf *b);

/* Room for n more bytes. */
void buf_reserve(struct buf *b, size_t n);
void buf_add(struct buf *b, const void *p, size_t n);
void buf_adds(struct buf *b, const char *s);
void buf_addc(struct buf *b, char c);
PRINTF(2, 3) void buf_printf(struct buf *b, const char *fmt, ...);
PRINTF(2, 0) void buf_vprintf(struct buf *b, const char *fmt, va_list ap);

/* Cut to n bytes; n is not larger than the length. */
void buf_truncate(struct buf *b, size_t n);

/* The memory, to be freed by the caller; the buffer is empty afterwards. */
char *buf_steal(struct buf *b);

static inline void
buf_auto(struct buf *b)
{
	buf_release(b);
}

struct str {
	const char *p;
	size_t n;
};

struct str str_of(const char *s);
bool str_eq(struct str a, const char *b);
bool str_has_prefix(const char *s, const char *prefix);
bool str_has_suffix(const char *s, const char *suffix);

/*
 * Split off what stands before the first sep; the rest stays in *s. False
 * when nothing is left. "a//b" gives "a", "", "b".
 */
bool str_cut(struct str *s, char sep, struct str *ret_part);

/* Without the blanks and tabs around it. */
struct str str_trim(struct str s);

/*
 * Decimal digits only, the whole slice, no sign, at most max. False
 * otherwise, and *ret is untouched.
 */
bool str_to_u64(struct str s, uint64_t max, uint64_t *ret);

#define SIZE_TEXT_CAP 16u
/* "12.3 MB", for people: units of 1000, cut and not rounded. Returns ret. */
const char *size_text(uint64_t bytes, char ret[SIZE_TEXT_CAP]);

#endif
