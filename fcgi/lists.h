/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_FCGI_LISTS_H
#define FIRN_FCGI_LISTS_H

/*
 * What has been built: the tags of an image (OCI distribution specification
 * 1.1, end-8a and 8b) and the catalog of images, in pages.
 */
#include "fcgi/app.h"

app_handler lists_tags;
app_handler lists_catalog;

#endif
