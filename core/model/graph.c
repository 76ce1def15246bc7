/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/graph.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/vec.h"

/* What Nix allows (src/libstore/path.cc of Nix 2.0 and later). */
#define HASH_LEN 32
#define NAME_MAX_LEN 211

/* A closure of GRAPH_MAX_NODES has some 100 MB of JSON. */
static const struct json_limits graph_json_limits = {
	.max_bytes = (size_t)256 << 20,
	.max_depth = 8,
	.max_values = 8000000,
};

/* A node as it was read; its references are texts still. */
struct raw {
	const char *path;
	uint64_t nar_size;
	uint64_t closure_size;
	struct digest nar_hash;
	size_t refs_at; /* in reader.refs */
	size_t n_refs;
	size_t line; /* where it was read, or its number in an array */
};

struct reader {
	struct arena *arena;
	const char *dir; /* store directory, without a slash at its end */
	size_t dir_len;
	uint64_t total; /* bytes of all nodes */
	struct {
		VEC(struct raw);
	} nodes;
	struct {
		VEC(const char *);
	} refs, roots;
};

static void
reader_auto(struct reader *r)
{
	vec_release(&r->nodes);
	vec_release(&r->refs);
	vec_release(&r->roots);
}

const char *
graph_name_of(const char *path)
{
	const char *base = strrchr(path, '/');

	base = base ? base + 1 : path;
	return strlen(base) > HASH_LEN + 1 ? base + HASH_LEN + 1 : base;
}

static bool
hash_char(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z');
}

static bool
name_char(char c)
{
	return hash_char(c) || (c >= 'A' && c <= 'Z') ||
	       (c != '\0' && strchr("+-._?=", c));
}

bool
graph_base_ok(const char *s)
{
	size_t n;

	for (size_t i = 0; i < HASH_LEN; i++)
		if (!hash_char(s[i]))
			return false;
	s += HASH_LEN;
	if (*s++ != '-' || *s == '.')
		return false;
	for (n = 0; s[n]; n++)
		if (n == NAME_MAX_LEN || !name_char(s[n]))
			return false;
	return n > 0;
}

/* DIR/HASH-NAME? */
static bool
path_ok(const struct reader *r, const char *path)
{
	/* None is known yet where roots come without a single node. */
	return r->dir && strncmp(path, r->dir, r->dir_len) == 0 &&
	       path[r->dir_len] == '/' && graph_base_ok(path + r->dir_len + 1);
}

/* Take one node; its references follow by add_ref. */
static int
add_node(struct reader *r, const struct raw *node, struct err *e)
{
	if (r->nodes.n == GRAPH_MAX_NODES)
		return err_set(e, ERR_INVALID,
			       "closure of more than %u store paths",
			       GRAPH_MAX_NODES);
	if (!path_ok(r, node->path))
		return err_set(e, ERR_INVALID, "entry %zu: not a store path",
			       node->line);
	if (node->nar_size > GRAPH_MAX_SIZE - r->total ||
	    node->closure_size > GRAPH_MAX_SIZE)
		return err_set(e, ERR_INVALID, "%s: size is absurd",
			       graph_name_of(node->path));
	r->total += node->nar_size;
	vec_push(&r->nodes, *node);
	r->nodes.v[r->nodes.n - 1].refs_at = r->refs.n;
	return 0;
}

static int
add_ref(struct reader *r, const char *path, struct err *e)
{
	if (r->refs.n == GRAPH_MAX_REFS)
		return err_set(e, ERR_INVALID,
			       "closure of more than %u references",
			       GRAPH_MAX_REFS);
	vec_push(&r->refs, path);
	r->nodes.v[r->nodes.n - 1].n_refs++;
	return 0;
}

static int
raw_cmp(const void *a, const void *b)
{
	const struct raw *x = a, *y = b;

	return strcmp(x->path, y->path);
}

static int
index_cmp(const void *a, const void *b)
{
	size_t x = *(const size_t *)a, y = *(const size_t *)b;

	return (x > y) - (x < y);
}

static int
node_cmp(const void *key, const void *node)
{
	return strcmp(key, ((const struct graph_node *)node)->path);
}

static bool
node_find(const struct graph *g, const char *path, size_t *ret)
{
	const struct graph_node *at =
		bsearch(path, g->nodes, g->n, sizeof(*g->nodes), node_cmp);

	if (at)
		*ret = (size_t)(at - g->nodes);
	return at != NULL;
}

/*
 * Texts to sorted indices; a reference of a node to itself (self, if it is
 * one) is left out. who is for the message.
 */
static int
resolve(struct reader *r, const struct graph *g, const char *const *texts,
	size_t n, size_t self, const char *who, const size_t **ret,
	size_t *ret_n, struct err *e)
{
	size_t *v = arena_alloc(r->arena, n > 0 ? n : 1, sizeof(*v));
	size_t k = 0;

	for (size_t i = 0; i < n; i++) {
		if (node_find(g, texts[i], &v[i]))
			continue;
		if (!path_ok(r, texts[i]))
			return err_set(e, ERR_INVALID,
				       "%s: a reference is not a store path",
				       who);
		return err_set(e, ERR_INVALID,
			       "%s: a reference is missing from the closure "
			       "(%s)",
			       who, graph_name_of(texts[i]));
	}
	if (n > 0)
		qsort(v, n, sizeof(*v), index_cmp);
	for (size_t i = 0; i < n; i++) {
		if (i > 0 && v[i] == v[i - 1])
			return err_set(e, ERR_INVALID,
				       "%s: a reference occurs twice (%s)", who,
				       graph_name_of(g->nodes[v[i]].path));
	}
	for (size_t i = 0; i < n; i++)
		if (v[i] != self)
			v[k++] = v[i];
	*ret = v;
	*ret_n = k;
	return 0;
}

/* All is read: sort, resolve, check. */
static int
finish(struct reader *r, struct graph *ret, struct err *e)
{
	struct graph g = {.n = r->nodes.n};
	AUTO(mem) size_t *order = NULL;

	g.nodes = arena_alloc(r->arena, g.n > 0 ? g.n : 1, sizeof(*g.nodes));
	if (g.n > 0)
		qsort(r->nodes.v, g.n, sizeof(*r->nodes.v), raw_cmp);
	for (size_t i = 0; i < g.n; i++) {
		const struct raw *node = &r->nodes.v[i];

		if (i > 0 && strcmp(node->path, node[-1].path) == 0)
			return err_set(e, ERR_INVALID,
				       "%s: store path occurs twice",
				       graph_name_of(node->path));
		g.nodes[i] = (struct graph_node){
			.path = node->path,
			.nar_size = node->nar_size,
			.closure_size = node->closure_size,
			.nar_hash = node->nar_hash,
		};
	}
	for (size_t i = 0; i < g.n; i++) {
		const struct raw *node = &r->nodes.v[i];

		if (node->n_refs > 0 &&
		    resolve(r, &g, &r->refs.v[node->refs_at], node->n_refs, i,
			    graph_name_of(node->path), &g.nodes[i].refs,
			    &g.nodes[i].n_refs, e) < 0)
			return -1;
	}
	if (resolve(r, &g, r->roots.v, r->roots.n, g.n, "roots", &g.roots,
		    &g.n_roots, e) < 0)
		return -1;
	order = xcalloc(g.n + 1, sizeof(*order));
	if (graph_sort(&g, order, e) < 0)
		return -1;
	*ret = g;
	return 0;
}

/* --- what nix-store --dump-db prints */

struct lines {
	char *at, *end;
	size_t no; /* of the line that was cut last, from 1 */
};

/* Cut the next line off; NULL where nothing is left. */
static char *
line_next(struct lines *l)
{
	char *line = l->at, *nl;

	if (l->at == l->end)
		return NULL;
	nl = memchr(l->at, '\n', (size_t)(l->end - l->at));
	l->at = nl ? nl + 1 : l->end;
	l->no++;
	if (nl)
		*nl = '\0';
	return line;
}

static int
line_bad(const struct lines *l, const char *what, struct err *e)
{
	return err_set(e, ERR_INVALID, "closure, line %zu: %s", l->no, what);
}

static int
line_u64(struct lines *l, uint64_t max, uint64_t *ret, const char *what,
	 struct err *e)
{
	const char *line = line_next(l);

	if (!line || !str_to_u64(str_of(line), max, ret))
		return line_bad(l, what, e);
	return 0;
}

static int
dump_node(struct reader *r, struct lines *l, struct err *e)
{
	struct raw node = {.path = line_next(l)};
	const char *line;
	uint64_t n;

	node.line = l->no;
	line = line_next(l);
	if (!line || !digest_parse_hex(str_of(line), &node.nar_hash))
		return line_bad(l, "a SHA-256 in base 16 is expected", e);
	if (line_u64(l, UINT64_MAX, &node.nar_size, "a size is expected", e) <
	    0)
		return -1;
	if (!line_next(l)) /* the deriver, of no interest */
		return line_bad(l, "cut off", e);
	if (line_u64(l, GRAPH_MAX_REFS, &n, "a count is expected", e) < 0 ||
	    add_node(r, &node, e) < 0)
		return -1;
	for (; n > 0; n--) {
		line = line_next(l);
		if (!line)
			return line_bad(l, "cut off", e);
		if (add_ref(r, line, e) < 0)
			return -1;
	}
	return 0;
}

int
graph_parse_dump(struct arena *a, const char *text, size_t n,
		 const char *store_dir, struct graph *ret, struct err *e)
{
	AUTO(reader)
	struct reader r = {
		.arena = a, .dir = store_dir, .dir_len = strlen(store_dir)};
	struct lines l;

	if (n > 0 && memchr(text, '\0', n))
		return err_set(e, ERR_INVALID, "closure: a NUL in the text");
	l.at = arena_strndup(a, text, n);
	l.end = l.at + n;
	l.no = 0;
	while (l.at < l.end)
		if (dump_node(&r, &l, e) < 0)
			return -1;
	return finish(&r, ret, e);
}

/* --- exportReferencesGraph */

/*
 * Nix's base 32 (src/libutil/hash.cc): digits of five bits, the last bits
 * first, in an alphabet without e, o, t, u.
 */
static bool
parse_base32(struct str s, struct digest *ret)
{
	static const char digits[] = "0123456789abcdfghijklmnpqrsvwxyz";
	struct digest d = {.b = {0}};

	if (s.n != 52)
		return false;
	for (size_t k = 0; k < s.n; k++) {
		char c = s.p[s.n - 1 - k];
		const char *at = c ? strchr(digits, c) : NULL;
		size_t bit = 5 * k, i = bit / 8, j = bit % 8;
		unsigned v;

		if (!at)
			return false;
		v = (unsigned)(at - digits) << j;
		d.b[i] |= (unsigned char)v;
		if (i + 1 < DIGEST_SIZE)
			d.b[i + 1] |= (unsigned char)(v >> 8);
		else if (v >> 8)
			return false;
	}
	*ret = d;
	return true;
}

/* 44 digits of RFC 4648 base 64 for 32 bytes, as SRI has them. */
static bool
parse_base64(struct str s, struct digest *ret)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "abcdefghijklmnopqrstuvwxyz0123456789+/";
	struct digest d = {.b = {0}};
	unsigned acc = 0, bits = 0;
	size_t n = 0;

	if (s.n != 44 || s.p[43] != '=')
		return false;
	for (size_t k = 0; k < 43; k++) {
		const char *at = s.p[k] ? strchr(digits, s.p[k]) : NULL;

		if (!at)
			return false;
		acc = (acc << 6 | (unsigned)(at - digits)) & 0xFFFFu;
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			d.b[n++] = (unsigned char)(acc >> bits);
		}
	}
	if (acc & 3u)
		return false;
	*ret = d;
	return true;
}

static bool
parse_nar_hash(const char *s, struct digest *ret)
{
	struct str rest;

	if (str_has_prefix(s, "sha256-"))
		return parse_base64(str_of(s + 7), ret);
	if (!str_has_prefix(s, "sha256:"))
		return false;
	rest = str_of(s + 7);
	return digest_parse_hex(rest, ret) || parse_base32(rest, ret);
}

static int
json_bad(size_t no, const char *what, struct err *e)
{
	return err_set(e, ERR_INVALID, "entry %zu: %s", no, what);
}

static int
json_node(struct reader *r, const struct json *v, size_t no, struct err *e)
{
	const struct json *refs = json_get(v, "references");
	const struct json *hash = json_get(v, "narHash");
	const struct json *csize = json_get(v, "closureSize");
	struct raw node = {.path = json_get_str(v, "path"), .line = no};

	if (!json_is(v, JSON_OBJECT))
		return json_bad(no, "not an object", e);
	if (!node.path)
		return json_bad(no, "no path", e);
	if (!json_get_u64(v, "narSize", &node.nar_size))
		return json_bad(no, "narSize is missing or no size", e);
	if (csize && !json_u64(csize, &node.closure_size))
		return json_bad(no, "closureSize is no size", e);
	if (hash && !(json_is(hash, JSON_STRING) &&
		      parse_nar_hash(hash->s, &node.nar_hash)))
		return json_bad(no, "narHash is no SHA-256", e);
	if (!json_is(refs, JSON_ARRAY))
		return json_bad(no, "no list of references", e);
	if (!r->dir) {
		const char *slash = strrchr(node.path, '/');

		if (!slash || node.path[0] != '/')
			return json_bad(no, "not a store path", e);
		r->dir = node.path;
		r->dir_len = (size_t)(slash - node.path);
	}
	if (add_node(r, &node, e) < 0)
		return -1;
	for (const struct json *k = refs->kids; k; k = k->next) {
		if (!json_is(k, JSON_STRING))
			return json_bad(no, "a reference is no text", e);
		if (add_ref(r, k->s, e) < 0)
			return -1;
	}
	return 0;
}

/* The object around the array: take the roots, go on with the array. */
static int
json_unwrap(struct reader *r, const struct json **v, struct err *e)
{
	const struct json *of = json_get(*v, "exportReferencesGraph");

	if (!json_is(of, JSON_OBJECT) || of->n != 1 ||
	    !json_is(of->kids, JSON_ARRAY))
		return err_set(e, ERR_INVALID,
			       "exportReferencesGraph is not one list of "
			       "store paths under a name");
	for (const struct json *k = of->kids->kids; k; k = k->next) {
		if (!json_is(k, JSON_STRING))
			return err_set(e, ERR_INVALID, "a root is no text");
		vec_push(&r->roots, k->s);
	}
	*v = json_get(*v, of->kids->key);
	return 0;
}

int
graph_parse_json(struct arena *a, const char *text, size_t n, struct graph *ret,
		 struct err *e)
{
	AUTO(reader) struct reader r = {.arena = a};
	const struct json *v;
	size_t no = 0;

	if (json_parse(a, text, n, &graph_json_limits, &v, e) < 0)
		return err_wrap(e, "closure");
	if (json_is(v, JSON_OBJECT) && json_unwrap(&r, &v, e) < 0)
		return err_wrap(e, "closure");
	if (!json_is(v, JSON_ARRAY))
		return err_set(e, ERR_INVALID,
			       "closure: not a list of store paths");
	for (const struct json *k = v->kids; k; k = k->next)
		if (json_node(&r, k, ++no, e) < 0)
			return err_wrap(e, "closure");
	if (finish(&r, ret, e) < 0)
		return err_wrap(e, "closure");
	return 0;
}

/* --- order */

/*
 * Depth first without recursion: a chain of 200,000 nodes must not overflow
 * the stack. state is 0 for new, 1 for open, 2 for done.
 */
static int
visit(const struct graph *g, size_t top, unsigned char *state, size_t *stack,
      size_t *next, size_t *ret, size_t *n, struct err *e)
{
	size_t depth = 0;

	stack[depth++] = top;
	state[top] = 1;
	while (depth > 0) {
		size_t v = stack[depth - 1], w;

		if (next[v] >= g->nodes[v].n_refs) {
			state[v] = 2;
			ret[(*n)++] = v;
			depth--;
			continue;
		}
		w = g->nodes[v].refs[next[v]++];
		if (state[w] == 1)
			return err_set(e, ERR_INVALID,
				       "references go in a circle (%s)",
				       graph_name_of(g->nodes[w].path));
		if (state[w] == 0) {
			state[w] = 1;
			stack[depth++] = w;
		}
	}
	return 0;
}

int
graph_sort(const struct graph *g, size_t *ret, struct err *e)
{
	AUTO(mem) unsigned char *state = xcalloc(g->n + 1, 1);
	AUTO(mem) size_t *stack = xcalloc(g->n + 1, sizeof(*stack));
	AUTO(mem) size_t *next = xcalloc(g->n + 1, sizeof(*next));
	size_t n = 0;

	for (size_t v = 0; v < g->n; v++)
		if (state[v] == 0 &&
		    visit(g, v, state, stack, next, ret, &n, e) < 0)
			return -1;
	return 0;
}
