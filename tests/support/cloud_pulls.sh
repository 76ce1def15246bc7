# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash disable=SC2034,SC2154
#
# Pulls of an image whose blobs are in a cloud, for tests that have sourced
# tests/e2e/lib.sh: through redirects, and through nginx.
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

# For each cloud: what the tests before it left is away.
pulls_begin() {
	rm -rf "$tmp/redirect" "$tmp/proxy"
}

pull_redirected() { # BACKEND
	export FIRN_BLOB_DELIVERY=redirect
	registry_start || { ok 1 "$1: it starts"; return; }
	out=$(copy "$tmp/redirect")
	ok $? "$1: skopeo pulls through redirects" || echo "# $out"
	digest=$(manifest_digest $name)
	layer=$(layer_of 0)
}

# nginx then has the blobs of the image.
pull_proxied() { # BACKEND
	export FIRN_BLOB_DELIVERY=proxy
	registry_start || { ok 1 "$1: it starts"; return; }
	out=$(copy "$tmp/proxy")
	ok $? "$1: skopeo pulls through nginx" || echo "# $out"
	layer=$(layer_of 0)
}
