/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/digest.h"
#include "core/base/err.h"
#include "core/base/json.h"
#include "core/nix/errors.h"
#include "core/nix/impl.h"
#include "core/sys/fs.h"

/*
 * Nix says what a flake reference is at ("nix flake metadata"), and under
 * which address that state can be had for ever. The address is kept in
 * STATE/nix/flakes, by the digest of reference and revision.
 */
#define TIMEOUT_MS 600000u
#define ADDRESS_MAX 4096u

static void
file_of(struct nix *n, const struct source *s, const char *id, struct buf *to)
{
	AUTO(hasher) struct hasher h;
	char hex[DIGEST_HEX_CAP];
	struct digest d;

	hasher_init(&h);
	hasher_field_str(&h, s->location);
	hasher_field_str(&h, id);
	hasher_finish(&h, &d);
	digest_hex(&d, hex);
	buf_printf(to, "%s/flakes/%s", n->dir, hex);
}

static int
keep_address(struct nix *n, const struct source *s, const char *id,
	     const char *url, struct err *e)
{
	AUTO(buf) struct buf dir = BUF_INIT, path = BUF_INIT;

	buf_printf(&dir, "%s/flakes", n->dir);
	file_of(n, s, id, &path);
	if (fs_mkdirs(dir.p, 0700, e) < 0)
		return -1;
	return fs_write_atomic(path.p, url, strlen(url), e);
}

/* The commit, else the hash of the tree without what a label can't hold. */
static bool
read_id(const struct json *locked, char ret[REVISION_CAP])
{
	const char *id = json_get_str(locked, "rev");
	size_t n = 0;

	if (!id)
		id = json_get_str(locked, "narHash");
	if (!id)
		return false;
	for (; *id && n + 1 < REVISION_CAP; id++) {
		if (*id == '+')
			ret[n++] = '-';
		else if (*id == '/')
			ret[n++] = '_';
		else if (*id != '=')
			ret[n++] = *id;
	}
	ret[n] = '\0';
	return n > 0;
}

static int
read_metadata(struct nix *n, const struct source *s, const struct buf *text,
	      struct revision *ret, struct err *e)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	const struct json *v, *locked;
	const char *url;

	if (json_parse(&a, text->p, text->len, NULL, &v, e) < 0) {
		e->kind = ERR_UPSTREAM;
		return err_wrap(e, "what Nix says of the flake");
	}
	locked = json_get(v, "locked");
	url = json_get_str(v, "lockedUrl");
	if (!url)
		url = json_get_str(v, "url");
	*ret = (struct revision){.time = 0};
	if (!url || !read_id(locked, ret->id))
		return err_set(e, ERR_UPSTREAM,
			       "Nix can't lock the flake %s to a state",
			       s->location);
	(void)json_get_u64(locked, "lastModified", &ret->time);
	return keep_address(n, s, ret->id, url, e);
}

int
nix_lock_flake(struct nix *n, const struct source *s, const struct nix_watch *w,
	       struct revision *ret, struct err *e)
{
	AUTO(nix_run) struct nix_run r;

	nix_run_init(&r, n, "nix", w);
	if (!nix_at_least(n, 2, 4))
		return err_set(e, ERR_UPSTREAM,
			       "flakes need Nix 2.4 or later, here is %u.%u",
			       n->major, n->minor);
	nix_args_add(&r.args, "--extra-experimental-features",
		     "nix-command flakes", "flake", "metadata", "--json",
		     "--no-write-lock-file", "--refresh", (char *)NULL);
	if (n->o.offline)
		nix_args_add(&r.args, "--offline", (char *)NULL);
	nix_args_add(&r.args, "--", s->location, (char *)NULL);
	r.timeout_ms = TIMEOUT_MS;
	if (nix_run_start(&r, e) < 0)
		return -1;
	if (!nix_run_ok(&r))
		return nix_fail(&r, "Nix can't read the flake", e);
	return read_metadata(n, s, &r.output, ret, e);
}

int
nix_find_flake(struct nix *n, const struct source *s, const struct revision *r,
	       const struct nix_watch *w, struct buf *to, struct err *e)
{
	AUTO(buf) struct buf path = BUF_INIT;
	struct err none = ERR_INIT;
	struct revision now;

	file_of(n, s, r->id, &path);
	if (fs_read_file(path.p, ADDRESS_MAX, to, &none) == 0 && to->len > 0)
		return 0;
	if (nix_lock_flake(n, s, w, &now, e) < 0)
		return -1;
	if (strcmp(now.id, r->id) != 0)
		return err_set(e, ERR_BUSY,
			       "the package set has moved on, try again");
	return fs_read_file(path.p, ADDRESS_MAX, to, e);
}
