#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What is in an image: unpacked by umoci, entered by chroot.
. "$(dirname "$0")/lib.sh"
[ "$(id -u)" -eq 0 ] || skip_all "chroot needs root"
have umoci && have skopeo || skip_all "umoci or skopeo is not installed"

registry_start || { ok 1 "the registry starts"; finish; }
skopeo copy -q --src-tls-verify=false "docker://$host/shell/git/jq/curl" \
	"oci:$tmp/oci:latest" && umoci unpack --image "$tmp/oci:latest" \
	"$tmp/bundle" > "$tmp/umoci.log" 2>&1
ok $? "umoci unpacks it" || { sed 's/^/# /' "$tmp/umoci.log"; finish; }
root=$tmp/bundle/rootfs
env=$(jq -r '.config.Env[]' < <(skopeo inspect --config "oci:$tmp/oci:latest"))

inside() { # COMMAND...: in the image, with its environment and no network
	# shellcheck disable=SC2086
	unshare -m -n --propagation private sh -c 'mount --rbind /dev "$0/dev" 2>/dev/null
		exec env -i '"$(printf '%s ' $env)"'HOME=/root '"$(command -v chroot)"' "$0" "$@"' \
		"$root" "$@" 2>&1
}
mkdir -p "$root/dev"

out=$(inside bash -c 'git --version && echo {} | jq -c .')
like "$out" 'git version [0-9].*[{][}]' "git and jq run"
is "$(stat -c '%a %U' "$root/tmp")" "1777 root" "/tmp is 1777"
is "$(stat -c %a "$root/var/tmp")" 1777 "/var/tmp is 1777"
is "$(stat -c %a "$root/")" 755 "/ is 755 (nixery B12)"
is "$(stat -c %a "$root/nix/store")" 755 "/nix/store is 755"
inside test -x /bin/sh && inside test -x /usr/bin/env
ok $? "/bin/sh and /usr/bin/env resolve"
cert=$(sed -n 's/^SSL_CERT_FILE=//p' <<< "$env")
like "$(inside bash -c "mapfile -n 200 l < $cert; echo \"\${l[*]}\"")" \
	'BEGIN CERTIFICATE' \
	"certificates are where SSL_CERT_FILE says"
inside test -r /etc/ssl/certs/ca-certificates.crt
ok $? "and where Debian's programs look"
is "$(inside bash -c 'cd /tmp && git init -q r && cd r &&
	git -c user.name=a -c user.email=a@b commit -q --allow-empty -m hi &&
	git log --format=%s')" hi "git works"
like "$(inside curl --version)" '^curl ' "curl runs"
like "$(inside bash -c 'mapfile l < /etc/services; echo "${l[*]}"')" https \
	"/etc/services is there"
like "$(cat "$root/etc/passwd")" 'root:x:0:0:root:/root:/bin/sh' "/etc/passwd"
missing=$(skopeo inspect --config "oci:$tmp/oci:latest" |
	jq -r '.history[].comment' | tr ' ' '\n' | grep '^/nix/store' |
	while read -r p; do
		diff -rq --no-dereference "$p" "$root$p" || echo "$p"
	done)
is "$missing" "" "every store path is the same as in the store"

skopeo copy -q --src-tls-verify=false "docker://$host/hello" \
	"oci:$tmp/hello:latest" && umoci unpack --image "$tmp/hello:latest" \
	"$tmp/hello-bundle" > "$tmp/umoci.log" 2>&1
ok $? "an image without a shell"
[ ! -e "$tmp/hello-bundle/rootfs/bin/sh" ] &&
	[ ! -L "$tmp/hello-bundle/rootfs/usr/bin/env" ]
ok $? "has no dangling /bin/sh and /usr/bin/env (nixery B12)"
finish
