/* SPDX-License-Identifier: Apache-2.0 */
#include "deploy/firn/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/config.h"
#include "core/engine.h"
#include "core/sys/log.h"
#include "deploy/firn/cmd.h"

int
cmd_engine_open(struct config **ret_config, struct engine **ret, struct err *e)
{
	const char *const *env = (const char *const *)environ;

	*ret = NULL;
	if (config_read(env, ret_config, e) < 0)
		return -1;
	log_set_level(getenv("FIRN_LOG_LEVEL") ? (*ret_config)->log_level
					       : LOG_WARN);
	if (engine_open(*ret_config, ret, e) == 0)
		return 0;
	config_free(*ret_config);
	*ret_config = NULL;
	return -1;
}

void
cmd_engine_close(struct config *c, struct engine *g)
{
	engine_free(g);
	config_free(c);
}

int
cmd_fail(const struct err *e)
{
	fprintf(stderr, "firn: %s\n", e->msg);
	if (e->detail[0])
		fprintf(stderr, "%s\n", e->detail);
	return CMD_FAILED;
}
