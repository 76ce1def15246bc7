/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/sign.h"

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <stdatomic.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/digest.h"
#include "core/base/err.h"
#include "core/base/mem.h"

#define UNSIGNED "UNSIGNED-PAYLOAD"
#define SIGNATURE_MAX 1024u /* bytes: RSA with 8192 bits */
#define QUERY_MAX 24u

/* The words in which the two clouds differ. */
struct dialect {
	const char *algorithm;
	const char *prefix; /* of parameters and headers */
	const char *service;
	const char *end; /* of the scope */
	const char *secret_prefix;
};

static const struct dialect amazon = {
	.algorithm = "AWS4-HMAC-SHA256",
	.prefix = "X-Amz-",
	.service = "s3",
	.end = "aws4_request",
	.secret_prefix = "AWS4",
};

static const struct dialect google = {
	.algorithm = "GOOG4-RSA-SHA256",
	.prefix = "X-Goog-",
	.service = "storage",
	.end = "goog4_request",
};

struct sign_key {
	const struct dialect *words;
	char *id;
	char *region;
	char *secret; /* HMAC; NULL: rsa */
	char *token;
	EVP_PKEY *rsa;
	atomic_uint more_holders;
};

static void
free_secret(char *s)
{
	if (s)
		OPENSSL_cleanse(s, strlen(s));
	free(s);
}

struct sign_key *
sign_key_s3(const char *id, const char *secret, const char *token,
	    const char *region)
{
	struct sign_key *k = xcalloc(1, sizeof(*k));

	k->words = &amazon;
	k->id = xstrdup(id);
	k->region = xstrdup(region);
	k->secret = xstrdup(secret);
	k->token = token ? xstrdup(token) : NULL;
	return k;
}

struct sign_key *
sign_key_gcs_public(const char *email)
{
	struct sign_key *k = xcalloc(1, sizeof(*k));

	k->words = &google;
	k->id = xstrdup(email);
	k->region = xstrdup("auto");
	return k;
}

int
sign_key_gcs(const char *email, const char *pem, struct sign_key **ret,
	     struct err *e)
{
	BIO *bio = BIO_new_mem_buf(pem, (int)strnlen(pem, 1u << 20));
	/* An empty passphrase, so that nothing asks for one. */
	char none[] = "";
	EVP_PKEY *rsa = NULL;

	if (bio)
		rsa = PEM_read_bio_PrivateKey(bio, NULL, NULL, none);
	BIO_free(bio);
	ERR_clear_error();
	if (!rsa || EVP_PKEY_get_base_id(rsa) != EVP_PKEY_RSA) {
		EVP_PKEY_free(rsa);
		return err_set(e, ERR_INVALID,
			       "the service account's private key is not an "
			       "RSA key in PEM form");
	}
	*ret = sign_key_gcs_public(email);
	(*ret)->rsa = rsa;
	return 0;
}

struct sign_key *
sign_key_ref(struct sign_key *k)
{
	(void)atomic_fetch_add(&k->more_holders, 1);
	return k;
}

void
sign_key_free(struct sign_key *k)
{
	if (!k || atomic_fetch_sub(&k->more_holders, 1) > 0)
		return;
	free_secret(k->secret);
	free_secret(k->token);
	EVP_PKEY_free(k->rsa);
	free(k->id);
	free(k->region);
	free(k);
}

const char *
sign_key_token(const struct sign_key *k)
{
	return k->token;
}

/* --- encodings */

static bool
is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || (c && strchr("-._~", c));
}

void
sign_encode(struct buf *to, const char *s, bool keep_slashes)
{
	for (; *s; s++) {
		if (is_plain(*s) || (keep_slashes && *s == '/'))
			buf_addc(to, *s);
		else
			buf_printf(to, "%%%02X", (unsigned char)*s);
	}
}

static void
add_hex(struct buf *to, const unsigned char *p, size_t n)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		buf_addc(to, digits[p[i] >> 4]);
		buf_addc(to, digits[p[i] & 15]);
	}
}

static void
add_hash(struct buf *to, const struct buf *text)
{
	struct digest d;

	digest_of(text->p, text->len, &d);
	add_hex(to, d.b, DIGEST_SIZE);
}

void
sign_base64(struct buf *to, const void *p, size_t n)
{
	const unsigned char *at = p;

	while (n > 0) {
		unsigned char four[5];
		size_t k = n < 3 ? n : 3;

		(void)EVP_EncodeBlock(four, at, (int)k);
		buf_add(to, four, 4);
		at += k;
		n -= k;
	}
}

/* RFC 7515, section 2: without padding, in an alphabet for URLs. */
static void
add_base64url(struct buf *to, const void *p, size_t n)
{
	size_t start = to->len;

	sign_base64(to, p, n);
	while (to->len > start && to->p[to->len - 1] == '=')
		buf_truncate(to, to->len - 1);
	for (size_t i = start; i < to->len; i++) {
		if (to->p[i] == '+')
			to->p[i] = '-';
		else if (to->p[i] == '/')
			to->p[i] = '_';
	}
}

void
sign_time(time_t when, char ret[SIGN_TIME_CAP])
{
	struct tm tm;

	(void)gmtime_r(&when, &tm);
	(void)strftime(ret, SIGN_TIME_CAP, "%Y%m%dT%H%M%SZ", &tm);
}

static void
add_scope(struct buf *to, const struct sign_key *k, time_t when)
{
	char time[SIGN_TIME_CAP];

	sign_time(when, time);
	buf_printf(to, "%.8s/%s/%s/%s", time, k->region, k->words->service,
		   k->words->end);
}

/* --- the canonical request */

static int
by_name(const void *a, const void *b)
{
	const struct sign_pair *x = a, *y = b;
	int r = strcmp(x->name, y->name);

	return r ? r : strcmp(x->value, y->value);
}

/* Encoded copies, so that they are sorted as they are written. */
static void
add_query(struct buf *to, const struct sign_pair *v, size_t n)
{
	struct sign_pair sorted[QUERY_MAX];
	struct buf text[2 * QUERY_MAX];

	if (n > QUERY_MAX)
		abort();
	for (size_t i = 0; i < n; i++) {
		buf_init(&text[2 * i]);
		buf_init(&text[2 * i + 1]);
		sign_encode(&text[2 * i], v[i].name, false);
		sign_encode(&text[2 * i + 1], v[i].value, false);
		sorted[i] =
			(struct sign_pair){text[2 * i].p, text[2 * i + 1].p};
	}
	if (n > 0)
		qsort(sorted, n, sizeof(*sorted), by_name);
	for (size_t i = 0; i < n; i++)
		buf_printf(to, "%s%s=%s", i ? "&" : "", sorted[i].name,
			   sorted[i].value);
	for (size_t i = 0; i < 2 * n; i++)
		buf_release(&text[i]);
}

/* Host and the others, sorted; n + 1 of them go to ret. */
static void
sort_headers(const struct sign_request *r, struct sign_pair *ret)
{
	if (r->n_headers >= QUERY_MAX)
		abort();
	if (r->n_headers > 0)
		memcpy(ret, r->headers, r->n_headers * sizeof(*ret));
	ret[r->n_headers] = (struct sign_pair){"host", r->host};
	qsort(ret, r->n_headers + 1, sizeof(*ret), by_name);
}

static void
add_names(struct buf *to, const struct sign_pair *headers, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf_printf(to, "%s%s", i ? ";" : "", headers[i].name);
}

static void
add_canonical(struct buf *to, const struct sign_request *r, const char *query)
{
	struct sign_pair headers[QUERY_MAX];
	size_t n = r->n_headers + 1;

	sort_headers(r, headers);
	buf_printf(to, "%s\n", r->method);
	sign_encode(to, r->path, true);
	buf_printf(to, "\n%s\n", query);
	for (size_t i = 0; i < n; i++)
		buf_printf(to, "%s:%s\n", headers[i].name, headers[i].value);
	buf_addc(to, '\n');
	add_names(to, headers, n);
	buf_printf(to, "\n%s", r->payload ? r->payload : UNSIGNED);
}

/* What the signature is made over. */
static void
add_text(struct buf *to, const struct sign_key *k, const struct sign_request *r,
	 const char *query)
{
	AUTO(buf) struct buf canonical = BUF_INIT;
	char time[SIGN_TIME_CAP];

	sign_time(r->when, time);
	add_canonical(&canonical, r, query);
	buf_printf(to, "%s\n%s\n", k->words->algorithm, time);
	add_scope(to, k, r->when);
	buf_addc(to, '\n');
	add_hash(to, &canonical);
}

/* --- signing */

static void
hmac(const void *key, size_t n_key, const void *p, size_t n,
     unsigned char ret[DIGEST_SIZE])
{
	unsigned char out[EVP_MAX_MD_SIZE];
	unsigned int len = 0;

	if (!HMAC(EVP_sha256(), key, (int)n_key, p, n, out, &len) ||
	    len != DIGEST_SIZE)
		abort();
	memcpy(ret, out, DIGEST_SIZE);
}

/* One key a day, region and service, so that a leak of it is bounded. */
static void
sign_hmac(const struct sign_key *k, time_t when, const struct buf *text,
	  unsigned char ret[DIGEST_SIZE])
{
	AUTO(buf) struct buf first = BUF_INIT;
	unsigned char key[DIGEST_SIZE];
	char time[SIGN_TIME_CAP];

	sign_time(when, time);
	buf_printf(&first, "%s%s", k->words->secret_prefix, k->secret);
	hmac(first.p, first.len, time, 8, key);
	OPENSSL_cleanse(first.p, first.len);
	hmac(key, sizeof(key), k->region, strlen(k->region), key);
	hmac(key, sizeof(key), k->words->service, strlen(k->words->service),
	     key);
	hmac(key, sizeof(key), k->words->end, strlen(k->words->end), key);
	hmac(key, sizeof(key), text->p, text->len, ret);
	OPENSSL_cleanse(key, sizeof(key));
}

static int
sign_rsa(const struct sign_key *k, const void *p, size_t n,
	 unsigned char ret[SIGNATURE_MAX], size_t *ret_n, struct err *e)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good;

	*ret_n = SIGNATURE_MAX;
	good = ctx && k->rsa &&
	       EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, k->rsa) == 1 &&
	       EVP_DigestSign(ctx, ret, ret_n, p, n) == 1;
	EVP_MD_CTX_free(ctx);
	ERR_clear_error();
	if (!good)
		return err_set(e, ERR_INVALID,
			       "the service account's key can't sign");
	return 0;
}

static int
add_signature(struct buf *to, const struct sign_key *k, time_t when,
	      const struct buf *text, struct err *e)
{
	unsigned char out[SIGNATURE_MAX];
	size_t n = DIGEST_SIZE;

	if (k->secret)
		sign_hmac(k, when, text, out);
	else if (sign_rsa(k, text->p, text->len, out, &n, e) < 0)
		return -1;
	add_hex(to, out, n);
	return 0;
}

int
sign_headers(const struct sign_key *k, const struct sign_request *r,
	     struct buf *to, struct err *e)
{
	AUTO(buf) struct buf query = BUF_INIT, text = BUF_INIT;
	struct sign_pair headers[QUERY_MAX];

	sort_headers(r, headers);
	add_query(&query, r->query, r->n_query);
	add_text(&text, k, r, query.p);
	buf_printf(to, "%s Credential=%s/", k->words->algorithm, k->id);
	add_scope(to, k, r->when);
	buf_adds(to, ",SignedHeaders=");
	add_names(to, headers, r->n_headers + 1);
	buf_adds(to, ",Signature=");
	return add_signature(to, k, r->when, &text, e);
}

void
sign_url_parts(const struct sign_key *k, const struct sign_request *r,
	       uint64_t expires_s, struct buf *ret_url, struct buf *ret_text)
{
	static const char *const names[] = {"Algorithm",     "Credential",
					    "Date",          "Expires",
					    "SignedHeaders", "Security-Token"};
	AUTO(buf) struct buf credential = BUF_INIT, query = BUF_INIT;
	char full[ARRAY_LEN(names)][32], time[SIGN_TIME_CAP], expires[24];
	struct sign_pair all[QUERY_MAX];
	size_t n = k->token ? 6 : 5;
	const char *values[] = {
		k->words->algorithm, NULL, time, expires, "host", k->token};

	if (r->n_headers > 0 || r->n_query + n > QUERY_MAX)
		abort();
	sign_time(r->when, time);
	(void)snprintf(expires, sizeof(expires), "%llu",
		       (unsigned long long)expires_s);
	buf_printf(&credential, "%s/", k->id);
	add_scope(&credential, k, r->when);
	values[1] = credential.p;
	for (size_t i = 0; i < n; i++) {
		(void)snprintf(full[i], sizeof(full[i]), "%s%s",
			       k->words->prefix, names[i]);
		all[i] = (struct sign_pair){full[i], values[i]};
	}
	if (r->n_query > 0)
		memcpy(all + n, r->query, r->n_query * sizeof(*all));
	add_query(&query, all, n + r->n_query);
	add_text(ret_text, k, r, query.p);
	sign_encode(ret_url, r->path, true);
	buf_printf(ret_url, "?%s", query.p);
}

int
sign_url(const struct sign_key *k, const struct sign_request *r,
	 uint64_t expires_s, struct buf *to, struct err *e)
{
	AUTO(buf) struct buf text = BUF_INIT;

	sign_url_parts(k, r, expires_s, to, &text);
	buf_printf(to, "&%sSignature=", k->words->prefix);
	return add_signature(to, k, r->when, &text, e);
}

int
sign_jwt(const struct sign_key *k, const char *claims, struct buf *to,
	 struct err *e)
{
	static const char header[] = "{\"alg\":\"RS256\",\"typ\":\"JWT\"}";
	unsigned char out[SIGNATURE_MAX];
	size_t start = to->len, n;

	add_base64url(to, header, strlen(header));
	buf_addc(to, '.');
	add_base64url(to, claims, strlen(claims));
	if (sign_rsa(k, to->p + start, to->len - start, out, &n, e) < 0)
		return -1;
	buf_addc(to, '.');
	add_base64url(to, out, n);
	return 0;
}
