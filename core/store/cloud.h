/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_STORE_CLOUD_H
#define FIRN_STORE_CLOUD_H

/*
 * What stands between a storage and a cloud's own words: calls that are tried
 * again, and a breaker, so that a cloud that is down or hangs costs a few
 * calls and not a thread for each request.
 *
 * Any thread. Failures are ERR_STORAGE; their text names the bucket, what was
 * tried and how it went, and never a URL, a header or an answer's body.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/digest.h"
#include "core/store/sign.h"
#include "core/store/store.h"
#include "core/sys/http.h"

struct cloud;

#define CLOUD_PAIRS 6
/* What an answer may have, unless a call says otherwise. */
#define CLOUD_ANSWER_MAX 65536u

/* One request, before it is signed. What is not set is left zero. */
struct cloud_call {
	const char *what; /* for messages: "upload a blob" */
	const char *method;
	const char *path; /* as it goes over the wire, without the query */
	struct sign_pair query[CLOUD_PAIRS];
	size_t n_query;
	struct sign_pair headers[CLOUD_PAIRS]; /* names in lower case */
	size_t n_headers;
	const void *body; /* bytes, or a part of a file */
	bool from_fd;
	int fd;
	uint64_t offset;
	uint64_t size;
	/* The body's digest in hex; NULL: it is hashed here, or has none. */
	const char *payload;
	size_t max_answer;
	bool bounded; /* a larger answer is ERR_INVALID */
	/* The cloud has to work for it, and may say nothing meanwhile. */
	bool slow;
	/*
	 * Nobody waits for it but a build: try longer, and also while the
	 * breaker is open.
	 */
	bool patient;
	/* Is a good status a good answer? NULL: yes. */
	bool (*is_good)(const struct http_answer *a);
};

typedef int cloud_visit(void *ctx, const char *key, uint64_t size,
			uint64_t modified, struct err *e);

/* A whole blob to be uploaded: bytes, or a file. */
struct cloud_blob {
	const void *bytes; /* NULL: fd */
	int fd;
	uint64_t size;
	const struct digest *digest;
	uint32_t crc32c;
};

/* The cloud's own words. Keys are of letters, digits, "-" and "/". */
struct cloud_ops {
	/* One attempt: sign and send. */
	int (*send)(struct cloud *c, const struct cloud_call *call,
		    struct http_answer *a, struct err *e);
	/* The credentials were refused: are there others to be had? */
	bool (*renew)(struct cloud *c);
	/*
	 * Counts the credentials that there were, so that a URL is known to be
	 * of others. May be NULL: URLs need none, or always the same.
	 */
	unsigned (*generation)(struct cloud *c);
	/* Where a key is, over the wire. */
	void (*path)(struct cloud *c, const char *key, struct buf *to);
	/* The query by which a key's bytes are had; no name: none. */
	struct sign_pair bytes;
	/* By what method and query one looks whether it is there. */
	const char *look_method;
	struct sign_pair look;
	/* How large is what was found? False: the answer does not say. */
	bool (*size)(const struct http_answer *a, uint64_t *ret);
	/*
	 * *ret_lost comes with a failure: the cloud knows nothing of the
	 * upload any more. It may have come to its end before, and the answer
	 * got lost; or it has to begin again.
	 */
	int (*put)(struct cloud *c, const char *key,
		   const struct cloud_blob *blob, bool *ret_lost,
		   struct err *e);
	/* Every key that begins with prefix. */
	int (*list)(struct cloud *c, const char *prefix, cloud_visit *fn,
		    void *ctx, struct err *e);
	/* A URL by which anyone can get it for so long, or for less. */
	int (*url)(struct cloud *c, const char *key, uint64_t expires_s,
		   struct buf *to, uint64_t *ret_good_s, struct err *e);
	void (*free)(struct cloud *c);
};

/* Embed as the first member. */
struct cloud {
	const struct cloud_ops *ops;
	struct http *http;
	char *name; /* "s3 bucket images": for messages */
	uint64_t pause_ms;
	uint64_t timeout_ms;
	uint64_t part_size;
	atomic_uint failures;
	atomic_uint_least64_t open_until_ms;
	atomic_uint_least64_t quiet_until_ms; /* it asked us to stay away */
	atomic_uint_least64_t doubted_ms; /* when a 403 made us ask for keys */
};

void cloud_init(struct cloud *c, const struct cloud_ops *ops, const char *name,
		const struct store_options *o);
void cloud_release(struct cloud *c);

/*
 * Make the call until there is an answer that counts: a status below 400, or
 * 404, 410, 412 or 416, which are the caller's to judge.
 */
MUST_CHECK int cloud_call(struct cloud *c, const struct cloud_call *call,
			  struct http_answer *a, struct err *e);

/* How long one attempt may take, and say nothing. */
void cloud_limit(const struct cloud *c, const struct cloud_call *call,
		 struct http_request *r);

/* The longest that it may ask us to stay away. */
uint64_t cloud_quiet_max_ms(uint64_t timeout_ms);

/* A clock that only goes forward. */
uint64_t cloud_now_ms(void);

/* Is the key there? */
MUST_CHECK int cloud_stat_key(struct cloud *c, const char *key, bool patient,
			      bool *ret_found, uint64_t *ret_size,
			      struct err *e);
/* A key's bytes, at most max: more is ERR_INVALID; absence is an answer. */
MUST_CHECK int cloud_get_key(struct cloud *c, const char *key, bool patient,
			     size_t max, bool *ret_found, struct buf *to,
			     struct err *e);
/* What isn't there has been removed. */
MUST_CHECK int cloud_remove_key(struct cloud *c, const char *key,
				struct err *e);

/* An answer whose status is not what the call expects. Returns -1. */
int cloud_unexpected(const struct cloud *c, const struct cloud_call *call,
		     const struct http_answer *a, struct err *e);

/* The query of a call, encoded, with its "?"; nothing when it has none. */
void cloud_add_query(const struct cloud_call *call, struct buf *to);

/*
 * "https://host[:port]": the part that comes before a path. Checks it, and
 * drops a slash at its end: ERR_INVALID, which names the setting.
 */
MUST_CHECK int cloud_endpoint(const char *setting, const char *url,
			      struct buf *to, struct err *e);
/* Its host as the header Host says it, without a port that is the scheme's. */
void cloud_host(const char *endpoint, struct buf *to);

/* "2006-01-02T15:04:05" and anything, to seconds since 1970; 0: no such. */
uint64_t cloud_time(const char *text);

/*
 * Are blobs delivered by the web server? Automatically, they are when the
 * endpoint leads to this machine, where clients can't follow.
 */
bool cloud_is_proxied(const struct store_options *o, const char *endpoint);

/*
 * The storage on top: takes the cloud, on failure too. Used by the backends
 * when they open.
 */
MUST_CHECK int store_cloud_new(struct cloud *take_cloud,
			       const struct store_options *o, bool proxied,
			       struct store **ret, struct err *e);

MUST_CHECK int store_s3_open(const struct store_options *o, struct store **ret,
			     struct err *e);
MUST_CHECK int store_gcs_open(const struct store_options *o, struct store **ret,
			      struct err *e);

#endif
