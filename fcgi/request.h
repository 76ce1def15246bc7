/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_FCGI_REQUEST_H
#define FIRN_FCGI_REQUEST_H

/*
 * What a web server says about a request, copied out of the FastCGI
 * parameters, since those die with the request's stream. Pure.
 */
#include <stddef.h>

#include "core/base/attr.h"

struct arena;
struct err;

#define REQUEST_PARAMS_MAX 256u
#define REQUEST_BYTES_MAX 65536u
#define REQUEST_ID_MAX 40u

enum request_method {
	METHOD_GET,
	METHOD_HEAD,
	METHOD_OTHER,
};

/* Strings are never NULL; "" is what was not said. */
struct request {
	enum request_method method;
	const char *method_name;
	const char *uri; /* as the client wrote it */
	const char *id;  /* REQUEST_ID when it is 1 to 40 hex digits, else "" */
	const char *remote;
	const char *host;
	const char *user_agent;
	const char *accept;       /* all Accept headers, joined by ", " */
	const char *accept_first; /* the first one */
	const char *if_none_match;
	const char *range;
	const char *if_range;
	/*
	 * FIRN_WAIT: a place to send the web server to instead of waiting; it
	 * asks only to know what is there already, and may keep the answer.
	 */
	const char *wait_at;
};

/*
 * Read an array of NAME=VALUE, ended by NULL. A header that came several
 * times is several parameters; they are joined as RFC 9110 5.3 says. Fails
 * with ERR_INVALID: too many parameters, too many bytes; *ret is then
 * whole, but of no use beyond method and id.
 */
MUST_CHECK int request_read(struct arena *a, char *const *envp,
			    struct request *ret, struct err *e);

#endif
