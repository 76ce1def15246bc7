/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_FCGI_ROUTE_H
#define FIRN_FCGI_ROUTE_H

/*
 * REQUEST_URI to struct route: pure, strict, and bounded.
 *
 * The URI is read as the client wrote it, not as the web server normalised
 * it, and whatever the two could read differently is refused: any percent
 * code but that of ":", empty and dot segments, bytes that are not printable
 * ASCII. So the path that access rules matched is the path that is served.
 *
 * Grammars: OCI distribution specification 1.1, "Pulling manifests" (names,
 * tags); OCI image specification 1.1, descriptor.md "Digests".
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/digest.h"

struct arena;
struct err;

#define ROUTE_URI_MAX 4096u
#define ROUTE_TAG_MAX 128u
#define ROUTE_ARG_MAX 255u

enum route_kind {
	ROUTE_NONE,      /* outside /v2/, and nothing of ours */
	ROUTE_V2_NONE,   /* below /v2/, and nothing that we know */
	ROUTE_BASE,      /* /v2/ and /v2 */
	ROUTE_MANIFEST,  /* /v2/NAME/manifests/REFERENCE */
	ROUTE_BLOB,      /* /v2/NAME/blobs/DIGEST */
	ROUTE_TAGS,      /* /v2/NAME/tags/list */
	ROUTE_REFERRERS, /* /v2/NAME/referrers/DIGEST */
	ROUTE_CATALOG,   /* /v2/_catalog */
	ROUTE_HEALTH,    /* /healthz */
	ROUTE_READY,     /* /readyz */
	ROUTE_METRICS,   /* /metrics */
	ROUTE_INDEX,     /* / */
	ROUTE_BUILD,     /* /builds/ID */
	ROUTE_KINDS,     /* how many there are */
};

/* Stable lower-case name, for logs and metrics. */
const char *route_kind_name(enum route_kind kind);

/* Which part of a URI was malformed; it decides the code of the error. */
enum route_part {
	ROUTE_PART_URI,
	ROUTE_PART_NAME,
	ROUTE_PART_TAG,
	ROUTE_PART_DIGEST,
};

/* A digest that was asked for, when the grammar takes it. */
enum route_digest {
	ROUTE_DIGEST_NONE,   /* the reference is a tag */
	ROUTE_DIGEST_SHA256, /* digest is set */
	ROUTE_DIGEST_OTHER,  /* well-formed, but we never use its algorithm */
};

/* Arguments that mean something to us; NULL or false when not given. */
struct route_query {
	bool has_w;
	uint64_t w; /* hops so far; clamped to 99 */
	bool has_n;
	uint64_t n;
	bool bad_n;                /* given, but no number */
	const char *last;          /* decoded */
	const char *artifact_type; /* decoded */
	const char *ns;            /* decoded */
};

struct route {
	enum route_kind kind;
	const char *path; /* decoded */
	const char *name;
	const char *tag;
	enum route_digest digest_kind;
	struct digest digest;
	const char *build; /* an identifier, 32 lower-case hex digits */
	struct route_query query;
	const char *raw_query; /* as written, "" when there is none */
};

/*
 * Read a URI: an absolute path and perhaps a query. Strings live in the
 * arena. A path that is well-formed but unknown is no failure (ROUTE_NONE,
 * ROUTE_V2_NONE). Fails with ERR_INVALID, and *ret_part says where.
 */
MUST_CHECK int route_parse(struct arena *a, const char *uri, struct route *ret,
			   enum route_part *ret_part, struct err *e);

/*
 * The same URI for one hop more: path, the arguments that are not "w" as
 * they were written, and w. Relative, so it holds behind any host name.
 */
char *route_hop(struct arena *a, const struct route *r, uint64_t w);

/*
 * A tag that tools ask for to find signatures and the like beside an image
 * (sha256-<64 hex digits>, perhaps with .sig, .att, .sbom): never a revision
 * of a package set.
 */
bool route_tag_is_probe(const char *tag);

/* The subject that such a tag is for, when it is for its referrers. */
bool route_tag_subject(const char *tag, struct digest *ret);

#endif
