/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_CMD_OPTIONS_H
#define FIRN_CMD_OPTIONS_H

/* How every subcommand reads its options. */
#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/base/attr.h"

struct cmd_options {
	const char *letters; /* as getopt_long takes them; has 'h' */
	const struct option *names;
	const char *usage; /* the text of --help */
	/*
	 * Takes one option, whose argument is in optarg. False: wrong, and
	 * why has been said.
	 */
	bool (*each)(int opt, void *ctx);
	void *ctx;
};

/*
 * Read them all. False: the subcommand is to end with *ret_status, since help
 * was asked for and given, or the usage is wrong. Then optind is where the
 * rest of argv begins.
 */
MUST_CHECK bool cmd_options_read(const struct cmd_options *o, int argc,
				 char **argv, int *ret_status);

/* Say how it is used; returns CMD_USAGE. */
int cmd_wrong_usage(const char *usage);

/* optarg as a number from 1 to max. False: it is none, and that is said. */
MUST_CHECK bool cmd_option_number(const char *name, uint64_t max,
				  uint64_t *ret);

#endif
