#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# One build for all who ask at once; nothing is started for a warm pull.
. "$(dirname "$0")/lib.sh"

registry_start || { ok 1 "the registry starts"; finish; }

pids=()
for i in 1 2 3 4 5 6 7 8 9 10; do
	curl -sS -L -o "$tmp/m$i" -w '%{http_code}' \
		"$url/v2/shell/git/htop/manifests/latest" > "$tmp/status-$i" &
	pids+=($!)
done
wait "${pids[@]}"
is "$(cat "$tmp"/status-* | tr -d '\n')" "$(printf '200%.0s' {1..10})" \
	"ten clients at once all get the image"
is "$(sha256sum "$tmp"/m* | cut -d' ' -f1 | sort -u | wc -l)" 1 \
	"and it is the same"
is "$(metric firn_builds_done_total)" 1 "from one build"
for stage in evaluate realise closure pack manifest sbom; do
	like "$(metric "firn_build_seconds_total{stage=\"$stage\"}")" '[1-9]' \
		"its time is known: $stage"
done

before=$(metric firn_processes_started_total)
[ "$before" -gt 0 ]
ok $? "which did start Nix ($before processes)"
strace_pid=
if have strace; then
	strace -f -qq -e trace=execve,execveat,fork,vfork \
		-o "$tmp/strace" -p "$(registry_pid)" 2> "$tmp/strace.err" &
	strace_pid=$!
	for ((i = 0; i < 100; i++)); do
		grep -q "TracerPid:.*[1-9]" "/proc/$(registry_pid)/status" && break
		sleep 0.05
	done
fi
if have skopeo; then
	skopeo copy -q --src-tls-verify=false \
		"docker://$host/shell/git/htop" "oci:$tmp/oci:latest"
	ok $? "a warm pull"
fi
is "$(http -I "$url/v2/git/htop/shell/../x" 2>/dev/null | head -c 1)" 4 \
	"a path that climbs is a 4xx"
is "$(http "$url/v2/shell/htop/git/git/manifests/latest")" 200 \
	"the same packages in another order"
is "$(metric firn_processes_started_total)" "$before" \
	"started no Nix process"
is "$(metric firn_builds_done_total)" 1 "and was not built again"
if [ -n "$strace_pid" ]; then
	kill "$strace_pid"
	wait "$strace_pid" 2>/dev/null
	if grep -q "not permitted" "$tmp/strace.err"; then
		skip "no process at all" "strace may not trace here"
	else
		is "$(grep -c . "$tmp/strace")" 0 \
			"started no process at all, says strace"
	fi
else
	skip "no process at all" "strace is not installed"
fi
finish
