/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_FCGI_EXCHANGE_H
#define FIRN_FCGI_EXCHANGE_H

/*
 * One request and its answer. The server (server.h) makes it and moves it
 * between threads; the application (app.h) fills in the answer. Only one
 * thread has it at a time.
 */
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "core/base/arena.h"
#include "fcgi/request.h"
#include "fcgi/respond.h"
#include "fcgi/route.h"

struct job;

/* Why an exchange is served. */
enum wake {
	WAKE_NEW,      /* it has just come */
	WAKE_READY,    /* what it was parked for has ended */
	WAKE_DEADLINE, /* deadline_ms has passed */
	WAKE_FULL,     /* it could not be parked: too many are */
	WAKE_SHUTDOWN, /* we are about to end */
};

struct exchange {
	struct arena arena; /* lives as long as the exchange */
	struct request request;
	const char *malformed; /* why the request was no good; NULL: it is */
	uint64_t start_ms;

	/* The application's, from here on. */
	struct route route;
	struct response response;
	struct job *job;      /* what it is parked for; held */
	uint64_t deadline_ms; /* when parked: served then in any case */
};

/* Milliseconds on a clock that only goes forward. */
static inline uint64_t
exchange_now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

#endif
