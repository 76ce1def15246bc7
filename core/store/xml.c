/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/xml.h"

#include <string.h>

static const char *
find(struct str s, const char *what)
{
	return s.n ? memmem(s.p, s.n, what, strlen(what)) : NULL;
}

static struct str
after(struct str s, const char *p)
{
	return (struct str){p, s.n - (size_t)(p - s.p)};
}

/* Behind the ">" of the next start tag of this name; NULL: none. */
static const char *
find_start(struct str s, const char *name)
{
	AUTO(buf) struct buf tag = BUF_INIT;
	const char *p;

	buf_printf(&tag, "<%s", name);
	while ((p = find(s, tag.p)) != NULL) {
		s = after(s, p + tag.len);
		if (s.n > 0 && strchr("> \t\r\n", s.p[0]) && s.p[0]) {
			p = find(s, ">");
			return p ? p + 1 : NULL;
		}
	}
	return NULL;
}

bool
xml_next(struct str *s, const char *name, struct str *ret)
{
	AUTO(buf) struct buf tag = BUF_INIT;
	const char *start = find_start(*s, name), *end;
	struct str rest;

	if (!start)
		return false;
	rest = after(*s, start);
	buf_printf(&tag, "</%s>", name);
	end = find(rest, tag.p);
	if (!end)
		return false;
	*ret = (struct str){start, (size_t)(end - start)};
	*s = after(rest, end + tag.len);
	return true;
}

bool
xml_text(struct str s, const char *name, struct buf *to)
{
	static const struct {
		const char *entity;
		char c;
	} entities[] = {
		{"&lt;", '<'},   {"&gt;", '>'},    {"&amp;", '&'},
		{"&quot;", '"'}, {"&apos;", '\''}, {"&#34;", '"'},
	};
	struct str text;

	if (!xml_next(&s, name, &text))
		return false;
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];

		for (size_t k = 0; c == '&' && k < ARRAY_LEN(entities); k++) {
			size_t n = strlen(entities[k].entity);

			if (text.n - i >= n &&
			    memcmp(text.p + i, entities[k].entity, n) == 0) {
				c = entities[k].c;
				i += n - 1;
				break;
			}
		}
		buf_addc(to, c);
	}
	return true;
}
