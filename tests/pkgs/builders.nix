# SPDX-License-Identifier: Apache-2.0
#
# nixpkgs' small builders, as far as image building uses them.  They run the
# set's own bash and coreutils, so they build only for the machine itself.
{ lib, stdenv, pkgs }:
let
  inherit (stdenv) mkDerivation;
  inherit (pkgs) bashInteractive coreutils findutils gnutar;
in
rec {
  runCommand = name: env: command: mkDerivation ({
    inherit name;
    buildCommand = command;
    builder = "${bashInteractive}/bin/bash";
    PATH = lib.concatStringsSep ":" (map (p: "${p}/bin") [ coreutils findutils gnutar ]);
    args = [ "-ec" ''for input in ''${buildInputs-}; do PATH=$PATH:$input/bin; done; eval "$buildCommand"'' ];
  } // env // lib.optionalAttrs (env ? builder) {
    # As in nixpkgs: a script for bash, not a program.
    builder = "${bashInteractive}/bin/bash";
    args = [ "-e" env.builder ];
  });

  writeTextFile = { name, text, executable ? false, destination ? "" }: mkDerivation {
    inherit name text executable destination;
    passAsFile = [ "text" ];
    PATH = "${stdenv.tools}/bin";
    args = [ "-euc" ''
      file=$out$destination
      mkdir -p "$(dirname "$file")"
      cp "$textPath" "$file"
      chmod ''${executable:+a+x} a-w "$file"
    '' ];
  };
  writeText = name: text: writeTextFile { inherit name text; };
  writeShellScriptBin = name: text: writeTextFile {
    inherit name;
    text = "#!${bashInteractive}/bin/bash\n${text}";
    executable = true;
    destination = "/bin/${name}";
  };

  symlinkJoin = { name, paths, postBuild ? "" }: runCommand name { inherit paths; } ''
    mkdir -p $out
    for path in $paths; do
      cp -rsn --no-preserve=mode "$path/." $out/
    done
    ${postBuild}
  '';

  fetchurl = { url, sha256, name ? baseNameOf url }: derivation {
    inherit name url;
    urls = [ url ];
    system = "builtin";
    builder = "builtin:fetchurl";
    outputHash = sha256;
    outputHashAlgo = "sha256";
    outputHashMode = "flat";
    executable = false;
    unpack = false;
    preferLocalBuild = true;
  };
}
