/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/store.h"

#include <string.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/store/store_impl.h"
#include "core/sys/log.h"

void
store_free(struct store *st)
{
	if (st)
		st->ops->free(st);
}

struct store *
store_for_build(struct store *st)
{
	return st->ops->for_build ? st->ops->for_build(st) : st;
}

int
store_has(struct store *st, const struct digest *d, bool *ret_found,
	  uint64_t *ret_size, struct err *e)
{
	return st->ops->has(st, d, ret_found, ret_size, e);
}

int
store_has_near(struct store *st, const struct digest *d, bool *ret_found,
	       uint64_t *ret_size, struct err *e)
{
	if (!st->ops->has_near)
		return store_has(st, d, ret_found, ret_size, e);
	return st->ops->has_near(st, d, ret_found, ret_size, e);
}

bool
store_is_near(const struct store *st)
{
	return !st->ops->has_near;
}

const char *
store_delivery_name(const struct store *st)
{
	static const char *const names[] = {
		[STORE_FILE] = "file",
		[STORE_URL] = "redirect",
		[STORE_PROXY] = "proxy",
	};

	return names[st->where];
}

int
store_begin(struct store *st, struct sink **ret_staged, struct err *e)
{
	return st->ops->begin(st, ret_staged, e);
}

int
store_commit(struct store *st, struct sink *take_staged, const struct digest *d,
	     struct err *e)
{
	return st->ops->commit(st, take_staged, d, e);
}

void
store_discard(struct store *st, struct sink *take_staged)
{
	if (take_staged)
		st->ops->discard(st, take_staged);
}

int
store_put(struct store *st, const void *p, size_t n, struct digest *ret,
	  struct err *e)
{
	struct sink *staged = NULL;

	digest_of(p, n, ret);
	if (store_begin(st, &staged, e) < 0)
		return -1;
	if (sink_write(staged, p, n, e) < 0 || sink_finish(staged, e) < 0) {
		store_discard(st, staged);
		return -1;
	}
	return store_commit(st, staged, ret, e);
}

int
store_read(struct store *st, const struct digest *d, size_t max, struct buf *to,
	   struct err *e)
{
	size_t start = to->len;
	struct digest got;

	if (st->ops->read(st, d, max, to, e) < 0)
		return -1;
	digest_of(to->p + start, to->len - start, &got);
	if (!digest_eq(&got, d)) {
		char text[DIGEST_TEXT_CAP];

		store_damaged(st, d, to->len - start, to->len - start);
		buf_truncate(to, start);
		digest_text(d, text);
		return err_set(e, ERR_NOT_FOUND,
			       "the blob %s was damaged in storage", text);
	}
	return 0;
}

/*
 * Should someone have made it again since it was looked at, then that goes,
 * and is made once more.
 */
void
store_damaged(struct store *st, const struct digest *d, uint64_t size,
	      uint64_t expected)
{
	char text[DIGEST_TEXT_CAP];
	struct err e = ERR_INIT;

	digest_text(d, text);
	if (expected == size)
		log_error("blob.damaged", LOG_S("digest", text),
			  LOG_S("error", "its bytes are others"));
	else
		log_error("blob.damaged", LOG_S("digest", text),
			  LOG_N("size", size), LOG_N("expected", expected));
	if (store_is_near(st) && store_remove_blob(st, d, &e) < 0)
		log_err(LOG_ERROR, "blob.damaged", &e);
}

int
store_locate(struct store *st, const struct digest *d,
	     struct store_location *ret, struct err *e)
{
	return st->ops->locate(st, d, ret, e);
}

/* Names become paths and URLs: one directory, no dots, nothing odd. */
static int
check_record_name(const char *name, struct err *e)
{
	size_t slashes = 0;

	for (const char *p = name; *p; p++) {
		bool plain = (*p >= 'a' && *p <= 'z') ||
			     (*p >= '0' && *p <= '9') || *p == '-';

		if (*p == '/' && p > name && p[1])
			slashes++;
		else if (!plain)
			slashes = 2;
	}
	if (slashes != 1 || strlen(name) > 200)
		return err_set(e, ERR_SYSTEM, "bad name of a record: %s", name);
	return 0;
}

int
store_put_record(struct store *st, const char *name, const void *p, size_t n,
		 struct err *e)
{
	if (check_record_name(name, e) < 0)
		return -1;
	if (n > STORE_RECORD_MAX)
		return err_set(e, ERR_SYSTEM, "the record %s is too large",
			       name);
	return st->ops->put_record(st, name, p, n, e);
}

int
store_get_record(struct store *st, const char *name, bool *ret_found,
		 struct buf *to, struct err *e)
{
	*ret_found = false;
	if (check_record_name(name, e) < 0)
		return -1;
	return st->ops->get_record(st, name, ret_found, to, e);
}

int
store_publish(struct store *st, const char *name, const char *media_type,
	      const struct digest *d, uint64_t size, struct err *e)
{
	if (!st->ops->publish)
		return 0;
	return st->ops->publish(st, name, media_type, d, size, e);
}

int
store_list_names(struct store *st, store_visit_name *fn, void *ctx,
		 struct err *e)
{
	if (!st->ops->list_names)
		return 0;
	return st->ops->list_names(st, fn, ctx, e);
}

int
store_expose_manifest(struct store *st, const struct digest *d, struct err *e)
{
	if (!st->ops->expose_manifest)
		return 0;
	return st->ops->expose_manifest(st, d, e);
}

int
store_check(struct store *st, struct err *e)
{
	return st->ops->check(st, e);
}

/* --- listing and removing */

struct walk {
	const char *dir;
	store_visit *fn;
	void *ctx;
};

/* What is not named like a blob is not ours. */
static int
visit_blob(void *ctx, const struct store_item *item, struct err *e)
{
	const struct walk *w = ctx;
	struct store_item blob = *item;

	if (!digest_parse_hex(str_of(item->name), &blob.digest))
		return 0;
	blob.name = NULL;
	return w->fn(w->ctx, &blob, e);
}

static int
visit_record(void *ctx, const struct store_item *item, struct err *e)
{
	const struct walk *w = ctx;
	AUTO(buf) struct buf name = BUF_INIT;
	struct store_item record = *item;
	struct err bad = ERR_INIT;

	buf_printf(&name, "%s/%s", w->dir, item->name);
	if (check_record_name(name.p, &bad) < 0)
		return 0;
	record.name = name.p;
	return w->fn(w->ctx, &record, e);
}

int
store_list_blobs(struct store *st, store_visit *fn, void *ctx, struct err *e)
{
	struct walk w = {STORE_BLOBS, fn, ctx};

	return st->ops->list(st, w.dir, visit_blob, &w, e);
}

int
store_list_records(struct store *st, const char *dir, store_visit *fn,
		   void *ctx, struct err *e)
{
	struct walk w = {dir, fn, ctx};
	AUTO(buf) struct buf example = BUF_INIT;

	buf_printf(&example, "%s/x", dir);
	if (check_record_name(example.p, e) < 0)
		return -1;
	return st->ops->list(st, dir, visit_record, &w, e);
}

int
store_remove_blob(struct store *st, const struct digest *d, struct err *e)
{
	char path[sizeof(STORE_BLOBS) + DIGEST_HEX_CAP] = STORE_BLOBS "/";

	digest_hex(d, path + strlen(STORE_BLOBS "/"));
	return st->ops->remove(st, path, e);
}

int
store_remove_record(struct store *st, const char *name, struct err *e)
{
	if (check_record_name(name, e) < 0)
		return -1;
	return st->ops->remove(st, name, e);
}
