/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Against the Nix that is installed, with the packages of tests/pkgs: those
 * that behave, and one for each way in which a package may not.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/model/source.h"
#include "core/nix/impl.h"
#include "core/sys/fs.h"
#include "core/sys/log.h"
#include "core/sys/proc.h"
#include "tests/support/tap.h"

#define PKGS "tests/pkgs"
#define SYSTEM "x86_64-linux"
#define DAEMON_SOCKET "/nix/var/nix/daemon-socket/socket"

static char dir[] = "/tmp/firn-test-nix-XXXXXX";

/* The package set; a fresh name each run for what must not be there yet. */
static struct source set = {.kind = SOURCE_PATH, .location = PKGS};
static struct revision revision = {.id = "test"};

struct result {
	struct arena arena;
	struct nix_outputs evaluated;
	struct nix_outputs outputs;
	struct nix_root *root;
	struct graph graph;
	struct err e;
};

static uint64_t
now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static struct nix_options
options(void)
{
	return (struct nix_options){
		.expressions = "nix",
		.state_path = dir,
		.timeout_s = 120,
		.eval_timeout_s = 20,
		.eval_memory = 500u << 20,
	};
}

static struct nix *
open_with(const struct nix_options *o)
{
	struct err e = ERR_INIT;
	struct nix *n = NULL;

	if (nix_open(o, &n, &e) < 0)
		ok(false, "Nix is opened: %s", e.msg);
	return n;
}

/* "a b c": packages. Stops at the first stage that fails. */
static int
make(struct nix *n, const char *names, const struct nix_watch *w,
     struct result *r)
{
	const char *packages[16];
	struct nix_request q = {
		.source = &set,
		.revision = &revision,
		.tree = PKGS,
		.system = SYSTEM,
		.packages = packages,
	};
	struct str rest = str_of(names), name;

	*r = (struct result){.arena = ARENA_INIT, .e = ERR_INIT};
	while (str_cut(&rest, ' ', &name))
		packages[q.n_packages++] =
			arena_strndup(&r->arena, name.p, name.n);
	if (nix_evaluate(n, &r->arena, &q, w, &r->evaluated, &r->e) < 0 ||
	    nix_realise(n, &r->arena, &r->evaluated, w, &r->outputs, &r->root,
			&r->e) < 0)
		return -1;
	return nix_closure(n, &r->arena, &r->outputs, w, &r->graph, &r->e);
}

static void
result_release(struct result *r)
{
	nix_root_free(r->root);
	arena_release(&r->arena);
}

/* How many entries has a directory? */
static size_t
count_entries(const char *path)
{
	struct fs_names names;
	struct err e = ERR_INIT;
	size_t n;

	if (fs_list(path, &names, &e) < 0)
		return 0;
	n = names.n;
	fs_names_free(&names);
	return n;
}

/* How many processes have the text in their command line? */
static size_t
count_processes(const char *text)
{
	struct fs_names names;
	struct err e = ERR_INIT;
	size_t n = 0;

	if (fs_list("/proc", &names, &e) < 0)
		return 0;
	for (size_t i = 0; i < names.n; i++) {
		AUTO(buf) struct buf path = BUF_INIT, line = BUF_INIT;

		buf_printf(&path, "/proc/%s/cmdline", names.v[i]);
		err_clear(&e);
		if (names.v[i][0] < '0' || names.v[i][0] > '9' ||
		    fs_read_file(path.p, 1u << 20, &line, &e) < 0)
			continue;
		n += memmem(line.p, line.len, text, strlen(text)) != NULL;
	}
	fs_names_free(&names);
	return n;
}

/* A killed builder may take a moment to be gone. */
static bool
none_left(const char *text)
{
	const struct timespec tick = {.tv_nsec = 50000000};

	for (int i = 0; i < 100; i++) {
		if (count_processes(text) == 0)
			return true;
		(void)nanosleep(&tick, NULL);
	}
	return false;
}

static bool
is_executable(const char *path, const char *below)
{
	AUTO(buf) struct buf file = BUF_INIT;

	buf_printf(&file, "%s/%s", path, below);
	return access(file.p, X_OK) == 0;
}

static const struct nix_output *
find_output(const struct nix_outputs *o, const char *attribute,
	    const char *output)
{
	for (size_t i = 0; i < o->n; i++)
		if (strcmp(o->v[i].attribute, attribute) == 0 &&
		    strcmp(o->v[i].output, output) == 0)
			return &o->v[i];
	return NULL;
}

static void
test_licenses(struct nix *n)
{
	const struct nix_output *odd, *throws;
	struct result r;

	ok(make(n, "licenseOdd licenseThrows", NULL, &r) == 0,
	   "a licence may fail: %s", r.e.msg);
	odd = find_output(&r.outputs, "licenseOdd", "out");
	is_str(odd ? odd->license : NULL,
	       "LicenseRef-my-own AND MIT AND LicenseRef-publicDomain AND "
	       "LicenseRef-unknown",
	       "licences without SPDX identifiers have their own");
	throws = find_output(&r.outputs, "licenseThrows", "out");
	ok(throws && !throws->license, "one that throws is none");
	result_release(&r);
}

static void
test_good(struct nix *n)
{
	const struct nix_output *hello;
	struct result r;
	uint64_t before;
	bool sorted = true;

	ok(make(n, "hello bashinteractive hello openssl.dev xorg.xev 7zz", NULL,
		&r) == 0,
	   "packages are realised: %s", r.e.msg);
	hello = find_output(&r.outputs, "hello", "out");
	ok(hello && is_executable(hello->path, "bin/hello"), "and are there");
	ok(hello && str_has_prefix(hello->name, "hello-"), "with their name");
	ok(hello && hello->license &&
		   strcmp(hello->license, "GPL-3.0-or-later") == 0,
	   "and their licence");
	ok(find_output(&r.outputs, "bashInteractive", "out") &&
		   find_output(&r.outputs, "bashInteractive", "man"),
	   "a package has the outputs that an installation takes");
	ok(find_output(&r.outputs, "openssl.dev", "dev") &&
		   !find_output(&r.outputs, "openssl.dev", "bin"),
	   "an output that is named is alone");
	ok(find_output(&r.outputs, "xorg.xev", "out") != NULL,
	   "a package in a set");
	ok(find_output(&r.outputs, "_7zz", "out") != NULL, "a leading digit");
	for (size_t i = 1; i < r.outputs.n; i++)
		if (strcmp(r.outputs.v[i - 1].path, r.outputs.v[i].path) >= 0)
			sorted = false;
	ok(sorted, "sorted by path, each once");
	ok(r.graph.n > r.outputs.n, "with a closure");
	ok(r.root && count_entries(r.root->dir) == r.outputs.n,
	   "every output is held by a root");
	result_release(&r);
	is_u64(count_entries(n->roots), 1, "which goes away");

	before = nix_processes(n);
	ok(make(n, "bash 7zz", NULL, &r) == 0, "aliases and spellings again");
	is_u64(nix_processes(n) - before, 4,
	       "cost four processes: evaluate, realise, -qR, --dump-db");
	result_release(&r);
}

/* A whole failure: what is asked for, and what is said. */
struct failure {
	const char *name;
	enum err_kind kind;
	const char *says;   /* in the message */
	const char *detail; /* in the detail, or NULL */
};

static const struct failure failures[] = {
	{"gti", ERR_NOT_FOUND, "there is no package gti; did you mean git?",
	 NULL},
	{"qwertyuiop", ERR_NOT_FOUND, "there is no package qwertyuiop", NULL},
	{"xorg.libx12", ERR_NOT_FOUND, "did you mean xorg.libX11?", NULL},
	{"git.nothing", ERR_NOT_FOUND, "there is no package git.nothing", NULL},
	{"astring.x", ERR_NOT_FOUND, "aString is a", NULL},
	{"a..b", ERR_NOT_FOUND, "there is no package a..b", NULL},
	{"hello.", ERR_NOT_FOUND, "there is no package", NULL},
	{"builtins", ERR_NOT_FOUND, "there is no package builtins", NULL},
	{"${hello}", ERR_NOT_FOUND, "there is no package ${hello}", NULL},
	{"hello\";", ERR_NOT_FOUND, "there is no package hello\";", NULL},
	{"__proto__", ERR_NOT_FOUND, "there is no package __proto__", NULL},
	{"xorg", ERR_NOT_FOUND,
	 "xorg is not a package but a set; some of what "
	 "is in it: xorg.libX11, ",
	 NULL},
	{"lib", ERR_NOT_FOUND, "not a package but a set", NULL},
	{"hello.meta", ERR_NOT_FOUND, "not a package but a set", NULL},
	{"afunction", ERR_NOT_FOUND, "not a package but a function", NULL},
	{"functor", ERR_NOT_FOUND, "not a package", NULL},
	{"stringpath", ERR_NOT_FOUND, "not a package but a text", NULL},
	{"alist", ERR_NOT_FOUND, "not a package but a list", NULL},
	{"anull", ERR_NOT_FOUND, "not a package but empty", NULL},
	{"apath", ERR_NOT_FOUND, "not a package but a file name", NULL},
	{"unfreepkg", ERR_DENIED, "unfree-pkg-1.0 has an unfree license", NULL},
	{"dependsonunfree", ERR_DENIED,
	 "dependsonunfree: unfree-pkg-1.0 has an unfree license", NULL},
	{"brokenpkg", ERR_DENIED, "is marked as broken", NULL},
	{"insecurepkg", ERR_DENIED, "insecure (CVE-2099-0001, ", NULL},
	{"unsupportedpkg", ERR_DENIED,
	 "unsupported-pkg-1.0 is not available for " SYSTEM, NULL},
	{"oldname", ERR_BUILD, "has been renamed to", NULL},
	{"throwing", ERR_BUILD,
	 "throwing can't be evaluated: this package "
	 "always throws",
	 NULL},
	{"aborting", ERR_BUILD, "this package aborts", NULL},
	{"asserting", ERR_BUILD, "asserting can't be evaluated: ", NULL},
	{"missingattr", ERR_BUILD, "attribute 'doesNotExist' missing", NULL},
	{"typeerror", ERR_BUILD, "typeerror can't be evaluated: cannot add",
	 NULL},
	{"namethrows", ERR_BUILD, "the name throws", NULL},
	{"recursing", ERR_BUILD, "infinite recursion", NULL},
	{"overflowing", ERR_BUILD, "recurses too deeply", NULL},
	{"hungry", ERR_DENIED, "needs more than 500 MiB of memory", NULL},
	{"ifd", ERR_DENIED, "import from derivation", NULL},
	{"readsfile", ERR_DENIED, "outside of the package set", NULL},
	{"fetchesurl", ERR_DENIED, "outside of the package set", NULL},
	{"fakederivation", ERR_BUILD, "fakederivation can't be evaluated",
	 NULL},
	{"eviloutpath", ERR_BUILD, "it has no derivation in the Nix store",
	 NULL},
	{"lyingoutpath", ERR_BUILD, "it has no output in the Nix store", NULL},
	{"failing", ERR_BUILD,
	 "building failing-1.0 failed with exit code 17; its log ends: the "
	 "reason why it fails",
	 "line one\n"},
	{"dependsonfailing", ERR_BUILD,
	 "building failing-1.0 failed with exit code 17", "line one\n"},
	{"forking", ERR_BUILD, "building forking-1.0 failed", NULL},
	{"loudfailing", ERR_BUILD, "log ends: line 200000 of",
	 "line 199990 of"},
	{"longline", ERR_BUILD, "building long-line-1.0 failed", NULL},
	{"nooutput", ERR_BUILD, "no-output-1.0: the build ended without", NULL},
	{"specialfile", ERR_BUILD, "special-file-1.0: the build left what",
	 NULL},
	{"cyclic", ERR_BUILD, "cyclic-1.0: its outputs refer", NULL},
	{"fodmismatch", ERR_BUILD, "(hash mismatch)", "got:"},
	{"wrongsystem", ERR_DENIED, "wrong-system-1.0: it must be built on",
	 NULL},
	{"needsfeature", ERR_DENIED, "needs-feature-1.0: it must be built on",
	 NULL},
};

static const struct failure endless[] = {
	{"slow", ERR_TIMEOUT,
	 "building slow-1.0 took too long: the builder timed out after 3 "
	 "seconds",
	 "tick 1\n"},
	{"stubborn", ERR_TIMEOUT, "stubborn-1.0 took too long",
	 "not stopping\n"},
};

/* What a client may be told holds no path of this machine. */
static bool
leaks(const struct err *e)
{
	char cwd[4096];

	if (!getcwd(cwd, sizeof(cwd)))
		return true;
	return strstr(e->msg, cwd) || strstr(e->detail, cwd) ||
	       strstr(e->msg, dir) || strstr(e->detail, dir);
}

static void
test_failure(struct nix *n, const struct failure *f)
{
	struct result r;
	int got = make(n, f->name, NULL, &r);

	if (!ok(got < 0 && r.e.kind == f->kind && strstr(r.e.msg, f->says),
		"%s is %s: %s", f->name, err_kind_name(f->kind), f->says))
		printf("# got:  %s: %s\n", err_kind_name(r.e.kind), r.e.msg);
	if (f->detail && !ok(strstr(r.e.detail, f->detail), "with detail"))
		printf("# got:  %s\n", r.e.detail);
	if (leaks(&r.e))
		ok(false, "no path in: %s / %s", r.e.msg, r.e.detail);
	result_release(&r);
}

static void
test_failures(struct nix *n)
{
	for (size_t i = 0; i < ARRAY_LEN(failures); i++)
		test_failure(n, &failures[i]);
	is_u64(count_entries(n->roots), 1, "no root is left of a failure");
}

static void
test_endless(void)
{
	struct nix_options o = options();
	struct nix *n;

	o.timeout_s = 3;
	n = open_with(&o);
	for (size_t i = 0; n && i < ARRAY_LEN(endless); i++)
		test_failure(n, &endless[i]);
	ok(none_left("tick $i") && none_left("not stopping"),
	   "no builder outlives its limit, not one that ignores SIGTERM");
	nix_free(n);
}

static void
test_first_names(struct nix *n)
{
	struct revision saved = revision;
	struct result r;
	uint64_t before = nix_processes(n);

	(void)snprintf(revision.id, sizeof(revision.id), "first");
	ok(make(n, "gti", NULL, &r) < 0 && strstr(r.e.msg, "mean git"),
	   "a set never seen: the index is made on the way");
	is_u64(nix_processes(n) - before, 1, "by the one evaluation");
	result_release(&r);
	before = nix_processes(n);
	ok(make(n, "gti", NULL, &r) < 0, "after that a wrong name");
	is_u64(nix_processes(n) - before, 0, "costs no process");
	result_release(&r);
	revision.id[0] = '\0';
	before = nix_processes(n);
	ok(make(n, "haskellpackages.shellcheck", NULL, &r) == 0,
	   "without a revision");
	is_u64(nix_processes(n) - before, 5, "a spelling costs one more");
	result_release(&r);
	revision = saved;
}

/* --- policy */

static void
test_policy(void)
{
	static const char *const allow[] = {"git", "xorg", "py*"};
	static const char *const deny[] = {"xorg.libx11", "openssl"};
	static const struct failure cases[] = {
		{"hello", ERR_DENIED, "does not serve hello", NULL},
		{"openssl.dev", ERR_DENIED, "does not serve openssl.dev", NULL},
		{"xorg.libX11", ERR_DENIED, "does not serve xorg.libX11", NULL},
		{"cacert iana-etc git xorg.xev htop", ERR_DENIED,
		 "does not serve htop", NULL},
	};
	struct nix_options o = options();
	struct nix *n;
	struct result r;

	o.allow = allow;
	o.n_allow = ARRAY_LEN(allow);
	o.deny = deny;
	o.n_deny = ARRAY_LEN(deny);
	n = open_with(&o);
	for (size_t i = 0; n && i < ARRAY_LEN(cases); i++)
		test_failure(n, &cases[i]);
	ok(n && make(n, "cacert iana-etc git xorg.xev python3", NULL, &r) == 0,
	   "what is allowed is served");
	result_release(&r);
	nix_free(n);
}

static void
test_config(void)
{
	struct nix_options o = options();
	struct nix *n;
	struct result r;

	o.allow_unfree = o.allow_broken = o.allow_insecure = true;
	n = open_with(&o);
	ok(n && make(n, "unfreepkg brokenpkg insecurepkg dependsonunfree", NULL,
		     &r) == 0,
	   "the operator may allow them: %s", r.e.msg);
	result_release(&r);
	nix_free(n);
}

static void
test_limits(void)
{
	static const struct failure paths = {
		"git", ERR_DENIED, "more than the 5 that are allowed", NULL};
	static const struct failure size = {
		"git", ERR_DENIED, "more than the 2 MB that are allowed", NULL};
	struct nix_options o = options();
	struct nix *n;

	o.max_closure_paths = 5;
	n = open_with(&o);
	if (n)
		test_failure(n, &paths);
	nix_free(n);
	o.max_closure_paths = 0;
	o.max_closure_size = 2000000;
	n = open_with(&o);
	if (n)
		test_failure(n, &size);
	nix_free(n);
}

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
	"  waiting = script \"waiting-%s\" \"echo here; sleep 3600; # %s\";\n"
	"}\n";

static char mark[33]; /* in what only this run builds */

static const char *
write_overlay(struct buf *path)
{
	AUTO(buf) struct buf text = BUF_INIT;
	struct err e = ERR_INIT;

	fs_random_hex(mark);
	buf_printf(path, "%s/overlay.nix", dir);
	buf_printf(&text, overlay_text, mark, mark, mark, mark);
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
	uint64_t start = now_ms();
	struct nix *n;

	o.eval_timeout_s = 1;
	n = open_with(&o);
	if (n)
		test_failure(n, &busy);
	ok(now_ms() - start < 8000, "in time");
	nix_free(n);
}

static void *
cancel_soon(void *ctx)
{
	const struct timespec second = {.tv_sec = 1};

	(void)nanosleep(&second, NULL);
	atomic_store((atomic_bool *)ctx, true);
	return NULL;
}

static void
count_here(void *ctx, const char *line, size_t n)
{
	if (n >= 4 && memcmp(line + n - 4, "here", 4) == 0)
		++*(size_t *)ctx;
}

static void
test_cancel(struct nix *n)
{
	atomic_bool cancel = false;
	size_t here = 0;
	const struct nix_watch w = {
		.cancel = &cancel, .on_line = count_here, .ctx = &here};
	uint64_t start = now_ms();
	struct result r;
	pthread_t t;

	(void)pthread_create(&t, NULL, cancel_soon, &cancel);
	ok(make(n, "waiting", &w, &r) < 0 && r.e.kind == ERR_BUSY,
	   "a build is stopped: %s", r.e.msg);
	ok(now_ms() - start < 5000, "at once");
	is_u64(here, 1, "its log came while it ran");
	ok(none_left(mark), "and its builder is gone");
	(void)pthread_join(t, NULL);
	result_release(&r);
}

/* A collection of garbage between evaluation and realisation. */
static void
test_collected(struct nix *n)
{
	const char *const packages[] = {"fresh"};
	const struct nix_request q = {
		.source = &set,
		.revision = &revision,
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

static void
test_own_packages(void)
{
	AUTO(buf) struct buf path = BUF_INIT;
	const char *const overlays[] = {write_overlay(&path)};
	struct nix_options o = options();
	struct nix *n;

	o.overlays = overlays;
	o.n_overlays = 1;
	o.timeout_s = 60;
	(void)snprintf(revision.id, sizeof(revision.id), "%s", mark);
	n = open_with(&o);
	if (n) {
		test_collected(n);
		test_cancel(n);
	}
	nix_free(n);
	test_eval_timeout(&o);
	(void)snprintf(revision.id, sizeof(revision.id), "test");
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
	struct nix_options o = options();
	struct result r;
	struct nix *n;

	o.substitutes_only = true;
	n = open_with(&o);
	if (n) {
		test_failure(n, &denied);
		ok(make(n, "hello", NULL, &r) == 0, "what is there is served");
		result_release(&r);
	}
	nix_free(n);
	(void)setenv("NIX_CONFIG", "substituters = http://127.0.0.1:1", 1);
	n = open_with(&o);
	if (n && nix_at_least(n, 2, 4))
		test_failure(n, &gone);
	else
		skip("an unreachable cache", "Nix 2.3 reads no NIX_CONFIG");
	nix_free(n);
	o = options();
	o.offline = true;
	n = open_with(&o);
	if (n) {
		is_str(n->substituters, "", "offline, no cache is asked");
		test_failure(n, &offline);
		ok(make(n, "hello", NULL, &r) == 0,
		   "what is there is served: %s", r.e.msg);
		result_release(&r);
	}
	nix_free(n);
	(void)unsetenv("NIX_CONFIG");
}

static void
test_no_daemon(void)
{
	const char *remote = getenv("NIX_REMOTE");
	AUTO(buf) struct buf saved = BUF_INIT;
	const struct nix_options o = options();
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
	ok(n && make(n, "hello", NULL, &r) < 0 && r.e.kind == ERR_UPSTREAM &&
		   strstr(r.e.msg, "daemon"),
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
	const struct nix_options o = options();
	struct nix *n = NULL;
	struct err e = ERR_INIT;

	buf_adds(&path, getenv("PATH"));
	(void)setenv("PATH", dir, 1);
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
	const struct nix_options o = options();
	struct err e = ERR_INIT;
	struct nix *other;

	buf_printf(&dead, "%s/nix/roots/dead", dir);
	buf_printf(&young, "%s/nix/roots/young", dir);
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

static bool
have_nix(void)
{
	const char *const argv[] = {"nix-instantiate", "--version", NULL};
	const struct proc_opts o = {.argv = argv, .max_stdout = 4096};
	struct proc_result r;
	struct err e = ERR_INIT;

	if (proc_run(&o, &r, &e) < 0)
		return false;
	buf_release(&r.output);
	return true;
}

/*
 * Nix's settings for the tests: no cache is asked. The sandbox stays on
 * where there is one.
 */
static void
set_up(void)
{
	static const char conf[] = "substituters =\nsandbox-fallback = true\n";
	AUTO(buf) struct buf path = BUF_INIT;
	struct err e = ERR_INIT;

	if (!mkdtemp(dir))
		abort();
	buf_printf(&path, "%s/nix.conf", dir);
	if (fs_write_atomic(path.p, conf, sizeof(conf) - 1, &e) < 0)
		ok(false, "%s", e.msg);
	(void)setenv("NIX_CONF_DIR", dir, 1);
	log_set_level(LOG_ERROR);
}

static void
test_all(void)
{
	const struct nix_options o = options();
	struct nix *n = open_with(&o);
	struct err e = ERR_INIT;

	if (!n)
		return;
	ok(nix_check(n, &e) == 0, "Nix answers: %s", e.msg);
	test_licenses(n);
	test_good(n);
	test_first_names(n);
	test_failures(n);
	test_roots(n);
	nix_free(n);
	test_endless();
	test_policy();
	test_config();
	test_limits();
	test_own_packages();
	test_caches();
	test_no_daemon();
	test_no_nix();
}

int
main(void)
{
	struct err e = ERR_INIT;

	if (!have_nix()) {
		skip("Nix", "there is no Nix here");
		return done_testing();
	}
	if (access(PKGS "/generated/lock.json", R_OK) < 0) {
		skip("Nix", "tests/pkgs is not prepared");
		return done_testing();
	}
	set_up();
	test_all();
	if (fs_remove_tree(dir, &e) < 0)
		ok(false, "%s", e.msg);
	return done_testing();
}
