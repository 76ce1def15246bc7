/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_NIX_ERRORS_H
#define FIRN_NIX_ERRORS_H

/*
 * Why a run of Nix failed, told for people who have never seen Nix.
 *
 * Nix's exit code says little, and through a daemon nothing (worker protocol
 * 1.26 and later), so the text of its messages decides too. All return -1.
 */
#include <stdbool.h>
#include <stddef.h>

#include "core/base/attr.h"
#include "core/base/err.h"

struct buf;
struct nix_report;
struct nix_run;

/*
 * Failures that any command may meet: no daemon, a full disk, no Nix. Else
 * ERR_UPSTREAM with what was tried and what Nix says.
 */
int nix_fail(const struct nix_run *r, const char *what, struct err *e);

/*
 * An evaluation failed; attribute is the one that Nix was at (dotted), or
 * NULL when it was at the set itself.
 */
int nix_fail_eval(const struct nix_run *r, const char *attribute,
		  const char *system, struct err *e);

int nix_fail_realise(const struct nix_run *r, struct err *e);

/*
 * Did a collection of garbage take away what an earlier step made? The same
 * again may work.
 */
bool nix_was_collected(const struct nix_run *r);

/* --- for the two files that do this */

struct nix_rule {
	const char *needle;
	enum err_kind kind;
	const char *text;
	const char *told; /* to clients, of ERR_UPSTREAM and ERR_SYSTEM */
};

#define TOLD_CACHE \
	"no binary cache that this registry gets packages from answers"

#define NIX_DISK_FULL "No space left on device"

/* The first rule whose needle is in the text, or NULL. */
const struct nix_rule *nix_match(const struct nix_rule *rules, size_t n,
				 const char *text);
/*
 * What Nix itself says in an error, without the end of a builder's log that
 * it quotes: that is anybody's text.
 */
void nix_own_words(struct buf *to, const struct buf *error);
/* All errors, without what they quote of builders' logs. */
void nix_words(struct buf *to, const struct nix_report *rep);
/* The first line that says something, cut to what a message can hold. */
void nix_headline(struct buf *to, const char *text);
/*
 * The text without paths of this machine, secrets in addresses, and what some
 * host answered.
 */
void nix_clean_log(const struct nix_run *r, const char *text, struct buf *to);
/* That as the detail. */
void nix_set_detail(const struct nix_run *r, const char *text, struct err *e);
const char *nix_store_named(const struct nix_run *r);
/* -1 when a rule that holds for any command was met, else 0. */
MUST_CHECK int nix_fail_anywhere(const struct nix_run *r, const char *words,
				 struct err *e);

#endif
