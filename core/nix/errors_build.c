/* SPDX-License-Identifier: Apache-2.0 */
/* Why a build failed. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/nix/errors.h"
#include "core/nix/impl.h"
#include "core/nix/report.h"

/* The first derivation that a text names; false when there is none. */
static bool
find_drv(const char *text, const char *dir, struct str *ret)
{
	size_t k = strlen(dir);

	for (const char *p = text; (p = strstr(p, dir)) != NULL; p += k) {
		size_t n = strcspn(p, " '\"\n,;:!^");

		const char *end = strstr(p, ".drv.chroot/");

		while (n > 0 && p[n - 1] == '.')
			n--;
		if (end && end < p + n)
			n = (size_t)(end - p) + 4;
		if (n > 4 && memcmp(p + n - 4, ".drv", 4) == 0) {
			*ret = (struct str){.p = p, .n = n};
			return true;
		}
	}
	return false;
}

enum build_text {
	TEXT_FAILED,
	TEXT_TIMEOUT,
	TEXT_PLAIN,
};

struct build_rule {
	const char *needle;
	enum err_kind kind;
	enum build_text how;
	const char *text; /* with the derivation's name before it */
};

static const struct build_rule build_rules[] = {
	{"timed out after", ERR_TIMEOUT, TEXT_TIMEOUT, NULL},
	{"hash mismatch", ERR_BUILD, TEXT_PLAIN,
	 "what was downloaded is not what the package set expects "
	 "(hash mismatch)"},
	{"failed to produce output", ERR_BUILD, TEXT_PLAIN,
	 "the build ended without an error, but left no output"},
	{"cycle detected", ERR_BUILD, TEXT_PLAIN,
	 "its outputs refer to each other in a circle"},
	{"unsupported type", ERR_BUILD, TEXT_PLAIN,
	 "the build left what the Nix store can't hold (a pipe, a socket or a "
	 "device)"},
	{"killed after writing more than", ERR_BUILD, TEXT_PLAIN,
	 "the build was ended: its log got too long"},
	{"failed with exit code", ERR_BUILD, TEXT_FAILED, NULL},
	{"failed due to signal", ERR_BUILD, TEXT_FAILED, NULL},
	{"builder failed", ERR_BUILD, TEXT_FAILED, NULL},
	{"is required to build", ERR_DENIED, TEXT_PLAIN,
	 "it must be built on another kind of machine than those that are "
	 "here, and no binary cache has it"},
	{"Required system", ERR_DENIED, TEXT_PLAIN,
	 "it must be built on another kind of machine than those that are "
	 "here, and no binary cache has it"},
	{"Required features", ERR_DENIED, TEXT_PLAIN,
	 "it must be built on a machine with features that are not here, and "
	 "no binary cache has it"},
	{"is not in the Nix store", ERR_BUILD, TEXT_PLAIN,
	 "what the package set gives is not a derivation"},
};

/* "exit code 17", "signal 9" in Nix's words; false when not said. */
static bool
how_it_ended(const char *words, struct buf *to)
{
	static const char *const marks[] = {"failed with exit code ",
					    "failed due to signal "};
	static const char *const names[] = {"exit code", "signal"};

	for (size_t i = 0; i < ARRAY_LEN(marks); i++) {
		const char *p = strstr(words, marks[i]);
		size_t n;

		if (!p)
			continue;
		p += strlen(marks[i]);
		n = strspn(p, "0123456789");
		if (n == 0)
			continue;
		buf_printf(to, "%s %.*s", names[i], (int)n, p);
		return true;
	}
	return false;
}

/* The last line of a log that has letters in it. */
static bool
last_line(const struct buf *log, struct str *ret)
{
	size_t end = log->len;

	while (end > 0) {
		size_t start;

		if (log->p[end - 1] == '\n')
			end--;
		start = end;
		while (start > 0 && log->p[start - 1] != '\n')
			start--;
		for (size_t i = start; i < end; i++) {
			if (!isalnum((unsigned char)log->p[i]))
				continue;
			*ret = (struct str){.p = log->p + start,
					    .n = end - start};
			return true;
		}
		end = start;
	}
	return false;
}

/* Not what the package set can mend, though it is a builder that met it. */
static int
fail_disk_full(const char *name, const struct buf *log, struct err *e)
{
	err_set(e, ERR_SYSTEM, "the disk got full while %s was built", name);
	e->errnum = ENOSPC;
	err_set_detail(e, log->p, log->len);
	return -1;
}

static int
fail_build(const struct nix_run *r, const struct build_rule *rule,
	   const char *words, struct err *e)
{
	AUTO(buf) struct buf name = BUF_INIT, drv = BUF_INIT, how = BUF_INIT;
	AUTO(buf) struct buf clean = BUF_INIT;
	const char *at = strstr(words, rule->needle);
	const struct buf *log;
	struct str s;

	if (find_drv(words, nix_store_named(r), &s) ||
	    find_drv(r->report->tail.p, nix_store_named(r), &s)) {
		buf_add(&drv, s.p, s.n);
		nix_text_package(&name, s.p, s.n);
	} else {
		buf_adds(&name, "a package");
	}
	log = nix_report_log(r->report, drv.len > 0 ? drv.p : NULL);
	if (rule->how == TEXT_FAILED && strstr(log->p, NIX_DISK_FULL))
		return fail_disk_full(name.p, log, e);
	/* Without a sandbox a builder sees and says what is on this machine. */
	nix_clean_log(r, log->p, &clean);
	switch (rule->how) {
	case TEXT_TIMEOUT:
		buf_add(&how, at, strcspn(at, "\n'\""));
		err_set(e, rule->kind,
			"building %s took too long: the builder %s, the limit "
			"here",
			name.p, how.p);
		break;
	case TEXT_FAILED:
		if (how_it_ended(words, &how))
			buf_adds(&how, "");
		else
			buf_adds(&how, "an error");
		if (last_line(&clean, &s))
			err_set(e, rule->kind,
				"building %s failed with %s; its log ends: "
				"%.*s",
				name.p, how.p, (int)(s.n < 300 ? s.n : 300),
				s.p);
		else
			err_set(e, rule->kind, "building %s failed with %s",
				name.p, how.p);
		break;
	case TEXT_PLAIN:
		err_set(e, rule->kind, "%s: %s", name.p, rule->text);
		break;
	}
	if (rule->how == TEXT_PLAIN)
		nix_set_detail(r, words, e);
	else
		err_set_detail(e, clean.p, clean.len);
	return -1;
}

/*
 * -1 when one of the errors says why a build failed, else 0. That error names
 * the derivation; others may name those that need it.
 */
static int
fail_builder(const struct nix_run *r, struct err *e)
{
	for (size_t i = 0; i < ARRAY_LEN(build_rules); i++) {
		for (size_t k = 0; k < r->report->n_errors; k++) {
			AUTO(buf) struct buf words = BUF_INIT;

			nix_own_words(&words, &r->report->errors[k]);
			if (strstr(words.p, build_rules[i].needle))
				return fail_build(r, &build_rules[i], words.p,
						  e);
		}
	}
	return 0;
}

#define TOLD_SIGNATURE \
	"this registry does not accept the signatures of its binary cache"

static const struct nix_rule cache_rules[] = {
	{"is not signed by any of the keys", ERR_UPSTREAM,
	 "a binary cache's signatures are not accepted (trusted-public-keys)",
	 TOLD_SIGNATURE},
	{"lacks a signature by a trusted key", ERR_UPSTREAM,
	 "a binary cache's signatures are not accepted (trusted-public-keys)",
	 TOLD_SIGNATURE},
	{"usually happens due to networking issues", ERR_UPSTREAM,
	 "a binary cache can't be reached", TOLD_CACHE},
	{"unable to download", ERR_UPSTREAM, "a download failed", TOLD_CACHE},
};

static bool
needs_building(const char *words)
{
	return strcasestr(words, "unable to start any build") ||
	       strstr(words, "local builds are disabled") ||
	       strstr(words, "neither local builds") ||
	       strstr(words, "don't know how to build");
}

static int
fail_needs_building(const struct nix_run *r, const char *words, struct err *e)
{
	AUTO(buf) struct buf name = BUF_INIT, line = BUF_INIT;
	struct str s;

	if (r->report->caches.len > 0) {
		nix_headline(&line, r->report->caches.p);
		err_set(e, ERR_UPSTREAM,
			"a binary cache can't be reached, and nothing is built "
			"here: %s",
			line.p);
		err_set_told(e, TOLD_CACHE);
		return -1;
	}
	if (find_drv(words, nix_store_named(r), &s) ||
	    find_drv(r->report->tail.p, nix_store_named(r), &s))
		nix_text_package(&name, s.p, s.n);
	else
		buf_adds(&name, "a package");
	err_set(e, ERR_DENIED,
		"%s is in no binary cache, and this registry does not build",
		name.p);
	nix_set_detail(r, words, e);
	return -1;
}

int
nix_fail_realise(const struct nix_run *r, struct err *e)
{
	AUTO(buf) struct buf words = BUF_INIT;
	const struct nix_rule *rule;

	nix_words(&words, r->report);
	if (r->timed_out) {
		err_set(e, ERR_TIMEOUT,
			"building took longer than %llu s, the limit here for "
			"one image",
			(unsigned long long)(r->timeout_ms / 1000));
		nix_set_detail(r, r->report->tail.p, e);
		return -1;
	}
	if (nix_fail_anywhere(r, words.p, e) < 0)
		return -1;
	if (fail_builder(r, e) < 0)
		return -1;
	if (needs_building(words.p))
		return fail_needs_building(r, words.p, e);
	rule = nix_match(cache_rules, ARRAY_LEN(cache_rules), words.p);
	if (rule) {
		AUTO(buf) struct buf line = BUF_INIT;

		nix_headline(&line, strstr(words.p, rule->needle));
		err_set(e, rule->kind, "%s: %s", rule->text, line.p);
		err_set_told(e, rule->told);
		err_set_detail(e, r->report->tail.p, r->report->tail.len);
		return -1;
	}
	return nix_fail(r, "Nix does not build", e);
}
