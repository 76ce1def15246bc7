/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How libfcgi is held here, and why (read in its source, 2.4.2 to 2.4.7):
 *
 * - FCGX_Accept_r would block in accept, or in reading a connection that
 *   says nothing. So we accept, and give it a connection only when there is
 *   something to read, with a time limit on the socket. For that the
 *   connection is put into the request (ipcFd), marked as kept alive, since
 *   FCGX_Accept_r else closes it first, and detached, since closing else
 *   waits up to two seconds for the peer. Should the connection be no good,
 *   it closes it and tries to accept from listen_sock: -1, which fails.
 * - FCGX_Init takes over SIGPIPE, SIGUSR1 and SIGTERM, and after a SIGPIPE
 *   every read and write fails for good. We put the handlers back.
 * - What was left unread of a request's input would be taken for the next
 *   request, or reset the connection when it is closed: read it to its end.
 *
 * All connections are in one epoll set, each armed for one event, so that
 * exactly one worker gets it; that worker owns the connection until it arms
 * it again, frees it, or parks it.
 */
#include "fcgi/server.h"

#include <errno.h>
#include <fcgiapp.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/base/mem.h"
#include "core/sys/log.h"
#include "fcgi/park.h"

#define IO_TIMEOUT_S 10
#define INPUT_MAX 65536u
#define KEEP_FDS 256u /* for everything but connections */

struct conn {
	FCGX_Request fcgx;
	int fd;
	/*
	 * Held while the connection is armed, and by the worker that gets its
	 * event before anything else: so who armed it is done with it.
	 */
	pthread_mutex_t handover;
	bool open; /* x is begun and not ended */
	enum wake why;
	struct exchange x;
	struct conn *prev, *next; /* all connections */
	struct parked parked;
};

struct server {
	struct server_options o;
	int epoll_fd, stop_fd;
	struct park *park;
	pthread_t *workers;
	size_t n_workers;
	pthread_t parker;
	bool have_parker;
	atomic_bool stopping;
	size_t max_conns;

	pthread_cond_t thread_ended;
	pthread_mutex_t lock; /* of what follows */
	size_t n_running;     /* threads */
	struct conn *conns;

	atomic_uint_fast64_t n_conns, accepted, left;
};

static void
conn_new(struct server *s, int fd)
{
	struct timeval limit = {.tv_sec = IO_TIMEOUT_S};
	struct conn *c = xcalloc(1, sizeof(*c));
	struct epoll_event ev = {
		.events = EPOLLIN | EPOLLRDHUP | EPOLLONESHOT,
		.data = {.ptr = c},
	};

	(void)pthread_mutex_init(&c->handover, NULL);
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	(void)FCGX_InitRequest(&c->fcgx, -1, 0);
	c->fcgx.ipcFd = fd;
	c->fcgx.keepConnection = 1;
	c->fd = fd;
	atomic_fetch_add(&s->accepted, 1);
	atomic_fetch_add(&s->n_conns, 1);
	(void)pthread_mutex_lock(&s->lock);
	c->next = s->conns;
	if (c->next)
		c->next->prev = c;
	s->conns = c;
	(void)pthread_mutex_unlock(&s->lock);
	(void)pthread_mutex_lock(&c->handover);
	(void)epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &ev);
	(void)pthread_mutex_unlock(&c->handover);
}

/* The application is done with the exchange. */
static void
end_exchange(struct server *s, struct conn *c, bool answered, size_t bytes)
{
	if (!c->open)
		return;
	s->o.app.end(s->o.app.ctx, &c->x, answered, bytes);
	log_set_request(NULL);
	response_release(&c->x.response);
	arena_release(&c->x.arena);
	c->open = false;
}

static void
conn_free(struct server *s, struct conn *c)
{
	end_exchange(s, c, false, 0);
	(void)pthread_mutex_lock(&s->lock);
	if (c->prev)
		c->prev->next = c->next;
	else
		s->conns = c->next;
	if (c->next)
		c->next->prev = c->prev;
	(void)pthread_mutex_unlock(&s->lock);
	FCGX_Free(&c->fcgx, 1);
	(void)pthread_mutex_destroy(&c->handover);
	atomic_fetch_sub(&s->n_conns, 1);
	free(c);
}

static void
arm(struct server *s, struct conn *c, uint32_t events)
{
	struct epoll_event ev = {
		.events = events | EPOLLONESHOT,
		.data = {.ptr = c},
	};

	(void)pthread_mutex_lock(&c->handover);
	/* It can't fail: the descriptor is in the set. */
	(void)epoll_ctl(s->epoll_fd, EPOLL_CTL_MOD, c->fd, &ev);
	(void)pthread_mutex_unlock(&c->handover);
}

/* An id for a request that the web server gave none. */
static const char *
make_id(struct arena *a)
{
	uint64_t r = 0;

	(void)!getrandom(&r, sizeof(r), 0);
	return arena_printf(a, "%016llx", (unsigned long long)r);
}

/* Read a request; false when the connection has nothing more to say. */
static bool
read_request(struct conn *c)
{
	struct err e = ERR_INIT;
	char input[4096];
	size_t total = 0;
	int n;

	FCGX_Detach(&c->fcgx);
	if (FCGX_Accept_r(&c->fcgx) < 0)
		return false;
	FCGX_Detach(&c->fcgx);
	do {
		n = FCGX_GetStr(input, sizeof(input), c->fcgx.in);
		total += n > 0 ? (size_t)n : 0;
	} while (n == (int)sizeof(input) && total < INPUT_MAX);
	if (total >= INPUT_MAX)
		c->fcgx.keepConnection = 0;
	c->x = (struct exchange){.start_ms = exchange_now_ms()};
	arena_init(&c->x.arena);
	response_init(&c->x.response);
	c->open = true;
	if (request_read(&c->x.arena, c->fcgx.envp, &c->x.request, &e) < 0)
		c->x.malformed = arena_strdup(&c->x.arena, e.msg);
	if (!*c->x.request.id)
		c->x.request.id = make_id(&c->x.arena);
	return true;
}

/* Write the answer; the connection is kept or freed. */
static void
answer(struct server *s, struct conn *c, bool keep)
{
	AUTO(buf) struct buf text = BUF_INIT;
	bool head = c->x.request.method == METHOD_HEAD;
	bool sent;

	response_write(&c->x.response, head, &text);
	/*
	 * A web server that has what it needs from the header of an answer
	 * (to HEAD, or with X-Accel-Redirect) may hang up: no failure.
	 */
	sent = FCGX_PutStr(text.p, (int)text.len, c->fcgx.out) == (int)text.len;
	FCGX_Finish_r(&c->fcgx);
	end_exchange(s, c, sent, text.len);
	if (!keep || c->fcgx.ipcFd < 0)
		conn_free(s, c);
	else
		arm(s, c, EPOLLIN | EPOLLRDHUP);
}

static void
serve(struct server *s, struct conn *c, enum wake why)
{
	const struct server_app *app = &s->o.app;

	log_set_request(c->x.request.id);
	if (!app->serve(app->ctx, &c->x, why)) {
		enum park_result p;

		/* Once parked it is not ours: not a look at it more. */
		c->parked = (struct parked){.x = &c->x, .fd = c->fd};
		p = park_add(s->park, &c->parked);

		if (p == PARK_DONE) {
			log_set_request(NULL);
			return;
		}
		(void)app->serve(app->ctx, &c->x,
				 p == PARK_FULL ? WAKE_FULL : WAKE_SHUTDOWN);
	}
	answer(s, c, true);
}

static void
accept_all(struct server *s)
{
	const struct timespec pause = {.tv_nsec = 20000000};

	while (!atomic_load(&s->stopping)) {
		int fd = accept4(s->o.listen_fd, NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0 && atomic_load(&s->n_conns) >= s->max_conns) {
			log_warn("server.full",
				 LOG_N("connections", s->max_conns));
			(void)close(fd);
		} else if (fd >= 0) {
			conn_new(s, fd);
		} else if (errno == EAGAIN || errno == EINVAL ||
			   errno == EBADF) {
			return;
		} else if (errno != EINTR && errno != ECONNABORTED) {
			log_warn("server.accept_failed",
				 LOG_S("error", strerrordesc_np(errno)));
			(void)nanosleep(&pause, NULL);
		}
	}
}

/* The last that a thread does. */
static void
leave(struct server *s)
{
	(void)pthread_mutex_lock(&s->lock);
	s->n_running--;
	(void)pthread_cond_signal(&s->thread_ended);
	(void)pthread_mutex_unlock(&s->lock);
}

static void *
worker_main(void *arg)
{
	struct server *s = arg;
	struct epoll_event ev;
	uint64_t one;

	for (;;) {
		struct conn *c;

		if (epoll_wait(s->epoll_fd, &ev, 1, -1) != 1)
			continue;
		if (ev.data.ptr == &s->stop_fd) {
			if (read(s->stop_fd, &one, sizeof(one)) > 0)
				break;
			continue;
		}
		if (ev.data.ptr == &s->o.listen_fd) {
			accept_all(s);
			continue;
		}
		c = ev.data.ptr;
		(void)pthread_mutex_lock(&c->handover);
		(void)pthread_mutex_unlock(&c->handover);
		if (c->open)
			serve(s, c, c->why);
		else if (read_request(c))
			serve(s, c, WAKE_NEW);
		else
			conn_free(s, c);
	}
	leave(s);
	return NULL;
}

static struct conn *
conn_of(struct parked *p)
{
	return (struct conn *)(void *)((char *)p -
				       offsetof(struct conn, parked));
}

/* From the park: any worker may go on. At the end there is none left to. */
static void
take_back(void *ctx, struct parked *p, enum wake why)
{
	struct conn *c = conn_of(p);
	struct server *s = ctx;

	c->why = why;
	if (why != WAKE_SHUTDOWN) {
		arm(s, c, EPOLLOUT);
		return;
	}
	log_set_request(c->x.request.id);
	(void)s->o.app.serve(s->o.app.ctx, &c->x, why);
	answer(s, c, false);
}

static void
drop(void *ctx, struct parked *p)
{
	struct conn *c = conn_of(p);
	struct server *s = ctx;

	log_set_request(c->x.request.id);
	atomic_fetch_add(&s->left, 1);
	conn_free(s, c);
}

static bool
is_ready(void *ctx, struct exchange *x)
{
	struct server *s = ctx;

	return s->o.app.ready(s->o.app.ctx, x);
}

static void *
parker_main(void *arg)
{
	struct server *s = arg;

	park_run(s->park);
	leave(s);
	return NULL;
}

void
server_wake(struct server *s)
{
	park_wake(s->park);
}

/* As many connections as descriptors allow, beside what we need. */
static size_t
raise_fd_limit(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) < 0)
		return 1024 - KEEP_FDS;
	r.rlim_cur = r.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &r) < 0)
		(void)getrlimit(RLIMIT_NOFILE, &r);
	return r.rlim_cur > 2 * KEEP_FDS ? (size_t)r.rlim_cur - KEEP_FDS
					 : KEEP_FDS;
}

static void
init_libfcgi(void)
{
	static const int taken[] = {SIGPIPE, SIGUSR1, SIGTERM};
	struct sigaction before[ARRAY_LEN(taken)];
	struct sigaction ignore = {.sa_flags = 0};

	for (size_t i = 0; i < ARRAY_LEN(taken); i++)
		(void)sigaction(taken[i], NULL, &before[i]);
	(void)FCGX_Init();
	for (size_t i = 0; i < ARRAY_LEN(taken); i++)
		(void)sigaction(taken[i], &before[i], NULL);
	ignore.sa_handler = SIG_IGN;
	(void)sigaction(SIGPIPE, &ignore, NULL);
}

static int
watch(struct server *s, int fd, void *mark, uint32_t events, struct err *e)
{
	struct epoll_event ev = {.events = events, .data = {.ptr = mark}};

	if (epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0)
		return err_set_errno(e, ERR_SYSTEM, errno, "watch a socket");
	return 0;
}

static int
open_fds(struct server *s, struct err *e)
{
	int flags = fcntl(s->o.listen_fd, F_GETFL);

	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	s->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);
	if (s->epoll_fd < 0 || s->stop_fd < 0)
		return err_set_errno(e, ERR_SYSTEM, errno, "make event queues");
	if (flags < 0 || fcntl(s->o.listen_fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return err_set_errno(e, ERR_SYSTEM, errno, "listening socket");
	if (watch(s, s->stop_fd, &s->stop_fd, EPOLLIN, e) < 0)
		return -1;
	/* One event for each arrival, to one worker; that accepts them all. */
	return watch(s, s->o.listen_fd, &s->o.listen_fd, EPOLLIN | EPOLLET, e);
}

static int
start_thread(struct server *s, void *(*main_fn)(void *), pthread_t *ret,
	     struct err *e)
{
	int rc;

	(void)pthread_mutex_lock(&s->lock);
	rc = pthread_create(ret, NULL, main_fn, s);
	s->n_running += rc == 0;
	(void)pthread_mutex_unlock(&s->lock);
	return rc == 0 ? 0 : err_set_errno(e, ERR_SYSTEM, rc, "start a thread");
}

static int
start_threads(struct server *s, struct err *e)
{
	sigset_t all, before;
	int rc;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_BLOCK, &all, &before);
	rc = start_thread(s, parker_main, &s->parker, e);
	s->have_parker = rc == 0;
	while (rc == 0 && s->n_workers < s->o.threads) {
		rc = start_thread(s, worker_main, &s->workers[s->n_workers], e);
		s->n_workers += rc == 0;
	}
	(void)pthread_sigmask(SIG_SETMASK, &before, NULL);
	return rc;
}

static void
init_locks(struct server *s)
{
	pthread_condattr_t attr;

	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&s->thread_ended, &attr);
	(void)pthread_condattr_destroy(&attr);
	(void)pthread_mutex_init(&s->lock, NULL);
}

int
server_start(const struct server_options *o, struct server **ret, struct err *e)
{
	struct server *s = xcalloc(1, sizeof(*s));
	struct err ignored = ERR_INIT;
	struct park_options park = {
		.max = o->waiters,
		.ctx = s,
		.ready = is_ready,
		.back = take_back,
		.left = drop,
	};

	s->o = *o;
	s->epoll_fd = s->stop_fd = -1;
	s->workers = xcalloc(o->threads, sizeof(*s->workers));
	s->max_conns = raise_fd_limit();
	init_locks(s);
	init_libfcgi();
	if (park_new(&park, &s->park, e) < 0 || open_fds(s, e) < 0 ||
	    start_threads(s, e) < 0) {
		if (server_stop(s, 1000, &ignored) == 0)
			server_free(s);
		return -1;
	}
	*ret = s;
	return 0;
}

/* Until at most n threads run. */
static int
wait_for_threads(struct server *s, size_t n, const struct timespec *until,
		 struct err *e)
{
	int rc = 0;

	(void)pthread_mutex_lock(&s->lock);
	while (s->n_running > n && rc == 0)
		rc = pthread_cond_timedwait(&s->thread_ended, &s->lock, until);
	(void)pthread_mutex_unlock(&s->lock);
	return rc == 0 ? 0 : err_set(e, ERR_TIMEOUT, "a thread does not end");
}

int
server_stop(struct server *s, uint64_t timeout_ms, struct err *e)
{
	uint64_t n = s->n_workers;
	struct timespec until;

	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += (time_t)(timeout_ms / 1000) + 1;
	atomic_store(&s->stopping, true);
	if (s->epoll_fd >= 0)
		(void)epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, s->o.listen_fd,
				NULL);
	if (s->park)
		park_close(s->park);
	/* What the parker hands back before it ends, workers serve first. */
	if (wait_for_threads(s, s->n_workers, &until, e) < 0)
		return -1;
	if (n > 0)
		(void)!write(s->stop_fd, &n, sizeof(n));
	if (wait_for_threads(s, 0, &until, e) < 0)
		return -1;
	if (s->have_parker)
		(void)pthread_join(s->parker, NULL);
	s->have_parker = false;
	for (; s->n_workers > 0; s->n_workers--)
		(void)pthread_join(s->workers[s->n_workers - 1], NULL);
	return 0;
}

void
server_free(struct server *s)
{
	if (!s)
		return;
	while (s->conns)
		conn_free(s, s->conns);
	if (s->epoll_fd >= 0)
		(void)close(s->epoll_fd);
	if (s->stop_fd >= 0)
		(void)close(s->stop_fd);
	park_free(s->park);
	(void)pthread_cond_destroy(&s->thread_ended);
	(void)pthread_mutex_destroy(&s->lock);
	free(s->workers);
	free(s);
}

void
server_stats(struct server *s, struct server_stats *ret)
{
	ret->connections = atomic_load(&s->n_conns);
	ret->accepted = atomic_load(&s->accepted);
	ret->left = atomic_load(&s->left);
	ret->parked = park_count(s->park);
}
