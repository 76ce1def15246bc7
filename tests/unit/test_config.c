/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/vec.h"
#include "core/config.h"
#include "core/model/image.h"
#include "tests/support/tap.h"

#define SOURCE "FIRN_PKGS_PATH=/pkgs"
#define STORAGE "FIRN_STORAGE_PATH=/images"

/*
 * One setting at a time, beside what every configuration needs. why NULL: it
 * is good; else what the message must say, beside the variable's name.
 */
static const struct {
	const char *setting, *why;
} cases[] = {
	{"FIRN_PKGS_PATH=pkgs", "absolute"},
	{"FIRN_PKGS_PATH=/other", NULL},
	{"FIRN_CHANNEL_URL=file:///srv/%s.tar.gz", NULL},
	{"FIRN_CHANNEL_COMMITS=0", NULL},
	{"FIRN_CHANNEL_COMMITS=no", "0 or 1"},
	{"FIRN_OFFLINE=1", NULL},
	{"FIRN_OFFLINE=yes", "0 or 1"},
	{"FIRN_OFFLINE=01", "0 or 1"},
	{"FIRN_NIX_TIMEOUT=1", NULL},
	{"FIRN_NIX_TIMEOUT=604800", NULL},
	{"FIRN_NIX_TIMEOUT=0", "from 1"},
	{"FIRN_NIX_TIMEOUT=604801", "to 604800"},
	{"FIRN_NIX_TIMEOUT=60s", "whole number"},
	{"FIRN_NIX_DIR=/nix-expressions", NULL},
	{"FIRN_NIX_DIR=nix", "absolute"},
	{"FIRN_RESOLVE_TTL=0", NULL},
	{"FIRN_RESOLVE_TTL=-1", "whole number"},
	{"FIRN_PLATFORMS=linux/arm64", NULL},
	{"FIRN_PLATFORMS=amd64,arm64", NULL},
	{"FIRN_PLATFORMS=linux/amd64,amd64", "twice"},
	{"FIRN_PLATFORMS=linux/amd64,", "not \"\""},
	{"FIRN_PLATFORMS=linux/riscv64", "riscv64"},
	{"FIRN_PLATFORMS=windows/amd64", "windows"},
	{"FIRN_PLATFORM_MISSING=fail", NULL},
	{"FIRN_PLATFORM_MISSING=warn", "skip or fail"},
	{"FIRN_ALLOW=git, python3packages.*", NULL},
	{"FIRN_ALLOW= ,", "empty"},
	{"FIRN_DENY=openssl", NULL},
	{"FIRN_ALLOW_UNFREE=1", NULL},
	{"FIRN_ALLOW_UNFREE=true", "0 or 1"},
	{"FIRN_ALLOW_INSECURE=1", NULL},
	{"FIRN_ALLOW_BROKEN=1", NULL},
	{"FIRN_OVERLAYS=/etc/firn/a.nix:/etc/firn/b", NULL},
	{"FIRN_OVERLAYS=/etc/firn/a.nix:b", "absolute"},
	{"FIRN_OVERLAYS=:", "empty"},
	{"FIRN_ALLOWED_URIS=https://example.org/", NULL},
	{"FIRN_SUBSTITUTES_ONLY=1", NULL},
	{"FIRN_EVAL_TIMEOUT=1", NULL},
	{"FIRN_EVAL_TIMEOUT=0", "from 1"},
	{"FIRN_EVAL_MEMORY=64M", NULL},
	{"FIRN_EVAL_MEMORY=63M", "at least 64M"},
	{"FIRN_EVAL_MEMORY=2GB", "such as 500M"},
	{"FIRN_BUILD_TIMEOUT=1", NULL},
	{"FIRN_BUILD_TIMEOUT=0", "from 1"},
	{"FIRN_MAX_PACKAGES=1", NULL},
	{"FIRN_MAX_PACKAGES=101", "to 100"},
	{"FIRN_MAX_CLOSURE_SIZE=0", NULL},
	{"FIRN_MAX_CLOSURE_SIZE=4T", NULL},
	{"FIRN_MAX_CLOSURE_PATHS=1", NULL},
	{"FIRN_MAX_CLOSURE_PATHS=0", "from 1"},
	{"FIRN_STORAGE_BACKEND=filesystem", NULL},
	{"FIRN_STORAGE_BACKEND=floppy", "floppy"},
	{"FIRN_STORAGE_PATH=/other", NULL},
	{"FIRN_STORAGE_PATH=images", "absolute"},
	{"FIRN_STATE_PATH=/state", NULL},
	{"FIRN_STATE_PATH=./state", "absolute"},
	{"FIRN_STORAGE_BACKEND=s3", "FIRN_S3_BUCKET is not set"},
	{"FIRN_STORAGE_BACKEND=gcs", "GCS_BUCKET is not set"},
	{"GCS_BUCKET=my-images.example", NULL},
	{"GCS_BUCKET=a/b", "name of a bucket"},
	{"GOOGLE_APPLICATION_CREDENTIALS=/etc/firn/key.json", NULL},
	{"GOOGLE_APPLICATION_CREDENTIALS=key.json", "absolute"},
	{"FIRN_GCS_ENDPOINT=http://localhost:4443", NULL},
	{"FIRN_GCS_ENDPOINT=localhost:4443", "https://host:port"},
	{"GCE_METADATA_HOST=169.254.169.254", NULL},
	{"FIRN_S3_BUCKET=images", NULL},
	{"FIRN_S3_BUCKET=..", "name of a bucket"},
	{"FIRN_S3_BUCKET=Images", "Images"},
	{"FIRN_S3_ENDPOINT=https://[::1]:9000/", NULL},
	{"FIRN_S3_ENDPOINT=https://name:pass@host", "without a user"},
	{"FIRN_S3_ENDPOINT=https://host/path", "a path"},
	{"FIRN_S3_ENDPOINT=https://", "https://host:port"},
	{"FIRN_S3_PUBLIC_ENDPOINT=https://s3.example", NULL},
	{"FIRN_S3_PUBLIC_ENDPOINT=s3.example", "https://host:port"},
	{"AWS_REGION=eu-central-1", NULL},
	{"AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE", NULL},
	{"AWS_SECRET_ACCESS_KEY=secret", NULL},
	{"AWS_SESSION_TOKEN=token", NULL},
	{"AWS_ROLE_ARN=arn:aws:iam::1:role/firn", NULL},
	{"AWS_WEB_IDENTITY_TOKEN_FILE=token", "absolute path"},
	{"AWS_ENDPOINT_URL_STS=https://sts.example/path", "URL like"},
	{"AWS_SHARED_CREDENTIALS_FILE=keys", "absolute path"},
	{"AWS_PROFILE=firn", NULL},
	{"AWS_CONTAINER_CREDENTIALS_FULL_URI=http://169.254.170.23/v1", NULL},
	{"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=x", "absolute path"},
	{"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=x", "absolute path"},
	{"AWS_EC2_METADATA_SERVICE_ENDPOINT=x", "URL like"},
	{"FIRN_STORAGE_CA_FILE=/etc/firn/ca.pem", NULL},
	{"FIRN_STORAGE_CA_FILE=ca.pem", "absolute"},
	{"FIRN_BLOB_DELIVERY=auto", NULL},
	{"FIRN_BLOB_DELIVERY=redirect", NULL},
	{"FIRN_BLOB_DELIVERY=proxy", NULL},
	{"FIRN_BLOB_DELIVERY=post", "redirect"},
	{"FIRN_BLOB_URL_TTL=2", NULL},
	{"FIRN_BLOB_URL_TTL=1", "from 2"},
	{"FIRN_BLOB_URL_TTL=604801", "to 604800"},
	{"FIRN_BLOB_RECHECK=0", NULL},
	{"FIRN_STORAGE_TIMEOUT=1", NULL},
	{"FIRN_STORAGE_TIMEOUT=0", "whole number"},
	{"FIRN_BLOB_RECHECK=x", "whole number"},
	{"FIRN_POPULARITY_URL=file:///p.json", NULL},
	{"FIRN_LAYER_BUDGET=1", NULL},
	{"FIRN_LAYER_BUDGET=125", NULL},
	{"FIRN_LAYER_BUDGET=0", "1 to 125"},
	{"FIRN_LAYER_BUDGET=126", "1 to 125"},
	{"FIRN_LAYER_BUDGET=9e1", "whole number"},
	{"FIRN_LAYER_BUDGET=18446744073709551617", "whole number"},
	{"FIRN_LAYER_ALGORITHM=nixery", NULL},
	{"FIRN_LAYER_ALGORITHM=best", "firn or nixery"},
	{"FIRN_COMPRESSION=zstd:19", NULL},
	{"FIRN_COMPRESSION=zstd:20", "1 to 19"},
	{"FIRN_COMPRESSION=lzma", "lzma"},
	{"FIRN_MEMBER_CACHE=20G", NULL},
	{"FIRN_MEMBER_CACHE=1048576", NULL},
	{"FIRN_MEMBER_CACHE=20X", "such as 500M"},
	{"FIRN_MEMBER_CACHE=G", "such as 500M"},
	{"FIRN_MEMBER_CACHE=99999T", "such as 500M"},
	{"FIRN_SBOM=0", NULL},
	{"FIRN_SBOM=yes", "0 or 1"},
	{"FIRN_MAX_BUILDS=3", NULL},
	{"FIRN_MAX_BUILDS=0", "from 1"},
	{"FIRN_MAX_QUEUE=0", NULL},
	{"FIRN_MAX_QUEUE=many", "many"},
	{"FIRN_PACK_THREADS=2", NULL},
	{"FIRN_PACK_THREADS=0", "from 1"},
	{"FIRN_HOLD=1", NULL},
	{"FIRN_HOLD=0", "from 1"},
	{"FIRN_HOPS=0", NULL},
	{"FIRN_HOPS=10", "to 9"},
	{"FIRN_CHANNEL_URL=file:///sets/%s.tar%20", NULL},
	{"FIRN_CHANNEL_URL=file:///sets/nixos.tar", "one %s"},
	{"FIRN_CHANNEL_URL=file:///%s/%s.tar", "one %s"},
	{"FIRN_FINAL_HOLD=86400", NULL},
	{"FIRN_FINAL_HOLD=86401", "to 86400"},
	{"FIRN_LISTEN=unix:/run/firn.sock", NULL},
	{"FIRN_PUBLIC_URL=https://registry.example:8443/", NULL},
	{"FIRN_PUBLIC_URL=registry.example", "https://host:port"},
	{"FIRN_PUBLIC_URL=https://registry.example/firn", "a path"},
	{"FIRN_WAITERS=1", NULL},
	{"FIRN_WAITERS=0", "from 1"},
	{"FIRN_THREADS=1024", NULL},
	{"FIRN_THREADS=1025", "to 1024"},
	{"FIRN_LOG_LEVEL=debug", NULL},
	{"FIRN_LOG_LEVEL=verbose", "verbose"},
	{"FIRN_NO_SUCH_THING=1", "no setting"},
	{"FIRN_NO_SUCH_THING=", "no setting"},
	{"FIRN_layer_budget=1", "no setting"},
	{"FIRN_LAYER_BUDGE=1", "no setting"},
	/* Sources, alone and beside FIRN_PKGS_PATH. */
	{"FIRN_CHANNEL=nixos-23.05", "FIRN_PKGS_PATH"},
	{"FIRN_PKGS_REPO=https://example.org/x.git", "FIRN_PKGS_PATH"},
	{"FIRN_PKGS_FLAKE=github:NixOS/nixpkgs", "FIRN_PKGS_PATH"},
};

/* The setting's own variable; *ret_name is in the arena. */
static const char *
name_of(struct arena *a, const char *setting)
{
	return arena_strndup(a, setting, strcspn(setting, "="));
}

static void
test_each(size_t i)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	const char *envp[] = {"HOME=/root", cases[i].setting, SOURCE,
			      STORAGE,      "PATH=/bin",      NULL};
	struct config *c = NULL;
	struct err e = ERR_INIT;

	if (config_read(envp, &c, &e) == 0) {
		ok(!cases[i].why, "good: %s", cases[i].setting);
		config_free(c);
		return;
	}
	ok(cases[i].why && e.kind == ERR_INVALID &&
		   strstr(e.msg, cases[i].why) &&
		   strstr(e.msg, name_of(&a, cases[i].setting)),
	   "refused: %s (%s)", cases[i].setting, e.msg);
}

/* Each variable there is has been tried above. */
static void
test_all_are_tried(void)
{
	const char *name, *alias, *fallback;

	for (size_t i = 0; config_variable(i, &name, &alias, &fallback); i++) {
		AUTO(arena) struct arena a = ARENA_INIT;
		bool tried = false;

		for (size_t k = 0; k < ARRAY_LEN(cases); k++)
			tried = tried || strcmp(name_of(&a, cases[k].setting),
						name) == 0;
		ok(tried, "%s is tried", name);
	}
}

static struct config *
read_env(const char *const *envp)
{
	struct config *c = NULL;
	struct err e = ERR_INIT;

	if (!ok(config_read(envp, &c, &e) == 0, "it is read %s", e.msg))
		exit(done_testing());
	return c;
}

static void
test_defaults(void)
{
	static const char *const envp[] = {SOURCE, STORAGE, NULL};
	struct config *c = read_env(envp);

	ok(c->source.kind == SOURCE_PATH, "the source");
	is_str(c->source.location, "/pkgs", "  and where it is");
	is_str(c->source.channel_url,
	       "https://github.com/NixOS/nixpkgs/archive/%s.tar.gz",
	       "tarballs of channels");
	is_str(c->storage_backend, "filesystem", "the backend");
	is_str(c->state_path, "/images/state", "state lies beside images");
	ok(!c->popularity_url && !c->listen && !c->offline, "nothing else");
	ok(c->nix_dir && c->nix_dir[0] == '/', "where our expressions are");
	is_u64(c->nix_timeout_s, 60, "FIRN_NIX_TIMEOUT");
	is_u64(c->resolve_ttl_s, 300, "FIRN_RESOLVE_TTL");
	is_u64(c->eval_memory, 2ull << 30, "FIRN_EVAL_MEMORY");
	is_u64(c->build_timeout_s, 3600, "FIRN_BUILD_TIMEOUT");
	is_u64(c->max_closure_size, 20ull << 30, "FIRN_MAX_CLOSURE_SIZE");
	ok(c->allow.n == 0 && c->deny.n == 0 && c->overlays.n == 0 &&
		   !c->allow_unfree && !c->allow_insecure && !c->allow_broken &&
		   !c->substitutes_only && !c->allowed_uris,
	   "no policy of the operator's");
	is_u64(c->layer_budget, 94, "FIRN_LAYER_BUDGET");
	is_u64(c->max_queue, 64, "FIRN_MAX_QUEUE");
	is_u64(c->hold_s, 25, "FIRN_HOLD");
	is_u64(c->hops, 9, "FIRN_HOPS");
	is_u64(c->final_hold_s, 900, "FIRN_FINAL_HOLD");
	is_u64(c->threads, 32, "FIRN_THREADS");
	ok(c->layer_algorithm == LAYERS_FIRN, "FIRN_LAYER_ALGORITHM");
	ok(c->compression.kind == COMPRESSION_GZIP, "FIRN_COMPRESSION");
	ok(c->sbom, "FIRN_SBOM");
	ok(c->log_level == LOG_INFO, "FIRN_LOG_LEVEL");
	ok(c->max_builds >= 1 && c->pack_threads >= 1, "as many as cores");
	ok(c->n_platforms == 1 && c->platforms[0] == platform_host(),
	   "the host's platform");
	config_free(c);
}

static void
test_values(void)
{
	static const char *const envp[] = {
		"FIRN_PKGS_FLAKE=github:a/b",
		STORAGE,
		"FIRN_STATE_PATH=/state",
		"FIRN_OFFLINE=1",
		"FIRN_COMPRESSION=zstd:7",
		"FIRN_PLATFORMS=arm64,linux/amd64",
		"FIRN_LISTEN=127.0.0.1:9000",
		"FIRN_HOPS=",
		"FIRN_MAX_BUILDS=3",
		"FIRN_PACK_THREADS=5",
		"FIRN_LOG_LEVEL=error",
		"FIRN_LAYER_ALGORITHM=nixery",
		"FIRN_CHANNEL=",
		"FIRN_DENY=git,  xorg.*,",
		"FIRN_PUBLIC_URL=https://registry.example/",
		"FIRN_NIX_TIMEOUT=7200",
		NULL,
	};
	struct config *c = read_env(envp);

	ok(c->source.kind == SOURCE_FLAKE, "a flake; empty means not set");
	is_str(c->source.location, "github:a/b", "  and which");
	is_str(c->state_path, "/state", "a state directory");
	is_str(c->listen, "127.0.0.1:9000", "an address");
	ok(c->offline, "offline");
	ok(c->compression.kind == COMPRESSION_ZSTD && c->compression.level == 7,
	   "zstd:7");
	ok(c->n_platforms == 2 && strcmp(c->platforms[0]->arch, "arm64") == 0 &&
		   strcmp(c->platforms[1]->arch, "amd64") == 0,
	   "platforms, the default one first");
	is_u64(c->hops, 9, "an empty value is the default");
	is_u64(c->max_builds, 3, "builds");
	is_u64(c->pack_threads, 5, "threads");
	is_str(c->public_url, "https://registry.example",
	       "a URL, without its last slash");
	is_u64(c->deny.n, 2, "a list");
	is_str(c->deny.v[0], "git", "  its first");
	is_str(c->deny.v[1], "xorg.*", "  and its second");
	is_u64(c->build_timeout_s, 7200,
	       "all builds of an image may take as long as one of them");
	ok(c->log_level == LOG_ERROR && c->layer_algorithm == LAYERS_NIXERY,
	   "words");
	config_free(c);
}

static void
test_nixery(void)
{
	static const char *const envp[] = {
		"NIXERY_CHANNEL=nixos-23.05",
		"NIXERY_STORAGE_BACKEND=filesystem",
		"STORAGE_PATH=/var/lib/images",
		"NIX_TIMEOUT=90",
		"NIX_POPULARITY_URL=https://example.org/p.json",
		"PORT=8080",
		"WEB_DIR=/web",
		NULL,
	};
	static const char *const both[] = {
		"NIX_TIMEOUT=90", "FIRN_NIX_TIMEOUT=30", SOURCE, STORAGE, NULL,
	};
	struct config *c = read_env(envp);

	ok(c->source.kind == SOURCE_CHANNEL, "Nixery's channel");
	is_str(c->source.location, "nixos-23.05", "  and which");
	is_str(c->storage_path, "/var/lib/images", "Nixery's storage");
	is_str(c->popularity_url, "https://example.org/p.json",
	       "Nixery's popularity");
	is_u64(c->nix_timeout_s, 90, "Nixery's timeout");
	config_free(c);
	c = read_env(both);
	is_u64(c->nix_timeout_s, 30, "our own name wins");
	config_free(c);
}

static const struct {
	const char *name, *envp[4], *says[3];
} whole[] = {
	{"no source", {STORAGE}, {"no package source", "FIRN_CHANNEL"}},
	{"no storage", {SOURCE}, {"FIRN_STORAGE_PATH"}},
	{"two sources",
	 {"FIRN_CHANNEL=a", "FIRN_PKGS_REPO=b", STORAGE},
	 {"FIRN_CHANNEL", "FIRN_PKGS_REPO", "only one"}},
	{"two sources under Nixery's names",
	 {"NIXERY_CHANNEL=a", "NIXERY_PKGS_REPO=b", STORAGE},
	 {"NIXERY_CHANNEL", "NIXERY_PKGS_REPO", "only one"}},
	{"an overlay on a flake",
	 {"FIRN_PKGS_FLAKE=a", "FIRN_OVERLAYS=/b", STORAGE},
	 {"FIRN_OVERLAYS", "no effect", "FIRN_PKGS_FLAKE"}},
	{"a flake's unfree packages",
	 {"FIRN_PKGS_FLAKE=a", "FIRN_ALLOW_UNFREE=1", STORAGE},
	 {"FIRN_ALLOW_UNFREE", "no effect"}},
	{"a bad value under Nixery's name",
	 {"NIX_TIMEOUT=soon", SOURCE, STORAGE},
	 {"NIX_TIMEOUT", "soon"}},
	{"a relative path under Nixery's name",
	 {"STORAGE_PATH=images", SOURCE},
	 {"STORAGE_PATH", "absolute"}},
};

static void
test_whole(size_t i)
{
	struct config *c = NULL;
	struct err e = ERR_INIT;
	bool all = true;

	if (!ok(config_read(whole[i].envp, &c, &e) < 0 && e.kind == ERR_INVALID,
		"refused: %s (%s)", whole[i].name, e.msg)) {
		config_free(c);
		return;
	}
	for (size_t k = 0; k < ARRAY_LEN(whole[i].says); k++)
		all = all &&
		      (!whole[i].says[k] || strstr(e.msg, whole[i].says[k]));
	ok(all, "  and why");
}

/* What can't go into a request stops the start, and is not shown. */
static void
test_cloud_words(const char *setting)
{
	static const char *const common[] = {
		"FIRN_STORAGE_BACKEND=s3", SOURCE,
		"FIRN_STATE_PATH=/state",  "FIRN_S3_BUCKET=images",
		"GCS_BUCKET=images",       "AWS_SECRET_ACCESS_KEY=/a+b=",
		"AWS_ACCESS_KEY_ID=key",
	};
	const char *envp[ARRAY_LEN(common) + 2] = {setting};
	struct config *c = NULL;
	struct err e = ERR_INIT;

	memcpy(envp + (setting ? 1 : 0), common, sizeof(common));
	if (!setting) {
		ok(config_read(envp, &c, &e) == 0, "a cloud %s", e.msg);
		config_free(c);
		return;
	}
	for (size_t i = 1; i <= ARRAY_LEN(common); i++)
		if (strncmp(envp[i], setting, strcspn(setting, "=")) == 0)
			envp[i] = "HOME=/root";
	ok(config_read(envp, &c, &e) < 0 && e.kind == ERR_INVALID &&
		   strncmp(e.msg, setting, strcspn(setting, "=")) == 0 &&
		   !strstr(e.msg, "secret"),
	   "refused: %s", e.msg);
}

int
main(void)
{
	static const char *const words[] = {
		NULL,
		"AWS_ACCESS_KEY_ID=key\nsecret: 1",
		"AWS_SECRET_ACCESS_KEY=secret ",
		"AWS_SESSION_TOKEN=secret\r",
		"AWS_REGION=eu central",
		"AWS_REGION=eu/central",
		"GCE_METADATA_HOST=a b/x@evil",
		"FIRN_STORAGE_CA_FILE=/no/such/file.pem",
	};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		test_cloud_words(words[i]);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		test_each(i);
	test_all_are_tried();
	test_defaults();
	test_values();
	test_nixery();
	for (size_t i = 0; i < ARRAY_LEN(whole); i++)
		test_whole(i);
	config_free(NULL);
	return done_testing();
}
