/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/store_mem.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/vec.h"
#include "core/store/store_impl.h"

/* A blob or a record, by its path. */
struct item {
	char *name;
	struct buf data;
};

struct store_mem {
	struct store base;
	pthread_mutex_t lock;
	bool fail_write;
	size_t reads;
	struct {
		VEC(struct item);
	} items;
};

struct staged {
	struct sink base;
	struct store_mem *store;
	struct buf data;
};

#define PATH_CAP (sizeof(STORE_BLOBS) + DIGEST_HEX_CAP)

static void
path_of(const struct digest *d, char ret[PATH_CAP])
{
	memcpy(ret, STORE_BLOBS "/", sizeof(STORE_BLOBS));
	digest_hex(d, ret + sizeof(STORE_BLOBS));
}

static struct store_mem *
mem_of(struct store *st)
{
	return (struct store_mem *)st;
}

/* With the lock held. */
static struct item *
find(struct store_mem *m, const char *name)
{
	for (size_t i = 0; i < m->items.n; i++)
		if (strcmp(m->items.v[i].name, name) == 0)
			return &m->items.v[i];
	return NULL;
}

static void
put(struct store_mem *m, const char *name, const void *p, size_t n)
{
	struct item *it;

	(void)pthread_mutex_lock(&m->lock);
	it = find(m, name);
	if (!it) {
		vec_push(&m->items, ((struct item){xstrdup(name), BUF_INIT}));
		it = &m->items.v[m->items.n - 1];
	}
	buf_clear(&it->data);
	buf_add(&it->data, p, n);
	(void)pthread_mutex_unlock(&m->lock);
}

static bool
get(struct store_mem *m, const char *name, struct buf *to, uint64_t *ret_size)
{
	struct item *it;

	(void)pthread_mutex_lock(&m->lock);
	it = find(m, name);
	if (it && to)
		buf_add(to, it->data.p, it->data.len);
	if (it && ret_size)
		*ret_size = it->data.len;
	(void)pthread_mutex_unlock(&m->lock);
	return it != NULL;
}

static int
staged_write(struct sink *s, const void *p, size_t n, struct err *e)
{
	struct staged *t = (struct staged *)s;

	if (t->store->fail_write) {
		t->store->fail_write = false;
		return err_set_errno(e, ERR_SYSTEM, ENOSPC, "for a test");
	}
	buf_add(&t->data, p, n);
	return 0;
}

static int
staged_finish(struct sink *s UNUSED, struct err *e UNUSED)
{
	return 0;
}

static void
staged_free(struct sink *s)
{
	buf_release(&((struct staged *)s)->data);
	free(s);
}

static const struct sink_ops staged_ops = {
	.write = staged_write,
	.finish = staged_finish,
	.free = staged_free,
};

static int
mem_begin(struct store *st, struct sink **ret_staged, struct err *e UNUSED)
{
	struct staged *t = xcalloc(1, sizeof(*t));

	t->base.ops = &staged_ops;
	t->store = mem_of(st);
	buf_init(&t->data);
	*ret_staged = &t->base;
	return 0;
}

static int
mem_commit(struct store *st, struct sink *take_staged, const struct digest *d,
	   struct err *e UNUSED)
{
	AUTO(sink) struct sink *s = take_staged;
	struct staged *t = (struct staged *)s;
	char name[PATH_CAP];

	path_of(d, name);
	put(mem_of(st), name, t->data.p, t->data.len);
	return 0;
}

static void
mem_discard(struct store *st UNUSED, struct sink *take_staged)
{
	sink_free(take_staged);
}

static int
mem_has(struct store *st, const struct digest *d, bool *ret_found,
	uint64_t *ret_size, struct err *e UNUSED)
{
	char name[PATH_CAP];

	path_of(d, name);
	*ret_found = get(mem_of(st), name, NULL, ret_size);
	return 0;
}

static int
mem_read(struct store *st, const struct digest *d, size_t max, struct buf *to,
	 struct err *e)
{
	char name[PATH_CAP];
	uint64_t size = 0;

	path_of(d, name);
	if (!get(mem_of(st), name, NULL, &size))
		return err_set(e, ERR_NOT_FOUND, "there is no blob %s", name);
	if (size > max)
		return err_set(e, ERR_INVALID, "%s is too large", name);
	(void)get(mem_of(st), name, to, NULL);
	return 0;
}

static int
mem_locate(struct store *st, const struct digest *d, struct store_location *ret,
	   struct err *e)
{
	char name[PATH_CAP];

	path_of(d, name);
	if (!get(mem_of(st), name, NULL, &ret->size))
		return err_set(e, ERR_NOT_FOUND, "there is no blob %s", name);
	ret->where = STORE_URL;
	(void)snprintf(ret->at, sizeof(ret->at), "http://memory.invalid/%s",
		       name);
	return 0;
}

static int
mem_put_record(struct store *st, const char *name, const void *p, size_t n,
	       struct err *e UNUSED)
{
	put(mem_of(st), name, p, n);
	return 0;
}

static int
mem_get_record(struct store *st, const char *name, bool *ret_found,
	       struct buf *to, struct err *e)
{
	struct store_mem *m = mem_of(st);
	uint64_t size = 0;

	(void)pthread_mutex_lock(&m->lock);
	m->reads++;
	(void)pthread_mutex_unlock(&m->lock);
	if (get(m, name, NULL, &size) && size > STORE_RECORD_MAX)
		return err_set(e, ERR_INVALID, "%s is too large", name);
	*ret_found = get(m, name, to, NULL);
	return 0;
}

/* The names are copied first, so that fn may change what is there. */
static int
mem_list(struct store *st, const char *dir, store_visit *fn, void *ctx,
	 struct err *e)
{
	struct store_mem *m = mem_of(st);
	struct {
		VEC(struct store_item);
	} items = VEC_INIT;
	size_t n = strlen(dir);
	int r = 0;

	(void)pthread_mutex_lock(&m->lock);
	for (size_t i = 0; i < m->items.n; i++) {
		const struct item *it = &m->items.v[i];

		if (strncmp(it->name, dir, n) == 0 && it->name[n] == '/')
			vec_push(&items,
				 ((struct store_item){
					 .name = xstrdup(it->name + n + 1),
					 .size = it->data.len,
					 .modified = 1,
				 }));
	}
	(void)pthread_mutex_unlock(&m->lock);
	for (size_t i = 0; i < items.n; i++) {
		if (r == 0)
			r = fn(ctx, &items.v[i], e);
		free((char *)(uintptr_t)items.v[i].name);
	}
	vec_release(&items);
	return r;
}

static int
mem_remove(struct store *st, const char *path, struct err *e UNUSED)
{
	struct store_mem *m = mem_of(st);
	struct item *it;

	(void)pthread_mutex_lock(&m->lock);
	it = find(m, path);
	if (it) {
		free(it->name);
		buf_release(&it->data);
		*it = m->items.v[--m->items.n];
	}
	(void)pthread_mutex_unlock(&m->lock);
	return 0;
}

static int
mem_check(struct store *st UNUSED, struct err *e UNUSED)
{
	return 0;
}

static void
mem_free(struct store *st)
{
	struct store_mem *m = mem_of(st);

	for (size_t i = 0; i < m->items.n; i++) {
		free(m->items.v[i].name);
		buf_release(&m->items.v[i].data);
	}
	vec_release(&m->items);
	(void)pthread_mutex_destroy(&m->lock);
	free(m);
}

static const struct store_ops mem_ops = {
	.name = "memory",
	.has = mem_has,
	.begin = mem_begin,
	.commit = mem_commit,
	.discard = mem_discard,
	.read = mem_read,
	.locate = mem_locate,
	.put_record = mem_put_record,
	.get_record = mem_get_record,
	.list = mem_list,
	.remove = mem_remove,
	.check = mem_check,
	.free = mem_free,
};

struct store *
store_mem_new(void)
{
	struct store_mem *m = xcalloc(1, sizeof(*m));

	m->base.ops = &mem_ops;
	(void)pthread_mutex_init(&m->lock, NULL);
	return &m->base;
}

void
store_mem_fail_write(struct store *st)
{
	mem_of(st)->fail_write = true;
}

void
store_mem_remove(struct store *st, const struct digest *d)
{
	struct err e = ERR_INIT;

	(void)!store_remove_blob(st, d, &e);
}

void
store_mem_damage(struct store *st, const struct digest *d, const char *bytes,
		 size_t n)
{
	char name[PATH_CAP];

	path_of(d, name);
	put(mem_of(st), name, bytes, n);
}

size_t
store_mem_reads(struct store *st)
{
	struct store_mem *m = mem_of(st);
	size_t n;

	(void)pthread_mutex_lock(&m->lock);
	n = m->reads;
	(void)pthread_mutex_unlock(&m->lock);
	return n;
}
