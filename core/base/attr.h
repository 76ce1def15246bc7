/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_BASE_ATTR_H
#define FIRN_BASE_ATTR_H

/*
 * Compiler attributes under short names, and scope cleanup.
 *
 * AUTO(type) on a local runs type_auto(&local) when the scope ends. The
 * function stands beside the type that it frees; hand a value over by setting
 * the local back to its empty value.
 */
#include <stdlib.h>

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define UNUSED __attribute__((unused))
#define NONNULL_RESULT __attribute__((returns_nonnull))
#define NORETURN __attribute__((noreturn))
#define AUTO(type) __attribute__((cleanup(type##_auto)))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* AUTO(mem): a heap block of any type. */
static inline void
mem_auto(void *p)
{
	free(*(void **)p);
}

#endif
