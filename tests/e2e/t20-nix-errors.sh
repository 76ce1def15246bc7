#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Each way in which Nix may fail, as a client sees it: status, code, message,
# reason phrase; and the log.
. "$(dirname "$0")/lib.sh"

mkdir "$tmp/conf"
printf 'substituters =\n' > "$tmp/conf/nix.conf"
export NIX_CONF_DIR=$tmp/conf FIRN_NIX_TIMEOUT=20
export FIRN_EVAL_TIMEOUT=4 FIRN_EVAL_MEMORY=500M
registry_start || { ok 1 "the registry starts"; finish; }

# The words of the first error in the body of the last answer.
answer() { # FIELD
	python3 -c 'import json, sys
print(json.load(open(sys.argv[1]))["errors"][0][sys.argv[2]])' \
		"$tmp/body" "$1" 2>&1
}

fails() { # NAME STATUS CODE PATTERN [PATTERN-OF-THE-LOG]
	local status reason
	status=$(http --max-time 120 "$url/v2/$1/manifests/latest")
	reason=$(tr -d '\r' < "$tmp/headers" | awk '/^HTTP/ { r = $0 } END { print r }')
	is "$status $(answer code)" "$2 $3" "$1 is $2 $3"
	like "$(answer message)" "$4" "  says so: $4"
	like "$reason" "$4" "  in the reason phrase too"
	like "$(header Content-Type)" '^application/json' "  as JSON"
	like "$(jq -r --arg image "$1" \
		'select(.event == "build.failed" and .image == $image) | .error' \
		"$VAR/firn.log" | tail -n 1)" "${5:-$4}" \
		"  and the log: ${5:-the same}"
	! grep -q "$tmp\|$top" "$tmp/body" "$tmp/headers"
	ok $? "  with no path of this machine"
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
fails hungry 403 DENIED 'more than 500 MiB of memory, the limit here'
fails looping 422 MANIFEST_UNKNOWN 'did not end within 4 s, the limit here'
fails afunction 404 MANIFEST_UNKNOWN 'not a package but a function'
fails git.nothing 404 MANIFEST_UNKNOWN 'no package git.nothing'
fails failing 422 MANIFEST_UNKNOWN \
	'building failing-1.0 failed with exit code 17; its log ends: the reason'
fails loudfailing 422 MANIFEST_UNKNOWN 'log ends: line 200000'
fails fodmismatch 422 MANIFEST_UNKNOWN 'hash mismatch'
fails wrongsystem 403 DENIED 'must be built on another kind of machine'
fails failing/git 422 MANIFEST_UNKNOWN 'building failing-1.0 failed'
grep '"event":"build.failed"' "$VAR/firn.log" | grep '"image":"failing"' |
	grep -q 'line one'
ok $? "with the end of the builder's log"

registry_stop
export FIRN_NIX_TIMEOUT=2
registry_start || { ok 1 "the registry starts"; finish; }
fails slow 422 MANIFEST_UNKNOWN 'building slow-1.0 took too long: .*2 seconds'
fails stubborn 422 MANIFEST_UNKNOWN 'building stubborn-1.0 took too long'
await none_runs 'echo not stopping'
ok $? "and no builder is left"
is "$(http "$url/v2/hello/manifests/latest")" 200 "what is well is served"
is "$(find "$VAR/storage/state/nix/roots" -type l | wc -l)" 0 \
	"no root is left of any"
registry_stop

# A cache that can't be reached, where nothing is built.
printf 'substituters = http://127.0.0.1:1\n' > "$tmp/conf/nix.conf"
export FIRN_SUBSTITUTES_ONLY=1
registry_start || { ok 1 "the registry starts"; finish; }
fails failing 503 UNAVAILABLE 'no binary cache that this registry gets packages from' \
	"a binary cache can't be reached"
registry_stop
unset FIRN_SUBSTITUTES_ONLY
printf 'substituters =\n' > "$tmp/conf/nix.conf"

# No Nix: what is there is served, what isn't can't be made.
mkdir "$tmp/bin"
IFS=: read -ra dirs <<< "$PATH"
for dir in "${dirs[@]}"; do
	for program in "$dir"/*; do
		[[ ${program##*/} == nix* ]] || [ ! -x "$program" ] ||
			ln -s "$program" "$tmp/bin/" 2>/dev/null
	done
done
with_nix=$PATH
PATH=$tmp/bin READY=healthz registry_start ||
	{ ok 1 "the registry starts without Nix"; finish; }
fails tree 503 UNAVAILABLE 'Nix is missing on this registry' \
	'Nix is missing: there is no nix-instantiate'
is "$(http "$url/readyz")" 503 "it is not ready"
is "$(http "$url/v2/hello/manifests/latest")" 200 "what was built is served"
registry_stop
PATH=$with_nix

# Through a daemon, which loses exit codes; and when it is gone.
if [ "$(id -u)" -ne 0 ]; then
	skip "errors through a daemon" "only root may start nix-daemon"
	finish
fi
printf 'build-users-group =\n' >> "$tmp/conf/nix.conf"
export NIX_DAEMON_SOCKET_PATH=$tmp/daemon.sock
setsid env -u NIX_REMOTE nix-daemon 2> "$tmp/daemon.log" &
daemon=$!
await test -S "$NIX_DAEMON_SOCKET_PATH"
export NIX_REMOTE=daemon FIRN_NIX_TIMEOUT=20
registry_start || { ok 1 "the registry starts"; finish; }
fails failing 422 MANIFEST_UNKNOWN \
	'building failing-1.0 failed with exit code 17; its log ends: the reason'
fails fodmismatch 422 MANIFEST_UNKNOWN 'hash mismatch'
fails wrongsystem 403 DENIED 'must be built on another kind of machine'
is "$(http "$url/v2/hello/manifests/latest")" 200 "what is well is served"
registry_stop
export FIRN_NIX_TIMEOUT=2
registry_start || { ok 1 "the registry starts"; finish; }
fails slow 422 MANIFEST_UNKNOWN 'building slow-1.0 took too long: .*2 seconds'
kill "$daemon"
wait "$daemon" 2>/dev/null
sleep 5 # as long as a good answer of Nix's is kept
is "$(curl -sS -o "$tmp/body" -w '%{http_code}' "$url/readyz")" 503 \
	"without its daemon it is not ready"
fails jq 503 UNAVAILABLE 'the Nix daemon of this registry does not answer' \
	'the Nix daemon does not answer'
is "$(http "$url/v2/hello/manifests/latest")" 200 \
	"what was built before is still served"
finish
