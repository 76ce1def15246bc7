/* SPDX-License-Identifier: Apache-2.0 */
#include "core/config_storage.h"

#include <string.h>

#include "core/base/err.h"
#include "core/config.h"

static const char *
first(const char *a, const char *b)
{
	return a ? a : b;
}

/* Where keys for S3 are said to be, when none is given; NULL: nowhere. */
static const char *
other_keys(const struct config *c)
{
	if (c->s3_key_id || c->s3_secret)
		return NULL;
	return first(first(c->s3_role ? c->s3_web_token_file : NULL,
			   c->s3_keys_file),
		     first(first(c->s3_container_path, c->s3_container_url),
			   c->s3_instance_endpoint));
}

int
config_check_storage(const struct config *c, struct err *e)
{
	const char *other = other_keys(c);
	const struct {
		const char *backend, *value, *name;
	} needed[] = {
		{"filesystem", c->storage_path, "FIRN_STORAGE_PATH"},
		{"gcs", c->gcs_bucket, "GCS_BUCKET"},
		{"s3", c->s3_bucket, "FIRN_S3_BUCKET"},
		{"s3", first(c->s3_key_id, other), "AWS_ACCESS_KEY_ID"},
		{"s3", first(c->s3_secret, other), "AWS_SECRET_ACCESS_KEY"},
		/* Theirs is the only state then. */
		{"gcs", c->state_path, "FIRN_STATE_PATH"},
		{"s3", c->state_path, "FIRN_STATE_PATH"},
	};

	for (size_t i = 0; i < ARRAY_LEN(needed); i++)
		if (!needed[i].value &&
		    strcmp(needed[i].backend, c->storage_backend) == 0)
			return err_set(e, ERR_INVALID,
				       "%s is not set, which "
				       "FIRN_STORAGE_BACKEND=%s needs",
				       needed[i].name, needed[i].backend);
	return 0;
}
