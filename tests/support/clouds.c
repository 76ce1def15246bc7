/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/clouds.h"

#include <fcntl.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/json.h"
#include "core/sys/fs.h"
#include "core/sys/http.h"
#include "core/sys/log.h"

#define BUCKET "firn-test"
#define EMAIL "firn@test.iam.gserviceaccount.com"

/* The modulus is what python's standard library can verify with. */
static bool
make_key(struct test_cloud *c, char ret_modulus[1024])
{
	EVP_PKEY *rsa = EVP_RSA_gen(2048);
	BIO *bio = BIO_new(BIO_s_mem());
	AUTO(json_out) struct json_out o = {.gen = NULL};
	AUTO(buf) struct buf text = BUF_INIT;
	struct err e = ERR_INIT;
	BIGNUM *n = NULL;
	char pem[4096] = "", uri[96], *hex;

	if (!rsa || EVP_PKEY_get_bn_param(rsa, OSSL_PKEY_PARAM_RSA_N, &n) != 1)
		return false;
	(void)PEM_write_bio_PKCS8PrivateKey(bio, rsa, NULL, NULL, 0, NULL,
					    NULL);
	(void)BIO_read(bio, pem, sizeof(pem) - 1);
	hex = BN_bn2hex(n);
	(void)snprintf(ret_modulus, 1024, "%s", hex);
	OPENSSL_free(hex);
	BN_free(n);
	BIO_free(bio);
	EVP_PKEY_free(rsa);
	(void)snprintf(uri, sizeof(uri), "%s/token", c->url);
	json_out_init(&o, &text);
	json_object(&o);
	json_kstr(&o, "type", "service_account");
	json_kstr(&o, "client_email", EMAIL);
	json_kstr(&o, "private_key", pem);
	json_kstr(&o, "token_uri", uri);
	json_object_end(&o);
	return fs_write_atomic(c->key_file, text.p, text.len, &e) == 0;
}

/* Start it; the port that it prints is *ret_port. */
static bool
start(struct test_cloud *c, const char *const *argv, unsigned *ret_port)
{
	char line[32] = "";
	size_t len = 0;
	int ends[2];
	ssize_t n;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return false;
	c->pid = fork();
	if (c->pid == 0) {
		(void)dup2(ends[1], 1);
		/* What it says when it is killed is no result of a test. */
		(void)dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), 2);
		(void)execvp(argv[0], (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	(void)close(ends[1]);
	/* To the end of the line, or the fake could not write it. */
	do {
		n = read(ends[0], line + len, sizeof(line) - 1 - len);
		len += n > 0 ? (size_t)n : 0;
	} while (n > 0 && !strchr(line, '\n'));
	(void)close(ends[0]);
	*ret_port = (unsigned)strtoul(line, NULL, 10);
	return *ret_port != 0;
}

static bool
start_s3(struct test_cloud *c, bool token)
{
	char port[16];
	const char *const argv[] = {"python3",
				    "tests/support/fake_s3.py",
				    c->objects,
				    BUCKET,
				    "test-key",
				    CLOUD_SECRET,
				    port,
				    token ? CLOUD_TOKEN : "",
				    token ? "7" : "1000",
				    NULL};

	(void)snprintf(port, sizeof(port), "%u", c->port);
	c->options.backend = "s3";
	c->options.s3.bucket = BUCKET;
	c->options.s3.endpoint = c->url;
	c->options.s3.region = "eu-test-1";
	c->options.s3.key_id = "test-key";
	c->options.s3.secret = CLOUD_SECRET;
	c->options.s3.token = token ? CLOUD_TOKEN : NULL;
	return start(c, argv, &c->port);
}

/*
 * The key is made once the port is known, since it names the token's URL: so
 * the fake is started twice.
 */
static bool
start_gcs(struct test_cloud *c, bool with_key)
{
	static char modulus[1024];
	char port[16];
	const char *argv[] = {"python3",  "tests/support/fake_gcs.py",
			      c->objects, BUCKET,
			      EMAIL,      "public",
			      port,       with_key ? "2" : "3600",
			      "7",        NULL};

	c->options.backend = "gcs";
	c->options.gcs.bucket = BUCKET;
	c->options.gcs.endpoint = c->url;
	(void)snprintf(port, sizeof(port), "%u", c->port);
	if (with_key && c->options.gcs.credentials)
		argv[5] = modulus;
	if (!start(c, argv, &c->port))
		return false;
	c->options.gcs.metadata_host = c->url + strlen("http://");
	if (!with_key || c->options.gcs.credentials)
		return true;
	test_cloud_kill(c);
	(void)snprintf(c->url, sizeof(c->url), "http://127.0.0.1:%u", c->port);
	if (!make_key(c, modulus))
		return false;
	c->options.gcs.credentials = c->key_file;
	return start_gcs(c, true);
}

static bool
start_kind(struct test_cloud *c, enum test_cloud_kind kind)
{
	switch (kind) {
	case TEST_S3:
	case TEST_S3_TOKEN:
		return start_s3(c, kind == TEST_S3_TOKEN);
	case TEST_GCS_KEY:
	case TEST_GCS_PUBLIC:
		return start_gcs(c, kind == TEST_GCS_KEY);
	}
	return false;
}

bool
test_cloud_start(struct test_cloud *c, enum test_cloud_kind kind,
		 const char **ret_why)
{
	memset(c, 0, sizeof(*c));
	(void)snprintf(c->dir, sizeof(c->dir), "%s/firn-cloud-XXXXXX",
		       getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	if (!mkdtemp(c->dir)) {
		*ret_why = "there is no place for its objects";
		return false;
	}
	(void)snprintf(c->objects, sizeof(c->objects), "%s/objects", c->dir);
	(void)snprintf(c->spool, sizeof(c->spool), "%s/spool", c->dir);
	(void)snprintf(c->key_file, sizeof(c->key_file), "%s/key.json", c->dir);
	c->options.spool = c->spool;
	c->options.delivery = STORE_DELIVERY_REDIRECT;
	c->options.url_ttl_s = 900;
	c->options.recheck_s = 60;
	c->options.pause_ms = 10;
	if (!start_kind(c, kind)) {
		*ret_why = "python3 can't start the fake cloud";
		test_cloud_stop(c);
		return false;
	}
	(void)snprintf(c->url, sizeof(c->url), "http://127.0.0.1:%u", c->port);
	return true;
}

void
test_cloud_kill(struct test_cloud *c)
{
	if (c->pid <= 0)
		return;
	(void)kill(c->pid, SIGKILL);
	(void)waitpid(c->pid, NULL, 0);
	c->pid = 0;
}

bool
test_cloud_restart(struct test_cloud *c)
{
	if (strcmp(c->options.backend, "s3") == 0)
		return start_s3(c, c->options.s3.token != NULL);
	return start_gcs(c, c->options.gcs.credentials != NULL);
}

void
test_cloud_stop(struct test_cloud *c)
{
	struct err e = ERR_INIT;

	test_cloud_kill(c);
	if (fs_remove_tree(c->dir, &e) < 0)
		printf("# %s\n", e.msg);
}

static void
control_answer(struct test_cloud *c, const char *method, const char *what,
	       const char *body, struct http_answer *a)
{
	struct http *h = http_new(&(struct http_options){.ca_file = NULL});
	char url[96];
	const struct http_request r = {
		.method = method,
		.url = url,
		.body = body,
		.size = strlen(body),
		.max_answer = 16u << 20,
	};
	struct err e = ERR_INIT;

	(void)snprintf(url, sizeof(url), "%s/-/%s", c->url, what);
	if (http_do(h, &r, a, &e) < 0)
		printf("# %s\n", e.msg);
	http_free(h);
}

static void
control(struct test_cloud *c, const char *method, const char *what,
	const char *body)
{
	AUTO(http_answer) struct http_answer a = HTTP_ANSWER_INIT;

	control_answer(c, method, what, body, &a);
}

size_t
test_cloud_count(struct test_cloud *c, const char *part)
{
	AUTO(http_answer) struct http_answer a = HTTP_ANSWER_INIT;
	struct str rest, line;
	size_t n = 0;

	control_answer(c, "GET", "calls", "", &a);
	rest = (struct str){a.body.p, a.body.len};
	while (str_cut(&rest, '\n', &line)) {
		AUTO(buf) struct buf text = BUF_INIT;

		buf_add(&text, line.p, line.n);
		n += strstr(text.p, part) != NULL;
	}
	return n;
}

void
test_cloud_fault(struct test_cloud *c, const char *json)
{
	control(c, "POST", "faults", json);
}

void
test_cloud_heal(struct test_cloud *c)
{
	control(c, "DELETE", "faults", "");
}

void
test_cloud_clock(struct test_cloud *c, unsigned ahead_s)
{
	char text[16];

	(void)snprintf(text, sizeof(text), "%u", ahead_s);
	control(c, "POST", "clock", text);
}

void
test_cloud_life(struct test_cloud *c, unsigned seconds)
{
	char text[16];

	(void)snprintf(text, sizeof(text), "%u", seconds);
	control(c, "POST", "life", text);
}

void
test_cloud_drop_tokens(struct test_cloud *c)
{
	control(c, "DELETE", "tokens", "");
}

/* --- secrets */

bool
test_cloud_shows_secret(const char *text)
{
	static const char *const secrets[] = {
		CLOUD_SECRET,      CLOUD_TOKEN,  CLOUD_BODY_SECRET,
		"X-Amz-Signature", "X-Goog-Sig", "PRIVATE KEY",
		"ya29.",           "assertion",
	};

	for (size_t i = 0; i < ARRAY_LEN(secrets); i++)
		if (strstr(text, secrets[i]))
			return true;
	return false;
}

bool
test_cloud_is_clean(const struct err *e)
{
	bool good = e->kind == ERR_STORAGE &&
		    !test_cloud_shows_secret(e->msg) && !e->detail[0] &&
		    str_has_prefix(e->msg, "storage: ");

	if (!good)
		printf("# %s: %s\n", err_kind_name(e->kind), e->msg);
	return good;
}

void
test_log_begin(struct test_log *l)
{
	int fd;

	(void)snprintf(l->path, sizeof(l->path), "%s/firn-log-XXXXXX",
		       getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	fd = mkstemp(l->path);
	(void)dup2(fd, STDERR_FILENO);
	(void)close(fd);
	log_set_level(LOG_DEBUG);
}

bool
test_log_end(struct test_log *l)
{
	AUTO(buf) struct buf text = BUF_INIT;
	struct err e = ERR_INIT;

	if (fs_read_file(l->path, 64u << 20, &text, &e) < 0)
		printf("# %s\n", e.msg);
	(void)unlink(l->path);
	return text.len > 0 && !test_cloud_shows_secret(text.p);
}
