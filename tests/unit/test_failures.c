/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/digest.h"
#include "core/base/err.h"
#include "core/failures.h"
#include "core/sys/clock.h"
#include "tests/support/tap.h"

#include <time.h>

int
main(void)
{
	const struct timespec nap = {.tv_nsec = 30000000};
	struct failures *f = failures_new(4, 60000);
	struct failures *brief = failures_new(1, 10);
	struct err bad = ERR_INIT, got = ERR_INIT;
	struct digest a, b;

	digest_of("a", 1, &a);
	b = a;
	b.b[DIGEST_SIZE - 1] ^= 1; /* the same slot */
	(void)err_set(&bad, ERR_BUILD, "it failed");
	err_set_detail(&bad, "why\n", 4);
	ok(!failures_find(f, &a, &got), "nothing has failed yet");
	failures_note(f, &a, &bad);
	ok(failures_find(f, &a, &got) && got.kind == ERR_BUILD,
	   "what failed is told again");
	is_str(got.msg, "it failed", "  in the same words");
	is_str(got.detail, "why\n", "  and as many");
	ok(!failures_find(f, &b, &got), "to nobody else");
	failures_forget(f, &b);
	ok(failures_find(f, &a, &got), "another's is not forgotten");
	failures_note(f, &b, &bad);
	ok(!failures_find(f, &a, &got) && failures_find(f, &b, &got),
	   "one makes room for another");
	failures_forget(f, &b);
	ok(!failures_find(f, &b, &got), "what went well is forgotten");
	failures_note(brief, &a, &bad);
	(void)nanosleep(&nap, NULL);
	ok(!failures_find(brief, &a, &got), "it holds for its time only");
	failures_free(f);
	failures_free(brief);
	failures_free(NULL);
	return done_testing();
}
