/* SPDX-License-Identifier: Apache-2.0 */
#include "core/buildlog.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/sys/fs.h"
#include "core/sys/log.h"

#define HALF (BUILDLOG_MAX / 2)
/* A directory is looked through at every so many starts. */
#define STARTS_PER_SWEEP 32u

struct buildlog {
	struct buildlogs *table;
	struct buildlog *next; /* in the list of those that run */
	char id[BUILDLOG_ID_LEN + 1];
	pthread_mutex_t lock;
	int fd;           /* -1: it can't be kept */
	size_t written;   /* the beginning, which is on disk */
	struct buf end;   /* what comes after it, as far as it is held */
	uint64_t dropped; /* bytes between the two */
	bool has_lines;
};

struct buildlogs {
	char *dir;
	pthread_mutex_t lock; /* of the list, taken before a log's */
	struct buildlog *running;
	unsigned starts;
};

/* --- what is kept */

struct kept {
	char *name;
	time_t time;
	uint64_t size;
};

static int
newest_first(const void *a, const void *b)
{
	const struct kept *x = a, *y = b;

	if (x->time != y->time)
		return x->time < y->time ? 1 : -1;
	return strcmp(x->name, y->name);
}

static bool
is_id(const char *s)
{
	return strlen(s) == BUILDLOG_ID_LEN &&
	       strspn(s, "0123456789abcdef") == BUILDLOG_ID_LEN;
}

static void
path_of(const struct buildlogs *t, const char *id, struct buf *to)
{
	buf_printf(to, "%s/%s", t->dir, id);
}

/* With the table's lock held. */
static bool
runs(const struct buildlogs *t, const char *id)
{
	for (const struct buildlog *l = t->running; l; l = l->next)
		if (strcmp(l->id, id) == 0)
			return true;
	return false;
}

/* Those that are not too many, too large or too old stay. */
static void
drop_old(struct buildlogs *t, struct kept *v, size_t n)
{
	time_t oldest = time(NULL) - (time_t)BUILDLOGS_AGE_S;
	uint64_t bytes = 0;

	if (n > 0)
		qsort(v, n, sizeof(*v), newest_first);
	for (size_t i = 0; i < n; i++) {
		AUTO(buf) struct buf path = BUF_INIT;

		bytes += v[i].size;
		if ((i < BUILDLOGS_KEPT && bytes <= BUILDLOGS_BYTES &&
		     v[i].time >= oldest) ||
		    runs(t, v[i].name))
			continue;
		path_of(t, v[i].name, &path);
		(void)unlink(path.p);
	}
}

/* With the table's lock held. */
static void
sweep(struct buildlogs *t)
{
	struct err e = ERR_INIT;
	struct fs_names names;
	struct kept *v;
	size_t n = 0;

	if (fs_list(t->dir, &names, &e) < 0) {
		log_err(LOG_WARN, "buildlog.sweep", &e);
		return;
	}
	v = xcalloc(names.n + 1, sizeof(*v));
	for (size_t i = 0; i < names.n; i++) {
		AUTO(buf) struct buf path = BUF_INIT;
		struct stat st;

		path_of(t, names.v[i], &path);
		if (!is_id(names.v[i]) || lstat(path.p, &st) < 0)
			continue;
		v[n++] = (struct kept){names.v[i], st.st_mtim.tv_sec,
				       (uint64_t)st.st_size};
	}
	drop_old(t, v, n);
	free(v);
	fs_names_free(&names);
}

int
buildlogs_open(const char *dir, struct buildlogs **ret, struct err *e)
{
	struct buildlogs *t;

	if (fs_mkdirs(dir, 0700, e) < 0)
		return -1;
	t = xcalloc(1, sizeof(*t));
	t->dir = xstrdup(dir);
	(void)pthread_mutex_init(&t->lock, NULL);
	*ret = t;
	return 0;
}

void
buildlogs_free(struct buildlogs *t)
{
	if (!t)
		return;
	(void)pthread_mutex_destroy(&t->lock);
	free(t->dir);
	free(t);
}

/* --- writing */

struct buildlog *
buildlog_start(struct buildlogs *t, const char *id)
{
	struct buildlog *l = xcalloc(1, sizeof(*l));
	AUTO(buf) struct buf path = BUF_INIT;
	struct err e = ERR_INIT;

	l->table = t;
	(void)snprintf(l->id, sizeof(l->id), "%s", id);
	(void)pthread_mutex_init(&l->lock, NULL);
	buf_init(&l->end);
	path_of(t, id, &path);
	l->fd = open(path.p, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (l->fd < 0) {
		err_set_errno(&e, ERR_SYSTEM, errno, "make %s", path.p);
		log_err(LOG_WARN, "buildlog.none", &e);
	}
	(void)pthread_mutex_lock(&t->lock);
	if (t->starts++ % STARTS_PER_SWEEP == 0)
		sweep(t);
	l->next = t->running;
	t->running = l;
	(void)pthread_mutex_unlock(&t->lock);
	return l;
}

static void
to_disk(struct buildlog *l, const char *p, size_t n)
{
	struct err e = ERR_INIT;

	if (l->fd < 0 || fs_write_all(l->fd, p, n, &e) == 0)
		return;
	log_err(LOG_WARN, "buildlog.cut", &e);
	(void)close(l->fd);
	l->fd = -1;
}

/* Of what is held the older half goes, from a line's start to another's. */
static void
drop_middle(struct buildlog *l)
{
	size_t cut = l->end.len / 2;
	const char *nl = memchr(l->end.p + cut, '\n', l->end.len - cut);

	if (nl)
		cut = (size_t)(nl - l->end.p) + 1;
	memmove(l->end.p, l->end.p + cut, l->end.len - cut);
	buf_truncate(&l->end, l->end.len - cut);
	l->dropped += cut;
}

static void
add(struct buildlog *l, const struct buf *text)
{
	if (l->fd >= 0 && l->end.len == 0 && l->dropped == 0 &&
	    l->written + text->len <= HALF) {
		to_disk(l, text->p, text->len);
		l->written += text->len;
		return;
	}
	if (l->end.len + text->len > HALF)
		drop_middle(l);
	buf_add(&l->end, text->p, text->len);
}

void
buildlog_say(struct buildlog *l, const char *fmt, ...)
{
	AUTO(buf) struct buf text = BUF_INIT;
	va_list ap;

	buf_adds(&text, "== ");
	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	buf_addc(&text, '\n');
	(void)pthread_mutex_lock(&l->lock);
	add(l, &text);
	(void)pthread_mutex_unlock(&l->lock);
}

/*
 * How many bytes the character of UTF-8 at s has; 0 when it is none, or
 * would control a terminal (RFC 3629, 4; the controls of ISO 6429).
 */
static size_t
character(const unsigned char *s, size_t n)
{
	size_t k = s[0] >= 0xF0 ? 4 : s[0] >= 0xE0 ? 3 : 2;

	if (s[0] < 0x80)
		return s[0] == '\t' || (s[0] >= 0x20 && s[0] != 0x7F);
	if (s[0] < 0xC2 || s[0] > 0xF4 || k > n)
		return 0;
	for (size_t i = 1; i < k; i++)
		if ((s[i] & 0xC0u) != 0x80u)
			return 0;
	if ((s[0] == 0xC2 && s[1] < 0xA0) || (s[0] == 0xE0 && s[1] < 0xA0) ||
	    (s[0] == 0xED && s[1] > 0x9F) || (s[0] == 0xF0 && s[1] < 0x90) ||
	    (s[0] == 0xF4 && s[1] > 0x8F))
		return 0;
	return k;
}

void
buildlog_line(struct buildlog *l, const char *line, size_t n)
{
	const unsigned char *s = (const unsigned char *)line;
	AUTO(buf) struct buf text = BUF_INIT;

	for (size_t i = 0; i < n;) {
		size_t k = character(s + i, n - i);

		buf_add(&text, line + i, k);
		i += k > 0 ? k : 1;
	}
	buf_addc(&text, '\n');
	if (str_has_prefix(text.p, "==")) {
		AUTO(buf) struct buf moved = BUF_INIT;

		buf_printf(&moved, " %s", text.p);
		buf_clear(&text);
		buf_add(&text, moved.p, moved.len);
	}
	(void)pthread_mutex_lock(&l->lock);
	l->has_lines = true;
	add(l, &text);
	(void)pthread_mutex_unlock(&l->lock);
}

bool
buildlog_has_lines(struct buildlog *l)
{
	bool has;

	(void)pthread_mutex_lock(&l->lock);
	has = l->has_lines;
	(void)pthread_mutex_unlock(&l->lock);
	return has;
}

/* What is not on disk, with what is missing before it. */
static void
add_end(const struct buildlog *l, struct buf *to)
{
	if (l->dropped > 0)
		buf_printf(to, "== %llu bytes are left out here\n",
			   (unsigned long long)l->dropped);
	buf_add(to, l->end.p, l->end.len);
}

void
buildlog_end(struct buildlog *take_log, bool keep)
{
	AUTO(buf) struct buf end = BUF_INIT, path = BUF_INIT;
	struct buildlogs *t = take_log->table;
	struct buildlog **at;

	add_end(take_log, &end);
	(void)pthread_mutex_lock(&t->lock);
	if (keep)
		to_disk(take_log, end.p, end.len);
	for (at = &t->running; *at != take_log; at = &(*at)->next)
		continue;
	*at = take_log->next;
	path_of(t, take_log->id, &path);
	if (!keep)
		(void)unlink(path.p);
	(void)pthread_mutex_unlock(&t->lock);
	if (take_log->fd >= 0)
		(void)close(take_log->fd);
	(void)pthread_mutex_destroy(&take_log->lock);
	buf_release(&take_log->end);
	free(take_log);
}

/* --- reading */

/* With the table's lock held: it can't end meanwhile. */
static struct buildlog *
find(struct buildlogs *t, const char *id)
{
	struct buildlog *l = t->running;

	while (l && strcmp(l->id, id) != 0)
		l = l->next;
	return l;
}

static int
read_running(struct buildlogs *t, struct buildlog *l, struct buf *to,
	     struct err *e)
{
	AUTO(buf) struct buf path = BUF_INIT;
	int r = 0;

	path_of(t, l->id, &path);
	(void)pthread_mutex_lock(&l->lock);
	if (l->written > 0)
		r = fs_read_file(path.p, 2 * BUILDLOG_MAX, to, e);
	if (r == 0)
		add_end(l, to);
	(void)pthread_mutex_unlock(&l->lock);
	return r;
}

int
buildlogs_read(struct buildlogs *t, const char *id, struct buf *to,
	       bool *ret_running, struct err *e)
{
	AUTO(buf) struct buf path = BUF_INIT;
	struct buildlog *l;
	int r = 0;

	if (!is_id(id))
		return err_set(e, ERR_NOT_FOUND, "there is no build %s", id);
	(void)pthread_mutex_lock(&t->lock);
	l = find(t, id);
	*ret_running = l != NULL;
	if (l)
		r = read_running(t, l, to, e);
	(void)pthread_mutex_unlock(&t->lock);
	if (l)
		return r;
	path_of(t, id, &path);
	if (fs_read_file(path.p, 2 * BUILDLOG_MAX, to, e) == 0)
		return 0;
	if (e->kind != ERR_NOT_FOUND)
		return -1;
	err_clear(e);
	return err_set(e, ERR_NOT_FOUND, "there is no log of a build %s", id);
}
