/* SPDX-License-Identifier: Apache-2.0 */
#include "core/sys/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/sys/clock.h"
#include "core/sys/fs.h"

#define LINE_MAX_BYTES 65536u
#define GRACE_MS 2000u
#define TICK_MS 100

struct run {
	const struct proc_opts *o;
	struct proc_result *res;
	pid_t pid;
	int pidfd;
	int out; /* read ends; -1 at end of file */
	int err;
	struct buf line; /* an unfinished line of standard error */
	uint64_t start_ms;
	uint64_t term_ms; /* when SIGTERM was sent; 0: not */
	bool killed;
	bool exited;
};

/* Have a descriptor under the number to, open across an exec. */
static int
place(int fd, int to)
{
	if (fd < 0)
		return -1;
	return fd == to ? fcntl(fd, F_SETFD, 0) : dup2(fd, to);
}

/* -1 with errno set. */
static int
set_up(const struct proc_opts *o, int out, int err)
{
	const struct sigaction dfl = {.sa_handler = SIG_DFL};
	sigset_t none;

	if (setsid() < 0 || prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0) < 0)
		return -1;
	if (place(open("/dev/null", O_RDONLY | O_CLOEXEC), 0) < 0 ||
	    place(out, 1) < 0 || place(err, 2) < 0)
		return -1;
	if (o->cwd && chdir(o->cwd) < 0)
		return -1;
	/* Workers block signals and ignore SIGPIPE; a child must not. */
	(void)sigemptyset(&none);
	if (sigaction(SIGPIPE, &dfl, NULL) < 0)
		return -1;
	return sigprocmask(SIG_SETMASK, &none, NULL);
}

/*
 * What the child does until it is another program: only what is safe where
 * other threads may hold locks (signal-safety(7); glibc's execvpe allocates
 * nothing), and it writes to no memory but its stack and errno. It writes why
 * it can't to status.
 */
static _Noreturn void
become(const struct proc_opts *o, pid_t parent, int out, int err, int status)
{
	int errnum;

	if (set_up(o, out, err) == 0) {
		/* The parent may have ended before we asked to be told. */
		if (getppid() != parent)
			_exit(127);
		/* The arrays are not written to. */
		(void)execvpe(o->argv[0], (char *const *)(uintptr_t)o->argv,
			      o->envp ? (char *const *)(uintptr_t)o->envp
				      : environ);
	}
	errnum = errno;
	(void)!write(status, &errnum, sizeof(errnum));
	_exit(127);
}

/* 0: it is another program; else the errno of why it can't be. */
static int
await_start(pid_t pid, int status)
{
	int errnum = 0;
	ssize_t n;

	do
		n = read(status, &errnum, sizeof(errnum));
	while (n < 0 && errno == EINTR);
	if (n != (ssize_t)sizeof(errnum))
		return 0;
	(void)waitpid(pid, NULL, 0);
	return errnum;
}

/*
 * posix_spawn can't ask for a signal when the parent dies, and fork copies the
 * tables of all our memory. vfork does not: the child runs in it, on our stack,
 * and this thread waits until it is another program. No handler runs in it
 * meanwhile, as all signals are blocked and we have none; and what it has to
 * tell goes through a pipe, since sanitizers make a fork of it.
 */
__attribute__((noinline)) static pid_t
start(const struct proc_opts *o, int out, int err, int status)
{
	const pid_t parent = getpid();
	/* NOLINTNEXTLINE(clang-analyzer-security.insecureAPI.vfork) */
	const pid_t pid = vfork();

	if (pid == 0)
		/* NOLINTNEXTLINE(clang-analyzer-unix.Vfork) */
		become(o, parent, out, err, status);
	return pid;
}

static int
spawn(const struct proc_opts *o, int out, int err, pid_t *ret_pid,
      struct err *e)
{
	int status[2], errnum;
	sigset_t all, old;

	if (pipe2(status, O_CLOEXEC) < 0)
		return err_set_errno(e, ERR_SYSTEM, errno, "pipe");
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	*ret_pid = start(o, out, err, status[1]);
	errnum = *ret_pid < 0 ? errno : 0;
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	(void)close(status[1]);
	if (*ret_pid > 0)
		errnum = await_start(*ret_pid, status[0]);
	(void)close(status[0]);
	if (errnum == 0)
		return 0;
	return err_set_errno(e, errnum == ENOENT ? ERR_NOT_FOUND : ERR_SYSTEM,
			     errnum, "start %s", o->argv[0]);
}

static void
emit_line(struct run *r)
{
	if (r->o->on_stderr)
		r->o->on_stderr(r->o->ctx, r->line.p, r->line.len);
	buf_clear(&r->line);
}

static void
take_stderr(struct run *r, const char *p, size_t n)
{
	while (n > 0) {
		const char *nl = memchr(p, '\n', n);
		size_t k = nl ? (size_t)(nl - p) : n;
		size_t room = LINE_MAX_BYTES - r->line.len;

		buf_add(&r->line, p, k < room ? k : room);
		if (!nl)
			return;
		emit_line(r);
		p += k + 1;
		n -= k + 1;
	}
}

/* Read what is there from one pipe; closes it at the end of file. */
static int
drain(struct run *r, int *fd, struct err *e)
{
	char chunk[16384];
	size_t n;

	if (fs_read(*fd, chunk, sizeof(chunk), &n, e) < 0)
		return -1;
	if (n == 0) {
		(void)close(*fd);
		*fd = -1;
		return 0;
	}
	if (fd == &r->err) {
		take_stderr(r, chunk, n);
		return 0;
	}
	if (n > r->o->max_stdout - r->res->output.len)
		return err_set(e, ERR_SYSTEM,
			       "%s wrote more than %zu bytes of output",
			       r->o->argv[0], r->o->max_stdout);
	buf_add(&r->res->output, chunk, n);
	return 0;
}

static void
stop_group(struct run *r, uint64_t now)
{
	if (r->term_ms == 0) {
		(void)kill(-r->pid, SIGTERM);
		r->term_ms = now;
	} else if (!r->killed && now - r->term_ms >= GRACE_MS) {
		(void)kill(-r->pid, SIGKILL);
		r->killed = true;
	}
}

static void
check_bounds(struct run *r)
{
	uint64_t now = clock_ms();

	if (r->o->timeout_ms && now - r->start_ms >= r->o->timeout_ms)
		r->res->timed_out = !r->res->cancelled;
	else if (r->o->cancel && atomic_load(r->o->cancel))
		r->res->cancelled = true;
	if (r->res->timed_out || r->res->cancelled)
		stop_group(r, now);
}

/*
 * Until the leader has exited and both pipes are at their end; a process that
 * left the group and holds a pipe is not waited for once the group is killed.
 */
static int
watch(struct run *r, struct err *e)
{
	while (!r->exited || (!r->killed && (r->out >= 0 || r->err >= 0))) {
		struct pollfd p[3] = {
			{.fd = r->out, .events = POLLIN},
			{.fd = r->err, .events = POLLIN},
			{.fd = r->exited ? -1 : r->pidfd, .events = POLLIN},
		};
		int k = poll(p, 3, TICK_MS);

		if (k < 0 && errno != EINTR)
			return err_set_errno(e, ERR_SYSTEM, errno, "poll");
		check_bounds(r);
		if (k <= 0)
			continue;
		if (p[0].revents && drain(r, &r->out, e) < 0)
			return -1;
		if (p[1].revents && drain(r, &r->err, e) < 0)
			return -1;
		if (p[2].revents) {
			/*
			 * The leader is gone; what it left behind in its
			 * group must not hold the pipes open for ever.
			 */
			r->exited = true;
			(void)kill(-r->pid, SIGTERM);
			r->term_ms = r->term_ms ? r->term_ms : clock_ms();
		}
		if (r->exited && !r->killed)
			stop_group(r, clock_ms());
	}
	return 0;
}

static void
reap(struct run *r)
{
	int status = 0;

	/* Until it is reaped the group's number can't be given to another. */
	(void)kill(-r->pid, SIGKILL);
	while (waitpid(r->pid, &status, 0) < 0 && errno == EINTR)
		continue;
	r->res->exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	r->res->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

int
proc_run(const struct proc_opts *o, struct proc_result *ret, struct err *e)
{
	struct run r = {.o = o, .res = ret, .pidfd = -1, .out = -1, .err = -1};
	int out[2] = {-1, -1}, err[2] = {-1, -1};
	int failed;

	*ret = (struct proc_result){.output = BUF_INIT};
	buf_init(&r.line);
	if (pipe2(out, O_CLOEXEC) < 0)
		return err_set_errno(e, ERR_SYSTEM, errno, "pipe");
	if (pipe2(err, O_CLOEXEC) < 0) {
		err_set_errno(e, ERR_SYSTEM, errno, "pipe");
		(void)close(out[0]);
		(void)close(out[1]);
		return -1;
	}
	failed = spawn(o, out[1], err[1], &r.pid, e);
	(void)close(out[1]);
	(void)close(err[1]);
	r.out = out[0];
	r.err = err[0];
	if (failed == 0) {
		const struct rlimit cpu = {o->max_cpu_s, o->max_cpu_s + 5};
		const struct rlimit data = {o->max_data, o->max_data};

		if (o->max_cpu_s)
			(void)prlimit(r.pid, RLIMIT_CPU, &cpu, NULL);
		if (o->max_data)
			(void)prlimit(r.pid, RLIMIT_DATA, &data, NULL);
		r.start_ms = clock_ms();
		r.pidfd = (int)syscall(SYS_pidfd_open, r.pid, 0);
		if (r.pidfd < 0)
			failed = err_set_errno(e, ERR_SYSTEM, errno,
					       "pidfd_open");
		else
			failed = watch(&r, e);
		reap(&r);
		if (r.line.len > 0)
			emit_line(&r);
	}
	if (r.pidfd >= 0)
		(void)close(r.pidfd);
	if (r.out >= 0)
		(void)close(r.out);
	if (r.err >= 0)
		(void)close(r.err);
	buf_release(&r.line);
	if (failed < 0)
		buf_release(&ret->output);
	return failed;
}

void
proc_guard_memory(void)
{
	/* Fails for no process that may run at all. */
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

void
proc_describe(const struct proc_result *r, struct buf *to)
{
	if (r->signal)
		buf_printf(to, "signal %d (%s)", r->signal,
			   sigdescr_np(r->signal));
	else
		buf_printf(to, "exit code %d", r->exit_code);
}
