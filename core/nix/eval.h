/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_NIX_EVAL_H
#define FIRN_NIX_EVAL_H

/* What the files of nix_evaluate share. */
#include <stddef.h>

#include "core/base/attr.h"
#include "core/base/vec.h"
#include "core/nix/impl.h"

struct err;
struct json;

/* One evaluation of one request. */
struct eval {
	struct nix *nix;
	struct arena *arena; /* the caller's */
	const struct nix_request *request;
	const struct nix_watch *watch;
	struct nix_index_key key;
	struct nix_index *index; /* NULL: Nix is asked for the names */
	const char ***paths;     /* one for each package, NULL at end */
	const char ***denied;    /* the same, of what is not served */
	size_t n_denied;
	const char *tree;      /* where the set is */
	const char **overlays; /* where the overlays are */
	const char *store_dir;
	struct {
		VEC(struct nix_output);
	} found;
};

/* --- answer.c */

/* The packages in Nix's answer, into v->found; or what is wrong with one. */
MUST_CHECK int nix_read_packages(struct eval *v, struct arena *scratch,
				 const struct json *answer, struct err *e);

/* An array of strings, as far as it holds strings. */
const char *const *nix_read_strings(struct arena *a, const struct json *v,
				    size_t *ret_n);

/* --- names.c */

/*
 * May what has this attribute path be served? ERR_DENIED if not. What is in a
 * package, other than its outputs, is another matter: below is how deep the
 * last package is that the path leads into, 0 if it leads into none.
 */
MUST_CHECK int nix_check_policy(const struct nix *n, const char *attribute,
				size_t below, struct err *e);

/* May a package that calls itself so be served? It is asked for as name. */
MUST_CHECK int nix_check_own_name(const struct nix *n, const char *own,
				  const char *name, struct err *e);
int nix_fail_policy(const char *name, struct err *e);

/*
 * What is denied, as paths, for Nix to look at. Without an index as it is
 * spelled by the operator. *ret_changed: it is spelled otherwise now.
 */
void nix_spell_denied(struct eval *v, bool *ret_changed);

/* The names that are asked for, as paths. */
MUST_CHECK int nix_read_names(struct eval *v, struct err *e);

/* The top level, by the index. *ret_changed: a name is spelled otherwise. */
MUST_CHECK int nix_spell_names(struct eval *v, bool *ret_changed,
			       struct err *e);

/* ERR_NOT_FOUND, with what was meant perhaps; prefix stands before names. */
int nix_fail_missing(const char *name, const char *asked, const char *prefix,
		     const char *const *names, size_t n, struct err *e);
int nix_fail_ambiguous(const char *name, const char *prefix,
		       const char *const *spellings, size_t n, struct err *e);

#endif
