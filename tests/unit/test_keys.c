/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/digest.h"
#include "core/keys.h"
#include "core/model/image.h"
#include "core/model/source.h"
#include "tests/support/tap.h"

/* All that a key may depend on. */
struct facts {
	struct key_settings settings;
	struct source source;
	struct revision revision;
	const struct platform *platform;
	struct image image;
	const char *tag;
	const char *paths[3];
	size_t n_paths;
	const char *forest[2];
	size_t n_forest;
};

static const char *const two_packages[] = {"ab", "c"};
static const char *const same_letters[] = {"a", "bc"};
static const char *const one_package[] = {"ab"};
static const char *const joined[] = {"abc"};

static struct facts
plain(void)
{
	return (struct facts){
		.settings = {.algorithm = LAYERS_FIRN,
			     .budget = 94,
			     .forest_format = 1,
			     .pack_id = "1 gzip",
			     .popularity_id = NULL},
		.source = {.kind = SOURCE_CHANNEL,
			   .location = "nixos",
			   .channel_url = "file:///a/%s"},
		.revision = {.id = "0123"},
		.platform = platform_find("amd64"),
		.image = {.packages = two_packages,
			  .n_packages = 2,
			  .name = "ab/c"},
		.tag = "latest",
		.paths = {"/nix/store/a", "/nix/store/b"},
		.n_paths = 2,
		.forest = {"/nix/store/a"},
		.n_forest = 1,
	};
}

enum kind {
	REVISION = 1,
	REQUEST = 2,
	IMAGE = 4,
	OUTPUT = 8,
	LAYER = 16,
	KINDS = 5,
};

#define SETTINGS (IMAGE | OUTPUT)

static void
key_of(size_t kind, const struct facts *f, struct digest *ret)
{
	switch (1 << kind) {
	case REVISION:
		key_revision(&f->source, f->tag, ret);
		break;
	case REQUEST:
		key_request(&f->image, f->tag, &f->platform, 1, ret);
		break;
	case IMAGE:
		key_image(&f->settings, &f->source, &f->revision, f->platform,
			  &f->image, ret);
		break;
	case OUTPUT:
		key_output(&f->settings, f->platform, &f->image, f->paths,
			   f->n_paths, ret);
		break;
	default:
		key_layer(&f->settings, f->paths, f->n_paths, f->forest,
			  f->n_forest, ret);
		break;
	}
}

static void
set_packages(struct facts *f, const char *const *v, size_t n)
{
	f->image.packages = v;
	f->image.n_packages = n;
}

/* Each changes one fact; changes says which keys must notice. */
#define CHANGE(name, statement)           \
	static void name(struct facts *f) \
	{                                 \
		statement;                \
	}

CHANGE(no_change, (void)f)
CHANGE(other_algorithm, f->settings.algorithm = LAYERS_NIXERY)
CHANGE(other_budget, f->settings.budget = 93)
CHANGE(other_forest, f->settings.forest_format = 2)
CHANGE(other_pack, f->settings.pack_id = "1 zstd")
CHANGE(popularity, f->settings.popularity_id = "2026")
CHANGE(empty_popularity, f->settings.popularity_id = "")
CHANGE(allow, f->settings.policy.allow = one_package;
       f->settings.policy.n_allow = 1)
/* The same names in the other list. */
CHANGE(deny, f->settings.policy.deny = one_package;
       f->settings.policy.n_deny = 1)
CHANGE(unfree, f->settings.policy.allow_unfree = true)
CHANGE(insecure, f->settings.policy.allow_insecure = true)
CHANGE(broken, f->settings.policy.allow_broken = true)
CHANGE(max_size, f->settings.policy.max_closure_size = 1)
CHANGE(max_paths, f->settings.policy.max_closure_paths = 1)
CHANGE(overlays, f->revision.overlays[0] = '0')
CHANGE(other_kind, f->source.kind = SOURCE_GIT)
CHANGE(other_location, f->source.location = "nixos-23.05")
CHANGE(other_url, f->source.channel_url = "file:///b/%s")
CHANGE(other_revision, f->revision.id[0] = '9')
CHANGE(other_time, f->revision.time = 1)
CHANGE(other_platform, f->platform = platform_find("arm64"))
CHANGE(shell, f->image.shell = true)
CHANGE(other_tag, f->tag = "stable")
CHANGE(other_name, f->image.name = "c/ab")
CHANGE(fewer_packages, set_packages(f, one_package, 1))
CHANGE(other_split, set_packages(f, same_letters, 2))
CHANGE(no_split, set_packages(f, joined, 1))
CHANGE(fewer_paths, f->paths[0] = f->paths[1]; f->n_paths = 1)
CHANGE(more_paths, f->paths[2] = "/nix/store/c"; f->n_paths = 3)
CHANGE(other_path, f->paths[1] = "/nix/store/bb")
CHANGE(swapped, f->paths[0] = "/nix/store/b"; f->paths[1] = "/nix/store/a")
CHANGE(no_forest, f->n_forest = 0)
CHANGE(more_forest, f->forest[1] = "/nix/store/b"; f->n_forest = 2)
/* The path moves from one list to the other: no letter changes. */
CHANGE(path_to_forest, f->forest[0] = "/nix/store/b";
       f->forest[1] = "/nix/store/a"; f->n_forest = 2; f->n_paths = 1)

static const struct {
	const char *name;
	void (*change)(struct facts *f);
	unsigned changes;
} changes[] = {
	{"nothing", no_change, 0},
	{"the layer algorithm", other_algorithm, SETTINGS},
	{"the layer budget", other_budget, SETTINGS},
	{"the forest's format", other_forest, SETTINGS | LAYER},
	{"the compressor", other_pack, SETTINGS | LAYER},
	{"popularity", popularity, SETTINGS},
	{"popularity that is empty", empty_popularity, SETTINGS},
	{"an allow list", allow, IMAGE},
	{"a deny list", deny, IMAGE},
	{"unfree packages", unfree, IMAGE},
	{"insecure packages", insecure, IMAGE},
	{"broken packages", broken, IMAGE},
	{"the limit of a closure's size", max_size, SETTINGS},
	{"the limit of a closure's paths", max_paths, SETTINGS},
	{"overlays", overlays, IMAGE},
	{"the kind of source", other_kind, REVISION | IMAGE},
	{"where packages come from", other_location, REVISION | IMAGE},
	{"where tarballs of channels are", other_url, REVISION | IMAGE},
	{"the revision", other_revision, IMAGE},
	{"the revision's time", other_time, 0},
	{"the architecture", other_platform, REQUEST | IMAGE | OUTPUT},
	{"a shell", shell, IMAGE | OUTPUT},
	{"the tag", other_tag, REVISION | REQUEST},
	{"the name", other_name, REQUEST},
	{"a package less", fewer_packages, IMAGE},
	{"ab/c against a/bc", other_split, IMAGE},
	{"ab/c against abc", no_split, IMAGE},
	{"a store path less", fewer_paths, OUTPUT | LAYER},
	{"a store path more", more_paths, OUTPUT | LAYER},
	{"another store path", other_path, OUTPUT | LAYER},
	{"store paths in another order", swapped, OUTPUT | LAYER},
	{"no forest", no_forest, LAYER},
	{"a package more in the forest", more_forest, LAYER},
	{"a path that is forest instead", path_to_forest, OUTPUT | LAYER},
};

static const char *const kind_names[] = {"revision", "request", "image",
					 "output", "layer"};

static void
test_changes(size_t i)
{
	for (size_t kind = 0; kind < KINDS; kind++) {
		struct facts before = plain(), after = plain();
		bool wanted = changes[i].changes & (1u << kind);
		struct digest a, b;

		changes[i].change(&after);
		key_of(kind, &before, &a);
		key_of(kind, &after, &b);
		ok(digest_eq(&a, &b) != wanted, "%s %s the %s key",
		   changes[i].name, wanted ? "changes" : "leaves",
		   kind_names[kind]);
	}
}

/* Keys of different kinds and of different facts never meet. */
static void
test_all_differ(void)
{
	struct digest all[ARRAY_LEN(changes) * KINDS];
	size_t n = 0, equal = 0;

	for (size_t i = 1; i < ARRAY_LEN(changes); i++) {
		for (size_t kind = 0; kind < KINDS; kind++) {
			struct facts f = plain();

			if (!(changes[i].changes & (1u << kind)))
				continue;
			changes[i].change(&f);
			key_of(kind, &f, &all[n++]);
		}
	}
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < i; k++)
			equal += digest_eq(&all[i], &all[k]);
	is_u64(equal, 0, "no two of all these keys are equal");
}

/* A layer without forest does not care how forests are made. */
static void
test_plain_layer(void)
{
	struct facts f = plain();
	struct digest a, b;

	f.n_forest = 0;
	key_of(KINDS - 1, &f, &a);
	f.settings.forest_format++;
	key_of(KINDS - 1, &f, &b);
	ok(digest_eq(&a, &b), "a layer of store paths outlives the forest's "
			      "format");
}

static void
test_overlays(void)
{
	struct facts f = plain();
	struct digest a, b, c;

	key_overlays(two_packages, 2, &a);
	key_overlays(same_letters, 2, &b);
	key_revision(&f.source, f.tag, &c);
	ok(!digest_eq(&a, &b) && !digest_eq(&a, &c),
	   "other overlays, another key");
}

/*
 * Replicas of different builds share records, so these must not change but
 * on purpose (they were computed apart, from the encoding in digest.h).
 */
static void
test_golden(void)
{
	struct facts f = plain();
	char text[DIGEST_HEX_CAP];
	struct digest d;

	key_revision(&f.source, f.tag, &d);
	digest_hex(&d, text);
	is_str(text,
	       "a6795c6d9f6bc7706be61fa43a944faa"
	       "f2a6f91d497d25e8c9177d3139192c49",
	       "the bytes of a revision key");
	f.n_forest = 0;
	key_of(KINDS - 1, &f, &d);
	digest_hex(&d, text);
	is_str(text,
	       "0e853ef5be0fe06b091662788d45fe6d"
	       "03825de93c2c591ae165a511c4b10810",
	       "the bytes of a layer key");
}

int
main(void)
{
	for (size_t i = 0; i < ARRAY_LEN(changes); i++)
		test_changes(i);
	test_all_differ();
	test_plain_layer();
	test_overlays();
	test_golden();
	return done_testing();
}
