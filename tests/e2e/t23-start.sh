#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# How the program starts, and how it refuses to.
engine=fake
. "$(dirname "$0")/lib.sh"
mkdir "$tmp/storage"
run() { # [NAME=VALUE...]: its exit status; what it says to $tmp/out
	env -i PATH="$PATH" FIRN_PKGS_PATH="$PKGS" FIRN_NIX_DIR="$top/nix" \
		FIRN_STORAGE_PATH="$tmp/storage" "$@" \
		timeout 60 "$PROGRAM" < /dev/null > "$tmp/out" 2>&1
	echo $?
}
one_line() { # REGEX NAME
	like "$(cat "$tmp/out")" "^firn-fcgi: [^"$'\n'"]*$1[^"$'\n'"]*$" "$2"
}

like "$("$PROGRAM" --help)" FIRN_LISTEN "--help"
like "$("$PROGRAM" --version)" '^firn-fcgi [0-9]' "--version"
"$PROGRAM" --elephant > "$tmp/out" 2>&1
is $? 2 "an argument that it doesn't know"
is "$(run)" 2 "no socket at all"
one_line "no socket was inherited" "  is said in one line"
for bad in nonsense unix:relative "unix:/$(printf 'x%.0s' {1..200})" :80 \
	localhost: localhost:http localhost:99999; do
	is "$(run FIRN_LISTEN="$bad")" 2 "a bad address: ${bad:0:30}"
	one_line FIRN_LISTEN "  is named"
done
: > "$tmp/file"
is "$(run FIRN_LISTEN="unix:$tmp/file")" 2 "a file that is no socket"
one_line "no socket" "  is said"
[ -f "$tmp/file" ]
ok $? "  and left alone"
is "$(run FIRN_LISTEN="unix:$tmp/none/s")" 1 "a directory that isn't there"
is "$(run FIRN_LISTEN="unix:$tmp/s" FIRN_HOLD=x)" 2 "a bad setting"
one_line FIRN_HOLD "  is named"
is "$(run FIRN_LISTEN="unix:$tmp/s" FIRN_ELEPHANT=1)" 2 "an unknown setting"
one_line FIRN_ELEPHANT "  is named"
for bad in file:///sets/nixos.tar.gz file:///%s/%s.tar.gz; do
	is "$(run FIRN_LISTEN="unix:$tmp/s" FIRN_CHANNEL_URL="$bad")" 2 \
		"channels at $bad"
	one_line "FIRN_CHANNEL_URL.*one %s" "  is named"
done

start() { # NAME=VALUE...
	: > "$tmp/log" # here: what the last one said is not to be read again
	env -i PATH="$PATH" FIRN_PKGS_PATH="$PKGS" FIRN_NIX_DIR="$top/nix" \
		FIRN_STORAGE_PATH="$tmp/storage" "$@" \
		"$PROGRAM" < /dev/null > /dev/null 2> "$tmp/log" &
	pid=$!
	for ((i = 0; i < 600; i++)); do
		grep -q '"started"' "$tmp/log" && return
		sleep 0.1
	done
	return 1
}
start FIRN_LISTEN="unix:$tmp/s"
ok $? "it listens on a path"
is "$(stat -c %a "$tmp/s")" 660 "  for its user and group"
is "$(run FIRN_LISTEN="unix:$tmp/s")" 2 "a second one is refused"
one_line "another process" "  since the first is there"
kill -KILL $pid
wait $pid 2> /dev/null
start FIRN_LISTEN="unix:$tmp/s"
ok $? "what a dead one left behind is replaced"
kill -TERM $pid
wait $pid
is $? 0 "it ends when it is told to"
port=$(free_port)
for at in "127.0.0.1:$port" "localhost:$port"; do
	start FIRN_LISTEN="$at"
	ok $? "it listens on ${at%:*}"
	kill -INT $pid
	wait $pid
	is $? 0 "  and ends on SIGINT"
done

# As spawn-fcgi starts it: the socket is its standard input.
python3 - "$PROGRAM" "$tmp/in" "$PKGS" "$top/nix" "$tmp/storage" <<'P'
import os, signal, socket, subprocess, sys, time
program, path, pkgs, nix, storage = sys.argv[1:6]
s = socket.socket(socket.AF_UNIX)
s.bind(path)
s.listen(8)
p = subprocess.Popen([program], stdin=s, stderr=subprocess.PIPE,
    env={"PATH": os.environ["PATH"], "FIRN_PKGS_PATH": pkgs,
         "FIRN_NIX_DIR": nix, "FIRN_STORAGE_PATH": storage})
line = p.stderr.readline()
assert b'"started"' in line, line
def record(kind, body):
    return bytes([1, kind, 0, 1]) + len(body).to_bytes(2, "big") + b"\0\0" + body
def param(k, v):
    return bytes([len(k), len(v)]) + k + v
c = socket.socket(socket.AF_UNIX)
c.connect(path)
c.sendall(record(1, b"\0\1\0\0\0\0\0\0") +
    record(4, param(b"REQUEST_METHOD", b"GET") + param(b"REQUEST_URI", b"/v2/"))
    + record(4, b"") + record(5, b""))
answer = b""
while True:
    d = c.recv(4096)
    if not d:
        break
    answer += d
assert b"Status: 200 OK" in answer, answer
p.send_signal(signal.SIGTERM)
sys.exit(p.wait(60))
P
ok $? "it serves on the socket that spawn-fcgi gives it"
finish
