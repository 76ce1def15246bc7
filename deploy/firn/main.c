/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "core/base/attr.h"
#include "deploy/firn/cmd.h"
#include "deploy/firn/output.h"

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *what;
} commands[] = {
	{"build", cmd_build, "build images ahead of the first pull"},
	{"explain", cmd_explain, "show how an image is cut into layers"},
	{"pack", cmd_pack, "pack store paths into one layer"},
	{"popcount", cmd_popcount, "count how popular packages are"},
	{"verify", cmd_verify, "look for damage in the storage"},
};

static void
print_usage(FILE *to)
{
	fputs("usage: firn COMMAND [OPTION]... [ARGUMENT]...\n\n", to);
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].what);
	fputs("\nfirn COMMAND --help tells more; settings are read from the "
	      "environment, see\nfirn.env(5).\n",
	      to);
}

static int
run(int argc, char **argv)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		char name[32];

		if (strcmp(argv[1], commands[i].name) != 0)
			continue;
		(void)snprintf(name, sizeof(name), "firn %s", argv[1]);
		argv[1] = name;
		return commands[i].run(argc - 1, argv + 1);
	}
	fprintf(stderr, "firn: there is no command %s\n\n", argv[1]);
	print_usage(stderr);
	return CMD_USAGE;
}

int
main(int argc, char **argv)
{
	int status = CMD_OK;

	output_keep_standard();
	if (argc < 2) {
		print_usage(stderr);
		return CMD_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
		print_usage(stdout);
	else if (strcmp(argv[1], "--version") == 0)
		puts("firn " FIRN_VERSION);
	else
		status = run(argc, argv);
	if (!output_is_written() && status == CMD_OK)
		status = CMD_FAILED;
	return status;
}
