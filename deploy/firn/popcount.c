/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/sink.h"
#include "core/base/strmap.h"
#include "core/base/vec.h"
#include "core/config.h"
#include "core/model/graph.h"
#include "core/model/narinfo.h"
#include "core/model/popularity.h"
#include "core/state.h"
#include "core/sys/fs.h"
#include "core/sys/http.h"
#include "core/sys/proc.h"
#include "deploy/firn/cmd.h"
#include "deploy/firn/engine.h"
#include "deploy/firn/options.h"
#include "deploy/firn/output.h"

#define MAX_THREADS 128u
#define MAX_PATHS 2000000u
#define MAX_LIST ((size_t)256 << 20)
#define MAX_DUMP ((size_t)2 << 30)
#define HASH_LEN 32u
#define LIST_TIMEOUT_MS 600000u
#define NARINFO_TIMEOUT_MS 60000u
#define MAX_JOURNAL ((size_t)2 << 30)

static const char usage[] =
	"usage: firn popcount --cache URL [--store-paths URL] [OPTION]...\n"
	"       firn popcount --local [OPTION]...\n"
	"       firn popcount --learnt [OPTION]...\n"
	"\n"
	"Count how many packages refer to each package, for "
	"FIRN_POPULARITY_URL and\n"
	"firn explain --popularity: {\"NAME-VERSION\":COUNT,...}. Counts of "
	"one are\n"
	"left out, as that is what an unknown package counts.\n"
	"\n"
	"  -c, --cache URL        binary cache: http, https or file\n"
	"  -s, --store-paths URL  list of store paths, plain or .xz; default:\n"
	"                         what CACHE has in store-paths.xz, or, of a\n"
	"                         file:// cache, all its narinfo files\n"
	"  -l, --local            count what is in the local Nix store\n"
	"  -L, --learnt           in how many of the images that this registry "
	"has\n"
	"                         built a package was (FIRN_STATE_PATH)\n"
	"  -t, --threads N        fetch so many at once; default 16\n"
	"  -w, --work FILE        remember what was fetched there, and go on "
	"from\n"
	"                         it after an interruption\n"
	"  -o, --output FILE      write there, whole or not at all\n"
	"  -h, --help             this\n";

/* The first line of --work's file. */
static const char journal_header[] = "firn popcount 1\n";

struct options {
	const char *cache;
	const char *store_paths;
	bool local;
	bool learnt;
	uint64_t threads;
	const char *work;
	const char *output;
};

/* What is to be fetched, and who refers to what. */
struct count {
	const struct options *o;
	struct http *http;
	struct arena arena; /* of the list */
	struct {
		VEC(const char *); /* HASH-NAME */
	} paths;
	struct strmap index; /* of paths, by hash */
	bool *done;          /* by path: in the journal already */
	struct popularity *counts;
	int journal; /* -1: none */
	size_t fetched, known, absent;

	pthread_mutex_t lock; /* over counts, journal, numbers, error */
	struct err error;     /* the first; then all stop */
	atomic_size_t next;
	atomic_bool stop;
};

/* --- the list of store paths */

/* Once, whatever the list says. */
static void
add_base(struct count *c, const char *base)
{
	const char *hash = arena_strndup(&c->arena, base, HASH_LEN);
	size_t at;

	if (strmap_get(&c->index, hash, &at))
		return;
	(void)strmap_put(&c->index, hash, c->paths.n, NULL);
	vec_push(&c->paths, base);
}

static int
add_path(struct count *c, struct str line, struct err *e)
{
	struct str part, base = {.p = NULL};
	const char *s;

	if (line.n == 0)
		return 0;
	while (str_cut(&line, '/', &part))
		base = part;
	if (base.n > 4 && memcmp(base.p + base.n - 4, ".drv", 4) == 0)
		return 0;
	s = arena_strndup(&c->arena, base.p, base.n);
	if (!graph_base_ok(s))
		return err_set(e, ERR_INVALID, "line %zu: not a store path",
			       c->paths.n + 1);
	if (c->paths.n == MAX_PATHS)
		return err_set(e, ERR_INVALID, "more than %u store paths",
			       MAX_PATHS);
	add_base(c, s);
	return 0;
}

/* xz decompresses from a file only, as our children's input is empty. */
static int
decompress(struct buf *text, struct err *e)
{
	AUTO(buf) struct buf path = BUF_INIT;
	AUTO(fd) int fd = -1;
	const char *tmp = getenv("TMPDIR");
	struct proc_result r = {.output = BUF_INIT};
	int result;

	if (fs_create_temp(tmp && tmp[0] ? tmp : "/tmp", &path, &fd, e) < 0)
		return -1;
	result = fs_write_all(fd, text->p, text->len, e);
	if (result == 0) {
		const char *const argv[] = {"xz", "-dc", path.p, NULL};

		result = proc_run(&(struct proc_opts){.argv = argv,
						      .max_stdout = MAX_LIST},
				  &r, e);
	}
	(void)unlink(path.p);
	if (result < 0)
		return -1;
	buf_clear(text);
	buf_add(text, r.output.p, r.output.len);
	buf_release(&r.output);
	if (r.exit_code != 0)
		return err_set(e, ERR_INVALID, "xz can't read the list");
	return 0;
}

static int
fetch_list(struct count *c, const char *url, struct err *e)
{
	static const char xz_magic[6] = {'\xFD', '7', 'z', 'X', 'Z', '\0'};
	AUTO(buf) struct buf text = BUF_INIT;
	struct str rest, line;

	if (http_get(c->http, url, MAX_LIST, LIST_TIMEOUT_MS, &text, e) < 0)
		return -1;
	if (text.len >= sizeof(xz_magic) &&
	    memcmp(text.p, xz_magic, sizeof(xz_magic)) == 0 &&
	    decompress(&text, e) < 0)
		return -1;
	rest = (struct str){.p = text.p, .n = text.len};
	while (str_cut(&rest, '\n', &line))
		if (add_path(c, line, e) < 0)
			return -1;
	return 0;
}

/* The narinfo files of a directory; their names have the hash only. */
static int
list_directory(struct count *c, const char *dir, struct err *e)
{
	struct fs_names names;

	if (fs_list(dir, &names, e) < 0)
		return -1;
	for (size_t i = 0; i < names.n; i++)
		if (strlen(names.v[i]) == HASH_LEN + strlen(".narinfo") &&
		    str_has_suffix(names.v[i], ".narinfo"))
			add_base(c, arena_strndup(&c->arena, names.v[i],
						  HASH_LEN));
	fs_names_free(&names);
	return 0;
}

static int
read_list(struct count *c, struct err *e)
{
	const struct options *o = c->o;
	AUTO(buf) struct buf url = BUF_INIT;
	int r;

	if (!o->store_paths && str_has_prefix(o->cache, "file://"))
		return list_directory(c, o->cache + 7, e);
	if (o->store_paths)
		buf_adds(&url, o->store_paths);
	else
		buf_printf(&url, "%s/store-paths.xz", o->cache);
	r = fetch_list(c, url.p, e);
	return r < 0 ? err_wrap(e, "list of store paths") : 0;
}

/* --- counting */

static void
count_refs(struct popularity *to, const struct narinfo *info)
{
	for (size_t i = 0; i < info->n_refs; i++)
		popularity_add(to, graph_name_of(info->refs[i]), 1);
}

/* "HASH-NAME REF REF...\n", in one write, so that a line is whole or last. */
static int
remember(const struct count *c, const struct narinfo *info, struct err *e)
{
	AUTO(buf) struct buf line = BUF_INIT;

	if (c->journal < 0)
		return 0;
	buf_adds(&line, info->path);
	for (size_t i = 0; i < info->n_refs; i++)
		buf_printf(&line, " %s", info->refs[i]);
	buf_addc(&line, '\n');
	return fs_write_all(c->journal, line.p, line.len, e);
}

static void
recall_line(struct count *c, struct str line)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	char hash[HASH_LEN + 1] = "";
	struct str one;
	size_t i;

	if (line.n < sizeof(hash))
		return;
	memcpy(hash, line.p, sizeof(hash) - 1);
	if (!strmap_get(&c->index, hash, &i) || c->done[i])
		return;
	c->done[i] = true;
	c->known++;
	(void)str_cut(&line, ' ', &one);
	while (str_cut(&line, ' ', &one)) {
		const char *ref = arena_strndup(&a, one.p, one.n);

		if (graph_base_ok(ref))
			popularity_add(c->counts, graph_name_of(ref), 1);
	}
}

/*
 * The part of an earlier run's journal that is whole: a line that it could not
 * end is left out. A file that is something else is not touched.
 */
static int
read_journal(const char *path, struct buf *text, struct err *e)
{
	const char *end;

	if (fs_read_file(path, MAX_JOURNAL, text, e) < 0) {
		if (e->kind != ERR_NOT_FOUND)
			return -1;
		err_clear(e);
	}
	if (text->len == 0)
		return 0;
	if (!str_has_prefix(text->p, journal_header))
		return err_set(e, ERR_INVALID,
			       "%s is there and not of firn popcount --work",
			       path);
	end = memrchr(text->p, '\n', text->len);
	buf_truncate(text, (size_t)(end - text->p) + 1);
	return 0;
}

static int
recall(struct count *c, struct err *e)
{
	AUTO(buf) struct buf text = BUF_INIT;
	struct str rest, line;

	c->done = xcalloc(c->paths.n + 1, sizeof(*c->done));
	if (!c->o->work)
		return 0;
	if (read_journal(c->o->work, &text, e) < 0)
		return -1;
	rest = (struct str){.p = text.p, .n = text.len};
	(void)str_cut(&rest, '\n', &line);
	while (str_cut(&rest, '\n', &line))
		recall_line(c, line);
	c->journal = open(c->o->work, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
			  0644);
	if (c->journal < 0 || ftruncate(c->journal, (off_t)text.len) < 0)
		return err_set_errno(e, ERR_SYSTEM, errno, "%s", c->o->work);
	return text.len > 0 ? 0
			    : fs_write_all(c->journal, journal_header,
					   strlen(journal_header), e);
}

static int
fetch_one(struct count *c, const char *path, struct err *e)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	AUTO(buf) struct buf text = BUF_INIT;
	struct narinfo info;
	int r = 0;

	if (http_get(c->http,
		     arena_printf(&a, "%s/%.32s.narinfo", c->o->cache, path),
		     NARINFO_MAX, NARINFO_TIMEOUT_MS, &text, e) < 0) {
		if (e->kind != ERR_NOT_FOUND)
			return -1;
		err_clear(e);
		(void)pthread_mutex_lock(&c->lock);
		c->absent++;
		(void)pthread_mutex_unlock(&c->lock);
		return 0;
	}
	if (narinfo_parse(&a, text.p, text.len, &info, e) < 0)
		return err_wrap(e, "%.32s", path);
	if (memcmp(info.path, path, HASH_LEN) != 0)
		return err_set(e, ERR_INVALID,
			       "%.32s: narinfo of another store path", path);
	(void)pthread_mutex_lock(&c->lock);
	r = remember(c, &info, e);
	count_refs(c->counts, &info);
	c->fetched++;
	(void)pthread_mutex_unlock(&c->lock);
	return r;
}

static void *
work(void *arg)
{
	struct count *c = arg;
	size_t i;

	while (!atomic_load(&c->stop) &&
	       (i = atomic_fetch_add(&c->next, 1)) < c->paths.n) {
		struct err e = ERR_INIT;

		if (c->done[i] || fetch_one(c, c->paths.v[i], &e) == 0)
			continue;
		(void)pthread_mutex_lock(&c->lock);
		if (c->error.kind == ERR_NONE)
			c->error = e;
		(void)pthread_mutex_unlock(&c->lock);
		atomic_store(&c->stop, true);
	}
	return NULL;
}

static int
fetch_all(struct count *c, struct err *e)
{
	pthread_t threads[MAX_THREADS];
	size_t n = 0;

	while (n < c->o->threads &&
	       pthread_create(&threads[n], NULL, work, c) == 0)
		n++;
	if (n == 0)
		(void)work(c);
	while (n > 0)
		(void)pthread_join(threads[--n], NULL);
	if (c->error.kind == ERR_NONE)
		return 0;
	*e = c->error;
	return err_wrap(e, "after %zu of %zu store paths%s",
			c->fetched + c->known, c->paths.n,
			c->o->work ? "; the next run goes on from there" : "");
}

/* --- where counts come from */

static int
count_cache(const struct options *o, struct popularity *to, struct err *e)
{
	struct count c = {
		.o = o,
		.counts = to,
		.journal = -1,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.error = ERR_INIT,
	};
	int r;

	arena_init(&c.arena);
	c.http = http_new(&(struct http_options){.ca_file = NULL});
	r = read_list(&c, e);
	if (r == 0)
		r = recall(&c, e);
	if (r == 0)
		r = fetch_all(&c, e);
	if (r == 0 && c.fetched + c.known == 0)
		r = err_set(e, ERR_NOT_FOUND,
			    "the cache has none of the %zu store paths",
			    c.paths.n);
	if (r == 0)
		(void)fprintf(stderr,
			      "firn: %zu store paths fetched, %zu remembered, "
			      "%zu not in the cache\n",
			      c.fetched, c.known, c.absent);
	if (c.journal >= 0)
		(void)close(c.journal);
	(void)pthread_mutex_destroy(&c.lock);
	vec_release(&c.paths);
	strmap_release(&c.index);
	free(c.done);
	arena_release(&c.arena);
	http_free(c.http);
	return r;
}

static void
count_node(const struct graph *g, const struct graph_node *node,
	   struct popularity *to)
{
	for (size_t k = 0; k < node->n_refs; k++)
		popularity_add(to, graph_name_of(g->nodes[node->refs[k]].path),
			       1);
}

static int
count_local(struct popularity *to, struct err *e)
{
	static const char *const argv[] = {"nix-store", "--dump-db", NULL};
	AUTO(arena) struct arena a = ARENA_INIT;
	struct proc_result r = {.output = BUF_INIT};
	struct graph g;
	int result;

	if (proc_run(&(struct proc_opts){.argv = argv, .max_stdout = MAX_DUMP},
		     &r, e) < 0)
		return -1;
	if (r.exit_code != 0) {
		buf_release(&r.output);
		return err_set(e, ERR_UPSTREAM, "nix-store --dump-db fails");
	}
	result = graph_parse_dump(&a, r.output.p, r.output.len, "/nix/store",
				  &g, e);
	buf_release(&r.output);
	if (result < 0)
		return -1;
	for (size_t v = 0; v < g.n; v++)
		if (!str_has_suffix(g.nodes[v].path, ".drv"))
			count_node(&g, &g.nodes[v], to);
	return 0;
}

static int
count_learnt(struct popularity *to, struct err *e)
{
	const char *const *env = (const char *const *)environ;
	struct config *config;
	struct state *state;
	int r;

	if (config_read(env, &config, e) < 0)
		return -1;
	/* A registry that has built something has one. */
	r = access(config->state_path, R_OK) < 0
		    ? err_set_errno(e, ERR_NOT_FOUND, errno,
				    "FIRN_STATE_PATH: %s", config->state_path)
		    : state_open(config->state_path, &state, e);
	if (r == 0) {
		r = state_get_usage(state, to, e);
		state_free(state);
	}
	config_free(config);
	return r;
}

static int
count(const struct options *o, struct popularity *to, struct err *e)
{
	if (o->local)
		return count_local(to, e);
	return o->learnt ? count_learnt(to, e) : count_cache(o, to, e);
}

static int
popcount(const struct options *o, struct err *e)
{
	AUTO(popularity) struct popularity *counts = popularity_new();
	AUTO(sink) struct sink *out = NULL;
	AUTO(buf) struct buf text = BUF_INIT;

	/* First, as counting takes long. */
	if (output_open(o->output, &out, e) < 0 || count(o, counts, e) < 0)
		return -1;
	popularity_write_json(counts, 2, &text);
	if (!o->output) {
		(void)fputs(text.p, stdout);
		return 0;
	}
	if (sink_write(out, text.p, text.len, e) < 0 || sink_finish(out, e) < 0)
		return -1;
	return output_commit(out, e);
}

static bool
take_option(int opt, void *ctx)
{
	struct options *o = ctx;
	switch (opt) {
	case 'c':
		o->cache = optarg;
		return true;
	case 's':
		o->store_paths = optarg;
		return true;
	case 'l':
		o->local = true;
		return true;
	case 'L':
		o->learnt = true;
		return true;
	case 't':
		return cmd_option_number("--threads", MAX_THREADS, &o->threads);
	case 'w':
		o->work = optarg;
		return true;
	case 'o':
		o->output = optarg;
		return true;
	default:
		return false;
	}
}

int
cmd_popcount(int argc, char **argv)
{
	static const struct option names[] = {
		{"cache", required_argument, NULL, 'c'},
		{"store-paths", required_argument, NULL, 's'},
		{"local", no_argument, NULL, 'l'},
		{"learnt", no_argument, NULL, 'L'},
		{"threads", required_argument, NULL, 't'},
		{"work", required_argument, NULL, 'w'},
		{"output", required_argument, NULL, 'o'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	struct options o = {.threads = 16};
	struct err e = ERR_INIT;
	const struct cmd_options options = {"c:s:lLt:w:o:h", names, usage,
					    take_option, &o};
	int status;

	if (!cmd_options_read(&options, argc, argv, &status))
		return status;
	if (optind < argc || o.local + o.learnt + (o.cache != NULL) != 1 ||
	    (!o.cache && (o.store_paths || o.work)))
		return cmd_wrong_usage(usage);
	if (popcount(&o, &e) < 0)
		return cmd_fail(&e);
	return CMD_OK;
}
