/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_BASE_VEC_H
#define FIRN_BASE_VEC_H

/*
 * Growing arrays of any type:
 *
 *	struct { VEC(char *); } names = VEC_INIT;
 *	vec_push(&names, s);
 *	for (size_t i = 0; i < names.n; i++)
 *		use(names.v[i]);
 *	vec_release(&names);
 *
 * The elements are the caller's to free.
 */
#include <stddef.h>
#include <stdlib.h>

#include "core/base/mem.h"

#define VEC(type) \
	type *v;  \
	size_t n; \
	size_t cap

#define VEC_INIT                            \
	{                                   \
		.v = NULL, .n = 0, .cap = 0 \
	}

#define vec_push(vec, value)                                           \
	do {                                                           \
		if ((vec)->n == (vec)->cap) {                          \
			(vec)->cap = (vec)->cap ? (vec)->cap * 2 : 8;  \
			(vec)->v = xreallocarray((vec)->v, (vec)->cap, \
						 sizeof(*(vec)->v));   \
		}                                                      \
		(vec)->v[(vec)->n++] = (value);                        \
	} while (0)

#define vec_release(vec)                   \
	do {                               \
		free((vec)->v);            \
		(vec)->v = NULL;           \
		(vec)->n = (vec)->cap = 0; \
	} while (0)

#endif
