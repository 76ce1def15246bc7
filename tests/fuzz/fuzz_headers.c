/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/digest.h"
#include "core/base/err.h"
#include "fcgi/request.h"
#include "fcgi/respond.h"
#include "tests/fuzz/fuzz.h"

#define BODY "0123456789"

/* Every header of the answer is one line of printable ASCII. */
static void
check_answer(const struct response *r)
{
	AUTO(buf) struct buf text = BUF_INIT;
	const char *end;

	response_write(r, true, &text);
	end = strstr(text.p, "\r\n\r\n");
	FUZZ_CHECK(end && end[4] == '\0');
	for (const char *p = text.p; p < end; p++) {
		if (p[0] == '\r' && p[1] == '\n')
			p++;
		else
			FUZZ_CHECK(*p >= 0x20 && *p < 0x7F);
	}
}

static void
check_range(const struct request *q, const struct digest *d)
{
	AUTO(response) struct response r;

	response_init(&r);
	response_start(&r, 200);
	buf_adds(&r.body, BODY);
	response_range(&r, q->range, q->if_range, d);
	check_answer(&r);
	if (r.status == 416)
		return;
	FUZZ_CHECK(r.status == 200 || r.status == 206);
	if (strstr(r.headers.p, "multipart/byteranges")) {
		FUZZ_CHECK(r.status == 206 && strstr(r.body.p, "--\r\n"));
		return;
	}
	FUZZ_CHECK(r.body.len > 0 && strstr(BODY, r.body.p));
	FUZZ_CHECK(r.status == 206 || r.body.len == strlen(BODY));
}

/* Lines of NAME=VALUE are parameters; what becomes of them is an answer. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	AUTO(response) struct response r;
	struct str rest = {(const char *)data, n}, line;
	char *envp[300] = {NULL};
	struct err e = ERR_INIT;
	struct request q;
	struct digest d;
	size_t lines = 0;

	response_init(&r);
	while (n > 0 && lines < ARRAY_LEN(envp) - 1 &&
	       str_cut(&rest, '\n', &line))
		envp[lines++] = arena_strndup(&a, line.p, line.n);
	digest_of(BODY, strlen(BODY), &d);
	if (request_read(&a, envp, &q, &e) < 0) {
		FUZZ_CHECK(e.kind == ERR_INVALID);
		response_fault(&r, FAULT_REQUEST, &e);
		check_answer(&r);
		return 0;
	}
	FUZZ_CHECK(strlen(q.id) <= REQUEST_ID_MAX);
	(void)response_etag_matches(q.if_none_match, &d);
	check_range(&q, &d);
	(void)err_set(&e, ERR_BUILD, "%s", q.user_agent);
	response_fault(&r, FAULT_BUILD, &e);
	response_header(&r, "X", "%s", q.uri);
	check_answer(&r);
	return 0;
}
