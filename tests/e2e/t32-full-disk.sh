#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A storage that has no room: told to who pulls, nothing half made, and well
# again when there is room.
. "$(dirname "$0")/lib.sh"
[ "$(id -u)" -eq 0 ] || skip_all "only root may mount a small disk"
disk=$tmp/disk
mkdir "$disk"
mount -t tmpfs -o size=1g none "$disk" 2> /dev/null ||
	skip_all "can't mount a small disk"
# shellcheck disable=SC2317 # the trap runs it
umount_disk() {
	registry_stop
	umount "$disk" 2> /dev/null
	cleanup
}
trap umount_disk EXIT
export FIRN_STORAGE_PATH=$disk/storage
image=shell/git/jq

# Stop, and begin with an empty storage on a disk of so much.
new_disk() { # SIZE
	registry_stop
	rm -rf "$disk/storage"
	mount -o "remount,size=$1" "$disk"
	registry_start || { ok 1 "the registry starts"; finish; }
}
used_kib() { du -sk "$disk/storage" | cut -f1; }

new_disk 1g
want=$(manifest_digest $image)
like "$want" '^sha256:' "where there is room, an image"
all=$(used_kib)

new_disk $((all / 2))k
is "$(http "$url/v2/$image/manifests/latest")" 503 "on half of it, a 503"
is "$(jq -r '.errors[0].code' "$tmp/body")" UNAVAILABLE "of its kind"
like "$(jq -r '.errors[0].message' "$tmp/body")" "disk is full" "says why"
like "$(grep '^HTTP' "$tmp/headers" | tail -n 1)" "disk is full" "in the reason phrase too"
like "$(header Retry-After)" '^[0-9]+$' "and when to come again"
like "$(< "$VAR/firn.log")" "No space left|is full" "the log has it"
is "$(check_blobs "$disk/storage")" "" "no blob is in part"
is "$(find "$disk/storage/staging" -type f ! -name '*.lock' | wc -l)" 0 \
	"nothing is left in staging"
is "$(http "$url/v2/$image/manifests/$want")" 404 "no manifest is there"
mount -o remount,size=1g "$disk"
is "$(manifest_digest $image)" "$want" "with room, without a restart, it works"
is "$(check_blobs "$disk/storage")" "" "and every blob is whole"

# Kept members take as much as the layers do; they give way.
export FIRN_MEMBER_CACHE=1G
new_disk $((all * 3 / 2))k
is "$(manifest_digest $image)" "$want" "members are in the way: it works"
like "$(< "$VAR/firn.log")" '"event":"members.yield"' "they gave way"
is "$(check_blobs "$disk/storage")" "" "and every blob is whole"
finish
