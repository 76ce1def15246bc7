#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What is attached to images: SBOMs, through the referrers API and its tags.
. "$(dirname "$0")/lib.sh"

oci=application/vnd.oci.image.manifest.v1+json
index=application/vnd.oci.image.index.v1+json
docker=application/vnd.docker.distribution.manifest.v2+json
spdx=application/spdx+json
cyclonedx=application/vnd.cyclonedx+json

registry_start || { ok 1 "the registry starts"; finish; }
name=shell/git/7zz
m=$url/v2/$name/manifests
referrers=$url/v2/$name/referrers

is "$(http "$m/latest")" 200 "an image"
cp "$tmp/body" "$tmp/image"
image=$(header Docker-Content-Digest)

# --- the API

is "$(http "$referrers/$image")" 200 "its referrers"
cp "$tmp/body" "$tmp/referrers"
is "$(header Content-Type)" "$index" "  are an index"
is "$(header Content-Length)" "$(stat -c %s "$tmp/referrers")" "  of that size"
is "$(jq -r '[.schemaVersion, .mediaType] | join(" ")' "$tmp/referrers")" \
	"2 $index" "  that says so"
is "$(jq -r '[.manifests[] | .mediaType + " " + .artifactType] | sort |
	join(";")' "$tmp/referrers")" "$oci $spdx;$oci $cyclonedx" \
	"  of an SPDX document and a CycloneDX one"
is "$(jq '[.manifests[].annotations["org.opencontainers.image.created"]] |
	map(select(. != null)) | length' "$tmp/referrers")" 2 \
	"  with their annotations"
is "$(http -I "$referrers/$image") $(header Content-Length)" \
	"200 $(stat -c %s "$tmp/referrers")" "  HEAD says the same"
is "$(header OCI-Filters-Applied)" "" "  nothing is filtered"
for type in $spdx $cyclonedx; do
	is "$(http -G --data-urlencode "artifactType=$type" \
		"$referrers/$image")" 200 "only $type"
	is "$(jq -r '[.manifests[].artifactType] | join(" ")' "$tmp/body")" \
		"$type" "  is there"
	is "$(header OCI-Filters-Applied)" artifactType "  and it says so"
done
http -G -d artifactType=a/b "$referrers/$image" >/dev/null
is "$(jq -c .manifests "$tmp/body")" "[]" "a type that isn't there"

none=sha256:$(printf '0%.0s' {1..64})
is "$(http "$referrers/$none") $(jq -c .manifests "$tmp/body")" "200 []" \
	"of what nobody knows: an empty index"
is "$(http "$referrers/sha512:$(printf '0%.0s' {1..128})")" 200 \
	"of another algorithm too"
for bad in sha256:00 latest sha256:; do
	is "$(http "$referrers/$bad") $(jq -r '.errors[0].code' "$tmp/body")" \
		"400 DIGEST_INVALID" "no digest: $bad"
done
is "$(http -X POST "$referrers/$image")" 405 "POST is refused"

# --- the artifacts

blob() { # DIGEST FILE
	http "$url/v2/$name/blobs/$1" >/dev/null
	cp "$tmp/body" "$2"
	is "sha256:$(sha256sum < "$2" | cut -d' ' -f1)" "$1" "  the blob is right"
}
subject_of() { jq -r '.subject | [.mediaType, .digest, .size] | join(" ")' "$@"; }

for type in $spdx $cyclonedx; do
	file=$tmp/${type##*[./]}
	d=$(jq -r --arg t "$type" '.manifests[] | select(.artifactType == $t) |
		.digest' "$tmp/referrers")
	size=$(jq -r --arg t "$type" '.manifests[] | select(.artifactType == $t) |
		.size' "$tmp/referrers")
	is "$(http "$m/$d") $(header Content-Type)" "200 $oci" \
		"$type: its manifest"
	is "$(stat -c %s "$tmp/body")" "$size" "  of the size that was told"
	is "$(subject_of "$tmp/body")" \
		"$oci $image $(stat -c %s "$tmp/image")" "  is about the image"
	is "$(jq -r .artifactType "$tmp/body")" "$type" "  its type"
	cp "$tmp/body" "$tmp/artifact"
	is "$(jq -r '.config | [.mediaType, .size] | join(" ")' \
		"$tmp/artifact")" "application/vnd.oci.empty.v1+json 2" \
		"  its config is empty"
	blob "$(jq -r .config.digest "$tmp/artifact")" "$tmp/empty"
	is "$(cat "$tmp/empty")" "{}" "  and is there"
	is "$(jq -r '.layers[0].mediaType' "$tmp/artifact")" "$type" \
		"  its document"
	blob "$(jq -r '.layers[0].digest' "$tmp/artifact")" "$file"
done

# --- what they say, against Nix's own word

config=$tmp/config
blob "$(jq -r .config.digest "$tmp/image")" "$config"
jq -r '.history[].comment' "$config" | tr ' ' '\n' | grep '^/' |
	sort > "$tmp/in-image"
xargs nix-store --dump-db < "$tmp/in-image" 2>/dev/null | python3 -c '
import sys
lines = iter(sys.stdin.read().split("\n"))
for path in lines:
    if not path:
        break
    digest, _size, _deriver = next(lines), next(lines), next(lines)
    refs = [next(lines) for _ in range(int(next(lines)))]
    print(path, digest, *(r for r in refs if r != path))' |
	sort > "$tmp/closure"
is "$(cut -d' ' -f1 "$tmp/closure" | wc -l)" "$(wc -l < "$tmp/in-image")" \
	"Nix knows the $(wc -l < "$tmp/in-image") paths of the image"

jq -r '.packages[] | select(.packageFileName) | .packageFileName' \
	"$tmp/spdx+json" | sort | cmp -s - "$tmp/in-image"
ok $? "SPDX names them, and no others"
jq -r '.components[].properties[] | select(.name == "nix:output_path") |
	.value' "$tmp/cyclonedx+json" | sort | cmp -s - "$tmp/in-image"
ok $? "CycloneDX names them, and no others"

# Each path with its layer, as the config's history has it.
jq -r --slurpfile m "$tmp/image" '[.history, $m[0].layers] | transpose[] |
	.[1].digest as $d | .[0].comment | select(startswith("/")) |
	split(" ")[] | "\(.) \($d)"' "$config" | sort > "$tmp/layers"
jq -r '.packages[] | select(.packageFileName) | .packageFileName + " " +
	(.annotations[].comment | select(startswith("layer: ")) |
	ltrimstr("layer: "))' "$tmp/spdx+json" | sort | cmp -s - "$tmp/layers"
ok $? "SPDX says which layer has which path"
jq -r '.components[].properties | from_entries |
	.["nix:output_path"] + " " + .["oci:layer"]' "$tmp/cyclonedx+json" |
	sort | cmp -s - "$tmp/layers"
ok $? "CycloneDX does too"

license() { # ATTRIBUTE
	jq -r --arg a "asked for as: $1, output out" '.packages[] |
		select(.annotations and any(.annotations[]; .comment == $a)) |
		[.name, .licenseDeclared] | join(" ")' "$tmp/spdx+json"
}
is "$(license git)" "git GPL-2.0-only" "the licence of what was asked for"
is "$(license _7zz)" "7zz LGPL-2.1-or-later" "  and another"
is "$(jq -r '.creationInfo.created' "$tmp/spdx+json")" \
	"$(jq -r .created "$config")" "SPDX is as old as the image"
is "$(jq -r '.metadata.timestamp' "$tmp/cyclonedx+json")" \
	"$(jq -r .created "$config")" "CycloneDX too"

if tools=$("$top/tests/support/sbom-tools" 2> "$tmp/tools.log"); then
	for f in spdx+json cyclonedx+json; do
		out=$("$tools/venv/bin/python" "$top/tests/support/sbom-check" \
			"$tools/spdx-2.3.json" "$tmp/$f" "$tmp/closure" 2>&1)
		is "$?$out" 0 "$f: valid, and exactly the closure"
	done
	# It can tell when something is wrong.
	sed 1d "$tmp/closure" > "$tmp/other"
	"$tools/venv/bin/python" "$top/tests/support/sbom-check" \
		"$tools/spdx-2.3.json" "$tmp/spdx+json" "$tmp/other" >/dev/null
	is $? 1 "another closure is told from it"
else
	skip "the documents are valid" \
		"no validators: $(tail -n 1 "$tmp/tools.log")"
fi

# --- other forms of the image

is "$(http -H "Accept: $docker" "$m/latest") $(header Content-Type)" \
	"200 $docker" "the image in Docker's form"
other=$(header Docker-Content-Digest)
is "$(http "$referrers/$other")" 200 "  has referrers"
is "$(jq -r '[.manifests[].artifactType] | sort | join(" ")' "$tmp/body")" \
	"$spdx $cyclonedx" "  the same ones"
d=$(jq -r '.manifests[0].digest' "$tmp/body")
http "$m/$d" >/dev/null
is "$(subject_of "$tmp/body" | cut -d" " -f1,2)" "$docker $other" "  that are about this form"

# --- tags, for who does not know the API

is "$(http "$m/${image/:/-}") $(header Content-Type)" "200 $index" \
	"the same index by tag"
cmp -s "$tmp/body" "$tmp/referrers"
ok $? "  byte by byte"
d=$(header Docker-Content-Digest)
is "$(http "$m/$d") $(header Content-Type)" "200 $index" "  and by digest"
builds=$(metric firn_builds_done_total)
for tag in "${none/:/-}" "${image/:/-}.sig" "${image/:/-}.att" \
	"${image/:/-}.sbom"; do
	is "$(http "$m/$tag") $(jq -r '.errors[0].code' "$tmp/body")" \
		"404 MANIFEST_UNKNOWN" "no such thing: ${tag: -20}"
done
is "$(metric firn_builds_done_total)" "$builds" "  and nothing was built for it"

# --- tools

tool() { # PACKAGE@VERSION
	"$top/tests/support/go-tool" "$1" 2> "$tmp/go.log"
}
why() { tail -n 1 "$tmp/go.log"; }

if oras=$(tool oras.land/oras/cmd/oras@v1.2.3); then
	out=$("$oras" discover --plain-http --format json "$host/$name:latest" 2>&1)
	is "$(jq -r '[.. | .artifactType? // empty] | unique | join(" ")' \
		<<< "$out")" "$spdx $cyclonedx" "oras discovers them"
	ref=$(jq -r --arg t "$spdx" '[.. | select(.artifactType? == $t)][0] |
		.reference' <<< "$out")
	(cd "$tmp" && "$oras" pull --plain-http "$ref" >/dev/null 2>&1)
	cmp -s "$tmp/sbom.spdx.json" "$tmp/spdx+json"
	ok $? "  and pulls one as a file"
else
	skip "oras discovers them" "$(why)"
fi
if regctl=$(tool github.com/regclient/regclient/cmd/regctl@v0.8.3); then
	out=$("$regctl" --host "reg=$host,tls=disabled" artifact list \
		"$host/$name:latest" --format '{{json .}}' 2>&1)
	is "$(jq -r '[.descriptors[].artifactType] | sort | join(" ")' \
		<<< "$out")" "$spdx $cyclonedx" "regctl lists them"
else
	skip "regctl lists them" "$(why)"
fi
if crane=$(tool github.com/google/go-containerregistry/cmd/crane@v0.20.6); then
	"$crane" --insecure manifest "$host/$name:${image/:/-}" \
		> "$tmp/crane" 2>/dev/null
	cmp -s "$tmp/crane" "$tmp/referrers"
	ok $? "crane reads them by tag"
else
	skip "crane reads them by tag" "$(why)"
fi

# --- what is lost, and what was never made

registry_stop
rm -f "$VAR"/storage/state/firn.sqlite* "$VAR"/state/firn.sqlite*
registry_start
is "$(http "$referrers/$image")" 200 "without the database"
cmp -s "$tmp/body" "$tmp/referrers"
ok $? "  they are found by their record"

registry_stop
FIRN_RESOLVE_TTL=0 FIRN_SBOM=0 registry_start
is "$(http "$url/v2/jq/manifests/latest")" 200 "an image without SBOMs"
plain=$(header Docker-Content-Digest)
is "$(http "$url/v2/jq/referrers/$plain") $(jq -c .manifests "$tmp/body")" \
	"200 []" "  has no referrers"
is "$(http "$url/v2/jq/manifests/${plain/:/-}")" 404 "  and no such tag"
is "$(http "$referrers/$image") $(jq '.manifests | length' "$tmp/body")" \
	"200 2" "  those that are there are served still"
registry_stop
FIRN_RESOLVE_TTL=0 registry_start
is "$(http "$url/v2/jq/manifests/latest") $(header Docker-Content-Digest)" \
	"200 $plain" "the next build finds the image"
is "$(http "$url/v2/jq/referrers/$plain") $(jq '.manifests | length' \
	"$tmp/body")" "200 2" "  and makes up for it"
registry_stop

# --- an index has what its images have

export FIRN_PLATFORMS=linux/amd64,linux/arm64
registry_start
is "$(http -H "Accept: $index, $oci" "$url/v2/hello/manifests/latest") \
$(header Content-Type)" "200 $index" "an index"
d=$(header Docker-Content-Digest)
http "$url/v2/hello/referrers/$d" >/dev/null
is "$(jq -r '[.manifests[] | .artifactType + " " +
	.annotations["dev.firn.platform"]] | sort | join(";")' "$tmp/body")" \
	"$spdx linux/amd64;$spdx linux/arm64;$cyclonedx linux/amd64;$cyclonedx linux/arm64" \
	"  has the SBOMs of its platforms"
finish
