/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_TESTS_FUZZ_H
#define FIRN_TESTS_FUZZ_H

/*
 * A fuzz target is a file fuzz_X.c with this one function. libFuzzer calls
 * it (make fuzz T=X), and replay.c, which needs no fuzzer, calls it with
 * tests/fuzz/corpus/X and tests/fuzz/regress/X in every run of `make unit`.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/*
 * A target may have this too: is the input refused? It has to be for each
 * file of tests/reject/nix/X.
 */
__attribute__((weak)) bool fuzz_rejects(const uint8_t *data, size_t n);

/* What must hold for any input. */
#define FUZZ_CHECK(holds)        \
	do {                     \
		if (!(holds))    \
			abort(); \
	} while (0)

#endif
