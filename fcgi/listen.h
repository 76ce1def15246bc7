/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_FCGI_LISTEN_H
#define FIRN_FCGI_LISTEN_H

/*
 * The listening socket, and what the service manager is told. For main,
 * before there are threads: environment variables are read and removed.
 */
#include "core/base/attr.h"

struct err;

/*
 * Open the socket. spec is "unix:/path" (mode 0660; a socket that nobody
 * listens on is replaced), "host:port" or "[v6]:port", or NULL for the one
 * that we inherited: from the service manager (LISTEN_FDS), or as standard
 * input (spawn-fcgi). Close-on-exec. Fails with ERR_INVALID (spec, or nothing
 * inherited) or ERR_SYSTEM.
 */
MUST_CHECK int listen_open(const char *spec, int *ret_fd, struct err *e);

/* Where to tell the service manager; keeps a copy of NOTIFY_SOCKET. */
void notify_init(void);
/* E.g. "READY=1". Does nothing when nobody wants to know. */
void notify_send(const char *state);

#endif
