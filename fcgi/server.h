/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_FCGI_SERVER_H
#define FIRN_FCGI_SERVER_H

/*
 * FastCGI on a listening socket, on libfcgi.
 *
 * Workers accept, read, serve and answer, and never wait for anything else.
 * What has to wait is parked: one thread, the parker, watches all parked
 * exchanges, and hands each back to the workers when what it waits for has
 * ended or its deadline has passed. A client that leaves meanwhile is
 * noticed (the web server closes the connection), and its exchange ended.
 * Idle keep-alive connections belong to no thread either.
 *
 * The peer is our web server: a socket that strangers can reach is a
 * mistake of configuration.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/base/attr.h"
#include "fcgi/exchange.h"

struct err;
struct server;

struct server_app {
	void *ctx;

	/*
	 * Serve the exchange: true when x->response holds the answer, false
	 * to park it until x->deadline_ms at most. Only WAKE_NEW may park.
	 * Runs on a worker, with WAKE_SHUTDOWN also on the parker.
	 */
	bool (*serve)(void *ctx, struct exchange *x, enum wake why);

	/* Has that ended what x is parked for? Asked after server_wake. */
	bool (*ready)(void *ctx, struct exchange *x);

	/*
	 * The exchange is over: once for each, whether answered (with how
	 * many bytes) or not, since the client had left.
	 */
	void (*end)(void *ctx, struct exchange *x, bool answered, size_t bytes);
};

struct server_options {
	int listen_fd; /* borrowed */
	size_t threads;
	size_t waiters;        /* how many may be parked */
	struct server_app app; /* outlives the server */
};

/* Start the threads. They block every signal. */
MUST_CHECK int server_start(const struct server_options *o, struct server **ret,
			    struct err *e);

/* Something that parked exchanges wait for has ended. Any thread. */
void server_wake(struct server *s);

/*
 * Take no more connections, serve what is parked with WAKE_SHUTDOWN and what
 * has been read, and end the threads. ERR_TIMEOUT when that takes longer
 * than timeout_ms: then nothing may be freed, and the process should end.
 */
MUST_CHECK int server_stop(struct server *s, uint64_t timeout_ms,
			   struct err *e);

/* After server_stop has succeeded. */
void server_free(struct server *s);

struct server_stats {
	uint64_t connections; /* open now */
	uint64_t accepted;    /* ever */
	uint64_t parked;      /* now */
	uint64_t left;        /* clients that left while parked, ever */
};

void server_stats(struct server *s, struct server_stats *ret);

#endif
