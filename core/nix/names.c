/* SPDX-License-Identifier: Apache-2.0 */
/* What may be asked for, and how it is spelled. */
#include <fnmatch.h>
#include <string.h>

#include "core/base/err.h"
#include "core/nix/eval.h"

#define DEPTH_MAX 16u
#define SPELLINGS_MAX 4u

/* --- what may be asked for */

static size_t
depth_of(const char *pattern)
{
	size_t n = 1;

	for (const char *p = pattern; (p = strchr(p, '.')) != NULL; p++)
		n++;
	return n;
}

/* By a pattern that is deeper than that. */
static bool
matches(const char *attribute, const char *const *patterns, size_t n,
	size_t deeper_than)
{
	AUTO(buf) struct buf below = BUF_INIT;

	for (size_t i = 0; i < n; i++) {
		if (depth_of(patterns[i]) <= deeper_than)
			continue;
		if (fnmatch(patterns[i], attribute, FNM_CASEFOLD) == 0)
			return true;
		buf_clear(&below);
		buf_printf(&below, "%s.*", patterns[i]);
		if (fnmatch(below.p, attribute, FNM_CASEFOLD) == 0)
			return true;
	}
	return false;
}

static bool
is_in_every_image(const char *attribute)
{
	return strcmp(attribute, "cacert") == 0 ||
	       strcmp(attribute, "iana-etc") == 0;
}

int
nix_fail_policy(const char *name, struct err *e)
{
	return err_set(e, ERR_DENIED,
		       "the operator of this registry does not serve %s", name);
}

int
nix_check_policy(const struct nix *n, const char *attribute, size_t below,
		 struct err *e)
{
	bool base = is_in_every_image(attribute);

	if (matches(attribute, n->o.deny, n->o.n_deny, 0) ||
	    (n->o.n_allow > 0 && !base &&
	     !matches(attribute, n->o.allow, n->o.n_allow, below)))
		return nix_fail_policy(attribute, e);
	return 0;
}

int
nix_check_own_name(const struct nix *n, const char *own, const char *name,
		   struct err *e)
{
	for (size_t i = 0; i < n->o.n_deny; i++)
		if (fnmatch(n->o.deny[i], own, FNM_CASEFOLD) == 0)
			return nix_fail_policy(name, e);
	return 0;
}

/* --- names */

/* "a.b" to {"a", "b", NULL}; NULL if it can't be a path. */
static const char **
split_path(struct eval *v, const char *name)
{
	struct str rest = str_of(name), part;
	const char **path = arena_alloc(v->arena, DEPTH_MAX + 1, sizeof(*path));
	size_t n = 0;

	while (str_cut(&rest, '.', &part)) {
		if (part.n == 0 || n == DEPTH_MAX)
			return NULL;
		path[n++] = arena_strndup(v->arena, part.p, part.n);
	}
	return n == 0 || str_has_suffix(name, ".") ? NULL : path;
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

/* Nobody asked for what is in every image. */
static int
fail_unknown(struct eval *v, const char *name, const char *asked, struct err *e)
{
	size_t n;
	const char *const *names = nix_index_names(v->index, &n);

	if (n == 0)
		return err_set(e, ERR_NOT_FOUND,
			       "the package set has nothing for %s",
			       v->request->system);
	if (is_in_every_image(name))
		return err_set(e, ERR_NOT_FOUND,
			       "the package set has no %s, which every image "
			       "needs",
			       name);
	return nix_fail_missing(name, asked, "", names, n, e);
}

int
nix_spell_names(struct eval *v, bool *ret_changed, struct err *e)
{
	*ret_changed = false;
	for (size_t i = 0; i < v->request->n_packages; i++) {
		const char *name = v->request->packages[i];
		const char *spellings[SPELLINGS_MAX];
		const char *asked = v->paths[i][0];
		size_t n;

		n = nix_index_spell(v->index, asked, spellings, SPELLINGS_MAX);
		if (n > 1)
			return nix_fail_ambiguous(name, "", spellings, n, e);
		if (n == 0)
			return fail_unknown(v, name, asked, e);
		if (strcmp(spellings[0], asked) == 0)
			continue;
		v->paths[i][0] = arena_strdup(v->arena, spellings[0]);
		*ret_changed = true;
	}
	return 0;
}

/* A pattern that means one path, and not any that are like it. */
static bool
is_literal(const char *pattern)
{
	return strpbrk(pattern, "*?[\\") == NULL;
}

/* One path for each spelling of its first name; false when that changed. */
static bool
add_denied(struct eval *v, const char *pattern)
{
	const char **path = split_path(v, pattern);
	const char *spellings[SPELLINGS_MAX];
	bool same = false;
	size_t n = 1;

	if (!path)
		return true;
	spellings[0] = path[0];
	if (v->index)
		n = nix_index_spell(v->index, path[0], spellings,
				    SPELLINGS_MAX);
	for (size_t i = 0; i < n; i++) {
		const char **copy =
			arena_alloc(v->arena, DEPTH_MAX + 1, sizeof(*copy));

		memcpy(copy, path, (DEPTH_MAX + 1) * sizeof(*copy));
		copy[0] = arena_strdup(v->arena, spellings[i]);
		same = same || strcmp(copy[0], path[0]) == 0;
		v->denied[v->n_denied++] = copy;
	}
	return n == 0 || (n == 1 && same);
}

void
nix_spell_denied(struct eval *v, bool *ret_changed)
{
	const struct nix_options *o = &v->nix->o;

	v->denied = arena_alloc(v->arena, o->n_deny * SPELLINGS_MAX + 1,
				sizeof(*v->denied));
	v->n_denied = 0;
	for (size_t i = 0; i < o->n_deny; i++)
		if (is_literal(o->deny[i]) && !add_denied(v, o->deny[i]))
			*ret_changed = true;
}

int
nix_read_names(struct eval *v, struct err *e)
{
	const struct nix_request *r = v->request;

	v->paths = arena_alloc(v->arena, r->n_packages + 1, sizeof(*v->paths));
	for (size_t i = 0; i < r->n_packages; i++) {
		v->paths[i] = split_path(v, r->packages[i]);
		if (!v->paths[i])
			return err_set(e, ERR_NOT_FOUND,
				       "there is no package %s",
				       r->packages[i]);
		if (nix_check_policy(v->nix, r->packages[i], 0, e) < 0)
			return -1;
	}
	return 0;
}
