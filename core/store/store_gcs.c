/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Google Cloud Storage by its JSON API. Every upload says the CRC-32C of
 * what is coming beforehand, and the cloud refuses anything else.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/store/cloud.h"
#include "core/store/gcs_token.h"
#include "core/store/store_impl.h"
#include "core/sys/fs.h"

#define LIST_ANSWER_MAX (8u << 20)

#define BOUNDARY "firn-part-5e5c1d7a9b"

struct gcs {
	struct cloud base;
	struct buf endpoint;
	struct buf sign_host;
	char *bucket;
	struct gcs_token *token;
};

static struct gcs *
gcs_of(struct cloud *c)
{
	return (struct gcs *)c;
}

/* --- one attempt */

static int
gcs_send(struct cloud *c, const struct cloud_call *call, struct http_answer *a,
	 struct err *e)
{
	struct gcs *g = gcs_of(c);
	AUTO(buf) struct buf url = BUF_INIT, bearer = BUF_INIT;
	struct http_header headers[CLOUD_PAIRS + 1];
	struct http_request r = {
		.method = call->method,
		.headers = headers,
		.n_headers = call->n_headers + 1,
		.body = call->body,
		.from_fd = call->from_fd,
		.fd = call->fd,
		.offset = call->offset,
		.size = call->size,
		.max_answer =
			call->max_answer ? call->max_answer : CLOUD_ANSWER_MAX,
	};

	buf_adds(&bearer, "Bearer ");
	if (gcs_token_get(g->token, &bearer, e) < 0) {
		if (call->patient)
			gcs_token_wait(g->token);
		return -1;
	}
	for (size_t i = 0; i < call->n_headers; i++)
		headers[i] = (struct http_header){call->headers[i].name,
						  call->headers[i].value};
	headers[call->n_headers] =
		(struct http_header){"Authorization", bearer.p};
	buf_printf(&url, "%s%s", g->endpoint.p, call->path);
	cloud_add_query(call, &url);
	r.url = url.p;
	cloud_limit(c, call, &r);
	return http_do(c->http, &r, a, e);
}

static bool
gcs_renew(struct cloud *c)
{
	gcs_token_drop(gcs_of(c)->token);
	return true;
}

static void
gcs_path(struct cloud *c, const char *key, struct buf *to)
{
	buf_printf(to, "/storage/v1/b/%s/o/", gcs_of(c)->bucket);
	sign_encode(to, key, false);
}

/* --- small things */

static int
parse(struct arena *arena, const struct http_answer *a, const struct json **ret)
{
	struct err bad = ERR_INIT;

	*ret = NULL;
	return json_parse(arena, a->body.p, a->body.len, NULL, ret, &bad);
}

/* Google writes 64-bit numbers as strings. */
static bool
get_u64(const struct json *v, const char *key, uint64_t *ret)
{
	const char *text = json_get_str(v, key);

	return text && str_to_u64(str_of(text), INT64_MAX, ret);
}

static bool
gcs_size(const struct http_answer *a, uint64_t *ret)
{
	AUTO(arena) struct arena arena = ARENA_INIT;
	const struct json *v;

	return parse(&arena, a, &v) == 0 && get_u64(v, "size", ret);
}

/* --- uploading */

/* The object as it is to be: {"name":..,"crc32c":..,"contentType":..} */
static void
write_object(const char *key, const struct cloud_blob *blob, struct buf *to)
{
	const unsigned char crc[4] = {
		(unsigned char)(blob->crc32c >> 24),
		(unsigned char)(blob->crc32c >> 16),
		(unsigned char)(blob->crc32c >> 8),
		(unsigned char)blob->crc32c,
	};
	AUTO(json_out) struct json_out o = {.gen = NULL};
	AUTO(buf) struct buf text = BUF_INIT;

	sign_base64(&text, crc, sizeof(crc));
	json_out_init(&o, to);
	json_object(&o);
	json_kstr(&o, "name", key);
	json_kstr(&o, "contentType", "application/octet-stream");
	json_kstr(&o, "crc32c", text.p);
	json_object_end(&o);
}

static int
put_bytes(struct cloud *c, const char *path, const char *key,
	  const struct cloud_blob *blob, struct err *e)
{
	AUTO(http_answer) struct http_answer a = HTTP_ANSWER_INIT;
	AUTO(buf) struct buf body = BUF_INIT;
	struct cloud_call call = {
		.what = "upload",
		.method = "POST",
		.path = path,
		.query = {{"uploadType", "multipart"}},
		.n_query = 1,
		.headers = {{"content-type",
			     "multipart/related; boundary=" BOUNDARY}},
		.n_headers = 1,
		.patient = true,
	};

	/* Their length says where the bytes end, not the boundary. */
	buf_adds(&body, "--" BOUNDARY "\r\n"
			"Content-Type: application/json\r\n\r\n");
	write_object(key, blob, &body);
	buf_adds(&body, "\r\n--" BOUNDARY "\r\n"
			"Content-Type: application/octet-stream\r\n\r\n");
	buf_add(&body, blob->bytes, (size_t)blob->size);
	buf_adds(&body, "\r\n--" BOUNDARY "--\r\n");
	call.body = body.p;
	call.size = body.len;
	if (cloud_call(c, &call, &a, e) < 0)
		return -1;
	if (a.status != 200)
		return cloud_unexpected(c, &call, &a, e);
	return 0;
}

/* The path and query of the session that was opened; *ret is for calls. */
static int
open_session(struct cloud *c, const char *path, const char *key,
	     const struct cloud_blob *blob, struct buf *ret, struct err *e)
{
	AUTO(http_answer) struct http_answer a = HTTP_ANSWER_INIT;
	AUTO(buf) struct buf body = BUF_INIT, location = BUF_INIT;
	const char *endpoint = gcs_of(c)->endpoint.p;
	struct cloud_call call = {
		.what = "begin an upload",
		.method = "POST",
		.path = path,
		.query = {{"uploadType", "resumable"}},
		.n_query = 1,
		.headers = {{"content-type", "application/json"}},
		.n_headers = 1,
		.patient = true,
	};

	write_object(key, blob, &body);
	call.body = body.p;
	call.size = body.len;
	if (cloud_call(c, &call, &a, e) < 0)
		return -1;
	/* Our token goes nowhere but to the endpoint. */
	if (a.status != 200 || !http_answer_header(&a, "location", &location) ||
	    !str_has_prefix(location.p, endpoint) ||
	    location.p[strlen(endpoint)] != '/')
		return cloud_unexpected(c, &call, &a, e);
	buf_adds(ret, location.p + strlen(endpoint));
	return 0;
}

/* How far has it come? From "Range: bytes=0-N"; 0 without it. */
static uint64_t
received(const struct http_answer *a)
{
	AUTO(buf) struct buf range = BUF_INIT;
	const char *dash;
	uint64_t last;

	if (!http_answer_header(a, "range", &range) ||
	    !str_has_prefix(range.p, "bytes=0-"))
		return 0;
	dash = range.p + strlen("bytes=0-");
	return str_to_u64(str_of(dash), INT64_MAX, &last) ? last + 1 : 0;
}

/*
 * One piece, or with n 0 a question. *ret_at is where the next one begins,
 * or size when it is done. *ret_lost: there is no such session any more.
 */
static int
send_piece(struct cloud *c, const char *session, const struct cloud_blob *blob,
	   uint64_t n, uint64_t *ret_at, bool *ret_lost, struct err *e)
{
	AUTO(http_answer) struct http_answer a = HTTP_ANSWER_INIT;
	char range[96];
	const struct cloud_call call = {
		.what = n ? "upload a piece" : "go on with an upload",
		.method = "PUT",
		.path = session,
		.headers = {{"content-range", range}},
		.n_headers = 1,
		.from_fd = n > 0,
		.fd = blob->fd,
		.offset = *ret_at,
		.size = n,
		.patient = true,
		.slow = n > 0 && *ret_at + n == blob->size,
	};

	if (n > 0)
		(void)snprintf(range, sizeof(range),
			       "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64,
			       *ret_at, *ret_at + n - 1, blob->size);
	else
		(void)snprintf(range, sizeof(range), "bytes */%" PRIu64,
			       blob->size);
	if (cloud_call(c, &call, &a, e) < 0)
		return -1;
	if (a.status == 200 || a.status == 201) {
		*ret_at = blob->size;
		return 0;
	}
	*ret_lost = a.status == 404 || a.status == 410;
	if (a.status != 308)
		return cloud_unexpected(c, &call, &a, e);
	*ret_at = received(&a);
	return 0;
}

/*
 * A piece that failed is not sent again as it was: what is there of it would
 * be refused. The cloud is asked how far it has come.
 */
static int
put_pieces(struct cloud *c, const char *session, const struct cloud_blob *blob,
	   bool *ret_lost, struct err *e)
{
	uint64_t at = 0, before;
	unsigned stuck = 0;

	while (at < blob->size) {
		uint64_t left = blob->size - at;

		before = at;
		if (send_piece(c, session, blob,
			       left < c->part_size ? left : c->part_size, &at,
			       ret_lost, e) < 0) {
			struct err why = ERR_INIT;

			if (*ret_lost || send_piece(c, session, blob, 0, &at,
						    ret_lost, &why) < 0)
				return -1;
			err_clear(e);
		}
		if (at > blob->size)
			at = 0;
		stuck = at > before ? 0 : stuck + 1;
		if (stuck > 3)
			return err_set(e, ERR_STORAGE,
				       "storage: %s: an upload does not get "
				       "ahead",
				       c->name);
	}
	return 0;
}

static int
gcs_put(struct cloud *c, const char *key, const struct cloud_blob *blob,
	bool *ret_lost, struct err *e)
{
	AUTO(buf) struct buf path = BUF_INIT, session = BUF_INIT;

	*ret_lost = false;
	buf_printf(&path, "/upload/storage/v1/b/%s/o", gcs_of(c)->bucket);
	if (blob->bytes)
		return put_bytes(c, path.p, key, blob, e);
	if (open_session(c, path.p, key, blob, &session, e) < 0)
		return -1;
	return put_pieces(c, session.p, blob, ret_lost, e);
}

/* --- listing */

static int
visit_items(const struct json *page, cloud_visit *fn, void *ctx, struct err *e)
{
	const struct json *items = json_get(page, "items");

	for (const struct json *i = items ? items->kids : NULL; i;
	     i = i->next) {
		const char *name = json_get_str(i, "name");
		const char *when = json_get_str(i, "updated");
		uint64_t size;

		if (!name || !when || !get_u64(i, "size", &size))
			continue;
		if (fn(ctx, name, size, cloud_time(when), e) < 0)
			return -1;
	}
	return 0;
}

static int
gcs_list(struct cloud *c, const char *prefix, cloud_visit *fn, void *ctx,
	 struct err *e)
{
	AUTO(buf) struct buf path = BUF_INIT, token = BUF_INIT;

	buf_printf(&path, "/storage/v1/b/%s/o", gcs_of(c)->bucket);
	do {
		AUTO(http_answer) struct http_answer a = HTTP_ANSWER_INIT;
		AUTO(arena) struct arena arena = ARENA_INIT;
		const struct json *page;
		const char *next;
		struct cloud_call call = {
			.what = "list",
			.method = "GET",
			.path = path.p,
			.query = {{"prefix", prefix},
				  {"fields", "items(name,size,updated),"
					     "nextPageToken"},
				  {"pageToken", token.p}},
			.n_query = token.len > 0 ? 3 : 2,
			.max_answer = LIST_ANSWER_MAX,
			.slow = true,
			.patient = true,
		};

		if (cloud_call(c, &call, &a, e) < 0)
			return -1;
		if (a.status != 200 || parse(&arena, &a, &page) < 0)
			return cloud_unexpected(c, &call, &a, e);
		if (visit_items(page, fn, ctx, e) < 0)
			return -1;
		buf_clear(&token);
		next = json_get_str(page, "nextPageToken");
		if (next)
			buf_adds(&token, next);
	} while (token.len > 0);
	return 0;
}

/* --- URLs */

/* Without a key of ours the bucket must be public, as for Nixery. */
static int
gcs_url(struct cloud *c, const char *key, uint64_t expires_s, struct buf *to,
	uint64_t *ret_good_s, struct err *e)
{
	struct gcs *g = gcs_of(c);
	AUTO(buf) struct buf path = BUF_INIT;
	struct sign_request sign = {
		.method = "GET",
		.host = g->sign_host.p,
		.when = time(NULL),
	};

	buf_printf(&path, "/%s/%s", g->bucket, key);
	sign.path = path.p;
	*ret_good_s = expires_s;
	buf_adds(to, g->endpoint.p);
	if (!gcs_token_key(g->token)) {
		buf_adds(to, path.p);
		return 0;
	}
	return sign_url(gcs_token_key(g->token), &sign, expires_s, to, e);
}

static void
gcs_free(struct cloud *c)
{
	struct gcs *g = gcs_of(c);

	gcs_token_free(g->token);
	cloud_release(c);
	buf_release(&g->endpoint);
	buf_release(&g->sign_host);
	free(g->bucket);
	free(g);
}

static const struct cloud_ops gcs_ops = {
	.send = gcs_send,
	.renew = gcs_renew,
	.path = gcs_path,
	.bytes = {"alt", "media"},
	.look_method = "GET",
	.look = {"fields", "size"},
	.size = gcs_size,
	.put = gcs_put,
	.list = gcs_list,
	.url = gcs_url,
	.free = gcs_free,
};

int
store_gcs_open(const struct store_options *o, struct store **ret, struct err *e)
{
	struct gcs *g = xcalloc(1, sizeof(*g));
	AUTO(buf) struct buf name = BUF_INIT;

	buf_init(&g->endpoint);
	buf_init(&g->sign_host);
	buf_printf(&name, "gcs bucket %s", o->gcs.bucket);
	cloud_init(&g->base, &gcs_ops, name.p, o);
	g->bucket = xstrdup(o->gcs.bucket);
	if (cloud_endpoint("FIRN_GCS_ENDPOINT", o->gcs.endpoint, &g->endpoint,
			   e) < 0 ||
	    gcs_token_new(o, &g->base, &g->token, e) < 0) {
		gcs_free(&g->base);
		return -1;
	}
	/* Google signs the name of the host alone. */
	http_url_host(g->endpoint.p, &g->sign_host);
	buf_truncate(&g->sign_host, strcspn(g->sign_host.p, ":"));
	return store_cloud_new(&g->base, o, cloud_is_proxied(o, g->endpoint.p),
			       ret, e);
}
