/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/digest.h"
#include "core/base/err.h"
#include "core/base/json.h"
#include "core/base/mem.h"
#include "core/base/strmap.h"
#include "tests/support/tap.h"

static void
test_err(void)
{
	struct err e = ERR_INIT;
	char text[3000];

	ok(err_set(&e, ERR_BUILD, "line %d\nmore", 1) == -1, "raising is -1");
	is_str(e.msg, "line 1 more", "an error is one line");
	err_wrap(&e, "while %s", "testing");
	is_str(e.msg, "while testing: line 1 more", "context comes first");
	ok(e.kind == ERR_BUILD, "wrapping keeps the kind");
	err_append(&e, " (%d)", 2);
	is_str(e.msg, "while testing: line 1 more (2)", "more behind it");
	err_clear(&e);
	memset(text, 'a', sizeof(text));
	for (size_t i = 0; i + 2 < sizeof(text); i += 2)
		memcpy(text + i, "\xC3\xA9", 2);
	text[sizeof(text) - 1] = '\0';
	err_set(&e, ERR_SYSTEM, "x%s", text);
	ok(strlen(e.msg) < ERR_MSG_MAX &&
		   (unsigned char)e.msg[strlen(e.msg) - 1] == 0xA9,
	   "a long text is cut between characters");
	err_append(&e, " the end");
	ok(strlen(e.msg) < ERR_MSG_MAX && strlen(e.msg) > ERR_MSG_MAX - 8 &&
		   strstr(e.msg, "\xC3\xA9 the end"),
	   "and again, where something is to come behind it");
	memset(text, 'b', sizeof(text));
	err_set_detail(&e, "one\ntwo", 7);
	is_str(e.detail, "one\ntwo", "detail keeps its lines");
}

static void
test_buf(void)
{
	char text[SIZE_TEXT_CAP];
	AUTO(buf) struct buf b = BUF_INIT;
	struct str s = str_of("a//b"), part;
	uint64_t v = 7;

	is_str(b.p, "", "an empty buffer is a string");
	buf_printf(&b, "%s-%d", "x", 42);
	buf_addc(&b, '!');
	is_str(b.p, "x-42!", "printf and add");
	buf_truncate(&b, 1);
	is_str(b.p, "x", "truncate");
	ok(str_cut(&s, '/', &part) && str_eq(part, "a") &&
		   str_cut(&s, '/', &part) && str_eq(part, "") &&
		   str_cut(&s, '/', &part) && str_eq(part, "b") &&
		   !str_cut(&s, '/', &part),
	   "cutting keeps empty parts");
	ok(str_to_u64(str_of("18446744073709551615"), UINT64_MAX, &v) &&
		   v == UINT64_MAX,
	   "the largest number");
	ok(!str_to_u64(str_of("18446744073709551616"), UINT64_MAX, &v),
	   "one more is refused");
	ok(!str_to_u64(str_of(""), 9, &v) && !str_to_u64(str_of("+1"), 9, &v) &&
		   !str_to_u64(str_of("1 "), 9, &v) &&
		   !str_to_u64(str_of("10"), 9, &v),
	   "no sign, no space, no more than the limit");
	is_str(size_text(999, text), "999 B", "a size in bytes");
	is_str(size_text(1999, text), "1.9 kB", "  in kB, cut");
	is_str(size_text(UINT64_MAX, text), "18446744.0 TB", "  the largest");
}

static void
test_arena(void)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	char *big = arena_alloc(&a, 100000, 1), *one, *two;
	AUTO(arena) struct arena fresh = ARENA_INIT;
	bool zero = true;

	(void)arena_alloc(&fresh, 0, 8);
	ok(fresh.head != NULL, "nothing has a place, in a new arena");
	for (size_t i = 0; i < 100000; i++)
		zero = zero && big[i] == 0;
	one = arena_strdup(&a, "one");
	big = arena_alloc(&a, 50000, 1);
	memset(big, 'x', 50000);
	two = arena_printf(&a, "%d", 2);
	ok(zero, "arena memory is zeroed");
	is_str(one, "one", "a small string survives a big neighbour");
	is_str(two, "2", "and the next one too");
}

static void
test_strmap(void)
{
	AUTO(strmap) struct strmap m = STRMAP_INIT;
	static char keys[5000][8];
	bool good = true;
	size_t v = 0;

	for (size_t i = 0; i < 5000; i++) {
		(void)snprintf(keys[i], sizeof(keys[i]), "k%zu", i);
		strmap_put(&m, keys[i], i, NULL);
	}
	for (size_t i = 0; i < 5000; i++)
		good = good && strmap_get(&m, keys[i], &v) && v == i;
	ok(good, "5000 keys are found again");
	ok(!strmap_get(&m, "k5000", &v), "and no other");
	ok(strmap_put(&m, "k7", 1, &v) && v == 7 && strmap_get(&m, "k7", &v) &&
		   v == 1,
	   "a key is replaced");
}

static void
test_digest(void)
{
	AUTO(hasher) struct hasher h;
	char text[DIGEST_TEXT_CAP];
	struct digest a, b;

	digest_of("abc", 3, &a);
	digest_text(&a, text);
	/* FIPS 180-4's example. */
	is_str(text,
	       "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61"
	       "f20015ad",
	       "SHA-256 of abc");
	ok(digest_parse(str_of(text), &b) && digest_eq(&a, &b),
	   "text and back");
	text[10] = 'A';
	ok(!digest_parse(str_of(text), &b), "upper case is refused");
	ok(!digest_parse(str_of("sha256:ab"), &b) &&
		   !digest_parse(str_of("sha512:"), &b) &&
		   !digest_parse(str_of(""), &b),
	   "short and foreign digests are refused");
	hasher_init(&h);
	hasher_field_str(&h, "ab");
	hasher_field_str(&h, "c");
	hasher_finish(&h, &a);
	hasher_field_str(&h, "a");
	hasher_field_str(&h, "bc");
	hasher_finish(&h, &b);
	ok(!digest_eq(&a, &b), "fields don't run into each other");
	hasher_field_str(&h, NULL);
	hasher_finish(&h, &a);
	hasher_field_str(&h, "");
	hasher_finish(&h, &b);
	ok(!digest_eq(&a, &b), "nothing differs from an empty string");
}

static const struct {
	const char *name, *text;
} bad_json[] = {
	{"nothing", ""},
	{"an open object", "{\"a\":1"},
	{"two values", "{} {}"},
	{"a trailing comma", "[1,]"},
	{"invalid UTF-8", "\"\xC3\x28\""},
	{"a NUL in a string", "\"a\\u0000b\""},
	{"a bare word", "nul"},
	{"a comment", "/* x */ 1"},
};

static void
test_json(void)
{
	static const char text[] = "{\"a\":[1,2,{\"b\":\"x\\ny\"}],\"n\":17,"
				   "\"t\":true,\"z\":null}";
	AUTO(arena) struct arena a = ARENA_INIT;
	AUTO(buf) struct buf b = BUF_INIT, deep = BUF_INIT;
	AUTO(json_out) struct json_out o;
	const struct json *v = NULL;
	struct err e = ERR_INIT;
	uint64_t n = 0;

	ok(json_parse(&a, text, strlen(text), NULL, &v, &e) == 0, "parses");
	ok(json_get_u64(v, "n", &n) && n == 17, "a number");
	ok(json_is(json_get(v, "a"), JSON_ARRAY) && json_get(v, "a")->n == 3,
	   "an array");
	is_str(json_get_str(json_get(v, "a")->kids->next->next, "b"), "x\ny",
	       "a string deep inside");
	ok(!json_get(v, "no") && !json_get_str(v, "n") &&
		   !json_get(json_get(v, "no"), "x"),
	   "what isn't there is NULL");
	for (size_t i = 0; i < ARRAY_LEN(bad_json); i++) {
		err_clear(&e);
		ok(json_parse(&a, bad_json[i].text, strlen(bad_json[i].text),
			      NULL, &v, &e) < 0,
		   "refused: %s", bad_json[i].name);
	}
	for (int i = 0; i < 100000; i++)
		buf_addc(&deep, '[');
	err_clear(&e);
	ok(json_parse(&a, deep.p, deep.len, NULL, &v, &e) < 0,
	   "refused: 100000 open brackets (%s)", e.msg);

	json_out_init(&o, &b);
	json_object(&o);
	json_kstr(&o, "s", "q\"\\\n\x01/");
	json_kstr(&o, "bad", "a\xFF\xC3z");
	json_knum(&o, "n", UINT64_MAX);
	json_object_end(&o);
	is_str(b.p,
	       "{\"s\":\"q\\\"\\\\\\n\\u0001/\",\"bad\":\"a\xEF\xBF\xBD\xEF\xBF"
	       "\xBDz\",\"n\":18446744073709551615}",
	       "writing escapes and mends");
}

int
main(void)
{
	test_err();
	test_buf();
	test_arena();
	test_strmap();
	test_digest();
	test_json();
	return done_testing();
}
