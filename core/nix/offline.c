/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/json.h"
#include "core/nix/errors.h"
#include "core/nix/impl.h"
#include "core/sys/fs.h"

/*
 * Without the network: Nix gets those of its substituters that are local, no
 * machines to build on but this one, and an environment in which downloads
 * fail (open.c, run.c); what it would have to build is looked at first. A
 * builder is without network in the sandbox anyway, but for those whose result
 * is known by its hash: they download. If one of them would run, something is
 * missing here.
 */
#define TIMEOUT_MS 60000u
#define NAMES_SHOWN 3u
#define DRV_HEAD 16384u

/* --- which caches are local */

static bool
is_local(struct str url)
{
	static const char file[] = "file://";

	return (url.n > sizeof(file) - 1 &&
		memcmp(url.p, file, sizeof(file) - 1) == 0) ||
	       (url.n > 0 && url.p[0] == '/') || str_eq(url, "local");
}

static void
add_local(struct buf *to, const char *url)
{
	if (is_local(str_of(url)))
		buf_printf(to, "%s%s", to->len > 0 ? " " : "", url);
}

void
nix_local_prefixes(struct buf *to, const char *list)
{
	struct str rest = str_of(list), word;

	while (str_cut(&rest, ' ', &word))
		if (is_local(word))
			buf_printf(to, "%s%.*s", to->len > 0 ? " " : "",
				   (int)word.n, word.p);
}

int
nix_find_local_substituters(struct nix *n, struct err *e)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	AUTO(buf) struct buf list = BUF_INIT;
	AUTO(nix_run) struct nix_run r;
	const struct json *v;

	nix_run_init(&r, n, "nix", NULL);
	if (nix_at_least(n, 2, 4))
		nix_args_add(&r.args, "--extra-experimental-features",
			     "nix-command", (char *)NULL);
	if (nix_at_least(n, 2, 20))
		nix_args_add(&r.args, "config", "show", (char *)NULL);
	else
		nix_args_add(&r.args, "show-config", (char *)NULL);
	nix_args_add(&r.args, "--json", (char *)NULL);
	r.timeout_ms = TIMEOUT_MS;
	if (nix_run_start(&r, e) < 0)
		return -1;
	if (!nix_run_ok(&r))
		return nix_fail(&r, "Nix does not tell its settings", e);
	if (json_parse(&a, r.output.p, r.output.len, NULL, &v, e) < 0) {
		e->kind = ERR_UPSTREAM;
		return err_wrap(e, "Nix's settings");
	}
	v = json_get(json_get(v, "substituters"), "value");
	if (!json_is(v, JSON_ARRAY))
		return err_set(e, ERR_UPSTREAM,
			       "Nix does not say which substituters it has");
	for (const struct json *k = v->kids; k; k = k->next)
		if (json_is(k, JSON_STRING))
			add_local(&list, k->s);
	n->substituters = arena_strdup(&n->arena, list.p);
	return 0;
}

/* --- what would be downloaded */

struct missing {
	struct buf all;   /* a line each */
	struct buf shown; /* the first few, for the message */
	size_t n;
};

struct plan {
	const char *store_dir;
	bool unknown;           /* what follows, Nix does not know how to get */
	struct missing files;   /* results known by their hash */
	struct missing closure; /* of what a cache has, and it has them not */
};

#define MISSING_INIT                               \
	{                                          \
		.all = BUF_INIT, .shown = BUF_INIT \
	}

static void
missing_add(struct missing *m, const struct buf *path)
{
	AUTO(buf) struct buf name = BUF_INIT;

	nix_text_package(&name, path->p, path->len);
	buf_printf(&m->all, "%s\n", name.p);
	if (m->n < NAMES_SHOWN)
		buf_printf(&m->shown, "%s%s", m->n > 0 ? ", " : "", name.p);
	m->n++;
}

static void
missing_release(struct missing *m)
{
	buf_release(&m->all);
	buf_release(&m->shown);
}

static int
fail_missing(const struct missing *m, const char *what, struct err *e)
{
	err_set(e, ERR_BUILD,
		"%zu %s%s missing here, and this registry downloads nothing: "
		"%s%s",
		m->n, what, m->n == 1 ? " is" : "s are", m->shown.p,
		m->n > NAMES_SHOWN ? ", ..." : "");
	err_set_detail(e, m->all.p, m->all.len);
	return -1;
}

/*
 * Is the derivation's result known by its hash? The file begins with
 * Derive([("out","PATH","ALGORITHM","HASH"), and both are empty if not.
 */
static bool
has_fixed_output(const char *drv)
{
	AUTO(fd) int fd = -1;
	char head[DRV_HEAD];
	struct err e = ERR_INIT;
	const char *p = head;
	size_t n;

	if (fs_open_read(drv, &fd, &e) < 0 ||
	    fs_read(fd, head, sizeof(head) - 1, &n, &e) < 0)
		return false;
	head[n] = '\0';
	if (!str_has_prefix(p, "Derive([(\""))
		return false;
	/* Names and paths hold no quotes. */
	for (int i = 0; p && i < 2; i++) {
		p = strstr(p, "\",\"");
		p = p ? p + 3 : NULL;
	}
	return p && p[0] != '"';
}

static void
plan_line(void *ctx, const char *line, size_t n)
{
	AUTO(buf) struct buf path = BUF_INIT;
	struct plan *plan = ctx;

	if (n > 0 && *line != ' ') {
		buf_add(&path, line, n);
		plan->unknown = strstr(path.p, "know how to build") != NULL;
		return;
	}
	while (n > 0 && *line == ' ') {
		line++;
		n--;
	}
	buf_add(&path, line, n);
	if (!nix_text_is_store_path(path.p, plan->store_dir))
		return;
	if (plan->unknown)
		missing_add(&plan->closure, &path);
	else if (str_has_suffix(path.p, ".drv") && has_fixed_output(path.p))
		missing_add(&plan->files, &path);
}

/* What Nix would do; alone: without asking any cache. */
static int
make_plan(struct nix *n, const struct nix_args *drvs, bool alone,
	  const struct nix_watch *w, struct plan *plan, struct err *e)
{
	const struct nix_watch watch = {
		.cancel = w ? w->cancel : NULL,
		.on_line = plan_line,
		.ctx = plan,
	};
	AUTO(nix_run) struct nix_run r;

	nix_run_init(&r, n, "nix-store", &watch);
	nix_args_add(&r.args, "--realise", "--dry-run", (char *)NULL);
	if (alone)
		nix_args_option(&r.args, "substitute", "false");
	for (size_t i = 0; i < drvs->n; i++)
		nix_args_add(&r.args, drvs->v[i], (char *)NULL);
	r.timeout_ms = TIMEOUT_MS;
	/* What is wrong with the derivations shows when they are realised. */
	return nix_run_start(&r, e);
}

/*
 * A cache that has a package, but not all of its closure, is of no use: Nix
 * then builds the package, and gets what that needs.
 */
static int
check_closure(struct nix *n, const struct nix_args *drvs,
	      const struct nix_watch *w, const struct plan *plan, struct err *e)
{
	struct plan alone = {.store_dir = plan->store_dir,
			     .files = MISSING_INIT,
			     .closure = MISSING_INIT};
	int failed = make_plan(n, drvs, true, w, &alone, e);

	if (failed == 0 && alone.files.n > 0)
		failed = fail_missing(&plan->closure, "path", e);
	missing_release(&alone.files);
	missing_release(&alone.closure);
	return failed;
}

int
nix_check_offline(struct nix *n, const struct nix_args *drvs,
		  const struct nix_watch *w, struct err *e)
{
	struct plan plan = {.files = MISSING_INIT, .closure = MISSING_INIT};
	int failed;

	if (nix_store_dir(n, &plan.store_dir, e) < 0)
		return -1;
	failed = make_plan(n, drvs, false, w, &plan, e);
	if (failed == 0 && plan.files.n > 0)
		failed = fail_missing(&plan.files, "file", e);
	else if (failed == 0 && plan.closure.n > 0)
		failed = check_closure(n, drvs, w, &plan, e);
	missing_release(&plan.files);
	missing_release(&plan.closure);
	return failed;
}
