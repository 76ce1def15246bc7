#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Builds that outlast a client's patience: holds of one second instead of 25,
# and an engine whose builds last as long as their names say.
engine=fake
. "$(dirname "$0")/lib.sh"

export FIRN_HOLD=1 FIRN_HOPS=9 FIRN_FINAL_HOLD=3 FIRN_MAX_BUILDS=4
export FIRN_WAITERS=300 FIRN_THREADS=4
registry_start || { ok 1 "the registry starts"; finish; }
never=$url/v2/never/manifests/latest

hops() { # curl arguments: status and number of redirects
	curl -sS -L --max-redirs 9 -o "$tmp/body" -D "$tmp/headers" \
		-w '%{http_code} %{num_redirects}' "$@"
}

# Short is what ends within a hold, which a slow machine may miss once.
for ms in 100 101 102; do
	short=$(hops "$url/v2/wait-$ms/manifests/latest")
	[ "$short" != "200 0" ] || break
done
is "$short" "200 0" "a short build shows no redirect"
like "$(hops "$url/v2/wait-3500/manifests/latest")" "^200 [3-8]$" \
	"a longer one is waited for by redirects"
is "$(hops "$url/v2/wait-3500/manifests/latest")" "200 0" \
	"  and is there then"
is "$(hops "$never?w=8")" "503 0" "after the last hold: 503"
like "$(cat "$tmp/body")" "still being built" "  which says why"
is "$(hops "$never")" "503 8" "eight redirects: the ninth is for a restart"
is "$(hops -A containerd/2.3.4 "$never?w=8")" "429 0" \
	"containerd is to come again"
is "$(header Retry-After)" 1 "  at once"
is "$(hops -I -A containerd/2.3.4 "$never")" "405 0" \
	"containerd's HEAD is to become GET"
curl -sS -D "$tmp/headers" -o "$tmp/body" "$never?ns=docker.io"
is "$(header Location)" "/v2/never/manifests/latest?ns=docker.io&w=1" \
	"a redirect is relative and keeps the query"
[ -s "$tmp/body" ]
ok $? "  and has a body"

# Clients at their first try.
for client in skopeo podman; do
	have $client || { skip "$client waits" "not installed"; continue; }
	name=$host/$client/wait-4200
	case $client in
	skopeo) skopeo inspect --raw --tls-verify=false "docker://$name" ;;
	podman)
		podman --root "$tmp/root" --runroot "$tmp/runroot" \
			--storage-driver vfs pull -q --tls-verify=false "$name"
		;;
	esac > "$tmp/out" 2>&1
	ok $? "$client waits for a build of several holds" ||
		sed 's/^/# /' "$tmp/out"
done

# From here on the last hold is longer than what is done meanwhile.
registry_stop
FIRN_FINAL_HOLD=7 registry_start || { ok 1 "the registry starts"; finish; }

# All slots are held by builds that never end, and 200 pulls wait; the rest
# goes on as before.
warm() { # seconds for 1000 requests for a manifest and 1000 for a blob
	local start=$EPOCHREALTIME
	curl -fsS -o /dev/null "$url/v2/hello/manifests/latest?n=[1-1000]" &&
		curl -fsS -o /dev/null "$url/v2/hello/blobs/$blob?n=[1-1000]" ||
		return
	awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { print b - a }'
}
blob=$(curl -sS "$url/v2/hello/manifests/latest" | jq -r .config.digest)
before=$(warm)
for name in a b c; do
	curl -sS -o /dev/null "$url/v2/$name/never/manifests/latest"
done
crowd() { # URL: the status of each answer to $tmp/codes
	curl -sS -Z --parallel-immediate --parallel-max 200 \
		--no-progress-meter -o /dev/null -w '%{http_code}\n' "$1" \
		> "$tmp/codes" 2> "$tmp/errors"
}
# shellcheck disable=SC2317 # await runs it
waiters_are() { # NUMBER
	[ "$(metric firn_waiters)" -eq "$1" ]
}
crowd "$never?w=9&i=[1-200]" &
crowd=$!
await waiters_are 200
ok $? "200 wait"
is "$(metric firn_builds_running)" 4 "  and every slot is taken"
during=$(warm)
[ -n "$during" ]
ok $? "2000 warm requests succeed meanwhile"
# Two runs on a shared machine. Were all workers blocked, each request would
# wait for one of them, and so for seconds.
awk -v a="$before" -v b="$during" 'BEGIN { exit !(b < 10 * a + 5) }'
ok $? "  about as fast as before ($before s, $during s)"
wait $crowd
is "$(sort "$tmp/codes" | uniq -c | xargs)" "200 503" \
	"all 200 are told to come again"

# A client that leaves frees its place.
curl -sS "$never?w=9" > /dev/null &
leaver=$!
await waiters_are 1
kill "$leaver"
await waiters_are 0
ok $? "a client that leaves is not waited for"
# shellcheck disable=SC2317 # await runs it
left() { [ "$(metric firn_waiters_left_total)" -ge 1 ]; }
await left
ok $? "  and counted"
[ "$(metric firn_builds_running)" -ge 1 ]
ok $? "  while the build goes on"

# Two thousand connections that say nothing.
python3 - "$PORT" "$url" <<'P'
import resource, socket, subprocess, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
port, url = int(sys.argv[1]), sys.argv[2]
silent = [socket.create_connection(("127.0.0.1", port), 30) for _ in range(2000)]
sys.exit(subprocess.call(["curl", "-fsS", "-m", "30", "-o", "/dev/null",
    url + "/v2/hello/manifests/latest"]))
P
ok $? "2000 silent connections hold nobody up"

# Everyone who waits is sent on when the program ends, also in the last hold.
crowd "$never?w=8&i=[1-50]" &
crowd=$!
await waiters_are 50
program=$(registry_pid)
kill -TERM "$program"
wait $crowd
is "$(sort "$tmp/codes" | uniq -c | xargs)" "50 307" \
	"at the end everyone who waits is redirected"
await ended "$program"
is "$(http "$url/v2/")" 503 "then nginx answers for us"
is "$(header Content-Type)" application/json "  in JSON"
like "$(cat "$tmp/body")" UNAVAILABLE "  with a code"
finish
