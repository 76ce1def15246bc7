/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/json.h"
#include "core/nix/errors.h"
#include "core/nix/eval.h"
#include "core/nix/report.h"
#include "core/sys/fs.h"
#include "core/sys/log.h"

#define EVAL_TIMEOUT_S 60u
/*
 * Nix's values are on its collector's heap, which is limited (open.c). What
 * is not, source text and long strings for instance, gets a quarter more, and
 * this at least; the packages of tests/pkgs do with 24 MiB for everything.
 */
#define BEYOND_HEAP_MIN (512ull << 20)
#define ANSWER_MAX (16u << 20)
#define EXPRESSION_MAX 65536u

static const struct json_limits answer_limits = {
	.max_bytes = ANSWER_MAX,
	.max_depth = 16,
	.max_values = 2000000,
};

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
write_paths(struct json_out *o, const char ***paths, size_t n)
{
	json_array(o);
	for (size_t i = 0; i < n; i++) {
		json_array(o);
		for (const char **p = paths[i]; *p; p++)
			json_str(o, *p);
		json_array_end(o);
	}
	json_array_end(o);
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
	write_paths(&o, v->paths, r->n_packages);
	json_key(&o, "denied");
	write_paths(&o, v->denied, v->n_denied);
	json_key(&o, "wantNames");
	json_bool(&o, v->index == NULL);
	write_config(&o, &v->nix->o);
	json_key(&o, "overlays");
	json_array(&o);
	for (size_t i = 0; i < v->nix->o.n_overlays; i++)
		json_str(&o, v->overlays[i]);
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

/* A directory is read in restricted mode: it, our expressions, no more. */
static void
restrict_to_tree(struct eval *v, struct nix_args *args)
{
	const struct nix_options *opt = &v->nix->o;

	nix_args_option(args, "restrict-eval", "true");
	nix_args_option(args, "allowed-uris", opt->allowed_uris);
	add_readable(v, args, opt->expressions);
	add_readable(v, args, v->tree);
	for (size_t i = 0; i < opt->n_overlays; i++)
		add_readable(v, args, v->overlays[i]);
	nix_args_add(args,
		     arena_printf(v->arena, "%s/eval.nix", opt->expressions),
		     (char *)NULL);
}

/*
 * A flake is evaluated purely: it and its locked inputs, nothing else. Pure
 * evaluation can't read our file, so Nix is given its text.
 */
static int
restrict_to_flake(struct eval *v, struct nix_args *args, struct err *e)
{
	AUTO(buf) struct buf path = BUF_INIT, text = BUF_INIT;

	buf_printf(&path, "%s/eval.nix", v->nix->o.expressions);
	if (fs_read_file(path.p, EXPRESSION_MAX, &text, e) < 0) {
		e->kind = ERR_SYSTEM;
		return -1;
	}
	nix_args_add(args, "--extra-experimental-features", "flakes",
		     (char *)NULL);
	nix_args_option(args, "pure-eval", "true");
	nix_args_add(args, "-E", arena_strdup(v->arena, text.p), (char *)NULL);
	return 0;
}

static int
write_args(struct eval *v, struct nix_args *args, const char *request,
	   struct err *e)
{
	nix_args_add(args, "--eval", "--strict", "--json", "--read-write-mode",
		     (char *)NULL);
	nix_args_option(args, "allow-import-from-derivation", "false");
	if (v->request->source->kind != SOURCE_FLAKE)
		restrict_to_tree(v, args);
	else if (restrict_to_flake(v, args, e) < 0)
		return -1;
	nix_args_add(args, "--argstr", "request", request, (char *)NULL);
	return 0;
}

/* --- asking */

/* Keep the names that came along. */
static void
take_names(struct eval *v, struct arena *scratch, const struct json *answer)
{
	size_t n;
	const char *const *names =
		nix_read_strings(scratch, json_get(answer, "names"), &n);

	v->index = nix_index_add(v->nix, &v->key, names, n);
}

/*
 * Something that is denied can't even be looked at. It can't be had under
 * another name either, so that the rest is looked at without it.
 */
static bool
forget_denied(struct eval *v, const struct nix_run *r, struct err *e)
{
	int64_t i = r->report->denied;
	AUTO(buf) struct buf name = BUF_INIT;
	size_t n = 0;

	if (e->kind != ERR_BUILD || i < 0 || (uint64_t)i >= v->n_denied)
		return false;
	while (v->denied[i][n])
		n++;
	nix_text_dotted(&name, v->denied[i], n);
	err_wrap(e, "%s, which is not served", name.p);
	log_err(LOG_WARN, "nix.denied", e);
	err_clear(e);
	v->n_denied--;
	memmove(v->denied + i, v->denied + i + 1,
		(v->n_denied - (size_t)i) * sizeof(*v->denied));
	return true;
}

static int
fail_run(struct eval *v, const struct nix_run *r, bool *ret_again,
	 struct err *e)
{
	int64_t mark = r->report->mark;
	const char *at = NULL;

	if (mark >= 0 && (uint64_t)mark < v->request->n_packages)
		at = v->request->packages[mark];
	nix_fail_eval(r, at, v->request->system, e);
	*ret_again = forget_denied(v, r, e);
	return *ret_again ? 0 : -1;
}

static uint64_t
data_limit(uint64_t heap)
{
	uint64_t beyond = heap / 4;

	return heap + (beyond > BEYOND_HEAP_MIN ? beyond : BEYOND_HEAP_MIN);
}

/* *ret_again: not so; names are spelled otherwise, perhaps. */
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
	if (write_args(v, &r.args, request.p, e) < 0)
		return -1;
	limit = limit ? limit : EVAL_TIMEOUT_S;
	r.timeout_ms = limit * 1000;
	r.max_cpu_s = limit + 5;
	r.max_data = data_limit(v->nix->o.eval_memory);
	r.max_stdout = ANSWER_MAX;
	if (nix_run_start(&r, e) < 0)
		return -1;
	if (!nix_run_ok(&r))
		return fail_run(v, &r, ret_again, e);
	if (json_parse(&scratch, r.output.p, r.output.len, &answer_limits,
		       &answer, e) < 0) {
		e->kind = ERR_UPSTREAM;
		return err_wrap(e, "Nix's answer");
	}
	if (nix_learn_store_dir(v->nix, json_get_str(answer, "storeDir"), e) <
		    0 ||
	    nix_store_dir(v->nix, &v->store_dir, e) < 0)
		return -1;
	if (!v->index) {
		take_names(v, &scratch, answer);
		if (nix_spell_names(v, ret_again, e) < 0)
			return -1;
		nix_spell_denied(v, ret_again);
		if (*ret_again)
			return 0;
	}
	return nix_read_packages(v, &scratch, answer, e);
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
	if (r->source->channel_url)
		source->channel_url = arena_strdup(a, r->source->channel_url);
	*revision = *r->revision;
	for (size_t i = 0; i < r->n_packages; i++)
		packages[i] = arena_strdup(a, r->packages[i]);
	*copy = (struct nix_request){
		.source = source,
		.revision = revision,
		.tree = r->tree ? arena_strdup(a, r->tree) : NULL,
		.system = arena_strdup(a, r->system),
		.packages = packages,
		.n_packages = r->n_packages,
	};
	return copy;
}

/* Where the set is: a directory, or the address of a locked flake. */
static int
find_tree(struct eval *v, struct err *e)
{
	const struct nix_request *r = v->request;
	AUTO(buf) struct buf flake = BUF_INIT;
	char real[PATH_MAX];

	if (r->source->kind == SOURCE_FLAKE) {
		if (nix_find_flake(v->nix, r->source, r->revision, v->watch,
				   &flake, e) < 0)
			return -1;
		v->tree = arena_strdup(v->arena, flake.p);
		return 0;
	}
	/* Links are resolved: restricted evaluation compares real paths. */
	if (!realpath(r->tree, real))
		return err_set_errno(e, ERR_UPSTREAM, errno,
				     "the package set %s", r->tree);
	v->tree = arena_strdup(v->arena, real);
	return 0;
}

static int
find_overlays(struct eval *v, struct err *e)
{
	const struct nix_options *o = &v->nix->o;
	char real[PATH_MAX];

	v->overlays =
		arena_alloc(v->arena, o->n_overlays + 1, sizeof(*v->overlays));
	for (size_t i = 0; i < o->n_overlays; i++) {
		if (!realpath(o->overlays[i], real))
			return err_set_errno(e, ERR_UPSTREAM, errno,
					     "the overlay %s", o->overlays[i]);
		v->overlays[i] = arena_strdup(v->arena, real);
	}
	return 0;
}

static int
evaluate(struct eval *v, struct err *e)
{
	bool again = false;

	if (find_tree(v, e) < 0 || find_overlays(v, e) < 0 ||
	    nix_read_names(v, e) < 0)
		return -1;
	nix_index_key(v->request, &v->key);
	v->index = nix_index_find(v->nix, &v->key);
	if (v->index && nix_spell_names(v, &again, e) < 0)
		return -1;
	nix_spell_denied(v, &again);
	do
		if (ask(v, &again, e) < 0)
			return -1;
	while (again);
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
