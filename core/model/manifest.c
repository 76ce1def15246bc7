/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/manifest.h"

#include <string.h>
#include <time.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/json.h"
#include "core/model/image.h"

static void
put_digest(struct json_out *o, const char *key, const struct digest *d)
{
	char text[DIGEST_TEXT_CAP];

	digest_text(d, text);
	if (key)
		json_key(o, key);
	json_str(o, text);
}

/* The last second of the year 9999, as far as RFC 3339 goes. */
#define TIME_MAX UINT64_C(253402300799)

static void
put_time(struct json_out *o, const char *key, uint64_t seconds)
{
	time_t t = (time_t)(seconds < TIME_MAX ? seconds : TIME_MAX);
	char text[64];
	struct tm tm;

	(void)gmtime_r(&t, &tm);
	(void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	json_kstr(o, key, text);
}

static void
put_env(struct json_out *o, const char *name, const char *value)
{
	AUTO(buf) struct buf text = BUF_INIT;

	buf_printf(&text, "%s=%s", name, value);
	json_str(o, text.p);
}

static void
put_labels(struct json_out *o, const struct manifest_input *in)
{
	json_key(o, "Labels");
	json_object(o);
	if (in->revision)
		json_kstr(o, "org.opencontainers.image.revision", in->revision);
	json_object_end(o);
}

/* The "config" member: how a container starts. */
static void
put_runtime(struct json_out *o, const struct manifest_input *in)
{
	json_key(o, "config");
	json_object(o);
	json_key(o, "Env");
	json_array(o);
	put_env(o, "PATH", in->path);
	if (in->cert_file) {
		put_env(o, "SSL_CERT_FILE", in->cert_file);
		put_env(o, "NIX_SSL_CERT_FILE", in->cert_file);
	}
	json_array_end(o);
	if (in->command) {
		json_key(o, "Cmd");
		json_array(o);
		json_str(o, in->command);
		json_array_end(o);
	}
	if (in->revision)
		put_labels(o, in);
	json_object_end(o);
}

static void
put_history(struct json_out *o, const struct manifest_layer *l,
	    uint64_t created)
{
	AUTO(buf) struct buf paths = BUF_INIT;

	for (size_t i = 0; i < l->n_paths; i++)
		buf_printf(&paths, "%s%s", i ? " " : "", l->paths[i]);
	json_object(o);
	put_time(o, "created", created);
	json_kstr(o, "created_by", "firn");
	json_kstr(o, "comment", l->n_paths > 0 ? paths.p : l->comment);
	json_object_end(o);
}

void
manifest_write_config(const struct manifest_input *in, struct buf *to)
{
	AUTO(json_out) struct json_out o = {.gen = NULL};

	json_out_init(&o, to);
	json_object(&o);
	put_time(&o, "created", in->created);
	json_kstr(&o, "architecture", in->platform->arch);
	json_kstr(&o, "os", in->platform->os);
	put_runtime(&o, in);
	json_key(&o, "rootfs");
	json_object(&o);
	json_kstr(&o, "type", "layers");
	json_key(&o, "diff_ids");
	json_array(&o);
	for (size_t i = 0; i < in->n_layers; i++)
		put_digest(&o, NULL, &in->layers[i].layer.diff_id);
	json_array_end(&o);
	json_object_end(&o);
	json_key(&o, "history");
	json_array(&o);
	for (size_t i = 0; i < in->n_layers; i++)
		put_history(&o, &in->layers[i], in->created);
	json_array_end(&o);
	json_object_end(&o);
}

static void
put_descriptor(struct json_out *o, const char *media_type,
	       const struct digest *d, uint64_t size)
{
	json_object(o);
	json_kstr(o, "mediaType", media_type);
	put_digest(o, "digest", d);
	json_knum(o, "size", size);
	json_object_end(o);
}

void
manifest_write(const struct manifest_input *in, const struct digest *config,
	       uint64_t config_size, struct buf *to)
{
	AUTO(json_out) struct json_out o = {.gen = NULL};

	json_out_init(&o, to);
	json_object(&o);
	json_knum(&o, "schemaVersion", 2);
	json_kstr(&o, "mediaType", MEDIA_TYPE_MANIFEST);
	json_key(&o, "config");
	put_descriptor(&o, MEDIA_TYPE_CONFIG, config, config_size);
	json_key(&o, "layers");
	json_array(&o);
	for (size_t i = 0; i < in->n_layers; i++) {
		const struct layer *l = &in->layers[i].layer;

		put_descriptor(&o, compression_media_type(l->compression),
			       &l->digest, l->size);
	}
	json_array_end(&o);
	json_object_end(&o);
}

static const char *const known_types[] = {
	MEDIA_TYPE_MANIFEST,
	MEDIA_TYPE_INDEX,
	MEDIA_TYPE_DOCKER_MANIFEST,
	MEDIA_TYPE_DOCKER_LIST,
};

const char *
manifest_known_type(const char *s)
{
	for (size_t i = 0; i < ARRAY_LEN(known_types); i++)
		if (strcmp(s, known_types[i]) == 0)
			return known_types[i];
	return NULL;
}

bool
manifest_is_index(const char *media_type)
{
	return strcmp(media_type, MEDIA_TYPE_INDEX) == 0 ||
	       strcmp(media_type, MEDIA_TYPE_DOCKER_LIST) == 0;
}

/* Copy a descriptor under another type. */
static int
put_retyped(struct json_out *o, const struct json *from, const char *media_type,
	    struct err *e)
{
	const char *text = json_get_str(from, "digest");
	struct digest d;
	uint64_t size;

	if (!text || !digest_parse(str_of(text), &d) ||
	    !json_get_u64(from, "size", &size))
		return err_set(e, ERR_INVALID, "a descriptor is malformed");
	put_descriptor(o, media_type, &d, size);
	return 0;
}

static int
put_docker_layers(struct json_out *o, const struct json *layers, struct err *e)
{
	const char *gzip = compression_media_type(COMPRESSION_GZIP);

	json_key(o, "layers");
	json_array(o);
	for (const struct json *l = layers ? layers->kids : NULL; l;
	     l = l->next) {
		const char *type = json_get_str(l, "mediaType");

		if (!type || strcmp(type, gzip) != 0)
			return err_set(e, ERR_INVALID,
				       "Docker's manifests have gzip layers");
		if (put_retyped(o, l, MEDIA_TYPE_DOCKER_LAYER, e) < 0)
			return -1;
	}
	json_array_end(o);
	return 0;
}

int
manifest_write_docker(const char *oci, size_t n, struct buf *to, struct err *e)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(json_out) struct json_out o = {.gen = NULL};
	const struct json *v = NULL;

	if (json_parse(&a, oci, n, NULL, &v, e) < 0)
		return -1;
	json_out_init(&o, &text);
	json_object(&o);
	json_knum(&o, "schemaVersion", 2);
	json_kstr(&o, "mediaType", MEDIA_TYPE_DOCKER_MANIFEST);
	json_key(&o, "config");
	if (put_retyped(&o, json_get(v, "config"), MEDIA_TYPE_DOCKER_CONFIG,
			e) < 0 ||
	    put_docker_layers(&o, json_get(v, "layers"), e) < 0)
		return -1;
	json_object_end(&o);
	buf_add(to, text.p, text.len);
	return 0;
}

static void
put_child(struct json_out *o, const struct manifest_child *c)
{
	json_object(o);
	json_kstr(o, "mediaType", c->media_type);
	put_digest(o, "digest", &c->digest);
	json_knum(o, "size", c->size);
	json_key(o, "platform");
	json_object(o);
	json_kstr(o, "architecture", c->platform->arch);
	json_kstr(o, "os", c->platform->os);
	json_object_end(o);
	json_object_end(o);
}

void
manifest_write_index(enum manifest_form form,
		     const struct manifest_child *children, size_t n,
		     const char *missing, struct buf *to)
{
	AUTO(json_out) struct json_out o = {.gen = NULL};

	json_out_init(&o, to);
	json_object(&o);
	json_knum(&o, "schemaVersion", 2);
	json_kstr(&o, "mediaType",
		  form == MANIFEST_OCI ? MEDIA_TYPE_INDEX
				       : MEDIA_TYPE_DOCKER_LIST);
	json_key(&o, "manifests");
	json_array(&o);
	for (size_t i = 0; i < n; i++)
		put_child(&o, &children[i]);
	json_array_end(&o);
	if (missing && form == MANIFEST_OCI) {
		json_key(&o, "annotations");
		json_object(&o);
		json_kstr(&o, ANNOTATION_MISSING, missing);
		json_object_end(&o);
	}
	json_object_end(&o);
}

/* --- reading back */

#define BLOBS_MAX 4096

static int
read_descriptor(const struct json *v, struct digest *ret, uint64_t *ret_size,
		struct err *e)
{
	const char *text = json_get_str(v, "digest");

	if (!text || !digest_parse(str_of(text), ret) ||
	    !json_get_u64(v, "size", ret_size))
		return err_set(e, ERR_INVALID,
			       "a descriptor has no valid digest or size");
	return 0;
}

/*
 * The list of descriptors in a document of that type; NULL when it is
 * another document than its type says, or two at once.
 */
static const struct json *
list_of(const struct json *v, const char *media_type)
{
	bool index = manifest_is_index(media_type);
	const struct json *list = json_get(v, index ? "manifests" : "layers");

	if (!json_is(list, JSON_ARRAY) ||
	    json_get(v, index ? "layers" : "manifests") ||
	    index == (json_get(v, "config") != NULL))
		return NULL;
	return list;
}

/* The type that the document says it has, when it is one of ours. */
static const char *
type_of(const struct json *v)
{
	const char *type = json_get_str(v, "mediaType");
	uint64_t version;

	if (!type || !json_get_u64(v, "schemaVersion", &version) ||
	    version != 2)
		return NULL;
	return manifest_known_type(type);
}

int
manifest_read(struct arena *a, const char *text, size_t n,
	      struct manifest_summary *ret, struct err *e)
{
	const struct json *v = NULL, *config, *list = NULL;
	struct digest *blobs;
	uint64_t *sizes;
	size_t k = 0;

	if (json_parse(a, text, n, NULL, &v, e) < 0)
		return -1;
	ret->media_type = type_of(v);
	if (ret->media_type)
		list = list_of(v, ret->media_type);
	if (!list)
		return err_set(e, ERR_INVALID, "this is no manifest");
	if (list->n > BLOBS_MAX)
		return err_set(e, ERR_INVALID, "too many descriptors");
	config = json_get(v, "config");
	blobs = arena_alloc(a, list->n + 1, sizeof(*blobs));
	sizes = arena_alloc(a, list->n + 1, sizeof(*sizes));
	if (config && read_descriptor(config, &blobs[k], &sizes[k], e) < 0)
		return -1;
	k += config != NULL;
	for (const struct json *d = list->kids; d; d = d->next, k++)
		if (read_descriptor(d, &blobs[k], &sizes[k], e) < 0)
			return -1;
	ret->blobs = blobs;
	ret->sizes = sizes;
	ret->n = k;
	ret->missing =
		json_get_str(json_get(v, "annotations"), ANNOTATION_MISSING);
	return 0;
}
