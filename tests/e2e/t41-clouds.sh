#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Blobs in a cloud: redirected to, or fetched by nginx; and that no secret
# gets anywhere. CLOUDS: which ones (default: both). What may go wrong with
# them is in tests/storage.
. "$(dirname "$0")/lib.sh"
. "$top/tests/support/cloud_pulls.sh"
have python3 && have openssl || skip_all "no python3 or no openssl"
have skopeo || skip_all "skopeo is not installed"

test_redirect() { # BACKEND
	pull_redirected "$1"
	is "$(curl -sS -o /dev/null -D "$tmp/headers" -w '%{http_code}' \
		"$url/v2/$name/blobs/$layer")" 307 "$1: a blob is elsewhere"
	at=$(header Location)
	like "$at" "^$cloud_url/e2e-bucket/blobs/sha256/[0-9a-f]+[?]X-.*-Signature=[0-9a-f]+$" \
		"  at a signed URL"
	is "sha256:$(curl -sS "$at" | sha256sum | cut -d' ' -f1)" "$layer" \
		"  which has it"
	is "$(http "${at%?}$([[ $at == *0 ]] && echo 1 || echo 0)")" 403 \
		"  but not with another signature"
	is "$(http "${at/\/sha256\//\/sha256\/0}")" 403 "  nor for another blob"
	curl -sS -X POST -d 901 "$cloud_url/-/clock"
	is "$(http "$at")" 403 "  nor after a quarter of an hour"
	curl -sS -X POST -d 0 "$cloud_url/-/clock"
	is "$(http -I "$url/v2/$name/blobs/$layer")" 200 "  HEAD is answered here"
	is "$(http -r 5-14 "$url/v2/$name/blobs/$layer")" 206 "  ranges work"
	registry_stop
}

test_proxy() { # BACKEND
	pull_proxied "$1"
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
	like "$(grep '"event":"started"' "$VAR/firn.log")" '"delivery":"proxy"' \
		"  the log says how blobs get to clients"
	registry_stop
}

# What nginx has of a blob, and how long clients may keep the answer.
answer() { # CURL-ARGUMENT...
	echo "$(http "$@" "$url/v2/$name/blobs/$layer")" \
		"$(tr -d '\r' < "$tmp/headers" |
		grep -i '^cache-control:' | cut -d: -f2- | xargs)"
}

test_kept() { # BACKEND
	local forever="max-age=31536000, immutable"
	export FIRN_BLOB_DELIVERY=proxy
	registry_start || { ok 1 "$1: it starts"; return; }
	is "$(answer)" "200 $forever" "$1: a blob is for ever, said once"
	is "$(answer -r 0-9)" "206 $forever" "  a part of it too"
	is "$(answer -I)" "200 $forever" "  and HEAD"
	is "$(answer -H "If-None-Match: \"$layer\"")" "304 $forever" "  and 304"
	is "$(answer -r 999999999999-)" "416 $forever no-store" "  not what is no range"
	find "$VAR/nginx/blobs" -type f -delete
	is "$(http -H 'If-Match: "x"' "$url/v2/$name/blobs/$layer")" 412 \
		"  nor is it the cloud's failure if a client wants another one"
	find "$VAR/nginx/blobs" -type f -delete
	cloud_fault '{"action":"status:500"}'
	is "$(answer)" "503 no-store" "  nor what the cloud has not now"
	cloud_heal
	cloud_fault '{"action":"status:404"}'
	is "$(answer)" "404 no-store" "  nor what it has no more"
	cloud_heal
	registry_stop
}

# A cloud that sends one blob wrong once, and is right again.
test_wrong() { # BACKEND
	local conf=$tmp/wrong
	rm -rf "$conf"
	cp -r "$top/nginx" "$conf"
	sed -i 's/proxy_cache_valid 200 10m/proxy_cache_valid 200 1s/' \
		"$conf/proxy.conf"
	SERVE_NGINX=$conf registry_start || { ok 1 "$1: it starts"; return; }
	find "$VAR/nginx/blobs" -type f -delete
	cloud_fault '{"action":"corrupt","method":"GET","path":"-Signature=","count":1}'
	is "$(http "$url/v2/$name/blobs/$layer")" 200 "$1: a blob arrives wrong"
	[ "sha256:$(sha256sum < "$tmp/body" | cut -d' ' -f1)" != "$layer" ]
	ok $? "  as its digest shows"
	cloud_heal
	sleep 2.1
	http "$url/v2/$name/blobs/$layer" > /dev/null
	is "sha256:$(sha256sum < "$tmp/body" | cut -d' ' -f1)" "$layer" \
		"  and is right when nginx has it anew (seconds here, not minutes)"
	registry_stop
}

# nginx that was never told of clouds says what it lacks.
test_untold() { # BACKEND
	local conf=$tmp/untold
	rm -rf "$conf"
	cp -r "$top/nginx" "$conf"
	sed -i '/firn_blob_cache\|proxy\.conf/d' "$conf/dev.conf.in"
	SERVE_NGINX=$conf registry_start || { ok 1 "$1: it starts"; return; }
	is "$(answer)" "503 no-store" "$1: without proxy.conf a blob is 503"
	like "$(cat "$tmp/body")" 'lacks firn/proxy\.conf' "  which says so"
	registry_stop
}

export FIRN_LOG_LEVEL=debug
for backend in ${CLOUDS:-s3 gcs}; do
	export FIRN_STORAGE_BACKEND=$backend
	pulls_begin
	test_redirect "$backend"
	cp "$VAR/firn.log" "$tmp/kept.log"
	test_proxy "$backend"
	cat "$VAR/firn.log" >> "$tmp/kept.log"
	test_kept "$backend"
	test_wrong "$backend"
	test_untold "$backend"
	is "$(leaks "$VAR/firn.log" "$VAR/nginx/error.log" \
		"$VAR/nginx/access.log" "$tmp/serve.log" "$tmp/kept.log")" 0 \
		"$backend: no secret in any log"
	cloud_kill
	rm -rf "$VAR"
done
finish
