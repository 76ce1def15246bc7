/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/json.h"
#include "core/build.h"
#include "core/config.h"
#include "core/store/store.h"
#include "core/sys/fs.h"
#include "deploy/firn/cmd.h"
#include "deploy/firn/engine.h"
#include "deploy/firn/options.h"

static const char usage[] =
	"usage: firn verify [OPTION]...\n"
	"\n"
	"Read every blob in the storage directory (FIRN_STORAGE_PATH), and "
	"print those\n"
	"whose bytes are not what their digests say.\n"
	"\n"
	"  --repair  remove them, so that they are made again at the next "
	"pull\n"
	"  --json    print an object for each: digest, size, removed\n"
	"  --quiet   no progress\n"
	"  --help    this\n";

struct verify {
	const struct config *config;
	struct store *store;
	bool repair;
	bool json;
	bool progress;
	uint64_t n, bytes, damaged;
	uint64_t left; /* damaged, and still there */
};

static void
print_damaged(const struct verify *v, const struct store_item *item,
	      bool removed)
{
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(json_out) struct json_out out = {.gen = NULL};
	char digest[DIGEST_TEXT_CAP];

	digest_text(&item->digest, digest);
	if (!v->json) {
		printf("%s %" PRIu64 "%s\n", digest, item->size,
		       removed ? " removed" : "");
		return;
	}
	json_out_init(&out, &text);
	json_object(&out);
	json_kstr(&out, "digest", digest);
	json_knum(&out, "size", item->size);
	json_key(&out, "removed");
	json_bool(&out, removed);
	json_object_end(&out);
	puts(text.p);
}

/* One that can be opened, but not read to its end, is damaged too. */
static int
is_sound(const struct verify *v, const struct store_item *item, bool *ret,
	 struct err *e)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	AUTO(fd) int fd = -1;
	struct store_location at;
	struct err unread = ERR_INIT;
	struct digest got;

	*ret = true;
	if (store_locate(v->store, &item->digest, &at, e) < 0 ||
	    fs_open_read(
		    arena_printf(&a, "%s/%s", v->config->storage_path, at.at),
		    &fd, e) < 0) {
		/* Someone has cleaned up meanwhile. */
		if (e->kind != ERR_NOT_FOUND)
			return -1;
		err_clear(e);
		return 0;
	}
	*ret = fs_hash_range(fd, 0, at.size, &got, &unread) == 0 &&
	       digest_eq(&got, &item->digest);
	return 0;
}

static int
verify_blob(void *ctx, const struct store_item *item, struct err *e)
{
	struct verify *v = ctx;
	struct err stuck = ERR_INIT;
	bool sound, removed;

	if (v->progress)
		fprintf(stderr, "\r\033[K%" PRIu64 " blobs, %" PRIu64 " MB",
			v->n, v->bytes / 1000000);
	if (is_sound(v, item, &sound, e) < 0)
		return -1;
	v->n++;
	v->bytes += item->size;
	if (sound)
		return 0;
	v->damaged++;
	removed = v->repair &&
		  store_remove_blob(v->store, &item->digest, &stuck) == 0;
	if (!removed)
		v->left++;
	if (v->progress)
		fputs("\r\033[K", stderr);
	print_damaged(v, item, removed);
	if (stuck.kind != ERR_NONE)
		(void)cmd_fail(&stuck);
	return 0;
}

static int
verify(struct verify *v, struct err *e)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	const struct config *c = v->config;
	int r;

	if (strcmp(c->storage_backend, "filesystem") != 0)
		return err_set(e, ERR_INVALID,
			       "a bucket is not verified: its store does that");
	/* Opening makes what is missing; what is no storage stays as it is. */
	if (!fs_exists(arena_printf(&a, "%s/oci-layout", c->storage_path)))
		return err_set(e, ERR_NOT_FOUND, "%s is no storage",
			       c->storage_path);
	if (build_open_store(c, &v->store, e) < 0)
		return -1;
	r = store_list_blobs(v->store, verify_blob, v, e);
	store_free(v->store);
	if (v->progress)
		fputs("\r\033[K", stderr);
	if (r == 0)
		fprintf(stderr,
			"firn: %" PRIu64 " blobs, %" PRIu64
			" MB, of which %" PRIu64 " are damaged\n",
			v->n, v->bytes / 1000000, v->damaged);
	return r;
}

static bool
take_option(int opt, void *ctx)
{
	struct verify *v = ctx;

	if (opt == 'j')
		v->json = true;
	else if (opt == 'r')
		v->repair = true;
	else
		v->progress = false;
	return true;
}

int
cmd_verify(int argc, char **argv)
{
	static const struct option names[] = {
		{"json", no_argument, NULL, 'j'},
		{"quiet", no_argument, NULL, 'q'},
		{"repair", no_argument, NULL, 'r'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	struct verify v = {.progress = isatty(STDERR_FILENO) == 1};
	const struct cmd_options options = {"jqrh", names, usage, take_option,
					    &v};
	struct err e = ERR_INIT;
	struct config *config;
	int status, r;

	if (!cmd_options_read(&options, argc, argv, &status))
		return status;
	if (optind < argc)
		return cmd_wrong_usage(usage);
	if (config_read((const char *const *)environ, &config, &e) < 0)
		return cmd_fail(&e);
	v.config = config;
	r = verify(&v, &e);
	config_free(config);
	if (r < 0)
		return cmd_fail(&e);
	return v.left > 0 ? CMD_FAILED : CMD_OK;
}
