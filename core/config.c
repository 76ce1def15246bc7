/* SPDX-License-Identifier: Apache-2.0 */
#include "core/config.h"

#include <stddef.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/config_storage.h"
#include "core/model/graph.h"
#include "core/model/image.h"
#include "core/sys/cores.h"

/* Where `make install` puts our Nix expressions. */
#ifndef FIRN_NIX_DIR
#define FIRN_NIX_DIR "/usr/local/share/firn/nix"
#endif

/* The struct that callers see, and what it points into. */
struct owned {
	struct config c;
	struct arena arena;
	bool source_set;
	const char *source_name; /* the variable that set it */
	const char *reading;     /* the one that is being read */
};

struct variable;

/* Read one value into the struct; s is not empty. */
typedef int read_fn(struct owned *o, const struct variable *v, const char *s,
		    struct err *e);

struct variable {
	const char *name;
	const char *alias;
	const char *fallback; /* the default, as one would write it */
	read_fn *read;
	size_t offset; /* of the field, where the reader wants one */
	uint64_t min;
	uint64_t max;
	enum source_kind source;
};

static void *
field(struct owned *o, const struct variable *v)
{
	return (char *)&o->c + v->offset;
}

static int
read_text(struct owned *o, const struct variable *v, const char *s,
	  struct err *e UNUSED)
{
	*(const char **)field(o, v) = arena_strdup(&o->arena, s);
	return 0;
}

/* A URL with one %s in it, which stands for a name. */
static int
read_template(struct owned *o, const struct variable *v, const char *s,
	      struct err *e)
{
	const char *p = strstr(s, "%s");

	if (!p || strstr(p + 2, "%s"))
		return err_set(e, ERR_INVALID,
			       "a URL with one %%s in it is wanted, for the "
			       "channel's name");
	return read_text(o, v, s, e);
}

static int
read_number(struct owned *o, const struct variable *v, const char *s,
	    struct err *e)
{
	uint64_t n;

	if (!str_to_u64(str_of(s), v->max, &n) || n < v->min)
		return err_set(e, ERR_INVALID,
			       "a whole number from %llu to %llu is wanted, "
			       "not \"%s\"",
			       (unsigned long long)v->min,
			       (unsigned long long)v->max, s);
	*(uint64_t *)field(o, v) = n;
	return 0;
}

/* Bytes, perhaps with K, M, G or T behind: powers of 1024. */
static int
read_size(struct owned *o, const struct variable *v, const char *s,
	  struct err *e)
{
	static const char units[] = "KMGT";
	struct str digits = str_of(s);
	const char *unit = digits.n > 0 && s[digits.n - 1]
				   ? strchr(units, s[digits.n - 1])
				   : NULL;
	unsigned shift = unit ? 10 * (unsigned)(unit - units + 1) : 0;
	uint64_t n;

	digits.n -= unit ? 1 : 0;
	if (str_to_u64(digits, v->max >> shift, &n) && n << shift < v->min)
		return err_set(e, ERR_INVALID, "at least %lluM is wanted",
			       (unsigned long long)(v->min >> 20));
	if (!str_to_u64(digits, v->max >> shift, &n))
		return err_set(e, ERR_INVALID,
			       "a size such as 500M or 20G is wanted, not "
			       "\"%s\"",
			       s);
	*(uint64_t *)field(o, v) = n << shift;
	return 0;
}

static int
read_flag(struct owned *o, const struct variable *v, const char *s,
	  struct err *e)
{
	if (strcmp(s, "0") != 0 && strcmp(s, "1") != 0)
		return err_set(e, ERR_INVALID, "0 or 1 is wanted, not \"%s\"",
			       s);
	*(bool *)field(o, v) = s[0] == '1';
	return 0;
}

/* What is not empty between any of the bytes in between. */
static int
read_list(struct owned *o, const struct variable *v, const char *s,
	  const char *between, struct err *e)
{
	struct config_list *list = field(o, v);
	const char **parts =
		arena_alloc(&o->arena, strlen(s) / 2 + 1, sizeof(*parts));

	*list = (struct config_list){.v = parts};
	for (s += strspn(s, between); *s; s += strspn(s, between)) {
		size_t n = strcspn(s, between);

		parts[list->n++] = arena_strndup(&o->arena, s, n);
		s += n;
	}
	if (list->n == 0)
		return err_set(e, ERR_INVALID, "the list is empty");
	return 0;
}

/* Attribute paths, or patterns of them. */
static int
read_patterns(struct owned *o, const struct variable *v, const char *s,
	      struct err *e)
{
	return read_list(o, v, s, " \t,", e);
}

/* As in PATH. */
static int
read_paths(struct owned *o, const struct variable *v, const char *s,
	   struct err *e)
{
	const struct config_list *list = field(o, v);

	if (read_list(o, v, s, ":", e) < 0)
		return -1;
	for (size_t i = 0; i < list->n; i++)
		if (list->v[i][0] != '/')
			return err_set(e, ERR_INVALID,
				       "an absolute path is wanted, not \"%s\"",
				       list->v[i]);
	return 0;
}

static int
read_source(struct owned *o, const struct variable *v, const char *s,
	    struct err *e)
{
	if (o->source_set)
		return err_set(e, ERR_INVALID,
			       "%s is set too, and only one package source "
			       "can be",
			       o->source_name);
	if (v->source == SOURCE_PATH && s[0] != '/')
		return err_set(e, ERR_INVALID,
			       "an absolute path is wanted, not \"%s\"", s);
	o->source_set = true;
	o->source_name = o->reading;
	o->c.source.kind = v->source;
	o->c.source.location = arena_strdup(&o->arena, s);
	return 0;
}

static int
read_directory(struct owned *o, const struct variable *v, const char *s,
	       struct err *e)
{
	if (s[0] != '/')
		return err_set(e, ERR_INVALID,
			       "an absolute path is wanted, not \"%s\"", s);
	return read_text(o, v, s, e);
}

static int
read_backend(struct owned *o, const struct variable *v, const char *s,
	     struct err *e)
{
	if (strcmp(s, "filesystem") != 0 && strcmp(s, "s3") != 0 &&
	    strcmp(s, "gcs") != 0)
		return err_set(e, ERR_INVALID,
			       "filesystem, gcs or s3 is wanted, not \"%s\"",
			       s);
	return read_text(o, v, s, e);
}

/* What goes into paths as it is. */
static int
read_bucket(struct owned *o, const struct variable *v, const char *s,
	    struct err *e)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789._-");

	if (s[n] || n < 3 || n > 222 || s[0] == '.' || s[0] == '-')
		return err_set(e, ERR_INVALID,
			       "the name of a bucket is wanted, not \"%s\"", s);
	return read_text(o, v, s, e);
}

/* Its text is not shown: it may have a password that does not belong there. */
static int
read_endpoint(struct owned *o, const struct variable *v, const char *s,
	      struct err *e)
{
	size_t scheme = str_has_prefix(s, "https://")  ? 8
			: str_has_prefix(s, "http://") ? 7
						       : 0;
	size_t n = scheme + strcspn(s + scheme, "/?#@ \"\\");

	if (scheme == 0 || n == scheme || (s[n] && strcmp(s + n, "/") != 0))
		return err_set(e, ERR_INVALID,
			       "a URL like https://host:port is wanted, "
			       "without a user or a path");
	*(const char **)field(o, v) = arena_strndup(&o->arena, s, n);
	return 0;
}

static int
read_delivery(struct owned *o, const struct variable *v UNUSED, const char *s,
	      struct err *e)
{
	static const char *const names[] = {
		[BLOB_AUTO] = "auto",
		[BLOB_REDIRECT] = "redirect",
		[BLOB_PROXY] = "proxy",
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (strcmp(s, names[i]) == 0) {
			o->c.blob_delivery = (enum blob_delivery)i;
			return 0;
		}
	}
	return err_set(e, ERR_INVALID,
		       "auto, redirect or proxy is wanted, not \"%s\"", s);
}

static int
read_platforms(struct owned *o, const struct variable *v UNUSED, const char *s,
	       struct err *e)
{
	struct str rest = str_of(s), part;

	o->c.n_platforms = 0;
	while (str_cut(&rest, ',', &part)) {
		char *name = arena_strndup(&o->arena, part.p, part.n);
		const struct platform *p = platform_find(name);

		if (!p)
			return err_set(e, ERR_INVALID,
				       "platforms are linux/amd64 and "
				       "linux/arm64, not \"%s\"",
				       name);
		for (size_t i = 0; i < o->c.n_platforms; i++)
			if (o->c.platforms[i] == p)
				return err_set(e, ERR_INVALID,
					       "%s is listed twice", name);
		o->c.platforms[o->c.n_platforms++] = p;
	}
	return 0;
}

static int
read_missing(struct owned *o, const struct variable *v UNUSED, const char *s,
	     struct err *e)
{
	if (strcmp(s, "skip") != 0 && strcmp(s, "fail") != 0)
		return err_set(e, ERR_INVALID,
			       "skip or fail is wanted, not \"%s\"", s);
	o->c.skip_missing = strcmp(s, "skip") == 0;
	return 0;
}

static int
read_compression(struct owned *o, const struct variable *v UNUSED,
		 const char *s, struct err *e)
{
	return compression_parse(s, &o->c.compression, e);
}

static int
read_algorithm(struct owned *o, const struct variable *v UNUSED, const char *s,
	       struct err *e)
{
	return layers_algorithm_parse(s, &o->c.layer_algorithm, e);
}

static int
read_level(struct owned *o, const struct variable *v UNUSED, const char *s,
	   struct err *e)
{
	if (!log_level_parse(s, &o->c.log_level))
		return err_set(e, ERR_INVALID,
			       "error, warn, info or debug is wanted, not "
			       "\"%s\"",
			       s);
	return 0;
}

#define AT(field) .offset = offsetof(struct config, field)
#define TEXT(field) .read = read_text, AT(field)
#define PATH(field) .read = read_directory, AT(field)
#define ENDPOINT(field) .read = read_endpoint, AT(field)
#define NUMBER(field, lo, hi) \
	.read = read_number, AT(field), .min = (lo), .max = (hi)
#define DAY 86400u
#define BUILD_TIMEOUT_S 3600u

/* The table. firn.env(5) is in the same order; tests/lint compares. */
static const struct variable variables[] = {
	{"FIRN_CHANNEL", "NIXERY_CHANNEL", NULL, read_source,
	 .source = SOURCE_CHANNEL},
	{"FIRN_PKGS_REPO", "NIXERY_PKGS_REPO", NULL, read_source,
	 .source = SOURCE_GIT},
	{"FIRN_PKGS_PATH", "NIXERY_PKGS_PATH", NULL, read_source,
	 .source = SOURCE_PATH},
	{"FIRN_PKGS_FLAKE", NULL, NULL, read_source, .source = SOURCE_FLAKE},
	{"FIRN_CHANNEL_URL", NULL,
	 "https://github.com/NixOS/nixpkgs/archive/%s.tar.gz",
	 .read = read_template, AT(source.channel_url)},
	{"FIRN_CHANNEL_COMMITS", NULL, "1", .read = read_flag,
	 AT(channel_commits)},
	{"FIRN_OFFLINE", NULL, "0", .read = read_flag, AT(offline)},
	{"FIRN_NIX_TIMEOUT", "NIX_TIMEOUT", "60",
	 NUMBER(nix_timeout_s, 1, 7 * DAY)},
	{"FIRN_NIX_DIR", NULL, FIRN_NIX_DIR, .read = read_directory,
	 AT(nix_dir)},
	{"FIRN_RESOLVE_TTL", NULL, "300", NUMBER(resolve_ttl_s, 0, 7 * DAY)},
	{"FIRN_PLATFORMS", NULL, NULL, .read = read_platforms},
	{"FIRN_PLATFORM_MISSING", NULL, "skip", .read = read_missing},
	{"FIRN_ALLOW", NULL, NULL, .read = read_patterns, AT(allow)},
	{"FIRN_DENY", NULL, NULL, .read = read_patterns, AT(deny)},
	{"FIRN_ALLOW_UNFREE", NULL, "0", .read = read_flag, AT(allow_unfree)},
	{"FIRN_ALLOW_INSECURE", NULL, "0", .read = read_flag,
	 AT(allow_insecure)},
	{"FIRN_ALLOW_BROKEN", NULL, "0", .read = read_flag, AT(allow_broken)},
	{"FIRN_OVERLAYS", NULL, NULL, .read = read_paths, AT(overlays)},
	{"FIRN_ALLOWED_URIS", NULL, NULL, .read = read_text, AT(allowed_uris)},
	{"FIRN_SUBSTITUTES_ONLY", NULL, "0", .read = read_flag,
	 AT(substitutes_only)},
	{"FIRN_EVAL_TIMEOUT", NULL, "60", NUMBER(eval_timeout_s, 1, DAY)},
	{"FIRN_EVAL_MEMORY", NULL, "2G", .read = read_size, AT(eval_memory),
	 .min = 64u << 20, .max = (uint64_t)1 << 40},
	{"FIRN_BUILD_TIMEOUT", NULL, NULL, NUMBER(build_timeout_s, 1, 7 * DAY)},
	{"FIRN_MAX_PACKAGES", NULL, "100",
	 NUMBER(max_packages, 1, IMAGE_PACKAGES_MAX)},
	{"FIRN_MAX_CLOSURE_SIZE", NULL, "20G", .read = read_size,
	 AT(max_closure_size), .max = (uint64_t)1 << 50},
	{"FIRN_MAX_CLOSURE_PATHS", NULL, "20000",
	 NUMBER(max_closure_paths, 1, GRAPH_MAX_NODES)},
	{"FIRN_STORAGE_BACKEND", "NIXERY_STORAGE_BACKEND", "filesystem",
	 .read = read_backend, AT(storage_backend)},
	{"FIRN_STORAGE_PATH", "STORAGE_PATH", NULL, .read = read_directory,
	 AT(storage_path)},
	{"FIRN_STATE_PATH", NULL, NULL, .read = read_directory, AT(state_path)},
	{"GCS_BUCKET", NULL, NULL, .read = read_bucket, AT(gcs_bucket)},
	{"GOOGLE_APPLICATION_CREDENTIALS", NULL, NULL, PATH(gcs_credentials)},
	{"FIRN_GCS_ENDPOINT", NULL, "https://storage.googleapis.com",
	 .read = read_endpoint, AT(gcs_endpoint)},
	{"GCE_METADATA_HOST", NULL, NULL, TEXT(gcs_metadata_host)},
	{"FIRN_S3_BUCKET", NULL, NULL, .read = read_bucket, AT(s3_bucket)},
	{"FIRN_S3_ENDPOINT", NULL, NULL, ENDPOINT(s3_endpoint)},
	{"FIRN_S3_PUBLIC_ENDPOINT", NULL, NULL, ENDPOINT(s3_public_endpoint)},
	{"AWS_REGION", NULL, "us-east-1", TEXT(s3_region)},
	{"AWS_ACCESS_KEY_ID", NULL, NULL, TEXT(s3_key_id)},
	{"AWS_SECRET_ACCESS_KEY", NULL, NULL, TEXT(s3_secret)},
	{"AWS_SESSION_TOKEN", NULL, NULL, TEXT(s3_token)},
	{"AWS_ROLE_ARN", NULL, NULL, TEXT(s3_role)},
	{"AWS_WEB_IDENTITY_TOKEN_FILE", NULL, NULL, PATH(s3_web_token_file)},
	{"AWS_ENDPOINT_URL_STS", NULL, NULL, ENDPOINT(s3_sts_endpoint)},
	{"AWS_SHARED_CREDENTIALS_FILE", NULL, NULL, PATH(s3_keys_file)},
	{"AWS_PROFILE", NULL, "default", TEXT(s3_profile)},
	{"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", NULL, NULL,
	 PATH(s3_container_path)},
	{"AWS_CONTAINER_CREDENTIALS_FULL_URI", NULL, NULL,
	 TEXT(s3_container_url)},
	{"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", NULL, NULL,
	 PATH(s3_container_token_file)},
	{"AWS_EC2_METADATA_SERVICE_ENDPOINT", NULL, NULL,
	 ENDPOINT(s3_instance_endpoint)},
	{"FIRN_STORAGE_CA_FILE", NULL, NULL, PATH(storage_ca_file)},
	{"FIRN_STORAGE_TIMEOUT", NULL, "5", NUMBER(storage_timeout_s, 1, 300)},
	{"FIRN_BLOB_DELIVERY", NULL, "auto", .read = read_delivery},
	{"FIRN_BLOB_URL_TTL", NULL, "900", NUMBER(blob_url_ttl_s, 2, 7 * DAY)},
	{"FIRN_BLOB_RECHECK", NULL, "60", NUMBER(blob_recheck_s, 0, DAY)},
	{"FIRN_POPULARITY_URL", "NIX_POPULARITY_URL", NULL, .read = read_text,
	 AT(popularity_url)},
	{"FIRN_LAYER_BUDGET", NULL, "94", NUMBER(layer_budget, 1, 125)},
	{"FIRN_LAYER_ALGORITHM", NULL, "firn", .read = read_algorithm},
	{"FIRN_COMPRESSION", NULL, "gzip", .read = read_compression},
	{"FIRN_MEMBER_CACHE", NULL, "0", .read = read_size, AT(member_cache),
	 .max = (uint64_t)1 << 50},
	{"FIRN_SBOM", NULL, "1", .read = read_flag, AT(sbom)},
	{"FIRN_MAX_BUILDS", NULL, NULL, NUMBER(max_builds, 1, 1024)},
	{"FIRN_MAX_QUEUE", NULL, "64", NUMBER(max_queue, 0, 100000)},
	{"FIRN_PACK_THREADS", NULL, NULL, NUMBER(pack_threads, 1, 1024)},
	{"FIRN_HOLD", NULL, "25", NUMBER(hold_s, 1, 3600)},
	{"FIRN_HOPS", NULL, "9", NUMBER(hops, 0, 9)},
	{"FIRN_FINAL_HOLD", NULL, "900", NUMBER(final_hold_s, 1, DAY)},
	{"FIRN_LISTEN", NULL, NULL, .read = read_text, AT(listen)},
	{"FIRN_PUBLIC_URL", NULL, NULL, .read = read_endpoint, AT(public_url)},
	{"FIRN_WAITERS", NULL, "1024", NUMBER(waiters, 1, 100000)},
	{"FIRN_THREADS", NULL, "32", NUMBER(threads, 1, 1024)},
	{"FIRN_LOG_LEVEL", NULL, "info", .read = read_level},
};

/* The value of a variable in the environment; NULL or empty: not set. */
static const char *
lookup(const char *const *envp, const char *name)
{
	size_t n = strlen(name);

	for (; *envp; envp++)
		if (strncmp(*envp, name, n) == 0 && (*envp)[n] == '=')
			return (*envp)[n + 1] ? *envp + n + 1 : NULL;
	return NULL;
}

static int
read_variable(struct owned *o, const struct variable *v,
	      const char *const *envp, struct err *e)
{
	const char *s = lookup(envp, v->name), *name = v->name;

	if (!s && v->alias && (s = lookup(envp, v->alias)) != NULL)
		name = v->alias;
	if (!s)
		s = v->fallback;
	if (!s)
		return 0;
	o->reading = name;
	if (v->read(o, v, s, e) < 0)
		return err_wrap(e, "%s", name);
	return 0;
}

static int
check_unknown(const char *const *envp, struct err *e)
{
	for (; *envp; envp++) {
		struct str rest = str_of(*envp), name;
		bool known = false;

		if (!str_has_prefix(*envp, "FIRN_") ||
		    !str_cut(&rest, '=', &name))
			continue;
		for (size_t i = 0; i < ARRAY_LEN(variables); i++)
			known = known || str_eq(name, variables[i].name);
		if (!known)
			return err_set(e, ERR_INVALID,
				       "there is no setting %.*s", (int)name.n,
				       name.p);
	}
	return 0;
}

static int
fill_in_storage(struct owned *o, struct err *e)
{
	struct config *c = &o->c;

	if (!c->state_path && c->storage_path)
		c->state_path =
			arena_printf(&o->arena, "%s/state", c->storage_path);
	if (!c->s3_endpoint)
		c->s3_endpoint = arena_printf(
			&o->arena, "https://s3.%s.amazonaws.com", c->s3_region);
	return config_check_storage(c, e);
}

/* A flake brings its own configuration. */
static int
check_policy(const struct owned *o, struct err *e)
{
	const struct config *c = &o->c;
	const struct {
		bool set;
		const char *name;
	} useless[] = {
		{c->allow_unfree, "FIRN_ALLOW_UNFREE"},
		{c->allow_insecure, "FIRN_ALLOW_INSECURE"},
		{c->allow_broken, "FIRN_ALLOW_BROKEN"},
		{c->overlays.n > 0, "FIRN_OVERLAYS"},
	};

	for (size_t i = 0; i < ARRAY_LEN(useless); i++)
		if (useless[i].set && c->source.kind == SOURCE_FLAKE)
			return err_set(e, ERR_INVALID,
				       "%s has no effect on a flake, which is "
				       "evaluated as it is: unset it or %s",
				       useless[i].name, o->source_name);
	return 0;
}

/* Defaults that depend on the machine or on other settings. */
static int
fill_in(struct owned *o, struct err *e)
{
	const unsigned cores = cores_count();
	struct config *c = &o->c;

	if (c->max_builds == 0)
		c->max_builds = cores;
	if (c->pack_threads == 0)
		c->pack_threads = cores;
	if (c->build_timeout_s == 0)
		c->build_timeout_s = c->nix_timeout_s > BUILD_TIMEOUT_S
					     ? c->nix_timeout_s
					     : BUILD_TIMEOUT_S;
	if (c->n_platforms == 0)
		c->platforms[c->n_platforms++] = platform_host();
	if (!o->source_set)
		return err_set(e, ERR_INVALID,
			       "no package source: set one of FIRN_CHANNEL, "
			       "FIRN_PKGS_REPO, FIRN_PKGS_PATH, "
			       "FIRN_PKGS_FLAKE");
	if (check_policy(o, e) < 0)
		return -1;
	return fill_in_storage(o, e);
}

int
config_read(const char *const *envp, struct config **ret, struct err *e)
{
	struct owned *o = xcalloc(1, sizeof(*o));
	int r = check_unknown(envp, e);

	for (size_t i = 0; r == 0 && i < ARRAY_LEN(variables); i++)
		r = read_variable(o, &variables[i], envp, e);
	if (r == 0)
		r = fill_in(o, e);
	if (r < 0) {
		config_free(&o->c);
		return -1;
	}
	*ret = &o->c;
	return 0;
}

void
config_free(struct config *c)
{
	struct owned *o = (struct owned *)c;

	if (!o)
		return;
	arena_release(&o->arena);
	free(o);
}

bool
config_variable(size_t i, const char **ret_name, const char **ret_alias,
		const char **ret_default)
{
	if (i >= ARRAY_LEN(variables))
		return false;
	*ret_name = variables[i].name;
	*ret_alias = variables[i].alias;
	*ret_default = variables[i].fallback;
	return true;
}
