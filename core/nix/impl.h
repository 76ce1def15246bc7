/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_NIX_IMPL_H
#define FIRN_NIX_IMPL_H

/* What the files behind core/nix.h share. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/arena.h"
#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/vec.h"
#include "core/nix.h"

struct err;
struct nix_index;
struct nix_report;

/* Indexes of attribute names that are held in memory. */
#define NIX_INDEXES 4

struct nix {
	struct arena arena; /* everything below that is set once */
	struct nix_options o;
	const char *dir;          /* ours below the state directory */
	const char *const *envp;  /* of every child */
	const char *substituters; /* NULL: those of Nix's configuration */
	bool no_build_users;      /* root, and no group of build users */
	unsigned major, minor;    /* of Nix's version */

	char *roots; /* our own directory of GC roots; see roots.c */
	int roots_lock;
	atomic_uint_fast64_t next_root;
	atomic_uint_fast64_t processes;

	pthread_mutex_t lock;  /* for all below */
	const char *store_dir; /* NULL until it was asked for */
	uint64_t checked_ms;   /* when Nix last answered */
	struct nix_index *indexes[NIX_INDEXES]; /* last used first */
};

/* --- open.c */

bool nix_at_least(const struct nix *n, unsigned major, unsigned minor);
/* The store directory; asks Nix when it is not known. */
MUST_CHECK int nix_store_dir(struct nix *n, const char **ret, struct err *e);
/* It came with another answer of Nix's. */
MUST_CHECK int nix_learn_store_dir(struct nix *n, const char *dir,
				   struct err *e);
uint64_t nix_now_ms(void);

/* --- eval.c */

/* By path, each path once. */
void nix_outputs_sort(struct nix_outputs *o);

/* --- run.c: one run of one of Nix's programs */

struct nix_args {
	VEC(const char *);
};

/* Append the strings up to a NULL. */
void nix_args_add(struct nix_args *args, ...) __attribute__((sentinel));
void nix_args_option(struct nix_args *args, const char *name,
		     const char *value);

struct nix_run {
	struct nix *nix;
	struct nix_args args; /* the program first; released by nix_run_end */
	uint64_t timeout_ms;
	uint64_t max_cpu_s;
	uint64_t max_data;
	size_t max_stdout;
	const struct nix_watch *watch; /* may be NULL */

	/* What it said and how it ended, after nix_run_start. */
	struct nix_report *report;
	struct buf output;
	int exit_code; /* -1: by a signal */
	int signal;
	bool timed_out;
};

void nix_run_init(struct nix_run *r, struct nix *n, const char *program,
		  const struct nix_watch *w);
/*
 * Run it. 0: it ended by itself, well or badly, or ran out of time. -1: it
 * did not start, or was cancelled.
 */
MUST_CHECK int nix_run_start(struct nix_run *r, struct err *e);
bool nix_run_ok(const struct nix_run *r);
void nix_run_release(struct nix_run *r);

static inline void
nix_run_auto(struct nix_run *r)
{
	nix_run_release(r);
}

/* --- flake.c */

/* The address of the locked flake, appended; asks again if it's forgotten. */
MUST_CHECK int nix_find_flake(struct nix *n, const struct source *s,
			      const struct revision *r,
			      const struct nix_watch *w, struct buf *to,
			      struct err *e);

/* --- roots.c: GC roots that can't leak */

/*
 * Make our own directory of roots, held by a lock, and remove those whose
 * owner is gone.
 */
MUST_CHECK int nix_roots_open(struct nix *n, struct err *e);
void nix_roots_close(struct nix *n);

struct nix_root {
	char *dir; /* the links are in here */
};

MUST_CHECK int nix_root_new(struct nix *n, struct nix_root **ret,
			    struct err *e);

/* --- offline.c */

/* Set n->substituters to those of Nix's that need no network. */
MUST_CHECK int nix_find_local_substituters(struct nix *n, struct err *e);
/* Of a list of URLs, those that are local. */
void nix_local_prefixes(struct buf *to, const char *list);
/*
 * Could these derivations ("DRV!out") be realised without a download? Else
 * ERR_BUILD with what is missing.
 */
MUST_CHECK int nix_check_offline(struct nix *n, const struct nix_args *drvs,
				 const struct nix_watch *w, struct err *e);

/* --- machine.c */

/* Does a package of the one system run on the other? "x86_64-linux" */
bool nix_machine_runs(const char *system, const char *of);
/*
 * The programs of realised outputs are for the system that was asked for.
 * ERR_DENIED if not.
 */
MUST_CHECK int nix_check_machine(const struct nix_outputs *o, struct err *e);

/* --- index.c: the names at the top of a package set, and near misses */

struct nix_index_key {
	char hex[65];
	bool stable; /* false: good for this evaluation only */
};

void nix_index_key(const struct nix_request *r, struct nix_index_key *ret);
/* The index of a state of a set if it is there, else NULL. */
struct nix_index *nix_index_find(struct nix *n,
				 const struct nix_index_key *key);
/* Make it from a list of names and keep it. Never NULL. */
struct nix_index *nix_index_add(struct nix *n, const struct nix_index_key *key,
				const char *const *names, size_t n_names);
void nix_index_release(struct nix_index *ix);

/*
 * How a name that was asked for is spelled: as it is; with an underscore in
 * front of a leading digit; in another case. Returns the number of spellings
 * in *ret (at most max); one means found.
 */
size_t nix_index_spell(const struct nix_index *ix, const char *name,
		       const char **ret, size_t max);
/* All names, in byte order. */
const char *const *nix_index_names(const struct nix_index *ix, size_t *ret_n);

static inline void
nix_index_auto(struct nix_index **ix)
{
	nix_index_release(*ix);
}

/* --- text.c: for people */

/* Without ANSI escapes and other control characters but newlines. */
void nix_text_clean(struct buf *to, const char *s, size_t n);
/*
 * The same text with absolute paths cut to their last component, unless they
 * are in the store or the same everywhere; and with addresses without the
 * names and passwords that are in them, nor what follows a question mark.
 */
void nix_text_scrub(struct buf *to, const char *s, const char *store_dir);
/* "/nix/store/HASH-git-2.39.drv" gives "git-2.39"; anything else itself. */
void nix_text_package(struct buf *to, const char *path, size_t n);
/* Is it a path directly in the store directory, well formed? */
bool nix_text_is_store_path(const char *s, const char *store_dir);
/* "xorg.xev" */
void nix_text_dotted(struct buf *to, const char *const *path, size_t n);
/*
 * The SPDX expression for all of these licences; false, and nothing, when
 * there is none or it gets too long. What is no SPDX identifier becomes a
 * LicenseRef.
 */
bool nix_text_license(struct buf *to, const char *const *licenses, size_t n);
/*
 * Up to three of the names that are near to what was asked for, as
 * "a", "a or b", "a, b or c"; false when none is near.
 */
bool nix_text_near(struct buf *to, const char *asked, const char *prefix,
		   const char *const *names, size_t n);

#endif
