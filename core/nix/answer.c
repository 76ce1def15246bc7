/* SPDX-License-Identifier: Apache-2.0 */
/* What Nix answers to nix/eval.nix: packages, or why there are none. */
#include <string.h>

#include "core/base/err.h"
#include "core/base/json.h"
#include "core/nix/eval.h"

#define MEMBERS_SHOWN 5u

const char *const *
nix_read_strings(struct arena *a, const struct json *v, size_t *ret_n)
{
	const char **list;
	size_t n = 0;

	*ret_n = 0;
	if (!json_is(v, JSON_ARRAY))
		return NULL;
	list = arena_alloc(a, v->n + 1, sizeof(*list));
	for (const struct json *k = v->kids; k; k = k->next)
		if (json_is(k, JSON_STRING))
			list[n++] = k->s;
	*ret_n = n;
	return list;
}

static int
answer_missing(struct eval *v, struct arena *scratch, const char *name,
	       const struct json *p, struct err *e)
{
	const char *kind = json_get_str(p, "kind");
	const char *missing = json_get_str(p, "missing");
	AUTO(buf) struct buf at = BUF_INIT;
	const char *const *path, *const *names;
	size_t n, n_path;

	path = nix_read_strings(scratch, json_get(p, "at"), &n_path);
	nix_text_dotted(&at, path, n_path);
	if (n_path == 0) {
		/* There is an index by now, which knows better. */
		names = nix_index_names(v->index, &n);
		return nix_fail_missing(name, missing, "", names, n, e);
	}
	names = nix_read_strings(scratch, json_get(p, "ambiguous"), &n);
	buf_addc(&at, '.');
	if (n > 1)
		return nix_fail_ambiguous(name, at.p, names, n, e);
	names = nix_read_strings(scratch, json_get(p, "names"), &n);
	if (kind && (strcmp(kind, "set") == 0 || strcmp(kind, "package") == 0))
		return nix_fail_missing(name, missing, at.p, names, n, e);
	buf_truncate(&at, at.len - 1);
	return err_set(e, ERR_NOT_FOUND,
		       "there is no package %s: %s is a %s, not a set of "
		       "packages",
		       name, at.p, kind ? kind : "value");
}

/* What Nix calls a type, in a sentence. */
static const char *
kind_name(const char *kind)
{
	static const struct {
		const char *nix, *text;
	} names[] = {
		{"lambda", "a function"},  {"set", "a set"},
		{"int", "a number"},       {"float", "a number"},
		{"bool", "a truth value"}, {"null", "empty"},
		{"string", "a text"},      {"path", "a file name"},
		{"list", "a list"},
	};

	for (size_t i = 0; kind && i < ARRAY_LEN(names); i++)
		if (strcmp(kind, names[i].nix) == 0)
			return names[i].text;
	return "something else";
}

/* Sets hold functions of their own beside packages. */
static bool
names_package(const char *member)
{
	static const char *const others[] = {
		"callPackage",
		"extend",
		"newScope",
		"override",
		"overrideDerivation",
		"overrideScope",
		"overrideScope'",
		"packages",
		"recurseForDerivations",
	};

	if (str_has_prefix(member, "__"))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		if (strcmp(member, others[i]) == 0)
			return false;
	return true;
}

static int
answer_no_package(struct arena *scratch, const char *name, const struct json *p,
		  struct err *e)
{
	AUTO(buf) struct buf at = BUF_INIT, list = BUF_INIT;
	const char *const *path, *const *members;
	size_t n, n_path, shown = 0;

	path = nix_read_strings(scratch, json_get(p, "at"), &n_path);
	nix_text_dotted(&at, path, n_path);
	members = nix_read_strings(scratch, json_get(p, "members"), &n);
	for (size_t i = 0; i < n && shown <= MEMBERS_SHOWN; i++) {
		if (!names_package(members[i]))
			continue;
		if (shown == MEMBERS_SHOWN)
			buf_adds(&list, ", ...");
		else
			buf_printf(&list, "%s%s.%s", shown > 0 ? ", " : "",
				   at.p, members[i]);
		shown++;
	}
	if (shown == 0)
		return err_set(e, ERR_NOT_FOUND, "%s is not a package but %s",
			       name, kind_name(json_get_str(p, "kind")));
	return err_set(e, ERR_NOT_FOUND,
		       "%s is not a package but %s; some of what is in it: "
		       "%s",
		       name, kind_name(json_get_str(p, "kind")), list.p);
}

static int
add_output(struct eval *v, const struct nix_output *package,
	   const struct json *output, struct err *e)
{
	const char *which = json_get_str(output, "name");
	const char *path = json_get_str(output, "path");
	struct nix_output o;

	/* Nothing that the set says of paths is believed. */
	if (!which || !path || !nix_text_is_store_path(path, v->store_dir) ||
	    which[0] == '\0' ||
	    strspn(which, "abcdefghijklmnopqrstuvwxyz"
			  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_+.?=") !=
		    strlen(which))
		return err_set(e, ERR_BUILD,
			       "%s is not a package: it has no output in the "
			       "Nix store",
			       package->attribute);
	o = *package;
	o.output = arena_strdup(v->arena, which);
	o.path = arena_strdup(v->arena, path);
	vec_push(&v->found, o);
	return 0;
}

/* NULL when there is none. */
static const char *
read_license(struct eval *v, struct arena *scratch, const struct json *p)
{
	AUTO(buf) struct buf text = BUF_INIT;
	const char *const *list;
	size_t n;

	list = nix_read_strings(scratch, json_get(p, "licenses"), &n);
	if (!nix_text_license(&text, list, n))
		return NULL;
	return arena_strdup(v->arena, text.p);
}

/* By the path that was found, and by what the package is. */
static int
check_policy(struct eval *v, struct arena *scratch, const char *at,
	     const struct json *p, struct err *e)
{
	const struct json *denied = json_get(p, "denied");
	const char *const *own;
	uint64_t below;
	size_t n;

	if (!json_is(denied, JSON_BOOL) || !json_get_u64(p, "below", &below))
		return err_set(e, ERR_UPSTREAM,
			       "Nix's answer is not what was asked for");
	if (nix_check_policy(v->nix, at, below, e) < 0)
		return -1;
	own = nix_read_strings(scratch, json_get(p, "calls"), &n);
	for (size_t i = 0; i < n; i++)
		if (nix_check_own_name(v->nix, own[i], at, e) < 0)
			return -1;
	if (denied->b)
		return nix_fail_policy(at, e);
	return 0;
}

static int
answer_package(struct eval *v, struct arena *scratch, const char *asked,
	       const struct json *p, struct err *e)
{
	const char *drv = json_get_str(p, "drv");
	const char *name = json_get_str(p, "name");
	const char *system = json_get_str(p, "runsOn");
	const struct json *outputs = json_get(p, "outputs");
	AUTO(buf) struct buf at = BUF_INIT;
	const char *const *path;
	struct nix_output package;
	size_t n;

	path = nix_read_strings(scratch, json_get(p, "at"), &n);
	nix_text_dotted(&at, path, n);
	if (!drv || !name || !nix_text_is_store_path(drv, v->store_dir) ||
	    !str_has_suffix(drv, ".drv") || !json_is(outputs, JSON_ARRAY))
		return err_set(e, ERR_BUILD,
			       "%s is not a package: it has no derivation in "
			       "the Nix store",
			       asked);
	if (check_policy(v, scratch, at.p, p, e) < 0)
		return -1;
	if (system && !nix_machine_runs(v->request->system, system))
		return err_set(e, ERR_DENIED,
			       "%s is not available for %s: the package set "
			       "has it for %s",
			       asked, v->request->system, system);
	package = (struct nix_output){
		.attribute = arena_strdup(v->arena, at.p),
		.name = arena_strdup(v->arena, name),
		.drv = arena_strdup(v->arena, drv),
		.license = read_license(v, scratch, p),
	};
	for (const struct json *o = outputs->kids; o; o = o->next)
		if (add_output(v, &package, o, e) < 0)
			return -1;
	return 0;
}

int
nix_read_packages(struct eval *v, struct arena *scratch,
		  const struct json *answer, struct err *e)
{
	const struct json *list = json_get(answer, "packages");
	const struct json *p;
	size_t i = 0;

	if (!json_is(list, JSON_ARRAY) || list->n != v->request->n_packages)
		return err_set(e, ERR_UPSTREAM,
			       "Nix's answer is not what was asked for");
	for (p = list->kids; p; p = p->next, i++) {
		const char *name = v->request->packages[i];
		int r;

		if (json_get(p, "missing"))
			r = answer_missing(v, scratch, name, p, e);
		else if (json_get(p, "kind"))
			r = answer_no_package(scratch, name, p, e);
		else
			r = answer_package(v, scratch, name, p, e);
		if (r < 0)
			return -1;
	}
	return 0;
}
