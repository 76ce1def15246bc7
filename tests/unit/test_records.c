/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/model/layers.h"
#include "core/records.h"
#include "core/store/store.h"
#include "core/sys/fs.h"
#include "core/sys/log.h"
#include "tests/support/store_mem.h"
#include "tests/support/tap.h"
#include "tests/support/tree.h"

#define A "sha256:" A_HEX
#define A_HEX "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static void
put_text(struct store *st, const char *kind, const struct digest *key,
	 const char *text, size_t n)
{
	AUTO(buf) struct buf name = BUF_INIT;
	struct err e = ERR_INIT;
	char hex[DIGEST_HEX_CAP];

	digest_hex(key, hex);
	buf_printf(&name, "%s/%s", kind, hex);
	if (store_put_record(st, name.p, text, n, &e) < 0)
		ok(false, "%s", e.msg);
}

static void
test_image(struct store *st)
{
	struct digest key, other, manifest, got;
	struct err e = ERR_INIT;
	bool found = true;

	digest_of("key", 3, &key);
	digest_of("other", 5, &other);
	digest_of("manifest", 8, &manifest);
	ok(records_get_image(st, &key, &found, &got, &e) == 0 && !found,
	   "absence is an answer");
	ok(records_put_image(st, &key, &manifest, &e) == 0 &&
		   records_get_image(st, &key, &found, &got, &e) == 0 &&
		   found && digest_eq(&got, &manifest),
	   "an image is found again");
	ok(records_get_image(st, &other, &found, &got, &e) == 0 && !found,
	   "and under no other key");
	ok(records_put_image(st, &key, &other, &e) == 0 &&
		   records_get_image(st, &key, &found, &got, &e) == 0 &&
		   found && digest_eq(&got, &other),
	   "it can be replaced");
}

static void
test_layer(struct store *st)
{
	struct layer l = {.size = UINT64_MAX, .compression = COMPRESSION_ZSTD};
	struct layer got = {.size = 0};
	struct err e = ERR_INIT;
	struct digest key;
	bool found = true;

	digest_of("key", 3, &key);
	digest_of("blob", 4, &l.digest);
	digest_of("tar", 3, &l.diff_id);
	ok(records_get_layer(st, &key, &found, &got, &e) == 0 && !found,
	   "no layer under the key of an image");
	ok(records_put_layer(st, &key, &l, &e) == 0 &&
		   records_get_layer(st, &key, &found, &got, &e) == 0 && found,
	   "a layer is found again");
	ok(digest_eq(&got.digest, &l.digest) &&
		   digest_eq(&got.diff_id, &l.diff_id) && got.size == l.size &&
		   got.compression == l.compression,
	   "  with all that it is");
}

/* What other programs on the same bucket read: the format is a contract. */
static void
test_format(struct store *st)
{
	AUTO(buf) struct buf text = BUF_INIT;
	struct layer l = {.size = 5, .compression = COMPRESSION_GZIP};
	struct err e = ERR_INIT;
	struct digest abc;
	bool found = false;

	digest_of("abc", 3, &abc);
	l.digest = l.diff_id = abc;
	ok(records_put_image(st, &abc, &abc, &e) == 0 &&
		   store_get_record(st, "manifests/" A_HEX, &found, &text,
				    &e) == 0 &&
		   found,
	   "the record of an image");
	is_str(text.p,
	       "{\"manifest\":\"" A "\",\"check\":\"sha256:"
	       "2a4beb251426aa41988489fbe98121b15c45134813"
	       "87bc6eae35fc4c87f134f4\"}",
	       "  and its text");
	buf_clear(&text);
	ok(records_put_layer(st, &abc, &l, &e) == 0 &&
		   store_get_record(st, "layers/" A_HEX, &found, &text, &e) ==
			   0 &&
		   found,
	   "the record of a layer");
	is_str(text.p,
	       "{\"digest\":\"" A "\",\"diffId\":\"" A
	       "\",\"size\":5,\"compression\":\"gzip\","
	       "\"check\":\"sha256:"
	       "b201642051f06f6b309d14927bccf73a478e57eee1847da24cc5bb794a24453"
	       "a\"}",
	       "  and its text");
}

/* Of the same text, but for its name, another record with another checksum. */
static void
test_referrers(struct store *st)
{
	AUTO(buf) struct buf text = BUF_INIT;
	struct err e = ERR_INIT;
	struct digest abc, got;
	bool found = true;

	digest_of("abc", 3, &abc);
	ok(records_get_referrers(st, &abc, &found, &got, &e) == 0 && !found,
	   "nothing is attached");
	ok(records_put_referrers(st, &abc, &abc, &e) == 0 &&
		   records_get_referrers(st, &abc, &found, &got, &e) == 0 &&
		   found && digest_eq(&got, &abc),
	   "what is attached is found again");
	found = false;
	ok(store_get_record(st, "referrers/" A_HEX, &found, &text, &e) == 0 &&
		   found && str_has_prefix(text.p, "{\"index\":\"" A "\","),
	   "  in its record");
	put_text(st, "manifests", &abc, text.p, text.len);
	ok(records_get_image(st, &abc, &found, &got, &e) == 0 && !found,
	   "  which is none of an image");
}

static const char *const bad_images[] = {
	"",
	"{",
	"null",
	"[]",
	"{}",
	"{\"manifest\":7}",
	"{\"manifest\":\"" A_HEX "\"}",
	"{\"manifest\":\"" A "0\"}",
	"{\"manifest\":{\"digest\":\"" A "\"}}",
	"{\"manifest\":\"" A "\"",
	"{\"manifest\":\"" A "\"}",
	"{\"manifest\":\"" A "\",\"check\":\"" A "\"}",
};

static const char *const bad_layers[] = {
	"{\"diffId\":\"" A "\",\"size\":5,\"compression\":\"gzip\"}",
	"{\"digest\":\"" A "\",\"size\":5,\"compression\":\"gzip\"}",
	"{\"digest\":\"" A "\",\"diffId\":\"" A "\",\"compression\":\"gzip\"}",
	"{\"digest\":\"" A "\",\"diffId\":\"" A "\",\"size\":5}",
	"{\"digest\":\"" A "\",\"diffId\":\"" A
	"\",\"size\":-5,\"compression\":\"gzip\"}",
	"{\"digest\":\"" A "\",\"diffId\":\"" A
	"\",\"size\":\"5\",\"compression\":\"gzip\"}",
	"{\"digest\":\"" A "\",\"diffId\":\"" A
	"\",\"size\":5,\"compression\":\"lzma\"}",
	"{\"digest\":\"" A "\",\"diffId\":\"" A
	"\",\"size\":5,\"compression\":\"gzip\",\"check\":\"" A "\"}",
	"{\"digest\":\"" A "\",\"diffId\":\"x\",\"size\":5,\"compression\":"
	"\"gzip\"}",
};

/* A good record that got under another key's name says nothing. */
static void
test_moved(struct store *st)
{
	AUTO(buf) struct buf text = BUF_INIT;
	struct err e = ERR_INIT;
	struct digest abc, other, got;
	bool found = false;

	digest_of("abc", 3, &abc);
	digest_of("moved", 5, &other);
	ok(store_get_record(st, "manifests/" A_HEX, &found, &text, &e) == 0 &&
		   found,
	   "a good record");
	put_text(st, "manifests", &other, text.p, text.len);
	ok(records_get_image(st, &other, &found, &got, &e) == 0 && !found,
	   "  counts as absent under another key");
}

/* Run with standard error in a file, which the text is read from. */
static int
with_log(struct store *st, bool layer, const struct digest *key, bool *found,
	 struct buf *log, struct err *e)
{
	const char *path = tree_path("log");
	int saved = dup(STDERR_FILENO), r;
	struct digest d;
	struct layer l;

	(void)fflush(stderr);
	if (saved < 0 || !freopen(path, "w", stderr))
		exit(1);
	r = layer ? records_get_layer(st, key, found, &l, e)
		  : records_get_image(st, key, found, &d, e);
	(void)fflush(stderr);
	(void)dup2(saved, STDERR_FILENO);
	(void)close(saved);
	if (r == 0)
		r = fs_read_file(path, 1u << 20, log, e);
	return r;
}

static void
test_bad(struct store *st, bool layer, const char *text, size_t n)
{
	AUTO(buf) struct buf log = BUF_INIT;
	struct err e = ERR_INIT;
	struct digest key;
	bool found = true;

	digest_of("damaged", 7, &key);
	put_text(st, layer ? "layers" : "manifests", &key, text, n);
	ok(with_log(st, layer, &key, &found, &log, &e) == 0 && !found,
	   "counts as absent: %.60s %s", n < 100 ? text : "a large one", e.msg);
	ok(strstr(log.p, "record.damaged"), "  and is logged");
}

/* Somebody else may write what store_put_record would refuse. */
static void
test_huge(void)
{
	AUTO(mem) char *huge = xcalloc(1, STORE_RECORD_MAX + 2);
	AUTO(buf) struct buf log = BUF_INIT;
	const struct store_options o = {.backend = "filesystem",
					.path = tree_path("storage")};
	struct store *st = NULL;
	struct err e = ERR_INIT;
	char hex[DIGEST_HEX_CAP];
	struct digest key;
	bool found = true;

	memset(huge, ' ', STORE_RECORD_MAX + 1);
	digest_of("huge", 4, &key);
	digest_hex(&key, hex);
	tree_file(tree_path("storage/manifests/%s", hex), huge);
	ok(store_open(&o, &st, &e) == 0, "open %s", e.msg);
	ok(with_log(st, false, &key, &found, &log, &e) == 0 && !found,
	   "a record that is too large counts as absent %s", e.msg);
	ok(strstr(log.p, "record.damaged"), "  and is logged");
	store_free(st);
}

int
main(void)
{
	struct store *st = store_mem_new();

	tree_init();
	test_image(st);
	test_layer(st);
	test_format(st);
	test_moved(st);
	test_referrers(st);
	for (size_t i = 0; i < ARRAY_LEN(bad_images); i++)
		test_bad(st, false, bad_images[i], strlen(bad_images[i]));
	for (size_t i = 0; i < ARRAY_LEN(bad_layers); i++)
		test_bad(st, true, bad_layers[i], strlen(bad_layers[i]));
	test_huge();
	store_free(st);
	tree_done();
	return done_testing();
}
