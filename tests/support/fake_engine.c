/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An engine without Nix, behind the interface of core/engine.h, to test what
 * stands before it. The last package of a name says what happens:
 *
 *	wait-N      is built for N milliseconds, then it is there
 *	never       is built for ever
 *	broken, refused, missing, slow, cloud, disk
 *	            the build ends with ERR_BUILD, _DENIED, _NOT_FOUND,
 *	            _TIMEOUT, _UPSTREAM, _SYSTEM
 *	large       is there, with a manifest of a megabyte
 *	others      are there
 *
 * The tag is "latest"; others are ERR_NOT_FOUND. Jobs and storage are real. Of
 * all manifests only the one whose digest is that of the word "subject" has
 * something attached: an artifact of the type "a/b", and one of "c/d+e". Of
 * builds there are 0123456789abcdef0123456789abcdef, which runs, and others
 * that end in another digit, which have ended; the one with "d" said a
 * megabyte.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/digest.h"
#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/vec.h"
#include "core/config.h"
#include "core/engine.h"
#include "core/model/artifact.h"
#include "core/model/image.h"
#include "core/model/manifest.h"
#include "core/model/source.h"
#include "core/store/store.h"
#include "core/sys/clock.h"

#define LAYER_BYTES 100000u
#define MEGABYTE 1000000u

struct fake_image {
	char *name;
	struct manifest_info info;
};

struct engine {
	struct store *store;
	struct jobs *jobs;
	struct digest config, layer;
	uint64_t config_size;
	pthread_mutex_t lock; /* of what follows */
	struct {
		VEC(struct fake_image);
	} built;
	struct engine_stats stats;
};

static const struct {
	const char *package;
	enum err_kind kind;
	const char *text;
} failures[] = {
	{"broken", ERR_BUILD, "the build of 'broken' failed: exit code 2"},
	{"refused", ERR_DENIED, "'refused' has an unfree licence"},
	{"missing", ERR_NOT_FOUND, "there is no package 'missing'"},
	{"slow", ERR_TIMEOUT, "the build of 'slow' took over 60 seconds"},
	{"cloud", ERR_UPSTREAM, "nix: no daemon at /secret/socket"},
	{"disk", ERR_SYSTEM, "storage: /secret/blobs: no space"},
};

static const char *
last_package(const char *name)
{
	const char *slash = strrchr(name, '/');

	return slash ? slash + 1 : name;
}

/* Milliseconds to build; 0: it is there already; UINT64_MAX: for ever. */
static uint64_t
build_ms(const char *name)
{
	const char *p = last_package(name);
	uint64_t ms = 0;

	if (strcmp(p, "never") == 0)
		return UINT64_MAX;
	if (str_has_prefix(p, "wait-"))
		(void)str_to_u64(str_of(p + 5), 3600000, &ms);
	return ms;
}

static bool
is_failure(const char *name, size_t *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(failures); i++) {
		if (strcmp(last_package(name), failures[i].package) == 0) {
			*ret = i;
			return true;
		}
	}
	return false;
}

static void
fill(struct buf *to)
{
	while (to->len < MEGABYTE)
		buf_adds(to,
			 "                                              \n");
}

/* A manifest that only this name has, over the one layer of all images. */
static int
put_manifest(struct engine *g, const char *name, struct manifest_info *ret,
	     struct err *e)
{
	AUTO(buf) struct buf text = BUF_INIT;
	char config[DIGEST_TEXT_CAP], layer[DIGEST_TEXT_CAP];

	digest_text(&g->config, config);
	digest_text(&g->layer, layer);
	buf_printf(&text,
		   "{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_TYPE_MANIFEST
		   "\",\"config\":{\"mediaType\":\"" MEDIA_TYPE_CONFIG
		   "\",\"digest\":\"%s\",\"size\":%llu},\"layers\":[{"
		   "\"mediaType\":\"application/vnd.oci.image.layer.v1.tar\","
		   "\"digest\":\"%s\",\"size\":%u}],\"annotations\":{"
		   "\"name\":\"%s\"}}",
		   config, (unsigned long long)g->config_size, layer,
		   LAYER_BYTES, name);
	if (strcmp(last_package(name), "large") == 0)
		fill(&text);
	ret->media_type = MEDIA_TYPE_MANIFEST;
	ret->size = text.len;
	return store_put(g->store, text.p, text.len, &ret->digest, e);
}

static bool
is_built(struct engine *g, const char *name, struct manifest_info *ret)
{
	bool found = false;

	(void)pthread_mutex_lock(&g->lock);
	for (size_t i = 0; i < g->built.n && !found; i++) {
		found = strcmp(g->built.v[i].name, name) == 0;
		if (found)
			*ret = g->built.v[i].info;
	}
	(void)pthread_mutex_unlock(&g->lock);
	return found;
}

static int
add_built(struct engine *g, const char *name, struct manifest_info *ret,
	  struct err *e)
{
	if (put_manifest(g, name, ret, e) < 0)
		return -1;
	(void)pthread_mutex_lock(&g->lock);
	vec_push(&g->built,
		 ((struct fake_image){.name = xstrdup(name), .info = *ret}));
	(void)pthread_mutex_unlock(&g->lock);
	return 0;
}

static int
finish(struct engine *g, const char *name, struct manifest_info *ret,
       struct err *e)
{
	size_t i;

	if (is_failure(name, &i)) {
		err_set(e, failures[i].kind, "%s", failures[i].text);
		err_set_detail(e, "the log's\nlast line", 19);
		return -1;
	}
	return add_built(g, name, ret, e);
}

static int
run_job(void *ctx, struct job *j, void *payload, struct manifest_info *ret,
	struct err *e)
{
	const struct timespec tick = {.tv_nsec = 10000000};
	struct engine *g = ctx;
	const char *name = payload;
	uint64_t ms = build_ms(name), start = clock_ms();
	int rc;

	(void)pthread_mutex_lock(&g->lock);
	g->stats.builds_running++;
	(void)pthread_mutex_unlock(&g->lock);
	job_set_progress(j, "sleeping for <%s>", name);
	while (clock_ms() - start < ms && !atomic_load(job_cancel_flag(j)))
		(void)nanosleep(&tick, NULL);
	rc = finish(g, name, ret, e);
	(void)pthread_mutex_lock(&g->lock);
	g->stats.builds_running--;
	g->stats.builds_done += rc == 0;
	g->stats.builds_failed += rc != 0;
	(void)pthread_mutex_unlock(&g->lock);
	return rc;
}

static int
put_blobs(struct engine *g, struct err *e)
{
	static const char config[] =
		"{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{},"
		"\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"%s\"]}}";
	char *layer = xcalloc(1, LAYER_BYTES);
	AUTO(buf) struct buf text = BUF_INIT;
	char diff[DIGEST_TEXT_CAP];
	int rc;

	/* An empty tar archive is zeros. */
	rc = store_put(g->store, layer, LAYER_BYTES, &g->layer, e);
	free(layer);
	if (rc < 0)
		return -1;
	digest_text(&g->layer, diff);
	for (const char *p = config; *p; p++) {
		if (p[0] == '%') {
			buf_adds(&text, diff);
			p++;
		} else {
			buf_addc(&text, *p);
		}
	}
	g->config_size = text.len;
	return store_put(g->store, text.p, text.len, &g->config, e);
}

int
engine_open(const struct config *config, struct engine **ret, struct err *e)
{
	struct engine *g = xcalloc(1, sizeof(*g));
	const struct store_options storage = {
		.backend = "filesystem",
		.path = config->storage_path,
	};
	struct jobs_options o = {
		.threads = (unsigned)config->max_builds,
		.max_queue = config->max_queue,
		.run = run_job,
		.free_payload = free,
		.ctx = g,
	};

	(void)pthread_mutex_init(&g->lock, NULL);
	if (store_open(&storage, &g->store, e) < 0 || put_blobs(g, e) < 0) {
		store_free(g->store);
		free(g);
		return -1;
	}
	g->jobs = jobs_new(&o);
	*ret = g;
	return 0;
}

void
engine_free(struct engine *g)
{
	jobs_stop(g->jobs);
	jobs_free(g->jobs);
	store_free(g->store);
	for (size_t i = 0; i < g->built.n; i++)
		free(g->built.v[i].name);
	vec_release(&g->built);
	(void)pthread_mutex_destroy(&g->lock);
	free(g);
}

int
engine_find(struct engine *g, const struct image *image, const char *tag,
	    const struct manifest_accept *accept UNUSED, bool *ret_found,
	    struct manifest_info *ret, struct err *e)
{
	size_t i;

	if (strcmp(tag, "latest") != 0)
		return err_set(e, ERR_NOT_FOUND, "there is no revision '%s'",
			       tag);
	*ret_found = is_built(g, image->name, ret);
	if (*ret_found || is_failure(image->name, &i) ||
	    build_ms(image->name) > 0)
		return 0;
	*ret_found = true;
	return add_built(g, image->name, ret, e);
}

int
engine_choose_form(struct engine *g UNUSED,
		   const struct manifest_accept *accept UNUSED,
		   const struct manifest_info *oci, struct manifest_info *ret,
		   struct err *e UNUSED)
{
	*ret = *oci;
	return 0;
}

int
engine_find_digest(struct engine *g, const struct digest *d,
		   struct manifest_info *ret, struct err *e)
{
	AUTO(buf) struct buf text = BUF_INIT;

	if (store_read(g->store, d, MANIFEST_MAX, &text, e) < 0)
		return -1;
	if (!strstr(text.p, MEDIA_TYPE_MANIFEST))
		return err_set(e, ERR_NOT_FOUND, "no such manifest");
	*ret = (struct manifest_info){
		.digest = *d,
		.size = text.len,
		.media_type = MEDIA_TYPE_MANIFEST,
	};
	return 0;
}

int
engine_read_manifest(struct engine *g, const struct digest *d, struct buf *to,
		     struct err *e)
{
	return store_read(g->store, d, MANIFEST_MAX, to, e);
}

int
engine_index_missing(struct engine *g UNUSED,
		     const struct manifest_info *info UNUSED,
		     struct buf *to UNUSED, struct err *e UNUSED)
{
	return 0;
}

void
engine_probe(struct engine *g UNUSED)
{
}

int
engine_read_log(struct engine *g UNUSED, const char *id, struct buf *to,
		bool *ret_running, struct err *e)
{
	static const char known[] = "0123456789abcdef0123456789abcdef";

	if (strncmp(id, known, 31) != 0)
		return err_set(e, ERR_NOT_FOUND, "no such build");
	*ret_running = id[31] == 'f';
	buf_adds(to, "== a build\n<script>alert(1)</script>\n");
	if (id[31] == 'd')
		fill(to);
	return 0;
}

int
engine_find_referrers(struct engine *g, const struct digest *subject,
		      bool *ret_found, struct manifest_info *ret, struct err *e)
{
	AUTO(buf) struct buf text = BUF_INIT;
	struct referrer v[] = {
		{.size = 1, .type = "a/b", .created = "x", .platform = "y"},
		{.size = 2, .type = "c/d+e", .created = "x", .platform = "y"},
	};
	const struct referrers list = {v, ARRAY_LEN(v)};
	struct digest known;

	digest_of("subject", 7, &known);
	*ret_found = digest_eq(subject, &known);
	if (!*ret_found)
		return 0;
	referrers_write(&list, &text);
	ret->size = text.len;
	ret->media_type = MEDIA_TYPE_INDEX;
	return store_put(g->store, text.p, text.len, &ret->digest, e);
}

int
engine_locate(struct engine *g, const struct digest *d,
	      struct store_location *ret, struct err *e)
{
	return store_locate(g->store, d, ret, e);
}

const char *
engine_delivery(const struct engine *g)
{
	return store_delivery_name(g->store);
}

int
engine_start(struct engine *g, const struct image *image, const char *tag,
	     const struct manifest_accept *accept UNUSED, struct job **ret,
	     struct err *e)
{
	struct digest key;

	(void)tag;
	digest_of(image->name, strlen(image->name), &key);
	return jobs_start(g->jobs, &key, xstrdup(image->name), ret, e);
}

static int
by_bytes(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Of v, sorted, at most max after last. */
static void
cut_page(const char **v, size_t n, const char *last, size_t max,
	 struct engine_names *ret)
{
	qsort(v, n, sizeof(*v), by_bytes);
	while (n > 0 && last && strcmp(v[0], last) <= 0) {
		v++;
		n--;
	}
	ret->v = v;
	ret->n = n < max ? n : max;
	ret->more = n > max;
}

int
engine_list_tags(struct engine *g, const struct image *image, const char *last,
		 size_t max, struct arena *a, struct engine_names *ret,
		 struct err *e)
{
	const char **v = arena_alloc(a, 1, sizeof(*v));
	struct manifest_info info;

	(void)e;
	v[0] = SOURCE_TAG_DEFAULT;
	cut_page(v, is_built(g, image->name, &info), last, max, ret);
	return 0;
}

int
engine_list_images(struct engine *g, const char *last, size_t max,
		   struct arena *a, struct engine_names *ret, struct err *e)
{
	const char **v;
	size_t n;

	(void)e;
	(void)pthread_mutex_lock(&g->lock);
	n = g->built.n;
	v = arena_alloc(a, n + 1, sizeof(*v));
	for (size_t i = 0; i < n; i++)
		v[i] = arena_strdup(a, g->built.v[i].name);
	(void)pthread_mutex_unlock(&g->lock);
	cut_page(v, n, last, max, ret);
	return 0;
}

void
engine_on_end(struct engine *g, void (*fn)(void *ctx), void *ctx)
{
	jobs_on_end(g->jobs, fn, ctx);
}

/* Not ready while the environment says so: the test's, read at each call. */
int
engine_check(struct engine *g, struct err *e)
{
	if (getenv("FAKE_NOT_READY"))
		return err_set(e, ERR_SYSTEM, "storage: /secret/path is full");
	return store_check(g->store, e);
}

void
engine_stats(struct engine *g, struct engine_stats *ret)
{
	(void)pthread_mutex_lock(&g->lock);
	*ret = g->stats;
	(void)pthread_mutex_unlock(&g->lock);
	jobs_count(g->jobs, &ret->builds_running, &ret->builds_queued);
}
