# SPDX-License-Identifier: Apache-2.0
#
# From attribute paths to derivations. The one argument is a JSON document:
#
#   source     { kind, path }: where the package set is; the address of a
#              locked flake when the kind is "flake"
#   system     "x86_64-linux"
#   paths      [ [ "xorg" "xev" ] ... ]: names are data, never source text
#   denied     the same: packages that are not served under any name
#   wantNames  whether to list the attribute names of the set
#   config     what the package set is given as its configuration
#   overlays   files with overlays, by path
#
# Nothing here catches an error but one in a licence: the first one ends the
# evaluation with its whole text, and the last mark written before it says what
# it belongs to.
{ request }:
let
  inherit (builtins)
    any attrNames concatMap deepSeq elem elemAt filter fromJSON functionArgs
    genList head intersectAttrs isAttrs isFunction isList isString length
    listToAttrs map match parseDrvName replaceStrings seq stringLength
    substring tail toString trace tryEval typeOf unsafeDiscardStringContext;

  asked = fromJSON request;
  mark = what: trace "firn: ${what}";

  # A flake is made for each system, without a configuration of ours.
  ofFlake =
    let outputs = builtins.getFlake asked.source.path; in
    outputs.legacyPackages.${asked.system} or { }
    // outputs.packages.${asked.system} or { };

  set =
    let
      made = if asked.source.kind == "flake" then ofFlake else import asked.source.path;
      given = {
        inherit (asked) system;
        config = asked.config // (
          if asked.config.allowInsecure or false
          then { allowInsecurePredicate = _: true; }
          else { }
        );
        overlays = map (file: import file) asked.overlays;
      };
      # A set that says which arguments it takes is given no others.
      takes = if isFunction made then functionArgs made else { };
      pkgs =
        if asked.overlays != [ ]
          && !(isFunction made && (takes == { } || takes ? overlays))
        then throw "the package set takes no overlays"
        else if !isFunction made then made
        else if takes == { } then made given
        else made (intersectAttrs takes given);
    in
    if isAttrs pkgs then pkgs
    else throw "the package set is a ${typeOf pkgs}, not a set of packages";

  chars = s: genList (i: substring i 1 s) (stringLength s);
  lower = replaceStrings
    (chars "ABCDEFGHIJKLMNOPQRSTUVWXYZ") (chars "abcdefghijklmnopqrstuvwxyz");
  isPackage = v: isAttrs v && (v.type or null) == "derivation";

  # How a name is spelled in a set. The top level is looked up by firn, in an
  # index that it keeps.
  spellings = depth: set: name:
    if set ? ${name} then [ name ]
    else if depth == 0 then [ ]
    else if match "[0-9].*" name != null && set ? "_${name}" then [ "_${name}" ]
    else filter (n: lower n == lower name) (attrNames set);

  hasOutput = value: name: isPackage value && elem name (value.outputs or [ ]);

  # below: of the packages on the way, how deep the last one is whose insides
  # were looked into; its outputs are no insides. 0: none.
  walk = at: parent: below: value: path:
    let
      name = head path;
      found = spellings (length at) value name;
      next = head found;
      within = at != [ ] && isPackage value && !hasOutput value next;
    in
    if path == [ ] then { inherit at parent below value; }
    else if !isAttrs value then {
      inherit at;
      missing = name;
      kind = typeOf value;
    }
    else if length found == 1 then
      walk (at ++ [ next ]) value (if within then length at else below)
        value.${next} (tail path)
    else {
      inherit at;
      missing = name;
      kind = if isPackage value then "package" else "set";
      ambiguous = found;
      # Of the top level firn has the names.
      names =
        if at == [ ] then [ ]
        else if isPackage value then value.outputs or [ ]
        else attrNames value;
    };

  # `openssl.dev` means that output, `openssl` the one that the package puts
  # first and those that an installation takes.
  outputsOf = { at, parent, value, ... }:
    let
      first = value.outputName or "out";
      wanted = value.meta.outputsToInstall or [ ];
      others = filter (o: o != first && value ? ${o}) wanted;
      unique = concatMap
        (i:
          let o = elemAt others i; in
          if elem o (genList (elemAt others) i) then [ ] else [ o ])
        (genList (i: i) (length others));
    in
    [ first ] ++ (
      if isPackage parent && elemAt at (length at - 1) == first
      then [ ] else unique
    );

  output = value: name: {
    inherit name;
    path = unsafeDiscardStringContext
      (toString (if value ? ${name} then value.${name} else value).outPath);
  };

  # SPDX identifiers, or what else the set calls the licences. An image can do
  # without: a licence that fails is none.
  licensesOf = value:
    let
      given = value.meta.license or [ ];
      name = l:
        if isString l then "LicenseRef-${l}"
        else if isString (l.spdxId or null) then l.spdxId
        else if isString (l.shortName or null) then "LicenseRef-${l.shortName}"
        else "LicenseRef-unknown";
      names = map name (if isList given then given else [ given ]);
      read = tryEval (deepSeq names names);
    in
    if read.success then read.value else [ ];

  # What may not be served, as far as it can be evaluated: what throws here
  # throws under its other names. A name costs little, so it is compared first.
  denied = concatMap
    (i:
      let
        found = walk [ ] null 0 set (elemAt asked.denied i);
        inherit (found) value;
        isOutput = length found.at > 1
          && hasOutput found.parent (elemAt found.at (length found.at - 1));
        read = tryEval (
          if found ? missing || !isPackage value then [ ]
          else seq value.name [{
            inherit (value) name;
            is = other:
              if isOutput then value.outPath == other.outPath
              else value.drvPath == other.drvPath;
          }]
        );
      in
      mark "denied ${toString i}" (if read.success then read.value else [ ]))
    (genList (i: i) (length asked.denied));

  isDenied = value:
    any
      (d: d.name == value.name &&
        (let same = tryEval (d.is value); in same.success && same.value))
      denied;

  # What the package calls itself, without a version.
  callsItself = value:
    let
      given = tryEval (value.pname or "");
      pname = if given.success && isString given.value then given.value else "";
    in
    map unsafeDiscardStringContext [ pname (parseDrvName value.name).name ];

  describe = found@{ at, below, value, ... }:
    if isPackage value then {
      inherit at below;
      inherit (value) name;
      calls = callsItself value;
      denied = isDenied value;
      # What it runs on, which may not be what builds it.
      runsOn = value.stdenv.hostPlatform.system or value.system or null;
      drv = unsafeDiscardStringContext value.drvPath;
      outputs = map (output value) (outputsOf found);
      licenses = licensesOf value;
    }
    else {
      inherit at;
      kind = typeOf value;
      members = if isAttrs value then attrNames value else [ ];
    };

  answer = i:
    let found = walk [ ] null 0 set (elemAt asked.paths i); in
    mark "path ${toString i}"
      (if found ? missing then found else describe found);

  packages = genList answer (length asked.paths);
in
mark "set" (seq set (seq (length denied) (deepSeq packages (mark "done" {
  inherit packages;
  storeDir = builtins.storeDir;
  names = if asked.wantNames then attrNames set else [ ];
}))))
