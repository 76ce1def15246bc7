#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What nginx adds: ranges, its own errors, and the example server with TLS.
engine=fake
. "$(dirname "$0")/lib.sh"
registry_start || { ok 1 "the registry starts"; finish; }

manifest=$url/v2/hello/manifests/latest
curl -sS -o "$tmp/manifest" "$manifest"
whole=sha256:$(sha256sum < "$tmp/manifest" | cut -d' ' -f1)
layer=$(jq -r '.layers[0].digest' "$tmp/manifest")
config=$(jq -r .config.digest "$tmp/manifest")
blob=$url/v2/hello/blobs/$config
curl -sS -o "$tmp/config" "$blob"
is "sha256:$(sha256sum < "$tmp/config" | cut -d' ' -f1)" "$config" \
	"a blob is the file of its digest"

parts() { # of the last answer: the place and the bytes of each
	python3 - "$(header Content-Type)" "$tmp/body" <<'P'
import email, sys
head = f"Content-Type: {sys.argv[1]}\r\n\r\n".encode()
whole = email.message_from_bytes(head + open(sys.argv[2], "rb").read())
print(*[f"{p['Content-Range']} {p.get_payload()}" for p in whole.get_payload()])
P
}
bytes() { # FROM NUMBER: of $what
	tail -c "+$(($1 + 1))" "$tmp/$what" | head -c "$2"
}
for what in manifest config; do
	u=$blob
	[ $what = manifest ] && u=$manifest
	size=$(stat -c %s "$tmp/$what")
	is "$(http "$u")" 200 "$what: all of it"
	digest=$(header Docker-Content-Digest)
	is "$(http -r 0-9 "$u")" 206 "$what: the first ten bytes"
	is "$(cat "$tmp/body")" "$(head -c 10 "$tmp/$what")" "  are right"
	is "$(header Content-Range)" "bytes 0-9/$size" "  Content-Range"
	is "$(header Docker-Content-Digest)" "$digest" "  the whole's digest"
	is "$(http -r -7 "$u")" 206 "$what: the last seven bytes"
	is "$(cat "$tmp/body")" "$(tail -c 7 "$tmp/$what")" "  are right"
	is "$(http -r 5- "$u")" 206 "$what: all but the first five"
	is "$(cat "$tmp/body")" "$(tail -c +6 "$tmp/$what")" "  are right"
	is "$(http -r 0-1,4-5 "$u")" 206 "$what: two ranges"
	like "$(header Content-Type)" '^multipart/byteranges; boundary=' \
		"  are multipart/byteranges"
	is "$(parts)" "bytes 0-1/$size $(bytes 0 2) bytes 4-5/$size $(bytes 4 2)" \
		"  each with its place and bytes"
	is "$(http -r "$size-" "$u")" 416 "$what: beyond the end"
	is "$(header Content-Range)" "bytes */$size" "  says how long it is"
	is "$(header Content-Type)" application/json "  in JSON"
	is "$(http -H "If-None-Match: \"$digest\"" "$u")" 304 \
		"$what: not what the client has"
	is "$(header Docker-Content-Digest)" "$digest" "  but its digest"
	is "$(http -r 0-9 -H "If-Range: \"$digest\"" "$u")" 206 \
		"$what: a range of what the client has"
	is "$(http -r 0-9 -H 'If-Range: "other"' "$u")" 200 \
		"$what: all when it has another"
	is "$(http -H 'Accept-Encoding: gzip, zstd' "$u")" 200 \
		"$what: compression is declined"
	is "$(header Content-Length)" "$size" "  so it has its length"
done
is "$(http -I "$url/v2/hello/blobs/$layer")" 200 "HEAD of a layer"
is "$(header Content-Length)" 100000 "  has its length"
is "$(header Docker-Content-Digest)" "$layer" "  and digest"
is "$(header Cache-Control)" "max-age=31536000, immutable" "  for ever"

# What is right stays so; an error may be another answer soon.
forever="max-age=31536000, immutable"
answer() { # CURL-ARGUMENT...: the status and each Cache-Control
	echo "$(http "$@")" "$(tr -d '\r' < "$tmp/headers" |
		grep -i '^cache-control:' | cut -d: -f2- | xargs)"
}
none=$(printf '0%.0s' {1..64})
# By nginx alone, and by way of the program.
for u in "$blob" "$blob?"; do
	is "$(answer "$u")" "200 $forever" "${u#"$url"}: for ever, said once"
	is "$(answer -r 0-9 "$u")" "206 $forever" "  a part of it too"
	is "$(answer -H "If-None-Match: \"$config\"" "$u")" "304 $forever" "  and 304"
	is "$(answer -r 999999999- "$u")" "416 $forever no-store" "  not what is no range"
	is "$(answer "${u/${config#*:}/$none}")" "404 no-store" "  nor 404"
	is "$(answer -X POST "$u")" "405 no-store" "  nor 405"
done

is "$(http -X POST "$url/v2/hello/blobs/$layer")" 405 "POST of a blob: 405"
is "$(header Content-Type)" application/json "  in JSON"
is "$(http "$url/v2/hello..x/blobs/$layer")" 400 "a bad name is not served"
is "$(http --path-as-is "$url/v2/a/../hello/blobs/$layer")" 400 \
	"nor is a path that nginx had to mend"

# nginx keeps manifests for a moment, and then asks again.
seen() { metric 'firn_http_requests_total{route="manifest",status="200"}'; }
http "$manifest" > /dev/null
before=$(seen)
curl -fsS -o /dev/null "$manifest?n=[1-300]"
asked=$(($(seen) - before))
[ "$asked" -lt 100 ]
ok $? "of 300 requests by tag nginx answers most ($asked came through)"
sleep 2.2 # it counts whole seconds
# shellcheck disable=SC2317 # await runs it
more() { # NUMBER: the program counts when the client has its answer
	[ $(($(seen) - before)) -ge "$1" ]
}
before=$(seen)
http "$manifest" > /dev/null
await more 1
ok $? "after a while it asks again"
is "$(http "$manifest?ns=docker.io%2Flibrary")" 200 "a query may have codes"
is "$(http --path-as-is "$url/v2/a/../hello/manifests/latest")" 400 \
	"what it keeps is not for paths that it had to mend"
is "$(http --path-as-is "$url/v2/a%2F../hello/manifests/latest")" 400 \
	"  however written"
is "$(http -H 'If-None-Match: *' "$manifest")" 304 "304 of what it keeps"

# What a client has already: whatever way it says so, and only if it may have
# it, and it is there.
none=sha256:$(printf '0%.0s' {1..64})
for u in "$blob" "$url/v2/hello/manifests/$whole"; do
	d=${u##*/}
	for tags in "\"$d\"" "W/\"$d\"" "\"a\", W/\"$d\",\"b\"" '*'; do
		is "$(http -H "If-None-Match: $tags" "$u")" 304 \
			"304 of ${u:(-80):9} for ${tags//$d/D}"
		is "$(header ETag) $(header Docker-Content-Digest)" \
			"\"$d\" $d" "  with tag and digest"
	done
	is "$(http -H 'If-None-Match: "other"' "$u")" 200 "all of another"
	is "$(http -X POST -H "If-None-Match: \"$d\"" "$u")" 405 "no 304 of POST"
	is "$(http -H "If-None-Match: \"$none\"" "${u%/*}/$none")" 404 \
		"  or of what is not there"
	is "$(http -I -H "If-None-Match: \"$d\"" "$u")" 304 "  but of HEAD"
done

# The files behind it are nobody's to fetch.
hex=${config#sha256:}
is "$(http "$url/_firn/blobs/sha256/$hex")" 404 "the internal path is hidden"
is "$(http --path-as-is "$url/v2/../_firn/blobs/sha256/$hex")" 404 \
	"also through /v2/.."
is "$(http --path-as-is "$url/v2/%2e%2e/_firn/blobs/sha256/$hex")" 404 \
	"  and encoded"
rm -f "$VAR/storage/blobs/sha256/$hex"
sleep 3.2 # nginx has it open for two seconds
is "$(http "$blob")" 404 "a blob that is gone is a 404"
is "$(header Content-Type)" application/json "  in JSON"

raw() { # TEXT: status of the answer to it; the body to $tmp/body
	python3 - "$PORT" "$tmp/body" "$1" <<'P'
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 60)
s.sendall(sys.argv[3].encode("latin-1").decode("unicode_escape").encode("latin-1"))
d = b""
while True:
    c = s.recv(65536)
    if not c:
        break
    d += c
head, _, body = d.partition(b"\r\n\r\n")
open(sys.argv[2], "wb").write(body)
print(head.split(b" ")[1].decode() if b" " in head else "none")
P
}
h='\r\nHost: x\r\nConnection: close\r\n\r\n'
long=$(printf 'x%.0s' {1..40000})
while IFS= read -r line; do
	like "$(raw "$line")" '^4[0-9][0-9]$' "nginx refuses: ${line:0:40}"
	jq -e '.errors[0].code' "$tmp/body" > /dev/null
	ok $? "  in JSON" || head -c 300 "$tmp/body"
done <<P
GET /v2/%zz HTTP/1.1$h
GET /v2/../../etc/passwd HTTP/1.1$h
get /v2/ HTTP/1.1$h
GET /$long HTTP/1.1$h
GET /v2/ HTTP/1.1\\r\\nHost: x\\r\\nX: $long\\r\\n\\r\\n
CONNECT x:1 HTTP/1.1$h
GET /v2/a\\x00b HTTP/1.1$h
GET /v2/ HTTP/1.1\\r\\nConnection: close\\r\\n\\r\\n
POST /v2/ HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 99999999\\r\\n\\r\\n
P
is "$(raw "GET /v2/ HTTP/1.0\r\n\r\n")" 200 "HTTP/1.0 still works"
is "$(http -H 'Host: evil.example' "$url/v2/wait-1/manifests/latest")" 200 \
	"a host that isn't ours"

# Readers who take next to nothing, of answers that are long: small windows and
# segments, so that little of an answer is under way.
slowly() { # PATH [HEADER [TIMES]]: the status of /v2/ while 40 read slowly
	python3 - "$PORT" "$1" "${2:-X: y}" "${3:-1}" "$url/v2/" <<'P'
import socket, subprocess, sys, time
port, path, header, times, other = sys.argv[1:]
request = f"GET {path} HTTP/1.1\r\nHost: x\r\n{header}\r\n\r\n".encode()
def begun(s):
    try:
        return s.recv(12, socket.MSG_DONTWAIT) == b"HTTP/1.1 200"
    except BlockingIOError:
        return False
slow = []
for _ in range(40):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
    s.connect(("127.0.0.1", int(port)))
    s.sendall(request * int(times))
    slow.append(s)
until = time.monotonic() + 30
waiting = slow
while waiting and time.monotonic() < until:
    waiting = [s for s in waiting if not begun(s)]
    time.sleep(0.1)
if waiting:
    print(len(waiting), "without an answer, ", end="", flush=True)
subprocess.call(["curl", "-sS", "-m", "30", "-o", "/dev/null",
    "-w", "%{http_code}", other])
P
}
docker='Accept: application/vnd.docker.distribution.manifest.v2+json'
long=/builds/0123456789abcdef0123456789abcded
is "$(http "$url$long")" 200 "a long log"
[ "$(stat -c %s "$tmp/body")" -gt 900000 ]
ok $? "  of about a megabyte"
is "$(slowly $long)" 200 "who reads it slowly holds nobody up"
is "$(slowly /v2/large/manifests/latest)" 200 \
	"nor who so reads a long manifest"
is "$(slowly /v2/large/manifests/latest "$docker")" 200 \
	"  that nginx does not keep"
is "$(slowly /v2/hello/manifests/latest "$docker" 50)" 200 \
	"  or a short one fifty times"

# The example server, with the lines that it asks to change, and some more: one
# that lets nobody in, one with a password, and one whose nginx can't read the
# storage (here, since links are in the way).
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
	-keyout "$tmp/key.pem" -out "$tmp/chain.pem" -days 2 \
	-subj /CN=registry.example -addext subjectAltName=DNS:registry.example \
	2> /dev/null
plain=$(free_port) tls=$(free_port)
mkdir -p "$tmp/tls" "$tmp/links/image-manifests" "$tmp/links/blobs/sha256"
for d in "$layer" "$none"; do
	ln -s "$VAR/storage/blobs/sha256/${d#sha256:}" \
		"$tmp/links/blobs/sha256/${d#sha256:}"
done
ln -s "${whole#sha256:}" "$tmp/links/image-manifests/${whole#sha256:}"
echo 'me:{PLAIN}word' > "$tmp/tls/passwords"
server() { # NAME STORAGE [DIRECTIVE...]
	local name=$1 storage=$2
	shift 2
	echo "server { listen unix:$tmp/tls/$name; set \$firn_storage $storage;"
	echo "include firn/registry.conf; $* }"
}
ln -s "$top/nginx" "$tmp/tls/firn"
sed -e "s|listen 80;|listen 127.0.0.1:$plain;|" \
	-e "s|listen 443 ssl http2;|listen 127.0.0.1:$tls ssl http2;|" \
	-e '/listen \[::\]/d' \
	-e "s|/etc/ssl/registry.example|$tmp|" \
	-e "s|/var/lib/firn|$VAR/storage|" \
	-e "s|/var/log/nginx|$tmp/tls|" "$top/nginx/example-tls.conf" \
	> "$tmp/tls/example.conf"
sed -e "s|/run/firn/fcgi.sock|$VAR/run/firn.sock|" \
	-e "s|/var/cache/nginx-firn|$tmp/tls/cache|" \
	"$top/nginx/upstream.conf" > "$tmp/tls/upstream.conf"
{
	[ "$(id -u)" -ne 0 ] || echo "user $(id -un);"
	cat <<C
daemon off;
pid $tmp/tls/pid;
error_log $tmp/tls/error.log;
events { }
http {
	client_body_temp_path $tmp/tls/b;
	fastcgi_temp_path $tmp/tls/f;
	proxy_temp_path $tmp/tls/p;
	uwsgi_temp_path $tmp/tls/u;
	scgi_temp_path $tmp/tls/s;
	include $tmp/tls/upstream.conf;
	include $tmp/tls/example.conf;
	access_log off;
C
	server deny "$VAR/storage" "deny all;"
	server auth "$VAR/storage" "auth_basic registry;" \
		"auth_basic_user_file $tmp/tls/passwords;"
	server links "$tmp/links"
	echo "}"
} > "$tmp/tls/nginx.conf"
nginx -t -p "$tmp/tls" -c "$tmp/tls/nginx.conf" 2> "$tmp/out"
ok $? "nginx takes the example" || sed 's/^/# /' "$tmp/out"
grep -q 'warn\|emerg' "$tmp/out"
is $? 1 "  without a warning"
nginx -p "$tmp/tls" -c "$tmp/tls/nginx.conf" 2> /dev/null &
tls_pid=$!
await test -s "$tmp/tls/pid"
s=https://registry.example:$tls
c=(--cacert "$tmp/chain.pem" --resolve "registry.example:$tls:127.0.0.1")
for version in 1.1 2; do
	is "$(http "${c[@]}" --http$version "$s/v2/hello/manifests/latest")" \
		200 "TLS, HTTP/$version: a manifest"
	cmp -s "$tmp/body" "$tmp/manifest"
	ok $? "  the same bytes"
	is "$(http "${c[@]}" --http$version "$s/v2/hello/blobs/$layer")" 200 \
		"TLS, HTTP/$version: a blob"
	is "$(header Docker-Content-Digest)" "$layer" "  with its digest"
	is "$(http "${c[@]}" --http$version "$s/v2/broken/manifests/latest")" \
		422 "TLS, HTTP/$version: a failed build"
	like "$(cat "$tmp/body")" "exit code 2" "  with its cause"
done
like "$(head -n 1 "$tmp/headers" | tr -d '\r')" "^HTTP/2 422" \
	"HTTP/2 has no reason phrase"
http "${c[@]}" --http1.1 "$s/v2/broken/manifests/latest" > /dev/null
like "$(head -n 1 "$tmp/headers")" "422 the build of 'broken' failed" \
	"HTTP/1.1 has the cause in it"
is "$(curl -sS -o "$tmp/body" -w '%{http_code} %{redirect_url}' \
	-H 'Host: registry.example' "http://127.0.0.1:$plain/v2/")" \
	"308 https://registry.example/v2/" "without TLS: a redirect"
at() { # SERVER PATH [curl arguments]: the status
	http --unix-socket "$tmp/tls/$1" "http://x$2" "${@:3}"
}
code() { jq -r '.errors[0].code' "$tmp/body"; }
layer_path=/v2/hello/blobs/$layer manifest_path=/v2/hello/manifests/$whole
for path in "$layer_path" "$manifest_path"; do
	d=${path##*/}
	has=(-H "If-None-Match: \"$d\"")
	is "$(at deny "$path") $(code)" "403 DENIED" "who may not pass: ${path:0:14}"
	is "$(at deny "$path" "${has[@]}")" 403 "  has nothing already"
	is "$(at auth "$path") $(code)" "401 UNAUTHORIZED" "  nor has who is nobody"
	is "$(at auth "$path" "${has[@]}")" 401 "  and is told no more"
	is "$(at auth "$path" -u me:word)" 200 "with a password"
	is "$(at auth "$path" -u me:word "${has[@]}")" 304 "  or not again"
	is "$(at auth "${path%/*}/$none" -u me:word)" 404 "  what is there"
	is "$(at auth "${path%/*}/$none")" 401 "  but only then"
done
is "$(at links "$layer_path") $(code)" "503 UNAVAILABLE" \
	"a blob that nginx can't read is for the operator"
like "$(cat "$tmp/body")" "can't read the registry's storage" "  who is told"
is "$(header Content-Type) $(header Retry-After)" "application/json 15" \
	"  in JSON"
is "$(at links "$layer_path" -I)" 503 "  and HEAD"
is "$(at links "${layer_path%/*}/$none") $(code)" "404 BLOB_UNKNOWN" \
	"  but not one that is not there"
is "$(at links "$manifest_path")" 200 \
	"a manifest that nginx can't read the program sends"
cmp -s "$tmp/body" "$tmp/manifest"
ok $? "  as it is"
before=$(seen)
at auth /v2/hello/manifests/latest -u me:word > /dev/null
at links /v2/hello/manifests/latest > /dev/null
await more 2
ok $? "of each server's images nginx keeps its own"
# shellcheck disable=SC2317 # await runs it
logged() { # nginx writes a line when the client has its answer
	jq -se 'length > 5 and all(.request != "")' "$tmp/tls/firn.log" > /dev/null
}
await logged
ok $? "its log is JSON, with the request's id"
id=$(jq -r 'select(.uri == "/v2/broken/manifests/latest") | .request' \
	"$tmp/tls/firn.log" | tail -n 1)
grep -q "\"request\":\"$id\"" "$VAR/firn.log"
ok $? "  which is in our log too"
kill $tls_pid
wait $tls_pid
finish
