/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/narinfo.h"

#include <string.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/strmap.h"
#include "core/model/graph.h"

/* The value of "KEY: value"; false when the line has another key. */
static bool
value_of(struct str line, const char *key, struct str *ret)
{
	size_t n = strlen(key);

	if (line.n < n + 1 || memcmp(line.p, key, n) != 0 || line.p[n] != ':')
		return false;
	*ret = (struct str){.p = line.p + n + 1, .n = line.n - n - 1};
	while (ret->n > 0 && *ret->p == ' ') {
		ret->p++;
		ret->n--;
	}
	return true;
}

static int
add_refs(struct arena *a, struct str list, struct narinfo *to, struct err *e)
{
	AUTO(strmap) struct strmap seen = STRMAP_INIT;
	const char **v = arena_alloc(a, list.n / 2 + 1, sizeof(*v));
	struct str one;

	while (str_cut(&list, ' ', &one)) {
		if (one.n == 0)
			continue;
		v[to->n_refs] = arena_strndup(a, one.p, one.n);
		if (!graph_base_ok(v[to->n_refs]))
			return err_set(e, ERR_INVALID,
				       "narinfo: a reference is not the name "
				       "of a store path");
		if (strcmp(v[to->n_refs], to->path) != 0 &&
		    !strmap_put(&seen, v[to->n_refs], 0, NULL))
			to->n_refs++;
	}
	to->refs = v;
	return 0;
}

int
narinfo_parse(struct arena *a, const char *text, size_t n, struct narinfo *ret,
	      struct err *e)
{
	struct str rest = {.p = text, .n = n}, line, value;
	struct str path = {.p = NULL}, refs = {.p = NULL};
	struct narinfo info = {.n_refs = 0};
	const char *base;

	if (n > NARINFO_MAX)
		return err_set(e, ERR_INVALID, "narinfo: too large");
	if (n > 0 && memchr(text, '\0', n))
		return err_set(e, ERR_INVALID, "narinfo: not a text");
	while (str_cut(&rest, '\n', &line)) {
		if (value_of(line, "StorePath", &value))
			path = value;
		else if (value_of(line, "References", &value))
			refs = value;
	}
	if (!path.p || !refs.p)
		return err_set(e, ERR_INVALID,
			       "narinfo: no store path or no references");
	base = strrchr(arena_strndup(a, path.p, path.n), '/');
	if (!base || !graph_base_ok(base + 1))
		return err_set(e, ERR_INVALID, "narinfo: not a store path");
	info.path = base + 1;
	if (add_refs(a, refs, &info, e) < 0)
		return -1;
	*ret = info;
	return 0;
}
