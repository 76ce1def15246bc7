/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/nix/errors.h"
#include "core/nix/impl.h"
#include "core/nix/report.h"
#include "core/sys/fs.h"
#include "core/sys/log.h"

/* Paths on one command line. */
#define CHUNK 1000u
#define QUERY_TIMEOUT_MS 120000u
/* A thousand paths with all their references, and then some. */
#define DUMP_MAX (256u << 20)
#define LOG_MAX "50000000" /* bytes that one builder may write */
/* How often what a collection took away is made anew. */
#define RETRIES 2

/* --- realise */

static int
by_drv(const void *a, const void *b)
{
	const struct nix_output *x = *(const struct nix_output *const *)a;
	const struct nix_output *y = *(const struct nix_output *const *)b;
	int d = strcmp(x->drv, y->drv);

	return d != 0 ? d : strcmp(x->output, y->output);
}

struct wanted {
	const struct nix_output **v; /* by derivation, then by output */
	size_t n;
};

static struct wanted
sort_wanted(struct arena *a, const struct nix_outputs *o)
{
	struct wanted w = {
		.v = arena_alloc(a, o->n + 1, sizeof(*w.v)),
		.n = o->n,
	};

	for (size_t i = 0; i < o->n; i++)
		w.v[i] = &o->v[i];
	if (w.n > 0)
		qsort(w.v, w.n, sizeof(*w.v), by_drv);
	return w;
}

static bool
starts_drv(const struct wanted *w, size_t i)
{
	return i == 0 || strcmp(w->v[i - 1]->drv, w->v[i]->drv) != 0;
}

/* "DRV!out,man" for each derivation: a bare one would mean every output. */
static void
add_drvs(struct arena *a, struct nix_args *args, const struct wanted *w)
{
	AUTO(buf) struct buf arg = BUF_INIT;

	for (size_t i = 0; i < w->n; i++) {
		if (starts_drv(w, i))
			buf_printf(&arg, "%s!", w->v[i]->drv);
		else
			buf_addc(&arg, ',');
		buf_adds(&arg, w->v[i]->output);
		if (i + 1 == w->n || starts_drv(w, i + 1)) {
			nix_args_add(args, arena_strdup(a, arg.p),
				     (char *)NULL);
			buf_clear(&arg);
		}
	}
}

/*
 * Nix makes a link for each output: ROOT, ROOT-man for the first derivation,
 * ROOT-2, ROOT-2-man for the second. What they point to is what is held.
 */
static int
read_links(struct nix *n, struct arena *a, const struct wanted *w,
	   const struct nix_root *root, struct nix_outputs *ret, struct err *e)
{
	size_t drv = 0;

	ret->v = arena_alloc(a, w->n + 1, sizeof(*ret->v));
	ret->n = w->n;
	for (size_t i = 0; i < w->n; i++) {
		AUTO(buf) struct buf link = BUF_INIT, target = BUF_INIT;

		drv += starts_drv(w, i);
		buf_printf(&link, "%s/r", root->dir);
		if (drv > 1)
			buf_printf(&link, "-%zu", drv);
		if (strcmp(w->v[i]->output, "out") != 0)
			buf_printf(&link, "-%s", w->v[i]->output);
		if (fs_readlink(AT_FDCWD, link.p, &target, e) < 0) {
			e->kind = ERR_UPSTREAM;
			return err_wrap(e, "the root that Nix made for %s",
					w->v[i]->attribute);
		}
		if (!nix_text_is_store_path(target.p, n->store_dir))
			return err_set(e, ERR_UPSTREAM,
				       "the root that Nix made for %s is not "
				       "in the store",
				       w->v[i]->attribute);
		ret->v[i] = *w->v[i];
		ret->v[i].path = arena_strdup(a, target.p);
	}
	nix_outputs_sort(ret);
	return 0;
}

static void
add_limits(struct nix_run *r, struct arena *a)
{
	const struct nix_options *o = &r->nix->o;

	if (o->timeout_s)
		nix_args_add(&r->args, "--timeout",
			     arena_printf(a, "%llu",
					  (unsigned long long)o->timeout_s),
			     (char *)NULL);
	nix_args_option(&r->args, "max-build-log-size", LOG_MAX);
	if (o->substitutes_only)
		nix_args_add(&r->args, "--max-jobs", "0", "--option",
			     "builders", "", (char *)NULL);
	if (o->substitutes_only && nix_at_least(r->nix, 2, 19))
		nix_args_option(&r->args, "always-allow-substitutes", "true");
	r->timeout_ms = o->build_timeout_s * 1000;
}

/* *ret_collected: a collection came in between; the same may work again. */
static int
run_realise(struct nix *n, struct arena *a, const struct nix_args *drvs,
	    const struct nix_watch *w, const struct nix_root *root,
	    bool *ret_collected, struct err *e)
{
	AUTO(nix_run) struct nix_run r;

	nix_run_init(&r, n, "nix-store", w);
	nix_args_add(&r.args, "--realise", "--add-root",
		     arena_printf(a, "%s/r", root->dir), "--indirect",
		     (char *)NULL);
	add_limits(&r, a);
	for (size_t i = 0; i < drvs->n; i++)
		nix_args_add(&r.args, drvs->v[i], (char *)NULL);
	if (nix_run_start(&r, e) < 0)
		return -1;
	if (nix_run_ok(&r))
		return 0;
	*ret_collected = nix_was_collected(&r);
	return nix_fail_realise(&r, e);
}

static int
realise_once(struct nix *n, struct arena *a, const struct nix_outputs *outputs,
	     const struct nix_watch *w, const struct nix_root *root,
	     struct nix_outputs *ret, bool *ret_collected, struct err *e)
{
	struct wanted wanted = sort_wanted(a, outputs);
	struct nix_args drvs = VEC_INIT;
	int r = 0;

	*ret_collected = false;
	add_drvs(a, &drvs, &wanted);
	if (n->o.offline)
		r = nix_check_offline(n, &drvs, w, e);
	if (r == 0)
		r = run_realise(n, a, &drvs, w, root, ret_collected, e);
	vec_release(&drvs);
	if (r < 0)
		return -1;
	ret->request = outputs->request;
	return read_links(n, a, &wanted, root, ret, e);
}

int
nix_realise(struct nix *n, struct arena *a, const struct nix_outputs *outputs,
	    const struct nix_watch *w, struct nix_outputs *ret,
	    struct nix_root **ret_root, struct err *e)
{
	struct nix_root *root = NULL;
	struct nix_outputs again;
	bool collected;

	if (nix_root_new(n, &root, e) < 0)
		return -1;
	for (int tries = 0;; tries++) {
		if (realise_once(n, a, outputs, w, root, ret, &collected, e) ==
		    0) {
			if (nix_check_machine(ret, e) < 0)
				break;
			*ret_root = root;
			return 0;
		}
		if (!collected || tries == RETRIES)
			break;
		log_err(LOG_INFO, "nix.collected", e);
		err_clear(e);
		if (nix_evaluate(n, a, outputs->request, w, &again, e) < 0)
			break;
		outputs = &again;
	}
	nix_root_free(root);
	return -1;
}

/* --- closure */

struct paths {
	VEC(const char *);
};

static int
query(struct nix *n, const struct nix_watch *w, const char *what,
      const char *const *paths, size_t n_paths, size_t max, struct buf *to,
      struct err *e)
{
	AUTO(nix_run) struct nix_run r;

	nix_run_init(&r, n, "nix-store", w);
	nix_args_add(&r.args, what, (char *)NULL);
	for (size_t i = 0; i < n_paths; i++)
		nix_args_add(&r.args, paths[i], (char *)NULL);
	r.timeout_ms = QUERY_TIMEOUT_MS;
	r.max_stdout = max;
	if (nix_run_start(&r, e) < 0)
		return -1;
	if (!nix_run_ok(&r))
		return nix_fail(&r, "Nix can't tell what a package refers to",
				e);
	buf_add(to, r.output.p, r.output.len);
	return 0;
}

static int
check_count(const struct nix *n, size_t count, struct err *e)
{
	uint64_t max = n->o.max_closure_paths;

	if (max == 0 || max > GRAPH_MAX_NODES)
		max = GRAPH_MAX_NODES;
	if (count > max)
		return err_set(e, ERR_DENIED,
			       "the image would hold %zu store paths, more "
			       "than the %llu that are allowed here",
			       count, (unsigned long long)max);
	return 0;
}

static int
check_size(const struct nix *n, const struct graph *g, struct err *e)
{
	uint64_t max = n->o.max_closure_size, size = 0;
	char would[SIZE_TEXT_CAP], may[SIZE_TEXT_CAP];

	for (size_t i = 0; i < g->n; i++)
		size += g->nodes[i].nar_size;
	if (max > 0 && size > max)
		return err_set(e, ERR_DENIED,
			       "the image would hold %s, more than the %s "
			       "that are allowed here",
			       size_text(size, would), size_text(max, may));
	return 0;
}

/* The lines of the text, which gets a NUL for each newline. */
static void
split_lines(struct buf *text, struct paths *to)
{
	char *p = text->p, *nl;

	for (; (nl = strchr(p, '\n')) != NULL; p = nl + 1) {
		*nl = '\0';
		if (*p)
			vec_push(to, p);
	}
}

static int
dump(struct nix *n, const struct nix_watch *w, const struct paths *paths,
     struct buf *to, struct err *e)
{
	for (size_t i = 0; i < paths->n; i += CHUNK) {
		size_t k = paths->n - i < CHUNK ? paths->n - i : CHUNK;

		if (query(n, w, "--dump-db", paths->v + i, k, DUMP_MAX, to, e) <
		    0)
			return -1;
	}
	return 0;
}

static int
closure(struct nix *n, struct arena *a, const struct nix_outputs *outputs,
	const struct nix_watch *w, struct paths *paths, struct graph *ret,
	struct err *e)
{
	AUTO(buf) struct buf list = BUF_INIT, text = BUF_INIT;
	const char *store_dir;

	for (size_t i = 0; i < outputs->n; i++)
		vec_push(paths, outputs->v[i].path);
	if (nix_store_dir(n, &store_dir, e) < 0 ||
	    query(n, w, "-qR", paths->v, paths->n,
		  (size_t)GRAPH_MAX_NODES * 300, &list, e) < 0)
		return -1;
	vec_release(paths);
	split_lines(&list, paths);
	if (check_count(n, paths->n, e) < 0 || dump(n, w, paths, &text, e) < 0)
		return -1;
	if (graph_parse_dump(a, text.p, text.len, store_dir, ret, e) < 0) {
		e->kind = ERR_UPSTREAM;
		return err_wrap(e, "what Nix says of the closure");
	}
	return check_size(n, ret, e);
}

int
nix_closure(struct nix *n, struct arena *a, const struct nix_outputs *outputs,
	    const struct nix_watch *w, struct graph *ret, struct err *e)
{
	struct paths paths = VEC_INIT;
	int r;

	*ret = (struct graph){.n = 0};
	if (outputs->n == 0)
		return 0;
	r = closure(n, a, outputs, w, &paths, ret, e);
	vec_release(&paths);
	return r;
}
