/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FIRN_TESTS_CLOUDS_H
#define FIRN_TESTS_CLOUDS_H

/*
 * Clouds on this machine, for tests: fake_s3.py and fake_gcs.py, each with
 * its objects in a temporary directory. They need python3 and end with us.
 */
#include <stdbool.h>
#include <sys/types.h>

#include "core/store/store.h"

struct err;

/* Secrets that must show up nowhere. */
#define CLOUD_SECRET "firn-test-secret-key"
#define CLOUD_TOKEN "firn-test-session-token"
/* What the fakes put into the bodies of errors. */
#define CLOUD_BODY_SECRET "canonical-request-secret"

struct test_cloud {
	pid_t pid;
	unsigned port;
	char url[64];
	char dir[64]; /* temporary: objects/, spool/, key.json */
	char objects[80], spool[80], key_file[80];
	struct store_options options;
};

enum test_cloud_kind {
	TEST_S3,
	TEST_S3_TOKEN,   /* with a session token, and short pages */
	TEST_GCS_KEY,    /* with a service account's key; tokens last 2 s */
	TEST_GCS_PUBLIC, /* tokens from the metadata server, public objects */
};

/* False: it can't be started, *ret_why says why. */
bool test_cloud_start(struct test_cloud *c, enum test_cloud_kind kind,
		      const char **ret_why);
void test_cloud_stop(struct test_cloud *c);

/* Kill it and start it again, on the same port with the same objects. */
void test_cloud_kill(struct test_cloud *c);
bool test_cloud_restart(struct test_cloud *c);

/* Its clock is so many seconds ahead from now on. */
void test_cloud_clock(struct test_cloud *c, unsigned ahead_s);

/* What it gives out from now on lasts so long. */
void test_cloud_life(struct test_cloud *c, unsigned seconds);

/* The tokens and keys that it gave out are good no more. */
void test_cloud_drop_tokens(struct test_cloud *c);

/* A failure of storage's that shows no secret, and says what it is. */
bool test_cloud_is_clean(const struct err *e);
bool test_cloud_shows_secret(const char *text);

/*
 * Standard error, where the log is, goes to a file, at level debug. Does it
 * have something at the end, and no secret?
 */
struct test_log {
	char path[64];
};
void test_log_begin(struct test_log *l);
bool test_log_end(struct test_log *l);

/* Add a fault (JSON, see fake_cloud.py); take all away. */
void test_cloud_fault(struct test_cloud *c, const char *json);
void test_cloud_heal(struct test_cloud *c);

/* The calls so far whose line ("METHOD PATH STATUS") has this in it. */
size_t test_cloud_count(struct test_cloud *c, const char *part);

#endif
