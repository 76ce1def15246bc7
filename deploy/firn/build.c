/* SPDX-License-Identifier: Apache-2.0 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/json.h"
#include "core/engine.h"
#include "core/model/image.h"
#include "core/model/source.h"
#include "deploy/firn/cmd.h"
#include "deploy/firn/engine.h"
#include "deploy/firn/options.h"

static const char usage[] =
	"usage: firn build [OPTION]... NAME[:TAG]...\n"
	"\n"
	"Build images into the storage that the environment names, so that "
	"the\n"
	"first pull finds them, and print the digest of each manifest.\n"
	"\n"
	"  --json   print an object for each: name, tag, digest, mediaType, "
	"size\n"
	"  --quiet  no progress\n"
	"  --help   this\n";

struct build_options {
	bool json;
	bool progress;
};

/* Redraw the line of progress while the job runs. */
static void
wait_for(struct job *j, const char *what, bool progress)
{
	while (!job_wait(j, 100)) {
		AUTO(buf) struct buf line = BUF_INIT;

		if (!progress)
			continue;
		job_progress(j, &line);
		fprintf(stderr, "\r\033[K%s: %s", what, line.p);
		(void)fflush(stderr);
	}
	if (progress)
		fputs("\r\033[K", stderr);
}

static void
print_result(const struct image *im, const char *tag,
	     const struct manifest_info *m, const struct build_options *o)
{
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(json_out) struct json_out out = {.gen = NULL};
	char digest[DIGEST_TEXT_CAP];

	digest_text(&m->digest, digest);
	if (!o->json) {
		printf("%s %s:%s\n", digest, im->name, tag);
		return;
	}
	json_out_init(&out, &text);
	json_object(&out);
	json_kstr(&out, "name", im->name);
	json_kstr(&out, "tag", tag);
	json_kstr(&out, "digest", digest);
	json_kstr(&out, "mediaType", m->media_type);
	json_knum(&out, "size", m->size);
	json_object_end(&out);
	puts(text.p);
}

static int
build_one(struct engine *g, const char *what, const struct build_options *o,
	  struct err *e)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	struct str rest = str_of(what), name = {.p = NULL};
	const struct manifest_accept accept = {.oci_index = true,
					       .oci_manifest = true};
	const char *tag = SOURCE_TAG_DEFAULT;
	struct manifest_info m;
	struct image im;
	struct job *j;
	enum job_state s;

	(void)str_cut(&rest, ':', &name);
	if (rest.p)
		tag = arena_strndup(&a, rest.p, rest.n);
	if (image_parse(&a, arena_strndup(&a, name.p, name.n), &im, e) < 0)
		return -1;
	if (engine_start(g, &im, tag, &accept, &j, e) < 0)
		return -1;
	wait_for(j, what, o->progress);
	s = job_poll(j, &m, e);
	job_release(j);
	if (s != JOB_DONE)
		return -1;
	print_result(&im, tag, &m, o);
	return 0;
}

static bool
take_option(int opt, void *ctx)
{
	struct build_options *o = ctx;

	if (opt == 'j')
		o->json = true;
	else
		o->progress = false;
	return true;
}

int
cmd_build(int argc, char **argv)
{
	static const struct option names[] = {
		{"json", no_argument, NULL, 'j'},
		{"quiet", no_argument, NULL, 'q'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	struct build_options o = {.progress = isatty(STDERR_FILENO) == 1};
	struct config *config;
	struct engine *g;
	struct err e = ERR_INIT;
	const struct cmd_options options = {"jqh", names, usage, take_option,
					    &o};
	int status = CMD_OK;

	if (!cmd_options_read(&options, argc, argv, &status))
		return status;
	if (optind == argc)
		return cmd_wrong_usage(usage);
	if (cmd_engine_open(&config, &g, &e) < 0)
		return cmd_fail(&e);
	engine_keep_quiet(g);
	for (int i = optind; i < argc; i++) {
		err_clear(&e);
		if (build_one(g, argv[i], &o, &e) < 0) {
			(void)err_wrap(&e, "%s", argv[i]);
			status = cmd_fail(&e);
		}
	}
	cmd_engine_close(config, g);
	return status;
}
