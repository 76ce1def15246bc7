/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/image.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/err.h"

static const struct platform platforms[] = {
	{"linux", "amd64", "x86_64-linux"},
	{"linux", "arm64", "aarch64-linux"},
};

/* What "shell" stands for. */
static const char *const shell_packages[] = {
	"bashinteractive",
	"coreutils",
	"moreutils",
	"nano",
};

/* In every image: TLS and /etc/services work without being asked for. */
static const char *const base_packages[] = {
	"cacert",
	"iana-etc",
};

const struct platform *
platform_find(const char *name)
{
	if (str_has_prefix(name, "linux/"))
		name += strlen("linux/");
	for (size_t i = 0; i < ARRAY_LEN(platforms); i++)
		if (strcmp(name, platforms[i].arch) == 0)
			return &platforms[i];
	return NULL;
}

const struct platform *
platform_host(void)
{
#if defined(__aarch64__)
	return &platforms[1];
#else
	return &platforms[0];
#endif
}

static int
by_bytes(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sort, and drop repetitions; returns how many are left. */
static size_t
sort_unique(const char **v, size_t n)
{
	size_t kept = 0;

	if (n > 0)
		qsort(v, n, sizeof(*v), by_bytes);
	for (size_t i = 0; i < n; i++)
		if (kept == 0 || strcmp(v[kept - 1], v[i]) != 0)
			v[kept++] = v[i];
	return kept;
}

static void
add_all(const char **v, size_t *n, const char *const *more, size_t n_more)
{
	for (size_t i = 0; i < n_more; i++)
		v[(*n)++] = more[i];
}

/* Take a leading meta-package; false when it is none. */
static bool
take_meta(struct image *im, struct str part, bool *ret_two_platforms)
{
	if (str_eq(part, "shell")) {
		im->shell = true;
		return true;
	}
	for (size_t i = 0; i < ARRAY_LEN(platforms); i++) {
		if (!str_eq(part, platforms[i].arch))
			continue;
		if (im->platform && im->platform != &platforms[i])
			*ret_two_platforms = true;
		im->platform = &platforms[i];
		return true;
	}
	return false;
}

/* Would this be a meta-package, if it stood in front? */
static bool
is_meta(const char *package)
{
	struct image im = {.packages = NULL};
	bool two = false;

	return take_meta(&im, str_of(package), &two);
}

/*
 * A package may be called like a meta-package: "git/shell". Such ones come
 * last, behind one that isn't, or the name would mean another image.
 */
static const char *
canonical_name(struct arena *a, const struct image *im, const char **asked,
	       size_t n)
{
	AUTO(buf) struct buf name = BUF_INIT;

	if (im->platform)
		buf_adds(&name, im->platform->arch);
	if (im->shell)
		buf_printf(&name, "%sshell", name.len ? "/" : "");
	for (int last = 0; last < 2; last++)
		for (size_t i = 0; i < n; i++)
			if (is_meta(asked[i]) == (last == 1))
				buf_printf(&name, "%s%s", name.len ? "/" : "",
					   asked[i]);
	return arena_strdup(a, name.p);
}

int
image_parse(struct arena *a, const char *name, struct image *ret, struct err *e)
{
	const size_t extra =
		ARRAY_LEN(shell_packages) + ARRAY_LEN(base_packages);
	struct str rest = str_of(name), part;
	struct image im = {.packages = NULL};
	bool front = true, two = false;
	const char **v;
	size_t n = 0;

	if (rest.n > IMAGE_NAME_MAX)
		return err_set(e, ERR_INVALID,
			       "the image name is longer than %u characters",
			       IMAGE_NAME_MAX);
	v = arena_alloc(a, IMAGE_PACKAGES_MAX + extra, sizeof(*v));
	while (str_cut(&rest, '/', &part)) {
		if (part.n == 0)
			return err_set(e, ERR_INVALID,
				       "the image name has an empty part");
		if (front && take_meta(&im, part, &two))
			continue;
		front = false;
		if (n == IMAGE_PACKAGES_MAX)
			return err_set(e, ERR_INVALID,
				       "the image name lists more than %u "
				       "packages",
				       IMAGE_PACKAGES_MAX);
		v[n++] = arena_strndup(a, part.p, part.n);
	}
	if (two)
		return err_set(e, ERR_INVALID,
			       "the image name asks for two platforms");
	if (n == 0 && !im.shell)
		return err_set(e, ERR_INVALID,
			       "the image name lists no package");
	n = sort_unique(v, n);
	im.n_asked = n;
	im.name = canonical_name(a, &im, v, n);
	if (im.shell)
		add_all(v, &n, shell_packages, ARRAY_LEN(shell_packages));
	add_all(v, &n, base_packages, ARRAY_LEN(base_packages));
	im.n_packages = sort_unique(v, n);
	im.packages = v;
	*ret = im;
	return 0;
}
