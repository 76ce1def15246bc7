/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/nix_set.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/sys/fs.h"
#include "core/sys/log.h"
#include "core/sys/proc.h"

char nix_set_dir[] = "/tmp/firn-test-nix-XXXXXX";

struct source nix_set = {.kind = SOURCE_PATH, .location = PKGS};
struct revision nix_set_revision = {.id = "test"};

uint64_t
nix_set_now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

struct nix_options
nix_set_options(void)
{
	return (struct nix_options){
		.expressions = "nix",
		.state_path = nix_set_dir,
		.timeout_s = 120,
		.eval_timeout_s = 20,
		.eval_memory = 500u << 20,
	};
}

int
nix_set_make(struct nix *n, const char *names, const struct nix_watch *w,
	     struct result *r)
{
	const char *packages[16];
	struct nix_request q = {
		.source = &nix_set,
		.revision = &nix_set_revision,
		.tree = PKGS,
		.system = SYSTEM,
		.packages = packages,
	};
	struct str rest = str_of(names), name;

	*r = (struct result){.arena = ARENA_INIT, .e = ERR_INIT};
	while (str_cut(&rest, ' ', &name))
		packages[q.n_packages++] =
			arena_strndup(&r->arena, name.p, name.n);
	if (nix_evaluate(n, &r->arena, &q, w, &r->evaluated, &r->e) < 0 ||
	    nix_realise(n, &r->arena, &r->evaluated, w, &r->outputs, &r->root,
			&r->e) < 0)
		return -1;
	return nix_closure(n, &r->arena, &r->outputs, w, &r->graph, &r->e);
}

void
result_release(struct result *r)
{
	nix_root_free(r->root);
	arena_release(&r->arena);
}

size_t
nix_set_entries(const char *path)
{
	struct fs_names names;
	struct err e = ERR_INIT;
	size_t n;

	if (fs_list(path, &names, &e) < 0)
		return 0;
	n = names.n;
	fs_names_free(&names);
	return n;
}

/* How many processes have the text in their command line? */
static size_t
count_processes(const char *text)
{
	struct fs_names names;
	struct err e = ERR_INIT;
	size_t n = 0;

	if (fs_list("/proc", &names, &e) < 0)
		return 0;
	for (size_t i = 0; i < names.n; i++) {
		AUTO(buf) struct buf path = BUF_INIT, line = BUF_INIT;

		buf_printf(&path, "/proc/%s/cmdline", names.v[i]);
		err_clear(&e);
		if (names.v[i][0] < '0' || names.v[i][0] > '9' ||
		    fs_read_file(path.p, 1u << 20, &line, &e) < 0)
			continue;
		n += memmem(line.p, line.len, text, strlen(text)) != NULL;
	}
	fs_names_free(&names);
	return n;
}

/* A killed builder may take a moment to be gone. */
bool
nix_set_none_left(const char *text)
{
	const struct timespec tick = {.tv_nsec = 50000000};

	for (int i = 0; i < 1200; i++) {
		if (count_processes(text) == 0)
			return true;
		(void)nanosleep(&tick, NULL);
	}
	return false;
}

bool
nix_set_leaks(const struct err *e)
{
	char cwd[4096];

	if (!getcwd(cwd, sizeof(cwd)))
		return true;
	return strstr(e->msg, cwd) || strstr(e->detail, cwd) ||
	       strstr(e->msg, nix_set_dir) || strstr(e->detail, nix_set_dir);
}

static bool
have_nix(void)
{
	const char *const argv[] = {"nix-instantiate", "--version", NULL};
	const struct proc_opts o = {.argv = argv, .max_stdout = 4096};
	struct proc_result r;
	struct err e = ERR_INIT;

	if (proc_run(&o, &r, &e) < 0)
		return false;
	buf_release(&r.output);
	return true;
}

bool
nix_set_up(const char **ret_why)
{
	static const char conf[] = "substituters =\nsandbox-fallback = true\n";
	AUTO(buf) struct buf path = BUF_INIT;
	struct err e = ERR_INIT;

	*ret_why = NULL;
	if (!have_nix())
		*ret_why = "there is no Nix here";
	else if (access(PKGS "/generated/lock.json", R_OK) < 0)
		*ret_why = "tests/pkgs is not prepared";
	if (*ret_why)
		return false;
	if (!mkdtemp(nix_set_dir))
		abort();
	buf_printf(&path, "%s/nix.conf", nix_set_dir);
	if (fs_write_atomic(path.p, conf, sizeof(conf) - 1, &e) < 0)
		abort();
	(void)setenv("NIX_CONF_DIR", nix_set_dir, 1);
	log_set_level(LOG_ERROR);
	return true;
}

void
nix_set_done(void)
{
	struct err e = ERR_INIT;

	if (fs_remove_tree(nix_set_dir, &e) < 0)
		abort();
}
