# SPDX-License-Identifier: Apache-2.0
#
# What every builder runs: busybox and patchelf, always for the machine that
# builds.  The seed is one static program that ./prepare took out of its .deb.
{ locked }:
let
  seed = builtins.path {
    path = ./generated/seed;
    name = "busybox-seed";
    # Saves every evaluation from hashing the program again.
    sha256 = builtins.head (builtins.match "([0-9a-z]+)\n?"
      (builtins.readFile ./generated/seed.sha256));
  };
in
derivation {
  name = "pkgs-tools";
  system = "x86_64-linux";
  builder = "${seed}/bin/busybox";
  debs = map (deb: import ./fetch.nix locked.${deb}) ([ "patchelf" ] ++ locked.patchelf.depends);
  inherit seed;
  args = [
    "sh"
    "-euc"
    ''
      busybox=$seed/bin/busybox
      $busybox mkdir -p $out/bin $out/lib
      $busybox cp $busybox $out/bin/
      for applet in $($busybox --list); do
        [ $applet = busybox ] || $busybox ln -s busybox $out/bin/$applet
      done

      PATH=$out/bin
      for deb in $debs; do
        ar p $deb data.tar.xz | tar -xJof -
      done
      # Debian is in the middle of moving /lib to /usr/lib.
      find . -name '*.so.*' -exec cp -f {} $out/lib/ \;
      loader=$out/lib/ld-linux-x86-64.so.2
      chmod +x $loader
      cp usr/bin/patchelf new
      # RPATH, since RUNPATH would not do for what libstdc++ itself loads.
      $loader --library-path $out/lib usr/bin/patchelf \
        --set-interpreter $loader --force-rpath --set-rpath $out/lib new
      cp new $out/bin/patchelf
      # Of the C library only what patchelf loads.
      for lib in $out/lib/*; do
        case $lib in
        *.py) rm $lib ;;
        */ld-linux* | */libc.so* | */libm.so* | */libstdc++* | */libgcc_s*) ;;
        *) rm $lib ;;
        esac
      done
      # Better here than for every program that is silently left as it was.
      patchelf --version
    ''
  ];
}
