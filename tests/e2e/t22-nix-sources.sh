#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every kind of package source, from local data: a directory, a git
# repository, a tarball by file://, a flake. What moves is found again after
# the time to live, and not before.
. "$(dirname "$0")/lib.sh"
have git || skip_all "git is not installed"

mkdir "$tmp/conf"
printf 'substituters =\n' > "$tmp/conf/nix.conf"
export NIX_CONF_DIR=$tmp/conf
unset PKGS

word_set
cat > "$tmp/set/flake.nix" <<-'END'
	{
	  outputs = { self }: {
	    legacyPackages.x86_64-linux = import ./. { system = "x86_64-linux"; };
	  };
	}
END

git_set add -A -f
GIT_COMMITTER_DATE='1000000000 +0000' git_set commit -qm one
git clone -q --bare "$tmp/set" "$tmp/set.git"

change() { # WORD: in the repository's branch
	echo "$1" > "$tmp/set/word"
	git_set commit -qam "$1"
	git_set push -q "$tmp/set.git" trunk
}

config_of() { # MANIFEST-DIGEST: the config of the image of the last answer
	curl -sS "$url/v2/word/blobs/$(python3 -c '
import json, sys
print(json.load(open(sys.argv[1]))["config"]["digest"])' "$tmp/body")"
}

# --- a directory
export PKGS=$tmp/set FIRN_RESOLVE_TTL=0
registry_start || { ok 1 "a directory"; finish; }
first=$(manifest_digest word)
like "$first" '^sha256:' "a directory"
like "$(config_of)" "\"org.opencontainers.image.revision\":\"$(git_set rev-parse HEAD)" \
	"  that is a clean work tree: its commit is in a label"
sleep 2.1 # a change just before a fingerprint makes it unique
manifest_digest word > /dev/null
touch "$tmp/set/word"
sleep 2
is "$(manifest_digest word)" "$first" "touched: the same digest"
echo two > "$tmp/set/word"
sleep 2 # longer than nginx keeps an answer
second=$(manifest_digest word)
[ "$second" != "$first" ]
ok $? "edited: another one"
! config_of | grep -q image.revision
ok $? "  which is of no commit"
echo one > "$tmp/set/word"
sleep 2
is "$(manifest_digest word)" "$first" "edited back: the first again"
is "$(http "$url/v2/word/manifests/v1")" 404 "it has no other tags"
registry_stop
FIRN_RESOLVE_TTL=600 registry_start
is "$(manifest_digest word)" "$first" "remembered for long"
registry_stop
echo two > "$tmp/set/word"
registry_start
is "$(manifest_digest word)" "$second" \
	"  is not remembered after a start with a shorter time to live"
registry_stop
mv "$tmp/set" "$tmp/away"
READY=healthz registry_start
like "$(cat "$VAR/firn.log")" 'source.missing' "it is gone: said at the start"
is "$(http "$url/readyz")" 503 "  it is not ready"
like "$(cat "$tmp/body")" 'package source' "  and says why"
registry_stop
mv "$tmp/away" "$tmp/set"

# --- a git repository
unset PKGS
# How long it takes from one pull to the next is up to the machine: what is to
# be within the time to live has a long one, what is to be after it a short one.
export VAR=$tmp/var-git FIRN_RESOLVE_TTL=600
REPO=file://$tmp/set.git registry_start ||
	{ ok 1 "a git repository"; finish; }
first=$(manifest_digest word)
like "$first" '^sha256:' "a git repository"
like "$(config_of)" "\"org.opencontainers.image.revision\":\"$(git_set rev-parse HEAD)" \
	"the commit is in a label"
like "$(config_of)" '"created":"2001-09-09T01:46:40Z"' "its time is the image's"
is "$(manifest_digest word:trunk)" "$first" "the branch by its name"
one=$(git_set rev-parse HEAD)
change two
is "$(manifest_digest word)" "$first" \
	"the branch moved: within the time to live the same digest"
is "$(http -I "$url/v2/word/manifests/latest"; header Docker-Content-Digest)" \
	"200$first" "and for HEAD"
registry_stop
export FIRN_RESOLVE_TTL=2
REPO=file://$tmp/set.git registry_start ||
	{ ok 1 "a git repository"; finish; }
second=$(manifest_digest word)
change three
sleep 2.2
third=$(manifest_digest word)
[ -n "$third" ] && [ "$third" != "$second" ]
ok $? "after it a new one"
is "$(manifest_digest "word:$one")" "$first" "the commit it was at"
is "$(manifest_digest "word:${one:0:8}")" "$first" "the same cut short"
is "$(http "$url/v2/word/manifests/nothing")" 404 "no such branch"
like "$(cat "$tmp/body")" 'no branch, tag or commit' "says so"
before=$(metric firn_processes_started_total)
is "$(http "$url/v2/word/manifests/sha256-$(printf '%064d' 0).sig")" 404 \
	"a signature's tag"
is "$(metric firn_processes_started_total)" "$before" "costs nothing"
git_set push -q "$tmp/set.git" trunk:feature
change four # a commit that has to be looked for: all branches are fetched
is "$(http "$url/v2/word/manifests/$(git_set rev-parse --short=12 HEAD)")" 200 \
	"a new commit, with a branch feature"
git_set push -q "$tmp/set.git" :feature trunk:refs/heads/feature/x
change five
is "$(http "$url/v2/word/manifests/$(git_set rev-parse --short=12 HEAD)")" 200 \
	"the next, when that became feature/x"
registry_stop

# --- a tarball
export VAR=$tmp/var-tar
mkdir "$tmp/tar"
git_set archive --prefix=set-1/ -o "$tmp/tar/stable.tar.gz" "$one"
# What git archive leaves out nothing of: generated/ is committed.
CHANNEL=stable FIRN_CHANNEL_URL="file://$tmp/tar/%s.tar.gz" \
	registry_start || { ok 1 "a tarball"; finish; }
tarball=$(manifest_digest word)
like "$tarball" '^sha256:' "a tarball"
git_set archive --prefix=set-2/ -o "$tmp/tar/next.tar.gz" trunk
like "$(manifest_digest word:next)" '^sha256:' "another channel by tag"
next=$(manifest_digest word:next)
[ "$next" != "$tarball" ]
ok $? "is another image"
is "$(http "$url/v2/word/manifests/nothing")" 404 "no such channel"
registry_stop
mkdir "$tmp/tar2"
cp "$tmp/tar/next.tar.gz" "$tmp/tar2/stable.tar.gz"
CHANNEL=stable FIRN_CHANNEL_URL="file://$tmp/tar2/%s.tar.gz" registry_start
is "$(manifest_digest word)" "$next" "another FIRN_CHANNEL_URL: what is there"
registry_stop

# --- a flake
export VAR=$tmp/var-flake
# Nix 2.8 knows no other branch than master by itself.
export FIRN_RESOLVE_TTL=600 FIRN_PKGS_FLAKE="git+file://$tmp/set.git?ref=trunk"
registry_start || { ok 1 "a flake"; finish; }
flake=$(manifest_digest word)
like "$flake" '^sha256:' "a flake" ||
	tail -n 3 "$VAR/firn.log" | sed 's/^/# /'
change six
is "$(manifest_digest word)" "$flake" "which is locked for the time to live"
registry_stop
export FIRN_RESOLVE_TTL=2
registry_start || { ok 1 "a flake"; finish; }
flake=$(manifest_digest word)
change seven
sleep 2.2
moved=$(manifest_digest word)
[ -n "$moved" ] && [ "$moved" != "$flake" ]
ok $? "and moves after it"
is "$(http "$url/v2/gti/manifests/latest")" 404 "a wrong name"
like "$(cat "$tmp/body")" 'did you mean git' "is told"
is "$(http "$url/v2/readsfile/manifests/latest")" 403 \
	"a package that reads a file of this machine"
is "$(http "$url/v2/shell/htop/manifests/latest")" 200 "and what is well"
finish
