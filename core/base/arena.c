/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"

struct arena_block {
	struct arena_block *next;
	alignas(max_align_t) char data[];
};

#define BLOCK_SIZE 16384u

void
arena_init(struct arena *a)
{
	*a = (struct arena)ARENA_INIT;
}

void
arena_release(struct arena *a)
{
	struct arena_block *b = a->head;

	while (b) {
		struct arena_block *next = b->next;

		free(b);
		b = next;
	}
	arena_init(a);
}

void *
arena_alloc(struct arena *a, size_t count, size_t size)
{
	const size_t align = alignof(max_align_t);
	struct arena_block *b;
	size_t n;
	void *p;

	if (size > 0 && count > (SIZE_MAX / 4) / size)
		abort();
	n = (count * size + align - 1) / align * align;
	if (n == 0)
		n = align; /* nothing has a place too: never NULL */
	if (n > a->left) {
		size_t want = n > BLOCK_SIZE / 4 ? n : BLOCK_SIZE;

		b = xcalloc(1, sizeof(*b) + want);
		if (want == n && a->head) {
			/* A big one gets its own block; the open one stays. */
			b->next = a->head->next;
			a->head->next = b;
			return b->data;
		}
		b->next = a->head;
		a->head = b;
		a->at = b->data;
		a->left = want;
	}
	p = a->at;
	a->at += n;
	a->left -= n;
	return p;
}

char *
arena_strndup(struct arena *a, const char *s, size_t n)
{
	char *p = arena_alloc(a, n + 1, 1);

	if (n > 0)
		memcpy(p, s, n);
	return p;
}

char *
arena_strdup(struct arena *a, const char *s)
{
	return arena_strndup(a, s, strlen(s));
}

char *
arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap, again;
	char *p;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (n < 0)
		abort();
	p = arena_alloc(a, (size_t)n + 1, 1);
	(void)vsnprintf(p, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return p;
}
