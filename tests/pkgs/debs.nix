# SPDX-License-Identifier: Apache-2.0
#
# From the lock to packages: which .debs make one, and what it depends on.
#
# Debian builds all its binary packages of one source together, so that is what
# makes one package here: libssl3, libssl-dev and openssl are `openssl`, in every
# release, whatever the library is called in it.  Dependencies are Debian's own.
{ lib, pkgs, stdenv, locked, names, settings, triple, loader }:
let
  inherit (builtins) attrNames concatMap elemAt filter head isString match;

  # The package of the set, as an attribute path, that a .deb belongs to.
  packageOf = lib.genAttrs (attrNames locked) (deb:
    let
      source = locked.${deb}.source;
      rule = filter (r: match (head r) "${source}/${deb}" != null) names.byPattern;
    in
    names.bySource.${source}
      or (if rule == [ ] then source else elemAt (head rule) 1));
  members = lib.groupBy (deb: packageOf.${deb}) (attrNames locked);

  # 1:2.39.5-0+deb12u3 is 2.39.5 for everyone but Debian.
  upstreamVersion = debian:
    let
      noEpoch = lib.last (match "([0-9]+:)?(.*)" debian);
      really = match ".*\\+really([^-+~]*).*" noEpoch;
    in
    if really != null then head really
    else lib.head (lib.splitString ".dfsg" (head (match "([^-+~]*).*" noEpoch)));

  fetch = import ./fetch.nix;

  find = path: lib.attrByPath (lib.splitString "." path) (throw "no package ${path}") pkgs;

  package = path:
    let
      here = members.${path};
      deps = filter (p: p != path)
        (lib.unique (map (deb: packageOf.${deb}) (concatMap (deb: locked.${deb}.depends) here)));
      # The .deb whose version and description are the package's.
      namesakes = filter (deb: deb == locked.${deb}.source) here;
      main = locked.${own.main or (head (namesakes ++ here))};
      own = settings.${path} or { };
      first = lib.last (lib.splitString "." path);
      # bash and what it is made of cannot have it; all others may.
      bare = lib.elem path names.bare;
    in
    stdenv.mkDerivation ({
      pname = first;
      version = upstreamVersion main.version;
      args = [ ./build-deb.sh ];
      PATH = "${stdenv.tools}/bin";
      debs = map (deb: fetch locked.${deb}) here;
      deps = concatMap (p: filter (o: lib.elem o.outputName [ "out" "bin" ]) (find p).all)
        (lib.optionals (path != "glibc") deps);
      shell = lib.optionalString (!bare) "${pkgs.bashInteractive}/bin/bash";
      loader = lib.optionalString (path != "glibc") "${pkgs.glibc.out}/lib/${loader}";
      inherit triple;
    } // removeAttrs own [ "main" "meta" ] // {
      meta = {
        description = main.description;
        homepage = main.homepage;
      } // own.meta or { };
    });

  paths = attrNames members;
  nested = lib.groupBy (path: head (lib.splitString "." path))
    (filter (path: match ".*\\..*" path != null) paths);
in
# Every package that the lock has the .debs of, in sets as its path says.
lib.genAttrs (filter (path: match ".*\\..*" path == null) paths) package
// builtins.mapAttrs
  (_: inside: lib.recurseIntoAttrs (builtins.listToAttrs (map
    (path: { name = lib.last (lib.splitString "." path); value = package path; })
    inside)))
  nested
