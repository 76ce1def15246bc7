/* SPDX-License-Identifier: Apache-2.0 */
#include "fcgi/respond.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/base/digest.h"
#include "core/base/err.h"
#include "core/base/json.h"
#include "fcgi/range.h"

/* Of a notice; all of a response's have to fit into 4096 bytes. */
#define WARNING_MAX 1000u

static const struct {
	unsigned status;
	const char *phrase;
} phrases[] = {
	{200, "OK"},
	{304, "Not Modified"},
	{307, "Temporary Redirect"},
	{400, "Bad Request"},
	{403, "Forbidden"},
	{404, "Not Found"},
	{405, "Method Not Allowed"},
	{416, "Range Not Satisfiable"},
	{422, "Unprocessable Content"},
	{429, "Too Many Requests"},
	{500, "Internal Server Error"},
	{503, "Service Unavailable"},
};

/*
 * The one table. Codes are the specification's, but for UNAVAILABLE, which
 * registries use for 5xx. What was not built is 422 and not 5xx, of which
 * Docker and podman show no cause. A text here is what clients see instead
 * of the error's own, unless it says what they are told; NULL: they see that
 * one.
 */
static const struct {
	unsigned status;
	const char *code;
	const char *text;
	unsigned retry_after_s;
} faults[] = {
	[FAULT_REQUEST] = {400, "UNSUPPORTED", NULL, 0},
	[FAULT_NAME] = {400, "NAME_INVALID", NULL, 0},
	[FAULT_TAG] = {400, "MANIFEST_INVALID", NULL, 0},
	[FAULT_DIGEST] = {400, "DIGEST_INVALID", NULL, 0},
	[FAULT_NO_ROUTE] = {404, "UNSUPPORTED", "there is nothing at this path",
			    0},
	[FAULT_NO_NAME] = {404, "NAME_UNKNOWN", NULL, 0},
	[FAULT_NO_MANIFEST] = {404, "MANIFEST_UNKNOWN", NULL, 0},
	[FAULT_NO_BLOB] = {404, "BLOB_UNKNOWN", NULL, 0},
	[FAULT_NO_BUILD] = {404, "UNSUPPORTED",
			    "there is no such build, or its log is not kept "
			    "any more",
			    0},
	[FAULT_METHOD] = {405, "UNSUPPORTED",
			  "this registry is read-only: GET and HEAD", 0},
	[FAULT_RANGE] = {416, "UNSUPPORTED", "the range is beyond the end", 0},
	[FAULT_DENIED] = {403, "DENIED", NULL, 0},
	[FAULT_BUILD] = {422, "MANIFEST_UNKNOWN", NULL, 0},
	[FAULT_TIMEOUT] = {422, "MANIFEST_UNKNOWN", NULL, 0},
	[FAULT_BUSY] = {429, "TOOMANYREQUESTS", NULL, 15},
	[FAULT_STILL_BUILDING] = {429, "TOOMANYREQUESTS",
				  "image is still being built, retry", 1},
	[FAULT_HEAD_BUILDING] = {405, "UNSUPPORTED",
				 "image is still being built, use GET", 0},
	[FAULT_NOT_BUILT_YET] = {503, "UNAVAILABLE",
				 "image is still being built, retry", 30},
	[FAULT_UPSTREAM] = {503, "UNAVAILABLE",
			    "the registry can't reach what it needs; its "
			    "operator finds the cause in the log",
			    30},
	[FAULT_STORAGE] = {503, "UNAVAILABLE",
			   "the registry's storage does not answer, retry "
			   "later",
			   15},
	[FAULT_FULL] = {503, "UNAVAILABLE",
			"the registry's disk is full, retry when its operator "
			"has made room",
			60},
	[FAULT_SYSTEM] = {500, "UNAVAILABLE",
			  "the registry failed; its operator finds the cause "
			  "in the log",
			  0},
};

void
response_init(struct response *r)
{
	*r = (struct response){.status = 0};
	buf_init(&r->headers);
	buf_init(&r->body);
}

void
response_release(struct response *r)
{
	buf_release(&r->headers);
	buf_release(&r->body);
}

/*
 * The phrase is one line of printable ASCII, whatever the text holds; where
 * nothing of it is left, the phrase stays.
 */
static void
set_reason(struct response *r, const char *text)
{
	size_t n = 0;

	for (; *text && n < RESPONSE_REASON_MAX; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '\t' || c == '\n' || c == '\r')
			c = ' ';
		if (c >= 0x20 && c < 0x7F)
			r->reason[n++] = (char)c;
	}
	if (n > 0)
		r->reason[n] = '\0';
}

void
response_start(struct response *r, unsigned status)
{
	r->status = status;
	set_reason(r, "Error");
	for (size_t i = 0; i < ARRAY_LEN(phrases); i++)
		if (phrases[i].status == status)
			set_reason(r, phrases[i].phrase);
	buf_clear(&r->headers);
	buf_clear(&r->body);
	r->has_size = r->no_size = false;
	r->size = 0;
}

void
response_header(struct response *r, const char *name, const char *fmt, ...)
{
	AUTO(buf) struct buf value = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&value, fmt, ap);
	va_end(ap);
	buf_printf(&r->headers, "%s: ", name);
	for (size_t i = 0; i < value.len; i++)
		if (value.p[i] >= 0x20 && value.p[i] < 0x7F)
			buf_addc(&r->headers, value.p[i]);
	buf_adds(&r->headers, "\r\n");
}

void
response_warning(struct response *r, const char *text)
{
	AUTO(buf) struct buf quoted = BUF_INIT;

	/* quoted-string, RFC 9110 section 5.6.4; other bytes are dropped. */
	for (; *text && quoted.len < WARNING_MAX; text++) {
		if (*text == '"' || *text == '\\')
			buf_addc(&quoted, '\\');
		if (*text >= ' ' && *text <= '~')
			buf_addc(&quoted, *text);
	}
	response_header(r, "Warning", "299 - \"%s\"", quoted.p);
}

void
response_digest(struct response *r, const struct digest *d)
{
	char text[DIGEST_TEXT_CAP];

	digest_text(d, text);
	response_header(r, "Docker-Content-Digest", "%s", text);
	response_header(r, "ETag", "\"%s\"", text);
}

void
response_start_json(struct response *r, const char *media_type)
{
	response_start(r, 200);
	response_header(r, "Content-Type", "%s", media_type);
}

enum fault
fault_of(const struct err *e, enum fault invalid, enum fault missing)
{
	switch (e->kind) {
	case ERR_INVALID:
		return invalid;
	case ERR_NOT_FOUND:
		return missing;
	case ERR_DENIED:
		return FAULT_DENIED;
	case ERR_BUILD:
		return FAULT_BUILD;
	case ERR_TIMEOUT:
		return FAULT_TIMEOUT;
	case ERR_BUSY:
		return FAULT_BUSY;
	case ERR_UPSTREAM:
		return FAULT_UPSTREAM;
	case ERR_STORAGE:
		return FAULT_STORAGE;
	case ERR_NONE:
	case ERR_SYSTEM:
		break;
	}
	return err_is_full(e) ? FAULT_FULL : FAULT_SYSTEM;
}

bool
fault_is_ours(enum fault f)
{
	return f == FAULT_UPSTREAM || f == FAULT_STORAGE || f == FAULT_FULL ||
	       f == FAULT_SYSTEM;
}

void
response_fault(struct response *r, enum fault f, const struct err *e)
{
	AUTO(json_out) struct json_out o = {.gen = NULL};
	const char *text = faults[f].text;
	bool own = text != NULL;

	response_start(r, faults[f].status);
	if (!own)
		text = e ? e->msg : r->reason;
	else if (e && e->told && fault_is_ours(f))
		text = e->told;
	json_out_init(&o, &r->body);
	json_object(&o);
	json_key(&o, "errors");
	json_array(&o);
	json_object(&o);
	json_kstr(&o, "code", faults[f].code);
	json_kstr(&o, "message", text);
	if (!own && e && e->detail[0])
		json_kstr(&o, "detail", e->detail);
	json_object_end(&o);
	json_array_end(&o);
	json_object_end(&o);
	buf_addc(&r->body, '\n');
	set_reason(r, text);
	response_header(r, "Content-Type", "application/json");
	response_header(r, "Cache-Control", "no-store");
	if (faults[f].status == 405)
		response_header(r, "Allow", "%s",
				f == FAULT_HEAD_BUILDING ? "GET" : "GET, HEAD");
	if (faults[f].retry_after_s > 0)
		response_header(r, "Retry-After", "%u",
				faults[f].retry_after_s);
}

/* Take the type of the body out of the headers. */
static void
take_type(struct response *r, struct buf *ret)
{
	static const char name[] = "Content-Type: ";
	const size_t skip = sizeof(name) - 1;
	AUTO(buf) struct buf before = r->headers;
	struct str lines = {before.p, before.len}, line;

	buf_init(&r->headers);
	while (str_cut(&lines, '\n', &line)) {
		if (line.n > skip && memcmp(line.p, name, skip) == 0) {
			/* The line ends with "\r". */
			buf_add(ret, line.p + skip, line.n - skip - 1);
		} else if (line.n > 0) {
			buf_add(&r->headers, line.p, line.n);
			buf_addc(&r->headers, '\n');
		}
	}
}

/*
 * Several ranges as parts of a multipart/byteranges body. No text has its own
 * digest in it, so that may stand between them.
 */
static void
send_parts(struct response *r, const struct range_set *ranges,
	   const struct digest *d)
{
	AUTO(buf) struct buf type = BUF_INIT;
	AUTO(buf) struct buf whole = r->body;
	char mark[DIGEST_HEX_CAP];

	digest_hex(d, mark);
	buf_init(&r->body);
	take_type(r, &type);
	response_header(r, "Content-Type", "multipart/byteranges; boundary=%s",
			mark);
	for (size_t i = 0; i < ranges->n; i++) {
		const struct range *one = &ranges->v[i];

		buf_printf(&r->body,
			   "\r\n--%s\r\nContent-Type: %s\r\n"
			   "Content-Range: bytes %" PRIu64 "-%" PRIu64
			   "/%zu\r\n\r\n",
			   mark, type.p, one->first, one->last, whole.len);
		buf_add(&r->body, whole.p + one->first,
			(size_t)(one->last + 1 - one->first));
	}
	buf_printf(&r->body, "\r\n--%s--\r\n", mark);
}

static void
send_part(struct response *r, const struct range *one)
{
	size_t n = (size_t)(one->last + 1 - one->first);

	response_header(r, "Content-Range", "bytes %" PRIu64 "-%" PRIu64 "/%zu",
			one->first, one->last, r->body.len);
	memmove(r->body.p, r->body.p + one->first, n);
	buf_truncate(&r->body, n);
}

void
response_range(struct response *r, const char *range, const char *if_range,
	       const struct digest *d)
{
	char text[DIGEST_TEXT_CAP];
	size_t n = r->body.len;
	struct range_set set;

	digest_text(d, text);
	if (n == 0 || !range_read(range, n, &set))
		return;
	/* A strong comparison, of the tag with its quotes. */
	if (*if_range &&
	    (strlen(if_range) != strlen(text) + 2 || if_range[0] != '"' ||
	     strncmp(if_range + 1, text, strlen(text)) != 0))
		return;
	if (set.n == 0) {
		response_fault(r, FAULT_RANGE, NULL);
		response_header(r, "Content-Range", "bytes */%zu", n);
		return;
	}
	r->status = 206;
	set_reason(r, "Partial Content");
	if (set.n == 1)
		send_part(r, &set.v[0]);
	else
		send_parts(r, &set, d);
}

void
response_write(const struct response *r, bool head, struct buf *to)
{
	buf_printf(to, "Status: %u %s\r\n", r->status, r->reason);
	buf_add(to, r->headers.p, r->headers.len);
	if (!r->no_size && r->status != 304)
		buf_printf(to, "Content-Length: %llu\r\n",
			   (unsigned long long)(r->has_size ? r->size
							    : r->body.len));
	buf_adds(to, "\r\n");
	if (!head)
		buf_add(to, r->body.p, r->body.len);
}

bool
response_etag_matches(const char *if_none_match, const struct digest *d)
{
	struct str rest = str_of(if_none_match), tag;
	char text[DIGEST_TEXT_CAP], quoted[DIGEST_TEXT_CAP + 2];

	digest_text(d, text);
	(void)snprintf(quoted, sizeof(quoted), "\"%s\"", text);
	while (str_cut(&rest, ',', &tag)) {
		tag = str_trim(tag);
		if (tag.n > 2 && tag.p[0] == 'W' && tag.p[1] == '/') {
			tag.p += 2;
			tag.n -= 2;
		}
		if (str_eq(tag, "*") || str_eq(tag, quoted))
			return true;
	}
	return false;
}
