/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_CONFIG_H
#define FIRN_CONFIG_H

/*
 * The environment, read once at start into a struct that never changes.
 * One table in config.c names every variable, its alias, its default and
 * its reader; firn.env(5) documents the same table, and a test compares.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/model/compression.h"
#include "core/model/layers.h"
#include "core/model/source.h"
#include "core/sys/log.h"

struct err;
struct platform;

#define CONFIG_PLATFORMS_MAX 4

struct config_list {
	const char *const *v;
	size_t n;
};

/* How blobs get from a cloud to a client. */
enum blob_delivery {
	BLOB_AUTO,
	BLOB_REDIRECT,
	BLOB_PROXY,
};

struct config {
	struct source source; /* exactly one is configured */
	bool channel_commits; /* any that the channel's host has */
	bool offline;
	uint64_t nix_timeout_s;
	uint64_t resolve_ttl_s;
	const struct platform *platforms[CONFIG_PLATFORMS_MAX];
	size_t n_platforms; /* the first is the default */
	bool skip_missing;  /* an image may lack some of them */

	/* What may be asked for, and what it may cost; as in nix.h. */
	struct config_list allow;
	struct config_list deny;
	bool allow_unfree;
	bool allow_insecure;
	bool allow_broken;
	struct config_list overlays; /* absolute paths */
	const char *allowed_uris;    /* NULL: none */
	bool substitutes_only;
	uint64_t eval_timeout_s;
	uint64_t eval_memory;
	uint64_t build_timeout_s;
	uint64_t max_packages; /* that a name lists */
	uint64_t max_closure_size;
	uint64_t max_closure_paths;

	const char *storage_backend;
	const char *storage_path;
	const char *state_path;

	/* Clouds; what is not set is NULL. */
	const char *gcs_bucket;
	const char *gcs_credentials; /* a file */
	const char *gcs_endpoint;
	const char *gcs_metadata_host;
	const char *s3_bucket;
	const char *s3_endpoint;
	const char *s3_public_endpoint; /* as clients reach it */
	const char *s3_region;
	const char *s3_key_id;
	const char *s3_secret; /* never shown */
	const char *s3_token;  /* never shown */
	/* Where keys come from when none is given: core/store/credentials.h. */
	const char *s3_role;
	const char *s3_web_token_file;
	const char *s3_sts_endpoint;
	const char *s3_keys_file;
	const char *s3_profile;
	const char *s3_container_path;
	const char *s3_container_url;
	const char *s3_container_token_file;
	const char *s3_instance_endpoint;
	const char *storage_ca_file;
	enum blob_delivery blob_delivery;
	uint64_t blob_url_ttl_s;
	uint64_t blob_recheck_s;
	uint64_t storage_timeout_s;

	const char *popularity_url; /* NULL: none */
	uint64_t layer_budget;
	enum layer_algorithm layer_algorithm;
	struct compression compression;
	uint64_t member_cache; /* bytes of packed blocks to keep; 0: none */
	bool sbom;

	uint64_t max_builds;
	uint64_t max_queue;
	uint64_t pack_threads;
	uint64_t hold_s;
	uint64_t hops;
	uint64_t final_hold_s;
	uint64_t waiters;
	uint64_t threads;
	const char *public_url; /* NULL: unknown; without a slash at its end */
	const char *listen;     /* NULL: the socket that we inherited */
	enum log_level log_level;

	const char *nix_dir; /* where our Nix expressions are */
};

/*
 * Read envp (as environ). Unknown FIRN_* variables, bad values, and none or
 * several package sources are ERR_INVALID, which says which and why. Free
 * with config_free.
 */
MUST_CHECK int config_read(const char *const *envp, struct config **ret,
			   struct err *e);
void config_free(struct config *c);

/*
 * Walk the table, for the manual's test and `firn doctor`: name, alias (may
 * be NULL), default as written (may be NULL). False after the last.
 */
bool config_variable(size_t i, const char **ret_name, const char **ret_alias,
		     const char **ret_default);

#endif
