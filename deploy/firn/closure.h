/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_CMD_CLOSURE_H
#define FIRN_CMD_CLOSURE_H

/* Closures for subcommands: of an image, or from a file. */
#include "core/base/attr.h"

struct arena;
struct config;
struct err;
struct graph;

/*
 * The closure of NAME[:TAG], built or fetched with the configured package
 * source. Needs Nix, but no storage. Lives in the arena.
 */
MUST_CHECK int closure_of_image(const struct config *c, const char *what,
				struct arena *a, struct graph *ret,
				struct err *e);

/*
 * From a file: exportReferencesGraph's JSON, or what `nix-store --dump-db`
 * prints.
 */
MUST_CHECK int closure_of_file(const char *path, struct arena *a,
			       struct graph *ret, struct err *e);

#endif
