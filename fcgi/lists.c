/* SPDX-License-Identifier: Apache-2.0 */
#include "fcgi/lists.h"

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/json.h"
#include "core/engine.h"
#include "core/model/image.h"

/* A page is no longer than this, whatever is asked for. */
#define PAGE_MAX 1000u

/* How many to list; false when what is asked for is no number. */
static bool
page_size(const struct exchange *x, size_t *ret)
{
	const struct route_query *q = &x->route.query;

	*ret = q->has_n && q->n < PAGE_MAX ? (size_t)q->n : PAGE_MAX;
	return !q->bad_n;
}

static bool
refuse(struct exchange *x, enum fault f, const char *text)
{
	struct err e = ERR_INIT;

	(void)err_set(&e, ERR_INVALID, "%s", text);
	response_fault(&x->response, f, &e);
	return true;
}

/* The names, and where the next ones are. Tags and names need no escapes. */
static void
send_page(struct exchange *x, const char *name, const char *list,
	  const struct engine_names *names, size_t page)
{
	AUTO(json_out) struct json_out o = {.gen = NULL};

	response_start_json(&x->response, "application/json");
	if (names->more && names->n > 0)
		response_header(&x->response, "Link",
				"<%s?n=%zu&last=%s>; rel=\"next\"",
				x->route.path, page, names->v[names->n - 1]);
	json_out_init(&o, &x->response.body);
	json_object(&o);
	if (name)
		json_kstr(&o, "name", name);
	json_key(&o, list);
	json_array(&o);
	for (size_t i = 0; i < names->n; i++)
		json_str(&o, names->v[i]);
	json_array_end(&o);
	json_object_end(&o);
}

/* Has the image been built at all, under any tag? */
static bool
is_known(struct app *a, struct exchange *x, const struct image *image,
	 bool *ret, struct err *e)
{
	struct engine_names names;

	if (engine_list_tags(a->engine, image, NULL, 1, &x->arena, &names, e) <
	    0)
		return false;
	*ret = names.n > 0;
	return true;
}

bool
lists_tags(struct app *a, struct exchange *x, enum wake why)
{
	struct engine_names names;
	struct err e = ERR_INIT;
	struct image image;
	bool known;
	size_t page;

	(void)why;
	if (!page_size(x, &page))
		return refuse(x, FAULT_REQUEST, "n is no number");
	if (image_parse(&x->arena, x->route.name, &image, &e) < 0 ||
	    !is_known(a, x, &image, &known, &e) ||
	    engine_list_tags(a->engine, &image, x->route.query.last, page,
			     &x->arena, &names, &e) < 0)
		return app_fail(x, &e, FAULT_NAME, FAULT_NO_NAME);
	if (!known)
		return refuse(x, FAULT_NO_NAME,
			      "this image has not been built; pulling it "
			      "builds it");
	send_page(x, x->route.name, "tags", &names, page);
	return true;
}

bool
lists_catalog(struct app *a, struct exchange *x, enum wake why)
{
	struct engine_names names;
	struct err e = ERR_INIT;
	size_t page;

	(void)why;
	if (!page_size(x, &page))
		return refuse(x, FAULT_REQUEST, "n is no number");
	if (engine_list_images(a->engine, x->route.query.last, page, &x->arena,
			       &names, &e) < 0)
		return app_fail(x, &e, FAULT_NAME, FAULT_NO_NAME);
	send_page(x, NULL, "repositories", &names, page);
	return true;
}
