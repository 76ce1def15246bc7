#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# firn explain of closures in files, and firn popcount of a binary cache:
# neither needs Nix, a storage or any configuration.
alone=1 . "$(dirname "$0")/lib.sh"
[ -x "$top/build/firn" ] || skip_all "build/firn is not built"
have jq || skip_all "jq is missing"
have python3 || skip_all "python3 is missing"
firn=$top/build/firn
unset "${!FIRN_@}"

golden=$top/tests/golden/layers/nginx-htop-b30.json
jq .closure "$golden" > "$tmp/graph.json"
jq .popularity "$golden" > "$tmp/counts.json"

"$firn" explain --graph "$tmp/graph.json" --popularity "$tmp/counts.json" \
	--algorithm nixery --budget 30 --json > "$tmp/nixery.json"
ok $? "a closure is explained without Nix or storage"
is "$(jq -c '[.layers[] | {paths, rating}] | sort_by(.rating)' "$tmp/nixery.json")" \
	"$(jq -c '[.layers[] | {paths, rating}] | sort_by(.rating)' "$golden")" \
	"the reference's groups and ratings"
"$firn" explain -g "$tmp/graph.json" -b 9 --json > "$tmp/firn.json"
is "$(jq -c '[.algorithm, .budget, (.layers | length)]' "$tmp/firn.json")" \
	'["firn",9,9]' "the default algorithm uses the budget"
is "$(jq -c '[.layers[].paths[]] | sort' "$tmp/firn.json")" \
	"$(jq -c '[.closure.graph[].path] | sort' "$golden")" \
	"every path is in one layer"
is "$(jq -c '.layers == (.layers | sort_by(-.rating))' "$tmp/firn.json")" true \
	"layers are in the manifest's order"
like "$("$firn" explain -g "$tmp/graph.json" -b 9)" \
	'layer 9: [0-9.]+ [kM]B, [0-9]+ paths?, rating [0-9]+' "for people"

echo '[{"path":"/etc/passwd","narSize":1,"references":[]}]' > "$tmp/bad.json"
why=$("$firn" explain -g "$tmp/bad.json" 2>&1)
is $? 1 "a malformed closure fails"
like "$why" 'entry 1: not a store path' "and it is said why"
"$firn" explain -g "$tmp/graph.json" -b 0 > "$tmp/out" 2>&1
is $? 2 "a budget of 0 is wrong usage"
"$firn" explain > "$tmp/out" 2>&1
is $? 2 "nothing to explain is wrong usage"

# --- a binary cache of three packages: app -> lib, libc; lib -> libc
cache=$tmp/cache
mkdir "$cache"
a=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-app-1
b=bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-lib-2
c=cccccccccccccccccccccccccccccccc-libc-3
narinfo() { # PATH REFERENCE...
	printf 'StorePath: /nix/store/%s\nURL: nar/x.nar\nNarSize: 1\nReferences: %s\n' \
		"$1" "$*" > "$cache/${1:0:32}.narinfo"
}
narinfo $a $b $c
narinfo $b $c
narinfo $c
printf '/nix/store/%s\n' $a $b $c dddddddddddddddddddddddddddddddd-gone-4 \
	> "$cache/store-paths"
xz -k "$cache/store-paths"
want='{"libc-3":2}'

is "$("$firn" popcount --cache "file://$cache" 2> "$tmp/err")" "$want" \
	"a cache in a directory is counted"

# A server that fails the first request of every file, as a busy one does.
cat > "$tmp/server.py" <<'PY'
import http.server, sys
seen = set()
class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        if self.path not in seen:
            seen.add(self.path)
            self.send_error(503)
        else:
            super().do_GET()
    def log_message(self, *args):
        with open(sys.argv[2], "a") as f:
            f.write(self.path + "\n")
s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), lambda *a: Handler(*a, directory=sys.argv[1]))
print(s.server_address[1], flush=True)
s.serve_forever()
PY
python3 "$tmp/server.py" "$cache" "$tmp/requests" > "$tmp/port" &
server=$!
await test -s "$tmp/port"
url=http://127.0.0.1:$(cat "$tmp/port")

"$firn" popcount --cache "$url" -w "$tmp/work" -o "$tmp/counts" 2> "$tmp/err"
ok $? "a cache is counted by http, which fails at first"
is "$(cat "$tmp/counts")" "$want" "the same counts"
like "$(cat "$tmp/err")" '3 store paths fetched, 0 remembered, 1 not in' \
	"what the cache does not have is told"

# an interruption: one line is whole, the next one is torn
{ grep -e "^firn" -e "^$b" "$tmp/work"; printf '%s %s' $a ${b:0:9}; } > "$tmp/torn"
is "$("$firn" popcount --cache "$url" -w "$tmp/torn" 2> "$tmp/err")" "$want" \
	"a run that was interrupted goes on"
like "$(cat "$tmp/err")" '2 store paths fetched, 1 remembered' \
	"and fetches what is missing only"
kill $server
wait $server 2> /dev/null

"$firn" popcount --cache "http://user:secret@127.0.0.1:1" > "$tmp/out" 2>&1
is $? 1 "no server: it fails"
! grep -q secret "$tmp/out"
ok $? "without telling the password"
"$firn" popcount > "$tmp/out" 2>&1
is $? 2 "nothing to count is wrong usage"

printf 'something else, without an end' > "$tmp/mine"
cp "$tmp/mine" "$tmp/mine.was"
why=$("$firn" popcount --cache "file://$cache" -w "$tmp/mine" 2>&1)
is $? 1 "--work with somebody's file fails"
like "$why" 'mine is there and not of firn popcount' "  and says why"
cmp -s "$tmp/mine" "$tmp/mine.was"
ok $? "  and leaves it alone"

printf '/nix/store/%s\n' $a $a $b $c $a > "$tmp/twice"
is "$("$firn" popcount --cache "file://$cache" -s "file://$tmp/twice" \
	2> "$tmp/err")" "$want" "what is listed twice counts once"
narinfo $a $b $c $c $c
is "$("$firn" popcount --cache "file://$cache" 2> "$tmp/err")" "$want" \
	"and what is referred to twice"

mkdir "$tmp/empty"
echo '{"libc-3":2}' > "$tmp/good"
why=$("$firn" popcount --cache "file://$tmp/empty" -s "file://$tmp/twice" \
	-o "$tmp/good" 2>&1)
is $? 1 "a cache that has nothing of the list fails"
like "$why" 'has none of the 3 store paths' "  and says so"
is "$(cat "$tmp/good")" '{"libc-3":2}' "  and what was counted before stays"
why=$(FIRN_STATE_PATH=$tmp/mistyped FIRN_PKGS_PATH=$tmp \
	FIRN_STORAGE_PATH=$tmp/mistyped "$firn" popcount --learnt 2>&1)
is $? 1 "--learnt without a state fails"
like "$why" 'FIRN_STATE_PATH' "  and says which"
! [ -e "$tmp/mistyped" ]
ok $? "  and makes none"
finish
