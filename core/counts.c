/* SPDX-License-Identifier: Apache-2.0 */
#include "core/counts.h"

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/model/popularity.h"
#include "core/sys/fs.h"
#include "core/sys/http.h"
#include "core/sys/log.h"

#define COUNTS_MAX (64u << 20)
#define COUNTS_TIMEOUT_MS 20000u

static int
read_counts(const struct buf *text, struct counts *ret, struct err *e)
{
	struct popularity *p = popularity_new();
	struct digest d;

	if (popularity_add_json(p, text->p, text->len, e) < 0) {
		popularity_free(p);
		return -1;
	}
	ret->popularity = p;
	digest_of(text->p, text->len, &d);
	digest_hex(&d, ret->id);
	return 0;
}

static int
fetch(const char *url, struct buf *text, struct err *e)
{
	const struct http_options o = {.ca_file = NULL};
	struct http *h = http_new(&o);
	int r = http_get(h, url, COUNTS_MAX, COUNTS_TIMEOUT_MS, text, e);

	http_free(h);
	return r;
}

static void
use_copy(const char *path, struct counts *ret)
{
	AUTO(buf) struct buf text = BUF_INIT;
	struct err e = ERR_INIT;

	if (fs_read_file(path, COUNTS_MAX, &text, &e) == 0 &&
	    read_counts(&text, ret, &e) == 0)
		log_info("popularity.copy", LOG_S("path", path));
	else
		log_err(LOG_WARN, "popularity.none", &e);
}

void
counts_load(const char *url, const char *dir, struct counts *ret)
{
	AUTO(buf) struct buf text = BUF_INIT, path = BUF_INIT;
	struct err e = ERR_INIT;

	*ret = (struct counts){.popularity = NULL};
	buf_printf(&path, "%s/popularity.json", dir);
	if (fetch(url, &text, &e) < 0 || read_counts(&text, ret, &e) < 0) {
		log_err(LOG_WARN, "popularity.unreachable", &e);
		use_copy(path.p, ret);
		return;
	}
	if (fs_write_atomic(path.p, text.p, text.len, &e) < 0)
		log_err(LOG_WARN, "popularity.not_kept", &e);
}

void
counts_release(struct counts *c)
{
	popularity_free(c->popularity);
	c->popularity = NULL;
}
