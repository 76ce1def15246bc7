/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/sys/proc.h"
#include "tests/support/tap.h"

struct lines {
	size_t n;
	size_t bytes;
	struct buf last;
};

static void
count_line(void *ctx, const char *line, size_t n)
{
	struct lines *l = ctx;

	l->n++;
	l->bytes += n;
	buf_clear(&l->last);
	buf_add(&l->last, line, n);
}

static int
sh(const char *script, uint64_t timeout_ms, struct lines *l,
   struct proc_result *r, struct err *e)
{
	const char *argv[] = {"/bin/sh", "-c", script, NULL};
	const struct proc_opts o = {
		.argv = argv,
		.timeout_ms = timeout_ms,
		.max_stdout = 1000000,
		.on_stderr = l ? count_line : NULL,
		.ctx = l,
	};

	return proc_run(&o, r, e);
}

/*
 * Is the process whose number the text holds gone? A zombie that waits for
 * its new parent is; a killed one may take a moment to get there.
 */
static bool
gone(const char *text)
{
	char path[64], stat[256] = "";
	const struct timespec tick = {.tv_nsec = 10000000};

	(void)snprintf(path, sizeof(path), "/proc/%ld/stat",
		       strtol(text, NULL, 10));
	for (int i = 0; i < 6000; i++) {
		FILE *f = fopen(path, "re");
		const char *state;

		if (!f)
			return true;
		if (!fgets(stat, sizeof(stat), f))
			stat[0] = '\0';
		(void)fclose(f);
		state = strrchr(stat, ')');
		if (!state || state[2] == 'Z' || state[2] == 'X')
			return true;
		(void)nanosleep(&tick, NULL);
	}
	return false;
}

/* A process of its own that runs a child, and is killed meanwhile. */
static void
test_orphan(void)
{
	char script[64], text[32] = "";
	struct proc_result r;
	struct err e = ERR_INIT;
	int to_us[2];
	pid_t pid;

	if (pipe(to_us) < 0)
		exit(1);
	(void)snprintf(script, sizeof(script), "echo $$ >&%d; exec sleep 100",
		       to_us[1]);
	pid = fork();
	if (pid == 0) {
		(void)sh(script, 0, NULL, &r, &e);
		_exit(1);
	}
	ok(read(to_us[0], text, sizeof(text) - 1) > 0 &&
		   strtol(text, NULL, 10) > 1,
	   "a child runs");
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
	ok(gone(text), "it does not outlive a parent that is killed");
	(void)close(to_us[0]);
	(void)close(to_us[1]);
}

static void
test_memory(void)
{
	static const char *const argv[] = {"sh", "-c", "sleep 0.2; ulimit -d",
					   NULL};
	struct proc_opts o = {
		.argv = argv, .max_stdout = 100, .max_data = 64u << 20};
	struct proc_result r;
	struct err e = ERR_INIT;

	ok(proc_run(&o, &r, &e) == 0, "with little memory: %s", e.msg);
	is_str(r.output.p, "65536\n", "as the child knows");
	buf_release(&r.output);
}

static void
test_start(void)
{
	static const char *const argv[] = {"pwd", NULL};
	static const char *const env[] = {"PATH=/nowhere", "A=b", NULL};
	static const char *const print_env[] = {"env", NULL};
	const char *const here[] = {"/proc/self/cmdline", NULL};
	struct proc_opts o = {.argv = argv, .cwd = "/", .max_stdout = 100};
	struct proc_result r;
	struct err e = ERR_INIT;

	ok(proc_run(&o, &r, &e) == 0, "it is found in PATH: %s", e.msg);
	is_str(r.output.p, "/\n", "and runs where it should");
	buf_release(&r.output);
	o.cwd = "/no/such/directory";
	ok(proc_run(&o, &r, &e) < 0 && e.kind == ERR_NOT_FOUND,
	   "unless there is no such place: %s", e.msg);
	err_clear(&e);
	o = (struct proc_opts){
		.argv = print_env, .envp = env, .max_stdout = 100};
	ok(proc_run(&o, &r, &e) == 0, "with an environment: %s", e.msg);
	is_str(r.output.p, "PATH=/nowhere\nA=b\n", "of its own");
	buf_release(&r.output);
	o = (struct proc_opts){.argv = here};
	ok(proc_run(&o, &r, &e) < 0 && e.kind == ERR_SYSTEM,
	   "what is no program: %s", e.msg);
}

int
main(void)
{
	struct lines l = {.last = BUF_INIT};
	struct proc_result r;
	struct err e = ERR_INIT;
	const char *none[] = {"/no/such/program", NULL};
	const struct proc_opts missing = {.argv = none};

	ok(sh("echo hello; exit 3", 0, NULL, &r, &e) == 0 && r.exit_code == 3,
	   "exit code");
	is_str(r.output.p, "hello\n", "standard output");
	buf_release(&r.output);

	ok(sh("cat; echo \"$(kill -l PIPE)\" >/dev/null", 0, NULL, &r, &e) ==
			   0 &&
		   r.exit_code == 0,
	   "standard input is empty");
	buf_release(&r.output);

	ok(sh("i=0; while [ $i -lt 30000 ]; do i=$((i+1)); "
	      "echo a line of some length $i >&2; echo o; done",
	      0, &l, &r, &e) == 0 &&
		   r.exit_code == 0,
	   "a chatty child does not block (nixery B3)");
	is_u64(l.n, 30000, "every line of standard error came");
	is_str(l.last.p, "a line of some length 30000", "the last one whole");
	is_u64(r.output.len, 60000, "and all of standard output");
	buf_release(&r.output);

	ok(sh("sleep 100 & echo $!; wait", 1000, NULL, &r, &e) == 0 &&
		   r.timed_out && r.signal == SIGTERM,
	   "the time limit ends it");
	ok(gone(r.output.p), "with its children");
	buf_release(&r.output);

	ok(sh("trap '' TERM; while :; do sleep 0.1; done", 2000, NULL, &r,
	      &e) == 0 &&
		   r.timed_out && r.signal == SIGKILL,
	   "one that ignores SIGTERM is killed");
	buf_release(&r.output);

	ok(sh("sleep 100 & echo $!", 0, NULL, &r, &e) == 0 && !r.timed_out &&
		   r.exit_code == 0,
	   "a child left behind does not hold the run");
	ok(gone(r.output.p), "and does not outlive it");
	buf_release(&r.output);

	ok(sh("head -c 2000000 /dev/zero", 0, NULL, &r, &e) < 0 &&
		   e.kind == ERR_SYSTEM,
	   "too much output is an error: %s", e.msg);
	err_clear(&e);
	ok(proc_run(&missing, &r, &e) < 0 && e.kind == ERR_NOT_FOUND,
	   "no such program: %s", e.msg);
	buf_release(&l.last);
	test_start();
	test_memory();
	test_orphan();
	return done_testing();
}
