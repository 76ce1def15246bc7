#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every client pulls an image, an index and by digest, by http, by TLS and by
# TLS with HTTP/2, and tells why it can't have what it can't have.
. "$(dirname "$0")/lib.sh"

mkdir "$tmp/conf"
printf 'substituters =\n' > "$tmp/conf/nix.conf"
export NIX_CONF_DIR=$tmp/conf
FIRN_PLATFORMS=linux/amd64,linux/arm64 registry_start ||
	{ ok 1 "the registry starts"; finish; }
tls_start || { ok 1 "nginx takes TLS"; cat "$tmp/tls/out"; finish; }
find_clients

index_type=application/vnd.oci.image.index.v1+json
is "$(http -H "Accept: $index_type, */*" "$url/v2/hello/manifests/latest")" \
	200 "there is an index"
is "$(header Content-Type)" "$index_type" "  which is one"
index=$(header Docker-Content-Digest)
image=$(jq -r '.manifests[] | select(.platform.architecture == "amd64") |
	.digest' "$tmp/body")
http "$url/v2/hello/manifests/$image" > /dev/null
config=$(jq -r .config.digest "$tmp/body")
like "$config" '^sha256:[0-9a-f]{64}$' "  with an image"

# shellcheck disable=SC2317 # each_client runs it
pulls() { # CLIENT
	local transport what dir=$tmp/pulled.$1
	for transport in http tls h2; do
		for what in amd64/hello:latest hello:latest \
			"hello@$index" "hello@$image"; do
			pull "$1" "$transport" "$what" "$dir" > "$dir.out" 2>&1 &&
				has "$1" "$dir" "$config" 2>> "$dir.out"
			note "$1" $? "pulls ${what:0:28} by $transport" ||
				quote "$1" "$(tail -n 3 "$dir.out")"
			forget "$1" "$dir"
		done
	done
}
each_client pulls

# Those written for it speak HTTP/2; the others are not disturbed by it.
for client in "${clients[@]}"; do
	agent=$client/
	case $client in
	crane | oras) want=HTTP/2.0 ;;
	regctl) want=HTTP/2.0 agent=regclient/ ;;
	ctr) want=HTTP/1.1 agent=containerd/1 ;;
	ctr2) want=HTTP/1.1 agent=containerd/2 ;;
	podman) want=HTTP/1.1 agent=containers/ ;;
	umoci) continue ;; # it was skopeo
	*) want=HTTP/1.1 ;;
	esac
	is "$(awk -v port="$h2_port" -v agent="$agent" '$1 == port &&
		$5 == 200 && index(tolower($6), agent) == 1 { print $2 }' "$tmp/tls/access.log" |
		sort -u | xargs)" "$want" "$client speaks $want"
done

# --- what can't be had

registry_stop
# What fails by itself needs its time, too, while all clients are at work.
FIRN_NIX_TIMEOUT=10 registry_start || { ok 1 "it starts again"; finish; }

# shellcheck disable=SC2317 # likewise
failures() { # CLIENT
	local transport dir=$tmp/pulled.$1 name pattern
	for transport in http h2; do
		while read -r name pattern; do
			! pull "$1" "$transport" "$name:latest" "$dir" \
				> "$dir.out" 2>&1 && grep -q "$pattern" "$dir.out"
			note "$1" $? "says by $transport what is wrong with $name"
			quote "$1" "$(grep -m 1 "$pattern" "$dir.out" ||
				tail -n 3 "$dir.out")"
		done <<-'P'
			gti there is no package gti; did you mean git?
			unfreepkg unfree-pkg-1.0 has an unfree license
			failing building failing-1.0 failed with exit code 17
			slow building slow-1.0 took too long
		P
	done
}
each_client failures
finish
