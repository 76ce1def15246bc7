/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_STORE_CREDENTIALS_H
#define FIRN_STORE_CREDENTIALS_H

/*
 * The keys for S3, from the first of these that is set: the key itself; a
 * role for a web identity (as Kubernetes gives one); a file of profiles; a
 * container's credentials (ECS, EKS); an instance's metadata (EC2, version 2
 * of the service alone). All but the first end, and are had anew before.
 *
 * Any thread. Failures are ERR_STORAGE and never show a key.
 */
#include <stdbool.h>
#include <stdint.h>

#include "core/base/attr.h"

struct cloud;
struct credentials;
struct err;
struct sign_key;
struct store_options;

/*
 * The cloud's HTTP client is borrowed; nothing is asked for yet. ERR_INVALID
 * when nothing is set.
 */
MUST_CHECK int credentials_new(const struct store_options *o,
			       const struct cloud *c, struct credentials **ret,
			       struct err *e);
void credentials_free(struct credentials *cr);

/* A key that is good for some seconds more; sign_key_free gives it back. */
MUST_CHECK int credentials_get(struct credentials *cr, struct sign_key **ret,
			       uint64_t *ret_left_s, struct err *e);

/* There was none: until one can be asked for again. */
void credentials_wait(struct credentials *cr);

/* How many there were; changes when they do. */
unsigned credentials_generation(struct credentials *cr);

/* It was refused: get another one next time. False: there is no other. */
bool credentials_drop(struct credentials *cr);

#endif
