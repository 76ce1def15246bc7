/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_BASE_MEM_H
#define FIRN_BASE_MEM_H

/*
 * Allocation that can't fail: out of memory, or a product that overflows,
 * aborts. We are supervised, and untested recovery paths are worse. The
 * price: a size from outside is checked against a limit first.
 */
#include <stddef.h>

#include "core/base/attr.h"

NONNULL_RESULT void *xmalloc(size_t n);
NONNULL_RESULT void *xcalloc(size_t count, size_t size);
NONNULL_RESULT void *xreallocarray(void *p, size_t count, size_t size);
NONNULL_RESULT char *xstrdup(const char *s);
NONNULL_RESULT char *xstrndup(const char *s, size_t n);

#endif
