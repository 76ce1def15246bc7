/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_FCGI_REGISTRY_H
#define FIRN_FCGI_REGISTRY_H

/*
 * The pull side of the OCI distribution specification 1.1: handlers for
 * everything under /v2/ (see app.h for what a handler is).
 */
#include <stdbool.h>

#include "fcgi/app.h"

app_handler registry_base;
app_handler registry_manifest;
app_handler registry_blob;
app_handler registry_none;

#endif
