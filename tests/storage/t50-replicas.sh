#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Two replicas, one bucket, one nginx: what A built, B serves, and without Nix.
# Then both behind the upstream that README.md has under "Scaling out".
. "$(dirname "$0")/../e2e/lib.sh"
have python3 || skip_all "python3 is not installed"
have sqlite3 || skip_all "sqlite3 is not installed"
export FIRN_STORAGE_BACKEND=s3 FIRN_BLOB_DELIVERY=proxy
name=shell/git

registry_start || { ok 1 "replica A starts"; finish; }
a_var=$VAR a_port=$PORT
digest=$(manifest_digest $name)
like "$digest" '^sha256:' "A builds $name"

# All programs but Nix's.
mkdir "$tmp/bin"
for dir in /usr/local/bin /usr/bin /usr/sbin /bin /sbin; do
	[ ! -d "$dir" ] || cp -sf "$dir"/* "$tmp/bin/" 2>/dev/null
done
rm -f "$tmp"/bin/nix*

start_b() { # [PATH]: a replica of its own, but for the bucket
	VAR=$tmp/b PORT=${b_port:=$(free_port)} PATH=${1:-$tmp/bin} READY=healthz \
		FIRN_STATE_PATH=$tmp/b/state "$top/deploy/dev/serve" start \
		2> "$tmp/serve.log" || { sed 's/^/# /' "$tmp/serve.log"; return 1; }
	url=http://localhost:$b_port
}
stop_b() { VAR=$tmp/b "$top/deploy/dev/serve" stop; }
trap 'stop_b; VAR=$a_var; cleanup' EXIT

start_b
ok $? "replica B starts without Nix" || finish
is "$(http "$url/readyz")" 503 "  but is not ready"
like "$(cat "$tmp/body")" Nix "  and says why"
is "$(manifest_digest $name)" "$digest" "B serves what A built"
is "$(metric firn_processes_started_total)" 0 "  with no process of Nix's"
if have skopeo; then
	out=$(skopeo copy -q --src-tls-verify=false \
		"docker://localhost:$b_port/$name" "oci:$tmp/oci:latest" 2>&1)
	ok $? "  to the last blob" || echo "# $out"
fi
is "$(http "$url/v2/jq/manifests/latest")" 503 "what nobody built is 503"
like "$(head -n 1 "$tmp/headers")" "Nix is missing on this registry" "  and says so"

# A lost database costs lookups; a damaged one is noticed while it is used.
stop_b
rm -rf "$tmp/b/state"
start_b
is "$(manifest_digest $name)" "$digest" "a lost database is built anew"
db=$tmp/b/state/firn.sqlite
sqlite3 "$db" 'PRAGMA wal_checkpoint(TRUNCATE)' > /dev/null
pages=$(($(stat -c %s "$db") / 4096))
dd if=/dev/urandom of="$db" bs=4096 seek=1 count=$((pages - 1)) conv=notrunc \
	2> /dev/null
sleep 2.2 # nginx keeps manifests for a second, and counts whole ones
is "$(manifest_digest $name)" "$digest" \
	"a database that is damaged while it runs is noticed"
grep -q state.damaged "$tmp/b/firn.log"
ok $? "  the log says so"
[ -e "$db.damaged" ] && [ "$(sqlite3 "$db" 'PRAGMA quick_check')" = ok ]
ok $? "  it is set aside, and a sound one is in its place"
[ "$(sqlite3 "$db" 'SELECT count(*) FROM kept_images')" -gt 0 ]
ok $? "  which is filled as requests come"
sqlite3 "$db" "UPDATE kept_images SET manifest = randomblob(32);
	UPDATE kept_manifests SET size = 7, media_type = x'00'"
sleep 2.2
is "$(manifest_digest $name)" "$digest" "so is a row that says another thing"
grep -q state.row_damaged "$tmp/b/firn.log"
ok $? "  the log says so"

# A disk for it that gets full while it runs.
stop_b
rm -rf "$tmp/b/state"
mkdir "$tmp/b/state"
if mount -t tmpfs -o size=1m tmpfs "$tmp/b/state" 2> "$tmp/mount"; then
	trap 'stop_b; umount "$tmp/b/state"; VAR=$a_var; cleanup' EXIT
	start_b
	cat /dev/zero > "$tmp/b/state/fill" 2> /dev/null
	is "$(manifest_digest $name)" "$digest" "a full disk fails no answer"
	grep -q state.not_kept "$tmp/b/firn.log"
	ok $? "  the log says what that costs"
	stop_b
	umount "$tmp/b/state"
else
	skip "a full disk fails no answer" "$(cat "$tmp/mount")"
fi

# Both behind one nginx, with Nix on both.
start_b "$PATH" || { ok 1 "replica B starts with Nix"; finish; }
port=$(free_port)
mkdir -p "$tmp/front"
ln -s "$top/nginx" "$tmp/front/firn"
sed -n '/^    upstream firn {/,/^    }/s/^    //p' "$top/README.md" |
	sed -e "s|10.0.0.11:9000|unix:$a_var/run/firn.sock|" \
		-e "s|10.0.0.12:9000|unix:$tmp/b/run/firn.sock|" \
		> "$tmp/front/upstream.conf"
is "$(grep -c 'server unix:' "$tmp/front/upstream.conf")" 2 \
	"README.md has an upstream of two"
sed -e "s|$a_var/nginx|$tmp/front|g" -e "s|:$a_port |:$port |" \
	-e '/upstream firn {/,/}/d' \
	-e "/^http {/r $tmp/front/upstream.conf" \
	"$a_var/nginx/nginx.conf" > "$tmp/front/nginx.conf"
nginx -p "$tmp/front" -c "$tmp/front/nginx.conf" 2> "$tmp/front/error.log" &
front=$!
trap 'kill $front; stop_b; VAR=$a_var; cleanup' EXIT
url=http://localhost:$port
for ((i = 0; i < 50; i++)); do
	curl -fsS -o /dev/null "$url/healthz" 2>/dev/null && break
	sleep 0.1
done

# One image by many names, so that each replica is asked for some of them (which
# of them is by its socket, and so by chance).
hits() { grep -c '"route":"manifest"' "$1/firn.log"; }
pulls() { # how many of two dozen get the image
	local n many=$name same=0
	for ((n = 0; n < 24; n++)); do
		[ "$(manifest_digest "$many")" = "$digest" ] && same=$((same + 1))
		many+=/git
	done
	echo "$same"
}
a_hits=$(hits "$a_var") b_hits=$(hits "$tmp/b")
is "$(pulls)" 24 "two dozen pulls through one nginx get the same"
[ "$(hits "$a_var")" -gt "$a_hits" ] && [ "$(hits "$tmp/b")" -gt "$b_hits" ]
ok $? "  from both"

builds() { # by both, of one image
	cat "$a_var/firn.log" "$tmp/b/firn.log" |
		grep '"event":"build.start"' | grep -c "\"image\":\"$1\""
}
pids=()
for ((i = 0; i < 8; i++)); do
	curl -sS -L -o "$tmp/m$i" "$url/v2/hello/manifests/latest?n=$i" &
	pids+=($!)
done
wait "${pids[@]}"
is "$(sha256sum "$tmp"/m? | cut -d' ' -f1 | sort -u | wc -l)" 1 \
	"eight clients ask for a new one at once, and get the same"
is "$(builds hello)" 1 "  from one build by one of the two"

kill -KILL "$(cut -d' ' -f1 "$a_var/run/firn.pid")"
sleep 2.2
is "$(pulls)" 24 "A is killed: B answers"
is "$(http "$url/v2/jq/manifests/latest")" 200 "  and builds"
finish
