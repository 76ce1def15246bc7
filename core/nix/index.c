/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/digest.h"
#include "core/base/err.h"
#include "core/nix/impl.h"
#include "core/sys/fs.h"
#include "core/sys/log.h"

/*
 * The attribute names at the top of a package set, made once for each state
 * of a set: nixpkgs has some 25,000. Kept in a file of one name a line and,
 * for the sets used last, in memory.
 */
#define INDEX_MAX (16u << 20)
#define NAME_MAX_LEN 255u
/* Files kept: a directory that is edited makes a new one each time. */
#define FILES_KEPT 32u

static const char magic[] = "firn-index 1";

struct nix_index {
	atomic_uint refs;
	struct nix_index_key key;
	char *text;          /* the names, each with a NUL */
	const char **names;  /* in byte order */
	const char **folded; /* without regard to case, then in byte order */
	size_t n;
};

void
nix_index_key(const struct nix_request *r, struct nix_index_key *ret)
{
	AUTO(hasher) struct hasher h;
	struct digest d;

	hasher_init(&h);
	hasher_field_str(&h, magic);
	source_hash(r->source, &h);
	hasher_field_str(&h, r->revision->id);
	hasher_field_str(&h, r->revision->overlays);
	hasher_field_str(&h, r->system);
	hasher_finish(&h, &d);
	digest_hex(&d, ret->hex);
	ret->stable = r->revision->id[0] != '\0';
}

static int
by_bytes(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int
by_fold(const void *a, const void *b)
{
	int d = strcasecmp(*(const char *const *)a, *(const char *const *)b);

	return d != 0 ? d : by_bytes(a, b);
}

/* text: n names, each ended by a NUL; it becomes the index's. */
static struct nix_index *
index_new(const struct nix_index_key *key, char *take_text, size_t n)
{
	struct nix_index *ix = xcalloc(1, sizeof(*ix));
	const char *p = take_text;

	atomic_init(&ix->refs, 1);
	ix->key = *key;
	ix->text = take_text;
	ix->n = n;
	ix->names = xcalloc(n + 1, sizeof(*ix->names));
	ix->folded = xcalloc(n + 1, sizeof(*ix->folded));
	for (size_t i = 0; i < n; i++) {
		ix->names[i] = ix->folded[i] = p;
		p += strlen(p) + 1;
	}
	qsort(ix->names, n, sizeof(*ix->names), by_bytes);
	qsort(ix->folded, n, sizeof(*ix->folded), by_fold);
	return ix;
}

void
nix_index_release(struct nix_index *ix)
{
	if (!ix || atomic_fetch_sub(&ix->refs, 1) > 1)
		return;
	free(ix->text);
	free(ix->names);
	free(ix->folded);
	free(ix);
}

/* To the front of those in memory; the last falls out. */
static void
remember(struct nix *n, struct nix_index *ix)
{
	struct nix_index *fallen = NULL;
	size_t i;

	(void)pthread_mutex_lock(&n->lock);
	for (i = 0; i < NIX_INDEXES - 1; i++)
		if (!n->indexes[i] ||
		    strcmp(n->indexes[i]->key.hex, ix->key.hex) == 0)
			break;
	fallen = n->indexes[i];
	memmove(&n->indexes[1], &n->indexes[0], i * sizeof(n->indexes[0]));
	n->indexes[0] = ix;
	atomic_fetch_add(&ix->refs, 1);
	(void)pthread_mutex_unlock(&n->lock);
	nix_index_release(fallen);
}

static struct nix_index *
find_in_memory(struct nix *n, const struct nix_index_key *key)
{
	struct nix_index *found = NULL;

	(void)pthread_mutex_lock(&n->lock);
	for (size_t i = 0; i < NIX_INDEXES && !found; i++) {
		if (!n->indexes[i] ||
		    strcmp(n->indexes[i]->key.hex, key->hex) != 0)
			continue;
		found = n->indexes[i];
		memmove(&n->indexes[1], &n->indexes[0],
			i * sizeof(n->indexes[0]));
		n->indexes[0] = found;
		atomic_fetch_add(&found->refs, 1);
	}
	(void)pthread_mutex_unlock(&n->lock);
	return found;
}

static void
file_path(struct nix *n, const struct nix_index_key *key, struct buf *to)
{
	buf_printf(to, "%s/index/%s", n->dir, key->hex);
}

/* "firn-index 1 COUNT\n", then the names. False: not whole, or not ours. */
static bool
parse_file(const struct buf *text, const struct nix_index_key *key,
	   struct nix_index **ret)
{
	struct str rest = {.p = text->p, .n = text->len}, line, word;
	AUTO(buf) struct buf names = BUF_INIT;
	uint64_t want;
	size_t n = 0;

	if (!str_cut(&rest, '\n', &line) || line.n <= sizeof(magic) - 1 ||
	    memcmp(line.p, magic, sizeof(magic) - 1) != 0)
		return false;
	word = (struct str){.p = line.p + sizeof(magic),
			    .n = line.n - sizeof(magic)};
	if (!str_to_u64(word, INDEX_MAX, &want))
		return false;
	while (str_cut(&rest, '\n', &line)) {
		if (line.n == 0 && rest.n == 0)
			break;
		if (line.n == 0 || memchr(line.p, '\0', line.n))
			return false;
		buf_add(&names, line.p, line.n);
		buf_addc(&names, '\0');
		n++;
	}
	if (n != want)
		return false;
	*ret = index_new(key, buf_steal(&names), n);
	return true;
}

struct nix_index *
nix_index_find(struct nix *n, const struct nix_index_key *key)
{
	AUTO(buf) struct buf path = BUF_INIT, text = BUF_INIT;
	struct nix_index *ix;
	struct err e = ERR_INIT;

	if (!key->stable)
		return NULL;
	ix = find_in_memory(n, key);
	if (ix)
		return ix;
	file_path(n, key, &path);
	if (fs_read_file(path.p, INDEX_MAX, &text, &e) < 0) {
		if (e.kind != ERR_NOT_FOUND)
			log_err(LOG_WARN, "nix.index", &e);
		return NULL;
	}
	if (!parse_file(&text, key, &ix))
		return NULL;
	/* What was used last is kept longest. */
	(void)utimensat(AT_FDCWD, path.p, NULL, 0);
	remember(n, ix);
	return ix;
}

struct aged {
	char *path;
	struct timespec time;
};

static int
newest_first(const void *a, const void *b)
{
	const struct aged *x = a, *y = b;

	if (x->time.tv_sec != y->time.tv_sec)
		return x->time.tv_sec < y->time.tv_sec ? 1 : -1;
	if (x->time.tv_nsec != y->time.tv_nsec)
		return x->time.tv_nsec < y->time.tv_nsec ? 1 : -1;
	return strcmp(x->path, y->path);
}

/* Best effort: a file too many does no harm. */
static void
prune(const char *dir)
{
	struct {
		VEC(struct aged);
	} files = VEC_INIT;
	struct fs_names names;
	struct err e = ERR_INIT;

	if (fs_list(dir, &names, &e) < 0)
		return;
	for (size_t i = 0; i < names.n; i++) {
		AUTO(buf) struct buf path = BUF_INIT;
		struct stat st;

		buf_printf(&path, "%s/%s", dir, names.v[i]);
		if (stat(path.p, &st) == 0) {
			struct aged f = {.time = st.st_mtim};

			f.path = buf_steal(&path);
			vec_push(&files, f);
		}
	}
	if (files.n > FILES_KEPT)
		qsort(files.v, files.n, sizeof(*files.v), newest_first);
	for (size_t i = 0; i < files.n; i++) {
		if (i >= FILES_KEPT)
			(void)unlink(files.v[i].path);
		free(files.v[i].path);
	}
	vec_release(&files);
	fs_names_free(&names);
}

static void
save(struct nix *n, const struct nix_index *ix)
{
	AUTO(buf) struct buf path = BUF_INIT, text = BUF_INIT;
	AUTO(buf) struct buf dir = BUF_INIT;
	struct err e = ERR_INIT;

	buf_printf(&dir, "%s/index", n->dir);
	file_path(n, &ix->key, &path);
	buf_printf(&text, "%s %zu\n", magic, ix->n);
	for (size_t i = 0; i < ix->n; i++)
		buf_printf(&text, "%s\n", ix->names[i]);
	/* Without the file the next process asks Nix once more. */
	if (fs_mkdirs(dir.p, 0700, &e) < 0 ||
	    fs_write_atomic(path.p, text.p, text.len, &e) < 0)
		log_err(LOG_WARN, "nix.index", &e);
	else
		prune(dir.p);
}

struct nix_index *
nix_index_add(struct nix *n, const struct nix_index_key *key,
	      const char *const *names, size_t n_names)
{
	AUTO(buf) struct buf text = BUF_INIT;
	struct nix_index *ix;
	size_t k = 0;

	for (size_t i = 0; i < n_names; i++) {
		/* No name of a package, and the file could not hold it. */
		if (names[i][0] == '\0' || strlen(names[i]) > NAME_MAX_LEN ||
		    strchr(names[i], '\n'))
			continue;
		buf_add(&text, names[i], strlen(names[i]) + 1);
		k++;
	}
	ix = index_new(key, buf_steal(&text), k);
	if (key->stable) {
		save(n, ix);
		remember(n, ix);
	}
	return ix;
}

const char *const *
nix_index_names(const struct nix_index *ix, size_t *ret_n)
{
	*ret_n = ix->n;
	return ix->names;
}

static const char *
find_exact(const struct nix_index *ix, const char *name)
{
	const char **p =
		bsearch(&name, ix->names, ix->n, sizeof(*ix->names), by_bytes);

	return p ? *p : NULL;
}

size_t
nix_index_spell(const struct nix_index *ix, const char *name, const char **ret,
		size_t max)
{
	AUTO(buf) struct buf under = BUF_INIT;
	size_t lo = 0, hi = ix->n, k = 0;

	ret[0] = find_exact(ix, name);
	if (!ret[0] && name[0] >= '0' && name[0] <= '9') {
		buf_printf(&under, "_%s", name);
		ret[0] = find_exact(ix, under.p);
	}
	if (ret[0])
		return 1;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (strcasecmp(ix->folded[mid], name) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < ix->n && k < max && strcasecmp(ix->folded[lo], name) == 0;
	     lo++)
		ret[k++] = ix->folded[lo];
	return k;
}
