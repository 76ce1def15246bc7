#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What goes over the wire: headers, ranges, errors, bad input.
. "$(dirname "$0")/lib.sh"

registry_start || { ok 1 "the registry starts"; finish; }
m=$url/v2/hello/manifests
is "$(http "$url/v2/")" 200 "/v2/"
is "$(header Docker-Distribution-Api-Version)" registry/2.0 "  its version"
is "$(http "$url/v2")" 200 "/v2 without the slash"

is "$(http "$m/latest")" 200 "a manifest by tag"
cp "$tmp/body" "$tmp/manifest"
digest=$(header Docker-Content-Digest)
is "$digest" "sha256:$(sha256sum < "$tmp/manifest" | cut -d' ' -f1)" \
	"  its digest is that of its bytes (nixery B14)"
is "$(header Content-Type)" application/vnd.oci.image.manifest.v1+json \
	"  and its type the OCI one, without parameters"
is "$(header Content-Length)" "$(stat -c %s "$tmp/manifest")" "  and its size"
is "$(http "$m/$digest")" 200 "the same by digest"
cmp -s "$tmp/body" "$tmp/manifest"
ok $? "  gives the same bytes"
is "$(header Content-Type) $(header Docker-Content-Digest)" \
	"application/vnd.oci.image.manifest.v1+json $digest" "  type and digest"
is "$(http -r 5-14 "$m/$digest") $(header Content-Range)" \
	"206 bytes 5-14/$(stat -c %s "$tmp/manifest")" "  in ranges, too"
is "$(http -H "If-None-Match: \"$digest\"" "$m/$digest")" 304 \
	"  or not, if the client has it"
test_manifest_file() {
	local before
	before=$(metric 'firn_http_requests_total{route="manifest",status="200"}')
	is "$(http "$m/$digest") $(http -I "$m/$digest")" "200 200" \
		"  again, and its HEAD"
	is "$(metric 'firn_http_requests_total{route="manifest",status="200"}')" \
		"$before" "  which nginx sends without asking"
	mv "$VAR/storage/image-manifests" "$VAR/storage/elsewhere"
	is "$(http "$m/$digest?")" 200 \
		"  where nginx can't find it, the program does"
	is "$(header Content-Type) $(sha256sum < "$tmp/body" | cut -d' ' -f1)" \
		"application/vnd.oci.image.manifest.v1+json ${digest#sha256:}" \
		"  with its type and its bytes"
	mv "$VAR/storage/elsewhere" "$VAR/storage/image-manifests"
}
# In a cloud no manifest is a file.
[ "${FIRN_STORAGE_BACKEND:-filesystem}" != filesystem ] || test_manifest_file
is "$(http -I "$m/latest")" 200 "HEAD"
is "$(header Docker-Content-Digest) $(header Content-Length)" \
	"$digest $(stat -c %s "$tmp/manifest")" "  has the same headers"
is "$(http "$m/latest?ns=docker.io")" 200 "?ns= is ignored (nixery B16)"

for what in config layers[0]; do
	d=$(jq -r ".$what.digest" "$tmp/manifest")
	size=$(jq -r ".$what.size" "$tmp/manifest")
	b=$url/v2/hello/blobs/$d
	is "$(http "$b")" 200 "$what: GET"
	is "$(sha256sum < "$tmp/body" | cut -d' ' -f1)" "${d#sha256:}" \
		"  the bytes are right"
	is "$(header Docker-Content-Digest)" "$d" "  Docker-Content-Digest"
	is "$(http -I "$b")" 200 "  HEAD"
	is "$(header Content-Length) $(header Docker-Content-Digest)" \
		"$size $d" "  has size and digest"
	is "$(http -r 5-14 "$b")" 206 "  a range"
	is "$(header Content-Range)" "bytes 5-14/$size" "  Content-Range"
	is "$(stat -c %s "$tmp/body")" 10 "  its ten bytes"
	is "$(http -r "$size-" "$b")" 416 "  a range beyond the end"
done

none=sha256:$(printf '0%.0s' {1..64})
code() { jq -r '.errors[0].code' "$tmp/body" 2>/dev/null; }
for method in GET HEAD; do
	flag=(); [ "$method" = HEAD ] && flag=(-I)
	is "$(http "${flag[@]}" "$url/v2/hello/blobs/$none")" 404 \
		"$method of a missing blob (nixery B4)"
	like "$(header Content-Type)" '^application/json' \
		"  its error is JSON (nixery B17)"
done
http "$url/v2/hello/blobs/$none" >/dev/null
is "$(code)" BLOB_UNKNOWN "  BLOB_UNKNOWN"
is "$(http "$m/$none")" 404 "a missing manifest"
is "$(code)" MANIFEST_UNKNOWN "  MANIFEST_UNKNOWN"
layer=$(jq -r '.layers[0].digest' "$tmp/manifest")
is "$(http "$m/$layer")" 404 "a layer is no manifest"
is "$(http "$url/v2/no-such-package/manifests/latest")" 404 \
	"a package that isn't there"
is "$(code)" MANIFEST_UNKNOWN "  MANIFEST_UNKNOWN"
like "$(cat "$tmp/body")" no-such-package "  is named"
if have skopeo; then
	out=$(skopeo inspect --tls-verify=false \
		"docker://$host/no-such-package" 2>&1)
	like "$out" "no-such-package" "skopeo shows its name"
	like "$out" "unknown|not found|no package" "  and what is wrong"
fi
is "$(http "$m/no-such-tag")" 404 "a tag that isn't there"
for method in POST PUT PATCH DELETE; do
	is "$(http -X $method "$m/latest")" 405 "$method is refused"
	is "$(code)" UNSUPPORTED "  UNSUPPORTED"
done

is "$(http "$url/v2/hello/tags/list")" 200 "tags/list"
is "$(jq -c . "$tmp/body")" '{"name":"hello","tags":["latest"]}' \
	"  lists what was built"
is "$(http "$url/v2/never/built/tags/list")" 404 "  of another name: 404"
is "$(code)" NAME_UNKNOWN "  NAME_UNKNOWN"
is "$(http "$url/v2/hello/tags/list?n=0")" 200 "  n=0"
is "$(jq -c .tags "$tmp/body")$(header Link)" '[]' "    is empty, without Link"
is "$(http "$url/v2/hello/tags/list?n=x")" 400 "  n=x is refused"
http "$url/v2/jq/manifests/latest" >/dev/null
is "$(http "$url/v2/_catalog?n=1")" 200 "_catalog"
is "$(jq -c .repositories "$tmp/body")" '["hello"]' "  one page"
next=$(header Link)
next=${next#<}
http "$url${next%%>*}" >/dev/null
is "$(jq -c .repositories "$tmp/body")" '["jq"]' "  and the next"

# Whatever a client sends gets a 4xx with an errors body.
raw() { # REQUEST-LINE [HEADER...]: status code of the answer
	local line=$1
	shift
	{
		printf '%s\r\nHost: x\r\n' "$line"
		[ $# -eq 0 ] || printf '%s\r\n' "$@"
		printf 'Connection: close\r\n\r\n'
	} | python3 -c 'import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 30)
s.sendall(sys.stdin.buffer.read())
d = b""
while True:
    c = s.recv(65536)
    if not c:
        break
    d += c
head, _, body = d.partition(b"\r\n\r\n")
open(sys.argv[2], "wb").write(body)
print(head.split(b" ")[1].decode() if b" " in head else "none")' \
		"$PORT" "$tmp/body"
}
long=$(printf 'a%.0s' {1..300})
while IFS= read -r path; do
	[ -n "$path" ] || continue
	s=$(raw "GET $path HTTP/1.1")
	[[ $s == 4* ]] && [ -n "$(code)" ] && [ "$(code)" != null ]
	ok $? "a 4xx with an errors body: ${path:0:60}" ||
		echo "# got $s: $(head -c 300 "$tmp/body")"
done <<P
/v2/Hello/manifests/latest
/v2/hello/manifests/-bad
/v2/hello/manifests/.bad
/v2/hello/manifests/$long
/v2/$long/manifests/latest
/v2/hello/manifests/
/v2//manifests/latest
/v2/hello//manifests/latest
/v2/hello/../git/manifests/latest
/v2/hello/%2e%2e/git/manifests/latest
/v2/hello%2Fgit/manifests/latest
/v2/hello%00/manifests/latest
/v2/hello%zz/manifests/latest
/v2/hello|git/manifests/latest
/v2/hello;reboot/manifests/latest
/v2/\$(reboot)/manifests/latest
/v2/\${hello}/manifests/latest
/v2/hello"/manifests/latest
/v2/hello'/manifests/latest
/v2/hello\\/manifests/latest
/v2/_hello/manifests/latest
/v2/hello_/manifests/latest
/v2/hello__x/manifests/latest
/v2/hello..git/manifests/latest
/v2/builtins/manifests/latest
/v2/hello/manifests/sha256:
/v2/hello/manifests/sha256:baddigeststring
/v2/hello/manifests/sha512:00
/v2/hello/manifests/md5:$(printf '0%.0s' {1..32})
/v2/hello/blobs/sha256:baddigeststring
/v2/hello/blobs/latest
/v2/hello/blobs/
/v2/hello/blobs
/v2/hello/unknown/latest
/v2/hello
/v2/amd64/arm64/hello/manifests/latest
/v2/amd64/manifests/latest
/v2/hello/blobs/uploads/
/v2/../_firn/blobs/sha256/x
/v3/
/v2/hello/manifests/sha256-$(printf '0%.0s' {1..64}).sig
P
for line in 'BREW /v2/ HTTP/1.1' 'nonsense' \
	'GET /v2/%zz HTTP/1.1'; do
	s=$(raw "$line")
	[[ $s == 4* ]]
	ok $? "a bad request line is a 4xx: $line" || echo "# got $s"
done
for h in "Accept: $(printf 'x%.0s' {1..5000})" 'Accept: ,,;;q=,' \
	'Range: bytes=5-1' 'Range: elephants=1-2' 'If-None-Match: "' \
	$'X-Firn: \x01\x02' 'Content-Length: 99999999999999999999'; do
	s=$(raw 'GET /v2/hello/manifests/latest HTTP/1.1' "$h")
	[[ $s == 200 || $s == 304 || $s == 4* ]]
	ok $? "a strange header does no harm: ${h:0:40}" || echo "# got $s"
done
is "$(http "$url/healthz")" 200 "and it is still alive"
is "$(http "$url/readyz")" 200 "and ready"
finish
