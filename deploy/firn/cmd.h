/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_CMD_H
#define FIRN_CMD_H

/*
 * The subcommands of firn: one file each, listed in main.c's table.
 *
 * argv[0] is "firn" and the subcommand's name, as getopt's messages should
 * begin. Each understands --help, writes results
 * to standard output and everything else to standard error, and returns the
 * exit status.
 */
enum cmd_status {
	CMD_OK = 0,
	CMD_FAILED = 1,
	CMD_USAGE = 2,
};

int cmd_build(int argc, char **argv);
int cmd_explain(int argc, char **argv);
int cmd_pack(int argc, char **argv);
int cmd_popcount(int argc, char **argv);
int cmd_verify(int argc, char **argv);

#endif
