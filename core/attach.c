/* SPDX-License-Identifier: Apache-2.0 */
#include "core/attach.h"

#include <string.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/json.h"
#include "core/base/strmap.h"
#include "core/cache.h"
#include "core/jobs.h"
#include "core/model/artifact.h"
#include "core/model/graph.h"
#include "core/model/manifest.h"
#include "core/model/sbom.h"
#include "core/nix.h"
#include "core/state.h"
#include "core/store/store.h"
#include "core/sys/fs.h"
#include "core/sys/log.h"

/* A config names every path of a closure. */
#define CONFIG_MAX (64u << 20)

static const struct json_limits config_limits = {
	.max_bytes = CONFIG_MAX,
	.max_depth = 64,
	.max_values = 1000000,
};

/* An image that gets SBOMs. */
struct subject {
	const char *name;
	const struct manifest_info *manifest;
	const struct nix_outputs *outputs;
	const struct graph *graph;
};

/* --- what the image says of itself */

struct described {
	const char *arch;
	const char *os;
	const char *created;
	struct sbom_path *paths; /* one for each node of the graph */
};

static int
fail_differ(const char *path, struct err *e)
{
	return err_set(e, ERR_SYSTEM,
		       "image and closure differ in %s: no SBOM is made", path);
}

/* The paths that a comment in the history names are in this layer. */
static int
read_comment(struct arena *a, const char *comment, const struct digest *layer,
	     const struct strmap *index, struct described *d, struct err *e)
{
	struct str rest = str_of(comment), part;
	size_t i;

	/* The layer without store paths has words there. */
	if (comment[0] != '/')
		return 0;
	while (str_cut(&rest, ' ', &part)) {
		const char *path = arena_strndup(a, part.p, part.n);

		if (!strmap_get(index, path, &i) || d->paths[i].layer)
			return fail_differ(path, e);
		d->paths[i].layer = layer;
	}
	return 0;
}

static int
read_history(struct arena *a, const struct json *config,
	     const struct manifest_summary *m, const struct graph *g,
	     struct described *d, struct err *e)
{
	AUTO(strmap) struct strmap index = STRMAP_INIT;
	const struct json *history = json_get(config, "history");
	size_t layer = 1; /* of the manifest's blobs; the first is config */

	if (!json_is(history, JSON_ARRAY) || history->n + 1 != m->n)
		return err_set(e, ERR_SYSTEM,
			       "the image's history is not that of its layers");
	for (size_t i = 0; i < g->n; i++)
		(void)strmap_put(&index, g->nodes[i].path, i, NULL);
	for (const struct json *h = history->kids; h; h = h->next) {
		const char *comment = json_get_str(h, "comment");

		if (comment && read_comment(a, comment, &m->blobs[layer],
					    &index, d, e) < 0)
			return -1;
		layer++;
	}
	for (size_t i = 0; i < g->n; i++)
		if (!d->paths[i].layer)
			return fail_differ(g->nodes[i].path, e);
	return 0;
}

static int
read_image(const struct cache *c, struct arena *a, const struct subject *im,
	   struct described *d, struct err *e)
{
	AUTO(buf) struct buf manifest = BUF_INIT, config = BUF_INIT;
	struct manifest_summary m;
	const struct json *v;

	if (store_read(c->store, &im->manifest->digest, MANIFEST_MAX, &manifest,
		       e) < 0 ||
	    manifest_read(a, manifest.p, manifest.len, &m, e) < 0)
		return -1;
	if (m.n == 0 || manifest_is_index(m.media_type))
		return err_set(e, ERR_SYSTEM, "this is no image");
	if (store_read(c->store, &m.blobs[0], CONFIG_MAX, &config, e) < 0 ||
	    json_parse(a, config.p, config.len, &config_limits, &v, e) < 0)
		return -1;
	d->arch = json_get_str(v, "architecture");
	d->os = json_get_str(v, "os");
	d->created = json_get_str(v, "created");
	if (!d->arch || !d->os || !d->created)
		return err_set(e, ERR_SYSTEM, "the image's config is damaged");
	d->paths = arena_alloc(a, im->graph->n + 1, sizeof(*d->paths));
	return read_history(a, v, &m, im->graph, d, e);
}

/* What was asked for, and its licences. */
static void
add_outputs(const struct nix_outputs *outputs, const struct graph *g,
	    struct described *d)
{
	AUTO(strmap) struct strmap index = STRMAP_INIT;
	size_t at;

	for (size_t i = 0; i < outputs->n; i++)
		(void)strmap_put(&index, outputs->v[i].path, i, NULL);
	for (size_t i = 0; i < g->n; i++) {
		if (!strmap_get(&index, g->nodes[i].path, &at))
			continue;
		d->paths[i].attribute = outputs->v[at].attribute;
		d->paths[i].output = outputs->v[at].output;
		d->paths[i].license = outputs->v[at].license;
	}
}

/* --- storing */

static int
put_manifest(const struct cache *c, const struct buf *text,
	     const char *media_type, const struct digest *blobs, size_t n,
	     struct digest *ret, struct err *e)
{
	if (store_put(c->store, text->p, text->len, ret, e) < 0)
		return -1;
	if (state_put_manifest(c->state, ret, text->len, media_type, blobs, n,
			       e) < 0)
		state_forgive(e);
	return 0;
}

/* An artifact's manifest, and what the list says of it. */
static int
put_artifact(const struct cache *c, const struct artifact *in,
	     const struct manifest_info *subject, struct referrer *ret,
	     struct err *e)
{
	AUTO(buf) struct buf text = BUF_INIT;
	const struct artifact_manifest of = {subject->media_type,
					     subject->digest, subject->size};
	struct digest blobs[2] = {{{0}}, in->document};

	if (store_put(c->store, ARTIFACT_EMPTY, strlen(ARTIFACT_EMPTY),
		      &blobs[0], e) < 0)
		return -1;
	artifact_write(in, &of, &text);
	*ret = (struct referrer){
		.size = text.len,
		.type = in->type,
		.created = in->created,
		.platform = in->platform,
	};
	return put_manifest(c, &text, MEDIA_TYPE_MANIFEST, blobs, 2,
			    &ret->digest, e);
}

/* Last of all: from now on the artifacts are found. */
static int
put_list(const struct cache *c, const struct digest *subject,
	 const struct referrers *list, struct err *e)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	AUTO(buf) struct buf text = BUF_INIT;
	struct digest *children = arena_alloc(&a, list->n, sizeof(*children));
	struct digest d;

	for (size_t i = 0; i < list->n; i++)
		children[i] = list->v[i].digest;
	referrers_write(list, &text);
	if (put_manifest(c, &text, MEDIA_TYPE_INDEX, children, list->n, &d, e) <
	    0)
		return -1;
	return cache_put_referrers(c, subject, &d, e);
}

/* --- SBOMs */

static int
check_size(const struct graph *g, struct err *e)
{
	uint64_t n = g->n;

	for (size_t i = 0; i < g->n; i++)
		n += g->nodes[i].n_refs;
	if (n > SBOM_MAX_ENTRIES)
		return err_set(e, ERR_DENIED,
			       "the closure is too large for an SBOM");
	return 0;
}

static int
put_sbom(const struct cache *c, enum sbom_format format,
	 const struct sbom_input *in, const char *platform,
	 const struct manifest_info *subject, struct referrer *ret,
	 struct err *e)
{
	AUTO(buf) struct buf text = BUF_INIT;
	struct artifact artifact = {
		.type = sbom_media_type(format),
		.file_name = sbom_file_name(format),
		.created = in->created,
		.platform = platform,
	};

	sbom_write(format, in, &text);
	artifact.size = text.len;
	if (store_put(c->store, text.p, text.len, &artifact.document, e) < 0)
		return -1;
	return put_artifact(c, &artifact, subject, ret, e);
}

static int
put_sboms(const struct cache *c, const struct subject *im, struct err *e)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	struct described d = {.paths = NULL};
	struct referrer v[SBOM_FORMATS];
	const struct referrers list = {v, SBOM_FORMATS};
	struct sbom_input in = {
		.name = im->name,
		.image = &im->manifest->digest,
		.graph = im->graph,
	};
	const char *platform;

	if (check_size(im->graph, e) < 0 || read_image(c, &a, im, &d, e) < 0)
		return -1;
	add_outputs(im->outputs, im->graph, &d);
	in.arch = d.arch;
	in.created = d.created;
	in.paths = d.paths;
	platform = arena_printf(&a, "%s/%s", d.os, d.arch);
	for (int f = 0; f < SBOM_FORMATS; f++)
		if (put_sbom(c, (enum sbom_format)f, &in, platform,
			     im->manifest, &v[f], e) < 0)
			return -1;
	return put_list(c, &im->manifest->digest, &list, e);
}

/* --- the same for other subjects */

/* Attach each artifact of a list to the subject too. */
static int
copy_artifacts(const struct cache *c, struct arena *a,
	       const struct manifest_info *subject,
	       const struct referrers *from, struct referrers *to,
	       struct err *e)
{
	for (size_t i = 0; i < from->n && to->n < ARTIFACTS_MAX; i++) {
		AUTO(buf) struct buf text = BUF_INIT;
		struct artifact artifact;

		if (store_read(c->store, &from->v[i].digest, MANIFEST_MAX,
			       &text, e) < 0 ||
		    artifact_read(a, text.p, text.len, &artifact, e) < 0 ||
		    put_artifact(c, &artifact, subject, &to->v[to->n++], e) < 0)
			return -1;
	}
	return 0;
}

static int
copy_list(const struct cache *c, struct arena *a,
	  const struct manifest_info *subject, const struct digest *from,
	  struct referrers *to, struct err *e)
{
	AUTO(buf) struct buf text = BUF_INIT;
	struct manifest_info info;
	struct referrers list;
	bool found;

	if (cache_find_referrers(c, from, true, &found, &info, e) < 0)
		return -1;
	if (!found)
		return 0;
	if (store_read(c->store, &info.digest, MANIFEST_MAX, &text, e) < 0 ||
	    referrers_read(a, text.p, text.len, &list, e) < 0)
		return -1;
	return copy_artifacts(c, a, subject, &list, to, e);
}

/* The lists of n manifests, as one. */
static int
copy_lists(const struct cache *c, const struct manifest_info *subject,
	   const struct digest *from, size_t n, struct err *e)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	struct referrers list = {.n = 0};

	list.v = arena_alloc(&a, ARTIFACTS_MAX, sizeof(*list.v));
	for (size_t i = 0; i < n; i++)
		if (copy_list(c, &a, subject, &from[i], &list, e) < 0)
			return -1;
	return list.n > 0 ? put_list(c, &subject->digest, &list, e) : 0;
}

/* --- errors end here */

bool
attach_is_needed(const struct attach *at, const struct digest *subject)
{
	struct manifest_info list;
	struct err e = ERR_INIT;
	bool there = true;

	if (at->wanted && cache_find_referrers(at->cache, subject, true, &there,
					       &list, &e) < 0)
		log_err(LOG_ERROR, "sbom.failed", &e);
	return !there;
}

void
attach_to_image(const struct attach *at, const struct manifest_info *image,
		const struct nix_outputs *outputs, const struct graph *graph)
{
	const struct subject im = {at->name, image, outputs, graph};
	struct err e = ERR_INIT;

	if (attach_is_needed(at, &image->digest) &&
	    put_sboms(at->cache, &im, &e) < 0)
		log_err(LOG_ERROR, "sbom.failed", &e);
}

static bool
are_here(const struct nix_outputs *o)
{
	for (size_t i = 0; i < o->n; i++)
		if (!fs_exists(o->v[i].path))
			return false;
	return true;
}

void
attach_to_found(const struct attach *at, const struct manifest_info *image,
		const struct nix_outputs *outputs)
{
	struct nix_root *root = NULL;
	struct nix_outputs realised;
	struct err e = ERR_INIT;
	struct graph graph;

	if (!attach_is_needed(at, &image->digest) || !are_here(outputs))
		return;
	/* Held by a root while it is read. */
	if (nix_realise(at->nix, at->arena, outputs, at->watch, &realised,
			&root, &e) < 0 ||
	    nix_closure(at->nix, at->arena, &realised, at->watch, &graph, &e) <
		    0)
		log_err(LOG_WARN, "sbom.failed", &e);
	else
		attach_to_image(at, image, &realised, &graph);
	nix_root_free(root);
}

void
attach_to_other(const struct attach *at, const struct manifest_info *subject,
		const struct digest *from, size_t n)
{
	struct err e = ERR_INIT;

	if (attach_is_needed(at, &subject->digest) &&
	    copy_lists(at->cache, subject, from, n, &e) < 0)
		log_err(LOG_ERROR, "sbom.failed", &e);
}
