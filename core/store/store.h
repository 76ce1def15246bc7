/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_STORE_STORE_H
#define FIRN_STORE_STORE_H

/*
 * Storage: blobs by digest, and small records by key.
 *
 * A blob is staged under a random name, checked, and committed by its
 * digest: it is there whole or not at all. Committing one that is there is a
 * success, and replaces it where it is damaged. Several processes may share a
 * storage. Every function may run on any thread. Failures are ERR_STORAGE (a
 * cloud) or ERR_SYSTEM (a disk).
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
	STORE_FILE,  /* at: path below the storage directory */
	STORE_URL,   /* at: a URL for the client */
	STORE_PROXY, /* at: a URL for the web server, which sends it on */
};

#define STORE_AT_CAP 4096

struct store_location {
	enum store_where where;
	uint64_t size;
	char at[STORE_AT_CAP];
};

/* The names of records: lower-case letters, digits, "-", one "/". */
#define STORE_RECORD_MAX (1u << 20)

/* Who fetches a blob from a cloud. */
enum store_delivery {
	STORE_DELIVERY_AUTO, /* the client, if the endpoint is not local */
	STORE_DELIVERY_REDIRECT,
	STORE_DELIVERY_PROXY,
};

/* Where keys for S3 come from, when none is given; NULL: not given. */
struct store_keys {
	const char *file; /* of profiles */
	const char *profile;
	const char *role; /* with web_token_file: a web identity's */
	const char *web_token_file;
	const char *sts_url;        /* NULL: Amazon's in the region */
	const char *container_path; /* at ECS's address */
	const char *container_url;
	const char *container_token_file; /* for either */
	const char *instance_url;         /* of EC2's metadata */
};

/* What a backend does not use is ignored; NULL: not given. */
struct store_options {
	const char *backend; /* "filesystem", "s3", "gcs" */
	const char *path;    /* filesystem: its directory */

	/* Clouds. */
	const char *spool;   /* directory for blobs that are being made */
	const char *ca_file; /* certificates of the endpoint */
	enum store_delivery delivery;
	uint64_t url_ttl_s;  /* how long a signed URL is good */
	uint64_t pause_ms;   /* before an upload is tried again; 0: 500 */
	uint64_t timeout_ms; /* for a small call; 0: 5000 */
	uint64_t part_size;  /* of large uploads: n * 256 KiB; 0: 32 MiB */
	uint64_t recheck_s; /* how long a blob that was there counts as there */
	struct {
		const char *bucket;
		const char *endpoint;        /* for us and the web server */
		const char *public_endpoint; /* for clients; NULL: the same */
		const char *region;
		const char *key_id;
		const char *secret;
		const char *token;
		struct store_keys keys;
	} s3;
	struct {
		const char *bucket;
		const char *endpoint;
		const char *credentials;   /* a service account's key file */
		const char *metadata_host; /* NULL: Google's */
	} gcs;
};

/*
 * Open; o is only read here. Makes what is missing, and removes what dead
 * processes left in staging. A cloud that does not answer is no failure yet.
 * ERR_INVALID for options that make no sense.
 */
MUST_CHECK int store_open(const struct store_options *o, struct store **ret,
			  struct err *e);
void store_free(struct store *st);

/*
 * The same storage for a build, whose work would be lost: where st gives up
 * soon, since someone waits, a look or a read is tried for as long as what is
 * written. Belongs to st, and is not freed.
 */
struct store *store_for_build(struct store *st);

/* Is the blob here? Absence is an answer, not an error. */
MUST_CHECK int store_has(struct store *st, const struct digest *d,
			 bool *ret_found, uint64_t *ret_size, struct err *e);

/*
 * The same from what is known here, without asking anyone far away: found is
 * false, too, when nothing is known. Never waits.
 */
MUST_CHECK int store_has_near(struct store *st, const struct digest *d,
			      bool *ret_found, uint64_t *ret_size,
			      struct err *e);

/* Is what is known here all that there is? A directory; no cloud. */
bool store_is_near(const struct store *st);

/* How blobs get to clients: "file", "redirect" or "proxy". */
const char *store_delivery_name(const struct store *st);

/*
 * Begin a blob whose digest is not known yet: write to the sink, finish it,
 * then commit or discard, which both free it. Nothing is visible before, and
 * nothing stays when the process dies or the upload fails.
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
 * against its digest: ERR_NOT_FOUND when it isn't there or is damaged (then
 * store_damaged was called), ERR_INVALID when it is larger.
 */
MUST_CHECK int store_read(struct store *st, const struct digest *d, size_t max,
			  struct buf *to, struct err *e);

/*
 * A blob is not what its digest says: it has this size and should have the
 * other (the same: only its bytes tell). It is logged ("blob.damaged"), and no
 * more there; a cloud's stays until it is committed again, as it may have been
 * damaged on its way to us only.
 */
void store_damaged(struct store *st, const struct digest *d, uint64_t size,
		   uint64_t expected);

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

/*
 * Every name that was given so, in byte order; none of a backend that no tool
 * reads. A failure ends the walk and is passed on.
 */
typedef int store_visit_name(void *ctx, const char *name,
			     const struct digest *d, struct err *e);

MUST_CHECK int store_list_names(struct store *st, store_visit_name *fn,
				void *ctx, struct err *e);

/*
 * A blob that is there is an OCI image manifest: let the web server, which
 * can't tell by itself, send it as such without asking. A backend whose blobs
 * no web server reads does nothing. The blob may be removed or replaced later.
 */
MUST_CHECK int store_expose_manifest(struct store *st, const struct digest *d,
				     struct err *e);

/* What there is: a blob, or a record by its whole name. */
struct store_item {
	struct digest digest; /* of a blob */
	const char *name;     /* of a record; NULL: a blob */
	uint64_t size;
	uint64_t modified; /* seconds since 1970 */
};

/* A failure ends the walk and is passed on. */
typedef int store_visit(void *ctx, const struct store_item *item,
			struct err *e);

/* Every blob; every record in a directory ("layers"). In no order. */
MUST_CHECK int store_list_blobs(struct store *st, store_visit *fn, void *ctx,
				struct err *e);
MUST_CHECK int store_list_records(struct store *st, const char *dir,
				  store_visit *fn, void *ctx, struct err *e);

/* What isn't there has been removed. */
MUST_CHECK int store_remove_blob(struct store *st, const struct digest *d,
				 struct err *e);
MUST_CHECK int store_remove_record(struct store *st, const char *name,
				   struct err *e);

/* Can it be written to? For /readyz. */
MUST_CHECK int store_check(struct store *st, struct err *e);

#endif
