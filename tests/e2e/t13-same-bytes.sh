#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Same input, same bytes.
. "$(dirname "$0")/lib.sh"
export FIRN_BLOB_RECHECK=0

registry_start || { ok 1 "the registry starts"; finish; }
first=$(manifest_digest shell/git/jq)
like "$first" '^sha256:[0-9a-f]{64}$' "a manifest has a digest"
is "$(manifest_digest shell/jq/git)" "$first" "the order does not matter"
is "$(manifest_digest shell/jq/git/jq/git)" "$first" "nor does repetition"
is "$(manifest_digest shell/jq/git/cacert)" "$first" \
	"nor what is always in"
hello=$(manifest_digest hello)
[ "$hello" != "$first" ]
ok $? "another image has another digest"

registry_stop
rm -rf "$VAR/storage"
export FIRN_PACK_THREADS=1
registry_start || { ok 1 "the registry starts again"; finish; }
is "$(manifest_digest shell/git/jq)" "$first" \
	"emptied storage, one thread: the same digest"

# A blob that is lost is made again, to the same digest.
lost=$(http "$url/v2/shell/git/jq/manifests/latest" >/dev/null
	jq -r '.layers[0].digest' "$tmp/body")
rm -f "$VAR/storage/blobs/sha256/${lost#sha256:}"
sleep 2.2 # nginx keeps manifests for a second, and counts whole ones
is "$(manifest_digest shell/git/jq)" "$first" \
	"a lost blob: the manifest stays (nixery B6)"
is "$(http "$url/v2/shell/git/jq/blobs/$lost")" 200 "and the blob is back"
is "sha256:$(sha256sum < "$tmp/body" | cut -d' ' -f1)" "$lost" \
	"with the same bytes"

# A copy without extended attributes is complete (nixery B5).
registry_stop
mkdir "$tmp/copy" && tar -C "$VAR/storage" -cf - . | tar -C "$tmp/copy" -xf -
rm -rf "$VAR/storage" && mv "$tmp/copy" "$VAR/storage"
# A lost database costs lookups only.
rm -rf "$VAR/storage/state"
registry_start || { ok 1 "the registry starts on a copy"; finish; }
packed=$(metric firn_layers_packed_total)
is "$(manifest_digest shell/git/jq)" "$first" "a copied storage works"
is "$(metric firn_layers_packed_total)" "$packed" \
	"without its database, and nothing is packed again"
is "$(check_blobs "$VAR/storage")" "" "every blob's bytes match its name"

# Packed from members that are kept, of which some are damaged.
export FIRN_MEMBER_CACHE=64M
members=$VAR/storage/state/members
list_members() { find "$members" -type f -path '*/??/*' | sort; }
pack_again() { # WHAT
	registry_stop
	find "$VAR/storage" -mindepth 1 -maxdepth 1 ! -name state \
		-exec rm -rf {} +
	find "$VAR/storage/state" -mindepth 1 -maxdepth 1 ! -name members \
		-exec rm -rf {} +
	registry_start || { ok 1 "the registry starts, $1"; finish; }
	is "$(manifest_digest shell/git/jq)" "$first" "the same digest, $1"
	[ "$(metric firn_layers_packed_total)" -gt 0 ]
	ok $? "and its layers were packed"
}
pack_again "with members to keep"
list_members > "$tmp/before"
[ "$(wc -l < "$tmp/before")" -gt 20 ]
ok $? "members are kept: $(wc -l < "$tmp/before")"
find "$members" -type f -path '*/??/*' -exec touch -d @1 {} +
pack_again "from members"
is "$(find "$members" -type f -path '*/??/*' ! -newermt @2 | wc -l)" 0 \
	"every one of them was used"
n=0
while read -r f; do
	case $((n++ % 4)) in
	0) truncate -s -1 "$f" ;;
	1) printf X | dd of="$f" bs=1 seek=70 conv=notrunc status=none ;;
	2) : > "$f" ;;
	esac
done < "$tmp/before"
pack_again "with members that are damaged"
like "$(< "$VAR/firn.log")" '"event":"pack.members"[^}]*a member' "as is logged"
is "$(list_members)" "$(< "$tmp/before")" "and made again"
is "$(check_blobs "$VAR/storage")" "" "every blob's bytes match its name"
finish
