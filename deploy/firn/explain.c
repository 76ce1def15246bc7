/* SPDX-License-Identifier: Apache-2.0 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/config.h"
#include "core/counts.h"
#include "core/model/graph.h"
#include "core/model/layers.h"
#include "core/model/popularity.h"
#include "core/sys/fs.h"
#include "core/sys/log.h"
#include "deploy/firn/closure.h"
#include "deploy/firn/cmd.h"
#include "deploy/firn/engine.h"
#include "deploy/firn/options.h"

#define DEFAULT_BUDGET 94u
#define MAX_BUDGET 1000000u
#define POPULARITY_FILE_MAX ((size_t)128 << 20)

static const char usage[] =
	"usage: firn explain [OPTION]... NAME[:TAG]\n"
	"       firn explain [OPTION]... --graph FILE\n"
	"\n"
	"Show how an image, or the closure in a file, is cut into layers, and "
	"why.\n"
	"NAME is built or fetched first, with the package source that the\n"
	"environment names. FILE has the JSON of Nix's exportReferencesGraph, "
	"or\n"
	"what nix-store --dump-db prints; then neither Nix nor storage is "
	"needed.\n"
	"\n"
	"  -g, --graph FILE       explain the closure in FILE\n"
	"  -p, --popularity FILE  counts as firn popcount writes them; by "
	"default,\n"
	"                         with NAME, what the environment says\n"
	"  -b, --budget N         at most so many layers; default 94, or with\n"
	"                         NAME what the environment says. An image has "
	"one\n"
	"                         of them for its links and base files.\n"
	"  -a, --algorithm A      firn or nixery\n"
	"      --json             print an object\n"
	"  -h, --help             this\n";

struct options {
	const char *graph;      /* NULL: an image */
	const char *popularity; /* NULL: none */
	uint64_t budget;        /* 0: the default */
	const char *algorithm;  /* NULL: the default */
	bool json;
};

/* --- what is shown */

static void
print_json(const struct graph *g, const struct layer_options *o,
	   const struct layer_plans *plans)
{
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(json_out) struct json_out out;

	json_out_init(&out, &text);
	json_object(&out);
	json_kstr(&out, "algorithm", layers_algorithm_name(o->algorithm));
	json_knum(&out, "budget", o->budget);
	json_key(&out, "layers");
	json_array(&out);
	for (size_t i = 0; i < plans->n; i++) {
		const struct layer_plan *l = &plans->v[i];

		json_object(&out);
		json_key(&out, "paths");
		json_array(&out);
		for (size_t k = 0; k < l->n; k++)
			json_str(&out, g->nodes[l->paths[k]].path);
		json_array_end(&out);
		json_knum(&out, "size", l->size);
		json_knum(&out, "rating", l->rating);
		json_kstr(&out, "why", l->why);
		json_object_end(&out);
	}
	json_array_end(&out);
	json_object_end(&out);
	(void)puts(text.p);
}

struct sized {
	uint64_t size;
	const char *path;
};

static int
sized_cmp(const void *a, const void *b)
{
	const struct sized *x = a, *y = b;

	if (x->size != y->size)
		return x->size < y->size ? 1 : -1;
	return strcmp(graph_name_of(x->path), graph_name_of(y->path));
}

static void
print_layer(const struct graph *g, const struct layer_plan *l, size_t number)
{
	AUTO(mem) struct sized *v = xcalloc(l->n, sizeof(*v));
	char size[SIZE_TEXT_CAP];

	for (size_t k = 0; k < l->n; k++) {
		const struct graph_node *node = &g->nodes[l->paths[k]];

		v[k] = (struct sized){node->nar_size, node->path};
	}
	qsort(v, l->n, sizeof(*v), sized_cmp);
	printf("\nlayer %zu: %s, %zu %s, rating %llu\n    %s\n", number,
	       size_text(l->size, size), l->n, l->n == 1 ? "path" : "paths",
	       (unsigned long long)l->rating, l->why);
	for (size_t k = 0; k < l->n; k++)
		printf("    %9s  %s\n", size_text(v[k].size, size),
		       graph_name_of(v[k].path));
}

static void
print_text(const char *what, const struct graph *g,
	   const struct layer_options *o, const struct layer_plans *plans)
{
	uint64_t total = 0;
	char size[SIZE_TEXT_CAP];

	for (size_t i = 0; i < plans->n; i++)
		total += plans->v[i].size;
	printf("%s: %zu store paths, %s, in %zu layers of at most %zu "
	       "(algorithm %s)\n",
	       what, g->n, size_text(total, size), plans->n, o->budget,
	       layers_algorithm_name(o->algorithm));
	for (size_t i = 0; i < plans->n; i++)
		print_layer(g, &plans->v[i], i + 1);
}

/* --- what is asked */

static int
read_popularity(const char *file, struct popularity *to, struct err *e)
{
	AUTO(buf) struct buf text = BUF_INIT;

	if (fs_read_file(file, POPULARITY_FILE_MAX, &text, e) < 0)
		return -1;
	if (popularity_add_json(to, text.p, text.len, e) < 0)
		return err_wrap(e, "%s", file);
	return 0;
}

/* One of the image's layers is for its links; with a budget of one, none. */
static int
read_image(const char *what, struct arena *a, struct layer_options *o,
	   struct counts *counts, struct graph *ret, struct err *e)
{
	struct config *c;
	int r;

	if (config_read((const char *const *)environ, &c, e) < 0)
		return -1;
	log_set_level(getenv("FIRN_LOG_LEVEL") ? c->log_level : LOG_WARN);
	o->algorithm = c->layer_algorithm;
	if (o->budget == 0)
		o->budget = (size_t)c->layer_budget;
	if (o->budget > 1)
		o->budget--;
	r = closure_of_image(c, what, a, ret, e);
	if (r == 0 && c->popularity_url)
		counts_load(c->popularity_url, c->state_path, counts);
	config_free(c);
	return r;
}

static int
read_graph(const char *file, struct arena *a, struct layer_options *o,
	   struct graph *ret, struct err *e)
{
	if (o->budget == 0)
		o->budget = DEFAULT_BUDGET;
	if (closure_of_file(file, a, ret, e) < 0)
		return err_wrap(e, "%s", file);
	return 0;
}

static int
explain(const struct options *o, const char *what, struct counts *counts,
	struct err *e)
{
	AUTO(popularity) struct popularity *popularity = NULL;
	AUTO(arena) struct arena a = ARENA_INIT;
	struct layer_options plan = {.budget = (size_t)o->budget};
	struct layer_plans plans;
	struct graph g;

	if (o->graph ? read_graph(o->graph, &a, &plan, &g, e) < 0
		     : read_image(what, &a, &plan, counts, &g, e) < 0)
		return -1;
	if (o->algorithm &&
	    layers_algorithm_parse(o->algorithm, &plan.algorithm, e) < 0)
		return -1;
	plan.popularity = counts->popularity;
	if (o->popularity) {
		popularity = popularity_new();
		if (read_popularity(o->popularity, popularity, e) < 0)
			return -1;
		plan.popularity = popularity;
	}
	if (layers_plan(&a, &g, &plan, &plans, e) < 0)
		return -1;
	if (o->json)
		print_json(&g, &plan, &plans);
	else
		print_text(o->graph ? o->graph : what, &g, &plan, &plans);
	return 0;
}

static bool
take_option(int opt, void *ctx)
{
	struct options *o = ctx;
	enum layer_algorithm ignored;
	struct err e = ERR_INIT;

	switch (opt) {
	case 'g':
		o->graph = optarg;
		return true;
	case 'p':
		o->popularity = optarg;
		return true;
	case 'b':
		return cmd_option_number("--budget", MAX_BUDGET, &o->budget);
	case 'a':
		o->algorithm = optarg;
		if (layers_algorithm_parse(optarg, &ignored, &e) == 0)
			return true;
		(void)cmd_fail(&e);
		return false;
	case 'j':
		o->json = true;
		return true;
	default:
		return false;
	}
}

int
cmd_explain(int argc, char **argv)
{
	static const struct option names[] = {
		{"graph", required_argument, NULL, 'g'},
		{"popularity", required_argument, NULL, 'p'},
		{"budget", required_argument, NULL, 'b'},
		{"algorithm", required_argument, NULL, 'a'},
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	struct counts counts = {.popularity = NULL};
	struct options o = {.graph = NULL};
	struct err e = ERR_INIT;
	const struct cmd_options options = {"g:p:b:a:h", names, usage,
					    take_option, &o};
	int status;

	if (!cmd_options_read(&options, argc, argv, &status))
		return status;
	if ((optind == argc) == !o.graph || argc - optind > 1)
		return cmd_wrong_usage(usage);
	status = explain(&o, argv[optind], &counts, &e) < 0 ? cmd_fail(&e)
							    : CMD_OK;
	counts_release(&counts);
	return status;
}
