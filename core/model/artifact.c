/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/artifact.h"

#include <string.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/json.h"
#include "core/model/manifest.h"

#define ANNOTATION_CREATED "org.opencontainers.image.created"
#define ANNOTATION_TITLE "org.opencontainers.image.title"

/* A descriptor; what else belongs in it, and its end, are the caller's. */
static void
begin_descriptor(struct json_out *o, const char *media_type,
		 const struct digest *d, uint64_t size)
{
	char text[DIGEST_TEXT_CAP];

	digest_text(d, text);
	json_object(o);
	json_kstr(o, "mediaType", media_type);
	json_kstr(o, "digest", text);
	json_knum(o, "size", size);
}

static void
put_annotations(struct json_out *o, const char *created, const char *platform)
{
	json_key(o, "annotations");
	json_object(o);
	json_kstr(o, ANNOTATION_PLATFORM, platform);
	json_kstr(o, ANNOTATION_CREATED, created);
	json_object_end(o);
}

static void
put_document(struct json_out *o, const struct artifact *in)
{
	json_key(o, "layers");
	json_array(o);
	begin_descriptor(o, in->type, &in->document, in->size);
	json_key(o, "annotations");
	json_object(o);
	json_kstr(o, ANNOTATION_TITLE, in->file_name);
	json_object_end(o);
	json_object_end(o);
	json_array_end(o);
}

void
artifact_write(const struct artifact *in,
	       const struct artifact_manifest *subject, struct buf *to)
{
	AUTO(json_out) struct json_out o = {.gen = NULL};
	struct digest empty;

	digest_of(ARTIFACT_EMPTY, strlen(ARTIFACT_EMPTY), &empty);
	json_out_init(&o, to);
	json_object(&o);
	json_knum(&o, "schemaVersion", 2);
	json_kstr(&o, "mediaType", MEDIA_TYPE_MANIFEST);
	json_kstr(&o, "artifactType", in->type);
	json_key(&o, "config");
	begin_descriptor(&o, MEDIA_TYPE_EMPTY, &empty, strlen(ARTIFACT_EMPTY));
	json_object_end(&o);
	put_document(&o, in);
	json_key(&o, "subject");
	begin_descriptor(&o, subject->media_type, &subject->digest,
			 subject->size);
	json_object_end(&o);
	put_annotations(&o, in->created, in->platform);
	json_object_end(&o);
}

void
referrers_write(const struct referrers *in, struct buf *to)
{
	AUTO(json_out) struct json_out o = {.gen = NULL};

	json_out_init(&o, to);
	json_object(&o);
	json_knum(&o, "schemaVersion", 2);
	json_kstr(&o, "mediaType", MEDIA_TYPE_INDEX);
	json_key(&o, "manifests");
	json_array(&o);
	for (size_t i = 0; i < in->n; i++) {
		const struct referrer *r = &in->v[i];

		begin_descriptor(&o, MEDIA_TYPE_MANIFEST, &r->digest, r->size);
		json_kstr(&o, "artifactType", r->type);
		put_annotations(&o, r->created, r->platform);
		json_object_end(&o);
	}
	json_array_end(&o);
	json_object_end(&o);
}

void
referrers_filter(struct referrers *r, const char *type)
{
	size_t k = 0;

	for (size_t i = 0; i < r->n; i++)
		if (strcmp(r->v[i].type, type) == 0)
			r->v[k++] = r->v[i];
	r->n = k;
}

/* --- reading back */

static bool
read_descriptor(const struct json *v, struct digest *ret, uint64_t *ret_size)
{
	const char *text = json_get_str(v, "digest");

	return text && digest_parse(str_of(text), ret) &&
	       json_get_u64(v, "size", ret_size);
}

static const char *
annotation(const struct json *v, const char *name)
{
	return json_get_str(json_get(v, "annotations"), name);
}

int
artifact_read(struct arena *a, const char *text, size_t n, struct artifact *ret,
	      struct err *e)
{
	const struct json *v, *layers, *document;

	if (json_parse(a, text, n, NULL, &v, e) < 0)
		return -1;
	layers = json_get(v, "layers");
	document = json_is(layers, JSON_ARRAY) ? layers->kids : NULL;
	ret->type = json_get_str(v, "artifactType");
	ret->file_name = annotation(document, ANNOTATION_TITLE);
	ret->created = annotation(v, ANNOTATION_CREATED);
	ret->platform = annotation(v, ANNOTATION_PLATFORM);
	if (!ret->type || !ret->file_name || !ret->created || !ret->platform ||
	    !read_descriptor(document, &ret->document, &ret->size))
		return err_set(e, ERR_INVALID, "this is no artifact of ours");
	return 0;
}

static bool
read_referrer(const struct json *v, struct referrer *ret)
{
	ret->type = json_get_str(v, "artifactType");
	ret->created = annotation(v, ANNOTATION_CREATED);
	ret->platform = annotation(v, ANNOTATION_PLATFORM);
	return ret->type && ret->created && ret->platform &&
	       read_descriptor(v, &ret->digest, &ret->size);
}

int
referrers_read(struct arena *a, const char *text, size_t n,
	       struct referrers *ret, struct err *e)
{
	const struct json *v, *list;
	size_t k = 0;

	if (json_parse(a, text, n, NULL, &v, e) < 0)
		return -1;
	list = json_get(v, "manifests");
	if (!json_is(list, JSON_ARRAY) || list->n > ARTIFACTS_MAX)
		return err_set(e, ERR_INVALID, "this is no list of artifacts");
	ret->v = arena_alloc(a, list->n + 1, sizeof(*ret->v));
	for (const struct json *r = list->kids; r; r = r->next)
		if (!read_referrer(r, &ret->v[k++]))
			return err_set(e, ERR_INVALID,
				       "an artifact's entry is malformed");
	ret->n = k;
	return 0;
}
