#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Real clients pull a real image.
. "$(dirname "$0")/lib.sh"

registry_start || { ok 1 "the registry starts"; finish; }
ok 0 "the registry starts"
ref=$host/shell/git/jq

if have skopeo; then
	out=$(skopeo copy -q --src-tls-verify=false "docker://$ref" \
		"oci:$tmp/oci:latest" 2>&1)
	ok $? "skopeo copies $ref" || echo "# $out"
	config=$(skopeo inspect --config --tls-verify=false "docker://$ref")
	layers=$(skopeo inspect --tls-verify=false "docker://$ref" |
		jq '.Layers | length')
	[ "$layers" -gt 5 ] && [ "$layers" -le 94 ]
	ok $? "it has many layers, and no more than 94 ($layers)"
	is "$(jq '.history | length' <<< "$config")" "$layers" \
		"a history entry per layer"
	is "$(jq '.rootfs.diff_ids | length' <<< "$config")" "$layers" \
		"a diff ID per layer"
	is "$(jq -r '.config.Cmd[0]' <<< "$config")" bash "it starts in bash"
	like "$(jq -r '.config.Env[]' <<< "$config")" SSL_CERT_FILE= \
		"SSL_CERT_FILE is set"
	like "$(jq -r '.history[].comment' <<< "$config")" \
		'/nix/store/[a-z0-9]{32}-git' "the history names store paths"
	is "$(jq -r .created <<< "$config")" 1970-01-01T00:00:00Z \
		"created does not depend on the clock"
	skopeo inspect --config --tls-verify=false \
		"docker://$host/arm64/hello" > "$tmp/arm.json" 2>&1
	is "$(jq -r .architecture "$tmp/arm.json")" arm64 \
		"an arm64 image says so (nixery B1)"
	is "$(skopeo inspect --config --tls-verify=false \
		"docker://$host/hello" | jq -r .architecture)" amd64 \
		"and the same name without it is amd64"
else
	skip "skopeo" "not installed"
fi

# Their stores are ours for this test, whoever runs it. Without overlay each
# layer is a copy of all below it: slow, but it works everywhere.
export XDG_RUNTIME_DIR=$tmp/run
mkdir -p "$tmp/run" "$tmp"/overlay/{lower,upper,work,mount}
chmod 700 "$tmp/run"
driver=vfs snapshotter=native
if mount -t overlay overlay -o "lowerdir=$tmp/overlay/lower,upperdir=$tmp/overlay/upper,workdir=$tmp/overlay/work" \
	"$tmp/overlay/mount" 2>/dev/null; then
	umount "$tmp/overlay/mount"
	driver=overlay snapshotter=overlayfs
fi
for tool in podman buildah; do
	if have $tool; then
		out=$($tool --root "$tmp/$tool" --runroot "$tmp/run/$tool" \
			--storage-driver "$driver" pull -q --tls-verify=false \
			"$ref" 2>&1)
		ok $? "$tool pulls $ref" || echo "# $out"
	else
		skip "$tool" "not installed"
	fi
done

if containerd_start ctr containerd ctr > "$tmp/why"; then
	out=$(ctr -a "$tmp/ctr.sock" images pull --plain-http \
		--snapshotter "$snapshotter" "$ref:latest" 2>&1)
	ok $? "ctr pulls $ref" || echo "# $out" | tail -n 3
else
	skip "ctr" "$(cat "$tmp/why")"
fi
finish
