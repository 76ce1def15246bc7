/* SPDX-License-Identifier: Apache-2.0 */
/* Where do builders run? Only a build can tell: nix/probe.nix. */
#include <string.h>

#include "core/base/err.h"
#include "core/nix/errors.h"
#include "core/nix/impl.h"

#define PROBE_TIMEOUT_MS 60000u

/* What the build said. */
struct seen {
	bool open;
	bool uid;
	bool root;
	bool no_shell;
};

static void
take_line(void *ctx, const char *line, size_t n UNUSED)
{
	static const char uid[] = "firn-probe: uid ";
	struct seen *s = ctx;
	const char *at = strstr(line, uid);

	if (strstr(line, "firn-probe: open"))
		s->open = true;
	/*
	 * Only a sandbox has no shell. Some versions say so in colour, with
	 * bytes around it that make it no JSON.
	 */
	if (strstr(line, "executing '") && strstr(line, "/bin/sh") &&
	    strstr(line, "No such file or directory"))
		s->no_shell = true;
	if (at) {
		s->uid = true;
		s->root = strcmp(at + sizeof(uid) - 1, "0") == 0;
	}
}

int
nix_probe(struct nix *n, const atomic_bool *cancel, struct nix_builders *ret,
	  struct err *e)
{
	struct seen seen = {.open = false};
	const struct nix_watch w = {
		.cancel = cancel,
		.on_line = take_line,
		.ctx = &seen,
	};
	AUTO(buf) struct buf file = BUF_INIT;
	AUTO(nix_run) struct nix_run r;

	buf_printf(&file, "%s/probe.nix", n->o.expressions);
	nix_run_init(&r, n, "nix-build", &w);
	nix_args_add(&r.args, "--no-out-link", file.p, "--argstr", "marker",
		     n->dir, (char *)NULL);
	r.timeout_ms = PROBE_TIMEOUT_MS;
	if (nix_run_start(&r, e) < 0)
		return -1;
	*ret = (struct nix_builders){
		.sandboxed = !seen.open,
		.root = seen.open && seen.root,
	};
	if (seen.open || seen.uid || seen.no_shell)
		return 0;
	return nix_fail(&r, "Nix does not build", e);
}
