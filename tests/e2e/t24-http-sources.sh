#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Package sets over HTTP: a git repository, smart and dumb; a channel whose
# address redirects; a host of repositories that makes tarballs of commits.
# What did not change is not sent again.
. "$(dirname "$0")/lib.sh"
have git || skip_all "git is not installed"

mkdir -p "$tmp/conf" "$tmp/www/git" "$tmp/www/dumb" "$tmp/www/channels" \
	"$tmp/www/releases"
printf 'substituters =\n' > "$tmp/conf/nix.conf"
export NIX_CONF_DIR=$tmp/conf
unset PKGS
word_set
git_set add -A -f
git_set commit -qm one
git clone -q --bare "$tmp/set" "$tmp/www/git/set.git"
git clone -q --bare "$tmp/set" "$tmp/www/dumb/set.git"
git -C "$tmp/www/dumb/set.git" update-server-info
one=$(git_set rev-parse HEAD)

change() { # WORD: in both repositories' branch
	echo "$1" > "$tmp/set/word"
	git_set commit -qam "$1"
	git_set push -q "$tmp/www/git/set.git" trunk
	git_set push -q "$tmp/www/dumb/set.git" trunk
	git -C "$tmp/www/dumb/set.git" update-server-info
}
release() { # NAME
	mkdir -p "$tmp/www/releases/$1"
	git_set archive --prefix="set-$1/" -o \
		"$tmp/www/releases/$1/nixexprs.tar.gz" HEAD
	echo "/releases/$1/nixexprs.tar.gz" > "$tmp/www/channels/stable"
}

mkfifo "$tmp/fifo"
: > "$tmp/www.log"
(exec python3 "$top/tests/support/http_sources.py" "$tmp/www" "$tmp/www.log" \
	> "$tmp/fifo" 2> "$tmp/www.err") &
www_pid=$!
disown "$www_pid"
trap 'kill "$www_pid"; cleanup' EXIT
read -r www_port < "$tmp/fifo"
www=http://127.0.0.1:$www_port

sent() { grep -c "^$1" "$tmp/www.log"; } # how many lines begin so
refused() { # STATUS PATTERN NAME: the answer, and the log's reason
	is "$(http "$url/v2/word/manifests/latest")" "$1" "$3"
	grep '"event":"build.failed"' "$VAR/firn.log" | tail -n 1 | grep -q "$2"
	ok $? "  the log says why" || tail -n 3 "$VAR/firn.log" | sed 's/^/# /'
}

# How long it takes from one pull to the next is up to the machine: what is to
# be within the time to live has a long one, what is to be after it a short one.
short=2
expire() { sleep "$short.2"; }

# --- repositories
for kind in git dumb; do
	export VAR=$tmp/var-$kind FIRN_RESOLVE_TTL=600
	: > "$tmp/www.log"
	REPO=$www/$kind/set.git registry_start || { ok 1 "$kind"; finish; }
	first=$(manifest_digest word)
	like "$first" '^sha256:' "$kind HTTP: a repository" ||
		tail -n 2 "$VAR/firn.log" | sed 's/^/# /'
	asked=$(sent '')
	is "$(manifest_digest word)" "$first" "  again"
	is "$(sent '')" "$asked" "  costs no request"
	change "$kind-two"
	is "$(manifest_digest word)" "$first" \
		"  the branch moved: the same within the time to live"
	registry_stop
	export FIRN_RESOLVE_TTL=$short
	REPO=$www/$kind/set.git registry_start || { ok 1 "$kind"; finish; }
	first=$(manifest_digest word)
	change "$kind-three"
	expire
	second=$(manifest_digest word)
	like "$second" '^sha256:' "  after it" && [ "$second" != "$first" ]
	ok $? "    another one" || tail -n 3 "$VAR/firn.log" | sed 's/^/# /'
	is "$(http "$url/v2/word/manifests/$one")" 200 "  a commit by its name"
	is "$(http "$url/v2/word/manifests/none")" 404 "  no such branch"
	[ "$kind" = git ] || { registry_stop; continue; }
	touch "$tmp/www/down"
	expire
	refused 503 'git can.t read' "  the host is down"
	is "$(http "$url/readyz") $(grep -c 'package source' "$tmp/body")" \
		"503 1" "  and it is not ready"
	rm "$tmp/www/down"
	is "$(manifest_digest word)" "$second" "  and up again"
	sleep 5 # as long as what /readyz found is kept
	is "$(http "$url/readyz")" 200 "  and ready"
	registry_stop
done

# --- a channel
release 1
export VAR=$tmp/var-channel
: > "$tmp/www.log"
pulls=()
FIRN_MAX_BUILDS=4 CHANNEL=stable FIRN_CHANNEL_URL=$www/channels/%s \
	registry_start ||
	{ ok 1 "a channel"; finish; }
first=$(manifest_digest word)
like "$first" '^sha256:' "a channel behind a redirect"
is "$(sent '200 GET /releases/1/')" 1 "  is sent once"
expire
is "$(manifest_digest word)" "$first" "  after the time to live the same"
is "$(sent '304 GET /releases/1/') $(sent '200 GET /releases/')" "1 1" \
	"  is not sent again"
change channel-four
release 2
expire
second=$(manifest_digest word)
like "$second" '^sha256:' "  it moved" && [ "$second" != "$first" ]
ok $? "    another one"
is "$(sent '200 GET /releases/2/')" 1 "    is sent once"
release 3
expire
for name in word hello jq tree; do
	curl -sS -o /dev/null "$url/v2/$name/manifests/latest" &
	pulls[${#pulls[@]}]=$!
done
wait "${pulls[@]}"
is "$(sent '200 GET /releases/3/')" 1 \
	"  for four images that want it at once it is sent once"
is "$(http "$url/v2/word/manifests/none")" 404 "  no such channel"
touch "$tmp/www/discreet"
is "$(http "$url/v2/word/manifests/nothing") $(http "$url/readyz")" "503 200" \
	"  one of which the host will say nothing: it is ready for others"
rm "$tmp/www/discreet"
echo "not a tarball" > "$tmp/www/releases/bad"
echo /releases/bad > "$tmp/www/channels/stable"
expire
refused 503 'can.t be unpacked' "  what is no tarball"
touch "$tmp/www/down"
refused 503 'answers 503' "  the host is down"
rm "$tmp/www/down"
registry_stop
release 4
FIRN_RESOLVE_TTL=600 CHANNEL=stable FIRN_CHANNEL_URL=$www/channels/%s \
	registry_start || { ok 1 "a channel"; finish; }
first=$(manifest_digest word)
like "$first" '^sha256:' "  with a long time to live"
change channel-five
release 5
is "$(manifest_digest word)" "$first" "  it moved: the same within it"
registry_stop

# --- a host that makes tarballs of commits of a repository
export VAR=$tmp/var-host
archive() { # of the branch
	git_set archive --prefix="set-$(git_set rev-parse HEAD)/" HEAD | gzip -n \
		> "$tmp/www/git/set.git/archive/$(git_set rev-parse HEAD).tar.gz"
}
mkdir -p "$tmp/www/git/set.git/archive"
archive
: > "$tmp/www.log"
CHANNEL=trunk FIRN_CHANNEL_URL=$www/git/set.git/archive/%s.tar.gz \
	registry_start || { ok 1 "a host"; finish; }
first=$(manifest_digest word)
like "$first" '^sha256:' "a host's tarball of a branch"
like "$(curl -sS "$url/v2/word/blobs/$(jq -r .config.digest "$tmp/body")")" \
	"$(git_set rev-parse HEAD)" "  its commit is in a label"
expire
is "$(manifest_digest word)" "$first" "  after the time to live the same"
is "$(sent '200 GET /git/set.git/archive/')" 1 "  is sent once"
change host-six
archive
expire
second=$(manifest_digest word)
like "$second" '^sha256:' "  it moved" && [ "$second" != "$first" ]
ok $? "    another one"
is "$(sent '200 GET /git/set.git/archive/')" 2 "    is sent once"

# A host also has what is in anybody's copy of the repository.
at=$(git_set rev-parse HEAD)
strange() { # MARK: a commit that is on no branch
	local commit
	commit=$(git_set commit-tree -m "$1" "HEAD^{tree}")
	cp "$tmp/www/git/set.git/archive/$at.tar.gz" \
		"$tmp/www/git/set.git/archive/$commit.tar.gz"
	cp "$tmp/www/git/set.git/archive/$at.tar.gz" \
		"$tmp/www/git/set.git/archive/${commit:0:9}.tar.gz"
	echo "$commit"
}
is "$(http "$url/v2/word/manifests/$(strange one)")" 200 \
	"any commit of the host, as a tag"
[ ! -e "$VAR/storage/state/commits" ]
ok $? "  and what names led to is not remembered"
registry_stop
expire
rm -rf "$VAR/storage/state/commits"
touch "$VAR/storage/state/commits" # in the way of a directory
strange=$(strange two)
CHANNEL=trunk FIRN_CHANNEL_URL=$www/git/set.git/archive/%s.tar.gz \
	FIRN_CHANNEL_COMMITS=0 registry_start || { ok 1 "a host"; finish; }
is "$(http "$url/v2/word/manifests/latest")" 200 \
	"FIRN_CHANNEL_COMMITS=0: latest, though its commit can't be remembered"
grep -q '"event":"source.found"' "$VAR/firn.log"
ok $? "  as the log says"
rm "$VAR/storage/state/commits"
expire
is "$(http "$url/v2/word/manifests/latest")" 200 "  latest is looked up anew"
change host-seven
archive
expire
is "$(http "$url/v2/word/manifests/latest")" 200 "  and moves"
is "$(http "$url/v2/word/manifests/$(git_set rev-parse HEAD)")" 200 \
	"  the commit that it is at"
is "$(http "$url/v2/word/manifests/$at")" 200 "  the one before"
for tag in "$strange" "${strange:0:9}"; do
	is "$(http "$url/v2/word/manifests/$tag")" 404 "  but no other: $tag"
	like "$(jq -r '.errors[0].message' "$tmp/body")" \
		'is not served: no channel or branch led this registry to it' \
		"    is told why"
done
registry_stop
CHANNEL=$strange FIRN_CHANNEL_URL=$www/git/set.git/archive/%s.tar.gz \
	FIRN_CHANNEL_COMMITS=0 registry_start || { ok 1 "a host"; finish; }
is "$(http "$url/v2/word/manifests/latest")" 200 "  unless it is configured"
finish
