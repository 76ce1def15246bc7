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

struct err;
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

#endif
