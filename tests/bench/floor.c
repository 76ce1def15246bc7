/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The floor of `make bench-pack`: what packing costs without compression.
 * Reads store paths, makes the archive and hashes it in one thread, hashes
 * it once more and writes it in another, as pack_layer does.
 *
 * usage: floor ROOT OUTPUT STOREPATH...
 */
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/digest.h"
#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/pack/tar.h"
#include "core/pack/walk.h"
#include "core/sys/fs.h"

#define BLOCKS 6
#define BLOCK_SIZE ((size_t)1 << 20) /* as of gzip */

struct floor {
	unsigned char *block[BLOCKS];
	size_t n[BLOCKS];
	size_t filled, written; /* blocks so far */
	bool closed;
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	struct hasher first, second;
	int fd;
};

NORETURN static void
die(const struct err *e)
{
	(void)fprintf(stderr, "floor: %s\n", e->msg);
	exit(1);
}

static void
pass_on(struct floor *f)
{
	size_t at = f->filled % BLOCKS;

	hasher_add(&f->first, f->block[at], f->n[at]);
	pthread_mutex_lock(&f->mutex);
	f->filled++;
	pthread_cond_broadcast(&f->changed);
	while (f->filled - f->written == BLOCKS)
		pthread_cond_wait(&f->changed, &f->mutex);
	pthread_mutex_unlock(&f->mutex);
	f->n[f->filled % BLOCKS] = 0;
}

static unsigned char *
room(struct floor *f, size_t *ret_n)
{
	size_t at = f->filled % BLOCKS;

	if (f->n[at] == BLOCK_SIZE) {
		pass_on(f);
		at = f->filled % BLOCKS;
	}
	*ret_n = BLOCK_SIZE - f->n[at];
	return f->block[at] + f->n[at];
}

static void
add(struct floor *f, const char *p, size_t n)
{
	while (n > 0) {
		size_t part;
		unsigned char *to = room(f, &part);

		if (part > n)
			part = n;
		if (p)
			memcpy(to, p, part);
		else
			memset(to, 0, part);
		f->n[f->filled % BLOCKS] += part;
		p = p ? p + part : NULL;
		n -= part;
	}
}

static int
add_entry(void *ctx, const struct walk_entry *w, struct err *e)
{
	AUTO(buf) struct buf head = BUF_INIT;
	struct floor *f = ctx;
	struct tar_entry t = {
		.type = w->type == FSAT_FILE  ? TAR_FILE
			: w->type == FSAT_DIR ? TAR_DIR
					      : TAR_SYMLINK,
		.mode = 0555,
		.name = w->name,
		.name_n = w->name_n,
		.target = w->target,
		.target_n = w->target_n,
		.size = w->stamp.size,
	};

	tar_head(&head, &t);
	add(f, head.p, head.len);
	for (uint64_t left = t.size; left > 0;) {
		size_t part;
		unsigned char *to = room(f, &part);

		if (part > left)
			part = (size_t)left;
		if (fs_read(w->fd, to, part, &part, e) < 0)
			return -1;
		if (part == 0)
			return err_set(e, ERR_SYSTEM, "cut short");
		f->n[f->filled % BLOCKS] += part;
		left -= part;
	}
	add(f, NULL, tar_padding(t.size));
	return 0;
}

static void *
writer(void *arg)
{
	struct floor *f = arg;
	struct err e = ERR_INIT;

	pthread_mutex_lock(&f->mutex);
	for (;;) {
		size_t at = f->written % BLOCKS;

		if (f->written == f->filled) {
			if (f->closed)
				break;
			pthread_cond_wait(&f->changed, &f->mutex);
			continue;
		}
		pthread_mutex_unlock(&f->mutex);
		hasher_add(&f->second, f->block[at], f->n[at]);
		if (fs_write_all(f->fd, f->block[at], f->n[at], &e) < 0)
			die(&e);
		pthread_mutex_lock(&f->mutex);
		f->written++;
		pthread_cond_broadcast(&f->changed);
	}
	pthread_mutex_unlock(&f->mutex);
	return NULL;
}

int
main(int argc, char **argv)
{
	struct floor f = {.mutex = PTHREAD_MUTEX_INITIALIZER,
			  .changed = PTHREAD_COND_INITIALIZER};
	char first[DIGEST_HEX_CAP], second[DIGEST_HEX_CAP];
	struct err e = ERR_INIT;
	struct digest d;
	pthread_t thread;

	if (argc < 4)
		return 2;
	f.fd = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	for (size_t i = 0; i < BLOCKS; i++)
		f.block[i] = xmalloc(BLOCK_SIZE);
	hasher_init(&f.first);
	hasher_init(&f.second);
	if (f.fd < 0 || pthread_create(&thread, NULL, writer, &f) != 0) {
		perror("floor");
		return 1;
	}
	for (int i = 3; i < argc; i++) {
		if (walk_path(argv[1], argv[i], add_entry, &f, &e) < 0)
			die(&e);
	}
	add(&f, NULL, TAR_END);
	pass_on(&f);
	pthread_mutex_lock(&f.mutex);
	f.closed = true;
	pthread_cond_broadcast(&f.changed);
	pthread_mutex_unlock(&f.mutex);
	pthread_join(thread, NULL);
	hasher_finish(&f.first, &d);
	digest_hex(&d, first);
	hasher_finish(&f.second, &d);
	digest_hex(&d, second);
	(void)printf("%s %s\n", first, second);
	return strcmp(first, second) != 0;
}
