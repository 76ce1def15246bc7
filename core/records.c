/* SPDX-License-Identifier: Apache-2.0 */
#include "core/records.h"

#include <string.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/json.h"
#include "core/model/layers.h"
#include "core/store/store.h"
#include "core/sys/log.h"

static void
name_of(const char *kind, const struct digest *key, char ret[128])
{
	char hex[DIGEST_HEX_CAP];

	digest_hex(key, hex);
	(void)snprintf(ret, 128, "%s/%s", kind, hex);
}

static void
warn_damaged(const char *kind, const struct digest *key, const char *why)
{
	char name[128];

	name_of(kind, key, name);
	log_warn("record.damaged", LOG_S("record", name), LOG_S("error", why));
}

/*
 * Read and parse a record. *ret is NULL when there is none, or none that is
 * JSON.
 */
static int
get(struct store *st, const char *kind, const struct digest *key,
    struct arena *a, const struct json **ret, struct err *e)
{
	AUTO(buf) struct buf text = BUF_INIT;
	struct err bad = ERR_INIT;
	char name[128];
	bool found;

	*ret = NULL;
	name_of(kind, key, name);
	if (store_get_record(st, name, &found, &text, e) < 0) {
		/* Larger than any record. */
		if (e->kind != ERR_INVALID)
			return -1;
		warn_damaged(kind, key, e->msg);
		err_clear(e);
		return 0;
	}
	if (found && json_parse(a, text.p, text.len, NULL, ret, &bad) < 0)
		warn_damaged(kind, key, bad.msg);
	return 0;
}

static bool
get_digest(const struct json *v, const char *key, struct digest *ret)
{
	const char *text = json_get_str(v, key);

	return text && digest_parse(str_of(text), ret);
}

static void
put_digest(struct json_out *o, const char *key, const struct digest *d)
{
	char text[DIGEST_TEXT_CAP];

	digest_text(d, text);
	json_kstr(o, key, text);
}

/*
 * Over the record's name and what it says, so that one that was damaged, or
 * that stands under another's name, is told from a good one.
 */
static void
check_one(const char *kind, const struct digest *key,
	  const struct digest *value, struct digest *ret)
{
	AUTO(hasher) struct hasher h;

	hasher_init(&h);
	hasher_field_str(&h, kind);
	hasher_field(&h, key->b, DIGEST_SIZE);
	hasher_field(&h, value->b, DIGEST_SIZE);
	hasher_finish(&h, ret);
}

static void
check_layer(const struct digest *key, const struct layer *l, struct digest *ret)
{
	AUTO(hasher) struct hasher h;

	hasher_init(&h);
	hasher_field_str(&h, "layers");
	hasher_field(&h, key->b, DIGEST_SIZE);
	hasher_field(&h, l->digest.b, DIGEST_SIZE);
	hasher_field(&h, l->diff_id.b, DIGEST_SIZE);
	hasher_field_u64(&h, l->size);
	hasher_field_str(&h, compression_name(l->compression));
	hasher_finish(&h, ret);
}

static bool
has_check(const struct json *v, const char *kind, const struct digest *key,
	  const struct digest *want)
{
	struct digest got;

	if (get_digest(v, "check", &got) && digest_eq(&got, want))
		return true;
	warn_damaged(kind, key, "its checksum is wrong");
	return false;
}

/* Records of one digest, which is called member. */
static int
get_one(struct store *st, const char *kind, const char *member,
	const struct digest *key, bool *ret_found, struct digest *ret,
	struct err *e)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	const struct json *v;
	struct digest check;

	*ret_found = false;
	if (get(st, kind, key, &a, &v, e) < 0)
		return -1;
	if (!v)
		return 0;
	if (!get_digest(v, member, ret)) {
		warn_damaged(kind, key, "it makes no sense");
		return 0;
	}
	check_one(kind, key, ret, &check);
	*ret_found = has_check(v, kind, key, &check);
	return 0;
}

static int
put_one(struct store *st, const char *kind, const char *member,
	const struct digest *key, const struct digest *value, struct err *e)
{
	AUTO(json_out) struct json_out o = {.gen = NULL};
	AUTO(buf) struct buf text = BUF_INIT;
	struct digest check;
	char name[128];

	check_one(kind, key, value, &check);
	json_out_init(&o, &text);
	json_object(&o);
	put_digest(&o, member, value);
	put_digest(&o, "check", &check);
	json_object_end(&o);
	name_of(kind, key, name);
	return store_put_record(st, name, text.p, text.len, e);
}

int
records_get_image(struct store *st, const struct digest *key, bool *ret_found,
		  struct digest *ret, struct err *e)
{
	return get_one(st, "manifests", "manifest", key, ret_found, ret, e);
}

int
records_put_image(struct store *st, const struct digest *key,
		  const struct digest *manifest, struct err *e)
{
	return put_one(st, "manifests", "manifest", key, manifest, e);
}

int
records_get_referrers(struct store *st, const struct digest *subject,
		      bool *ret_found, struct digest *ret, struct err *e)
{
	return get_one(st, "referrers", "index", subject, ret_found, ret, e);
}

int
records_put_referrers(struct store *st, const struct digest *subject,
		      const struct digest *list, struct err *e)
{
	return put_one(st, "referrers", "index", subject, list, e);
}

int
records_get_layer(struct store *st, const struct digest *key, bool *ret_found,
		  struct layer *ret, struct err *e)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	struct compression c = {.kind = COMPRESSION_GZIP};
	struct err bad = ERR_INIT;
	const struct json *v;
	struct digest check;
	const char *name;

	*ret_found = false;
	if (get(st, "layers", key, &a, &v, e) < 0)
		return -1;
	if (!v)
		return 0;
	name = json_get_str(v, "compression");
	if (!get_digest(v, "digest", &ret->digest) ||
	    !get_digest(v, "diffId", &ret->diff_id) ||
	    !json_get_u64(v, "size", &ret->size) || !name ||
	    compression_parse(name, &c, &bad) < 0) {
		warn_damaged("layers", key, "it makes no sense");
		return 0;
	}
	ret->compression = c.kind;
	check_layer(key, ret, &check);
	*ret_found = has_check(v, "layers", key, &check);
	return 0;
}

int
records_put_layer(struct store *st, const struct digest *key,
		  const struct layer *l, struct err *e)
{
	AUTO(json_out) struct json_out o = {.gen = NULL};
	AUTO(buf) struct buf text = BUF_INIT;
	struct digest check;
	char name[128];

	check_layer(key, l, &check);
	json_out_init(&o, &text);
	json_object(&o);
	put_digest(&o, "digest", &l->digest);
	put_digest(&o, "diffId", &l->diff_id);
	json_knum(&o, "size", l->size);
	json_kstr(&o, "compression", compression_name(l->compression));
	put_digest(&o, "check", &check);
	json_object_end(&o);
	name_of("layers", key, name);
	return store_put_record(st, name, text.p, text.len, e);
}
