/* SPDX-License-Identifier: Apache-2.0 */
#include "core/engine.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/build.h"
#include "core/buildlog.h"
#include "core/config.h"
#include "core/model/manifest.h"
#include "core/nix.h"
#include "core/resolve.h"
#include "core/stages.h"
#include "core/state.h"
#include "core/store/store.h"
#include "core/sys/clock.h"
#include "core/sys/log.h"

struct engine {
	struct builder b;
	struct jobs *jobs;
	atomic_uint_least64_t done;
	atomic_uint_least64_t failed;
	bool quiet; /* failures are not logged */
	bool probing;
	atomic_bool stop_probe;
	pthread_t probe;
	atomic_uint_least64_t stage_us[STAGES];
};

/*
 * The platforms that a request is for: more than one when the name pins none
 * and the client takes an index. Returns how many.
 */
static size_t
platforms_of(const struct engine *g, const struct image *im,
	     const struct manifest_accept *accept,
	     const struct platform *ret[CONFIG_PLATFORMS_MAX])
{
	const struct config *c = g->b.config;

	ret[0] = im->platform ? im->platform : c->platforms[0];
	if (im->platform || (!accept->oci_index && !accept->docker_list))
		return 1;
	for (size_t i = 0; i < c->n_platforms; i++)
		ret[i] = c->platforms[i];
	return c->n_platforms;
}

/* Of an image or an index, is it Docker's form that the client wants? */
static bool
wants_docker(const struct manifest_accept *accept, bool index)
{
	if (index)
		return accept->docker_list && !accept->oci_index;
	return accept->docker_manifest && !accept->oci_manifest;
}

/* --- jobs */

static void
order_free(void *p)
{
	struct order *o = p;

	arena_release(&o->arena);
	free(o);
}

/* Where the time went: for whoever wonders why a pull took so long. */
static void
count_stages(struct engine *g, const char *id, const struct stages *t)
{
	struct log_field f[STAGES + 2] = {LOG_S("build", id)};

	for (unsigned i = 0; i < STAGES; i++) {
		atomic_fetch_add(&g->stage_us[i], t->us[i]);
		f[i + 1] =
			(struct log_field)LOG_N(stage_name(i), t->us[i] / 1000);
	}
	log_emit(LOG_INFO, "build.stages", f);
}

static void
log_failure(const struct engine *g, const struct job *j, const struct order *o,
	    uint64_t ms, bool again, const struct err *e)
{
	char page[64] = "";

	if (g->quiet)
		return;
	if (g->b.logs && !again && build_keeps_log(e->kind))
		(void)snprintf(page, sizeof(page), "/builds/%s", job_id(j));
	log_warn("build.failed", LOG_S("build", job_id(j)),
		 LOG_S("image", o->image.name), LOG_S("tag", o->tag),
		 LOG_S("kind", err_kind_name(e->kind)), LOG_S("error", e->msg),
		 LOG_S("detail", e->detail), LOG_S("page", page),
		 LOG_N("ms", ms));
}

static int
run_job(void *ctx, struct job *j, void *payload, struct manifest_info *ret,
	struct err *e)
{
	struct engine *g = ctx;
	const struct order *o = payload;
	uint64_t start = clock_ms();
	char digest[DIGEST_TEXT_CAP];
	struct build_report report;
	int r;

	log_set_request(o->request);
	log_info("build.start", LOG_S("build", job_id(j)),
		 LOG_S("image", o->image.name), LOG_S("tag", o->tag),
		 LOG_S("platform",
		       o->n_platforms > 1 ? "several" : o->platforms[0]->arch));
	r = build_run(&g->b, j, o, ret, &report, e);
	if (r == 0) {
		digest_text(&ret->digest, digest);
		atomic_fetch_add(&g->done, 1);
		log_info("build.done", LOG_S("build", job_id(j)),
			 LOG_S("image", o->image.name), LOG_S("digest", digest),
			 LOG_N("layers", report.n_layers),
			 LOG_N("ms", clock_ms() - start));
	} else {
		atomic_fetch_add(&g->failed, 1);
		log_failure(g, j, o, clock_ms() - start, report.again, e);
	}
	count_stages(g, job_id(j), &report.stages);
	log_set_request(NULL);
	return r;
}

/* --- lookups */

static const char *
tag_or_default(const char *tag)
{
	return tag && tag[0] ? tag : SOURCE_TAG_DEFAULT;
}

/* What every image has, and what a shell is made of, does not count. */
static int
check_size(const struct engine *g, const struct image *im, struct err *e)
{
	uint64_t max = g->b.config->max_packages;

	if (im->n_asked > max)
		return err_set(e, ERR_DENIED,
			       "the image name lists %zu packages, more than "
			       "the %llu that are allowed here",
			       im->n_asked, (unsigned long long)max);
	return 0;
}

/* Docker's form of what is there in OCI's; oci and ret may be the same. */
static int
find_docker(struct engine *g, const struct manifest_info *oci, bool *ret_found,
	    struct manifest_info *ret, struct err *e)
{
	const struct digest of = oci->digest;
	struct digest key;

	key_form("docker", &of, &key);
	if (cache_find_image(&g->b.cache, &key, CACHE_NEAR, ret_found, ret, e) <
	    0)
		return -1;
	ret->oci = of;
	return 0;
}

int
engine_find(struct engine *g, const struct image *image, const char *tag,
	    const struct manifest_accept *accept, bool *ret_found,
	    struct manifest_info *ret, struct err *e)
{
	const struct source *source = &g->b.config->source;
	const struct platform *p[CONFIG_PLATFORMS_MAX];
	size_t n = platforms_of(g, image, accept, p);
	struct digest keys[CONFIG_PLATFORMS_MAX], key;
	struct revision r;

	*ret_found = false;
	tag = tag_or_default(tag);
	if (check_size(g, image, e) < 0 ||
	    resolve_check_tag(source, tag, e) < 0 ||
	    build_find_revision(&g->b, tag, ret_found, &r, e) < 0)
		return -1;
	if (!*ret_found)
		return 0;
	for (size_t i = 0; i < n; i++)
		key_image(&g->b.settings, source, &r, p[i], image, &keys[i]);
	key = keys[0];
	if (n > 1)
		key_index(keys, n, g->b.config->skip_missing, &key);
	if (cache_find_image(&g->b.cache, &key, CACHE_NEAR, ret_found, ret, e) <
	    0)
		return -1;
	if (!*ret_found || !wants_docker(accept, n > 1))
		return 0;
	return find_docker(g, ret, ret_found, ret, e);
}

int
engine_choose_form(struct engine *g, const struct manifest_accept *accept,
		   const struct manifest_info *oci, struct manifest_info *ret,
		   struct err *e)
{
	struct manifest_info docker;
	bool found = false;

	if (wants_docker(accept, manifest_is_index(oci->media_type)) &&
	    find_docker(g, oci, &found, &docker, e) < 0)
		return -1;
	*ret = found ? docker : *oci;
	return 0;
}

int
engine_find_digest(struct engine *g, const struct digest *d,
		   struct manifest_info *ret, struct err *e)
{
	char text[DIGEST_TEXT_CAP];
	bool found;

	if (cache_find_manifest(&g->b.cache, d, false, &found, ret, e) < 0)
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
	return store_read(g->b.store, d, MANIFEST_MAX, to, e);
}

int
engine_index_missing(struct engine *g, const struct manifest_info *info,
		     struct buf *to, struct err *e)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	AUTO(buf) struct buf text = BUF_INIT;
	const struct digest *d = &info->digest;
	struct manifest_summary s;

	if (!manifest_is_index(info->media_type))
		return 0;
	/* Docker's list has no place for it. */
	if (strcmp(info->media_type, MEDIA_TYPE_DOCKER_LIST) == 0)
		d = &info->oci;
	if (engine_read_manifest(g, d, &text, e) < 0 ||
	    manifest_read(&a, text.p, text.len, &s, e) < 0)
		return -1;
	if (s.missing)
		buf_adds(to, s.missing);
	return 0;
}

int
engine_find_referrers(struct engine *g, const struct digest *subject,
		      bool *ret_found, struct manifest_info *ret, struct err *e)
{
	return cache_find_referrers(&g->b.cache, subject, false, ret_found, ret,
				    e);
}

int
engine_locate(struct engine *g, const struct digest *d,
	      struct store_location *ret, struct err *e)
{
	return store_locate(g->b.store, d, ret, e);
}

const char *
engine_delivery(const struct engine *g)
{
	return store_delivery_name(g->b.store);
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

	if (state_list_tags(g->b.state, image->name, last, max, a, &names, e) <
	    0)
		return -1;
	hand_over(&names, ret);
	return 0;
}

int
engine_list_images(struct engine *g, const char *last, size_t max,
		   struct arena *a, struct engine_names *ret, struct err *e)
{
	struct state_names names;

	if (state_list_images(g->b.state, last, max, a, &names, e) < 0)
		return -1;
	hand_over(&names, ret);
	return 0;
}

int
engine_start(struct engine *g, const struct image *image, const char *tag,
	     const struct manifest_accept *accept, struct job **ret,
	     struct err *e)
{
	struct order *o;
	struct digest key;

	tag = tag_or_default(tag);
	if (check_size(g, image, e) < 0 ||
	    resolve_check_tag(&g->b.config->source, tag, e) < 0)
		return -1;
	o = xcalloc(1, sizeof(*o));
	o->n_platforms = platforms_of(g, image, accept, o->platforms);
	o->tag = arena_strdup(&o->arena, tag);
	(void)snprintf(o->request, sizeof(o->request), "%s", log_request());
	/* The name says it all, and was read once already. */
	if (image_parse(&o->arena, image->name, &o->image, e) < 0) {
		order_free(o);
		return -1;
	}
	key_request(&o->image, tag, o->platforms, o->n_platforms, &key);
	return jobs_start(g->jobs, &key, o, ret, e);
}

int
engine_read_log(struct engine *g, const char *id, struct buf *to,
		bool *ret_running, struct err *e)
{
	if (g->b.logs)
		return buildlogs_read(g->b.logs, id, to, ret_running, e);
	return err_set(e, ERR_NOT_FOUND, "there is no log of a build %s", id);
}

void
engine_on_end(struct engine *g, void (*fn)(void *ctx), void *ctx)
{
	jobs_on_end(g->jobs, fn, ctx);
}

int
engine_check(struct engine *g, struct err *e)
{
	return build_check(&g->b, e);
}

void
engine_keep_quiet(struct engine *g)
{
	g->quiet = true;
}

static void
log_builders(const struct nix_builders *b)
{
	if (b->sandboxed)
		log_info("nix.sandbox", LOG_S("state", "on"));
	else
		log_warn("nix.sandbox", LOG_S("state", "off"),
			 LOG_S("builders", b->root ? "root" : "unprivileged"),
			 LOG_S("why_it_matters",
			       b->root ? "what is built runs as root on this "
					 "machine; set sandbox = true in "
					 "nix.conf"
				       : "what is built sees the files of "
					 "this machine; set sandbox = true in "
					 "nix.conf"));
}

static void *
probe(void *ctx)
{
	struct engine *g = ctx;
	struct nix_builders builders;
	struct err e = ERR_INIT;

	if (nix_probe(g->b.nix, &g->stop_probe, &builders, &e) == 0)
		log_builders(&builders);
	else if (e.kind != ERR_BUSY)
		log_err(LOG_WARN, "nix.sandbox", &e);
	return NULL;
}

void
engine_probe(struct engine *g)
{
	/* Where nothing is ever built, it does not matter. */
	if (g->b.config->substitutes_only || !build_has_nix(&g->b))
		return;
	g->probing = pthread_create(&g->probe, NULL, probe, g) == 0;
}

void
engine_stats(struct engine *g, struct engine_stats *ret)
{
	*ret = (struct engine_stats){
		.builds_done = atomic_load(&g->done),
		.builds_failed = atomic_load(&g->failed),
		.layers_packed = atomic_load(&g->b.assembler.packed),
		.layers_reused = atomic_load(&g->b.assembler.reused),
	};
	for (unsigned i = 0; i < STAGES; i++)
		ret->stage_us[i] = atomic_load(&g->stage_us[i]);
	if (build_has_nix(&g->b))
		ret->processes_started = nix_processes(g->b.nix);
	jobs_count(g->jobs, &ret->builds_running, &ret->builds_queued);
}

/* --- opening */

int
engine_open(const struct config *config, struct engine **ret, struct err *e)
{
	struct engine *g = xcalloc(1, sizeof(*g));

	if (builder_open(&g->b, config, e) < 0) {
		engine_free(g);
		return -1;
	}
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
	if (g->probing) {
		atomic_store(&g->stop_probe, true);
		(void)pthread_join(g->probe, NULL);
	}
	if (g->jobs) {
		jobs_stop(g->jobs);
		jobs_free(g->jobs);
	}
	builder_close(&g->b);
	free(g);
}
