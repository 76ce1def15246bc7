# SPDX-License-Identifier: Apache-2.0
#
# mkDerivation, with the checks that nixpkgs makes before a package may be built
# and in the words that people know from there.
#
# build is the system that derivations name, host the one that packages run on.
{ lib, config, build, host, suffix, tools }:
let
  inherit (builtins) concatStringsSep elem getEnv head removeAttrs unsafeGetAttrPos;

  # nixpkgs looks at the environment too; in restricted mode it is empty.
  allows = option: variable: config.${option} or (getEnv variable == "1");

  position = attrs:
    let pos = unsafeGetAttrPos "meta" attrs; in
    if pos == null then "«unknown-file»" else "${pos.file}:${toString pos.line}";

  remedy = what: option: variable: ''

    a) For a single command, set ${variable}=1 in its environment
       to allow ${what} packages.

    b) For every one, set
         { ${option} = true; }
       in the configuration of the package set.
  '';
  listed = concatStringsSep "\n" ;
in
rec {
  inherit config tools;
  name = "stdenv-linux";
  system = build;
  shell = "${tools}/bin/sh";
  buildPlatform.system = build;
  hostPlatform.system = host;

  # The reason to refuse a package, or null: what `meta` says against `config`.
  objection = name: meta:
    let license = meta.license or { }; in
    if !(license.free or true) && !allows "allowUnfree" "NIXPKGS_ALLOW_UNFREE"
      && !(config.allowUnfreePredicate or (_: false) { inherit name meta; })
    then {
      reason = "has an unfree license (‘${license.shortName}’)";
      advice = remedy "unfree" "allowUnfree" "NIXPKGS_ALLOW_UNFREE";
    }
    else if meta.broken or false && !allows "allowBroken" "NIXPKGS_ALLOW_BROKEN"
    then {
      reason = "is marked as broken";
      advice = remedy "broken" "allowBroken" "NIXPKGS_ALLOW_BROKEN";
    }
    else if !(elem host (meta.platforms or [ host ]))
      && !allows "allowUnsupportedSystem" "NIXPKGS_ALLOW_UNSUPPORTED_SYSTEM"
    then {
      reason = ''
        is not available on the requested hostPlatform:
          hostPlatform.system = "${host}"
          package.meta.platforms = [
        ${listed (map (p: "    \"${p}\"") meta.platforms)}
          ]
          package.meta.badPlatforms = [ ]
      '';
      advice = remedy "unsupported" "allowUnsupportedSystem" "NIXPKGS_ALLOW_UNSUPPORTED_SYSTEM";
    }
    else if meta.knownVulnerabilities or [ ] != [ ]
      && !elem name (config.permittedInsecurePackages or [ ])
      && !allows "allowInsecure" "NIXPKGS_ALLOW_INSECURE"
    then {
      reason = "is marked as insecure";
      advice = ''


        Known issues:
        ${listed (map (v: " - ${v}") meta.knownVulnerabilities)}

        To install it nevertheless, add its name to permittedInsecurePackages:
          { permittedInsecurePackages = [ "${name}" ]; }
      '';
    }
    else null;

  # pname and version (or name), outputs, meta and passthru as in nixpkgs.
  # Everything else goes to the builder, which is busybox sh unless said.
  mkDerivation = attrs:
    let
      outputs = attrs.outputs or [ "out" ];
      name = attrs.name or "${attrs.pname}${suffix}-${attrs.version}";
      meta = {
        inherit name;
        available = problem == null;
        broken = false;
        insecure = meta.knownVulnerabilities or [ ] != [ ];
        unfree = !(meta.license.free or true);
        unsupported = !(elem host meta.platforms);
        platforms = [ "x86_64-linux" "aarch64-linux" ];
        position = position attrs;
        outputsToInstall = [
          (if elem "bin" outputs then "bin" else if elem "out" outputs then "out" else head outputs)
        ] ++ lib.optional (elem "man" outputs) "man";
      } // attrs.meta or { };
      problem = objection name meta;
      checked = value:
        if problem == null then value
        else throw "Package ‘${name}’ in ${position attrs} ${problem.reason}, refusing to evaluate.\n${problem.advice}";
      plain = derivation (
        { builder = shell; }
        // removeAttrs attrs [ "meta" "passthru" ]
        // { inherit name outputs; system = build; }
      );
      # Only the paths are behind the check: name and meta of a package that
      # may not be built can still be read, as in nixpkgs.
      output = outputName: plain.${outputName} // {
        inherit outputName outputs meta;
        stdenv = { inherit system shell buildPlatform hostPlatform; };
        drvPath = checked plain.${outputName}.drvPath;
        outPath = checked plain.${outputName}.outPath;
        all = map (o: byName.${o}) outputs;
        pname = attrs.pname or name;
        version = attrs.version or "";
        overrideAttrs = f: mkDerivation (attrs //
          (let g = f attrs; in if builtins.isFunction g then f attrs attrs else g));
      } // byName // attrs.passthru or { };
      byName = lib.genAttrs outputs output;
    in
    output (head outputs);
}
