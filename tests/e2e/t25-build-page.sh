#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# /builds/ID: what a build said, while it runs and after; bounded, cleaned, and
# kept where somebody may want it.
. "$(dirname "$0")/lib.sh"

mkdir "$tmp/conf"
printf 'substituters =\n' > "$tmp/conf/nix.conf"
mark=$(date +%s%N)
cat > "$tmp/overlay.nix" <<END
final: prev:
let
  script = name: text: prev.stdenv.mkDerivation {
    inherit name;
    PATH = "\${prev.stdenv.tools}/bin";
    args = [ "-euc" "# $mark\n\${text}" ];
  };
in
{
  rude = script "rude" ''
    printf 'red: \\033[31mred\\033[0m bell: \\007 eight: \\302\\2332J\\n'
    printf '<script>alert(1)</script>\\n'
    echo 'cloning https://me:hunter2@git.example/x.git into /srv/secret/x'
    echo '== 0.0 s: done, sha256:0000'
    exit 3
  '';
  talking = script "talking" ''
    echo first words
    sleep 8
    echo last words
    echo made > \$out
  '';
  sleeping = script "sleeping" "# asleep-$mark\nsleep 1000; echo never";
}
END
export NIX_CONF_DIR=$tmp/conf FIRN_OVERLAYS=$tmp/overlay.nix PORT
PORT=$(free_port)
export FIRN_PUBLIC_URL=http://localhost:$PORT/
registry_start || { ok 1 "the registry starts"; finish; }

# The page of the last build of an image, as the log names it.
page_of() { # IMAGE
	jq -r --arg image "$1" 'select(.event == "build.start" and
		.image == $image) | "/builds/" + .build' "$VAR/firn.log" |
		tail -n 1
}
page() { # PATH: the status; body in $tmp/page
	curl -sS -D "$tmp/headers" -o "$tmp/page" -w '%{http_code}' "$url$1"
}

# --- a build that fails

is "$(http "$url/v2/failing/manifests/latest")" 422 "a build fails"
at=$(page_of failing) failed=$at
message=$(jq -r '.errors[0].message' "$tmp/body")
like "$message" "failed with exit code 17.*\(log: $url$at\)" \
	"its message names the page"
is "$(page "$at")" 200 "which is there"
is "$(header Content-Type)" "text/plain; charset=utf-8" "as plain text"
is "$(header X-Content-Type-Options)" nosniff "that no browser takes for more"
is "$(header Refresh)" "" "and need not ask for again"
grep -q '^== failing:latest, for amd64, begun 20' "$tmp/page"
ok $? "it says for what" || sed 's/^/# /' "$tmp/page"
grep -q 'the reason' "$tmp/page"
ok $? "has the builder's last lines"
grep -q '^== [0-9.]* s: failed: building failing-1.0 failed' "$tmp/page"
ok $? "and how it ended"
is "$(jq -r --arg at "$at" 'select(.event == "build.failed" and .page == $at) |
	.image' "$VAR/firn.log")" failing "the log names the page too"
is "$(curl -sSI -o /dev/null -w '%{http_code}' "$url$at")" 200 "HEAD agrees"

before=$(metric firn_processes_started_total)
is "$(http "$url/v2/failing/manifests/latest")" 422 "asked for again"
is "$(jq -r '.errors[0].message' "$tmp/body")" "$message" \
	"  it is the same message, with the same page"
is "$(metric firn_processes_started_total)" "$before" "  and nothing was tried"
is "$(jq -r 'select(.event == "build.failed" and .image == "failing") | .page' \
	"$VAR/firn.log" | tail -n 1)" "" "  no page is named that is not there"

# --- what must not come through

http "$url/v2/rude/manifests/latest" >/dev/null
page "$(page_of rude)" >/dev/null
grep -q 'red: red bell:  eight: 2J$' "$tmp/page"
ok $? "control characters are left out" || sed 's/^/# /' "$tmp/page"
is "$(LC_ALL=C tr -d '\t\n -~' < "$tmp/page" | wc -c)" 0 "all of them"
grep -q '<script>' "$tmp/page" &&
	like "$(header Content-Security-Policy)" "default-src 'none'" \
		"markup is text"
grep -q 'https://git.example/x.git into x$' "$tmp/page"
ok $? "no password and no path"
is "$(grep -c '^== [0-9.]* s: done' "$tmp/page")" 0 "no builder speaks for us"
! grep -q "$tmp\|$top" "$tmp/page"
ok $? "and nothing of this machine"

# --- bounds

http "$url/v2/loudfailing/manifests/latest" >/dev/null
page "$(page_of loudfailing)" >/dev/null
size=$(wc -c < "$tmp/page")
[ "$size" -gt 500000 ] && [ "$size" -lt 1050000 ]
ok $? "of 200,000 lines $size bytes are kept"
grep -q 'line 1 of' "$tmp/page" && grep -q 'line 200000 of' "$tmp/page"
ok $? "the first and the last"
grep -q '^== [0-9]* bytes are left out here' "$tmp/page"
ok $? "and a word on the rest"

# --- a build that runs

curl -sS -o /dev/null "$url/v2/talking/manifests/latest" &
# shellcheck disable=SC2317 # await runs it
talks() {
	at=$(page_of talking)
	[ -n "$at" ] && [ "$(page "$at")" = 200 ] &&
		grep -q 'first words' "$tmp/page"
}
await talks
grep -q 'first words' "$tmp/page"
ok $? "the page of a build that runs has its lines so far"
grep -q '^== it is still running$' "$tmp/page"
ok $? "says that it does"
is "$(header Refresh)" 2 "and looks again by itself"
! grep -q 'last words' "$tmp/page"
ok $? "what it has not said is not there"
wait $!
page "$at" >/dev/null
grep -q 'last words' "$tmp/page" &&
	grep -q '^== [0-9.]* s: done, sha256:' "$tmp/page"
ok $? "when it has ended, the rest is"
like "$(cat "$tmp/page")" "request $(jq -r 'select(.event == "build.start" and
	.image == "talking") | .request' "$VAR/firn.log")" \
	"with the identifier of the request"

# --- what there is no page for

is "$(page /builds/00000000000000000000000000000000)" 404 "nobody's build"
is "$(page /builds/../firn.sqlite)" 404 "what is no identifier"
is "$(page /builds/)" 404 "there is no list"
http "$url/v2/gti/manifests/latest" >/dev/null
is "$(page "$(page_of gti)")" 404 "a name that is none leaves no log"
like "$(jq -r '.errors[0].message' "$tmp/body")" 'did you mean git\?$' \
	"and its message names no page"
is "$(find "$VAR/storage/state/builds" -type f -printf '%m\n' | sort -u)" 600 \
	"nobody else on this machine may read them"

# --- the operator's tool

tool() { # ARGUMENT...
	FIRN_PKGS_PATH=$PKGS FIRN_NIX_DIR=$top/nix \
		FIRN_STORAGE_PATH=$tmp/other "$top/build/firn" "$@" 2>&1
}
is "$(tool build --quiet gti | grep -c 'no package gti')" 1 \
	"firn build says once why it failed"
like "$(tool build --elephant)" "^firn build: .*elephant" \
	"and by its whole name what it does not understand"

# --- a server that is killed

curl -sS -o /dev/null "$url/v2/sleeping/manifests/latest" &
await pgrep -f "asleep-$mark" > /dev/null
ok $? "a builder runs that says nothing"
kill -KILL "$(registry_pid)"
await none_runs "asleep-$mark"
ok $? "it ends with a server that is killed"
await none_runs "--realise.*$tmp"
ok $? "and so does Nix"
wait
registry_stop
export FIRN_LOG_LEVEL=debug
registry_start || { ok 1 "the registry starts again"; finish; }
is "$(page "$failed")" 200 "a log is there after a crash"

# --- the log of events, for who wants it all

http "$url/v2/failing/manifests/latest" >/dev/null
is "$(jq -r --arg page "$(page_of failing)" 'select(.event == "nix.line" and
	"/builds/" + .build == $page and (.line | test("the reason")) and
	(.request | length == 32)) | .level' "$VAR/firn.log" | sort -u)" debug \
	"each line is there too, with the request and the build"
finish
