/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/nix/impl.h"

/* Length of the escape sequence at s (ECMA-48, 5.4), or 0. */
static size_t
escape_len(const char *s, size_t n)
{
	size_t i = 2;

	if (n < 2 || s[0] != '\033')
		return 0;
	if (s[1] != '[')
		return 2;
	while (i < n && (s[i] < '@' || s[i] > '~'))
		i++;
	return i < n ? i + 1 : n;
}

void
nix_text_clean(struct buf *to, const char *s, size_t n)
{
	for (size_t i = 0; i < n;) {
		size_t k = escape_len(s + i, n - i);
		unsigned char c = (unsigned char)s[i];

		if (k > 0) {
			i += k;
			continue;
		}
		if (c == '\t')
			buf_addc(to, ' ');
		else if (c == '\n' || (c >= 0x20 && c != 0x7F))
			buf_addc(to, s[i]);
		i++;
	}
}

static bool
ends_path(char c)
{
	return c == '\0' || strchr(" \n\t'\"`:,;()[]{}<>", c) != NULL;
}

/* The address of something on a network is no path; file:/// is. */
static size_t
url_len(const char *text, const char *p)
{
	if (p == text || p[-1] != ':' || p[0] != '/' || p[1] != '/' ||
	    p[2] == '/' || ends_path(p[2]))
		return 0;
	return strcspn(p, " \n\t'\"");
}

/* What builders see in the sandbox, or on any machine. */
static bool
is_everywhere(const char *p)
{
	static const char *const dirs[] = {"/bin/", "/build/", "/dev/",
					   "/usr/bin/"};

	for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
		if (str_has_prefix(p, dirs[i]))
			return true;
	return false;
}

/*
 * "//user:password@host/...?token=...", n bytes of it. What is behind a
 * question mark may be a secret too; a sentence may end with one.
 */
static void
add_url(struct buf *to, const char *p, size_t n)
{
	size_t authority = 2 + strcspn(p + 2, "/?# \n\t'\"");
	const char *at = memrchr(p, '@', authority < n ? authority : n);
	const char *query = memchr(p, '?', n);
	bool cut = query && query + 1 < p + n;

	if (cut)
		n = (size_t)(query - p);

	if (at) {
		buf_adds(to, "//");
		n -= (size_t)(at + 1 - p);
		p = at + 1;
	}
	buf_add(to, p, n);
	if (cut)
		buf_adds(to, "?...");
}

void
nix_text_scrub(struct buf *to, const char *s, const char *store_dir)
{
	size_t store_len = strlen(store_dir);
	const char *p = s;

	while (*p) {
		const char *end = p, *last = p;
		bool begins = p == s || ends_path(p[-1]);

		if (url_len(s, p) > 0) {
			add_url(to, p, url_len(s, p));
			p += url_len(s, p);
			continue;
		}
		/* The closing byte of the quotation mark of UTF-8 text. */
		if (p > s && ((unsigned char)p[-1] & 0x80u) != 0)
			begins = true;
		if (*p != '/' || !begins || is_everywhere(p) ||
		    (strncmp(p, store_dir, store_len) == 0 &&
		     p[store_len] == '/')) {
			buf_addc(to, *p++);
			continue;
		}
		for (; !ends_path(*end) && ((unsigned char)*end & 0x80u) == 0;
		     end++)
			if (*end == '/' && !ends_path(end[1]))
				last = end + 1;
		if (last == p)
			last = end > p ? end - 1 : p;
		buf_add(to, last, (size_t)(end - last));
		p = end > p ? end : p + 1;
	}
}

#define HASH_LEN 32

void
nix_text_package(struct buf *to, const char *path, size_t n)
{
	const char *name = path;

	for (size_t i = 0; i < n; i++)
		if (path[i] == '/')
			name = path + i + 1;
	n -= (size_t)(name - path);
	if (n > HASH_LEN + 1 && name[HASH_LEN] == '-') {
		name += HASH_LEN + 1;
		n -= HASH_LEN + 1;
	}
	if (n > 4 && memcmp(name + n - 4, ".drv", 4) == 0)
		n -= 4;
	buf_add(to, name, n);
}

bool
nix_text_is_store_path(const char *s, const char *store_dir)
{
	static const char base32[] = "0123456789abcdfghijklmnpqrsvwxyz";
	size_t k = strlen(store_dir);

	if (strncmp(s, store_dir, k) != 0 || s[k] != '/')
		return false;
	s += k + 1;
	if (strspn(s, base32) < HASH_LEN || s[HASH_LEN] != '-')
		return false;
	s += HASH_LEN + 1;
	if (*s == '\0' || *s == '.' || strlen(s) > 211)
		return false;
	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && !strchr("+-._?=", *s))
			return false;
	return true;
}

void
nix_text_dotted(struct buf *to, const char *const *path, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf_printf(to, "%s%s", i > 0 ? "." : "", path[i]);
}

#define NEAR_MAX 3
#define NAME_CAP 64

/*
 * Edits between two short names without regard to case: insertions,
 * removals, replacements and swaps of neighbours (optimal string alignment).
 */
static unsigned
distance(const char *a, size_t na, const char *b, size_t nb)
{
	unsigned rows[3][NAME_CAP + 1];
	unsigned *before = rows[0], *up = rows[1], *at = rows[2];

	for (size_t j = 0; j <= nb; j++)
		up[j] = (unsigned)j;
	for (size_t i = 1; i <= na; i++) {
		unsigned *spare = before;

		at[0] = (unsigned)i;
		for (size_t j = 1; j <= nb; j++) {
			int ca = tolower((unsigned char)a[i - 1]);
			int cb = tolower((unsigned char)b[j - 1]);
			unsigned best = up[j - 1] + (ca != cb);

			if (up[j] + 1 < best)
				best = up[j] + 1;
			if (at[j - 1] + 1 < best)
				best = at[j - 1] + 1;
			if (i > 1 && j > 1 &&
			    ca == tolower((unsigned char)b[j - 2]) &&
			    cb == tolower((unsigned char)a[i - 2]) &&
			    before[j - 2] + 1 < best)
				best = before[j - 2] + 1;
			at[j] = best;
		}
		before = up;
		up = at;
		at = spare;
	}
	return up[nb];
}

/* How far a name is from what was asked for; 0 is the best, -1 too far. */
static int
farness(const char *asked, size_t na, const char *name)
{
	size_t nb = strlen(name);
	unsigned limit = na <= 3 ? 1 : na <= 6 ? 2 : 3;
	unsigned d;

	if (nb == 0 || nb > NAME_CAP || na > NAME_CAP)
		return -1;
	if (nb + limit < na || na + limit < nb) {
		/* "firefo" for "firefox-esr": one is the other's start. */
		if (na >= 3 && nb > na && strncasecmp(name, asked, na) == 0)
			return (int)limit + 1;
		return -1;
	}
	d = distance(asked, na, name, nb);
	/* Half the letters wrong is another word. */
	return d <= limit && 2 * d <= (na < nb ? na : nb) ? (int)d : -1;
}

bool
nix_text_near(struct buf *to, const char *asked, const char *prefix,
	      const char *const *names, size_t n)
{
	const char *best[NEAR_MAX] = {NULL};
	size_t na = strlen(asked), k = 0;
	int nearest = 0;

	for (size_t i = 0; i < n; i++) {
		int d = farness(asked, na, names[i]);

		if (d < 0 || (k > 0 && d > nearest))
			continue;
		if (k == 0 || d < nearest) {
			k = 0;
			nearest = d;
		}
		if (k < NEAR_MAX)
			best[k++] = names[i];
	}
	for (size_t i = 0; i < k; i++) {
		if (i > 0)
			buf_adds(to, i + 1 == k ? " or " : ", ");
		buf_printf(to, "%s%s", prefix, best[i]);
	}
	return k > 0;
}

/* --- licences */

#define LICENSE_MAX 1024u
#define LICENSE_REF "LicenseRef-"

/* An identifier as SPDX 2.3 writes it (clause D.2). */
static bool
is_license_id(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!isalnum((unsigned char)s.p[i]) && !strchr("+.-", s.p[i]))
			return false;
	return s.n > 0;
}

/* "A AND B", "A WITH B": identifiers with operators between them. */
static bool
is_license_expression(const char *text)
{
	struct str rest = str_of(text), part;
	size_t n = 0;

	while (str_cut(&rest, ' ', &part)) {
		bool is_operator = str_eq(part, "AND") || str_eq(part, "OR") ||
				   str_eq(part, "WITH");

		if (is_operator != (n % 2 == 1) || !is_license_id(part))
			return false;
		n++;
	}
	return n % 2 == 1;
}

/* Whatever the package set calls it, as an identifier of its own. */
static void
add_license_ref(struct buf *to, const char *name)
{
	buf_printf(to, LICENSE_REF "%s", name[0] ? "" : "unknown");
	for (; *name; name++)
		buf_addc(to, isalnum((unsigned char)*name) || *name == '.'
				     ? *name
				     : '-');
}

bool
nix_text_license(struct buf *to, const char *const *licenses, size_t n)
{
	size_t start = to->len;

	for (size_t i = 0; i < n; i++) {
		const char *s = licenses[i];
		const char *open = strchr(s, ' ') && n > 1 ? "(" : "";

		buf_adds(to, i > 0 ? " AND " : "");
		if (str_has_prefix(s, LICENSE_REF))
			add_license_ref(to, s + strlen(LICENSE_REF));
		else if (is_license_expression(s))
			buf_printf(to, "%s%s%s", open, s, open[0] ? ")" : "");
		else
			add_license_ref(to, s);
	}
	if (to->len == start || to->len - start > LICENSE_MAX) {
		buf_truncate(to, start);
		return false;
	}
	return true;
}
