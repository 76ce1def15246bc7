/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/gcs_token.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/store/cloud.h"
#include "core/store/lease.h"
#include "core/store/sign.h"
#include "core/store/store.h"
#include "core/sys/fs.h"
#include "core/sys/http.h"

#define SCOPE "https://www.googleapis.com/auth/devstorage.read_write"
#define TOKEN_URI "https://oauth2.googleapis.com/token"
#define METADATA_HOST "metadata.google.internal"
#define METADATA_PATH \
	"/computeMetadata/v1/instance/service-accounts/default/token"

#define KEY_FILE_MAX 65536u
#define TOKEN_MAX 16384u

struct gcs_token {
	struct http *http;
	struct lease *lease;
	struct sign_key *key; /* NULL: the metadata server is asked */
	char *email;
	char *url; /* of the one who gives tokens */
	uint64_t timeout_ms;
};

static void
wipe(void *value)
{
	char *s = value;

	explicit_bzero(s, strlen(s));
	free(s);
}

/* --- the key file */

static int
take_key(struct gcs_token *t, const struct json *v, struct err *e)
{
	const char *type = json_get_str(v, "type");
	const char *email = json_get_str(v, "client_email");
	const char *pem = json_get_str(v, "private_key");
	const char *uri = json_get_str(v, "token_uri");

	if (!type || strcmp(type, "service_account") != 0 || !email || !pem)
		return err_set(e, ERR_INVALID,
			       "it is not the key of a service account");
	if (uri && !str_has_prefix(uri, "https://") &&
	    !str_has_prefix(uri, "http://"))
		return err_set(e, ERR_INVALID, "its token_uri is no URL");
	t->email = xstrdup(email);
	t->url = xstrdup(uri ? uri : TOKEN_URI);
	return sign_key_gcs(email, pem, &t->key, e);
}

static int
read_key(struct gcs_token *t, const char *path, struct err *e)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	AUTO(buf) struct buf text = BUF_INIT;
	const struct json *v;
	int r;

	r = fs_read_file(path, KEY_FILE_MAX, &text, e);
	if (r == 0 && json_parse(&a, text.p, text.len, NULL, &v, e) < 0) {
		/* What a parser says may quote what it read. */
		err_clear(e);
		r = err_set(e, ERR_INVALID, "it is not JSON");
	}
	if (r == 0)
		r = take_key(t, v, e);
	if (text.len > 0)
		explicit_bzero(text.p, text.len);
	if (r < 0) {
		e->kind = ERR_INVALID;
		return err_wrap(e, "GOOGLE_APPLICATION_CREDENTIALS");
	}
	return 0;
}

/* --- asking */

static int
make_assertion(const struct gcs_token *t, struct buf *to, struct err *e)
{
	AUTO(json_out) struct json_out o = {.gen = NULL};
	AUTO(buf) struct buf claims = BUF_INIT;
	uint64_t now = (uint64_t)time(NULL);

	json_out_init(&o, &claims);
	json_object(&o);
	json_kstr(&o, "iss", t->email);
	json_kstr(&o, "scope", SCOPE);
	json_kstr(&o, "aud", t->url);
	json_knum(&o, "iat", now);
	json_knum(&o, "exp", now + 3600);
	json_object_end(&o);
	buf_adds(to, "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3A"
		     "jwt-bearer&assertion=");
	return sign_jwt(t->key, claims.p, to, e);
}

static int
ask(struct gcs_token *t, struct http_answer *a, struct err *e)
{
	static const struct http_header form = {
		"Content-Type", "application/x-www-form-urlencoded"};
	static const struct http_header flavor = {"Metadata-Flavor", "Google"};
	AUTO(buf) struct buf body = BUF_INIT;
	struct http_request r = {
		.method = t->key ? "POST" : "GET",
		.url = t->url,
		.headers = t->key ? &form : &flavor,
		.n_headers = 1,
		.max_answer = TOKEN_MAX,
		.timeout_ms = t->timeout_ms,
		.direct = !t->key,
	};

	if (t->key) {
		if (make_assertion(t, &body, e) < 0)
			return -1;
		r.body = body.p;
		r.size = body.len;
	}
	return http_do(t->http, &r, a, e);
}

static bool
is_token(const char *s)
{
	for (const char *p = s; *p; p++)
		if (*p <= ' ' || *p > '~')
			return false;
	return s[0] != '\0';
}

static int
take_token(const struct http_answer *a, struct lease_answer *ret, struct err *e)
{
	AUTO(arena) struct arena arena = ARENA_INIT;
	const struct json *v = NULL;
	struct err bad = ERR_INIT;
	const char *token;

	if (a->status != 200)
		return err_set(e, ERR_STORAGE, "it answers with status %u",
			       a->status);
	if (json_parse(&arena, a->body.p, a->body.len, NULL, &v, &bad) < 0 ||
	    !(token = json_get_str(v, "access_token")) || !is_token(token) ||
	    !json_get_u64(v, "expires_in", &ret->life_s) || ret->life_s == 0 ||
	    ret->life_s > 86400)
		return err_set(e, ERR_STORAGE, "its answer is no token");
	ret->value = xstrdup(token);
	return 0;
}

static int
ask_token(void *ctx, struct lease_answer *ret, struct err *e)
{
	AUTO(http_answer) struct http_answer a = HTTP_ANSWER_INIT;
	struct gcs_token *t = ctx;

	if (ask(t, &a, e) == 0 && take_token(&a, ret, e) == 0)
		return 0;
	ret->quiet_ms = http_retry_after(&a, cloud_quiet_max_ms(t->timeout_ms));
	e->kind = ERR_STORAGE;
	return err_wrap(e, "storage: gcs: can't get a token from the %s",
			t->key ? "account's token_uri" : "metadata server");
}

static void
copy_token(void *arg, void *value, uint64_t left_ms UNUSED)
{
	buf_adds(arg, value);
}

int
gcs_token_get(struct gcs_token *t, struct buf *to, struct err *e)
{
	return lease_use(t->lease, copy_token, to, e);
}

void
gcs_token_wait(struct gcs_token *t)
{
	lease_wait(t->lease);
}

void
gcs_token_drop(struct gcs_token *t)
{
	lease_drop(t->lease);
}

/* --- opening */

int
gcs_token_new(const struct store_options *o, const struct cloud *c,
	      struct gcs_token **ret, struct err *e)
{
	static const struct lease_ops ops = {ask_token, wipe};
	struct gcs_token *t = xcalloc(1, sizeof(*t));
	AUTO(buf) struct buf url = BUF_INIT;

	t->http = c->http;
	t->timeout_ms = c->timeout_ms;
	/* The first of the attempts to come finds that it may be asked. */
	t->lease = lease_new(&ops, t, c->pause_ms / 10, c->timeout_ms / 2);
	if (o->gcs.credentials) {
		if (read_key(t, o->gcs.credentials, e) < 0) {
			gcs_token_free(t);
			return -1;
		}
	} else {
		buf_printf(&url, "http://%s" METADATA_PATH,
			   o->gcs.metadata_host ? o->gcs.metadata_host
						: METADATA_HOST);
		t->url = buf_steal(&url);
	}
	*ret = t;
	return 0;
}

void
gcs_token_free(struct gcs_token *t)
{
	if (!t)
		return;
	lease_free(t->lease);
	sign_key_free(t->key);
	free(t->email);
	free(t->url);
	free(t);
}

const struct sign_key *
gcs_token_key(const struct gcs_token *t)
{
	return t->key;
}
