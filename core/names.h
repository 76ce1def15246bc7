/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_NAMES_H
#define FIRN_NAMES_H

struct state;
struct store;

/*
 * The lists of images and tags are of what the database remembers. What it
 * lacks, as one that is new, or was lost and begun anew since the last start,
 * it learns from storage, where that has names (see store_publish). Failures
 * are logged: nothing but lists depends on it.
 */
void names_restore(struct state *state, struct store *store);

#endif
