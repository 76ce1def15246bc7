/* SPDX-License-Identifier: Apache-2.0 */
#include "fcgi/site.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/json.h"
#include "core/engine.h"
#include "core/stages.h"
#include "core/sys/log.h"

/* A check may start Nix; who asks more often gets the last one's result. */
#define READY_FOR_MS 5000u
/* How often a browser looks again at the page of a build that runs. */
#define REFRESH_S 2u

bool
site_none(struct app *a, struct exchange *x, enum wake why)
{
	(void)a;
	(void)why;
	response_fault(&x->response, FAULT_NO_ROUTE, NULL);
	return true;
}

bool
site_health(struct app *a, struct exchange *x, enum wake why)
{
	(void)a;
	(void)why;
	response_start_json(&x->response, "application/json");
	response_header(&x->response, "Cache-Control", "no-store");
	buf_adds(&x->response.body, "{\"status\":\"ok\"}\n");
	return true;
}

/*
 * Look anew when it is time. The look is outside the lock: who asks
 * meanwhile gets the last result and does not wait.
 */
static void
look(struct app *a)
{
	struct err e = ERR_INIT;
	uint64_t now = exchange_now_ms();
	bool due, ready;

	(void)pthread_mutex_lock(&a->ready_lock);
	due = a->ready_at_ms == 0 || now - a->ready_at_ms > READY_FOR_MS;
	if (due)
		a->ready_at_ms = now;
	(void)pthread_mutex_unlock(&a->ready_lock);
	if (!due)
		return;
	ready = engine_check(a->engine, &e) == 0;
	if (!ready)
		log_err(LOG_WARN, "not_ready", &e);
	(void)pthread_mutex_lock(&a->ready_lock);
	a->ready = ready;
	/* Before the first colon is which part it is; the rest is the log's. */
	(void)snprintf(a->ready_part, sizeof(a->ready_part), "%.*s",
		       (int)strcspn(e.msg, ":"), e.msg);
	(void)pthread_mutex_unlock(&a->ready_lock);
}

bool
site_ready(struct app *a, struct exchange *x, enum wake why)
{
	AUTO(json_out) struct json_out o = {.gen = NULL};
	char part[sizeof(a->ready_part)];
	struct response *r = &x->response;
	bool ready;

	(void)why;
	look(a);
	(void)pthread_mutex_lock(&a->ready_lock);
	ready = a->ready;
	memcpy(part, a->ready_part, sizeof(part));
	(void)pthread_mutex_unlock(&a->ready_lock);
	response_start(r, ready ? 200 : 503);
	json_out_init(&o, &r->body);
	json_object(&o);
	json_kstr(&o, "status", ready ? "ok" : "unavailable");
	if (!ready)
		json_kstr(&o, "part", part);
	json_object_end(&o);
	buf_addc(&r->body, '\n');
	response_header(r, "Content-Type", "application/json");
	response_header(r, "Cache-Control", "no-store");
	return true;
}

static void
metric(struct buf *to, const char *name, const char *type, const char *help,
       uint64_t v)
{
	buf_printf(to,
		   "# HELP firn_%s %s\n# TYPE firn_%s %s\nfirn_%s %" PRIu64
		   "\n",
		   name, help, name, type, name, v);
}

static void
engine_metrics(struct app *a, struct buf *to)
{
	struct engine_stats s;

	engine_stats(a->engine, &s);
	metric(to, "builds_running", "gauge", "Images being built.",
	       s.builds_running);
	metric(to, "builds_queued", "gauge", "Images waiting for a slot.",
	       s.builds_queued);
	metric(to, "builds_done_total", "counter", "Images built.",
	       s.builds_done);
	metric(to, "builds_failed_total", "counter", "Builds that failed.",
	       s.builds_failed);
	metric(to, "layers_packed_total", "counter", "Layers packed.",
	       s.layers_packed);
	metric(to, "layers_reused_total", "counter",
	       "Layers that were there already.", s.layers_reused);
	metric(to, "processes_started_total", "counter",
	       "Nix processes started.", s.processes_started);
	buf_adds(to, "# HELP firn_build_seconds_total Time of builds, by "
		     "stage.\n# TYPE firn_build_seconds_total counter\n");
	for (unsigned i = 0; i < STAGES; i++)
		buf_printf(to,
			   "firn_build_seconds_total{stage=\"%s\"} %" PRIu64
			   ".%06u\n",
			   stage_name(i), s.stage_us[i] / 1000000,
			   (unsigned)(s.stage_us[i] % 1000000));
}

static void
server_metrics(struct app *a, struct buf *to)
{
	struct server *server = atomic_load(&a->server);
	struct server_stats s = {.connections = 0};

	if (server)
		server_stats(server, &s);
	metric(to, "connections", "gauge", "FastCGI connections open.",
	       s.connections);
	metric(to, "connections_total", "counter",
	       "FastCGI connections accepted.", s.accepted);
	metric(to, "waiters", "gauge", "Requests that wait for a build.",
	       s.parked);
	metric(to, "waiters_left_total", "counter",
	       "Clients that left while waiting.", s.left);
}

static void
request_metrics(struct app *a, struct buf *to)
{
	buf_adds(to, "# HELP firn_http_requests_total Requests answered.\n"
		     "# TYPE firn_http_requests_total counter\n");
	for (unsigned k = 0; k < ROUTE_KINDS; k++)
		for (unsigned s = 0; s < APP_STATUS_MAX; s++) {
			uint64_t n = atomic_load(&a->counts.requests[k][s]);

			if (n > 0)
				buf_printf(to,
					   "firn_http_requests_total{route="
					   "\"%s\",status=\"%u\"} %" PRIu64
					   "\n",
					   route_kind_name(k), s, n);
		}
	buf_adds(to, "# HELP firn_http_seconds_total Time from requests to "
		     "answers, waiting included.\n"
		     "# TYPE firn_http_seconds_total counter\n");
	for (unsigned k = 0; k < ROUTE_KINDS; k++) {
		uint64_t ms = atomic_load(&a->counts.ms[k]);

		buf_printf(to,
			   "firn_http_seconds_total{route=\"%s\"} %" PRIu64
			   ".%03u\n",
			   route_kind_name(k), ms / 1000,
			   (unsigned)(ms % 1000));
	}
	buf_adds(to, "# HELP firn_http_bytes_total Bytes of answers; blobs "
		     "are sent by the web server.\n"
		     "# TYPE firn_http_bytes_total counter\n");
	for (unsigned k = 0; k < ROUTE_KINDS; k++)
		buf_printf(to,
			   "firn_http_bytes_total{route=\"%s\"} %" PRIu64 "\n",
			   route_kind_name(k),
			   (uint64_t)atomic_load(&a->counts.bytes[k]));
}

bool
site_metrics(struct app *a, struct exchange *x, enum wake why)
{
	struct response *r = &x->response;

	(void)why;
	response_start(r, 200);
	response_header(r, "Content-Type",
			"text/plain; version=0.0.4; charset=utf-8");
	response_header(r, "Cache-Control", "no-store");
	buf_adds(&r->body, "# HELP firn_info What runs.\n"
			   "# TYPE firn_info gauge\n"
			   "firn_info{version=\"" FIRN_VERSION "\"} 1\n");
	engine_metrics(a, &r->body);
	server_metrics(a, &r->body);
	request_metrics(a, &r->body);
	return true;
}

/*
 * What a build said, as plain text: none of it is ours to trust, and no
 * browser looks for markup in it (X-Content-Type-Options is app.c's).
 */
bool
site_build(struct app *a, struct exchange *x, enum wake why)
{
	struct response *r = &x->response;
	AUTO(buf) struct buf text = BUF_INIT;
	struct err e = ERR_INIT;
	bool running;

	(void)why;
	if (engine_read_log(a->engine, x->route.build, &text, &running, &e) < 0)
		return app_fail(x, &e, FAULT_REQUEST, FAULT_NO_BUILD);
	response_start(r, 200);
	response_header(r, "Content-Type", "text/plain; charset=utf-8");
	response_header(r, "Cache-Control", "no-store");
	response_header(r, "Content-Security-Policy",
			"default-src 'none'; sandbox; frame-ancestors 'none'");
	if (running)
		response_header(r, "Refresh", "%u", REFRESH_S);
	buf_add(&r->body, text.p, text.len);
	if (running)
		buf_adds(&r->body, "== it is still running\n");
	return true;
}

static const char page_head[] =
	"<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
	"<meta name=\"viewport\" content=\"width=device-width\">\n"
	"<title>Firn</title>\n"
	"<style>\n"
	"body{font:16px/1.5 system-ui,sans-serif;max-width:42em;"
	"margin:3em auto;padding:0 1em;color:#1d2a33}\n"
	"pre{background:#eef3f6;padding:.8em 1em;overflow:auto}\n"
	"code{font-family:ui-monospace,monospace}\n"
	"@media(prefers-color-scheme:dark){body{background:#14191d;"
	"color:#d5dee4}pre{background:#20282e}}\n"
	"</style>\n"
	"<h1>Firn</h1>\n"
	"<p>A container registry that makes images when they are asked for. "
	"The name of an image is the list of packages in it:</p>\n";

static const char page_tail[] =
	"<ul>\n"
	"<li><code>shell</code> in front adds bash and the usual commands.\n"
	"<li><code>arm64</code> or <code>amd64</code> in front chooses the "
	"platform.\n"
	"<li>The order of packages does not matter; nested ones are written "
	"with dots.\n"
	"</ul>\n"
	"<p>The first pull of an image may take a while, since it is built "
	"then.</p>\n";

/* The host that the client asked for, when it can stand in a command. */
static const char *
shown_host(const struct request *r)
{
	size_t n = strspn(r->host, "abcdefghijklmnopqrstuvwxyz"
				   "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "0123456789.-:[]");

	return n > 0 && n <= 255 && r->host[n] == '\0' ? r->host : "HOST";
}

bool
site_index(struct app *a, struct exchange *x, enum wake why)
{
	struct response *r = &x->response;
	const char *host = shown_host(&x->request);

	(void)a;
	(void)why;
	response_start(r, 200);
	response_header(r, "Content-Type", "text/html; charset=utf-8");
	response_header(r, "Cache-Control", "no-cache");
	response_header(r, "Content-Security-Policy",
			"default-src 'none'; style-src 'unsafe-inline'; "
			"frame-ancestors 'none'");
	buf_adds(&r->body, page_head);
	buf_printf(&r->body,
		   "<pre><code>docker pull %s/shell/git/htop\n"
		   "podman run -it %s/shell/git/htop</code></pre>\n",
		   host, host);
	buf_adds(&r->body, page_tail);
	return true;
}
