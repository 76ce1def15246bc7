#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Blobs in a cloud: redirected to, or fetched by nginx; clouds that misbehave;
# and that no secret gets anywhere. CLOUDS: which ones (default: both).
. "$(dirname "$0")/../e2e/lib.sh"
have python3 && have openssl || skip_all "no python3 or no openssl"
ulimit -c unlimited
cores=$(cat /proc/sys/kernel/core_pattern)
name=shell/git

copy() { # DIRECTORY: a pull by skopeo
	skopeo copy -q --src-tls-verify=false "docker://$host/$name" \
		"oci:$1:latest" 2>&1
}

layer_of() { # N: digest of a layer
	curl -sS -L "$url/v2/$name/manifests/latest" | jq -r ".layers[$1].digest"
}

# Every secret that there is, and what a signature looks like. Access logs
# have what clients asked for, and that is ours.
leaks() { # FILE...
	cat "$@" 2>/dev/null | tr '\0' '\n' | grep -aFc -e "$cloud_secret" \
		-e "PRIVATE KEY" -e ya29. -e X-Amz-Signature -e X-Goog-Signature \
		-e canonical-request-secret
}

test_redirect() { # BACKEND
	export FIRN_BLOB_DELIVERY=redirect
	registry_start || { ok 1 "$1: it starts"; return; }
	out=$(copy "$tmp/redirect")
	ok $? "$1: skopeo pulls through redirects" || echo "# $out"
	digest=$(manifest_digest $name)
	layer=$(layer_of 0)
	is "$(curl -sS -o /dev/null -D "$tmp/headers" -w '%{http_code}' \
		"$url/v2/$name/blobs/$layer")" 307 "$1: a blob is elsewhere"
	like "$(header Location)" "^$cloud_url/e2e-bucket/blobs/sha256/[0-9a-f]+[?]X-.*-Signature=[0-9a-f]+$" \
		"  at a signed URL"
	is "sha256:$(curl -sS "$(header Location)" | sha256sum | cut -d' ' -f1)" \
		"$layer" "  which has it"
	is "$(http -I "$url/v2/$name/blobs/$layer")" 200 "  HEAD is answered here"
	is "$(http -r 5-14 "$url/v2/$name/blobs/$layer")" 206 "  ranges work"
	registry_stop
}

test_proxy() { # BACKEND
	export FIRN_BLOB_DELIVERY=proxy
	registry_start || { ok 1 "$1: it starts"; return; }
	out=$(copy "$tmp/proxy")
	ok $? "$1: skopeo pulls through nginx" || echo "# $out"
	diff -r "$tmp/redirect/blobs" "$tmp/proxy/blobs" > /dev/null
	ok $? "  and gets the same"
	is "$(manifest_digest $name)" "$digest" "  by the same manifest"
	is "$(http "$url/v2/$name/blobs/$layer")" 200 "$1: a blob is here"
	is "$(header Docker-Content-Digest) $(header ETag)" "$layer \"$layer\"" \
		"  with its digest"
	[ -z "$(header X-Firn-Url)$(header X-Accel-Redirect)" ]
	ok $? "  and nothing of where it came from"
	is "$(http -r 5-14 "$url/v2/$name/blobs/$layer")" 206 "  ranges work"
	is "$(header Content-Range | cut -d/ -f1)" "bytes 5-14" "  Content-Range"
	is "$(http "$url/_firn/proxy/${layer#sha256:}")" 404 \
		"  the internal location is internal"
}

# The registry of test_proxy runs, and nginx has the blobs of one image.
test_away() { # BACKEND
	local port=$cloud_port other
	cloud_kill
	out=$(copy "$tmp/away")
	ok $? "$1 killed: an image that nginx has is pulled" || echo "# $out"
	other=$(http "$url/v2/jq/manifests/latest")
	is "$other" 503 "$1 killed: another one is 503"
	like "$(cat "$tmp/body")" "storage" "  which names storage"
	for ((i = 0; i < 60; i++)); do
		[ "$(http "$url/readyz")" = 503 ] && break
		sleep 0.25
	done
	[ "$i" -lt 60 ]
	ok $? "  /readyz says so"
	like "$(cat "$tmp/body")" "storage" "  and what it is"
	cloud_start "$port"
	for ((i = 0; i < 100; i++)); do
		[ "$(http "$url/v2/jq/manifests/latest")" = 200 ] && break
		sleep 0.2
	done
	[ "$i" -lt 100 ]
	ok $? "$1 is back: it recovers by itself"
	for ((i = 0; i < 60; i++)); do
		[ "$(http "$url/readyz")" = 200 ] && break
		sleep 0.25
	done
	[ "$i" -lt 60 ]
	ok $? "  and is ready"
	registry_stop
}

# Fault ACTION at call N and all later ones, while an image is built.
test_fault() { # BACKEND ACTION N
	local status tries=0
	registry_stop
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
		[ $((++tries)) -lt 40 ]; do
		sleep 0.25
	done
	[ "$(header Docker-Content-Digest)" = "$jq_digest" ] ||
		bad+="$2 at $3: not healed; "
	bad+=$(check_blobs "$VAR/storage")
	seen+="$2@$3:$status "
}

test_faults() { # BACKEND
	local action n
	export FIRN_BLOB_DELIVERY=proxy
	bad='' seen=''
	registry_start || { ok 1 "$1: it starts"; return; }
	jq_digest=$(manifest_digest jq)
	for action in status:403 status:404 status:500 close truncate corrupt \
		lose; do
		for n in ${CALLS:-1 9 30}; do
			test_fault "$1" "$action" "$n"
		done
	done
	echo "# $seen"
	is "$bad" "" "$1: at any call of a build: a right answer or a clean 503"
	registry_stop
}

test_leaks() { # BACKEND
	is "$(leaks "$VAR/firn.log" "$VAR/nginx/error.log" \
		"$VAR/nginx/access.log" "$tmp/serve.log")" 0 \
		"$1: no secret in any log"
	grep -q storage.down "$VAR/firn.log" "$tmp/kept.log"
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
	for ((i = 0; i < 50; i++)); do
		kill -0 "$(registry_pid)" 2>/dev/null || break
		sleep 0.1
	done
	is "$(find "$tmp/cwd" "$VAR" -name 'core*' -type f | wc -l)" 0 \
		"$1: killed by a fault, it leaves no core file"
	registry_stop
}

have skopeo || skip_all "skopeo is not installed"
export FIRN_LOG_LEVEL=debug
for backend in ${CLOUDS:-s3 gcs}; do
	export FIRN_STORAGE_BACKEND=$backend
	rm -rf "$tmp/redirect" "$tmp/proxy" "$tmp/away"
	test_redirect "$backend"
	test_proxy "$backend"
	test_away "$backend"
	cp "$VAR/firn.log" "$tmp/kept.log"
	test_faults "$backend"
	cat "$tmp/kept.log" >> "$VAR/firn.log"
	test_leaks "$backend"
	test_core "$backend"
	cloud_kill
	rm -rf "$VAR"
done
finish
