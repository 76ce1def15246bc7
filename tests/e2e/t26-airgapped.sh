#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Without a network: an empty Nix store, a package set in a tarball, a
# repository or a directory, a binary cache in a directory; images for both
# architectures come of it. What isn't in the cache is named.
if [ -z "${NO_NETWORK:-}" ] && [ "$(id -u)" -eq 0 ] &&
	unshare -m -n true 2>/dev/null; then
	exec env NO_NETWORK=1 unshare -m -n --propagation private "$0" "$@"
fi
. "$(dirname "$0")/lib.sh"
[ -n "${NO_NETWORK:-}" ] || skip_all "only root can take the network away"
have git || skip_all "git is not installed"
# nginx and its clients are on the loopback device, which is down at first.
python3 -c 'import fcntl, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sh22x", b"lo", 0x41))'

mkdir "$tmp/conf"
export NIX_CONF_DIR=$tmp/conf
unset NIX_REMOTE PKGS
printf '%s\n' 'substituters =' 'build-users-group =' > "$tmp/conf/nix.conf"

# --- on a machine that has the packages: a set, and a cache of some of it
cp -r "$top/tests/pkgs" "$tmp/set"
git_set init -q -b trunk
git_set add -A -f
git_set commit -qm set
git clone -q --bare "$tmp/set" "$tmp/set.git"
mkdir "$tmp/tar"
git_set archive --prefix=set/ -o "$tmp/tar/stable.tar.gz" trunk

cached='with pkgs; [ hello htop cacert iana-etc ]'
for system in x86_64-linux aarch64-linux; do
	nix-build --no-out-link --option extra-platforms aarch64-linux -E \
		"let pkgs = import $tmp/set { system = \"$system\"; }; in
		builtins.concatMap (p: p.all) ($cached)" \
		>> "$tmp/paths" 2> "$tmp/build.log" ||
		{ sed 's/^/# /' "$tmp/build.log"; skip_all "the set can't be built"; }
done
nix-store --generate-binary-cache-key test-1 "$tmp/secret" "$tmp/public"
make_cache() { # DIR PATH...
	local dir=$1
	shift
	nix --extra-experimental-features nix-command copy --to \
		"file://$dir?compression=none&secret-key=$tmp/secret" "$@" \
		2> "$tmp/copy.log" || sed 's/^/# /' "$tmp/copy.log"
}
mapfile -t paths < "$tmp/paths"
make_cache "$tmp/cache" "${paths[@]}"
x86_hello=$(grep -m 1 -e '-hello-[0-9.]*$' "$tmp/paths")
arm_hello=$(grep -e '-hello-[0-9.]*$' "$tmp/paths" | tail -n 1)

# --- and one that has nothing
empty_store() {
	! mountpoint -q /nix || umount -l /nix
	mount -t tmpfs -o size=2g tmpfs /nix
}
empty_store || skip_all "nothing can be mounted here"
cat > "$tmp/conf/nix.conf" <<-END
	build-users-group =
	substituters = file://$tmp/cache https://cache.example.org/
	trusted-public-keys = $(cat "$tmp/public")
END
export FIRN_OFFLINE=1 FIRN_HOLD=60 FIRN_PLATFORMS=linux/amd64,linux/arm64
if have strace; then
	cat > "$tmp/traced" <<-END
		#!/bin/sh
		exec strace -A -D -f -qq -o $tmp/trace -e trace=execve,%network \
			$top/build/firn-fcgi
	END
	chmod 755 "$tmp/traced"
	export PROGRAM=$tmp/traced
fi

# The machine of the first ELF file below DIR in an image: 62 x86_64, 183 arm.
machine_of() { # NAME FILE
	local layer
	http -H "Accept: application/vnd.oci.image.manifest.v1+json" \
		"$url/v2/$1/manifests/latest" > /dev/null
	cp "$tmp/body" "$tmp/manifest"
	for layer in $(jq -r '.layers[].digest' "$tmp/manifest"); do
		http "$url/v2/$1/blobs/$layer" > /dev/null
		tar -xzOf "$tmp/body" --wildcards "*/$2" > "$tmp/elf" 2>/dev/null &&
			break
	done
	od -An -j18 -N2 -tu2 "$tmp/elf" | tr -d ' '
}
built_here() { # outputs that were built and not fetched
	sqlite3 -readonly /nix/var/nix/db/db.sqlite \
		"select count(*) from ValidPaths
		 where ultimate and path not like '%.drv'"
}

export VAR=$tmp/var-tar
CHANNEL=stable FIRN_CHANNEL_URL="file://$tmp/tar/%s.tar.gz" \
	registry_start || { ok 1 "the registry starts"; finish; }
like "$(manifest_digest amd64/hello)" '^sha256:' "a tarball: an image" ||
	head -c 500 "$tmp/body"
layers() { jq -c '[.layers[].digest]' "$tmp/body"; }
tarball=$(layers)
is "$(machine_of amd64/hello bin/hello)" 62 "  of x86_64"
is "$(http "$url/v2/arm64/htop/hello/manifests/latest")" 200 \
	"one for arm64, of which nothing can be built here"
is "$(jq -r .config.digest "$tmp/body" | xargs -I% curl -sS \
	"$url/v2/arm64/htop/hello/blobs/%" | jq -r .architecture)" arm64 "  it says so"
is "$(machine_of arm64/htop/hello bin/hello)" 183 "  and so do its programs"
[ -e "$arm_hello" ]
ok $? "  from the path of arm64"
if have sqlite3; then
	is "$(built_here)" 0 "nothing was built"
else
	skip "nothing was built" "sqlite3 is not installed"
fi

# What the cache lacks.
is "$(http "$url/v2/amd64/jq/manifests/latest")" 422 "what the cache lacks: 422"
like "$(cat "$tmp/body")" 'missing here, and this registry downloads nothing: [a-z]' \
	"  and what is missing is named"
like "$(head -n 1 "$tmp/headers")" 'missing here' "  in the reason phrase too"
is "$(http "$url/v2/hello/manifests/other")" 404 "a channel that isn't there"
registry_stop

# A path of a closure that is gone from the cache.
empty_store
grep -l '^StorePath: .*-glibc-' "$tmp"/cache/*.narinfo |
	while read -r info; do mv "$info" "$info.gone"; done
export VAR=$tmp/var-gone PKGS=$tmp/set
registry_start || { ok 1 "the registry starts again"; finish; }
is "$(http "$url/v2/amd64/hello/manifests/latest")" 422 \
	"a path of the closure is not in the cache"
like "$(cat "$tmp/body")" '1 path is missing here.*: glibc' "  is named"
for info in "$tmp"/cache/*.gone; do mv "$info" "${info%.gone}"; done
registry_stop

# --- a cache that holds another processor's programs under a path of arm64
empty_store
info_of() { local name=${1##*/}; echo "$tmp/cache/${name%%-*}.narinfo"; }
cp "$(info_of "$arm_hello")" "$tmp/narinfo"
sed -e "s|^StorePath: .*|StorePath: $arm_hello|" -e '/^Sig: /d' \
	"$(info_of "$x86_hello")" > "$(info_of "$arm_hello")"
cp "$tmp/conf/nix.conf" "$tmp/nix.conf"
echo 'require-sigs = false' >> "$tmp/conf/nix.conf"
export VAR=$tmp/var-lie
registry_start || { ok 1 "the registry starts again"; finish; }
is "$(http "$url/v2/arm64/hello/manifests/latest")" 403 \
	"a cache that has x86_64 under a path of arm64: no image"
like "$(cat "$tmp/body")" \
	'hello-[0-9.]+ holds programs for another processor than aarch64' "  is told"
is "$(http "$url/v2/amd64/hello/manifests/latest")" 200 "  x86_64 is served"
registry_stop
cp "$tmp/narinfo" "$(info_of "$arm_hello")"
cp "$tmp/nix.conf" "$tmp/conf/nix.conf"

# --- the same from a directory, and a repository
empty_store
export VAR=$tmp/var-dir
registry_start || { ok 1 "a directory"; finish; }
manifest_digest amd64/hello > /dev/null
is "$(layers)" "$tarball" "a directory: the same layers"
registry_stop
unset PKGS
empty_store
export VAR=$tmp/var-git
REPO=file://$tmp/set.git registry_start || { ok 1 "a repository"; finish; }
manifest_digest amd64/hello > /dev/null
is "$(layers)" "$tarball" "a repository: the same layers"
is "$(http "$url/v2/amd64/hello/manifests/trunk")" 200 "  its branch"
registry_stop

# --- a flake that fetches while it is evaluated, and a machine to build on:
# neither is asked
empty_store
(cd "$tmp/tar" && exec python3 -u -m http.server -b 127.0.0.1 8099) \
	> "$tmp/http.log" 2>&1 &
server=$!
mkdir "$tmp/bin"
printf '#!/bin/sh\necho "$@" >> %s\nexit 1\n' "$tmp/ssh.log" > "$tmp/bin/ssh"
chmod 755 "$tmp/bin/ssh"
cat > "$tmp/set/flake.nix" <<-'END'
	{
	  outputs = { self }: let url = "http://127.0.0.1:8099/stable.tar.gz"; in {
	    legacyPackages.x86_64-linux = import ./. { system = "x86_64-linux"; } // {
	      fetching = import (builtins.fetchTarball {
	        inherit url;
	        sha256 = "0000000000000000000000000000000000000000000000000000";
	      });
	      cloning = import (builtins.fetchGit {
	        inherit url;
	        rev = "0123456789012345678901234567890123456789";
	      });
	      built = derivation {
	        name = "built";
	        system = "x86_64-linux";
	        builder = "/bin/sh";
	        args = [ "-c" "echo $PATH > $out" ];
	      };
	    };
	  };
	}
END
mkdir "$tmp/set/bare"
echo '{ outputs = { self }: { legacyPackages.x86_64-linux.hello = "hello"; }; }' \
	> "$tmp/set/bare/flake.nix"
git_set add -A -f
git_set commit -qm flake
await curl -sS -o /dev/null http://127.0.0.1:8099/ready 2> /dev/null
echo 'builders = ssh://nobody@builder.example.org x86_64-linux - 4 9' \
	>> "$tmp/conf/nix.conf"
export VAR=$tmp/var-flake
http_proxy='' no_proxy='*' PATH=$tmp/bin:$PATH FIRN_PLATFORMS=linux/amd64 \
	FIRN_PKGS_FLAKE=git+file://$tmp/set registry_start ||
	{ ok 1 "a flake"; finish; }
is "$(http "$url/v2/hello/manifests/latest")" 200 "a flake: an image"
for name in fetching cloning; do
	is "$(http "$url/v2/$name/manifests/latest")" 422 \
		"a package that is $name something"
	like "$(cat "$tmp/body")" 'needs a download, and this registry is offline' \
		"  is told why"
done
is "$(grep stable "$tmp/http.log")" "" "  the server was not asked"
http "$url/v2/built/manifests/latest" > /dev/null
is "$(cat "$tmp/ssh.log" 2>/dev/null)" "" "no other machine is asked to build"
is "$(http "$url/v2/arm64/hello/manifests/latest")" 404 "a flake without arm64"
like "$(cat "$tmp/body")" 'the package set has nothing for aarch64-linux' \
	"  is told so"
registry_stop
FIRN_PLATFORMS=linux/amd64 FIRN_PKGS_FLAKE="git+file://$tmp/set?dir=bare" \
	registry_start || { ok 1 "a flake"; finish; }
is "$(http "$url/v2/hello/manifests/latest")" 404 "a set of one package"
like "$(cat "$tmp/body")" 'has no cacert, which every image needs' \
	"  is told what is wrong with it"
registry_stop
kill "$server"
cp "$tmp/nix.conf" "$tmp/conf/nix.conf"

# --- who is on the network, although it is not to be used
export VAR=$tmp/var-net
CHANNEL=stable FIRN_CHANNEL_URL=http://packages.example.org/%s.tar.gz \
	registry_start || { ok 1 "the registry starts"; finish; }
is "$(http "$url/v2/hello/manifests/latest")" 503 "a set on the network: 503"
grep -q 'the network is not to be used, and the package set is at packages.example.org' \
	"$VAR/firn.log"
ok $? "  the log says why"
registry_stop
if have strace; then
	grep -q 'AF_UNIX' "$tmp/trace"
	ok $? "all system calls for the network were seen"
	# Nix looks at this machine's addresses, and brings up a sandbox's
	# own loopback: neither has a peer. Downloads go to port 9.
	is "$(grep 'sa_family=AF_INET' "$tmp/trace" |
		grep -v 'htons(9), sin_addr=inet_addr("127.0.0.1")')" "" \
		"  none was for another machine"
else
	skip "no system call for the network" "strace is not installed"
fi
finish
