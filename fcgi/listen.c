/* SPDX-License-Identifier: Apache-2.0 */
#include "fcgi/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/err.h"

#define BACKLOG 4096
#define FIRST_PASSED_FD 3 /* sd_listen_fds(3) */

static struct sockaddr_un notify_to;
static socklen_t notify_to_n;

static bool
is_listening(int fd)
{
	socklen_t n = sizeof(int);
	int on = 0;

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &n) == 0 && on;
}

/* Is LISTEN_PID us, and LISTEN_FDS at least one? */
static bool
is_passed(void)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	uint64_t p = 0, n = 0;

	return pid && fds && str_to_u64(str_of(pid), INT32_MAX, &p) &&
	       str_to_u64(str_of(fds), INT32_MAX, &n) &&
	       p == (uint64_t)getpid() && n > 0;
}

static int
open_inherited(int *ret_fd, struct err *e)
{
	bool passed = is_passed();
	int null_fd;

	(void)unsetenv("LISTEN_PID");
	(void)unsetenv("LISTEN_FDS");
	(void)unsetenv("LISTEN_FDNAMES");
	if (passed && is_listening(FIRST_PASSED_FD)) {
		*ret_fd = FIRST_PASSED_FD;
		(void)fcntl(*ret_fd, F_SETFD, FD_CLOEXEC);
		return 0;
	}
	if (!is_listening(STDIN_FILENO))
		return err_set(e, ERR_INVALID,
			       "FIRN_LISTEN is not set, and no socket was "
			       "inherited");
	/* Children get /dev/null there. */
	*ret_fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, FIRST_PASSED_FD);
	null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (*ret_fd < 0 || null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0)
		return err_set_errno(e, ERR_SYSTEM, errno,
				     "move the inherited socket");
	(void)close(null_fd);
	return 0;
}

/* Does somebody listen there? */
static bool
is_alive(const struct sockaddr_un *at)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool alive = false;

	if (fd < 0)
		return true;
	alive = connect(fd, (const struct sockaddr *)at, sizeof(*at)) == 0 ||
		(errno != ECONNREFUSED && errno != ENOENT);
	(void)close(fd);
	return alive;
}

static int
remove_stale(const struct sockaddr_un *at, struct err *e)
{
	struct stat st;

	if (lstat(at->sun_path, &st) < 0)
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return err_set(e, ERR_INVALID,
			       "FIRN_LISTEN: %s is there and is no socket",
			       at->sun_path);
	if (is_alive(at))
		return err_set(e, ERR_INVALID,
			       "FIRN_LISTEN: another process listens on %s",
			       at->sun_path);
	(void)unlink(at->sun_path);
	return 0;
}

static int
open_unix(const char *path, int *ret_fd, struct err *e)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	size_t n = strlen(path);
	mode_t mask;
	int fd, rc;

	if (path[0] != '/' || n >= sizeof(at.sun_path))
		return err_set(e, ERR_INVALID,
			       "FIRN_LISTEN: unix: takes an absolute path of "
			       "less than %zu bytes",
			       sizeof(at.sun_path));
	memcpy(at.sun_path, path, n + 1);
	if (remove_stale(&at, e) < 0)
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_set_errno(e, ERR_SYSTEM, errno, "make a socket");
	mask = umask(0117);
	rc = bind(fd, (struct sockaddr *)&at, sizeof(at));
	(void)umask(mask);
	if (rc < 0 || listen(fd, BACKLOG) < 0) {
		err_set_errno(e, ERR_SYSTEM, errno, "FIRN_LISTEN: %s", path);
		(void)close(fd);
		return -1;
	}
	*ret_fd = fd;
	return 0;
}

/* "host:port", "[v6]:port"; *host is cut out of text. */
static int
split(char *text, char **ret_host, char **ret_port, struct err *e)
{
	char *colon = strrchr(text, ':');
	uint64_t port;

	if (!colon || colon == text ||
	    !str_to_u64(str_of(colon + 1), 65535, &port))
		return err_set(e, ERR_INVALID,
			       "FIRN_LISTEN: '%s' is neither unix:/path nor "
			       "host:port",
			       text);
	*colon = '\0';
	*ret_port = colon + 1;
	*ret_host = text;
	if (text[0] == '[' && colon[-1] == ']') {
		colon[-1] = '\0';
		*ret_host = text + 1;
	}
	return 0;
}

static int
bind_first(const struct addrinfo *list, int *ret_fd)
{
	const int on = 1;
	int failed = EADDRNOTAVAIL;

	for (; list; list = list->ai_next) {
		int fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (fd < 0) {
			failed = errno;
			continue;
		}
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		if (bind(fd, list->ai_addr, list->ai_addrlen) == 0 &&
		    listen(fd, BACKLOG) == 0) {
			*ret_fd = fd;
			return 0;
		}
		failed = errno;
		(void)close(fd);
	}
	return failed;
}

static int
open_tcp(const char *spec, int *ret_fd, struct err *e)
{
	const struct addrinfo hints = {
		.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
		.ai_socktype = SOCK_STREAM,
	};
	AUTO(buf) struct buf text = BUF_INIT;
	struct addrinfo *list;
	char *host = NULL, *port = NULL;
	int rc;

	buf_adds(&text, spec);
	if (split(text.p, &host, &port, e) < 0)
		return -1;
	rc = getaddrinfo(host, port, &hints, &list);
	if (rc != 0)
		return err_set(e, ERR_INVALID, "FIRN_LISTEN: %s: %s", spec,
			       gai_strerror(rc));
	rc = bind_first(list, ret_fd);
	freeaddrinfo(list);
	if (rc != 0)
		return err_set_errno(e, ERR_SYSTEM, rc, "FIRN_LISTEN: %s",
				     spec);
	return 0;
}

int
listen_open(const char *spec, int *ret_fd, struct err *e)
{
	if (!spec)
		return open_inherited(ret_fd, e);
	if (str_has_prefix(spec, "unix:"))
		return open_unix(spec + strlen("unix:"), ret_fd, e);
	return open_tcp(spec, ret_fd, e);
}

void
notify_init(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	size_t n = path ? strlen(path) : 0;

	if (n > 1 && n < sizeof(notify_to.sun_path) &&
	    (path[0] == '/' || path[0] == '@')) {
		notify_to.sun_family = AF_UNIX;
		memcpy(notify_to.sun_path, path, n);
		/* "@" stands for the NUL of an abstract name. */
		if (path[0] == '@')
			notify_to.sun_path[0] = '\0';
		notify_to_n =
			(socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
	}
	(void)unsetenv("NOTIFY_SOCKET");
}

void
notify_send(const char *state)
{
	int fd;

	if (notify_to_n == 0)
		return;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	(void)sendto(fd, state, strlen(state), MSG_NOSIGNAL,
		     (const struct sockaddr *)&notify_to, notify_to_n);
	(void)close(fd);
}
