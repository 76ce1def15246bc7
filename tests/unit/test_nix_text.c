/* SPDX-License-Identifier: Apache-2.0 */
/* What firn makes of Nix's words: no Nix is needed. */
#include <stdlib.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/nix/errors.h"
#include "core/nix/impl.h"
#include "core/nix/report.h"
#include "tests/support/tap.h"

#define STORE "/nix/store"
#define HASH "0123456789abcdfghijklmnpqrsvwxyz"

static void
test_clean(void)
{
	static const struct {
		const char *in, *want;
	} cases[] = {
		{"plain", "plain"},
		{"\033[31;1merror:\033[0m x", "error: x"},
		{"a\tb\r\nc", "a b\nc"},
		{"bell\a and nul-like \001", "bell and nul-like "},
		{"cut \033[31", "cut "},
		{"\033", "\033"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases) - 1; i++) {
		AUTO(buf) struct buf got = BUF_INIT;

		nix_text_clean(&got, cases[i].in, strlen(cases[i].in));
		is_str(got.p, cases[i].want, "control characters go");
	}
}

static void
test_scrub(void)
{
	static const struct {
		const char *name, *in, *want;
	} cases[] = {
		{"a path is cut to its name",
		 "in /srv/secret/pkgs/default.nix:3", "in default.nix:3"},
		{"in quotes too", "'/srv/a/b' and \"/srv/c\"", "'b' and \"c\""},
		{"typographic ones too", "‘/srv/a/b’", "‘b’"},
		{"the store is no secret", "/nix/store/x-y/z",
		 "/nix/store/x-y/z"},
		{"a directory", "/srv/a/", "a/"},
		{"a lone slash", "a / b", "a / b"},
		{"URLs keep their path", "http://host/a/b", "http://host/a/b"},
		{"at the start", "/etc/passwd", "passwd"},
		{"two slashes", "//x//y", "y"},
		{"no path", "1/2 and and/or", "1/2 and and/or"},
		{"at the end", "see /", "see /"},
		{"what is the same everywhere", "/bin/sh /build/a.c /etc/x",
		 "/bin/sh /build/a.c x"},
		{"no passwords", "from https://me:pw@host:8/a@b",
		 "from https://host:8/a@b"},
		{"no queries", "get 'https://h/x.gz?private_token=S3&b=/c': no",
		 "get 'https://h/x.gz?...': no"},
		{"of no host", "https://u:p@h?t=S3 git+https://h/?S3",
		 "https://h?... git+https://h/?..."},
		{"a question", "at https://h/x? yes", "at https://h/x? yes"},
		{"nor tokens", "'git+https://token@host'",
		 "'git+https://host'"},
		{"an @ is not always one", "https://host/x@y",
		 "https://host/x@y"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(buf) struct buf got = BUF_INIT;

		nix_text_scrub(&got, cases[i].in, STORE);
		is_str(got.p, cases[i].want, cases[i].name);
	}
}

static void
test_license(void)
{
	static const struct {
		const char *ids[3], *want;
	} cases[] = {
		{{"MIT"}, "MIT"},
		{{"MIT", "Zlib"}, "MIT AND Zlib"},
		{{"GPL-2.0+"}, "GPL-2.0+"},
		{{"LicenseRef-unfree"}, "LicenseRef-unfree"},
		{{"LicenseRef-my \"own\"/x"}, "LicenseRef-my--own--x"},
		{{"Apache-2.0 WITH LLVM-exception"},
		 "Apache-2.0 WITH LLVM-exception"},
		{{"A OR B", "MIT"}, "(A OR B) AND MIT"},
		{{"A OR"}, "LicenseRef-A-OR"},
		{{"A B"}, "LicenseRef-A-B"},
		{{"(A)"}, "LicenseRef--A-"},
		{{"a\nb"}, "LicenseRef-a-b"},
		{{""}, "LicenseRef-unknown"},
		{{NULL}, NULL},
	};
	AUTO(buf) struct buf long_name = BUF_INIT, got = BUF_INIT;
	const char *ids[1];

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(buf) struct buf text = BUF_INIT;
		size_t n = 0;
		bool found;

		while (n < 3 && cases[i].ids[n])
			n++;
		found = nix_text_license(&text, cases[i].ids, n);
		is_str(found ? text.p : NULL, cases[i].want, "a licence");
	}
	for (int i = 0; i < 2000; i++)
		buf_addc(&long_name, 'x');
	ids[0] = long_name.p;
	ok(!nix_text_license(&got, ids, 1) && got.len == 0,
	   "one that is too long is none");
}

static void
test_package(void)
{
	static const struct {
		const char *in, *want;
	} cases[] = {
		{STORE "/" HASH "-git-2.39.drv", "git-2.39"},
		{STORE "/" HASH "-git-2.39", "git-2.39"},
		{"git", "git"},
		{"", ""},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(buf) struct buf got = BUF_INIT;

		nix_text_package(&got, cases[i].in, strlen(cases[i].in));
		is_str(got.p, cases[i].want, "the name in a store path");
	}
}

static void
test_store_path(void)
{
	static const struct {
		const char *path;
		bool good;
	} cases[] = {
		{STORE "/" HASH "-a", true},
		{STORE "/" HASH "-a.drv", true},
		{STORE "/" HASH "-a/b", false},
		{STORE "/" HASH "-", false},
		{STORE "/" HASH "-.x", false},
		{STORE "/" HASH, false},
		{STORE "/eeee-a", false},
		{STORE "/../etc", false},
		{STORE "x/" HASH "-a", false},
		{"/etc/passwd", false},
		{"", false},
		{STORE "/" HASH "-a b", false},
		{STORE "/" HASH "-a\n", false},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		ok(nix_text_is_store_path(cases[i].path, STORE) ==
			   cases[i].good,
		   "%s: %s", cases[i].good ? "accepted" : "refused",
		   cases[i].path);
}

static void
test_near(void)
{
	static const char *const names[] = {
		"bashInteractive",
		"firefox-esr",
		"git",
		"gitMinimal",
		"htop",
		"jq",
		"python3",
		"python311",
		"ripgrep",
		"vim",
		"vimHugeX",
	};
	static const struct {
		const char *asked, *want;
	} cases[] = {
		{"gti", "p.git"},
		{"htpo", "p.htop"},
		{"HTOP", "p.htop"},
		{"firefox", "p.firefox-esr"},
		{"python", "p.python3"},
		{"python31", "p.python3 or p.python311"},
		{"ripgerp", "p.ripgrep"},
		{"nothinglikeit", ""},
		{"xx", ""},
		{"", ""},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(buf) struct buf got = BUF_INIT;
		bool found = nix_text_near(&got, cases[i].asked, "p.", names,
					   ARRAY_LEN(names));

		is_str(got.p, cases[i].want, cases[i].asked);
		ok(found == (cases[i].want[0] != '\0'), "and says whether");
	}
}

static void
test_index(void)
{
	static const char *const names[] = {
		"zlib", "Twin", "twin", "_7zz", "haskellPackages",
		"a\nb", "",     "Xa",   "xA",
	};
	const struct nix_index_key key = {.hex = "x", .stable = false};
	AUTO(nix_index)
	struct nix_index *ix =
		nix_index_add(NULL, &key, names, ARRAY_LEN(names));
	const char *got[3] = {NULL};
	size_t n;

	ok(nix_index_spell(ix, "zlib", got, 3) == 1, "found as it is");
	ok(nix_index_spell(ix, "7zz", got, 3) == 1, "a leading digit");
	is_str(got[0], "_7zz", "means the name with an underscore");
	ok(nix_index_spell(ix, "haskellpackages", got, 3) == 1, "another case");
	is_str(got[0], "haskellPackages", "finds it");
	ok(nix_index_spell(ix, "twin", got, 3) == 1, "the exact one first");
	is_str(got[0], "twin", "is taken");
	ok(nix_index_spell(ix, "xa", got, 3) == 2, "two that differ in case");
	is_str(got[0], "Xa", "are both told");
	is_str(got[1], "xA", "in order");
	ok(nix_index_spell(ix, "nope", got, 3) == 0, "none");
	(void)nix_index_names(ix, &n);
	is_u64(n, 7, "a name that can't be one is left out");
}

/* --- reports */

struct heard {
	struct buf text;
};

static void
hear(void *ctx, const char *line, size_t n)
{
	struct heard *h = ctx;

	buf_add(&h->text, line, n);
	buf_addc(&h->text, '|');
}

static void
say(struct nix_report *rep, const char *line)
{
	nix_report_line(rep, line, strlen(line));
}

static void
test_report(void)
{
	struct heard h = {.text = BUF_INIT};
	const struct nix_watch w = {.on_line = hear, .ctx = &h};
	struct nix_report *rep = nix_report_new(&w);
	static const char drv[] = STORE "/" HASH "-git-2.39.drv";

	ok(rep->mark == NIX_MARK_NONE, "no mark yet");
	say(rep, "@nix {\"action\":\"msg\",\"level\":0,"
		 "\"msg\":\"trace: firn: set\"}");
	ok(rep->mark == NIX_MARK_SET, "a mark of ours");
	say(rep, "trace: firn: path 3");
	ok(rep->mark == 3, "in plain text");
	say(rep, "trace: firn: nonsense");
	ok(rep->mark == 3, "not what looks like one");
	is_str(h.text.p, "trace: firn: nonsense|", "marks are not for people");
	buf_clear(&h.text);

	say(rep, "@nix {\"action\":\"start\",\"fields\":[\"" STORE "/" HASH
		 "-git-2.39.drv\",\"\",1,1],\"id\":7,\"level\":3,\"text\":"
		 "\"building it\",\"type\":105}");
	say(rep, "@nix {\"action\":\"result\",\"fields\":[\"\\u001b[1mline"
		 "\\u001b[0m one\"],\"id\":7,\"type\":101}");
	say(rep, "@nix {\"action\":\"result\",\"fields\":[1,2,3,4],\"id\":7,"
		 "\"type\":105}");
	say(rep, "@nix {\"action\":\"stop\",\"id\":7}");
	is_str(h.text.p, "building it|git-2.39> line one|",
	       "a builder's line has its package's name");
	is_str(nix_report_log(rep, drv)->p, "line one\n",
	       "and is kept with it");

	say(rep, "@nix {\"action\":\"msg\",\"level\":0,\"msg\":\"long\","
		 "\"raw_msg\":\"\\u001b[35;1mshort\\u001b[0m\"}");
	say(rep, "@nix {\"action\":\"msg\",\"level\":0,\"msg\":\"a\\nresponse "
		 "body:\\nSECRET\",\"raw_msg\":\"a\\nresponse "
		 "body:\\nSECRET\"}");
	is_str(rep->errors[1].p, "a\n", "not what a host answered");
	ok(!strstr(h.text.p, "SECRET"), "to nobody");
	rep->n_errors--;
	buf_clear(&rep->errors[1]);
	say(rep, "@nix not json");
	say(rep, "@nix [1]");
	say(rep, "error: plain");
	say(rep, "  goes on");
	is_u64(rep->n_errors, 2, "errors in both forms");
	is_str(rep->errors[0].p, "short", "without trace and colour");
	is_str(rep->errors[1].p, "plain\n  goes on", "with what follows");
	ok(nix_report_find(rep, "goes") == rep->errors[1].p, "are found");
	ok(!nix_report_find(rep, "nowhere"), "or not");
	nix_report_free(rep);
	buf_release(&h.text);
}

static void
test_report_bounds(void)
{
	struct nix_report *rep = nix_report_new(NULL);
	AUTO(buf) struct buf line = BUF_INIT;

	for (int i = 0; i < 1000; i++) {
		buf_clear(&line);
		buf_printf(&line,
			   "@nix {\"action\":\"start\",\"fields\":[\"" STORE
			   "/" HASH "-p%d.drv\"],\"id\":%d,\"type\":105}",
			   i, i);
		say(rep, line.p);
		buf_clear(&line);
		buf_printf(&line,
			   "@nix {\"action\":\"result\",\"fields\":[\"%0100d\"]"
			   ",\"id\":%d,\"type\":101}",
			   i, i);
		say(rep, line.p);
		say(rep, "error: again");
		if (i % 2 == 0) {
			buf_clear(&line);
			buf_printf(&line,
				   "@nix {\"action\":\"stop\",\"id\":%d}", i);
			say(rep, line.p);
		}
	}
	for (int i = 0; i < 100000; i++)
		say(rep, "a line of no great length");
	ok(rep->n_errors == NIX_ERRORS_MAX, "errors are bounded");
	ok(rep->builds.n <= NIX_BUILDS_MAX, "builds are bounded");
	ok(rep->tail.len <= 8192, "the log's end is bounded");
	ok(str_has_suffix(rep->tail.p, "length\n"), "and is the end");
	nix_report_free(rep);
}

/* proc_run cuts a line at 64 KiB; JSON that long has no end then. */
static void
test_report_cut(void)
{
	static const char *const tails[] = {"x",    "\\",  "\\u00",
					    "\xc3", "\\n", "\\\\"};
	static const char start[] =
		"@nix "
		"{\"action\":\"msg\",\"level\":0,\"msg\":\"\\u001b[31merror:"
		"\\u001b[0m builder for 'x' failed; > ";

	for (size_t i = 0; i < ARRAY_LEN(tails); i++) {
		struct nix_report *rep = nix_report_new(NULL);
		AUTO(buf) struct buf line = BUF_INIT;

		buf_adds(&line, start);
		while (line.len < 65536 - strlen(tails[i]))
			buf_addc(&line, 'y');
		buf_adds(&line, tails[i]);
		nix_report_line(rep, line.p, line.len);
		ok(rep->n_errors == 1 &&
			   str_has_prefix(rep->errors[0].p, "builder for 'x'"),
		   "an error that was cut is read");
		nix_report_free(rep);
	}
}

static void
test_machine(void)
{
	static const struct {
		const char *system, *of;
		bool runs;
	} cases[] = {
		{"x86_64-linux", "x86_64-linux", true},
		{"x86_64-linux", "i686-linux", true},
		{"x86_64-linux", "builtin", true},
		{"x86_64-linux", "aarch64-linux", false},
		{"x86_64-linux", "x86_64-darwin", false},
		{"x86_64-linux", "i686", false},
		{"x86_64-linux", "", false},
		{"aarch64-linux", "aarch64-linux", true},
		{"aarch64-linux", "armv7l-linux", true},
		{"aarch64-linux", "x86_64-linux", false},
		{"aarch64-linux", "i686-linux", false},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		ok(nix_machine_runs(cases[i].system, cases[i].of) ==
			   cases[i].runs,
		   "on %s, %s %s", cases[i].system, cases[i].of,
		   cases[i].runs ? "runs" : "does not run");
}

int
main(void)
{
	test_machine();
	test_clean();
	test_scrub();
	test_license();
	test_package();
	test_store_path();
	test_near();
	test_index();
	test_report();
	test_report_bounds();
	test_report_cut();
	return done_testing();
}
