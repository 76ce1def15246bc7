/* SPDX-License-Identifier: Apache-2.0 */
#define FIRN_ERR_C
#include "core/base/err.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Cut an overlong UTF-8 text at a character's start. */
static void
trim_utf8(char *s, size_t cap, size_t wanted)
{
	size_t n = cap - 1;

	if (wanted < cap)
		return;
	while (n > 0 && ((unsigned char)s[n - 1] & 0xC0u) == 0x80u)
		n--;
	if (n > 0 && (unsigned char)s[n - 1] >= 0xC0u)
		n--;
	s[n] = '\0';
}

PRINTF(2, 0)
static void
set_text(struct err *e, const char *fmt, va_list ap)
{
	int n = vsnprintf(e->msg, sizeof(e->msg), fmt, ap);

	trim_utf8(e->msg, sizeof(e->msg), n < 0 ? 0 : (size_t)n);
	for (char *p = e->msg; *p; p++)
		if (*p == '\n' || *p == '\r' || *p == '\t')
			*p = ' ';
}

int
err_set(struct err *e, enum err_kind kind, const char *fmt, ...)
{
	va_list ap;

	assert(e->kind == ERR_NONE);
	assert(kind != ERR_NONE);
	e->kind = kind;
	e->errnum = 0;
	e->detail[0] = '\0';
	e->told = NULL;
	va_start(ap, fmt);
	set_text(e, fmt, ap);
	va_end(ap);
	return -1;
}

int
err_set_errno(struct err *e, enum err_kind kind, int errnum, const char *fmt,
	      ...)
{
	char text[128];
	va_list ap;
	size_t n;

	assert(e->kind == ERR_NONE);
	e->kind = kind;
	e->errnum = errnum;
	e->detail[0] = '\0';
	e->told = NULL;
	va_start(ap, fmt);
	set_text(e, fmt, ap);
	va_end(ap);
	n = strlen(e->msg);
	/* The GNU form: returns the text, perhaps not in the buffer. */
	(void)snprintf(e->msg + n, sizeof(e->msg) - n, ": %s",
		       strerror_r(errnum, text, sizeof(text)));
	return -1;
}

int
err_wrap(struct err *e, const char *fmt, ...)
{
	char old[ERR_MSG_MAX];
	va_list ap;
	size_t n;
	int m;

	assert(e->kind != ERR_NONE);
	memcpy(old, e->msg, sizeof(old));
	va_start(ap, fmt);
	set_text(e, fmt, ap);
	va_end(ap);
	n = strlen(e->msg);
	m = snprintf(e->msg + n, sizeof(e->msg) - n, ": %s", old);
	trim_utf8(e->msg, sizeof(e->msg), n + (m < 0 ? 0 : (size_t)m));
	return -1;
}

void
err_append(struct err *e, const char *fmt, ...)
{
	char more[ERR_MSG_MAX / 2];
	size_t n = strlen(e->msg);
	va_list ap;
	int m;

	assert(e->kind != ERR_NONE);
	va_start(ap, fmt);
	m = vsnprintf(more, sizeof(more), fmt, ap);
	va_end(ap);
	trim_utf8(more, sizeof(more), m < 0 ? 0 : (size_t)m);
	if (n + strlen(more) >= sizeof(e->msg)) {
		n = sizeof(e->msg) - 1 - strlen(more);
		trim_utf8(e->msg, n + 1, n + 1);
		n = strlen(e->msg);
	}
	memcpy(e->msg + n, more, strlen(more) + 1);
}

void
err_set_detail(struct err *e, const char *text, size_t n)
{
	if (n > sizeof(e->detail) - 1) {
		const char *cut = text + (n - (sizeof(e->detail) - 1));
		size_t rest = sizeof(e->detail) - 1;
		const char *line = memchr(cut, '\n', rest);

		if (line && line + 1 < text + n) {
			rest -= (size_t)(line + 1 - cut);
			cut = line + 1;
		}
		text = cut;
		n = rest;
	}
	memcpy(e->detail, text, n);
	e->detail[n] = '\0';
}

bool
err_is_full(const struct err *e)
{
	return e->errnum == ENOSPC || e->errnum == EDQUOT;
}

void
err_set_told(struct err *e, const char *literal)
{
	assert(e->kind >= ERR_UPSTREAM);
	e->told = literal;
}

void
err_clear(struct err *e)
{
	e->told = NULL;
	e->kind = ERR_NONE;
	e->errnum = 0;
	e->msg[0] = '\0';
	e->detail[0] = '\0';
}

const char *
err_kind_name(enum err_kind kind)
{
	switch (kind) {
	case ERR_NONE:
		return "none";
	case ERR_INVALID:
		return "invalid";
	case ERR_NOT_FOUND:
		return "not_found";
	case ERR_DENIED:
		return "denied";
	case ERR_BUILD:
		return "build";
	case ERR_TIMEOUT:
		return "timeout";
	case ERR_BUSY:
		return "busy";
	case ERR_UPSTREAM:
		return "upstream";
	case ERR_STORAGE:
		return "storage";
	case ERR_SYSTEM:
		return "system";
	}
	return "unknown";
}
