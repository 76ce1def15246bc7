/* SPDX-License-Identifier: Apache-2.0 */
/* SBOMs of an image in a storage in memory; no Nix is needed. */

#include "core/attach.h"
#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/cache.h"
#include "core/jobs.h"
#include "core/model/artifact.h"
#include "core/model/graph.h"
#include "core/model/image.h"
#include "core/model/manifest.h"
#include "core/model/sbom.h"
#include "core/nix.h"
#include "core/state.h"
#include "core/store/store.h"
#include "tests/support/must.h"
#include "tests/support/store_mem.h"
#include "tests/support/tap.h"
#include "tests/support/tree.h"

#define STORE "/nix/store/"
#define BASH STORE "00000000000000000000000000000000-bash-5.2"
#define GLIBC STORE "11111111111111111111111111111111-glibc-2.36"
#define OTHER STORE "22222222222222222222222222222222-other-1"

static const size_t bash_refs[] = {1};
static struct graph_node nodes[] = {
	{.path = BASH, .nar_size = 1, .refs = bash_refs, .n_refs = 1},
	{.path = GLIBC, .nar_size = 2},
	{.path = OTHER, .nar_size = 3},
};
/* The image has the first two. */
static const struct graph closure = {.nodes = nodes, .n = 2};
static const struct graph larger = {.nodes = nodes, .n = 3};
static const struct graph smaller = {.nodes = nodes, .n = 1};

static struct nix_output output = {
	.attribute = "bash",
	.output = "out",
	.path = BASH,
	.license = "GPL-3.0-or-later",
};
static const struct nix_outputs outputs = {.v = &output, .n = 1};

/* A manifest whose layers are the two paths and one without paths. */
static struct manifest_info
make_image(struct store *st, const char *arch)
{
	static const char *const bash[] = {BASH}, *const glibc[] = {GLIBC};
	AUTO(buf) struct buf config = BUF_INIT, manifest = BUF_INIT;
	struct manifest_layer layers[] = {
		{.paths = glibc, .n_paths = 1},
		{.paths = bash, .n_paths = 1},
		{.comment = "links"},
	};
	struct manifest_input in = {
		.platform = platform_find(arch),
		.layers = layers,
		.n_layers = ARRAY_LEN(layers),
		.created = 1700665445,
		.path = "/bin",
	};
	struct manifest_info ret = {.media_type = MEDIA_TYPE_MANIFEST};
	struct err e = ERR_INIT;
	struct digest d;

	for (size_t i = 0; i < ARRAY_LEN(layers); i++)
		must(store_put(st, &i, sizeof(i), &layers[i].layer.digest, &e),
		     &e);
	manifest_write_config(&in, &config);
	must(store_put(st, config.p, config.len, &d, &e), &e);
	manifest_write(&in, &d, config.len, &manifest);
	must(store_put(st, manifest.p, manifest.len, &ret.digest, &e), &e);
	ret.size = manifest.len;
	return ret;
}

static struct cache
open_cache(struct store *st, const char *dir)
{
	struct cache c = {.store = st};
	struct err e = ERR_INIT;

	must(state_open(tree_path("%s", dir), &c.state, &e), &e);
	return c;
}

/* What is attached, from its index; n 0 when nothing is. */
static struct referrers
list(const struct cache *c, struct arena *a, const struct digest *subject,
     struct digest *ret)
{
	AUTO(buf) struct buf text = BUF_INIT;
	struct referrers r = {.n = 0};
	struct manifest_info info;
	struct err e = ERR_INIT;
	bool found;

	must(cache_find_referrers(c, subject, true, &found, &info, &e), &e);
	if (!found)
		return r;
	must(store_read(c->store, &info.digest, MANIFEST_MAX, &text, &e), &e);
	must(referrers_read(a, text.p, text.len, &r, &e), &e);
	if (ret)
		*ret = info.digest;
	return r;
}

static size_t
count(const struct cache *c, const struct digest *subject)
{
	AUTO(arena) struct arena a = ARENA_INIT;

	return list(c, &a, subject, NULL).n;
}

/* The document of the ith artifact of a subject. */
static void
read_document(const struct cache *c, const struct digest *subject, size_t i,
	      struct digest *ret, struct buf *to)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	AUTO(buf) struct buf text = BUF_INIT;
	struct referrers r = list(c, &a, subject, NULL);
	struct artifact artifact;
	struct err e = ERR_INIT;

	must(store_read(c->store, &r.v[i].digest, MANIFEST_MAX, &text, &e), &e);
	must(artifact_read(&a, text.p, text.len, &artifact, &e), &e);
	must(store_read(c->store, &artifact.document, 1u << 20, to, &e), &e);
	*ret = artifact.document;
}

static void
test_image(struct store *st)
{
	struct cache c = open_cache(st, "image"), other;
	struct attach at = {.wanted = true, .cache = &c, .name = "bash"};
	struct manifest_info im = make_image(st, "amd64");
	AUTO(arena) struct arena a = ARENA_INIT;
	AUTO(buf) struct buf text = BUF_INIT;
	struct digest first, again, document;
	struct referrers r;

	ok(attach_is_needed(&at, &im.digest), "an image has no SBOMs");
	attach_to_image(&at, &im, &outputs, &closure);
	ok(!attach_is_needed(&at, &im.digest), "they are attached");
	r = list(&c, &a, &im.digest, &first);
	is_u64(r.n, SBOM_FORMATS, "one of each format");
	for (size_t i = 0; i < r.n; i++)
		is_str(r.v[i].type, sbom_media_type((enum sbom_format)i),
		       "  of its type");
	is_str(r.v[0].created, "2023-11-22T15:04:05Z", "  as old as the image");
	is_str(r.v[0].platform, "linux/amd64", "  for its platform");
	read_document(&c, &im.digest, 0, &document, &text);
	ok(strstr(text.p, BASH) && strstr(text.p, GLIBC) &&
		   strstr(text.p, "GPL-3.0-or-later"),
	   "  that names the paths, and the licence");

	other = open_cache(st, "image-2");
	r = list(&other, &a, &im.digest, &again);
	ok(r.n == SBOM_FORMATS && digest_eq(&first, &again),
	   "another database finds them by the record");
	store_mem_remove(st, &document);
	ok(attach_is_needed(&at, &im.digest), "a document is lost");
	attach_to_image(&at, &im, &outputs, &closure);
	r = list(&c, &a, &im.digest, &again);
	ok(r.n == SBOM_FORMATS && digest_eq(&first, &again),
	   "it is made again, to the same bytes");
	state_free(other.state);
	state_free(c.state);
}

static void
test_not_made(struct store *st)
{
	struct cache c = open_cache(st, "not-made");
	struct attach at = {.cache = &c, .name = "bash"};
	struct manifest_info im = make_image(st, "arm64"), none = {.size = 1};

	ok(!attach_is_needed(&at, &im.digest), "they are not wanted");
	attach_to_image(&at, &im, &outputs, &closure);
	is_u64(count(&c, &im.digest), 0, "none is made");
	at.wanted = true;
	attach_to_image(&at, &im, &outputs, &larger);
	is_u64(count(&c, &im.digest), 0, "nor for a closure with a path more");
	attach_to_image(&at, &im, &outputs, &smaller);
	is_u64(count(&c, &im.digest), 0, "nor for one with a path less");
	nodes[1].n_refs = SBOM_MAX_ENTRIES;
	attach_to_image(&at, &im, &outputs, &closure);
	nodes[1].n_refs = 0;
	is_u64(count(&c, &im.digest), 0, "nor for one that is too large");
	attach_to_image(&at, &none, &outputs, &closure);
	is_u64(count(&c, &none.digest), 0, "nor for what isn't there");
	attach_to_other(&at, &none, &im.digest, 1);
	is_u64(count(&c, &none.digest), 0, "there is nothing to share");
	state_free(c.state);
}

static void
test_others(struct store *st)
{
	struct cache c = open_cache(st, "others");
	struct attach at = {.wanted = true, .cache = &c, .name = "bash"};
	struct manifest_info amd = make_image(st, "amd64");
	struct manifest_info arm = make_image(st, "arm64");
	struct manifest_info form = {.size = 7,
				     .media_type = MEDIA_TYPE_DOCKER_MANIFEST};
	struct manifest_info index = {.size = 8,
				      .media_type = MEDIA_TYPE_INDEX};
	struct digest both[2] = {amd.digest, arm.digest}, a1, a2;
	AUTO(buf) struct buf one = BUF_INIT, two = BUF_INIT;
	AUTO(arena) struct arena a = ARENA_INIT;
	struct referrers r;

	digest_of("form", 4, &form.digest);
	digest_of("index", 5, &index.digest);
	attach_to_image(&at, &amd, &outputs, &closure);
	attach_to_image(&at, &arm, &outputs, &closure);
	attach_to_other(&at, &form, both, 1);
	is_u64(count(&c, &form.digest), 2, "another form has them too");
	read_document(&c, &amd.digest, 1, &a1, &one);
	read_document(&c, &form.digest, 1, &a2, &two);
	ok(digest_eq(&a1, &a2), "  the same documents");
	r = list(&c, &a, &form.digest, NULL);
	ok(!digest_eq(&r.v[1].digest, &a1) &&
		   !digest_eq(&r.v[1].digest,
			      &list(&c, &a, &amd.digest, NULL).v[1].digest),
	   "  in manifests of its own");
	attach_to_other(&at, &index, both, 2);
	r = list(&c, &a, &index.digest, NULL);
	ok(r.n == 4 && strcmp(r.v[0].platform, "linux/amd64") == 0 &&
		   strcmp(r.v[3].platform, "linux/arm64") == 0,
	   "an index has those of its images");
	state_free(c.state);
}

int
main(void)
{
	struct store *st = store_mem_new();

	tree_init();
	test_image(st);
	test_not_made(st);
	test_others(st);
	tree_done();
	store_free(st);
	return done_testing();
}
