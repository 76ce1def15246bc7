/* SPDX-License-Identifier: Apache-2.0 */
/* What builds are made of: how it is opened, and whether it is there. */
#include <string.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/build_impl.h"
#include "core/buildlog.h"
#include "core/config.h"
#include "core/failures.h"
#include "core/flight.h"
#include "core/forest.h"
#include "core/names.h"
#include "core/nix.h"
#include "core/pack/members.h"
#include "core/recent.h"
#include "core/resolve.h"
#include "core/state.h"
#include "core/store/store.h"
#include "core/sys/log.h"
#include "core/sys/proc.h"

/*
 * An image that was whole is taken to be so for a second: nginx keeps its
 * manifest as long anyway.
 */
#define WHOLE_MS 1000u

/*
 * Who asks again for what has failed to build is told so for a minute: it
 * would fail in the same way, and take a place among the builds for it. The
 * operator who has mended it waits as long.
 */
#define FAILURE_MS 60000u
#define FAILURES 256u

int
build_open_store(const struct config *c, struct store **ret, struct err *e)
{
	static const enum store_delivery deliveries[] = {
		[BLOB_AUTO] = STORE_DELIVERY_AUTO,
		[BLOB_REDIRECT] = STORE_DELIVERY_REDIRECT,
		[BLOB_PROXY] = STORE_DELIVERY_PROXY,
	};
	AUTO(buf) struct buf spool = BUF_INIT;
	struct store_options o = {
		.backend = c->storage_backend,
		.path = c->storage_path,
		.ca_file = c->storage_ca_file,
		.delivery = deliveries[c->blob_delivery],
		.url_ttl_s = c->blob_url_ttl_s,
		.recheck_s = c->blob_recheck_s,
		.timeout_ms = c->storage_timeout_s * 1000,
		.s3 = {.bucket = c->s3_bucket,
		       .endpoint = c->s3_endpoint,
		       .public_endpoint = c->s3_public_endpoint,
		       .region = c->s3_region,
		       .key_id = c->s3_key_id,
		       .secret = c->s3_secret,
		       .token = c->s3_token,
		       .keys = {.file = c->s3_keys_file,
				.profile = c->s3_profile,
				.role = c->s3_role,
				.web_token_file = c->s3_web_token_file,
				.sts_url = c->s3_sts_endpoint,
				.container_path = c->s3_container_path,
				.container_url = c->s3_container_url,
				.container_token_file =
					c->s3_container_token_file,
				.instance_url = c->s3_instance_endpoint}},
		.gcs = {.bucket = c->gcs_bucket,
			.endpoint = c->gcs_endpoint,
			.credentials = c->gcs_credentials,
			.metadata_host = c->gcs_metadata_host},
	};

	if (strcmp(c->storage_backend, "filesystem") != 0)
		proc_guard_memory();
	buf_printf(&spool, "%s/spool", c->state_path);
	o.spool = spool.p;
	return store_open(&o, ret, e);
}

void
build_nix_options(const struct config *c, struct nix_options *ret)
{
	*ret = (struct nix_options){
		.expressions = c->nix_dir,
		.state_path = c->state_path,
		.timeout_s = c->nix_timeout_s,
		.eval_timeout_s = c->eval_timeout_s,
		.offline = c->offline,
		.build_timeout_s = c->build_timeout_s,
		.eval_memory = c->eval_memory,
		.max_closure_size = c->max_closure_size,
		.max_closure_paths = c->max_closure_paths,
		.substitutes_only = c->substitutes_only,
		.allow_unfree = c->allow_unfree,
		.allow_insecure = c->allow_insecure,
		.allow_broken = c->allow_broken,
		.allow = c->allow.v,
		.n_allow = c->allow.n,
		.deny = c->deny.v,
		.n_deny = c->deny.n,
		.overlays = c->overlays.v,
		.n_overlays = c->overlays.n,
		.allowed_uris = c->allowed_uris,
	};
}

int
build_open_nix(struct builder *g, struct err *e)
{
	const struct config *c = g->config;
	struct nix_options o;
	int r = 0;

	build_nix_options(c, &o);
	(void)pthread_mutex_lock(&g->nix_lock);
	if (!g->nix)
		r = nix_open(&o, &g->nix, e);
	(void)pthread_mutex_unlock(&g->nix_lock);
	return r;
}

bool
build_has_nix(struct builder *g)
{
	bool there;

	(void)pthread_mutex_lock(&g->nix_lock);
	there = g->nix != NULL;
	(void)pthread_mutex_unlock(&g->nix_lock);
	return there;
}

struct resolve_options
build_resolve_options(const struct config *c)
{
	return (struct resolve_options){
		.channel_url = c->source.channel_url,
		.state_path = c->state_path,
		.found_commits_only = !c->channel_commits,
		.offline = c->offline,
	};
}

/*
 * Is the package source there: on this machine, at a look; elsewhere, as far as
 * the last minute's builds tell?
 */
static int
check_source(struct builder *g, struct err *e)
{
	const struct resolve_options o = build_resolve_options(g->config);

	if (resolve_check_source(&g->config->source, &o, e) == 0 &&
	    !failures_find(g->source_failures, &BUILD_SOURCE_KEY, e))
		return 0;
	return err_wrap(e, "package source");
}

int
build_check(struct builder *g, struct err *e)
{
	if (store_check(g->store, e) < 0)
		return str_has_prefix(e->msg, "storage: ")
			       ? -1
			       : err_wrap(e, "storage");
	if (state_check(g->state, e) < 0 || build_open_nix(g, e) < 0 ||
	    nix_check(g->nix, e) < 0)
		return -1;
	return check_source(g, e);
}

/* --- all of it */

/*
 * Without Nix or the package source, what was built can still be served, here
 * or by another replica: builds and /readyz say what is missing, and look
 * again.
 */
static int
open_parts(struct builder *g, struct err *e)
{
	const struct config *c = g->config;
	struct err no_nix = ERR_INIT, no_source = ERR_INIT;

	if (build_open_store(c, &g->store, e) < 0)
		return -1;
	if (state_open(c->state_path, &g->state, e) < 0)
		return -1;
	names_restore(g->state, g->store);
	if (build_open_nix(g, &no_nix) < 0)
		log_err(LOG_ERROR, "nix.missing", &no_nix);
	if (check_source(g, &no_source) < 0)
		log_err(LOG_ERROR, "source.missing", &no_source);
	return 0;
}

/* A build does not need them. */
static void
open_logs(struct builder *g)
{
	AUTO(buf) struct buf dir = BUF_INIT;
	struct err e = ERR_INIT;

	buf_printf(&dir, "%s/builds", g->config->state_path);
	if (buildlogs_open(dir.p, &g->logs, &e) < 0)
		log_err(LOG_WARN, "buildlog.none", &e);
}

/* Packed blocks are kept only where the operator gives them room. */
static void
open_members(struct builder *g)
{
	const struct config *c = g->config;
	AUTO(buf) struct buf dir = BUF_INIT;
	struct err e = ERR_INIT;

	if (c->member_cache == 0)
		return;
	buf_printf(&dir, "%s/members", c->state_path);
	if (members_open(dir.p, c->member_cache, &g->members, &e) < 0)
		log_err(LOG_WARN, "members.none", &e);
	else
		pack_pool_use_members(g->assembler.pool, g->members);
}

static struct key_policy
policy_of(const struct config *c)
{
	return (struct key_policy){
		.allow = c->allow.v,
		.n_allow = c->allow.n,
		.deny = c->deny.v,
		.n_deny = c->deny.n,
		.allow_unfree = c->allow_unfree,
		.allow_insecure = c->allow_insecure,
		.allow_broken = c->allow_broken,
		.max_closure_size = c->max_closure_size,
		.max_closure_paths = c->max_closure_paths,
	};
}

int
builder_open(struct builder *g, const struct config *config, struct err *e)
{
	g->config = config;
	(void)pthread_mutex_init(&g->nix_lock, NULL);
	g->resolving = flights_new();
	g->failures = failures_new(FAILURES, FAILURE_MS);
	g->source_failures = failures_new(1, FAILURE_MS);
	if (open_parts(g, e) < 0)
		return -1;
	if (config->popularity_url)
		counts_load(config->popularity_url, config->state_path,
			    &g->counts);
	pack_id(&config->compression, g->pack_id);
	g->settings = (struct key_settings){
		.algorithm = config->layer_algorithm,
		.budget = config->layer_budget,
		.forest_format = FOREST_FORMAT,
		.pack_id = g->pack_id,
		.popularity_id = g->counts.popularity ? g->counts.id : NULL,
		.policy = policy_of(config),
	};
	g->cache = (struct cache){
		.state = g->state,
		.store = g->store,
		.whole = recent_new(WHOLE_MS),
		.sound = recent_new(WHOLE_MS),
	};
	g->patient = g->cache;
	g->patient.store = store_for_build(g->store);
	g->assembler.cache = &g->patient;
	g->assembler.flights = flights_new();
	g->assembler.pool = pack_pool_new((unsigned)config->pack_threads,
					  &config->compression);
	open_members(g);
	open_logs(g);
	g->assembler.threads = (unsigned)config->pack_threads;
	return 0;
}

void
builder_close(struct builder *g)
{
	if (g->assembler.pool)
		pack_pool_free(g->assembler.pool);
	members_free(g->members);
	buildlogs_free(g->logs);
	counts_release(&g->counts);
	flights_free(g->assembler.flights);
	flights_free(g->resolving);
	failures_free(g->failures);
	failures_free(g->source_failures);
	nix_free(g->nix);
	recent_free(g->cache.whole);
	recent_free(g->cache.sound);
	state_free(g->state);
	store_free(g->store);
	(void)pthread_mutex_destroy(&g->nix_lock);
}
