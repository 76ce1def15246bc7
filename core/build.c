/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order of the stages:
 *
 *	name and tag -> revision -> image key ----------------> manifest?
 *	  -> evaluate -> output key ---------------------------> manifest?
 *	  -> realise -> closure -> forest, layer plan -> layers -> manifest
 *	  -> SBOMs
 *
 * Each lookup that succeeds ends the build there. What is found by an output
 * key is remembered under the image key too.
 */
#include "core/build.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/assemble.h"
#include "core/attach.h"
#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/build_impl.h"
#include "core/cache.h"
#include "core/config.h"
#include "core/failures.h"
#include "core/forest.h"
#include "core/jobs.h"
#include "core/keys.h"
#include "core/model/graph.h"
#include "core/model/image.h"
#include "core/model/layers.h"
#include "core/model/manifest.h"
#include "core/nix.h"
#include "core/pack/pack.h"
#include "core/state.h"
#include "core/store/store.h"
#include "core/sys/fingerprint.h"
#include "core/sys/fs.h"
#include "core/sys/log.h"

/* --- from outputs to layers */

static const char **
paths_of(struct build *b, const struct nix_outputs *o)
{
	const char **v = arena_alloc(&b->arena, o->n + 1, sizeof(*v));

	for (size_t i = 0; i < o->n; i++)
		v[i] = o->v[i].path;
	return v;
}

/* Is an image of these outputs there? Then the image key finds it too. */
static int
find_by_outputs(struct build *b, const struct nix_outputs *o,
		struct digest *ret_key, bool *ret_found,
		struct manifest_info *ret, struct err *e)
{
	const struct builder *g = b->g;

	key_output(&g->settings, b->platform, &b->order->image, paths_of(b, o),
		   o->n, ret_key);
	if (cache_find_image(b->cache, ret_key, CACHE_FAR, ret_found, ret, e) <
	    0)
		return -1;
	if (!*ret_found)
		return 0;
	return cache_put_image(b->cache, &b->image_key, &ret->digest, e);
}

static void
layer_ready(void *ctx)
{
	struct build *b = ctx;
	size_t n = atomic_fetch_add(&b->layers_ready, 1) + 1;

	job_set_progress(b->job, "packed %zu of %zu layers", n, b->n_layers);
}

/* What the plan says, as store paths; and the forest on top. */
struct cut {
	struct assembly *layers;
	struct manifest_layer *described;
	size_t n;
};

static void
add_layer(struct build *b, struct cut *c, const char *const *paths, size_t n,
	  const struct forest *f, const char *const *forest_of,
	  size_t n_forest_of)
{
	struct assembly *as = &c->layers[c->n];
	struct manifest_layer *d = &c->described[c->n];

	as->paths = paths;
	as->n_paths = n;
	as->entries = f ? f->entries : NULL;
	as->n_entries = f ? f->n : 0;
	key_layer(&b->g->settings, paths, n, forest_of, n_forest_of, &as->key);
	d->paths = paths;
	d->n_paths = n;
	d->comment = "links to the packages, and base files";
	c->n++;
}

/*
 * The closure in at most budget layers, the forest's included. With a budget
 * of one, everything shares a layer.
 */
static int
cut_layers(struct build *b, const struct graph *g,
	   const struct nix_outputs *outputs, const struct forest *f,
	   struct cut *ret, struct err *e)
{
	const struct config *cfg = b->g->config;
	bool together = cfg->layer_budget == 1;
	const struct layer_options o = {
		.algorithm = cfg->layer_algorithm,
		.budget = together ? 1 : (size_t)cfg->layer_budget - 1,
		.popularity = b->g->counts.popularity,
	};
	struct layer_plans plans;

	if (layers_plan(&b->arena, g, &o, &plans, e) < 0)
		return -1;
	ret->n = 0;
	ret->layers = arena_alloc(&b->arena, plans.n + 1, sizeof(*ret->layers));
	ret->described =
		arena_alloc(&b->arena, plans.n + 1, sizeof(*ret->described));
	for (size_t i = 0; i < plans.n; i++) {
		const struct layer_plan *p = &plans.v[i];
		const char **paths =
			arena_alloc(&b->arena, p->n, sizeof(*paths));

		for (size_t k = 0; k < p->n; k++)
			paths[k] = g->nodes[p->paths[k]].path;
		add_layer(b, ret, paths, p->n, together ? f : NULL,
			  paths_of(b, outputs), together ? outputs->n : 0);
	}
	if (!together || ret->n == 0)
		add_layer(b, ret, NULL, 0, f, paths_of(b, outputs), outputs->n);
	return 0;
}

int
build_put_manifest(struct build *b, const struct buf *text,
		   const char *media_type, const struct digest *blobs, size_t n,
		   struct manifest_info *ret, struct err *e)
{
	struct builder *g = b->g;

	if (text->len > MANIFEST_MAX)
		return err_set(e, ERR_DENIED,
			       "the manifest of this image would be larger "
			       "than clients accept");
	if (store_put(g->store, text->p, text->len, &ret->digest, e) < 0)
		return -1;
	ret->size = text->len;
	ret->media_type = media_type;
	if (strcmp(media_type, MEDIA_TYPE_MANIFEST) == 0 &&
	    store_expose_manifest(g->store, &ret->digest, e) < 0)
		return -1;
	if (state_put_manifest(g->state, &ret->digest, ret->size, media_type,
			       blobs, n, e) < 0)
		state_forgive(e);
	return 0;
}

static int
write_manifest(struct build *b, const struct cut *c, const struct forest *f,
	       struct manifest_info *ret, struct err *e)
{
	AUTO(buf) struct buf config = BUF_INIT, manifest = BUF_INIT;
	struct builder *g = b->g;
	const struct manifest_input in = {
		.platform = b->platform,
		.layers = c->described,
		.n_layers = c->n,
		.created = b->revision.time,
		/* A fingerprint means nothing elsewhere. */
		.revision = str_has_prefix(b->revision.id, FINGERPRINT_PREFIX)
				    ? NULL
				    : b->revision.id,
		.path = f->path,
		.cert_file = f->cert_file,
		.command = b->order->image.shell ? "bash" : NULL,
	};
	struct digest *blobs = arena_alloc(&b->arena, c->n + 1, sizeof(*blobs));

	manifest_write_config(&in, &config);
	if (store_put(g->store, config.p, config.len, &blobs[0], e) < 0)
		return -1;
	for (size_t i = 0; i < c->n; i++)
		blobs[i + 1] = c->described[i].layer.digest;
	manifest_write(&in, &blobs[0], config.len, &manifest);
	return build_put_manifest(b, &manifest, MEDIA_TYPE_MANIFEST, blobs,
				  c->n + 1, ret, e);
}

/* For the lists of tags, and tools that read the storage itself. */
static int
publish(struct build *b, const struct manifest_info *m, struct err *e)
{
	const char *name = arena_printf(&b->arena, "%s:%s",
					b->order->image.name, b->order->tag);

	if (state_put_tag(b->g->state, b->order->image.name, b->order->tag,
			  &m->digest, e) < 0)
		state_forgive(e);
	return store_publish(b->g->store, name, m->media_type, &m->digest,
			     m->size, e);
}

/* From realised outputs to a manifest in storage. */
static int
assemble(struct build *b, const struct nix_outputs *outputs,
	 struct manifest_info *ret, struct err *e)
{
	struct builder *g = b->g;
	struct layer *layers;
	struct forest forest;
	struct graph graph;
	struct cut cut;

	stages_enter(&b->stages, STAGE_CLOSURE);
	build_say(b, "reading the closure");
	if (nix_closure(g->nix, &b->arena, outputs, &b->watch, &graph, e) < 0)
		return -1;
	if (forest_make(&b->arena, paths_of(b, outputs), outputs->n, &forest,
			e) < 0)
		return -1;
	if (cut_layers(b, &graph, outputs, &forest, &cut, e) < 0)
		return -1;
	b->n_layers = cut.n;
	/* What is learnt here is used when the operator says so (popcount). */
	if (state_add_usage(g->state, &graph, e) < 0)
		state_forgive(e);
	stages_enter(&b->stages, STAGE_PACK);
	build_say(b, "packing %zu layers", cut.n);
	layers = arena_alloc(&b->arena, cut.n, sizeof(*layers));
	if (assemble_layers(&g->assembler, cut.layers, cut.n,
			    job_cancel_flag(b->job), layer_ready, b, layers,
			    e) < 0)
		return -1;
	for (size_t i = 0; i < cut.n; i++)
		cut.described[i].layer = layers[i];
	stages_enter(&b->stages, STAGE_MANIFEST);
	if (write_manifest(b, &cut, &forest, ret, e) < 0)
		return -1;
	stages_enter(&b->stages, STAGE_SBOM);
	attach_to_image(&b->attach, ret, outputs, &graph);
	return 0;
}

static void
attach_found(struct build *b, const struct manifest_info *image,
	     const struct nix_outputs *outputs)
{
	stages_enter(&b->stages, STAGE_SBOM);
	attach_to_found(&b->attach, image, outputs);
}

static int
realise(struct build *b, const struct nix_outputs *evaluated,
	const struct digest *evaluated_key, struct manifest_info *ret,
	struct err *e)
{
	struct builder *g = b->g;
	struct nix_root *root = NULL;
	struct nix_outputs outputs;
	struct digest key;
	bool found;
	int r;

	stages_enter(&b->stages, STAGE_REALISE);
	build_say(b, "building or fetching %zu packages", evaluated->n);
	if (nix_realise(g->nix, &b->arena, evaluated, &b->watch, &outputs,
			&root, e) < 0) {
		/*
		 * A builder's doing. Without the network it may be a file
		 * that is not here, and is as soon as somebody brings it.
		 */
		b->remember = !g->config->offline &&
			      (e->kind == ERR_BUILD || e->kind == ERR_TIMEOUT);
		return -1;
	}
	r = find_by_outputs(b, &outputs, &key, &found, ret, e);
	if (r == 0 && found)
		attach_found(b, ret, &outputs);
	if (r == 0 && !found) {
		r = assemble(b, &outputs, ret, e);
		if (r == 0)
			r = cache_put_image(b->cache, &key, &ret->digest, e);
		if (r == 0)
			r = cache_put_image(b->cache, &b->image_key,
					    &ret->digest, e);
		/* Paths that are known only when built: no second lookup. */
		if (r == 0 && !digest_eq(&key, evaluated_key))
			log_debug("image.paths_differ",
				  LOG_S("image", b->order->image.name));
	}
	nix_root_free(root);
	return r;
}

/* The packages that were asked for, as Nix means them. */
static int
evaluate(struct build *b, struct nix_outputs *ret, struct err *e)
{
	struct builder *g = b->g;
	struct nix_request request = {
		.source = &g->config->source,
		.revision = &b->revision,
		.system = b->platform->system,
		.packages = b->order->image.packages,
		.n_packages = b->order->image.n_packages,
	};

	if (build_open_nix(g, e) < 0)
		return -1;
	b->attach.nix = g->nix;
	stages_enter(&b->stages, STAGE_RESOLVE);
	if (build_find_tree(b, &request.tree, e) < 0)
		return -1;
	stages_enter(&b->stages, STAGE_EVALUATE);
	build_say(b, "evaluating");
	return nix_evaluate(g->nix, &b->arena, &request, &b->watch, ret, e);
}

/* For an image that was found by its key: made before there were SBOMs? */
static void
attach_late(struct build *b, const struct manifest_info *image)
{
	struct nix_outputs outputs;
	struct err e = ERR_INIT;

	if (!attach_is_needed(&b->attach, &image->digest))
		return;
	if (evaluate(b, &outputs, &e) < 0)
		log_err(LOG_WARN, "sbom.failed", &e);
	else
		attach_found(b, image, &outputs);
}

int
build_image(struct build *b, struct manifest_info *ret, struct err *e)
{
	struct builder *g = b->g;
	struct nix_outputs outputs;
	struct digest key;
	bool found;

	key_image(&g->settings, &g->config->source, &b->revision, b->platform,
		  &b->order->image, &b->image_key);
	if (cache_find_image(b->cache, &b->image_key, CACHE_FAR, &found, ret,
			     e) < 0)
		return -1;
	if (found) {
		attach_late(b, ret);
		return 0;
	}
	b->again = failures_find(g->failures, &b->image_key, e);
	if (b->again)
		return -1;
	b->cache = b->attach.cache = &g->patient;
	if (evaluate(b, &outputs, e) < 0 ||
	    find_by_outputs(b, &outputs, &key, &found, ret, e) < 0)
		return -1;
	if (found) {
		attach_found(b, ret, &outputs);
		return 0;
	}
	return realise(b, &outputs, &key, ret, e);
}

int
build_run(struct builder *g, struct job *j, const struct order *o,
	  struct manifest_info *ret, struct build_report *ret_report,
	  struct err *e)
{
	struct build b = {
		.g = g,
		.job = j,
		.order = o,
		.cache = &g->cache,
		.tree_hold = -1,
	};
	int r;

	b.watch.cancel = job_cancel_flag(j);
	b.watch.on_line = build_tell_line;
	b.watch.ctx = &b;
	b.attach = (struct attach){
		.wanted = g->config->sbom,
		.cache = b.cache,
		.watch = &b.watch,
		.arena = &b.arena,
		.name = o->image.name,
	};
	build_tell_start(&b);
	r = build_resolve(&b, e);
	if (r == 0)
		r = build_forms(&b, ret, e);
	if (r == 0)
		r = publish(&b, ret, e);
	stages_end(&b.stages);
	build_tell_end(&b, ret, e);
	/* With the page's address in it. */
	if (b.remember)
		failures_note(g->failures, &b.image_key, e);
	*ret_report = (struct build_report){
		.n_layers = b.n_layers,
		.stages = b.stages,
		.again = b.again,
	};
	fd_auto(&b.tree_hold);
	arena_release(&b.arena);
	return r;
}
