/* SPDX-License-Identifier: Apache-2.0 */
#include "fcgi/request.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/err.h"

/* How a parameter that comes again is taken. */
enum again {
	FIRST, /* ours to set once: a second one is not believed */
	JOIN,  /* a list header */
};

static const struct {
	const char *name;
	enum again again;
	size_t offset;
} params[] = {
	{"REQUEST_METHOD", FIRST, offsetof(struct request, method_name)},
	{"REQUEST_URI", FIRST, offsetof(struct request, uri)},
	{"REQUEST_ID", FIRST, offsetof(struct request, id)},
	{"REMOTE_ADDR", FIRST, offsetof(struct request, remote)},
	{"HTTP_HOST", FIRST, offsetof(struct request, host)},
	{"HTTP_USER_AGENT", FIRST, offsetof(struct request, user_agent)},
	{"HTTP_ACCEPT", JOIN, offsetof(struct request, accept)},
	{"HTTP_ACCEPT", FIRST, offsetof(struct request, accept_first)},
	{"HTTP_IF_NONE_MATCH", JOIN, offsetof(struct request, if_none_match)},
	{"HTTP_RANGE", FIRST, offsetof(struct request, range)},
	{"HTTP_IF_RANGE", FIRST, offsetof(struct request, if_range)},
	{"FIRN_WAIT", FIRST, offsetof(struct request, wait_at)},
};

static const char **
field(struct request *r, size_t i)
{
	return (const char **)(void *)((char *)r + params[i].offset);
}

static void
take(struct arena *a, struct request *r, const char *param)
{
	const char *eq = strchr(param, '=');

	for (size_t i = 0; eq && i < ARRAY_LEN(params); i++) {
		const char **to = field(r, i);

		if (!str_eq((struct str){param, (size_t)(eq - param)},
			    params[i].name))
			continue;
		if (!**to)
			*to = arena_strdup(a, eq + 1);
		else if (params[i].again == JOIN)
			*to = arena_printf(a, "%s, %s", *to, eq + 1);
	}
}

static bool
is_id(const char *s)
{
	size_t n = strspn(s, "0123456789abcdefABCDEF");

	return n > 0 && n <= REQUEST_ID_MAX && s[n] == '\0';
}

static enum request_method
method_of(const char *name)
{
	if (strcmp(name, "GET") == 0)
		return METHOD_GET;
	return strcmp(name, "HEAD") == 0 ? METHOD_HEAD : METHOD_OTHER;
}

int
request_read(struct arena *a, char *const *envp, struct request *ret,
	     struct err *e)
{
	size_t n = 0, bytes = 0;
	bool fits = true;

	for (size_t i = 0; i < ARRAY_LEN(params); i++)
		*field(ret, i) = "";
	for (; envp[n] && fits; n++) {
		bytes += strlen(envp[n]);
		fits = n < REQUEST_PARAMS_MAX && bytes <= REQUEST_BYTES_MAX;
		if (fits)
			take(a, ret, envp[n]);
	}
	if (!is_id(ret->id))
		ret->id = "";
	ret->method = method_of(ret->method_name);
	if (!fits)
		return err_set(e, ERR_INVALID,
			       "the request has too many headers, or too long "
			       "ones");
	return 0;
}
