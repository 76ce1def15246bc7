/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/crc32c.h"

#include <pthread.h>

#define POLYNOMIAL 0x82f63b78u /* Castagnoli's, bits reversed */

/* tables[k][b]: what byte b does to the checksum k bytes later. */
static uint32_t tables[8][256];

static void
make_tables(void)
{
	for (uint32_t b = 0; b < 256; b++) {
		uint32_t c = b;

		for (int i = 0; i < 8; i++)
			c = (c >> 1) ^ ((c & 1) ? POLYNOMIAL : 0);
		tables[0][b] = c;
	}
	for (uint32_t b = 0; b < 256; b++)
		for (int k = 1; k < 8; k++)
			tables[k][b] = (tables[k - 1][b] >> 8) ^
				       tables[0][tables[k - 1][b] & 255];
}

uint32_t
crc32c_add(uint32_t crc, const void *p, size_t n)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	const unsigned char *at = p;

	(void)pthread_once(&once, make_tables);
	crc = ~crc;
	/* Eight bytes a step: they don't wait for each other. */
	for (; n >= 8; n -= 8, at += 8) {
		crc ^= (uint32_t)at[0] | (uint32_t)at[1] << 8 |
		       (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
		crc = tables[7][crc & 255] ^ tables[6][(crc >> 8) & 255] ^
		      tables[5][(crc >> 16) & 255] ^ tables[4][crc >> 24] ^
		      tables[3][at[4]] ^ tables[2][at[5]] ^ tables[1][at[6]] ^
		      tables[0][at[7]];
	}
	for (; n > 0; n--, at++)
		crc = (crc >> 8) ^ tables[0][(crc ^ *at) & 255];
	return ~crc;
}
