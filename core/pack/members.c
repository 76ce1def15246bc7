/* SPDX-License-Identifier: Apache-2.0 */
#include "core/pack/members.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/digest.h"
#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/base/vec.h"
#include "core/sys/clock.h"
#include "core/sys/fs.h"
#include "core/sys/log.h"

/*
 * DIR/lock              held by the process that makes room
 * DIR/new/RANDOM        being written
 * DIR/HH/HEX            an entry: struct head and the member; HH are the
 *                       first two digits, and its mtime is its last use
 */
#define MAGIC "firn member 1\n"
#define STALE_SECONDS 3600

/* Bytes that a file takes come in steps of these. */
#define DISK_BLOCK 4096u
#define STAT_BLOCK 512u /* of st_blocks */

#define RANDOM_DIGITS 32 /* of fs_create_temp's names */

#define COMPLAINT_MS 60000u

/* What is left to others: that part of the disk, or that much of a large one */
#define RESERVE_PART 20
#define RESERVE_MOST ((uint64_t)1 << 30)
#define YIELD_MS 600000u

struct head {
	char magic[16];
	struct digest sum; /* of the key and the member */
};

struct members {
	char *dir;
	uint64_t max_bytes;
	pthread_mutex_t mutex; /* over what follows */
	uint64_t bytes;        /* in the directory, as far as we know */
	uint64_t added;        /* by us since we last looked */
	bool looking;
	/* By clock_ms; 0: never. */
	uint64_t complained_at;
	uint64_t yielded_at;
};

/* One entry, when room is made. */
struct entry {
	char name[2 + 1 + DIGEST_HEX_CAP];
	uint64_t size;
	struct timespec used;
};

struct entries {
	VEC(struct entry);
	uint64_t bytes;
};

static bool
is_lately(uint64_t at, uint64_t ms)
{
	return at != 0 && clock_ms() - at < ms;
}

static void
complain(struct members *m, const struct err *e)
{
	bool quiet;

	pthread_mutex_lock(&m->mutex);
	quiet = is_lately(m->complained_at, COMPLAINT_MS);
	if (!quiet)
		m->complained_at = clock_ms();
	pthread_mutex_unlock(&m->mutex);
	if (!quiet)
		log_err(LOG_WARN, "pack.members", e);
}

static void
entry_path(const struct members *m, const struct digest *key, struct buf *to)
{
	char hex[DIGEST_HEX_CAP];

	digest_hex(key, hex);
	buf_printf(to, "%s/%.2s/%s", m->dir, hex, hex);
}

static void
entry_sum(const struct digest *key, const void *p, size_t n, struct digest *ret)
{
	AUTO(hasher) struct hasher h;

	hasher_init(&h);
	hasher_add(&h, key->b, sizeof(key->b));
	hasher_add(&h, p, n);
	hasher_finish(&h, ret);
}

static int
read_full(int fd, void *p, size_t n, struct err *e)
{
	for (size_t at = 0, got; at < n; at += got) {
		if (fs_read(fd, (char *)p + at, n - at, &got, e) < 0)
			return -1;
		if (got == 0)
			return err_set(e, ERR_SYSTEM, "a member is cut short");
	}
	return 0;
}

/* The entry that is open, checked. */
static int
entry_read(int fd, const struct digest *key, void *to, size_t cap,
	   size_t *ret_n, struct err *e)
{
	struct digest sum;
	struct stat st;
	struct head h;
	size_t n;

	if (fstat(fd, &st) < 0 || st.st_size < (off_t)sizeof(h) ||
	    (uint64_t)st.st_size > sizeof(h) + cap)
		return err_set(e, ERR_SYSTEM, "a member of no right size");
	n = (size_t)st.st_size - sizeof(h);
	if (read_full(fd, &h, sizeof(h), e) < 0 || read_full(fd, to, n, e) < 0)
		return -1;
	entry_sum(key, to, n, &sum);
	if (memcmp(h.magic, MAGIC, sizeof(MAGIC)) != 0 ||
	    !digest_eq(&h.sum, &sum))
		return err_set(e, ERR_SYSTEM, "a member is damaged");
	*ret_n = n;
	return 0;
}

bool
members_get(struct members *m, const struct digest *key, void *to, size_t cap,
	    size_t *ret_n)
{
	AUTO(buf) struct buf path = BUF_INIT;
	struct err e = ERR_INIT;
	AUTO(fd) int fd = -1;

	entry_path(m, key, &path);
	if (fs_open_read(path.p, &fd, &e) < 0) {
		if (e.kind != ERR_NOT_FOUND)
			complain(m, &e);
		return false;
	}
	if (entry_read(fd, key, to, cap, ret_n, &e) < 0) {
		complain(m, &e);
		(void)unlink(path.p);
		return false;
	}
	/* Not to be able to is no reason not to use it. */
	(void)futimens(fd, NULL);
	return true;
}

static int
by_use(const void *pa, const void *pb)
{
	const struct entry *a = pa, *b = pb;

	if (a->used.tv_sec != b->used.tv_sec)
		return a->used.tv_sec < b->used.tv_sec ? -1 : 1;
	if (a->used.tv_nsec != b->used.tv_nsec)
		return a->used.tv_nsec < b->used.tv_nsec ? -1 : 1;
	return strcmp(a->name, b->name);
}

/* Lower-case hex digits, want of them. */
static bool
is_hex(const char *name, size_t want)
{
	return strlen(name) == want && strspn(name, "0123456789abcdef") == want;
}

/*
 * The files in one of the directories whose names are so many digits; they,
 * and the directory, may vanish meanwhile. What else is there isn't ours.
 */
static int
list_entries(const struct members *m, const char *sub, size_t digits,
	     struct entries *to, struct err *e)
{
	AUTO(buf) struct buf path = BUF_INIT;
	struct fs_names names;
	struct stat st;
	size_t len;

	buf_printf(&path, "%s/%s", m->dir, sub);
	if (lstat(path.p, &st) < 0 || !S_ISDIR(st.st_mode))
		return 0;
	if (fs_list(path.p, &names, e) < 0)
		return -1;
	len = path.len;
	for (size_t i = 0; i < names.n; i++) {
		struct entry en;

		if (!is_hex(names.v[i], digits))
			continue;
		buf_truncate(&path, len);
		buf_printf(&path, "/%s", names.v[i]);
		if (lstat(path.p, &st) < 0 || !S_ISREG(st.st_mode))
			continue;
		(void)snprintf(en.name, sizeof(en.name), "%s/%s", sub,
			       names.v[i]);
		en.size = (uint64_t)st.st_blocks * STAT_BLOCK;
		en.used = st.st_mtim;
		to->bytes += en.size;
		vec_push(to, en);
	}
	fs_names_free(&names);
	return 0;
}

static int
list_all(const struct members *m, struct entries *to, struct err *e)
{
	struct fs_names subs;
	int r = 0;

	if (fs_list(m->dir, &subs, e) < 0)
		return -1;
	for (size_t i = 0; r == 0 && i < subs.n; i++) {
		if (is_hex(subs.v[i], 2))
			r = list_entries(m, subs.v[i], DIGEST_HEX_CAP - 1, to,
					 e);
	}
	fs_names_free(&subs);
	return r;
}

/* Delete the oldest until a tenth of the limit is free. */
static void
drop_oldest(const struct members *m, struct entries *all)
{
	if (all->bytes <= m->max_bytes)
		return;
	qsort(all->v, all->n, sizeof(*all->v), by_use);
	for (size_t i = 0;
	     i < all->n && all->bytes > m->max_bytes - m->max_bytes / 10; i++) {
		AUTO(buf) struct buf path = BUF_INIT;

		buf_printf(&path, "%s/%s", m->dir, all->v[i].name);
		(void)unlink(path.p);
		all->bytes -= all->v[i].size;
	}
}

/* Files that a process which was killed left behind. */
static int
drop_unfinished(const struct members *m, struct err *e)
{
	struct entries all = {.v = NULL};
	time_t now = time(NULL);
	int r = list_entries(m, "new", RANDOM_DIGITS, &all, e);

	for (size_t i = 0; i < all.n; i++) {
		AUTO(buf) struct buf path = BUF_INIT;

		buf_printf(&path, "%s/%s", m->dir, all.v[i].name);
		if (now - all.v[i].used.tv_sec > STALE_SECONDS)
			(void)unlink(path.p);
	}
	vec_release(&all);
	return r;
}

/* See what is there, and make room. One process at a time does. */
static int
look(struct members *m, struct err *e)
{
	AUTO(buf) struct buf lock = BUF_INIT;
	struct entries all = {.v = NULL};
	AUTO(fd) int fd = -1;
	int r;

	buf_printf(&lock, "%s/lock", m->dir);
	fd = open(lock.p, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_set_errno(e, ERR_SYSTEM, errno, "open %s", lock.p);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return 0;
	r = list_all(m, &all, e);
	if (r == 0) {
		drop_oldest(m, &all);
		pthread_mutex_lock(&m->mutex);
		m->bytes = all.bytes;
		m->added = 0;
		pthread_mutex_unlock(&m->mutex);
	}
	vec_release(&all);
	return r;
}

/* After n bytes were added. Others add too: look now and then. */
static void
count(struct members *m, uint64_t n)
{
	struct err e = ERR_INIT;
	bool mine;

	pthread_mutex_lock(&m->mutex);
	m->bytes += n;
	m->added += n;
	mine = !m->looking &&
	       (m->bytes > m->max_bytes || m->added > m->max_bytes / 16);
	if (mine)
		m->looking = true;
	pthread_mutex_unlock(&m->mutex);
	if (!mine)
		return;
	if (look(m, &e) < 0)
		complain(m, &e);
	pthread_mutex_lock(&m->mutex);
	m->looking = false;
	pthread_mutex_unlock(&m->mutex);
}

/* A file to write to. The directory for it may have been deleted. */
static int
create_new(const struct members *m, struct buf *temp, int *ret_fd,
	   struct err *e)
{
	AUTO(buf) struct buf dir = BUF_INIT;

	buf_printf(&dir, "%s/new", m->dir);
	if (fs_create_temp(dir.p, temp, ret_fd, e) == 0)
		return 0;
	if (fs_exists(dir.p))
		return -1;
	err_clear(e);
	if (fs_mkdirs(dir.p, 0700, e) < 0)
		return -1;
	return fs_create_temp(dir.p, temp, ret_fd, e);
}

static int
entry_write(struct members *m, const struct digest *key, const void *p,
	    size_t n, struct err *e)
{
	AUTO(buf) struct buf path = BUF_INIT, temp = BUF_INIT;
	struct head h = {.magic = MAGIC};
	AUTO(fd) int fd = -1;

	entry_sum(key, p, n, &h.sum);
	if (create_new(m, &temp, &fd, e) < 0)
		return -1;
	entry_path(m, key, &path);
	/* Unsynced: a member that a crash damages is found out. */
	if (fs_write_all(fd, &h, sizeof(h), e) < 0 ||
	    fs_write_all(fd, p, n, e) < 0)
		goto out;
	if (rename(temp.p, path.p) < 0) {
		char *slash = strrchr(path.p, '/');

		*slash = '\0';
		if (mkdir(path.p, 0700) < 0 && errno != EEXIST) {
			err_set_errno(e, ERR_SYSTEM, errno, "mkdir %s", path.p);
			goto out;
		}
		*slash = '/';
		if (rename(temp.p, path.p) < 0) {
			err_set_errno(e, ERR_SYSTEM, errno, "rename to %s",
				      path.p);
			goto out;
		}
	}
	return 0;
out:
	(void)unlink(temp.p);
	return -1;
}

/* May so much be kept, as things are? */
static bool
has_room(struct members *m, uint64_t n)
{
	struct statvfs s;
	uint64_t reserve;
	bool yielded;

	pthread_mutex_lock(&m->mutex);
	yielded = is_lately(m->yielded_at, YIELD_MS);
	pthread_mutex_unlock(&m->mutex);
	if (yielded)
		return false;
	if (statvfs(m->dir, &s) < 0)
		return true; /* writing will tell */
	reserve = (uint64_t)s.f_blocks * s.f_frsize / RESERVE_PART;
	if (reserve > RESERVE_MOST)
		reserve = RESERVE_MOST;
	return (uint64_t)s.f_bavail * s.f_frsize >= n + reserve;
}

void
members_put(struct members *m, const struct digest *key, const void *p,
	    size_t n)
{
	struct err e = ERR_INIT;

	if (!has_room(m, n))
		return;
	if (entry_write(m, key, p, n, &e) < 0)
		complain(m, &e);
	else
		count(m, (sizeof(struct head) + n + DISK_BLOCK - 1) /
				 DISK_BLOCK * DISK_BLOCK);
}

bool
members_yield(struct members *m)
{
	struct entries all = {.v = NULL};
	struct err e = ERR_INIT;
	bool lately;

	pthread_mutex_lock(&m->mutex);
	lately = is_lately(m->yielded_at, YIELD_MS);
	m->yielded_at = clock_ms();
	pthread_mutex_unlock(&m->mutex);
	if (list_all(m, &all, &e) < 0)
		complain(m, &e);
	for (size_t i = 0; i < all.n; i++) {
		AUTO(buf) struct buf path = BUF_INIT;

		buf_printf(&path, "%s/%s", m->dir, all.v[i].name);
		(void)unlink(path.p);
	}
	pthread_mutex_lock(&m->mutex);
	m->bytes = m->added = 0;
	pthread_mutex_unlock(&m->mutex);
	if (all.n > 0)
		log_warn("members.yield", LOG_N("members", all.n));
	lately = lately || all.n > 0;
	vec_release(&all);
	return lately;
}

int
members_open(const char *dir, uint64_t max_bytes, struct members **ret,
	     struct err *e)
{
	struct members *m = xcalloc(1, sizeof(*m));
	AUTO(buf) struct buf path = BUF_INIT;

	m->dir = xstrdup(dir);
	m->max_bytes = max_bytes;
	pthread_mutex_init(&m->mutex, NULL);
	buf_printf(&path, "%s/new", dir);
	if (fs_mkdirs(path.p, 0700, e) < 0 || drop_unfinished(m, e) < 0 ||
	    look(m, e) < 0) {
		members_free(m);
		return err_wrap(e, "member cache");
	}
	*ret = m;
	return 0;
}

void
members_free(struct members *m)
{
	if (!m)
		return;
	pthread_mutex_destroy(&m->mutex);
	free(m->dir);
	free(m);
}
