/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A directory of the operator's, which may be a work tree of git. Where it
 * holds the files of a commit and nothing else, what git ignores included,
 * the commit names it; else its fingerprint does.
 *
 * To ask git takes longer than a fingerprint (it looks at each file, too), so
 * it is asked only when the fingerprint or the commit is a new one.
 *
 * Whoever may write there must not make us run anything. So git runs with a
 * repository and an index of ours, which share the objects of theirs: their
 * configuration, and the filters, hooks and monitors in it, is not read. Our
 * attributes come before those of the tree: files are compared as they are.
 * To say where their HEAD is, git (rev-parse) does read their configuration;
 * it runs nothing that is in it for that.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "core/base/arena.h"
#include "core/base/digest.h"
#include "core/base/err.h"
#include "core/resolve/impl.h"
#include "core/sys/fingerprint.h"
#include "core/sys/fs.h"
#include "core/sys/log.h"

#define TIMEOUT_S 120u

struct work_tree {
	const struct resolve_options *o;
	const char *path;
	struct arena arena;
	const char *dir; /* ours, for this path */
	const char *const *envp;
	int lock;
};

static const char attributes[] =
	"* -text !eol -ident !filter !working-tree-encoding\n";

static int
open_dir(struct work_tree *t, struct err *e)
{
	const char *path = getenv("PATH");
	const char **envp = arena_alloc(&t->arena, 12, sizeof(*envp));
	char hex[DIGEST_HEX_CAP];
	struct digest d;
	size_t n = 0;

	digest_of(t->path, strlen(t->path), &d);
	digest_hex(&d, hex);
	t->dir = arena_printf(&t->arena, "%s/git/%.32s", t->o->state_path, hex);
	envp[n++] = arena_printf(&t->arena, "PATH=%s",
				 path ? path : "/usr/bin:/bin");
	envp[n++] = arena_printf(&t->arena, "HOME=%s", t->dir);
	envp[n++] = "LC_ALL=C";
	envp[n++] = "GIT_CONFIG_NOSYSTEM=1";
	envp[n++] = "GIT_ATTR_NOSYSTEM=1";
	envp[n++] = "GIT_TERMINAL_PROMPT=0";
	envp[n++] = "GIT_ALLOW_PROTOCOL=none";
	envp[n++] = arena_printf(&t->arena, "GIT_DIR=%s/ours", t->dir);
	envp[n++] = arena_printf(&t->arena, "GIT_WORK_TREE=%s", t->path);
	envp[n++] = arena_printf(
		&t->arena, "GIT_OBJECT_DIRECTORY=%s/.git/objects", t->path);
	envp[n] = NULL;
	t->envp = envp;
	return fs_mkdirs(t->dir, 0700, e);
}

/* *ret_ok: it ended well. */
static int
run(struct work_tree *t, const char *const *words, bool *ret_ok,
    struct tool_result *ret, struct err *e)
{
	if (tool_run(t->o, words, t->envp, TIMEOUT_S, ret, e) < 0)
		return -1;
	*ret_ok = ret->exit_code == 0;
	return 0;
}

/* The commit that their HEAD is at, of which no object is read. */
static int
read_head(struct work_tree *t, bool *ret_found, char ret[41], struct err *e)
{
	AUTO(tool_result) struct tool_result res = TOOL_RESULT_INIT;

	if (run(t,
		WORDS("git",
		      arena_printf(&t->arena, "--git-dir=%s/.git", t->path),
		      "rev-parse", "--verify", "--quiet", "HEAD"),
		ret_found, &res, e) < 0)
		return -1;
	*ret_found = tool_result_commit(&res, ret);
	return 0;
}

static int
make_ours(struct work_tree *t, struct err *e)
{
	AUTO(tool_result) struct tool_result res = TOOL_RESULT_INIT;
	const char *info = arena_printf(&t->arena, "%s/ours/info", t->dir);
	const char *path = arena_printf(&t->arena, "%s/attributes", info);
	bool good;

	if (run(t, WORDS("git", "init", "-q", "--template="), &good, &res, e) <
	    0)
		return -1;
	if (!good)
		return err_set(e, ERR_SYSTEM, "git init: %s", res.messages.p);
	if (fs_mkdirs(info, 0700, e) < 0)
		return -1;
	return fs_write_atomic(path, attributes, sizeof(attributes) - 1, e);
}

/* Submodules: what is in their directories, git leaves to them. */
static bool
has_submodules(const struct buf *listing)
{
	static const char mode[] = "160000 ";

	return str_has_prefix(listing->p, mode) ||
	       strstr(listing->p, "\n160000 ");
}

/* Does the work tree hold the files of this commit and nothing else? */
static int
is_clean(struct work_tree *t, const char *commit, bool *ret, struct err *e)
{
	AUTO(tool_result) struct tool_result res = TOOL_RESULT_INIT;

	*ret = false;
	if (make_ours(t, e) < 0)
		return -1;
	/* What is known of files that are the same in both is kept. */
	if (run(t, WORDS("git", "read-tree", "-m", commit), ret, &res, e) < 0)
		return -1;
	if (*ret &&
	    run(t, WORDS("git", "update-index", "--refresh"), ret, &res, e) < 0)
		return -1;
	if (*ret &&
	    run(t, WORDS("git", "ls-files", "--others"), ret, &res, e) < 0)
		return -1;
	*ret = *ret && res.output.len == 0;
	if (*ret && run(t, WORDS("git", "ls-files", "-s"), ret, &res, e) < 0)
		return -1;
	*ret = *ret && !has_submodules(&res.output);
	return 0;
}

static int
read_time(struct work_tree *t, const char *commit, uint64_t *ret, struct err *e)
{
	AUTO(tool_result) struct tool_result res = TOOL_RESULT_INIT;
	bool good;

	if (run(t, WORDS("git", "log", "-1", "--format=%ct", commit), &good,
		&res, e) < 0)
		return -1;
	*ret = tool_result_time(&res);
	return 0;
}

/* "FINGERPRINT COMMIT TIME", of the last time that it was clean. */
static bool
recall(const char *file, const char *key, uint64_t *ret_time)
{
	AUTO(buf) struct buf text = BUF_INIT;
	struct err e = ERR_INIT;
	size_t n = strlen(key);

	return fs_read_file(file, 256, &text, &e) == 0 &&
	       str_has_prefix(text.p, key) &&
	       str_to_u64(str_of(text.p + n), UINT32_MAX, ret_time);
}

/* *r may become the commit that is checked out; else it stays as it is. */
static int
find_commit(struct work_tree *t, struct revision *r, struct err *e)
{
	AUTO(buf) struct buf key = BUF_INIT, file = BUF_INIT;
	struct err no = ERR_INIT;
	char commit[41];
	bool found, clean;

	if (open_dir(t, e) < 0 || read_head(t, &found, commit, e) < 0)
		return -1;
	if (!found)
		return 0;
	buf_printf(&file, "%s/clean", t->dir);
	buf_printf(&key, "%s %s ", r->id, commit);
	if (!recall(file.p, key.p, &r->time)) {
		t->lock = open(t->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (t->lock < 0 || flock(t->lock, LOCK_EX) < 0)
			return err_set(e, ERR_SYSTEM, "lock %s", t->dir);
		if (is_clean(t, commit, &clean, e) < 0)
			return -1;
		if (!clean)
			return 0;
		if (read_time(t, commit, &r->time, e) < 0)
			return -1;
		buf_printf(&key, "%llu", (unsigned long long)r->time);
		/* Where it can't be kept, git is asked each time. */
		if (fs_write_atomic(file.p, key.p, key.len, &no) < 0)
			log_err(LOG_WARN, "source.clean", &no);
	}
	memcpy(r->id, commit, sizeof(commit));
	return 0;
}

int
work_tree_resolve(const char *path, const struct resolve_options *o,
		  struct revision *ret, struct err *e)
{
	struct work_tree t = {.o = o, .path = path, .lock = -1};
	struct err no = ERR_INIT;
	bool plain;

	if (fingerprint_work_tree(path, ret->id, &plain, e) < 0)
		return -1;
	if (plain && find_commit(&t, ret, &no) < 0) {
		/* The fingerprint does as well. */
		log_err(LOG_INFO, "source.no_git", &no);
		ret->time = 0;
	}
	fd_auto(&t.lock);
	arena_release(&t.arena);
	return 0;
}
