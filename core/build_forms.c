/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an image is served as: OCI's manifest and Docker's, and an index of
 * each kind over several platforms.
 */
#include "core/attach.h"
#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/build_impl.h"
#include "core/cache.h"
#include "core/config.h"
#include "core/jobs.h"
#include "core/keys.h"
#include "core/model/image.h"
#include "core/model/manifest.h"
#include "core/store/store.h"

/*
 * The Docker form of an image: found, or made from the OCI form. Where it
 * can't be made (zstd), the OCI form stands for it.
 */
static int
need_docker(struct build *b, const struct manifest_info *oci,
	    struct manifest_info *ret, struct err *e)
{
	AUTO(buf) struct buf text = BUF_INIT, docker = BUF_INIT;
	struct manifest_summary s;
	struct err no = ERR_INIT;
	struct digest key;
	bool found;

	key_form("docker", &oci->digest, &key);
	if (cache_find_image(b->cache, &key, CACHE_FAR, &found, ret, e) < 0)
		return -1;
	if (found)
		return 0;
	if (store_read(b->cache->store, &oci->digest, MANIFEST_MAX, &text, e) <
	    0)
		return -1;
	*ret = *oci;
	if (manifest_write_docker(text.p, text.len, &docker, &no) == 0) {
		if (manifest_read(&b->arena, docker.p, docker.len, &s, e) < 0)
			return -1;
		if (build_put_manifest(b, &docker, s.media_type, s.blobs, s.n,
				       ret, e) < 0)
			return -1;
	}
	return cache_put_image(b->cache, &key, &ret->digest, e);
}

/* One platform's image, in both forms. */
static int
build_platform(struct build *b, const struct platform *p,
	       struct manifest_child *ret_oci,
	       struct manifest_child *ret_docker, struct err *e)
{
	struct manifest_info oci, docker;

	b->platform = p;
	if (build_image(b, &oci, e) < 0)
		return -1;
	stages_enter(&b->stages, STAGE_MANIFEST);
	if (need_docker(b, &oci, &docker, e) < 0)
		return -1;
	stages_enter(&b->stages, STAGE_SBOM);
	attach_to_other(&b->attach, &docker, &oci.digest, 1);
	*ret_oci = (struct manifest_child){p, oci.digest, oci.size,
					   oci.media_type};
	*ret_docker = (struct manifest_child){p, docker.digest, docker.size,
					      docker.media_type};
	return 0;
}

static int
put_index(struct build *b, enum manifest_form form,
	  const struct manifest_child *children, size_t n, const char *missing,
	  struct manifest_info *ret, struct err *e)
{
	AUTO(buf) struct buf text = BUF_INIT;
	struct digest *blobs = arena_alloc(&b->arena, n, sizeof(*blobs));

	for (size_t i = 0; i < n; i++)
		blobs[i] = children[i].digest;
	manifest_write_index(form, children, n, missing, &text);
	return build_put_manifest(b, &text,
				  form == MANIFEST_OCI ? MEDIA_TYPE_INDEX
						       : MEDIA_TYPE_DOCKER_LIST,
				  blobs, n, ret, e);
}

/* May the image do without this platform? */
static bool
may_be_missing(const struct build *b, const struct err *e)
{
	return b->g->config->skip_missing &&
	       (e->kind == ERR_NOT_FOUND || e->kind == ERR_DENIED);
}

/* Each platform's image, and the two indexes over them. */
static int
build_index(struct build *b, struct manifest_info *ret, struct err *e)
{
	const struct order *o = b->order;
	struct manifest_child oci[CONFIG_PLATFORMS_MAX],
		docker[CONFIG_PLATFORMS_MAX];
	struct digest keys[CONFIG_PLATFORMS_MAX], images[CONFIG_PLATFORMS_MAX];
	struct digest key, form_key;
	AUTO(buf) struct buf missing = BUF_INIT;
	struct manifest_info list;
	size_t n = 0;

	for (size_t i = 0; i < o->n_platforms; i++) {
		int r = build_platform(b, o->platforms[i], &oci[n], &docker[n],
				       e);

		keys[i] = b->image_key;
		if (r == 0) {
			images[n] = oci[n].digest;
			n++;
			continue;
		}
		if (!may_be_missing(b, e) ||
		    (n == 0 && i + 1 == o->n_platforms))
			return -1;
		buf_printf(&missing, "%s%s/%s: %s", missing.len ? "; " : "",
			   o->platforms[i]->os, o->platforms[i]->arch, e->msg);
		err_clear(e);
	}
	stages_enter(&b->stages, STAGE_MANIFEST);
	if (put_index(b, MANIFEST_OCI, oci, n, missing.len ? missing.p : NULL,
		      ret, e) < 0 ||
	    put_index(b, MANIFEST_DOCKER, docker, n, NULL, &list, e) < 0)
		return -1;
	attach_to_other(&b->attach, ret, images, n);
	attach_to_other(&b->attach, &list, images, n);
	key_index(keys, o->n_platforms, b->g->config->skip_missing, &key);
	key_form("docker", &ret->digest, &form_key);
	if (cache_put_image(b->cache, &form_key, &list.digest, e) < 0)
		return -1;
	return cache_put_image(b->cache, &key, &ret->digest, e);
}

int
build_forms(struct build *b, struct manifest_info *ret, struct err *e)
{
	struct manifest_child oci, docker;

	if (b->order->n_platforms > 1)
		return build_index(b, ret, e);
	if (build_platform(b, b->order->platforms[0], &oci, &docker, e) < 0)
		return -1;
	*ret = (struct manifest_info){
		.digest = oci.digest,
		.size = oci.size,
		.media_type = oci.media_type,
	};
	return 0;
}
