/* SPDX-License-Identifier: Apache-2.0 */
/* Sources on this machine: git repositories, tarballs, and their tags. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/model/source.h"
#include "core/resolve.h"
#include "core/sys/fs.h"
#include "core/sys/log.h"
#include "core/sys/proc.h"
#include "tests/support/tap.h"

static char dir[] = "/tmp/firn-test-sources-XXXXXX";

static struct resolve_options options = {.state_path = dir};

/* Run a script in our directory; its output without the last newline. */
static bool
sh(const char *script, struct buf *out)
{
	const char *const argv[] = {"/bin/sh", "-euc", script, NULL};
	const struct proc_opts o = {
		.argv = argv, .cwd = dir, .max_stdout = 65536};
	struct proc_result r;
	struct err e = ERR_INIT;
	bool good;

	if (proc_run(&o, &r, &e) < 0)
		return false;
	good = r.exit_code == 0;
	while (r.output.len > 0 && r.output.p[r.output.len - 1] == '\n')
		buf_truncate(&r.output, r.output.len - 1);
	buf_clear(out);
	buf_adds(out, r.output.p);
	buf_release(&r.output);
	return good;
}

/* Does the tree of a revision have a file with this text? */
static bool
tree_has(const struct source *s, const char *tag, const struct revision *r,
	 const char *name, const char *text)
{
	AUTO(buf) struct buf path = BUF_INIT, got = BUF_INIT;
	AUTO(fd) int hold = -1;
	struct err e = ERR_INIT;

	if (resolve_tree(s, tag, r, &options, &path, &hold, &e) < 0)
		return false;
	buf_printf(&path, "/%s", name);
	return fs_read_file(path.p, 4096, &got, &e) == 0 &&
	       strcmp(got.p, text) == 0;
}

static void
test_tags(void)
{
	static const struct {
		enum source_kind kind;
		const char *tag;
		bool good;
	} cases[] = {
		{SOURCE_PATH, "latest", true},
		{SOURCE_PATH, "v1", false},
		{SOURCE_FLAKE, "latest", true},
		{SOURCE_FLAKE, "main", false},
		{SOURCE_GIT, "latest", true},
		{SOURCE_GIT, "main", true},
		{SOURCE_GIT, "v1.2.3", true},
		{SOURCE_GIT, "abcdef0", true},
		{SOURCE_GIT, "a..b", false},
		{SOURCE_GIT, "-x", false},
		{SOURCE_GIT, ".x", false},
		{SOURCE_GIT, "x.", false},
		{SOURCE_GIT, "x.lock", false},
		{SOURCE_GIT, "x/y", false},
		{SOURCE_GIT, "x y", false},
		{SOURCE_GIT, "x^{}", false},
		{SOURCE_GIT, "--upload-pack=x", false},
		{SOURCE_GIT, "", false},
		{SOURCE_GIT, "sha256-0123456789abcdef0123456789abcdef", false},
		{SOURCE_GIT,
		 "sha256-"
		 "0123456789abcdef0123456789abcdef0123456789abcdef01234567"
		 "89abcdef.sig",
		 false},
		{SOURCE_CHANNEL, "nixos-24.05", true},
		{SOURCE_CHANNEL, "nixpkgs-unstable", true},
		{SOURCE_CHANNEL, "..", false},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct source s = {.kind = cases[i].kind,
					 .location = "x"};
		struct err e = ERR_INIT;
		int r = resolve_check_tag(&s, cases[i].tag, &e);

		ok((r == 0) == cases[i].good &&
			   (cases[i].good || e.kind == ERR_NOT_FOUND),
		   "%s: tag \"%s\" %s", source_kind_name(s.kind), cases[i].tag,
		   cases[i].good ? "may be" : "can't be");
	}
}

static const char make_repo[] =
	"export HOME=$PWD GIT_CONFIG_NOSYSTEM=1\n"
	"git init -q -b trunk repo; cd repo\n"
	"git config user.name n; git config user.email e\n"
	"c() { echo $1 >default.nix; git add -A;\n"
	"  GIT_COMMITTER_DATE=\"$2 +0000\" git commit -qm $1; }\n"
	"c one 1000000000; git tag v1; git tag -a -m x annotated\n"
	"c two 1000000100; git branch topic; git branch v1\n"
	"c three 1000000200\n"
	"git checkout -q --detach; c loose 1000000300\n"
	"git rev-parse HEAD >../loose; git checkout -q trunk\n"
	"git rev-parse HEAD~2 HEAD~1 HEAD\n";

static void
check_git(const struct source *s, const char *tag, const char *commit,
	  const char *text, uint64_t when)
{
	struct revision r;
	struct err e = ERR_INIT;

	ok(resolve_revision(s, tag, &options, &r, &e) == 0,
	   "%s is resolved: %s", tag, e.msg);
	is_str(r.id, commit, "to its commit");
	is_u64(r.time, when, "with its time");
	ok(tree_has(s, tag, &r, "default.nix", text), "and its files");
}

static void
check_missing(const struct source *s, const char *tag, const char *says)
{
	struct revision r;
	struct err e = ERR_INIT;

	ok(resolve_revision(s, tag, &options, &r, &e) < 0 &&
		   e.kind == ERR_NOT_FOUND && strstr(e.msg, says),
	   "%s is not there: %s", tag, e.msg);
}

static void
test_git(void)
{
	AUTO(buf) struct buf url = BUF_INIT, out = BUF_INIT, more = BUF_INIT;
	struct source s = {.kind = SOURCE_GIT};
	char one[41], two[41], three[41], part[10];
	struct revision r;
	struct err e = ERR_INIT;
	int hold;

	buf_printf(&url, "file://%s/repo", dir);
	s.location = url.p;
	if (!ok(sh(make_repo, &out) && out.len == 122, "a repository"))
		return;
	(void)snprintf(one, sizeof(one), "%s", out.p);
	(void)snprintf(two, sizeof(two), "%s", out.p + 41);
	(void)snprintf(three, sizeof(three), "%s", out.p + 82);
	check_git(&s, "latest", three, "three\n", 1000000200);
	check_git(&s, "trunk", three, "three\n", 1000000200);
	check_git(&s, "topic", two, "two\n", 1000000100);
	check_git(&s, "v1", two, "two\n", 1000000100);
	check_git(&s, "annotated", one, "one\n", 1000000000);
	check_git(&s, one, one, "one\n", 1000000000);
	(void)snprintf(part, sizeof(part), "%.9s", one);
	check_git(&s, part, one, "one\n", 1000000000);
	check_missing(&s, "nothing", "no branch, tag or commit \"nothing\"");
	check_missing(&s, "0000000", "no branch, tag or commit");
	ok(sh("cat loose", &more), "a commit that no branch holds");
	check_missing(&s, more.p, "no branch, tag or commit");

	ok(sh("cd repo; echo four >default.nix; git commit -qam four;"
	      "git rev-parse HEAD",
	      &more),
	   "a branch moves");
	ok(resolve_revision(&s, "trunk", &options, &r, &e) == 0, "%s", e.msg);
	is_str(r.id, more.p, "its new commit is found");
	ok(tree_has(&s, "trunk", &r, "default.nix", "four\n"), "and fetched");

	ok(sh("rm -rf src", &out), "trees are lost");
	ok(tree_has(&s, "trunk", &r, "default.nix", "four\n"),
	   "and fetched again");
	ok(sh("rm -rf src git; cd repo; git reset -q --hard HEAD~1;"
	      "git reflog expire --expire=now --all; git gc -q --prune=now",
	      &out),
	   "a branch is rewritten");
	buf_clear(&out);
	ok(resolve_tree(&s, "trunk", &r, &options, &out, &hold, &e) < 0 &&
		   e.kind == ERR_BUSY,
	   "what it was can't be had any more: %s", e.msg);
}

/* A name that was a branch is now a directory of branches, and back. */
static void
test_git_directories(void)
{
	static const char *const steps[] = {
		"git branch feature; git commit -q --allow-empty -m five",
		"git branch -D feature; git branch feature/x;"
		"git commit -q --allow-empty -m six",
		"git branch -D feature/x; git branch feature;"
		"git commit -q --allow-empty -m seven",
	};
	AUTO(buf) struct buf url = BUF_INIT, out = BUF_INIT, step = BUF_INIT;
	struct source s = {.kind = SOURCE_GIT};
	struct revision r;

	buf_printf(&url, "file://%s/repo", dir);
	s.location = url.p;
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		struct err e = ERR_INIT;

		buf_clear(&step);
		buf_printf(&step, "cd repo; (%s) >&2; git rev-parse HEAD",
			   steps[i]);
		ok(sh(step.p, &out) &&
			   resolve_revision(&s, out.p, &options, &r, &e) == 0,
		   "a commit, whatever becomes of a branch: %s", e.msg);
	}
}

static void
test_git_fails(void)
{
	static const struct {
		const char *url, *says;
		bool offline;
	} cases[] = {
		{"file:///no/such/repository", "git can't read", false},
		{"/no/such/repository", "git can't read", false},
		{"http://127.0.0.1:1/x.git", "git can't read", false},
		{"ext::sh -c true", "git can't read", false},
		{"--upload-pack=touch /tmp/x", "git can't read", false},
		{"https://127.0.0.1:1/x.git", "network is not to be used",
		 true},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct source s = {.kind = SOURCE_GIT,
					 .location = cases[i].url};
		struct revision r;
		struct err e = ERR_INIT;

		options.offline = cases[i].offline;
		ok(resolve_revision(&s, "latest", &options, &r, &e) < 0 &&
			   e.kind == ERR_UPSTREAM &&
			   strstr(e.msg, cases[i].says),
		   "%s: %s", cases[i].url, e.msg);
	}
	options.offline = false;
}

/* What ssh is started with: its own, and no key of the storage. */
static void
test_git_environment(void)
{
	const struct source s = {.kind = SOURCE_GIT,
				 .location = "ssh://git@host.invalid/x.git"};
	AUTO(buf) struct buf command = BUF_INIT, out = BUF_INIT;
	struct err e = ERR_INIT;
	struct revision r;

	buf_printf(&command, "env >%s/ssh-env; exit 1;", dir);
	(void)setenv("GIT_SSH_COMMAND", command.p, 1);
	(void)setenv("SSH_AUTH_SOCK", "/agent", 1);
	(void)setenv("SSH_ASKPASS", "/ask", 1);
	(void)setenv("NIX_SSL_CERT_FILE", "/ca.pem", 1);
	(void)setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
	(void)setenv("GIT_DIR", "/elsewhere", 1);
	ok(resolve_revision(&s, "latest", &options, &r, &e) < 0, "%s", e.msg);
	(void)unsetenv("GIT_SSH_COMMAND");
	(void)unsetenv("SSH_AUTH_SOCK");
	(void)unsetenv("SSH_ASKPASS");
	(void)unsetenv("NIX_SSL_CERT_FILE");
	(void)unsetenv("AWS_SECRET_ACCESS_KEY");
	(void)unsetenv("GIT_DIR");
	ok(sh("cat ssh-env", &out) && strstr(out.p, "SSH_AUTH_SOCK=/agent") &&
		   strstr(out.p, "SSH_ASKPASS=/ask") &&
		   strstr(out.p, "NIX_SSL_CERT_FILE=/ca.pem") &&
		   strstr(out.p, "PATH="),
	   "ssh gets what it needs");
	ok(!strstr(out.p, "AWS_") && !strstr(out.p, "GIT_DIR=/elsewhere"),
	   "  and no key of the storage");
}

static void
test_channel(void)
{
	AUTO(buf) struct buf url = BUF_INIT, out = BUF_INIT;
	const struct source s = {.kind = SOURCE_CHANNEL, .location = "stable"};
	struct revision first, second, other;
	struct err e = ERR_INIT;
	int hold;

	buf_printf(&url, "file://%s/archive/%%s.tar.gz", dir);
	options.channel_url = url.p;
	ok(sh("mkdir archive top-1; echo one >top-1/default.nix;"
	      "touch -d @1000000000 top-1;"
	      "tar -czf archive/stable.tar.gz top-1;"
	      "echo flat >default.nix; tar -cf archive/flat.tar.gz default.nix",
	      &out),
	   "tarballs");
	ok(resolve_revision(&s, "latest", &options, &first, &e) == 0,
	   "the channel is resolved: %s", e.msg);
	ok(str_has_prefix(first.id, "sha256-"), "to the digest of its tarball");
	is_u64(first.time, 1000000000, "with the time in it");
	ok(tree_has(&s, "latest", &first, "default.nix", "one\n"),
	   "and its files, without the directory around them");
	ok(resolve_revision(&s, "stable", &options, &second, &e) == 0,
	   "by its name");
	is_str(second.id, first.id, "it is the same");
	ok(resolve_revision(&s, "flat", &options, &other, &e) == 0,
	   "another one, with no directory: %s", e.msg);
	ok(tree_has(&s, "flat", &other, "default.nix", "flat\n"), "is there");
	check_missing(&s, "nothing",
		      "no channel, branch or commit \"nothing\"");
	check_missing(&s, "0123456789012345678901234567890123456789",
		      "no channel");

	ok(sh("echo two >top-1/default.nix;"
	      "tar -czf archive/stable.tar.gz top-1",
	      &out),
	   "the channel moves");
	ok(resolve_revision(&s, "latest", &options, &second, &e) == 0 &&
		   strcmp(first.id, second.id) != 0,
	   "it has another revision");
	ok(tree_has(&s, "latest", &second, "default.nix", "two\n"),
	   "with the new files");
	ok(tree_has(&s, "latest", &first, "default.nix", "one\n"),
	   "the old one is still there");
	ok(sh("rm -rf src", &out), "until it is lost");
	ok(resolve_tree(&s, "latest", &first, &options, &out, &hold, &e) < 0 &&
		   e.kind == ERR_BUSY,
	   "then it can't be had any more: %s", e.msg);
	err_clear(&e);

	ok(sh("mkdir -p bad; echo no tarball >archive/bad.tar.gz", &out) &&
		   resolve_revision(&s, "bad", &options, &other, &e) < 0 &&
		   e.kind == ERR_UPSTREAM,
	   "what is no tarball: %s", e.msg);
	err_clear(&e);
	options.channel_url = "https://127.0.0.1:1/archive/%s.tar.gz";
	options.offline = true;
	ok(resolve_revision(&s, "latest", &options, &other, &e) < 0 &&
		   e.kind == ERR_UPSTREAM && strstr(e.msg, "not to be used"),
	   "without the network: %s", e.msg);
	err_clear(&e);
	options.offline = false;
	ok(resolve_revision(&s, "latest", &options, &other, &e) < 0 &&
		   e.kind == ERR_UPSTREAM,
	   "a host that is not there: %s", e.msg);
	ok(sh("ls src | grep -c new- || true", &out) && strcmp(out.p, "0") == 0,
	   "nothing half made is left");
}

/* Each step is done in the work tree; then it is named by its commit or not. */
static const struct {
	const char *what, *script;
	bool commit;
} steps[] = {
	{"a clean work tree", "true", true},
	{"a touched file", "sleep 0.01; touch a", true},
	{"another time of it", "true", true},
	{"an edited file", "echo 2 >a", false},
	{"as it was", "echo 1 >a", true},
	{"a file that is not known", "echo 1 >b", false},
	{"one that is ignored", "mv b b.o", false},
	{"a directory that is empty", "rm b.o; mkdir d/e", false},
	{"a pipe", "rmdir d/e; mkfifo p", false},
	{"a repository in it", "rm p; git init -q d/g", false},
	{"a file that is gone", "rm -rf d/g; rm a", false},
	{"as it was again", "git checkout -q a", true},
	{"another mode", "chmod +x a", false},
	{"a mode that git is told not to see",
	 "git config core.fileMode false; git update-index --refresh", false},
	{"changes that git is told not to see",
	 "chmod -x a; git update-index --assume-unchanged a; echo 2 >a", false},
	{"line ends that git would not see",
	 "git update-index --no-assume-unchanged a; printf '1\r\n' >a", false},
	{"as it was once more", "echo 1 >a", true},
	{"another commit of the same files",
	 "git commit -q --allow-empty -m two", true},
	/* Each of these would leave a file. */
	{"a repository that wants to run programs",
	 "git config core.fsmonitor \"touch $PWD/../ran; :\";"
	 "git config core.hooksPath $PWD/../hooks; mkdir -p ../hooks;"
	 "printf '#!/bin/sh\ntouch ../ran\n' >../hooks/post-index-change;"
	 "chmod +x ../hooks/post-index-change;"
	 "git config filter.x.clean \"touch $PWD/../ran; cat\";"
	 "git config filter.x.process \"touch $PWD/../ran\";"
	 "sleep 0.01; touch f",
	 true},
	{"a commit that can't be kept in mind",
	 "for i in ../git/*/clean; do rm $i; mkdir $i; done; touch f", true},
};

static void
test_work_tree(void)
{
	AUTO(buf) struct buf path = BUF_INIT, out = BUF_INIT, step = BUF_INIT;
	struct source s = {.kind = SOURCE_PATH};

	buf_printf(&path, "%s/work", dir);
	s.location = path.p;
	if (!ok(sh("export HOME=$PWD; git init -q work; cd work;"
		   "git config user.name n; git config user.email e;"
		   "echo 1 >a; echo f >f; mkdir d; echo 1 >d/a; ln -s a l;"
		   "echo '*.o' >.gitignore;"
		   "printf 'f filter=x\na text=auto\n' >.gitattributes;"
		   "git add -A;"
		   "GIT_COMMITTER_DATE='1000000000 +0000' git commit -qm one",
		   &out),
		"a work tree"))
		return;
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		struct revision r = {.time = 0};
		struct err e = ERR_INIT;

		buf_clear(&step);
		buf_printf(&step,
			   "export HOME=$PWD; cd work; (%s) >&2;"
			   "git -c core.fsmonitor= rev-parse HEAD",
			   steps[i].script);
		ok(sh(step.p, &out), "%s", steps[i].what);
		ok(resolve_revision(&s, "latest", &options, &r, &e) == 0 &&
			   (strcmp(r.id, out.p) == 0) == steps[i].commit,
		   "  is %s: %s %s", steps[i].commit ? "its commit" : "none",
		   r.id, e.msg);
		if (i == 0)
			is_u64(r.time, 1000000000, "  with its time");
	}
	ok(sh("! test -e ran", &out), "nothing of a repository's was run");
}

/* Those used last stay, and those that somebody reads. */
static void
test_trees(void)
{
	struct source s = {.kind = SOURCE_CHANNEL, .location = "x"};
	AUTO(buf) struct buf url = BUF_INIT, out = BUF_INIT, held = BUF_INIT;
	struct revision first, r;
	struct err e = ERR_INIT;
	char name[8];
	int hold;

	buf_printf(&url, "file://%s/many/%%s.tar", dir);
	options.channel_url = url.p;
	ok(sh("rm -rf src; mkdir many; for i in 0 1 2 3 4 5 6 7 8; do"
	      " echo $i >default.nix; tar -cf many/$i.tar default.nix; done",
	      &out),
	   "nine tarballs");
	ok(resolve_revision(&s, "0", &options, &first, &e) == 0 &&
		   resolve_tree(&s, "0", &first, &options, &held, &hold, &e) ==
			   0 &&
		   hold >= 0,
	   "the first is held: %s", e.msg);
	for (unsigned i = 1; i < 9; i++) {
		(void)snprintf(name, sizeof(name), "%u", i);
		if (resolve_revision(&s, name, &options, &r, &e) < 0)
			ok(false, "%s: %s", name, e.msg);
	}
	ok(sh("ls -d src/*.ok | wc -l", &out), "trees");
	is_str(out.p, "5", "four of them are kept, and the one that is held");
	ok(sh("ls src | grep -vc ok", &out), "directories");
	is_str(out.p, "5", "and nothing else is left");
	ok(access(held.p, R_OK) == 0, "it is still there");
	(void)close(hold);
	ok(resolve_revision(&s, "1", &options, &r, &e) == 0 &&
		   access(held.p, R_OK) < 0,
	   "until it is let go: %s", e.msg);
}

/* What a look tells of a source; of one elsewhere, nothing. */
static void
test_check_source(void)
{
	static const struct {
		enum source_kind kind;
		const char *location;
		bool there;
	} cases[] = {
		{SOURCE_PATH, "/", true},
		{SOURCE_PATH, "/no/such/directory", false},
		{SOURCE_GIT, "/", true},
		{SOURCE_GIT, "file:///no/such/repository", false},
		{SOURCE_GIT, "https://127.0.0.1:1/x.git", true},
		{SOURCE_FLAKE, "github:a/b", true},
		{SOURCE_CHANNEL, "here", true},
		{SOURCE_CHANNEL, "gone", false},
	};
	AUTO(buf) struct buf url = BUF_INIT, out = BUF_INIT;

	buf_printf(&url, "file://%s/%%s.tar", dir);
	options.channel_url = url.p;
	ok(sh("touch here.tar", &out), "a tarball");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct source s = {.kind = cases[i].kind,
					 .location = cases[i].location};
		struct err e = ERR_INIT;
		int r = resolve_check_source(&s, &options, &e);

		ok((r == 0) == cases[i].there &&
			   (r == 0 || e.kind == ERR_UPSTREAM),
		   "%s %s: %s", source_kind_name(s.kind), s.location,
		   r == 0 ? "as far as one sees" : e.msg);
	}
}

/* Who else has a commit's tarball may have another in it. */
static void
test_channel_url(void)
{
	static const char commit[] = "0123456789012345678901234567890123456789";
	static const char *const places[] = {"a", "b"};
	const struct source s = {.kind = SOURCE_CHANNEL, .location = commit};
	AUTO(buf) struct buf out = BUF_INIT;

	ok(sh("mkdir a b; for i in a b; do echo $i >default.nix;"
	      "tar -cf $i/0123456789012345678901234567890123456789.tar "
	      "default.nix; done",
	      &out),
	   "two places have a tarball of a commit");
	for (size_t i = 0; i < ARRAY_LEN(places); i++) {
		AUTO(buf) struct buf url = BUF_INIT, text = BUF_INIT;
		struct revision r;
		struct err e = ERR_INIT;

		buf_printf(&url, "file://%s/%s/%%s.tar", dir, places[i]);
		buf_printf(&text, "%s\n", places[i]);
		options.channel_url = url.p;
		ok(resolve_revision(&s, "latest", &options, &r, &e) == 0 &&
			   strcmp(r.id, commit) == 0,
		   "in %s it is resolved: %s", places[i], e.msg);
		ok(tree_has(&s, "latest", &r, "default.nix", text.p),
		   "to that place's own");
	}
}

static void
test_path(void)
{
	AUTO(buf) struct buf path = BUF_INIT;
	const struct source s = {.kind = SOURCE_PATH, .location = dir};
	struct revision r = {.time = 0};
	struct err e = ERR_INIT;
	int hold;

	ok(resolve_tree(&s, "latest", &r, &options, &path, &hold, &e) == 0 &&
		   hold == -1,
	   "a directory");
	is_str(path.p, dir, "is where it is");
}

int
main(void)
{
	AUTO(buf) struct buf out = BUF_INIT;
	struct err e = ERR_INIT;

	log_set_level(LOG_ERROR);
	/* Who closes what isn't theirs, closes this one first. */
	if (!mkdtemp(dir) || (fcntl(0, F_GETFD) < 0 &&
			      open("/dev/null", O_RDONLY | O_CLOEXEC) != 0))
		abort();
	test_tags();
	test_path();
	if (sh("command -v git", &out)) {
		test_git();
		test_git_directories();
		test_work_tree();
		test_git_fails();
		test_git_environment();
	} else {
		skip("git repositories", "there is no git here");
	}
	test_channel();
	test_channel_url();
	test_check_source();
	test_trees();
	ok(fcntl(0, F_GETFD) >= 0, "no descriptor is closed that isn't ours");
	if (fs_remove_tree(dir, &e) < 0)
		ok(false, "%s", e.msg);
	return done_testing();
}
