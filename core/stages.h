/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_STAGES_H
#define FIRN_STAGES_H

/*
 * Where the time of a build goes: the stages of the pipeline, and a watch
 * that is in one of them at a time. An operator who asks why a pull took so
 * long finds the answer in the log and in /metrics.
 */
#include <stdint.h>

enum stage {
	STAGE_RESOLVE,  /* what moves to a revision; fetch the package set */
	STAGE_EVALUATE, /* names to store paths */
	STAGE_REALISE,  /* build or fetch them */
	STAGE_CLOSURE,  /* read what they need, and group it */
	STAGE_PACK,     /* layers into storage */
	STAGE_MANIFEST, /* configs, manifests and indexes into storage */
	STAGE_SBOM,
	STAGES,
};

/* One thread at a time; zeroed is ready. */
struct stages {
	uint64_t us[STAGES]; /* microseconds, by a clock that never jumps */
	uint64_t since;      /* when at was entered; 0: in no stage */
	enum stage at;
};

/* "resolve"; also the label in /metrics. Static. */
const char *stage_name(enum stage s);

/* The stage before, if there was one, ends here. */
void stages_enter(struct stages *t, enum stage s);

/* In no stage any more. */
void stages_end(struct stages *t);

#endif
