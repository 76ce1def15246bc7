/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_NIX_REPORT_H
#define FIRN_NIX_REPORT_H

/*
 * What one run of Nix says on standard error, line by line, as it comes:
 * the lines for people go on to the watcher, what an error message needs is
 * kept. Nix 2.4 and later write JSON ("internal-json"), older ones text.
 *
 * It is bounded whatever Nix writes. Belongs to the thread of the run.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/vec.h"

struct nix_watch;

/* Stages of an evaluation, as nix/eval.nix marks them. */
#define NIX_MARK_NONE (-2) /* Nix has not begun with our expression */
#define NIX_MARK_SET (-1)  /* the package set itself; then 0, 1, ... */
#define NIX_MARK_DONE INT64_MAX

/* Behind it Nix quotes what a host answers, which is nobody else's matter. */
#define NIX_BODY "response body:"

#define NIX_ERRORS_MAX 16u
#define NIX_BUILDS_MAX 64u

/* A derivation that is being built, or failed. */
struct nix_build {
	uint64_t id;     /* of Nix's activity */
	char *drv;       /* store path */
	struct buf name; /* for people */
	struct buf tail; /* the log's end */
	bool open;
};

struct nix_report {
	const struct nix_watch *watch; /* may be NULL */
	struct arena arena;            /* for the lines read last */
	unsigned lines;                /* that are in the arena */
	int64_t mark;
	int64_t denied; /* which of those not served it is at; -1: none */
	struct buf errors[NIX_ERRORS_MAX]; /* in the order they came */
	size_t n_errors;
	bool in_error;     /* plain text that follows is part of the last */
	struct buf caches; /* what was said of caches that don't answer */
	struct buf tail;   /* the end of all that was said */
	struct buf log;    /* of that, what is not Nix's: plain text only */
	struct {
		VEC(struct nix_build);
	} builds;
};

struct nix_report *nix_report_new(const struct nix_watch *watch);
void nix_report_free(struct nix_report *rep);

/* One line of standard error; a callback for proc_opts. */
void nix_report_line(void *rep, const char *line, size_t n);

/*
 * The end of the log of a derivation, or of all that was said when it has
 * none of its own; valid until the report changes.
 */
const struct buf *nix_report_log(const struct nix_report *rep, const char *drv);

/* The first error that holds the text, or NULL. */
const char *nix_report_find(const struct nix_report *rep, const char *text);

#endif
