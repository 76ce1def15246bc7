/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_TESTS_FCGI_CLIENT_H
#define FIRN_TESTS_FCGI_CLIENT_H

/*
 * As much of a FastCGI web server as tests need: write requests, well-formed
 * or not, and read answers. Blocking, with a time limit.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/buf.h"

enum { FCGI_BEGIN = 1, FCGI_END = 3, FCGI_PARAMS = 4, FCGI_STDIN = 5 };
enum { FCGI_STDOUT = 6 };

UNUSED static int
client_connect(const char *path)
{
	struct timeval limit = {.tv_sec = 20};
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(at.sun_path, path, strlen(path) + 1);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (connect(fd, (struct sockaddr *)&at, sizeof(at)) < 0) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

/* One record; n is at most 65535. */
static inline void
client_record(struct buf *to, int type, const void *p, size_t n)
{
	const unsigned char head[8] = {
		1,                        /* version */
		(unsigned char)type,      /* of the record */
		0,                        /* request id, */
		1,                        /* ... 1 */
		(unsigned char)(n >> 8),  /* length, */
		(unsigned char)(n & 255), /* ... */
		0,                        /* no padding */
		0,
	};

	buf_add(to, head, sizeof(head));
	buf_add(to, p, n);
}

static inline void
client_param(struct buf *to, const char *name, const char *value)
{
	size_t n = strlen(name), m = strlen(value);
	const unsigned char len[8] = {
		(unsigned char)(0x80u | n >> 24), (unsigned char)(n >> 16),
		(unsigned char)(n >> 8),          (unsigned char)n,
		(unsigned char)(0x80u | m >> 24), (unsigned char)(m >> 16),
		(unsigned char)(m >> 8),          (unsigned char)m,
	};

	buf_add(to, len, sizeof(len));
	buf_add(to, name, n);
	buf_add(to, value, m);
}

static inline void
client_begin(struct buf *to, int role, bool keep)
{
	const unsigned char body[8] = {0, (unsigned char)role, keep};

	client_record(to, FCGI_BEGIN, body, sizeof(body));
}

/* A whole request for uri. */
UNUSED static void
client_request(struct buf *to, const char *method, const char *uri, bool keep)
{
	AUTO(buf) struct buf params = BUF_INIT;

	client_begin(to, 1, keep);
	client_param(&params, "REQUEST_METHOD", method);
	client_param(&params, "REQUEST_URI", uri);
	client_record(to, FCGI_PARAMS, params.p, params.len);
	client_record(to, FCGI_PARAMS, "", 0);
	client_record(to, FCGI_STDIN, "", 0);
}

static inline bool
client_send(int fd, const struct buf *b)
{
	size_t at = 0;

	while (at < b->len) {
		ssize_t n = send(fd, b->p + at, b->len - at, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		at += (size_t)n;
	}
	return true;
}

static inline bool
client_read(int fd, void *p, size_t n)
{
	size_t at = 0;

	while (at < n) {
		ssize_t got = recv(fd, (char *)p + at, n - at, 0);

		if (got <= 0)
			return false;
		at += (size_t)got;
	}
	return true;
}

/* The next answer's output, up to its end; false when there is none. */
UNUSED static bool
client_answer(int fd, struct buf *to)
{
	unsigned char head[8], body[65535 + 255];

	for (;;) {
		size_t n;

		if (!client_read(fd, head, sizeof(head)))
			return false;
		n = (size_t)(head[4] << 8 | head[5]);
		if (!client_read(fd, body, n + head[6]))
			return false;
		if (head[1] == FCGI_STDOUT)
			buf_add(to, body, n);
		if (head[1] == FCGI_END)
			return true;
	}
}

/* Has the other side hung up? Waits for it. */
UNUSED static bool
client_is_closed(int fd)
{
	char c;
	ssize_t n = recv(fd, &c, 1, 0);

	return n == 0 || (n < 0 && errno == ECONNRESET);
}

#endif
