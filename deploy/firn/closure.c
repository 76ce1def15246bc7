/* SPDX-License-Identifier: Apache-2.0 */
#include "deploy/firn/closure.h"

#include <string.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/build.h"
#include "core/config.h"
#include "core/model/graph.h"
#include "core/model/image.h"
#include "core/nix.h"
#include "core/resolve.h"
#include "core/sys/fingerprint.h"
#include "core/sys/fs.h"

#define FILE_MAX ((size_t)256 << 20)

static int
realised_closure(struct nix *nix, const struct nix_request *r, struct arena *a,
		 struct graph *ret, struct err *e)
{
	const struct nix_watch watch = {.cancel = NULL};
	struct nix_root *root = NULL;
	struct nix_outputs wanted, got;
	int result;

	if (nix_evaluate(nix, a, r, &watch, &wanted, e) < 0 ||
	    nix_realise(nix, a, &wanted, &watch, &got, &root, e) < 0)
		return -1;
	result = nix_closure(nix, a, &got, &watch, ret, e);
	nix_root_free(root);
	return result;
}

/* The state of the package set that a tag means, and where it is. */
static int
find_set(struct nix *nix, const struct config *c, const char *tag,
	 struct arena *a, struct revision *ret, const char **ret_tree,
	 int *ret_hold, struct err *e)
{
	const struct resolve_options how = build_resolve_options(c);
	const struct source *s = &c->source;
	AUTO(buf) struct buf tree = BUF_INIT;

	*ret_tree = NULL;
	if (resolve_check_tag(s, tag, e) < 0)
		return -1;
	if (s->kind == SOURCE_FLAKE)
		return nix_lock_flake(nix, s, NULL, ret, e);
	if (resolve_revision(s, tag, &how, ret, e) < 0 ||
	    resolve_tree(s, tag, ret, &how, &tree, ret_hold, e) < 0)
		return -1;
	if (c->overlays.n > 0 && fingerprint_paths(c->overlays.v, c->overlays.n,
						   ret->overlays, e) < 0)
		return -1;
	*ret_tree = arena_strdup(a, tree.p);
	return 0;
}

int
closure_of_image(const struct config *c, const char *what, struct arena *a,
		 struct graph *ret, struct err *e)
{
	struct nix_options options;
	struct str rest = str_of(what), name;
	const char *tag = SOURCE_TAG_DEFAULT;
	struct nix_request request = {.source = &c->source};
	struct revision revision = {.time = 0};
	struct image image;
	AUTO(fd) int hold = -1; /* the set stays where it is */
	struct nix *nix;
	int result;

	(void)str_cut(&rest, ':', &name);
	if (rest.p)
		tag = arena_strndup(a, rest.p, rest.n);
	if (image_parse(a, arena_strndup(a, name.p, name.n), &image, e) < 0)
		return -1;
	request.revision = &revision;
	request.system = image.platform ? image.platform->system
					: c->platforms[0]->system;
	request.packages = image.packages;
	request.n_packages = image.n_packages;
	build_nix_options(c, &options);
	if (nix_open(&options, &nix, e) < 0)
		return -1;
	result = find_set(nix, c, tag, a, &revision, &request.tree, &hold, e);
	if (result == 0)
		result = realised_closure(nix, &request, a, ret, e);
	nix_free(nix);
	return result;
}

int
closure_of_file(const char *path, struct arena *a, struct graph *ret,
		struct err *e)
{
	AUTO(buf) struct buf text = BUF_INIT;
	const char *slash;
	struct str first, rest;

	if (fs_read_file(path, FILE_MAX, &text, e) < 0)
		return -1;
	if (text.p[0] != '/')
		return graph_parse_json(a, text.p, text.len, ret, e);
	rest = (struct str){.p = text.p, .n = text.len};
	(void)str_cut(&rest, '\n', &first);
	slash = memrchr(first.p, '/', first.n);
	return graph_parse_dump(
		a, text.p, text.len,
		arena_strndup(a, first.p, (size_t)(slash - first.p)), ret, e);
}
