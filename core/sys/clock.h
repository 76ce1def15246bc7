/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_SYS_CLOCK_H
#define FIRN_SYS_CLOCK_H

/* What time it is. Nothing that ends up in an image may ask. */
#include <stdint.h>
#include <time.h>

/* For measuring and for deadlines: never jumps, starts anywhere. */
static inline uint64_t
clock_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static inline uint64_t
clock_ms(void)
{
	return clock_us() / 1000;
}

/* For what outlives the process: seconds since 1970. */
static inline uint64_t
clock_wall_s(void)
{
	return (uint64_t)time(NULL);
}

#endif
