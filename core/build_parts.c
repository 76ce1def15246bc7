/* SPDX-License-Identifier: Apache-2.0 */
/* What builds are made of: how it is opened, and whether it is there. */
#include <string.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/build.h"
#include "core/config.h"
#include "core/failures.h"
#include "core/nix.h"
#include "core/resolve.h"
#include "core/state.h"
#include "core/store/store.h"
#include "core/sys/proc.h"

int
build_open_store(const struct config *c, struct store **ret, struct err *e)
{
	static const enum store_delivery deliveries[] = {
		[BLOB_AUTO] = STORE_DELIVERY_AUTO,
		[BLOB_REDIRECT] = STORE_DELIVERY_REDIRECT,
		[BLOB_PROXY] = STORE_DELIVERY_PROXY,
	};
	AUTO(buf) struct buf spool = BUF_INIT;
	struct store_options o = {
		.backend = c->storage_backend,
		.path = c->storage_path,
		.ca_file = c->storage_ca_file,
		.delivery = deliveries[c->blob_delivery],
		.url_ttl_s = c->blob_url_ttl_s,
		.recheck_s = c->blob_recheck_s,
		.timeout_ms = c->storage_timeout_s * 1000,
		.s3 = {.bucket = c->s3_bucket,
		       .endpoint = c->s3_endpoint,
		       .public_endpoint = c->s3_public_endpoint,
		       .region = c->s3_region,
		       .key_id = c->s3_key_id,
		       .secret = c->s3_secret,
		       .token = c->s3_token,
		       .keys = {.file = c->s3_keys_file,
				.profile = c->s3_profile,
				.role = c->s3_role,
				.web_token_file = c->s3_web_token_file,
				.sts_url = c->s3_sts_endpoint,
				.container_path = c->s3_container_path,
				.container_url = c->s3_container_url,
				.container_token_file =
					c->s3_container_token_file,
				.instance_url = c->s3_instance_endpoint}},
		.gcs = {.bucket = c->gcs_bucket,
			.endpoint = c->gcs_endpoint,
			.credentials = c->gcs_credentials,
			.metadata_host = c->gcs_metadata_host},
	};

	if (strcmp(c->storage_backend, "filesystem") != 0)
		proc_guard_memory();
	buf_printf(&spool, "%s/spool", c->state_path);
	o.spool = spool.p;
	return store_open(&o, ret, e);
}

struct resolve_options
build_resolve_options(const struct config *c)
{
	return (struct resolve_options){
		.channel_url = c->source.channel_url,
		.state_path = c->state_path,
		.found_commits_only = !c->channel_commits,
		.offline = c->offline,
	};
}

int
build_check_source(struct builder *g, struct err *e)
{
	const struct resolve_options o = build_resolve_options(g->config);

	if (resolve_check_source(&g->config->source, &o, e) == 0 &&
	    !failures_find(g->source_failures, &BUILD_SOURCE_KEY, e))
		return 0;
	return err_wrap(e, "package source");
}

int
build_check(struct builder *g, struct err *e)
{
	if (store_check(g->store, e) < 0)
		return str_has_prefix(e->msg, "storage: ")
			       ? -1
			       : err_wrap(e, "storage");
	if (state_check(g->state, e) < 0 || build_open_nix(g, e) < 0 ||
	    nix_check(g->nix, e) < 0)
		return -1;
	return build_check_source(g, e);
}
