#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What the operator allows: lists of packages, unfree and its like, limits,
# overlays. And that an image from laxer days is not served by its tag.
. "$(dirname "$0")/lib.sh"

mkdir "$tmp/conf"
printf 'substituters =\n' > "$tmp/conf/nix.conf"
export NIX_CONF_DIR=$tmp/conf FIRN_RESOLVE_TTL=2

restart() { # NAME=VALUE...: the settings of this one
	local conf=$NIX_CONF_DIR started
	[ ! -e "$VAR/run" ] || registry_stop
	export "${@?}"
	registry_start
	started=$?
	unset "${@%%=*}"
	export NIX_CONF_DIR=$conf
	ok "$started" "a registry with $*" || finish
}

status() { # NAME
	http --max-time 120 "$url/v2/$1/manifests/latest"
}

served() { # NAME...
	local name
	for name; do
		is "$(status "$name")" 200 "$name is served"
	done
}

refused() { # NAME PATTERN [STATUS CODE]
	is "$(status "$1") $(jq -r '.errors[0].code' "$tmp/body")" \
		"${3:-403} ${4:-DENIED}" "$1 is refused"
	like "$(jq -r '.errors[0].message' "$tmp/body")" "$2" "since: $2"
}

packed() { metric firn_layers_packed_total; }

export VAR=$tmp/var PORT
PORT=$(free_port)
export PKGS=$top/tests/pkgs
host=localhost:$PORT
url=http://$host

sandbox() { # what the log says of it, when it says it
	await grep -q '"event":"nix.sandbox"' "$VAR/firn.log"
	jq -r 'select(.event == "nix.sandbox") | .level + " " + .state +
		" " + (.builders // "-")' "$VAR/firn.log"
}

# --- laxer days

restart FIRN_ALLOW_UNFREE=1 FIRN_ALLOW_INSECURE=1 FIRN_ALLOW_BROKEN=1
like "$(sandbox)" '^(info on -|warn off .*)$' "it says whether builders are confined"
served unfreepkg insecurepkg brokenpkg openssl hello curl
hello=$(manifest_digest hello)
unfree=$(manifest_digest unfreepkg)

restart FIRN_DENY='openssl, xorg.*'
refused unfreepkg 'does not serve unfree packages'
refused insecurepkg 'known vulnerabilities'
refused brokenpkg 'broken packages are not served'
refused openssl 'does not serve openssl'
refused openssl.dev 'does not serve openssl.dev'
refused hello/xorg.xev 'does not serve xorg.xev'
is "$(manifest_digest hello)" "$hello" "what is allowed still is the same"
is "$(packed)" 0 "and nothing was packed again"
is "$(curl -sS -o /dev/null -w '%{http_code}' \
	"$url/v2/unfreepkg/manifests/$unfree")" 200 \
	"who knows the digest of what was made gets it"

mkdir "$tmp/bare"
printf 'substituters =\nsandbox = false\n' > "$tmp/bare/nix.conf"
restart NIX_CONF_DIR="$tmp/bare"
if [ "$(id -u)" -eq 0 ] && [ "${NIX_REMOTE:-}" != daemon ] &&
	! getent group nixbld >/dev/null; then
	is "$(sandbox)" "warn off root" "it warns of builders that are root"
else
	skip "a warning of builders that are root" "they are not, here"
fi

restart FIRN_ALLOW='hello jq bashinteractive core*'
served hello jq/hello
refused curl 'does not serve curl'
refused hello/curl 'does not serve curl'
refused shell/hello 'does not serve moreutils'

# One package leads to others, and may have several names.
cat > "$tmp/inside.nix" <<-'END'
	final: prev: {
	  tool = prev.jq // { pkgs = final; };
	  greeter = prev.hello;
	}
END
restart FIRN_OVERLAYS="$tmp/inside.nix" FIRN_ALLOW='tool, nano'
served tool nano
refused tool.pkgs.hello 'does not serve tool.pkgs.hello'
refused tool.pkgs.openssl.dev 'does not serve tool.pkgs.openssl.dev'
restart FIRN_OVERLAYS="$tmp/inside.nix" \
	FIRN_DENY='hello, openssl, bashInteractive'
served tool
refused pkgs.hello 'does not serve pkgs.hello'
refused pkgs.pkgs.openssl 'does not serve pkgs.pkgs.openssl'
refused greeter 'does not serve greeter'
refused tool/bash 'does not serve bash'

# --- limits

restart FIRN_MAX_CLOSURE_SIZE=10M FIRN_MAX_PACKAGES=2 FIRN_EVAL_MEMORY=64M \
	FIRN_SUBSTITUTES_ONLY=0
served hello
refused curl 'would hold [0-9.]+ MB, more than the 10.4 MB'
refused git/hello/jq 'lists 3 packages, more than the 2'
refused hungry 'needs more than 64 MiB of memory'
restart FIRN_BUILD_TIMEOUT=3
refused slow 'took longer than 3 s, the limit here for one image' 422 MANIFEST_UNKNOWN
await none_runs 'nix-store --realise.*slow-1\.0'
ok $? "whose build has ended"

restart FIRN_MAX_CLOSURE_PATHS=4 FIRN_SUBSTITUTES_ONLY=1
served hello
refused curl 'store paths, more than the 4'
refused failing 'is in no binary cache, and this registry does not build'

# --- overlays

write_overlay() { # TEXT
	cat > "$tmp/overlay/default.nix" <<-END
	final: prev: {
	  greeting = prev.stdenv.mkDerivation {
	    name = "greeting";
	    PATH = "\${prev.stdenv.tools}/bin";
	    args = [ "-euc" "mkdir -p \$out/share; echo '$1' > \$out/share/greeting" ];
	  };
	  hello = prev.jq;
	  spinning = let go = n: if builtins.foldl' (a: b: a + b) 0
	    (builtins.genList (x: x) 1000) < 0 then n else go n; in go 0;
	}
	END
	# As old as what is not being edited just now.
	sleep 2.1
}

mkdir "$tmp/overlay"
ln -s overlay "$tmp/link"
mark=$(date +%s%N)
write_overlay "one $mark"
restart FIRN_OVERLAYS="$tmp/link" FIRN_EVAL_TIMEOUT=2
refused spinning 'did not end within 2 s' 422 MANIFEST_UNKNOWN
restart FIRN_OVERLAYS="$tmp/link"
served greeting
one=$(manifest_digest greeting)
skopeo copy -q --src-tls-verify=false "docker://$host/greeting" \
	"dir:$tmp/image" 2>"$tmp/err"
ok $? "skopeo copies it" || sed 's/^/# /' "$tmp/err"
for blob in "$tmp/image"/*; do
	tar -xzOf "$blob" --wildcards '*/share/greeting' 2>/dev/null
done > "$tmp/greeting"
is "$(sort -u "$tmp/greeting")" "one $mark" "with what the overlay says in it"
[ "$(manifest_digest hello)" != "$hello" ]
ok $? "an overlay replaces a package that was served before"

touch "$tmp/overlay/default.nix"
sleep 2.1
is "$(manifest_digest greeting)" "$one" "a touched overlay: the same digest"
write_overlay "two $mark"
two=$(manifest_digest greeting)
[ -n "$two" ] && [ "$two" != "$one" ]
ok $? "an edited one: another digest"
is "$(manifest_digest greeting)" "$two" "which stays"
printf 'final: prev: { worse = }\n' > "$tmp/overlay/default.nix"
sleep 2.1
refused jq 'package set' 422 MANIFEST_UNKNOWN
rm "$tmp/overlay/default.nix" "$tmp/link"
sleep 2.1
is "$(status jq)" 500 "an overlay that is gone is the operator's to mend"
! grep -q "$tmp" "$tmp/body"
ok $? "and no client learns where it was"

restart FIRN_OFFLINE=0
refused greeting 'no package greeting' 404 MANIFEST_UNKNOWN
is "$(manifest_digest hello)" "$hello" "without overlays all is as it was"
finish
