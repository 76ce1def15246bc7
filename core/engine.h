/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_ENGINE_H
#define FIRN_ENGINE_H

/*
 * The engine: from an image name and a tag to a manifest in storage. The
 * order of the stages is build.h's.
 *
 * Lookups never wait and start no process; they may run on any thread. What
 * is not there is built by the engine's own threads: a build belongs to no
 * request, and requests for the same image share one.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "core/base/digest.h"
#include "core/jobs.h"
#include "core/stages.h"

struct arena;
struct buf;
struct config;
struct engine;
struct err;
struct image;
struct store_location;

/* Opens storage, state and Nix. config is borrowed. */
MUST_CHECK int engine_open(const struct config *config, struct engine **ret,
			   struct err *e);

/*
 * End builds that run (their processes are killed), wait for the threads,
 * free everything. No job may be held any more.
 */
void engine_free(struct engine *g);

/*
 * Which manifests a client takes. An index is given, where the image is for
 * several platforms, to who takes one; OCI's form is preferred to Docker's;
 * who takes nothing that there is gets OCI's all the same.
 */
struct manifest_accept {
	bool oci_index;
	bool oci_manifest;
	bool docker_list;
	bool docker_manifest;
};

/*
 * Is there a manifest for this image now: resolved within the time to live,
 * and whole in storage? Absence is an answer.
 */
MUST_CHECK int engine_find(struct engine *g, const struct image *image,
			   const char *tag,
			   const struct manifest_accept *accept,
			   bool *ret_found, struct manifest_info *ret,
			   struct err *e);

/* The same by digest: ERR_NOT_FOUND when it is no manifest of ours. */
MUST_CHECK int engine_find_digest(struct engine *g, const struct digest *d,
				  struct manifest_info *ret, struct err *e);

/* The bytes of a manifest, checked. */
MUST_CHECK int engine_read_manifest(struct engine *g, const struct digest *d,
				    struct buf *to, struct err *e);

/*
 * What an index that was found by its tag, OCI's or Docker's, has no image
 * for, and why, appended to to: nothing when it has them all, or is none.
 */
MUST_CHECK int engine_index_missing(struct engine *g,
				    const struct manifest_info *info,
				    struct buf *to, struct err *e);

/*
 * The index of what is attached to a manifest, a manifest like others.
 * Absence is an answer, also for a digest that nobody knows.
 */
MUST_CHECK int engine_find_referrers(struct engine *g,
				     const struct digest *subject,
				     bool *ret_found, struct manifest_info *ret,
				     struct err *e);

/* Where a client gets a blob; ERR_NOT_FOUND when it isn't there. */
MUST_CHECK int engine_locate(struct engine *g, const struct digest *d,
			     struct store_location *ret, struct err *e);

/* How clients get blobs, for the log: "file", "redirect" or "proxy". */
const char *engine_delivery(const struct engine *g);

/*
 * Begin to build the image, or join the build that runs. ERR_BUSY when the
 * queue is full. image and tag are copied. The job is released by the caller
 * (jobs.h has what can be done with it). Its result is the OCI form;
 * engine_choose_form has the one that the client takes.
 */
MUST_CHECK int engine_start(struct engine *g, const struct image *image,
			    const char *tag,
			    const struct manifest_accept *accept,
			    struct job **ret, struct err *e);

/*
 * Of what a job made, the form that the client takes: found by the job's
 * result alone, however long ago the tag was resolved.
 */
MUST_CHECK int engine_choose_form(struct engine *g,
				  const struct manifest_accept *accept,
				  const struct manifest_info *oci,
				  struct manifest_info *ret, struct err *e);

/*
 * What has been built: the tags of an image, and the names of all images, in
 * byte order, from after last (NULL: the first), at most max. They live in
 * the arena.
 */
struct engine_names {
	const char **v;
	size_t n;
	bool more; /* there are others behind these */
};

MUST_CHECK int engine_list_tags(struct engine *g, const struct image *image,
				const char *last, size_t max, struct arena *a,
				struct engine_names *ret, struct err *e);
MUST_CHECK int engine_list_images(struct engine *g, const char *last,
				  size_t max, struct arena *a,
				  struct engine_names *ret, struct err *e);

/*
 * What a build said, by its identifier (job_id); *ret_running: it may say
 * more. ERR_NOT_FOUND when there is none, or none any more.
 */
MUST_CHECK int engine_read_log(struct engine *g, const char *id, struct buf *to,
			       bool *ret_running, struct err *e);

/*
 * Have fn called, on a thread of the engine, whenever any job has ended, so
 * that one thread can wait for many. Set once, before the first job.
 */
void engine_on_end(struct engine *g, void (*fn)(void *ctx), void *ctx);

/*
 * Who starts jobs tells people why they fail: leave that out of the log. Set
 * once, before the first job.
 */
void engine_keep_quiet(struct engine *g);

/*
 * Find out, on a thread of its own, whether Nix's sandbox is on, and say it
 * in the log. Once at most.
 */
void engine_probe(struct engine *g);

/* Are storage, state, Nix and the package source there? For /readyz. */
MUST_CHECK int engine_check(struct engine *g, struct err *e);

/* Numbers for /metrics. */
struct engine_stats {
	uint64_t builds_running;
	uint64_t builds_queued;
	uint64_t builds_done;
	uint64_t builds_failed;
	uint64_t layers_packed;
	uint64_t layers_reused;
	uint64_t processes_started; /* Nix processes */
	uint64_t stage_us[STAGES];  /* microseconds, over all builds */
};

void engine_stats(struct engine *g, struct engine_stats *ret);

#endif
