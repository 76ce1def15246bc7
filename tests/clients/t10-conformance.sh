#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The official conformance suite of the OCI distribution specification, as far
# as it goes without pushing: pulls and content discovery. By http and by TLS.
#
# Two faults of its own are gone round. With push disabled it panics when all
# of its tests run, so each group runs by itself. And what it is told of (read
# only data) never gets a digest header in its eyes, so that this is asked for
# blobs alone; t12-warm and t22-nginx of tests/e2e look at it for manifests,
# and at ranges and missing blobs, which the suite tests by pushing only.
. "$(dirname "$0")/lib.sh"
package=github.com/opencontainers/distribution-spec/conformance
suite=$(go_client $package@v0.0.0-20260831232431-97274622c111 \
	2> "$tmp/why") ||
	skip_all "no conformance suite: $(tail -n 1 "$tmp/why")"

FIRN_PLATFORMS=linux/amd64,linux/arm64 registry_start ||
	{ ok 1 "the registry starts"; finish; }
tls_start || { ok 1 "nginx takes TLS"; cat "$tmp/tls/out"; finish; }

# An index, its images, all their blobs, and what is attached.
name=shell/git
m=$url/v2/$name/manifests
is "$(http "$m/latest")" 200 "an index to look at"
manifests=$(header Docker-Content-Digest)
images=$(jq -r '.manifests[].digest' "$tmp/body" | xargs)
is "$(wc -w <<< "$images")" 2 "  of two images"
for image in $images; do
	http "$url/v2/$name/referrers/$image" > /dev/null
	manifests+=" $image $(jq -r '.manifests[].digest' "$tmp/body" | xargs)"
done
is "$(wc -w <<< "$manifests")" 7 "  with two SBOMs each"
blobs=$(for digest in ${manifests#* }; do
	curl -fsS "$m/$digest" | jq -r '(.config, .layers[]).digest'
done | sort -u | xargs)

export OCI_REPO1=$name OCI_VERSION=1.1 OCI_RO_DATA_TAGS=latest
export OCI_RO_DATA_MANIFESTS=$manifests OCI_RO_DATA_BLOBS=$blobs
export OCI_RO_DATA_REFERRERS=$images
export OCI_API_PUSH=false OCI_API_BLOBS_DELETE=false
export OCI_API_MANIFESTS_DELETE=false OCI_API_TAGS_DELETE=false
export OCI_API_BLOBS_DIGEST_HEADER=true SSL_CERT_FILE=$ca

count() { # REPORT LABEL: the number beside it
	awk -v label="$2" 'index($1, label ".") == 1 { print $NF; exit }' "$1"
}

groups=(ping empty read-only missing-manifest invalid-digest-format)
for transport in http h2; do
	export OCI_TLS=enabled OCI_REGISTRY
	OCI_REGISTRY=$(host_of suite $transport)
	[ $transport = h2 ] || OCI_TLS=disabled
	pass=0 bad=0
	for group in "${groups[@]}"; do
		out=$tmp/$transport.$group
		OCI_FILTER_TEST="OCI Conformance Test/$group" \
			OCI_RESULTS_DIR=$out.results "$suite" > "$out" 2>&1
		ok $? "$transport, $group: $(grep -m 1 'Result:' "$out")" ||
			sed 's/^/# /' "$out"
		passed=$(count "$out" Pass)
		[ "${passed:-0}" -gt 0 ]
		ok $? "  ${passed:-nothing} passed"
		pass=$((pass + passed))
		for kind in FAIL Error; do
			failed=$(count "$out" $kind)
			bad=$((bad + ${failed:-1}))
		done
	done
	is "$bad" 0 "OCI conformance by $transport: $pass passed, $bad failed"
done
sed -n "/^API conformance:/,/^Data/{/: *Pass$/p}" "$tmp/h2.read-only" |
	sed "s/\.*: */: /; s/^ */# /"
finish
