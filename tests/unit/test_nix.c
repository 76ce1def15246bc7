/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Against the Nix that is installed, with the packages of tests/pkgs: those
 * that behave, and one for each way in which a package may not.
 */
#include <grp.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/sys/fs.h"
#include "tests/support/nix_set.h"

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

	ok(nix_set_make(n, "licenseOdd licenseThrows", NULL, &r) == 0,
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

	ok(nix_set_make(n,
			"hello bashinteractive hello openssl.dev xorg.xev 7zz",
			NULL, &r) == 0,
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
	ok(r.root && nix_set_entries(r.root->dir) == r.outputs.n,
	   "every output is held by a root");
	result_release(&r);
	is_u64(nix_set_entries(n->roots), 1, "which goes away");

	before = nix_processes(n);
	ok(nix_set_make(n, "bash 7zz", NULL, &r) == 0,
	   "aliases and spellings again");
	is_u64(nix_processes(n) - before, 4,
	       "cost four processes: evaluate, realise, -qR, --dump-db");
	result_release(&r);
}

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
static void
test_failures(struct nix *n)
{
	for (size_t i = 0; i < ARRAY_LEN(failures); i++)
		test_failure(n, &failures[i]);
	is_u64(nix_set_entries(n->roots), 1, "no root is left of a failure");
}

static void
test_endless(void)
{
	struct nix_options o = nix_set_options();
	struct nix *n;

	o.timeout_s = 3;
	n = open_with(&o);
	for (size_t i = 0; i < ARRAY_LEN(endless); i++)
		test_failure(n, &endless[i]);
	ok(nix_set_none_left("tick $i") && nix_set_none_left("not stopping"),
	   "no builder outlives its limit, not one that ignores SIGTERM");
	nix_free(n);
}

static void
test_first_names(struct nix *n)
{
	struct revision saved = nix_set_revision;
	struct result r;
	uint64_t before = nix_processes(n);

	(void)snprintf(nix_set_revision.id, sizeof(nix_set_revision.id),
		       "first");
	ok(nix_set_make(n, "gti", NULL, &r) < 0 && strstr(r.e.msg, "mean git"),
	   "a set never seen: the index is made on the way");
	is_u64(nix_processes(n) - before, 1, "by the one evaluation");
	result_release(&r);
	before = nix_processes(n);
	ok(nix_set_make(n, "gti", NULL, &r) < 0, "after that a wrong name");
	is_u64(nix_processes(n) - before, 0, "costs no process");
	result_release(&r);
	nix_set_revision.id[0] = '\0';
	before = nix_processes(n);
	ok(nix_set_make(n, "haskellpackages.shellcheck", NULL, &r) == 0,
	   "without a revision");
	is_u64(nix_processes(n) - before, 5, "a spelling costs one more");
	result_release(&r);
	nix_set_revision = saved;
}

/* --- policy */

/* With these options it fails at each of v, and serves names, if any. */
static void
test_options(const struct nix_options *o, const struct failure *v, size_t n_v,
	     const char *names, const char *says)
{
	struct nix *n = open_with(o);

	for (size_t i = 0; i < n_v; i++)
		test_failure(n, &v[i]);
	if (names)
		test_served(n, names, says);
	nix_free(n);
}

static const char policy_text[] =
	"final: prev: let script = name: prev.stdenv.mkDerivation {\n"
	"  inherit name; PATH = \"${prev.stdenv.tools}/bin\";\n"
	"  args = [ \"-euc\" \"echo ${name} >$out\" ]; }; in {\n"
	"  secret = script \"confidential-1\";\n"
	"  samename = script \"confidential-1\" // { drvPath =\n"
	"    (script \"other-1\").drvPath; outPath =\n"
	"    (script \"other-1\").outPath; };\n"
	"  secretalias = final.secret;\n"
	"  throwingalias = final.throwing;\n"
	"  otherssl = script \"openssl-9.9\";\n"
	"  tool = script \"tool-1\" // {\n"
	"    pkgs = final; stdenv = script \"stdenv\" // { cc = final.jq; }; "
	"};\n"
	"  deep = final.tool;\n"
	"  tells = prev.stdenv.mkDerivation { name = \"tells\";\n"
	"    PATH = \"${prev.stdenv.tools}/bin\"; args = [ \"-euc\" ''\n"
	"      echo /srv/secret/one\n"
	"      echo see /srv/secret/x and https://u:p@h/y?token=S3\n"
	"      exit 1'' ]; };\n"
	"  lies = builtins.mapAttrs (name: text: throw text) {\n"
	"    broken = \"the package was removed: it is marked as broken and\"\n"
	"      + \" not supported on anything. Use hello\";\n"
	"    platform = \"package x is not supported on this machine\";\n"
	"    memory = \"machines run out of memory here\";\n"
	"    disk = \"disk I/O error\";\n"
	"    full = \"where No space left on device is told\";\n"
	"    daemon = \"now cannot connect to daemon\"; };\n"
	"  bomb = script (builtins.toJSON (builtins.foldl'\n"
	"    (x: n: [ x x ]) (builtins.foldl' (s: n: s + s) \"x\"\n"
	"      (builtins.genList (n: n) 16)) (builtins.genList (n: n) 14)));\n"
	"}\n";
static const char *policy_overlay;

static void
write_policy_overlay(struct buf *path)
{
	struct err e = ERR_INIT;

	buf_printf(path, "%s/policy.nix", nix_set_dir);
	ok(fs_write_atomic(path->p, policy_text, sizeof(policy_text) - 1, &e) ==
		   0,
	   "an overlay for policies %s", e.msg);
	policy_overlay = path->p;
	(void)snprintf(nix_set_revision.id, sizeof(nix_set_revision.id),
		       "with-an-overlay");
}

static struct nix_options
overlay_options(void)
{
	struct nix_options o = nix_set_options();

	o.overlays = &policy_overlay;
	o.n_overlays = 1;
	return o;
}

/* The insides of packages lead anywhere. */
static void
test_allow_insides(void)
{
	static const char *const allow[] = {"hello", "tool", "deep.pkgs.*"};
	static const struct failure cases[] = {
		{"tool.pkgs.openssl", ERR_DENIED,
		 "does not serve tool.pkgs.openssl", NULL},
		{"tool.stdenv.cc", ERR_DENIED, "does not serve tool.stdenv.cc",
		 NULL},
		{"deep.stdenv.cc", ERR_DENIED, "does not serve", NULL},
		{"deep.pkgs.tool.stdenv.cc", ERR_DENIED, "does not serve",
		 NULL},
	};
	struct nix_options o = overlay_options();

	o.allow = allow;
	o.n_allow = ARRAY_LEN(allow);
	test_options(&o, cases, ARRAY_LEN(cases),
		     "hello.out tool.out tool deep.pkgs.jq",
		     "outputs are, and what a pattern names");
}

/* Whatever a package throws, it is what it throws. */
static void
test_lies(void)
{
	static const struct failure cases[] = {
		{"lies.broken", ERR_BUILD, "evaluated: the package was removed",
		 NULL},
		{"lies.platform", ERR_BUILD, "evaluated: package x", NULL},
		{"lies.memory", ERR_BUILD, "evaluated: machines run out", NULL},
		{"lies.disk", ERR_BUILD, "evaluated: disk I/O error", NULL},
		{"lies.full", ERR_BUILD, "evaluated: where No space", NULL},
		{"lies.daemon", ERR_BUILD, "evaluated: now cannot", NULL},
	};
	static const struct failure others[] = {
		{"fetchesurl", ERR_UPSTREAM, "a download, which fails: unable",
		 NULL},
		{"tells", ERR_BUILD, "its log ends: see x and https://h/y?...",
		 "one\nsee x and https://h/y?...\n"},
		{"bomb", ERR_DENIED, "needs more than 64 MiB of memory", NULL},
	};
	struct nix_options o = overlay_options();
	struct rusage used;

	o.eval_memory = 64u << 20;
	test_options(&o, cases, ARRAY_LEN(cases), NULL, NULL);
	o.allowed_uris = "http://127.0.0.1:1/";
	test_options(&o, others, ARRAY_LEN(others), NULL, NULL);
	/* A string of its size, while it is made, is not on Nix's heap. */
	(void)getrusage(RUSAGE_CHILDREN, &used);
	ok(used.ru_maxrss < 700l << 10,
	   "no evaluation took more than it may: %ld MiB",
	   used.ru_maxrss >> 10);
}

/* A package that is denied has other names. */
static void
test_deny_aliases(void)
{
	static const char *const deny[] = {
		"secret", "OpenSSL",   "bashInteractive", "multi.dev",
		"xorg.*", "TYPEERROR", "throwing",
	};
	static const struct failure cases[] = {
		{"pkgs.secret", ERR_DENIED, "does not serve pkgs.secret", NULL},
		{"pkgs.pkgs.openssl.dev", ERR_DENIED,
		 "does not serve pkgs.pkgs.openssl.dev", NULL},
		{"otherssl", ERR_DENIED, "does not serve otherssl", NULL},
		{"secretalias", ERR_DENIED, "does not serve secretalias", NULL},
		{"secretalias.out", ERR_DENIED, "does not serve", NULL},
		{"bash", ERR_DENIED, "does not serve bash", NULL},
		{"pkgs.multi.dev", ERR_DENIED, "does not serve", NULL},
		/* What can't be evaluated is no other's fault. */
		{"hello multi pkgs.jq throwingalias", ERR_BUILD,
		 "always throws", NULL},
	};
	struct nix_options o = overlay_options();
	uint64_t before;
	struct nix *n;

	o.deny = deny;
	o.n_deny = ARRAY_LEN(deny);
	test_options(&o, cases, ARRAY_LEN(cases),
		     "hello multi pkgs.jq samename", "the rest is served");
	o.n_deny = 5;
	n = open_with(&o);
	if (!n)
		return;
	test_served(n, "hello", "and once more");
	before = nix_processes(n);
	test_served(n, "hello jq", "and others");
	is_u64(nix_processes(n) - before, 4, "at the cost of no process");
	nix_free(n);
}

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
	struct nix_options o = nix_set_options();

	o.allow = allow;
	o.n_allow = ARRAY_LEN(allow);
	o.deny = deny;
	o.n_deny = ARRAY_LEN(deny);
	test_options(&o, cases, ARRAY_LEN(cases),
		     "cacert iana-etc git xorg.xev python3",
		     "what is allowed is served");
}

static void
test_config(void)
{
	struct nix_options o = nix_set_options();

	o.allow_unfree = o.allow_broken = o.allow_insecure = true;
	test_options(&o, NULL, 0,
		     "unfreepkg brokenpkg insecurepkg dependsonunfree",
		     "the operator may allow them");
}

static void
test_limits(void)
{
	static const struct failure paths = {
		"git", ERR_DENIED, "more than the 5 that are allowed", NULL};
	static const struct failure size = {
		"git", ERR_DENIED, "more than the 2.0 MB that are allowed",
		NULL};
	struct nix_options o = nix_set_options();

	o.max_closure_paths = 5;
	test_options(&o, &paths, 1, NULL, NULL);
	o.max_closure_paths = 0;
	o.max_closure_size = 2000000;
	test_options(&o, &size, 1, NULL, NULL);
}

/* With a sandbox or without; the daemon's is the daemon's matter. */
static void
test_probe(void)
{
	const char *remote = getenv("NIX_REMOTE");
	const struct nix_options o = nix_set_options();
	AUTO(buf) struct buf dir = BUF_INIT, file = BUF_INIT;
	static const char conf[] = "substituters =\nsandbox = false\n";
	struct nix *n = open_with(&o);
	struct nix_builders b = {.root = true};
	struct err e = ERR_INIT;
	bool probed = n && nix_probe(n, NULL, &b, &e) == 0;

	ok(probed && !(b.sandboxed && b.root), "builders run %s: %s",
	   b.sandboxed ? "in a sandbox" : "without one", e.msg);
	nix_free(n);
	if (remote && strcmp(remote, "daemon") == 0)
		return;
	buf_printf(&dir, "%s/bare", nix_set_dir);
	buf_printf(&file, "%s/nix.conf", dir.p);
	ok(fs_mkdirs(dir.p, 0755, &e) == 0 &&
		   fs_write_atomic(file.p, conf, sizeof(conf) - 1, &e) == 0,
	   "a configuration without a sandbox %s", e.msg);
	(void)setenv("NIX_CONF_DIR", dir.p, 1);
	n = open_with(&o);
	ok(n && nix_probe(n, NULL, &b, &e) == 0 && !b.sandboxed,
	   "is found out: %s", e.msg);
	ok(b.root == (geteuid() == 0) || getgrnam("nixbld"),
	   "and who the builders are");
	nix_free(n);
	(void)setenv("NIX_CONF_DIR", nix_set_dir, 1);
}

static void
test_all(void)
{
	const struct nix_options o = nix_set_options();
	AUTO(buf) struct buf overlay = BUF_INIT;
	struct nix *n = open_with(&o);

	if (!n)
		return;
	test_licenses(n);
	test_good(n);
	test_first_names(n);
	test_failures(n);
	nix_free(n);
	test_endless();
	test_policy();
	write_policy_overlay(&overlay);
	test_allow_insides();
	test_lies();
	test_deny_aliases();
	test_config();
	test_limits();
	test_probe();
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
