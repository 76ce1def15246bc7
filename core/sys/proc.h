/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_SYS_PROC_H
#define FIRN_SYS_PROC_H

/*
 * Runs a program to its end, within bounds, and never through a shell.
 *
 * The child leads a session and process group of its own. Standard input is
 * /dev/null; standard output and error are drained together, so that neither
 * can fill up and stop it. When a bound is passed, or the run is cancelled,
 * the group gets SIGTERM and, two seconds later, SIGKILL; nothing of the
 * group is left when the call returns.
 *
 * When we die first, however that may be, the child gets SIGTERM. The kernel
 * sends it at the end of the calling thread, which is in proc_run until the
 * child has ended: so that it means the end of the process. What the child
 * has started is the child's to end; Nix's programs do.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/buf.h"

struct err;

struct proc_opts {
	const char *const *argv; /* argv[0] is looked up in PATH */
	const char *const *envp; /* NULL: our own environment */
	const char *cwd;         /* NULL: ours */
	uint64_t timeout_ms;     /* whole run; 0: none */
	size_t max_stdout;       /* more is an error and ends the run */
	uint64_t max_cpu_s;      /* RLIMIT_CPU; 0: none */
	uint64_t max_data;       /* RLIMIT_DATA, of any one process; 0: none */

	/*
	 * Each line of standard error without its newline (cut at 64 KiB), as
	 * it comes, on the calling thread. NULL: dropped.
	 */
	void (*on_stderr)(void *ctx, const char *line, size_t n);
	void *ctx;

	/* Set by another thread to end the run; looked at every 100 ms. */
	const atomic_bool *cancel;
};

struct proc_result {
	int exit_code;     /* -1 when a signal ended it */
	int signal;        /* 0 when it exited */
	bool timed_out;    /* timeout_ms passed */
	bool cancelled;    /* *cancel was set */
	struct buf output; /* standard output; release it */
};

/*
 * Run it. 0: it ran, *ret tells how it ended (also badly). -1: it could not
 * be started (ERR_NOT_FOUND when there is no such program, else ERR_SYSTEM),
 * or wrote more than max_stdout (ERR_SYSTEM); *ret need not be released.
 */
MUST_CHECK int proc_run(const struct proc_opts *o, struct proc_result *ret,
			struct err *e);

/*
 * Have no core file of this process written, and let nobody but root look
 * into its memory: for one that holds secrets. Children are not concerned.
 */
void proc_guard_memory(void);

/* How it ended, for a message: "exit code 3", "signal 9 (Killed)". */
void proc_describe(const struct proc_result *r, struct buf *to);

#endif
