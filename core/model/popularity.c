/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/popularity.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/strmap.h"
#include "core/base/vec.h"
#include "core/model/graph.h"

struct entry {
	const char *name;
	uint64_t count;
};

struct popularity {
	struct arena names;
	struct strmap index; /* name to its place in entries */
	struct {
		VEC(struct entry);
	} entries;
};

/* nixpkgs as a whole has some 150,000 names: 6 MB of JSON. */
static const struct json_limits popularity_json_limits = {
	.max_bytes = (size_t)128 << 20,
	.max_depth = 2,
	.max_values = POPULARITY_MAX_NAMES + 1,
};

struct popularity *
popularity_new(void)
{
	struct popularity *p = xcalloc(1, sizeof(*p));

	arena_init(&p->names);
	strmap_init(&p->index);
	return p;
}

void
popularity_free(struct popularity *p)
{
	if (!p)
		return;
	vec_release(&p->entries);
	strmap_release(&p->index);
	arena_release(&p->names);
	free(p);
}

void
popularity_add(struct popularity *p, const char *name, uint64_t count)
{
	struct entry *at;
	size_t i;

	if (!strmap_get(&p->index, name, &i)) {
		struct entry fresh = {.count = 0};

		if (p->entries.n == POPULARITY_MAX_NAMES)
			return;
		i = p->entries.n;
		fresh.name = arena_strdup(&p->names, name);
		vec_push(&p->entries, fresh);
		(void)strmap_put(&p->index, fresh.name, i, NULL);
	}
	at = &p->entries.v[i];
	if (count > POPULARITY_MAX_COUNT - at->count)
		count = POPULARITY_MAX_COUNT - at->count;
	at->count += count;
}

void
popularity_add_image(struct popularity *p, const struct graph *g)
{
	for (size_t v = 0; v < g->n; v++)
		popularity_add(p, graph_name_of(g->nodes[v].path), 1);
}

int
popularity_add_json(struct popularity *p, const char *text, size_t n,
		    struct err *e)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	const struct json *v;

	if (json_parse(&a, text, n, &popularity_json_limits, &v, e) < 0)
		return err_wrap(e, "popularity");
	if (!json_is(v, JSON_OBJECT))
		return err_set(e, ERR_INVALID,
			       "popularity: not an object of counts");
	for (const struct json *k = v->kids; k; k = k->next) {
		uint64_t count;

		if (!json_u64(k, &count) || count > POPULARITY_MAX_COUNT)
			return err_set(
				e, ERR_INVALID,
				"popularity: a count from 0 to %llu is "
				"expected",
				(unsigned long long)POPULARITY_MAX_COUNT);
		popularity_add(p, k->key, count);
	}
	return 0;
}

uint64_t
popularity_of(const struct popularity *p, const char *name)
{
	size_t i;

	if (!p || !strmap_get(&p->index, name, &i))
		return 1;
	return p->entries.v[i].count;
}

static int
entry_cmp(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	return strcmp(x->name, y->name);
}

void
popularity_write_json(const struct popularity *p, uint64_t least,
		      struct buf *to)
{
	AUTO(mem)
	struct entry *sorted = xcalloc(p->entries.n + 1, sizeof(*sorted));
	AUTO(json_out) struct json_out o;

	if (p->entries.n > 0) {
		memcpy(sorted, p->entries.v, p->entries.n * sizeof(*sorted));
		qsort(sorted, p->entries.n, sizeof(*sorted), entry_cmp);
	}
	json_out_init(&o, to);
	json_object(&o);
	for (size_t i = 0; i < p->entries.n; i++)
		if (sorted[i].count >= least)
			json_knum(&o, sorted[i].name, sorted[i].count);
	json_object_end(&o);
	buf_addc(to, '\n');
}
