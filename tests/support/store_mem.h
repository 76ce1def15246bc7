/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_TESTS_STORE_MEM_H
#define FIRN_TESTS_STORE_MEM_H

/* A storage in memory, for tests: the same contract as the real ones. */
struct store;

struct store *store_mem_new(void);

/* Have the next write to a staged blob fail, as a full disk would. */
void store_mem_fail_write(struct store *st);

#endif
