#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The end-to-end tests of the filesystem backend, on the clouds. LONG=1: with
# those that take minutes.
alone=1 . "$(dirname "$0")/../e2e/lib.sh"
have python3 && have openssl || skip_all "no python3 or no openssl"
suite=(t12-warm t13-same-bytes t14-http t16-platforms)
[ -z "${LONG:-}" ] || suite+=(t10-clients t11-inside t15-crash)
for backend in s3 gcs; do
	for t in "${suite[@]}"; do
		FIRN_STORAGE_BACKEND=$backend TRIES=${TRIES:-5} \
			"$top/tests/e2e/$t.sh" > "$tmp/tap" 2>&1
		rc=$?
		n=$(grep -c '^ok' "$tmp/tap")
		if [ "$n" -eq 1 ] && grep -qi '# skip' "$tmp/tap"; then
			skip "$t on $backend" "$(sed -n 's/.*# SKIP //p' "$tmp/tap")"
			continue
		fi
		ok $rc "$t on $backend: $n passed" ||
			grep -A4 '^not ok' "$tmp/tap" | sed 's/^/# /'
	done
done
finish
