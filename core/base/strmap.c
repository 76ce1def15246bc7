/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/strmap.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "core/base/mem.h"

struct strmap_slot {
	const char *key; /* NULL: free */
	size_t value;
	uint64_t hash;
};

static uint64_t seed[2];
static pthread_once_t seeded = PTHREAD_ONCE_INIT;

static void
make_seed(void)
{
	/* A map still works, only more predictably, where this fails. */
	if (getrandom(seed, sizeof(seed), GRND_NONBLOCK) < 0)
		seed[0] = (uintptr_t)&seed;
}

static uint64_t
mix(uint64_t a, uint64_t b)
{
	__extension__ typedef unsigned __int128 wide;
	wide m = (wide)(a ^ seed[0]) * (b | 1u);

	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

/* Multiply-and-fold over 8-byte words, keyed. */
static uint64_t
hash_of(const char *s)
{
	uint64_t h = seed[1], w;
	size_t n = strlen(s);

	h = mix(h, n * 0x9E3779B97F4A7C15u);
	while (n >= 8) {
		memcpy(&w, s, 8);
		h = mix(h ^ w, 0xD6E8FEB86659FD93u);
		s += 8;
		n -= 8;
	}
	w = 0;
	memcpy(&w, s, n);
	return mix(h ^ w, 0xA0761D6478BD642Fu);
}

void
strmap_init(struct strmap *m)
{
	*m = (struct strmap)STRMAP_INIT;
}

void
strmap_release(struct strmap *m)
{
	free(m->slots);
	strmap_init(m);
}

static struct strmap_slot *
find(const struct strmap *m, const char *key, uint64_t hash)
{
	size_t i = (size_t)hash & (m->cap - 1);

	for (;; i = (i + 1) & (m->cap - 1)) {
		struct strmap_slot *s = &m->slots[i];

		if (!s->key || (s->hash == hash && strcmp(s->key, key) == 0))
			return s;
	}
}

static void
grow(struct strmap *m)
{
	struct strmap bigger = {.n = m->n, .cap = m->cap ? m->cap * 2 : 16};

	bigger.slots = xcalloc(bigger.cap, sizeof(*bigger.slots));
	for (size_t i = 0; i < m->cap; i++)
		if (m->slots[i].key)
			*find(&bigger, m->slots[i].key, m->slots[i].hash) =
				m->slots[i];
	free(m->slots);
	*m = bigger;
}

bool
strmap_put(struct strmap *m, const char *key, size_t value, size_t *ret_old)
{
	struct strmap_slot *s;
	uint64_t h;

	(void)pthread_once(&seeded, make_seed);
	if (m->n + 1 > m->cap / 4 * 3)
		grow(m);
	h = hash_of(key);
	s = find(m, key, h);
	if (s->key) {
		if (ret_old)
			*ret_old = s->value;
		s->value = value;
		return true;
	}
	s->key = key;
	s->value = value;
	s->hash = h;
	m->n++;
	return false;
}

bool
strmap_get(const struct strmap *m, const char *key, size_t *ret)
{
	const struct strmap_slot *s;

	if (m->n == 0)
		return false;
	s = find(m, key, hash_of(key));
	if (!s->key)
		return false;
	*ret = s->value;
	return true;
}
