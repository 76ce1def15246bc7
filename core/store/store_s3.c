/* SPDX-License-Identifier: Apache-2.0 */
/*
 * S3 and what speaks like it, path style: https://host/bucket/key. Every
 * request is signed with the digest of its body, so that what arrives is
 * what was meant or is refused.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/store/cloud.h"
#include "core/store/credentials.h"
#include "core/store/store_impl.h"
#include "core/store/xml.h"
#include "core/sys/fs.h"

/* A large upload has so many parts at most. */
#define PARTS_MAX 10000u
/* S3 lists a thousand keys at a time, each under 2 KiB. */
#define LIST_ANSWER_MAX (8u << 20)

struct s3 {
	struct cloud base;
	struct buf endpoint, host;
	struct buf public_endpoint, public_host;
	char *bucket;
	struct credentials *keys;
};

static struct s3 *
s3_of(struct cloud *c)
{
	return (struct s3 *)c;
}

/* --- one attempt */

/* The digest of the body, from the file where it is one. */
static int
hash_body(const struct cloud_call *call, char ret[DIGEST_HEX_CAP],
	  struct err *e)
{
	struct digest d;

	if (call->payload) {
		(void)snprintf(ret, DIGEST_HEX_CAP, "%s", call->payload);
		return 0;
	}
	if (!call->from_fd)
		digest_of(call->body, (size_t)call->size, &d);
	else if (fs_hash_range(call->fd, call->offset, call->size, &d, e) < 0)
		return -1;
	digest_hex(&d, ret);
	return 0;
}

static int
send_signed(struct cloud *c, const struct cloud_call *call,
	    const struct sign_key *key, struct http_answer *a, struct err *e)
{
	struct s3 *s = s3_of(c);
	AUTO(buf) struct buf url = BUF_INIT, authorization = BUF_INIT;
	struct http_header out[CLOUD_PAIRS + 4];
	struct sign_pair headers[CLOUD_PAIRS + 3];
	const char *token = sign_key_token(key);
	char hash[DIGEST_HEX_CAP], when[SIGN_TIME_CAP];
	size_t n = call->n_headers;
	struct sign_request sign = {
		.method = call->method,
		.host = s->host.p,
		.path = call->path,
		.query = call->query,
		.n_query = call->n_query,
		.headers = headers,
		.payload = hash,
		.when = time(NULL),
	};
	struct http_request r = {
		.method = call->method,
		.headers = out,
		.body = call->body,
		.from_fd = call->from_fd,
		.fd = call->fd,
		.offset = call->offset,
		.size = call->size,
		.max_answer =
			call->max_answer ? call->max_answer : CLOUD_ANSWER_MAX,
	};

	if (hash_body(call, hash, e) < 0)
		return -1;
	sign_time(sign.when, when);
	memcpy(headers, call->headers, n * sizeof(*headers));
	headers[n++] = (struct sign_pair){"x-amz-content-sha256", hash};
	headers[n++] = (struct sign_pair){"x-amz-date", when};
	if (token)
		headers[n++] =
			(struct sign_pair){"x-amz-security-token", token};
	sign.n_headers = n;
	if (sign_headers(key, &sign, &authorization, e) < 0)
		return -1;
	for (size_t i = 0; i < n; i++)
		out[i] =
			(struct http_header){headers[i].name, headers[i].value};
	out[n++] = (struct http_header){"authorization", authorization.p};
	r.n_headers = n;
	buf_printf(&url, "%s%s", s->endpoint.p, call->path);
	cloud_add_query(call, &url);
	r.url = url.p;
	cloud_limit(c, call, &r);
	return http_do(c->http, &r, a, e);
}

static int
s3_send(struct cloud *c, const struct cloud_call *call, struct http_answer *a,
	struct err *e)
{
	struct s3 *s = s3_of(c);
	struct sign_key *key = NULL;
	uint64_t left_s;
	int r;

	if (credentials_get(s->keys, &key, &left_s, e) < 0) {
		if (call->patient)
			credentials_wait(s->keys);
		return -1;
	}
	r = send_signed(c, call, key, a, e);
	sign_key_free(key);
	return r;
}

static bool
s3_renew(struct cloud *c)
{
	return credentials_drop(s3_of(c)->keys);
}

static unsigned
s3_generation(struct cloud *c)
{
	return credentials_generation(s3_of(c)->keys);
}

static void
s3_path(struct cloud *c, const char *key, struct buf *to)
{
	buf_printf(to, "/%s/%s", s3_of(c)->bucket, key);
}

/* --- small things */

static bool
s3_size(const struct http_answer *a, uint64_t *ret)
{
	AUTO(buf) struct buf length = BUF_INIT;

	return http_answer_header(a, "content-length", &length) &&
	       str_to_u64(str_of(length.p), INT64_MAX, ret);
}

/* --- uploading */

static int
put_whole(struct cloud *c, const char *path, const struct cloud_blob *blob,
	  struct err *e)
{
	AUTO(http_answer) struct http_answer a = HTTP_ANSWER_INIT;
	char hex[DIGEST_HEX_CAP];
	const struct cloud_call call = {
		.what = "upload",
		.method = "PUT",
		.path = path,
		.headers = {{"content-type", "application/octet-stream"}},
		.n_headers = 1,
		.body = blob->bytes,
		.from_fd = !blob->bytes,
		.fd = blob->fd,
		.size = blob->size,
		.payload = hex,
		.patient = true,
	};

	digest_hex(blob->digest, hex);
	if (cloud_call(c, &call, &a, e) < 0)
		return -1;
	if (a.status != 200)
		return cloud_unexpected(c, &call, &a, e);
	return 0;
}

static int
start_upload(struct cloud *c, const char *path, struct buf *ret_id,
	     struct err *e)
{
	AUTO(http_answer) struct http_answer a = HTTP_ANSWER_INIT;
	const struct cloud_call call = {
		.what = "begin an upload",
		.method = "POST",
		.path = path,
		.query = {{"uploads", ""}},
		.n_query = 1,
		.headers = {{"content-type", "application/octet-stream"}},
		.n_headers = 1,
		.patient = true,
	};

	if (cloud_call(c, &call, &a, e) < 0)
		return -1;
	if (a.status != 200 ||
	    !xml_text((struct str){a.body.p, a.body.len}, "UploadId", ret_id) ||
	    ret_id->len == 0 || ret_id->len > 1024)
		return cloud_unexpected(c, &call, &a, e);
	return 0;
}

/* One part; its line of the list at the end is appended to done. */
static int
put_part(struct cloud *c, const char *path, const char *id, unsigned number,
	 const struct cloud_blob *blob, struct buf *done, bool *ret_lost,
	 struct err *e)
{
	AUTO(http_answer) struct http_answer a = HTTP_ANSWER_INIT;
	AUTO(buf) struct buf etag = BUF_INIT;
	uint64_t offset = (number - 1) * c->part_size;
	uint64_t left = blob->size - offset;
	char text[16];
	const struct cloud_call call = {
		.what = "upload a part",
		.method = "PUT",
		.path = path,
		.query = {{"partNumber", text}, {"uploadId", id}},
		.n_query = 2,
		.from_fd = true,
		.fd = blob->fd,
		.offset = offset,
		.size = left < c->part_size ? left : c->part_size,
		.patient = true,
	};

	(void)snprintf(text, sizeof(text), "%u", number);
	if (cloud_call(c, &call, &a, e) < 0)
		return -1;
	*ret_lost = a.status == 404;
	if (a.status != 200 || !http_answer_header(&a, "etag", &etag) ||
	    etag.len == 0 || etag.len > 256 || strpbrk(etag.p, "<>&"))
		return cloud_unexpected(c, &call, &a, e);
	buf_printf(done,
		   "<Part><PartNumber>%u</PartNumber><ETag>%s</ETag></Part>",
		   number, etag.p);
	return 0;
}

/*
 * S3 may say 200 first and find out that it failed later. What the element
 * around it is called differs between stores.
 */
static bool
is_complete(const struct http_answer *a)
{
	return strstr(a->body.p, "<ETag>") && !strstr(a->body.p, "<Error");
}

static int
complete_upload(struct cloud *c, const char *path, const char *id,
		const struct buf *parts, bool *ret_lost, struct err *e)
{
	AUTO(http_answer) struct http_answer a = HTTP_ANSWER_INIT;
	AUTO(buf) struct buf body = BUF_INIT;
	struct cloud_call call = {
		.what = "complete an upload",
		.method = "POST",
		.path = path,
		.query = {{"uploadId", id}},
		.n_query = 1,
		.headers = {{"content-type", "application/xml"}},
		.n_headers = 1,
		.patient = true,
		.slow = true,
		.is_good = is_complete,
	};

	buf_printf(&body,
		   "<CompleteMultipartUpload>%s</CompleteMultipartUpload>",
		   parts->p);
	call.body = body.p;
	call.size = body.len;
	if (cloud_call(c, &call, &a, e) < 0)
		return -1;
	/* An earlier attempt whose answer got lost may have completed it. */
	*ret_lost = a.status == 404;
	if (a.status != 200)
		return cloud_unexpected(c, &call, &a, e);
	return 0;
}

/* As well as it goes: what stays costs money only. */
static void
abort_upload(struct cloud *c, const char *path, const char *id)
{
	AUTO(http_answer) struct http_answer a = HTTP_ANSWER_INIT;
	struct err ignored = ERR_INIT;
	const struct cloud_call call = {
		.what = "abort an upload",
		.method = "DELETE",
		.path = path,
		.query = {{"uploadId", id}},
		.n_query = 1,
	};

	(void)!cloud_call(c, &call, &a, &ignored);
}

static int
put_parts(struct cloud *c, const char *path, const struct cloud_blob *blob,
	  bool *ret_lost, struct err *e)
{
	AUTO(buf) struct buf id = BUF_INIT, done = BUF_INIT;
	uint64_t n = (blob->size + c->part_size - 1) / c->part_size;
	int r = 0;

	if (n > PARTS_MAX)
		return err_set(e, ERR_STORAGE,
			       "storage: %s: a blob of %" PRIu64
			       " bytes is too large",
			       c->name, blob->size);
	if (start_upload(c, path, &id, e) < 0)
		return -1;
	for (unsigned i = 1; r == 0 && i <= n; i++)
		r = put_part(c, path, id.p, i, blob, &done, ret_lost, e);
	if (r == 0)
		r = complete_upload(c, path, id.p, &done, ret_lost, e);
	if (r < 0)
		abort_upload(c, path, id.p);
	return r;
}

static int
s3_put(struct cloud *c, const char *key, const struct cloud_blob *blob,
       bool *ret_lost, struct err *e)
{
	AUTO(buf) struct buf path = BUF_INIT;

	*ret_lost = false;
	s3_path(c, key, &path);
	if (blob->bytes || blob->size <= c->part_size)
		return put_whole(c, path.p, blob, e);
	return put_parts(c, path.p, blob, ret_lost, e);
}

/* --- listing */

static int
list_page(struct cloud *c, const char *prefix, struct buf *token,
	  struct http_answer *a, struct err *e)
{
	AUTO(buf) struct buf path = BUF_INIT;
	struct cloud_call call = {
		.what = "list",
		.method = "GET",
		.query = {{"list-type", "2"}, {"prefix", prefix}},
		.n_query = 2,
		.max_answer = LIST_ANSWER_MAX,
		.slow = true,
		.patient = true,
	};

	buf_printf(&path, "/%s", s3_of(c)->bucket);
	call.path = path.p;
	if (token->len > 0)
		call.query[call.n_query++] =
			(struct sign_pair){"continuation-token", token->p};
	if (cloud_call(c, &call, a, e) < 0)
		return -1;
	if (a->status != 200 || !strstr(a->body.p, "</ListBucketResult>"))
		return cloud_unexpected(c, &call, a, e);
	return 0;
}

static int
visit_entry(struct str entry, cloud_visit *fn, void *ctx, struct err *e)
{
	AUTO(buf) struct buf key = BUF_INIT, size = BUF_INIT, when = BUF_INIT;
	uint64_t n = 0;

	/* What makes no sense is not ours. */
	if (!xml_text(entry, "Key", &key) || !xml_text(entry, "Size", &size) ||
	    !xml_text(entry, "LastModified", &when) ||
	    !str_to_u64(str_of(size.p), INT64_MAX, &n))
		return 0;
	return fn(ctx, key.p, n, cloud_time(when.p), e);
}

static int
s3_list(struct cloud *c, const char *prefix, cloud_visit *fn, void *ctx,
	struct err *e)
{
	AUTO(buf) struct buf token = BUF_INIT, more = BUF_INIT;

	do {
		AUTO(http_answer) struct http_answer a = HTTP_ANSWER_INIT;
		struct str rest, entry, all;

		if (list_page(c, prefix, &token, &a, e) < 0)
			return -1;
		all = rest = (struct str){a.body.p, a.body.len};
		while (xml_next(&rest, "Contents", &entry))
			if (visit_entry(entry, fn, ctx, e) < 0)
				return -1;
		buf_clear(&token);
		buf_clear(&more);
		(void)xml_text(all, "IsTruncated", &more);
		(void)xml_text(all, "NextContinuationToken", &token);
	} while (strcmp(more.p, "true") == 0 && token.len > 0);
	return 0;
}

/* --- URLs */

static int
s3_url(struct cloud *c, const char *key, uint64_t expires_s, struct buf *to,
       uint64_t *ret_good_s, struct err *e)
{
	struct s3 *s = s3_of(c);
	struct sign_key *k = NULL;
	uint64_t left_s;
	int r;
	AUTO(buf) struct buf path = BUF_INIT;
	struct sign_request sign = {
		.method = "GET",
		.host = s->public_host.p,
		.when = time(NULL),
	};

	s3_path(c, key, &path);
	sign.path = path.p;
	if (credentials_get(s->keys, &k, &left_s, e) < 0)
		return -1;
	/* It ends with the key, which may be before. */
	if (expires_s > left_s)
		expires_s = left_s > 0 ? left_s : 1;
	*ret_good_s = expires_s;
	buf_adds(to, s->public_endpoint.p);
	r = sign_url(k, &sign, expires_s, to, e);
	sign_key_free(k);
	return r;
}

static void
s3_free(struct cloud *c)
{
	struct s3 *s = s3_of(c);

	cloud_release(c);
	credentials_free(s->keys);
	buf_release(&s->endpoint);
	buf_release(&s->host);
	buf_release(&s->public_endpoint);
	buf_release(&s->public_host);
	free(s->bucket);
	free(s);
}

static const struct cloud_ops s3_ops = {
	.send = s3_send,
	.renew = s3_renew,
	.generation = s3_generation,
	.path = s3_path,
	.look_method = "HEAD",
	.size = s3_size,
	.put = s3_put,
	.list = s3_list,
	.url = s3_url,
	.free = s3_free,
};

static int
set_endpoints(struct s3 *s, const struct store_options *o, bool proxied,
	      struct err *e)
{
	const char *shown = o->s3.public_endpoint;

	if (cloud_endpoint("FIRN_S3_ENDPOINT", o->s3.endpoint, &s->endpoint,
			   e) < 0)
		return -1;
	if (!shown || proxied)
		shown = s->endpoint.p;
	if (cloud_endpoint("FIRN_S3_PUBLIC_ENDPOINT", shown,
			   &s->public_endpoint, e) < 0)
		return -1;
	cloud_host(s->endpoint.p, &s->host);
	cloud_host(s->public_endpoint.p, &s->public_host);
	return 0;
}

int
store_s3_open(const struct store_options *o, struct store **ret, struct err *e)
{
	struct s3 *s = xcalloc(1, sizeof(*s));
	AUTO(buf) struct buf name = BUF_INIT;
	bool proxied;

	buf_init(&s->endpoint);
	buf_init(&s->host);
	buf_init(&s->public_endpoint);
	buf_init(&s->public_host);
	buf_printf(&name, "s3 bucket %s", o->s3.bucket);
	cloud_init(&s->base, &s3_ops, name.p, o);
	s->bucket = xstrdup(o->s3.bucket);
	proxied = cloud_is_proxied(o, o->s3.public_endpoint
					      ? o->s3.public_endpoint
					      : o->s3.endpoint);
	if (set_endpoints(s, o, proxied, e) < 0 ||
	    credentials_new(o, &s->base, &s->keys, e) < 0) {
		s3_free(&s->base);
		return -1;
	}
	return store_cloud_new(&s->base, o, proxied, ret, e);
}
