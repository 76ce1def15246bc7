/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_TESTS_STORE_MEM_H
#define FIRN_TESTS_STORE_MEM_H

/* A storage in memory, for tests: the same contract as the real ones. */
#include <stddef.h>

struct digest;
struct store;

struct store *store_mem_new(void);

/* Have the next write to a staged blob fail, as a full disk would. */
void store_mem_fail_write(struct store *st);

/* Lose a blob, as someone who cleans up would. */
void store_mem_remove(struct store *st, const struct digest *d);

/* Have the blob consist of these bytes, as a disk that rots would. */
void store_mem_damage(struct store *st, const struct digest *d,
		      const char *bytes, size_t n);

/* How often store_get_record was called. */
size_t store_mem_reads(struct store *st);

#endif
