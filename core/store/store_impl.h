/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_STORE_IMPL_H
#define FIRN_STORE_IMPL_H

/* What a backend provides; for core/store and tests/support only. */
#include "core/base/sink.h"
#include "core/store/store.h"

/* Any operation may run on any thread. The contracts are those of store.h. */
struct store_ops {
	const char *name;

	/* May be NULL: itself. */
	struct store *(*for_build)(struct store *st);
	int (*has)(struct store *st, const struct digest *d, bool *ret_found,
		   uint64_t *ret_size, struct err *e);
	/* May be NULL: has. */
	int (*has_near)(struct store *st, const struct digest *d,
			bool *ret_found, uint64_t *ret_size, struct err *e);
	int (*begin)(struct store *st, struct sink **ret_staged, struct err *e);
	/* Both free the sink, on success and on failure alike. */
	int (*commit)(struct store *st, struct sink *take_staged,
		      const struct digest *d, struct err *e);
	void (*discard)(struct store *st, struct sink *take_staged);
	/* Unchecked bytes; store_read checks them. */
	int (*read)(struct store *st, const struct digest *d, size_t max,
		    struct buf *to, struct err *e);
	int (*locate)(struct store *st, const struct digest *d,
		      struct store_location *ret, struct err *e);
	/* The name has been checked. */
	int (*put_record)(struct store *st, const char *name, const void *p,
			  size_t n, struct err *e);
	int (*get_record)(struct store *st, const char *name, bool *ret_found,
			  struct buf *to, struct err *e);
	/* May be NULL. */
	int (*publish)(struct store *st, const char *name,
		       const char *media_type, const struct digest *d,
		       uint64_t size, struct err *e);
	/* May be NULL. */
	int (*list_names)(struct store *st, store_visit_name *fn, void *ctx,
			  struct err *e);
	/* May be NULL. */
	int (*expose_manifest)(struct store *st, const struct digest *d,
			       struct err *e);
	/*
	 * Directly in a directory, "blobs/sha256" or one of records; item has
	 * name (without the directory), size and modified.
	 */
	int (*list)(struct store *st, const char *dir, store_visit *fn,
		    void *ctx, struct err *e);
	/* By its path: "blobs/sha256/HEX" or a record's name. */
	int (*remove)(struct store *st, const char *path, struct err *e);
	int (*check)(struct store *st, struct err *e);
	void (*free)(struct store *st);
};

/* Embed as the first member. */
struct store {
	const struct store_ops *ops;
	enum store_where where; /* what locate answers with */
};

#define STORE_BLOBS "blobs/sha256"

MUST_CHECK int store_fs_open(const char *path, struct store **ret,
			     struct err *e);

#endif
