#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The samples of deploy/clients: the registry as a mirror of another, which is
# not there, so that nothing can have come from it.
. "$(dirname "$0")/lib.sh"

registry_start || { ok 1 "the registry starts"; finish; }
tls_start || { ok 1 "nginx takes TLS"; cat "$tmp/tls/out"; finish; }
find_clients skopeo podman buildah ctr ctr2
is "$(http "$url/v2/hello/manifests/latest")" 200 "an image"
config=$(jq -r .config.digest "$tmp/body")
other=registry.example

sample() { # FILE: as its CHANGE lines ask for
	sed -e "s|mirror.example|localhost:$h2_port|" \
		-e "s|/etc/ssl/registry.example/ca.pem|$ca|" \
		"$top/deploy/clients/$1"
}
mkdir -p "$tmp/hosts.d/$other"
sample hosts.toml > "$tmp/hosts.d/$other/hosts.toml"
mkdir -p "$HOME/.config/containers/registries.conf.d"
sample registries.conf > "$HOME/.config/containers/registries.conf.d/firn.conf"

seen() { # how often the mirror was asked for TEXT
	grep -c "^$h2_port .*$1" "$tmp/tls/access.log"
}

for client in "${clients[@]}"; do
	dir=$tmp/pulled.$client
	before=$(seen /manifests/)
	case $client in
	ctr | ctr2)
		ctr_pull "$client" --hosts-dir "$tmp/hosts.d" \
			"$other/hello:latest"
		;;
	*) "pull_$client" h2 "$other/hello:latest" "$dir" ;;
	esac > "$tmp/out" 2>&1
	ok $? "$client pulls $other/hello from its mirror" ||
		sed 's/^/# /' "$tmp/out"
	has "$client" "$dir" "$config"
	ok $? "  the image that is there"
	[ "$(seen /manifests/)" -gt "$before" ]
	ok $? "  it was asked"
	[[ $client != ctr* ]] || [ "$(seen "manifests/latest?ns=$other 200 ")" -gt 0 ]
	ok $? "  with the other's name, if it says one"
done

# What there isn't is looked for where it would come from.
if [[ " ${clients[*]} " == *" ctr "* ]]; then
	out=$(ctr_pull ctr --hosts-dir "$tmp/hosts.d" "$other/gti:latest" 2>&1)
	like "$out" "https://$other/v2/gti/manifests/latest" \
		"what the mirror lacks is asked of the other"
fi
finish
