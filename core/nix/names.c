/* SPDX-License-Identifier: Apache-2.0 */
/* What may be asked for, and how it is spelled. */
#include <fnmatch.h>
#include <string.h>

#include "core/base/err.h"
#include "core/nix/eval.h"

#define DEPTH_MAX 16u
#define SPELLINGS_MAX 4u

/* --- what may be asked for */

static bool
matches(const char *attribute, const char *const *patterns, size_t n)
{
	AUTO(buf) struct buf below = BUF_INIT;

	for (size_t i = 0; i < n; i++) {
		if (fnmatch(patterns[i], attribute, FNM_CASEFOLD) == 0)
			return true;
		buf_clear(&below);
		buf_printf(&below, "%s.*", patterns[i]);
		if (fnmatch(below.p, attribute, FNM_CASEFOLD) == 0)
			return true;
	}
	return false;
}

int
nix_check_policy(const struct nix *n, const char *attribute, struct err *e)
{
	bool base = strcmp(attribute, "cacert") == 0 ||
		    strcmp(attribute, "iana-etc") == 0;

	if (matches(attribute, n->o.deny, n->o.n_deny) ||
	    (n->o.n_allow > 0 && !base &&
	     !matches(attribute, n->o.allow, n->o.n_allow)))
		return err_set(
			e, ERR_DENIED,
			"the operator of this registry does not serve %s",
			attribute);
	return 0;
}

/* --- names */

/* "a.b" to {"a", "b", NULL}. */
static int
split_path(struct eval *v, const char *name, const char ***ret, struct err *e)
{
	struct str rest = str_of(name), part;
	const char **path = arena_alloc(v->arena, DEPTH_MAX + 1, sizeof(*path));
	size_t n = 0;

	while (str_cut(&rest, '.', &part)) {
		if (part.n == 0 || n == DEPTH_MAX)
			return err_set(e, ERR_NOT_FOUND,
				       "there is no package %s", name);
		path[n++] = arena_strndup(v->arena, part.p, part.n);
	}
	if (n == 0 || str_has_suffix(name, "."))
		return err_set(e, ERR_NOT_FOUND, "there is no package \"%s\"",
			       name);
	*ret = path;
	return 0;
}

int
nix_fail_ambiguous(const char *name, const char *prefix,
		   const char *const *spellings, size_t n, struct err *e)
{
	AUTO(buf) struct buf list = BUF_INIT;

	for (size_t i = 0; i < n; i++)
		buf_printf(&list, "%s%s%s", i > 0 ? ", " : "", prefix,
			   spellings[i]);
	return err_set(e, ERR_NOT_FOUND, "%s could mean several packages: %s",
		       name, list.p);
}

int
nix_fail_missing(const char *name, const char *asked, const char *prefix,
		 const char *const *names, size_t n, struct err *e)
{
	AUTO(buf) struct buf near = BUF_INIT;

	if (nix_text_near(&near, asked, prefix, names, n))
		return err_set(e, ERR_NOT_FOUND,
			       "there is no package %s; did you mean %s?", name,
			       near.p);
	return err_set(e, ERR_NOT_FOUND, "there is no package %s", name);
}

int
nix_spell_names(struct eval *v, bool *ret_changed, struct err *e)
{
	*ret_changed = false;
	for (size_t i = 0; i < v->request->n_packages; i++) {
		const char *name = v->request->packages[i];
		const char *spellings[SPELLINGS_MAX];
		const char *asked = v->paths[i][0];
		size_t n, n_names;
		const char *const *names;

		n = nix_index_spell(v->index, asked, spellings, SPELLINGS_MAX);
		if (n > 1)
			return nix_fail_ambiguous(name, "", spellings, n, e);
		if (n == 0) {
			names = nix_index_names(v->index, &n_names);
			return nix_fail_missing(name, asked, "", names, n_names,
						e);
		}
		if (strcmp(spellings[0], asked) == 0)
			continue;
		v->paths[i][0] = arena_strdup(v->arena, spellings[0]);
		*ret_changed = true;
	}
	return 0;
}

int
nix_read_names(struct eval *v, struct err *e)
{
	const struct nix_request *r = v->request;

	v->paths = arena_alloc(v->arena, r->n_packages + 1, sizeof(*v->paths));
	for (size_t i = 0; i < r->n_packages; i++) {
		if (split_path(v, r->packages[i], &v->paths[i], e) < 0 ||
		    nix_check_policy(v->nix, r->packages[i], e) < 0)
			return -1;
	}
	return 0;
}
