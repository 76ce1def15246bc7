#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What is damaged in storage is noticed, not served, and made again.
. "$(dirname "$0")/lib.sh"
backend=${FIRN_STORAGE_BACKEND:-filesystem}
oci=application/vnd.oci.image
image=(-H "Accept: $oci.manifest.v1+json")
index=(-H "Accept: $oci.index.v1+json")

# By tag, from the program: nginx would keep an answer for a second.
tag() { # [CURL-OPTION...]
	http "$@" "$url/v2/$name/manifests/latest?"
}
digest() { # DIGEST [CURL-OPTION...]
	local d=$1
	shift
	http "$@" "$url/v2/$name/manifests/$d"
}
# What is known of it for a moment is not any more. A program remembers what it
# has read in a cloud.
later() { # [SECONDS]: nginx has open files for two, the program less
	if [ "$backend" = filesystem ]; then
		sleep "${1:-2.3}"
	else
		registry_stop
		registry_start
	fi
}

blob() { echo "$VAR/storage/blobs/sha256/${1#sha256:}"; }

damage() { # HOW DIGEST
	local f
	f=$(blob "$2")
	chmod u+w "$f"
	case $1 in
	cut) truncate -s 100 "$f" ;;
	emptied) : > "$f" ;;
	changed) # a byte in the middle
		printf X | dd of="$f" bs=1 seek=$(($(stat -c %s "$f") / 2)) \
			conv=notrunc status=none ;;
	esac
}
logged() { grep -c "\"event\":\"$1\".*${2#sha256:}" "$VAR/firn.log"; }
attached() { jq '.manifests | length' "$tmp/body"; }
body_digest() { echo "sha256:$(sha256sum < "$tmp/body" | cut -d' ' -f1)"; }


# What can be had by tag is mended on the way.
mended() { # HOW DIGEST WHAT [CURL-OPTION...]
	local how=$1 d=$2 what=$3 was
	shift 3
	damage "$how" "$d"
	later
	was=$(tag -I "$@")
	is "$was $(header Docker-Content-Digest)" "200 $d" \
		"$what is $how: HEAD of its tag"
	is "$(tag "$@") $(body_digest)" "200 $d" "  and GET have the right one"
	is "$(digest "$d") $(body_digest)" "200 $d" "  so has GET by digest"
	[ "$(logged blob.damaged "$d")" -gt 0 ]
	ok $? "  and the log tells"
}

export FIRN_PLATFORMS=linux/amd64,linux/arm64 FIRN_BLOB_RECHECK=1
registry_start || { ok 1 "the registry starts"; finish; }
name=htop
tag "${image[@]}" > "$tmp/status"
m=$(header Docker-Content-Digest)
like "$m" '^sha256:' "an image"
mended cut "$m" "a manifest" "${image[@]}"
mended changed "$m" "a manifest" "${image[@]}"

docker=(-H "Accept: application/vnd.docker.distribution.manifest.v2+json")
tag "${docker[@]}" > /dev/null
mended changed "$(header Docker-Content-Digest)" "a manifest of Docker's" \
	"${docker[@]}"

is "$(tag "${index[@]}")" 200 "an index"
i=$(header Docker-Content-Digest)
damage changed "$i"
later 1.1
is "$(digest "$i" -I) $(digest "$i")" "404 404" \
	"that is changed is not there by digest"
is "$(tag "${index[@]}") $(body_digest)" "200 $i" "until its tag is asked for"
is "$(digest "$i" -I) $(digest "$i") $(body_digest)" "200 200 $i" \
	"then it is"

layer=$(tag "${image[@]}" > /dev/null; jq -r '.layers | max_by(.size).digest' "$tmp/body")
size=$(stat -c %s "$(blob "$layer")")
damage cut "$layer"
later 1.1
is "$(tag "${image[@]}")" 200 "a layer is cut ($size bytes): GET of its tag"
is "$(stat -c %s "$(blob "$layer")")" "$size" "  makes it again"
[ "$(logged blob.damaged "$layer")" -gt 0 ]
ok $? "  and the log tells"

http "$url/v2/$name/manifests/${m/:/-}" > "$tmp/status"
list=$(header Docker-Content-Digest)
is "$(cat "$tmp/status") $(attached)" "200 2" "two SBOMs are attached to it"
damage changed "$list"
later 1.1
is "$(http "$url/v2/$name/referrers/$m") $(attached)" "200 0" \
	"a damaged list of them is none"

registry_stop
damage changed "$m"
rm "$VAR"/storage/state/firn.sqlite*
registry_start || { ok 1 "the registry starts again"; finish; }
if [ "$backend" = filesystem ]; then
	http "$url/v2/_catalog" > "$tmp/status"
	is "$(cat "$tmp/status") $(jq -c .repositories "$tmp/body")" \
		"200 [\"$name\"]" "the database is lost: images are listed still"
	is "$(http "$url/v2/$name/tags/list") $(jq -c .tags "$tmp/body")" \
		'200 ["latest"]' "  and their tags"
fi
is "$(tag "${image[@]}") $(body_digest)" "200 $m" \
	"a manifest is changed, and the database is lost: GET of its tag"
is "$(http "$url/v2/$name/referrers/$m") $(attached)" "200 2" \
	"and the list is made again, too"
is "$(check_blobs "$VAR/storage")" "" "all blobs are as they were"
[ "$backend" = filesystem ] || finish

# What nobody reads but who is told to.
frozen=() # a command before which the blobs can't be changed
verify() { # [OPTION...]: "STATUS NUMBER-OF-LINES"
	FIRN_STORAGE_PATH=$VAR/storage FIRN_PKGS_PATH=$PKGS \
		"${frozen[@]}" "$top/build/firn" verify "$@" > "$tmp/verify" 2> "$tmp/log"
	echo "$? $(wc -l < "$tmp/verify")"
}
is "$(verify)" "0 0" "firn verify finds no damage"
damage changed "$layer"
damage emptied "$m"
is "$(verify --json)" "1 2" "but what is damaged"
is "$(jq -r .digest "$tmp/verify" | sort)" \
	"$(printf '%s\n' "$layer" "$m" | sort)" "  namely that"
frozen=(unshare -m sh -c 'mount --bind "$0" "$0" &&
	mount -o remount,ro,bind "$0" && exec "$@"' "$VAR/storage/blobs")
if "${frozen[@]}" true 2> "$tmp/log"; then
	is "$(verify --repair) $(grep -c removed "$tmp/verify")" "1 2 0" \
		"--repair says what it can't remove"
	like "$(cat "$tmp/log")" 'Read-only' "  and why"
else
	skip "--repair of what can't be removed" "$(tail -n 1 "$tmp/log")"
fi
frozen=()
is "$(verify --repair) $(verify)" "0 2 0 0" "--repair removes it"
later
is "$(digest "$m")" 404 "  so that it is not there by digest"
is "$(tag "${image[@]}") $(body_digest)" "200 $m" "  until it is made again"
is "$(verify) $(stat -c %s "$(blob "$layer")")" "0 0 $size" "  with all layers"
is "$(FIRN_STORAGE_PATH=$tmp/no FIRN_PKGS_PATH=$PKGS "$top/build/firn" \
	verify 2>&1; echo $?; ls "$tmp/no" 2> /dev/null)" \
	"firn: $tmp/no is no storage"$'\n'1 "what is no storage stays as it is"
finish
