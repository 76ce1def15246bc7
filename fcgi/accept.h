/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_FCGI_ACCEPT_H
#define FIRN_FCGI_ACCEPT_H

/*
 * Which manifests does a client take? Reads Accept (RFC 9110, section
 * 12.5.1), which clients send as up to six lines in any order: the order
 * means nothing, and of q only that 0 is a no. Wildcards and an absent header
 * stand for OCI's forms. Pure.
 */
struct manifest_accept;

/* accept: all lines joined by commas, "" when there was none. */
void accept_read(const char *accept, struct manifest_accept *ret);

#endif
