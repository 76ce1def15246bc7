/* SPDX-License-Identifier: Apache-2.0 */
/* Apart from store.c, so that who needs no backend is not linked with all. */
#include <string.h>

#include "core/base/err.h"
#include "core/store/cloud.h"
#include "core/store/store.h"
#include "core/store/store_impl.h"

int
store_open(const struct store_options *o, struct store **ret, struct err *e)
{
	if (strcmp(o->backend, "filesystem") == 0)
		return store_fs_open(o->path, ret, e);
	if (strcmp(o->backend, "s3") == 0)
		return store_s3_open(o, ret, e);
	if (strcmp(o->backend, "gcs") == 0)
		return store_gcs_open(o, ret, e);
	return err_set(e, ERR_INVALID, "there is no storage backend \"%s\"",
		       o->backend);
}
