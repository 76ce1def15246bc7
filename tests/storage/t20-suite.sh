#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The end-to-end tests of the filesystem backend, on the clouds. CLOUDS: which
# ones (default: both); SUITE: which tests; LONG=1: also those in which little
# gets as far as the storage.
#
# Left out, and why:
#	those of a made-up engine or of no registry (engine=fake, alone=1)
#			nothing of theirs is stored in a cloud
#	t21-nix-store	it is unkind to Nix's store, not to ours
#	t26-airgapped	it has no network, and so no cloud
#	t27-arm64	it asks what Nix can run
#	t32-full-disk	its disk is the storage
alone=1 . "$(dirname "$0")/../e2e/lib.sh"
have python3 && have openssl || skip_all "no python3 or no openssl"
suite=(t10-clients t11-inside t12-warm t13-same-bytes t14-http t15-crash
	t15-damage t16-platforms t22-nix-sources t40-sbom)
long=(t20-nix-errors t24-policy t25-build-page t25-hostile)
[ -z "${LONG:-}" ] || suite+=("${long[@]}")
[ -z "${SUITE:-}" ] || read -ra suite <<< "$SUITE"
for t in "${suite[@]}"; do
	for backend in ${CLOUDS:-s3 gcs}; do
		start=$SECONDS
		FIRN_STORAGE_BACKEND=$backend TRIES=${TRIES:-5} \
			"$top/tests/e2e/$t.sh" > "$tmp/tap" 2>&1
		rc=$?
		n=$(grep -c '^ok' "$tmp/tap")
		if [ "$n" -eq 1 ] && grep -qi '# skip' "$tmp/tap"; then
			skip "$t on $backend" "$(sed -n 's/.*# SKIP //p' "$tmp/tap")"
			continue
		fi
		[ $rc -eq 0 ] && ! grep -q '^not ok' "$tmp/tap"
		ok $? "$t on $backend: $n passed in $((SECONDS - start)) s" ||
			grep -A4 '^not ok' "$tmp/tap" | sed 's/^/# /'
	done
done
echo "# $SECONDS s in all"
finish
