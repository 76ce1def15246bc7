/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_BASE_CRC32C_H
#define FIRN_BASE_CRC32C_H

/*
 * CRC-32C (RFC 3720, appendix B.4), by which Google's storage checks what it
 * is sent. Not for anything that someone might want to forge.
 */
#include <stddef.h>
#include <stdint.h>

/* The checksum of what came before, 0 at first, and n more bytes. */
uint32_t crc32c_add(uint32_t crc, const void *p, size_t n);

#endif
