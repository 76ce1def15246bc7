/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order of the stages:
 *
 *	name and tag -> revision -> image key ----------------> manifest?
 *	  -> evaluate -> output key ---------------------------> manifest?
 *	  -> realise -> closure -> forest, layer plan -> layers -> manifest
 *
 * Each lookup that succeeds ends the build there. What is found by an output
 * key is remembered under the image key too.
 */
#include "core/build.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/assemble.h"
#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/cache.h"
#include "core/config.h"
#include "core/flight.h"
#include "core/forest.h"
#include "core/keys.h"
#include "core/model/graph.h"
#include "core/model/image.h"
#include "core/model/layers.h"
#include "core/model/manifest.h"
#include "core/nix.h"
#include "core/pack/pack.h"
#include "core/resolve.h"
#include "core/state.h"
#include "core/store/store.h"
#include "core/sys/log.h"

struct engine {
	const struct config *config;
	struct store *store;
	struct state *state;
	struct nix *nix;
	struct jobs *jobs;
	struct cache cache;
	struct assembler assembler;
	struct key_settings settings;
	char pack_id[PACK_ID_CAP];
	atomic_uint_least64_t done;
	atomic_uint_least64_t failed;
};

/* What a job is given: a copy of what was asked. */
struct order {
	struct arena arena;
	struct image image;
	const struct platform *platform;
	const char *tag;
	char request[64]; /* the id of the request that came first */
};

/* One build, while it runs. */
struct build {
	struct engine *g;
	struct job *job;
	struct arena arena;
	const struct order *order;
	struct revision revision;
	struct digest image_key;
	struct nix_watch watch;
	size_t n_layers;
	atomic_size_t layers_ready;
};

static uint64_t
now_s(void)
{
	return (uint64_t)time(NULL);
}

static const struct platform *
platform_of(const struct engine *g, const struct image *im)
{
	return im->platform ? im->platform : g->config->platforms[0];
}

/* --- resolving */

static int
resolve(struct build *b, struct err *e)
{
	const struct config *c = b->g->config;
	const struct resolve_options o = {
		.channel_url = c->channel_url,
		.state_path = c->state_path,
		.offline = c->offline,
	};
	struct digest key;
	bool found;

	key_revision(&c->source, b->order->tag, &key);
	if (state_get_revision(b->g->state, &key, now_s(), &found, &b->revision,
			       e) < 0)
		return -1;
	if (found)
		return 0;
	job_set_progress(b->job, "resolving %s", b->order->tag);
	if (resolve_revision(&c->source, b->order->tag, &o, &b->revision, e) <
	    0)
		return -1;
	return state_put_revision(b->g->state, &key, &b->revision,
				  now_s() + c->resolve_ttl_s, e);
}

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
	const struct engine *g = b->g;

	key_output(&g->settings, b->order->platform, &b->order->image,
		   paths_of(b, o), o->n, ret_key);
	if (cache_find_image(&g->cache, ret_key, CACHE_FAR, ret_found, ret, e) <
	    0)
		return -1;
	if (!*ret_found)
		return 0;
	return cache_put_image(&g->cache, &b->image_key, &ret->digest, e);
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

static int
write_manifest(struct build *b, const struct cut *c, const struct forest *f,
	       struct manifest_info *ret, struct err *e)
{
	AUTO(buf) struct buf config = BUF_INIT, manifest = BUF_INIT;
	struct engine *g = b->g;
	const struct manifest_input in = {
		.platform = b->order->platform,
		.layers = c->described,
		.n_layers = c->n,
		.created = b->revision.time,
		/* A directory has no revision that means anything elsewhere. */
		.revision = g->config->source.kind == SOURCE_PATH
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
	if (manifest.len > MANIFEST_MAX)
		return err_set(e, ERR_DENIED,
			       "the manifest of this image would be larger "
			       "than clients accept");
	if (store_put(g->store, manifest.p, manifest.len, &ret->digest, e) < 0)
		return -1;
	ret->size = manifest.len;
	ret->media_type = MEDIA_TYPE_MANIFEST;
	return state_put_manifest(g->state, &ret->digest, ret->size,
				  ret->media_type, blobs, c->n + 1, e);
}

/* For the lists of tags, and tools that read the storage itself. */
static int
publish(struct build *b, const struct manifest_info *m, struct err *e)
{
	const char *name = arena_printf(&b->arena, "%s:%s",
					b->order->image.name, b->order->tag);

	if (state_put_tag(b->g->state, b->order->image.name, b->order->tag,
			  &m->digest, e) < 0)
		return -1;
	return store_publish(b->g->store, name, m->media_type, &m->digest,
			     m->size, e);
}

/* From realised outputs to a manifest in storage. */
static int
assemble(struct build *b, const struct nix_outputs *outputs,
	 struct manifest_info *ret, struct err *e)
{
	struct engine *g = b->g;
	struct layer *layers;
	struct forest forest;
	struct graph graph;
	struct cut cut;

	job_set_progress(b->job, "reading the closure");
	if (nix_closure(g->nix, &b->arena, outputs, &b->watch, &graph, e) < 0)
		return -1;
	if (forest_make(&b->arena, paths_of(b, outputs), outputs->n, &forest,
			e) < 0)
		return -1;
	if (cut_layers(b, &graph, outputs, &forest, &cut, e) < 0)
		return -1;
	b->n_layers = cut.n;
	job_set_progress(b->job, "packing %zu layers", cut.n);
	layers = arena_alloc(&b->arena, cut.n, sizeof(*layers));
	if (assemble_layers(&g->assembler, cut.layers, cut.n,
			    job_cancel_flag(b->job), layer_ready, b, layers,
			    e) < 0)
		return -1;
	for (size_t i = 0; i < cut.n; i++)
		cut.described[i].layer = layers[i];
	return write_manifest(b, &cut, &forest, ret, e);
}

static int
realise(struct build *b, const struct nix_outputs *evaluated,
	const struct digest *evaluated_key, struct manifest_info *ret,
	struct err *e)
{
	struct engine *g = b->g;
	struct nix_root *root = NULL;
	struct nix_outputs outputs;
	struct digest key;
	bool found;
	int r;

	job_set_progress(b->job, "building or fetching %zu packages",
			 evaluated->n);
	if (nix_realise(g->nix, &b->arena, evaluated, &b->watch, &outputs,
			&root, e) < 0)
		return -1;
	r = find_by_outputs(b, &outputs, &key, &found, ret, e);
	if (r == 0 && !found) {
		r = assemble(b, &outputs, ret, e);
		if (r == 0)
			r = cache_put_image(&g->cache, &key, &ret->digest, e);
		if (r == 0)
			r = cache_put_image(&g->cache, &b->image_key,
					    &ret->digest, e);
		/* Paths that are known only when built: no second lookup. */
		if (r == 0 && !digest_eq(&key, evaluated_key))
			log_debug("image.paths_differ",
				  LOG_S("image", b->order->image.name));
	}
	nix_root_free(root);
	return r;
}

static int
build_image(struct build *b, struct manifest_info *ret, struct err *e)
{
	struct engine *g = b->g;
	struct nix_outputs outputs;
	const struct nix_request request = {
		.source = &g->config->source,
		.revision = &b->revision,
		.system = b->order->platform->system,
		.packages = b->order->image.packages,
		.n_packages = b->order->image.n_packages,
	};
	struct digest key;
	bool found;

	if (resolve(b, e) < 0)
		return -1;
	key_image(&g->settings, &g->config->source, &b->revision,
		  b->order->platform, &b->order->image, &b->image_key);
	if (cache_find_image(&g->cache, &b->image_key, CACHE_FAR, &found, ret,
			     e) < 0)
		return -1;
	if (found)
		return 0;
	job_set_progress(b->job, "evaluating");
	if (nix_evaluate(g->nix, &b->arena, &request, &b->watch, &outputs, e) <
	    0)
		return -1;
	if (find_by_outputs(b, &outputs, &key, &found, ret, e) < 0)
		return -1;
	if (found)
		return 0;
	return realise(b, &outputs, &key, ret, e);
}

/* --- jobs */

static void
log_line(void *ctx UNUSED, const char *line, size_t n)
{
	AUTO(buf) struct buf text = BUF_INIT;

	if (!log_enabled(LOG_DEBUG))
		return;
	buf_add(&text, line, n);
	log_debug("nix.line", LOG_S("line", text.p));
}

static void
order_free(void *p)
{
	struct order *o = p;

	arena_release(&o->arena);
	free(o);
}

static uint64_t
now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static int
run_job(void *ctx, struct job *j, void *payload, struct manifest_info *ret,
	struct err *e)
{
	struct engine *g = ctx;
	const struct order *o = payload;
	struct build b = {.g = g, .job = j, .order = o};
	uint64_t start = now_ms();
	char digest[DIGEST_TEXT_CAP];
	int r;

	log_set_request(o->request);
	b.watch.cancel = job_cancel_flag(j);
	b.watch.on_line = log_line;
	log_info("build.start", LOG_S("build", job_id(j)),
		 LOG_S("image", o->image.name), LOG_S("tag", o->tag),
		 LOG_S("platform", o->platform->arch));
	r = build_image(&b, ret, e);
	if (r == 0)
		r = publish(&b, ret, e);
	if (r == 0) {
		digest_text(&ret->digest, digest);
		atomic_fetch_add(&g->done, 1);
		log_info("build.done", LOG_S("build", job_id(j)),
			 LOG_S("image", o->image.name), LOG_S("digest", digest),
			 LOG_N("layers", b.n_layers),
			 LOG_N("ms", now_ms() - start));
	} else {
		atomic_fetch_add(&g->failed, 1);
		log_warn("build.failed", LOG_S("build", job_id(j)),
			 LOG_S("image", o->image.name), LOG_S("tag", o->tag),
			 LOG_S("kind", err_kind_name(e->kind)),
			 LOG_S("error", e->msg), LOG_S("detail", e->detail),
			 LOG_N("ms", now_ms() - start));
	}
	log_set_request(NULL);
	arena_release(&b.arena);
	return r;
}

/* --- lookups */

static const char *
tag_or_default(const char *tag)
{
	return tag && tag[0] ? tag : SOURCE_TAG_DEFAULT;
}

int
engine_find(struct engine *g, const struct image *image, const char *tag,
	    bool *ret_found, struct manifest_info *ret, struct err *e)
{
	struct digest key;
	struct revision r;

	*ret_found = false;
	tag = tag_or_default(tag);
	if (resolve_check_tag(&g->config->source, tag, e) < 0)
		return -1;
	key_revision(&g->config->source, tag, &key);
	if (state_get_revision(g->state, &key, now_s(), ret_found, &r, e) < 0)
		return -1;
	if (!*ret_found)
		return 0;
	key_image(&g->settings, &g->config->source, &r, platform_of(g, image),
		  image, &key);
	return cache_find_image(&g->cache, &key, CACHE_NEAR, ret_found, ret, e);
}

int
engine_find_digest(struct engine *g, const struct digest *d,
		   struct manifest_info *ret, struct err *e)
{
	char text[DIGEST_TEXT_CAP];
	bool found;

	if (cache_find_manifest(&g->cache, d, false, &found, ret, e) < 0)
		return -1;
	if (found)
		return 0;
	digest_text(d, text);
	return err_set(e, ERR_NOT_FOUND, "there is no manifest %s", text);
}

int
engine_read_manifest(struct engine *g, const struct digest *d, struct buf *to,
		     struct err *e)
{
	return store_read(g->store, d, MANIFEST_MAX, to, e);
}

int
engine_locate(struct engine *g, const struct digest *d,
	      struct store_location *ret, struct err *e)
{
	return store_locate(g->store, d, ret, e);
}

static void
hand_over(const struct state_names *from, struct engine_names *to)
{
	*to = (struct engine_names){from->v, from->n, from->more};
}

int
engine_list_tags(struct engine *g, const struct image *image, const char *last,
		 size_t max, struct arena *a, struct engine_names *ret,
		 struct err *e)
{
	struct state_names names;

	if (state_list_tags(g->state, image->name, last, max, a, &names, e) < 0)
		return -1;
	hand_over(&names, ret);
	return 0;
}

int
engine_list_images(struct engine *g, const char *last, size_t max,
		   struct arena *a, struct engine_names *ret, struct err *e)
{
	struct state_names names;

	if (state_list_images(g->state, last, max, a, &names, e) < 0)
		return -1;
	hand_over(&names, ret);
	return 0;
}

int
engine_start(struct engine *g, const struct image *image, const char *tag,
	     struct job **ret, struct err *e)
{
	struct order *o;
	struct digest key;

	tag = tag_or_default(tag);
	if (resolve_check_tag(&g->config->source, tag, e) < 0)
		return -1;
	o = xcalloc(1, sizeof(*o));
	o->platform = platform_of(g, image);
	o->tag = arena_strdup(&o->arena, tag);
	(void)snprintf(o->request, sizeof(o->request), "%s", log_request());
	/* The name says it all, and was read once already. */
	if (image_parse(&o->arena, image->name, &o->image, e) < 0) {
		order_free(o);
		return -1;
	}
	key_request(&o->image, tag, o->platform, &key);
	return jobs_start(g->jobs, &key, o, ret, e);
}

void
engine_on_end(struct engine *g, void (*fn)(void *ctx), void *ctx)
{
	jobs_on_end(g->jobs, fn, ctx);
}

int
engine_check(struct engine *g, struct err *e)
{
	if (store_check(g->store, e) < 0)
		return err_wrap(e, "storage");
	if (state_check(g->state, e) < 0)
		return -1;
	return nix_check(g->nix, e);
}

void
engine_stats(struct engine *g, struct engine_stats *ret)
{
	*ret = (struct engine_stats){
		.builds_done = atomic_load(&g->done),
		.builds_failed = atomic_load(&g->failed),
		.layers_packed = atomic_load(&g->assembler.packed),
		.layers_reused = atomic_load(&g->assembler.reused),
		.processes_started = nix_processes(g->nix),
	};
	jobs_count(g->jobs, &ret->builds_running, &ret->builds_queued);
}

/* --- opening */

static int
open_parts(struct engine *g, struct err *e)
{
	const struct config *c = g->config;
	const struct nix_options nix = {
		.expressions = c->nix_dir,
		.state_path = c->state_path,
		.timeout_s = c->nix_timeout_s,
		.offline = c->offline,
	};

	if (store_open(c->storage_backend, c->storage_path, &g->store, e) < 0)
		return -1;
	if (state_open(c->state_path, &g->state, e) < 0)
		return -1;
	return nix_open(&nix, &g->nix, e);
}

int
engine_open(const struct config *config, struct engine **ret, struct err *e)
{
	struct engine *g = xcalloc(1, sizeof(*g));

	g->config = config;
	if (open_parts(g, e) < 0) {
		engine_free(g);
		return -1;
	}
	pack_id(&config->compression, g->pack_id);
	g->settings = (struct key_settings){
		.algorithm = config->layer_algorithm,
		.budget = config->layer_budget,
		.forest_format = FOREST_FORMAT,
		.pack_id = g->pack_id,
	};
	g->cache = (struct cache){.state = g->state, .store = g->store};
	g->assembler.cache = &g->cache;
	g->assembler.flights = flights_new();
	g->assembler.pool = pack_pool_new((unsigned)config->pack_threads);
	g->assembler.compression = config->compression;
	g->assembler.threads = (unsigned)config->pack_threads;
	g->jobs = jobs_new(&(struct jobs_options){
		.threads = (unsigned)config->max_builds,
		.max_queue = (size_t)config->max_queue,
		.run = run_job,
		.free_payload = order_free,
		.ctx = g,
	});
	*ret = g;
	return 0;
}

void
engine_free(struct engine *g)
{
	if (!g)
		return;
	if (g->jobs) {
		jobs_stop(g->jobs);
		jobs_free(g->jobs);
	}
	if (g->assembler.pool)
		pack_pool_free(g->assembler.pool);
	flights_free(g->assembler.flights);
	nix_free(g->nix);
	state_free(g->state);
	store_free(g->store);
	free(g);
}
