/* SPDX-License-Identifier: Apache-2.0 */
/* What a build says while it runs: to its page, and to the log of events. */
#include <inttypes.h>
#include <stdarg.h>
#include <time.h>

#include "core/base/buf.h"
#include "core/base/digest.h"
#include "core/base/err.h"
#include "core/build_impl.h"
#include "core/buildlog.h"
#include "core/config.h"
#include "core/jobs.h"
#include "core/model/image.h"
#include "core/nix.h"
#include "core/sys/clock.h"
#include "core/sys/log.h"

/* "12.3 s", since the build began. */
static void
add_elapsed(const struct build *b, struct buf *to)
{
	uint64_t ms = clock_ms() - b->start_ms;

	buf_printf(to, "%" PRIu64 ".%u s", ms / 1000,
		   (unsigned)(ms % 1000 / 100));
}

void
build_tell_start(struct build *b)
{
	const struct order *o = b->order;
	time_t now = time(NULL);
	char when[32] = "";
	struct tm tm;

	b->start_ms = clock_ms();
	if (!b->g->logs)
		return;
	if (gmtime_r(&now, &tm))
		(void)strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", &tm);
	b->log = buildlog_start(b->g->logs, job_id(b->job));
	buildlog_say(b->log, "%s:%s, for %s, begun %s", o->image.name, o->tag,
		     o->n_platforms > 1 ? "several platforms"
					: o->platforms[0]->arch,
		     when);
	buildlog_say(b->log, "build %s, request %s", job_id(b->job),
		     o->request);
}

void
build_say(struct build *b, const char *fmt, ...)
{
	AUTO(buf) struct buf text = BUF_INIT, at = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	job_set_progress(b->job, "%s", text.p);
	add_elapsed(b, &at);
	if (b->log)
		buildlog_say(b->log, "%s: %s", at.p, text.p);
}

void
build_tell_line(void *ctx, const char *line, size_t n)
{
	AUTO(buf) struct buf text = BUF_INIT, shown = BUF_INIT;
	struct build *b = ctx;

	buf_add(&text, line, n);
	if (log_enabled(LOG_DEBUG))
		log_debug("nix.line", LOG_S("build", job_id(b->job)),
			  LOG_S("line", text.p));
	if (!b->log)
		return;
	nix_scrub(b->g->nix, text.p, &shown);
	buildlog_line(b->log, shown.p, shown.len);
}

bool
build_keeps_log(enum err_kind kind)
{
	switch (kind) {
	case ERR_NONE:
	case ERR_INVALID:
	case ERR_NOT_FOUND:
	case ERR_DENIED:
	case ERR_BUSY:
		return false;
	case ERR_BUILD:
	case ERR_TIMEOUT:
	case ERR_UPSTREAM:
	case ERR_STORAGE:
	case ERR_SYSTEM:
		break;
	}
	return true;
}

/* A client sees the message of what it may mend, and nothing of the rest. */
static const char *
shown_message(const struct err *e)
{
	if (e->kind == ERR_BUILD || e->kind == ERR_TIMEOUT)
		return e->msg;
	return "the registry failed; its operator finds the cause in the log";
}

void
build_tell_end(struct build *b, const struct manifest_info *made, struct err *e)
{
	const char *url = b->g->config->public_url;
	AUTO(buf) struct buf at = BUF_INIT;
	char digest[DIGEST_TEXT_CAP];
	bool keep;

	if (!b->log)
		return;
	keep = e->kind == ERR_NONE ? buildlog_has_lines(b->log)
				   : !b->again && build_keeps_log(e->kind);
	add_elapsed(b, &at);
	if (e->kind == ERR_NONE) {
		digest_text(&made->digest, digest);
		buildlog_say(b->log, "%s: done, %s", at.p, digest);
	} else {
		buildlog_say(b->log, "%s: failed: %s", at.p, shown_message(e));
	}
	buildlog_end(b->log, keep);
	b->log = NULL;
	if (keep && e->kind != ERR_NONE && url)
		err_append(e, " (log: %s/builds/%s)", url, job_id(b->job));
}
