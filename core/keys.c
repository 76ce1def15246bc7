/* SPDX-License-Identifier: Apache-2.0 */
#include "core/keys.h"

#include "core/model/image.h"
#include "core/model/source.h"

static void
add_list(struct hasher *h, const char *const *v, size_t n)
{
	hasher_field_u64(h, n);
	for (size_t i = 0; i < n; i++)
		hasher_field_str(h, v[i]);
}

/* What every image of these settings has in common. */
static void
add_settings(struct hasher *h, const struct key_settings *k)
{
	hasher_field_u64(h, IMAGE_FORMAT);
	hasher_field_u64(h, k->forest_format);
	hasher_field_str(h, k->pack_id);
	hasher_field_str(h, layers_algorithm_id(k->algorithm));
	hasher_field_u64(h, k->budget);
	hasher_field_str(h, k->popularity_id);
}

/* What is looked at after an evaluation. */
static void
add_limits(struct hasher *h, const struct key_policy *p)
{
	hasher_field_u64(h, p->max_closure_size);
	hasher_field_u64(h, p->max_closure_paths);
}

static void
add_policy(struct hasher *h, const struct key_policy *p)
{
	add_list(h, p->allow, p->n_allow);
	add_list(h, p->deny, p->n_deny);
	hasher_field_u64(h, p->allow_unfree);
	hasher_field_u64(h, p->allow_insecure);
	hasher_field_u64(h, p->allow_broken);
	add_limits(h, p);
}

void
key_revision(const struct source *s, const char *tag, struct digest *ret)
{
	AUTO(hasher) struct hasher h;

	hasher_init(&h);
	hasher_field_str(&h, "revision");
	source_hash(s, &h);
	hasher_field_str(&h, tag);
	hasher_finish(&h, ret);
}

void
key_overlays(const char *const *paths, size_t n, struct digest *ret)
{
	AUTO(hasher) struct hasher h;

	hasher_init(&h);
	hasher_field_str(&h, "overlays");
	add_list(&h, paths, n);
	hasher_finish(&h, ret);
}

void
key_request(const struct image *im, const char *tag,
	    const struct platform *const *p, size_t n, struct digest *ret)
{
	AUTO(hasher) struct hasher h;

	hasher_init(&h);
	hasher_field_str(&h, "request");
	hasher_field_str(&h, im->name);
	hasher_field_str(&h, tag);
	hasher_field_u64(&h, n);
	for (size_t i = 0; i < n; i++)
		hasher_field_str(&h, p[i]->system);
	hasher_finish(&h, ret);
}

void
key_image(const struct key_settings *k, const struct source *s,
	  const struct revision *r, const struct platform *p,
	  const struct image *im, struct digest *ret)
{
	AUTO(hasher) struct hasher h;

	hasher_init(&h);
	hasher_field_str(&h, "image");
	add_settings(&h, k);
	source_hash(s, &h);
	hasher_field_str(&h, r->id);
	hasher_field_str(&h, r->overlays);
	add_policy(&h, &k->policy);
	hasher_field_str(&h, p->system);
	hasher_field_u64(&h, im->shell);
	add_list(&h, im->packages, im->n_packages);
	hasher_finish(&h, ret);
}

void
key_output(const struct key_settings *k, const struct platform *p,
	   const struct image *im, const char *const *paths, size_t n,
	   struct digest *ret)
{
	AUTO(hasher) struct hasher h;

	hasher_init(&h);
	hasher_field_str(&h, "output");
	add_settings(&h, k);
	add_limits(&h, &k->policy);
	hasher_field_str(&h, p->system);
	hasher_field_u64(&h, im->shell);
	add_list(&h, paths, n);
	hasher_finish(&h, ret);
}

void
key_layer(const struct key_settings *k, const char *const *paths, size_t n,
	  const char *const *forest, size_t n_forest, struct digest *ret)
{
	AUTO(hasher) struct hasher h;

	hasher_init(&h);
	hasher_field_str(&h, "layer");
	hasher_field_str(&h, k->pack_id);
	hasher_field_u64(&h, n_forest > 0 ? k->forest_format : 0);
	add_list(&h, paths, n);
	add_list(&h, forest, n_forest);
	hasher_finish(&h, ret);
}

void
key_form(const char *form, const struct digest *manifest, struct digest *ret)
{
	AUTO(hasher) struct hasher h;

	hasher_init(&h);
	hasher_field_str(&h, "form");
	hasher_field_str(&h, form);
	hasher_field(&h, manifest->b, DIGEST_SIZE);
	hasher_finish(&h, ret);
}

void
key_index(const struct digest *image_keys, size_t n, bool may_lack,
	  struct digest *ret)
{
	AUTO(hasher) struct hasher h;

	hasher_init(&h);
	hasher_field_str(&h, "index");
	hasher_field_u64(&h, may_lack);
	hasher_field_u64(&h, n);
	for (size_t i = 0; i < n; i++)
		hasher_field(&h, image_keys[i].b, DIGEST_SIZE);
	hasher_finish(&h, ret);
}
