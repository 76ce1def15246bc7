#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A large layer uploads in constant memory: the peak of a process that sends
# MIB mebibytes (2048) against that of one which sends 64.
alone=1 . "$(dirname "$0")/../e2e/lib.sh"
test=$top/build/release/tests/test_store
[ -x "$test" ] || skip_all "the unit tests are not built"
have python3 || skip_all "python3 is not installed"
large=${MIB:-2048}
[ "$(df --output=avail -m "$tmp" | tail -n 1)" -gt $((large * 3)) ] ||
	skip_all "there is not room for $large MiB thrice"

peak() { # CLOUD MIB: KiB of memory at most, seconds
	TMPDIR=$tmp FIRN_TEST_LARGE="$1 $2" "$test" > "$tmp/tap" 2> "$tmp/err" ||
		{ cat "$tmp/tap" >&2; return 1; }
	sed -n 's/^# peak //p' "$tmp/tap"
}

for cloud in s3 gcs; do
	small=$(peak $cloud 64) && big=$(peak $cloud "$large")
	ok $? "$cloud: $large MiB are uploaded, and are there" || continue
	echo "# $cloud: 64 MiB: ${small% *} KiB; $large MiB: ${big% *} KiB, ${big#* } s"
	[ "${big% *}" -lt $((${small% *} + 16384)) ]
	ok $? "$cloud: with no more memory than for 64 MiB"
done
finish
