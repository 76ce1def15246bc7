/* SPDX-License-Identifier: Apache-2.0 */
/* Channels elsewhere, as far as no host has to be there, and what is left. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/resolve.h"
#include "core/sys/fs.h"
#include "core/sys/log.h"
#include "core/sys/proc.h"
#include "tests/support/must.h"
#include "tests/support/tap.h"
#include "tests/support/tree.h"

static struct resolve_options options;

/* --- a server that announces one byte more than is taken */

static void *
serve(void *arg)
{
	static const char head[] = "HTTP/1.1 200 OK\r\n"
				   "Content-Length: 1073741825\r\n\r\nx";
	const int *listener = arg;
	char request[4096];
	int fd = accept(*listener, NULL, NULL);

	if (fd < 0)
		return NULL;
	(void)!read(fd, request, sizeof(request));
	(void)!write(fd, head, sizeof(head) - 1);
	(void)close(fd);
	return NULL;
}

static void
test_too_large(void)
{
	const struct source s = {.kind = SOURCE_CHANNEL, .location = "x"};
	struct sockaddr_in at = {.sin_family = AF_INET,
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(at);
	struct err e = ERR_INIT;
	struct revision r;
	pthread_t thread;
	char url[64];

	if (bind(listener, (struct sockaddr *)&at, len) < 0 ||
	    listen(listener, 1) < 0 ||
	    getsockname(listener, (struct sockaddr *)&at, &len) < 0 ||
	    pthread_create(&thread, NULL, serve, &listener) != 0)
		abort();
	(void)snprintf(url, sizeof(url), "http://127.0.0.1:%u/%%s",
		       (unsigned)ntohs(at.sin_port));
	options.channel_url = url;
	ok(resolve_revision(&s, "latest", &options, &r, &e) < 0 &&
		   e.kind == ERR_UPSTREAM && strstr(e.msg, "too much"),
	   "a tarball that is too large is the server's fault: %s", e.msg);
	/* Where nobody asked, it waits still. */
	(void)shutdown(listener, SHUT_RDWR);
	(void)pthread_join(thread, NULL);
	(void)close(listener);
}

/* --- names that may be commits */

static const struct {
	const char *name;
	bool asked; /* without a lookup */
} names[] = {
	{"nixos-24.05", true},
	{"nixpkgs-24.05-darwin", true},
	{"nixos-unstable-small", true},
	{"abc", true},
	{"0123456789abcdef0123456789abcdef01234567", false},
	{"0123456789ABCDEF0123456789abcdef01234567", false},
	{"0123456", false},
	{"ABCDEF0", false},
	{"abcd", false},
	{"x-1-gabcdef0123", false},
	{"20240101", false},
	{"set-abcdef0.tar.gz", false},
};

/* Nothing listens there: who asks gets no answer. */
static void
check_name(const char *url, const char *location, const char *name,
	   enum err_kind kind, const char *says)
{
	const struct source s = {.kind = SOURCE_CHANNEL, .location = location};
	struct err e = ERR_INIT;
	struct revision r;

	options.channel_url = url;
	ok(resolve_revision(&s, name, &options, &r, &e) < 0 && e.kind == kind &&
		   strstr(e.msg, says),
	   "%s: %s", name, e.msg);
}

#define REFUSED ERR_NOT_FOUND, "may be a commit, which is not served"
#define FETCHED ERR_UPSTREAM, "the package set: 127.0.0.1:1"
#define LOOKED_UP ERR_UPSTREAM, "git"

static void
test_names(void)
{
	static const char plain[] = "http://127.0.0.1:1/x/tar/%s";
	static const char archive[] = "http://127.0.0.1:1/x/archive/%s.tar";
	AUTO(buf) struct buf path = BUF_INIT;

	buf_adds(&path, getenv("PATH"));

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		check_name(plain, "main", names[i].name, FETCHED);
	options.found_commits_only = true;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const char *name = names[i].name;

		if (names[i].asked)
			check_name(plain, "main", name, FETCHED);
		else
			check_name(plain, "main", name, REFUSED);
		check_name(plain, name, "latest", FETCHED);
		check_name("/none/%s", "main", name, ERR_NOT_FOUND,
			   "there is no channel");
	}
	/* Where names can be looked up, and the host is down. */
	check_name(archive, names[4].name, "latest", FETCHED);
	check_name(archive, "main", names[4].name, REFUSED);
	for (size_t i = 5; i < ARRAY_LEN(names); i++)
		check_name(archive, "main", names[i].name, LOOKED_UP);
	check_name(archive, "main", "latest", FETCHED);
	/* Or there is no git. */
	(void)setenv("PATH", "/none", 1);
	check_name(archive, "main", names[6].name, LOOKED_UP);
	(void)setenv("PATH", path.p, 1);
	options.found_commits_only = false;
	check_name(archive, "main", names[6].name, FETCHED);
}

/* --- trees */

/* The tarball of the channel "x", a file of ours. */
static const char *
make_channel(void)
{
	const char *file = tree_path("set/default.nix");
	const char *const argv[] = {"tar", "-cf",          tree_path("x.tar"),
				    "-C",  tree_path("."), "set",
				    NULL};
	const struct proc_opts p = {.argv = argv};
	struct proc_result res;
	struct err e = ERR_INIT;

	tree_file(file, "{ }");
	must(proc_run(&p, &res, &e), &e);
	ok(res.exit_code == 0, "a tarball");
	buf_release(&res.output);
	return tree_path("%%s.tar");
}

static void
test_lost_tree(void)
{
	const struct source s = {.kind = SOURCE_CHANNEL, .location = "x"};
	AUTO(buf) struct buf path = BUF_INIT;
	AUTO(fd) int hold = -1;
	struct err e = ERR_INIT;
	struct revision r;

	must(resolve_revision(&s, "latest", &options, &r, &e), &e);
	must(fs_remove_tree(tree_path("state/src/%s", r.id), &e), &e);
	ok(access(tree_path("state/src/%s.ok", r.id), F_OK) == 0,
	   "a tree is gone, and its mark is not");
	ok(resolve_tree(&s, "latest", &r, &options, &path, &hold, &e) == 0 &&
		   hold >= 0 &&
		   access(tree_path("state/src/%s/default.nix", r.id), F_OK) ==
			   0,
	   "  it is made again: %s", e.msg);
}

static void
test_left_over(void)
{
	static const struct {
		const char *name;
		time_t age;
		bool stays;
	} cases[] = {
		{"0123456789abcdef0123456789abcdef", 3700, false},
		{"1123456789abcdef0123456789abcdef", 3500, true},
		{"2123456789abcdef0123456789abcde", 3700, true},
		{"url-456789abcdef0123456789abcdef", 3700, true},
	};
	const struct source s = {.kind = SOURCE_CHANNEL, .location = "x"};
	struct err e = ERR_INIT;
	struct revision r;

	must(fs_remove_tree(tree_path("state"), &e), &e);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *path = tree_path("state/src/%s", cases[i].name);
		struct timespec t[2] = {{.tv_nsec = UTIME_OMIT}};

		t[1].tv_sec = time(NULL) - cases[i].age;
		tree_file(path, "");
		if (utimensat(AT_FDCWD, path, t, 0) < 0)
			abort();
	}
	must(resolve_revision(&s, "latest", &options, &r, &e), &e);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		ok((access(tree_path("state/src/%s", cases[i].name), F_OK) ==
		    0) == cases[i].stays,
		   "%s, %u s old, %s", cases[i].name, (unsigned)cases[i].age,
		   cases[i].stays ? "stays" : "is removed");
}

int
main(void)
{
	log_set_level(LOG_ERROR);
	(void)setenv("no_proxy", "127.0.0.1", 1);
	tree_init();
	options.state_path = tree_path("state");
	test_too_large();
	test_names();
	options.channel_url = make_channel();
	test_lost_tree();
	test_left_over();
	tree_done();
	return done_testing();
}
