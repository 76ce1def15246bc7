#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Which manifest a client gets: forms, indexes, platforms.
. "$(dirname "$0")/lib.sh"

oci=application/vnd.oci.image.manifest.v1+json
index=application/vnd.oci.image.index.v1+json
docker=application/vnd.docker.distribution.manifest.v2+json
list=application/vnd.docker.distribution.manifest.list.v2+json

export FIRN_PLATFORMS=linux/amd64,linux/arm64
registry_start || { ok 1 "the registry starts"; finish; }
m=$url/v2/hello/manifests

get() { # REFERENCE ACCEPT...: "STATUS TYPE"
	local ref=$1 flags=()
	shift
	for a in "$@"; do flags+=(-H "Accept: $a"); done
	echo "$(http "${flags[@]}" "$m/$ref") $(header Content-Type)"
}

is "$(get latest $oci $docker $list $index)" "200 $index" \
	"who takes an index gets one"
cp "$tmp/body" "$tmp/index"
index_digest=$(header Docker-Content-Digest)
is "$(jq -r '[.manifests[].platform | .os + "/" + .architecture] | join(" ")' \
	"$tmp/index")" "linux/amd64 linux/arm64" "  with both platforms"
is "$(get latest $docker $oci)" "200 $oci" "who takes none: an image"
cp "$tmp/body" "$tmp/oci"
is "$(header Docker-Content-Digest)" \
	"$(jq -r '.manifests[0].digest' "$tmp/index")" \
	"  of the default platform"
is "$(get latest $docker $list)" "200 $list" "Docker's types: a list"
cp "$tmp/body" "$tmp/list"
is "$(get latest $docker)" "200 $docker" "Docker's manifest"
docker_digest=$(header Docker-Content-Digest)
is "$(jq -c '[.config.digest, .layers[].digest]' "$tmp/body")" \
	"$(jq -c '[.config.digest, .layers[].digest]' "$tmp/oci")" \
	"  has the same blobs"
is "$(jq -r '.manifests[0].digest' "$tmp/list")" "$docker_digest" \
	"  and is the one in the list"
is "$(get latest 'text/html')" "200 $oci" \
	"who takes nothing of ours gets OCI's, never 406"
is "$(get latest)" "200 $index" "curl without a wish: the index"
is "$(get "$docker_digest" $oci)" "200 $docker" \
	"by digest it is what it is"
is "$(get "$index_digest" $docker)" "200 $index" "  so is the index"
for d in $(jq -r '.manifests[].digest' "$tmp/index" "$tmp/list"); do
	like "$(get "$d")" '^200 ' "a child is there by digest"
done
is "$(http -H "Accept: $docker" -H "Accept: $index" "$m/latest") $(header \
	Content-Type)" "200 $index" "several header lines are all read"

is "$(http "$url/v2/arm64/hello/manifests/latest") $(header \
	Docker-Content-Digest)" \
	"200 $(jq -r '.manifests[1].digest' "$tmp/index")" \
	"arm64/ pins the platform: the index's own image"

if have skopeo; then
	is "$(skopeo inspect --override-arch arm64 --config --tls-verify=false \
		"docker://$host/hello" | jq -r .architecture)" arm64 \
		"skopeo finds its way through the index"
fi

# A package that one platform lacks.
http -H "Accept: $list" "$url/v2/amd64only/manifests/latest" > /dev/null
built="$(header Content-Type) $(header Warning)"
if [ "$(http "$url/v2/amd64/amd64only/manifests/latest")" = 200 ]; then
	is "$(http "$url/v2/amd64only/manifests/latest")" 200 \
		"one platform lacks a package"
	is "$(jq -r '[.manifests[].platform.architecture] | join(" ")' \
		"$tmp/body")" amd64 "  it is left out"
	like "$(header Warning)" '299 - ".*arm64' "  with a warning"
	http -H "Accept: $list" "$url/v2/amd64only/manifests/latest" > /dev/null
	is "$(header Content-Type) $(header Warning)" "$built" \
		"  Docker's list has the same"
	like "$built" ' 299 - ".*arm64' "  and had it when it was built"
	registry_stop
	export FIRN_PLATFORM_MISSING=fail
	registry_start
	is "$(http "$url/v2/amd64only/manifests/latest")" 403 \
		"  or the pull fails, as configured"
else
	ok 1 "the set has a package for amd64 alone"
fi
registry_stop

# Resolved at each pull: what is sent is what the build has just made.
export FIRN_RESOLVE_TTL=0
rm -rf "$VAR/storage/state" # nor from before
registry_start
is "$(get latest $docker)" "200 $docker" \
	"nothing stays resolved: Docker's manifest all the same"
is "$(get latest $docker $list)" "200 $list" "  and list"
is "$(get latest $oci)" "200 $oci" "  and OCI's manifest"
registry_stop
unset FIRN_RESOLVE_TTL

# zstd layers have no form that Docker wrote down.
export FIRN_COMPRESSION=zstd FIRN_PLATFORMS=linux/amd64
rm -rf "$VAR/storage"
registry_start
m=$url/v2/hello/manifests
is "$(get latest $docker)" "200 $oci" "zstd layers: OCI's form for everyone"
is "$(jq -r '[.layers[].mediaType] | unique | join(" ")' "$tmp/body")" \
	application/vnd.oci.image.layer.v1.tar+zstd "  with their type"
if have skopeo; then
	skopeo copy -q --src-tls-verify=false "docker://$host/hello" \
		"oci:$tmp/zstd:latest"
	ok $? "  skopeo pulls it"
fi
finish
