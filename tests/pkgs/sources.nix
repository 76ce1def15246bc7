# SPDX-License-Identifier: Apache-2.0
#
# The store paths of all the .debs, for ./prepare to put them there.
let
  locked = builtins.fromJSON (builtins.readFile ./generated/lock.json);
  fetch = import ./fetch.nix;
in
builtins.concatMap
  (debs: map (deb: builtins.unsafeDiscardStringContext (fetch deb).outPath) (builtins.attrValues debs))
  (builtins.attrValues locked)
