/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_CMD_ENGINE_H
#define FIRN_CMD_ENGINE_H

/* What subcommands that need the engine have in common. */
#include "core/base/attr.h"

struct config;
struct engine;
struct err;

/*
 * Read the environment and open the engine. Only warnings are logged unless
 * FIRN_LOG_LEVEL says otherwise. Free with cmd_engine_close.
 */
MUST_CHECK int cmd_engine_open(struct config **ret_config, struct engine **ret,
			       struct err *e);
void cmd_engine_close(struct config *c, struct engine *g);

/* "firn: message", and the detail below it; returns CMD_FAILED. */
int cmd_fail(const struct err *e);

#endif
