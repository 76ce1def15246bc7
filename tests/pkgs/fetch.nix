# SPDX-License-Identifier: Apache-2.0
#
# One entry of the lock -> its .deb.  A fixed-output derivation: the store path
# follows from name and hash alone, and ./prepare puts the file there.  The URL
# says where it came from; Nix could get it from there too.
entry: derivation {
  name = entry.file;
  inherit (entry) url;
  urls = [ entry.url ];
  system = "builtin";
  builder = "builtin:fetchurl";
  outputHash = entry.sha256;
  outputHashAlgo = "sha256";
  outputHashMode = "flat";
  executable = false;
  unpack = false;
  preferLocalBuild = true;
}
