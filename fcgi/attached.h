/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_FCGI_ATTACHED_H
#define FIRN_FCGI_ATTACHED_H

/*
 * What is attached to a manifest: the referrers API (OCI distribution
 * specification 1.1, end-12a and 12b).
 */
#include "fcgi/app.h"

app_handler attached_list;

#endif
