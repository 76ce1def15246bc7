/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_RECORDS_H
#define FIRN_RECORDS_H

/*
 * The second cache tier: small records in the storage backend, which
 * replicas on one bucket share and which outlive a lost database.
 *
 *	manifests/KEY   {"manifest":DIGEST,"check":..}
 *	referrers/HEX   {"index":DIGEST,"check":..}
 *	layers/KEY      {"digest":..,"diffId":..,"size":N,"compression":..,
 *			 "check":..}
 *
 * What is read back is checked, by a checksum over its name and all that it
 * says: a record that makes no sense is logged and counts as absent. It is
 * no signature: who can write to the storage can write records. Any thread.
 */
#include <stdbool.h>

#include "core/base/attr.h"
#include "core/base/digest.h"

struct err;
struct layer;
struct store;

MUST_CHECK int records_get_image(struct store *st, const struct digest *key,
				 bool *ret_found, struct digest *ret,
				 struct err *e);
MUST_CHECK int records_put_image(struct store *st, const struct digest *key,
				 const struct digest *manifest, struct err *e);

/* The index of what is attached to a manifest. */
MUST_CHECK int records_get_referrers(struct store *st,
				     const struct digest *subject,
				     bool *ret_found, struct digest *ret,
				     struct err *e);
MUST_CHECK int records_put_referrers(struct store *st,
				     const struct digest *subject,
				     const struct digest *list, struct err *e);

MUST_CHECK int records_get_layer(struct store *st, const struct digest *key,
				 bool *ret_found, struct layer *ret,
				 struct err *e);
MUST_CHECK int records_put_layer(struct store *st, const struct digest *key,
				 const struct layer *l, struct err *e);

#endif
