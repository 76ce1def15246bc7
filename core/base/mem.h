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

void *xmalloc(size_t n);
void *xcalloc(size_t count, size_t size);
void *xreallocarray(void *p, size_t count, size_t size);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t n);

#endif
