/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Against the Nix that is installed: what comes between, and where Nix itself
 * fails. Cancelled builds, collections of garbage, roots; caches, a daemon or
 * a Nix that aren't there.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/sys/fs.h"
#include "tests/support/nix_set.h"

#define DAEMON_SOCKET "/nix/var/nix/daemon-socket/socket"

/* --- a file that adds packages to the set */

static const char overlay_text[] =
	"final: prev: let script = name: text: prev.stdenv.mkDerivation {\n"
	"  inherit name; PATH = \"${prev.stdenv.tools}/bin\";\n"
	"  args = [ \"-euc\" text ]; }; in {\n"
	"  busy = builtins.foldl' (a: b: a + b) 0\n"
	"    (builtins.concatMap (x: builtins.genList (y: x) 1000)\n"
	"      (builtins.genList (x: x) 100000));\n"
	"  spinning = let go = n: if builtins.foldl' (a: b: a + b) 0\n"
	"    (builtins.genList (x: x) 1000) < 0 then n else go n; in go 0;\n"
	"  fresh = script \"fresh-%s\" \"echo %s >$out\";\n"
	"  needy = prev.stdenv.mkDerivation {\n"
	"    name = \"needy-%s\"; PATH = \"${prev.stdenv.tools}/bin\";\n"
	"    args = [ \"-euc\" \"cp $src $out\" ];\n"
	"    src = prev.fetchurl { url = \"http://127.0.0.1:1/source\";\n"
	"      sha256 = \"%052d\"; }; };\n"
	"  waiting = script \"waiting-%s\" \"echo here; sleep 3600; # %s\";\n"
	"}\n";

static char mark[33]; /* in what only this run builds */

static const char *
write_overlay(struct buf *path)
{
	AUTO(buf) struct buf text = BUF_INIT;
	struct err e = ERR_INIT;

	fs_random_hex(mark);
	buf_printf(path, "%s/overlay.nix", nix_set_dir);
	buf_printf(&text, overlay_text, mark, mark, mark, 0, mark, mark);
	if (fs_write_atomic(path->p, text.p, text.len, &e) < 0)
		ok(false, "%s", e.msg);
	return path->p;
}

static void
test_eval_timeout(const struct nix_options *base)
{
	static const struct failure busy = {
		"spinning", ERR_TIMEOUT,
		"spinning: evaluation did not end within 1 s", NULL};
	struct nix_options o = *base;
	uint64_t start = nix_set_now_ms();
	struct nix *n;

	o.eval_timeout_s = 1;
	n = open_with(&o);
	test_failure(n, &busy);
	ok(nix_set_now_ms() - start < 60000, "in time");
	nix_free(n);
}

/* A build that is cancelled when it has said something. */
struct heard {
	atomic_bool cancel;
	size_t here;
};

static void
cancel_here(void *ctx, const char *line, size_t n)
{
	struct heard *h = ctx;

	if (n < 4 || memcmp(line + n - 4, "here", 4) != 0)
		return;
	h->here++;
	atomic_store(&h->cancel, true);
}

static void
test_cancel(struct nix *n)
{
	struct heard h = {.cancel = false};
	const struct nix_watch w = {
		.cancel = &h.cancel, .on_line = cancel_here, .ctx = &h};
	uint64_t start = nix_set_now_ms();
	struct result r;

	ok(nix_set_make(n, "waiting", &w, &r) < 0 && r.e.kind == ERR_BUSY,
	   "a build is stopped: %s", r.e.msg);
	ok(nix_set_now_ms() - start < 60000, "at once");
	is_u64(h.here, 1, "its log came while it ran");
	ok(nix_set_none_left(mark), "and its builder is gone");
	result_release(&r);
}

/* A collection of garbage between evaluation and realisation. */
static void
test_collected(struct nix *n)
{
	const char *const packages[] = {"fresh"};
	const struct nix_request q = {
		.source = &nix_set,
		.revision = &nix_set_revision,
		.tree = PKGS,
		.system = SYSTEM,
		.packages = packages,
		.n_packages = 1,
	};
	struct result r = {.arena = ARENA_INIT, .e = ERR_INIT};
	AUTO(nix_run) struct nix_run run;

	ok(nix_evaluate(n, &r.arena, &q, NULL, &r.evaluated, &r.e) == 0,
	   "a package is evaluated: %s", r.e.msg);
	nix_run_init(&run, n, "nix-store", NULL);
	nix_args_add(&run.args, "--delete", r.evaluated.v[0].drv, (char *)NULL);
	ok(nix_run_start(&run, &r.e) == 0 && nix_run_ok(&run),
	   "its derivation is collected");
	ok(nix_realise(n, &r.arena, &r.evaluated, NULL, &r.outputs, &r.root,
		       &r.e) == 0,
	   "it is realised all the same: %s", r.e.msg);
	result_release(&r);
}

/* Nix's settings, anew; 2.3 takes none from the environment. */
static void
write_conf(const char *more)
{
	AUTO(buf) struct buf path = BUF_INIT, text = BUF_INIT;
	struct err e = ERR_INIT;

	buf_printf(&path, "%s/nix.conf", nix_set_dir);
	buf_printf(&text, "sandbox-fallback = true\n%s", more);
	if (fs_write_atomic(path.p, text.p, text.len, &e) < 0)
		ok(false, "%s", e.msg);
}

/* The last part of a store path without its name. */
#define HASH_LEN 32

/* A cache that has a path, and not the other that this one needs. */
static void
write_cache(const char *cache, const char *store_dir, const char *path)
{
	AUTO(buf) struct buf file = BUF_INIT, text = BUF_INIT;
	AUTO(buf) struct buf about = BUF_INIT;
	struct err e = ERR_INIT;

	buf_printf(&about, "StoreDir: %s\n", store_dir);
	buf_printf(&file, "%s/nix-cache-info", cache);
	if (fs_mkdirs(cache, 0755, &e) < 0 ||
	    fs_write_atomic(file.p, about.p, about.len, &e) < 0)
		ok(false, "%s", e.msg);
	buf_clear(&file);
	buf_printf(&file, "%s/%.*s.narinfo", cache, HASH_LEN,
		   strrchr(path, '/') + 1);
	buf_printf(&text,
		   "StorePath: %s\nURL: nar/none.nar\nCompression: none\n"
		   "NarHash: sha256:%052d\nNarSize: 100\n"
		   "References: %032d-gone-1.0\n",
		   path, 0, 0);
	if (fs_write_atomic(file.p, text.p, text.len, &e) < 0)
		ok(false, "%s", e.msg);
}

/* Offline, with a package whose source is to be downloaded. */
static void
test_half_a_closure(const struct nix_options *base)
{
	static const struct failure none = {
		"needy", ERR_BUILD,
		"1 file is missing here, and this registry downloads nothing: "
		"source",
		NULL};
	static const struct failure half = {
		"needy", ERR_BUILD,
		"1 path is missing here, and this registry downloads nothing: "
		"gone-1.0",
		NULL};
	const char *const packages[] = {"needy"};
	const struct nix_request q = {
		.source = &nix_set,
		.revision = &nix_set_revision,
		.tree = PKGS,
		.system = SYSTEM,
		.packages = packages,
		.n_packages = 1,
	};
	struct result r = {.arena = ARENA_INIT, .e = ERR_INIT};
	AUTO(buf) struct buf cache = BUF_INIT, conf = BUF_INIT;
	const char *remote = getenv("NIX_REMOTE");
	struct nix_options o = *base;
	struct nix *n;

	if (remote && strcmp(remote, "daemon") == 0) {
		skip("a cache with half a closure",
		     "who is not trusted adds no cache to a daemon");
		return;
	}
	buf_printf(&cache, "%s/cache", nix_set_dir);
	buf_printf(&conf, "substituters = file://%s\nrequire-sigs = false\n",
		   cache.p);
	write_conf(conf.p);
	o.offline = true;
	n = open_with(&o);
	if (n &&
	    !ok(nix_evaluate(n, &r.arena, &q, NULL, &r.evaluated, &r.e) == 0,
		"a package is evaluated: %s", r.e.msg))
		n = NULL;
	if (n) {
		test_failure(n, &none);
		write_cache(cache.p, n->store_dir, r.evaluated.v[0].path);
		/* What a cache lacks is remembered, there in the cache. */
		nix_free(n);
		n = open_with(&o);
		test_failure(n, &half);
	}
	nix_free(n);
	result_release(&r);
	write_conf("substituters =\n");
}

static void
test_own_packages(void)
{
	AUTO(buf) struct buf path = BUF_INIT;
	const char *const overlays[] = {write_overlay(&path)};
	struct nix_options o = nix_set_options();
	struct nix *n;

	o.overlays = overlays;
	o.n_overlays = 1;
	o.timeout_s = 60;
	(void)snprintf(nix_set_revision.id, sizeof(nix_set_revision.id), "%s",
		       mark);
	n = open_with(&o);
	if (n) {
		test_collected(n);
		test_cancel(n);
	}
	nix_free(n);
	test_eval_timeout(&o);
	test_half_a_closure(&o);
	(void)snprintf(nix_set_revision.id, sizeof(nix_set_revision.id),
		       "test");
}

/* --- where Nix itself fails */

static void
test_caches(void)
{
	static const struct failure denied = {
		"failing", ERR_DENIED,
		"failing-1.0 is in no binary cache, and this registry does not "
		"build",
		NULL};
	static const struct failure gone = {"failing", ERR_UPSTREAM,
					    "a binary cache can't be reached",
					    NULL};
	static const struct failure offline = {
		"fetchfails", ERR_BUILD,
		"1 file is missing here, and this registry downloads nothing: "
		"x",
		NULL};
	struct nix_options o = nix_set_options();
	struct nix *n;

	o.substitutes_only = true;
	n = open_with(&o);
	test_failure(n, &denied);
	test_served(n, "hello", "what is there is served");
	nix_free(n);
	(void)setenv("NIX_CONFIG", "substituters = http://127.0.0.1:1", 1);
	n = open_with(&o);
	if (n && nix_at_least(n, 2, 4))
		test_failure(n, &gone);
	else
		skip("an unreachable cache", "Nix 2.3 reads no NIX_CONFIG");
	nix_free(n);
	o = nix_set_options();
	o.offline = true;
	n = open_with(&o);
	if (n)
		is_str(n->substituters, "", "offline, no cache is asked");
	test_failure(n, &offline);
	test_served(n, "hello", "what is there is served");
	nix_free(n);
	(void)unsetenv("NIX_CONFIG");
}

static void
test_no_daemon(void)
{
	const char *remote = getenv("NIX_REMOTE");
	AUTO(buf) struct buf saved = BUF_INIT;
	const struct nix_options o = nix_set_options();
	struct err e = ERR_INIT;
	struct result r;
	struct nix *n;

	if (access(DAEMON_SOCKET, F_OK) == 0) {
		n = open_with(&o);
		if (n && !nix_at_least(n, 2, 4)) {
			skip("no daemon", "Nix 2.3 knows one socket, and there "
					  "is a daemon behind it");
			nix_free(n);
			return;
		}
		nix_free(n);
	}
	buf_adds(&saved, remote ? remote : "");
	(void)setenv("NIX_REMOTE", "daemon", 1);
	(void)setenv("NIX_DAEMON_SOCKET_PATH", "/no/such/socket", 1);
	n = open_with(&o);
	ok(n && nix_check(n, &e) < 0 && e.kind == ERR_UPSTREAM &&
		   strstr(e.msg, "daemon"),
	   "no daemon: %s", e.msg);
	ok(n && nix_set_make(n, "hello", NULL, &r) < 0 &&
		   r.e.kind == ERR_UPSTREAM && strstr(r.e.msg, "daemon"),
	   "no daemon when it is needed: %s", r.e.msg);
	result_release(&r);
	nix_free(n);
	(void)unsetenv("NIX_DAEMON_SOCKET_PATH");
	if (remote)
		(void)setenv("NIX_REMOTE", saved.p, 1);
	else
		(void)unsetenv("NIX_REMOTE");
}

static void
test_no_nix(void)
{
	AUTO(buf) struct buf path = BUF_INIT;
	const struct nix_options o = nix_set_options();
	struct nix *n = NULL;
	struct err e = ERR_INIT;

	buf_adds(&path, getenv("PATH"));
	(void)setenv("PATH", nix_set_dir, 1);
	ok(nix_open(&o, &n, &e) < 0 && e.kind == ERR_UPSTREAM &&
		   strstr(e.msg, "Nix is missing"),
	   "no Nix: %s", e.msg);
	(void)setenv("PATH", path.p, 1);
	nix_free(n);
}

/* --- roots */

static void
test_roots(struct nix *n)
{
	AUTO(buf) struct buf dead = BUF_INIT, young = BUF_INIT;
	AUTO(buf) struct buf file = BUF_INIT;
	const struct nix_options o = nix_set_options();
	struct err e = ERR_INIT;
	struct nix *other;

	buf_printf(&dead, "%s/nix/roots/dead", nix_set_dir);
	buf_printf(&young, "%s/nix/roots/young", nix_set_dir);
	buf_printf(&file, "%s/lock", dead.p);
	if (fs_mkdirs(dead.p, 0700, &e) < 0 ||
	    fs_mkdirs(young.p, 0700, &e) < 0 ||
	    fs_write_atomic(file.p, "", 0, &e) < 0)
		ok(false, "%s", e.msg);
	other = open_with(&o);
	ok(access(dead.p, F_OK) < 0 && errno == ENOENT,
	   "roots of a process that died are removed");
	ok(access(young.p, F_OK) == 0, "those that are being made are not");
	ok(access(n->roots, F_OK) == 0, "nor those of one that lives");
	nix_free(other);
	ok(access(n->roots, F_OK) == 0, "which has its own");
}

static void
test_all(void)
{
	const struct nix_options o = nix_set_options();
	struct nix *n = open_with(&o);
	struct err e = ERR_INIT;

	if (!n)
		return;
	ok(nix_check(n, &e) == 0, "Nix answers: %s", e.msg);
	test_roots(n);
	nix_free(n);
	test_own_packages();
	test_caches();
	test_no_daemon();
	test_no_nix();
}

int
main(void)
{
	const char *why;

	if (!nix_set_up(&why)) {
		skip("Nix", why);
		return done_testing();
	}
	test_all();
	nix_set_done();
	return done_testing();
}
