#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Where firn's commands write their results, and what they say if they can't.
alone=1 . "$(dirname "$0")/lib.sh"
[ -x "$top/build/firn" ] || skip_all "build/firn is not built"
firn=$top/build/firn
path=/nix/store/00000000000000000000000000000000-a
mkdir -p "$tmp/root$path"
echo x > "$tmp/root$path/f"
pack() { "$firn" pack --root "$tmp/root" "$@" "$path"; }

digest=$(pack -o "$tmp/layer" | sed 's/.*"digest":"sha256:\([0-9a-f]*\).*/\1/')
sum() { sha256sum "$@" | cut -d' ' -f1; }
is "$(sum "$tmp/layer")" "$digest" "a layer in a file"
is "$(stat -c %a "$tmp/layer")" 644 "  that others may read"

echo old > "$tmp/real"
ln -s real "$tmp/link"
pack -o "$tmp/link" > "$tmp/out"
ok $? "through a symbolic link"
[ -L "$tmp/link" ] && [ "$(sum "$tmp/real")" = "$digest" ]
ok $? "  which stays, and what it points at is the layer"

mkfifo "$tmp/fifo"
sum "$tmp/fifo" > "$tmp/sum" &
pack -o "$tmp/fifo" > "$tmp/out"
ok $? "into a pipe"
wait $!
is "$(cat "$tmp/sum")" "$digest" "  the same bytes"
[ -p "$tmp/fifo" ]
ok $? "  which stays a pipe"
if mknod "$tmp/null" c 1 3 2> /dev/null && echo > "$tmp/null"; then
	pack -o "$tmp/null" > "$tmp/out"
	ok $? "into a device"
	[ -c "$tmp/null" ]
	ok $? "  which stays a device"
else
	skip "into a device" "none can be made here"
fi 2> "$tmp/err"
for bad in "$tmp" ""; do
	why=$(pack -o "$bad" 2>&1)
	is $? 1 "a directory or no name: ${bad:+directory}"
	like "$why" '^firn: .*(is a directory|empty name)$' "  is said"
done

if [ -c /dev/full ]; then
	for command in "pack --root $tmp/root $path" --version --help; do
		# shellcheck disable=SC2086 # words
		why=$("$firn" $command 2>&1 > /dev/full)
		is $? 1 "output that is lost: firn ${command%% *}"
		is "$why" "firn: standard output can't be written" "  is said"
	done
else
	skip "output that is lost" "there is no /dev/full"
fi
why=$(pack -o "$tmp/closed" 2>&1 >&-)
is $? 1 "output that was closed"
! [ -e "$tmp/closed" ] || [ "$(sum "$tmp/closed")" = "$digest" ]
ok $? "  and is not written into a file instead"
finish
