/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_STORE_STORE_H
#define FIRN_STORE_STORE_H

/*
 * Storage: blobs by digest, and small records by key.
 *
 * A blob is staged under a random name, checked, and committed by its
 * digest: it is there whole or not at all. Committing one that is there is a
 * success. Several processes may share a storage. Every function may run on
 * any thread. Failures are ERR_UPSTREAM (a cloud) or ERR_SYSTEM (a disk).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/digest.h"

struct buf;
struct err;
struct sink;
struct store;

/* Where a blob can be had. */
enum store_where {
	STORE_FILE, /* at: path below the storage directory */
	STORE_URL,  /* at: a URL for the client */
};

#define STORE_AT_CAP 4096

struct store_location {
	enum store_where where;
	uint64_t size;
	char at[STORE_AT_CAP];
};

/* The names of records: lower-case letters, digits, "-", one "/". */
#define STORE_RECORD_MAX (1u << 20)

/*
 * Open by backend name ("filesystem"); path is the backend's directory.
 * Makes what is missing, and removes what dead processes left in staging.
 */
MUST_CHECK int store_open(const char *backend, const char *path,
			  struct store **ret, struct err *e);
void store_free(struct store *st);

/* Is the blob here? Absence is an answer, not an error. */
MUST_CHECK int store_has(struct store *st, const struct digest *d,
			 bool *ret_found, uint64_t *ret_size, struct err *e);

/*
 * Begin a blob whose digest is not known yet: write to the sink, finish it,
 * then commit or discard, which both free it. Nothing is visible before.
 */
MUST_CHECK int store_begin(struct store *st, struct sink **ret_staged,
			   struct err *e);
MUST_CHECK int store_commit(struct store *st, struct sink *take_staged,
			    const struct digest *d, struct err *e);
void store_discard(struct store *st, struct sink *take_staged);

/* Begin, write and commit n bytes; their digest goes to ret. */
MUST_CHECK int store_put(struct store *st, const void *p, size_t n,
			 struct digest *ret, struct err *e);

/*
 * Read a small blob (a manifest, a config), at most max bytes, and check it
 * against its digest: ERR_NOT_FOUND when it isn't there, ERR_INVALID when it
 * is larger, ERR_SYSTEM when it is damaged.
 */
MUST_CHECK int store_read(struct store *st, const struct digest *d, size_t max,
			  struct buf *to, struct err *e);

/* How a client gets the blob. ERR_NOT_FOUND when it isn't there. */
MUST_CHECK int store_locate(struct store *st, const struct digest *d,
			    struct store_location *ret, struct err *e);

/*
 * Small records, shared by everyone on this storage: replace, and read.
 * Absence is an answer; one that somebody made larger than STORE_RECORD_MAX
 * is ERR_INVALID.
 */
MUST_CHECK int store_put_record(struct store *st, const char *name,
				const void *p, size_t n, struct err *e);
MUST_CHECK int store_get_record(struct store *st, const char *name,
				bool *ret_found, struct buf *to, struct err *e);

/*
 * Give a manifest that is there a name for tools that read the storage
 * itself, or move the name. A backend that no tool reads does nothing.
 */
MUST_CHECK int store_publish(struct store *st, const char *name,
			     const char *media_type, const struct digest *d,
			     uint64_t size, struct err *e);

/* Can it be written to? For /readyz. */
MUST_CHECK int store_check(struct store *st, struct err *e);

#endif
