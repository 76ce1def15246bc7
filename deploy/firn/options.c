/* SPDX-License-Identifier: Apache-2.0 */
#include "deploy/firn/options.h"

#include <stdio.h>

#include "core/base/buf.h"
#include "deploy/firn/cmd.h"

int
cmd_wrong_usage(const char *usage)
{
	(void)fputs(usage, stderr);
	return CMD_USAGE;
}

bool
cmd_options_read(const struct cmd_options *o, int argc, char **argv,
		 int *ret_status)
{
	int c;

	while ((c = getopt_long(argc, argv, o->letters, o->names, NULL)) !=
	       -1) {
		if (c == 'h') {
			(void)fputs(o->usage, stdout);
			*ret_status = CMD_OK;
			return false;
		}
		if (c == '?') {
			*ret_status = cmd_wrong_usage(o->usage);
			return false;
		}
		if (!o->each(c, o->ctx)) {
			*ret_status = CMD_USAGE;
			return false;
		}
	}
	return true;
}

bool
cmd_option_number(const char *name, uint64_t max, uint64_t *ret)
{
	if (str_to_u64(str_of(optarg), max, ret) && *ret > 0)
		return true;
	(void)fprintf(stderr, "firn: %s is 1 to %llu, not \"%s\"\n", name,
		      (unsigned long long)max, optarg);
	return false;
}
