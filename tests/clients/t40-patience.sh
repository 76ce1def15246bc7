#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A build that takes four minutes: every client pulls its image at the first
# try, all of them at once, with the holds and hops of the default settings.
. "$(dirname "$0")/lib.sh"
seconds=240
[ -n "${LONG:-}" ] || skip_all "it takes $seconds seconds (LONG=1)"

# Built anew each time: no store has it yet.
mkdir "$tmp/conf"
printf 'substituters =\n' > "$tmp/conf/nix.conf"
export NIX_CONF_DIR=$tmp/conf
cp -r "$top/tests/pkgs" "$tmp/set"
mv "$tmp/set/default.nix" "$tmp/set/base.nix"
cat > "$tmp/set/default.nix" <<-END
	args:
	import ./base.nix (args // {
	  overlays = (args.overlays or [ ]) ++ [
	    (final: prev: {
	      patient = prev.stdenv.mkDerivation {
	        name = "patient";
	        PATH = "\${prev.stdenv.tools}/bin";
	        args = [ "-euc" ''
	          sleep $seconds
	          mkdir -p \$out/bin
	          echo '$(basename "$tmp") $RANDOM' >\$out/bin/patient
	        '' ];
	      };
	    })
	  ];
	})
END
export PKGS=$tmp/set FIRN_NIX_TIMEOUT=$((seconds + 60))
registry_start || { ok 1 "the registry starts"; finish; }
tls_start || { ok 1 "nginx takes TLS"; cat "$tmp/tls/out"; finish; }
find_clients

# shellcheck disable=SC2317 # each_client runs it
pulls() { # CLIENT
	local dir=$tmp/pulled.$1 start=$EPOCHSECONDS status
	pull "$1" h2 patient:latest "$dir" > "$dir.out" 2>&1
	status=$?
	note "$1" "$status" "pulls it at its first try" ||
		quote "$1" "$(tail -n 3 "$dir.out")"
	quote "$1" "$1 waited $((EPOCHSECONDS - start)) s"
	# Another one may have begun to ask a little earlier.
	[ $((EPOCHSECONDS - start)) -ge $((seconds - 10)) ]
	note "$1" $? "  which took as long as the build"
}
each_client pulls

is "$(metric firn_builds_done_total)" 1 "there was one build"
is "$(http "$url/v2/patient/manifests/latest")" 200 "its image is there"
config=$(jq -r .config.digest "$tmp/body")
for client in "${clients[@]}"; do
	has "$client" "$tmp/pulled.$client" "$config"
	ok $? "$client has it"
done
hops=$(grep -c ' 307 ' "$tmp/tls/access.log")
[ "$hops" -ge $((${#clients[@]} * 8)) ]
ok $? "they were sent on $hops times"
finish
