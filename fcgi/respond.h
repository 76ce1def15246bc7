/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_FCGI_RESPOND_H
#define FIRN_FCGI_RESPOND_H

/*
 * Answers, and the one table of what can go wrong: status, code, and what
 * the client may see of it.
 *
 * Every error has the errors body of the OCI distribution specification
 * ("Error Codes") and says its cause in the reason phrase too, since some
 * clients show a person nothing else. Causes that are the operator's to mend
 * (5xx) show a fixed text; the log has the rest.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/buf.h"

struct digest;
struct err;

#define RESPONSE_REASON_MAX 200u

struct response {
	unsigned status;
	char reason[RESPONSE_REASON_MAX + 1]; /* printable ASCII */
	struct buf headers;                   /* "Name: value\r\n" ... */
	struct buf body;
	bool has_size; /* Content-Length is size, not the body's length */
	uint64_t size;
	bool no_size; /* the web server will say how long it is */
};

void response_init(struct response *r);
void response_release(struct response *r);

static inline void
response_auto(struct response *r)
{
	response_release(r);
}

/* Begin anew: status with its usual phrase, no headers, no body. */
void response_start(struct response *r, unsigned status);

/* Add a header. Bytes of the value that are no header's are dropped. */
PRINTF(3, 4)
void response_header(struct response *r, const char *name, const char *fmt,
		     ...);

/*
 * A soft notice that clients show: Warning: 299 (OCI distribution
 * specification 1.1, "Warnings"), cut to what fits.
 */
void response_warning(struct response *r, const char *text);

/* Docker-Content-Digest and ETag. */
void response_digest(struct response *r, const struct digest *d);

/* 200 with a JSON body that the caller writes to r->body. */
void response_start_json(struct response *r, const char *media_type);

/* What can go wrong. */
enum fault {
	FAULT_REQUEST,        /* malformed beyond what follows */
	FAULT_NAME,           /* malformed image name */
	FAULT_TAG,            /* malformed tag */
	FAULT_DIGEST,         /* malformed digest */
	FAULT_NO_ROUTE,       /* a path that we don't know */
	FAULT_NO_NAME,        /* no such repository */
	FAULT_NO_MANIFEST,    /* no such package, tag, or manifest */
	FAULT_NO_BLOB,        /* no such blob */
	FAULT_NO_BUILD,       /* no such build, or it is forgotten */
	FAULT_METHOD,         /* not GET or HEAD */
	FAULT_RANGE,          /* a range beyond the end */
	FAULT_DENIED,         /* policy */
	FAULT_BUILD,          /* evaluation or build failed */
	FAULT_TIMEOUT,        /* a build took too long */
	FAULT_BUSY,           /* a queue is full */
	FAULT_STILL_BUILDING, /* for clients that come again at once: 429 */
	FAULT_HEAD_BUILDING,  /* for clients that then try GET: 405 */
	FAULT_NOT_BUILT_YET,  /* after the last hold: 503 */
	FAULT_UPSTREAM,       /* network or Nix is unwell */
	FAULT_STORAGE,        /* object storage is unwell */
	FAULT_FULL,           /* a disk of ours has no room */
	FAULT_SYSTEM,         /* we are */
};

/*
 * Which fault a failed lookup or build is: e->kind, where ERR_INVALID and
 * ERR_NOT_FOUND mean invalid and missing.
 */
enum fault fault_of(const struct err *e, enum fault invalid,
		    enum fault missing);

/* Is it the operator's to mend? Then somebody has to log it. */
bool fault_is_ours(enum fault f);

/*
 * The answer to a fault: status, reason phrase, headers, errors body. e may
 * be NULL, where the table's own text says it all.
 */
void response_fault(struct response *r, enum fault f, const struct err *e);

/*
 * Cut a whole 200 answer to what a Range header asks for (range.h): one range
 * of bytes, or several as multipart/byteranges, give 206; 416 when they are
 * beyond the end. None, or a header that is to be ignored, or an If-Range that
 * is not d's ETag ("" is none): left as it is. For GET.
 */
void response_range(struct response *r, const char *range, const char *if_range,
		    const struct digest *d);

/* Append the answer as CGI text; without the body for HEAD. */
void response_write(const struct response *r, bool head, struct buf *to);

/*
 * Does an If-None-Match header name this digest, or "*"? Weak comparison
 * (RFC 9110 8.8.3.2).
 */
bool response_etag_matches(const char *if_none_match, const struct digest *d);

#endif
