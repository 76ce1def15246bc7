#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Clouds that misbehave, as clients see it; and that no secret gets anywhere.
# CLOUDS: which ones (default: both); CALLS: at which calls of a build.
# Which call is what, and each of them, is in tests/unit/test_cloud_faults.c.
. "$(dirname "$0")/../e2e/lib.sh"
. "$top/tests/support/cloud_pulls.sh"
have python3 && have openssl || skip_all "no python3 or no openssl"
ulimit -c unlimited
cores=$(cat /proc/sys/kernel/core_pattern)

# How long a cloud may take counts here, so let it be little; but more than it
# takes one that is well, on a machine that is slow.
export FIRN_STORAGE_TIMEOUT=2

# shellcheck disable=SC2317 # await runs it
answers() { # STATUS PATH
	[ "$(http "$url$2")" = "$1" ]
}

# The registry runs, and nginx has the blobs of one image. Then the cloud is
# killed, or all calls have a FAULT; OTHER is an image that nobody has.
test_away() { # BACKEND FAULT OTHER
	local port=$cloud_port other=$url/v2/$3/manifests/latest start
	local what="$1: $2"
	case $2 in
	killed) cloud_kill ;;
	*) cloud_fault "{\"action\":\"$2\",\"retry_after\":2}" ;;
	esac
	rm -rf "$tmp/away"
	out=$(copy "$tmp/away")
	ok $? "$what: an image that nginx has is pulled" || echo "# $out"
	start=$SECONDS
	is "$(http "$other")" 503 "$what: another one is 503"
	like "$(cat "$tmp/body")" "storage" "  which names storage"
	like "$(header Retry-After)" '^[1-9]' "  and says when to come again"
	is "$(leaks "$tmp/body" "$tmp/headers")" 0 "  and no secret"
	[ $((SECONDS - start)) -lt 30 ]
	ok $? "  soon ($((SECONDS - start)) s)"
	await answers 503 /readyz
	ok $? "  /readyz says so"
	like "$(cat "$tmp/body")" "storage" "  and what it is"
	is "$(http "$url/healthz")" 200 "  it is alive"
	case $2 in
	killed) cloud_start "$port" ;;
	*) cloud_heal ;;
	esac
	await answers 200 "/v2/$3/manifests/latest"
	ok $? "$what no more: it recovers by itself"
	await answers 200 /readyz
	ok $? "  and is ready"
	is "$(check_blobs "$VAR/storage")" "" "  every blob is whole"
}

# Each start of a registry begins a new one.
keep_log() { cat "$VAR/firn.log" >> "$tmp/kept.log"; }

# Fault ACTION at call N and all later ones, while an image is built.
test_fault() { # BACKEND ACTION N
	local status tries=0
	registry_stop
	keep_log
	rm -rf "$VAR/storage" "$VAR/nginx/blobs"
	registry_start || { ok 1 "$1: it starts"; return; }
	cloud_fault "{\"action\":\"$2\",\"skip\":$3}"
	status=$(http "$url/v2/jq/manifests/latest")
	case $status in
	200) [ "sha256:$(sha256sum < "$tmp/body" | cut -d' ' -f1)" = "$jq_digest" ] ;;
	*) [ "$status" = 503 ] && grep -q storage "$tmp/body" ;;
	esac || bad+="$2 at $3: $status $(head -c 200 "$tmp/body"); "
	[ "$(leaks "$tmp/body" "$tmp/headers")" = 0 ] || bad+="$2 at $3 leaks; "
	cloud_heal
	while [ "$(http "$url/v2/jq/manifests/latest")" != 200 ] &&
		[ $((++tries)) -lt 240 ]; do
		sleep 0.25
	done
	[ "$(header Docker-Content-Digest)" = "$jq_digest" ] ||
		bad+="$2 at $3: not healed; "
	bad+=$(check_blobs "$VAR/storage")
	seen+="$2@$3:$status "
}

# After N calls of a build four more fail, which is for some seconds: its work
# is not lost.
test_unwell() { # BACKEND N
	registry_stop
	keep_log
	rm -rf "$VAR/storage" "$VAR/nginx/blobs" "$VAR/state"
	registry_start || { ok 1 "$1: it starts"; return; }
	curl -sS -X DELETE "$cloud_url/-/calls"
	cloud_fault "{\"action\":\"status:503\",\"path\":\"e2e-bucket\",\"skip\":$2,\"count\":4}"
	is "$(http "$url/v2/jq/manifests/latest") $(header Docker-Content-Digest)" \
		"200 $jq_digest" "$1: unwell for a while, a build waits"
	is "$(curl -sS "$cloud_url/-/calls" | grep -c ' 503$')" 4 \
		"  from its call $(($2 + 1)) on"
	cloud_heal
}

test_faults() { # BACKEND
	local action n
	export FIRN_BLOB_DELIVERY=proxy
	bad='' seen=''
	registry_start || { ok 1 "$1: it starts"; return; }
	jq_digest=$(manifest_digest jq)
	for action in status:403 status:404 status:429 status:500 hang close \
		truncate corrupt lose; do
		for n in $calls; do
			test_fault "$1" "$action" "$n"
		done
	done
	echo "# $seen"
	is "$bad" "" "$1: at any call of a build: a right answer or a clean 503"
	for n in 1 2 9; do
		test_unwell "$1" "$n"
	done
	registry_stop
	keep_log
}

test_leaks() { # BACKEND
	is "$(leaks "$tmp/kept.log" "$VAR/nginx/error.log" \
		"$VAR/nginx/access.log" "$tmp/serve.log")" 0 \
		"$1: no secret in $(wc -l < "$tmp/kept.log") lines of log"
	grep -q storage.down "$tmp/kept.log"
	ok $? "$1: that the cloud was down is in the log"
}

# A core file would have the keys in it. Some systems pipe them elsewhere.
test_core() { # BACKEND
	[[ $cores != /* && $cores != "|"* ]] || {
		skip "$1: no core file" "this system puts them into $cores"
		return
	}
	mkdir -p "$tmp/cwd"
	(cd "$tmp/cwd" && "$top/deploy/dev/serve" start) 2> "$tmp/serve.log"
	kill -SEGV "$(registry_pid)"
	await ended "$(registry_pid)"
	is "$(find "$tmp/cwd" "$VAR" -name 'core*' -type f | wc -l)" 0 \
		"$1: killed by a fault, it leaves no core file"
	registry_stop
}

have skopeo || skip_all "skopeo is not installed"
calls=${CALLS:-9}
[ -z "${LONG:-}" ] || calls=${CALLS:-1 9 30}
export FIRN_LOG_LEVEL=debug
for backend in ${CLOUDS:-s3 gcs}; do
	export FIRN_STORAGE_BACKEND=$backend
	pulls_begin
	rm -f "$tmp/kept.log"
	pull_proxied "$backend"
	test_away "$backend" killed jq
	test_away "$backend" hang hello
	test_away "$backend" status:429 htop
	registry_stop
	test_faults "$backend"
	test_leaks "$backend"
	test_core "$backend"
	cloud_kill
	rm -rf "$VAR"
done
finish
