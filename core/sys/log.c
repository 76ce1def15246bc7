/* SPDX-License-Identifier: Apache-2.0 */
#include "core/sys/log.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/json.h"

static atomic_int max_level = LOG_INFO;
static _Thread_local char request_id[64];

static const char *const level_names[] = {
	[LOG_ERROR] = "error",
	[LOG_WARN] = "warn",
	[LOG_INFO] = "info",
	[LOG_DEBUG] = "debug",
};

bool
log_level_parse(const char *s, enum log_level *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(level_names); i++) {
		if (strcmp(s, level_names[i]) == 0) {
			*ret = (enum log_level)i;
			return true;
		}
	}
	return false;
}

void
log_set_level(enum log_level level)
{
	atomic_store(&max_level, (int)level);
}

bool
log_enabled(enum log_level level)
{
	return (int)level <= atomic_load(&max_level);
}

void
log_set_request(const char *id)
{
	size_t n = id ? strnlen(id, sizeof(request_id) - 1) : 0;

	if (n > 0)
		memcpy(request_id, id, n);
	request_id[n] = '\0';
}

const char *
log_request(void)
{
	return request_id;
}

static void
add_time(struct json_out *o)
{
	struct timespec now;
	struct tm tm;
	char text[64];
	size_t n;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	(void)gmtime_r(&now.tv_sec, &tm);
	n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(text + n, sizeof(text) - n, ".%03dZ",
		       (int)(now.tv_nsec / 1000000));
	json_kstr(o, "ts", text);
}

void
log_emit(enum log_level level, const char *event,
	 const struct log_field *fields)
{
	AUTO(buf) struct buf line = BUF_INIT;
	AUTO(json_out) struct json_out o = {.gen = NULL};
	int saved = errno;

	if (!log_enabled(level))
		return;
	json_out_init(&o, &line);
	json_object(&o);
	add_time(&o);
	json_kstr(&o, "level", level_names[level]);
	json_kstr(&o, "event", event);
	if (request_id[0])
		json_kstr(&o, "request", request_id);
	for (; fields->key; fields++) {
		if (fields->s)
			json_kstr(&o, fields->key, fields->s);
		else
			json_knum(&o, fields->key, fields->n);
	}
	json_object_end(&o);
	buf_addc(&line, '\n');
	/* Nobody can be told that the log is gone. */
	while (write(STDERR_FILENO, line.p, line.len) < 0 && errno == EINTR)
		continue;
	errno = saved;
}

void
log_err(enum log_level level, const char *event, const struct err *e)
{
	if (e->detail[0])
		log_at(level, event, LOG_S("kind", err_kind_name(e->kind)),
		       LOG_S("error", e->msg), LOG_S("detail", e->detail));
	else
		log_at(level, event, LOG_S("kind", err_kind_name(e->kind)),
		       LOG_S("error", e->msg));
}
