/* SPDX-License-Identifier: Apache-2.0 */
#include "core/nix/errors.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/err.h"
#include "core/nix/impl.h"
#include "core/nix/report.h"

#define HEADLINE_MAX 300u

const char *
nix_store_named(const struct nix_run *r)
{
	const char *dir;

	(void)pthread_mutex_lock(&r->nix->lock);
	dir = r->nix->store_dir;
	(void)pthread_mutex_unlock(&r->nix->lock);
	return dir ? dir : "/nix/store";
}

void
nix_own_words(struct buf *to, const struct buf *error)
{
	static const char *const quotes[] = {"log lines:", "Last log",
					     "For full logs", "last log",
					     NIX_BODY};
	size_t n = error->len;

	for (size_t i = 0; i < ARRAY_LEN(quotes); i++) {
		const char *p = strstr(error->p, quotes[i]);

		if (p && (size_t)(p - error->p) < n)
			n = (size_t)(p - error->p);
	}
	buf_add(to, error->p, n);
	buf_addc(to, '\n');
}

void
nix_words(struct buf *to, const struct nix_report *rep)
{
	for (size_t i = 0; i < rep->n_errors; i++)
		nix_own_words(to, &rep->errors[i]);
}

void
nix_headline(struct buf *to, const char *text)
{
	struct str rest = str_of(text), line = {.p = "", .n = 0};
	size_t start = to->len;

	while (str_cut(&rest, '\n', &line)) {
		while (line.n > 0 && isspace((unsigned char)*line.p)) {
			line.p++;
			line.n--;
		}
		if (line.n > 0)
			break;
	}
	buf_add(to, line.p, line.n < HEADLINE_MAX ? line.n : HEADLINE_MAX);
	while (to->len > start && strchr(".,;: ", to->p[to->len - 1]))
		buf_truncate(to, to->len - 1);
}

void
nix_clean_log(const struct nix_run *r, const char *text, struct buf *to)
{
	AUTO(buf) struct buf own = BUF_INIT;
	const char *body = strstr(text, NIX_BODY);

	buf_add(&own, text, body ? (size_t)(body - text) : strlen(text));
	nix_text_scrub(to, own.p, nix_store_named(r));
}

void
nix_set_detail(const struct nix_run *r, const char *text, struct err *e)
{
	AUTO(buf) struct buf clean = BUF_INIT;

	nix_clean_log(r, text, &clean);
	err_set_detail(e, clean.p, clean.len);
}

const struct nix_rule *
nix_match(const struct nix_rule *rules, size_t n, const char *text)
{
	for (size_t i = 0; i < n; i++)
		if (strstr(text, rules[i].needle))
			return &rules[i];
	return NULL;
}

#define TOLD_DAEMON "the Nix daemon of this registry does not answer"
#define TOLD_BUILDERS "Nix can't build anything on this registry"

static const char store_full[] = "the disk with the Nix store is full";

static const struct nix_rule anywhere[] = {
	{"cannot connect to daemon", ERR_UPSTREAM,
	 "the Nix daemon does not answer", TOLD_DAEMON},
	{"cannot connect to socket", ERR_UPSTREAM,
	 "the Nix daemon does not answer", TOLD_DAEMON},
	{"Nix daemon disconnected", ERR_UPSTREAM, "the Nix daemon went away",
	 TOLD_DAEMON},
	{"unexpected end-of-file", ERR_UPSTREAM, "the Nix daemon went away",
	 TOLD_DAEMON},
	{"cannot open connection to remote store", ERR_UPSTREAM,
	 "the Nix daemon does not answer", TOLD_DAEMON},
	{NIX_DISK_FULL, ERR_SYSTEM, store_full, NULL},
	{"database or disk is full", ERR_SYSTEM, store_full, NULL},
	/* SQLite's, where it can't make a file for its lock, or a larger. */
	{"disk I/O error", ERR_SYSTEM,
	 "the disk with the Nix store is full or fails",
	 "the disk of this registry is full or fails"},
	{"Disk quota exceeded", ERR_SYSTEM, store_full, NULL},
	{"does not support the kernel namespaces", ERR_UPSTREAM,
	 "Nix's sandbox does not work on this machine", TOLD_BUILDERS},
	{"unable to fork", ERR_SYSTEM, "Nix can't start a process", NULL},
	{"unable to start build process", ERR_UPSTREAM,
	 "Nix can't start a builder", TOLD_BUILDERS},
	{"specified in 'build-users-group' does not exist", ERR_UPSTREAM,
	 "Nix has no users to build as", TOLD_BUILDERS},
};

static int
fail_by_rule(const struct nix_run *r, const struct nix_rule *rule,
	     const char *words, struct err *e)
{
	AUTO(buf) struct buf line = BUF_INIT;

	if (!rule)
		return 0;
	nix_headline(&line, strstr(words, rule->needle));
	err_set(e, rule->kind, "%s: Nix says: %s", rule->text, line.p);
	err_set_told(e, rule->told);
	if (rule->text == store_full)
		e->errnum = ENOSPC;
	err_set_detail(e, r->report->tail.p, r->report->tail.len);
	return -1;
}

int
nix_fail_anywhere(const struct nix_run *r, const char *words, struct err *e)
{
	return fail_by_rule(r, nix_match(anywhere, ARRAY_LEN(anywhere), words),
			    words, e);
}

/*
 * While a package is evaluated, where the text may be what it throws: Nix
 * begins with what it says of its daemon, and says what it did before why the
 * system refuses it: "executing SQLite statement '...': disk I/O error".
 */
static int
fail_at_package(const struct nix_run *r, const char *words, struct err *e)
{
	static const char writing[] = "writing to file: ";
	const size_t k = sizeof(writing) - 1;

	for (size_t i = 0; i < ARRAY_LEN(anywhere); i++) {
		const char *p = strstr(words, anywhere[i].needle);
		size_t n = p ? (size_t)(p - words) : 0;

		if (!p)
			continue;
		if (anywhere[i].kind == ERR_SYSTEM
			    ? (n > 3 && memcmp(p - 3, "': ", 3) == 0) ||
				      (n >= k && memcmp(p - k, writing, k) == 0)
			    : n == 0 || p[-1] == '\n')
			return fail_by_rule(r, &anywhere[i], words, e);
	}
	return 0;
}

static void
describe_end(const struct nix_run *r, struct buf *to)
{
	if (r->timed_out)
		buf_printf(to, "no end within %llu s",
			   (unsigned long long)(r->timeout_ms / 1000));
	else if (r->signal)
		buf_printf(to, "signal %d (%s)", r->signal,
			   sigdescr_np(r->signal));
	else
		buf_printf(to, "exit code %d", r->exit_code);
}

int
nix_fail(const struct nix_run *r, const char *what, struct err *e)
{
	AUTO(buf) struct buf words = BUF_INIT, line = BUF_INIT;

	nix_words(&words, r->report);
	if (nix_fail_anywhere(r, words.p, e) < 0)
		return -1;
	nix_headline(&line, words.p);
	if (line.len == 0)
		describe_end(r, &line);
	err_set(e, ERR_UPSTREAM, "%s: %s", what, line.p);
	err_set_detail(e, r->report->tail.p, r->report->tail.len);
	return -1;
}

bool
nix_was_collected(const struct nix_run *r)
{
	static const char *const signs[] = {
		"is not valid",
		"does not exist in the Nix store",
		".drv: No such file",
		".drv': No such file",
		"cannot read derivation",
		"missing derivation",
		"failed to obtain derivation",
	};

	if (r->timed_out)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(signs); i++)
		if (nix_report_find(r->report, signs[i]))
			return true;
	return false;
}

/* --- evaluation */

static const struct nix_rule refusals[] = {
	{"unfree license", ERR_DENIED,
	 "this registry does not serve unfree packages", NULL},
	{"blocklisted license", ERR_DENIED,
	 "this registry does not serve packages with this license", NULL},
	{"is marked as broken", ERR_DENIED, "broken packages are not served",
	 NULL},
	{"is marked as insecure", ERR_DENIED,
	 "this registry does not serve packages with known vulnerabilities",
	 NULL},
	{"known vulnerabilities", ERR_DENIED,
	 "this registry does not serve packages with known vulnerabilities",
	 NULL},
	{"is not available on the requested hostPlatform", ERR_DENIED, NULL,
	 NULL},
	{"is not supported on", ERR_DENIED, NULL, NULL},
	{"not built from source", ERR_DENIED,
	 "this registry serves only what is built from source", NULL},
};

/* What is between two marks after the start; false when they aren't there. */
static bool
between(const char *text, const char *open, const char *close, struct str *ret)
{
	const char *p = strstr(text, open), *q;

	if (!p)
		return false;
	p += strlen(open);
	q = strstr(p, close);
	if (!q || q == p)
		return false;
	*ret = (struct str){.p = p, .n = (size_t)(q - p)};
	return true;
}

/* "- CVE-..." lines of nixpkgs' text, at most three. */
static void
add_issues(struct buf *to, const char *text)
{
	struct str rest = str_of(text), line;
	size_t n = 0;

	while (n < 3 && str_cut(&rest, '\n', &line)) {
		while (line.n > 0 && *line.p == ' ') {
			line.p++;
			line.n--;
		}
		if (line.n < 3 || line.n > 100 || memcmp(line.p, "- ", 2) != 0)
			continue;
		buf_printf(to, "%s%.*s", n++ == 0 ? " (" : ", ",
			   (int)line.n - 2, line.p + 2);
	}
	if (n > 0)
		buf_addc(to, ')');
}

/*
 * nixpkgs refuses a package: "Package ‘x-1’ in FILE:LINE is marked as broken,
 * refusing to evaluate." or, since 2025, "Refusing to evaluate package 'x-1'
 * in FILE:LINE because it is marked as broken".
 */
static int
fail_refused(const struct nix_run *r, const char *attribute,
	     const struct nix_rule *rule, const char *text, const char *system,
	     struct err *e)
{
	AUTO(buf) struct buf who = BUF_INIT, why = BUF_INIT;
	struct str name, license;

	buf_adds(&who, attribute);
	if (between(text, "ackage ‘", "’", &name) ||
	    between(text, "ackage '", "'", &name))
		buf_printf(&who, ": %.*s", (int)name.n, name.p);
	if (!rule->text) {
		err_set(e, rule->kind, "%s is not available for %s", who.p,
			system);
	} else {
		buf_adds(&why, rule->needle);
		if (strstr(rule->needle, "license")) {
			buf_clear(&why);
			buf_printf(&why, "has an %s", rule->needle);
			if (between(text, "license (‘", "’)", &license))
				buf_printf(&why, " (%.*s)", (int)license.n,
					   license.p);
		} else if (strstr(text, "nsecure")) {
			add_issues(&why, text);
		}
		err_set(e, rule->kind, "%s %s; %s", who.p, why.p, rule->text);
	}
	nix_set_detail(r, text, e);
	return -1;
}

static const struct nix_rule eval_rules[] = {
	{"stack overflow", ERR_BUILD, "its definition recurses too deeply",
	 NULL},
	{"max-call-depth exceeded", ERR_BUILD,
	 "its definition recurses too deeply", NULL},
	{"infinite recursion encountered", ERR_BUILD,
	 "its definition depends on itself (infinite recursion)", NULL},
	{"allow-import-from-derivation", ERR_DENIED,
	 "it can only be evaluated by building something first (import from "
	 "derivation), which is not allowed here",
	 NULL},
	{"in restricted mode", ERR_DENIED,
	 "its definition reads a file or an address outside of the package "
	 "set, which is not allowed here",
	 NULL},
	{"in pure eval", ERR_DENIED,
	 "its definition reads a file or an address outside of the package "
	 "set, which is not allowed here",
	 NULL},
	{"operation is not allowed in", ERR_DENIED,
	 "its definition does what is not allowed here", NULL},
};

/* Its definition fetches something that isn't here. */
static int
fail_download(const struct nix_run *r, const char *what, const char *words,
	      struct err *e)
{
	static const char *const marks[] = {
		"unable to download '",
		"Failed to fetch git repository",
		"program 'git' failed",
	};
	AUTO(buf) struct buf line = BUF_INIT;
	const char *at = NULL;

	for (size_t i = 0; !at && i < ARRAY_LEN(marks); i++)
		at = strstr(words, marks[i]);
	if (!at)
		return 0;
	if (r->nix->o.offline) {
		err_set(e, ERR_BUILD,
			"%s: its definition needs a download, and this "
			"registry is offline",
			what);
		nix_set_detail(r, words, e);
		return -1;
	}
	nix_headline(&line, at);
	err_set(e, ERR_UPSTREAM,
		"%s: its definition needs a download, which fails: %s", what,
		line.p);
	err_set_told(e, "what the package set downloads can't be had now");
	return -1;
}

/*
 * Nix says so, and nothing else; or it was in no state to say anything: there
 * is one abort only that is no failed assertion.
 */
static bool
out_of_memory(const struct nix_run *r)
{
	static const char said[] = "out of memory";
	const size_t k = sizeof(said) - 1;

	for (size_t i = 0; i < r->report->n_errors; i++) {
		const char *s = r->report->errors[i].p;

		if (strncmp(s, said, k) == 0 && (s[k] == '\0' || s[k] == '\n'))
			return true;
	}
	return r->signal == SIGABRT && r->report->n_errors == 0 &&
	       !strstr(r->report->tail.p, "ssertion");
}

static int
fail_limit(const struct nix_run *r, const char *what, struct err *e)
{
	if (r->timed_out || r->signal == SIGXCPU)
		return err_set(e, ERR_TIMEOUT,
			       "%s: evaluation did not end within %llu s, "
			       "the limit here",
			       what,
			       (unsigned long long)(r->timeout_ms / 1000));
	if (out_of_memory(r))
		return err_set(
			e, ERR_DENIED,
			"%s: evaluation needs more than %llu MiB of "
			"memory, the limit here",
			what,
			(unsigned long long)(r->nix->o.eval_memory >> 20));
	return 0;
}

int
nix_fail_eval(const struct nix_run *r, const char *attribute,
	      const char *system, struct err *e)
{
	const char *what = attribute ? attribute : "the package set";
	AUTO(buf) struct buf words = BUF_INIT, clean = BUF_INIT;
	AUTO(buf) struct buf line = BUF_INIT;
	const struct nix_rule *rule;

	nix_words(&words, r->report);
	if (fail_limit(r, what, e) < 0)
		return -1;
	rule = nix_match(refusals, ARRAY_LEN(refusals), words.p);
	if (rule && attribute && strstr(words.p, "efusing to evaluate"))
		return fail_refused(r, attribute, rule, words.p, system, e);
	rule = nix_match(eval_rules, ARRAY_LEN(eval_rules), words.p);
	if (rule) {
		err_set(e, rule->kind, "%s: %s", what, rule->text);
		nix_set_detail(r, words.p, e);
		return -1;
	}
	/* A throw may imitate these, and gains an error of the operator's. */
	if (fail_download(r, what, words.p, e) < 0)
		return -1;
	if ((attribute ? fail_at_package(r, words.p, e)
		       : nix_fail_anywhere(r, words.p, e)) < 0)
		return -1;
	if (r->report->mark == NIX_MARK_NONE)
		return nix_fail(r, "Nix does not evaluate", e);
	nix_text_scrub(&clean, words.p, nix_store_named(r));
	nix_headline(&line, clean.p);
	if (line.len == 0)
		describe_end(r, &line);
	err_set(e, ERR_BUILD, "%s can't be evaluated: %s", what, line.p);
	nix_set_detail(r, words.p, e);
	return -1;
}
