# SPDX-License-Identifier: Apache-2.0
#
# The packages that build and behave: what ./prepare builds, every output.
{ system ? builtins.currentSystem, systems ? [ system ] }:
let
  of = system:
    let pkgs = import ./. { inherit system; }; in with pkgs; [
      _7zz bashInteractive cacert coreutils curl dash file findutils gawk git
      glibc gnugrep gnused gnutar hello htop iana-etc jq less moreutils nano
      ncurses openssl perl python3 ripgrep sqlite tini tree tzdata zlib
      haskellPackages.ShellCheck haskellPackages.hlint
      python3Packages.requests xorg.xev
    ] ++ pkgs.shapes;
in
builtins.concatMap (pkg: pkg.all) (builtins.concatMap of systems)
