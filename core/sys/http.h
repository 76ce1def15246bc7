/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_SYS_HTTP_H
#define FIRN_SYS_HTTP_H

/*
 * HTTP requests, on libcurl. One call is one request and its answer, whatever
 * its status; trying again is the caller's, but for http_get.
 *
 * A client keeps its connections and may be used by any number of threads at
 * once. Failures are ERR_UPSTREAM (no answer, or one that was cut short) and
 * ERR_INVALID (more of it than was asked for). Their text names the host and
 * nothing else of the URL, whose query may be a secret.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/buf.h"

struct err;
struct http;

struct http_options {
	const char *ca_file;         /* PEM; NULL: the system's */
	uint64_t connect_timeout_ms; /* 0: 5 s */
	uint64_t stall_timeout_ms;   /* without a byte; 0: 20 s */
};

struct http *http_new(const struct http_options *o);
/* No other thread uses it any more. NULL is fine. */
void http_free(struct http *h);

struct http_header {
	const char *name;
	const char *value;
};

/* What is not set is left zero. */
struct http_request {
	const char *method; /* GET, HEAD, PUT, POST, DELETE */
	const char *url;    /* http or https */
	const struct http_header *headers;
	size_t n_headers;

	/* The body: bytes, or from a file by pread(2); none with size 0. */
	const void *body;
	bool from_fd;
	int fd;
	uint64_t offset;
	uint64_t size;

	bool direct;       /* never through a proxy */
	size_t max_answer; /* bytes of its body; to announce more fails, too */
	bool to_fd;        /* the answer's body is written to out */
	int out;
	unsigned redirects;  /* how many are followed */
	uint64_t timeout_ms; /* for all of it; 0: none but the stall */
	/* Without a byte; 0: the client's. */
	uint64_t stall_timeout_ms;
};

struct http_answer {
	unsigned status;
	struct buf body;
	struct buf headers; /* of the last answer: "name: value\n" each */
};

#define HTTP_ANSWER_INIT                                           \
	{                                                          \
		.status = 0, .body = BUF_INIT, .headers = BUF_INIT \
	}

void http_answer_release(struct http_answer *a);

static inline void
http_answer_auto(struct http_answer *a)
{
	http_answer_release(a);
}

/* What *a held is dropped first. */
MUST_CHECK int http_do(struct http *h, const struct http_request *r,
		       struct http_answer *a, struct err *e);

/* A header of the answer, found without regard to case; false: not there. */
bool http_answer_header(const struct http_answer *a, const char *name,
			struct buf *ret);

/*
 * GET a document of at most max bytes from an http, https or file URL; up to
 * five redirects, three attempts with a pause between them when the server
 * fails. ERR_NOT_FOUND for 404 and 410, and for a file that isn't there;
 * ERR_INVALID for a larger one; ERR_UPSTREAM otherwise. timeout_ms is for each
 * attempt.
 */
MUST_CHECK int http_get(struct http *h, const char *url, size_t max,
			uint64_t timeout_ms, struct buf *to, struct err *e);

/* The host and port of a URL, without a user's name; for messages. */
void http_url_host(const char *url, struct buf *to);

/*
 * How long the answer asks one to stay away (RFC 9110, section 10.2.3), in
 * milliseconds, at most max_ms; 0: it does not.
 */
uint64_t http_retry_after(const struct http_answer *a, uint64_t max_ms);

void http_sleep(uint64_t ms);

/* Sleep for about base_ms doubled attempt times, with jitter, at most max. */
void http_pause(unsigned attempt, uint64_t base_ms, uint64_t max_ms);

#endif
