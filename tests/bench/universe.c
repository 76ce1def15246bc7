/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/universe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/mem.h"
#include "core/base/strmap.h"
#include "core/base/vec.h"
#include "core/model/graph.h"
#include "core/model/popularity.h"

NORETURN static void
die(const char *what)
{
	(void)fprintf(stderr, "bench: %s\n", what);
	exit(1);
}

static void
read_gz(const char *file, struct buf *to)
{
	gzFile f = gzopen(file, "rb");
	char chunk[65536];
	int n;

	if (!f)
		die("can't open the universe");
	while ((n = gzread(f, chunk, sizeof(chunk))) > 0)
		buf_add(to, chunk, (size_t)n);
	if (n < 0 || gzclose(f) != Z_OK)
		die("can't read the universe");
}

static bool
hidden_section(struct str s)
{
	static const char *const names[] = {
		"libs",         "libdevel",      "oldlibs",
		"debug",        "doc",           "kernel",
		"localization", "introspection", "metapackages",
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_eq(s, names[i]))
			return true;
	return false;
}

/* A store path whose hash has nothing to do with the order of names. */
static char *
path_of(const char *name)
{
	static const char digits[] = "0123456789abcdfghijklmnpqrsvwxyz";
	struct buf b = BUF_INIT;
	struct random r = {.state = 0};

	for (const char *s = name; *s; s++)
		r.state = r.state * 1099511628211u + (unsigned char)*s;
	buf_adds(&b, "/nix/store/");
	for (int i = 0; i < 32; i++)
		buf_addc(&b, digits[random_below(&r, 32)]);
	buf_printf(&b, "-%s-1.0", name);
	return buf_steal(&b);
}

struct edges {
	VEC(size_t);
};

static void
load_line(struct universe *u, size_t i, struct str line, struct strmap *sources,
	  struct edges *deps)
{
	struct str f[6], one;
	uint64_t v;
	char *source;

	for (size_t k = 0; k < 6; k++)
		if (!str_cut(&line, '\t', &f[k]))
			die("the universe has a line with too few fields");
	u->name[i] = xstrndup(f[0].p, f[0].n);
	u->path[i] = path_of(u->name[i]);
	source = xstrndup(f[1].p, f[1].n);
	if (strmap_get(sources, source, &u->source[i])) {
		free(source);
	} else {
		u->source[i] = u->n_sources++;
		(void)strmap_put(sources, source, u->source[i], NULL);
	}
	u->hidden[i] = hidden_section(f[2]);
	if (!str_to_u64(f[3], UINT64_MAX, &u->nar[i]) ||
	    !str_to_u64(f[4], UINT64_MAX, &u->csz[i]))
		die("the universe has a bad size");
	u->deps.at[i] = deps->n;
	while (f[5].n > 0 && str_cut(&f[5], ' ', &one)) {
		if (!str_to_u64(one, u->n - 1, &v))
			die("the universe has a bad dependency");
		vec_push(deps, (size_t)v);
		if (!f[5].p)
			break;
	}
	u->deps.at[i + 1] = deps->n;
}

static void
reverse(const struct adjacency *from, size_t n, struct adjacency *to)
{
	size_t *next = xcalloc(n + 1, sizeof(*next));

	to->at = xcalloc(n + 2, sizeof(*to->at));
	to->to = xcalloc(from->at[n] + 1, sizeof(*to->to));
	for (size_t i = 0; i < from->at[n]; i++)
		to->at[from->to[i] + 1]++;
	for (size_t v = 0; v < n; v++)
		to->at[v + 1] += to->at[v];
	memcpy(next, to->at, n * sizeof(*next));
	for (size_t v = 0; v < n; v++)
		for (size_t i = from->at[v]; i < from->at[v + 1]; i++)
			to->to[next[from->to[i]]++] = v;
	free(next);
}

void
universe_load(struct universe *u, const char *file)
{
	struct buf text = BUF_INIT;
	struct strmap sources = STRMAP_INIT;
	struct edges deps = VEC_INIT;
	struct str rest, line;
	size_t i = 0;

	*u = (struct universe){.n = 0};
	read_gz(file, &text);
	for (size_t k = 0; k < text.len; k++)
		u->n += text.p[k] == '\n';
	u->name = xcalloc(u->n, sizeof(*u->name));
	u->path = xcalloc(u->n, sizeof(*u->path));
	u->source = xcalloc(u->n, sizeof(*u->source));
	u->hidden = xcalloc(u->n, sizeof(*u->hidden));
	u->nar = xcalloc(u->n, sizeof(*u->nar));
	u->csz = xcalloc(u->n, sizeof(*u->csz));
	u->deps.at = xcalloc(u->n + 1, sizeof(*u->deps.at));
	rest = (struct str){.p = text.p, .n = text.len};
	while (str_cut(&rest, '\n', &line) && i < u->n)
		load_line(u, i++, line, &sources, &deps);
	u->deps.to = deps.v;
	reverse(&u->deps, u->n, &u->users);
	strmap_release(&sources); /* the keys stay until the program ends */
	buf_release(&text);
}

size_t
universe_find(const struct universe *u, const char *name)
{
	for (size_t i = 0; i < u->n; i++)
		if (strcmp(u->name[i], name) == 0)
			return i;
	return SIZE_MAX;
}

static int
ascending(const void *a, const void *b)
{
	size_t x = *(const size_t *)a, y = *(const size_t *)b;

	return (x > y) - (x < y);
}

size_t *
universe_reach(const struct universe *u, const struct adjacency *edges,
	       const size_t *from, size_t n, size_t *ret_n)
{
	struct edges found = VEC_INIT;
	bool *seen = xcalloc(u->n, sizeof(*seen));

	for (size_t i = 0; i < n; i++) {
		if (!seen[from[i]])
			vec_push(&found, from[i]);
		seen[from[i]] = true;
	}
	for (size_t k = 0; k < found.n; k++) {
		size_t v = found.v[k];

		for (size_t i = edges->at[v]; i < edges->at[v + 1]; i++) {
			if (!seen[edges->to[i]])
				vec_push(&found, edges->to[i]);
			seen[edges->to[i]] = true;
		}
	}
	free(seen);
	qsort(found.v, found.n, sizeof(*found.v), ascending);
	*ret_n = found.n;
	return found.v;
}

struct by_path {
	const char *path;
	size_t package;
};

static int
by_path_cmp(const void *a, const void *b)
{
	const struct by_path *x = a, *y = b;

	return strcmp(x->path, y->path);
}

void
universe_graph(const struct universe *u, struct arena *a, const size_t *closure,
	       size_t n, struct graph *ret, size_t **ret_package)
{
	struct by_path *order = xcalloc(n + 1, sizeof(*order));
	size_t *place = xcalloc(u->n, sizeof(*place));
	size_t *package = arena_alloc(a, n + 1, sizeof(*package));

	for (size_t i = 0; i < n; i++)
		order[i] = (struct by_path){u->path[closure[i]], closure[i]};
	qsort(order, n, sizeof(*order), by_path_cmp);
	*ret = (struct graph){.n = n};
	ret->nodes = arena_alloc(a, n + 1, sizeof(*ret->nodes));
	for (size_t i = 0; i < n; i++)
		place[order[i].package] = i;
	for (size_t i = 0; i < n; i++) {
		size_t v = order[i].package;
		size_t k = u->deps.at[v + 1] - u->deps.at[v];
		size_t *refs = arena_alloc(a, k + 1, sizeof(*refs));

		for (size_t j = 0; j < k; j++)
			refs[j] = place[u->deps.to[u->deps.at[v] + j]];
		qsort(refs, k, sizeof(*refs), ascending);
		package[i] = v;
		ret->nodes[i].path = order[i].path;
		ret->nodes[i].nar_size = u->nar[v];
		ret->nodes[i].refs = refs;
		ret->nodes[i].n_refs = k;
	}
	*ret_package = package;
	free(order);
	free(place);
}

struct popularity *
universe_popularity(const struct universe *u)
{
	struct popularity *p = popularity_new();

	for (size_t v = 0; v < u->n; v++)
		if (u->users.at[v + 1] - u->users.at[v] > 1)
			popularity_add(p, graph_name_of(u->path[v]),
				       u->users.at[v + 1] - u->users.at[v]);
	return p;
}

void
universe_free(struct universe *u)
{
	for (size_t i = 0; i < u->n; i++) {
		free(u->name[i]);
		free(u->path[i]);
	}
	free(u->name);
	free(u->path);
	free(u->source);
	free(u->hidden);
	free(u->nar);
	free(u->csz);
	free(u->deps.at);
	free(u->deps.to);
	free(u->users.at);
	free(u->users.to);
}
