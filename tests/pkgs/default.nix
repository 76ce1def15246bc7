# SPDX-License-Identifier: Apache-2.0
#
# A package set shaped like nixpkgs, of programs that Debian compiled.  README.md
# says why and how; ./prepare makes what it reads from generated/.
{ localSystem ? { system = args.system or builtins.currentSystem; }
, system ? null
, crossSystem ? null
, config ? { }
, overlays ? [ ]
, crossOverlays ? [ ]
, ...
}@args:
let
  lib = import ./lib.nix;

  machines = {
    x86_64-linux = {
      debian = "amd64";
      triple = "x86_64-linux-gnu";
      loader = "ld-linux-x86-64.so.2";
      config = "x86_64-unknown-linux-gnu";
    };
    aarch64-linux = {
      debian = "arm64";
      triple = "aarch64-linux-gnu";
      loader = "ld-linux-aarch64.so.1";
      config = "aarch64-unknown-linux-gnu";
    };
  };
  # nixpkgs takes a system, { system = …; } or { config = the GNU name; }.
  systemOf = spec:
    if builtins.isString spec then spec
    else spec.system or (lib.head (lib.filter (s: machines.${s}.config == spec.config)
      (lib.attrNames machines) ++ [ spec.config ]));
  build = systemOf localSystem;
  host = if crossSystem == null then build else systemOf crossSystem;
  machine = machines.${host} or (throw "tests/pkgs: nothing here for system '${host}'");

  config' = if lib.isFunction config then config { inherit pkgs; } else config;
  locked =
    if builtins.pathExists ./generated/lock.json
    then builtins.fromJSON (builtins.readFile ./generated/lock.json)
    else throw "tests/pkgs: run ./prepare first";

  tools = import ./tools.nix { locked = locked.amd64; };
  stdenv = import ./stdenv.nix {
    inherit lib tools build host;
    config = config';
    # As nixpkgs marks what is not for the machine that builds it.
    suffix = lib.optionalString (host != build) "-${machine.config}";
  };
  table = import ./packages.nix { inherit lib pkgs; };
  packages = import ./debs.nix {
    inherit lib pkgs stdenv;
    inherit (table) names settings;
    inherit (machine) triple loader;
    locked = locked.${machine.debian}
      or (throw "tests/pkgs: run ./prepare with --systems ${host}");
  };

  base = final: packages // table.aliases // {
    inherit lib stdenv;
    inherit (stdenv) mkDerivation buildPlatform hostPlatform;
    inherit (lib) recurseIntoAttrs;
    pkgs = final;
    config = config';
    path = ./.;
    system = host;
    stdenvNoCC = stdenv;
    callPackage = f: given:
      let function = if lib.isFunction f then f else import f; in
      function (builtins.intersectAttrs (builtins.functionArgs function) final // given);
  }
  // import ./builders.nix { inherit lib stdenv; pkgs = final; }
  // import ./special.nix { inherit lib stdenv; pkgs = final; };

  pkgs = lib.fix (builtins.foldl' (lower: overlay: lib.extends overlay lower) base
    (overlays ++ lib.optionals (host != build) crossOverlays));
in
pkgs
