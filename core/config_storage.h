/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_CONFIG_STORAGE_H
#define FIRN_CONFIG_STORAGE_H

/* What settings of a storage need each other; for core/config.c only. */
#include "core/base/attr.h"

struct config;
struct err;

/* Is all set that the chosen backend needs? ERR_INVALID names what isn't. */
MUST_CHECK int config_check_storage(const struct config *c, struct err *e);

#endif
