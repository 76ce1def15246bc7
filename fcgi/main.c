/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "core/base/err.h"
#include "core/config.h"
#include "core/engine.h"
#include "core/sys/log.h"
#include "fcgi/app.h"
#include "fcgi/listen.h"
#include "fcgi/server.h"

/* The service manager kills us after 90 seconds; be done well before. */
#define STOP_MS 20000u

enum exit_code {
	EXIT_OK = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2, /* wrong arguments or configuration */
};

static const char help[] =
	"usage: firn-fcgi [--help | --version]\n"
	"\n"
	"A container registry that makes images when they are asked for, as a\n"
	"FastCGI program behind a web server. Configured by environment\n"
	"variables: see firn.env(5). Listens on the socket that it inherits,\n"
	"or on FIRN_LISTEN (unix:/path or host:port).\n";

static int
complain(const struct err *e)
{
	(void)fprintf(stderr, "firn-fcgi: %s\n", e->msg);
	return e->kind == ERR_INVALID ? EXIT_USAGE : EXIT_FAILED;
}

static void
wake_server(void *ctx)
{
	struct app *a = ctx;
	struct server *s = atomic_load(&a->server);

	if (s)
		server_wake(s);
}

/* Wait for the signal that ends us; which one. */
static int
wait_for_signal(const sigset_t *set)
{
	int sig = 0;

	while (sigwait(set, &sig) != 0)
		continue;
	return sig;
}

/* Serve until a signal comes. The signals in set are blocked. */
static int
serve(struct app *a, const struct config *c, int listen_fd, const sigset_t *set)
{
	struct err e = ERR_INIT;
	struct server *s;
	struct server_options o = {
		.listen_fd = listen_fd,
		.threads = c->threads,
		.waiters = c->waiters,
		.app = app_ops(a),
	};
	int sig;

	if (server_start(&o, &s, &e) < 0)
		return complain(&e);
	atomic_store(&a->server, s);
	log_info("started", LOG_S("version", FIRN_VERSION),
		 LOG_S("source", source_kind_name(c->source.kind)),
		 LOG_S("location", c->source.location),
		 LOG_S("storage", c->storage_backend),
		 LOG_S("delivery", engine_delivery(a->engine)),
		 LOG_S("listen", c->listen ? c->listen : "inherited"),
		 LOG_N("threads", c->threads), LOG_N("waiters", c->waiters),
		 LOG_N("pid", (uint64_t)getpid()));
	notify_send("READY=1");
	sig = wait_for_signal(set);
	notify_send("STOPPING=1");
	log_info("stopping", LOG_S("signal", sigabbrev_np(sig)));
	if (server_stop(s, STOP_MS, &e) < 0) {
		/* A thread still uses what we would free. */
		log_err(LOG_ERROR, "stopped_hard", &e);
		_exit(EXIT_FAILED);
	}
	return EXIT_OK;
}

static int
run(const struct config *c, const sigset_t *set)
{
	static struct app app; /* large */
	struct err e = ERR_INIT;
	struct engine *engine;
	int listen_fd, ret;

	log_set_level(c->log_level);
	if (listen_open(c->listen, &listen_fd, &e) < 0)
		return complain(&e);
	if (engine_open(c, &engine, &e) < 0)
		return complain(&e);
	app_init(&app, engine, c);
	engine_on_end(engine, wake_server, &app);
	engine_probe(engine);
	ret = serve(&app, c, listen_fd, set);
	/* The engine calls the server until it has ended. */
	engine_free(engine);
	server_free(atomic_load(&app.server));
	app_release(&app);
	(void)close(listen_fd);
	log_info("stopped", LOG_N("pid", (uint64_t)getpid()));
	return ret;
}

int
main(int argc, char **argv)
{
	struct err e = ERR_INIT;
	struct config *config;
	sigset_t set;
	int ret;

	if (argc > 1 && strcmp(argv[1], "--help") == 0)
		return fputs(help, stdout) < 0 ? EXIT_FAILED : EXIT_OK;
	if (argc > 1 && strcmp(argv[1], "--version") == 0)
		return puts("firn-fcgi " FIRN_VERSION) < 0 ? EXIT_FAILED
							   : EXIT_OK;
	if (argc > 1) {
		(void)fputs(help, stderr);
		return EXIT_USAGE;
	}
	notify_init();
	if (config_read((const char *const *)environ, &config, &e) < 0)
		return complain(&e);
	/* Blocked here, before any thread is made, so in all of them. */
	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	(void)pthread_sigmask(SIG_BLOCK, &set, NULL);
	ret = run(config, &set);
	config_free(config);
	return ret;
}
