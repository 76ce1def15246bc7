/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_TESTS_NIX_SET_H
#define FIRN_TESTS_NIX_SET_H

/*
 * For tests of core/nix against the Nix that is installed, with the packages
 * of tests/pkgs. One thread; there is one state directory a program.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/arena.h"
#include "core/base/err.h"
#include "core/model/graph.h"
#include "core/model/source.h"
#include "core/nix/impl.h"
#include "tests/support/tap.h"

#define PKGS "tests/pkgs"
#define SYSTEM "x86_64-linux"

/* Where Nix's roots and caches go, and a nix.conf of our own. */
extern char nix_set_dir[];
/* Of the package set: a fresh one for what must not be known yet. */
extern struct source nix_set;
extern struct revision nix_set_revision;

/* All that comes of a request, up to the stage that failed. */
struct result {
	struct arena arena;
	struct nix_outputs evaluated;
	struct nix_outputs outputs;
	struct nix_root *root;
	struct graph graph;
	struct err e;
};

/*
 * False, with the reason, when there is no Nix or no prepared package set
 * here. No cache is asked; the sandbox stays on where there is one.
 */
bool nix_set_up(const char **ret_why);
void nix_set_done(void);

uint64_t nix_set_now_ms(void);
struct nix_options nix_set_options(void);

/* "a b c": packages. Stops at the first stage that fails. */
int nix_set_make(struct nix *n, const char *names, const struct nix_watch *w,
		 struct result *r);
void result_release(struct result *r);

/* How many entries has a directory? */
size_t nix_set_entries(const char *path);
/* Is no process left with the text in its command line? Waits for it. */
bool nix_set_none_left(const char *text);
/* Does an error name a path of this machine? */
bool nix_set_leaks(const struct err *e);

/* NULL, which the tests below do nothing with, when it fails: that is told. */
static inline struct nix *
open_with(const struct nix_options *o)
{
	struct err e = ERR_INIT;
	struct nix *n = NULL;

	if (nix_open(o, &n, &e) < 0)
		ok(false, "Nix is opened: %s", e.msg);
	return n;
}

/* A whole failure: what is asked for, and what is said. */
struct failure {
	const char *name;
	enum err_kind kind;
	const char *says;   /* in the message */
	const char *detail; /* in the detail, or NULL */
};

static inline void
test_failure(struct nix *n, const struct failure *f)
{
	struct result r;
	int got;

	if (!n)
		return;
	got = nix_set_make(n, f->name, NULL, &r);
	if (!ok(got < 0 && r.e.kind == f->kind && strstr(r.e.msg, f->says),
		"%s is %s: %s", f->name, err_kind_name(f->kind), f->says))
		printf("# got:  %s: %s\n", err_kind_name(r.e.kind), r.e.msg);
	if (f->detail && !ok(strstr(r.e.detail, f->detail), "with detail"))
		printf("# got:  %s\n", r.e.detail);
	if (nix_set_leaks(&r.e))
		ok(false, "no path in: %s / %s", r.e.msg, r.e.detail);
	result_release(&r);
}

static inline void
test_served(struct nix *n, const char *names, const char *says)
{
	struct result r;

	if (!n)
		return;
	ok(nix_set_make(n, names, NULL, &r) == 0, "%s: %s", says, r.e.msg);
	result_release(&r);
}

#endif
