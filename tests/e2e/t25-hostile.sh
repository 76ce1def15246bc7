#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Names and tags that mean harm (t25-hostile.table), through nginx and as
# FastCGI: each gets a 4xx with a cause, in bounded time; and of the package
# set nothing is evaluated but what was asked for.
. "$(dirname "$0")/lib.sh"
have git || skip_all "git is not installed"

mkdir "$tmp/conf" "$tmp/cwd"
printf 'substituters =\n' > "$tmp/conf/nix.conf"
export NIX_CONF_DIR=$tmp/conf FIRN_LOG_LEVEL=debug FIRN_NIX_TIMEOUT=5
export FIRN_EVAL_TIMEOUT=3 FIRN_EVAL_MEMORY=500M
unset PKGS
secret=secret-$RANDOM$RANDOM
echo "$secret" > "$tmp/secret"
echo "\"$secret\"" > "$tmp/secret.nix"
export SECRET=$secret

# The offline set, with packages to be asked for, and those that must not be
# looked at while others are.
cp -r "$top/tests/pkgs" "$tmp/set"
mv "$tmp/set/default.nix" "$tmp/set/base.nix"
cat > "$tmp/set/default.nix" <<-END
	args: import ./base.nix (args // {
	  overlays = (args.overlays or [ ]) ++ [ (import ./traps.nix) ];
	})
END
cat > "$tmp/set/traps.nix" <<-END
	final: prev:
	let
	  canary = what: value: builtins.trace "CANARY \${what}" value;
	  inherit (builtins) genList listToAttrs foldl' toString;
	  script = name: text: prev.stdenv.mkDerivation {
	    inherit name;
	    PATH = "\${prev.stdenv.tools}/bin";
	    args = [ "-euc" text ];
	  };
	  plain = script "plain" "echo plain >\$out";
	  big = c: foldl' (s: n: s + s) c (genList (n: n) 22);
	  fake = {
	    type = "derivation";
	    name = "fake";
	    outputs = [ "out" ];
	    outputName = "out";
	  };
	in
	{
	  # Asked for at the end, to see that it would have been noticed.
	  noticed = canary "noticed" plain;
	  # Never asked for: nobody may want its value, not even its type.
	  bystander = canary "bystander" (abort "bystander");
	  traps = {
	    bystander = canary "bystander in traps" (abort "bystander");
	    throws = throw "no";
	    aborts = abort "no";
	    itself = final.traps.itself;
	    mutual = let a = b // { }; b = a // { }; in a;
	    deep = let f = n: 1 + f (n + 1); in f 0;
	    memory = foldl' (all: x: all ++ all) [ 1 2 3 ] (genList (n: n) 64);
	    string = script (big (big "a")) "";
	    json = script (builtins.toJSON
	      (foldl' (x: n: [ x x ]) (big "a") (genList (n: n) 40))) "";
	    wide = listToAttrs (genList
	      (n: { name = "member-of-a-very-wide-set-\${toString n}"; value = 1; }) 200000);
	    manynames = listToAttrs (genList
	      (n: { name = "<script>\${toString n}</script>"; value = canary "member" 1; }) 20);
	    traps = final.traps;
	    loop = final.traps;
	    secret = script (builtins.readFile $tmp/secret) "";
	    secretpath = script "x\${$tmp/secret}" "";
	    secretdir = script (toString (builtins.attrNames (builtins.readDir $tmp))) "";
	    secretname = plain // { name = builtins.readFile "$tmp/secret"; };
	    environment = throw "E\${builtins.getEnv "SECRET"}\${builtins.getEnv "HOME"}E";
	    imports = import $tmp/secret.nix;
	    findfile = import <nixpkgs>;
	    storepath = builtins.storePath "/etc";
	    fetchurl = import (builtins.fetchurl "http://127.0.0.1:1/canary");
	    fetchtarball = import (builtins.fetchTarball "file://$tmp/canary.tar.gz");
	    fetchgit = import (builtins.fetchGit $tmp);
	    getflake = builtins.getFlake "path:$tmp";
	    exec = builtins.exec [ "touch" "$tmp/cwd/canary" ];
	    builds = import (script "builds" "echo canary >\$out");
	    header = throw "a\r\nX-Canary: 1\r\n\r\n<b>";
	    terminal = throw "a\t\r[2J";
	    markup = throw "<script>alert(1)</script>";
	    bigerror = throw (big "error ");
	    oddname = plain // { name = "a/../b\nc"; drvPath = throw "odd"; };
	    endlessoutputs = plain // { meta.outputsToInstall =
	      let f = n: [ n ] ++ f n; in f "x"; };
	    drvofother = plain // { drvPath = "/nix/store/../../etc/passwd"; };
	    drvlist = plain // { drvPath = [ plain ]; };
	    nesteddrv = fake // { drvPath = fake; outPath = fake; };
	    function = canary: canary "function" abort;
	    pattern = { a, b ? canary "default" 1 }: canary "pattern" a;
	    functor = { __functor = self: x: canary "functor" x; };
	    path = $tmp/secret;
	    huge = 9223372036854775807;
	  };
	}
END

# TAP of the lines of the table.
ask() { # WHERE[,WHERE]
	local line socket=$VAR/run/firn.sock
	[ -S "$socket" ] || socket=${XDG_RUNTIME_DIR:-/tmp}/firn-$(id -u)-$PORT.sock
	while IFS= read -r line; do
		case $line in
		"ok "*) ok 0 "${line#ok }" ;;
		"not ok "*)
			ok 1 "$(cut -f 1 <<< "${line#not ok }")"
			cut -f 2- <<< "# $line"
			;;
		*) echo "# ${line#\# }" ;;
		esac
	done < <("$top/tests/support/hostile.py" "$top/tests/e2e/t25-hostile.table" "$1" \
		"$PORT" "$socket" "$url/metrics" 2>&1)
}

unharmed() { # what holds after it all
	is "$(http "$url/v2/hello/manifests/latest")" 200 "it still serves"
	is "$(find "$tmp/cwd" "$tmp" "$top" -maxdepth 1 -name '*canary*')" "" \
		"no command was run"
	! grep -q CANARY "$VAR/firn.log"
	ok $? "nothing was evaluated but what was asked for"
	! grep -rqF "$secret" "$VAR/firn.log" "$VAR/storage" 2>/dev/null
	ok $? "no file was read but the set's"
	is "$(find "$VAR/storage/state/nix/roots" -type l | wc -l)" 0 \
		"no root is left"
}

cd "$tmp/cwd" || exit 1
export PKGS=$tmp/set
registry_start || { ok 1 "the registry starts"; finish; }
# What every image has is built before.
is "$(http "$url/v2/hello/manifests/latest")" 200 "an image"
ask name,trap,tag,path
unharmed
is "$(http "$url/v2/noticed/manifests/latest")" 200 "what may be evaluated"
grep -q 'CANARY noticed' "$VAR/firn.log"
ok $? "is noticed when it is"
registry_stop

# --- a repository: what no branch or tag leads to is not to be had either
git_set() { git -C "$tmp/set" -c user.name=n -c user.email=e@example.org "$@"; }
git_set init -q -b trunk
git_set add -A -f
git_set commit -qm one
git clone -q --bare "$tmp/set" "$tmp/set.git"
git_set commit -q --allow-empty -m hidden
hidden=$(git_set rev-parse HEAD)
git_set push -q "$tmp/set.git" HEAD:refs/pull/1/head HEAD:refs/heads/gone
git -C "$tmp/set.git" branch -q -D gone
git -C "$tmp/set.git" config uploadpack.allowAnySHA1InWant true

unset PKGS
export VAR=$tmp/var-git
REPO=file://$tmp/set.git registry_start || { ok 1 "a repository"; finish; }
ask ref
for ref in "$hidden" "${hidden:0:10}"; do
	is "$(http "$url/v2/hello/manifests/$ref")" 404 \
		"a commit that is on no branch: $ref"
done
unharmed
registry_stop

# --- a channel: the tag is part of an address
export VAR=$tmp/var-tar
mkdir "$tmp/tar"
git_set archive --prefix=set/ -o "$tmp/tar/stable.tar.gz" trunk
cp "$tmp/tar/stable.tar.gz" "$tmp/secret.tar.gz"
CHANNEL=stable FIRN_CHANNEL_URL="file://$tmp/tar/%s.tar.gz" \
	registry_start || { ok 1 "a channel"; finish; }
ask ref
unharmed
finish
