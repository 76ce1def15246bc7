/* SPDX-License-Identifier: Apache-2.0 */
#include "core/store/credentials.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/store/cloud.h"
#include "core/store/lease.h"
#include "core/store/sign.h"
#include "core/store/xml.h"
#include "core/sys/fs.h"
#include "core/sys/http.h"

#define FILE_MAX (1u << 20)
#define TOKEN_MAX 65536u
#define ANSWER_MAX 65536u
/* What says no end is looked at again after half of this. */
#define LIFE_S 600u
#define FOR_EVER UINT64_MAX
#define CONTAINER_HOST "http://169.254.170.2"
#define INSTANCE_ROLES "/latest/meta-data/iam/security-credentials/"

/* What was found, before it is a key. */
struct found {
	struct buf id, secret, token;
	uint64_t life_s;
	uint64_t quiet_ms; /* it asked not to be asked again */
};

struct credentials {
	struct http *http;
	struct arena arena;
	struct store_keys from; /* copies */
	const char *region;
	struct sign_key *fixed; /* NULL: lease */
	struct lease *lease;
	uint64_t timeout_ms;
	const char *name; /* of where they come from, for messages */
	int (*find)(struct credentials *cr, struct found *f, struct err *e);
};

/* --- what was found */

static void
release(struct found *f)
{
	struct buf *all[] = {&f->id, &f->secret, &f->token};

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		explicit_bzero(all[i]->p, all[i]->len);
		buf_release(all[i]);
	}
}

/* It goes into a header. */
static bool
is_word(const char *s)
{
	for (const char *p = s; *p; p++)
		if (*p <= ' ' || *p > '~')
			return false;
	return s[0] != '\0';
}

static int
check_found(const struct found *f, struct err *e)
{
	if (!is_word(f->id.p) || !is_word(f->secret.p) ||
	    (f->token.len > 0 && !is_word(f->token.p)))
		return err_set(e, ERR_STORAGE, "there are no keys in it");
	return 0;
}

/* Its end, as a time; none: it is looked at again some time. */
static int
take_end(struct found *f, const char *when, struct err *e)
{
	uint64_t end, now = (uint64_t)time(NULL);

	f->life_s = LIFE_S;
	if (!when || !when[0])
		return 0;
	end = cloud_time(when);
	if (end <= now)
		return err_set(e, ERR_STORAGE, "its keys have expired");
	f->life_s = end - now;
	return 0;
}

/* As containers and instances get them. */
static int
take_json(struct found *f, const struct http_answer *a, struct err *e)
{
	AUTO(arena) struct arena arena = ARENA_INIT;
	const struct json *v = NULL;
	const char *id, *secret, *token;
	struct err bad = ERR_INIT;

	if (json_parse(&arena, a->body.p, a->body.len, NULL, &v, &bad) < 0)
		return err_set(e, ERR_STORAGE, "its answer is not JSON");
	id = json_get_str(v, "AccessKeyId");
	secret = json_get_str(v, "SecretAccessKey");
	token = json_get_str(v, "Token");
	buf_adds(&f->id, id ? id : "");
	buf_adds(&f->secret, secret ? secret : "");
	buf_adds(&f->token, token ? token : "");
	return take_end(f, json_get_str(v, "Expiration"), e);
}

/* One request, which must be answered with 200. */
static int
call(struct credentials *cr, struct http_request *r, struct http_answer *a,
     struct found *f, struct err *e)
{
	r->max_answer = ANSWER_MAX;
	r->timeout_ms = cr->timeout_ms;
	if (http_do(cr->http, r, a, e) < 0)
		return -1;
	if (a->status == 200)
		return 0;
	f->quiet_ms = http_retry_after(a, cloud_quiet_max_ms(cr->timeout_ms));
	return err_set(e, ERR_STORAGE, "it answers with status %u", a->status);
}

static struct str
trim(struct str s)
{
	while (s.n > 0 && (unsigned char)s.p[0] <= ' ')
		s = (struct str){s.p + 1, s.n - 1};
	while (s.n > 0 && (unsigned char)s.p[s.n - 1] <= ' ')
		s.n--;
	return s;
}

/* A token in a file, without what ends its line. */
static int
read_token(const char *path, struct buf *to, struct err *e)
{
	if (fs_read_file(path, TOKEN_MAX, to, e) < 0)
		return -1;
	while (to->len > 0 && to->p[to->len - 1] <= ' ')
		buf_truncate(to, to->len - 1);
	if (!is_word(to->p))
		return err_set(e, ERR_STORAGE, "the file has no token");
	return 0;
}

/* --- where they come from */

/* [profile] and below it "aws_access_key_id = ID" and so on. */
static int
find_in_file(struct credentials *cr, struct found *f, struct err *e)
{
	static const char *const names[] = {"aws_access_key_id",
					    "aws_secret_access_key",
					    "aws_session_token"};
	struct buf *to[] = {&f->id, &f->secret, &f->token};
	AUTO(buf) struct buf text = BUF_INIT, section = BUF_INIT;
	struct str rest, line, key;
	bool ours = false;

	if (fs_read_file(cr->from.file, FILE_MAX, &text, e) < 0)
		return -1;
	buf_printf(&section, "[%s]", cr->from.profile);
	rest = (struct str){text.p, text.len};
	while (str_cut(&rest, '\n', &line)) {
		line = trim(line);
		if (line.n > 0 && line.p[0] == '[') {
			ours = str_eq(line, section.p);
			continue;
		}
		if (!ours || !str_cut(&line, '=', &key))
			continue;
		for (size_t i = 0; i < ARRAY_LEN(names); i++) {
			if (!str_eq(trim(key), names[i]))
				continue;
			buf_clear(to[i]);
			buf_add(to[i], trim(line).p, trim(line).n);
		}
	}
	explicit_bzero(text.p, text.len);
	return take_end(f, NULL, e);
}

static int
find_in_container(struct credentials *cr, struct found *f, struct err *e)
{
	AUTO(http_answer) struct http_answer a = HTTP_ANSWER_INIT;
	AUTO(buf) struct buf token = BUF_INIT;
	struct http_header header = {"Authorization", NULL};
	struct http_request r = {
		.method = "GET",
		.url = cr->from.container_url,
		.direct = true,
		.headers = &header,
	};

	/* It may be another one each time. */
	if (cr->from.container_token_file &&
	    read_token(cr->from.container_token_file, &token, e) < 0)
		return -1;
	header.value = token.p;
	r.n_headers = token.len > 0 ? 1 : 0;
	if (call(cr, &r, &a, f, e) < 0)
		return -1;
	return take_json(f, &a, e);
}

static int
find_in_instance(struct credentials *cr, struct found *f, struct err *e)
{
	AUTO(http_answer) struct http_answer a = HTTP_ANSWER_INIT;
	AUTO(buf) struct buf url = BUF_INIT, token = BUF_INIT;
	struct http_header header = {"X-aws-ec2-metadata-token-ttl-seconds",
				     "60"};
	struct http_request r = {
		.method = "PUT",
		.headers = &header,
		.n_headers = 1,
		.direct = true,
	};
	size_t n;

	buf_printf(&url, "%s/latest/api/token", cr->from.instance_url);
	r.url = url.p;
	if (call(cr, &r, &a, f, e) < 0)
		return -1;
	buf_adds(&token, a.body.p);
	if (!is_word(token.p))
		return err_set(e, ERR_STORAGE, "it gives no token");
	header = (struct http_header){"X-aws-ec2-metadata-token", token.p};
	buf_clear(&url);
	buf_printf(&url, "%s" INSTANCE_ROLES, cr->from.instance_url);
	r = (struct http_request){.method = "GET",
				  .url = url.p,
				  .headers = &header,
				  .n_headers = 1,
				  .direct = true};
	if (call(cr, &r, &a, f, e) < 0)
		return -1;
	/* The names of roles, of which there is one. */
	n = strspn(a.body.p, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstu"
			     "vwxyz0123456789+=,.@_-");
	if (n == 0 || n > 200)
		return err_set(e, ERR_STORAGE, "the instance has no role");
	buf_add(&url, a.body.p, n);
	r.url = url.p;
	if (call(cr, &r, &a, f, e) < 0)
		return -1;
	return take_json(f, &a, e);
}

/* AssumeRoleWithWebIdentity: the token is all that it takes. */
static int
find_by_web_identity(struct credentials *cr, struct found *f, struct err *e)
{
	static const struct http_header form = {
		"Content-Type", "application/x-www-form-urlencoded"};
	AUTO(http_answer) struct http_answer a = HTTP_ANSWER_INIT;
	AUTO(buf) struct buf body = BUF_INIT, token = BUF_INIT, end = BUF_INIT;
	struct http_request r = {
		.method = "POST",
		.url = cr->from.sts_url,
		.headers = &form,
		.n_headers = 1,
	};
	struct str xml;

	if (read_token(cr->from.web_token_file, &token, e) < 0)
		return -1;
	buf_adds(&body, "Action=AssumeRoleWithWebIdentity&Version=2011-06-15"
			"&RoleSessionName=firn&RoleArn=");
	sign_encode(&body, cr->from.role, false);
	buf_adds(&body, "&WebIdentityToken=");
	sign_encode(&body, token.p, false);
	r.body = body.p;
	r.size = body.len;
	if (call(cr, &r, &a, f, e) < 0)
		return -1;
	xml = (struct str){a.body.p, a.body.len};
	(void)xml_text(xml, "AccessKeyId", &f->id);
	(void)xml_text(xml, "SecretAccessKey", &f->secret);
	(void)xml_text(xml, "SessionToken", &f->token);
	(void)xml_text(xml, "Expiration", &end);
	return take_end(f, end.p, e);
}

static int
ask(void *ctx, struct lease_answer *ret, struct err *e)
{
	struct found f = {
		.id = BUF_INIT, .secret = BUF_INIT, .token = BUF_INIT};
	struct credentials *cr = ctx;
	int r = cr->find(cr, &f, e);

	if (r == 0)
		r = check_found(&f, e);
	if (r == 0) {
		ret->value = sign_key_s3(f.id.p, f.secret.p,
					 f.token.len > 0 ? f.token.p : NULL,
					 cr->region);
		ret->life_s = f.life_s;
	} else {
		ret->quiet_ms = f.quiet_ms;
		e->kind = ERR_STORAGE;
		err_wrap(e, "storage: s3: can't get keys from %s", cr->name);
	}
	release(&f);
	return r;
}

/* --- using them */

struct use {
	struct sign_key *key;
	uint64_t left_s;
};

static void
use_key(void *arg, void *value, uint64_t left_ms)
{
	struct use *u = arg;

	u->key = sign_key_ref(value);
	u->left_s = left_ms / 1000;
}

int
credentials_get(struct credentials *cr, struct sign_key **ret,
		uint64_t *ret_left_s, struct err *e)
{
	struct use u = {.left_s = FOR_EVER};

	if (cr->fixed)
		u.key = sign_key_ref(cr->fixed);
	else if (lease_use(cr->lease, use_key, &u, e) < 0)
		return -1;
	*ret = u.key;
	*ret_left_s = u.left_s;
	return 0;
}

void
credentials_wait(struct credentials *cr)
{
	lease_wait(cr->lease);
}

bool
credentials_drop(struct credentials *cr)
{
	if (cr->fixed)
		return false;
	lease_drop(cr->lease);
	return true;
}

unsigned
credentials_generation(struct credentials *cr)
{
	return lease_generation(cr->lease);
}

/* --- opening */

static void
free_key(void *value)
{
	sign_key_free(value);
}

/* URLs end without the slash that they may be written with. */
static const char *
copy(struct credentials *cr, const char *s)
{
	char *mine = s ? arena_strdup(&cr->arena, s) : NULL;

	if (mine && mine[0] && mine[1] && str_has_suffix(mine, "/"))
		mine[strlen(mine) - 1] = '\0';
	return mine;
}

static void
copy_options(struct credentials *cr, const struct store_options *o)
{
	const struct store_keys *k = &o->s3.keys;

	cr->region = copy(cr, o->s3.region);
	cr->from = (struct store_keys){
		.file = copy(cr, k->file),
		.profile = copy(cr, k->profile),
		.role = copy(cr, k->role),
		.web_token_file = copy(cr, k->web_token_file),
		.container_path = copy(cr, k->container_path),
		.container_url = copy(cr, k->container_url),
		.container_token_file = copy(cr, k->container_token_file),
		.instance_url = copy(cr, k->instance_url),
		.sts_url = copy(cr, k->sts_url),
	};
	if (!cr->from.sts_url)
		cr->from.sts_url = arena_printf(
			&cr->arena, "https://sts.%s.amazonaws.com", cr->region);
	if (cr->from.container_path)
		cr->from.container_url =
			arena_printf(&cr->arena, "%s%s", CONTAINER_HOST,
				     cr->from.container_path);
}

static int
choose(struct credentials *cr, struct err *e)
{
	const struct store_keys *k = &cr->from;
	const struct {
		bool is_set;
		const char *name;
		int (*find)(struct credentials *, struct found *, struct err *);
	} all[] = {
		{k->role && k->web_token_file, "the token service",
		 find_by_web_identity},
		{k->file, "AWS_SHARED_CREDENTIALS_FILE", find_in_file},
		{k->container_url, "the container's service",
		 find_in_container},
		{k->instance_url, "the instance's metadata", find_in_instance},
	};

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		if (!all[i].is_set)
			continue;
		cr->name = all[i].name;
		cr->find = all[i].find;
		return 0;
	}
	return err_set(e, ERR_INVALID, "there are no keys for s3");
}

int
credentials_new(const struct store_options *o, const struct cloud *c,
		struct credentials **ret, struct err *e)
{
	static const struct lease_ops ops = {ask, free_key};
	struct credentials *cr = xcalloc(1, sizeof(*cr));

	arena_init(&cr->arena);
	cr->http = c->http;
	cr->timeout_ms = c->timeout_ms;
	copy_options(cr, o);
	cr->lease = lease_new(&ops, cr, c->pause_ms / 10, c->timeout_ms / 2);
	if (o->s3.key_id && o->s3.secret) {
		cr->fixed = sign_key_s3(o->s3.key_id, o->s3.secret, o->s3.token,
					o->s3.region);
	} else if (choose(cr, e) < 0) {
		credentials_free(cr);
		return -1;
	}
	*ret = cr;
	return 0;
}

void
credentials_free(struct credentials *cr)
{
	if (!cr)
		return;
	lease_free(cr->lease);
	sign_key_free(cr->fixed);
	arena_release(&cr->arena);
	free(cr);
}
