/* SPDX-License-Identifier: Apache-2.0 */
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/json.h"
#include "core/nix/errors.h"
#include "core/nix/impl.h"
#include "core/nix/report.h"
#include "core/sys/fs.h"
#include "core/sys/log.h"

/* How long an answer of Nix's is good for /readyz. */
#define CHECK_TTL_MS 5000u
#define CHECK_TIMEOUT_MS 15000u
#define STORE_DIR_MAX 200u

#define DEFAULT_EVAL_MEMORY (2ull << 30)

/* Of our environment, what Nix's programs get; of the rest they see nothing. */
static const char *const passed_on[] = {
	"PATH",
	"TMPDIR",
	"NIX_REMOTE",
	"NIX_CONF_DIR",
	"NIX_CONFIG",
	"NIX_SSL_CERT_FILE",
	"NIX_DAEMON_SOCKET_PATH",
	"NIX_STORE_DIR",
	"NIX_STATE_DIR",
	"NIX_LOG_DIR",
};

/* And these, if the network may be used. */
static const char *const proxies[] = {
	"http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy",
	"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY",
};

/*
 * If not: what a package set fetches while it is evaluated goes to where
 * nobody listens. Nix can't be told to fetch nothing, as it takes what is
 * there already for fetched.
 */
#define NOWHERE "http://127.0.0.1:9"
static const char *const no_network[] = {
	"http_proxy=" NOWHERE,
	"https_proxy=" NOWHERE,
	"ftp_proxy=" NOWHERE,
	"all_proxy=" NOWHERE,
	"HTTPS_PROXY=" NOWHERE,
	"FTP_PROXY=" NOWHERE,
	"ALL_PROXY=" NOWHERE,
	"no_proxy=",
	"NO_PROXY=",
	"GIT_ALLOW_PROTOCOL=file",
};

uint64_t
nix_now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

bool
nix_at_least(const struct nix *n, unsigned major, unsigned minor)
{
	return n->major > major || (n->major == major && n->minor >= minor);
}

static bool
is_one_of(const char *entry, const char *const *names, size_t n)
{
	size_t k = strcspn(entry, "=");

	for (size_t i = 0; i < n; i++)
		if (strlen(names[i]) == k && memcmp(names[i], entry, k) == 0)
			return true;
	return false;
}

static void
make_environment(struct nix *n)
{
	struct nix_args env = VEC_INIT;
	struct arena *a = &n->arena;
	const char **copy;

	for (char **p = environ; p && *p; p++)
		if (is_one_of(*p, passed_on, ARRAY_LEN(passed_on)) ||
		    (!n->o.offline &&
		     is_one_of(*p, proxies, ARRAY_LEN(proxies))))
			vec_push(&env, arena_strdup(a, *p));
	for (size_t i = 0; n->o.offline && i < ARRAY_LEN(no_network); i++)
		vec_push(&env, no_network[i]);
	nix_args_add(&env, arena_printf(a, "HOME=%s/home", n->dir),
		     arena_printf(a, "XDG_CACHE_HOME=%s/cache", n->dir),
		     arena_printf(a, "GC_MAXIMUM_HEAP_SIZE=%lluM",
				  (unsigned long long)(n->o.eval_memory >> 20)),
		     "NIX_PATH=", "GIT_TERMINAL_PROMPT=0", "LANG=C.UTF-8",
		     (char *)NULL);
	copy = arena_alloc(a, env.n + 1, sizeof(*copy));
	memcpy(copy, env.v, env.n * sizeof(*copy));
	n->envp = copy;
	vec_release(&env);
}

/* Does the administrator say which group builders are in? */
static bool
names_build_users(const char *dir)
{
	AUTO(buf) struct buf path = BUF_INIT, text = BUF_INIT;
	struct err e = ERR_INIT;

	buf_printf(&path, "%s/nix.conf", dir);
	return fs_read_file(path.p, 1u << 20, &text, &e) == 0 &&
	       strstr(text.p, "build-users-group");
}

/*
 * Root without the group nixbld: Nix refuses to build, as Debian's nix-bin
 * does when it is installed alone. Builders then run as root in the sandbox.
 */
static void
look_for_build_users(struct nix *n)
{
	const char *conf = getenv("NIX_CONF_DIR");
	const char *remote = getenv("NIX_REMOTE");
	const char *inline_conf = getenv("NIX_CONFIG");

	if (geteuid() != 0 || getgrnam("nixbld") ||
	    (remote && strcmp(remote, "daemon") == 0) ||
	    (inline_conf && strstr(inline_conf, "build-users-group")) ||
	    names_build_users(conf ? conf : "/etc/nix"))
		return;
	n->no_build_users = true;
	log_warn("nix.builders_as_root",
		 LOG_S("why", "we run as root and there is no group nixbld"));
}

/* "nix-instantiate (Nix) 2.8.0", "nix-instantiate (Lix, like Nix) 2.91.1" */
static bool
parse_version(const char *text, unsigned *major, unsigned *minor)
{
	const char *p = strrchr(text, ' ');
	char *end;

	if (!p)
		return false;
	*major = (unsigned)strtoul(p + 1, &end, 10);
	if (*end != '.' || *major == 0)
		return false;
	*minor = (unsigned)strtoul(end + 1, &end, 10);
	return true;
}

static int
ask_version(struct nix *n, struct err *e)
{
	AUTO(nix_run) struct nix_run r;
	unsigned major, minor;

	nix_run_init(&r, n, "nix-instantiate", NULL);
	nix_args_add(&r.args, "--version", (char *)NULL);
	r.timeout_ms = CHECK_TIMEOUT_MS;
	if (nix_run_start(&r, e) < 0)
		return -1;
	while (r.output.len > 0 && r.output.p[r.output.len - 1] == '\n')
		buf_truncate(&r.output, r.output.len - 1);
	if (!nix_run_ok(&r) || !parse_version(r.output.p, &major, &minor))
		return err_set(e, ERR_UPSTREAM,
			       "nix-instantiate --version says \"%s\"",
			       r.output.p);
	n->major = major;
	n->minor = minor;
	if (!nix_at_least(n, 2, 3))
		return err_set(e, ERR_UPSTREAM,
			       "%s is too old: 2.3 or later is needed",
			       r.output.p);
	log_info("nix.open", LOG_S("version", r.output.p));
	return 0;
}

static const char *const *
copy_list(struct arena *a, const char *const *v, size_t n)
{
	const char **copy = arena_alloc(a, n + 1, sizeof(*copy));

	for (size_t i = 0; i < n; i++)
		copy[i] = arena_strdup(a, v[i]);
	return copy;
}

static void
copy_options(struct nix *n, const struct nix_options *o)
{
	const char *uris = o->allowed_uris ? o->allowed_uris : "";
	AUTO(buf) struct buf local = BUF_INIT;
	struct arena *a = &n->arena;

	n->o = *o;
	n->o.expressions = arena_strdup(a, o->expressions);
	n->o.state_path = arena_strdup(a, o->state_path);
	n->o.allow = copy_list(a, o->allow, o->n_allow);
	n->o.deny = copy_list(a, o->deny, o->n_deny);
	n->o.overlays = copy_list(a, o->overlays, o->n_overlays);
	if (o->offline) {
		nix_local_prefixes(&local, uris);
		uris = local.p;
	}
	n->o.allowed_uris = arena_strdup(a, uris);
	if (n->o.eval_memory == 0)
		n->o.eval_memory = DEFAULT_EVAL_MEMORY;
	n->dir = arena_printf(a, "%s/nix", o->state_path);
}

int
nix_open(const struct nix_options *o, struct nix **ret, struct err *e)
{
	struct nix *n = xcalloc(1, sizeof(*n));

	arena_init(&n->arena);
	(void)pthread_mutex_init(&n->lock, NULL);
	n->roots_lock = -1;
	copy_options(n, o);
	make_environment(n);
	look_for_build_users(n);
	if (ask_version(n, e) < 0 ||
	    (o->offline && nix_find_local_substituters(n, e) < 0) ||
	    nix_roots_open(n, e) < 0) {
		nix_free(n);
		return -1;
	}
	*ret = n;
	return 0;
}

void
nix_free(struct nix *n)
{
	if (!n)
		return;
	nix_roots_close(n);
	for (size_t i = 0; i < NIX_INDEXES; i++)
		nix_index_release(n->indexes[i]);
	(void)pthread_mutex_destroy(&n->lock);
	arena_release(&n->arena);
	free(n);
}

uint64_t
nix_processes(const struct nix *n)
{
	return atomic_load(&n->processes);
}

static int
ask_store_dir(struct nix *n, struct err *e)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	AUTO(nix_run) struct nix_run r;
	const struct json *v;

	nix_run_init(&r, n, "nix-instantiate", NULL);
	nix_args_add(&r.args, "--eval", "--json", "--read-write-mode", "-E",
		     "builtins.storeDir", (char *)NULL);
	r.timeout_ms = CHECK_TIMEOUT_MS;
	if (nix_run_start(&r, e) < 0)
		return -1;
	if (!nix_run_ok(&r))
		return nix_fail(&r, "Nix does not answer", e);
	if (json_parse(&a, r.output.p, r.output.len, NULL, &v, e) < 0)
		return err_wrap(e, "the store directory that Nix names");
	if (!json_is(v, JSON_STRING))
		return err_set(e, ERR_UPSTREAM,
			       "Nix does not say where its store is");
	return nix_learn_store_dir(n, v->s, e);
}

int
nix_learn_store_dir(struct nix *n, const char *dir, struct err *e)
{
	int r = 0;

	if (!dir || dir[0] != '/' || strlen(dir) > STORE_DIR_MAX)
		return err_set(e, ERR_UPSTREAM,
			       "Nix does not say where its store is");
	(void)pthread_mutex_lock(&n->lock);
	if (!n->store_dir)
		n->store_dir = arena_strdup(&n->arena, dir);
	else if (strcmp(n->store_dir, dir) != 0)
		r = err_set(e, ERR_UPSTREAM, "Nix's store moved to %s", dir);
	(void)pthread_mutex_unlock(&n->lock);
	return r;
}

int
nix_store_dir(struct nix *n, const char **ret, struct err *e)
{
	for (;;) {
		(void)pthread_mutex_lock(&n->lock);
		*ret = n->store_dir;
		(void)pthread_mutex_unlock(&n->lock);
		if (*ret)
			return 0;
		if (ask_store_dir(n, e) < 0)
			return -1;
	}
}

/* A question that only the store's database can answer. */
static int
ask_store(struct nix *n, const char *store_dir, struct err *e)
{
	AUTO(nix_run) struct nix_run r;
	AUTO(buf) struct buf path = BUF_INIT;

	buf_printf(&path, "%s/00000000000000000000000000000000-firn",
		   store_dir);
	nix_run_init(&r, n, "nix-store", NULL);
	nix_args_add(&r.args, "--check-validity", "--print-invalid", path.p,
		     (char *)NULL);
	r.timeout_ms = CHECK_TIMEOUT_MS;
	if (nix_run_start(&r, e) < 0)
		return -1;
	if (!nix_run_ok(&r))
		return nix_fail(&r, "Nix's store does not answer", e);
	return 0;
}

void
nix_scrub(struct nix *n, const char *line, struct buf *to)
{
	const char *store_dir = NULL;

	if (n) {
		(void)pthread_mutex_lock(&n->lock);
		store_dir = n->store_dir;
		(void)pthread_mutex_unlock(&n->lock);
	}
	nix_text_scrub(to, line, store_dir ? store_dir : "/nix/store");
}

int
nix_check(struct nix *n, struct err *e)
{
	uint64_t now = nix_now_ms();
	const char *store_dir;
	bool fresh;

	(void)pthread_mutex_lock(&n->lock);
	fresh = n->checked_ms != 0 && now - n->checked_ms < CHECK_TTL_MS;
	(void)pthread_mutex_unlock(&n->lock);
	if (fresh)
		return 0;
	if (nix_store_dir(n, &store_dir, e) < 0 ||
	    ask_store(n, store_dir, e) < 0)
		return -1;
	(void)pthread_mutex_lock(&n->lock);
	n->checked_ms = now;
	(void)pthread_mutex_unlock(&n->lock);
	return 0;
}
