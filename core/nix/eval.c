/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/json.h"
#include "core/nix/errors.h"
#include "core/nix/impl.h"
#include "core/nix/report.h"

#define EVAL_TIMEOUT_S 60u
#define DEPTH_MAX 16u
#define SPELLINGS_MAX 4u
#define ANSWER_MAX (16u << 20)
#define MEMBERS_SHOWN 5u

static const struct json_limits answer_limits = {
	.max_bytes = ANSWER_MAX,
	.max_depth = 16,
	.max_values = 2000000,
};

/* One evaluation of one request. */
struct eval {
	struct nix *nix;
	struct arena *arena; /* the caller's */
	const struct nix_request *request;
	const struct nix_watch *watch;
	struct nix_index_key key;
	struct nix_index *index; /* NULL: Nix is asked for the names */
	const char ***paths;     /* one for each package, NULL at end */
	const char *tree;        /* where the set is */
	const char *store_dir;
	struct {
		VEC(struct nix_output);
	} found;
};

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

static int
check_policy(const struct nix *n, const char *attribute, struct err *e)
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

static int
fail_ambiguous(const char *name, const char *prefix,
	       const char *const *spellings, size_t n, struct err *e)
{
	AUTO(buf) struct buf list = BUF_INIT;

	for (size_t i = 0; i < n; i++)
		buf_printf(&list, "%s%s%s", i > 0 ? ", " : "", prefix,
			   spellings[i]);
	return err_set(e, ERR_NOT_FOUND, "%s could mean several packages: %s",
		       name, list.p);
}

static int
fail_missing(const char *name, const char *asked, const char *prefix,
	     const char *const *names, size_t n, struct err *e)
{
	AUTO(buf) struct buf near = BUF_INIT;

	if (nix_text_near(&near, asked, prefix, names, n))
		return err_set(e, ERR_NOT_FOUND,
			       "there is no package %s; did you mean %s?", name,
			       near.p);
	return err_set(e, ERR_NOT_FOUND, "there is no package %s", name);
}

/* The top level, by the index. *ret_changed: a name is spelled otherwise. */
static int
spell_names(struct eval *v, bool *ret_changed, struct err *e)
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
			return fail_ambiguous(name, "", spellings, n, e);
		if (n == 0) {
			names = nix_index_names(v->index, &n_names);
			return fail_missing(name, asked, "", names, n_names, e);
		}
		if (strcmp(spellings[0], asked) == 0)
			continue;
		v->paths[i][0] = arena_strdup(v->arena, spellings[0]);
		*ret_changed = true;
	}
	return 0;
}

static int
read_names(struct eval *v, struct err *e)
{
	const struct nix_request *r = v->request;

	v->paths = arena_alloc(v->arena, r->n_packages + 1, sizeof(*v->paths));
	for (size_t i = 0; i < r->n_packages; i++) {
		if (split_path(v, r->packages[i], &v->paths[i], e) < 0 ||
		    check_policy(v->nix, r->packages[i], e) < 0)
			return -1;
	}
	return 0;
}

/* --- the question */

static void
write_config(struct json_out *o, const struct nix_options *opt)
{
	json_key(o, "config");
	json_object(o);
	json_key(o, "allowUnfree");
	json_bool(o, opt->allow_unfree);
	json_key(o, "allowBroken");
	json_bool(o, opt->allow_broken);
	json_key(o, "allowInsecure");
	json_bool(o, opt->allow_insecure);
	json_key(o, "allowUnsupportedSystem");
	json_bool(o, false);
	json_object_end(o);
}

static void
write_request(struct eval *v, struct buf *to)
{
	AUTO(json_out) struct json_out o = {.gen = NULL};
	const struct nix_request *r = v->request;

	json_out_init(&o, to);
	json_object(&o);
	json_key(&o, "source");
	json_object(&o);
	json_kstr(&o, "kind", source_kind_name(r->source->kind));
	json_kstr(&o, "path", v->tree);
	json_object_end(&o);
	json_kstr(&o, "system", r->system);
	json_key(&o, "paths");
	json_array(&o);
	for (size_t i = 0; i < r->n_packages; i++) {
		json_array(&o);
		for (const char **p = v->paths[i]; *p; p++)
			json_str(&o, *p);
		json_array_end(&o);
	}
	json_array_end(&o);
	json_key(&o, "wantNames");
	json_bool(&o, v->index == NULL);
	write_config(&o, &v->nix->o);
	json_key(&o, "overlays");
	json_array(&o);
	for (size_t i = 0; i < v->nix->o.n_overlays; i++)
		json_str(&o, v->nix->o.overlays[i]);
	json_array_end(&o);
	json_object_end(&o);
}

/* A directory that the evaluation may read. */
static void
add_readable(struct eval *v, struct nix_args *args, const char *dir)
{
	nix_args_add(args, "-I", arena_printf(v->arena, "firn=%s", dir),
		     (char *)NULL);
}

static void
write_args(struct eval *v, struct nix_args *args, const char *request)
{
	const struct nix_options *opt = &v->nix->o;

	nix_args_add(args, "--eval", "--strict", "--json", "--read-write-mode",
		     (char *)NULL);
	nix_args_option(args, "restrict-eval", "true");
	nix_args_option(args, "allow-import-from-derivation", "false");
	nix_args_option(args, "allowed-uris", opt->allowed_uris);
	add_readable(v, args, opt->expressions);
	add_readable(v, args, v->tree);
	for (size_t i = 0; i < opt->n_overlays; i++)
		add_readable(v, args, opt->overlays[i]);
	nix_args_add(args,
		     arena_printf(v->arena, "%s/eval.nix", opt->expressions),
		     "--argstr", "request", request, (char *)NULL);
}

/* --- the answer */

/* An array of strings, as far as it holds strings. */
static const char *const *
read_strings(struct arena *a, const struct json *v, size_t *ret_n)
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

	path = read_strings(scratch, json_get(p, "at"), &n_path);
	nix_text_dotted(&at, path, n_path);
	if (n_path == 0) {
		/* There is an index by now, which knows better. */
		names = nix_index_names(v->index, &n);
		return fail_missing(name, missing, "", names, n, e);
	}
	names = read_strings(scratch, json_get(p, "ambiguous"), &n);
	buf_addc(&at, '.');
	if (n > 1)
		return fail_ambiguous(name, at.p, names, n, e);
	names = read_strings(scratch, json_get(p, "names"), &n);
	if (kind && (strcmp(kind, "set") == 0 || strcmp(kind, "package") == 0))
		return fail_missing(name, missing, at.p, names, n, e);
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

	path = read_strings(scratch, json_get(p, "at"), &n_path);
	nix_text_dotted(&at, path, n_path);
	members = read_strings(scratch, json_get(p, "members"), &n);
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
add_output(struct eval *v, const char *attribute, const char *name,
	   const char *drv, const struct json *output, struct err *e)
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
			       attribute);
	o = (struct nix_output){
		.attribute = attribute,
		.name = name,
		.drv = drv,
		.output = arena_strdup(v->arena, which),
		.path = arena_strdup(v->arena, path),
	};
	vec_push(&v->found, o);
	return 0;
}

static int
answer_package(struct eval *v, struct arena *scratch, const char *asked,
	       const struct json *p, struct err *e)
{
	const char *drv = json_get_str(p, "drv");
	const char *name = json_get_str(p, "name");
	const struct json *outputs = json_get(p, "outputs");
	AUTO(buf) struct buf at = BUF_INIT;
	const char *const *path;
	size_t n;

	path = read_strings(scratch, json_get(p, "at"), &n);
	nix_text_dotted(&at, path, n);
	if (!drv || !name || !nix_text_is_store_path(drv, v->store_dir) ||
	    !str_has_suffix(drv, ".drv") || !json_is(outputs, JSON_ARRAY))
		return err_set(e, ERR_BUILD,
			       "%s is not a package: it has no derivation in "
			       "the Nix store",
			       asked);
	if (check_policy(v->nix, at.p, e) < 0)
		return -1;
	drv = arena_strdup(v->arena, drv);
	name = arena_strdup(v->arena, name);
	for (const struct json *o = outputs->kids; o; o = o->next)
		if (add_output(v, arena_strdup(v->arena, at.p), name, drv, o,
			       e) < 0)
			return -1;
	return 0;
}

static int
read_packages(struct eval *v, struct arena *scratch, const struct json *answer,
	      struct err *e)
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

/* Keep the names that came along. */
static void
take_names(struct eval *v, struct arena *scratch, const struct json *answer)
{
	size_t n;
	const char *const *names =
		read_strings(scratch, json_get(answer, "names"), &n);

	v->index = nix_index_add(v->nix, &v->key, names, n);
}

static int
fail_run(struct eval *v, const struct nix_run *r, struct err *e)
{
	int64_t mark = r->report->mark;
	const char *at = NULL;

	if (mark >= 0 && (uint64_t)mark < v->request->n_packages)
		at = v->request->packages[mark];
	return nix_fail_eval(r, at, v->request->system, e);
}

/* *ret_again: names turned out to be spelled otherwise. */
static int
ask(struct eval *v, bool *ret_again, struct err *e)
{
	AUTO(arena) struct arena scratch = ARENA_INIT;
	AUTO(buf) struct buf request = BUF_INIT;
	AUTO(nix_run) struct nix_run r;
	const struct json *answer;
	uint64_t limit = v->nix->o.eval_timeout_s;

	*ret_again = false;
	write_request(v, &request);
	nix_run_init(&r, v->nix, "nix-instantiate", v->watch);
	write_args(v, &r.args, request.p);
	limit = limit ? limit : EVAL_TIMEOUT_S;
	r.timeout_ms = limit * 1000;
	r.max_cpu_s = limit + 5;
	r.max_stdout = ANSWER_MAX;
	if (nix_run_start(&r, e) < 0)
		return -1;
	if (!nix_run_ok(&r))
		return fail_run(v, &r, e);
	if (json_parse(&scratch, r.output.p, r.output.len, &answer_limits,
		       &answer, e) < 0) {
		e->kind = ERR_UPSTREAM;
		return err_wrap(e, "Nix's answer");
	}
	if (!v->index) {
		take_names(v, &scratch, answer);
		if (spell_names(v, ret_again, e) < 0)
			return -1;
		if (*ret_again)
			return 0;
	}
	return read_packages(v, &scratch, answer, e);
}

/* --- the result */

static int
by_path(const void *a, const void *b)
{
	const struct nix_output *x = a, *y = b;
	int d = strcmp(x->path, y->path);

	return d != 0 ? d : strcmp(x->attribute, y->attribute);
}

void
nix_outputs_sort(struct nix_outputs *o)
{
	size_t k = 0;

	if (o->n > 0)
		qsort(o->v, o->n, sizeof(*o->v), by_path);
	for (size_t i = 0; i < o->n; i++)
		if (k == 0 || strcmp(o->v[k - 1].path, o->v[i].path) != 0)
			o->v[k++] = o->v[i];
	o->n = k;
}

static const struct nix_request *
copy_request(struct arena *a, const struct nix_request *r)
{
	struct nix_request *copy = arena_new(a, struct nix_request);
	struct source *source = arena_new(a, struct source);
	struct revision *revision = arena_new(a, struct revision);
	const char **packages =
		arena_alloc(a, r->n_packages + 1, sizeof(*packages));

	*source = *r->source;
	source->location = arena_strdup(a, r->source->location);
	*revision = *r->revision;
	for (size_t i = 0; i < r->n_packages; i++)
		packages[i] = arena_strdup(a, r->packages[i]);
	*copy = (struct nix_request){
		.source = source,
		.revision = revision,
		.system = arena_strdup(a, r->system),
		.packages = packages,
		.n_packages = r->n_packages,
	};
	return copy;
}

/* Where the set is on disk; the evaluation may read below it. */
static int
find_tree(struct eval *v, struct err *e)
{
	const struct source *s = v->request->source;
	char real[PATH_MAX];

	if (s->kind != SOURCE_PATH)
		return err_set(e, ERR_UPSTREAM,
			       "package sources of the kind %s are not there "
			       "yet",
			       source_kind_name(s->kind));
	/* Links are resolved: restricted evaluation compares real paths. */
	if (!realpath(s->location, real))
		return err_set_errno(e, ERR_UPSTREAM, errno,
				     "the package set %s", s->location);
	v->tree = arena_strdup(v->arena, real);
	return 0;
}

static int
evaluate(struct eval *v, struct err *e)
{
	bool again = false;

	if (nix_store_dir(v->nix, &v->store_dir, e) < 0 ||
	    find_tree(v, e) < 0 || read_names(v, e) < 0)
		return -1;
	nix_index_key(v->request, &v->key);
	v->index = nix_index_find(v->nix, &v->key);
	if (v->index && spell_names(v, &again, e) < 0)
		return -1;
	if (ask(v, &again, e) < 0)
		return -1;
	if (again && ask(v, &again, e) < 0)
		return -1;
	return 0;
}

int
nix_evaluate(struct nix *n, struct arena *a, const struct nix_request *r,
	     const struct nix_watch *w, struct nix_outputs *ret, struct err *e)
{
	struct eval v = {
		.nix = n,
		.arena = a,
		.request = copy_request(a, r),
		.watch = w,
	};
	int failed = evaluate(&v, e);

	nix_index_release(v.index);
	if (failed == 0) {
		ret->v = arena_alloc(a, v.found.n + 1, sizeof(*ret->v));
		if (v.found.n > 0)
			memcpy(ret->v, v.found.v, v.found.n * sizeof(*ret->v));
		ret->n = v.found.n;
		ret->request = v.request;
		nix_outputs_sort(ret);
	}
	vec_release(&v.found);
	return failed;
}
