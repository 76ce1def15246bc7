#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Each way in which Nix may fail, as a client sees it: status, code, message,
# reason phrase; and the log.
. "$(dirname "$0")/lib.sh"

mkdir "$tmp/conf"
printf 'substituters =\n' > "$tmp/conf/nix.conf"
export NIX_CONF_DIR=$tmp/conf FIRN_NIX_TIMEOUT=20
registry_start || { ok 1 "the registry starts"; finish; }

# The words of the first error in the body of the last answer.
answer() { # FIELD
	python3 -c 'import json, sys
print(json.load(open(sys.argv[1]))["errors"][0][sys.argv[2]])' \
		"$tmp/body" "$1" 2>&1
}

fails() { # NAME STATUS CODE PATTERN
	local status reason
	status=$(http --max-time 120 "$url/v2/$1/manifests/latest")
	reason=$(tr -d '\r' < "$tmp/headers" | awk '/^HTTP/ { r = $0 } END { print r }')
	is "$status $(answer code)" "$2 $3" "$1 is $2 $3"
	like "$(answer message)" "$4" "$1 says so: $4"
	like "$reason" "$4" "in the reason phrase too"
	like "$(header Content-Type)" '^application/json' "as JSON"
	if grep -q "$tmp\|$top" "$tmp/body" "$tmp/headers"; then
		ok 1 "$1 leaks no path of this machine"
	fi
}

fails gti 404 MANIFEST_UNKNOWN 'no package gti; did you mean git\?'
fails xorg 404 MANIFEST_UNKNOWN 'not a package but a set.*xorg\.libX11'
fails unfreepkg 403 DENIED 'unfree-pkg-1.0 has an unfree license'
fails brokenpkg 403 DENIED 'is marked as broken'
fails insecurepkg 403 DENIED 'insecure \(CVE-2099-0001'
fails unsupportedpkg 403 DENIED 'not available for x86_64-linux'
fails throwing 422 MANIFEST_UNKNOWN 'this package always throws'
fails missingattr 422 MANIFEST_UNKNOWN "attribute 'doesNotExist' missing"
fails recursing 422 MANIFEST_UNKNOWN 'infinite recursion'
fails readsfile 403 DENIED 'outside of the package set'
fails hungry 403 DENIED 'of memory, the limit here'
fails failing 422 MANIFEST_UNKNOWN \
	'building failing-1.0 failed with exit code 17; its log ends: the reason'
fails loudfailing 422 MANIFEST_UNKNOWN 'log ends: line 200000'
fails fodmismatch 422 MANIFEST_UNKNOWN 'hash mismatch'
fails wrongsystem 403 DENIED 'must be built on another kind of machine'
fails git/failing 422 MANIFEST_UNKNOWN 'building failing-1.0 failed'
[ "$(grep -c '"event":"build.failed"' "$VAR/firn.log")" -ge 15 ]
ok $? "every failed build is in the log"
grep '"event":"build.failed"' "$VAR/firn.log" | grep '"image":"failing"' |
	grep -q 'line one'
ok $? "with the end of the builder's log"

registry_stop
export FIRN_NIX_TIMEOUT=2
registry_start || { ok 1 "the registry starts"; finish; }
fails slow 422 MANIFEST_UNKNOWN 'building slow-1.0 took too long: .*2 seconds'
fails stubborn 422 MANIFEST_UNKNOWN 'building stubborn-1.0 took too long'
is "$(pgrep -fc 'echo not stopping')" 0 "and no builder is left"
is "$(http "$url/v2/hello/manifests/latest")" 200 "what is well is served"
is "$(find "$VAR/storage/state/nix/roots" -type l | wc -l)" 0 \
	"no root is left of any"
registry_stop

# Through a daemon, which loses exit codes; and when it is gone.
if [ "$(id -u)" -ne 0 ]; then
	skip "errors through a daemon" "only root may start nix-daemon"
	finish
fi
printf 'build-users-group =\n' >> "$tmp/conf/nix.conf"
export NIX_DAEMON_SOCKET_PATH=$tmp/daemon.sock
setsid env -u NIX_REMOTE nix-daemon 2> "$tmp/daemon.log" &
daemon=$!
for ((i = 0; i < 100; i++)); do
	[ -S "$NIX_DAEMON_SOCKET_PATH" ] && break
	sleep 0.1
done
export NIX_REMOTE=daemon
registry_start || { ok 1 "the registry starts"; finish; }
fails failing 422 MANIFEST_UNKNOWN \
	'building failing-1.0 failed with exit code 17; its log ends: the reason'
fails slow 422 MANIFEST_UNKNOWN 'building slow-1.0 took too long: .*2 seconds'
fails fodmismatch 422 MANIFEST_UNKNOWN 'hash mismatch'
fails wrongsystem 403 DENIED 'must be built on another kind of machine'
is "$(http "$url/v2/hello/manifests/latest")" 200 "what is well is served"
kill "$daemon"
wait "$daemon" 2>/dev/null
sleep 5 # as long as a good answer of Nix's is kept
is "$(curl -sS -o "$tmp/body" -w '%{http_code}' "$url/readyz")" 503 \
	"without its daemon it is not ready"
is "$(http --max-time 60 "$url/v2/jq/manifests/latest")" 503 \
	"and a build is a 503"
grep -q 'daemon does not answer' "$VAR/firn.log"
ok $? "the log says that the daemon does not answer"
! grep -q "$tmp" "$tmp/body"
ok $? "the client is not told where it was looked for"
is "$(http "$url/v2/hello/manifests/latest")" 200 \
	"what was built before is still served"
finish
