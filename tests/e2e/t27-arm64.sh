#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The architecture that was asked for, or none: a package set that does not
# care, one that compiles for another processor, one that has both.
. "$(dirname "$0")/lib.sh"

mkdir "$tmp/conf"
printf 'substituters =\n' > "$tmp/conf/nix.conf"
export NIX_CONF_DIR=$tmp/conf FIRN_PLATFORMS=linux/amd64,linux/arm64
export FIRN_RESOLVE_TTL=0

# A set for whatever machine builds it, and one that is made on x86_64.
base=$top/tests/pkgs
for kind in deaf cross; do
	mkdir "$tmp/$kind"
	cp -r "$base" "$tmp/$kind/base"
done
echo '{ system, ... }: import ./base { system = "x86_64-linux"; }' \
	> "$tmp/deaf/default.nix"
cat > "$tmp/cross/default.nix" <<-END
	{ system, ... }: import ./base {
	  localSystem = "x86_64-linux";
	  crossSystem = system;
	}
END

machine_of() { # NAME FILE: what its ELF header says: 62 x86_64, 183 aarch64
	local layer
	for layer in $(jq -r '.layers[].digest' "$tmp/body"); do
		curl -sS "$url/v2/$1/blobs/$layer" | tar -xzOf - --wildcards \
			"*/$2" > "$tmp/elf" 2>/dev/null && break
	done
	od -An -j18 -N2 -tu2 "$tmp/elf" | tr -d ' '
}

export PKGS=$tmp/deaf
registry_start || { ok 1 "the registry starts"; finish; }
is "$(http "$url/v2/amd64/hello/manifests/latest")" 200 \
	"a set that knows x86_64 alone: amd64"
is "$(machine_of amd64/hello bin/hello)" 62 "  is x86_64"
is "$(http "$url/v2/arm64/hello/manifests/latest")" 403 "  arm64 is refused"
is "$(jq -r '.errors[0] | .code + ": " + .message' "$tmp/body")" \
	"DENIED: cacert is not available for aarch64-linux: the package set has it for x86_64-linux" \
	"  and told why"
registry_stop

export VAR=$tmp/var-cross PKGS=$tmp/cross
registry_start || { ok 1 "the registry starts"; finish; }
is "$(http "$url/v2/arm64/hello/manifests/latest")" 200 \
	"a set that is made on x86_64 for arm64"
is "$(machine_of arm64/hello bin/hello)" 183 "  gives aarch64"
config=$(http "$url/v2/arm64/hello/manifests/latest" > /dev/null
	jq -r .config.digest "$tmp/body")
is "$(curl -sS "$url/v2/arm64/hello/blobs/$config" | jq -r .architecture)" \
	arm64 "  and says so"
is "$(http "$url/v2/hello/manifests/latest")" 200 "both at once"
is "$(jq -r '[.manifests[].platform.architecture] | join(" ")' "$tmp/body")" \
	"amd64 arm64" "  in an index"
finish
