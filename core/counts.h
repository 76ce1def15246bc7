/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_COUNTS_H
#define FIRN_COUNTS_H

/*
 * The popularity counts that the operator points to (FIRN_POPULARITY_URL):
 * fetched once at start, with the last good copy kept for when they can't be
 * had. Never a reason not to start.
 */
#include "core/base/attr.h"
#include "core/base/digest.h"

struct popularity;

/* Hex digits of the SHA-256 of the counts: part of the keys. */
struct counts {
	struct popularity *popularity; /* NULL: none; owned */
	char id[DIGEST_HEX_CAP];       /* "" when there are none */
};

/*
 * From an http, https or file URL; the copy is DIR/popularity.json. What goes
 * wrong is logged.
 */
void counts_load(const char *url, const char *dir, struct counts *ret);
void counts_release(struct counts *c);

#endif
