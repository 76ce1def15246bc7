/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_FCGI_APP_H
#define FIRN_FCGI_APP_H

/*
 * The application behind the server: finds the handler of a request, and
 * counts and logs what became of it. Handlers are in registry.h and site.h.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "fcgi/exchange.h"
#include "fcgi/server.h"

struct config;
struct engine;
struct err;

#define APP_STATUS_MAX 600u

struct app_counts {
	atomic_uint_fast64_t requests[ROUTE_KINDS][APP_STATUS_MAX];
	atomic_uint_fast64_t ms[ROUTE_KINDS]; /* from request to answer */
	atomic_uint_fast64_t bytes[ROUTE_KINDS];
};

/* Made once; everything in it locks itself. */
struct app {
	struct engine *engine;         /* borrowed */
	const struct config *config;   /* borrowed */
	struct server *_Atomic server; /* borrowed; NULL until it runs */
	struct app_counts counts;

	/* The last look at whether we are ready (site.c). */
	pthread_mutex_t ready_lock;
	uint64_t ready_at_ms; /* 0: never looked */
	bool ready;
	char ready_part[64];
};

void app_init(struct app *a, struct engine *engine,
	      const struct config *config);
void app_release(struct app *a);

/* What the server is to call. */
struct server_app app_ops(struct app *a);

/* A handler: as server_app.serve. */
typedef bool app_handler(struct app *a, struct exchange *x, enum wake why);

/*
 * Answer with the fault that e is (fault_of); log it when it is ours.
 * Returns true, as a handler that has answered.
 */
bool app_fail(struct exchange *x, const struct err *e, enum fault invalid,
	      enum fault missing);

#endif
