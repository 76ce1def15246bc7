/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/cache.h"
#include "core/jobs.h"
#include "core/model/image.h"
#include "core/model/manifest.h"
#include "core/recent.h"
#include "core/records.h"
#include "core/state.h"
#include "core/store/store.h"
#include "core/sys/log.h"
#include "tests/support/must.h"
#include "tests/support/store_mem.h"
#include "tests/support/tap.h"
#include "tests/support/tree.h"

/* An image in storage: two layers, a config, a manifest. */
struct stored {
	struct manifest_layer layers[2];
	struct digest config, manifest, key;
	uint64_t size;
};

static void
must_put(struct store *st, const void *p, size_t n, struct digest *ret)
{
	struct err e = ERR_INIT;

	must(store_put(st, p, n, ret, &e), &e);
}

static void
make_image(struct store *st, const char *name, struct stored *s)
{
	AUTO(buf) struct buf config = BUF_INIT, manifest = BUF_INIT;
	struct manifest_input in = {
		.platform = platform_find("amd64"),
		.layers = s->layers,
		.n_layers = ARRAY_LEN(s->layers),
		.path = "/bin",
	};

	*s = (struct stored){.size = 0};
	for (size_t i = 0; i < in.n_layers; i++) {
		AUTO(buf) struct buf text = BUF_INIT;
		struct layer *l = &s->layers[i].layer;

		buf_printf(&text, "layer %zu of %s", i, name);
		must_put(st, text.p, text.len, &l->digest);
		l->size = text.len;
		s->layers[i].comment = "x";
	}
	manifest_write_config(&in, &config);
	must_put(st, config.p, config.len, &s->config);
	manifest_write(&in, &s->config, config.len, &manifest);
	must_put(st, manifest.p, manifest.len, &s->manifest);
	s->size = manifest.len;
	digest_of(name, strlen(name), &s->key);
}

/* One of its blobs: layer 0, layer 1, config, manifest. */
static const struct digest *
blob_of(const struct stored *s, size_t which)
{
	const struct digest *const all[] = {&s->layers[0].layer.digest,
					    &s->layers[1].layer.digest,
					    &s->config, &s->manifest};

	return all[which];
}

static struct cache
open_cache(struct store *st, const char *dir)
{
	struct cache c = {.store = st};
	struct err e = ERR_INIT;

	must(state_open(tree_path("%s", dir), &c.state, &e), &e);
	return c;
}

/* Found, and described rightly? */
static bool
finds(const struct cache *c, const struct stored *s, enum cache_depth depth)
{
	struct manifest_info info = {.size = 0};
	struct err e = ERR_INIT;
	bool found = false;

	if (cache_find_image(c, &s->key, depth, &found, &info, &e) < 0) {
		printf("# %s\n", e.msg);
		return false;
	}
	return found && digest_eq(&info.digest, &s->manifest) &&
	       info.size == s->size &&
	       strcmp(info.media_type, MEDIA_TYPE_MANIFEST) == 0;
}

/* An answer, and the answer is no. */
static bool
misses(const struct cache *c, const struct digest *key, enum cache_depth depth)
{
	struct manifest_info info;
	struct err e = ERR_INIT;
	bool found = true;

	return cache_find_image(c, key, depth, &found, &info, &e) == 0 &&
	       !found;
}

static bool
is_stored(struct store *st, const struct digest *d)
{
	struct err e = ERR_INIT;
	bool found = false;

	return store_has(st, d, &found, NULL, &e) == 0 && found;
}

static void
test_tiers(struct store *st)
{
	struct cache c = open_cache(st, "tiers"), other;
	struct stored s;
	struct err e = ERR_INIT;
	size_t reads;

	make_image(st, "tiers", &s);
	ok(misses(&c, &s.key, CACHE_FAR), "nothing is there");
	ok(cache_put_image(&c, &s.key, &s.manifest, &e) == 0 &&
		   finds(&c, &s, CACHE_NEAR) && finds(&c, &s, CACHE_FAR),
	   "what was put is found");
	other = open_cache(st, "tiers-2");
	reads = store_mem_reads(st);
	ok(misses(&other, &s.key, CACHE_NEAR), "not in another database");
	is_u64(store_mem_reads(st), reads, "  and no record was read");
	ok(finds(&other, &s, CACHE_FAR), "but in the records");
	reads = store_mem_reads(st);
	ok(finds(&other, &s, CACHE_NEAR) && finds(&other, &s, CACHE_FAR),
	   "from then on in the database too");
	is_u64(store_mem_reads(st), reads, "  without another look");
	state_free(other.state);
	state_free(c.state);
}

/* B6: whatever is missing, the image is not found, in either tier. */
static void
test_missing(struct store *st)
{
	const char *const names[] = {"layer 0", "layer 1", "config",
				     "manifest"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct cache c = open_cache(st, "missing"), fresh;
		struct stored s;
		struct err e = ERR_INIT;

		make_image(st, names[i], &s);
		ok(cache_put_image(&c, &s.key, &s.manifest, &e) == 0 &&
			   finds(&c, &s, CACHE_NEAR),
		   "an image whose %s gets lost", names[i]);
		store_mem_remove(st, blob_of(&s, i));
		ok(misses(&c, &s.key, CACHE_NEAR) &&
			   misses(&c, &s.key, CACHE_FAR),
		   "  is not found");
		fresh = open_cache(st, names[i]);
		ok(misses(&fresh, &s.key, CACHE_FAR),
		   "  by a new database neither");
		make_image(st, names[i], &s);
		ok(finds(&c, &s, CACHE_NEAR) && finds(&fresh, &s, CACHE_FAR),
		   "  until it is there again");
		state_free(fresh.state);
		state_free(c.state);
	}
}

/* No file may grow, as on a disk that is full. */
static void
fill_disk(bool full)
{
	struct rlimit l = {.rlim_max = RLIM_INFINITY};

	if (getrlimit(RLIMIT_FSIZE, &l) < 0)
		exit(1);
	l.rlim_cur = full ? 0 : l.rlim_max;
	(void)signal(SIGXFSZ, SIG_IGN);
	if (setrlimit(RLIMIT_FSIZE, &l) < 0)
		exit(1);
}

/* What can't be remembered costs lookups, no answers. */
static void
test_full_disk(struct store *st)
{
	struct cache c = open_cache(st, "full"), other;
	struct manifest_info info = {.size = 0};
	struct layer got = {.size = 0}, *l;
	bool found[6] = {false}, kept = true;
	struct err e = ERR_INIT;
	struct digest key;
	struct stored s;
	int r;

	make_image(st, "full", &s);
	l = &s.layers[0].layer;
	digest_of("new", 3, &key);
	if (cache_put_image(&c, &s.key, &s.manifest, &e) < 0 ||
	    cache_put_layer(&c, &s.key, l, &e) < 0 ||
	    cache_put_referrers(&c, &s.key, &s.manifest, &e) < 0)
		exit(1);
	other = open_cache(st, "full-2");
	log_set_level(LOG_ERROR);
	fill_disk(true);
	r = state_put_image(other.state, &key, &key, &e);
	err_clear(&e);
	found[0] = finds(&other, &s, CACHE_FAR) && finds(&other, &s, CACHE_FAR);
	found[1] = cache_find_layer(&other, &s.key, &found[4], &got, &e) == 0;
	found[2] = cache_find_referrers(&other, &s.key, true, &found[5], &info,
					&e) == 0;
	found[3] = cache_put_image(&other, &key, &s.manifest, &e) == 0 &&
		   cache_put_layer(&other, &key, l, &e) == 0 &&
		   cache_put_referrers(&other, &key, &s.manifest, &e) == 0;
	fill_disk(false);
	ok(r < 0, "a database that can't grow takes nothing");
	ok(found[0], "an image is found on a full disk");
	ok(found[1] && found[4], "so is a layer %s", e.msg);
	ok(found[2] && found[5], "and what is attached %s", e.msg);
	ok(found[3], "what is put counts when storage has it %s", e.msg);
	s.key = key;
	ok(finds(&c, &s, CACHE_FAR), "  which others find there");
	ok(finds(&other, &s, CACHE_FAR) &&
		   state_get_image(other.state, &key, &kept, &key, &e) == 0 &&
		   kept,
	   "when there is room again, it is remembered");
	state_free(other.state);
	state_free(c.state);
}

static void
test_layers(struct store *st)
{
	struct cache c = open_cache(st, "layers"), other;
	struct layer got = {.size = 0}, *l;
	struct err e = ERR_INIT;
	struct stored s;
	bool found = true;

	make_image(st, "layers", &s);
	l = &s.layers[0].layer;
	ok(cache_find_layer(&c, &s.key, &found, &got, &e) == 0 && !found,
	   "no layer");
	ok(cache_put_layer(&c, &s.key, l, &e) == 0 &&
		   cache_find_layer(&c, &s.key, &found, &got, &e) == 0 &&
		   found && digest_eq(&got.digest, &l->digest),
	   "a layer is found");
	other = open_cache(st, "layers-2");
	ok(cache_find_layer(&other, &s.key, &found, &got, &e) == 0 && found &&
		   got.size == l->size,
	   "by another database too");
	found = false;
	ok(state_get_layer(other.state, &s.key, &found, &got, &e) == 0 && found,
	   "  which remembers it");
	store_mem_remove(st, &l->digest);
	ok(cache_find_layer(&c, &s.key, &found, &got, &e) == 0 && !found,
	   "not when its blob is gone");
	state_free(other.state);
	state_free(c.state);
}

/* A blob that is not as long as it was packed is as good as none. */
static void
test_cut_layer(struct store *st)
{
	struct cache c = open_cache(st, "cut");
	struct layer l = {.size = 4}, got;
	struct err e = ERR_INIT;
	struct digest key;
	bool found = true;

	digest_of("cut", 3, &key);
	must_put(st, "abc", 3, &l.digest);
	log_set_level(LOG_ERROR);
	ok(cache_put_layer(&c, &key, &l, &e) == 0 &&
		   cache_find_layer(&c, &key, &found, &got, &e) == 0 &&
		   !found && !is_stored(st, &l.digest),
	   "not when its blob was cut short: that is removed");
	log_set_level(LOG_INFO);
	state_free(c.state);
}

/* What is damaged is as good as lost, in either tier, and is no more there. */
static void
test_damaged_blobs(struct store *st)
{
	static const struct {
		const char *name;
		size_t which; /* as for blob_of */
		bool same_size;
	} cases[] = {
		{"a layer is cut", 1, false},
		{"config is cut", 2, false},
		{"manifest is cut", 3, false},
		{"manifest has other bytes", 3, true},
	};
	static char junk[1u << 16];

	memset(junk, 'x', sizeof(junk));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct cache c = open_cache(st, "rot"), fresh;
		struct stored s;
		const struct digest *rotten = blob_of(&s, cases[i].which);
		struct err e = ERR_INIT;
		size_t n;

		make_image(st, cases[i].name, &s);
		n = cases[i].same_size ? (size_t)s.size : 5;
		ok(cache_put_image(&c, &s.key, &s.manifest, &e) == 0 &&
			   finds(&c, &s, CACHE_NEAR),
		   "an image whose %s", cases[i].name);
		store_mem_damage(st, rotten, junk, n);
		ok(misses(&c, &s.key, CACHE_NEAR) &&
			   misses(&c, &s.key, CACHE_FAR),
		   "  is not found");
		ok(!is_stored(st, rotten), "  what was damaged is gone");
		store_mem_damage(st, rotten, junk, n);
		fresh = open_cache(st, cases[i].name);
		ok(misses(&fresh, &s.key, CACHE_FAR),
		   "  a new database does not find it either");
		make_image(st, cases[i].name, &s);
		ok(finds(&c, &s, CACHE_NEAR) && finds(&fresh, &s, CACHE_FAR),
		   "  until it is made again");
		state_free(fresh.state);
		state_free(c.state);
	}
}

/* By digest, and in the list of what is attached. */
static void
test_damaged_digest(struct store *st)
{
	struct cache c = open_cache(st, "rotten digest");
	AUTO(buf) struct buf other = BUF_INIT;
	struct manifest_info info;
	struct err e = ERR_INIT;
	bool found = false;
	struct stored s;

	make_image(st, "list", &s);
	c.sound = recent_new(3600000);
	ok(cache_put_referrers(&c, &s.key, &s.manifest, &e) == 0 &&
		   cache_find_referrers(&c, &s.key, false, &found, &info, &e) ==
			   0 &&
		   found,
	   "a list");
	store_mem_damage(st, &s.manifest, "{}", 2);
	ok(cache_find_referrers(&c, &s.key, false, &found, &info, &e) == 0 &&
		   !found && !is_stored(st, &s.manifest),
	   "that was cut is no list, however short ago it was one");
	recent_free(c.sound);
	c.sound = recent_new(0);
	make_image(st, "list", &s);
	ok(cache_find_manifest(&c, &s.manifest, false, &found, &info, &e) ==
			   0 &&
		   found,
	   "until it is made again");
	while (other.len < s.size)
		buf_addc(&other, '{');
	store_mem_damage(st, &s.manifest, other.p, other.len);
	ok(cache_find_manifest(&c, &s.manifest, false, &found, &info, &e) ==
			   0 &&
		   !found && !is_stored(st, &s.manifest),
	   "nor with other bytes");
	recent_free(c.sound);
	state_free(c.state);
}

static void
test_damaged_record(struct store *st)
{
	struct cache c = open_cache(st, "damaged");
	char hex[DIGEST_HEX_CAP], name[128];
	struct err e = ERR_INIT;
	struct digest key, config;

	digest_of("damaged record", 14, &key);
	digest_hex(&key, hex);
	(void)snprintf(name, sizeof(name), "manifests/%s", hex);
	ok(store_put_record(st, name, "{\"manifest\":", 12, &e) == 0 &&
		   misses(&c, &key, CACHE_FAR),
	   "a record that is damaged is ignored");
	must_put(st, "{}", 2, &config);
	ok(records_put_image(st, &key, &config, &e) == 0 &&
		   misses(&c, &key, CACHE_FAR),
	   "so is one that names something else than a manifest");
	digest_of("nowhere", 7, &config);
	ok(records_put_image(st, &key, &config, &e) == 0 &&
		   misses(&c, &key, CACHE_FAR),
	   "and one that names what isn't there");
	state_free(c.state);
}

static bool
finds_manifest(const struct cache *c, const struct digest *d, bool whole)
{
	struct manifest_info info = {.size = 0};
	struct err e = ERR_INIT;
	bool found = false;

	if (cache_find_manifest(c, d, whole, &found, &info, &e) < 0)
		printf("# %s\n", e.msg);
	return found && digest_eq(&info.digest, d) && info.size > 0;
}

static void
test_manifests(struct store *st)
{
	struct cache c = open_cache(st, "manifests");
	AUTO(buf) struct buf index = BUF_INIT;
	char text[DIGEST_TEXT_CAP];
	struct digest d;
	struct stored s;

	make_image(st, "manifests", &s);
	ok(finds_manifest(&c, &s.manifest, true),
	   "a manifest that the database does not know is read");
	ok(finds_manifest(&c, &s.manifest, true), "and known from then on");
	ok(!finds_manifest(&c, &s.config, false), "a config is no manifest");
	digest_text(&s.manifest, text);
	buf_printf(&index,
		   "{\"schemaVersion\":2,\"mediaType\":\"%s\",\"manifests\":"
		   "[{\"digest\":\"%s\",\"size\":%zu}]}",
		   MEDIA_TYPE_INDEX, text, (size_t)s.size);
	must_put(st, index.p, index.len, &d);
	ok(finds_manifest(&c, &d, true), "an index of it");
	store_mem_remove(st, &s.layers[1].layer.digest);
	ok(finds_manifest(&c, &s.manifest, false) &&
		   finds_manifest(&c, &d, false),
	   "with a layer less both are there");
	ok(!finds_manifest(&c, &s.manifest, true), "but the one isn't whole");
	ok(!finds_manifest(&c, &d, true), "and so the other isn't");
	state_free(c.state);
}

/* What was whole is near for a moment more; who looks far looks. */
static void
test_recent(struct store *st)
{
	struct cache c = open_cache(st, "recent");
	struct stored s;
	struct err e = ERR_INIT;

	c.whole = recent_new(3600000);
	make_image(st, "recent", &s);
	ok(cache_put_image(&c, &s.key, &s.manifest, &e) == 0 &&
		   finds(&c, &s, CACHE_NEAR),
	   "an image");
	store_mem_remove(st, &s.layers[0].layer.digest);
	ok(finds(&c, &s, CACHE_NEAR), "is near a moment longer than it is");
	ok(misses(&c, &s.key, CACHE_FAR), "  but a build is not told so");
	ok(!recent_has(c.whole, &s.key) && !recent_has(NULL, &s.manifest),
	   "nothing else is remembered");
	recent_free(c.whole);
	c.whole = recent_new(0);
	recent_note(c.whole, &s.manifest);
	ok(misses(&c, &s.key, CACHE_NEAR), "when the moment is over, it isn't");
	recent_free(c.whole);
	state_free(c.state);
}

int
main(void)
{
	struct store *st = store_mem_new();

	tree_init();
	log_set_level(LOG_ERROR);
	test_tiers(st);
	test_missing(st);
	test_full_disk(st);
	test_layers(st);
	test_cut_layer(st);
	test_damaged_blobs(st);
	test_damaged_digest(st);
	test_damaged_record(st);
	test_manifests(st);
	test_recent(st);
	store_free(st);
	tree_done();
	return done_testing();
}
