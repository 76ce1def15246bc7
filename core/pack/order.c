/* SPDX-License-Identifier: Apache-2.0 */
#include "core/pack/order.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/strmap.h"
#include "core/base/vec.h"
#include "core/pack/pack.h"
#include "core/sys/fsat.h"

struct maker {
	struct arena *a;
	struct strmap names; /* as written -> index in items */
	struct {
		VEC(struct order_item);
	} items;
};

/* "a/b": no empty part, no "." and no "..". */
static bool
is_clean(const char *name)
{
	struct str rest = str_of(name), part;

	if (rest.n == 0 || name[rest.n - 1] == '/')
		return false;
	while (str_cut(&rest, '/', &part)) {
		if (part.n == 0 || str_eq(part, ".") || str_eq(part, ".."))
			return false;
	}
	return true;
}

/* The name with or without the slash that marks a directory. */
static bool
is_there(const struct maker *m, const char *name, bool dir)
{
	const char *written = dir ? arena_printf(m->a, "%s/", name) : name;
	size_t at;

	return strmap_get(&m->names, written, &at);
}

static int
add(struct maker *m, const char *name, bool dir, struct order_item item,
    struct err *e)
{
	if (!is_clean(name))
		return err_set(e, ERR_INVALID,
			       "\"%s\" is no name for a file in a layer", name);
	if (is_there(m, name, true) || is_there(m, name, false))
		return err_set(e, ERR_INVALID, "%s is in the layer twice",
			       name);
	item.name = dir ? arena_printf(m->a, "%s/", name)
			: arena_strdup(m->a, name);
	(void)strmap_put(&m->names, item.name, m->items.n, NULL);
	vec_push(&m->items, item);
	return 0;
}

static int
add_path(struct maker *m, const char *root, const char *path, struct err *e)
{
	AUTO(buf) struct buf real = BUF_INIT;
	enum fsat_type type;

	if (path[0] != '/')
		return err_set(e, ERR_INVALID, "%s is no absolute path", path);
	buf_printf(&real, "%s%s", root, path);
	if (fsat_type(AT_FDCWD, real.p, &type, e) < 0)
		return err_wrap(e, "pack %s", path);
	return add(m, path + 1, type == FSAT_DIR,
		   (struct order_item){.path = path}, e);
}

/* Every directory above the item, unless it is there. */
static int
add_parents(struct maker *m, const char *name, struct err *e)
{
	for (const char *p = strchr(name, '/'); p && p[1]; p = strchr(p, '/')) {
		char *dir = arena_strndup(m->a, name, (size_t)(++p - name));
		size_t at;

		if (strmap_get(&m->names, dir, &at)) {
			if (!m->items.v[at].path)
				continue;
			return err_set(e, ERR_INVALID,
				       "%s lies within the store path /%s",
				       name, dir);
		}
		dir[strlen(dir) - 1] = '\0';
		if (strmap_get(&m->names, dir, &at))
			return err_set(e, ERR_INVALID,
				       "%s lies within %s, which is no "
				       "directory",
				       name, dir);
		if (add(m, dir, true, (struct order_item){.path = NULL}, e) < 0)
			return -1;
	}
	return 0;
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(((const struct order_item *)a)->name,
		      ((const struct order_item *)b)->name);
}

static int
make(struct maker *m, const struct pack_input *in, struct err *e)
{
	size_t n;

	for (size_t i = 0; i < in->n_entries; i++) {
		const struct pack_entry *pe = &in->entries[i];

		if (add(m, pe->name, pe->type == PACK_DIR,
			(struct order_item){.entry = pe}, e) < 0)
			return -1;
	}
	for (size_t i = 0; i < in->n_paths; i++) {
		if (add_path(m, in->root, in->paths[i], e) < 0)
			return -1;
	}
	n = m->items.n;
	for (size_t i = 0; i < n; i++) {
		if (add_parents(m, m->items.v[i].name, e) < 0)
			return -1;
	}
	return 0;
}

int
order_make(struct arena *a, const struct pack_input *in, struct order *ret,
	   struct err *e)
{
	struct maker m = {.a = a, .names = STRMAP_INIT, .items = VEC_INIT};
	int r = make(&m, in, e);

	ret->n = m.items.n;
	ret->v = arena_alloc(a, ret->n, sizeof(*ret->v));
	if (ret->n > 0) {
		memcpy(ret->v, m.items.v, ret->n * sizeof(*ret->v));
		qsort(ret->v, ret->n, sizeof(*ret->v), by_name);
	}
	strmap_release(&m.names);
	vec_release(&m.items);
	return r;
}
