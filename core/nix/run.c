/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include <string.h>

#include "core/base/err.h"
#include "core/nix/impl.h"
#include "core/nix/report.h"
#include "core/sys/proc.h"

void
nix_args_add(struct nix_args *args, ...)
{
	const char *s;
	va_list ap;

	va_start(ap, args);
	while ((s = va_arg(ap, const char *)) != NULL)
		vec_push(args, s);
	va_end(ap);
}

void
nix_args_option(struct nix_args *args, const char *name, const char *value)
{
	nix_args_add(args, "--option", name, value, (char *)NULL);
}

/* What every program that opens the store is told. */
static void
add_common(struct nix_run *r)
{
	if (nix_at_least(r->nix, 2, 4))
		nix_args_add(&r->args, "--log-format", "internal-json",
			     (char *)NULL);
	if (r->nix->no_build_users)
		nix_args_option(&r->args, "build-users-group", "");
	if (r->nix->substituters)
		nix_args_option(&r->args, "substituters", r->nix->substituters);
	nix_args_option(&r->args, "connect-timeout", "10");
	if (r->nix->o.offline) {
		nix_args_option(&r->args, "builders", "");
		nix_args_option(&r->args, "download-attempts", "1");
	}
}

void
nix_run_init(struct nix_run *r, struct nix *n, const char *program,
	     const struct nix_watch *w)
{
	*r = (struct nix_run){
		.nix = n,
		.max_stdout = 1u << 20,
		.watch = w,
		.output = BUF_INIT,
	};
	nix_args_add(&r->args, program, (char *)NULL);
	/* The version is asked for before anything is known. */
	if (n->major > 0)
		add_common(r);
}

int
nix_run_start(struct nix_run *r, struct err *e)
{
	struct proc_opts o = {
		.envp = r->nix->envp,
		.timeout_ms = r->timeout_ms,
		.max_stdout = r->max_stdout,
		.max_cpu_s = r->max_cpu_s,
		.max_data = r->max_data,
		.on_stderr = nix_report_line,
		.cancel = r->watch ? r->watch->cancel : NULL,
	};
	struct proc_result res;

	vec_push(&r->args, NULL);
	o.argv = r->args.v;
	r->report = nix_report_new(r->watch);
	o.ctx = r->report;
	atomic_fetch_add(&r->nix->processes, 1);
	if (proc_run(&o, &res, e) < 0) {
		if (e->kind != ERR_NOT_FOUND)
			return -1;
		err_clear(e);
		err_set(e, ERR_UPSTREAM,
			"Nix is missing: there is no %s in PATH", r->args.v[0]);
		err_set_told(e, "Nix is missing on this registry");
		return -1;
	}
	r->output = res.output;
	r->exit_code = res.exit_code;
	r->signal = res.signal;
	r->timed_out = res.timed_out;
	if (res.cancelled)
		return err_set(e, ERR_BUSY, "the build was stopped");
	return 0;
}

bool
nix_run_ok(const struct nix_run *r)
{
	return r->exit_code == 0 && !r->timed_out;
}

void
nix_run_release(struct nix_run *r)
{
	vec_release(&r->args);
	buf_release(&r->output);
	nix_report_free(r->report);
	r->report = NULL;
}
