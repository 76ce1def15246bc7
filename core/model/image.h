/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_MODEL_IMAGE_H
#define FIRN_MODEL_IMAGE_H

/*
 * What an image name asks for. "shell/git/htop" is a list of packages;
 * meta-packages come first: shell (bash and friends), arm64 and amd64 (pin
 * the platform). Order and repetition don't matter.
 */
#include <stdbool.h>
#include <stddef.h>

#include "core/base/attr.h"

struct arena;
struct err;

/* A platform as OCI and as Nix name it. */
struct platform {
	const char *os;     /* "linux" */
	const char *arch;   /* "amd64" */
	const char *system; /* "x86_64-linux" */
};

/* "linux/amd64", or "amd64" alone; NULL when we don't know it. */
const struct platform *platform_find(const char *name);
/* The one that this program was compiled for. */
const struct platform *platform_host(void);

#define IMAGE_NAME_MAX 255u
#define IMAGE_PACKAGES_MAX 100u

struct image {
	/*
	 * Attribute paths as asked for (lower case, dots between sets),
	 * sorted, each once; shell expanded, cacert and iana-etc in.
	 */
	const char *const *packages;
	size_t n_packages;
	size_t n_asked;                  /* of them the name lists */
	bool shell;                      /* start in bash */
	const struct platform *platform; /* pinned by the name, or NULL */
	/*
	 * Canonical, and read again the name of this same image:
	 * meta-packages, the sorted rest, and last the packages that are only
	 * called like a meta-package.
	 */
	const char *name;
};

/*
 * Read a name that keeps to the OCI grammar already (route.h). Lives in the
 * arena. Fails with ERR_INVALID: no package in it, two platforms, too many
 * packages.
 */
MUST_CHECK int image_parse(struct arena *a, const char *name, struct image *ret,
			   struct err *e);

#endif
