/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Storage in a cloud's bucket, with the same names as in a directory:
 *
 *	blobs/sha256/HEX    manifests/KEY    layers/KEY
 *
 * A blob's digest is known only when all of it has been made. So it is made
 * into a nameless file here and then uploaded straight to its final key:
 * nothing in the bucket needs to be moved or cleaned up, a crash leaves
 * nothing on either side, an attempt that fails can be made again, and the
 * cloud is told beforehand what it is to receive and refuses anything else.
 * A key comes into being whole, at the end of its upload, in both clouds.
 * The price is disk for what is being packed, and that the upload of a layer
 * begins when it is packed; other layers are packed meanwhile.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/buf.h"
#include "core/base/crc32c.h"
#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/store/cloud.h"
#include "core/store/known.h"
#include "core/store/store_impl.h"
#include "core/sys/fs.h"
#include "core/sys/log.h"

/* What is no larger never gets to a file. */
#define SMALL_MAX (1u << 20)
/* /readyz asks no more often than so. */
#define CHECK_TTL_MS 5000u
/* A blob is sent so often when the cloud loses it on the way. */
#define UPLOADS 3u

/* The same storage, for who waits and for who builds. */
struct handle {
	struct store base;
	struct store_cloud *of;
	bool patient;
};

struct store_cloud {
	struct handle quick, patient;
	struct cloud *cloud;
	struct known *known;
	char *spool;
	uint64_t url_ttl_ms;
	uint64_t recheck_ms;
	atomic_uint_least64_t checked_ms;
};

struct staged {
	struct sink base;
	const char *spool;
	struct buf small;
	int fd; /* -1: small has it all */
	uint64_t size;
	uint32_t crc32c;
};

static struct store_cloud *
cloud_of(struct store *st)
{
	return ((struct handle *)st)->of;
}

static bool
is_patient(const struct store *st)
{
	return ((const struct handle *)st)->patient;
}

static struct store *
cloud_for_build(struct store *st)
{
	return &cloud_of(st)->patient.base;
}

#define KEY_CAP (sizeof(STORE_BLOBS) + DIGEST_HEX_CAP)

static void
key_of(const struct digest *d, char ret[KEY_CAP])
{
	memcpy(ret, STORE_BLOBS "/", sizeof(STORE_BLOBS));
	digest_hex(d, ret + sizeof(STORE_BLOBS));
}

/* --- staged blobs */

static int
staged_write(struct sink *sink, const void *p, size_t n, struct err *e)
{
	struct staged *t = (struct staged *)sink;

	t->crc32c = crc32c_add(t->crc32c, p, n);
	t->size += n;
	if (t->fd < 0 && t->size <= SMALL_MAX) {
		buf_add(&t->small, p, n);
		return 0;
	}
	if (t->fd < 0) {
		if (fs_open_nameless(t->spool, &t->fd, e) < 0 ||
		    fs_write_all(t->fd, t->small.p, t->small.len, e) < 0)
			return err_wrap(e, "spool");
		buf_release(&t->small);
		buf_init(&t->small);
	}
	if (fs_write_all(t->fd, p, n, e) < 0)
		return err_wrap(e, "spool");
	return 0;
}

static int
staged_finish(struct sink *sink UNUSED, struct err *e UNUSED)
{
	return 0;
}

static void
staged_free(struct sink *sink)
{
	struct staged *t = (struct staged *)sink;

	buf_release(&t->small);
	if (t->fd >= 0)
		(void)close(t->fd);
	free(t);
}

static const struct sink_ops staged_ops = {
	.write = staged_write,
	.finish = staged_finish,
	.free = staged_free,
};

static int
cloud_begin(struct store *st, struct sink **ret_staged, struct err *e UNUSED)
{
	struct staged *t = xcalloc(1, sizeof(*t));

	t->base.ops = &staged_ops;
	t->spool = cloud_of(st)->spool;
	t->fd = -1;
	buf_init(&t->small);
	*ret_staged = &t->base;
	return 0;
}

static void
cloud_discard(struct store *st UNUSED, struct sink *take_staged)
{
	sink_free(take_staged);
}

/* --- is it there? */

static int
ask(struct store_cloud *s, const struct digest *d, bool patient,
    bool *ret_found, uint64_t *ret_size, struct err *e)
{
	char key[KEY_CAP];

	key_of(d, key);
	if (cloud_stat_key(s->cloud, key, patient, ret_found, ret_size, e) < 0)
		return -1;
	if (*ret_found)
		known_put(s->known, d, *ret_size, cloud_now_ms());
	else
		known_forget(s->known, d);
	return 0;
}

static int
cloud_has(struct store *st, const struct digest *d, bool *ret_found,
	  uint64_t *ret_size, struct err *e)
{
	struct store_cloud *s = cloud_of(st);
	uint64_t size = 0, seen = 0;
	bool known = known_get(s->known, d, &size, &seen);

	*ret_found = known;
	if ((!known || cloud_now_ms() - seen >= s->recheck_ms) &&
	    ask(s, d, !known && is_patient(st), ret_found, &size, e) < 0) {
		if (!known)
			return -1;
		/* The cloud is unwell; what was there is still there. */
		log_debug("storage.assumed", LOG_S("error", e->msg));
		err_clear(e);
		*ret_found = true;
	}
	if (*ret_found && ret_size)
		*ret_size = size;
	return 0;
}

static int
cloud_has_near(struct store *st, const struct digest *d, bool *ret_found,
	       uint64_t *ret_size, struct err *e UNUSED)
{
	struct store_cloud *s = cloud_of(st);
	uint64_t size = 0, seen = 0;

	*ret_found = known_get(s->known, d, &size, &seen) &&
		     cloud_now_ms() - seen < s->recheck_ms;
	if (*ret_found && ret_size)
		*ret_size = size;
	return 0;
}

/* --- writing */

/* One upload from its beginning; *ret_lost as for a cloud's put. */
static int
upload_once(struct store_cloud *s, const struct staged *t,
	    const struct digest *d, bool *ret_lost, struct err *e)
{
	const struct cloud_blob blob = {
		.bytes = t->fd < 0 ? t->small.p : NULL,
		.fd = t->fd,
		.size = t->size,
		.digest = d,
		.crc32c = t->crc32c,
	};
	struct err why = ERR_INIT;
	char key[KEY_CAP];
	uint64_t size = 0;
	bool found;

	key_of(d, key);
	if (s->cloud->ops->put(s->cloud, key, &blob, ret_lost, &why) < 0 &&
	    !*ret_lost) {
		*e = why;
		return -1;
	}
	/*
	 * Trust, but look: a record of a blob that isn't whole is for ever.
	 * And what was lost may have been complete before.
	 */
	if (ask(s, d, true, &found, &size, e) < 0) {
		*ret_lost = false;
		return -1;
	}
	if (found && size == t->size)
		return 0;
	known_forget(s->known, d);
	if (*ret_lost) {
		*e = why;
		return -1;
	}
	return err_set(e, ERR_STORAGE,
		       "storage: %s: a blob of %" PRIu64
		       " bytes was uploaded, %" PRIu64 " are there",
		       s->cloud->name, t->size, found ? size : 0);
}

static int
upload(struct store_cloud *s, const struct staged *t, const struct digest *d,
       struct err *e)
{
	bool lost = false;

	for (unsigned i = 0; upload_once(s, t, d, &lost, e) < 0; i++) {
		if (!lost)
			return -1;
		if (i + 1 == UPLOADS) {
			err_append(e, " (begun %u times)", UPLOADS);
			return -1;
		}
		log_debug("storage.lost", LOG_S("error", e->msg),
			  LOG_N("attempt", i + 1));
		err_clear(e);
		http_pause(i, s->cloud->pause_ms, 8000);
	}
	return 0;
}

static int
cloud_commit(struct store *st, struct sink *take_staged, const struct digest *d,
	     struct err *e)
{
	AUTO(sink) struct sink *sink = take_staged;
	struct store_cloud *s = cloud_of(st);
	struct staged *t = (struct staged *)sink;
	AUTO(buf) struct buf bytes = BUF_INIT;
	uint64_t size = 0, seen;
	bool found;

	found = known_get(s->known, d, &size, &seen) &&
		cloud_now_ms() - seen < s->recheck_ms;
	/* A small one is sent, unless we did: it may be damaged there. */
	if (found && t->fd < 0)
		found = known_get_bytes(s->known, d, &bytes);
	if (!found && t->fd >= 0 && ask(s, d, true, &found, &size, e) < 0)
		return -1;
	if ((!found || size != t->size) && upload(s, t, d, e) < 0)
		return -1;
	if (t->fd < 0)
		known_put_bytes(s->known, d, t->small.p, t->small.len);
	return 0;
}

/* --- reading */

static int
not_found(const struct digest *d, struct err *e)
{
	char text[DIGEST_TEXT_CAP];

	digest_text(d, text);
	return err_set(e, ERR_NOT_FOUND, "there is no blob %s", text);
}

static int
cloud_read(struct store *st, const struct digest *d, size_t max, struct buf *to,
	   struct err *e)
{
	struct store_cloud *s = cloud_of(st);
	size_t start = to->len;
	char key[KEY_CAP];
	struct digest got;
	bool found;

	if (known_get_bytes(s->known, d, to)) {
		if (to->len - start <= max)
			return 0;
		buf_truncate(to, start);
		return err_set(e, ERR_INVALID,
			       "a blob is larger than %zu bytes", max);
	}
	key_of(d, key);
	if (cloud_get_key(s->cloud, key, is_patient(st), max, &found, to, e) <
	    0)
		return -1;
	if (!found)
		return not_found(d, e);
	digest_of(to->p + start, to->len - start, &got);
	if (digest_eq(&got, d)) {
		known_put(s->known, d, to->len - start, cloud_now_ms());
		known_put_bytes(s->known, d, to->p + start, to->len - start);
	} else {
		/* Who finds that it is damaged makes it again. */
		known_forget(s->known, d);
	}
	return 0;
}

static int
make_url(struct store_cloud *s, const struct digest *d, struct buf *to,
	 struct err *e)
{
	struct cloud *c = s->cloud;
	/* Before: a URL of newer keys counts as one of older ones then. */
	unsigned generation = c->ops->generation ? c->ops->generation(c) : 0;
	uint64_t good_s = 0;
	char key[KEY_CAP];

	if (known_get_url(s->known, d, cloud_now_ms(), generation, to))
		return 0;
	key_of(d, key);
	if (c->ops->url(c, key, s->url_ttl_ms / 1000, to, &good_s, e) < 0)
		return -1;
	/* Half of its life is left for whoever gets it last. */
	known_put_url(s->known, d, to->p, cloud_now_ms() + good_s * 500,
		      generation);
	return 0;
}

static int
cloud_locate(struct store *st, const struct digest *d,
	     struct store_location *ret, struct err *e)
{
	struct store_cloud *s = cloud_of(st);
	AUTO(buf) struct buf url = BUF_INIT;
	bool found;

	if (cloud_has(st, d, &found, &ret->size, e) < 0)
		return -1;
	if (!found)
		return not_found(d, e);
	if (make_url(s, d, &url, e) < 0)
		return -1;
	if (url.len >= sizeof(ret->at))
		return err_set(e, ERR_SYSTEM, "the URL of a blob is too long");
	ret->where = st->where;
	memcpy(ret->at, url.p, url.len + 1);
	return 0;
}

/* --- records, listing, removing */

static int
cloud_put_record(struct store *st, const char *name, const void *p, size_t n,
		 struct err *e)
{
	struct cloud *c = cloud_of(st)->cloud;
	bool lost; /* never: it goes in one call */
	struct digest d;
	const struct cloud_blob blob = {
		.bytes = p,
		.fd = -1,
		.size = n,
		.digest = &d,
		.crc32c = crc32c_add(0, p, n),
	};

	digest_of(p, n, &d);
	return c->ops->put(c, name, &blob, &lost, e);
}

static int
cloud_get_record(struct store *st, const char *name, bool *ret_found,
		 struct buf *to, struct err *e)
{
	struct cloud *c = cloud_of(st)->cloud;

	return cloud_get_key(c, name, is_patient(st), STORE_RECORD_MAX,
			     ret_found, to, e);
}

struct listing {
	const char *prefix; /* "layers/" */
	store_visit *fn;
	void *ctx;
};

static int
visit(void *ctx, const char *key, uint64_t size, uint64_t modified,
      struct err *e)
{
	const struct listing *l = ctx;
	struct store_item item = {.size = size, .modified = modified};

	if (!str_has_prefix(key, l->prefix))
		return 0;
	item.name = key + strlen(l->prefix);
	if (strchr(item.name, '/'))
		return 0;
	return l->fn(l->ctx, &item, e);
}

static int
cloud_list_dir(struct store *st, const char *dir, store_visit *fn, void *ctx,
	       struct err *e)
{
	AUTO(buf) struct buf prefix = BUF_INIT;
	struct cloud *c = cloud_of(st)->cloud;
	struct listing l = {.fn = fn, .ctx = ctx};

	buf_printf(&prefix, "%s/", dir);
	l.prefix = prefix.p;
	return c->ops->list(c, prefix.p, visit, &l, e);
}

static int
cloud_remove(struct store *st, const char *path, struct err *e)
{
	struct store_cloud *s = cloud_of(st);
	const char *name = path + sizeof(STORE_BLOBS);
	struct digest d;

	if (str_has_prefix(path, STORE_BLOBS "/") &&
	    digest_parse_hex(str_of(name), &d))
		known_forget(s->known, &d);
	return cloud_remove_key(s->cloud, path, e);
}

/* A look is enough, and costs nothing to speak of. */
static int
cloud_check(struct store *st, struct err *e)
{
	struct store_cloud *s = cloud_of(st);
	uint64_t last = atomic_load(&s->checked_ms), size;
	bool found;

	if (last != 0 && cloud_now_ms() - last < CHECK_TTL_MS)
		return 0;
	if (cloud_stat_key(s->cloud, "manifests/ready", false, &found, &size,
			   e) < 0)
		return -1;
	atomic_store(&s->checked_ms, cloud_now_ms());
	return 0;
}

static void
cloud_store_free(struct store *st)
{
	struct store_cloud *s = cloud_of(st);

	s->cloud->ops->free(s->cloud);
	known_free(s->known);
	free(s->spool);
	free(s);
}

static const struct store_ops cloud_store_ops = {
	.name = "cloud",
	.for_build = cloud_for_build,
	.has = cloud_has,
	.has_near = cloud_has_near,
	.begin = cloud_begin,
	.commit = cloud_commit,
	.discard = cloud_discard,
	.read = cloud_read,
	.locate = cloud_locate,
	.put_record = cloud_put_record,
	.get_record = cloud_get_record,
	.list = cloud_list_dir,
	.remove = cloud_remove,
	.check = cloud_check,
	.free = cloud_store_free,
};

int
store_cloud_new(struct cloud *take_cloud, const struct store_options *o,
		bool proxied, struct store **ret, struct err *e)
{
	struct store_cloud *s = xcalloc(1, sizeof(*s));

	s->quick.base = (struct store){
		.ops = &cloud_store_ops,
		.where = proxied ? STORE_PROXY : STORE_URL,
	};
	s->quick.of = s;
	s->patient = s->quick;
	s->patient.patient = true;
	s->cloud = take_cloud;
	s->known = known_new();
	s->spool = xstrdup(o->spool);
	s->url_ttl_ms = o->url_ttl_s * 1000;
	s->recheck_ms = o->recheck_s * 1000;
	if (fs_mkdirs(s->spool, 0700, e) < 0) {
		cloud_store_free(&s->quick.base);
		return err_wrap(e, "spool");
	}
	*ret = &s->quick.base;
	return 0;
}
