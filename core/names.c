/* SPDX-License-Identifier: Apache-2.0 */
#include "core/names.h"

#include <string.h>

#include "core/base/arena.h"
#include "core/base/err.h"
#include "core/model/image.h"
#include "core/state.h"
#include "core/store/store.h"
#include "core/sys/log.h"

struct restoring {
	struct state *state;
	uint64_t n;
};

#define LOWER "abcdefghijklmnopqrstuvwxyz0123456789"
#define UPPER "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

/* Made of these only, and begun as names in URLs are? */
static bool
is_word(const char *s, const char *chars)
{
	return strspn(s, chars) == strlen(s) && strspn(s, LOWER UPPER "_") > 0;
}

/* NAME:TAG; what other tools have put there is left alone. */
static int
restore_name(void *ctx, const char *text, const struct digest *d, struct err *e)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	const char *colon = strrchr(text, ':');
	struct restoring *r = ctx;
	struct err odd = ERR_INIT;
	struct image image;
	const char *name;

	if (!colon || !is_word(colon + 1, LOWER UPPER "_.-"))
		return 0;
	name = arena_strndup(&a, text, (size_t)(colon - text));
	if (!is_word(name, LOWER "/_.-") ||
	    image_parse(&a, name, &image, &odd) < 0 ||
	    strcmp(image.name, name) != 0)
		return 0;
	r->n++;
	return state_put_tag(r->state, name, colon + 1, d, e);
}

void
names_restore(struct state *state, struct store *store)
{
	struct restoring r = {.state = state};
	struct err e = ERR_INIT;

	if (store_list_names(store, restore_name, &r, &e) < 0)
		log_err(LOG_WARN, "names.none", &e);
	log_debug("names.read", LOG_N("names", r.n));
}
