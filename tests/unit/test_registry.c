/* SPDX-License-Identifier: Apache-2.0 */
/* The handlers on an engine without Nix (tests/support/fake_engine.c). */
#include <stdlib.h>
#include <time.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/digest.h"
#include "core/base/err.h"
#include "core/config.h"
#include "core/engine.h"
#include "core/sys/fs.h"
#include "core/sys/log.h"
#include "fcgi/app.h"
#include "tests/support/tap.h"

#define CONTAINERD "containerd/2.3.4"
#define DOCKER_C8D \
	"docker/28.5.2 go/go1.24 UpstreamClient(containerd-client/2.1.9)"
#define SKOPEO "skopeo/1.18.0"
#define NONE      \
	"sha256:" \
	"0000000000000000000000000000000000000000000000000000000000000000"

/* What the fake engine has something attached to. */
#define SUBJECT \
	"a9491f4c1bf7b0cffbadcba2db8f028e4b3f2867cb59e1f3a0bc1968f3c51242"

static struct app app;
static struct server_app ops;

struct answer {
	struct exchange x;
	bool answered;
	struct buf text;
};

static void
begin(struct answer *w, const char *method, const char *uri, const char *agent)
{
	struct err e = ERR_INIT;
	char *envp[4] = {NULL};
	struct arena *a = &w->x.arena;

	memset(w, 0, sizeof(*w));
	arena_init(a);
	buf_init(&w->text);
	response_init(&w->x.response);
	w->x.start_ms = exchange_now_ms();
	envp[0] = arena_printf(a, "REQUEST_METHOD=%s", method);
	envp[1] = arena_printf(a, "REQUEST_URI=%s", uri);
	envp[2] = arena_printf(a, "HTTP_USER_AGENT=%s", agent);
	if (request_read(a, envp, &w->x.request, &e) < 0)
		abort();
}

static void
go(struct answer *w, enum wake why)
{
	w->answered = ops.serve(ops.ctx, &w->x, why);
	buf_clear(&w->text);
	if (w->answered)
		response_write(&w->x.response,
			       w->x.request.method == METHOD_HEAD, &w->text);
}

static void
end(struct answer *w)
{
	ops.end(ops.ctx, &w->x, w->answered, w->text.len);
	response_release(&w->x.response);
	buf_release(&w->text);
	arena_release(&w->x.arena);
}

/* Status of the answer at once; 0 when it would wait. */
static unsigned
status(const char *method, const char *uri, const char *agent, struct buf *to)
{
	struct answer w;
	unsigned ret;

	begin(&w, method, uri, agent);
	go(&w, WAKE_NEW);
	ret = w.answered ? w.x.response.status : 0;
	if (to) {
		buf_clear(to);
		buf_add(to, w.text.p, w.text.len);
	}
	end(&w);
	return ret;
}

static bool
has(const struct buf *text, const char *part)
{
	bool found = strstr(text->p, part) != NULL;

	if (!found)
		printf("# no '%s' in:\n# %s\n", part, text->p);
	return found;
}

/* All but the last digit of builds that the fake engine knows. */
#define BUILD "0123456789abcdef0123456789abcde"

static const struct {
	const char *method, *uri;
	unsigned status;
	const char *part;
} cases[] = {
	{"GET", "/v2/", 200, "registry/2.0"},
	{"HEAD", "/v2", 200, "Content-Length: 2"},
	{"POST", "/v2/", 405, "Allow: GET, HEAD"},
	{"DELETE", "/v2/a/manifests/latest", 405, "UNSUPPORTED"},
	{"POST", "/v2/a/blobs/uploads/", 405, "UNSUPPORTED"},
	{"PUT", "/v2/A/manifests/..", 405, "UNSUPPORTED"},
	{"BREW", "/", 405, "UNSUPPORTED"},
	{"GET", "/v2/a/manifests/latest", 200, "Cache-Control: no-cache"},
	{"GET", "/v2/a/manifests/latest?ns=docker.io", 200, "Docker-Content-D"},
	{"HEAD", "/v2/a/manifests/latest", 200, "Docker-Content-Digest"},
	{"GET", "/v2/a/manifests/other", 404, "MANIFEST_UNKNOWN"},
	{"GET", "/v2/a/manifests/" NONE, 404, "MANIFEST_UNKNOWN"},
	{"GET", "/v2/a/blobs/" NONE, 404, "BLOB_UNKNOWN"},
	{"HEAD", "/v2/a/blobs/" NONE, 404, "Content-Type: application/json"},
	{"GET", "/v2/A/manifests/latest", 400, "NAME_INVALID"},
	{"GET", "/v2/a/manifests/-", 400, "MANIFEST_INVALID"},
	{"GET", "/v2/a/blobs/sha256:xyz", 400, "DIGEST_INVALID"},
	{"GET", "/v2/../etc/passwd", 400, "errors"},
	{"GET", "/v2/amd64/manifests/latest", 400, "NAME_INVALID"},
	{"GET", "/v2/amd64/arm64/a/manifests/latest", 400, "NAME_INVALID"},
	{"GET", "/v2/unbuilt/tags/list", 404, "NAME_UNKNOWN"},
	{"GET", "/v2/a/tags/list", 200,
	 "{\"name\":\"a\",\"tags\":[\"latest\"]}"},
	{"GET", "/v2/a/tags/list?n=0", 200, "\"tags\":[]"},
	{"GET", "/v2/a/tags/list?last=latest", 200, "\"tags\":[]"},
	{"GET", "/v2/a/tags/list?n=x", 400, "errors"},
	{"GET", "/v2/_catalog", 200, "{\"repositories\":[\"a\"]}"},
	{"GET", "/v2/_catalog?n=-1", 400, "errors"},
	{"GET", "/v2/a/referrers/" NONE, 200, "\"manifests\":[]"},
	{"GET", "/v2/a/referrers/" NONE "?artifactType=x", 200,
	 "OCI-Filters-Applied: artifactType"},
	{"GET", "/v2/a/referrers/latest", 400, "DIGEST_INVALID"},
	{"GET", "/v2/a", 404, "errors"},
	{"GET", "/elsewhere", 404, "errors"},
	{"GET", "/healthz", 200, "ok"},
	{"GET", "/builds/" BUILD "e", 200, "text/plain; charset=utf-8"},
	{"GET", "/builds/" BUILD "e", 200, "<script>"},
	{"HEAD", "/builds/" BUILD "e", 200, "default-src 'none'"},
	{"GET", "/builds/" BUILD "f", 200, "Refresh: 2"},
	{"GET", "/builds/" BUILD "f", 200, "== it is still running"},
	{"GET", "/builds/00000000000000000000000000000000", 404,
	 "no such build"},
	{"GET", "/builds/x", 404, "errors"},
	{"GET", "/metrics", 200, "firn_http_requests_total{route=\"base\""},
};

static void
test_answers(void)
{
	AUTO(buf) struct buf text = BUF_INIT;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		is_u64(status(cases[i].method, cases[i].uri, "", &text),
		       cases[i].status, cases[i].uri);
		ok(has(&text, cases[i].part), "... with %s", cases[i].part);
	}
	ok(status("GET",
		  "/v2/never/manifests/sha256-" /* 64 digits */
		  "0000000000000000000000000000000000000000000000000000"
		  "000000000000.sig",
		  "", NULL) == 404,
	   "a signature's tag is a 404 at once");
}

/* The value of a header; NULL when there is none. */
static const char *
header(struct arena *a, const struct buf *text, const char *name)
{
	const char *at = strstr(text->p, name);

	if (!at)
		return NULL;
	at += strlen(name) + 2;
	return arena_strndup(a, at, strcspn(at, "\r"));
}

static void
test_pages(void)
{
	AUTO(buf) struct buf text = BUF_INIT;

	status("GET", "/v2/b/manifests/latest", "", NULL);
	status("GET", "/v2/c/manifests/latest", "", NULL);
	status("GET", "/v2/_catalog?n=2", "", &text);
	ok(has(&text, "{\"repositories\":[\"a\",\"b\"]}"), "the first page");
	ok(has(&text, "Link: </v2/_catalog?n=2&last=b>; rel=\"next\"\r\n"),
	   "... says where the next is");
	status("GET", "/v2/_catalog?n=2&last=b", "", &text);
	ok(has(&text, "{\"repositories\":[\"c\"]}"), "the second");
	ok(!strstr(text.p, "Link:"), "... is the last");
}

static void
test_referrers(void)
{
	static const char api[] = "/v2/a/referrers/sha256:" SUBJECT;
	static const char tag[] = "/v2/a/manifests/sha256-" SUBJECT;
	AUTO(buf) struct buf all = BUF_INIT, text = BUF_INIT;
	AUTO(arena) struct arena a = ARENA_INIT;
	const char *digest;

	is_u64(status("GET", api, "", &all), 200, "what is attached");
	ok(has(&all, "\"artifactType\":\"a/b\"") &&
		   has(&all, "\"artifactType\":\"c/d+e\""),
	   "... is listed");
	ok(has(&all, "Content-Type: application/vnd.oci.image.index.v1+json\r"),
	   "... in an index");
	ok(!strstr(all.p, "OCI-Filters-Applied"), "... without a filter");
	status("GET", arena_printf(&a, "%s?artifactType=c/d%%2Be", api), "",
	       &text);
	ok(has(&text, "OCI-Filters-Applied: artifactType") &&
		   has(&text, "c/d+e") && !strstr(text.p, "a/b"),
	   "one type of it");
	status("GET", arena_printf(&a, "%s?artifactType=c/d+e", api), "",
	       &text);
	ok(has(&text, "c/d+e") && !strstr(text.p, "a/b"),
	   "... also with its plus as it is");
	status("GET", arena_printf(&a, "%s?artifactType=", api), "", &text);
	ok(has(&text, "c/d+e") && has(&text, "a/b") &&
		   !strstr(text.p, "OCI-Filters-Applied"),
	   "an empty type is no filter");
	status("GET", arena_printf(&a, "%s?artifactType=x", api), "", &text);
	ok(has(&text, "\"manifests\":[]"), "a type that isn't there");
	is_u64(status("HEAD", api, "", &text), 200, "HEAD");

	is_u64(status("GET", tag, "", &text), 200, "the same by tag");
	is_str(strstr(text.p, "\r\n\r\n"), strstr(all.p, "\r\n\r\n"),
	       "... is the same");
	digest = header(&a, &text, "Docker-Content-Digest");
	is_u64(status("GET", arena_printf(&a, "/v2/a/blobs/%s", digest), "",
		      NULL),
	       200, "... and is there by digest");
	is_u64(status("GET", arena_printf(&a, "%s.sig", tag), "", NULL), 404,
	       "a signature's tag is none of it");
}

static void
test_digest(void)
{
	AUTO(buf) struct buf text = BUF_INIT, again = BUF_INIT;
	AUTO(arena) struct arena a = ARENA_INIT;
	const char *digest, *body, *config;
	struct answer w;

	status("GET", "/v2/a/manifests/latest", "", &text);
	digest = header(&a, &text, "Docker-Content-Digest");
	body = strstr(text.p, "\r\n\r\n");
	is_u64(status("GET", arena_printf(&a, "/v2/b/manifests/%s", digest), "",
		      &again),
	       200, "a manifest by its digest, under any name");
	ok(has(&again, body), "... has the same bytes");
	ok(has(&again, "Cache-Control: max-age=31536000, immutable"),
	   "... for ever");
	begin(&w, "GET", "/v2/a/manifests/latest", "");
	w.x.request.if_none_match = arena_printf(&a, "\"%s\"", digest);
	go(&w, WAKE_NEW);
	is_u64(w.x.response.status, 304, "who has it need not get it again");
	ok(has(&w.text, digest), "... but is told its digest");
	end(&w);
	config = strstr(body, "\"digest\":\"") + strlen("\"digest\":\"");
	config = arena_strndup(&a, config, strcspn(config, "\""));
	is_u64(status("GET", arena_printf(&a, "/v2/a/blobs/%s", config), "",
		      &text),
	       200, "a blob");
	ok(has(&text,
	       arena_printf(&a, "X-Accel-Redirect: /_firn/blobs/sha256/%s",
			    config + strlen("sha256:"))),
	   "... is the web server's to send");
	ok(!strstr(text.p, "Content-Length"), "... and to measure");
	is_u64(status("GET", arena_printf(&a, "/v2/a/manifests/%s", config), "",
		      NULL),
	       404, "a config is no manifest");
}

#define OCI_INDEX "application/vnd.oci.image.index.v1+json"
#define OCI_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"

/*
 * What nginx may keep, and under which first Accept header. Images here are
 * for one platform.
 */
static void
test_keeping(void)
{
	static const struct {
		const char *label, *first, *rest;
		bool kept;
	} asks[] = {
		{"no Accept", "", "", true},
		{"anything", "*/*", "", true},
		{"OCI, then all", OCI_MANIFEST,
		 ", " OCI_INDEX ", " DOCKER_MANIFEST, true},
		{"OCI in one line", OCI_MANIFEST ", " OCI_INDEX, "", true},
		/* Perhaps there is an index that others would get. */
		{"OCI manifests only", OCI_MANIFEST, "", false},
		{"Docker's first", DOCKER_MANIFEST,
		 ", " OCI_INDEX ", " OCI_MANIFEST, false},
		{"nothing that we have", "text/html", "", false},
	};
	struct answer w;

	for (size_t i = 0; i < ARRAY_LEN(asks); i++) {
		begin(&w, "GET", "/v2/a/manifests/latest", "");
		w.x.request.wait_at = "@there";
		w.x.request.accept_first = asks[i].first;
		w.x.request.accept = arena_printf(&w.x.arena, "%s%s",
						  asks[i].first, asks[i].rest);
		go(&w, WAKE_NEW);
		ok((strstr(w.text.p, "X-Accel-Expires: 1\r\n") != NULL) ==
			   asks[i].kept,
		   "%s: %s", asks[i].label,
		   asks[i].kept ? "kept for a second" : "not kept");
		end(&w);
	}
	begin(&w, "GET", "/v2/never/manifests/latest", "");
	w.x.request.wait_at = "@there";
	go(&w, WAKE_NEW);
	ok(w.answered && has(&w.text, "X-Accel-Redirect: @there\r\n"),
	   "what would wait is sent to where one may");
	ok(!w.x.job, "... and begins no build yet");
	end(&w);
	begin(&w, "GET", "/v2/a/manifests/latest", "");
	go(&w, WAKE_NEW);
	ok(!strstr(w.text.p, "X-Accel"), "nothing is kept unless it is asked");
	end(&w);
}

static const struct {
	const char *label, *method, *uri, *agent;
	enum wake why;
	unsigned status;
	const char *part;
} waits[] = {
	{"first hold", "GET", "/v2/never/manifests/latest", SKOPEO,
	 WAKE_DEADLINE, 307, "Location: /v2/never/manifests/latest?w=1\r\n"},
	{"the query is kept", "GET", "/v2/never/manifests/latest?w=2&ns=d.io",
	 SKOPEO, WAKE_DEADLINE, 307, "latest?ns=d.io&w=3\r\n"},
	{"a redirect has a body", "GET", "/v2/never/manifests/latest",
	 CONTAINERD, WAKE_DEADLINE, 307, "being built: sleeping"},
	{"... and is not kept", "GET", "/v2/never/manifests/latest", "",
	 WAKE_DEADLINE, 307, "Cache-Control: no-store"},
	{"HEAD", "HEAD", "/v2/never/manifests/latest", SKOPEO, WAKE_DEADLINE,
	 307, "Location"},
	{"containerd's HEAD", "HEAD", "/v2/never/manifests/latest", CONTAINERD,
	 WAKE_DEADLINE, 405, "Allow: GET"},
	{"docker's on containerd", "HEAD", "/v2/never/manifests/latest",
	 DOCKER_C8D, WAKE_DEADLINE, 405, "Allow: GET"},
	{"the last but one", "GET", "/v2/never/manifests/latest?w=7", SKOPEO,
	 WAKE_DEADLINE, 307, "?w=8\r\n"},
	{"the last", "GET", "/v2/never/manifests/latest?w=8", SKOPEO,
	 WAKE_DEADLINE, 503, "Status: 503 image is still being built, retry"},
	{"containerd's last", "GET", "/v2/never/manifests/latest?w=8",
	 CONTAINERD, WAKE_DEADLINE, 429, "Retry-After: 1\r\n"},
	{"the last again", "GET", "/v2/never/manifests/latest?w=9", SKOPEO,
	 WAKE_DEADLINE, 503, "Status: 503 image is still being built, retry"},
	{"beyond the last", "GET", "/v2/never/manifests/latest?w=77", SKOPEO,
	 WAKE_DEADLINE, 503, "Retry-After"},
	{"nonsense for hops", "GET", "/v2/never/manifests/latest?w=x", SKOPEO,
	 WAKE_DEADLINE, 503, "Retry-After"},
	{"shutdown", "GET", "/v2/never/manifests/latest?w=3", CONTAINERD,
	 WAKE_SHUTDOWN, 307, "?w=4\r\n"},
	{"shutdown and HEAD", "HEAD", "/v2/never/manifests/latest", CONTAINERD,
	 WAKE_SHUTDOWN, 307, "?w=1\r\n"},
	{"shutdown in the last hold", "GET", "/v2/never/manifests/latest?w=8",
	 SKOPEO, WAKE_SHUTDOWN, 307, "?w=9\r\n"},
	{"shutdown after the last", "GET", "/v2/never/manifests/latest?w=9",
	 SKOPEO, WAKE_SHUTDOWN, 429, "Retry-After: 1\r\n"},
	{"too many wait", "GET", "/v2/never/manifests/latest", SKOPEO,
	 WAKE_FULL, 429, "TOOMANYREQUESTS"},
};

/* A build says what it does soon after it is counted. */
static void
let_builds_begin(void)
{
	const struct timespec tick = {.tv_nsec = 100000000};
	struct engine_stats s = {.builds_running = 0};

	for (int i = 0; i < 600 && s.builds_running == 0; i++) {
		(void)nanosleep(&tick, NULL);
		engine_stats(app.engine, &s);
	}
	(void)nanosleep(&tick, NULL);
}

static void
test_waits(void)
{
	for (size_t i = 0; i < ARRAY_LEN(waits); i++) {
		struct answer w;

		begin(&w, waits[i].method, waits[i].uri, waits[i].agent);
		go(&w, WAKE_NEW);
		ok(!w.answered, "%s: it waits", waits[i].label);
		if (i == 0)
			let_builds_begin();
		go(&w, waits[i].why);
		is_u64(w.x.response.status, waits[i].status, "... for this");
		ok(has(&w.text, waits[i].part), "... and says so");
		end(&w);
	}
}

static void
test_deadlines(void)
{
	static const struct {
		const char *uri, *agent;
		uint64_t hold_s;
	} holds[] = {
		{"/v2/never/manifests/latest", SKOPEO, 25},
		{"/v2/never/manifests/latest?w=7", SKOPEO, 25},
		{"/v2/never/manifests/latest?w=8", SKOPEO, 900},
		{"/v2/never/manifests/latest?w=9", SKOPEO, 900},
		{"/v2/never/manifests/latest?w=8", CONTAINERD, 25},
		{"/v2/never/manifests/latest?w=9", DOCKER_C8D, 25},
	};

	for (size_t i = 0; i < ARRAY_LEN(holds); i++) {
		struct answer w;
		uint64_t ms;

		begin(&w, "GET", holds[i].uri, holds[i].agent);
		go(&w, WAKE_NEW);
		ms = w.x.deadline_ms - w.x.start_ms;
		ok(ms >= holds[i].hold_s * 1000 &&
			   ms < holds[i].hold_s * 1000 + 2000,
		   "%s of %s holds %u s", holds[i].uri, holds[i].agent,
		   (unsigned)holds[i].hold_s);
		end(&w);
	}
}

/* Wait for the build, then see what comes of it. */
static unsigned
built(const char *uri, struct buf *to)
{
	const struct timespec tick = {.tv_nsec = 5000000};
	struct answer w;
	unsigned ret;

	begin(&w, "GET", uri, "");
	go(&w, WAKE_NEW);
	for (int i = 0; i < 12000 && !w.answered; i++) {
		if (ops.ready(ops.ctx, &w.x))
			go(&w, WAKE_READY);
		(void)nanosleep(&tick, NULL);
	}
	ret = w.x.response.status;
	buf_clear(to);
	buf_add(to, w.text.p, w.text.len);
	end(&w);
	return ret;
}

static void
test_ends(void)
{
	static const struct {
		const char *name;
		unsigned status;
		const char *part;
	} ends[] = {
		{"wait-50", 200, "Docker-Content-Digest"},
		{"broken", 422, "Status: 422 the build of 'broken' failed"},
		{"broken", 422, "\"detail\":\"the log's\\nlast line\""},
		{"refused", 403, "Status: 403 'refused' has an unfree licence"},
		{"missing", 404, "MANIFEST_UNKNOWN"},
		{"slow", 422, "took over 60 seconds"},
		{"cloud", 503, "UNAVAILABLE"},
		{"disk", 500, "UNAVAILABLE"},
	};
	AUTO(buf) struct buf text = BUF_INIT;

	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		char uri[100];

		(void)snprintf(uri, sizeof(uri), "/v2/%s/manifests/latest",
			       ends[i].name);
		is_u64(built(uri, &text), ends[i].status, ends[i].name);
		ok(has(&text, ends[i].part), "... %s", ends[i].part);
		ok(!strstr(text.p, "secret"), "... and nothing leaks");
	}
	is_u64(status("GET", "/v2/wait-50/manifests/latest", "", NULL), 200,
	       "what was built is there");
}

/* Those that make "not found" of a 404, and how they get to see why. */
static void
test_missing(void)
{
	static const struct {
		const char *agent, *query;
		unsigned status;
		const char *part;
	} who[] = {
		{CONTAINERD, "", 422, "Status: 422 there is no"},
		{DOCKER_C8D, "", 422, "Status: 422 there is no"},
		{CONTAINERD, "?ns=other.example", 404, "MANIFEST_UNKNOWN"},
		{"oras/1.2.3", "", 404, "Warning: 299 - \"there is no"},
		{SKOPEO, "", 404, "MANIFEST_UNKNOWN"},
	};
	AUTO(buf) struct buf text = BUF_INIT;

	for (size_t i = 0; i < ARRAY_LEN(who); i++) {
		char uri[100];

		(void)snprintf(uri, sizeof(uri), "/v2/a/manifests/other%s",
			       who[i].query);
		is_u64(status("GET", uri, who[i].agent, &text), who[i].status,
		       who[i].agent);
		ok(has(&text, who[i].part), "... %s", who[i].part);
		ok(!strstr(text.p, "Warning") == !strstr(who[i].part, "Warn"),
		   "... and nobody is told twice");
		(void)snprintf(uri, sizeof(uri), "/v2/a/manifests/" NONE "%s",
			       who[i].query);
		is_u64(status("GET", uri, who[i].agent, &text), 404,
		       "... a digest that isn't there is a 404");
	}
}

static void
test_site(void)
{
	AUTO(buf) struct buf text = BUF_INIT;
	struct answer w;

	begin(&w, "GET", "/", "");
	w.x.request.host = "\"><script>alert(1)</script>";
	go(&w, WAKE_NEW);
	ok(has(&w.text, "docker pull HOST/shell") &&
		   !strstr(w.text.p, "script>"),
	   "a host that could do harm is not shown");
	w.x.request.host = "registry.example:5000";
	go(&w, WAKE_NEW);
	ok(has(&w.text, "docker pull registry.example:5000/shell"),
	   "a good one is");
	end(&w);
	(void)setenv("FAKE_NOT_READY", "1", 1);
	is_u64(status("GET", "/readyz", "", &text), 503, "not ready");
	ok(has(&text, "\"part\":\"storage\"") && !strstr(text.p, "secret"),
	   "... says which part, and no more");
	(void)unsetenv("FAKE_NOT_READY");
	is_u64(status("GET", "/readyz", "", NULL), 503,
	       "the result is kept for a while");
}

int
main(void)
{
	char dir[] = "/tmp/firn-test-XXXXXX";
	struct config config = {
		.storage_path = dir,
		.max_builds = 2,
		.max_queue = 8,
		.hold_s = 25,
		.hops = 9,
		.final_hold_s = 900,
	};
	struct err e = ERR_INIT;
	struct engine *engine;

	log_set_level(LOG_ERROR);
	if (!ok(mkdtemp(dir) && engine_open(&config, &engine, &e) == 0,
		"the engine opens %s", e.msg))
		return done_testing();
	app_init(&app, engine, &config);
	ops = app_ops(&app);
	test_answers();
	test_pages();
	test_referrers();
	test_digest();
	test_keeping();
	test_ends();
	test_missing();
	test_waits();
	test_deadlines();
	test_site();
	engine_free(engine);
	app_release(&app);
	if (fs_remove_tree(dir, &e) < 0)
		printf("# %s\n", e.msg);
	return done_testing();
}
