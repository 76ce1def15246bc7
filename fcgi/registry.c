/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a request waits for a build. Clients have little patience, each in its
 * own way: containerd 2.3 gives up 30 seconds after asking, its CRI plugin
 * five minutes after the last byte of a body; others wait for ever, but only
 * without an error. What all of them follow is a redirect, and each starts
 * their clocks anew. So a request is held for FIRN_HOLD seconds, then sent
 * to itself with one hop more (?w=N), FIRN_HOPS times at most: Go's HTTP
 * client, under most of these programs, stops at the tenth redirect. The last
 * of these hops is kept for when we end, so that who has waited long loses
 * nothing by a restart. The one before it is the last hold, and lasts
 * FIRN_FINAL_HOLD seconds, but for containerd, which would not wait that
 * long: it gets 429, whereupon it asks again from the start.
 * Its HEAD gets 405 after the first hold, since it then asks with GET, and
 * only a redirect that has a body counts for the CRI plugin's clock.
 *
 * A build that ends within the first hold never shows any of this.
 */
#include "fcgi/registry.h"

#include <inttypes.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/digest.h"
#include "core/base/err.h"
#include "core/config.h"
#include "core/engine.h"
#include "core/model/image.h"
#include "core/store/store.h"
#include "core/sys/log.h"
#include "fcgi/accept.h"

#define FOREVER "max-age=31536000, immutable"
#define INDEX_TYPE "application/vnd.oci.image.index.v1+json"
#define MANIFEST_TYPE "application/vnd.oci.image.manifest.v1+json"

/* Where the web server finds what storage calls a file (nginx/blobs.conf). */
#define INTERNAL "/_firn/"

bool
registry_base(struct app *a, struct exchange *x, enum wake why)
{
	(void)a;
	(void)why;
	response_start_json(&x->response, "application/json");
	buf_adds(&x->response.body, "{}");
	return true;
}

bool
registry_none(struct app *a, struct exchange *x, enum wake why)
{
	(void)a;
	(void)why;
	response_fault(&x->response, FAULT_NO_ROUTE, NULL);
	return true;
}

static bool
is_get(const struct exchange *x)
{
	return x->request.method == METHOD_GET;
}

static bool
fail_with(struct exchange *x, enum fault f, const char *text)
{
	struct err e = ERR_INIT;

	(void)err_set(&e, ERR_NOT_FOUND, "%s", text);
	response_fault(&x->response, f, &e);
	return true;
}

/* The client has it already. */
static bool
not_modified(struct exchange *x, const struct digest *d)
{
	if (!response_etag_matches(x->request.if_none_match, d))
		return false;
	response_start(&x->response, 304);
	response_digest(&x->response, d);
	return true;
}

/* What an index says of platforms that are not in it, for a person to see. */
static void
warn_of_missing(struct app *a, struct exchange *x,
		const struct manifest_info *info)
{
	AUTO(buf) struct buf missing = BUF_INIT;
	struct err e = ERR_INIT;

	if (engine_index_missing(a->engine, info, &missing, &e) < 0)
		log_err(LOG_WARN, "http.no_warning", &e);
	else if (missing.len > 0)
		response_warning(&x->response, missing.p);
}

/*
 * May the web server keep the answer for a second (nginx/manifests.conf)? It
 * knows of a client's Accept headers the first only (nginx before 1.23),
 * so the answer must be the one for whatever else the client may accept:
 * OCI's form is preferred to Docker's, and an index, where there is one, to
 * a manifest; what else there is, is known when the client asked for it.
 */
static void
allow_keeping(struct exchange *x, const struct manifest_info *info)
{
	struct manifest_accept all, first;
	bool keep = true;

	accept_read(x->request.accept, &all);
	accept_read(x->request.accept_first, &first);
	if (x->route.tag && strcmp(info->media_type, INDEX_TYPE) == 0)
		keep = first.oci_index;
	else if (x->route.tag)
		keep = strcmp(info->media_type, MANIFEST_TYPE) == 0 &&
		       first.oci_manifest && all.oci_index;
	if (keep)
		response_header(&x->response, "X-Accel-Expires", "1");
}

/* False: it was there a moment ago, but damaged, and is gone. */
static bool
try_manifest(struct app *a, struct exchange *x,
	     const struct manifest_info *info, struct err *e)
{
	const char *cache = x->route.tag ? "no-cache" : FOREVER;
	struct response *r = &x->response;

	if (!not_modified(x, &info->digest)) {
		response_start_json(r, info->media_type);
		response_digest(r, &info->digest);
		if (is_get(x) && engine_read_manifest(a->engine, &info->digest,
						      &r->body, e) < 0)
			return e->kind != ERR_NOT_FOUND &&
			       app_fail(x, e, FAULT_SYSTEM, FAULT_SYSTEM);
		r->has_size = !is_get(x);
		r->size = info->size;
		if (x->route.tag)
			warn_of_missing(a, x, info);
	}
	response_header(r, "Cache-Control", "%s", cache);
	if (*x->request.wait_at)
		allow_keeping(x, info);
	if (is_get(x))
		response_range(r, x->request.range, x->request.if_range,
			       &info->digest);
	return true;
}

static bool
send_manifest(struct app *a, struct exchange *x,
	      const struct manifest_info *info)
{
	struct err e = ERR_INIT;

	return try_manifest(a, x, info, &e) ||
	       app_fail(x, &e, FAULT_SYSTEM, FAULT_NO_MANIFEST);
}

static bool
is_containerd(const struct exchange *x)
{
	return strstr(x->request.user_agent, "containerd") != NULL;
}

/* May it be sent on when its time is up? Once more when we end. */
static bool
may_hop(const struct app *a, const struct exchange *x, enum wake why)
{
	uint64_t kept = why == WAKE_SHUTDOWN ? 0 : 1;

	return x->route.query.w + kept < a->config->hops;
}

static void
set_deadline(const struct app *a, struct exchange *x)
{
	uint64_t hold = a->config->hold_s;

	if (!may_hop(a, x, WAKE_DEADLINE) && !is_containerd(x))
		hold = a->config->final_hold_s;
	x->deadline_ms = exchange_now_ms() + hold * 1000;
}

/* Send the client to where it is. */
static bool
hop(const struct app *a, struct exchange *x)
{
	struct response *r = &x->response;

	response_start(r, 307);
	response_header(r, "Location", "%s",
			route_hop(&x->arena, &x->route, x->route.query.w + 1));
	response_header(r, "Content-Type", "text/plain");
	response_header(r, "Cache-Control", "no-store");
	buf_adds(&r->body, "image is being built: ");
	job_progress(x->job, &r->body);
	buf_addc(&r->body, '\n');
	if (a->config->public_url)
		buf_printf(&r->body, "log: %s/builds/%s\n",
			   a->config->public_url, job_id(x->job));
	return true;
}

/* The build runs still, and the request may not wait longer. */
static bool
wait_is_over(const struct app *a, struct exchange *x, enum wake why)
{
	struct response *r = &x->response;
	enum fault f;

	if (why == WAKE_FULL)
		return fail_with(x, FAULT_BUSY,
				 "too many pulls wait for builds; the build "
				 "goes on, retry");
	if (why != WAKE_SHUTDOWN && is_containerd(x) && !is_get(x))
		f = FAULT_HEAD_BUILDING;
	else if (may_hop(a, x, why))
		return hop(a, x);
	else if (why == WAKE_SHUTDOWN || is_containerd(x))
		f = FAULT_STILL_BUILDING;
	else
		f = FAULT_NOT_BUILT_YET;
	response_fault(r, f, NULL);
	return true;
}

/*
 * The image can't be had. Of a 404 containerd, also under Docker and the
 * kubelet, says "not found" and no more; of another 4xx it shows the reason
 * phrase. But where we stand nearby for another registry (?ns=), a 404 leaves
 * the last word to that one. oras shows the warning, which the others would
 * show beside what they print already.
 */
static bool
fail_image(struct exchange *x, const struct err *e)
{
	bool by_reason = is_containerd(x) && !x->route.query.ns;

	(void)app_fail(x, e, FAULT_NAME,
		       by_reason ? FAULT_BUILD : FAULT_NO_MANIFEST);
	if (x->response.status == 404 &&
	    str_has_prefix(x->request.user_agent, "oras/"))
		response_warning(&x->response, e->msg);
	return true;
}

/* The build has made every form: the one that this client takes. */
static bool
send_built(struct app *a, struct exchange *x, const struct manifest_info *made)
{
	struct manifest_accept accept;
	struct manifest_info chosen;
	struct err e = ERR_INIT;

	accept_read(x->request.accept, &accept);
	if (engine_choose_form(a->engine, &accept, made, &chosen, &e) < 0)
		return app_fail(x, &e, FAULT_SYSTEM, FAULT_SYSTEM);
	return send_manifest(a, x, &chosen);
}

/* Answer with the job's end, or park until then. */
static bool
follow_job(struct app *a, struct exchange *x, enum wake why)
{
	struct manifest_info info;
	struct err e = ERR_INIT;

	switch (job_poll(x->job, &info, &e)) {
	case JOB_DONE:
		return send_built(a, x, &info);
	case JOB_FAILED:
		return fail_image(x, &e);
	case JOB_RUNNING:
		break;
	}
	if (why != WAKE_NEW)
		return wait_is_over(a, x, why);
	set_deadline(a, x);
	return false;
}

/* The web server asks again there, where it keeps nothing. */
static bool
send_to_wait(struct exchange *x)
{
	response_start(&x->response, 200);
	response_header(&x->response, "X-Accel-Redirect", "%s",
			x->request.wait_at);
	x->response.no_size = true;
	return true;
}

/*
 * For clients that know no referrers: the same index under a tag (OCI
 * distribution specification 1.1, "Referrers Tag Schema").
 */
static bool
attached_by_tag(struct app *a, struct exchange *x)
{
	struct manifest_info info;
	struct err e = ERR_INIT;
	struct digest subject;
	bool found = false;

	if (route_tag_subject(x->route.tag, &subject) &&
	    engine_find_referrers(a->engine, &subject, &found, &info, &e) < 0)
		return app_fail(x, &e, FAULT_TAG, FAULT_NO_MANIFEST);
	if (found)
		return send_manifest(a, x, &info);
	return fail_with(x, FAULT_NO_MANIFEST,
			 "nothing is attached to this image");
}

static bool
manifest_by_tag(struct app *a, struct exchange *x, enum wake why)
{
	struct manifest_accept accept;
	struct manifest_info info;
	struct err e = ERR_INIT;
	struct image image;
	bool found;

	if (x->job)
		return follow_job(a, x, why);
	if (route_tag_is_probe(x->route.tag))
		return attached_by_tag(a, x);
	accept_read(x->request.accept, &accept);
	if (image_parse(&x->arena, x->route.name, &image, &e) < 0 ||
	    engine_find(a->engine, &image, x->route.tag, &accept, &found, &info,
			&e) < 0)
		return fail_image(x, &e);
	if (found && try_manifest(a, x, &info, &e))
		return true;
	err_clear(&e);
	if (*x->request.wait_at)
		return send_to_wait(x);
	if (engine_start(a->engine, &image, x->route.tag, &accept, &x->job,
			 &e) < 0)
		return fail_image(x, &e);
	return follow_job(a, x, why);
}

static bool
manifest_by_digest(struct app *a, struct exchange *x)
{
	struct manifest_info info;
	struct err e = ERR_INIT;

	if (x->route.digest_kind != ROUTE_DIGEST_SHA256)
		return fail_with(x, FAULT_NO_MANIFEST, "no such manifest");
	if (engine_find_digest(a->engine, &x->route.digest, &info, &e) < 0)
		return app_fail(x, &e, FAULT_DIGEST, FAULT_NO_MANIFEST);
	return send_manifest(a, x, &info);
}

bool
registry_manifest(struct app *a, struct exchange *x, enum wake why)
{
	if (x->route.digest_kind == ROUTE_DIGEST_NONE)
		return manifest_by_tag(a, x, why);
	return manifest_by_digest(a, x);
}

/*
 * A blob never passes through us: the web server sends the file or fetches
 * it from the cloud (nginx/proxy.conf), or the client goes there. A HEAD for
 * what is in a cloud is ours, since a signed URL is good for one method only.
 */
bool
registry_blob(struct app *a, struct exchange *x, enum wake why)
{
	struct response *r = &x->response;
	struct store_location at;
	char hex[DIGEST_HEX_CAP];
	struct err e = ERR_INIT;

	(void)why;
	if (x->route.digest_kind != ROUTE_DIGEST_SHA256)
		return fail_with(x, FAULT_NO_BLOB, "no such blob");
	if (engine_locate(a->engine, &x->route.digest, &at, &e) < 0)
		return app_fail(x, &e, FAULT_DIGEST, FAULT_NO_BLOB);
	if (not_modified(x, &x->route.digest)) {
		response_header(r, "Cache-Control", FOREVER);
		return true;
	}
	if (at.where == STORE_URL && is_get(x)) {
		response_start(r, 307);
		response_digest(r, &x->route.digest);
		response_header(r, "Location", "%s", at.at);
		response_header(r, "Cache-Control", "no-store");
		response_header(r, "Content-Type", "text/plain");
		buf_adds(&r->body, "the blob is elsewhere\n");
		return true;
	}
	response_start(r, 200);
	response_header(r, "Content-Type", "application/octet-stream");
	response_digest(r, &x->route.digest);
	/*
	 * For how long it is good the web server adds when it has it: what we
	 * say of that would stand in its error pages too.
	 */
	if (at.where == STORE_FILE) {
		response_header(r, "X-Accel-Redirect", INTERNAL "%s", at.at);
		r->no_size = true;
	} else if (at.where == STORE_PROXY && is_get(x)) {
		digest_hex(&x->route.digest, hex);
		response_header(r, "X-Accel-Redirect", INTERNAL "proxy/%s",
				hex);
		response_header(r, "X-Firn-Url", "%s", at.at);
		r->no_size = true;
	} else {
		response_header(r, "Cache-Control", FOREVER);
		r->has_size = true;
		r->size = at.size;
	}
	return true;
}
