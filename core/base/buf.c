/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

/* What an empty buffer points at, so that p is always a string. */
const char buf_empty[1] = "";

void
buf_init(struct buf *b)
{
	*b = (struct buf)BUF_INIT;
}

void
buf_release(struct buf *b)
{
	if (b->cap > 0)
		free(b->p);
	buf_init(b);
}

void
buf_clear(struct buf *b)
{
	b->len = 0;
	if (b->cap > 0)
		b->p[0] = '\0';
}

void
buf_reserve(struct buf *b, size_t n)
{
	size_t want;

	if (n > SIZE_MAX / 2 - b->len - 1)
		abort();
	want = b->len + n + 1;
	if (want <= b->cap)
		return;
	if (want < b->cap + b->cap / 2)
		want = b->cap + b->cap / 2;
	if (want < 64)
		want = 64;
	b->p = xreallocarray(b->cap > 0 ? b->p : NULL, want, 1);
	b->cap = want;
	b->p[b->len] = '\0';
}

void
buf_add(struct buf *b, const void *p, size_t n)
{
	if (n == 0)
		return;
	buf_reserve(b, n);
	memcpy(b->p + b->len, p, n);
	b->len += n;
	b->p[b->len] = '\0';
}

void
buf_adds(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void
buf_addc(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

void
buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;
	int n;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (n < 0)
		abort();
	buf_reserve(b, (size_t)n);
	(void)vsnprintf(b->p + b->len, (size_t)n + 1, fmt, ap);
	b->len += (size_t)n;
}

void
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(b, fmt, ap);
	va_end(ap);
}

void
buf_truncate(struct buf *b, size_t n)
{
	if (n > b->len)
		abort();
	b->len = n;
	if (b->cap > 0)
		b->p[n] = '\0';
}

char *
buf_steal(struct buf *b)
{
	char *p = b->cap > 0 ? b->p : xstrdup("");

	buf_init(b);
	return p;
}

struct str
str_of(const char *s)
{
	return (struct str){.p = s, .n = strlen(s)};
}

bool
str_eq(struct str a, const char *b)
{
	size_t n = strlen(b);

	return a.n == n && memcmp(a.p, b, n) == 0;
}

bool
str_has_prefix(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool
str_has_suffix(const char *s, const char *suffix)
{
	size_t n = strlen(s), m = strlen(suffix);

	return n >= m && memcmp(s + (n - m), suffix, m) == 0;
}

struct str
str_trim(struct str s)
{
	while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t')) {
		s.p++;
		s.n--;
	}
	while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

bool
str_cut(struct str *s, char sep, struct str *ret_part)
{
	const char *at;

	if (!s->p)
		return false;
	at = s->n > 0 ? memchr(s->p, sep, s->n) : NULL;
	ret_part->p = s->p;
	if (!at) {
		ret_part->n = s->n;
		s->p = NULL;
		s->n = 0;
		return true;
	}
	ret_part->n = (size_t)(at - s->p);
	s->n -= ret_part->n + 1;
	s->p = at + 1;
	return true;
}

bool
str_to_u64(struct str s, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;

	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		uint64_t d;

		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		d = (uint64_t)(s.p[i] - '0');
		if (v > (UINT64_MAX - d) / 10)
			return false;
		v = v * 10 + d;
	}
	if (v > max)
		return false;
	*ret = v;
	return true;
}

const char *
size_text(uint64_t bytes, char ret[SIZE_TEXT_CAP])
{
	static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
	uint64_t whole = bytes, tenth = 0;
	size_t unit = 0;

	while (whole >= 1000 && unit + 1 < ARRAY_LEN(units)) {
		tenth = whole % 1000 / 100;
		whole /= 1000;
		unit++;
	}
	if (unit == 0)
		(void)snprintf(ret, SIZE_TEXT_CAP, "%u B", (unsigned)whole);
	else
		(void)snprintf(ret, SIZE_TEXT_CAP, "%u.%u %s", (unsigned)whole,
			       (unsigned)tenth, units[unit]);
	return ret;
}
