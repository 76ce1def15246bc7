/* SPDX-License-Identifier: Apache-2.0 */
#include "core/nix/report.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/base/json.h"
#include "core/nix/impl.h"

/* Nix's numbers (src/libutil/logging.hh), the same from 2.4 on. */
#define ACTIVITY_BUILD 105
#define ACTIVITY_COPY 100
#define ACTIVITY_SUBSTITUTE 108
#define RESULT_LOG 101
#define RESULT_POST_LOG 107
#define LEVEL_INFO 3

/* A chatty build has 100,000 short lines: an arena for each costs more. */
#define LINES_HELD 64u
/* A line of this length may have been cut by proc_run. */
#define LINE_CUT 65000u
#define ERROR_MAX 16384u
#define TAIL_MAX 8192u

struct nix_report *
nix_report_new(const struct nix_watch *watch)
{
	struct nix_report *rep = xcalloc(1, sizeof(*rep));

	rep->watch = watch;
	arena_init(&rep->arena);
	rep->mark = NIX_MARK_NONE;
	rep->denied = -1;
	for (size_t i = 0; i < NIX_ERRORS_MAX; i++)
		buf_init(&rep->errors[i]);
	buf_init(&rep->caches);
	buf_init(&rep->tail);
	buf_init(&rep->log);
	return rep;
}

static void
build_release(struct nix_build *b)
{
	free(b->drv);
	buf_release(&b->name);
	buf_release(&b->tail);
}

void
nix_report_free(struct nix_report *rep)
{
	if (!rep)
		return;
	for (size_t i = 0; i < NIX_ERRORS_MAX; i++)
		buf_release(&rep->errors[i]);
	buf_release(&rep->caches);
	buf_release(&rep->tail);
	buf_release(&rep->log);
	for (size_t i = 0; i < rep->builds.n; i++)
		build_release(&rep->builds.v[i]);
	vec_release(&rep->builds);
	arena_release(&rep->arena);
	free(rep);
}

/* Append a line; when it gets too long, drop the older half. */
static void
tail_add(struct buf *b, const char *s, size_t n)
{
	size_t cut = TAIL_MAX / 2;

	if (n > TAIL_MAX / 4)
		n = TAIL_MAX / 4;
	if (b->len + n + 1 > TAIL_MAX) {
		const char *nl = memchr(b->p + cut, '\n', b->len - cut);

		if (nl)
			cut = (size_t)(nl - b->p) + 1;
		memmove(b->p, b->p + cut, b->len - cut);
		buf_truncate(b, b->len - cut);
	}
	buf_add(b, s, n);
	buf_addc(b, '\n');
}

/* A line for people; of is the build that it belongs to, or NULL. */
static void
tell(struct nix_report *rep, struct nix_build *of, const char *s, size_t n)
{
	AUTO(buf) struct buf line = BUF_INIT;

	if (of) {
		tail_add(&of->tail, s, n);
		buf_add(&line, of->name.p, of->name.len);
		buf_adds(&line, "> ");
	}
	buf_add(&line, s, n);
	tail_add(&rep->tail, line.p, line.len);
	if (rep->watch && rep->watch->on_line)
		rep->watch->on_line(rep->watch->ctx, line.p, line.len);
}

static void
tell_lines(struct nix_report *rep, struct nix_build *of, const struct buf *text)
{
	struct str rest = {.p = text->p, .n = text->len}, line;

	while (str_cut(&rest, '\n', &line))
		tell(rep, of, line.p, line.n);
}

/* "trace: firn: path 3", as nix/eval.nix writes it. */
static bool
take_mark(struct nix_report *rep, const char *s)
{
	static const char prefix[] = "trace: firn: ";
	uint64_t i;

	if (!str_has_prefix(s, prefix))
		return false;
	s += sizeof(prefix) - 1;
	if (str_has_prefix(s, "denied ") &&
	    str_to_u64(str_of(s + 7), 1000000, &i)) {
		rep->denied = (int64_t)i;
		return true;
	}
	if (strcmp(s, "set") == 0)
		rep->mark = NIX_MARK_SET;
	else if (strcmp(s, "done") == 0)
		rep->mark = NIX_MARK_DONE;
	else if (str_has_prefix(s, "path ") &&
		 str_to_u64(str_of(s + 5), 1000000, &i))
		rep->mark = (int64_t)i;
	else
		return false;
	rep->denied = -1;
	return true;
}

static void
add_error(struct nix_report *rep, const char *s, size_t n)
{
	struct buf *to;

	if (rep->n_errors == NIX_ERRORS_MAX)
		return;
	to = &rep->errors[rep->n_errors++];
	buf_add(to, s, n < ERROR_MAX ? n : ERROR_MAX);
}

/* Nix complains of a cache and goes on without it. */
static bool
is_about_cache(const char *s)
{
	return strstr(s, "unable to download") || strstr(s, "substituter") ||
	       strstr(s, "binary cache");
}

/*
 * How Nix 2.3 begins a line that says why a build failed; its error at the
 * end says only that it did. A builder may write such a line too, and then
 * tells a tale of itself.
 */
static bool
is_reason(const char *s)
{
	static const char *const starts[] = {
		"builder for '",   "building of '", "hash mismatch",
		"cycle detected",  "cannot build",  "output path '",
		"killing process",
	};

	for (size_t i = 0; i < ARRAY_LEN(starts); i++)
		if (str_has_prefix(s, starts[i]))
			return true;
	return false;
}

/* Other lines of Nix's own, between those of builders. */
static bool
is_nixs(const char *s)
{
	static const char *const starts[] = {
		"error: ",         "warning: ",     "building '/",
		"copying path '",  "downloading '", "these derivations",
		"this derivation", "these paths",   "  /",
		"GC Warning:",     "note: ",
	};

	for (size_t i = 0; i < ARRAY_LEN(starts); i++)
		if (str_has_prefix(s, starts[i]))
			return true;
	return false;
}

static void
add_to_error(struct nix_report *rep, const struct buf *line)
{
	struct buf *last = &rep->errors[rep->n_errors - 1];

	if (last->len + line->len >= ERROR_MAX)
		return;
	buf_addc(last, '\n');
	buf_add(last, line->p, line->len);
}

/* A line in plain text: all of them in Nix 2.3, some in any version. */
static void
take_plain(struct nix_report *rep, const char *line, size_t n)
{
	AUTO(buf) struct buf text = BUF_INIT;

	nix_text_clean(&text, line, n);
	if (take_mark(rep, text.p))
		return;
	if (str_has_prefix(text.p, "error: ")) {
		add_error(rep, text.p + 7, text.len - 7);
		rep->in_error = true;
	} else if (is_reason(text.p)) {
		add_error(rep, text.p, text.len);
		/* Both hashes follow. */
		rep->in_error = str_has_prefix(text.p, "hash mismatch");
	} else if (rep->in_error && rep->n_errors > 0) {
		add_to_error(rep, &text);
	} else if (is_about_cache(text.p)) {
		tail_add(&rep->caches, text.p, text.len);
	} else if (!is_nixs(text.p)) {
		tail_add(&rep->log, text.p, text.len);
	}
	tell(rep, NULL, text.p, text.len);
}

static struct nix_build *
find_build(struct nix_report *rep, uint64_t id)
{
	for (size_t i = rep->builds.n; i > 0; i--)
		if (rep->builds.v[i - 1].open && rep->builds.v[i - 1].id == id)
			return &rep->builds.v[i - 1];
	return NULL;
}

static void
start_build(struct nix_report *rep, uint64_t id, const char *drv)
{
	struct nix_build b = {
		.id = id,
		.drv = xstrdup(drv),
		.name = BUF_INIT,
		.tail = BUF_INIT,
		.open = true,
	};

	/* Forget the oldest that has ended. */
	for (size_t i = 0; rep->builds.n >= NIX_BUILDS_MAX && i < rep->builds.n;
	     i++) {
		if (rep->builds.v[i].open)
			continue;
		build_release(&rep->builds.v[i]);
		memmove(&rep->builds.v[i], &rep->builds.v[i + 1],
			(rep->builds.n - i - 1) * sizeof(b));
		rep->builds.n--;
	}
	nix_text_package(&b.name, drv, strlen(drv));
	if (rep->builds.n >= NIX_BUILDS_MAX)
		build_release(&b);
	else
		vec_push(&rep->builds, b);
}

static const char *
field(const struct json *v)
{
	const struct json *fields = json_get(v, "fields");

	if (!json_is(fields, JSON_ARRAY) || !json_is(fields->kids, JSON_STRING))
		return NULL;
	return fields->kids->s;
}

static void
take_start(struct nix_report *rep, const struct json *v, uint64_t type)
{
	const char *text = json_get_str(v, "text"), *drv = field(v);
	uint64_t id;

	if (type == ACTIVITY_BUILD && drv && json_get_u64(v, "id", &id))
		start_build(rep, id, drv);
	if (text && text[0] &&
	    (type == ACTIVITY_BUILD || type == ACTIVITY_COPY ||
	     type == ACTIVITY_SUBSTITUTE)) {
		AUTO(buf) struct buf clean = BUF_INIT;

		nix_text_clean(&clean, text, strlen(text));
		tell_lines(rep, NULL, &clean);
	}
}

static void
clean_message(struct buf *to, const char *text)
{
	const char *body = strstr(text, NIX_BODY);

	nix_text_clean(to, text, body ? (size_t)(body - text) : strlen(text));
}

static void
take_message(struct nix_report *rep, const struct json *v)
{
	AUTO(buf) struct buf text = BUF_INIT, raw = BUF_INIT;
	const char *msg = json_get_str(v, "msg");
	const char *raw_msg = json_get_str(v, "raw_msg");
	uint64_t level = LEVEL_INFO;

	if (!msg)
		return;
	(void)json_get_u64(v, "level", &level);
	clean_message(&text, msg);
	if (take_mark(rep, text.p))
		return;
	if (level == 0 && raw_msg) {
		clean_message(&raw, raw_msg);
		add_error(rep, raw.p, raw.len);
	} else if (level == 0 && str_has_prefix(text.p, "error: ")) {
		add_error(rep, text.p + 7, text.len - 7);
	} else if (level <= 1 && is_about_cache(text.p)) {
		tail_add(&rep->caches, text.p, text.len);
	}
	if (level <= LEVEL_INFO)
		tell_lines(rep, NULL, &text);
}

static void
take_json(struct nix_report *rep, const struct json *v)
{
	const char *action = json_get_str(v, "action"), *line = field(v);
	struct nix_build *b = NULL;
	uint64_t type = 0, id = 0;

	if (!action)
		return;
	(void)json_get_u64(v, "type", &type);
	if (json_get_u64(v, "id", &id))
		b = find_build(rep, id);
	if (strcmp(action, "msg") == 0) {
		take_message(rep, v);
	} else if (strcmp(action, "start") == 0) {
		take_start(rep, v, type);
	} else if (strcmp(action, "stop") == 0) {
		if (b)
			b->open = false;
	} else if (strcmp(action, "result") == 0 && line &&
		   (type == RESULT_LOG || type == RESULT_POST_LOG)) {
		AUTO(buf) struct buf text = BUF_INIT;

		nix_text_clean(&text, line, strlen(line));
		tell_lines(rep, b, &text);
	}
}

/* Progress counters are half of what Nix writes: not worth a parse. */
static bool
is_progress(const char *s, size_t n)
{
	static const char end[] = "\"type\":10?}";
	const size_t k = sizeof(end) - 1;

	return n > k && memcmp(s + n - k, end, k - 2) == 0 &&
	       (s[n - 2] == '5' || s[n - 2] == '6') &&
	       memcmp(s, "{\"action\":\"result\"", 18) == 0;
}

/*
 * A line that was cut (proc.h) is JSON without an end: give it one. The
 * message of an error may be that long, when it quotes a builder's log.
 */
static void
mend(struct buf *text)
{
	static const char *const ends[][2] = {
		{"{\"action\":\"msg\"", "\"}"},
		{"{\"action\":\"result\"", "\"],\"type\":101}"},
	};
	size_t n = text->len;

	/* Not within a character, nor within an escape. */
	while (n > 0 && ((unsigned char)text->p[n - 1] & 0x80u) != 0)
		n--;
	for (size_t i = n > 12 ? n - 12 : 0; i < n; i++)
		if (text->p[i] == '\\')
			n = i;
	while (n > 0 && text->p[n - 1] == '\\')
		n--;
	buf_truncate(text, n);
	for (size_t i = 0; i < ARRAY_LEN(ends); i++)
		if (str_has_prefix(text->p, ends[i][0]))
			buf_adds(text, ends[i][1]);
}

static int
parse(struct nix_report *rep, const char *p, size_t n, const struct json **ret)
{
	AUTO(buf) struct buf mended = BUF_INIT;
	struct err e = ERR_INIT;

	if (++rep->lines > LINES_HELD) {
		arena_release(&rep->arena);
		rep->lines = 1;
	}
	if (json_parse(&rep->arena, p, n, NULL, ret, &e) == 0)
		return 0;
	if (n < LINE_CUT)
		return -1;
	buf_add(&mended, p, n);
	mend(&mended);
	err_clear(&e);
	return json_parse(&rep->arena, mended.p, mended.len, NULL, ret, &e);
}

void
nix_report_line(void *ctx, const char *line, size_t n)
{
	static const char prefix[] = "@nix ";
	const size_t k = sizeof(prefix) - 1;
	struct nix_report *rep = ctx;
	const struct json *v;

	if (n < k || memcmp(line, prefix, k) != 0) {
		take_plain(rep, line, n);
		return;
	}
	if (is_progress(line + k, n - k))
		return;
	/* A builder may print such a line too; what is no JSON is text. */
	if (parse(rep, line + k, n - k, &v) < 0)
		take_plain(rep, line, n);
	else
		take_json(rep, v);
}

const struct buf *
nix_report_log(const struct nix_report *rep, const char *drv)
{
	for (size_t i = rep->builds.n; drv && i > 0; i--)
		if (strcmp(rep->builds.v[i - 1].drv, drv) == 0)
			return &rep->builds.v[i - 1].tail;
	return rep->builds.n == 0 && rep->log.len > 0 ? &rep->log : &rep->tail;
}

const char *
nix_report_find(const struct nix_report *rep, const char *text)
{
	for (size_t i = 0; i < rep->n_errors; i++)
		if (strstr(rep->errors[i].p, text))
			return rep->errors[i].p;
	return NULL;
}
