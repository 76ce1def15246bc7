/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/counts.h"
#include "core/model/popularity.h"
#include "core/sys/fs.h"
#include "core/sys/log.h"
#include "tests/support/tap.h"

static void
put(const char *path, const char *text)
{
	struct err e = ERR_INIT;

	if (fs_write_atomic(path, text, strlen(text), &e) < 0)
		printf("# %s\n", e.msg);
}

int
main(void)
{
	char dir[] = "/tmp/firn-test-counts-XXXXXX";
	AUTO(buf) struct buf file = BUF_INIT, url = BUF_INIT;
	struct err e = ERR_INIT;
	struct counts c;
	char first[DIGEST_HEX_CAP];

	log_set_level(LOG_ERROR);
	if (!ok(mkdtemp(dir) != NULL, "a directory"))
		return done_testing();
	buf_printf(&file, "%s/source.json", dir);
	buf_printf(&url, "file://%s", file.p);

	counts_load(url.p, dir, &c);
	ok(!c.popularity && !c.id[0], "no counts and no copy: none");
	counts_release(&c);

	put(file.p, "{\"glibc-2.36\":500}");
	counts_load(url.p, dir, &c);
	is_u64(popularity_of(c.popularity, "glibc-2.36"), 500, "counts");
	memcpy(first, c.id, sizeof(first));
	counts_release(&c);

	(void)unlink(file.p);
	counts_load(url.p, dir, &c);
	is_u64(popularity_of(c.popularity, "glibc-2.36"), 500,
	       "unreachable: the last copy (nixery B29)");
	is_str(c.id, first, "  under the same name");
	counts_release(&c);

	put(file.p, "{broken");
	counts_load(url.p, dir, &c);
	is_str(c.id, first, "damaged: the last copy too");
	counts_release(&c);

	put(file.p, "{\"glibc-2.36\":501}");
	counts_load(url.p, dir, &c);
	ok(strcmp(c.id, first) != 0, "other counts have another name");
	counts_release(&c);
	ok(fs_remove_tree(dir, &e) == 0, "clean up %s", e.msg);
	return done_testing();
}
