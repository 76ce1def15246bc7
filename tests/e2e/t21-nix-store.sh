#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A Nix store of one's own, to be unkind to: collected without end, filled to
# the brim, and the registry killed over it.
if [ -z "${OWN_STORE:-}" ] && [ "$(id -u)" -eq 0 ] &&
	unshare -m true 2>/dev/null; then
	exec env OWN_STORE=1 unshare -m --propagation private "$0" "$@"
fi
. "$(dirname "$0")/lib.sh"
[ -n "${OWN_STORE:-}" ] || skip_all "only root may have a store of its own"
images=${IMAGES:-50}

# All of this is in our mount namespace and ends with it.
mount -t tmpfs -o size=3g tmpfs /nix || skip_all "nothing can be mounted here"
mkdir "$tmp/conf"
printf 'substituters =\nbuild-users-group =\n' > "$tmp/conf/nix.conf"
export NIX_CONF_DIR=$tmp/conf
unset NIX_REMOTE

# The offline set, with packages that nobody has built. Its other packages
# and its tools are held, or every build would begin with them.
cp -r "$top/tests/pkgs" "$tmp/set"
mv "$tmp/set/default.nix" "$tmp/set/base.nix"
cat > "$tmp/set/default.nix" <<-END
	args:
	let
	  add = final: prev: builtins.listToAttrs (builtins.genList (i: {
	    name = "fresh\${toString i}";
	    value = prev.stdenv.mkDerivation {
	      name = "fresh-$RANDOM-\${toString i}";
	      PATH = "\${prev.stdenv.tools}/bin";
	      needs = prev.stdenv.mkDerivation {
	        name = "needed-$RANDOM-\${toString i}";
	        PATH = "\${prev.stdenv.tools}/bin";
	        args = [ "-euc" "echo needed >\$out" ];
	      };
	      args = [ "-euc" "mkdir -p \$out/bin; cp \$needs \$out/bin/fresh" ];
	    };
	  }) ($images + 10)) // {
	    sleepy = prev.stdenv.mkDerivation {
	      name = "sleepy-$RANDOM";
	      PATH = "\${prev.stdenv.tools}/bin";
	      args = [ "-euc" "echo asleep; sleep 30; echo >\$out" ];
	    };
	    big = prev.stdenv.mkDerivation {
	      name = "big-$RANDOM";
	      PATH = "\${prev.stdenv.tools}/bin";
	      args = [ "-euc" "dd if=/dev/zero of=\$out bs=1M count=100" ];
	    };
	  };
	in
	import ./base.nix (args // { overlays = (args.overlays or [ ]) ++ [ add ]; })
END

FIRN_DEBS=${FIRN_DEBS:-$top/var/debs} "$tmp/set/prepare" --no-build --systems x86_64-linux > "$tmp/prepare.log" 2>&1 ||
	{ sed 's/^/# /' "$tmp/prepare.log"; skip_all "the set can't be prepared"; }
nix-build -o "$tmp/held" -E "with import $tmp/set { system = \"x86_64-linux\"; };
	[ stdenv.tools cacert iana-etc hello ]" > "$tmp/held.log" 2>&1
ok $? "what images need is held" || sed 's/^/# /' "$tmp/held.log"

unset FIRN_DEBS # no setting of the program
export PKGS=$tmp/set FIRN_MAX_BUILDS=2
registry_start || { ok 1 "the registry starts"; finish; }
roots=$VAR/storage/state/nix/roots

while [ ! -e "$tmp/stop" ]; do
	nix-store --gc 2>/dev/null | tail -n 1 >> "$tmp/collected"
done &
collector=$!
first=0 later=0 unclean=0
for ((i = 0; i < images; i++)); do
	for ((try = 0; try < 5; try++)); do
		status=$(http --max-time 120 "$url/v2/fresh$i/manifests/latest")
		[ "$status" = 200 ] && break
		grep -q '"errors":\[{"code"' "$tmp/body" || unclean=$((unclean + 1))
	done
	if [ "$status" = 200 ]; then
		if [ "$try" -eq 0 ]; then
			first=$((first + 1))
		else
			later=$((later + 1))
		fi
	fi
done
touch "$tmp/stop"
wait "$collector"
is $((first + later)) "$images" \
	"$images cold builds amid $(grep -c . "$tmp/collected") collections"
echo "# $first at once, $later after a retry"
is "$unclean" 0 "what failed, failed cleanly"
is "$(check_blobs "$VAR/storage")" "" "every blob is whole"
is "$(find "$roots" -type l | wc -l)" 0 "no root is left"

# Killed over a build.
curl -sS -o /dev/null "$url/v2/sleepy/manifests/latest" 2>/dev/null &
await pgrep -f 'echo asleep' > /dev/null
kill -KILL "$(registry_pid)"
wait $! 2>/dev/null
registry_stop
registry_start || { ok 1 "the registry starts after that"; finish; }
is "$(find "$roots" -mindepth 1 -maxdepth 1 | wc -l)" 1 \
	"after a kill only the roots of the one that runs are there"
is "$(http "$url/v2/hello/manifests/latest")" 200 "and it serves"

# A full disk: the client is told so. Of SQLite's disk I/O errors Nix does not
# say which they are: then it is "full or fails", with a 500.
full() { # IMAGE PATTERN-OF-THE-LOG NAME
	local reason
	like "$(http --max-time 120 "$url/v2/$1/manifests/latest") $(jq -r \
		'.errors[0].code' "$tmp/body")" '^50[03] UNAVAILABLE$' "$3"
	reason=$(tr -d '\r' < "$tmp/headers" |
		awk '/^HTTP/ { r = $0 } END { print r }')
	like "$(jq -r '.errors[0].message' "$tmp/body")" \
		'disk( of this registry)? is full' "  says so"
	like "$reason" 'disk( of this registry)? is full' "  in the reason phrase too"
	like "$(jq -r --arg image "$1" \
		'select(.event == "build.failed" and .image == $image) | .error' \
		"$VAR/firn.log" | tail -n 1)" "$2" "  and the log has the cause"
}
used=$(df --output=used -k /nix | tail -n 1)
mount -o remount,size=$((used + 20000))k /nix
full big 'the disk with the Nix store is full|the disk got full while big' \
	"a builder that finds the disk full"
head -c 30000000 /dev/zero > /nix/filler 2>/dev/null
full "fresh$images" 'the disk with the Nix store is full' \
	"Nix itself that finds it full"
rm /nix/filler
is "$(http --max-time 120 "$url/v2/fresh$images/manifests/latest")" 200 \
	"with room again it is built"
finish
