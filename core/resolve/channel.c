/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A channel, branch or commit of nixpkgs, as a tarball from an address with
 * %s for its name.
 *
 * Hosts of git repositories make tarballs at REPOSITORY/archive/NAME: there
 * the name is looked up by git, and the commit is fetched. From any other
 * address the tarball itself says whether it is another one, by its digest;
 * over HTTP, a server that knows ETag is asked for what is new only.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/digest.h"
#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/resolve/impl.h"
#include "core/sys/fs.h"
#include "core/sys/http.h"
#include "core/sys/log.h"

#define TARBALL_MAX (1024ull << 20)
#define DOWNLOAD_TIMEOUT_MS 900000u
#define UNPACK_TIMEOUT_S 900u
#define REDIRECTS 5u

/* The URL of a name: the one %s, without which there is no start, is it. */
static void
make_url(const char *template, const char *name, struct buf *to)
{
	const char *p = strstr(template, "%s");

	assert(p);
	buf_add(to, template, (size_t)(p - template));
	buf_adds(to, name);
	buf_adds(to, p + 2);
}

static int
fail_no_channel(const char *name, struct err *e)
{
	return err_set(e, ERR_NOT_FOUND,
		       "there is no channel, branch or commit \"%s\"", name);
}

/*
 * The name of a revision's tree. A digest says what is in it. A commit does
 * so for the one who has the tarball of it: elsewhere it may be another.
 */
static void
name_tree(const struct resolve_options *o, const char *id, struct buf *to)
{
	char hex[DIGEST_HEX_CAP];
	struct digest d;

	buf_adds(to, id);
	if (!is_commit(id))
		return;
	digest_of(o->channel_url, strlen(o->channel_url), &d);
	digest_hex(&d, hex);
	buf_printf(to, "-%.16s", hex);
}

static int
find_tree(const struct resolve_options *o, const char *id, bool *ret_found,
	  uint64_t *ret_time, struct err *e)
{
	AUTO(buf) struct buf name = BUF_INIT;

	name_tree(o, id, &name);
	return trees_find(o, name.p, ret_found, ret_time, e);
}

/* --- unpacking */

/* A tarball with one directory at its top: the set is in there. */
static int
find_top(const char *temp, struct buf *top, uint64_t *ret_time, struct err *e)
{
	struct fs_names names;
	struct stat st;

	*ret_time = 0;
	buf_adds(top, temp);
	if (fs_list(temp, &names, e) < 0)
		return -1;
	if (names.n == 1)
		buf_printf(top, "/%s", names.v[0]);
	if (lstat(top->p, &st) < 0 || !S_ISDIR(st.st_mode)) {
		buf_clear(top);
		buf_adds(top, temp);
	} else if (names.n == 1 && st.st_mtime > 1) {
		/* git archive gives everything the commit's time. */
		*ret_time = (uint64_t)st.st_mtime;
	}
	fs_names_free(&names);
	return 0;
}

static int
unpack(const struct resolve_options *o, const char *file, const char *temp,
       struct err *e)
{
	const char *const argv[] = {"tar",
				    "-xf",
				    file,
				    "-C",
				    temp,
				    "--no-same-owner",
				    "--no-same-permissions",
				    NULL};
	AUTO(tool_result) struct tool_result res = TOOL_RESULT_INIT;

	if (tool_run(o, argv, NULL, UNPACK_TIMEOUT_S, &res, e) < 0)
		return -1;
	if (res.exit_code == 0)
		return 0;
	err_set(e, ERR_UPSTREAM,
		"the tarball of the package set can't be unpacked");
	err_set_detail(e, res.messages.p, res.messages.len);
	return -1;
}

static int
add_tree(const struct resolve_options *o, const char *file, const char *id,
	 struct err *e)
{
	AUTO(buf) struct buf temp = BUF_INIT, top = BUF_INIT;
	AUTO(buf) struct buf name = BUF_INIT;
	uint64_t when;

	name_tree(o, id, &name);
	if (trees_begin(o, &temp, e) < 0)
		return -1;
	if (unpack(o, file, temp.p, e) < 0 ||
	    find_top(temp.p, &top, &when, e) < 0) {
		trees_abort(temp.p);
		return -1;
	}
	return trees_commit(o, temp.p, top.p, name.p, when, e);
}

/* --- tarballs */

static int
digest_file(const char *path, struct digest *ret, struct err *e)
{
	AUTO(fd) int fd = -1;
	struct stat st;

	if (fs_open_read(path, &fd, e) < 0)
		return -1;
	if (fstat(fd, &st) < 0)
		return err_set_errno(e, ERR_SYSTEM, errno, "stat %s", path);
	return fs_hash_range(fd, 0, (uint64_t)st.st_size, ret, e);
}

/* "sha256-HEX", or what the revision is known by already (a commit). */
static void
name_digest(const struct digest *d, struct buf *to)
{
	char hex[DIGEST_HEX_CAP];

	digest_hex(d, hex);
	buf_printf(to, "sha256-%s", hex);
}

/* Unpack the file unless its tree is there; id empty: it is its digest. */
static int
take_file(const struct resolve_options *o, const char *file, struct buf *id,
	  struct err *e)
{
	struct digest d;
	uint64_t when;
	bool found;

	if (id->len == 0) {
		if (digest_file(file, &d, e) < 0)
			return -1;
		name_digest(&d, id);
	}
	if (find_tree(o, id->p, &found, &when, e) < 0)
		return -1;
	return found ? 0 : add_tree(o, file, id->p, e);
}

/* What a server said of the tarball at a URL: "ID\nETAG". */
struct memory {
	struct buf path;
	char id[REVISION_CAP];
	struct buf etag;
};

static void
memory_auto(struct memory *m)
{
	buf_release(&m->path);
	buf_release(&m->etag);
}

static void
recall(const struct resolve_options *o, const char *url, struct memory *m)
{
	AUTO(buf) struct buf text = BUF_INIT;
	char hex[DIGEST_HEX_CAP];
	struct err e = ERR_INIT;
	struct digest d;
	const char *nl;
	uint64_t when;
	bool found;

	digest_of(url, strlen(url), &d);
	digest_hex(&d, hex);
	buf_printf(&m->path, "%s/src/url-%s", o->state_path, hex);
	if (fs_read_file(m->path.p, 4096, &text, &e) < 0)
		return;
	nl = strchr(text.p, '\n');
	if (!nl || nl == text.p || (size_t)(nl - text.p) >= sizeof(m->id))
		return;
	memcpy(m->id, text.p, (size_t)(nl - text.p));
	/* What can't be shown any more has to be sent again. */
	if (find_tree(o, m->id, &found, &when, &e) == 0 && found)
		buf_adds(&m->etag, nl + 1);
}

static void
remember(const struct memory *m, const char *id, const char *etag)
{
	AUTO(buf) struct buf text = BUF_INIT;
	struct err e = ERR_INIT;

	buf_printf(&text, "%s\n%s", id, etag);
	if (fs_write_atomic(m->path.p, text.p, text.len, &e) < 0)
		log_err(LOG_WARN, "source.etag", &e);
}

static int
get(const struct memory *m, const char *url, int out, struct http_answer *a,
    struct err *e)
{
	const struct http_header header = {
		.name = "If-None-Match",
		.value = m->etag.p,
	};
	const struct http_request r = {
		.method = "GET",
		.url = url,
		.headers = &header,
		.n_headers = m->etag.len > 0,
		.max_answer = TARBALL_MAX,
		.to_fd = true,
		.out = out,
		.redirects = REDIRECTS,
		.timeout_ms = DOWNLOAD_TIMEOUT_MS,
	};
	const struct http_options o = {.ca_file = NULL};
	struct http *h = http_new(&o);
	int failed = http_do(h, &r, a, e);

	http_free(h);
	/* Too much of it is the server's fault, not that of who asks. */
	if (failed && e->kind == ERR_INVALID)
		e->kind = ERR_UPSTREAM;
	return failed ? err_wrap(e, "the package set") : 0;
}

/* What a server answers; the tarball, if it sends it, is in the file. */
static int
take_answer(const struct resolve_options *o, const struct memory *m,
	    const struct http_answer *a, const char *name, const char *file,
	    struct buf *id, struct err *e)
{
	AUTO(buf) struct buf etag = BUF_INIT;

	if (a->status == 304) {
		if (id->len == 0)
			buf_adds(id, m->id);
		return 0;
	}
	if (a->status == 404 || a->status == 410)
		return fail_no_channel(name, e);
	if (a->status != 200)
		return err_set(e, ERR_UPSTREAM,
			       "the server of the package set answers %u",
			       a->status);
	if (take_file(o, file, id, e) < 0)
		return -1;
	if (http_answer_header(a, "etag", &etag))
		remember(m, id->p, etag.p);
	return 0;
}

static int
download(const struct resolve_options *o, const char *url, const char *name,
	 struct buf *id, struct err *e)
{
	AUTO(memory) struct memory m = {.path = BUF_INIT, .etag = BUF_INIT};
	AUTO(http_answer) struct http_answer a = HTTP_ANSWER_INIT;
	AUTO(buf) struct buf host = BUF_INIT, dir = BUF_INIT, file = BUF_INIT;
	AUTO(fd) int fd = -1;
	int r;

	if (o->offline) {
		http_url_host(url, &host);
		return err_set(e, ERR_UPSTREAM,
			       "the network is not to be used, and the package "
			       "set is at %s",
			       host.p);
	}
	recall(o, url, &m);
	buf_printf(&dir, "%s/src", o->state_path);
	if (fs_mkdirs(dir.p, 0700, e) < 0 ||
	    fs_create_temp(dir.p, &file, &fd, e) < 0)
		return -1;
	r = get(&m, url, fd, &a, e);
	if (r == 0)
		r = take_answer(o, &m, &a, name, file.p, id, e);
	(void)unlink(file.p);
	return r;
}

static int
take_url(const struct resolve_options *o, const char *name, struct buf *id,
	 struct err *e)
{
	AUTO(buf) struct buf url = BUF_INIT;
	const char *file;

	make_url(o->channel_url, name, &url);
	if (!is_local_url(url.p))
		return download(o, url.p, name, id, e);
	file = local_path(url.p);
	if (access(file, R_OK) < 0 && (errno == ENOENT || errno == ENOTDIR))
		return fail_no_channel(name, e);
	return take_file(o, file, id, e);
}

int
channel_check(const char *name, const struct resolve_options *o, struct err *e)
{
	AUTO(buf) struct buf url = BUF_INIT;

	make_url(o->channel_url, name, &url);
	if (is_local_url(url.p) && access(local_path(url.p), R_OK) < 0)
		return err_set_errno(e, ERR_UPSTREAM, errno, "%s", url.p);
	return 0;
}

/* --- names */

/* The repository behind ".../archive/%s...", on a network; else NULL. */
static char *
find_repository(const char *template)
{
	static const char *const marks[] = {"/-/archive/%s", "/archive/%s"};

	if (is_local_url(template))
		return NULL;
	for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
		const char *p = strstr(template, marks[i]);

		if (p)
			return xstrndup(template, (size_t)(p - template));
	}
	return NULL;
}

/*
 * By git: *ret_found, and the commit is in id. A host that does not answer to
 * git may still have the tarball; but what is not looked up, may be a commit.
 */
static int
look_up(const char *name, bool restricted, const struct resolve_options *o,
	bool *ret_found, struct buf *id, struct err *e)
{
	AUTO(mem) char *repo = find_repository(o->channel_url);
	struct git_ref ref;

	*ret_found = false;
	if (!repo || o->offline)
		return 0;
	if (git_find_ref(repo, name, o, ret_found, &ref, e) < 0) {
		if (e->kind != ERR_UPSTREAM || restricted)
			return -1;
		log_err(LOG_INFO, "source.no_git", e);
		err_clear(e);
		return 0;
	}
	if (*ret_found)
		buf_adds(id, ref.commit);
	else if (!is_short_commit(name))
		return fail_no_channel(name, e);
	return 0;
}

/* --- commits that names were found at */

static void
found_path(const struct resolve_options *o, const char *commit, struct buf *to)
{
	buf_printf(to, "%s/commits", o->state_path);
	if (commit) {
		buf_addc(to, '/');
		name_tree(o, commit, to);
	}
}

/* If this fails, the commit is not served until a name leads to it again. */
static void
remember_found(const struct resolve_options *o, const char *commit)
{
	AUTO(buf) struct buf dir = BUF_INIT, path = BUF_INIT;
	struct err e = ERR_INIT;

	found_path(o, NULL, &dir);
	found_path(o, commit, &path);
	if (access(path.p, F_OK) == 0)
		return;
	if (fs_mkdirs(dir.p, 0700, &e) < 0 ||
	    fs_write_atomic(path.p, "", 0, &e) < 0)
		log_err(LOG_WARN, "source.found", &e);
}

/*
 * Might a host of repositories take the name, or a part of it, for a commit?
 * git does from four digits on, in either case, and behind "-g" too; some
 * hosts strip other words from both ends.
 */
static bool
may_be_commit(const char *name)
{
	static const char digits[] = "0123456789abcdefABCDEF";

	while (*name) {
		size_t n = strspn(name, digits);

		if (n >= 4)
			return true;
		name += n;
		name += strcspn(name, digits);
	}
	return false;
}

/*
 * A commit that is asked for by its digits may be anybody's: hosts have those
 * of all copies of a repository in one place.
 */
static int
check_commit(const char *name, const struct resolve_options *o, struct err *e)
{
	AUTO(buf) struct buf path = BUF_INIT;

	if (!may_be_commit(name))
		return 0;
	if (is_commit(name)) {
		found_path(o, name, &path);
		if (access(path.p, F_OK) == 0)
			return 0;
	}
	return err_set(e, ERR_NOT_FOUND,
		       "\"%s\" may be a commit, which is not served: no "
		       "channel or branch led this registry to it",
		       name);
}

int
channel_resolve(const char *name, bool configured,
		const struct resolve_options *o, struct revision *ret,
		struct err *e)
{
	bool restricted = o->found_commits_only && !configured &&
			  !is_local_url(o->channel_url);
	AUTO(buf) struct buf id = BUF_INIT;
	bool found = false;

	if (is_commit(name))
		buf_adds(&id, name);
	else if (look_up(name, restricted, o, &found, &id, e) < 0)
		return -1;
	if (found && o->found_commits_only)
		remember_found(o, id.p);
	if (!found && restricted && check_commit(name, o, e) < 0)
		return -1;
	if (id.len > 0 && channel_fetch_tree(name, id.p, o, e) < 0)
		return -1;
	if (id.len == 0 && take_url(o, name, &id, e) < 0)
		return -1;
	if (find_tree(o, id.p, &found, &ret->time, e) < 0)
		return -1;
	if (!found)
		return err_set(e, ERR_BUSY, "the package set is gone again");
	(void)snprintf(ret->id, sizeof(ret->id), "%s", id.p);
	return 0;
}

int
channel_fetch_tree(const char *name, const char *id,
		   const struct resolve_options *o, struct err *e)
{
	AUTO(buf) struct buf got = BUF_INIT;
	uint64_t when;
	bool found;

	if (find_tree(o, id, &found, &when, e) < 0)
		return -1;
	if (found)
		return 0;
	if (is_commit(id)) {
		buf_adds(&got, id);
		return take_url(o, id, &got, e);
	}
	if (take_url(o, name, &got, e) < 0)
		return -1;
	if (strcmp(got.p, id) != 0)
		return err_set(e, ERR_BUSY,
			       "the package set has moved on, try again");
	return 0;
}

void
channel_tree_path(const struct resolve_options *o, const char *id,
		  struct buf *to)
{
	AUTO(buf) struct buf name = BUF_INIT;

	name_tree(o, id, &name);
	trees_path(o, name.p, to);
}
