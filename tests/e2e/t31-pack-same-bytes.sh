#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# firn pack makes the same bytes whatever the machine, and all or nothing.
alone=1 . "$(dirname "$0")/lib.sh"
[ -x "$top/build/firn" ] || skip_all "build/firn is not built"

root=$tmp/root
a=/nix/store/00000000000000000000000000000000-programs
b=/nix/store/11111111111111111111111111111111-text
mkdir -p "$root$a" "$root$b"
cp -L /bin/bash /bin/ls /usr/bin/awk "$root$a"
cp -L "$top"/core/*/*.c "$top/Makefile" "$root$b"
firn() { "${under[@]}" "$top/build/firn" pack --root "$root" "$@" "$a" "$b"; }
under=()

for c in gzip gzip:9 zstd:1 zstd:3; do
	want=$(firn -c $c -t 1)
	like "$want" '"digest":"sha256:' "$c: packed"
	for t in 2 16; do
		is "$(firn -c $c -t $t)" "$want" "$c: the same with $t threads"
	done
	is "$(firn -c $c)" "$want" "$c: the same on a second run"
	is "$(OPENSSL_ia32cap=:0 firn -c $c)" "$want" \
		"$c: the same without SHA instructions"
	is "$(taskset -c 0 "$top/build/firn" pack --root "$root" -c $c \
		"$b" "$a")" "$want" "$c: the same on one core, in other order"
	if have valgrind; then
		under=(valgrind -q --error-exitcode=9)
		is "$(firn -c $c 2>&1)" "$want" "$c: the same under valgrind"
	else
		skip "$c: valgrind" "not installed"
	fi
	if have qemu-x86_64 && [ "$(uname -m)" = x86_64 ]; then
		# No SSE3, no AVX, no BMI, no CLMUL, no SHA.
		under=(qemu-x86_64 -cpu qemu64)
		is "$(firn -c $c)" "$want" "$c: the same on the oldest CPU"
	else
		skip "$c: an old CPU" "qemu-x86_64 is not installed"
	fi
	under=()
done

# Members that are known change nothing.
want=$(firn)
for i in 1 2; do
	is "$(firn --members "$tmp/members")" "$want" "members, run $i"
done

# All or nothing.
mkdir "$tmp/out"
head -c 60M /dev/urandom > "$root$a/large"
# exec: its pid is the one that is killed.
(exec "$top/build/firn" pack --root "$root" -c gzip:12 -o "$tmp/out/layer" \
	"$a" "$b") > /dev/null 2>&1 &
pid=$!
sleep 0.5
kill -KILL "$pid" && wait "$pid" 2> /dev/null
is "$?" 137 "killed while it packs"
is "$(ls -A "$tmp/out")" "" "nothing is left"
if [ "$(id -u)" -eq 0 ] && mount -t tmpfs -o size=2m none "$tmp/out" 2> \
	/dev/null; then
	out=$(firn -o "$tmp/out/layer" 2>&1)
	is "$?" 1 "a full disk is a failure"
	like "$out" "No space left on device" "and is told"
	is "$(ls -A "$tmp/out")" "" "nothing is left"
	umount "$tmp/out"
else
	skip "a full disk" "can't mount a small one"
fi
rm "$root$a/large"
echo old > "$tmp/out/layer"
firn -o "$tmp/out/layer" > /dev/null
is "$?" 0 "over a file that is there"
is "sha256:$(sha256sum < "$tmp/out/layer" | cut -d ' ' -f 1)" \
	"$(jq -r .digest <<< "$want")" "it is replaced"
is "$(ls -A "$tmp/out")" layer "and alone"

# Memory doesn't grow with the layer, nor with the threads.
peak() {
	python3 -c 'import os, subprocess, sys
p = subprocess.Popen(sys.argv[2:], stdout=open(sys.argv[1], "w"))
_, status, used = os.wait4(p.pid, 0)
print(used.ru_maxrss // 1024 if status == 0 else "it failed")' \
		"$tmp/said" "$top/build/firn" pack --root "$root" "$@" "$a" "$b"
}
head -c 48M /dev/urandom > "$root$a/noise"
for size in gzip:2G:2,16 gzip:9:64M:2,64 zstd:3:64M:2,64; do
	threads=${size##*:} size=${size%:*}
	c=${size%:*} want=
	truncate -s "${size##*:}" "$root$a/hole"
	for t in ${threads/,/ }; do
		mib=$(peak -c "$c" -t "$t")
		[ "$mib" -lt 64 ]
		ok $? "$c, ${size##*:}, $t threads: $mib MiB of memory"
		[ -n "$want" ] || want=$(cat "$tmp/said")
		is "$(cat "$tmp/said")" "$want" "and the same layer"
	done
done
rm "$root$a/hole" "$root$a/noise"

# Usage.
for args in "" "-t 0 $a" "-t x $a" "-c lzma $a" "--members-mib 0 $a" \
	"--members= $a" "--no $a"
do
	# shellcheck disable=SC2086
	"$top/build/firn" pack $args > "$tmp/stdout" 2> "$tmp/stderr"
	is "$?" 2 "wrong usage: $args"
	[ ! -s "$tmp/stdout" ] && [ -s "$tmp/stderr" ]
	ok $? "said on standard error"
done
out=$("$top/build/firn" pack --root "$root" /nix/store/none 2>&1)
is "$?" 1 "a path that is not there is a failure"
like "$out" "No such file" "and is told"
finish
