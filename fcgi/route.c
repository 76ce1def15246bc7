/* SPDX-License-Identifier: Apache-2.0 */
#include "fcgi/route.h"

#include <string.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/model/image.h"

#define W_MAX 99u
#define BUILD_ID_LEN 32u

static const char *const kind_names[ROUTE_KINDS] = {
	[ROUTE_NONE] = "none",           [ROUTE_V2_NONE] = "v2_none",
	[ROUTE_BASE] = "base",           [ROUTE_MANIFEST] = "manifest",
	[ROUTE_BLOB] = "blob",           [ROUTE_TAGS] = "tags",
	[ROUTE_REFERRERS] = "referrers", [ROUTE_CATALOG] = "catalog",
	[ROUTE_HEALTH] = "health",       [ROUTE_READY] = "ready",
	[ROUTE_METRICS] = "metrics",     [ROUTE_INDEX] = "index",
	[ROUTE_BUILD] = "build",
};

/* Paths that are one word. */
static const struct {
	const char *path;
	enum route_kind kind;
} fixed[] = {
	{"/", ROUTE_INDEX},          {"/v2", ROUTE_BASE},
	{"/v2/", ROUTE_BASE},        {"/v2/_catalog", ROUTE_CATALOG},
	{"/healthz", ROUTE_HEALTH},  {"/readyz", ROUTE_READY},
	{"/metrics", ROUTE_METRICS},
};

/* The last but one component below /v2/NAME. */
static const struct {
	const char *word;
	enum route_kind kind;
} verbs[] = {
	{"manifests", ROUTE_MANIFEST},
	{"blobs", ROUTE_BLOB},
	{"referrers", ROUTE_REFERRERS},
};

const char *
route_kind_name(enum route_kind kind)
{
	return kind_names[kind];
}

static bool
is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_alnum(char c)
{
	return is_lower(c) || is_digit(c) || (c >= 'A' && c <= 'Z');
}

static bool
is_name_alnum(char c)
{
	return is_lower(c) || is_digit(c);
}

/* [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)* */
static bool
is_component(struct str s)
{
	size_t i = 0;

	for (;;) {
		size_t start = i;

		while (i < s.n && is_name_alnum(s.p[i]))
			i++;
		if (i == start)
			return false;
		if (i == s.n)
			return true;
		if (s.p[i] == '-') {
			while (i < s.n && s.p[i] == '-')
				i++;
		} else if (s.p[i] == '_') {
			i++;
			if (i < s.n && s.p[i] == '_')
				i++;
		} else if (s.p[i] == '.') {
			i++;
		} else {
			return false;
		}
	}
}

static int
check_name(struct str name, struct err *e)
{
	struct str rest = name, part;

	if (name.n == 0)
		return err_set(e, ERR_INVALID, "there is no image name");
	if (name.n > IMAGE_NAME_MAX)
		return err_set(e, ERR_INVALID,
			       "the image name has more than %u characters",
			       IMAGE_NAME_MAX);
	while (str_cut(&rest, '/', &part))
		if (!is_component(part))
			return err_set(e, ERR_INVALID,
				       "'%.*s' can't be part of an image name: "
				       "lower-case letters and digits, with "
				       "one of . _ __ or dashes between them",
				       (int)part.n, part.p);
	return 0;
}

/* [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127} */
static int
check_tag(struct str s, struct err *e)
{
	if (s.n == 0)
		return err_set(e, ERR_INVALID, "there is no tag");
	if (s.n > ROUTE_TAG_MAX)
		return err_set(e, ERR_INVALID,
			       "the tag has more than %u characters",
			       ROUTE_TAG_MAX);
	for (size_t i = 0; i < s.n; i++)
		if (!is_alnum(s.p[i]) && s.p[i] != '_' &&
		    (i == 0 || (s.p[i] != '.' && s.p[i] != '-')))
			return err_set(e, ERR_INVALID,
				       "'%.*s' can't be a tag: letters, digits "
				       "and _ first, then also . and -",
				       (int)s.n, s.p);
	return 0;
}

static bool
is_lower_hex(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!is_digit(s.p[i]) && (s.p[i] < 'a' || s.p[i] > 'f'))
			return false;
	return true;
}

/* "/builds/" and an identifier. */
static bool
is_build(const char *path, const char **ret)
{
	static const char head[] = "/builds/";

	if (!str_has_prefix(path, head))
		return false;
	*ret = path + sizeof(head) - 1;
	return strlen(*ret) == BUILD_ID_LEN && is_lower_hex(str_of(*ret));
}

/* Only the registered algorithms; ours is SHA-256. */
static int
check_digest(struct str s, struct route *r, struct err *e)
{
	static const char other[] = "sha512:";
	const size_t head = sizeof(other) - 1;

	if (digest_parse(s, &r->digest)) {
		r->digest_kind = ROUTE_DIGEST_SHA256;
		return 0;
	}
	if (s.n == head + 128 && memcmp(s.p, other, head) == 0 &&
	    is_lower_hex((struct str){s.p + head, s.n - head})) {
		r->digest_kind = ROUTE_DIGEST_OTHER;
		return 0;
	}
	return err_set(e, ERR_INVALID,
		       "'%.*s' is no digest: sha256: and 64 lower-case hex "
		       "digits",
		       (int)s.n, s.p);
}

bool
route_tag_is_probe(const char *tag)
{
	static const char head[] = "sha256-";
	const char *hex = tag + sizeof(head) - 1;

	if (!str_has_prefix(tag, head) || strlen(hex) < 64)
		return false;
	return is_lower_hex((struct str){hex, 64}) && !is_alnum(hex[64]);
}

bool
route_tag_subject(const char *tag, struct digest *ret)
{
	static const char head[] = "sha256-";

	return str_has_prefix(tag, head) &&
	       digest_parse_hex(str_of(tag + sizeof(head) - 1), ret);
}

/* The reference of a manifest, and what follows a verb. */
static int
read_reference(struct route *r, struct arena *a, struct str ref,
	       enum route_part *ret_part, struct err *e)
{
	if (r->kind != ROUTE_MANIFEST || memchr(ref.p, ':', ref.n)) {
		*ret_part = ROUTE_PART_DIGEST;
		return check_digest(ref, r, e);
	}
	*ret_part = ROUTE_PART_TAG;
	if (check_tag(ref, e) < 0)
		return -1;
	r->tag = arena_strndup(a, ref.p, ref.n);
	return 0;
}

/* Where the last "/" of s is; s.n when there is none. */
static size_t
last_slash(struct str s)
{
	size_t i = s.n;

	while (i > 0 && s.p[i - 1] != '/')
		i--;
	return i > 0 ? i - 1 : s.n;
}

/*
 * Below /v2/: NAME/VERB/REFERENCE, read from the end, since a name may
 * contain the verbs.
 */
static int
read_v2(struct arena *a, struct str s, struct route *r,
	enum route_part *ret_part, struct err *e)
{
	size_t cut = last_slash(s), verb_at;
	struct str ref, verb, name;

	r->kind = ROUTE_V2_NONE;
	if (cut == s.n)
		return 0;
	ref = (struct str){s.p + cut + 1, s.n - cut - 1};
	s.n = cut;
	verb_at = last_slash(s);
	if (verb_at == s.n) {
		verb = s;
		name = (struct str){s.p, 0};
	} else {
		verb = (struct str){s.p + verb_at + 1, s.n - verb_at - 1};
		name = (struct str){s.p, verb_at};
	}
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (str_eq(verb, verbs[i].word))
			r->kind = verbs[i].kind;
	if (str_eq(verb, "tags") && str_eq(ref, "list"))
		r->kind = ROUTE_TAGS;
	if (r->kind == ROUTE_V2_NONE)
		return 0;
	*ret_part = ROUTE_PART_NAME;
	if (check_name(name, e) < 0)
		return -1;
	r->name = arena_strndup(a, name.p, name.n);
	if (r->kind == ROUTE_TAGS)
		return 0;
	return read_reference(r, a, ref, ret_part, e);
}

/* Decode the one percent code that clients use, and check the segments. */
static int
read_path(struct str raw, struct buf *to, struct err *e)
{
	struct str rest, part;

	for (size_t i = 0; i < raw.n; i++) {
		if (raw.p[i] != '%') {
			buf_addc(to, raw.p[i]);
			continue;
		}
		if (raw.n - i < 3 || raw.p[i + 1] != '3' ||
		    (raw.p[i + 2] != 'A' && raw.p[i + 2] != 'a'))
			return err_set(e, ERR_INVALID,
				       "the path has a percent code other than "
				       "that of ':'");
		buf_addc(to, ':');
		i += 2;
	}
	if (strstr(to->p, "//"))
		return err_set(e, ERR_INVALID, "the path has an empty segment");
	rest = (struct str){to->p, to->len};
	while (str_cut(&rest, '/', &part))
		if (str_eq(part, ".") || str_eq(part, ".."))
			return err_set(e, ERR_INVALID,
				       "the path has a dot segment");
	return 0;
}

static int
hex_value(char c)
{
	if (is_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/*
 * NULL when it is malformed, too long, or has control bytes. "+" is what it
 * says (RFC 3986), as in media types; forms, where it is a space, are none of
 * ours.
 */
static const char *
decode_arg(struct arena *a, struct str raw)
{
	char text[ROUTE_ARG_MAX + 1];
	size_t n = 0;

	for (size_t i = 0; i < raw.n; i++) {
		int c = (unsigned char)raw.p[i];

		if (c == '%') {
			int high = i + 1 < raw.n ? hex_value(raw.p[i + 1]) : -1;
			int low = i + 2 < raw.n ? hex_value(raw.p[i + 2]) : -1;

			if (high < 0 || low < 0)
				return NULL;
			c = high * 16 + low;
			i += 2;
		}
		if (c < 0x20 || c == 0x7F || n == ROUTE_ARG_MAX)
			return NULL;
		text[n++] = (char)c;
	}
	return arena_strndup(a, text, n);
}

/* Of an argument that is given twice the first counts. */
static void
read_arg(struct arena *a, struct str key, struct str value,
	 struct route_query *q)
{
	uint64_t number = 0;

	if (str_eq(key, "w") && !q->has_w) {
		/* Untrusted: what is no number has hopped often enough. */
		q->has_w = true;
		if (!str_to_u64(value, W_MAX, &q->w))
			q->w = W_MAX;
	} else if (str_eq(key, "n") && !q->has_n && !q->bad_n) {
		q->has_n = str_to_u64(value, UINT32_MAX, &number);
		q->bad_n = !q->has_n;
		q->n = number;
	} else if (str_eq(key, "last") && !q->last) {
		q->last = decode_arg(a, value);
	} else if (str_eq(key, "artifactType") && !q->artifact_type &&
		   value.n > 0) {
		q->artifact_type = decode_arg(a, value);
	} else if (str_eq(key, "ns") && !q->ns) {
		q->ns = decode_arg(a, value);
	}
}

static void
read_query(struct arena *a, struct str raw, struct route *r)
{
	struct str part;

	r->raw_query = arena_strndup(a, raw.p, raw.n);
	while (str_cut(&raw, '&', &part)) {
		struct str value = part, key = {part.p, 0};

		if (str_cut(&value, '=', &key))
			read_arg(a, key, value, &r->query);
	}
}

static int
check_bytes(const char *uri, struct err *e)
{
	size_t n = strnlen(uri, ROUTE_URI_MAX + 1);

	if (n > ROUTE_URI_MAX)
		return err_set(e, ERR_INVALID,
			       "the URI has more than %u characters",
			       ROUTE_URI_MAX);
	for (size_t i = 0; i < n; i++)
		if (uri[i] < 0x21 || uri[i] > 0x7E)
			return err_set(e, ERR_INVALID,
				       "the URI has a byte that is not "
				       "printable ASCII");
	if (uri[0] != '/')
		return err_set(e, ERR_INVALID, "the URI is no absolute path");
	return 0;
}

int
route_parse(struct arena *a, const char *uri, struct route *ret,
	    enum route_part *ret_part, struct err *e)
{
	AUTO(buf) struct buf path = BUF_INIT;
	struct str raw, query = {"", 0};
	const char *mark;

	*ret = (struct route){.kind = ROUTE_NONE, .raw_query = ""};
	*ret_part = ROUTE_PART_URI;
	if (check_bytes(uri, e) < 0)
		return -1;
	raw = str_of(uri);
	mark = memchr(raw.p, '?', raw.n);
	if (mark) {
		query = str_of(mark + 1);
		raw.n = (size_t)(mark - uri);
	}
	if (read_path(raw, &path, e) < 0)
		return -1;
	ret->path = arena_strndup(a, path.p, path.len);
	read_query(a, query, ret);
	for (size_t i = 0; i < ARRAY_LEN(fixed); i++) {
		if (strcmp(ret->path, fixed[i].path) == 0) {
			ret->kind = fixed[i].kind;
			return 0;
		}
	}
	if (is_build(ret->path, &ret->build)) {
		ret->kind = ROUTE_BUILD;
		return 0;
	}
	if (!str_has_prefix(ret->path, "/v2/"))
		return 0;
	return read_v2(a, str_of(ret->path + strlen("/v2/")), ret, ret_part, e);
}

char *
route_hop(struct arena *a, const struct route *r, uint64_t w)
{
	AUTO(buf) struct buf to = BUF_INIT;
	struct str rest = str_of(r->raw_query), part;

	buf_adds(&to, r->path);
	buf_addc(&to, '?');
	while (str_cut(&rest, '&', &part)) {
		struct str value = part, key = {part.p, 0};

		(void)str_cut(&value, '=', &key);
		if (part.n == 0 || str_eq(key, "w"))
			continue;
		buf_add(&to, part.p, part.n);
		buf_addc(&to, '&');
	}
	buf_printf(&to, "w=%llu", (unsigned long long)w);
	return arena_strndup(a, to.p, to.len);
}
