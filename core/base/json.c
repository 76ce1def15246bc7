/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/json.h"

#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_gen.h>
#include <yajl/yajl_parse.h>

#include "core/base/arena.h"
#include "core/base/err.h"

const struct json_limits json_limits_default = {
	.max_bytes = 4u << 20,
	.max_depth = 64,
	.max_values = 1000000,
};

#define DEPTH_CAP 512

struct parse {
	struct arena *arena;
	const struct json_limits *lim;
	const char *why; /* our own reason for stopping */
	const char *key; /* the name that waits for its value */
	size_t values;
	size_t depth;
	struct json *open[DEPTH_CAP]; /* containers, outermost first */
	struct json *last[DEPTH_CAP]; /* newest child of each */
	struct json *root;
};

static int
refuse(struct parse *p, const char *why)
{
	p->why = why;
	return 0;
}

/* A new value in the open container, or the root. NULL: over the limit. */
static struct json *
add(struct parse *p, enum json_type type)
{
	struct json *v;

	if (++p->values > p->lim->max_values) {
		p->why = "too many values";
		return NULL;
	}
	v = arena_new(p->arena, struct json);
	v->type = type;
	if (p->depth == 0) {
		p->root = v;
		return v;
	}
	v->key = p->key;
	p->key = NULL;
	if (p->last[p->depth - 1])
		p->last[p->depth - 1]->next = v;
	else
		p->open[p->depth - 1]->kids = v;
	p->last[p->depth - 1] = v;
	p->open[p->depth - 1]->n++;
	return v;
}

static int
add_text(struct parse *p, enum json_type type, const char *s, size_t n)
{
	struct json *v;

	if (n > 0 && memchr(s, '\0', n))
		return refuse(p, "a string holds a NUL");
	v = add(p, type);
	if (!v)
		return 0;
	v->s = arena_strndup(p->arena, s, n);
	v->n = n;
	return 1;
}

static int
push(struct parse *p, enum json_type type)
{
	struct json *v;

	if (p->depth >= p->lim->max_depth || p->depth >= DEPTH_CAP)
		return refuse(p, "nested too deeply");
	v = add(p, type);
	if (!v)
		return 0;
	p->open[p->depth] = v;
	p->last[p->depth] = NULL;
	p->depth++;
	return 1;
}

static int
on_null(void *ctx)
{
	return add(ctx, JSON_NULL) != NULL;
}

static int
on_bool(void *ctx, int b)
{
	struct json *v = add(ctx, JSON_BOOL);

	if (v)
		v->b = b != 0;
	return v != NULL;
}

static int
on_number(void *ctx, const char *s, size_t n)
{
	return add_text(ctx, JSON_NUMBER, s, n);
}

static int
on_string(void *ctx, const unsigned char *s, size_t n)
{
	return add_text(ctx, JSON_STRING, (const char *)s, n);
}

static int
on_map(void *ctx)
{
	return push(ctx, JSON_OBJECT);
}

static int
on_key(void *ctx, const unsigned char *s, size_t n)
{
	struct parse *p = ctx;

	if (n > 0 && memchr(s, '\0', n))
		return refuse(p, "a name holds a NUL");
	p->key = arena_strndup(p->arena, (const char *)s, n);
	return 1;
}

static int
on_array(void *ctx)
{
	return push(ctx, JSON_ARRAY);
}

static int
on_end(void *ctx)
{
	struct parse *p = ctx;

	p->depth--;
	return 1;
}

static const yajl_callbacks callbacks = {
	.yajl_null = on_null,
	.yajl_boolean = on_bool,
	.yajl_number = on_number,
	.yajl_string = on_string,
	.yajl_start_map = on_map,
	.yajl_map_key = on_key,
	.yajl_end_map = on_end,
	.yajl_start_array = on_array,
	.yajl_end_array = on_end,
};

int
json_parse(struct arena *a, const char *text, size_t n,
	   const struct json_limits *lim, const struct json **ret,
	   struct err *e)
{
	struct parse p = {.arena = a, .lim = lim ? lim : &json_limits_default};
	yajl_status status;
	yajl_handle h;

	if (n > p.lim->max_bytes)
		return err_set(e, ERR_INVALID, "JSON of %zu bytes is too large",
			       n);
	h = yajl_alloc(&callbacks, NULL, &p);
	if (!h)
		abort();
	status = yajl_parse(h, (const unsigned char *)text, n);
	if (status == yajl_status_ok)
		status = yajl_complete_parse(h);
	if (status == yajl_status_client_canceled) {
		err_set(e, ERR_INVALID, "JSON refused: %s", p.why);
	} else if (status != yajl_status_ok) {
		unsigned char *why =
			yajl_get_error(h, 0, (const unsigned char *)text, n);

		err_set(e, ERR_INVALID, "malformed JSON: %s", why);
		yajl_free_error(h, why);
	} else if (!p.root) {
		err_set(e, ERR_INVALID, "malformed JSON: nothing there");
	}
	yajl_free(h);
	if (e->kind != ERR_NONE)
		return -1;
	*ret = p.root;
	return 0;
}

bool
json_is(const struct json *v, enum json_type type)
{
	return v && v->type == type;
}

const struct json *
json_get(const struct json *v, const char *key)
{
	if (!json_is(v, JSON_OBJECT))
		return NULL;
	for (const struct json *k = v->kids; k; k = k->next)
		if (strcmp(k->key, key) == 0)
			return k;
	return NULL;
}

const char *
json_get_str(const struct json *v, const char *key)
{
	const struct json *k = json_get(v, key);

	return json_is(k, JSON_STRING) ? k->s : NULL;
}

bool
json_u64(const struct json *v, uint64_t *ret)
{
	if (!json_is(v, JSON_NUMBER))
		return false;
	return str_to_u64((struct str){.p = v->s, .n = v->n}, UINT64_MAX, ret);
}

bool
json_get_u64(const struct json *v, const char *key, uint64_t *ret)
{
	return json_u64(json_get(v, key), ret);
}

/* The generator fails only when calls don't nest, which is our own fault. */
static void
must(yajl_gen_status s)
{
	if (s != yajl_gen_status_ok)
		abort();
}

static void
print_to_buf(void *ctx, const char *s, size_t n)
{
	buf_add(ctx, s, n);
}

void
json_out_init(struct json_out *o, struct buf *to)
{
	yajl_gen g = yajl_gen_alloc(NULL);

	if (!g)
		abort();
	(void)yajl_gen_config(g, yajl_gen_print_callback, print_to_buf, to);
	o->gen = g;
	o->to = to;
}

void
json_out_init_pretty(struct json_out *o, struct buf *to)
{
	json_out_init(o, to);
	(void)yajl_gen_config(o->gen, yajl_gen_beautify, 1);
	(void)yajl_gen_config(o->gen, yajl_gen_indent_string, "  ");
}

void
json_out_release(struct json_out *o)
{
	if (o->gen)
		yajl_gen_free(o->gen);
	o->gen = NULL;
}

void
json_object(struct json_out *o)
{
	must(yajl_gen_map_open(o->gen));
}

void
json_object_end(struct json_out *o)
{
	must(yajl_gen_map_close(o->gen));
}

void
json_array(struct json_out *o)
{
	must(yajl_gen_array_open(o->gen));
}

void
json_array_end(struct json_out *o)
{
	must(yajl_gen_array_close(o->gen));
}

/*
 * Length of the well-formed UTF-8 sequence at s (RFC 3629, section 4), or 0.
 */
static size_t
utf8_len(const unsigned char *s, size_t n)
{
	unsigned char lo = 0x80, hi = 0xBF;
	size_t len;

	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xC2 && s[0] <= 0xDF)
		len = 2;
	else if (s[0] >= 0xE0 && s[0] <= 0xEF)
		len = 3;
	else if (s[0] >= 0xF0 && s[0] <= 0xF4)
		len = 4;
	else
		return 0;
	if (s[0] == 0xE0)
		lo = 0xA0;
	else if (s[0] == 0xED)
		hi = 0x9F;
	else if (s[0] == 0xF0)
		lo = 0x90;
	else if (s[0] == 0xF4)
		hi = 0x8F;
	if (n < len || s[1] < lo || s[1] > hi)
		return 0;
	for (size_t i = 2; i < len; i++)
		if ((s[i] & 0xC0u) != 0x80u)
			return 0;
	return len;
}

void
json_strn(struct json_out *o, const char *s, size_t n)
{
	AUTO(buf) struct buf clean = BUF_INIT;
	size_t good = 0;

	while (good < n) {
		size_t k = utf8_len((const unsigned char *)s + good, n - good);

		if (k == 0)
			break;
		good += k;
	}
	if (good < n) {
		for (size_t i = 0; i < n;) {
			size_t k =
				utf8_len((const unsigned char *)s + i, n - i);

			if (k > 0)
				buf_add(&clean, s + i, k);
			else
				buf_adds(&clean, "\xEF\xBF\xBD");
			i += k > 0 ? k : 1;
		}
		s = clean.p;
		n = clean.len;
	}
	must(yajl_gen_string(o->gen, (const unsigned char *)s, n));
}

void
json_str(struct json_out *o, const char *s)
{
	json_strn(o, s, strlen(s));
}

void
json_key(struct json_out *o, const char *key)
{
	json_str(o, key);
}

void
json_num(struct json_out *o, uint64_t v)
{
	char text[24];
	int n = snprintf(text, sizeof(text), "%llu", (unsigned long long)v);

	must(yajl_gen_number(o->gen, text, (size_t)n));
}

void
json_bool(struct json_out *o, bool v)
{
	must(yajl_gen_bool(o->gen, v));
}

void
json_null(struct json_out *o)
{
	must(yajl_gen_null(o->gen));
}

void
json_kstr(struct json_out *o, const char *key, const char *s)
{
	json_key(o, key);
	json_str(o, s);
}

void
json_knum(struct json_out *o, const char *key, uint64_t v)
{
	json_key(o, key);
	json_num(o, v);
}
