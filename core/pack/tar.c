/* SPDX-License-Identifier: Apache-2.0 */
#include "core/pack/tar.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "core/base/attr.h"
#include "core/base/buf.h"

/* The largest that eleven octal digits hold. */
#define USTAR_SIZE_MAX 077777777777u

/* The ustar header block; numbers are octal text. */
struct ustar {
	char name[100];
	char mode[8];
	char uid[8];
	char gid[8];
	char size[12];
	char mtime[12];
	char sum[8];
	char type;
	char target[100];
	char magic[6];
	char version[2];
	char uname[32];
	char gname[32];
	char devmajor[8];
	char devminor[8];
	char prefix[155];
	char zero[12];
};

_Static_assert(sizeof(struct ustar) == TAR_BLOCK, "a ustar block");

/* Zero-padded octal that fills the field but for its last byte, a NUL. */
static void
put_octal(char *field, size_t n, uint64_t v)
{
	for (size_t i = n - 1; i-- > 0; v >>= 3)
		field[i] = (char)('0' + (v & 7));
}

static void
put_sum(struct ustar *u)
{
	const unsigned char *p = (const unsigned char *)u;
	unsigned sum = 0;

	memset(u->sum, ' ', sizeof(u->sum));
	for (size_t i = 0; i < sizeof(*u); i++)
		sum += p[i];
	/* Six digits, a NUL and the space that stands there already. */
	put_octal(u->sum, sizeof(u->sum) - 1, sum);
	u->sum[6] = '\0';
}

/*
 * Where to split a name for the prefix field: the bytes of the prefix, 0 for
 * none. False: it doesn't fit.
 */
static bool
split_name(const struct tar_entry *t, size_t *ret)
{
	const struct ustar *u = NULL;

	*ret = 0;
	if (t->name_n <= sizeof(u->name))
		return true;
	/* The slash that ends a directory's name is no place to split. */
	for (size_t i = 1; i <= sizeof(u->prefix) && i + 1 < t->name_n; i++) {
		if (t->name[i] == '/' && t->name_n - i - 1 <= sizeof(u->name)) {
			*ret = i;
			return true;
		}
	}
	return false;
}

/* "N key=value\n", where N counts the whole record, itself too. */
static void
put_record(struct buf *b, const char *key, const char *value, size_t n)
{
	size_t rest = strlen(key) + n + 3, digits = 1, limit = 10;

	while (rest + digits >= limit) {
		digits++;
		limit *= 10;
	}
	buf_printf(b, "%zu %s=", rest + digits, key);
	buf_add(b, value, n);
	buf_addc(b, '\n');
}

static bool
is_ascii(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if ((unsigned char)s[i] >= 0x80)
			return false;
	}
	return true;
}

static void
put_ustar(struct buf *to, const struct tar_entry *t, size_t prefix_n)
{
	struct ustar u = {.type = (char)t->type};
	const char *name = t->name + (prefix_n ? prefix_n + 1 : 0);
	size_t name_n = t->name_n - (prefix_n ? prefix_n + 1 : 0);
	size_t target_n = t->target_n;

	if (name_n > sizeof(u.name))
		name_n = sizeof(u.name);
	if (target_n > sizeof(u.target))
		target_n = sizeof(u.target);
	memcpy(u.name, name, name_n);
	memcpy(u.prefix, t->name, prefix_n);
	if (target_n > 0)
		memcpy(u.target, t->target, target_n);
	put_octal(u.mode, sizeof(u.mode), t->mode);
	put_octal(u.uid, sizeof(u.uid), 0);
	put_octal(u.gid, sizeof(u.gid), 0);
	put_octal(u.size, sizeof(u.size),
		  t->size > USTAR_SIZE_MAX ? 0 : t->size);
	put_octal(u.mtime, sizeof(u.mtime), 1);
	memcpy(u.magic, "ustar", sizeof(u.magic));
	memset(u.version, '0', sizeof(u.version));
	put_sum(&u);
	buf_add(to, &u, sizeof(u));
}

/* Contents of an entry that speaks of the next one. */
static void
put_extra(struct buf *to, char type, const char *name, const char *p, size_t n)
{
	static const char zeros[TAR_BLOCK];

	put_ustar(to,
		  &(struct tar_entry){
			  .type = (enum tar_type)type,
			  .mode = 0644,
			  .name = name,
			  .name_n = strlen(name),
			  .size = n,
		  },
		  0);
	buf_add(to, p, n);
	buf_add(to, zeros, tar_padding(n));
}

/*
 * A long text. In pax it is UTF-8, which bsdtar complains of where the locale
 * or the text is another, and GNU tar complains of the "hdrcharset=BINARY"
 * that would help. GNU's extension holds bytes, and everyone reads it.
 */
static void
put_long(struct buf *to, struct buf *pax, const char *key, char gnu_type,
	 const char *s, size_t n)
{
	AUTO(buf) struct buf text = BUF_INIT;

	if (is_ascii(s, n)) {
		put_record(pax, key, s, n);
		return;
	}
	buf_add(&text, s, n);
	put_extra(to, gnu_type, "././@LongLink", text.p, text.len + 1);
}

void
tar_head(struct buf *to, const struct tar_entry *t)
{
	AUTO(buf) struct buf pax = BUF_INIT;
	const struct ustar *u = NULL;
	size_t prefix_n;

	if (!split_name(t, &prefix_n))
		put_long(to, &pax, "path", 'L', t->name, t->name_n);
	if (t->target_n > sizeof(u->target))
		put_long(to, &pax, "linkpath", 'K', t->target, t->target_n);
	if (t->size > USTAR_SIZE_MAX) {
		char digits[24];
		int n = snprintf(digits, sizeof(digits), "%llu",
				 (unsigned long long)t->size);

		put_record(&pax, "size", digits, (size_t)n);
	}
	if (pax.len > 0)
		put_extra(to, 'x', "././@PaxHeader", pax.p, pax.len);
	put_ustar(to, t, prefix_n);
}
