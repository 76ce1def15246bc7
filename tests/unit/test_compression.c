/* SPDX-License-Identifier: Apache-2.0 */
#include "core/base/err.h"
#include "core/model/compression.h"
#include "tests/support/tap.h"

static const struct {
	const char *text;
	enum compression_kind kind;
	int level;
} good[] = {
	{"gzip:1", COMPRESSION_GZIP, 1},  {"gzip:12", COMPRESSION_GZIP, 12},
	{"zstd:1", COMPRESSION_ZSTD, 1},  {"zstd:19", COMPRESSION_ZSTD, 19},
	{"gzip:06", COMPRESSION_GZIP, 6},
};

static const char *const bad[] = {
	"",
	"gz",
	"GZIP",
	"gzip ",
	" gzip",
	"gzip:",
	"gzip:0",
	"gzip:13",
	"zstd:0",
	"zstd:20",
	"zstd:-1",
	"zstd:3:3",
	"gzip:1x",
	"gzip: 1",
	"none",
	":3",
	"gzip:99999999999999999999",
};

int
main(void)
{
	struct compression c = {.level = 0};
	struct err e = ERR_INIT;

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		ok(compression_parse(good[i].text, &c, &e) == 0 &&
			   c.kind == good[i].kind && c.level == good[i].level,
		   "%s", good[i].text);
	}
	ok(compression_parse("gzip", &c, &e) == 0 &&
		   c.kind == COMPRESSION_GZIP && c.level >= 1 && c.level <= 12,
	   "gzip alone has a level of its own");
	ok(compression_parse("zstd", &c, &e) == 0 &&
		   c.kind == COMPRESSION_ZSTD && c.level >= 1 && c.level <= 19,
	   "and zstd too");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		err_clear(&e);
		ok(compression_parse(bad[i], &c, &e) < 0 &&
			   e.kind == ERR_INVALID,
		   "refused: \"%s\" (%s)", bad[i], e.msg);
	}
	is_str(compression_name(COMPRESSION_GZIP), "gzip", "name of gzip");
	is_str(compression_name(COMPRESSION_ZSTD), "zstd", "name of zstd");
	/* OCI image specification 1.1, layer.md. */
	is_str(compression_media_type(COMPRESSION_GZIP),
	       "application/vnd.oci.image.layer.v1.tar+gzip", "type of gzip");
	is_str(compression_media_type(COMPRESSION_ZSTD),
	       "application/vnd.oci.image.layer.v1.tar+zstd", "type of zstd");
	return done_testing();
}
