# SPDX-License-Identifier: Apache-2.0
#
# shellcheck shell=bash
# For scripts here: nix_options, an array of what every Nix command gets so that
# it works offline, as root without build users, and with the sandbox if at all
# possible.  Nix 2.3 reads no NIX_CONFIG, hence options.

nix_options=(
	--option substituters ""
	# arm64 packages are only packed: their builder is an x86 program.
	--option extra-platforms aarch64-linux
)

# A machine where Nix is only a package has no group of build users.
if [ "$(id -u)" = 0 ] && ! getent group nixbld >/dev/null; then
	nix_options+=(--option build-users-group "")
fi

if [ "$(id -u)" = 0 ]; then as_user=(); else as_user=(--user --map-root-user); fi
if unshare "${as_user[@]}" --mount --net --pid --ipc --uts --fork \
	true 2>/dev/null; then
	nix_options+=(--option sandbox true)
else
	echo "tests/pkgs: no namespaces here, Nix builds without its sandbox" >&2
	nix_options+=(--option sandbox false)
fi
