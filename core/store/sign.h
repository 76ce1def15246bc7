/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_STORE_SIGN_H
#define FIRN_STORE_SIGN_H

/*
 * Signatures for the clouds: AWS Signature Version 4 (HMAC-SHA256, in a
 * header or in a URL) and Google's V4 signed URLs (RSA-SHA256), which differ
 * in a few words only; and the JWT by which a Google service account asks for
 * a token. Nothing here reads a clock.
 *
 * A key is immutable once it is made: any thread. Failures are ERR_INVALID
 * (a key that is none) and never name a secret.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "core/base/attr.h"

struct buf;
struct err;
struct sign_key;

/* The secret is copied, and wiped when the key is freed. token may be NULL. */
struct sign_key *sign_key_s3(const char *id, const char *secret,
			     const char *token, const char *region);
/* pem is a private key as in a service account's file. */
MUST_CHECK int sign_key_gcs(const char *email, const char *pem,
			    struct sign_key **ret, struct err *e);
/* One more holder; each calls sign_key_free. */
struct sign_key *sign_key_ref(struct sign_key *k);
void sign_key_free(struct sign_key *k);

/* A key as above that can say what is to be signed, but can't sign. */
struct sign_key *sign_key_gcs_public(const char *email);

struct sign_pair {
	const char *name;
	const char *value;
};

/* Names and values as they are meant; encoding them is done here. */
struct sign_request {
	const char *method;
	/* As the header Host says it; for Google without a port. */
	const char *host;
	const char *path;
	const struct sign_pair *query;
	size_t n_query;
	/* Those to be signed beside Host, in lower case. */
	const struct sign_pair *headers;
	size_t n_headers;
	/* Hex SHA-256 of the body; NULL: it isn't signed. */
	const char *payload;
	time_t when;
};

#define SIGN_TIME_CAP 17

/* 20060102T150405Z, which x-amz-date must say. */
void sign_time(time_t when, char ret[SIGN_TIME_CAP]);

/*
 * The value of the header Authorization. The headers of the request must
 * have x-amz-date, and x-amz-security-token where the key has a token.
 */
MUST_CHECK int sign_headers(const struct sign_key *k,
			    const struct sign_request *r, struct buf *to,
			    struct err *e);

/* The session token of a key; NULL when it has none. */
const char *sign_key_token(const struct sign_key *k);

/* Path and query of a URL that is good for expires_s seconds. */
MUST_CHECK int sign_url(const struct sign_key *k, const struct sign_request *r,
			uint64_t expires_s, struct buf *to, struct err *e);

/* The same without the signature, and what it is made over; for tests. */
void sign_url_parts(const struct sign_key *k, const struct sign_request *r,
		    uint64_t expires_s, struct buf *ret_url,
		    struct buf *ret_text);

/* A JWT (RFC 7519) signed RS256; claims is JSON. */
MUST_CHECK int sign_jwt(const struct sign_key *k, const char *claims,
			struct buf *to, struct err *e);

/* Percent-encode as RFC 3986 says, '/' too unless keep_slashes. */
void sign_encode(struct buf *to, const char *s, bool keep_slashes);

/* Base64 with padding. */
void sign_base64(struct buf *to, const void *p, size_t n);

#endif
