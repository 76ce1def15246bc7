/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signatures, held against what the vendors publish: Amazon's examples of
 * "Authenticating Requests (AWS Signature Version 4)" in the S3 API
 * reference, and Google's conformance tests (tests/golden/sign/gcs-v4.txt).
 * The latter are checked with the public key of their test account.
 */
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdlib.h>

#include "core/base/buf.h"
#include "core/base/digest.h"
#include "core/base/err.h"
#include "core/store/sign.h"
#include "core/sys/fs.h"
#include "tests/support/tap.h"

static const char google_key[] =
	"-----BEGIN PUBLIC KEY-----\n"
	"MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEArD8zIqyKLbX0Nq8o0Jj1\n"
	"qHEhHhqO3+0OP7TEFx5Vxc6PdwBoFNrfnJRI/S+ZaDYS1avr5Pqpp8g8+UNOMvI1\n"
	"VsjGM8xjTaxkVv8mmKp6pSmQstTt25pzY1exA2wv4xNWSwWNFNx2kh35+kvTQ/DF\n"
	"3YA9P7pUU1sKur1PP8OoubWLFO59iy5UE5dX0O/3pjvZ2HAhSXsx2VWtB5nlrHR8\n"
	"FrKJNLJMEGEDSMz9yRfQaUeYCU9oDYHuiqKQ3rCXi6C82l+3FJw5/ggJ5y7iw8ME\n"
	"rCFSslcYQRbBVz6ZYKWkEcJhs8BG3/16bfaqNusNlDIJ99I7DmipUngF/HEulYhf\n"
	"rQIDAQAB\n"
	"-----END PUBLIC KEY-----\n";

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define MAY_24_2013 1369353600

static const char *const none[] = {NULL};
static const char *const ranged[] = {"range", "bytes=0-9", NULL};
static const char *const put[] = {"date", "Fri, 24 May 2013 00:00:00 GMT",
				  "x-amz-storage-class", "REDUCED_REDUNDANCY",
				  NULL};
static const char *const lifecycle[] = {"lifecycle", "", NULL};
static const char *const list[] = {"prefix", "J", "max-keys", "2", NULL};

static const struct {
	const char *name, *method, *path, *payload;
	const char *const *query, *const *headers;
	const char *signature;
} amazon[] = {
	{"GET Object", "GET", "/test.txt", EMPTY, none, ranged,
	 "f0e8bdb87c964420e857bd35b5d6ed31"
	 "0bd44f0170aba48dd91039c6036bdb41"},
	{"PUT Object", "PUT", "/test$file.text",
	 "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
	 none, put,
	 "98ad721746da40c64f1a55b78f14c238"
	 "d841ea1380cd77a1b5971af0ece108bd"},
	{"GET Bucket Lifecycle", "GET", "/", EMPTY, lifecycle, none,
	 "fea454ca298b7da1c68078a5d1bdbfbb"
	 "e0d65c699e0f91ac7a200a0136783543"},
	{"List Objects", "GET", "/", EMPTY, list, none,
	 "34b48302e7b5fa45bde8084f4b7868a8"
	 "6f0a534bc59db6670ed5711ef69dc6f7"},
};

static struct sign_key *
amazon_key(const char *token)
{
	return sign_key_s3("AKIAIOSFODNN7EXAMPLE",
			   "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", token,
			   "us-east-1");
}

static size_t
pairs(const char *const *from, struct sign_pair *to)
{
	size_t n = 0;

	for (; from[2 * n]; n++)
		to[n] = (struct sign_pair){from[2 * n], from[2 * n + 1]};
	return n;
}

static void
test_amazon_headers(void)
{
	struct sign_key *k = amazon_key(NULL);

	for (size_t i = 0; i < ARRAY_LEN(amazon); i++) {
		struct sign_pair headers[8] = {
			{"x-amz-content-sha256", amazon[i].payload},
			{"x-amz-date", "20130524T000000Z"}};
		struct sign_pair query[4];
		AUTO(buf) struct buf got = BUF_INIT;
		struct err e = ERR_INIT;
		const struct sign_request r = {
			.method = amazon[i].method,
			.host = "examplebucket.s3.amazonaws.com",
			.path = amazon[i].path,
			.query = query,
			.n_query = pairs(amazon[i].query, query),
			.headers = headers,
			.n_headers = 2 + pairs(amazon[i].headers, headers + 2),
			.payload = amazon[i].payload,
			.when = MAY_24_2013,
		};

		ok(sign_headers(k, &r, &got, &e) == 0, "AWS: %s",
		   amazon[i].name);
		is_str(strstr(got.p, "Signature=")
			       ? strstr(got.p, "Signature=") + 10
			       : got.p,
		       amazon[i].signature, "  has the published signature");
		ok(str_has_prefix(got.p,
				  "AWS4-HMAC-SHA256 Credential="
				  "AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/"
				  "aws4_request,SignedHeaders="),
		   "  and scope");
	}
	sign_key_free(k);
}

static void
test_amazon_url(void)
{
	struct sign_key *k = amazon_key(NULL),
			*with_token = amazon_key("t/k+=");
	AUTO(buf) struct buf got = BUF_INIT, other = BUF_INIT;
	struct err e = ERR_INIT;
	const struct sign_request r = {
		.method = "GET",
		.host = "examplebucket.s3.amazonaws.com",
		.path = "/test.txt",
		.when = MAY_24_2013,
	};

	ok(sign_url(k, &r, 86400, &got, &e) == 0, "AWS: a presigned URL");
	is_str(got.p,
	       "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential="
	       "AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2F"
	       "aws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&"
	       "X-Amz-SignedHeaders=host&X-Amz-Signature="
	       "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d40"
	       "4",
	       "  as published");
	ok(sign_url(with_token, &r, 86400, &other, &e) == 0 &&
		   strstr(other.p, "&X-Amz-Security-Token=t%2Fk%2B%3D&"),
	   "  with a session token it is in it");
	sign_key_free(k);
	sign_key_free(with_token);
}

/* --- Google */

static size_t
unhex(const char *s, unsigned char *to)
{
	size_t n = 0;
	unsigned v;

	while (sscanf(s + 2 * n, "%2x", &v) == 1)
		to[n++] = (unsigned char)v;
	return n;
}

static char *
decode(struct buf *to, const char *s, size_t n)
{
	buf_clear(to);
	for (size_t i = 0; i < n; i++) {
		unsigned v = (unsigned char)s[i];

		if (s[i] == '%' && sscanf(s + i + 1, "%2x", &v) == 1)
			i += 2;
		buf_addc(to, (char)v);
	}
	return to->p;
}

static bool
verifies(EVP_PKEY *key, const struct buf *text, const char *hex)
{
	unsigned char sig[512];
	size_t n = unhex(hex, sig);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good =
		EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
		EVP_DigestVerify(ctx, sig, n, (unsigned char *)text->p,
				 text->len) == 1;

	EVP_MD_CTX_free(ctx);
	return good;
}

/* What a published URL says, taken apart. */
struct vector {
	struct buf host, path, email;
	struct buf names[8], values[8];
	struct sign_pair query[8];
	size_t n;
};

static void
take_apart(struct vector *v, const char *url)
{
	const char *host = strstr(url, "//") + 2;
	const char *path = host + strcspn(host, "/");
	const char *q = path + strcspn(path, "?");
	struct str rest = str_of(q + 1), part, name;

	/* Google signs the name of the host without its port. */
	buf_add(&v->host, host, strcspn(host, ":/"));
	(void)decode(&v->path, path, (size_t)(q - path));
	while (str_cut(&rest, '&', &part)) {
		if (!str_cut(&part, '=', &name))
			continue;
		if (str_eq(name, "X-Goog-Credential")) {
			(void)decode(&v->email, part.p, part.n);
			buf_truncate(&v->email, strcspn(v->email.p, "/"));
		}
		if (name.n > 9 && memcmp(name.p, "X-Goog-", 7) == 0 &&
		    memcmp(name.p, "X-Goog-Meta", 11) != 0)
			continue;
		v->query[v->n].name = decode(&v->names[v->n], name.p, name.n);
		v->query[v->n].value = decode(&v->values[v->n], part.p, part.n);
		v->n++;
	}
}

static void
release_vector(struct vector *v)
{
	buf_release(&v->host);
	buf_release(&v->path);
	buf_release(&v->email);
	for (size_t i = 0; i < ARRAY_LEN(v->names); i++) {
		buf_release(&v->names[i]);
		buf_release(&v->values[i]);
	}
}

/* A line is "name|when|lifetime|method|URL|signature". */
static void
test_google_line(EVP_PKEY *key, char *line)
{
	AUTO(buf) struct buf url = BUF_INIT, text = BUF_INIT;
	struct vector v = {.n = 0};
	char *save = NULL, *f[6];
	struct sign_request r;
	struct sign_key *k;

	for (size_t i = 0; i < ARRAY_LEN(f); i++)
		f[i] = strtok_r(i ? NULL : line, "|", &save);
	if (!ok(f[5] != NULL, "GCS: %s", f[0]))
		return;
	buf_init(&v.host);
	buf_init(&v.path);
	buf_init(&v.email);
	for (size_t i = 0; i < ARRAY_LEN(v.names); i++) {
		buf_init(&v.names[i]);
		buf_init(&v.values[i]);
	}
	take_apart(&v, f[4]);
	r = (struct sign_request){.method = f[3],
				  .host = v.host.p,
				  .path = v.path.p,
				  .query = v.query,
				  .n_query = v.n,
				  .when = strtol(f[1], NULL, 10)};
	k = sign_key_gcs_public(v.email.p);
	sign_url_parts(k, &r, strtoul(f[2], NULL, 10), &url, &text);
	is_str(url.p, strchr(strstr(f[4], "//") + 2, '/'), "  the URL");
	ok(verifies(key, &text, f[5]), "  the signature is over our text");
	sign_key_free(k);
	release_vector(&v);
}

static void
test_google(void)
{
	BIO *bio = BIO_new_mem_buf(google_key, -1);
	EVP_PKEY *key = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);
	AUTO(buf) struct buf text = BUF_INIT;
	struct err e = ERR_INIT;
	char *save = NULL;
	size_t n = 0;

	BIO_free(bio);
	ok(fs_read_file("tests/golden/sign/gcs-v4.txt", 1u << 20, &text, &e) ==
		   0,
	   "GCS: the vectors %s", e.msg);
	for (char *p = strtok_r(text.p, "\n", &save); p;
	     p = strtok_r(NULL, "\n", &save)) {
		if (p[0] == '#')
			continue;
		test_google_line(key, p);
		n++;
	}
	is_u64(n, 20, "all of them");
	EVP_PKEY_free(key);
}

/* What we sign with a key of our own verifies with its public half. */
static void
test_rsa(void)
{
	AUTO(buf)
	struct buf url = BUF_INIT, parts = BUF_INIT, text = BUF_INIT,
		   jwt = BUF_INIT;
	EVP_PKEY *rsa = EVP_RSA_gen(2048);
	BIO *bio = BIO_new(BIO_s_mem());
	const struct sign_request r = {.method = "GET",
				       .host = "storage.googleapis.com",
				       .path = "/b/blobs/sha256/00",
				       .when = 1549011600};
	struct err e = ERR_INIT;
	struct sign_key *k = NULL;
	char pem[4096] = "";

	(void)PEM_write_bio_PKCS8PrivateKey(bio, rsa, NULL, NULL, 0, NULL,
					    NULL);
	(void)BIO_read(bio, pem, sizeof(pem) - 1);
	BIO_free(bio);
	ok(sign_key_gcs("me@example.com", pem, &k, &e) == 0, "an RSA key %s",
	   e.msg);
	sign_url_parts(k, &r, 60, &parts, &text);
	ok(sign_url(k, &r, 60, &url, &e) == 0 &&
		   str_has_prefix(url.p, parts.p) &&
		   str_has_prefix(url.p + parts.len, "&X-Goog-Signature=") &&
		   verifies(rsa, &text, url.p + parts.len + 18),
	   "a URL that it signed verifies");
	buf_addc(&text, 'x');
	ok(!verifies(rsa, &text, url.p + parts.len + 18),
	   "and not with another text");
	ok(sign_jwt(k, "{\"iss\":\"me\"}", &jwt, &e) == 0 &&
		   str_has_prefix(jwt.p, "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9."
					 "eyJpc3MiOiJtZSJ9.") &&
		   !strpbrk(jwt.p, "+/="),
	   "a JWT");
	sign_key_free(k);
	ok(sign_key_gcs("me", "-----BEGIN secret", &k, &e) < 0 &&
		   e.kind == ERR_INVALID && !strstr(e.msg, "secret"),
	   "what is no key is refused, and not shown: %s", e.msg);
	err_clear(&e);
	EVP_PKEY_free(rsa);
}

static void
test_base64(void)
{
	static const char *const cases[][2] = {
		{"", ""},
		{"f", "Zg=="},
		{"fo", "Zm8="},
		{"foo", "Zm9v"},
		{"foob", "Zm9vYg=="},
		{"fooba", "Zm9vYmE="},
		{"foobar", "Zm9vYmFy"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(buf) struct buf got = BUF_INIT;

		sign_base64(&got, cases[i][0], strlen(cases[i][0]));
		is_str(got.p, cases[i][1], "base64 (RFC 4648, section 10)");
	}
}

int
main(void)
{
	test_amazon_headers();
	test_amazon_url();
	test_google();
	test_rsa();
	test_base64();
	return done_testing();
}
