/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_JOBS_H
#define FIRN_JOBS_H

/*
 * Builds under way: a bounded queue, a fixed number of threads that work on
 * it, and one job per key, which everyone who asks for the same shares.
 *
 * A job lives on when nobody holds it, until it has ended. Any thread.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/digest.h"

struct buf;
struct err;
struct job;
struct jobs;

/* What a manifest request is answered with, beside the bytes. */
struct manifest_info {
	struct digest digest;
	uint64_t size;
	const char *media_type; /* static */
	struct digest oci;      /* of a Docker list: OCI's index */
};

enum job_state {
	JOB_RUNNING, /* or waiting in the queue */
	JOB_DONE,
	JOB_FAILED,
};

/* --- for those who wait */

/*
 * How does it stand? With JOB_DONE, *ret is set; with JOB_FAILED, *ret_err
 * (a copy of the build's error). Never waits.
 */
enum job_state job_poll(struct job *j, struct manifest_info *ret,
			struct err *ret_err);

/* Wait until it has ended or timeout_ms have passed; false then. */
bool job_wait(struct job *j, uint64_t timeout_ms);

/* Identifier for logs and /builds/ID; valid until release. */
const char *job_id(const struct job *j);

/* One line for a terminal: what it does just now. Appended to to. */
void job_progress(struct job *j, struct buf *to);

/* NULL is fine. */
void job_release(struct job *take_job);

/* --- for the engine */

/*
 * Does the work, on a thread of the table. payload is what jobs_start was
 * given.
 */
typedef int job_fn(void *ctx, struct job *j, void *payload,
		   struct manifest_info *ret, struct err *e);

struct jobs_options {
	unsigned threads;
	size_t max_queue; /* jobs that wait for a thread */
	job_fn *run;
	void (*free_payload)(void *payload);
	void *ctx;
};

struct jobs *jobs_new(const struct jobs_options *o);

/*
 * Cancel what runs, fail what waits (ERR_BUSY: shutting down), join the
 * threads. Jobs that are still held stay valid until they are released.
 */
void jobs_stop(struct jobs *t);
/* After jobs_stop, when no job is held any more. */
void jobs_free(struct jobs *t);

/*
 * The running job of this key, or a new one. The payload is freed when it is
 * not needed (any more). ERR_BUSY when the queue is full.
 */
MUST_CHECK int jobs_start(struct jobs *t, const struct digest *key,
			  void *take_payload, struct job **ret, struct err *e);

/* Called without locks, on the job's thread, when any job has ended. */
void jobs_on_end(struct jobs *t, void (*fn)(void *ctx), void *ctx);

void jobs_count(struct jobs *t, uint64_t *ret_running, uint64_t *ret_queued);

/* Set by jobs_stop; the work looks at it. */
const atomic_bool *job_cancel_flag(const struct job *j);

PRINTF(2, 3) void job_set_progress(struct job *j, const char *fmt, ...);

#endif
