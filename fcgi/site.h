/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_FCGI_SITE_H
#define FIRN_FCGI_SITE_H

/*
 * What is not the registry: liveness, readiness, metrics, the page for
 * people (see app.h for what a handler is).
 */
#include <stdbool.h>

#include "fcgi/app.h"

app_handler site_health;  /* 200 while workers answer; asks nobody */
app_handler site_ready;   /* 200, or 503 with the part that is not */
app_handler site_metrics; /* Prometheus text format */
app_handler site_index;
app_handler site_build; /* what a build said, and says while it runs */
app_handler site_none;

#endif
