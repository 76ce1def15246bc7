#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Killed at random moments of a cold build, it comes back whole.
. "$(dirname "$0")/lib.sh"
tries=${TRIES:-20}

registry_start || { ok 1 "the registry starts"; finish; }
name=git/htop
start=$(date +%s%N)
first=$(manifest_digest $name)
span=$((($(date +%s%N) - start) / 1000000))
like "$first" '^sha256:' "a cold build ($span ms)"

RANDOM=$(date +%s)
echo "# RANDOM=$RANDOM"
good=0 bad_blobs=
for ((n = 1; n <= tries; n++)); do
	registry_stop
	rm -rf "$VAR/storage"
	registry_start || { ok 1 "the registry starts (try $n)"; finish; }
	curl -sS -L -o /dev/null "$url/v2/$name/manifests/latest" \
		2> /dev/null &
	client=$!
	ms=$((RANDOM % span))
	sleep "$((ms / 1000)).$(printf %03d $((ms % 1000)))"
	kill -KILL "$(registry_pid)"
	wait "$client"
	registry_stop
	bad_blobs+=$(check_blobs "$VAR/storage")
	registry_start || { ok 1 "the registry starts after a crash"; finish; }
	[ "$(manifest_digest $name)" = "$first" ] && good=$((good + 1))
	bad_blobs+=$(check_blobs "$VAR/storage")
done
is "$good" "$tries" "killed $tries times: every pull succeeds afterwards"
is "$bad_blobs" "" "no blob had bytes that don't match its name"
is "$(find "$VAR/storage/staging" -type f ! -name '*.lock' | wc -l)" 0 \
	"nothing is left in staging"
finish
