/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_BUILDLOG_H
#define FIRN_BUILDLOG_H

/*
 * What builds say, for people to read: one text for each build, under the
 * build's identifier, while it runs and for some time after.
 *
 * A log is bounded: of one that gets longer than BUILDLOG_MAX its middle is
 * left out, and a line says how much that was. Its beginning is on disk at
 * once, its end when the build has ended; what a killed process had not
 * written is lost. All of them together are bounded too, by number, size and
 * age: the oldest go first.
 *
 * Nothing here fails a build: what can't be kept is told to the log of
 * events, and is not kept. Any thread.
 */
#include <stdbool.h>
#include <stddef.h>

#include "core/base/attr.h"

struct buf;
struct buildlog;
struct buildlogs;
struct err;

/* The beginning and the end get half of it each. */
#define BUILDLOG_MAX (1024u * 1024)

#define BUILDLOGS_KEPT 500u
#define BUILDLOGS_BYTES (128ull << 20)
#define BUILDLOGS_AGE_S (14u * 86400u)

/* Digits of an identifier: lower-case hex. */
#define BUILDLOG_ID_LEN 32u

/* Makes dir when it is missing. */
MUST_CHECK int buildlogs_open(const char *dir, struct buildlogs **ret,
			      struct err *e);
/* When every log has ended. NULL is fine. */
void buildlogs_free(struct buildlogs *t);

/* id: as fs_random_hex gives it. Never NULL. */
struct buildlog *buildlog_start(struct buildlogs *t, const char *id);

/* A line that Firn says itself; they begin with "== ", and no others do. */
PRINTF(2, 3) void buildlog_say(struct buildlog *l, const char *fmt, ...);

/* A line of anybody's: bytes that are no text, or control it, are left out. */
void buildlog_line(struct buildlog *l, const char *line, size_t n);

/* Has anybody but Firn said something? */
bool buildlog_has_lines(struct buildlog *l);

/* It is whole; keep it, or forget it. */
void buildlog_end(struct buildlog *take_log, bool keep);

/*
 * The text so far, appended. ERR_NOT_FOUND when there is none of that
 * identifier (any more).
 */
MUST_CHECK int buildlogs_read(struct buildlogs *t, const char *id,
			      struct buf *to, bool *ret_running, struct err *e);

#endif
