#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What firn pack makes is read by everyone, and says what the store says.
alone=1 . "$(dirname "$0")/lib.sh"
[ -x "$top/build/firn" ] || skip_all "build/firn is not built"

root=$tmp/root store=/nix/store
a=$store/00000000000000000000000000000000-nasty
b=$store/11111111111111111111111111111111-program
c=$store/22222222222222222222222222222222-file
d=$store/33333333333333333333333333333333-link
mkdir -p "$root$a" "$root$b/bin"
python3 - "$root$a" <<'P'
import os, sys
os.chdir(sys.argv[1])
def put(name, data=b"x"):
    if os.path.dirname(name):
        os.makedirs(os.path.dirname(name), exist_ok=True)
    with open(name, "wb") as f:
        f.write(data)
for n in (40, 41, 56, 57, 58, 99, 100, 101, 155, 156, 200, 254, 255):
    put(b"n" * n)
    put(b"d" * (n // 2) + b"/" + b"f" * n)
    os.symlink(b"t" * n, b"l" * n)
deep = b"/".join([b"deep" * 20] * 8)
put(deep + b"/file")
put("caf\u00e9".encode()); put(b"\xff\xfe\x80"); put(b"new\nline"); put(b"-rf")
put(b"sp ace\ttab\\back"); put(b"*?[x]"); put(b"\xc3\xa9" * 120)
put(b"\xff" * 255); put("\u00e9".encode() * 60 + b"/" + b"\xfe" * 200)
os.symlink(b"x" * 4000, b"long-link"); os.symlink(b"\xff" * 300, b"odd-link")
os.symlink("caf\u00e9".encode() * 60, b"utf8-link")
put(b"empty", b""); put(b"just512", b"y" * 512); put(b"zeros", bytes(700000))
put(b"big", os.urandom(1 << 16) * 80)
os.makedirs(b"dir-x"); os.makedirs(b"dir"); put(b"dir/f"); put(b"dir.f")
os.makedirs(b"many")
for i in range(3000):
    put(b"many/%d" % i, b"")
with open(b"sparse", "wb") as f:
    f.truncate(5 << 20)
os.link(b"big", b"big-too")
P
cp /bin/ls "$root$b/bin/ls"
echo text > "$root$c"
ln -s "$a" "$root$d"
find "$root/nix" -type f -exec chmod 0444 {} +
chmod 0555 "$root$b/bin/ls"
find "$root$a" "$root$b" -type d -exec chmod 0555 {} +
chmod 0755 "$root/nix" "$root$store"

pack() { # OUTPUT OPTION...: the JSON
	"$top/build/firn" pack --root "$root" -o "$@" "$d" "$b" "$a" "$c"
}
json=$(pack "$tmp/layer.gz")
ok $? "firn pack"
is "$(jq -r .digest <<< "$json")" \
	"sha256:$(sha256sum < "$tmp/layer.gz" | cut -d ' ' -f 1)" "the digest"
is "$(jq .size <<< "$json")" "$(stat -c %s "$tmp/layer.gz")" "the size"
gzip -t "$tmp/layer.gz"
ok $? "gzip -t"
gzip -dc "$tmp/layer.gz" > "$tmp/layer.tar"
is "$(jq -r .diffId <<< "$json")" \
	"sha256:$(sha256sum < "$tmp/layer.tar" | cut -d ' ' -f 1)" "the diff ID"
zjson=$(pack "$tmp/layer.zst" --compression zstd:3)
is "$(jq -r .diffId <<< "$zjson")" "$(jq -r .diffId <<< "$json")" \
	"zstd: the same diff ID"
if have zstd; then
	zstd -dcq "$tmp/layer.zst" | cmp - "$tmp/layer.tar"
	ok $? "zstd reads it"
else
	skip "zstd reads it" "not installed"
fi

# Names, types, modes, sizes, owners, times, targets and contents.
readtar=$top/tests/support/readtar
python3 "$readtar.py" "$root" "$a" "$b" "$c" "$d" > "$tmp/want"
python3 "$readtar.py" < "$tmp/layer.gz" | cmp - "$tmp/want"
ok $? "Python's tarfile reads what is in the store, in order"
if have go; then
	(cd "$tmp" && GO111MODULE=off go build -o readtar "$readtar.go") &&
		"$tmp/readtar" < "$tmp/layer.gz" | cmp - "$tmp/want"
	ok $? "Go's archive/tar reads the same"
else
	skip "Go's archive/tar reads the same" "not installed"
fi

out=$(tar --compare -C "$root" -f "$tmp/layer.tar" 2>&1 |
	grep -v ': \(Mod time\|Uid\|Gid\) differs$')
is "$out" "" "GNU tar finds no difference but owner and time"
same() { # TREE
	diff -r --no-dereference "$root/nix" "$1/nix" > "$tmp/diff" 2>&1 ||
		{ head -n 3 "$tmp/diff" | sed 's/^/# /'; return 1; }
	cmp <(cd "$root" && find nix -printf '%p %y %m\0' | sort -z) \
		<(cd "$1" && find nix -printf '%p %y %m\0' | sort -z)
}
mkdir "$tmp/gnu"
out=$(tar -xf "$tmp/layer.gz" -C "$tmp/gnu" 2>&1)
is "$out" "" "GNU tar extracts it" && same "$tmp/gnu"
ok $? "to the same tree"
if have bsdtar; then
	mkdir "$tmp/bsd"
	out=$(bsdtar -xpf "$tmp/layer.gz" -C "$tmp/bsd" 2>&1)
	is "$out" "" "bsdtar extracts it" && same "$tmp/bsd"
	ok $? "to the same tree"
else
	skip "bsdtar" "not installed"
fi

# An image of the one layer, for those that read images.
image() { # DIR LAYER JSON MEDIATYPE
	python3 - "$@" <<'P'
import hashlib, json, os, shutil, sys
to, layer, info, media = sys.argv[1:]
info = json.loads(info)
os.makedirs(to + "/blobs/sha256")
def blob(data):
    digest = hashlib.sha256(data).hexdigest()
    with open(to + "/blobs/sha256/" + digest, "wb") as f:
        f.write(data)
    return {"digest": "sha256:" + digest, "size": len(data)}
oci = "application/vnd.oci.image."
config = blob(json.dumps({"architecture": "amd64", "os": "linux", "config": {},
    "rootfs": {"type": "layers", "diff_ids": [info["diffId"]]}}).encode())
config["mediaType"] = oci + "config.v1+json"
with open(layer, "rb") as f:
    at = blob(f.read())
at["mediaType"] = media
manifest = blob(json.dumps({"schemaVersion": 2, "config": config,
    "mediaType": oci + "manifest.v1+json", "layers": [at]}).encode())
manifest["mediaType"] = oci + "manifest.v1+json"
manifest["annotations"] = {"org.opencontainers.image.ref.name": "latest"}
with open(to + "/index.json", "w") as f:
    json.dump({"schemaVersion": 2, "manifests": [manifest]}, f)
with open(to + "/oci-layout", "w") as f:
    f.write('{"imageLayoutVersion":"1.0.0"}')
P
}
oci=application/vnd.oci.image.layer.v1.tar
image "$tmp/oci-gzip" "$tmp/layer.gz" "$json" "$oci+gzip"
image "$tmp/oci-zstd" "$tmp/layer.zst" "$zjson" "$oci+zstd"
export XDG_RUNTIME_DIR=$tmp/run
mkdir -p "$tmp/run" && chmod 700 "$tmp/run"

client() { # gzip|zstd
	tar -C "$tmp/oci-$1" -cf "$tmp/oci-$1.tar" .
	if have skopeo; then
		out=$(skopeo copy -q "oci:$tmp/oci-$1:latest" \
			"dir:$tmp/dir-$1" 2>&1)
		ok $? "$1: skopeo reads it" || echo "# $out"
	else
		skip "$1: skopeo" "not installed"
	fi
	if have podman && [ "$(id -u)" -eq 0 ]; then
		local p=(podman --root "$tmp/podman-$1" --storage-driver vfs
			--runroot "$tmp/run/$1")
		out=$("${p[@]}" pull -q \
			"oci-archive:$tmp/oci-$1.tar" 2>&1)
		ok $? "$1: podman reads it" || echo "# $out"
		mount=$("${p[@]}" image mount "${out##*$'\n'}") &&
			[ -n "$mount" ] && same "$mount"
		ok $? "$1: to the same tree"
		"${p[@]}" image umount -a > /dev/null
	else
		skip "$1: podman" "not installed, or we are not root"
	fi
	[ ! -s "$tmp/why" ] || {
		skip "$1: containerd" "$(cat "$tmp/why")"
		return
	}
	out=$(ctr -a "$tmp/ctr.sock" images import --snapshotter native \
		--base-name "test/$1" "$tmp/oci-$1.tar" 2>&1)
	ok $? "$1: containerd reads it" || echo "# $out"
	mkdir "$tmp/mount-$1"
	ctr -a "$tmp/ctr.sock" images mount --snapshotter native "test/$1:latest" \
		"$tmp/mount-$1" > /dev/null && same "$tmp/mount-$1"
	ok $? "$1: to the same tree"
	umount "$tmp/mount-$1"
}

containerd_start ctr containerd ctr > "$tmp/why"
client gzip
client zstd
finish
