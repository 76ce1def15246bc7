/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_NIX_H
#define FIRN_NIX_H

/*
 * Runs Nix: evaluates attribute paths to derivations, realises them, reads
 * their closure. Nothing else starts Nix, and names reach it as data only.
 *
 * The three steps are apart so that a caller can stop after each: what an
 * evaluation tells may be enough to find an image that is there already.
 * Every function blocks, and may run on any thread at any time.
 *
 * Failures, with a text for the person who asked: ERR_NOT_FOUND (no such
 * package, with near names), ERR_DENIED (unfree, insecure, broken, wrong
 * platform, limits), ERR_BUILD (evaluation or build failed; the detail holds
 * the log's end), ERR_TIMEOUT; and for the operator: ERR_UPSTREAM (Nix is
 * missing or its daemon gone, a substituter can't be reached), ERR_SYSTEM.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/model/graph.h"
#include "core/model/source.h"

struct arena;
struct buf;
struct err;
struct nix;

struct nix_options {
	const char *expressions; /* directory of our Nix expressions */
	const char *state_path;  /* GC roots and Nix's caches go below it */
	uint64_t timeout_s;      /* for any one builder */
	uint64_t eval_timeout_s; /* for an evaluation; 0: 60 */
	bool offline;

	/* What follows may be left zero. */
	uint64_t build_timeout_s;   /* for all builds of an image; 0: none */
	uint64_t eval_memory;       /* bytes; 0: 2 GiB */
	uint64_t max_closure_size;  /* sum of NAR sizes, bytes; 0: none */
	uint64_t max_closure_paths; /* 0: GRAPH_MAX_NODES */
	bool substitutes_only;      /* fetch, never compile */
	bool allow_unfree;          /* policy: what may be served */
	bool allow_insecure;
	bool allow_broken;

	/*
	 * Attribute paths, or patterns of them as fnmatch(3) reads them,
	 * without regard to case; each stands for what is below it too. With
	 * an allow list, nothing else is served but what every image has
	 * (cacert, iana-etc); a package there stands for its outputs only.
	 * What is denied is denied, under any name that the package has.
	 */
	const char *const *allow;
	size_t n_allow;
	const char *const *deny;
	size_t n_deny;

	/* Files or directories with nixpkgs overlays; not for flakes. */
	const char *const *overlays;
	size_t n_overlays;

	/*
	 * Prefixes of URLs that the package set may fetch while it is
	 * evaluated, separated by spaces; NULL: none. A set that pins another
	 * one by fetchTarball needs it.
	 */
	const char *allowed_uris;
};

/* Checks that Nix is there and which version; logs it. */
MUST_CHECK int nix_open(const struct nix_options *o, struct nix **ret,
			struct err *e);
void nix_free(struct nix *n);

/*
 * Does Nix answer (its daemon, its store)? For /readyz: a good answer is
 * kept for five seconds.
 */
MUST_CHECK int nix_check(struct nix *n, struct err *e);

/*
 * How do builders run? Has Nix build something to find out; it leaves nothing
 * in the store. cancel ends it, and may be NULL. Fails with ERR_UPSTREAM where
 * nothing can be built.
 */
struct nix_builders {
	bool sandboxed;
	bool root; /* without a sandbox: they are root on this machine */
};

MUST_CHECK int nix_probe(struct nix *n, const atomic_bool *cancel,
			 struct nix_builders *ret, struct err *e);

/* Processes started so far. */
uint64_t nix_processes(const struct nix *n);

/* What a build tells while it runs. Lives as long as the call. */
struct nix_watch {
	const atomic_bool *cancel; /* end it; may be NULL */
	/* A line of Nix's or a builder's log. May be NULL. */
	void (*on_line)(void *ctx, const char *line, size_t n);
	void *ctx;
};

/*
 * A line as strangers may see it, appended: without paths of this machine
 * but the store's, and without names and passwords in addresses. n may be
 * NULL.
 */
void nix_scrub(struct nix *n, const char *line, struct buf *to);

struct nix_request {
	const struct source *source;
	const struct revision *revision;
	/* Where the set is on disk (resolve_tree); for a flake unused. */
	const char *tree;
	const char *system; /* "x86_64-linux" */
	const char *const *packages;
	size_t n_packages;
};

/* One output of one package. */
struct nix_output {
	const char *attribute; /* as resolved: "xorg.xev" */
	const char *name;      /* of the derivation: "git-2.39.5" */
	const char *drv;       /* store path of the derivation */
	const char *output;    /* "out" */
	const char *path;      /* store path, as evaluated or as realised */
	const char *license;   /* an SPDX expression; NULL: none is given */
};

struct nix_outputs {
	struct nix_output *v; /* sorted by path, each path once */
	size_t n;
	const struct nix_request *request; /* that they answer; a copy */
};

/*
 * What a flake reference is at now: a commit, or the hash of its tree.
 * ERR_UPSTREAM when it can't be had.
 */
MUST_CHECK int nix_lock_flake(struct nix *n, const struct source *s,
			      const struct nix_watch *w, struct revision *ret,
			      struct err *e);

/* Which outputs does the request mean? Builds and fetches nothing. */
MUST_CHECK int nix_evaluate(struct nix *n, struct arena *a,
			    const struct nix_request *r,
			    const struct nix_watch *w, struct nix_outputs *ret,
			    struct err *e);

/*
 * Build or fetch the outputs, and hold them with a GC root until
 * nix_root_free, or this process ends in whatever way. *ret has the paths as
 * realised. When a collection of garbage takes a derivation away in between,
 * the request is evaluated again.
 */
struct nix_root;
MUST_CHECK int nix_realise(struct nix *n, struct arena *a,
			   const struct nix_outputs *outputs,
			   const struct nix_watch *w, struct nix_outputs *ret,
			   struct nix_root **ret_root, struct err *e);
void nix_root_free(struct nix_root *take_root);

/* The closure of realised outputs. ERR_DENIED when it is over the limits. */
MUST_CHECK int nix_closure(struct nix *n, struct arena *a,
			   const struct nix_outputs *outputs,
			   const struct nix_watch *w, struct graph *ret,
			   struct err *e);

#endif
