/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a tag to a state of the package set, with the overlays that go with
 * it. Both are remembered for the time to live, each by itself.
 */
#include <string.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/build_impl.h"
#include "core/failures.h"
#include "core/flight.h"
#include "core/jobs.h"
#include "core/keys.h"
#include "core/nix.h"
#include "core/resolve.h"
#include "core/state.h"
#include "core/sys/clock.h"
#include "core/sys/fingerprint.h"
#include "core/sys/log.h"

static struct resolve_options
resolve_options_of(const struct build *b)
{
	struct resolve_options o = build_resolve_options(b->g->config);

	o.cancel = job_cancel_flag(b->job);
	return o;
}

/* Remembered like a revision: it is one, of other files. */
static int
find_overlays(const struct builder *g, bool *ret_found, struct revision *ret,
	      struct err *e)
{
	const struct config_list *l = &g->config->overlays;
	struct digest key;

	key_overlays(l->v, l->n, &key);
	return state_get_revision(g->state, &key, clock_wall_s(),
				  g->config->resolve_ttl_s, ret_found, ret, e);
}

int
build_find_revision(const struct builder *g, const char *tag, bool *ret_found,
		    struct revision *ret, struct err *e)
{
	struct revision overlays = {.time = 0};
	struct digest key;

	*ret = (struct revision){.time = 0};
	key_revision(&g->config->source, tag, &key);
	if (state_get_revision(g->state, &key, clock_wall_s(),
			       g->config->resolve_ttl_s, ret_found, ret, e) < 0)
		return -1;
	if (!*ret_found || g->config->overlays.n == 0)
		return 0;
	if (find_overlays(g, ret_found, &overlays, e) < 0)
		return -1;
	memcpy(ret->overlays, overlays.id, sizeof(ret->overlays));
	return 0;
}

static int
ask_source(struct build *b, struct revision *ret, struct err *e)
{
	const struct source *s = &b->g->config->source;
	const struct resolve_options o = resolve_options_of(b);

	if (s->kind != SOURCE_FLAKE)
		return resolve_revision(s, b->order->tag, &o, ret, e);
	if (build_open_nix(b->g, e) < 0)
		return -1;
	return nix_lock_flake(b->g->nix, s, &b->watch, ret, e);
}

/*
 * How it went is what /readyz knows of a source elsewhere. But not how it went
 * with a tag that somebody made up: a host may answer that as it likes.
 */
static int
resolve_source(struct build *b, struct revision *ret, struct err *e)
{
	bool own = strcmp(b->order->tag, SOURCE_TAG_DEFAULT) == 0;
	int r;

	build_say(b, "resolving %s", b->order->tag);
	if (resolve_check_tag(&b->g->config->source, b->order->tag, e) < 0)
		return -1;
	r = ask_source(b, ret, e);
	if (own && (e->kind == ERR_UPSTREAM || e->kind == ERR_SYSTEM))
		failures_note(b->g->source_failures, &BUILD_SOURCE_KEY, e);
	else if (own && e->kind != ERR_BUSY)
		failures_forget(b->g->source_failures, &BUILD_SOURCE_KEY);
	return r;
}

static int
resolve_overlays(struct build *b, struct err *e)
{
	const struct config *c = b->g->config;
	struct revision r = {.time = 0};
	struct digest key;
	bool found;

	if (find_overlays(b->g, &found, &r, e) < 0)
		return -1;
	if (!found) {
		if (fingerprint_paths(c->overlays.v, c->overlays.n, r.id, e) <
		    0)
			return err_wrap(e, "FIRN_OVERLAYS");
		key_overlays(c->overlays.v, c->overlays.n, &key);
		if (state_put_revision(b->g->state, &key, &r,
				       clock_wall_s() + c->resolve_ttl_s,
				       e) < 0)
			state_forgive(e);
	}
	memcpy(b->revision.overlays, r.id, sizeof(b->revision.overlays));
	return 0;
}

/* Resolve, unless who was here just before has: *ret is what holds now. */
static int
renew(struct build *b, const struct digest *key, struct revision *ret,
      struct err *e)
{
	uint64_t ttl = b->g->config->resolve_ttl_s;
	bool found;

	if (state_get_revision(b->g->state, key, clock_wall_s(), ttl, &found,
			       ret, e) < 0)
		return -1;
	if (found)
		return 0;
	if (resolve_source(b, ret, e) < 0)
		return -1;
	if (state_put_revision(b->g->state, key, ret, clock_wall_s() + ttl, e) <
	    0)
		state_forgive(e);
	return 0;
}

/* Many builds may want the same at once: one of them asks for it. */
static int
renew_once(struct build *b, const struct digest *key, struct err *e)
{
	struct revision r = {.time = 0};
	struct flight *f;
	bool first;
	int result;

	f = flight_join(b->g->resolving, key, &first);
	if (first) {
		result = renew(b, key, &r, e);
		flight_land(f, &r, sizeof(r), result < 0 ? e : NULL);
	} else {
		result = flight_wait(f, &r, sizeof(r), e);
	}
	flight_release(f);
	b->revision = r;
	return result;
}

int
build_resolve(struct build *b, struct err *e)
{
	const struct config *c = b->g->config;
	struct digest key;
	bool found;

	stages_enter(&b->stages, STAGE_RESOLVE);
	key_revision(&c->source, b->order->tag, &key);
	if (state_get_revision(b->g->state, &key, clock_wall_s(),
			       c->resolve_ttl_s, &found, &b->revision, e) < 0)
		return -1;
	if (!found && renew_once(b, &key, e) < 0)
		return -1;
	return c->overlays.n > 0 ? resolve_overlays(b, e) : 0;
}

int
build_find_tree(struct build *b, const char **ret, struct err *e)
{
	const struct source *s = &b->g->config->source;
	const struct resolve_options o = resolve_options_of(b);
	AUTO(buf) struct buf path = BUF_INIT;
	struct err none = ERR_INIT;
	struct digest key;

	*ret = b->tree;
	if (s->kind == SOURCE_FLAKE || b->tree)
		return 0;
	if (resolve_tree(s, b->order->tag, &b->revision, &o, &path,
			 &b->tree_hold, e) == 0) {
		*ret = b->tree = arena_strdup(&b->arena, path.p);
		return 0;
	}
	/* That state is gone: who asks again has it resolved anew. */
	key_revision(s, b->order->tag, &key);
	if (e->kind == ERR_BUSY &&
	    state_put_revision(b->g->state, &key, &b->revision, 0, &none) < 0)
		log_err(LOG_WARN, "source.forget", &none);
	return -1;
}
