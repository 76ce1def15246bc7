# SPDX-License-Identifier: Apache-2.0
#
# What the package set needs of nixpkgs' lib, under the same names.
let
  inherit (builtins) attrNames elemAt filter foldl' genList head isAttrs
    isString length listToAttrs replaceStrings split stringLength substring tail;
  chars = s: genList (i: substring i 1 s) (stringLength s);
in
rec {
  inherit (builtins) attrValues concatLists concatMap concatStringsSep elem
    hasAttr isFunction isList map mapAttrs;
  inherit attrNames filter head isAttrs isString length listToAttrs
    replaceStrings tail;

  fix = f: let x = f x; in x;
  # One overlay more on a package set that is still a function of itself.
  extends = overlay: lower: final:
    let prev = lower final; in prev // overlay final prev;

  toLower = replaceStrings
    (chars "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    (chars "abcdefghijklmnopqrstuvwxyz");
  escapeRegex = replaceStrings
    (chars "\\[{()^$?*+|.")
    (map (c: "\\" + c) (chars "\\[{()^$?*+|."));
  splitString = sep: s: filter isString (split (escapeRegex sep) s);

  last = l: elemAt l (length l - 1);
  unique = foldl' (acc: x: if builtins.elem x acc then acc else acc ++ [ x ]) [ ];
  optional = cond: x: if cond then [ x ] else [ ];
  optionals = cond: l: if cond then l else [ ];
  optionalString = cond: s: if cond then s else "";
  optionalAttrs = cond: a: if cond then a else { };
  genAttrs = names: f: listToAttrs (map (name: { inherit name; value = f name; }) names);
  # builtins.groupBy came with Nix 2.5.
  groupBy = key: foldl' (acc: x: acc // { ${key x} = acc.${key x} or [ ] ++ [ x ]; }) { };

  attrByPath = path: default: set:
    if path == [ ] then set
    else if isAttrs set && set ? ${head path}
    then attrByPath (tail path) default set.${head path}
    else default;
  recurseIntoAttrs = set: set // { recurseForDerivations = true; };
  isDerivation = x: isAttrs x && (x.type or null) == "derivation";
  getOutput = output: pkg: pkg.${output} or pkg.out or pkg;
  getName = x: if isString x then x else x.pname or x.name;

  licenses = builtins.mapAttrs
    (name: value: { free = true; deprecated = false; redistributable = true; shortName = name; } // value)
    {
      asl20 = { spdxId = "Apache-2.0"; fullName = "Apache License 2.0"; };
      bsd3 = { spdxId = "BSD-3-Clause"; fullName = "BSD 3-clause \"New\" or \"Revised\" License"; };
      curl = { spdxId = "curl"; fullName = "curl License"; };
      gpl2Only = { spdxId = "GPL-2.0-only"; fullName = "GNU General Public License v2.0 only"; };
      gpl2Plus = { spdxId = "GPL-2.0-or-later"; fullName = "GNU General Public License v2.0 or later"; };
      gpl3Plus = { spdxId = "GPL-3.0-or-later"; fullName = "GNU General Public License v3.0 or later"; };
      lgpl21Plus = { spdxId = "LGPL-2.1-or-later"; fullName = "GNU Lesser General Public License v2.1 or later"; };
      mit = { spdxId = "MIT"; fullName = "MIT License"; };
      mpl20 = { spdxId = "MPL-2.0"; fullName = "Mozilla Public License 2.0"; };
      publicDomain = { fullName = "Public Domain"; };
      psfl = { spdxId = "Python-2.0"; fullName = "Python Software Foundation License version 2"; };
      zlib = { spdxId = "Zlib"; fullName = "zlib License"; };
      unfree = { fullName = "Unfree"; free = false; redistributable = false; };
    };
}
