/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/layout.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/digest.h"
#include "core/base/err.h"
#include "core/base/json.h"
#include "core/base/vec.h"
#include "core/sys/fs.h"
#include "core/sys/log.h"

#define INDEX_MAX (256u << 20)
#define REF_NAME "org.opencontainers.image.ref.name"

static const struct json_limits limits = {
	.max_bytes = INDEX_MAX,
	.max_depth = 16,
	.max_values = 20000000,
};

/* One line of the index. */
struct entry {
	const char *name;
	const char *media_type;
	const char *digest;
	uint64_t size;
};

struct entries {
	VEC(struct entry);
};

static void
write_entry(struct json_out *o, const struct entry *x)
{
	json_object(o);
	json_kstr(o, "mediaType", x->media_type);
	json_kstr(o, "digest", x->digest);
	json_knum(o, "size", x->size);
	json_key(o, "annotations");
	json_object(o);
	json_kstr(o, REF_NAME, x->name);
	json_object_end(o);
	json_object_end(o);
}

static int
write_index(const char *path, const struct entries *all, struct err *e)
{
	AUTO(buf) struct buf text = BUF_INIT;
	AUTO(json_out) struct json_out o = {.gen = NULL};

	json_out_init(&o, &text);
	json_object(&o);
	json_knum(&o, "schemaVersion", 2);
	json_kstr(&o, "mediaType", "application/vnd.oci.image.index.v1+json");
	json_key(&o, "manifests");
	json_array(&o);
	for (size_t i = 0; i < all->n; i++)
		write_entry(&o, &all->v[i]);
	json_array_end(&o);
	json_object_end(&o);
	return fs_write_atomic(path, text.p, text.len, e);
}

static void
read_entries(const struct json *index, struct entries *to)
{
	const struct json *list = json_get(index, "manifests");

	for (const struct json *m = list ? list->kids : NULL; m; m = m->next) {
		struct entry x = {
			.name = json_get_str(json_get(m, "annotations"),
					     REF_NAME),
			.media_type = json_get_str(m, "mediaType"),
			.digest = json_get_str(m, "digest"),
		};

		/* What another tool put there without a name is not ours. */
		if (x.name && x.media_type && x.digest &&
		    json_get_u64(m, "size", &x.size))
			vec_push(to, x);
	}
}

/* A damaged index is only a list of names: log it and begin anew. */
static int
read_index(const char *path, struct arena *a, struct buf *text,
	   struct entries *to, struct err *e)
{
	const struct json *index = NULL;
	struct err bad = ERR_INIT;
	bool found;

	if (fs_stat_file(path, &found, NULL, e) < 0)
		return -1;
	if (!found)
		return 0;
	if (fs_read_file(path, INDEX_MAX, text, e) < 0)
		return -1;
	if (json_parse(a, text->p, text->len, &limits, &index, &bad) < 0)
		log_warn("index.damaged", LOG_S("path", path),
			 LOG_S("error", bad.msg));
	read_entries(index, to);
	return 0;
}

/* Sorted by name, so that the same names give the same file. */
static void
put_entry(struct entries *all, struct entry x)
{
	size_t at = 0;

	while (at < all->n && strcmp(all->v[at].name, x.name) < 0)
		at++;
	if (at == all->n || strcmp(all->v[at].name, x.name) != 0) {
		vec_push(all, x);
		memmove(&all->v[at + 1], &all->v[at],
			(all->n - at - 1) * sizeof(*all->v));
	}
	all->v[at] = x;
}

int
layout_publish(const char *dir, const char *name, const char *media_type,
	       const struct digest *d, uint64_t size, struct err *e)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	AUTO(buf) struct buf path = BUF_INIT, lock = BUF_INIT, text = BUF_INIT;
	AUTO(fd) int fd = -1;
	struct entries all = VEC_INIT;
	char digest[DIGEST_TEXT_CAP];
	int r;

	buf_printf(&path, "%s/index.json", dir);
	buf_printf(&lock, "%s/index.lock", dir);
	fd = open(lock.p, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0 || flock(fd, LOCK_EX) < 0)
		return err_set_errno(e, ERR_SYSTEM, errno, "lock %s", lock.p);
	digest_text(d, digest);
	r = read_index(path.p, &a, &text, &all, e);
	if (r == 0) {
		put_entry(&all, (struct entry){name, media_type, digest, size});
		r = write_index(path.p, &all, e);
	}
	vec_release(&all);
	return r;
}

int
layout_list(const char *dir, store_visit_name *fn, void *ctx, struct err *e)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	AUTO(buf) struct buf path = BUF_INIT, text = BUF_INIT;
	struct entries all = VEC_INIT;
	int r;

	buf_printf(&path, "%s/index.json", dir);
	r = read_index(path.p, &a, &text, &all, e);
	for (size_t i = 0; r == 0 && i < all.n; i++) {
		struct digest d;

		if (digest_parse(str_of(all.v[i].digest), &d))
			r = fn(ctx, all.v[i].name, &d, e);
	}
	vec_release(&all);
	return r;
}
