/* SPDX-License-Identifier: Apache-2.0 */
#include "fcgi/attached.h"

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/engine.h"
#include "core/model/artifact.h"
#include "core/model/manifest.h"

/* Keep those of one artifact type, in place. */
static int
filter(struct exchange *x, struct buf *index, const char *type, struct err *e)
{
	struct referrers list;

	if (referrers_read(&x->arena, index->p, index->len, &list, e) < 0)
		return -1;
	referrers_filter(&list, type);
	buf_clear(index);
	referrers_write(&list, index);
	return 0;
}

/* The index as it is stored; an empty one when there is none. */
static int
read_index(struct app *a, struct exchange *x, struct buf *to, struct err *e)
{
	static const struct referrers none;
	struct manifest_info info;
	bool found = false;

	/* Of another algorithm we have nothing. */
	if (x->route.digest_kind == ROUTE_DIGEST_SHA256 &&
	    engine_find_referrers(a->engine, &x->route.digest, &found, &info,
				  e) < 0)
		return -1;
	if (found && engine_read_manifest(a->engine, &info.digest, to, e) == 0)
		return 0;
	/* What turns out to be damaged is no list any more. */
	if (e->kind != ERR_NONE && e->kind != ERR_NOT_FOUND)
		return -1;
	err_clear(e);
	referrers_write(&none, to);
	return 0;
}

/* Never 404: what nobody knows has nothing attached. */
bool
attached_list(struct app *a, struct exchange *x, enum wake why)
{
	const char *type = x->route.query.artifact_type;
	AUTO(buf) struct buf index = BUF_INIT;
	struct response *r = &x->response;
	struct err e = ERR_INIT;

	(void)why;
	if (read_index(a, x, &index, &e) < 0 ||
	    (type && filter(x, &index, type, &e) < 0))
		return app_fail(x, &e, FAULT_SYSTEM, FAULT_SYSTEM);
	response_start_json(r, MEDIA_TYPE_INDEX);
	response_header(r, "Cache-Control", "no-cache");
	if (type)
		response_header(r, "OCI-Filters-Applied", "artifactType");
	buf_add(&r->body, index.p, index.len);
	return true;
}
