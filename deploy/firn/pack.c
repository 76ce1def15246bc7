/* SPDX-License-Identifier: Apache-2.0 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/digest.h"
#include "core/base/err.h"
#include "core/base/json.h"
#include "core/base/sink.h"
#include "core/pack/members.h"
#include "core/pack/pack.h"
#include "core/sys/cores.h"
#include "deploy/firn/cmd.h"
#include "deploy/firn/engine.h"
#include "deploy/firn/options.h"
#include "deploy/firn/output.h"

#define THREADS_MAX 256u

static const char usage[] =
	"usage: firn pack [OPTION]... STOREPATH...\n"
	"\n"
	"Pack store paths into one layer, as an image would have it, and say\n"
	"what it is: {\"digest\":...,\"diffId\":...,\"size\":N,\n"
	"\"compression\":...}. The layer depends on the paths and the\n"
	"compression alone.\n"
	"\n"
	"  -t, --threads N       threads that compress; default: the cores\n"
	"  -c, --compression C   gzip or zstd, perhaps with :LEVEL; default "
	"gzip\n"
	"  -o, --output FILE     write the layer there, whole or not at all\n"
	"      --root DIR        read the store paths below DIR\n"
	"      --members DIR     keep what is compressed there, and use it\n"
	"      --members-mib N   at most so much of it; default 1024\n"
	"  -h, --help            this\n";

struct options {
	uint64_t threads;
	struct compression compression;
	const char *output; /* NULL: the layer is only measured */
	const char *root;
	const char *members; /* NULL: none */
	uint64_t members_mib;
};

static void
print_layer(const struct layer *l)
{
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(json_out) struct json_out o;
	char digest[DIGEST_TEXT_CAP];

	json_out_init(&o, &text);
	json_object(&o);
	digest_text(&l->digest, digest);
	json_kstr(&o, "digest", digest);
	digest_text(&l->diff_id, digest);
	json_kstr(&o, "diffId", digest);
	json_knum(&o, "size", l->size);
	json_kstr(&o, "compression", compression_name(l->compression));
	json_object_end(&o);
	(void)puts(text.p);
}

static int
by_bytes(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int
pack(const struct options *o, char **paths, size_t n, struct err *e)
{
	AUTO(sink) struct sink *out = NULL;
	AUTO(members) struct members *members = NULL;
	struct pack_pool *pool;
	struct layer l;
	int r;

	qsort(paths, n, sizeof(*paths), by_bytes);
	if (o->members &&
	    members_open(o->members, o->members_mib << 20, &members, e) < 0)
		return -1;
	if (output_open(o->output, &out, e) < 0)
		return -1;
	pool = pack_pool_new((unsigned)o->threads, &o->compression);
	pack_pool_use_members(pool, members);
	r = pack_layer(pool,
		       &(struct pack_input){
			       .paths = (const char *const *)paths,
			       .n_paths = n,
			       .root = o->root,
		       },
		       out, &l, e);
	pack_pool_free(pool);
	if (r < 0 || output_commit(out, e) < 0)
		return -1;
	print_layer(&l);
	return 0;
}

static bool
take_option(int opt, void *ctx)
{
	struct options *o = ctx;
	struct err e = ERR_INIT;

	switch (opt) {
	case 't':
		return cmd_option_number("--threads", THREADS_MAX, &o->threads);
	case 'c':
		if (compression_parse(optarg, &o->compression, &e) == 0)
			return true;
		(void)cmd_fail(&e);
		return false;
	case 'o':
		o->output = optarg;
		return true;
	case 'r':
		o->root = optarg;
		return true;
	case 'm':
		o->members = optarg;
		if (*optarg != '\0')
			return true;
		err_set(&e, ERR_INVALID, "--members: no directory");
		(void)cmd_fail(&e);
		return false;
	case 'M':
		return cmd_option_number("--members-mib", UINT64_MAX >> 20,
					 &o->members_mib);
	default:
		return false;
	}
}

int
cmd_pack(int argc, char **argv)
{
	static const struct option names[] = {
		{"threads", required_argument, NULL, 't'},
		{"compression", required_argument, NULL, 'c'},
		{"output", required_argument, NULL, 'o'},
		{"root", required_argument, NULL, 'r'},
		{"members", required_argument, NULL, 'm'},
		{"members-mib", required_argument, NULL, 'M'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	struct options o = {
		.threads = cores_count(),
		.root = "",
		.members_mib = 1024,
	};
	struct err e = ERR_INIT;
	const struct cmd_options options = {"t:c:o:h", names, usage,
					    take_option, &o};
	int status;

	if (compression_parse("gzip", &o.compression, &e) < 0)
		return cmd_fail(&e);
	if (!cmd_options_read(&options, argc, argv, &status))
		return status;
	if (optind == argc)
		return cmd_wrong_usage(usage);
	if (pack(&o, argv + optind, (size_t)(argc - optind), &e) < 0)
		return cmd_fail(&e);
	return CMD_OK;
}
