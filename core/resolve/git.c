/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A branch or tag is looked up where it is (git ls-remote) and fetched alone,
 * without its history. A commit is taken only if a branch or tag of the
 * repository holds it, which needs the history: on public hosts anybody can
 * make a commit that can be fetched by its name.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

#include "core/base/arena.h"
#include "core/base/digest.h"
#include "core/base/err.h"
#include "core/resolve/impl.h"
#include "core/sys/fs.h"
#include "core/sys/log.h"

#define ASK_TIMEOUT_S 60u
#define FETCH_TIMEOUT_S 900u

struct git {
	const struct resolve_options *o;
	const char *url;
	struct arena arena;
	struct buf dir; /* ours, for this repository */
	int lock;
};

#define GIT_INIT                                                 \
	{                                                        \
		.arena = ARENA_INIT, .dir = BUF_INIT, .lock = -1 \
	}

/* Our settings first: whose repository it is is the operator's choice. */
static const char config_text[] = "[safe]\n\tdirectory = *\n"
				  "[include]\n\tpath = ~/.gitconfig\n";

/*
 * Of our environment, what git and what it starts (ssh, helpers) get. The
 * keys of the storage are in it too, and nothing to them.
 */
static const char *const passed_on[] = {
	"PATH",
	"HOME",
	"USER",
	"LOGNAME",
	"LANG",
	"LC_ALL",
	"TMPDIR",
	"XDG_CONFIG_HOME",
	"SSH_AUTH_SOCK",
	"SSH_ASKPASS",
	"KRB5CCNAME",
	"SSL_CERT_FILE",
	"SSL_CERT_DIR",
	"CURL_CA_BUNDLE",
	"NIX_SSL_CERT_FILE",
	"http_proxy",
	"https_proxy",
	"all_proxy",
	"no_proxy",
	"HTTP_PROXY",
	"HTTPS_PROXY",
	"ALL_PROXY",
	"NO_PROXY",
	"GIT_SSH",
	"GIT_SSH_COMMAND",
	"GIT_SSH_VARIANT",
	"GIT_SSL_CAINFO",
	"GIT_SSL_NO_VERIFY",
	"GIT_PROXY_COMMAND",
};

static const char *const *
make_environment(struct git *g, const char *index)
{
	struct tool_args env = VEC_INIT;
	const char **copy;

	for (size_t i = 0; i < ARRAY_LEN(passed_on); i++) {
		const char *v = getenv(passed_on[i]);

		if (v)
			vec_push(&env, arena_printf(&g->arena, "%s=%s",
						    passed_on[i], v));
	}
	vec_push(&env, arena_printf(&g->arena, "GIT_CONFIG_GLOBAL=%s/config",
				    g->dir.p));
	vec_push(&env, "GIT_TERMINAL_PROMPT=0");
	vec_push(&env, "GIT_ALLOW_PROTOCOL=file:git:http:https:ssh");
	if (index)
		vec_push(&env,
			 arena_printf(&g->arena, "GIT_INDEX_FILE=%s", index));
	vec_push(&env, NULL);
	copy = arena_alloc(&g->arena, env.n, sizeof(*copy));
	memcpy(copy, env.v, env.n * sizeof(*copy));
	vec_release(&env);
	return copy;
}

static int
git_open(struct git *g, const char *url, const struct resolve_options *o,
	 struct err *e)
{
	AUTO(buf) struct buf config = BUF_INIT;
	char hex[DIGEST_HEX_CAP];
	struct digest d;

	g->o = o;
	g->url = url;
	digest_of(url, strlen(url), &d);
	digest_hex(&d, hex);
	buf_printf(&g->dir, "%s/git/%.32s", o->state_path, hex);
	buf_printf(&config, "%s/config", g->dir.p);
	if (fs_mkdirs(g->dir.p, 0700, e) < 0)
		return -1;
	return fs_write_atomic(config.p, config_text, sizeof(config_text) - 1,
			       e);
}

static void
git_close(struct git *g)
{
	fd_auto(&g->lock);
	buf_release(&g->dir);
	arena_release(&g->arena);
}

static void
git_auto(struct git *g)
{
	git_close(g);
}

/*
 * Run git; words up to a NULL follow. *ret_ok: it ended well. The repository
 * is the one of the name in our directory, or none.
 */
static int
git_run(struct git *g, const char *repo, const char *index, uint64_t timeout_s,
	const char *const *words, struct tool_result *ret, struct err *e)
{
	struct tool_args args = VEC_INIT;
	int r;

	vec_push(&args, "git");
	vec_push(&args, "-c");
	vec_push(&args, "protocol.version=2");
	vec_push(&args, "-c");
	vec_push(&args, "gc.auto=0");
	if (repo)
		vec_push(&args, arena_printf(&g->arena, "--git-dir=%s/%s",
					     g->dir.p, repo));
	for (; *words; words++)
		vec_push(&args, *words);
	vec_push(&args, NULL);
	r = tool_run(g->o, args.v, make_environment(g, index), timeout_s, ret,
		     e);
	vec_release(&args);
	return r;
}

/* git's last "fatal:" line, else its last line. */
static int
fail_git(const struct git *g, const struct tool_result *res, const char *what,
	 struct err *e)
{
	struct str rest = {.p = res->messages.p, .n = res->messages.len};
	struct str line, last = {.p = "no reason given", .n = 15};

	while (str_cut(&rest, '\n', &line))
		if (line.n > 0 && (strncmp(last.p, "fatal:", 6) != 0 ||
				   strncmp(line.p, "fatal:", 6) == 0))
			last = line;
	err_set(e, ERR_UPSTREAM, "%s %s: %.*s", what, g->url,
		(int)(last.n < 300 ? last.n : 300), last.p);
	err_set_detail(e, res->messages.p, res->messages.len);
	return -1;
}

static int
check_online(const struct git *g, struct err *e)
{
	if (g->o->offline && !is_local_url(g->url))
		return err_set(e, ERR_UPSTREAM,
			       "the network is not to be used, and %s is not "
			       "on this machine",
			       g->url);
	return 0;
}

/* --- references */

/* "COMMIT<tab>NAME" */
static bool
read_ref(struct str line, struct git_ref *ret)
{
	if (line.n < 42 || line.p[40] != '\t' ||
	    line.n - 41 >= sizeof(ret->name))
		return false;
	memcpy(ret->commit, line.p, 40);
	ret->commit[40] = '\0';
	memcpy(ret->name, line.p + 41, line.n - 41);
	ret->name[line.n - 41] = '\0';
	return is_commit(ret->commit);
}

static int
find_ref(struct git *g, const char *tag, bool *ret_found, struct git_ref *ret,
	 struct err *e)
{
	const char *names[] = {
		"HEAD",
		arena_printf(&g->arena, "refs/heads/%s", tag),
		arena_printf(&g->arena, "refs/tags/%s^{}", tag),
		arena_printf(&g->arena, "refs/tags/%s", tag),
	};
	bool head = strcmp(tag, SOURCE_TAG_DEFAULT) == 0;
	/* In order: a branch, what an annotated tag is of, a plain tag. */
	size_t best = ARRAY_LEN(names), first = head ? 0 : 1;
	AUTO(tool_result) struct tool_result res = TOOL_RESULT_INIT;
	struct git_ref ref;
	struct str rest, line;

	if (git_run(g, NULL, NULL, ASK_TIMEOUT_S,
		    head ? WORDS("ls-remote", "--", g->url, "HEAD")
			 : WORDS("ls-remote", "--", g->url, names[1], names[2],
				 names[3]),
		    &res, e) < 0)
		return -1;
	if (res.exit_code != 0)
		return fail_git(g, &res, "git can't read", e);
	rest = (struct str){.p = res.output.p, .n = res.output.len};
	while (str_cut(&rest, '\n', &line)) {
		if (!read_ref(line, &ref))
			continue;
		/* git takes the words for patterns of a name's end. */
		for (size_t i = first; i < best && i < ARRAY_LEN(names); i++) {
			if (strcmp(ref.name, names[i]) != 0)
				continue;
			best = i;
			*ret = ref;
		}
	}
	*ret_found = best < ARRAY_LEN(names);
	/* What is fetched is the tag, which leads to the commit. */
	if (*ret_found && str_has_suffix(ret->name, "^{}"))
		ret->name[strlen(ret->name) - 3] = '\0';
	return 0;
}

int
git_find_ref(const char *url, const char *tag, const struct resolve_options *o,
	     bool *ret_found, struct git_ref *ret, struct err *e)
{
	AUTO(git) struct git g = GIT_INIT;

	if (git_open(&g, url, o, e) < 0 || check_online(&g, e) < 0)
		return -1;
	return find_ref(&g, tag, ret_found, ret, e);
}

/* --- fetching */

/* One fetch into a repository at a time, among all processes. */
static int
lock(struct git *g, struct err *e)
{
	const struct timespec tick = {.tv_nsec = 100000000};
	AUTO(buf) struct buf path = BUF_INIT;

	buf_printf(&path, "%s/lock", g->dir.p);
	g->lock = open(path.p, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (g->lock < 0)
		return err_set_errno(e, ERR_SYSTEM, errno, "open %s", path.p);
	for (unsigned i = 0; i < FETCH_TIMEOUT_S * 10; i++) {
		if (flock(g->lock, LOCK_EX | LOCK_NB) == 0)
			return 0;
		if (g->o->cancel && atomic_load(g->o->cancel))
			return err_set(e, ERR_BUSY, "the build was stopped");
		(void)nanosleep(&tick, NULL);
	}
	return err_set(e, ERR_UPSTREAM, "another fetch of %s does not end",
		       g->url);
}

static int
init(struct git *g, const char *repo, struct err *e)
{
	AUTO(tool_result) struct tool_result res = TOOL_RESULT_INIT;
	const char *path = arena_printf(&g->arena, "%s/%s", g->dir.p, repo);

	if (git_run(g, NULL, NULL, ASK_TIMEOUT_S,
		    WORDS("init", "-q", "--bare", path), &res, e) < 0)
		return -1;
	if (res.exit_code != 0)
		return fail_git(g, &res, "git can't make a place for", e);
	return 0;
}

static int
has_commit(struct git *g, const char *repo, const char *commit, bool *ret,
	   char ret_full[41], struct err *e)
{
	AUTO(tool_result) struct tool_result res = TOOL_RESULT_INIT;

	if (git_run(g, repo, NULL, ASK_TIMEOUT_S,
		    WORDS("rev-parse", "--verify", "--quiet",
			  arena_printf(&g->arena, "%s^{commit}", commit)),
		    &res, e) < 0)
		return -1;
	*ret = tool_result_commit(&res, ret_full);
	return 0;
}

/*
 * Without history. *ret_found: the reference was still at the commit;
 * *ret_can: the server does that at all. One that has files alone does not.
 */
static int
fetch_shallow(struct git *g, const struct git_ref *ref, bool *ret_found,
	      bool *ret_can, struct err *e)
{
	AUTO(tool_result) struct tool_result res = TOOL_RESULT_INIT;
	char full[41];

	if (init(g, "shallow", e) < 0)
		return -1;
	if (git_run(g, "shallow", NULL, FETCH_TIMEOUT_S,
		    WORDS("fetch", "-q", "--depth=1", "--no-tags", "--force",
			  "--", g->url,
			  arena_printf(&g->arena, "%s:refs/firn/%s", ref->name,
				       ref->commit)),
		    &res, e) < 0)
		return -1;
	*ret_can = res.exit_code == 0 ||
		   !strstr(res.messages.p, "does not support shallow");
	if (!*ret_can)
		return 0;
	if (res.exit_code != 0)
		return fail_git(g, &res, "git can't fetch from", e);
	return has_commit(g, "shallow", ref->commit, ret_found, full, e);
}

/*
 * All branches and tags with their history. Those that are gone there go here
 * first: a branch "a" would be in the way of "a/b".
 */
static int
fetch_all(struct git *g, const char *commit, bool *ret_found, char full[41],
	  struct err *e)
{
	AUTO(tool_result) struct tool_result res = TOOL_RESULT_INIT;

	if (init(g, "all", e) < 0 ||
	    has_commit(g, "all", commit, ret_found, full, e) < 0)
		return -1;
	if (*ret_found)
		return 0;
	if (check_online(g, e) < 0)
		return -1;
	if (git_run(g, "all", NULL, FETCH_TIMEOUT_S,
		    WORDS("fetch", "-q", "--force", "--prune", "--no-tags",
			  "--", g->url, "refs/heads/*:refs/heads/*",
			  "refs/tags/*:refs/tags/*"),
		    &res, e) < 0)
		return -1;
	if (res.exit_code != 0)
		return fail_git(g, &res, "git can't fetch from", e);
	return has_commit(g, "all", commit, ret_found, full, e);
}

/* --- trees */

static int
read_time(struct git *g, const char *repo, const char *commit, uint64_t *ret,
	  struct err *e)
{
	AUTO(tool_result) struct tool_result res = TOOL_RESULT_INIT;

	if (git_run(g, repo, NULL, ASK_TIMEOUT_S,
		    WORDS("log", "-1", "--format=%ct", commit), &res, e) < 0)
		return -1;
	*ret = tool_result_time(&res);
	return 0;
}

static int
check_out(struct git *g, const char *repo, const char *commit, struct err *e)
{
	AUTO(tool_result) struct tool_result res = TOOL_RESULT_INIT;
	AUTO(buf) struct buf temp = BUF_INIT, tree = BUF_INIT;
	AUTO(buf) struct buf index = BUF_INIT;
	uint64_t when;
	int r;

	if (read_time(g, repo, commit, &when, e) < 0 ||
	    trees_begin(g->o, &temp, e) < 0)
		return -1;
	buf_printf(&tree, "%s/tree", temp.p);
	buf_printf(&index, "%s/index", temp.p);
	r = fs_mkdirs(tree.p, 0755, e);
	if (r == 0)
		r = git_run(
			g, repo, index.p, FETCH_TIMEOUT_S,
			WORDS(arena_printf(&g->arena, "--work-tree=%s", tree.p),
			      "checkout", "-q", "-f", commit, "--", "."),
			&res, e);
	if (r == 0 && res.exit_code != 0)
		r = fail_git(g, &res, "git can't check out of", e);
	if (r < 0) {
		trees_abort(temp.p);
		return -1;
	}
	return trees_commit(g->o, temp.p, tree.p, commit, when, e);
}

static int
fail_no_ref(const char *tag, struct err *e)
{
	return err_set(e, ERR_NOT_FOUND,
		       "there is no branch, tag or commit \"%s\" in the "
		       "repository of this registry's packages",
		       tag);
}

static int
resolve_commit(struct git *g, const char *tag, struct revision *ret,
	       struct err *e)
{
	bool found = false;
	char full[41];

	if (is_commit(tag) && trees_find(g->o, tag, &found, &ret->time, e) < 0)
		return -1;
	if (found) {
		memcpy(ret->id, tag, 41);
		return 0;
	}
	if (lock(g, e) < 0 || fetch_all(g, tag, &found, full, e) < 0)
		return -1;
	if (!found)
		return fail_no_ref(tag, e);
	memcpy(ret->id, full, sizeof(full));
	if (trees_find(g->o, full, &found, &ret->time, e) < 0)
		return -1;
	if (!found && check_out(g, "all", full, e) < 0)
		return -1;
	return trees_find(g->o, full, &found, &ret->time, e);
}

/* *ret_found: what the reference was at is here, in a tree of its own. */
static int
fetch_ref(struct git *g, const struct git_ref *ref, bool *ret_found,
	  struct err *e)
{
	const char *repo = "shallow";
	char full[41];
	bool can;

	if ((g->lock < 0 && lock(g, e) < 0) ||
	    fetch_shallow(g, ref, ret_found, &can, e) < 0)
		return -1;
	if (!can) {
		repo = "all";
		if (fetch_all(g, ref->commit, ret_found, full, e) < 0)
			return -1;
	}
	return *ret_found ? check_out(g, repo, ref->commit, e) : 0;
}

/* The reference may move between the question and the fetch. */
#define TRIES 3

static int
resolve_ref(struct git *g, const char *tag, bool *ret_found,
	    struct revision *ret, struct err *e)
{
	struct git_ref ref;
	bool there = false;

	for (int i = 0; i < TRIES && !there; i++) {
		if (find_ref(g, tag, ret_found, &ref, e) < 0)
			return -1;
		if (!*ret_found)
			return 0;
		if (trees_find(g->o, ref.commit, &there, &ret->time, e) < 0)
			return -1;
		if (there)
			break;
		if (fetch_ref(g, &ref, &there, e) < 0)
			return -1;
	}
	if (!there)
		return err_set(e, ERR_BUSY, "%s moves too fast", tag);
	memcpy(ret->id, ref.commit, sizeof(ref.commit));
	return trees_find(g->o, ret->id, &there, &ret->time, e);
}

int
git_resolve(const char *url, const char *tag, const struct resolve_options *o,
	    struct revision *ret, struct err *e)
{
	AUTO(git) struct git g = GIT_INIT;
	bool found = false;

	if (git_open(&g, url, o, e) < 0)
		return -1;
	if (is_commit(tag))
		return resolve_commit(&g, tag, ret, e);
	if (check_online(&g, e) < 0 || resolve_ref(&g, tag, &found, ret, e) < 0)
		return -1;
	if (found)
		return 0;
	if (is_short_commit(tag))
		return resolve_commit(&g, tag, ret, e);
	return fail_no_ref(tag, e);
}

int
git_fetch_tree(const char *url, const char *commit,
	       const struct resolve_options *o, struct err *e)
{
	AUTO(git) struct git g = GIT_INIT;
	struct revision r;
	bool found;

	if (trees_find(o, commit, &found, &r.time, e) < 0)
		return -1;
	if (found)
		return 0;
	if (git_open(&g, url, o, e) < 0)
		return -1;
	if (resolve_commit(&g, commit, &r, e) == 0)
		return 0;
	if (e->kind != ERR_NOT_FOUND)
		return -1;
	/* A branch was rewritten; who asks next finds it where it is. */
	log_err(LOG_INFO, "source.moved", e);
	err_clear(e);
	return err_set(e, ERR_BUSY, "the package set has moved on, try again");
}
