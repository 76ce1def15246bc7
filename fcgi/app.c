/* SPDX-License-Identifier: Apache-2.0 */
#include "fcgi/app.h"

#include <string.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/engine.h"
#include "core/sys/log.h"
#include "fcgi/attached.h"
#include "fcgi/lists.h"
#include "fcgi/registry.h"
#include "fcgi/site.h"

#define LOGGED_MAX 512u

/*
 * The routes. All take GET and HEAD, which differ only in that the body is
 * not sent. level is that of the line in the log.
 */
static const struct {
	app_handler *serve;
	enum log_level level;
} routes[ROUTE_KINDS] = {
	[ROUTE_NONE] = {site_none, LOG_INFO},
	[ROUTE_V2_NONE] = {registry_none, LOG_INFO},
	[ROUTE_BASE] = {registry_base, LOG_DEBUG},
	[ROUTE_MANIFEST] = {registry_manifest, LOG_INFO},
	[ROUTE_BLOB] = {registry_blob, LOG_DEBUG},
	[ROUTE_TAGS] = {lists_tags, LOG_INFO},
	[ROUTE_REFERRERS] = {attached_list, LOG_INFO},
	[ROUTE_CATALOG] = {lists_catalog, LOG_INFO},
	[ROUTE_HEALTH] = {site_health, LOG_DEBUG},
	[ROUTE_READY] = {site_ready, LOG_DEBUG},
	[ROUTE_METRICS] = {site_metrics, LOG_DEBUG},
	[ROUTE_INDEX] = {site_index, LOG_INFO},
	[ROUTE_BUILD] = {site_build, LOG_INFO},
};

static const enum fault part_faults[] = {
	[ROUTE_PART_URI] = FAULT_REQUEST,
	[ROUTE_PART_NAME] = FAULT_NAME,
	[ROUTE_PART_TAG] = FAULT_TAG,
	[ROUTE_PART_DIGEST] = FAULT_DIGEST,
};

void
app_init(struct app *a, struct engine *engine, const struct config *config)
{
	memset(a, 0, sizeof(*a));
	a->engine = engine;
	a->config = config;
	memcpy(a->ready_part, "starting", sizeof("starting"));
	(void)pthread_mutex_init(&a->ready_lock, NULL);
}

void
app_release(struct app *a)
{
	(void)pthread_mutex_destroy(&a->ready_lock);
}

bool
app_fail(struct exchange *x, const struct err *e, enum fault invalid,
	 enum fault missing)
{
	enum fault f = fault_of(e, invalid, missing);

	if (fault_is_ours(f))
		log_err(LOG_ERROR, "http.failed", e);
	response_fault(&x->response, f, e);
	return true;
}

/* What can be said without a handler; false when it is a handler's. */
static bool
refuse(struct exchange *x)
{
	struct err e = ERR_INIT;
	enum route_part part;

	if (x->malformed) {
		(void)err_set(&e, ERR_INVALID, "%s", x->malformed);
		response_fault(&x->response, FAULT_REQUEST, &e);
		return true;
	}
	if (x->request.method == METHOD_OTHER) {
		response_fault(&x->response, FAULT_METHOD, NULL);
		return true;
	}
	if (route_parse(&x->arena, x->request.uri, &x->route, &part, &e) < 0) {
		response_fault(&x->response, part_faults[part], &e);
		return true;
	}
	return false;
}

static bool
app_serve(void *ctx, struct exchange *x, enum wake why)
{
	struct app *a = ctx;
	bool answered = why == WAKE_NEW && refuse(x);

	if (!answered)
		answered = routes[x->route.kind].serve(a, x, why);
	if (!answered)
		return false;
	if (str_has_prefix(x->request.uri, "/v2"))
		response_header(&x->response, "Docker-Distribution-Api-Version",
				"registry/2.0");
	response_header(&x->response, "X-Content-Type-Options", "nosniff");
	return true;
}

static bool
app_ready(void *ctx, struct exchange *x)
{
	struct manifest_info info;
	struct err e = ERR_INIT;

	(void)ctx;
	return job_poll(x->job, &info, &e) != JOB_RUNNING;
}

static void
count(struct app *a, const struct exchange *x, uint64_t ms, size_t bytes)
{
	unsigned status = x->response.status;

	if (status < APP_STATUS_MAX)
		atomic_fetch_add(&a->counts.requests[x->route.kind][status], 1);
	atomic_fetch_add(&a->counts.ms[x->route.kind], ms);
	atomic_fetch_add(&a->counts.bytes[x->route.kind], bytes);
}

static void
app_end(void *ctx, struct exchange *x, bool answered, size_t bytes)
{
	const struct request *r = &x->request;
	enum log_level level = routes[x->route.kind].level;
	uint64_t ms = exchange_now_ms() - x->start_ms;

	if (x->job)
		job_release(x->job);
	x->job = NULL;
	if (x->response.status)
		count(ctx, x, ms, bytes);
	if (!log_enabled(level))
		return;
	log_at(level, answered ? "http.request" : "http.left",
	       LOG_S("method", r->method_name),
	       LOG_S("uri", arena_strndup(&x->arena, r->uri,
					  strnlen(r->uri, LOGGED_MAX))),
	       LOG_S("route", route_kind_name(x->route.kind)),
	       LOG_N("status", x->response.status), LOG_N("bytes", bytes),
	       LOG_N("ms", ms), LOG_S("remote", r->remote),
	       LOG_S("agent",
		     arena_strndup(&x->arena, r->user_agent,
				   strnlen(r->user_agent, LOGGED_MAX))));
}

struct server_app
app_ops(struct app *a)
{
	return (struct server_app){
		.ctx = a,
		.serve = app_serve,
		.ready = app_ready,
		.end = app_end,
	};
}
