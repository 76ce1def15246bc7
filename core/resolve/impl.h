/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_RESOLVE_IMPL_H
#define FIRN_RESOLVE_IMPL_H

/* What the files behind core/resolve.h share. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/buf.h"
#include "core/base/vec.h"
#include "core/resolve.h"

struct err;

/* A full commit: 40 lower-case hex digits. */
bool is_commit(const char *s);
/* What may be a commit cut short: 7 to 39 of them. */
bool is_short_commit(const char *s);

/* Needs no network: a path, or a file:// URL. */
bool is_local_url(const char *url);
/* The path in such a one. */
const char *local_path(const char *url);

/* --- worktree.c: a directory, by its commit or fingerprint */

MUST_CHECK int work_tree_resolve(const char *path,
				 const struct resolve_options *o,
				 struct revision *ret, struct err *e);

/* --- git.c */

MUST_CHECK int git_resolve(const char *url, const char *tag,
			   const struct resolve_options *o,
			   struct revision *ret, struct err *e);

/* Unpack a commit of the repository, unless it is there. */
MUST_CHECK int git_fetch_tree(const char *url, const char *commit,
			      const struct resolve_options *o, struct err *e);

/* The commit that a branch or tag is at; *ret_found false: there is none. */
struct git_ref {
	char commit[41];
	char name[192]; /* "refs/heads/main" */
};

MUST_CHECK int git_find_ref(const char *url, const char *tag,
			    const struct resolve_options *o, bool *ret_found,
			    struct git_ref *ret, struct err *e);

/* --- channel.c */

/* Is its tarball there, where it is a file? ERR_UPSTREAM if not. */
MUST_CHECK int channel_check(const char *name, const struct resolve_options *o,
			     struct err *e);
MUST_CHECK int channel_resolve(const char *name, bool configured,
			       const struct resolve_options *o,
			       struct revision *ret, struct err *e);
/* Unpack a revision that channel_resolve gave, unless it is there. */
MUST_CHECK int channel_fetch_tree(const char *name, const char *id,
				  const struct resolve_options *o,
				  struct err *e);
/* Where that is, appended. */
void channel_tree_path(const struct resolve_options *o, const char *id,
		       struct buf *to);

/* --- trees.c: unpacked revisions, STATE/src/ID */

/* Is it there? Then it is marked as used, and its time is set. */
MUST_CHECK int trees_find(const struct resolve_options *o, const char *id,
			  bool *ret_found, uint64_t *ret_time, struct err *e);
void trees_path(const struct resolve_options *o, const char *id,
		struct buf *to);

/*
 * Keep the tree at this path until *ret_hold is closed; -1: it isn't there
 * any more.
 */
MUST_CHECK int trees_hold(const char *tree, int *ret_hold, struct err *e);

/* A new directory to unpack into. */
MUST_CHECK int trees_begin(const struct resolve_options *o, struct buf *temp,
			   struct err *e);
/*
 * What is in the directory from (temp, or one in it) becomes the tree of the
 * revision; temp is gone afterwards, also after a failure.
 */
MUST_CHECK int trees_commit(const struct resolve_options *o, const char *temp,
			    const char *from, const char *id, uint64_t time,
			    struct err *e);
void trees_abort(const char *temp);

/* --- run.c: other people's programs */

struct tool_args {
	VEC(const char *);
};

struct tool_result {
	int exit_code;
	struct buf output;
	struct buf messages; /* the end of standard error */
};

/*
 * Run it to its end. -1: it did not start (ERR_UPSTREAM), took longer than
 * timeout_s (ERR_UPSTREAM) or was cancelled (ERR_BUSY).
 */
MUST_CHECK int tool_run(const struct resolve_options *o,
			const char *const *argv, const char *const *envp,
			uint64_t timeout_s, struct tool_result *ret,
			struct err *e);
void tool_result_release(struct tool_result *r);

/* The full commit that git printed, alone; false when it did not. */
bool tool_result_commit(const struct tool_result *r, char ret[41]);

/*
 * The time that "git log --format=%ct" printed; 0 when it did not, and for
 * that of a commit that was made before 1970.
 */
uint64_t tool_result_time(const struct tool_result *r);

/* Words for a command, with the NULL behind them. */
#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static inline void
tool_result_auto(struct tool_result *r)
{
	tool_result_release(r);
}

#define TOOL_RESULT_INIT                                                 \
	{                                                                \
		.exit_code = 0, .output = BUF_INIT, .messages = BUF_INIT \
	}

#endif
