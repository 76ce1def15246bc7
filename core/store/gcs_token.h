/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_STORE_GCS_TOKEN_H
#define FIRN_STORE_GCS_TOKEN_H

/*
 * The tokens by which Google's storage knows us: asked for with a service
 * account's key (RFC 7523), or of the machine's metadata server, and renewed
 * before they end. Any thread. Failures are ERR_STORAGE and name no secret.
 */
#include <stdbool.h>

#include "core/base/attr.h"

struct buf;
struct cloud;
struct err;
struct gcs_token;
struct sign_key;
struct store_options;

/*
 * Reads the key file where there is one (ERR_INVALID when it is none). The
 * cloud's HTTP client is borrowed.
 */
MUST_CHECK int gcs_token_new(const struct store_options *o,
			     const struct cloud *c, struct gcs_token **ret,
			     struct err *e);
void gcs_token_free(struct gcs_token *t);

/* A token that is good now, appended to to. */
MUST_CHECK int gcs_token_get(struct gcs_token *t, struct buf *to,
			     struct err *e);

/* There was none: until one can be asked for again. */
void gcs_token_wait(struct gcs_token *t);

/* It was refused: get another one next time. */
void gcs_token_drop(struct gcs_token *t);

/* The key that URLs are signed with; NULL: the account has none here. */
const struct sign_key *gcs_token_key(const struct gcs_token *t);

#endif
