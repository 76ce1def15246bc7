/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/digest.h"
#include "core/base/err.h"
#include "core/base/json.h"
#include "fcgi/respond.h"
#include "tests/support/tap.h"

static const struct {
	const char *label;
	enum err_kind kind;
	const char *status, *code;
	bool shown; /* does the client see the error's own text? */
} kinds[] = {
	{"malformed", ERR_INVALID, "400", "NAME_INVALID", true},
	{"not there", ERR_NOT_FOUND, "404", "MANIFEST_UNKNOWN", true},
	{"policy", ERR_DENIED, "403", "DENIED", true},
	{"a failed build", ERR_BUILD, "422", "MANIFEST_UNKNOWN", true},
	{"a timeout", ERR_TIMEOUT, "422", "MANIFEST_UNKNOWN", true},
	{"a full queue", ERR_BUSY, "429", "TOOMANYREQUESTS", true},
	{"an upstream", ERR_UPSTREAM, "503", "UNAVAILABLE", false},
	{"storage", ERR_STORAGE, "503", "UNAVAILABLE", false},
	{"the system", ERR_SYSTEM, "500", "UNAVAILABLE", false},
};

static const struct json *
first_error(struct arena *a, const struct response *r)
{
	struct err e = ERR_INIT;
	const struct json *body, *errors;

	if (json_parse(a, r->body.p, r->body.len, NULL, &body, &e) < 0)
		return NULL;
	errors = json_get(body, "errors");
	return json_is(errors, JSON_ARRAY) ? errors->kids : NULL;
}

static void
test_full(void)
{
	AUTO(response) struct response r;
	AUTO(buf) struct buf text = BUF_INIT;
	struct err e = ERR_INIT;
	enum fault f;

	response_init(&r);
	err_set_errno(&e, ERR_SYSTEM, ENOSPC, "write /secret/path");
	err_wrap(&e, "a layer");
	f = fault_of(&e, FAULT_NAME, FAULT_NO_MANIFEST);
	response_fault(&r, f, &e);
	response_write(&r, false, &text);
	ok(str_has_prefix(text.p, "Status: 503 ") &&
		   strstr(r.reason, "disk is full") && fault_is_ours(f),
	   "a full disk is told: %s", r.reason);
	ok(!strstr(text.p, "secret"), "but not where it is");
	err_clear(&e);
	err_set(&e, ERR_SYSTEM, "something else");
	ok(fault_of(&e, FAULT_NAME, FAULT_NO_MANIFEST) == FAULT_SYSTEM,
	   "what comes after it isn't taken for it");
}

static void
test_kinds(void)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		AUTO(arena) struct arena a = ARENA_INIT;
		AUTO(response) struct response r;
		AUTO(buf) struct buf text = BUF_INIT;
		const struct json *first;
		struct err e = ERR_INIT;
		char want[64];
		bool in_phrase;

		response_init(&r);
		err_set(&e, kinds[i].kind, "/secret/path of 'x'");
		err_set_detail(&e, "line 1\nline 2", 13);
		response_fault(&r, fault_of(&e, FAULT_NAME, FAULT_NO_MANIFEST),
			       &e);
		response_write(&r, false, &text);
		(void)snprintf(want, sizeof(want), "Status: %s ",
			       kinds[i].status);
		ok(str_has_prefix(text.p, want), "%s has its status",
		   kinds[i].label);
		in_phrase = strstr(r.reason, "/secret/path") != NULL;
		ok(in_phrase == kinds[i].shown, "... the phrase %s",
		   kinds[i].shown ? "says the cause" : "hides it");
		ok((strstr(text.p, "secret") != NULL) == kinds[i].shown &&
			   (strstr(text.p, "line 2") != NULL) == kinds[i].shown,
		   "... and so the body");
		first = first_error(&a, &r);
		is_str(json_get_str(first, "code"), kinds[i].code,
		       "... its code");
		ok(json_get_str(first, "message") != NULL, "... a message");
		ok(strstr(text.p, "Content-Type: application/json\r\n") != NULL,
		   "... as JSON");
	}
}

/* Of what is the operator's, a sentence of ours. */
static void
test_told(void)
{
	AUTO(response) struct response r;
	AUTO(buf) struct buf text = BUF_INIT;
	struct err e = ERR_INIT;

	response_init(&r);
	err_set(&e, ERR_UPSTREAM, "/secret/socket is gone");
	err_set_detail(&e, "secret too", 10);
	err_set_told(&e, "a daemon is gone");
	response_fault(&r, FAULT_UPSTREAM, &e);
	response_write(&r, false, &text);
	ok(str_has_prefix(text.p, "Status: 503 a daemon is gone\r\n"),
	   "the phrase says what is told");
	ok(strstr(text.p, "\"a daemon is gone\"") != NULL, "the body too");
	ok(!strstr(text.p, "secret"), "and no more");
	err_clear(&e);
	err_set(&e, ERR_SYSTEM, "another");
	response_fault(&r, FAULT_SYSTEM, &e);
	ok(strstr(r.reason, "the registry failed") != NULL,
	   "what was told is forgotten with it");
}

static void
test_phrase(void)
{
	AUTO(response) struct response r;
	AUTO(buf) struct buf text = BUF_INIT;
	struct err e = ERR_INIT;
	char longer[600];

	response_init(&r);
	err_set(&e, ERR_BUILD, "a\r\nSet-Cookie: x\x01\x7F \xC3\xA9 b");
	response_fault(&r, FAULT_BUILD, &e);
	is_str(r.reason, "a  Set-Cookie: x  b",
	       "a reason phrase is one line of ASCII");
	response_write(&r, false, &text);
	ok(strstr(text.p, "\nSet-Cookie") == NULL, "no header gets in");
	memset(longer, 'y', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	err_clear(&e);
	err_set(&e, ERR_BUILD, "%s", longer);
	response_fault(&r, FAULT_BUILD, &e);
	is_u64(strlen(r.reason), RESPONSE_REASON_MAX, "a phrase is cut");
	err_clear(&e);
	err_set(&e, ERR_BUILD, "\xC3\xA9");
	response_fault(&r, FAULT_BUILD, &e);
	is_str(r.reason, "Unprocessable Content", "a phrase is never empty");
	response_start(&r, 200);
	response_header(&r, "X-A", "b\r\nX-C: %s", "d");
	is_str(r.headers.p, "X-A: bX-C: d\r\n", "a header is one line");
}

static void
test_write(void)
{
	AUTO(response) struct response r;
	AUTO(buf) struct buf text = BUF_INIT;
	struct digest d;

	response_init(&r);
	response_start_json(&r, "application/json");
	buf_adds(&r.body, "{}");
	response_write(&r, false, &text);
	is_str(text.p,
	       "Status: 200 OK\r\nContent-Type: application/json\r\n"
	       "Content-Length: 2\r\n\r\n{}",
	       "GET");
	buf_clear(&text);
	response_write(&r, true, &text);
	is_str(text.p,
	       "Status: 200 OK\r\nContent-Type: application/json\r\n"
	       "Content-Length: 2\r\n\r\n",
	       "HEAD is GET without the body");
	response_start(&r, 304);
	buf_clear(&text);
	response_write(&r, false, &text);
	is_str(text.p, "Status: 304 Not Modified\r\n\r\n", "304 has no length");
	response_start(&r, 200);
	r.has_size = true;
	r.size = 1234;
	buf_clear(&text);
	response_write(&r, true, &text);
	ok(strstr(text.p, "Content-Length: 1234\r\n") != NULL,
	   "a length that is known without the body");
	response_fault(&r, FAULT_METHOD, NULL);
	ok(strstr(r.headers.p, "Allow: GET, HEAD\r\n") != NULL,
	   "405 says what is allowed");
	response_fault(&r, FAULT_BUSY, NULL);
	ok(strstr(r.headers.p, "Retry-After: ") != NULL,
	   "429 says when to come again");
	digest_of("", 0, &d);
	response_start(&r, 200);
	response_digest(&r, &d);
	ok(strstr(r.headers.p, "Docker-Content-Digest: sha256:e3b0c44298fc") &&
		   strstr(r.headers.p, "ETag: \"sha256:e3b0c44298fc"),
	   "the digest is in two headers");
}

static void
test_etag(void)
{
	char tag[DIGEST_TEXT_CAP], text[300];
	struct digest d;

	digest_of("x", 1, &d);
	digest_text(&d, tag);
	ok(!response_etag_matches("", &d), "no header matches nothing");
	ok(response_etag_matches("*", &d), "* matches");
	(void)snprintf(text, sizeof(text), "\"%s\"", tag);
	ok(response_etag_matches(text, &d), "the same tag matches");
	(void)snprintf(text, sizeof(text), "\"a\" ,\t W/\"%s\" ", tag);
	ok(response_etag_matches(text, &d), "a weak tag in a list matches");
	(void)snprintf(text, sizeof(text), "%s", tag);
	ok(!response_etag_matches(text, &d), "a bare tag does not");
	ok(!response_etag_matches("\"sha256:\", W/, ,", &d), "nor does noise");
}

static void
test_range(void)
{
	static const struct {
		const char *range, *if_range;
		unsigned status;
		const char *body, *content_range;
	} ranges[] = {
		{"bytes=0-3", "", 206, "0123", "bytes 0-3/10"},
		{"bytes=7-", "", 206, "789", "bytes 7-9/10"},
		{"bytes=-2", "", 206, "89", "bytes 8-9/10"},
		{"bytes=-99", "", 206, "0123456789", "bytes 0-9/10"},
		{"bytes=8-99999999999999", "", 206, "89", "bytes 8-9/10"},
		{"bytes=9-9", "", 206, "9", "bytes 9-9/10"},
		{"bytes=10-", "", 416, NULL, "bytes */10"},
		{"bytes=10-10", "", 416, NULL, "bytes */10"},
		{"bytes=-0", "", 416, NULL, "bytes */10"},
		{"Bytes=0-3", "", 206, "0123", "bytes 0-3/10"},
		{"bytes=, 2-3 ,", "", 206, "23", "bytes 2-3/10"},
		{"bytes=20-,1-2", "", 206, "12", "bytes 1-2/10"},
		{"bytes=20-,30-", "", 416, NULL, "bytes */10"},
		{"bytes=0-1,x", "", 200, "0123456789", NULL},
		{"bytes=0-5,3-9", "", 200, "0123456789", NULL},
		{"bytes=0-,0-", "", 200, "0123456789", NULL},
		{"bytes=,", "", 200, "0123456789", NULL},
		{"bytes=3-1", "", 200, "0123456789", NULL},
		{"bytes=-", "", 200, "0123456789", NULL},
		{"bytes=", "", 200, "0123456789", NULL},
		{"bytes=0", "", 200, "0123456789", NULL},
		{"bytes=99999999999999999999-", "", 200, "0123456789", NULL},
		{"lines=0-1", "", 200, "0123456789", NULL},
		{"", "", 200, "0123456789", NULL},
		{"bytes=0-3", "\"x\"", 200, "0123456789", NULL},
		{"bytes=0-3", "*", 200, "0123456789", NULL},
	};

	for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
		AUTO(response) struct response r;
		struct digest d;
		bool said;

		response_init(&r);
		response_start(&r, 200);
		buf_adds(&r.body, "0123456789");
		digest_of(r.body.p, r.body.len, &d);
		response_range(&r, ranges[i].range, ranges[i].if_range, &d);
		is_u64(r.status, ranges[i].status, ranges[i].range);
		if (ranges[i].body)
			is_str(r.body.p, ranges[i].body, "... its bytes");
		said = strstr(r.headers.p, "Content-Range") != NULL;
		ok(said == (ranges[i].content_range != NULL) &&
			   (!said ||
			    strstr(r.headers.p, ranges[i].content_range)),
		   "... Content-Range");
	}
}

/* What stands before and after the two parts, and between them. */
static void
test_parts(void)
{
	AUTO(response) struct response r;
	AUTO(buf) struct buf many = BUF_INIT, want = BUF_INIT;
	char hex[DIGEST_HEX_CAP];
	struct digest d;

	response_init(&r);
	response_start(&r, 200);
	response_header(&r, "A", "b");
	response_header(&r, "Content-Type", "t/t");
	response_header(&r, "C", "d");
	buf_adds(&r.body, "0123456789");
	digest_of(r.body.p, r.body.len, &d);
	digest_hex(&d, hex);
	response_range(&r, "bytes=7-8, -1,0-1", "", &d);
	is_u64(r.status, 206, "several ranges");
	buf_printf(&want,
		   "A: b\r\nC: d\r\n"
		   "Content-Type: multipart/byteranges; boundary=%s\r\n",
		   hex);
	is_str(r.headers.p, want.p, "... are a multipart body");
	buf_clear(&want);
	buf_printf(&want, "\r\n--%s\r\nContent-Type: t/t\r\n", hex);
	buf_adds(&want, "Content-Range: bytes 7-8/10\r\n\r\n78");
	buf_printf(&want, "\r\n--%s\r\nContent-Type: t/t\r\n", hex);
	buf_adds(&want, "Content-Range: bytes 9-9/10\r\n\r\n9");
	buf_printf(&want, "\r\n--%s\r\nContent-Type: t/t\r\n", hex);
	buf_adds(&want, "Content-Range: bytes 0-1/10\r\n\r\n01");
	buf_printf(&want, "\r\n--%s--\r\n", hex);
	is_str(r.body.p, want.p, "... each with its type and place");

	buf_adds(&many, "bytes=0-0");
	for (int i = 0; i < 16; i++)
		buf_adds(&many, ",1-1");
	response_start(&r, 200);
	buf_adds(&r.body, "01234567890123456789");
	response_range(&r, many.p, "", &d);
	is_u64(r.status, 200, "seventeen are too many");
}

int
main(void)
{
	test_kinds();
	test_full();
	test_told();
	test_phrase();
	test_write();
	test_etag();
	test_range();
	test_parts();
	return done_testing();
}
