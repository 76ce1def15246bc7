/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_STORE_XML_H
#define FIRN_STORE_XML_H

/*
 * As much XML as S3's answers need: elements found by their name. What is
 * read is checked by who asks for it; nothing here fails but by not finding.
 */
#include <stdbool.h>

#include "core/base/buf.h"

/*
 * The text between the next <name ...> and </name> in *s, which is moved
 * behind it. Elements of the same name do not nest in what S3 says.
 */
bool xml_next(struct str *s, const char *name, struct str *ret);

/* The text of the first such element, its five entities resolved. */
bool xml_text(struct str s, const char *name, struct buf *to);

#endif
