/* SPDX-License-Identifier: Apache-2.0 */
#include "core/resolve.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/resolve/impl.h"

#define HEX "0123456789abcdef"
#define TREE_TRIES 3

bool
is_commit(const char *s)
{
	return strlen(s) == 40 && strspn(s, HEX) == 40;
}

bool
is_short_commit(const char *s)
{
	size_t n = strlen(s);

	return n >= 7 && n < 40 && strspn(s, HEX) == n;
}

bool
is_local_url(const char *url)
{
	return url[0] == '/' || str_has_prefix(url, "file://");
}

const char *
local_path(const char *url)
{
	return str_has_prefix(url, "file://") ? url + 7 : url;
}

/*
 * Tags that tools ask any registry for: signatures and the like, named after
 * the digest of an image (OCI distribution specification, "Referrers tag
 * schema": sha256-HEX, and cosign's suffixes to it).
 */
static bool
is_referrers_tag(const char *tag)
{
	static const char prefix[] = "sha256-";

	return str_has_prefix(tag, prefix) &&
	       strspn(tag + sizeof(prefix) - 1, HEX) >= 32;
}

/* Could git have a branch or tag of this name (git-check-ref-format(1))? */
static bool
is_ref_name(const char *tag)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789_.-";
	size_t n = strlen(tag);

	return n > 0 && n <= 128 && strspn(tag, allowed) == n &&
	       tag[0] != '-' && tag[0] != '.' && !strstr(tag, "..") &&
	       tag[n - 1] != '.' && !str_has_suffix(tag, ".lock");
}

static int
check_reference(const char *tag, const char *what, struct err *e)
{
	if (!is_ref_name(tag) || is_referrers_tag(tag))
		return err_set(e, ERR_NOT_FOUND,
			       "there is no tag \"%s\": a tag here is %s", tag,
			       what);
	return 0;
}

static int
check_only_default(const char *tag, const char *what, struct err *e)
{
	if (strcmp(tag, SOURCE_TAG_DEFAULT) != 0)
		return err_set(e, ERR_NOT_FOUND,
			       "there is no tag \"%s\": packages come from %s, "
			       "whose only tag is %s",
			       tag, what, SOURCE_TAG_DEFAULT);
	return 0;
}

int
resolve_check_tag(const struct source *s, const char *tag, struct err *e)
{
	switch (s->kind) {
	case SOURCE_PATH:
		return check_only_default(tag, "a directory", e);
	case SOURCE_FLAKE:
		return check_only_default(tag, "a flake", e);
	case SOURCE_CHANNEL:
		return check_reference(
			tag, "a channel, branch or commit of nixpkgs", e);
	case SOURCE_GIT:
		return check_reference(
			tag, "a branch, tag or commit of a git repository", e);
	}
	return err_set(e, ERR_NOT_FOUND, "there is no tag \"%s\"", tag);
}

/* What a tag means with a channel: "latest" is the one that is configured. */
static const char *
channel_name(const struct source *s, const char *tag)
{
	return strcmp(tag, SOURCE_TAG_DEFAULT) == 0 ? s->location : tag;
}

static int
check_there(const char *path, int mode, struct err *e)
{
	if (access(path, mode) < 0)
		return err_set_errno(e, ERR_UPSTREAM, errno, "%s", path);
	return 0;
}

int
resolve_check_source(const struct source *s, const struct resolve_options *o,
		     struct err *e)
{
	switch (s->kind) {
	case SOURCE_PATH:
		return check_there(s->location, R_OK | X_OK, e);
	case SOURCE_GIT:
		if (is_local_url(s->location))
			return check_there(local_path(s->location), R_OK | X_OK,
					   e);
		return 0;
	case SOURCE_CHANNEL:
		return channel_check(s->location, o, e);
	case SOURCE_FLAKE:
		break;
	}
	return 0;
}

int
resolve_revision(const struct source *s, const char *tag,
		 const struct resolve_options *o, struct revision *ret,
		 struct err *e)
{
	const char *name;

	if (resolve_check_tag(s, tag, e) < 0)
		return -1;
	*ret = (struct revision){.time = 0};
	switch (s->kind) {
	case SOURCE_PATH:
		return work_tree_resolve(s->location, o, ret, e);
	case SOURCE_GIT:
		return git_resolve(s->location, tag, o, ret, e);
	case SOURCE_CHANNEL:
		name = channel_name(s, tag);
		return channel_resolve(name, strcmp(name, s->location) == 0, o,
				       ret, e);
	case SOURCE_FLAKE:
		break;
	}
	assert(false);
	return err_set(e, ERR_SYSTEM, "a flake is resolved by Nix");
}

/* Fetch the tree unless it is there; where it is, appended to path. */
static int
need_tree(const struct source *s, const char *tag, const struct revision *r,
	  const struct resolve_options *o, struct buf *path, struct err *e)
{
	if (s->kind == SOURCE_GIT) {
		if (git_fetch_tree(s->location, r->id, o, e) < 0)
			return -1;
		trees_path(o, r->id, path);
		return 0;
	}
	if (channel_fetch_tree(channel_name(s, tag), r->id, o, e) < 0)
		return -1;
	channel_tree_path(o, r->id, path);
	return 0;
}

int
resolve_tree(const struct source *s, const char *tag, const struct revision *r,
	     const struct resolve_options *o, struct buf *path, int *ret_hold,
	     struct err *e)
{
	*ret_hold = -1;
	assert(s->kind != SOURCE_FLAKE);
	if (s->kind == SOURCE_PATH) {
		buf_adds(path, s->location);
		return 0;
	}
	/* Others may push it out before it is held. */
	for (int i = 0; i < TREE_TRIES; i++) {
		AUTO(buf) struct buf tree = BUF_INIT;

		if (need_tree(s, tag, r, o, &tree, e) < 0 ||
		    trees_hold(tree.p, ret_hold, e) < 0)
			return -1;
		if (*ret_hold >= 0) {
			buf_adds(path, tree.p);
			return 0;
		}
	}
	return err_set(e, ERR_BUSY, "the package set is gone again");
}
