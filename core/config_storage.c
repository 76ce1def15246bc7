/* SPDX-License-Identifier: Apache-2.0 */
#include "core/config_storage.h"

#include <string.h>

#include "core/base/err.h"
#include "core/config.h"
#include "core/sys/fs.h"

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

/* What goes into a header, a path or a URL as it is; NULL is fine. */
static bool
is_made_of(const char *s, const char *others)
{
	for (; s && *s; s++)
		if (!(*s >= 'a' && *s <= 'z') && !(*s >= 'A' && *s <= 'Z') &&
		    !(*s >= '0' && *s <= '9') && !strchr(others, *s))
			return false;
	return true;
}

/* Not what they are: some are secrets. */
static int
check_words(const struct config *c, struct err *e)
{
	static const char visible[] = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";
	const struct {
		const char *name, *value, *others;
	} words[] = {
		{"AWS_ACCESS_KEY_ID", c->s3_key_id, visible},
		{"AWS_SECRET_ACCESS_KEY", c->s3_secret, visible},
		{"AWS_SESSION_TOKEN", c->s3_token, visible},
		{"AWS_REGION", c->s3_region, "-"},
		{"GCE_METADATA_HOST", c->gcs_metadata_host, ".-:[]"},
	};
	bool found;

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (!is_made_of(words[i].value, words[i].others))
			return err_set(e, ERR_INVALID,
				       "%s has a character that it can't have",
				       words[i].name);
	if (!c->storage_ca_file)
		return 0;
	if (fs_stat_file(c->storage_ca_file, &found, NULL, e) < 0)
		return err_wrap(e, "FIRN_STORAGE_CA_FILE");
	if (!found)
		return err_set(e, ERR_INVALID,
			       "FIRN_STORAGE_CA_FILE: there is no file %s",
			       c->storage_ca_file);
	return 0;
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
	if (strcmp(c->storage_backend, "filesystem") == 0)
		return 0;
	return check_words(c, e);
}
